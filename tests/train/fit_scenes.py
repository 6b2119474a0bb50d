"""A small scene to fit, and short names for what the tests do with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from labkit.events import Event, Step
from labkit.geometry import Mesh, icosphere
from labkit.render import AlgoNet
from labkit.render.views import OrbitPose, Scene
from labkit.scene import Ambient, Directional, Phong, Point

D = torch.float64
SIZE = (12, 12)


def ball(dtype: torch.dtype = D) -> Mesh:
    """An icosahedron with a colour at each corner."""
    mesh = icosphere(0, dtype)
    return mesh.replace(colors=(mesh.vertices + 1.1) / 2.2)


def scene(dtype: torch.dtype = D, **fields: Any) -> Scene:
    """A coloured ball from two sides, in every kind of light, wholly smooth."""
    mesh = ball(dtype)
    lights = (Ambient(0.2), Directional((0.5, 0.7, 0.6), 0.5), Point((1.0, 2.0, 2.0), 0.8))
    pose = OrbitPose(mesh.vertices.new_tensor([10.0, 100.0]), 25.0, 3.5, fov=40.0)
    settings = {"rasterizer": AlgoNet(10.0, 2.0), "lights": lights, "smooth": True} | fields
    return Scene(mesh, pose, SIZE, material=Phong(0.4, 6.0), **settings)


@torch.no_grad()
def pictures(of: Scene) -> Tensor:
    """Colour and alpha, (B, 4, H, W)."""
    seen = of.render()
    return torch.cat((seen.color, seen.alpha), 1)


def steps(work: Iterable[Event]) -> list[Step]:
    """All steps of a fit, which this drives to its end."""
    return [event for event in work if isinstance(event, Step)]
