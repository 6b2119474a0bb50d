"""A lobe in 3D: the surface it stands on, the normal, the incoming light, and how much goes where."""

from __future__ import annotations

import math

import numpy as np
import pythreejs as p3
import torch
from matplotlib import colormaps

from labkit.geometry import Mesh
from labkit.lab.brdf_model import Lobe, incoming
from labkit.lab.brdf_plots import LIGHT
from labkit.lab.explorer_render import preview
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit

FIELD = 45.0  # angle of view, degrees
START = Orbit.around(20.0, 20.0, 3.1, (0.0, 0.35, 0.0))
COLORS = colormaps["viridis"]


class LobeView:
    """One lobe at a time, scaled to radius 1 at most, over a disc of radius 1.

    Args:
        width, height: CSS pixels.

    Attributes:
        widget: what is shown in the page.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width
        self._mesh: Mesh | None = None
        around = np.linspace(0, 2 * math.pi, 65)
        rim = np.stack([np.cos(around), np.full(65, -0.004), np.sin(around)], -1)  # a hair below the lobe
        fan = np.stack([np.zeros((64, 3)), rim[:-1], rim[1:]], 1).reshape(-1, 3).astype(np.float32)
        disc = p3.Mesh(
            p3.BufferGeometry(attributes={"position": p3.BufferAttribute(fan, normalized=False)}),
            p3.MeshBasicMaterial(color="#cccccc", side="DoubleSide", transparent=True, opacity=0.6),
        )
        self._light = p3.BufferAttribute(np.zeros((2, 3), np.float32), normalized=False)
        ray = p3.Line(
            p3.BufferGeometry(attributes={"position": self._light}),
            p3.LineBasicMaterial(color=LIGHT, linewidth=3),
            frustumCulled=False,
        )
        self._lamp = p3.Mesh(p3.SphereBufferGeometry(radius=0.05), p3.MeshBasicMaterial(color=LIGHT))
        up = p3.BufferAttribute(np.array([[0, 0, 0], [0, 1.15, 0]], np.float32), normalized=False)
        normal = p3.Line(p3.BufferGeometry(attributes={"position": up}), p3.LineBasicMaterial(color="#555555"))
        self.view = open_view(self._picture, width, height, FIELD, START, [disc, ray, self._lamp, normal])
        self.widget = self.view.widget

    def show(self, lobe: Lobe, incidence: float, scale: float, rooted: bool) -> None:
        """Show a lobe.

        Args:
            lobe: what to show.
            incidence: angle between normal and light, degrees.
            scale, rooted: as of `Lobe.triangles`.
        """
        end = tuple(1.2 * part for part in incoming(incidence).tolist())
        self._light.array = np.array([(0.0, 0.0, 0.0), end], np.float32)
        self._lamp.position = end
        vertices, faces, height = lobe.triangles(scale, rooted)
        colors = torch.as_tensor(COLORS(height.numpy())[:, :3])
        self._mesh = Mesh(vertices.float(), faces, colors=colors.float())
        self.view.update(vertices, faces, colors, self._mesh.vertex_normals())

    def close(self) -> None:
        """Close every widget."""
        self.view.close()

    def _picture(self, orbit: Orbit) -> torch.Tensor:
        if self._mesh is None:
            return torch.ones(3, self._size, self._size)
        return preview(self._mesh, orbit, (), self._size)
