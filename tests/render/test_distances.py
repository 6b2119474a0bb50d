"""Signed distances to the outline of faces against plain geometry, on outlines, at corners, and for broken faces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64
from torch import Tensor

from labkit.render.raster.distances import NOWHERE, Distance, signed_distance

KINDS: tuple[Distance, ...] = ("linear", "squared", "barycentric")
Point = tuple[float, float]
FACE: list[Point] = [(-0.5, -0.25), (0.75, -0.25), (0.25, 0.5)]


def distance(face: list[Point], points: list[Point], kind: Distance, dtype: torch.dtype = torch.float64) -> Tensor:
    """Of one face to some points: (P,)."""
    triangle = torch.tensor([[[(*corner, 1.0) for corner in face]]], dtype=dtype)
    return signed_distance(triangle, torch.tensor(points, dtype=dtype), kind)[0, :, 0]


def by_hand(face: list[Point], point: Point, kind: Distance) -> float:
    """The same by the nearest points of three segments and a linear system, sharing no formula with the package."""
    corners, p = np.array(face), np.array(point)
    sides = np.roll(corners, -1, 0) - corners
    crosses = [float(s[0] * (p - c)[1] - s[1] * (p - c)[0]) for s, c in zip(sides, corners, strict=True)]
    area = float(sides[0, 0] * sides[1, 1] - sides[0, 1] * sides[1, 0])
    if kind == "barycentric":
        if area == 0:
            return -NOWHERE
        m = float(np.linalg.solve(np.vstack((corners.T, np.ones(3))), np.array([*point, 1.0])).min())
        return m * abs(m)
    inside = area != 0 and (min(crosses) >= 0 or max(crosses) <= 0)
    apart = []
    for start, side in zip(corners, sides, strict=True):
        t = np.clip((p - start) @ side / (side @ side), 0, 1) if side.any() else 0.0
        apart.append(math.dist(p, start + t * side))
    d = min(apart) if kind == "linear" else min(apart) ** 2
    return d if inside else -d


@pytest.mark.parametrize(
    ("point", "linear", "smallest"),
    [
        ((0.25, 0.0), 0.25, 4 / 15),  # inside, a quarter above the base; weights 4/15, 6/15, 5/15
        ((0.0, -0.75), -0.5, -2 / 3),  # outside, beside the base
        ((-0.8, -0.65), -0.5, -8 / 15),  # beyond the left corner, legs 0.3 and 0.4
        ((0.25, -0.25), 0.0, 0.0),  # on the base
        ((0.75, -0.25), 0.0, 0.0),  # at a corner
    ],
)
def test_values_known_by_hand(point: Point, linear: float, smallest: float) -> None:
    for face in (FACE, FACE[::-1], FACE[1:] + FACE[:1]):  # either winding, any first corner
        assert float(distance(face, [point], "linear")) == pytest.approx(linear, abs=2e-12)
        squared = linear * abs(linear)
        assert float(distance(face, [point], "squared")) == pytest.approx(squared, abs=2e-12)
        expected = smallest * abs(smallest)
        assert float(distance(face, [point], "barycentric")) == pytest.approx(expected, abs=2e-12)


GRID = st.tuples(*[st.integers(-4, 4).map(lambda n: n / 4)] * 2)  # outlines, corners and broken faces are met exactly
PLANE = st.tuples(*[st.floats(-2, 2).map(lambda x: round(x, 6))] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_against_plain_geometry(kind: Distance) -> None:
    @settings(max_examples=300)
    @given(st.one_of(st.lists(GRID, min_size=4, max_size=4), st.lists(PLANE, min_size=4, max_size=4)))
    def check(points: list[Point]) -> None:
        *face, point = points
        exact = all(4 * x == round(4 * x) for corner in face for x in corner)  # the area is 0 or not, without rounding
        assume(exact or abs(float(np.linalg.det(np.diff(face, axis=0)))) > 1e-6)
        expected = by_hand(face, point, kind)
        found = float(distance(face, [point], kind))
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
        if kind != "barycentric" and abs(expected) > 1e-9:
            assert (found > 0) == (expected > 0)

    check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "face",
    [
        [(0.25, 0.25)] * 3,
        [(0.0, 0.0), (0.0, 0.0), (0.5, 0.25)],
        [(0.5, 0.25), (0.0, 0.0), (0.0, 0.0)],
        [(-0.5, 0.0), (0.0, 0.0), (0.5, 0.0)],
    ],
    ids=["point", "pair", "pair turned", "collinear"],
)
def test_a_face_without_area_has_no_inside(face: list[Point], kind: Distance) -> None:
    points = [(x / 4, y / 4) for x in range(-4, 5) for y in range(-4, 5)]
    for dtype in (torch.float32, torch.float64):
        found = distance(face, points, kind, dtype)
        assert (found < 0).all()
        expected = torch.tensor([by_hand(face, point, kind) for point in points], dtype=dtype)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_an_edge_far_shorter_than_a_pixel_keeps_its_distance() -> None:
    """At 1e-9 the guarded length of the edge is a thousand times too long; the corners answer instead."""
    face = [(0.0, 0.0), (1e-9, 0.0), (0.5, -0.5)]
    points = [(x / 1e4, 0.25) for x in range(-20, 21)]
    found = distance(face, points, "linear")
    expected = torch.tensor([by_hand(face, point, "linear") for point in points], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def gradient(face: list[Point], point: Point, kind: Distance, dtype: torch.dtype = torch.float64) -> Tensor:
    """Of the distance, to x and y of the corners (3, 2)."""
    triangle = torch.tensor([[[(*corner, 1.0) for corner in face]]], dtype=dtype, requires_grad=True)
    found = signed_distance(triangle, torch.tensor([point], dtype=dtype), kind)
    return torch.autograd.grad(found.sum(), triangle)[0][0, 0, :, :2]


def test_the_distance_has_its_slope_on_the_outline_itself() -> None:
    """The signed distance is smooth across an edge: there the slope is that of both sides, not that of |x| at 0."""
    on, below, above = (gradient(FACE, (0.125, y), "linear") for y in (-0.25, -0.2501, -0.2499))
    torch.testing.assert_close(on, torch.tensor([[0, -0.5], [0, -0.5], [0, 0]], dtype=torch.float64))
    torch.testing.assert_close(below, above, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(on, below, rtol=1e-3, atol=1e-3)


def test_moving_the_whole_face_moves_the_distance() -> None:
    """The slopes to the three corners sum to minus the slope to the pixel, which has length 1."""
    for point in [(0.25, 0.1), (0.0, -0.75), (-0.8, -0.65), (0.1, -0.25), (0.75, -0.25), (0.4, 0.9)]:
        total = gradient(FACE, point, "linear").sum(0)
        length = float(total.norm())
        assert length == pytest.approx(1, abs=1e-9) or point == (0.75, -0.25)  # at a corner, any one of many
        assert length <= 1 + 1e-9


def test_equally_near_places_take_one_of_them() -> None:
    """On the axis of a symmetric face two edges are equally near: the slope has length 1, as beside the axis."""
    face = [(-0.5, -5.0), (0.5, -5.0), (0.0, 0.5)]
    on, beside = gradient(face, (0.0, 0.0), "linear"), gradient(face, (1e-6, 0.0), "linear")
    assert float(on.sum(0).norm()) == pytest.approx(1, abs=1e-9)
    assert float(beside.sum(0).norm()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_everywhere(kind: Distance, dtype: torch.dtype) -> None:
    points = [(x / 4, y / 4) for x in range(-3, 4) for y in range(-3, 4)]
    faces = [
        [(-0.5, -0.5), (0.5, -0.5), (0.0, 0.5)],
        [(0.25, 0.25)] * 3,
        [(0.0, 0.0), (0.0, 0.0), (0.5, 0.25)],
        [(-0.5, 0.0), (0.0, 0.0), (0.5, 0.0)],
        [(-0.5, 0.0), (0.5, 0.0), (0.1, 1e-7)],
        [(-40.0, -40.0), (40.0, -40.0), (0.0, 40.0)],
    ]
    triangles = torch.tensor([[[(*corner, 1.0) for corner in face] for face in faces]], dtype=dtype, requires_grad=True)
    found = signed_distance(triangles, torch.tensor(points, dtype=dtype), kind)
    assert found.isfinite().all()
    assert torch.autograd.grad(found.sum(), triangles)[0].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives(kind: Distance) -> None:
    points = torch.tensor([(0.25, 0.1), (0.0, -0.75), (-0.8, -0.65), (0.7, 0.4)], dtype=torch.float64)
    triangle = torch.tensor([[[(*corner, 1.0) for corner in FACE]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: signed_distance(t, points, kind), triangle)
    assert torch.autograd.gradgradcheck(lambda t: signed_distance(t, points, kind), triangle)


def test_batch_equals_loop(generator: torch.Generator) -> None:
    triangles = torch.rand(3, 5, 3, 3, generator=generator, dtype=torch.float64)
    pixels = torch.rand(7, 2, generator=generator, dtype=torch.float64)
    for kind in KINDS:
        together = signed_distance(triangles, pixels, kind)
        assert together.shape == (3, 7, 5)
        for index in range(3):
            alone = signed_distance(triangles[index : index + 1], pixels, kind)[0]
            torch.testing.assert_close(together[index], alone, **FLOAT64)
