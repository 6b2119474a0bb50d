"""Fog without surfaces: closed forms, a loop over rays, monotony, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.render.volume_grid import absorption_only, emission_absorption, visual_hull
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64
STYLES: list[Callable[..., Tensor]] = [visual_hull, absorption_only, emission_absorption]


def random_grid(generator: torch.Generator, size: int = 5, batch: int = 2) -> Tensor:
    """Occupancies anywhere in (0, 1), few enough that no ray is dark."""
    return 0.05 + 0.2 * torch.rand(batch, 1, size, size, size, generator=generator, dtype=D)


def test_uniform_slab() -> None:
    """n voxels of occupancy v on every ray: the three formulas written out."""
    size, v, n = 32, 0.3, 7
    grid = torch.zeros(1, 1, size, size, size, dtype=D)
    grid[..., 11 : 11 + n] = v
    known = {
        visual_hull: math.exp(-n * v),
        absorption_only: (1 - v * 20 / size) ** n,
        emission_absorption: (1 - v * 100 / 1024) ** (1024 / size * n),
    }
    for style in (visual_hull, absorption_only):
        picture = style(grid)
        assert picture.shape == (1, 1, size, size)
        torch.testing.assert_close(picture, torch.full_like(picture, known[style]), **FLOAT64)
        inverse = style(grid, background=0.0, color=1.0)  # the papers' white on black
        torch.testing.assert_close(inverse, torch.full_like(picture, 1 - known[style]), **FLOAT64)
    through = known[emission_absorption]
    picture = emission_absorption(grid, 0.2, background=0.9)
    torch.testing.assert_close(picture, torch.full_like(picture, 0.2 * (1 - through) + 0.9 * through), **FLOAT64)


@pytest.mark.parametrize("style", STYLES)
def test_single_voxel_lands_where_it_should(style: Callable[..., Tensor]) -> None:
    """x to the right, y up with row 0 on top, and z does not matter for one voxel."""
    size, x, y = 6, 4, 1
    for z in (0, 5):
        grid = torch.zeros(1, 1, size, size, size, dtype=D)
        grid[0, 0, x, y, z] = 0.3
        picture = style(grid)[0, 0]
        expected = torch.zeros(size, size, dtype=torch.bool)
        expected[size - 1 - y, x] = True
        assert torch.equal(picture < 1 - 1e-6, expected)
        torch.testing.assert_close(picture[~expected], torch.ones(35, dtype=D), **FLOAT64)


def test_one_full_voxel_by_hand() -> None:
    """The share of light that one voxel lets through, for other constants than the usual ones."""
    grid = torch.zeros(1, 1, 4, 4, 4, dtype=D)
    grid[0, 0, 0, 3, 2] = 1  # top left
    assert float(visual_hull(grid, tau=0.5)[0, 0, 0, 0]) == pytest.approx(math.exp(-0.5))
    assert float(absorption_only(grid, density=3.0)[0, 0, 0, 0]) == pytest.approx(0.25)
    assert float(absorption_only(grid, density=8.0, floor=1e-3)[0, 0, 0, 0]) == pytest.approx(1e-3)
    fog = emission_absorption(grid, 0.0, density=4.0, samples=8)  # 2 samples in the voxel, each lets half through
    assert float(fog[0, 0, 0, 0]) == pytest.approx(0.25)
    assert float(emission_absorption(grid, 0.0, floor=0.5, samples=4)[0, 0, 0, 0]) == pytest.approx(0.5)


def test_front_hides_back() -> None:
    """Of two bright and dark layers the nearer one, at larger z, is seen; the silhouette cannot tell."""
    grid, light = torch.zeros(2, 1, 8, 8, 8, dtype=D), torch.zeros(2, 1, 8, 8, 8, dtype=D)
    grid[..., 2] = grid[..., 6] = 1
    light[0, ..., 6], light[1, ..., 2] = 1, 1
    front, back = emission_absorption(grid, light, background=0.0).flatten(1).mean(1).tolist()
    through = (1 - 100 / 1024) ** 128
    assert front == pytest.approx(1 - through)
    assert back == pytest.approx(through * (1 - through))
    for style in (visual_hull, absorption_only):
        torch.testing.assert_close(style(grid), style(grid.flip(4)), **FLOAT64)


def test_against_a_loop_over_rays(generator: torch.Generator) -> None:
    """Voxel by voxel from front to back, as the definitions say."""
    grid, light = random_grid(generator, 5), torch.rand(2, 1, 5, 5, 5, generator=generator, dtype=D)
    pictures = {style: torch.empty(2, 1, 5, 5, dtype=D) for style in STYLES}
    for b in range(2):
        for x in range(5):
            for y in range(5):
                mass, passed, fog, seen = 0.0, 1.0, 1.0, 0.0
                for z in reversed(range(5)):
                    v = float(grid[b, 0, x, y, z])
                    mass += v
                    passed *= 1 - v * 4 / 5
                    opaque = 1 - (1 - v * 100 / 1024) ** (1024 / 5)
                    seen += fog * opaque * float(light[b, 0, x, y, z])
                    fog *= 1 - opaque
                at = (b, 0, 4 - y, x)
                pictures[visual_hull][at] = 0.9 + (1 - math.exp(-1.5 * mass)) * (0.2 - 0.9)
                pictures[absorption_only][at] = 0.9 * passed + 0.2 * (1 - passed)
                pictures[emission_absorption][at] = seen + fog * 0.9
    over: dict[str, Any] = {"background": 0.9, "color": 0.2}
    torch.testing.assert_close(visual_hull(grid, tau=1.5, **over), pictures[visual_hull], **FLOAT64)
    torch.testing.assert_close(absorption_only(grid, density=4.0, **over), pictures[absorption_only], **FLOAT64)
    fog_picture = emission_absorption(grid, light, background=0.9)
    torch.testing.assert_close(fog_picture, pictures[emission_absorption], **FLOAT64)
    torch.testing.assert_close(
        emission_absorption(grid.float(), light.float(), background=0.9), fog_picture.float(), **FLOAT32
    )


@given(seed=st.integers(0, 1000), style=st.sampled_from(STYLES))
def test_more_fog_is_darker(seed: int, style: Callable[..., Tensor]) -> None:
    """Monotone in every occupancy, between the two brightnesses, and a batch is its elements."""
    generator = torch.Generator().manual_seed(seed)
    thin = torch.rand(2, 1, 4, 4, 4, generator=generator, dtype=D)
    thick = thin + (1 - thin) * torch.rand(2, 1, 4, 4, 4, generator=generator, dtype=D)
    light, dark = style(thin), style(thick)
    assert bool((dark <= light + 1e-12).all())
    assert float(dark.min()) >= 0
    assert float(light.max()) <= 1
    torch.testing.assert_close(light, torch.cat([style(grid[None]) for grid in thin]), **FLOAT64)


@pytest.mark.parametrize("style", STYLES)
def test_gradients(style: Callable[..., Tensor], generator: torch.Generator) -> None:
    """By finite differences, twice, away from the floor."""
    grid = random_grid(generator, 3, 1).requires_grad_()
    few = {"density": 2.0} if style is absorption_only else {}
    assert torch.autograd.gradcheck(lambda g: style(g, **few), [grid])
    assert torch.autograd.gradgradcheck(lambda g: style(g, **few), [grid])
    if style is emission_absorption:
        light = torch.rand(1, 1, 3, 3, 3, generator=generator, dtype=D).requires_grad_()
        assert torch.autograd.gradcheck(emission_absorption, [grid, light])


@pytest.mark.parametrize("style", STYLES)
def test_full_and_empty(style: Callable[..., Tensor]) -> None:
    """A full cube in float32 is finite, with finite gradients; an empty one is the background; a batch may be empty."""
    grid = torch.ones(1, 1, 64, 64, 64).requires_grad_()
    picture = style(grid)
    picture.sum().backward()
    assert bool(picture.isfinite().all())
    assert grid.grad is not None
    assert bool(grid.grad.isfinite().all())
    torch.testing.assert_close(style(torch.zeros(1, 1, 8, 8, 8), background=0.7), torch.full((1, 1, 8, 8), 0.7))
    assert style(torch.zeros(0, 1, 8, 8, 8)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("near", "exact"), [(-5e-5, 0.0), (1 + 5e-5, 1.0)])
def test_rounding_of_a_resampled_grid(style: Callable[..., Tensor], near: float, exact: float) -> None:
    """What is a little beyond 0 or 1 is taken for it, so that no picture is brighter than its background."""
    grid = torch.full((1, 1, 16, 16, 16), near, dtype=D)
    assert torch.equal(style(grid), style(torch.full_like(grid, exact)))


GRID = torch.zeros(1, 1, 4, 4, 4)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("grid", "fields", "error"),
    [
        (torch.zeros(1, 4, 4, 4), {}, ShapeError),
        (torch.zeros(1, 2, 4, 4, 4), {}, ShapeError),
        (torch.zeros(1, 1, 4, 4, 5), {}, ShapeError),
        (torch.zeros(1, 1, 0, 0, 0), {}, ShapeError),
        (GRID.long(), {}, DTypeError),
        (GRID + torch.nan, {}, DomainError),
        (GRID + 1.1, {}, DomainError),
        (GRID - 0.1, {}, DomainError),
        (GRID, {"background": 1.5}, DomainError),
        (GRID, {"background": math.nan}, DomainError),
    ],
)
def test_errors(style: Callable[..., Tensor], grid: Tensor, fields: dict[str, Any], error: type[LabError]) -> None:
    """Nothing that is no volume is rendered."""
    with pytest.raises(error):
        style(grid, **fields)


@pytest.mark.parametrize(
    ("style", "fields"),
    [
        (visual_hull, {"tau": 0.0}),
        (visual_hull, {"color": -0.1}),
        (absorption_only, {"density": -1.0}),
        (absorption_only, {"floor": 0.0}),
        (absorption_only, {"color": 2.0}),
        (emission_absorption, {"density": 0.0}),
        (emission_absorption, {"samples": 0}),
        (emission_absorption, {"floor": 1.0}),
        (emission_absorption, {"emission": 1.1}),
        (emission_absorption, {"emission": None}),
        (emission_absorption, {"emission": torch.zeros(1, 1, 4, 4, 3)}),
        (emission_absorption, {"emission": GRID + 2}),
    ],
)
def test_constants_out_of_range(style: Callable[..., Tensor], fields: dict[str, Any]) -> None:
    """Each constant has its range."""
    with pytest.raises(LabError):
        style(GRID, **fields)
