"""Distances between surfaces: samples, Chamfer, F-score, normal consistency, voxel IoU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_positive, check_tensor
from labkit.geometry.mesh import Mesh

PAIRS_AT_ONCE = 2**24  # distances held in memory at a time by `nearest`


class SurfaceSamples(NamedTuple):
    """Points on a mesh.

    ``points`` (..., N, 3) in world units, ``normals`` (..., N, 3) the unit normals of their faces, ``faces`` (..., N)
    int64 the faces they lie on; the leading dimension is the batch of the mesh, if it has one.
    """

    points: Tensor
    normals: Tensor
    faces: Tensor


def sample_surface(mesh: Mesh, count: int, generator: torch.Generator) -> SurfaceSamples:
    """``count`` independent points, uniform by area, on each mesh of a batch; points and normals are differentiable.

    The choice of the face and of the place in it is held constant: points move with their triangle.

    Args:
        mesh: a sound mesh with area.
        count: number of points, 1 or more.
        generator: the random stream, on the device of the mesh.

    Raises:
        DomainError: no count, or a mesh without area; and whatever `Mesh.validate` finds.
    """
    mesh.validate()
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise DomainError("count", count, "a whole number, 1 or more")
    corners = mesh.face_vertices()  # (..., F, 3, 3)
    a, b, c = corners.detach().double().unbind(-2)
    area = torch.linalg.vector_norm(torch.linalg.cross(b - a, c - a), dim=-1)  # (..., F), twice the area
    if area.numel() == 0 or not bool((area.sum(-1) > 0).all()):
        raise DomainError("mesh", f"{mesh.faces.shape[0]} faces without area", "a surface with area to sample from")
    faces = torch.multinomial(area, count, replacement=True, generator=generator)  # (..., N)
    place = torch.rand(2, *faces.shape, generator=generator, dtype=area.dtype, device=area.device)
    root, other = place[0].sqrt(), place[1]
    weights = torch.stack([1 - root, root * (1 - other), root * other], dim=-1).to(corners.dtype)  # (..., N, 3)

    def pick(values: Tensor) -> Tensor:  # (..., F, D) -> (..., N, D)
        return values.gather(-2, faces[..., None].expand(*faces.shape, values.shape[-1]))

    chosen = pick(corners.flatten(-2)).unflatten(-1, (3, 3))  # (..., N, 3, 3)
    return SurfaceSamples((weights[..., None] * chosen).sum(-2), pick(mesh.face_normals()), faces)


def nearest(points: Tensor, others: Tensor) -> Tensor:
    """For each of ``points`` the index (..., N) int64 of the nearest of ``others``, by exhaustive search.

    Distances come from differences of coordinates, so clouds far from the origin lose nothing, and at most
    ``PAIRS_AT_ONCE`` of them (or the M of one point, if more) are held at a time.

    Args:
        points: (N, 3) or (B, N, 3).
        others: (M, 3) or (B, M, 3), M at least 1, with the batch, type and device of ``points``.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: wrong sizes, types, devices, NaN, or an empty set (nothing
            is nearest to it).
    """
    _check_clouds(points, others)
    with torch.no_grad():
        pairs_per_point = others.shape[:-1].numel()
        rows = [
            torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)  # (..., n)
            for some in points.split(max(1, PAIRS_AT_ONCE // pairs_per_point), dim=-2)
        ]
        return torch.cat(rows, dim=-1)


def chamfer(points: Tensor, others: Tensor) -> Tensor:
    """Chamfer distance of *unsquared* Euclidean lengths, the sum of both directions.

    ``mean_i min_j |p_i - q_j| + mean_j min_i |q_j - p_i|``, in world units: a scalar, or (B,) for batches. This is
    what the universal differentiable renderer reports times 1000 (and calls L2), elsewhere "Chamfer-L1" or twice the
    mean of accuracy and completeness. Differentiable; where points coincide the gradient is zero.

    Args:
        points: (N, 3) or (B, N, 3).
        others: (M, 3) or (B, M, 3).

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: as for `nearest`, for either set.
    """
    return _distances(points, others).mean(-1) + _distances(others, points).mean(-1)


def chamfer_squared(points: Tensor, others: Tensor) -> Tensor:
    """Chamfer distance of *squared* Euclidean lengths, the sum of both directions; world units squared.

    ``mean_i min_j |p_i - q_j|^2 + mean_j min_i |q_j - p_i|^2``; arguments, result and errors as for `chamfer`.
    """
    return _offsets(points, others).square().sum(-1).mean(-1) + _offsets(others, points).square().sum(-1).mean(-1)


def f_score(predicted: Tensor, target: Tensor, threshold: float) -> Tensor:
    """Harmonic mean of precision and recall at a distance, in [0, 1]; not differentiable.

    Precision is the share of predicted points closer than ``threshold`` to the target, recall the share of target
    points closer than it to the prediction; 0 if both are 0. Symmetric in the two sets. DIB-R uses 0.02.

    Args:
        predicted: (N, 3) or (B, N, 3).
        target: (M, 3) or (B, M, 3).
        threshold: distance in world units, greater than 0.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: as for `nearest`, and for a bad threshold.
    """
    check_positive("threshold", threshold, "(world units)")
    with torch.no_grad():
        precision = (_distances(predicted, target) < threshold).to(predicted.dtype).mean(-1)
        recall = (_distances(target, predicted) < threshold).to(predicted.dtype).mean(-1)
        total = precision + recall
        return 2 * precision * recall / torch.where(total > 0, total, torch.ones_like(total))


def normal_consistency(points: Tensor, normals: Tensor, others: Tensor, other_normals: Tensor) -> Tensor:
    """Mean of |cosine| between each point's normal and the normal of the nearest point of the other set, in [0, 1].

    The average of both directions, blind to orientation, as occupancy networks report it; 1 is best. Differentiable
    with respect to the normals.

    Args:
        points: (N, 3) or (B, N, 3).
        normals: unit vectors, one for each of ``points``.
        others: (M, 3) or (B, M, 3).
        other_normals: unit vectors, one for each of ``others``.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: as for `nearest`, and for normals unlike their points.
    """
    for name, vectors, owners in (("normals", normals, points), ("other_normals", other_normals, others)):
        check_tensor(name, vectors, "... 3")
        if vectors.shape != owners.shape:
            raise ShapeError(name, tuple(vectors.shape), f"{tuple(owners.shape)}, the shape of its points")
    there = _take(other_normals, nearest(points, others))  # (..., N, 3)
    back = _take(normals, nearest(others, points))  # (..., M, 3)
    return ((normals * there).sum(-1).abs().mean(-1) + (other_normals * back).sum(-1).abs().mean(-1)) / 2


def voxel_iou(occupied: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of two occupancy grids: a float64 scalar, or one for each of the leading dimensions.

    Args:
        occupied: (..., X, Y, Z) bool.
        other: the same shape, bool.

    Raises:
        DTypeError, ShapeError, DeviceError: not bool, fewer than three dimensions or different shapes, devices.

    Two empty grids are equal: their IoU is 1.
    """
    for name, grid in (("occupied", occupied), ("other", other)):
        if not isinstance(grid, Tensor) or grid.dtype != torch.bool:
            raise DTypeError(name, getattr(grid, "dtype", type(grid).__name__), "a bool tensor (threshold it first)")
    if occupied.ndim < 3 or occupied.shape != other.shape:
        raise ShapeError("other", tuple(other.shape), f"(..., X, Y, Z), the same as occupied {tuple(occupied.shape)}")
    check_device(occupied=occupied, other=other)
    union = (occupied | other).sum((-3, -2, -1)).double()
    both = (occupied & other).sum((-3, -2, -1)).double()
    return torch.where(union > 0, both / union.clamp(min=1), torch.ones_like(union))


def _check_clouds(points: Tensor, others: Tensor) -> None:
    check_tensor("points", points, "... N 3")
    check_tensor("others", others, "... M 3")
    if points.ndim not in (2, 3) or points.shape[:-2] != others.shape[:-2]:
        raise ShapeError("others", tuple(others.shape), f"(M, 3) or (B, M, 3) to match points {tuple(points.shape)}")
    if points.dtype != others.dtype:
        raise DTypeError("others", others.dtype, f"{points.dtype}, the type of points")
    check_device(points=points, others=others)
    for name, cloud in (("points", points), ("others", others)):
        if cloud.shape[-2] == 0:
            raise DomainError(name, "no points", "at least one point")


def _take(values: Tensor, index: Tensor) -> Tensor:
    """values (..., M, 3), index (..., N) -> (..., N, 3)."""
    return values.gather(-2, index[..., None].expand(*index.shape, 3))


def _offsets(points: Tensor, others: Tensor) -> Tensor:
    return points - _take(others, nearest(points, others))  # (..., N, 3)


def _distances(points: Tensor, others: Tensor) -> Tensor:
    return torch.linalg.vector_norm(_offsets(points, others), dim=-1)  # (..., N)
