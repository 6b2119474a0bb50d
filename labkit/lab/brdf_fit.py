"""Recovering a material from pictures: hidden numbers, perhaps a hidden texture as well, and a fit by Adam."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError, check_positive
from labkit.events import Event, Step
from labkit.geometry import Mesh
from labkit.lab.brdf_model import PARAMETERS, Values, parameters_of
from labkit.lab.brdf_scene import Seen, look
from labkit.lab.orbit import Orbit
from labkit.scene import Ambient, Directional, Light, sample_texture

TEXELS = (64, 128)  # rows and columns of the texture
INNER = (0.15, 0.85)  # part of its range in which a number is hidden
BACKGROUND = (0.06, 0.08, 0.09)
FINAL_RATE = 0.05  # of the first learning rate
EDGE = 1e-3  # how near a number may come to the ends of its range


def place(name: str, value: float) -> float:
    """Where a number lies in its range: 0 at the low end, 1 at the high end, by its logarithm if it has one."""
    rule = PARAMETERS[name]
    low, high, at = (math.log(x) if rule.log else x for x in (rule.low, rule.high, value))
    return (at - low) / (high - low)


def number_at(name: str, part: Tensor) -> Tensor:
    """The number at a place of its range; the inverse of `place`, differentiable."""
    rule = PARAMETERS[name]
    low, high = (math.log(x) if rule.log else x for x in (rule.low, rule.high))
    value = low + (high - low) * part
    return value.exp() if rule.log else value


def hide(kind: str, generator: torch.Generator) -> dict[str, float]:
    """Random numbers of a material, even over the inner part of each range."""
    low, high = INNER
    parts = low + (high - low) * torch.rand(len(PARAMETERS), generator=generator, dtype=torch.float64)
    drawn = {name: number_at(name, part).item() for name, part in zip(PARAMETERS, parts, strict=True)}
    return {name: drawn[name] for name in parameters_of(kind)}


def pattern() -> Tensor:
    """A texture (3, H, W) of soft coloured patches, all in [0.15, 0.75]."""
    rows, columns = (torch.arange(n) / n * 2 * math.pi for n in TEXELS)
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    waves = torch.stack([(2 * u).sin() * v.sin(), (3 * u + v).cos() * v.sin(), (2 * u - 2 * v).sin()])
    return 0.45 + 0.3 * waves


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture that is to be explained.

    Attributes:
        seen: what its pixels see.
        uv: (P, 2) where in the texture, by the direction from the centre of the mesh.
        lamps: its lights.
        target: (P, 3) colours.
    """

    seen: Seen
    uv: Tensor
    lamps: tuple[Light, ...]
    target: Tensor

    def light(self, kind: str, values: Values, texture: Tensor) -> Tensor:
        """Colours (P, 3) with that material and texture."""
        return self.seen.light(kind, values, self.lamps, sample_texture(texture, self.uv))

    def picture(self, colors: Tensor) -> Tensor:
        """Colours (P, 3) as a picture (3, H, W)."""
        return self.seen.picture(colors, BACKGROUND)


@dataclass(frozen=True, eq=False)
class Problem:
    """Pictures of a mesh whose material is hidden.

    Attributes:
        kind: name of the material, which is known.
        truth: its numbers.
        texture: (3, H, W) the true texture.
        shots: the pictures.
    """

    kind: str
    truth: Mapping[str, float]
    texture: Tensor
    shots: tuple[Shot, ...]


def pose(mesh: Mesh, kind: str, truth: Mapping[str, float], views: int = 1, lamps: int = 3, size: int = 64) -> Problem:
    """Make the pictures: every view with every light on its own.

    Args:
        mesh: centred, in the unit sphere.
        kind, truth: the material that makes them.
        views: how many, evenly around the mesh.
        lamps: how many directional lights, spread over 120 degrees around the eye.
        size: pixels a side.
    """
    texture, shots = pattern(), []
    for view in range(views):
        azimuth = 25.0 + 360.0 * view / views
        seen = look(mesh, Orbit.around(azimuth, 30.0, 3.0), size)
        x, y, z = (seen.points / torch.linalg.vector_norm(seen.points, dim=-1, keepdim=True).clamp_min(1e-6)).unbind(-1)
        uv = torch.stack((torch.atan2(x, z) / (2 * math.pi) + 0.5, y.clamp(-1, 1).asin() / math.pi + 0.5), -1)
        for lamp in range(lamps):
            off = 20.0 if lamps == 1 else 120.0 * lamp / (lamps - 1) - 60.0
            sun = Orbit.around(azimuth + off, 45.0, 1.0).eye
            lights = (Ambient(0.1), Directional(sun, 0.9))
            colors = seen.light(kind, truth, lights, sample_texture(texture, uv))
            shots.append(Shot(seen, uv, lights, colors))
    return Problem(kind, truth, texture, tuple(shots))


class Recovery(Iterator[Event]):
    """A fit of hidden numbers to the pictures of a problem, by Adam. Iterating does the work.

    A number is fitted by the logit of its place in its range, so that it never leaves it. The loss is the mean
    absolute difference of all pictures (L1, as DIB-R's).

    Args:
        problem: what is to be explained.
        names: numbers that are unknown; the others are taken as they are.
        texture: whether the texture is unknown too; it begins grey, and is clamped to [0, 1] after each step.
        start: place in its range where every unknown number begins, in (0, 1).
        steps: how many.
        rate: learning rate of the logits at first; a tenth of it is the texture's. Both fall to a twentieth.

    Attributes:
        values: the numbers now.
        map: (3, H, W) the texture now.
        path: the numbers from the start on, by name.
        colors: (P, 3) of each shot now, detached.
        first: mean absolute error of the pictures at the start.
        losses: the same after each step.

    Raises:
        DomainError: nothing is unknown, a number is not one of the material, ``start`` is out of range, or ``steps`` or
            ``rate`` is not positive.
    """

    def __init__(
        self,
        problem: Problem,
        names: tuple[str, ...],
        *,
        texture: bool = False,
        start: float = 0.5,
        steps: int = 150,
        rate: float = 0.1,
    ) -> None:
        if not names and not texture:
            raise DomainError("names", names, "at least one number to fit, or the texture")
        if not set(names) <= set(problem.truth):
            raise DomainError("names", names, f"numbers of the material: {', '.join(problem.truth)}")
        if not EDGE <= start <= 1 - EDGE:
            raise DomainError("start", start, f"a number between {EDGE} and {1 - EDGE}")
        check_positive("steps", steps)
        check_positive("rate", rate)
        self.problem, self._steps = problem, steps
        self._logits = {name: torch.logit(torch.tensor(start)).requires_grad_() for name in names}
        self.map = torch.full_like(problem.texture, 0.5).requires_grad_() if texture else problem.texture
        groups = [{"params": list(self._logits.values()), "lr": rate}]
        groups += [{"params": [self.map], "lr": 0.1 * rate}] if texture else []
        self._adam = torch.optim.Adam(groups)
        self._slower = torch.optim.lr_scheduler.ExponentialLR(self._adam, FINAL_RATE ** (1 / steps))
        self.values: dict[str, float] = {}
        self.path: dict[str, list[float]] = {name: [] for name in names}
        self.losses: list[float] = []
        self.colors: list[Tensor] = []
        self._loss = self._evaluate()
        self.first = self._loss.item()
        self._events = self._run()

    def __next__(self) -> Event:
        return next(self._events)

    def _evaluate(self) -> Tensor:
        """The loss now; notes numbers and pictures."""
        fitted = {name: number_at(name, torch.sigmoid(logit)) for name, logit in self._logits.items()}
        for name, value in fitted.items():
            self.path[name].append(value.item())
        self.values = {**self.problem.truth, **{name: path[-1] for name, path in self.path.items()}}
        values: Values = {**self.problem.truth, **fitted}
        found = [shot.light(self.problem.kind, values, self.map) for shot in self.problem.shots]
        self.colors = [colors.detach() for colors in found]
        gaps = [(colors - shot.target).abs().mean() for colors, shot in zip(found, self.problem.shots, strict=True)]
        return torch.stack(gaps).mean()

    def _run(self) -> Iterator[Event]:
        for number in range(1, self._steps + 1):
            self._adam.zero_grad()
            self._loss.backward()
            self._adam.step()
            self._slower.step()
            if self.map.requires_grad:
                self.map.data.clamp_(0, 1)
            self._loss = self._evaluate()
            self.losses.append(self._loss.item())
            yield Step(number, self._steps, {"loss": self.losses[-1], **self.values})
