"""Iterated function systems: known attractors, the same choices and the same points, derivatives, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.fractals import Choices, IteratedFunctionSystem, dragon, fern, random, sierpinski

ONE = torch.ones(1)
BUILT_IN = [fern, sierpinski, dragon]


def stream(seed: int = 0) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def test_the_paper_s_parametrisation(generator: torch.Generator) -> None:
    """One step is (x + a1 + a2 x + a3 y, y + a4 + a5 x + a6 y), the map being the one that was chosen."""
    a = 0.3 * torch.randn(3, 6, generator=generator)
    system = IteratedFunctionSystem(a, torch.tensor([0.2, 0.3, 0.5]))
    choices = system.draw(6, generator, length=1, burn_in=0)
    assert choices.maps.shape == (1, 6)
    expected = [
        (x + a[i, 0] + a[i, 1] * x + a[i, 2] * y, y + a[i, 3] + a[i, 4] * x + a[i, 5] * y)
        for i, (x, y) in zip(choices.maps[0].tolist(), choices.start.tolist(), strict=True)
    ]
    torch.testing.assert_close(system.points(choices), torch.tensor(expected), **FLOAT32)


def test_every_step_is_plotted(generator: torch.Generator) -> None:
    """After the burn-in each point is the image of the one before it in its orbit, under the map that was chosen."""
    system = fern().double()
    choices = system.draw(40, generator, length=8, burn_in=3)
    path = system.points(choices).reshape(8, 5, 2)
    matrix, offset = system.to_affine()
    maps = choices.maps[4:]  # from the second plotted step on
    torch.testing.assert_close(path[1:], (matrix[maps] @ path[:-1, :, :, None])[..., 0] + offset[maps], **FLOAT64)


def test_fixed_point(generator: torch.Generator) -> None:
    """One map alone leads to its fixed point (I - A)^-1 b."""
    matrix = torch.tensor([[[0.3, -0.2], [0.1, 0.4]]], dtype=torch.float64)
    offset = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    system = IteratedFunctionSystem.from_affine(matrix, offset, ONE.double())
    points = system.points(system.draw(7, generator, length=3, burn_in=60))
    fixed = torch.linalg.solve(torch.eye(2, dtype=torch.float64) - matrix[0], offset[0])
    torch.testing.assert_close(points, fixed.expand(7, 2), **FLOAT64)


def test_map_that_is_never_chosen(generator: torch.Generator) -> None:
    """Probability 0 excludes a map, and the shares of the others are what was asked for."""
    system = IteratedFunctionSystem(torch.zeros(3, 6), torch.tensor([0.25, 0.0, 0.75]))
    maps = system.draw(100_000, generator).maps
    share = torch.bincount(maps.flatten(), minlength=3) / maps.numel()
    torch.testing.assert_close(share, torch.tensor([0.25, 0.0, 0.75]), rtol=0, atol=0.01)  # 7 standard errors


def test_sierpinski_triangle(generator: torch.Generator) -> None:
    """All points lie in the triangle, none in the hole in its middle, a third in each corner's half-size copy."""
    system = sierpinski()
    x, y = system.points(system.draw(20_000, generator)).detach().unbind(-1)
    # barycentric coordinates of the three corners; 20 halvings leave 1e-6 of the start
    top = y / (math.sqrt(3) / 2)
    right = x - top / 2
    corners = torch.stack([1 - right - top, right, top])
    assert corners.min() > -1e-5
    near = corners > 0.5 - 1e-5
    assert bool(near.any(0).all())
    torch.testing.assert_close(near.float().mean(1), torch.full((3,), 1 / 3), rtol=0, atol=0.02)  # 6 standard errors


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (fern, (-2.1820, 0.0), (2.6558, 9.9983)),
        (sierpinski, (0.0, 0.0), (1.0, 0.8660)),
        (dragon, (-1 / 3, -1 / 3), (7 / 6, 2 / 3)),
    ],
)
def test_extent(
    make: Callable[[], IteratedFunctionSystem], low: tuple[float, float], high: tuple[float, float]
) -> None:
    """The attractors have the extents of the literature, the maps contract, the windows hold all points."""
    system = make()
    points = system.points(system.draw(100_000, stream())).detach()
    within = 0.01 * system.window.size  # the outermost points are rare
    torch.testing.assert_close(points.amin(0), torch.tensor(low), rtol=0, atol=within)
    torch.testing.assert_close(points.amax(0), torch.tensor(high), rtol=0, atol=within)
    assert system.contraction.max() < 1
    pixels = system.window.to_pixels(points, (100, 100))
    assert pixels.min() > 0
    assert pixels.max() < 100


@given(seed=st.integers(0, 10_000), n=st.integers(2, 6))
def test_random_systems(seed: int, n: int) -> None:
    """They contract, have probabilities, and lie in their window; equal generators give equal systems."""
    system = random(n, stream(seed))
    assert system.coefficients.shape == (n, 6)
    assert system.contraction.max() < 0.76
    pixels = system.window.to_pixels(system.points(system.draw(2_000, stream(seed + 1))).detach(), (64, 64))
    assert bool(((pixels > -3) & (pixels < 67)).all())  # other points than those that set the window
    assert torch.equal(system.coefficients, random(n, stream(seed)).coefficients)


def test_same_choices_same_points() -> None:
    """Points follow from the choices; the choices follow from the generator and not from the dtype."""
    system = fern()
    choices = system.draw(1_234, stream())
    assert system.points(choices).shape == (1_234, 2)
    assert torch.equal(system.points(choices), system.points(choices))
    assert torch.equal(choices.maps, fern().double().draw(1_234, stream()).maps)
    assert not torch.equal(choices.maps, system.draw(1_234, stream(1)).maps)
    torch.testing.assert_close(fern().double().points(choices).float(), system.points(choices), **FLOAT32)


def test_derivatives(generator: torch.Generator) -> None:
    """First and second derivatives in every coefficient."""
    system = fern().double()
    choices = system.draw(6, generator, length=3, burn_in=2)

    def points(coefficients: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(Points(system), {"system.coefficients": coefficients}, (choices,))

    start = system.coefficients.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(points, start)
    assert torch.autograd.gradgradcheck(points, start)


class Points(torch.nn.Module):
    """Calls `points`, so that the coefficients can be exchanged."""

    def __init__(self, system: IteratedFunctionSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, choices: Choices) -> torch.Tensor:
        """The points."""
        return self.system.points(choices)


@pytest.mark.parametrize("stretch", [1.5, 1e30, -3.0])
def test_orbits_that_run_away(generator: torch.Generator, stretch: float) -> None:
    """Maps that expand are an error that says so, not infinite points."""
    system = IteratedFunctionSystem.from_affine(stretch * torch.eye(2)[None], torch.ones(1, 2), ONE)
    with pytest.raises(DomainError, match="maps that contract"):
        system.points(system.draw(100, generator))


def test_books_form_round_trip(generator: torch.Generator) -> None:
    """A and b go in and come out; the singular value of a scaled rotation is its scale."""
    matrix = 0.4 * torch.tensor([[[0.6, -0.8], [0.8, 0.6]]])
    system = IteratedFunctionSystem.from_affine(matrix, torch.tensor([[2.0, 3.0]]), ONE)
    torch.testing.assert_close(system.to_affine(), (matrix, torch.tensor([[2.0, 3.0]])), **FLOAT32)
    torch.testing.assert_close(system.contraction, torch.tensor([0.4]), **FLOAT32)


def test_shrink() -> None:
    """Only singular values above the bound change, to the bound; offsets and other maps stay bit by bit."""
    matrix = torch.stack([torch.diag(torch.tensor(d)) for d in ([2.0, 0.5], [0.7, -0.9])])
    system = IteratedFunctionSystem.from_affine(matrix, torch.ones(2, 2), torch.full((2,), 0.5))
    before = system.coefficients.detach().clone()
    system.shrink(0.95)
    torch.testing.assert_close(system.to_affine()[0][0], torch.diag(torch.tensor([0.95, 0.5])), **FLOAT32)
    assert torch.equal(system.coefficients[1], before[1])
    assert torch.equal(system.coefficients[:, [0, 3]], before[:, [0, 3]])


def test_perturbed() -> None:
    """Each coefficient moves by at most the fraction of its size, the original not at all."""
    system = fern()
    before = system.coefficients.detach().clone()
    change = system.perturbed(0.2, stream()).coefficients.detach() - before
    assert bool((change.abs() <= 0.2 * before.abs() + 1e-7).all())
    assert (change.abs() / before.abs().clamp(min=1e-9)).max() > 0.15
    assert torch.equal(system.coefficients, before)


def built(p: list[float]) -> Callable[[], object]:
    """A constructor's call with these probabilities for two maps."""
    return lambda: IteratedFunctionSystem(torch.zeros(2, 6), torch.tensor(p))


F = fern()
C = F.draw(10, stream())


@pytest.mark.parametrize(
    ("call", "error", "argument"),
    [
        (built([0.5, 0.4]), DomainError, "probabilities"),
        (built([1.5, -0.5]), DomainError, "probabilities"),
        (built([1.0]), ShapeError, "probabilities"),
        (built([float("nan"), 1.0]), DomainError, "probabilities"),
        (lambda: IteratedFunctionSystem(torch.zeros(1, 5), ONE), ShapeError, "parameters"),
        (lambda: IteratedFunctionSystem(torch.zeros(0, 6), torch.zeros(0)), DomainError, "probabilities"),
        (lambda: IteratedFunctionSystem(torch.full((1, 6), torch.nan), ONE), DomainError, "parameters"),
        (
            lambda: IteratedFunctionSystem.from_affine(torch.zeros(1, 2, 3), torch.zeros(1, 2), ONE),
            ShapeError,
            "matrix",
        ),
        (
            lambda: IteratedFunctionSystem.from_affine(torch.zeros(1, 2, 2), torch.zeros(2, 2), ONE),
            ShapeError,
            "offset",
        ),
        (lambda: F.draw(0, stream()), DomainError, "points"),
        (lambda: F.draw(1.5, stream()), DomainError, "points"),  # type: ignore[arg-type]
        (lambda: F.draw(1, stream(), length=0), DomainError, "length"),
        (lambda: F.draw(1, stream(), burn_in=-1), DomainError, "burn_in"),
        (lambda: F.points(replace(C, maps=C.maps + 4)), DomainError, "choices.maps"),
        (lambda: F.points(replace(C, maps=C.maps.int())), DTypeError, "choices.maps"),
        (lambda: F.points(replace(C, start=C.start.repeat(2, 1))), ShapeError, "choices.start"),
        (lambda: F.perturbed(-0.1, stream()), DomainError, "fraction"),
        (lambda: F.shrink(0.0), DomainError, "stretch"),
        (lambda: random(1, stream()), DomainError, "n"),
    ],
)
def test_errors(call: Callable[[], object], error: type[LabError], argument: str) -> None:
    """Each bad argument is named."""
    with pytest.raises(error) as caught:
        call()
    assert caught.value.argument == argument
