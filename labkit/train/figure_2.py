"""The sanity check of DIB-R: eight attributes of a scene, each spoiled, then recovered from pictures.

Source: DIB-R (Chen et al. 2019), Figure 2 and section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from labkit.errors import check_tensor
from labkit.geometry import Mesh, torus
from labkit.render.raster.dibr import DIBR
from labkit.render.views import OrbitPose, Scene
from labkit.scene import Ambient, Directional, Phong, SphericalHarmonics
from labkit.train.fit import L1, Fit, fit
from labkit.train.objective import Objective
from labkit.train.parameters import replaced

SKY = (
    (1.9, 0.5, 0.6, -0.4, 0.2, 0.3, -0.2, 0.2, 0.3),
    (1.7, 0.8, 0.2, -0.1, -0.2, 0.2, 0.1, 0.3, -0.2),
    (1.5, 1.1, -0.3, 0.3, 0.1, -0.3, 0.2, -0.2, 0.1),
)  # red, green, blue: brightness between 0 and 1 on every normal


@dataclass(frozen=True, eq=False)
class Problem:
    """One of the eight optimizations.

    Attributes:
        title: what is recovered, and in which model of shading.
        start, target: scenes that differ in that alone.
        rates, steps, losses, schedules: as `labkit.train.fit` takes them.
    """

    title: str
    start: Scene
    target: Scene
    rates: Mapping[str, float]
    steps: int
    losses: Mapping[str, float] = field(default_factory=lambda: L1)
    schedules: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @torch.no_grad()
    def pictures(self) -> Tensor:
        """The target's colour and alpha, (B, 4, H, W)."""
        seen = self.target.render()
        return torch.cat((seen.color, seen.alpha), 1)

    def fit(self) -> Fit:
        """The work, to be iterated."""
        steps, schedules = self.steps, self.schedules
        return fit(self.start, self.pictures(), self.rates, losses=self.losses, schedules=schedules, steps=steps)

    @torch.no_grad()
    def error(self, scene: Scene) -> float:
        """Mean absolute difference of colour and alpha to the target, both by the target's rasterizer."""
        return Objective(self.pictures(), L1)(replace(scene, rasterizer=self.target.rasterizer)).terms["l1"]


def problems(mesh: Mesh | None = None, size: int = 64) -> dict[str, Problem]:
    """The eight optimizations by their letters in the figure, "a" to "h", each seen from four sides.

    Args:
        mesh: what is seen, vertices (V, 3), of any size and place; it gets the colours and the texture that a problem
            needs, and uv where it has none. None takes `bent_torus`.
        size: pixels along each side.

    Raises:
        LabError: a mesh or size that is not valid.
    """
    whole = (bent_torus() if mesh is None else mesh.validate()).normalized()
    vertices = check_tensor("vertices", whole.vertices, "V 3")
    uv = (vertices[:, :2] + 1) / 2 if whole.uv is None else whole.uv
    grey = Mesh(vertices, whole.faces).weld()
    x, y, z = grey.vertices.unbind(-1)  # (V,) each
    colored = grey.replace(colors=torch.stack(((x + 1) / 2, (y + 1) / 2, 0.5 + 0.4 * torch.sin(4 * z)), -1))
    mapped = Mesh(vertices, whole.faces, uv, texture=pattern().to(vertices))
    azimuth, elevation = x.new_tensor([[20, 110, 200, 290], [35, -35, 35, -35]])  # (4,) each, degrees
    delta = (64 / size) ** 2 / 7000  # DIB-R's own at 64 pixels
    pose = OrbitPose(azimuth, elevation, 3.0, fov=45.0)
    vertex_colors = Scene(
        colored,
        pose,
        (size, size),
        DIBR(delta),
        lights=(Ambient(1.0),),
        shading="phong",
    )
    texture = replace(vertex_colors, mesh=mapped)
    lambert = replace(
        vertex_colors, mesh=grey, lights=(Directional((0.5, 0.7, 0.6), 0.8), Directional((-0.5, -0.6, -0.5), 0.5))
    )
    sky = replace(lambert, lights=(SphericalHarmonics(x.new_tensor(SKY).T),))
    even = x.new_tensor([1.8] + [0.0] * 8)[:, None].expand(9, 3)
    shiny = replace(lambert, material=Phong(0.6, 30.0))
    turned = replace(pose, azimuth=azimuth + 20, elevation=elevation - 12, distance=x.new_tensor(3.4))
    around, along = (2 * math.pi * uv).unbind(-1)
    shape: dict[str, Any] = {
        "losses": {"l1": 1.0, "laplacian": 3.0},
        "schedules": {"rasterizer.delta": (7 * delta, delta)},
    }

    def problem(
        title: str, target: Scene, path: str, spoiled: Any, rates: Mapping[str, float], steps: int, **more: Any
    ) -> Problem:
        return Problem(title, replaced(target, path, spoiled), target, rates, steps, **more)

    moved = ("mesh.vertices", warped(grey.vertices), {"mesh.vertices": 0.01}, 100)
    blank, plain = torch.full_like(grey.vertices, 0.5), x.new_full((3, 32, 32), 0.5)
    shifted = uv + 0.06 * torch.stack((torch.sin(along + 1), torch.cos(around)), -1)
    angles = {"camera.azimuth": 1.0, "camera.elevation": 1.0, "camera.distance": 0.01}
    light = "lights.0.coefficients"
    highlight = {"material.specular": 0.05, "material.shininess": 0.15}
    return {
        "a": problem("vertex positions, vertex colours", vertex_colors, *moved, **shape),
        "b": problem("vertex colours", vertex_colors, "mesh.colors", blank, {"mesh.colors": 0.04}, 40),
        "c": problem("texture", texture, "mesh.texture", plain, {"mesh.texture": 0.04}, 40),
        "d": problem("texture coordinates", texture, "mesh.uv", shifted, {"mesh.uv": 0.006}, 60),
        "e": problem("vertex positions, Lambert", lambert, *moved, **shape),
        "f": problem("camera position, Lambert", lambert, "camera", turned, angles, 60, schedules=shape["schedules"]),
        "g": problem("light, spherical harmonics", sky, light, even, {light: 0.1}, 40),
        "h": problem("material, Phong", shiny, "material", Phong(0.2, 5.0), highlight, 60),
    }


def pattern(side: int = 32) -> Tensor:
    """A smooth texture (3, side, side) that repeats, with another colour at almost every place."""
    angle = 2 * math.pi * (torch.arange(side) + 0.5) / side
    u, v = angle[None, :].expand(side, side), angle[:, None].expand(side, side)
    return 0.5 + 0.4 * torch.stack((torch.sin(2 * u), torch.sin(v), torch.sin(u + v)))


def bent_torus(segments: int = 20, sides: int = 10) -> Mesh:
    """A torus without symmetry, so that every camera sees something else, with uv."""
    mesh = torus(1.0, 0.45, segments, sides)
    x, y, z = mesh.vertices.unbind(-1)
    return mesh.replace(vertices=torch.stack((x, y + 0.25 * x * z, z), -1) * (1 + 0.25 * x[:, None]))


def warped(vertices: Tensor) -> Tensor:
    """The vertices (V, 3) after a smooth change of shape: pressed, sheared and waved."""
    x, y, z = vertices.unbind(-1)
    return torch.stack((0.88 * x + 0.1 * y, 1.15 * y, 0.9 * z + 0.08 * torch.sin(3 * x)), -1)
