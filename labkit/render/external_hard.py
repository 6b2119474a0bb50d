"""labkit's own z-buffer behind the protocol of the off-the-shelf renderers: for machines without OpenGL."""

from __future__ import annotations

import math

import numpy as np
import torch

from labkit.geometry import Mesh
from labkit.render.external_view import SIDE, View, pooled
from labkit.render.raster import Hard
from labkit.render.scene import render
from labkit.scene import Ambient, Camera, Directional, Light


class HardDriver:
    """`labkit.render` with `Hard`, each pixel the mean of SIDE * SIDE samples on a square grid."""

    def draw(self, view: View) -> np.ndarray:
        """Return the picture, see `Driver.draw`."""
        vertices = torch.from_numpy(view.vertices)
        lights: list[Light] = [Ambient(torch.from_numpy(view.ambient))]
        for direction, color in zip(view.directions, view.colors, strict=True):
            lights.append(Directional(torch.from_numpy(direction), torch.from_numpy(color)))
        half = view.half_height * min(view.size) / view.size[0]  # along the shorter side
        camera = Camera(
            torch.eye(3),
            torch.zeros(3),
            fov=2 * math.degrees(math.atan(half)),
            projection=view.projection,
            near=view.depths[0],
            half_height=half,
        )
        seen = render(
            Mesh(vertices, torch.from_numpy(view.faces).long(), colors=torch.full_like(vertices, view.albedo)),
            camera,
            (view.size[0] * SIDE, view.size[1] * SIDE),
            Hard(),
            lights=lights,
        )
        layers = torch.cat([seen.color.clamp(0, 1), seen.alpha], 1)  # (1, 4, SIDE H, SIDE W)
        return pooled(layers[0].movedim(0, -1).numpy())

    def close(self) -> None:
        """There is nothing to give back."""
