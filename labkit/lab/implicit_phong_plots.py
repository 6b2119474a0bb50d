"""Drawings of one lit surface point, and maps of its colour over the angles of normal and camera."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from labkit.lab.implicit_phong import WIDEST, PhongState
from labkit.lab.plots import DPI, SOFT, png

SITUATIONS, MAPS = (606, 190), (606, 200)  # width and height in pixels
LAMP, SURFACE = "#e69f00", "#8a6d3b"


def situations(state: PhongState, colors: Tensor) -> bytes:
    """Both situations side by side, the colour that arrives painted into each camera.

    Args:
        state: the angles.
        colors: (2, 3) what the cameras see.
    """
    made = Figure(figsize=(SITUATIONS[0] / DPI, SITUATIONS[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    angles = ((state.first_normal, state.first_view), (state.normal, state.view))
    titles = ("(a), to compare with", "now, on the sliders")
    for number, ((normal, view), title) in enumerate(zip(angles, titles, strict=True)):
        axes = made.add_axes((number / 2, 0.0, 0.5, 0.9))
        axes.set_title(title, fontsize=9, pad=2)
        _situation(axes, state.light, normal, view, tuple(colors[number].tolist()))
    return png(made)


def _situation(axes: Axes, light: float, normal: float, view: float, color: tuple[float, ...]) -> None:
    axes.set(xlim=(-2.0, 2.0), ylim=(-0.75, 1.5), aspect="equal")
    axes.set_axis_off()
    lamp, eye, n = 1.25 * _compass(light), 1.25 * _compass(view), _compass(normal)
    along = np.array([n[1], -n[0]])
    axes.plot(*zip(-0.8 * along, 0.8 * along, strict=True), color=SURFACE, linewidth=5, solid_capstyle="butt")
    axes.plot(*zip(lamp, (0, 0), strict=True), color=LAMP, linewidth=1.4)
    axes.plot(*lamp, marker="*", color=LAMP, markersize=15)
    axes.plot(*zip((0, 0), _compass(2 * normal - view), strict=True), color="#777777", linewidth=1.1, linestyle=":")
    _label(axes, 1.1 * _compass(2 * normal - view), "r", "#777777")
    axes.plot(*zip((0, 0), eye, strict=True), color=SOFT, linewidth=1.4)
    axes.plot(*eye, marker="o", markersize=15, markerfacecolor=color, markeredgecolor=SOFT, markeredgewidth=2)
    head: Any = {"arrowstyle": "-|>", "color": "#222222", "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=tuple(0.8 * n), xytext=(0, 0), arrowprops=head)
    _label(axes, 0.93 * n, "n")
    axes.plot(0, 0, "o", color="#222222", markersize=5)
    _label(axes, -0.22 * n, "x")


def _label(axes: Axes, place: np.ndarray, text: str, color: str = "#222222") -> None:
    axes.text(float(place[0]), float(place[1]), text, fontsize=9, color=color, ha="center", va="center")


def _compass(degrees: float) -> np.ndarray:
    return np.array([math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])


def knowledge(state: PhongState, maps: Mapping[str, tuple[Tensor, float]]) -> bytes:
    """The best map of each renderer, its error, and where the two situations are in it.

    Args:
        state: the angles.
        maps: by the name of the renderer, colours (N, V, 3) over the angles, and the root mean square error.
    """
    made = Figure(figsize=(MAPS[0] / DPI, MAPS[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    width, height = MAPS
    for column, (name, (colors, error)) in enumerate(maps.items()):
        box = ((44 + 141 * column) / width, 38 / height, 130 / width, 130 / height)
        axes = made.add_axes(box)
        extent = (-WIDEST, WIDEST, -WIDEST, WIDEST)
        axes.imshow(colors.numpy(), extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
        for normal, view, marker, text in (
            (state.first_normal, state.first_view, "s", "a"),
            (state.normal, state.view, "o", "now"),
        ):
            axes.plot(view, normal, marker, markersize=7, markerfacecolor="none", markeredgecolor="white")
            shift, side = ((-6, 3), "right") if view > 0 else ((6, 3), "left")
            axes.annotate(text, (view, normal), shift, textcoords="offset points", fontsize=7, color="white", ha=side)
        axes.set_title(f"{name}\nerror {error:.3f}", fontsize=8, pad=3)
        axes.set_xticks((-30, 0, 30))
        axes.set_yticks((-30, 0, 30) if column == 0 else ())
        axes.tick_params(labelsize=7)
        axes.set_xlabel("camera (°)", fontsize=8, labelpad=1)
        if column == 0:
            axes.set_ylabel("normal (°)", fontsize=8, labelpad=-6)
    return png(made)
