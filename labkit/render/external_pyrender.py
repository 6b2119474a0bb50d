"""Pyrender, OpenGL through EGL, behind the protocol of the off-the-shelf renderers."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from labkit.errors import BackendError
from labkit.render.external_view import CURE, MAX_LIGHTS, View

LAMBERT = f"""
#version 330 core
struct Material {{ vec4 base_color_factor; }};
struct DirectionalLight {{ vec3 color; float intensity; vec3 direction; }};
uniform Material material;
uniform vec3 ambient_light;
uniform DirectionalLight directional_lights[{MAX_LIGHTS}];
uniform int n_directional_lights;
in vec3 frag_position;
out vec4 frag_color;

void main() {{
    vec3 normal = normalize(cross(dFdx(frag_position), dFdy(frag_position)));
    vec3 light = ambient_light;
    for (int i = 0; i < n_directional_lights; ++i)
        light += directional_lights[i].color * max(0.0, dot(normal, -directional_lights[i].direction));
    frag_color = vec4(material.base_color_factor.rgb * light, 1.0);
}}
"""


class PyrenderDriver:
    """One off-screen context of pyrender, lit by its lights, with Lambert's law in place of its fragment shader.

    That one adds highlights and a gamma, which no material takes away.

    Raises:
        BackendError: pyrender is not installed, or PYOPENGL_PLATFORM does not name an off-screen OpenGL.
    """

    def __init__(self) -> None:
        if os.environ.get("PYOPENGL_PLATFORM") not in ("egl", "osmesa"):
            got = os.environ.get("PYOPENGL_PLATFORM", "not set")
            raise BackendError("PYOPENGL_PLATFORM", got, "egl before Python starts, or isolated=True")
        try:
            import pyrender
            from pyrender.shader_program import ShaderProgramCache
        except ImportError as error:
            raise BackendError("pyrender", error, CURE) from error
        self.pyrender: Any = pyrender
        self.renderer = pyrender.OffscreenRenderer(64, 64)
        self.shaders = TemporaryDirectory(prefix="labkit-shaders-")
        shutil.copy(Path(pyrender.__file__).parent / "shaders" / "mesh.vert", self.shaders.name)
        (Path(self.shaders.name) / "mesh.frag").write_text(LAMBERT.strip(), encoding="utf-8")
        self.renderer._renderer._program_cache = ShaderProgramCache(self.shaders.name)

    def draw(self, view: View) -> np.ndarray:
        """Return the picture, see `Driver.draw`."""
        scene = self.pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=view.ambient)
        grey = [view.albedo] * 3
        material = self.pyrender.MetallicRoughnessMaterial(baseColorFactor=[*grey, 1.0], doubleSided=True)
        surface = self.pyrender.Primitive(
            view.vertices, indices=view.faces.astype(np.uint32), material=material, mode=self.pyrender.GLTF.TRIANGLES
        )
        scene.add(self.pyrender.Mesh([surface]))
        for direction, color in zip(view.directions, view.colors, strict=True):
            scene.add(self.pyrender.DirectionalLight(color=color), pose=_facing(direction))
        height, width = view.size
        near, far = view.depths
        if view.projection == "perspective":
            camera = self.pyrender.PerspectiveCamera(2 * math.atan(view.half_height), znear=near, zfar=far)
        else:
            across = view.half_height * width / height
            camera = self.pyrender.OrthographicCamera(across, view.half_height, znear=near, zfar=far)
        scene.add(camera)
        self.renderer.viewport_width, self.renderer.viewport_height = width, height
        picture, _ = self.renderer.render(scene, self.pyrender.RenderFlags.RGBA)
        return picture.astype(np.float32) / 255

    def close(self) -> None:
        """Delete the context."""
        self.renderer.delete()
        self.shaders.cleanup()


def _facing(direction: np.ndarray) -> np.ndarray:
    """A pose (4, 4) whose +z is the unit vector ``direction`` (3,): there the light stands."""
    pose = np.eye(4)
    smallest = np.eye(3)[np.abs(direction).argmin()]
    pose[:3, 0] = np.cross(smallest, direction) / np.linalg.norm(np.cross(smallest, direction))
    pose[:3, 1] = np.cross(direction, pose[:3, 0])
    pose[:3, 2] = direction
    return pose
