"""Surface samples, Chamfer, F-score, normal consistency and voxel IoU against hand values and independent oracles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.geometry import (
    Mesh,
    chamfer,
    chamfer_squared,
    f_score,
    icosphere,
    metrics,
    nearest,
    normal_consistency,
    sample_surface,
    voxel_iou,
)


def cloud(count: int, seed: int, *batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*batch, count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def brute(points: Tensor, others: Tensor) -> Tensor:
    """All distances in float64."""
    return (points.double()[:, None] - others.double()[None]).norm(dim=-1)


def turn(angles: Tensor) -> Tensor:
    """A rotation matrix."""
    skew = torch.zeros(3, 3, dtype=torch.float64)
    skew[[2, 0, 1], [1, 2, 0]] = angles
    return torch.matrix_exp(skew - skew.T)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_and_chamfer_agree_with_a_tree_also_far_away(offset: float, dtype: torch.dtype) -> None:
    tree = pytest.importorskip("scipy.spatial").cKDTree
    points, others = cloud(500, 1, dtype=dtype) + offset, cloud(700, 2, dtype=dtype) + offset
    there, _ = tree(others.double().numpy()).query(points.double().numpy())
    back, _ = tree(points.double().numpy()).query(others.double().numpy())
    found = brute(points, others).gather(1, nearest(points, others)[:, None])[:, 0]
    np.testing.assert_allclose(found.numpy(), there, rtol=1e-6)
    tolerance = FLOAT32 if dtype == torch.float32 else FLOAT64
    expected = torch.tensor(there.mean() + back.mean(), dtype=dtype)
    torch.testing.assert_close(chamfer(points, others), expected, **tolerance)
    squared = torch.tensor((there**2).mean() + (back**2).mean(), dtype=dtype)
    torch.testing.assert_close(chamfer_squared(points, others), squared, **tolerance)
    share, other_share = (there < 0.2).mean(), (back < 0.2).mean()
    score = torch.tensor(2 * share * other_share / (share + other_share), dtype=dtype)
    torch.testing.assert_close(f_score(points, others, 0.2), score, **tolerance)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points, others = cloud(37, 1, 2), cloud(23, 2, 2)
    whole = nearest(points, others)
    rows: list[int] = []
    original = torch.cdist

    def spy(a: Tensor, b: Tensor, **options: str) -> Tensor:
        rows.append(a.shape[-2])
        return original(a, b, **options)

    monkeypatch.setattr(torch, "cdist", spy)
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 5 * 2 * 23)
    assert torch.equal(nearest(points, others), whole)
    assert rows == [5] * 7 + [2]
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 1)
    assert torch.equal(nearest(points, others), whole)


def test_chamfer_by_hand() -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    others = torch.tensor([[0.0, 0, 0], [0, 3, 4], [0, 0, -2]])
    # Towards others: 0 and 1. Back: 0, 5, 2.
    assert chamfer(points, others).item() == pytest.approx(1 / 2 + 7 / 3)
    assert chamfer_squared(points, others).item() == pytest.approx(1 / 2 + 29 / 3)
    assert f_score(points, others, 1.5).item() == pytest.approx(2 * 1 * (1 / 3) / (4 / 3))
    assert f_score(points, others, 1.0).item() == pytest.approx(2 * (1 / 2) * (1 / 3) / (5 / 6))  # closer, not equal
    assert f_score(points, others + 100, 1.5).item() == 0


def test_batches_are_the_single_answers() -> None:
    points, others = cloud(9, 1, 4), cloud(11, 2, 4)
    for measure in (chamfer, chamfer_squared, lambda a, b: f_score(a, b, 0.7)):
        single = torch.stack([measure(a, b) for a, b in zip(points, others, strict=True)])
        torch.testing.assert_close(measure(points, others), single, **FLOAT64)


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 20))
def test_laws_of_the_distances(seed: int, n: int, m: int) -> None:
    points, others = cloud(n, seed), cloud(m, seed + 1)
    moved = turn(points[0])
    shift = others[-1]
    for measure, power in ((chamfer, 1), (chamfer_squared, 2)):
        value = measure(points, others)
        assert value >= 0
        assert measure(points, points) == 0
        torch.testing.assert_close(measure(others, points), value, **FLOAT64)
        torch.testing.assert_close(measure(points.flip(0), others.roll(1, 0)), value, **FLOAT64)
        torch.testing.assert_close(measure(points @ moved.T + shift, others @ moved.T + shift), value, **FLOAT64)
        torch.testing.assert_close(measure(3 * points, 3 * others), 3**power * value, **FLOAT64)
    assert chamfer(points, others) ** 2 <= 2 * chamfer_squared(points, others) + 1e-12
    scores = [f_score(points, others, t) for t in (0.1, 1.0, 10.0, 1e3)]
    assert scores == sorted(scores)
    assert scores[-1] == 1
    assert f_score(others, points, 1.0) == scores[1]


def test_distances_pass_gradcheck_and_vanish_at_contact() -> None:
    points, others = cloud(5, 3).requires_grad_(), cloud(6, 4).requires_grad_()
    assert torch.autograd.gradcheck(chamfer, (points, others))
    assert torch.autograd.gradcheck(chamfer_squared, (points, others))
    assert torch.autograd.gradgradcheck(chamfer, (points, others))
    for measure in (chamfer, chamfer_squared):
        (gradient,) = torch.autograd.grad(measure(points, points.detach().clone()), points)
        assert not gradient.any()


@pytest.mark.parametrize("measure", [nearest, chamfer, chamfer_squared, lambda a, b: f_score(a, b, 0.1)])
@pytest.mark.parametrize(
    ("points", "others", "error", "name"),
    [
        (torch.zeros(0, 3), torch.zeros(2, 3), DomainError, "points"),
        (torch.zeros(2, 3), torch.zeros(0, 3), DomainError, "others"),
        (torch.zeros(2, 3), torch.full((2, 3), math.nan), DomainError, "others"),
        (torch.full((2, 3), math.inf), torch.zeros(2, 3), DomainError, "points"),
        (torch.zeros(2, 2), torch.zeros(2, 3), ShapeError, "points"),
        (torch.zeros(2, 3), torch.zeros(3), ShapeError, "others"),
        (torch.zeros(2, 4, 3), torch.zeros(3, 4, 3), ShapeError, "others"),
        (torch.zeros(1, 2, 4, 3), torch.zeros(1, 2, 4, 3), ShapeError, "others"),
        (torch.zeros(2, 3), torch.zeros(2, 3).double(), DTypeError, "others"),
        (torch.zeros(2, 3).long(), torch.zeros(2, 3), DTypeError, "points"),
        ([[0.0, 0, 0]], torch.zeros(2, 3), DTypeError, "points"),
    ],
)
def test_distances_refuse(
    measure: Callable[[Tensor, Tensor], Tensor], points: Tensor, others: Tensor, error: type[Exception], name: str
) -> None:
    with pytest.raises(error) as caught:
        measure(points, others)
    assert caught.value.argument == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_f_score_refuses_a_bad_threshold(threshold: float) -> None:
    with pytest.raises(DomainError, match="threshold"):
        f_score(torch.zeros(1, 3), torch.zeros(1, 3), threshold)


def two_triangles() -> Mesh:
    """One of area 1/2 in the plane z = 0 and one of area 3/2 in the plane x = 5, and one without area."""
    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [5, 3, 0], [5, 0, 1]]
    return Mesh(torch.tensor(corners, dtype=torch.float64), torch.tensor([[0, 1, 2], [0, 0, 1], [3, 4, 5]]))


def test_samples_are_uniform_by_area(generator: torch.Generator) -> None:
    mesh = two_triangles()
    points, normals, faces = sample_surface(mesh, 20000, generator)
    assert points.shape == normals.shape == (20000, 3)
    share = (faces == 2).double().mean().item()
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 20000)
    assert not (faces == 1).any()
    small = points[faces == 0]
    assert (small[:, 2] == 0).all()
    assert (small >= 0).all()
    assert (small.sum(-1) <= 1 + 1e-12).all()
    # Uniform on the triangle: mean 1/3, variance 1/18, and the half nearest the corner holds a quarter.
    assert (small[:, :2].mean(0) - 1 / 3).abs().max() < 4 * math.sqrt(1 / 18 / len(small))
    quarter = (small.sum(-1) < 0.5).double().mean().item()
    assert abs(quarter - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(small))
    torch.testing.assert_close(normals, mesh.face_normals()[faces], **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_of_a_batch_lie_on_their_own_mesh_and_follow_the_seed(dtype: torch.dtype) -> None:
    sphere = icosphere(2, dtype)
    mesh = sphere.replace(vertices=torch.stack([sphere.vertices, 3 * sphere.vertices + 10]))
    samples = sample_surface(mesh, 300, torch.Generator().manual_seed(1))
    again = sample_surface(mesh, 300, torch.Generator().manual_seed(1))
    assert torch.equal(samples.points, again.points)
    assert samples.points.dtype == dtype
    assert samples.faces.shape == (2, 300)
    assert not torch.equal(samples.faces[0], samples.faces[1])
    radius = (samples.points - torch.tensor([0, 10], dtype=dtype).view(2, 1, 1)).norm(dim=-1)
    assert (radius <= torch.tensor([[1.0], [3.0]]) * (1 + 1e-6)).all()
    assert (radius > torch.tensor([[0.97], [2.9]])).all()


def test_samples_move_with_their_triangles() -> None:
    mesh = two_triangles()
    vertices = mesh.vertices.clone().requires_grad_()

    def draw(v: Tensor) -> Tensor:
        return sample_surface(mesh.replace(vertices=v), 4, torch.Generator().manual_seed(2)).points

    assert torch.autograd.gradcheck(draw, (vertices,))
    (gradient,) = torch.autograd.grad(draw(vertices).sum(), vertices)
    torch.testing.assert_close(gradient.sum(0), torch.full((3,), 4.0, dtype=torch.float64), **FLOAT64)


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_sampling_refuses_a_bad_count(count: int, generator: torch.Generator) -> None:
    with pytest.raises(DomainError, match="count"):
        sample_surface(icosphere(0), count, generator)


def test_sampling_refuses_a_mesh_without_area(generator: torch.Generator) -> None:
    sphere = icosphere(0)
    for mesh in (
        sphere.replace(faces=sphere.faces[:0]),
        sphere.replace(vertices=sphere.vertices * 0),
        sphere.replace(vertices=torch.stack([sphere.vertices, sphere.vertices * 0])),
    ):
        with pytest.raises(DomainError, match="without area"):
            sample_surface(mesh, 10, generator)
    with pytest.raises(DomainError, match="nan"):
        sample_surface(sphere.replace(vertices=sphere.vertices * math.nan), 10, generator)


def test_normal_consistency_by_hand_and_by_laws() -> None:
    points = torch.tensor([[0.0, 0, 0], [10, 0, 0]])
    up = torch.tensor([[0.0, 0, 1], [0, 0, 1]])
    tilted = torch.tensor([[0.0, 0.6, -0.8], [1, 0, 0]])
    assert normal_consistency(points, up, points, up).item() == 1
    assert normal_consistency(points, up, points, -up).item() == 1
    assert normal_consistency(points, up, points, tilted).item() == pytest.approx(0.4)
    # A third point near the first: forward (0.8 + 0) / 2, back (0.8 + 0 + 1) / 3.
    more = torch.tensor([[0.0, 0, 0], [10, 0, 0], [0.1, 0, 0]])
    more_normals = torch.cat([tilted, up[:1]])
    assert normal_consistency(points, up, more, more_normals).item() == pytest.approx((0.4 + 0.6) / 2)
    assert normal_consistency(more, more_normals, points, up).item() == pytest.approx((0.4 + 0.6) / 2)
    both = normal_consistency(
        torch.stack([points] * 2), torch.stack([up] * 2), torch.stack([points] * 2), torch.stack([up, tilted])
    )
    torch.testing.assert_close(both, torch.tensor([1.0, 0.4]), **FLOAT32)


def test_normal_consistency_of_a_sphere_with_itself_is_high(generator: torch.Generator) -> None:
    first, second = (sample_surface(icosphere(3), 2000, generator) for _ in range(2))
    value = normal_consistency(first.points, first.normals, second.points, second.normals)
    assert 0.99 < value < 1


def test_normal_consistency_refuses_normals_unlike_their_points() -> None:
    points = torch.zeros(2, 3)
    with pytest.raises(ShapeError, match="normals"):
        normal_consistency(points, torch.zeros(1, 3), points, points)
    with pytest.raises(ShapeError, match="other_normals"):
        normal_consistency(points, points, points, torch.zeros(3, 3))
    with pytest.raises(DomainError, match="normals"):
        normal_consistency(points, points * math.nan, points, points)


def test_voxel_iou_by_hand() -> None:
    a, b = torch.zeros(2, 4, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    a[0, :2] = True  # 32 cells
    b[0, 1:3] = True  # 32 cells, 16 in common
    assert voxel_iou(a, b).tolist() == [16 / 48, 1.0]  # two empty grids are equal
    assert voxel_iou(a[0], ~a[0]).item() == 0
    assert voxel_iou(a[0], b[1]).item() == 0
    assert torch.equal(voxel_iou(a, b), voxel_iou(b, a))


@pytest.mark.parametrize(
    ("occupied", "other", "error"),
    [
        (torch.zeros(2, 2, 2), torch.zeros(2, 2, 2).bool(), DTypeError),
        (torch.zeros(2, 2, 2).bool(), None, DTypeError),
        (torch.zeros(2, 2).bool(), torch.zeros(2, 2).bool(), ShapeError),
        (torch.zeros(2, 2, 2).bool(), torch.zeros(2, 2, 3).bool(), ShapeError),
        (torch.zeros(2, 2, 2).bool(), torch.zeros(2, 2, 2, device="meta").bool(), DeviceError),
    ],
)
def test_voxel_iou_refuses(occupied: Tensor, other: Tensor, error: type[Exception]) -> None:
    with pytest.raises(error):
        voxel_iou(occupied, other)
