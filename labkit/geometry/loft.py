"""Lofts: closed surfaces through superellipses along an axis, and meshes put together of several parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_positive
from labkit.geometry.mesh import Mesh

Station = tuple[float, float, float, float, float]
"""A superellipse across an axis: its place on the axis, the two coordinates of its centre, its two half widths."""


def superellipse(exponent: float, points: int) -> Tensor:
    """The outline |u|^n + |v|^n = 1, counter-clockwise: (points, 2) float64, the first point at u = 1.

    Args:
        exponent: n, at least 1: 1 is a rhombus, 2 a circle, large a square.
        points: a multiple of 4, so that the outline is symmetric.

    Raises:
        DomainError: one of them out of range.
    """
    if not exponent >= 1 or math.isinf(exponent):
        raise DomainError("exponent", exponent, "a finite number, at least 1 (below, the outline is not convex)")
    if not isinstance(points, int) or points < 4 or points % 4:
        raise DomainError("points", points, "a multiple of 4")
    angle = torch.arange(points, dtype=torch.float64) * (2 * math.pi / points)
    turns = torch.stack([angle.cos(), angle.sin()], dim=-1)  # (points, 2)
    turns[turns.abs() < 1e-12] = 0.0  # else 1e-17 to the power 2 / n, for large n a visible dent
    return turns.sign() * turns.abs() ** (2 / exponent)


def loft(axis: int, stations: Sequence[Station], exponent: float = 2.0, points: int = 24) -> Mesh:
    """The surface through superellipses that stand across one axis, closed by flat ends: float64, genus 0.

    With R stations it has ``points * R + 2`` vertices and ``2 * points * R`` faces. It is counter-clockwise seen from
    outside if the stations run from the inside outwards, as along a rising axis, or around a rim and back inside.

    Args:
        axis: 0, 1 or 2 for x, y or z. The centre and the half widths of a station are those along the two axes that
            follow it in the order x, y, z, x, y.
        stations: two or more, see `Station`; the half widths greater than 0.
        exponent, points: see `superellipse`.

    Raises:
        DomainError: an argument out of range.
        ShapeError: fewer than two stations.
    """
    if axis not in (0, 1, 2):
        raise DomainError("axis", axis, "0, 1 or 2")
    if len(stations) < 2:
        raise ShapeError("stations", len(stations), "two or more")
    for station in stations:
        for half in station[3:]:
            check_positive("half width", half, "world units")
    where = torch.tensor(stations, dtype=torch.float64)[:, None]  # (R, 1, 5)
    across = where[..., 1:3] + where[..., 3:5] * superellipse(exponent, points)  # (R, points, 2)
    rings = torch.cat([where[..., :1].expand(-1, points, -1), across], dim=-1)  # (R, points, 3): axis and the two next
    ends = where[[0, -1], 0, :3]  # (2, 3)
    vertices = torch.cat([rings.flatten(0, 1), ends])[:, [(i - axis) % 3 for i in range(3)]]
    here = torch.arange(points)
    following = (here + 1) % points
    last = len(stations) * points
    faces = [torch.stack([following, here, torch.full_like(here, last)], dim=-1)]
    for low in range(0, last - points, points):
        high = low + points
        faces.append(torch.stack([here + low, following + low, following + high], dim=-1))
        faces.append(torch.stack([here + low, following + high, here + high], dim=-1))
    top = last - points
    faces.append(torch.stack([here + top, following + top, torch.full_like(here, last + 1)], dim=-1))
    return Mesh(vertices, torch.cat(faces))


def join(parts: Sequence[Mesh]) -> Mesh:
    """One mesh of the vertices and faces of several, in their order; overlapping parts stay as they are.

    Raises:
        ShapeError: no parts.
    """
    if not parts:
        raise ShapeError("parts", 0, "one or more meshes")
    starts = torch.tensor([0] + [len(part.vertices) for part in parts[:-1]]).cumsum(0).tolist()
    return Mesh(
        torch.cat([part.vertices for part in parts]),
        torch.cat([part.faces + start for part, start in zip(parts, starts, strict=True)]),
    )
