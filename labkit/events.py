"""What long work tells the world, one event at a time: whoever listens decides what to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One step is done.

    Attributes:
        number: steps done so far, from 1.
        total: steps that there will be.
        values: figures of this step by name, such as the loss.
    """

    number: int
    total: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Picture:
    """A picture of the work as it stands.

    Attributes:
        number: steps done so far.
        name: what it shows.
        image: (C, H, W) in [0, 1], detached.
    """

    number: int
    name: str
    image: Tensor


@dataclass(frozen=True)
class MeshPreview:
    """A surface of the work as it stood.

    Attributes:
        number: steps done when it was taken.
        name: what it shows.
        vertices: (V, 3) float32.
        faces: (F, 3) int64.
        colors: (V, 3) float32 in [0, 1], or None.
    """

    number: int
    name: str
    vertices: Tensor
    faces: Tensor
    colors: Tensor | None = None


@dataclass(frozen=True)
class Phase:
    """The work begins, waits, or goes on.

    Attributes:
        number: steps done so far.
        name: "started" by a new process, also when it resumes an earlier run; "paused"; "running" again.
        total: steps that there will be.
    """

    number: int
    name: Literal["started", "paused", "running"]
    total: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint is complete on disk.

    Attributes:
        number: steps done in it.
        path: of its folder, relative to the run's.
        best: whether it is the best so far.
        values: figures of its quality by name, such as the PSNR of unseen views.
    """

    number: int
    path: str
    best: bool = False
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuned:
    """Dials stand at these values from now on: because they were turned, or because a process begins with them.

    Attributes:
        number: steps done so far.
        values: by name, see `labkit.train.dials`.
    """

    number: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Warned:
    """Something is not as it should be; the work goes on, or waits if a `Phase` says so.

    Attributes:
        number: steps done so far.
        message: what happened and what can be done, for people.
    """

    number: int
    message: str


@dataclass(frozen=True)
class Failed:
    """The work has ended with an error.

    Attributes:
        number: steps that were done well.
        message: what happened and what can be done, for people.
        checkpoint: folder of the last good checkpoint, relative to the run's, or None.
    """

    number: int
    message: str
    checkpoint: str | None = None


@dataclass(frozen=True)
class Done:
    """The work has ended well.

    Attributes:
        number: steps done.
        stopped: whether it was stopped before its last step.
        values: closing figures by name, such as the PSNR of unseen views.
    """

    number: int
    stopped: bool = False
    values: Mapping[str, float] = field(default_factory=dict)


Event = Step | Picture | MeshPreview | Phase | Saved | Tuned | Warned | Failed | Done
"""Any of them; each has ``number``."""
