"""Meshes of fields: the coarse-to-fine grid gives the dense one's mesh, closed, outward, on the surface."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.geometry.field_mesh import field_mesh
from labkit.geometry.mesh import Mesh
from labkit.geometry.sdf import (
    BoxField,
    CapsuleField,
    Difference,
    Field,
    Moved,
    PlaneField,
    SmoothUnion,
    SphereField,
    TorusField,
    Union,
    value_and_gradient,
)

FIELDS: dict[str, Field] = {
    "sphere": SphereField(0.6, (0.1, -0.05, 0.2)),
    "box": BoxField((0.31, 0.52, 0.43)),
    "torus": TorusField(0.6, 0.17),
    "thin": CapsuleField((-0.7, -0.6, 0.5), (0.8, 0.7, -0.6), 0.04),
    "two": Union(SphereField(0.3, (0.4, 0.4, 0.4)), SphereField(0.03, (-0.61, 0.33, -0.5))),
    "cut": Difference(SphereField(0.7), SphereField(0.5, (0.0, 0.5, 0.0))),
    "smooth": SmoothUnion(SphereField(0.4, (-0.3, 0.0, 0.0)), BoxField((0.2, 0.3, 0.2), (0.4, 0.0, 0.0)), 0.2),
    "shell": Difference(SphereField(0.7), SphereField(0.66)),
}


class Counted:
    """A field that counts how many points it was asked for."""

    def __init__(self, field: Field) -> None:
        self.field, self.points = field, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.points += len(x)
        return self.field(x)


def volume(mesh: Mesh) -> float:
    """Signed volume: positive for outward faces (divergence theorem)."""
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def border_edges(mesh: Mesh) -> int:
    """Directed edges whose reverse is not there as often: none on a closed surface."""
    edges = torch.cat([mesh.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    both = torch.stack([edges[:, 0] * len(mesh.vertices) + edges[:, 1], edges[:, 1] * len(mesh.vertices) + edges[:, 0]])
    return int((both[0].sort().values != both[1].sort().values).sum())


@pytest.mark.parametrize("resolution", [17, 32, 50])
@pytest.mark.parametrize("name", FIELDS)
def test_coarse_to_fine_is_exact(name: str, resolution: int) -> None:
    """The faces of the dense grid, and its vertices to the last digits, at sizes that are no multiple of a block."""
    dense, sparse = Counted(FIELDS[name]), Counted(FIELDS[name])
    wanted = field_mesh(dense, resolution, dense=True)
    got = field_mesh(sparse, resolution, slope=1.0)
    assert torch.equal(got.faces, wanted.faces)
    # Values far from the surface differ, and by their largest marching_cubes scales before it rounds to float32 and
    # moves samples that lie on the surface off it.
    torch.testing.assert_close(got.vertices, wanted.vertices, rtol=0, atol=1e-5)
    assert dense.points == resolution**3
    if resolution == 50:
        assert sparse.points < 0.45 * dense.points


@pytest.mark.parametrize("name", FIELDS)
def test_closed_outward_and_on_the_surface(name: str) -> None:
    """No border; positive volume; |f| at the vertices far below a pitch; normals along the gradient."""
    field = FIELDS[name]
    mesh = field_mesh(field, 64).validate()
    assert len(mesh.faces) > 100
    assert border_edges(mesh) == 0
    assert volume(mesh) > 0
    pitch = 2 / 64
    distance = field(mesh.vertices).abs()
    assert distance.max() < 0.5 * pitch
    assert distance.median() < 0.02 * pitch
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    normals = torch.linalg.cross(b - a, c - a)
    _, gradients = value_and_gradient(field, (a + b + c) / 3)
    large = normals.norm(dim=-1) > 0.05 * pitch**2  # slivers point anywhere
    cosine = torch.nn.functional.cosine_similarity(normals, gradients, dim=-1)[large]
    assert (cosine > 0).float().mean() > 0.98  # others sit on an edge, or where a shape is as thin as a pitch


def test_known_volumes() -> None:
    """Sphere and torus to a percent, the radius of the cube being a scale."""
    ball = volume(field_mesh(SphereField(0.6), 64))
    assert ball == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.01)
    ring = volume(field_mesh(TorusField(1.2, 0.5), 64, radius=2.0))
    assert ring == pytest.approx(2 * math.pi**2 * 1.2 * 0.5**2, rel=0.01)
    moved = Moved(
        BoxField((0.3, 0.4, 0.5)), torch.linalg.matrix_exp(torch.tensor([[0, 1.0, 2], [-1, 0, 3], [-2, -3, 0]]))
    )
    assert volume(field_mesh(moved, 64)) == pytest.approx(8 * 0.06, rel=0.01)


def test_cheap_enough_for_a_live_preview() -> None:
    """At resolution 64 fewer than a tenth of the dense grid's points for a ball, with the default room for slopes."""
    field = Counted(SphereField(0.5))
    field_mesh(field, 64)
    assert field.points < 64**3 / 10


def test_slope_leaves_room_for_fields_that_are_no_distances() -> None:
    """A field three times as steep as a distance needs slope 3; with less, thin parts are lost; dense finds them."""
    thin = FIELDS["thin"]

    def steep(x: Tensor) -> Tensor:
        return 3 * thin(x)

    dense = field_mesh(steep, 48, dense=True)
    assert torch.equal(field_mesh(steep, 48, slope=3.0).faces, dense.faces)
    assert len(field_mesh(steep, 48, slope=1.0).faces) < len(dense.faces)


def test_empty_full_and_cut_fields() -> None:
    """No surface, no faces; a field that is inside everywhere, or leaves the cube, is closed at the cube."""
    for field in (SphereField(0.2, (3.0, 0.0, 0.0)), lambda x: torch.ones_like(x[:, 0])):
        mesh = field_mesh(field, 32).validate()
        assert mesh.faces.shape == (0, 3)
    for field, wanted in ((lambda x: -torch.ones_like(x[:, 0]), 8.0), (PlaneField((0.0, 1.0, 0.0), 0.0), 4.0)):
        mesh = field_mesh(field, 32)
        assert border_edges(mesh) == 0
        assert volume(mesh) == pytest.approx(wanted, rel=0.05)


def test_chunks_and_types() -> None:
    """Chunks change nothing; the field sees the dtype asked for; no graph remains."""
    seen = set()

    def field(x: Tensor) -> Tensor:
        seen.add((x.dtype, len(x) <= 100))
        return radius.to(x.dtype) * (x.norm(dim=-1) - 0.5)

    radius = torch.tensor(1.0, requires_grad=True)
    one, other = field_mesh(field, 20, chunk=100), field_mesh(field, 20)
    assert torch.equal(one.vertices, other.vertices)
    assert torch.equal(one.faces, other.faces)
    assert not one.vertices.requires_grad
    assert (torch.float32, True) in seen
    seen.clear()
    assert field_mesh(field, 20, chunk=100, dtype=torch.float64, device="cpu").vertices.dtype == torch.float32
    assert seen == {(torch.float64, True)}


BALL = SphereField(0.5)


def mesh_of(field: Field = BALL, resolution: Any = 16, **options: Any) -> Callable[[], Mesh]:
    """A call with some arguments exchanged."""
    return lambda: field_mesh(field, resolution, **options)


ERRORS: list[tuple[type[LabError], Callable[[], Mesh]]] = [
    (DomainError, mesh_of(lambda x: torch.where(x[:, 0] > 0.8, torch.nan, x.norm(dim=-1) - 0.5))),
    (DomainError, mesh_of(lambda x: x[:, 0] / 0)),
    (ShapeError, mesh_of(lambda x: x)),
    (DomainError, mesh_of(resolution=1)),
    (DomainError, mesh_of(resolution=5000)),
    (DTypeError, mesh_of(resolution=16.0)),
    (DomainError, mesh_of(radius=0.0)),
    (DomainError, mesh_of(slope=-1.0)),
    (DomainError, mesh_of(chunk=0)),
    (DTypeError, mesh_of(dtype=torch.float16)),
]


@pytest.mark.parametrize(("error", "call"), ERRORS)
def test_bad_input(error: type[LabError], call: Callable[[], Mesh]) -> None:
    """Bad input is refused."""
    with pytest.raises(error):
        call()
