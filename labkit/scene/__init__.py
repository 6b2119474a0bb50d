"""Cameras, materials and lights: pure functions on tensors, differentiable in every parameter."""

from __future__ import annotations

from labkit.scene.camera import Camera
from labkit.scene.camera_formats import (
    KaolinCamera,
    OpenCVCamera,
    PyTorch3DCamera,
    SoftRasCamera,
    from_kaolin,
    from_nvdiffrast,
    from_opencv,
    from_pytorch3d,
    from_softras,
    to_kaolin,
    to_nvdiffrast,
    to_opencv,
    to_pytorch3d,
    to_softras,
)
from labkit.scene.frustum import frustum
from labkit.scene.harmonics import SphericalHarmonics
from labkit.scene.lights import Ambient, Directional, Point
from labkit.scene.materials import BlinnPhong, CookTorrance, Lambert, Material, Phong
from labkit.scene.poses import (
    quaternion_from_rotation,
    rotation_from_6d,
    rotation_from_quaternion,
    six_from_rotation,
)
from labkit.scene.shading import Light, shade
from labkit.scene.textures import sample_texture

__all__ = [
    "Ambient",
    "BlinnPhong",
    "Camera",
    "CookTorrance",
    "Directional",
    "KaolinCamera",
    "Lambert",
    "Light",
    "Material",
    "OpenCVCamera",
    "Phong",
    "Point",
    "PyTorch3DCamera",
    "SoftRasCamera",
    "SphericalHarmonics",
    "from_kaolin",
    "from_nvdiffrast",
    "from_opencv",
    "from_pytorch3d",
    "from_softras",
    "frustum",
    "quaternion_from_rotation",
    "rotation_from_6d",
    "rotation_from_quaternion",
    "sample_texture",
    "shade",
    "six_from_rotation",
    "to_kaolin",
    "to_nvdiffrast",
    "to_opencv",
    "to_pytorch3d",
    "to_softras",
]
