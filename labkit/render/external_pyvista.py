"""PyVista, that is VTK's OpenGL, behind the protocol of the off-the-shelf renderers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from labkit.errors import BackendError
from labkit.render.external_view import CURE, SIDE, View, pooled


class PyvistaDriver:
    """One off-screen window of VTK, lit by VTK's lights. Flat normals come from the fragment's position.

    Raises:
        BackendError: PyVista is not installed.
    """

    def __init__(self) -> None:
        try:
            import pyvista
        except ImportError as error:
            raise BackendError("pyvista", error, CURE) from error
        self.pyvista: Any = pyvista
        self.plotter = self.pyvista.Plotter(off_screen=True, lighting="none", window_size=(64, 64))
        self.plotter.set_background("black")
        # VTK averages its own samples with a gamma, which brightens the edges.
        self.plotter.render_window.SetMultiSamples(0)
        self.plotter.renderer.camera_set = True  # or PyVista would move it to show the whole shape
        self.actor = self.plotter.add_mesh(
            self.pyvista.Triangle(), diffuse=1.0, ambient=1.0, specular=0.0, interpolation="Flat", reset_camera=False
        )

    def draw(self, view: View) -> np.ndarray:
        """Return the picture, see `Driver.draw`."""
        self.actor.mapper.SetInputData(self.pyvista.PolyData.from_regular_faces(view.vertices, view.faces))
        look = self.actor.prop
        look.SetDiffuseColor([view.albedo] * 3)
        look.SetAmbientColor((view.albedo * view.ambient).tolist())
        self.plotter.remove_all_lights()
        # Where no light is, VTK adds one or shows everything unlit: so a black one is always there.
        for direction, color in [*zip(view.directions, view.colors, strict=True), (np.ones(3), np.zeros(3))]:
            light = self.pyvista.Light(position=direction.tolist(), focal_point=(0, 0, 0), light_type="scene light")
            light.positional = False
            light.SetDiffuseColor(color.tolist())
            self.plotter.add_light(light)
        camera = self.plotter.camera
        camera.SetPosition(0, 0, 0)
        camera.SetFocalPoint(0, 0, -1)
        camera.SetViewUp(0, 1, 0)
        camera.SetParallelProjection(view.projection == "orthographic")
        camera.SetParallelScale(view.half_height)
        camera.SetViewAngle(2 * math.degrees(math.atan(view.half_height)))
        camera.SetClippingRange(view.depths)
        self.plotter.window_size = view.size[1] * SIDE, view.size[0] * SIDE
        picture = self.plotter.screenshot(None, transparent_background=True, return_img=True)
        return pooled(np.asarray(picture, dtype=np.float32) / 255)

    def close(self) -> None:
        """Close the window."""
        self.plotter.close()
