"""Surfaces in 3D: geometry, colours, holes, marks, labels, and the picture in place of WebGL."""

from __future__ import annotations

import numpy as np
import pytest
from ipywidgets import widgets
from tolerances import FLOAT64

pytest.importorskip("pythreejs")

from labkit.errors import ShapeError
from labkit.lab.orbit import Orbit
from labkit.lab.surface_view import HALF, INK, MARK, Surface, SurfaceView, paint, picture, triangles

LIVE = widgets.widget._instances
EYE = Orbit.around(-28.0, 22.0, 4.4)


@pytest.fixture(autouse=True)
def synchronous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


def plane(side: int = 5, top: float = 2.0) -> Surface:
    """f = x1 + 10 x2, coloured by x1, with one mark."""
    x1, x2 = np.meshgrid(*[np.linspace(0.0, top, side)] * 2, indexing="ij")
    return Surface(top, x1 + 10 * x2, x1.copy(), np.array([[1.0, 2.0, 21.0]]))


def test_axes_point_where_they_should() -> None:
    vertices, faces, colors = triangles(plane(), tallest=22.0, limit=2.0)
    corners = vertices[[0, 20, 4, 24]]  # f(0, 0), f(2, 0), f(0, 2), f(2, 2)
    np.testing.assert_allclose(corners[:, [0, 2]], [[-1, 1], [1, 1], [-1, -1], [1, -1]], rtol=FLOAT64["rtol"])
    np.testing.assert_allclose(corners[:, 1], HALF * (np.array([0, 2, 20, 22]) / 11 - 1), rtol=FLOAT64["rtol"])
    assert len(vertices) == len(colors) == 25 + 8
    assert len(faces) == 2 * 16 + 12
    np.testing.assert_allclose(colors[0], paint(np.array([0.0]), 2.0)[0])
    np.testing.assert_allclose(colors[20], paint(np.array([2.0]), 2.0)[0])


def test_the_triangles_cover_the_square_once() -> None:
    vertices, faces, _ = triangles(plane(), 22.0, 2.0)
    a, b, c = (vertices[faces[:32, i]][:, [0, 2]] for i in range(3))
    areas = 0.5 * np.abs(np.linalg.det(np.stack([b - a, c - a], -1)))
    np.testing.assert_allclose(areas, 4.0 / 32, rtol=FLOAT64["rtol"])


def test_a_mark_is_a_closed_cube_around_its_point() -> None:
    vertices, faces, colors = triangles(plane(), 22.0, 2.0)
    cube = vertices[25:]
    np.testing.assert_allclose(cube.mean(0), [0.0, HALF * (21 / 11 - 1), -1.0], atol=FLOAT64["atol"])
    np.testing.assert_allclose(np.ptp(cube, axis=0), 2 * MARK, rtol=FLOAT64["rtol"])
    np.testing.assert_allclose(colors[25:], [INK] * 8)
    own = faces[32:]
    assert set(own.ravel()) == set(range(25, 33))
    edges = {tuple(sorted(pair)) for face in own for pair in zip(face, np.roll(face, 1), strict=True)}
    assert len(edges) == 18  # Euler: 8 - 18 + 12 = 2
    a, b, c = (vertices[own[:, i]] for i in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    assert area == pytest.approx(6 * (2 * MARK) ** 2)


def test_a_hole_has_no_faces() -> None:
    surface = plane()
    surface.height[2, 2] = np.nan
    vertices, faces, colors = triangles(surface, 22.0, 2.0)
    assert np.isfinite(vertices).all()
    assert np.isfinite(colors).all()
    assert 12 not in faces
    assert len(faces) == 32 - 6 + 12


def test_colours_end_at_their_limits() -> None:
    shown = paint(np.array([-3.0, 0.0, 1.0, 9.0, np.nan]), 1.0)
    assert (shown[0] == shown[1]).all()
    assert (shown[2] == shown[3]).all()
    assert (shown[4] == shown[1]).all()
    assert (shown[1] != shown[2]).any()


@pytest.mark.parametrize(
    "arrays",
    [
        (np.zeros((3, 4)), np.zeros((3, 4)), np.zeros((0, 3))),
        (np.zeros((3, 3)), np.zeros((2, 2)), np.zeros((0, 3))),
        (np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((0, 3))),
        (np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((4, 2))),
    ],
)
def test_arrays_that_do_not_fit(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ShapeError):
        Surface(1.0, *arrays)


def test_the_picture_is_seen_from_the_eye() -> None:
    seen = [picture(plane(), 22.0, 2.0, Orbit.around(a, 22.0, 4.4), 200, 160) for a in (-28.0, 60.0)]
    assert seen[0].shape == (160, 200, 3)
    assert np.abs(seen[0].astype(int) - seen[1]).mean() > 2


def test_the_view_shows_labels_and_mesh_and_closes() -> None:
    before = len(LIVE)
    view = SurfaceView(200, 160, EYE)
    view.show(plane(), 22.0, 2.0)
    assert [label.material.map.string for label in view._labels] == ["0", "x1 = 2", "x2 = 2", "22"]
    assert view._labels[1].scale[0] == pytest.approx(6 * view._labels[0].scale[0])
    np.testing.assert_allclose(view.view._shown.vertices[0], [-1, -HALF, 1])
    turned: list[Orbit] = []
    view.on_camera = turned.append
    view.view.on_camera(EYE)
    assert turned == [EYE]
    view.set_camera(Orbit.around(10.0, 20.0, 5.0))
    assert view.view.orbit.near(Orbit.around(10.0, 20.0, 5.0))
    view.close()
    assert len(LIVE) == before


def test_without_webgl_there_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_VIEW", "image")
    before = len(LIVE)
    view = SurfaceView(200, 160, EYE)
    view.set_camera(EYE)
    blank = view.view._picture.png()
    view.show(plane(), 22.0, 2.0)
    assert view.view._picture.png() != blank
    view.close()
    assert len(LIVE) == before
