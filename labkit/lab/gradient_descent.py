"""Several renderers go down the same loss, each with its own copy of the vertices."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from labkit.events import Event, Step
from labkit.lab.gradient_field import Flow


class Descent:
    """One renderer's vertices on their way down.

    Args:
        start: (V, 3), copied.
        method: "Adam", or "gradient" for plain gradient descent, whose steps are in proportion to the gradient.
        whole: move all vertices alike, by the sum of their gradients.

    Attributes:
        vertices: (V, 3) now.
        losses: before each step so far.
        flow: the newest pass, or None before the first.
    """

    def __init__(self, start: Tensor, method: str, whole: bool) -> None:
        self.vertices = start.detach().clone()
        self.losses: list[float] = []
        self.flow: Flow | None = None
        self._whole, self._scale = whole, 0.0
        kind = torch.optim.Adam if method == "Adam" else torch.optim.SGD
        self._optimizer: torch.optim.Optimizer = kind([self.vertices], lr=1.0)

    def step(self, found: Flow, rate: float) -> None:
        """One step down.

        Args:
            found: the pass at the present vertices.
            rate: world units that the fastest vertex moves in the first step (with Adam, every vertex that moves).
        """
        self.flow = found
        self.losses.append(found.loss)
        pull = found.gradient
        if self._whole:
            pull = pull.sum(0, keepdim=True).expand_as(pull)
        if isinstance(self._optimizer, torch.optim.SGD):
            self._scale = self._scale or float(pull.norm(dim=-1).max())
            pull = pull / self._scale if self._scale else pull
        self.vertices.grad = pull.clone()
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()


def race(
    descents: Callable[[], dict[str, Descent]], flow_of: Callable[[str, Tensor], Flow], rate: Callable[[], float],
    steps: int,
) -> Iterator[Event]:  # fmt: skip
    """Let all descend, step by step; what is asked may change between two steps.

    Args:
        descents: called before each step; the descents by the name of their renderer.
        flow_of: ``flow_of(name, vertices)`` makes one pass.
        rate: called before each step, see `Descent.step`.
        steps: how many.

    Yields:
        `Step` with the loss of each renderer before that step.
    """
    for number in range(1, steps + 1):
        now = descents()
        for name, one in now.items():
            one.step(flow_of(name, one.vertices), rate())
        yield Step(number, steps, {name: one.losses[-1] for name, one in now.items()})
