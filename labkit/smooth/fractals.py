"""Iterated function systems: fractals from a handful of affine maps, differentiable in every coefficient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, check_device, check_positive, check_tensor
from labkit.smooth.splatting import Window

LIMIT = 1e6  # plane units; attractors are a few units wide, so an orbit this far out is running away


@dataclass(frozen=True)
class Choices:
    """The random part of a fractal, drawn before anything is computed.

    Attributes:
        maps: (burn_in + length, orbits) int64, which map each orbit takes at each step.
        start: (orbits, 2), where each orbit begins.
        burn_in: steps that are not plotted.
        points: how many points the orbits give.
    """

    maps: Tensor
    start: Tensor
    burn_in: int
    points: int


class IteratedFunctionSystem(nn.Module):
    """n affine maps of the plane; their attractor is the fractal.

    Map i is ``f_i(x, y) = (x + a1 + a2 x + a3 y, y + a4 + a5 x + a6 y)``: the identity plus an affine map.

    Args:
        parameters: (n, 6), a1 to a6 of every map.
        probabilities: (n,), how often each map is chosen: >= 0, sum 1. They are fixed, as a choice cannot be
            interpolated.
        window: the part of the plane to look at.

    Attributes:
        coefficients: (n, 6), the `nn.Parameter` that holds a copy of ``parameters``.
        probabilities: (n,), a buffer.
        window: may be set.

    Raises:
        DTypeError, ShapeError, DomainError, DeviceError: wrong shapes, no map, not finite, or no probabilities.

    Source: AlgoNet, section 4.5.
    """

    probabilities: Tensor

    def __init__(self, parameters: Tensor, probabilities: Tensor, window: Window | None = None) -> None:
        super().__init__()
        check_tensor("parameters", parameters, "n 6")
        check_tensor("probabilities", probabilities, str(len(parameters)))
        check_device(parameters=parameters, probabilities=probabilities)
        if bool((probabilities < 0).any()) or not math.isclose(probabilities.sum().item(), 1.0, abs_tol=1e-5):
            raise DomainError("probabilities", probabilities.tolist(), "numbers of at least 0 with sum 1")
        self.coefficients = nn.Parameter(parameters.detach().clone())
        self.register_buffer("probabilities", probabilities.detach().clone())
        self.window = window or Window()

    @classmethod
    def from_affine(
        cls, matrix: Tensor, offset: Tensor, probabilities: Tensor, window: Window | None = None
    ) -> IteratedFunctionSystem:
        """The system of the maps ``p' = A p + b``, as books print them: ``matrix`` A (n, 2, 2), ``offset`` b (n, 2).

        Raises:
            DTypeError, ShapeError, DomainError: as the class.
        """
        check_tensor("matrix", matrix, "n 2 2")
        check_tensor("offset", offset, f"{len(matrix)} 2")
        excess = matrix - torch.eye(2, dtype=matrix.dtype, device=matrix.device)
        return cls(torch.cat([offset[..., None], excess], -1).flatten(1), probabilities, window)

    def to_affine(self) -> tuple[Tensor, Tensor]:
        """The maps as ``p' = A p + b``: A (n, 2, 2) and b (n, 2), differentiable."""
        offset, excess = self.coefficients.unflatten(1, (2, 3)).split([1, 2], -1)  # (n, 2, 1), (n, 2, 2)
        return excess + torch.eye(2, dtype=excess.dtype, device=excess.device), offset[..., 0]

    @property
    def contraction(self) -> Tensor:
        """(n,), the largest singular value of each map's matrix, detached: all below 1 ensures an attractor."""
        return torch.linalg.matrix_norm(self.to_affine()[0].detach(), 2)

    @torch.no_grad()
    def shrink(self, stretch: float) -> None:
        """Cut the singular values of all maps' matrices to at most ``stretch`` > 0, in place.

        Maps that are within the bound are not touched, offsets neither.

        Raises:
            DomainError: ``stretch`` is not positive.
        """
        check_positive("stretch", stretch)
        matrix, _ = self.to_affine()
        left, values, right = torch.linalg.svd(matrix)  # (n, 2, 2), (n, 2), (n, 2, 2)
        cut = left @ (values.clamp(max=stretch)[..., None] * right)
        excess = (values > stretch).any(-1)[:, None, None] * (cut - matrix)
        self.coefficients.view(-1, 2, 3)[..., 1:] += excess

    def perturbed(self, fraction: float, generator: torch.Generator) -> IteratedFunctionSystem:
        """A copy whose coefficients are each multiplied by ``1 + fraction * u``, u uniform in [-1, 1].

        Raises:
            DomainError: ``fraction`` is negative or not finite.
        """
        if not (math.isfinite(fraction) and fraction >= 0):
            raise DomainError("fraction", fraction, "a finite number of at least 0")
        old = self.coefficients.detach()
        u = 2 * torch.rand(old.shape, generator=generator, device=generator.device, dtype=torch.float64) - 1
        return type(self)(old * (1 + fraction * u).to(old), self.probabilities, self.window)

    def draw(self, points: int, generator: torch.Generator, *, length: int = 100, burn_in: int = 20) -> Choices:
        """Draw which maps to take, for ``points`` points.

        A single orbit of 100,000 steps would be computed, and differentiated, one step after the other. Instead
        many orbits run side by side: ``ceil(points / length)`` of them, each from a random place in the unit square
        around the origin. Each takes ``burn_in`` steps to reach the attractor and ``length`` steps that are plotted,
        every one. The points have the same distribution as those of one long orbit.

        Args:
            points: how many points to plot, >= 1.
            generator: the only source of random numbers; all are drawn in float64, so the choices do not depend on
                the dtype.
            length: plotted steps of each orbit, >= 1.
            burn_in: steps of each orbit that are not plotted, >= 0.

        Raises:
            DomainError: a number is not whole or below its bound.
        """
        for name, value, least in (("points", points, 1), ("length", length, 1), ("burn_in", burn_in, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise DomainError(name, value, f"a whole number of at least {least}")
        orbits, steps = math.ceil(points / length), burn_in + length
        device, home = generator.device, self.coefficients
        weights = self.probabilities.to(device, torch.float64)
        maps = torch.multinomial(weights, steps * orbits, replacement=True, generator=generator)
        start = torch.rand(orbits, 2, generator=generator, device=device, dtype=torch.float64) - 0.5
        return Choices(maps.reshape(steps, orbits).to(home.device), start.to(home), burn_in, points)

    def points(self, choices: Choices) -> Tensor:
        """The points of the fractal for the given choices; equal choices give equal points.

        Args:
            choices: from `draw`, of this system or of one with as many maps.

        Returns:
            (choices.points, 2), x and y in plane units, differentiable in ``coefficients``.

        Raises:
            DTypeError, ShapeError, DomainError, DeviceError: the choices do not fit the system, or an orbit went
                farther than a million units, because the maps do not contract.
        """
        maps, start = choices.maps, choices.start
        check_tensor("choices.maps", maps, "steps orbits", integer=True)
        check_tensor("choices.start", start, f"{maps.shape[1]} 2")
        check_device(coefficients=self.coefficients, maps=maps, start=start)
        if bool(((maps < 0) | (maps >= len(self.coefficients))).any()):
            raise DomainError("choices.maps", "another number", f"maps from 0 to {len(self.coefficients) - 1}")
        matrices, offsets = (part.index_select(0, maps.flatten()) for part in self.to_affine())
        matrices, offsets = matrices.unflatten(0, maps.shape), offsets.unflatten(0, maps.shape)
        at = start.to(self.coefficients)  # (orbits, 2)
        orbit = []
        for matrix, offset in zip(matrices.unbind(), offsets.unbind(), strict=True):
            at = (matrix * at[:, None, :]).sum(-1) + offset
            orbit.append(at)
        path = torch.stack(orbit)  # (steps, orbits, 2)
        # the whole path is looked at, burn-in too; "not <=" finds NaN as well
        if not bool((path.detach().abs() <= LIMIT).all()):
            worst = self.contraction.amax().item()
            raise DomainError("coefficients", f"a map that stretches {worst:.3g} times", "maps that contract")
        return path[choices.burn_in :].flatten(0, 1)[: choices.points]


def _built_in(maps: list[list[float]], probabilities: list[float], window: Window) -> IteratedFunctionSystem:
    """A system from rows of A11, A12, A21, A22, b1, b2, the order of the books."""
    table = torch.tensor(maps)
    return IteratedFunctionSystem.from_affine(
        table[:, :4].unflatten(1, (2, 2)), table[:, 4:], torch.tensor(probabilities), window
    )


def fern() -> IteratedFunctionSystem:
    """Barnsley's fern (Fractals Everywhere, 1988): stem, upper fern, left leaf, right leaf; 10 units high."""
    return _built_in(
        [
            [0.0, 0.0, 0.0, 0.16, 0.0, 0.0],
            [0.85, 0.04, -0.04, 0.85, 0.0, 1.6],
            [0.2, -0.26, 0.23, 0.22, 0.0, 1.6],
            [-0.15, 0.28, 0.26, 0.24, 0.0, 0.44],
        ],
        [0.01, 0.85, 0.07, 0.07],
        Window(0.24, 5.0, 10.6),
    )


def sierpinski() -> IteratedFunctionSystem:
    """The Sierpinski triangle: three halves, of an equilateral triangle with side 1 and its lower left corner at 0."""
    height = math.sqrt(3) / 2
    return _built_in(
        [[0.5, 0.0, 0.0, 0.5, x / 2, y / 2] for x, y in ((0.0, 0.0), (1.0, 0.0), (0.5, height))],
        [1 / 3] * 3,
        Window(0.5, height / 2, 1.1),
    )


def dragon() -> IteratedFunctionSystem:
    """Heighway's dragon from (0, 0) to (1, 0): two copies, shrunk by the root of 1/2, turned by 45 and 135 degrees."""
    return _built_in(
        [[0.5, -0.5, 0.5, 0.5, 0.0, 0.0], [-0.5, -0.5, 0.5, -0.5, 1.0, 0.0]],
        [0.5, 0.5],
        Window(5 / 12, 1 / 6, 1.7),
    )


def random(n: int, generator: torch.Generator) -> IteratedFunctionSystem:
    """n random maps that contract, with a window around their attractor.

    Each matrix is a rotation by any angle, a stretch by two factors in [0.2, 0.75], one of which is negative in half
    of the maps on average (a reflection), and another rotation; offsets lie in [-1, 1]. A map is chosen in proportion
    to its area, |det A|, plus a tenth of the mean, so that thin maps are seen too.

    Args:
        n: how many maps, >= 2, as one alone makes a point.
        generator: the source of the maps and of the points that set the window.

    Raises:
        DomainError: ``n`` is not a whole number of at least 2.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise DomainError("n", n, "a whole number of at least 2")
    draws = torch.rand(n, 7, generator=generator, device=generator.device, dtype=torch.float64).cpu()
    turn, stretch, flip, offset = draws.split([2, 2, 1, 2], -1)
    cos, sin = torch.cos(2 * math.pi * turn), torch.sin(2 * math.pi * turn)  # (n, 2)
    rotations = torch.stack([cos, -sin, sin, cos], -1).unflatten(-1, (2, 2))  # (n, 2, 2, 2)
    factors = 0.2 + 0.55 * stretch
    factors = torch.cat([factors[:, :1], torch.where(flip < 0.5, -1, 1) * factors[:, 1:]], -1)
    matrix = rotations[:, 0] @ torch.diag_embed(factors) @ rotations[:, 1]
    area = factors.prod(-1).abs()
    weights = area + area.mean() / 10
    system = IteratedFunctionSystem.from_affine(
        matrix.float(), 2 * offset.float() - 1, (weights / weights.sum()).float()
    )
    system.window = Window.around(system.points(system.draw(10_000, generator)).detach())
    return system
