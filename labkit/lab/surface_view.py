"""Functions of two numbers as surfaces in 3D, in a box with labels; drawn by matplotlib where there is no WebGL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pythreejs as p3
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from labkit.errors import ShapeError
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit
from labkit.lab.plots import DPI

COLORS = "viridis"  # even steps look even, to the colour-blind as well
HALF = 0.75  # half the height of the box; its other sides go from -1 to 1
MARK = 0.022  # half the side of the cube that marks a point
TEXT = 0.2  # height of a line of text
INK = (0.1, 0.1, 0.1)
# the corners of a cube, number 4 a + 2 b + c at (a, b, c), its 12 triangles and its 12 edges
_CUBE = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
_CUBE_FACES = np.reshape([0, 1, 3, 2, 4, 6, 7, 5, 0, 4, 5, 1, 2, 3, 7, 6, 0, 2, 6, 4, 1, 5, 7, 3], (6, 4))
_CUBE_FACES = np.concatenate([_CUBE_FACES[:, [0, 1, 2]], _CUBE_FACES[:, [0, 2, 3]]])
_EDGES = np.array([(i, j) for i in range(8) for j in range(i) if np.abs(_CUBE[i] - _CUBE[j]).sum() == 1])


@dataclass(frozen=True, eq=False)
class Surface:
    """A function f(x1, x2) sampled on an even grid over [0, top]^2, x1 along the rows' numbers and x2 along a row.

    Attributes:
        top: where the square ends.
        height: (N, N) values of f; NaN where it has none, and there is a hole.
        color: (N, N) what the colour shows; not used in holes.
        marks: (K, 3) points (x1, x2, f) to be marked.

    Raises:
        ShapeError: the arrays do not fit.
    """

    top: float
    height: np.ndarray
    color: np.ndarray
    marks: np.ndarray

    def __post_init__(self) -> None:
        side = len(self.height)
        if side < 2 or not self.height.shape == self.color.shape == (side, side):
            raise ShapeError("height", (self.height.shape, self.color.shape), "(N, N) twice, N at least 2")
        if self.marks.ndim != 2 or self.marks.shape[1] != 3:
            raise ShapeError("marks", self.marks.shape, "(K, 3)")


def paint(values: np.ndarray, limit: float) -> np.ndarray:
    """Colours (..., 3) in [0, 1] of values (...): the colour map from 0 to ``limit``, its ends beyond."""
    return colormaps[COLORS](np.nan_to_num(values) / limit)[..., :3]


def triangles(surface: Surface, tallest: float, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The surface and its marks as a mesh: x1 along +x, x2 along -z, the height along +y.

    Args:
        surface: what to show.
        tallest: the height at the top of the box, whose bottom is 0.
        limit: the value that has the last colour.

    Returns:
        vertices (V, 3), faces (F, 3) without those that touch a hole, and colours (V, 3) in [0, 1].
    """
    side = len(surface.height)
    x1, x2 = np.meshgrid(*[np.linspace(0.0, surface.top, side)] * 2, indexing="ij")
    points = np.stack([x1, x2, np.nan_to_num(surface.height)], -1).reshape(-1, 3)
    number = np.arange(side * side).reshape(side, side)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    faces = faces[np.isfinite(surface.height).reshape(-1)[faces].all(1)]
    centres = _world(surface.marks, surface.top, tallest)
    cubes = (centres[:, None] + MARK * (2 * _CUBE - 1)).reshape(-1, 3)  # (8 K, 3)
    cube_faces = _CUBE_FACES + side * side + 8 * np.arange(len(centres))[:, None, None]  # (K, 12, 3)
    return (
        np.concatenate([_world(points, surface.top, tallest), cubes]),
        np.concatenate([faces, cube_faces.reshape(-1, 3)]),
        np.concatenate([paint(surface.color, limit).reshape(-1, 3), np.tile(INK, (len(cubes), 1))]),
    )


def _world(points: np.ndarray, top: float, tallest: float) -> np.ndarray:
    """(..., 3) points (x1, x2, height) in the coordinates of the 3D view."""
    x1, x2, height = np.moveaxis(points, -1, 0)
    return np.stack([2 * x1 / top - 1, HALF * (2 * height / tallest - 1), 1 - 2 * x2 / top], -1)


def picture(surface: Surface, tallest: float, limit: float, orbit: Orbit, width: int, height: int) -> np.ndarray:
    """The same by matplotlib, (height, width, 3) uint8; arguments as of `triangles`."""
    made = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="tight")
    canvas = FigureCanvasAgg(made)
    axes: Any = made.add_subplot(projection="3d", xlabel="x1", ylabel="x2")
    x1, x2 = np.meshgrid(*[np.linspace(0.0, surface.top, len(surface.height))] * 2, indexing="ij")
    axes.plot_surface(x1, x2, surface.height, facecolors=paint(surface.color, limit), rstride=1, cstride=1, shade=False)
    axes.scatter(*surface.marks.T, color=INK, s=2)
    axes.set(xlim=(0, surface.top), ylim=(0, surface.top), zlim=(0, tallest), box_aspect=(1, 1, HALF))
    axes.view_init(orbit.elevation, orbit.azimuth - 90)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


class SurfaceView:
    """One surface at a time in a box with labels that can be turned; methods as of `labkit.lab.mesh_view.MeshView`.

    Args:
        width, height: CSS pixels.
        orbit: where the eye is.

    Attributes:
        view: the view inside.
        widget: what is shown in the page.
    """

    def __init__(self, width: int, height: int, orbit: Orbit) -> None:
        self._size = (width, height)
        self._newest: tuple[Surface, float, float] | None = None
        low, high = -HALF, HALF
        places = (-1.08, low - 0.1, 1.08), (0.75, low - 0.2, 1.15), (-1.35, low - 0.05, -0.8), (-1.1, high + 0.15, 1.1)
        self._labels = [_label("", place) for place in places]
        corners = (2 * _CUBE - 1) * (1.0, HALF, 1.0)
        frame = p3.LineSegments(
            p3.BufferGeometry(attributes={"position": p3.BufferAttribute(corners[_EDGES].reshape(-1, 3).astype("f4"))}),
            p3.LineBasicMaterial(color="#999999"),
        )
        self.view = open_view(self._picture, width, height, 45.0, orbit, [frame, *self._labels])
        self.widget = self.view.widget

    @property
    def on_camera(self) -> Callable[[Orbit], None]:
        """Called as ``on_camera(orbit)`` when the user has turned the view."""
        return self.view.on_camera

    @on_camera.setter
    def on_camera(self, turned: Callable[[Orbit], None]) -> None:
        self.view.on_camera = turned

    def show(self, surface: Surface, tallest: float, limit: float) -> None:
        """Show a surface (arguments: `triangles`)."""
        texts = ("0", f"x1 = {surface.top:g}", f"x2 = {surface.top:g}", f"{tallest:g}")
        for label, text in zip(self._labels, texts, strict=True):
            label.material.map.string, label.scale = text, _scale(text)
        self._newest = (surface, tallest, limit)
        self.view.update(*triangles(surface, tallest, limit))

    def set_camera(self, orbit: Orbit) -> None:
        """Move the eye; `on_camera` is not called for it."""
        self.view.set_camera(orbit)

    def close(self) -> None:
        """Close every widget."""
        self.view.close()

    def _picture(self, orbit: Orbit) -> np.ndarray:
        if self._newest is None:
            return np.full((*self._size[::-1], 3), 255, np.uint8)
        return picture(*self._newest, orbit, *self._size)


def _label(text: str, place: tuple[float, float, float]) -> p3.Sprite:
    texture = p3.TextTexture(string=text, color="#222222", size=44, squareTexture=False, minFilter="LinearFilter")
    material = p3.SpriteMaterial(map=texture, transparent=True, depthTest=False)
    return p3.Sprite(material=material, position=place, scale=_scale(text))


def _scale(text: str) -> tuple[float, float, float]:
    """Width and height of a label: a letter is half as wide as the line is high, on average."""
    return 0.5 * TEXT * len(text), TEXT, 1.0
