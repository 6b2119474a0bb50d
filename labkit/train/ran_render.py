"""Inv of RAN: AlgoNet's smooth renderer as a fixed layer from vertices to grey pictures, and shapes to show D."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labkit.data.view_sets import perspective
from labkit.errors import check_tensor
from labkit.geometry import Mesh
from labkit.render.raster.algonet import AlgoNet
from labkit.render.raster.op import rasterize
from labkit.render.scene import triangulate
from labkit.scene import Ambient, BlinnPhong, Directional
from labkit.train.ran_config import SmoothConfig

WAVES = 4  # bumps of a random shape


class SmoothInverse:
    """Meshes of one topology to K grey pictures each (AlgoNet, appendix A): C-infinity, lit by Blinn and Phong.

    The light stands beside the camera and turns with it, unlike that of domain A.

    Args:
        faces: (F, 3) of every mesh.
        size: pixels along each side.
        elevation: of all cameras, degrees.
        background: grey level behind the mesh.
        config: light and material.
    """

    def __init__(self, faces: Tensor, size: int, elevation: float, background: float, config: SmoothConfig) -> None:
        self.faces, self.size, self.elevation = faces, size, elevation
        self.background, self.config = background, config

    def __call__(self, vertices: Tensor, azimuths: Tensor, steepness: float, opacity: float) -> Tensor:
        """Return pictures (B, K, H, W), 0 to about 1; differentiable in the vertices.

        Args:
            vertices: (B, V, 3), world units.
            azimuths: (B, K), degrees.
            steepness, opacity: s and o of `AlgoNet`.

        Raises:
            ShapeError, DTypeError, DomainError, DeviceError: not so, or not finite.
        """
        check_tensor("vertices", vertices, "B V 3")
        check_tensor("azimuths", azimuths, f"{len(vertices)} K")
        views, config = azimuths.shape[1], self.config
        turned = azimuths.to(vertices).flatten()  # (B K,)
        camera = perspective(turned, torch.full_like(turned, self.elevation))
        light = camera.rotation.mT @ vertices.new_tensor(config.light)  # (B K, 3), in the world
        scene = triangulate(
            Mesh(vertices.repeat_interleave(views, 0), self.faces.to(vertices.device)),
            camera,
            (self.size, self.size),
            BlinnPhong(config.specular, config.shininess),
            [Ambient(config.ambient), Directional(light, config.diffuse)],
            smooth=True,
        )
        pictures, _ = rasterize(
            scene.triangles,
            scene.attributes[..., :1],  # grey: one channel says it all
            (self.size, self.size),
            AlgoNet(steepness, opacity, sliver_fade=config.sliver_fade),
            vertices.new_tensor([self.background]),
        )
        return pictures.view(-1, views, self.size, self.size)


def random_shapes(sphere: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Randomly guessed 3D models (AlgoNet, appendix B): spheres stretched, then dented and bulged by a few waves.

    The paper does not say how it guesses. Bounding boxes are centred, longest edges 0.5 to 0.95.

    Args:
        sphere: (V, 3), unit vectors.
        count: how many.
        generator: the random stream, on the CPU.

    Returns:
        (count, V, 3) on the device of the sphere.
    """
    drawn = torch.rand(count, 3 + WAVES * 4 + 1, generator=generator).to(sphere)
    stretch = 0.3 + 0.7 * drawn[:, :3]
    direction, phase, extent = drawn[:, 3 : 3 + 3 * WAVES], drawn[:, 3 + 3 * WAVES : -1], drawn[:, -1]
    waves = (direction.view(count, 3, WAVES) - 0.5) * 10  # radians per unit
    ripples = (sphere @ waves + 2 * math.pi * phase[:, None]).sin()  # (count, V, WAVES)
    shapes = sphere * stretch[:, None] * (1 + 0.15 * ripples.sum(-1, keepdim=True))
    low, high = shapes.amin(1, keepdim=True), shapes.amax(1, keepdim=True)
    longest = (high - low).amax(-1, keepdim=True)  # (count, 1, 1)
    return (shapes - (low + high) / 2) / longest * (0.5 + 0.45 * extent)[:, None, None]
