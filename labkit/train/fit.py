"""Fitting a scene to pictures: any of its numbers, by gradient descent, as a stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from labkit.errors import DomainError, LabError, check_positive
from labkit.events import Event, Picture, Step
from labkit.render.views import Scene
from labkit.train.objective import Evaluation, Objective
from labkit.train.parameters import Parameters, replaced, value_at
from labkit.train.schedules import geometric

L1: Mapping[str, float] = MappingProxyType({"l1": 1.0})


def fit(
    scene: Scene,
    targets: Tensor,
    parameters: Mapping[str, float],
    *,
    losses: Mapping[str, float] = L1,
    schedules: Mapping[str, tuple[float, float]] | None = None,
    steps: int = 100,
    final_rate: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.999),
    picture_every: int = 10,
) -> Fit:
    """Change numbers of a scene until it looks like the targets, with Adam.

    Each parameter has its own learning rate: about the largest change in one step, in the parameter's units. Two
    kinds stay inside their domain. The logarithm of a positive number of unknown magnitude (`parameters.SCALES`:
    distance, shininess, and what a rasterizer is soft by) is fitted, so its rate is a fraction of its value. A value
    that has a range (`parameters.RANGES`: colours, angles of view, roughness) is brought back to its border when a
    step leaves it. A camera's rotation is fitted through an `OrbitPose` or a `FreePose`.

    Args:
        scene: the start; it is not changed.
        targets: (B, C, H, W) for the B cameras of the scene: colour (C = 3), alpha (1), or both (4), see `Objective`.
        parameters: learning rate by path, such as ``{"mesh.vertices": 5e-3, "lights.0.color": 0.05}``, see
            `Parameters`.
        losses: weight by name: "l1", "l2", "ssim", "iou", and the mesh regularizers "normal", "flatness", "edge",
            "neighbor", "laplacian" (of the displacement from the start).
        schedules: first and last value, both > 0, of numbers at paths that change by equal factors over the fit, such
            as ``{"rasterizer.sigma": (1e-2, 1e-4)}`` to sharpen.
        steps: how many; at least 1.
        final_rate: in (0, 1], to which share of themselves all learning rates fall, by equal factors.
        betas: of Adam, each in [0, 1).
        picture_every: steps between pictures.

    Returns:
        An iterator of events. After each step `Step`, with "loss", each term without its weight, "rate" (the share
        of the learning rates) and each scheduled number by its path; at the start, every so many steps and at the end
        one `Picture` "view 0", "view 1", ... for each camera. ``.scene`` is at any time the scene of the last `Step`.

    Raises:
        LabError: at the call, if the start cannot be rendered or an argument is not as above; later, naming the step,
            for a loss or gradient that is NaN or infinite or a parameter that no loss depends on. ``.scene`` is then
            still the last good one.
    """
    check_positive("final_rate", final_rate)
    if final_rate > 1:
        raise DomainError("final_rate", final_rate, "a number in (0, 1]")
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise DomainError("betas", betas, "two numbers in [0, 1)")
    for name, count in (("steps", steps), ("picture_every", picture_every)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DomainError(name, count, "a whole number of at least 1")
    schedules = dict(schedules or {})
    for path, ends in schedules.items():
        value_at(scene, path)
        if len(ends) != 2:
            raise DomainError(f"schedules[{path!r}]", ends, "the first and the last value")
        for end in ends:
            check_positive(f"schedules[{path!r}]", end)
        if path in parameters:
            raise DomainError("schedules", repr(path), "a path that is not fitted")
    objective = Objective(targets, losses, scene.mesh)
    return Fit(scene, objective, Parameters(scene, parameters), schedules, steps, final_rate, betas, picture_every)


class Fit(Iterator[Event]):
    """A fit under way, made by `fit`. Iterating does the work; whoever stops may go on later.

    Attributes:
        scene: the newest scene whose loss is known, at first the start. What is fitted is a tensor in it, also where
            it was a number; no later step changes it.
        values: the figures of `scene`, as in the events.
    """

    def __init__(
        self,
        scene: Scene,
        objective: Objective,
        parameters: Parameters,
        schedules: Mapping[str, tuple[float, float]],
        steps: int,
        final_rate: float,
        betas: tuple[float, float],
        picture_every: int,
    ) -> None:
        self.scene, self._objective, self._parameters, self._schedules = scene, objective, parameters, schedules
        self._steps, self._final_rate, self._every = steps, final_rate, picture_every
        groups = [{"params": [leaf], "lr": parameters.rates[path]} for path, leaf in parameters.leaves.items()]
        self._adam = torch.optim.Adam(groups, betas=betas)
        self._now = self._evaluate(0)
        self._events = self._run()

    def __next__(self) -> Event:
        return next(self._events)

    def _run(self) -> Iterator[Event]:
        yield from self._pictures(0)
        for number in range(1, self._steps + 1):
            try:
                self._descend(number)
                self._now = self._evaluate(number)
            except LabError as error:
                raise type(error)(error.argument, f"{error.got} at step {number}", error.expected) from error
            yield Step(number, self._steps, self.values)
            if number % self._every == 0 or number == self._steps:
                yield from self._pictures(number)

    def _descend(self, number: int) -> None:
        """One step of Adam from the newest evaluation."""
        leaves, loss = self._parameters.leaves, self._now.loss
        missing = [None] * len(leaves)
        gradients = torch.autograd.grad(loss, [*leaves.values()], allow_unused=True) if loss.requires_grad else missing
        for (path, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            if gradient is None:
                raise DomainError(path, "no gradient", "a number that a loss depends on")
            if not bool(gradient.isfinite().all()):
                raise DomainError(path, "a gradient that is NaN or infinite", "a finite gradient")
            leaf.grad = gradient
        for group, rate in zip(self._adam.param_groups, self._parameters.rates.values(), strict=True):
            group["lr"] = rate * self._share(number)
        self._adam.step()
        self._parameters.clamp()

    def _evaluate(self, number: int) -> Evaluation:
        """Measure the scene after so many steps, and keep it."""
        scene, scheduled = self.scene, {}
        for path, ends in self._schedules.items():
            scheduled[path] = geometric(*ends, number / self._steps)
            scene = replaced(scene, path, scheduled[path])
        scene = self._parameters.into(scene)
        found = self._objective(scene)
        self.scene = self._parameters.freeze(scene)
        self.values = {"loss": found.loss.item(), **found.terms, "rate": self._share(number), **scheduled}
        return found

    def _share(self, number: int) -> float:
        """The share of the learning rates at a step: 1 at the first, the final one at the last."""
        return geometric(1.0, self._final_rate, max(number - 1, 0) / max(self._steps - 1, 1))

    def _pictures(self, number: int) -> Iterator[Picture]:
        shown = self._now.pictures.detach()[:, :3].clamp(0, 1)
        yield from (Picture(number, f"view {view}", image) for view, image in enumerate(shown))
