"""Cameras, materials and lights: pure functions on tensors, differentiable in every parameter."""

from __future__ import annotations

from labkit.scene.camera import Camera
from labkit.scene.lights import Ambient, Directional, Point
from labkit.scene.materials import BlinnPhong, CookTorrance, Lambert, Material, Phong
from labkit.scene.shading import shade

__all__ = [
    "Ambient",
    "BlinnPhong",
    "Camera",
    "CookTorrance",
    "Directional",
    "Lambert",
    "Material",
    "Phong",
    "Point",
    "shade",
]
