"""Lofts and superellipses: areas, volumes, orientation and errors against formulas."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh
from tolerances import FLOAT64

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry import Mesh
from labkit.geometry.loft import join, loft, superellipse


def solid_of(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


def area(outline: torch.Tensor) -> float:
    x, y = outline.unbind(-1)
    return float((x * y.roll(-1) - x.roll(-1) * y).sum() / 2)


def test_the_area_of_superellipses() -> None:
    assert area(superellipse(1.0, 8)) == pytest.approx(2.0)  # a rhombus, counter-clockwise
    for n in (2.0, 3.0, 6.0):
        exact = 4 * math.gamma(1 + 1 / n) ** 2 / math.gamma(1 + 2 / n)
        assert area(superellipse(n, 4096)) == pytest.approx(exact, rel=1e-4)  # the polygon lies inside
    sharp = superellipse(400.0, 16)  # a square; a rounded cosine of 6e-17 would bulge
    assert sharp[[0, 4, 8, 12]].tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1]]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_loft_is_closed_and_oriented(axis: int) -> None:
    mesh = loft(axis, [(0.0, 1.0, 2.0, 0.5, 0.25), (3.0, 1.0, 2.0, 1.0, 0.5)], points=16)
    solid = solid_of(mesh.validate())
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.euler_number == 2
    base = 8 * math.sin(2 * math.pi / 16) * 0.5 * 0.25
    assert solid.volume == pytest.approx(base * 3 * (1 + 2 + 4) / 3, rel=FLOAT64["rtol"])
    low, high = solid.bounds[:, [axis, (axis + 1) % 3, (axis + 2) % 3]].tolist()
    assert low == pytest.approx([0, 0, 1.5])
    assert high == pytest.approx([3, 2, 2.5])


def test_a_loft_may_turn_back_inside() -> None:
    cup = [(0.0, 0.0, 0.0, 2.0, 2.0), (3.0, 0.0, 0.0, 2.0, 2.0), (3.0, 0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0, 1.0)]
    unit = 12 * math.sin(2 * math.pi / 24)
    assert solid_of(loft(2, cup)).volume == pytest.approx(unit * (4 * 3 - 2))  # stations of radius 2, a bore of 1


def test_join_keeps_every_part() -> None:
    part = loft(0, [(0.0, 0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0, 1.0)], points=8)
    both = join([part, part.replace(vertices=part.vertices + 5)])
    solid = solid_of(both.validate())
    assert solid.body_count == 2
    assert solid.is_watertight
    assert solid.volume == pytest.approx(2 * solid_of(part).volume)


def test_errors() -> None:
    good = [(0.0, 0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0, 1.0)]
    with pytest.raises(DomainError):
        loft(3, good)
    with pytest.raises(ShapeError):
        loft(0, good[:1])
    with pytest.raises(DomainError):
        loft(0, [good[0], (1.0, 0.0, 0.0, 0.0, 1.0)])
    with pytest.raises(DTypeError):
        loft(0, [good[0], (1.0, 0.0, 0.0, "1", 1.0)])  # type: ignore[list-item]
    for exponent in (0.9, math.nan, math.inf):
        with pytest.raises(DomainError):
            superellipse(exponent, 8)
    for points in (0, 6, 8.0):
        with pytest.raises(DomainError):
            superellipse(2.0, points)  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        join([])
