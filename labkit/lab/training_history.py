"""What the events of a run say so far: curves, figures, the newest pictures and surfaces, messages, and the pace."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from labkit.events import Done, Event, Failed, MeshPreview, Phase, Picture, Saved, Step, Tuned, Warned
from labkit.train.preview_files import load_preview, previews

POINTS = 500  # of a curve at most
MESSAGES = 20
LARGER = ("psnr", "ssim", "iou", "accuracy")  # figures that are better when they are larger
UNRANKED = ("gradient", "seconds")  # figures that are neither good nor bad
TRUTH = "truth"  # names of previews that begin so show what the others are to become
PACE = 50  # the newest reported steps, over which the pace is the mean
Word = Literal["ready", "running", "paused", "done", "stopped", "failed"]


class Curve:
    """Values over steps, kept as at most `POINTS` means of equally many neighbours."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._each, self._sum, self._count = 1, 0.0, 0

    def add(self, step: int, value: float) -> None:
        """Take a value of a step later than all others."""
        self._sum, self._count = self._sum + value, self._count + 1
        if self._count < self._each:
            return
        self.steps.append(step)
        self.values.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self.steps) == POINTS:
            self.steps = self.steps[1::2]
            self.values = [(a + b) / 2 for a, b in zip(self.values[::2], self.values[1::2], strict=True)]
            self._each *= 2

    def cut(self, step: int) -> None:
        """Forget everything after a step."""
        keep = bisect_right(self.steps, step)
        del self.steps[keep:], self.values[keep:]
        self._sum, self._count = 0.0, 0


@dataclass(frozen=True)
class Seen:
    """A run as it stood at one moment.

    Attributes:
        version: grows with every event.
        word: what the run is doing; "ready" before its first event.
        number, total: steps done, and steps that there will be.
        rate: steps a second, or None while unknown.
        curves: under each name the steps and their values, see `Curve`.
        newest: the newest value of each figure.
        best: the best value of each figure, and its step.
        meshes, pictures: the newest of each name.
        messages: the newest of them, oldest first: step, whether the run failed, text.
        checkpoint: steps in the newest checkpoint, or None.
        dials: where they stand, see `labkit.train.dials`.
    """

    version: int = 0
    word: Word = "ready"
    number: int = 0
    total: int = 0
    rate: float | None = None
    curves: Mapping[str, tuple[tuple[int, ...], tuple[float, ...]]] = field(default_factory=dict)
    newest: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    meshes: Mapping[str, MeshPreview] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    messages: tuple[tuple[int, bool, str], ...] = ()
    checkpoint: int | None = None
    dials: Mapping[str, float] = field(default_factory=dict)

    @property
    def newest_preview(self) -> int:
        """The step of the newest surface or picture; 0 without any."""
        numbers = [mesh.number for mesh in self.meshes.values()] + [one.number for one in self.pictures.values()]
        return max(numbers, default=0)

    @property
    def active(self) -> bool:
        """Whether the run can be told something."""
        return self.word in ("running", "paused")

    @property
    def seconds_left(self) -> float | None:
        """Until the last step at the present pace, without pauses; None while unknown."""
        return None if not self.rate else (self.total - self.number) / self.rate


class History:
    """Collects events; `receive` and `seen` may be called on different threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version, self._number, self._total = 0, 0, 0
        self._word: Word = "ready"
        self._curves: dict[str, Curve] = {}
        self._newest: dict[str, float] = {}
        self._best: dict[str, tuple[float, int]] = {}
        self._meshes: dict[str, MeshPreview] = {}
        self._pictures: dict[str, Picture] = {}
        self._messages: deque[tuple[int, bool, str]] = deque(maxlen=MESSAGES)
        self._checkpoint: int | None = None
        self._dials: dict[str, float] = {}
        self._pace: deque[tuple[float, int, float]] = deque(maxlen=PACE)  # arrival, step, own seconds of a step

    def receive(self, event: Event) -> None:
        """Note what an event says."""
        with self._lock:
            self._version += 1
            if not isinstance(event, Picture | MeshPreview):  # which come later than the step that they show
                self._number = event.number
            match event:
                case Phase():
                    self._begin(event)
                case Step():
                    self._total = event.total
                    self._pace.append((time.monotonic(), event.number, event.values.get("seconds", 0.0)))
                    self._figures(event.number, event.values)
                    for name, value in event.values.items():
                        self._curves.setdefault(name, Curve()).add(event.number, value)
                case MeshPreview():
                    self._meshes[event.name] = event
                case Picture():
                    self._pictures[event.name] = event
                case Saved():
                    self._checkpoint = event.number
                    self._figures(event.number, event.values)
                case Tuned():
                    self._dials = dict(event.values)
                case Warned():
                    if (told := (event.number, False, event.message)) not in self._messages:
                        self._messages.append(told)
                case Failed():
                    self._word = "failed"
                    self._messages.append((event.number, True, event.message))
                case Done():
                    self._word = "stopped" if event.stopped else "done"
                    self._figures(event.number, event.values)

    def _begin(self, event: Phase) -> None:
        """A run that goes on from an earlier checkpoint does the steps after it again."""
        self._total = event.total
        self._word = "paused" if event.name == "paused" else "running"
        self._pace.clear()
        if event.name == "started":
            for curve in self._curves.values():
                curve.cut(event.number)
            self._best = {name: (value, step) for name, (value, step) in self._best.items() if step <= event.number}

    def _figures(self, number: int, values: Mapping[str, float]) -> None:
        self._newest.update(values)
        for name, value in values.items():
            if name in UNRANKED:
                continue
            sign = 1 if any(word in name.lower() for word in LARGER) else -1
            if math.isfinite(value) and (name not in self._best or sign * value > sign * self._best[name][0]):
                self._best[name] = (value, number)

    def seen(self) -> Seen:
        """The run at this moment."""
        with self._lock:
            return Seen(
                self._version,
                self._word,
                self._number,
                self._total,
                self._rate(),
                {name: (tuple(curve.steps), tuple(curve.values)) for name, curve in self._curves.items()},
                dict(self._newest),
                dict(self._best),
                dict(self._meshes),
                dict(self._pictures),
                tuple(self._messages),
                self._checkpoint,
                dict(self._dials),
            )

    def _rate(self) -> float | None:
        """By the arrival of steps, unless they came faster than they can have been made: out of a file."""
        if len(self._pace) < 2:
            return None
        (began, first, _), (ended, last, _) = self._pace[0], self._pace[-1]
        own = sum(seconds for *_, seconds in self._pace) / len(self._pace)
        took = max((ended - began) / max(1, last - first), own)
        return 1 / took if took > 0 else None


def earlier(
    run: Path, seen: Seen, step: int, loaded: dict[Path, MeshPreview | Picture]
) -> tuple[dict[str, MeshPreview], dict[str, Picture]]:
    """The surfaces and pictures that were the newest at a step; the truth stays.

    Args:
        run: its folder.
        seen: the run as it stands.
        step: from 0.
        loaded: previews that were read for an earlier call; those of this call take their place.

    Raises:
        FileError: a preview is broken.
    """
    files = {(file.name, file.path.suffix): file.path for file in previews(run) if file.number <= step}
    events = {path: loaded.get(path) or load_preview(path) for path in files.values()}
    loaded.clear()
    loaded.update(events)
    meshes = {name: mesh for name, mesh in seen.meshes.items() if name.startswith(TRUTH)}
    pictures = {name: picture for name, picture in seen.pictures.items() if name.startswith(TRUTH)}
    for event in events.values():
        if isinstance(event, MeshPreview):
            meshes[event.name] = event
        else:
            pictures[event.name] = event
    return meshes, pictures
