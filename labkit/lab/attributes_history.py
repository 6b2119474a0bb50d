"""One optimization as a panel sees it, and what is kept of its run."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from labkit.errors import DomainError, check_tensor
from labkit.events import Event, Picture, Step
from labkit.lab.image_view import to_bytes

ERROR = "error"


@dataclass(frozen=True, eq=False)
class Task:
    """An optimization that can be run, and begun again.

    Attributes:
        title: what is recovered.
        start, target: (B, 3, H, W) in [0, 1], the same views before the work and as they shall become.
        steps: how many there will be.
        figures: of the start: "error" > 0, and the distances of what is recovered from the truth, by name with unit.
        events: begins the work. A `Step` with "error" among its values brings all figures anew; the `Picture`s of a
            step, one for each view in order, come after it.

    Raises:
        ShapeError, DTypeError, DomainError: pictures of different shapes, or no positive error.
    """

    title: str
    start: Tensor
    target: Tensor
    steps: int
    figures: Mapping[str, float]
    events: Callable[[], Iterator[Event]]

    def __post_init__(self) -> None:
        check_tensor("start", self.start, "B 3 H W")
        check_tensor("target", self.target, " ".join(map(str, self.start.shape)))
        if not self.figures.get(ERROR, 0.0) > 0:
            raise DomainError("figures", dict(self.figures), "an error of the start above 0")


@dataclass(eq=False)
class Run:
    """What is kept of a run: small pictures and the figures beside them.

    Attributes:
        task: what runs.
        steps: those with pictures, in order, from 0.
        pictures: for each of them a mosaic (H', W', 3) uint8 of all views.
        measured: steps with figures, in order, from 0.
        figures: under each name one value for each of them.
        done: steps done.
        seconds: of work, without pauses.
    """

    task: Task
    steps: list[int] = field(default_factory=lambda: [0])
    done: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.pictures = [mosaic([to_bytes(image) for image in self.task.start])]
        self.measured = [0]
        self.figures = {name: [value] for name, value in self.task.figures.items()}
        self._views: list[np.ndarray] = []

    def events(self) -> Iterator[Event]:
        """The events of the task; counts the seconds until each."""
        events = self.task.events()
        while True:
            began = time.perf_counter()
            event = next(events, None)
            self.seconds += time.perf_counter() - began
            if event is None:
                return
            yield event

    def receive(self, event: Event) -> None:
        """Keep what an event brings."""
        if isinstance(event, Step):
            self.done = event.number
            if ERROR in event.values:
                for name, values in self.figures.items():
                    values.append(event.values[name])
                self.measured.append(event.number)
        elif isinstance(event, Picture) and event.number > 0:
            self._views.append(to_bytes(event.image))
            if len(self._views) == len(self.task.target):
                self.pictures.append(mosaic(self._views))
                self.steps.append(event.number)
                self._views = []

    def picture(self, step: int) -> tuple[int, np.ndarray]:
        """The newest mosaic that is not after a step >= 0, and its own step."""
        place = bisect_right(self.steps, step) - 1
        return self.steps[place], self.pictures[place]

    @property
    def share(self) -> float:
        """The newest error as a share of the first."""
        return self.figures[ERROR][-1] / self.figures[ERROR][0]

    def at(self, step: int) -> dict[str, float]:
        """The newest figures that are not after a step >= 0."""
        place = bisect_right(self.measured, step) - 1
        return {name: values[place] for name, values in self.figures.items()}


def mosaic(views: list[np.ndarray], gap: int = 2) -> np.ndarray:
    """Views (H, W, 3) uint8 of one size as near to a square as it goes, row by row, white between them."""
    height, width = views[0].shape[:2]
    across = int(np.ceil(np.sqrt(len(views))))
    down = -(-len(views) // across)
    whole = np.full((down * (height + gap) - gap, across * (width + gap) - gap, 3), 255, np.uint8)
    for number, view in enumerate(views):
        row, column = number // across * (height + gap), number % across * (width + gap)
        whole[row : row + height, column : column + width] = view
    return whole


def difference(picture: np.ndarray, target: np.ndarray, most: float) -> np.ndarray:
    """Mean absolute difference (H, W) of the channels of two mosaics, as a share of ``most`` > 0, in [0, 1]."""
    apart: np.ndarray = np.abs(picture.astype(np.float32) - target.astype(np.float32)).mean(-1)
    return (apart / most).clip(0, 1)
