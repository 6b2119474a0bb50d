"""The controls of the gradient panel."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as W

from labkit.lab import controls
from labkit.lab.explorer_mesh import SHAPES
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.gradient_state import (
    COLORS,
    DIRECTIONS,
    EVERY,
    NONE,
    PIXEL,
    RENDERERS,
    SAME,
    SILHOUETTE,
    SIZES,
    VERTEX,
    WHOLE,
)
from labkit.lab.panel import Panel


def column(panel: Panel, upload: Callable[[list[tuple[str, bytes]]], None]) -> tuple[W.Widget, W.Widget]:
    """All controls, one below the other, bound to the panel's state.

    Args:
        panel: whose state it is.
        upload: called as ``upload(files)`` with (name, content) pairs.

    Returns:
        The part that belongs to an own file only, and the whole column.
    """
    make = controls.Controls(panel)
    path = W.Text(placeholder="path of a mesh file", description="file", continuous_update=False)
    controls.dress(path, "path")
    own = W.VBox([panel.bind(path, "path"), controls.mesh_upload(panel, upload)])
    vertex = W.BoundedIntText(min=0, max=10_000_000, description="vertex number")
    controls.dress(vertex, "vertex")
    renderers = [*RENDERERS, NONE]
    return own, controls.column(
        controls.heading("What should change?"),
        make.menu("loss", "loss", [SILHOUETTE, COLORS, PIXEL], "What the gradient is the gradient of"),
        make.menu("goal", "target", [SAME, *SHAPES]),
        make.slider("shift_x", "target to the right", 0.01, "World units; the mesh has the radius 1"),
        make.slider("shift_y", "target up", 0.01, "World units; the mesh has the radius 1"),
        controls.heading("Renderers, side by side"),
        make.menu("first", "first", [*RENDERERS]),
        make.menu("second", "second", renderers),
        make.menu("third", "third", renderers),
        make.slider("edge", "edge width (pixels)", tip="Softness of all soft renderers alike", log=True),
        make.whole("shown", "3D view shows no.", tip="Which of the renderers"),
        controls.heading("A vertex: click it, drag it"),
        panel.bind(vertex, "vertex"),
        make.slider("move_x", "moved to the right", 0.01, "World units"),
        make.slider("move_y", "moved up", 0.01, "World units"),
        controls.heading("Descent: Run, Step"),
        make.menu("free", "what may move", [EVERY, WHOLE]),
        make.menu("method", "method", [("Adam", "Adam"), ("plain gradient", "gradient")]),
        make.slider("rate", "rate (world units)", tip="How far the fastest vertex moves in the first step", log=True),
        make.whole("steps", "steps of a run"),
        controls.heading("Line through parameter space"),
        make.menu("moved", "what is moved", [WHOLE, VERTEX]),
        make.menu("along", "direction", [*DIRECTIONS]),
        controls.heading("Mesh, camera, picture"),
        make.menu("mesh", "mesh", [*SHAPES, OWN_FILE]),
        own,
        make.slider("azimuth", "azimuth (°)", 0.1),
        make.slider("elevation", "elevation (°)", 0.1),
        make.slider("distance", "distance", 0.01),
        make.menu("size", "pixels a side", SIZES),
    )
