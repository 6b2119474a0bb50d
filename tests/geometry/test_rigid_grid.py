"""Rigid resampling of grids: exact quarter turns, the centre in place, nothing cut off, derivatives in both."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.geometry.rigid_grid import embed
from labkit.scene import Camera

TOLERANCE = {torch.float32: FLOAT32, torch.float64: FLOAT64}
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def turn(axis: int, degrees: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """(1, 3, 3): about x, y or z, counter-clockwise seen from its tip."""
    angle = torch.tensor(math.radians(degrees), dtype=dtype)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.eye(3, dtype=dtype)
    matrix[i, i] = matrix[j, j] = angle.cos()
    matrix[j, i], matrix[i, j] = angle.sin(), -angle.sin()
    return matrix[None]


def any_turn(generator: torch.Generator, count: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=dtype))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return q * torch.linalg.det(q).sign()[:, None, None]


def slow(grid: Tensor, rotation: Tensor, size: int) -> Tensor:
    """The definition, voxel by voxel: each source voxel within 1 of the place counts with its trilinear weight."""
    batch, channels, n = grid.shape[:3]
    result = grid.new_zeros(batch, channels, size, size, size)
    index = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=grid.dtype)] * 3, indexing="ij"), -1)
    for b in range(batch):
        for place in torch.cartesian_prod(*[torch.arange(size)] * 3):
            source = rotation[b].T @ (place.to(grid.dtype) - (size - 1) / 2) + (n - 1) / 2
            weight = (1 - (index - source).abs()).clamp(min=0).prod(-1)  # (N, N, N)
            result[b, :, place[0], place[1], place[2]] = (grid[b] * weight).sum((1, 2, 3))
    return result


@both_types
@pytest.mark.parametrize(("n", "size"), [(4, 7), (5, 5), (3, 6), (1, 3), (6, 4)])
def test_it_is_the_definition(dtype: torch.dtype, n: int, size: int, generator: torch.Generator) -> None:
    grid = torch.randn(2, 2, n, n, n, generator=generator, dtype=dtype)
    rotation = any_turn(generator, 2, dtype)
    torch.testing.assert_close(embed(grid, rotation, size), slow(grid, rotation, size), **TOLERANCE[dtype])


@both_types
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("n", [15, 12, 64])
def test_four_quarter_turns_are_exactly_the_identity(
    dtype: torch.dtype, axis: int, n: int, generator: torch.Generator
) -> None:
    grid = torch.rand(1, 1, n, n, n, generator=generator, dtype=dtype)
    turned = grid
    for quarter in range(1, 5):
        turned = embed(turned, turn(axis, 90, dtype), n)
        plane = [2 + (axis + 1) % 3, 2 + (axis + 2) % 3]
        assert torch.equal(turned, torch.rot90(grid, quarter, plane))
    assert torch.equal(turned, grid)


@both_types
def test_cameras_a_quarter_turn_apart_see_exactly_turned_grids(dtype: torch.dtype, generator: torch.Generator) -> None:
    grid = torch.rand(1, 1, 32, 32, 32, generator=generator, dtype=dtype)
    for azimuth in (0.0, 90.0, 180.0, 270.0, 360.0, -90.0):
        camera = Camera.orbit(torch.tensor([azimuth], dtype=dtype), 0.0, 2.0)
        around = embed(grid, camera.rotation, 64)
        expected = torch.rot90(grid, round(azimuth / 90), [2, 4])  # the eye moves from z to x: the grid from x to z
        assert torch.equal(around[..., 16:48, 16:48, 16:48], expected)
        around[..., 16:48, 16:48, 16:48] = 0
        assert not around.any()  # nothing beside it


def test_the_result_lies_in_the_frame_of_the_camera() -> None:
    grid = torch.zeros(1, 1, 9, 9, 9, dtype=torch.float64)
    grid[0, 0, 7, 5, 3] = 1.0  # at (3, 1, -1) from the centre
    camera = Camera.orbit(torch.tensor([37.0], dtype=torch.float64), 25.0, 2.0, projection="orthographic")
    seen = embed(grid, camera.rotation, 17)
    axes = torch.stack(torch.meshgrid(*[torch.arange(17.0, dtype=torch.float64) - 8] * 3, indexing="ij"), -1)
    middle = (seen[0, 0, ..., None] * axes).sum((0, 1, 2)) / seen.sum()
    place = camera.to_camera(torch.tensor([3.0, 1.0, -1.0], dtype=torch.float64))[0] + torch.tensor([0.0, 0.0, 2.0])
    assert middle.tolist() == pytest.approx(place.tolist(), abs=0.3)  # a voxel spreads over eight


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_corners_are_never_cut(seed: int) -> None:
    n, size = 8, 16
    rotation = any_turn(torch.Generator().manual_seed(seed))
    seen = embed(torch.ones(1, 1, n, n, n, dtype=torch.float64), rotation, size)[0, 0]
    border = torch.ones_like(seen, dtype=torch.bool)
    border[1:-1, 1:-1, 1:-1] = False
    assert not seen[border].any()
    assert seen.sum() == pytest.approx(n**3, rel=0.05)  # trilinear weights add up to about 1
    assert seen[7:9, 7:9, 7:9].min() > 1 - 1e-12
    assert 0 <= seen.min() <= seen.max() < 1 + 1e-12


def test_a_corner_keeps_its_mass_in_every_direction(generator: torch.Generator) -> None:
    grid = torch.zeros(1, 1, 64, 64, 64)
    grid[:, :, 0, 0, 0] = 1.0
    rotation = any_turn(generator, 3, torch.float32)
    seen = torch.cat([embed(grid, matrix[None], 128) for matrix in rotation])
    offset = torch.arange(128.0) - 63.5
    for picture, matrix in zip(seen[:, 0], rotation, strict=True):
        middle = [(picture * offset.view(view)).sum() / picture.sum() for view in ((-1, 1, 1), (-1, 1), (-1,))]
        expected = matrix @ torch.full((3,), -31.5)
        assert torch.stack(middle).tolist() == pytest.approx(expected.tolist(), abs=0.5)
        assert 0.3 < picture.sum() < 3  # seen once, spread over its neighbours


def test_a_batch_is_a_loop_and_one_rotation_serves_all(generator: torch.Generator) -> None:
    grid = torch.rand(3, 2, 6, 6, 6, generator=generator)
    rotation = any_turn(generator, 3, torch.float32)
    each = [embed(grid[i : i + 1], rotation[i : i + 1], 12) for i in range(3)]
    torch.testing.assert_close(embed(grid, rotation, 12), torch.cat(each), rtol=0, atol=0)
    same = [embed(grid[i : i + 1], rotation[:1], 12) for i in range(3)]
    torch.testing.assert_close(embed(grid, rotation[:1], 12), torch.cat(same), rtol=0, atol=0)


def test_derivatives(generator: torch.Generator) -> None:
    grid = torch.randn(2, 1, 4, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    rotation = any_turn(generator, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda g, r: embed(g, r, 7), (grid, rotation))
    azimuth = torch.tensor([20.0, 130.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: embed(grid.detach(), Camera.orbit(a, 30.0, 2.0).rotation, 7), (azimuth,))


def test_whole_coordinates_keep_the_derivative() -> None:
    slope = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    line = torch.arange(9.0, dtype=torch.float64) - 4
    axes = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    grid = (axes * slope).sum(-1)[None, None]  # linear: its interpolation has no kinks
    for rotation in (torch.eye(3, dtype=torch.float64)[None], turn(1, 90), turn(0, 180), turn(2, 30)):
        place = torch.tensor([2.0, -1.0, 1.0], dtype=torch.float64)
        matrix = rotation.clone().requires_grad_()
        value = embed(grid, matrix, 9)[0, 0, 6, 3, 5]
        assert value.item() == pytest.approx(float(place @ rotation[0] @ slope), rel=FLOAT64["rtol"])
        value.backward()
        torch.testing.assert_close(matrix.grad, torch.outer(place, slope)[None], **FLOAT64)


def test_float_types_and_other_types_of_rotation(generator: torch.Generator) -> None:
    grid = torch.rand(1, 1, 4, 4, 4, generator=generator)
    assert embed(grid, any_turn(generator), 8).dtype == torch.float32
    assert embed(grid.double(), any_turn(generator, dtype=torch.float32), 8).dtype == torch.float64


def test_errors() -> None:
    grid, rotation = torch.rand(2, 1, 4, 4, 4), torch.eye(3).expand(2, 3, 3)
    for wrong in (torch.rand(2, 4, 4, 4), torch.rand(2, 1, 4, 4, 5)):
        with pytest.raises(ShapeError):
            embed(wrong, rotation, 8)
    for wrong in (torch.eye(3), torch.eye(3).expand(3, 3, 3)):
        with pytest.raises(ShapeError):
            embed(grid, wrong, 8)
    with pytest.raises(DTypeError):
        embed(grid > 0.5, rotation, 8)
    with pytest.raises(DTypeError):
        embed(grid, rotation, 8.0)  # type: ignore[arg-type]
    for size in (0, 513):
        with pytest.raises(DomainError):
            embed(grid, rotation, size)
    with pytest.raises(DomainError):
        embed(grid[..., :0, :0, :0], rotation, 8)
    with pytest.raises(DomainError):
        embed(grid, rotation * math.nan, 8)
    with pytest.raises(DeviceError):
        embed(grid[:0], rotation[:0].to("meta"), 8)
