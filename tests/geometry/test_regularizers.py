"""Regularizers: hand values, symmetry laws, gradients, boundaries and degenerate meshes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DomainError, ShapeError
from labkit.geometry import (
    Mesh,
    adjacent_faces,
    box_union,
    edge_loss,
    flatness_loss,
    icosphere,
    laplacian_loss,
    neighbor_loss,
    normal_loss,
)

Loss = Callable[[Mesh], Tensor]
# Each with the power of the unit of length in it.
LOSSES: dict[Loss, int] = {normal_loss: 0, flatness_loss: 0, edge_loss: 1, neighbor_loss: 1, laplacian_loss: 2}
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)


def cube() -> Mesh:
    return box_union(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))


def sheet(n: int = 4) -> Mesh:
    """A flat square of n x n points, cut into triangles."""
    i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    corner = (i * n + j)[:-1, :-1].flatten()
    faces = torch.stack([corner, corner + n, corner + n + 1, corner, corner + n + 1, corner + 1], dim=-1).view(-1, 3)
    return Mesh(torch.stack([i, j, 0 * i], dim=-1).view(-1, 3).double(), faces)


def rough(seed: int = 0) -> Mesh:
    mesh = icosphere(1, torch.float64)
    noise = torch.randn(42, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return mesh.replace(vertices=mesh.vertices + 0.1 * noise)


def test_values_on_a_cube() -> None:
    # 18 edges: 12 of length 1 between perpendicular faces, 6 diagonals of length sqrt(2) between coplanar ones.
    assert normal_loss(cube()).item() == pytest.approx(12 / 18 * 2)
    assert flatness_loss(cube()).item() == pytest.approx(12 / 18 * 1)
    mean = (12 + 6 * math.sqrt(2)) / 18
    assert edge_loss(cube()).item() == pytest.approx((12 * (mean - 1) + 6 * (math.sqrt(2) - mean)) / 18)


def test_values_on_a_flat_sheet() -> None:
    assert normal_loss(sheet()).item() == 0
    assert flatness_loss(sheet()).item() == 0
    inner = sheet(5)
    differential = (inner.laplacian() @ inner.vertices).view(5, 5, 3)[1:-1, 1:-1]
    torch.testing.assert_close(differential, torch.zeros_like(differential), **FLOAT64)


def test_values_on_two_folded_triangles() -> None:
    # Hinge of length 2 along x; the wings reach 1 away from it, at 90 degrees to each other.
    corners = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    hinge = Mesh(corners, torch.tensor([[0, 1, 2], [1, 0, 3]]))
    assert adjacent_faces(hinge).tolist() == [[0, 1]]  # four boundary edges give none
    normals = hinge.face_normals()
    torch.testing.assert_close(normals, torch.tensor([[0.0, 0, 1], [0, 1, 0]]), **FLOAT32)
    assert normal_loss(hinge).item() == pytest.approx(2)
    assert flatness_loss(hinge).item() == pytest.approx(1)
    root = math.sqrt(2)
    mean = (2 + 4 * root) / 5
    assert edge_loss(hinge).item() == pytest.approx((2 - mean + 4 * (mean - root)) / 5)
    # The mean of the neighbours of vertex 0 is (1, 1, 1) / 3, of vertex 2 the middle of the hinge.
    far, near = math.sqrt((4 / 3) ** 2 + 2 / 9), 1.0
    assert neighbor_loss(hinge).item() == pytest.approx((2 * far + 2 * near) / 4)
    assert laplacian_loss(hinge).item() == pytest.approx((2 * far**2 + 2 * near**2) / 4)


@pytest.mark.parametrize("degrees", [0.0, 1.0, 60.0, 120.0, 180.0])
def test_normal_losses_follow_the_angle(degrees: float) -> None:
    a = math.radians(degrees)
    corners = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -math.cos(a), math.sin(a)]], dtype=torch.float64)
    hinge = Mesh(corners, torch.tensor([[0, 1, 2], [1, 0, 3]]))
    assert normal_loss(hinge).item() == pytest.approx(2 - 2 * math.cos(a), abs=1e-12)
    assert flatness_loss(hinge).item() == pytest.approx((1 - math.cos(a)) ** 2, abs=1e-12)


def test_adjacent_faces_of_a_closed_mesh_are_its_edges() -> None:
    mesh = icosphere(2)
    pairs = adjacent_faces(mesh)
    assert len(pairs) == len(mesh.edges())
    assert (torch.bincount(pairs.flatten()) == 3).all()
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_adjacent_faces_at_an_edge_of_three_and_at_degenerate_faces() -> None:
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4], [5, 5, 5], [0, 2, 0], [5, 5, 6]])
    pairs = adjacent_faces(Mesh(torch.zeros(7, 3), faces))
    # Face 4 has the edge (0, 2) twice, nothing is adjacent to itself or through a point.
    assert sorted(map(tuple, pairs.tolist())) == [(0, 1), (0, 2), (0, 4), (0, 4), (1, 2)]


@each_loss
def test_gradients(loss: Loss) -> None:
    mesh = rough()
    small = Mesh(
        rough().vertices[:9].clone().requires_grad_(), torch.tensor([[0, 1, 2], [2, 1, 3], [4, 5, 6], [2, 3, 5]])
    )
    assert torch.autograd.gradcheck(lambda v: loss(small.replace(vertices=v)), (small.vertices,))
    vertices = torch.stack([mesh.vertices, 2 * mesh.vertices]).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: loss(mesh.replace(vertices=v)), (vertices,))
    assert torch.autograd.gradgradcheck(lambda v: loss(small.replace(vertices=v)), (small.vertices,))


@each_loss
def test_descent_reduces_the_loss(loss: Loss) -> None:
    mesh = rough()
    vertices = mesh.vertices.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(mesh.replace(vertices=vertices)), vertices)
    step = mesh.vertices - 1e-3 * gradient / gradient.norm()
    assert loss(mesh.replace(vertices=step)) < loss(mesh)


@each_loss
@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100))
def test_laws(loss: Loss, seed: int, scale: float) -> None:
    mesh = rough(seed)
    stream = torch.Generator().manual_seed(seed)
    skew = torch.randn(3, 3, generator=stream, dtype=torch.float64)
    turn = torch.matrix_exp(skew - skew.T)
    value = loss(mesh)
    assert value > 0
    moved = mesh.replace(vertices=mesh.vertices @ turn.T + skew[0])
    torch.testing.assert_close(loss(moved), value, **FLOAT64)
    torch.testing.assert_close(
        loss(mesh.replace(vertices=scale * mesh.vertices)), scale ** LOSSES[loss] * value, **FLOAT64
    )
    order = torch.randperm(42, generator=stream)
    renamed = mesh.replace(vertices=mesh.vertices[order], faces=order.argsort()[mesh.faces])
    torch.testing.assert_close(loss(renamed), value, **FLOAT64)
    shuffled = mesh.replace(faces=mesh.faces[torch.randperm(80, generator=stream)].roll(1, dims=1))
    torch.testing.assert_close(loss(shuffled), value, **FLOAT64)
    torch.testing.assert_close(loss(mesh.replace(faces=mesh.faces.flip(1))), value, **FLOAT64)


@each_loss
def test_batches_are_the_single_answers(loss: Loss) -> None:
    meshes = [rough(seed) for seed in range(3)]
    batch = meshes[0].replace(vertices=torch.stack([m.vertices for m in meshes]))
    torch.testing.assert_close(loss(batch), torch.stack([loss(m) for m in meshes]), **FLOAT64)


@each_loss
@pytest.mark.parametrize("count", [0, 5])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_no_faces_is_no_loss_and_no_gradient(loss: Loss, count: int, batch: tuple[int, ...]) -> None:
    vertices = torch.ones(*batch, count, 3, requires_grad=True)
    value = loss(Mesh(vertices, torch.zeros(0, 3, dtype=torch.int64)))
    assert value.shape == batch
    assert not value.any()
    (gradient,) = torch.autograd.grad(value.sum(), vertices)
    assert gradient.shape == vertices.shape
    assert not gradient.any()


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collapsed_faces_stay_finite(loss: Loss, dtype: torch.dtype) -> None:
    sphere = icosphere(1, dtype)
    for vertices in (sphere.vertices * 0, torch.cat([sphere.vertices[1:2], sphere.vertices[1:]])):
        leaf = vertices.clone().requires_grad_()
        value = loss(sphere.replace(vertices=leaf))
        assert value.isfinite()
        (gradient,) = torch.autograd.grad(value, leaf)
        assert gradient.isfinite().all()


def test_laplacian_of_the_displacement() -> None:
    rest, mesh = rough(1), rough(2)
    assert laplacian_loss(rest, rest).item() == 0
    shifted = rest.replace(vertices=rest.vertices + 5)
    assert laplacian_loss(shifted, rest).item() == pytest.approx(0, abs=1e-24)
    difference = mesh.laplacian() @ (mesh.vertices - rest.vertices)
    torch.testing.assert_close(laplacian_loss(mesh, rest), difference.square().sum(-1).mean(), **FLOAT64)
    with pytest.raises(ShapeError, match="rest"):
        laplacian_loss(mesh, icosphere(0, torch.float64))


@each_loss
def test_unsound_meshes_are_refused(loss: Loss) -> None:
    broken = rough()
    broken.vertices[3] = math.nan
    with pytest.raises(DomainError, match=r"nan at index \(3, 0\)"):
        loss(broken)
    with pytest.raises(DomainError, match="face 0"):
        loss(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 3]])))
