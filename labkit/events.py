"""What long work tells the world, one event at a time: whoever listens decides what to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


Event = Step | Picture
