"""Mitsuba 3 behind the protocol of the off-the-shelf renderers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from labkit.errors import BackendError
from labkit.render.external_view import CURE, SIDE, View


class MitsubaDriver:
    """Rays traced by the variant scalar_rgb, which needs neither LLVM nor CUDA.

    Mitsuba's integrators let every surface cast shadows, and the protocol has none. So the light that each face sends
    is computed here and given to Mitsuba as the face's reflectance, of which it makes the picture (AOV ``albedo``).

    Raises:
        BackendError: Mitsuba is not installed.
    """

    def __init__(self) -> None:
        try:
            import mitsuba
        except ImportError as error:
            raise BackendError("mitsuba", error, CURE) from error
        mitsuba.set_variant("scalar_rgb")
        self.mitsuba: Any = mitsuba

    def draw(self, view: View) -> np.ndarray:
        """Return the picture, see `Driver.draw`."""
        scene = self.mitsuba.load_dict(
            {
                "type": "scene",
                "shape": self._mesh(view),
                "sensor": self._sensor(view),
                # Without a light "direct" sends no rays of its own; it is there for the coverage.
                "integrator": {"type": "aov", "aovs": "color:albedo", "seen": {"type": "direct"}},
            }
        )
        layers = np.array(self.mitsuba.render(scene, seed=0))  # (H, W, 7) black, coverage, color
        return np.concatenate([layers[..., 4:7], layers[..., 3:4]], -1).clip(0, 1).astype(np.float32)

    def close(self) -> None:
        """There is nothing to give back."""

    def _mesh(self, view: View) -> object:
        """Mitsuba's mesh; its attribute face_color is what each face sends to the eye."""
        properties = self.mitsuba.Properties()
        reflectance = {"type": "mesh_attribute", "name": "face_color"}
        properties["bsdf"] = self.mitsuba.load_dict({"type": "diffuse", "reflectance": reflectance})
        mesh = self.mitsuba.Mesh("shape", len(view.vertices), len(view.faces), props=properties)
        mesh.add_attribute("face_color", 3, reflected(view).clip(0, 1).ravel())
        fields = self.mitsuba.traverse(mesh)
        fields["vertex_positions"] = view.vertices.ravel()
        fields["faces"] = view.faces.astype(np.uint32).ravel()
        fields.update()
        return mesh

    def _sensor(self, view: View) -> dict[str, object]:
        """The camera; Mitsuba's looks along +z with x to the left."""
        transform = self.mitsuba.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, -1], up=[0, 1, 0])
        height, width = view.size
        lens: dict[str, object] = {"fov": 2 * math.degrees(math.atan(view.half_height)), "fov_axis": "y"}
        if view.projection == "orthographic":
            scale = view.half_height * width / height  # half of the width is 1 unit wide
            lens, transform = {}, transform @ self.mitsuba.ScalarTransform4f().scale([scale, scale, 1])
        return {
            "type": view.projection,
            **lens,
            "near_clip": view.depths[0],
            "far_clip": view.depths[1],
            "to_world": transform,
            "sampler": {"type": "stratified", "sample_count": SIDE**2, "jitter": False},
            "film": {
                "type": "hdrfilm",
                "width": width,
                "height": height,
                "pixel_format": "rgba",
                "component_format": "float32",
                "rfilter": {"type": "box"},
            },
        }


def reflected(view: View) -> np.ndarray:
    """(F, 3) float32: what each face sends to the eye, as `View` says."""
    corners = view.vertices[view.faces]  # (F, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    cosines = np.maximum(normals @ view.directions.T, 0)  # (F, L)
    return view.albedo * (view.ambient + cosines @ view.colors)
