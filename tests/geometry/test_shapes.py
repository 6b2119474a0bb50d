"""Spheres, tori and unions of boxes: counts, closedness, exact sizes."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry import Mesh, box_union, icosphere, torus


def checked(mesh: Mesh) -> trimesh.Trimesh:
    """An independent view of the mesh, without any merging."""
    mesh.validate()
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


@pytest.mark.parametrize(("subdivisions", "count"), [(0, 12), (1, 42), (2, 162), (3, 642), (4, 2562)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_icosphere(subdivisions: int, count: int, dtype: torch.dtype) -> None:
    mesh = icosphere(subdivisions, dtype)
    solid = checked(mesh)
    assert mesh.vertices.shape == (count, 3)
    assert mesh.faces.shape == (2 * count - 4, 3)
    assert mesh.vertices.dtype == dtype
    assert solid.is_watertight
    assert solid.is_winding_consistent
    radius = torch.linalg.vector_norm(mesh.vertices, dim=-1)
    torch.testing.assert_close(radius, torch.ones_like(radius), **(FLOAT32 if dtype == torch.float32 else FLOAT64))
    outward = (mesh.face_normals() * mesh.face_vertices().mean(-2)).sum(-1)
    assert outward.min() > 0.7
    assert len(mesh.weld().vertices) == count


@pytest.mark.parametrize("subdivisions", [-1, 9, 1.0, True, "2"])
def test_icosphere_refuses(subdivisions: object) -> None:
    with pytest.raises(DomainError, match="subdivisions"):
        icosphere(subdivisions)  # type: ignore[arg-type]


@settings(max_examples=25)
@given(st.integers(3, 20), st.integers(3, 20), st.floats(0.1, 10), st.floats(0.05, 0.95))
def test_torus_is_closed_with_the_volume_of_its_polygons(segments: int, sides: int, major: float, ratio: float) -> None:
    minor = major * ratio
    mesh = torus(major, minor, segments, sides, dtype=torch.float64)
    welded = mesh.weld()
    solid = checked(welded)
    assert len(welded.vertices) == segments * sides
    assert len(welded.faces) == len(mesh.faces) == 2 * segments * sides
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.euler_number == 0
    # Pappus for a regular polygon: each slice is a prism of the polygon cut by two planes through the axis.
    area = sides / 2 * math.sin(2 * math.pi / sides) * minor**2
    tangent = segments * math.sin(2 * math.pi / segments) / 2  # area of the unit polygon around the axis
    second = area * major * 2 * tangent
    assert solid.volume == pytest.approx(second, rel=1e-9)


def test_torus_wraps_its_uv_once_and_faces_outward() -> None:
    mesh = torus(2.0, 0.5, 8, 6)
    assert mesh.uv is not None
    assert mesh.vertices.shape[0] == mesh.uv.shape[0] == 9 * 7
    torch.testing.assert_close(mesh.vertices[0], torch.tensor([0, 0, 2.5]), **FLOAT32)
    u, v = (mesh.uv * 2 * math.pi).unbind(-1)
    ring = 2 + 0.5 * v.cos()
    expected = torch.stack([ring * u.sin(), 0.5 * v.sin(), ring * u.cos()], dim=-1)
    torch.testing.assert_close(mesh.vertices, expected, **FLOAT32)
    assert (mesh.uv.amin(0) == 0).all()
    assert (mesh.uv.amax(0) == 1).all()
    corners = mesh.uv[mesh.faces]  # (F, 3, 2): counter-clockwise in uv too, and no face spans the texture
    first, second = (corners[:, 1] - corners[:, 0]), (corners[:, 2] - corners[:, 0])
    assert (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0).all()
    assert (corners.amax(1) - corners.amin(1)).max() < 0.2
    middle = mesh.face_vertices().mean(-2)
    core = 2 * torch.nn.functional.normalize(middle * torch.tensor([1.0, 0, 1]), dim=-1)
    assert ((middle - core) * mesh.face_normals()).sum(-1).min() > 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"major": 0.0}, "major"),
        ({"major": math.nan}, "major"),
        ({"minor": -1.0}, "minor"),
        ({"minor": 1.0}, "minor"),
        ({"segments": 2}, "segments"),
        ({"segments": 4.0}, "segments"),
        ({"sides": 0}, "sides"),
    ],
)
def test_torus_refuses(arguments: dict[str, float], name: str) -> None:
    with pytest.raises(DomainError) as caught:
        torus(**arguments)  # type: ignore[arg-type]
    assert caught.value.argument == name


def test_one_box() -> None:
    mesh = box_union(torch.tensor([[-1.0, 2, 3]]), torch.tensor([[1.0, 3, 7]]))
    solid = checked(mesh)
    assert mesh.vertices.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(8)
    assert solid.area == pytest.approx(2 * (2 * 1 + 2 * 4 + 1 * 4))


def test_no_boxes_make_an_empty_mesh() -> None:
    mesh = box_union(torch.zeros(0, 3), torch.zeros(0, 3)).validate()
    assert mesh.vertices.shape == (0, 3)
    assert mesh.faces.shape == (0, 3)


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3, *[st.integers(1, 3)] * 3), min_size=1, max_size=5))
def test_box_union_is_closed_with_the_volume_and_area_of_its_voxels(boxes: list[tuple[int, ...]]) -> None:
    low = torch.tensor([b[:3] for b in boxes], dtype=torch.float64)
    high = low + torch.tensor([b[3:] for b in boxes], dtype=torch.float64)
    grid = torch.zeros(9, 9, 9, dtype=torch.bool)  # an oracle with unit cells and one empty layer
    for start, stop in zip(low.int().tolist(), high.int().tolist(), strict=True):
        grid[tuple(slice(a + 1, b + 1) for a, b in zip(start, stop, strict=True))] = True
    mesh = box_union(low, high)
    solid = checked(mesh)
    assert solid.volume == pytest.approx(float(grid.sum()))
    walls = sum((grid.roll(1, axis) != grid).sum() for axis in range(3))
    assert solid.area == pytest.approx(float(walls))
    # Closed also where it is no manifold: as many half-edges one way as the other.
    ends = mesh.faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2)
    count = len(mesh.vertices)
    there, back = (torch.bincount(ends @ torch.tensor(way), minlength=count**2) for way in ([count, 1], [1, count]))
    assert torch.equal(there, back)
    assert len(mesh.weld().vertices) == count
    assume(len(boxes) == 1)
    assert solid.is_watertight


@pytest.mark.parametrize(
    ("low", "high", "error"),
    [
        (torch.zeros(2, 3), torch.tensor([[1.0, 1, 1], [1, 0, 1]]), DomainError),
        (torch.zeros(1, 3), torch.full((1, 3), math.nan), DomainError),
        (torch.zeros(1, 3), torch.ones(2, 3), ShapeError),
        (torch.zeros(3), torch.ones(3), ShapeError),
        (torch.zeros(1, 3), torch.ones(1, 3).double(), DTypeError),
    ],
)
def test_box_union_refuses(low: torch.Tensor, high: torch.Tensor, error: type[Exception]) -> None:
    with pytest.raises(error):
        box_union(low, high)


def test_box_union_names_the_flat_box() -> None:
    with pytest.raises(DomainError, match="box 1"):
        box_union(torch.zeros(2, 3), torch.tensor([[1.0, 1, 1], [1, 0, 1]]))
