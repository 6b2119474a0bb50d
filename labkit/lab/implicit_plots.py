"""Drawings of a plane through a signed field: level lines, rays, steps and arrows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from labkit.lab.plots import SOFT
from labkit.lab.sorting_plots import quick_figure

SIZE = (400, 360)  # width and height of a drawing in pixels
MARGINS = {"left": 46.0, "bottom": 34.0, "right": 6.0, "top": 6.0}
SCALE = 138.0  # pixels a world unit
HALF = (
    (SIZE[0] - MARGINS["left"] - MARGINS["right"]) / 2 / SCALE,
    (SIZE[1] - MARGINS["bottom"] - MARGINS["top"]) / 2 / SCALE,
)
EXTENT = (-HALF[0], HALF[0], -HALF[1], HALF[1])  # left, right, bottom, top in world units
BAND = 0.2  # world units of f between two level lines
OUTSIDE, INSIDE = np.array([0.93, 0.95, 0.97]), np.array([0.93, 0.86, 0.72])
RASTER = (240, 261)  # rows and columns at which the field is evaluated


def place(row: float, column: float) -> tuple[float, float]:
    """The point of the plane that a pixel of a drawing shows."""
    return EXTENT[0] + (column + 0.5 - MARGINS["left"]) / SCALE, EXTENT[3] - (row + 0.5 - MARGINS["top"]) / SCALE


def section(values: np.ndarray, sphere: float) -> tuple[Figure, Axes]:
    """The field on the plane: its inside sand-coloured, a level line every 0.2, the surface black, the sphere dashed.

    Args:
        values: (H, W) f over `EXTENT`.
        sphere: radius of the circle in which the plane cuts the bounding sphere, world units.
    """
    made, axes = quick_figure(SIZE, **MARGINS)
    phase = np.abs((values / BAND) % 1 - 0.5)[..., None]  # 0.5 on a level line
    ground = np.where(values[..., None] > 0, OUTSIDE, INSIDE) * (1 - 0.1 * np.clip((phase - 0.44) / 0.06, 0, 1))
    axes.imshow(ground, extent=EXTENT, aspect="auto", interpolation="bilinear", zorder=0)
    if values.min() < 0 < values.max():
        axes.contour(values, [0.0], colors="#222222", linewidths=1.4, extent=EXTENT, origin="upper")
    axes.add_patch(Circle((0, 0), sphere, fill=False, linestyle="--", linewidth=0.8, edgecolor="#777777"))
    ticks = ((-1, -0.5, 0, 0.5, 1), ("-1", "-0.5", "0", "0.5", "1"))
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)
    axes.set(xlim=EXTENT[:2], ylim=EXTENT[2:])
    axes.set_xlabel("away from the camera (world units)", fontsize=8, labelpad=1)
    axes.set_ylabel("to its left (world units)", fontsize=8, labelpad=0)
    return made, axes


def add_ray(axes: Axes, eye: np.ndarray, end: np.ndarray, aim: tuple[float, float]) -> None:
    """The ray from the eye (2,) to its end (2,), thin beyond that, and the handle at which it is dragged."""
    beyond = eye + (end - eye) * 10
    axes.plot(*zip(eye, beyond, strict=True), color="#999999", linewidth=0.7, zorder=2)
    axes.plot(*zip(eye, end, strict=True), color="#333333", linewidth=1.1, zorder=2)
    axes.plot(*aim, marker="o", markersize=11, markerfacecolor="none", markeredgecolor="#cc79a7", markeredgewidth=2)


def add_circles(axes: Axes, middles: np.ndarray, radii: Sequence[float], color: str = SOFT, style: str = "-") -> None:
    """Circles around (N, 2)."""
    for middle, radius in zip(middles, radii, strict=True):
        axes.add_patch(Circle(tuple(middle), radius, fill=False, edgecolor=color, linewidth=0.9, linestyle=style))


def add_arrow(axes: Axes, start: np.ndarray, along: np.ndarray, color: str = SOFT) -> None:
    """An arrow from a point (2,) along a vector (2,)."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", xy=tuple(start + along), xytext=tuple(start), arrowprops=style, annotation_clip=False)


class Drawing:
    """Draws on a ground that stays for a while: a third of the time of drawing everything anew."""

    def __init__(self) -> None:
        self._key: Any = None

    def drawn(self, key: Any, ground: Callable[[], tuple[Figure, Axes]], overlay: Callable[[Axes], None]) -> np.ndarray:
        """The picture, (H, W, 3) uint8.

        Args:
            key: what the ground depends on; ``ground`` is called when it changes.
            ground: makes the figure and its axes.
            overlay: adds to the axes what is to be drawn this time only.
        """
        if key != self._key:
            made, self._axes = ground()
            self._canvas = FigureCanvasAgg(made)
            self._canvas.draw()
            self._region = self._canvas.copy_from_bbox(made.bbox)
            self._key = key
        self._canvas.restore_region(self._region)
        before = set(self._axes.get_children())
        overlay(self._axes)
        for artist in sorted(set(self._axes.get_children()) - before, key=lambda artist: artist.zorder):
            self._axes.draw_artist(artist)
            artist.remove()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()


def patch(color: Sequence[float]) -> str:
    """HTML: a small square of a colour in [0, 1], and its mean brightness."""
    red, green, blue = (round(255 * min(max(part, 0.0), 1.0)) for part in color)
    square = f'<span style="display:inline-block;width:34px;height:15px;background:rgb({red},{green},{blue})"></span>'
    return f'{square} <span style="font-size:11px;vertical-align:3px">{sum(color) / 3:.2f}</span>'
