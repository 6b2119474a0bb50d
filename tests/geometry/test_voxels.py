"""Voxel grids, solid voxelisation and marching cubes, against spheres, boxes and an independent parity count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry.io import load_mesh
from labkit.geometry.marching import marching_cubes
from labkit.geometry.mesh import Mesh
from labkit.geometry.shapes import icosphere
from labkit.geometry.voxels import VoxelGrid, mesh_to_voxels


def cube(dtype: torch.dtype = torch.float32) -> Mesh:
    """The unit cube between (0, 0, 0) and (1, 1, 1): 8 vertices, 12 faces."""
    vertices = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=dtype)] * 3)  # index 4 x + 2 y + z
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    return Mesh(vertices, torch.tensor(faces))


def volume(mesh: Mesh) -> float:
    """Signed volume: positive if the faces are counter-clockwise seen from outside."""
    return float(torch.linalg.det(mesh.face_vertices().double()).sum() / 6)


def border(mesh: Mesh) -> int:
    """Number of directed edges without as many opposite ones."""
    balance: Counter[tuple[int, int]] = Counter()
    for a, b, c in mesh.faces.tolist():
        for start, end in ((a, b), (b, c), (c, a)):
            balance[start, end] += 1
            balance[end, start] -= 1
    return sum(count > 0 for count in balance.values())


def ball(size: int, radius: float) -> tuple[torch.Tensor, float]:
    """Signed distance, positive inside, of a ball around (0, 0, 0) on [-1, 1]^3, and the pitch of the grid."""
    pitch = 2 / size
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) * pitch - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return radius - (x**2 + y**2 + z**2).sqrt(), pitch


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_centers_and_volume_by_hand() -> None:
    grid = VoxelGrid(torch.tensor([[[True, False]], [[False, True]]]), origin=(1.0, 2.0, 3.0), pitch=0.5)
    centers = grid.centers()
    assert centers.shape == (2, 1, 2, 3)
    assert centers[1, 0, 1].tolist() == [1.75, 2.25, 3.75]
    assert grid.volume().item() == 2 * 0.125


def test_volume_of_soft_occupancies_is_differentiable() -> None:
    values = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    VoxelGrid(values, pitch=0.5).volume().backward()
    assert torch.equal(values.grad, torch.full_like(values, 0.125))


def test_grid_refuses_what_is_no_grid() -> None:
    for values, error in [
        (torch.zeros(2, 2, dtype=torch.bool), ShapeError),
        (torch.zeros(2, 2), ShapeError),
        (torch.zeros(2, 2, 2, dtype=torch.int64), DTypeError),
        (torch.full((2, 2, 2), math.nan), DomainError),
    ]:
        with pytest.raises(error, match="values"):
            VoxelGrid(values)
    good = torch.zeros(2, 2, 2, dtype=torch.bool)
    with pytest.raises(DomainError, match="pitch"):
        VoxelGrid(good, pitch=0.0)
    with pytest.raises(DomainError, match="origin"):
        VoxelGrid(good, origin=(0.0, math.inf, 0.0))
    with pytest.raises(ShapeError, match="origin"):
        VoxelGrid(good, origin=(0.0, 0.0))


def test_box_is_voxelised_exactly() -> None:
    grid = mesh_to_voxels(cube(), 8)
    assert grid.values.all()
    assert grid.origin == (0.0, 0.0, 0.0)
    assert grid.pitch == 0.125
    wide = mesh_to_voxels(cube(), 4, origin=(-0.5, -0.5, -0.5), pitch=0.5)
    expected = torch.zeros(4, 4, 4, dtype=torch.bool)
    expected[1:3, 1:3, 1:3] = True
    assert torch.equal(wide.values, expected)


def test_axes_are_not_mixed_up() -> None:
    box = cube().replace(vertices=cube().vertices * torch.tensor([4.0, 2.0, 1.0]))
    grid = mesh_to_voxels(box, 8)
    assert grid.pitch == 0.5
    assert grid.origin == (0.0, -1.0, -1.5)
    assert grid.values.any(2).any(1).sum() == 8
    assert grid.values.any(2).any(0).sum() == 4
    assert grid.values.any(1).any(0).sum() == 2
    assert grid.values.sum() == 8 * 4 * 2


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_sphere_volume(resolution: int) -> None:
    sphere = icosphere(4)
    # Of the 3 R^2 / 4 * pi voxels the surface cuts, each errs by at most one half; they err both ways.
    tolerance = {16: 0.02, 32: 0.01, 64: 0.005}[resolution]
    assert mesh_to_voxels(sphere, resolution).volume().item() == pytest.approx(volume(sphere), rel=tolerance)


def test_voxels_agree_with_the_distance_to_the_centre() -> None:
    """The surface of an icosphere lies between its inscribed and its circumscribed ball."""
    sphere = icosphere(3)
    inner = float(sphere.face_vertices().mean(1).norm(dim=1).min())
    grid = mesh_to_voxels(sphere, 40)
    radius = grid.centers().norm(dim=-1)
    assert grid.values[radius < inner].all()
    assert not grid.values[radius > 1].any()


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), degrees=st.floats(0, 360), resolution=st.integers(1, 20))
def test_rotated_boxes_against_their_half_spaces(seed: int, degrees: float, resolution: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    axis = torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
    skew = torch.linalg.cross(torch.eye(3, dtype=torch.float64), axis.expand(3, 3))
    rotation = torch.matrix_exp(math.radians(degrees) * skew)
    box = cube(torch.float64)
    grid = mesh_to_voxels(box.replace(vertices=(box.vertices - 0.5) @ rotation.T), resolution)
    local = (grid.centers().double() @ rotation).abs().amax(-1)  # the box is where this is at most 0.5
    clear = (local - 0.5).abs() > 1e-5  # the centres are float32
    assert torch.equal(grid.values[clear], (local < 0.5)[clear])


def test_triangle_soup_and_inside_out_meshes_give_the_same_voxels() -> None:
    sphere = icosphere(2)
    expected = mesh_to_voxels(sphere, 24).values
    soup = Mesh(sphere.face_vertices().flatten(0, 1), torch.arange(3 * len(sphere.faces)).view(-1, 3))
    assert torch.equal(mesh_to_voxels(soup, 24).values, expected)
    assert torch.equal(mesh_to_voxels(sphere.replace(faces=sphere.faces.flip(1)), 24).values, expected)


def test_overlapping_parts_are_united() -> None:
    left, right = cube(), cube()
    both = Mesh(
        torch.cat([left.vertices, right.vertices + torch.tensor([0.5, 0.0, 0.0])]),
        torch.cat([left.faces, right.faces + 8]),
    )
    grid = mesh_to_voxels(both, 12)
    assert grid.volume().item() == pytest.approx(1.5, abs=1e-6)


def test_small_holes_are_healed() -> None:
    sphere = icosphere(3)
    closed = mesh_to_voxels(sphere, 32)
    holed = mesh_to_voxels(sphere.replace(faces=sphere.faces[6:]), 32, origin=closed.origin, pitch=closed.pitch)
    assert iou(closed.values, holed.values) > 0.995


def test_there_and_back_again() -> None:
    grid = mesh_to_voxels(icosphere(3), 32)
    again = mesh_to_voxels(grid.to_mesh(), 32, origin=grid.origin, pitch=grid.pitch)
    assert torch.equal(again.values, grid.values)


@pytest.mark.parametrize("name", ["stanford-bunny.obj", "spot_triangulated.obj", "teapot.obj", "suzanne.obj"])
def test_real_meshes(name: str, shared_mesh: Callable[[str], Path]) -> None:
    mesh = load_mesh(shared_mesh(name))
    grid = mesh_to_voxels(mesh, 48)
    surface = grid.to_mesh().validate()
    assert border(surface) == 0
    again = mesh_to_voxels(surface, 48, origin=grid.origin, pitch=grid.pitch)
    assert torch.equal(again.values, grid.values)
    # Suzanne's eyes are open shells within a closed head, which its signed volume counts by halves.
    if name != "suzanne.obj":
        assert grid.volume().item() == pytest.approx(volume(mesh), rel=0.03)


def test_voxelisation_answers_degenerate_meshes() -> None:
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert not mesh_to_voxels(nothing, 4, origin=(0.0, 0.0, 0.0), pitch=1.0).values.any()
    with pytest.raises(DomainError, match="no faces"):
        mesh_to_voxels(nothing, 4)
    sliver = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), torch.tensor([[0, 1, 2]]))
    assert not mesh_to_voxels(sliver, 4).values.any()
    sheet = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]]))
    assert not mesh_to_voxels(sheet, 4).values.any()


def test_voxelisation_refuses_bad_arguments() -> None:
    for resolution in (0, -1, 513):
        with pytest.raises(DomainError, match="resolution"):
            mesh_to_voxels(cube(), resolution)
    with pytest.raises(DTypeError, match="resolution"):
        mesh_to_voxels(cube(), 3.0)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="both or none"):
        mesh_to_voxels(cube(), 4, pitch=1.0)
    with pytest.raises(DomainError, match="pitch"):
        mesh_to_voxels(cube(), 4, origin=(0.0, 0.0, 0.0), pitch=-1.0)
    with pytest.raises(ShapeError, match="batch"):
        mesh_to_voxels(cube().replace(vertices=cube().vertices.expand(2, -1, -1)), 4)
    with pytest.raises(DomainError, match="vertices"):
        mesh_to_voxels(cube().replace(vertices=cube().vertices * math.nan), 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_marching_cubes_of_a_ball(dtype: torch.dtype) -> None:
    values, pitch = ball(40, 0.8)
    mesh = marching_cubes(values.to(dtype), 0.0, origin=(-1.0, -1.0, -1.0), pitch=pitch).validate()
    assert mesh.vertices.dtype == torch.float32
    assert mesh.faces.dtype == torch.int64
    assert border(mesh) == 0
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi * 0.8**3, rel=0.01)
    assert mesh.vertices.mean(0).abs().max() < 1e-4
    assert (mesh.vertices.norm(dim=1) - 0.8).abs().max() < 0.002
    outward = (mesh.face_normals() * mesh.face_vertices().mean(1)).sum(-1)
    assert outward.min() > 0


def test_marching_cubes_places_axes_and_origin() -> None:
    values = torch.zeros(5, 7, 9)
    values[2, 1, 6] = 1.0
    mesh = marching_cubes(values, origin=(10.0, 20.0, 30.0), pitch=2.0)
    assert mesh.vertices.shape == (6, 3)  # an octahedron half way to the neighbours
    assert mesh.vertices.mean(0).tolist() == pytest.approx([15.0, 23.0, 43.0])
    assert volume(mesh) == pytest.approx(8 / 6, rel=1e-4)


@pytest.mark.parametrize("values", [torch.zeros(3, 3, 3), torch.full((3, 3, 3), 0.5), torch.zeros(0, 3, 3)])
def test_nothing_above_the_level_is_an_empty_mesh(values: torch.Tensor) -> None:
    mesh = marching_cubes(values).validate()
    assert mesh.vertices.shape == (0, 3)
    assert mesh.faces.shape == (0, 3)


def test_full_grids() -> None:
    full = torch.ones(3, 4, 5)
    assert len(marching_cubes(full, closed=False).faces) == 0
    mesh = marching_cubes(full)
    assert border(mesh) == 0
    assert mesh.vertices.amin(0).tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert mesh.vertices.amax(0).tolist() == pytest.approx([3.0, 4.0, 5.0], abs=1e-6)
    assert volume(marching_cubes(torch.ones(1, 1, 1))) == pytest.approx(1 / 6, rel=1e-5)


def test_open_surfaces_stay_open() -> None:
    values = torch.zeros(4, 4, 4)
    values[:, :, :2] = 1.0
    sheet = marching_cubes(values, closed=False)
    assert torch.allclose(sheet.vertices[:, 2], torch.tensor(2.0))
    assert (sheet.face_normals()[:, 2] > 0.99).all()
    assert border(sheet) > 0
    assert border(marching_cubes(values)) == 0


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), binary=st.booleans(), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_surfaces_of_random_grids_are_closed_and_outward(seed: int, binary: bool, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(0, 2, (4, 5, 3), generator=generator) * 2 if binary else None
    values = (torch.randint(0, 5, (4, 5, 3), generator=generator) if whole is None else whole).double()
    mesh = marching_cubes(values * scale, level=scale).validate()  # ties with the level included
    assert border(mesh) == 0
    assert volume(mesh) > 0 or not (values > 1).any()
    assert (len(mesh.faces) > 0) == bool((values > 1).any())


def test_marching_cubes_refuses_bad_arguments() -> None:
    for value in (math.nan, math.inf):
        grid = torch.zeros(3, 3, 3)
        grid[1, 2, 0] = value
        with pytest.raises(DomainError, match=r"values.*\(1, 2, 0\)"):
            marching_cubes(grid)
        with pytest.raises(DomainError, match="level"):
            marching_cubes(torch.zeros(3, 3, 3), value)
    with pytest.raises(ShapeError, match="closed=True"):
        marching_cubes(torch.zeros(3, 1, 3), closed=False)
    with pytest.raises(ShapeError, match="values"):
        marching_cubes(torch.zeros(3, 3))
    with pytest.raises(DTypeError, match="values"):
        marching_cubes(torch.zeros(3, 3, 3, dtype=torch.bool))
    with pytest.raises(DomainError, match="pitch"):
        marching_cubes(torch.zeros(3, 3, 3), pitch=0.0)
    with pytest.raises(DomainError, match="float64"):
        marching_cubes(torch.full((3, 3, 3), 1.7e308, dtype=torch.float64), level=-1.7e308)
