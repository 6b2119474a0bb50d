"""What every off-the-shelf renderer is told: one shape seen by one camera, in camera space, with lights in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry import Mesh
from labkit.scene import Ambient, Camera, Directional, Light

SIDE = 2  # samples along each side of a pixel; 4 in all, as pyrender takes by itself
CURE = 'it installed: pip install "labkit[renderers]"'
MARGIN = 1e-3  # of the depths' extent, kept free before and behind the shape
MAX_LIGHTS = 4  # with a direction: pyrender leaves out all further ones
REACH = 1e9  # largest coordinate: float32 must hold the square of an area


@dataclass(frozen=True, eq=False)
class View:
    """One picture to draw. The eye is the origin, looks along -z, and has y up; every face is turned towards it.

    The intensity is ``albedo * (ambient + sum_i colors_i * max(n . directions_i, 0))`` with the flat normals n.

    Args:
        vertices: (V, 3) float32, camera space.
        faces: (F, 3) int32, counter-clockwise seen from the eye.
        directions: (L, 3) float32 unit vectors from the surface towards the lights, camera space.
        colors: (L, 3) float32 of these lights.
        ambient: (3,) float32.
        albedo: in [0, 1].
        projection: "perspective" or "orthographic".
        half_height: half the picture's height: at view distance 1 (the tangent of half the angle), or world units.
        depths: view distances (near, far) that enclose the visible shape, 0 < near < far.
        size: (H, W) in pixels.
    """

    vertices: np.ndarray
    faces: np.ndarray
    directions: np.ndarray
    colors: np.ndarray
    ambient: np.ndarray
    albedo: float
    projection: str
    half_height: float
    depths: tuple[float, float]
    size: tuple[int, int]


def pooled(samples: np.ndarray) -> np.ndarray:
    """The picture (H, W, C) whose pixels are the means of SIDE * SIDE samples each, (SIDE H, SIDE W, C)."""
    # Adding slices is several times faster than a mean over two axes of a reshaped array.
    return np.sum([samples[i::SIDE, j::SIDE] for i in range(SIDE) for j in range(SIDE)], axis=0) / np.float32(SIDE**2)


class Driver(Protocol):
    """One context of one renderer, made once and used for every picture."""

    def draw(self, view: View) -> np.ndarray:
        """Return (H, W, 4) float32 in [0, 1]: the colour over black, row 0 on top, and the covered part of a pixel."""
        ...

    def close(self) -> None:
        """Give the context back."""
        ...


def views_of(
    meshes: Sequence[Mesh], camera: Camera, lights: Sequence[Light], albedo: float, size: tuple[int, int]
) -> list[View | None]:
    """Return what to draw of each mesh; None where nothing of it lies before the camera.

    Args:
        meshes: B of them, one mesh each.
        camera: one camera, or a batch of B.
        lights: `Ambient` and `Directional`, one of each colour and direction or B.
        albedo, size: as in `View`.

    Raises:
        ShapeError: the batches differ in size, or a mesh is a batch itself.
        DTypeError: another kind of light, or no mesh or camera.
        DomainError: more than `MAX_LIGHTS` directional lights, or a vertex further away than `REACH`.
        LabError: a mesh, a camera or a light is not valid; nothing has been drawn then.
    """
    if not isinstance(camera, Camera):
        raise DTypeError("camera", type(camera).__name__, "a labkit.Camera")
    count = len(meshes)
    camera = camera.validate().to("cpu", torch.float64)
    if camera.rotation.ndim == 3 and len(camera.rotation) != count:
        raise ShapeError("camera", f"{len(camera.rotation)} cameras", f"one, or one for each of {count} shapes")
    for mesh in meshes:
        if not isinstance(mesh, Mesh):
            raise DTypeError("shapes", type(mesh).__name__, "labkit.Mesh or labkit.VoxelGrid")
        if mesh.validate().vertices.ndim != 2:
            raise ShapeError("shapes", tuple(mesh.vertices.shape), "one mesh each, vertices (V, 3)")
    with torch.no_grad():
        rotation = camera.rotation.expand(count, 3, 3)
        translation = camera.translation.expand(count, 3)
        half = camera.half_extent(rotation).expand(count) * size[0] / min(size)  # (B,)
        world = torch.zeros(count, 3, dtype=torch.float64)
        ambient, towards, colors = world, [world.new_zeros(count, 0, 3)], [world.new_zeros(count, 0, 3)]
        for light in lights:
            if isinstance(light, Ambient):
                ambient = ambient + _rows(light.radiance(world), count)
            elif isinstance(light, Directional):
                direction, color = (_rows(value, count) for value in light.at(world))
                towards.append((rotation @ direction[..., None]).mT)  # (B, 1, 3)
                colors.append(color[:, None])
            else:
                raise DTypeError("lights", type(light).__name__, "Ambient and Directional lights")
        directions, radiance = torch.cat(towards, 1), torch.cat(colors, 1)  # (B, L, 3)
        if directions.shape[1] > MAX_LIGHTS:
            raise DomainError("lights", f"{directions.shape[1]} directional ones", f"at most {MAX_LIGHTS}")
        views: list[View | None] = []
        for number, mesh in enumerate(meshes):
            vertices = mesh.vertices.cpu().double() @ rotation[number].mT + translation[number]  # (V, 3)
            if not bool((vertices.abs() <= REACH).all()):
                raise DomainError("shapes", f"coordinates of {vertices.abs().max():g}", f"at most {REACH:g}")
            faces, depths = _seen(vertices, mesh.faces.cpu(), camera)
            view = View(
                vertices=vertices.float().numpy(),
                faces=faces.int().numpy(),
                directions=directions[number].float().numpy(),
                colors=radiance[number].float().numpy(),
                ambient=ambient[number].float().numpy(),
                albedo=albedo,
                projection=camera.projection,
                half_height=float(half[number]),
                depths=depths,
                size=size,
            )
            views.append(view if depths[1] > camera.near else None)
    return views


def _rows(value: Tensor, count: int) -> Tensor:
    """A light's colour or direction for each picture, (B, 3)."""
    if value.ndim == 2 and len(value) not in (1, count):
        raise ShapeError("lights", f"{len(value)} in a batch", f"one, or one for each of {count} shapes")
    return value.expand(count, 3)


def _seen(vertices: Tensor, faces: Tensor, camera: Camera) -> tuple[Tensor, tuple[float, float]]:
    """The faces turned towards the eye, and view distances that enclose what is before the camera; far 0 if nothing."""
    corners = vertices[faces]  # (F, 3, 3) camera space
    if not len(faces) or bool((corners[..., 2] >= -camera.near).all()):
        return faces, (camera.near, 0.0)
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    perspective = camera.projection == "perspective"
    away = (normals * corners[:, 0]).sum(-1) > 0 if perspective else normals[:, 2] < 0  # (F,)
    low, high = float(-corners[..., 2].amax()), float(-corners[..., 2].amin())
    margin = MARGIN * max(high - low, MARGIN * high)
    return torch.where(away[:, None], faces.flip(-1), faces), (max(camera.near, low - margin), high + margin)
