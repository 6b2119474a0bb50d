"""Cubes: outer walls only, closed, of the exact volume and area, alike marching cubes up to its bevels."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry import Mesh, VoxelGrid, cubes_mesh, mesh_to_voxels
from labkit.geometry.cell_walls import cell_walls


def random_solid(seed: int, sizes: tuple[int, int, int], share: float) -> torch.Tensor:
    return torch.rand(sizes, generator=torch.Generator().manual_seed(seed)) < share


def slow_faces(solid: torch.Tensor) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Outer faces by looking at each voxel: (twice its centre, outward normal)."""
    cells = {tuple(cell) for cell in solid.nonzero().tolist()}
    faces = set()
    for cell, axis, sign in itertools.product(cells, range(3), (-1, 1)):
        normal = tuple(sign * (i == axis) for i in range(3))
        if tuple(c + n for c, n in zip(cell, normal, strict=True)) not in cells:
            faces.add((tuple(2 * c + 1 + n for c, n in zip(cell, normal, strict=True)), normal))
    return faces


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), sizes=st.tuples(*[st.integers(1, 6)] * 3), share=st.sampled_from([0.1, 0.5, 0.9, 1]))
def test_the_faces_are_those_of_a_slow_search(seed: int, sizes: tuple[int, int, int], share: float) -> None:
    solid = random_solid(seed, sizes, share)
    mesh = cubes_mesh(VoxelGrid(solid, (-1.0, 2.0, 0.5), 0.5)).validate()
    corners = (mesh.face_vertices().double() - torch.tensor([-1.0, 2.0, 0.5])) / 0.5  # (F, 3, 3) whole numbers
    assert torch.equal(corners, corners.round())
    found = []
    for pair in corners.view(-1, 2, 3, 3):  # the two triangles of a face, one after the other
        normals = torch.linalg.cross(pair[:, 1] - pair[:, 0], pair[:, 2] - pair[:, 0])  # of length 1
        assert torch.equal(normals[0], normals[1])
        square = pair.flatten(0, 1).unique(dim=0)
        assert len(square) == 4
        middle = tuple((square.sum(0) / 2).int().tolist())
        found.append((middle, tuple(normals[0].int().tolist())))
    assert len(set(found)) == len(found)
    assert set(found) == slow_faces(solid)
    assert len(mesh.vertices) == len(mesh.weld().vertices)  # every corner once
    if len(mesh.faces):
        assert mesh.faces.unique().tolist() == list(range(len(mesh.vertices)))  # and every one is used
        a, b, c = mesh.face_vertices().double().unbind(-2)
        volume = (a * torch.linalg.cross(b, c)).sum() / 6  # that of signed cones from the origin
        assert volume == pytest.approx(int(solid.sum()) * 0.5**3, rel=1e-6)


def test_a_block_has_no_inner_walls() -> None:
    mesh = cubes_mesh(VoxelGrid(torch.ones(4, 3, 2, dtype=torch.bool)))
    assert len(mesh.faces) == 2 * 2 * (12 + 8 + 6)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(24)
    assert solid.bounds.tolist() == [[0, 0, 0], [4, 3, 2]]
    assert solid.body_count == 1


def test_diagonal_voxels_share_an_edge_of_four_faces() -> None:
    solid = torch.zeros(2, 2, 1, dtype=torch.bool)
    solid[0, 0, 0] = solid[1, 1, 0] = True
    mesh = cubes_mesh(VoxelGrid(solid))
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    _, count = edges.sort(dim=-1).values.unique(dim=0, return_counts=True)
    assert count.unique().tolist() == [2, 4]
    assert (count == 4).sum() == 1
    # Each edge is run through as often one way as the other: closed, whatever meets there.
    forth, back = (edges.tolist(), edges.flip(-1).tolist())
    assert sorted(forth) == sorted(back)


def test_alike_marching_cubes() -> None:
    y, x, z = torch.meshgrid(*[torch.arange(32) - 15.5] * 3, indexing="ij")
    ball = VoxelGrid(x**2 + y**2 + z**2 < 12**2, (-0.5, -0.5, -0.5), 1 / 32)
    cubes, rounded = (
        trimesh.Trimesh(m.vertices.numpy(), m.faces.numpy(), process=False) for m in (cubes_mesh(ball), ball.to_mesh())
    )
    assert cubes.is_watertight
    assert rounded.is_watertight
    assert cubes.volume == pytest.approx(float(ball.volume()), rel=1e-5)
    assert cubes.volume == pytest.approx(rounded.volume, rel=0.03)  # marching cubes bevels edges
    assert cubes.bounds == pytest.approx(rounded.bounds, abs=1e-6)
    assert cubes.centroid == pytest.approx(rounded.centroid, abs=1e-5)
    assert cubes.area == pytest.approx(1.5 * 4 * math.pi * (12 / 32) ** 2, rel=0.05)  # a ball of cubes: 3/2 as much
    again = mesh_to_voxels(cubes_mesh(ball), 32, origin=ball.origin, pitch=ball.pitch)
    assert torch.equal(again.values, ball.values)


def test_levels_and_empty_grids() -> None:
    values = torch.tensor([[[0.2, 0.7]]])
    assert len(cubes_mesh(VoxelGrid(values)).faces) == 12
    assert len(cubes_mesh(VoxelGrid(values), level=0.1).faces) == 20
    assert len(cubes_mesh(VoxelGrid(values.double()), level=0.7).faces) == 0
    for shape in ((3, 4, 5), (0, 2, 2), (0, 0, 0)):
        mesh: Mesh = cubes_mesh(VoxelGrid(torch.zeros(shape, dtype=torch.bool))).validate()
        assert mesh.vertices.shape == (0, 3)
        assert mesh.faces.shape == (0, 3)
        assert mesh.vertices.dtype == torch.float32
    with pytest.raises(DomainError):
        cubes_mesh(VoxelGrid(values), level=math.nan)
    with pytest.raises(DTypeError):
        cell_walls(values)
    with pytest.raises(DTypeError):
        cell_walls([[[True]]])  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        cell_walls(torch.ones(2, 2, dtype=torch.bool))
