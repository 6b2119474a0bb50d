"""Cameras as pyramids around a mesh: where each stands, where it looks, what it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from labkit.geometry import Mesh
from labkit.lab.plots import DPI, SOFT, png
from labkit.scene import Camera
from labkit.scene.frustum import frustum

INKS = (SOFT, "#009e73", "#cc79a7", "#b58900")


def cameras_picture(
    mesh: Mesh, cameras: Mapping[str, Camera], size: Sequence[int], depth: float = 1.0, side: int = 420
) -> bytes:
    """The edges of a mesh and the pyramids of cameras, in perspective, y upwards.

    Args:
        mesh: one mesh.
        cameras: single cameras by name.
        size: (height, width) of their pictures in pixels.
        depth: how far their pyramids reach, world units.
        side: of the picture, pixels.
    """
    made = Figure(figsize=(side * 1.25 / DPI, side / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    axes: Any = made.add_axes((0.0, 0.0, 1.0, 1.0), projection="3d")
    order = [2, 0, 1]  # z, x, y of the world as matplotlib's x, y and its upward z
    vertices = mesh.vertices.detach().cpu().numpy()
    lines = vertices[mesh.edges().cpu().numpy()][..., order]  # (E, 2, 3)
    axes.add_collection3d(Line3DCollection(lines, colors="#999999", linewidths=0.5))
    seen = [vertices]
    for number, (name, camera) in enumerate(cameras.items()):
        corners, edges = frustum(camera, size, depth)
        points, ink = corners.detach().cpu().numpy(), INKS[number % len(INKS)]
        axes.add_collection3d(Line3DCollection(points[edges.cpu().numpy()][..., order], colors=ink, linewidths=1.6))
        top = points[[1, 2]].mean(0) + 0.12 * (points[1] - points[4])  # a tick above the picture's upper edge
        axes.plot(*np.stack([points[1], top, points[2]])[:, order].T, color=ink, linewidth=1.6)
        axes.text(*points[0][order], f" {name}", color=ink, fontsize=9)
        seen.append(points)
    everything = np.concatenate(seen)[:, order]
    middle, reach = (everything.max(0) + everything.min(0)) / 2, np.ptp(everything, 0).max() / 2
    for limit, centre, label in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), middle, "zxy", strict=True):
        limit(centre - reach, centre + reach)
        getattr(axes, f"set_{'xyz'['zxy'.index(label)]}label")(label)
    axes.tick_params(labelsize=7)
    axes.view_init(elev=20, azim=35)
    return png(made)
