"""Pictures of meshes: world to camera, shading at the corners, clipping, rasterizing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from kornia.geometry.transform import remap
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_device, check_size, check_tensor
from labkit.geometry import Mesh
from labkit.render.clip import HIDDEN_DEPTH, clip_near
from labkit.render.raster.algonet import AlgoNet
from labkit.render.raster.op import Backend, Rasterizer, over, rasterize
from labkit.scene import Ambient, Camera, Directional, Lambert, Material, Point, shade

Light = Ambient | Directional | Point
GREY = 0.8  # albedo of a mesh that brings no colours
FAR_AWAY = 1e4  # world units to where an orthographic camera's eye is taken to be for highlights


@dataclass(frozen=True)
class Triangles:
    """A scene ready for `labkit.rasterize`.

    Attributes:
        triangles: (B, F, 3, 3) NDC x, y and view depth; hidden faces have a depth below zero.
        attributes: (B, F, 3, 7) colour, world normal and view depth at the corners.
        face: (B, F) index of the mesh face that each triangle shows (faces cut at the near plane come in pieces).
    """

    triangles: Tensor
    attributes: Tensor
    face: Tensor


@dataclass(frozen=True)
class Rendering:
    """A finished picture.

    Attributes:
        color: (B, 3, H, W) over the background; may exceed 1 where lights add up.
        alpha: (B, 1, H, W) the soft silhouette in [0, 1].
        normal: (B, 3, H, W) world normals times alpha, or None.
        depth: (B, 1, H, W) view depth times alpha, or None.
    """

    color: Tensor
    alpha: Tensor
    normal: Tensor | None = None
    depth: Tensor | None = None


def render(
    mesh: Mesh,
    camera: Camera,
    size: tuple[int, int] = (256, 256),
    rasterizer: Rasterizer | None = None,
    material: Material | None = None,
    lights: Sequence[Light] | None = None,
    background: Tensor | None = None,
    shading: Literal["flat", "gouraud"] = "flat",
    smooth: bool = False,
    layers: bool = False,
    backend: Backend = "auto",
) -> Rendering:
    """Render a mesh; differentiable in vertices, colours, texture, camera, material, lights and rasterizer.

    Args:
        mesh: vertices (V, 3) or (B, V, 3). Its colours, else its texture sampled at the vertices, else grey 0.8,
            are the albedo.
        camera: one camera, or a batch of B. Faces are cut at its near plane (`labkit.render.clip`).
        size: (H, W) in pixels.
        rasterizer: `AlgoNet()` if None.
        material: `Lambert()` if None.
        lights: ambient 0.3 and a white directional light of 0.7 from the upper right front if None.
        background: (3,) or (B, 3, H, W); black if None.
        shading: "flat" lights each face once, at its centroid, with its face normal (as AlgoNet's paper); "gouraud"
            lights the vertices with vertex normals, which rasterizers that interpolate then blend.
        smooth: use the shading form without kinks, so that with `AlgoNet` the whole picture is C-infinity (except
            where a face meets the near plane).
        layers: also return normals and depth, from the same pass.
        backend: see `labkit.rasterize`.

    Faces of which two corners coincide have no area in space and are not drawn.

    Raises:
        LabError: as its subclasses say, for a mesh, camera or setting that is not valid.
    """
    scene = triangulate(mesh, camera, size, material, lights, shading, smooth)
    channels = 7 if layers else 3
    if background is not None:
        full = f"{len(scene.triangles)} 3 {size[0]} {size[1]}"
        check_tensor("background", background, full if isinstance(background, Tensor) and background.ndim > 1 else "3")
    color, alpha = rasterize(
        scene.triangles,
        scene.attributes[..., :channels],
        size,
        AlgoNet() if rasterizer is None else rasterizer,
        backend=backend,
        perspective=camera.projection == "perspective",
    )
    picture, normal, depth = color[:, :3], color[:, 3:6], color[:, 6:]
    if background is not None:
        check_device(vertices=mesh.vertices, background=background)
        picture = over(picture, alpha, background)
    return Rendering(picture, alpha, normal, depth) if layers else Rendering(picture, alpha)


def triangulate(
    mesh: Mesh,
    camera: Camera,
    size: tuple[int, int] = (256, 256),
    material: Material | None = None,
    lights: Sequence[Light] | None = None,
    shading: Literal["flat", "gouraud"] = "flat",
    smooth: bool = False,
) -> Triangles:
    """The triangles and attributes that `render` rasterizes; arguments as there."""
    check_size("size", size)
    if not isinstance(mesh, Mesh):
        raise DTypeError("mesh", type(mesh).__name__, "a labkit.Mesh")
    if not isinstance(camera, Camera):
        raise DTypeError("camera", type(camera).__name__, "a labkit.Camera")
    if shading not in ("flat", "gouraud"):
        raise DomainError("shading", shading, "'flat' or 'gouraud'")
    mesh.validate()
    camera.validate()
    vertices = mesh.vertices if mesh.vertices.ndim == 3 else mesh.vertices[None]  # (B or 1, V, 3)
    in_camera = camera.to_camera(vertices)  # (B, V, 3)
    batch, faces = len(in_camera), mesh.faces
    eye = camera.eye
    if camera.projection == "orthographic":
        eye = eye + FAR_AWAY * camera.rotation[..., 2, :]
    settings = (material or Lambert(), default_lights() if lights is None else lights, smooth)
    albedo = vertex_albedo(mesh)  # (V, 3)
    if shading == "flat":
        normals = mesh.face_normals().expand(batch, -1, -1)  # (B, F, 3)
        points = vertices[:, faces].mean(2).expand(batch, -1, -1)
        color = shade(points, normals, eye, albedo[faces].mean(1).expand(batch, -1, -1), *settings)
        color, normals = (t[:, :, None].expand(-1, -1, 3, -1) for t in (color, normals))  # (B, F, 3, 3)
    else:
        found = mesh.vertex_normals() if mesh.normals is None else mesh.normals
        normals = found.expand(batch, -1, -1)  # (B, V, 3)
        color = shade(vertices.expand(batch, -1, -1), normals, eye, albedo.expand(batch, -1, -1), *settings)
        color, normals = color[:, faces], normals[:, faces]
    corners = in_camera[:, faces]  # (B, F, 3, 3)
    attributes = torch.cat((color, normals, -corners[..., 2:]), dim=-1)  # (B, F, 3, 7)
    flat = (corners == corners.roll(1, 2)).all(-1).any(-1)  # (B, F) two corners coincide
    corners, attributes, hidden, face = clip_near(corners, attributes, camera.near)
    hidden = hidden | flat.gather(1, face)
    triangles = camera.project_camera(corners)  # (B, F', 3, 3)
    return Triangles(torch.where(hidden[..., None, None], HIDDEN_DEPTH, triangles), attributes, face)


def vertex_albedo(mesh: Mesh) -> Tensor:
    """Base colours (V, 3): the vertices' own, else the texture at their uv (bilinear, repeating), else grey."""
    if mesh.colors is not None:
        return mesh.colors.to(mesh.vertices)
    if mesh.texture is None or mesh.uv is None:
        return mesh.vertices.new_full((mesh.vertices.shape[-2], 3), GREY)
    height, width = mesh.texture.shape[-2:]
    uv = mesh.uv - mesh.uv.floor()
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5  # v points up, rows point down
    found = remap(mesh.texture[None].to(uv), x[None, None], y[None, None], padding_mode="border", align_corners=True)
    return found[0, :, 0].T.to(mesh.vertices)


def default_lights() -> list[Light]:
    """Ambient 0.3 and a white directional light of 0.7 from the upper right front."""
    return [Ambient(0.3), Directional((0.5, 0.7, 0.6), 0.7)]
