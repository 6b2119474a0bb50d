"""Pictures of meshes: world to camera, shading at the corners, clipping, rasterizing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from labkit.errors import DomainError, DTypeError, check_device, check_size, check_tensor
from labkit.geometry import Mesh
from labkit.render.clip import HIDDEN_DEPTH, clip_near
from labkit.render.deferred import shade_pixels
from labkit.render.raster.algonet import AlgoNet
from labkit.render.raster.layers import Layers
from labkit.render.raster.op import Backend, Rasterizer, rasterize
from labkit.scene import Ambient, Camera, Directional, Lambert, Light, Material, sample_texture, shade
from labkit.scene.textures import Texture, Wrap

Shading = Literal["flat", "gouraud", "phong"]
GREY = 0.8  # albedo of a mesh that brings no colours
FAR_AWAY = 1e4  # world units to where an orthographic camera's eye is taken to be for highlights


@dataclass(frozen=True)
class Triangles:
    """A scene ready for `labkit.rasterize`.

    Attributes:
        triangles: (B, F, 3, 3) NDC x, y and view depth; hidden faces have a depth below zero.
        attributes: (B, F, 3, 7) colour, world normal and view depth at the corners. For "phong" (B, F, 3, 10) albedo
            (or u, v and 0 where the texture gives it), world normal, view depth and world position. For a texture per
            pixel and face (B, F, 3, 12) what multiplies the texture, world normal, view depth, what is added, u and v.
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
        normal: (B, 3, H, W) world normals, weighted as the colours of the faces are, or None.
        depth: (B, 1, H, W) view depth, weighted likewise, or None.
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
    shading: Shading = "flat",
    smooth: bool = False,
    layers: bool = False,
    backend: Backend = "auto",
    wrap: Wrap = "repeat",
) -> Rendering:
    """Render a mesh; differentiable in vertices, colours, texture, uv, camera, material, lights and rasterizer.

    Args:
        mesh: vertices (V, 3) or (B, V, 3). Its colours, else its texture, else grey 0.8, are the albedo. The texture is
            sampled at each pixel if ``shading`` is "phong", for each pixel and face by `SoftRas` and `GenDR` (exactly,
            except for `CookTorrance` with a metallic strictly between 0 and 1), else at the vertices.
        camera: one camera, or a batch of B. Faces are cut at its near plane (`labkit.render.clip`).
        size: (H, W) in pixels.
        rasterizer: `AlgoNet()` if None.
        material: `Lambert()` if None.
        lights: ambient 0.3 and a white directional light of 0.7 from the upper right front if None.
        background: (3,) or (B, 3, H, W); black if None.
        shading: "flat" lights each face once, at its centroid, with its face normal (as AlgoNet's paper); "gouraud"
            lights the vertices with vertex normals, which rasterizers that interpolate then blend; "phong" interpolates
            albedo or uv, vertex normals and positions, and lights each pixel (as DIB-R's paper). It needs a rasterizer
            that is `deferrable`: `Hard`, `DIBR`, and `SoftRas` with hard colours. Where many faces share a pixel there
            is no one point to light, and the surrogate gradient of `N3MR` compares finished colours.
        smooth: use the shading form without kinks, so that with `AlgoNet` the whole picture is C-infinity (except
            where a face meets the near plane).
        layers: also return normals and depth, from the same pass.
        backend: see `labkit.rasterize`.
        wrap: what lies outside the texture, see `labkit.scene.sample_texture`.

    Faces of which two corners coincide have no area in space and are not drawn.

    Raises:
        LabError: as its subclasses say, for a mesh, camera or setting that is not valid.
    """
    rasterizer = AlgoNet() if rasterizer is None else rasterizer
    deferred = shading == "phong"
    if deferred and not rasterizer.deferrable:
        raise DomainError(
            "shading",
            f"'phong' with {rasterizer}",
            "'flat' or 'gouraud', or a rasterizer whose pixels each show one face: Hard, DIBR, SoftRas(color='hard')",
        )
    paired = not deferred and rasterizer.textured and is_textured(mesh)
    scene = triangulate(mesh, camera, size, material, lights, shading, smooth, wrap, paired)
    channels = 10 if deferred or paired else 7 if layers else 3
    if background is not None:
        full = f"{len(scene.triangles)} 3 {size[0]} {size[1]}"
        check_tensor("background", background, full if isinstance(background, Tensor) and background.ndim > 1 else "3")
        check_device(vertices=mesh.vertices, background=background)
    behind = None if deferred else background
    if behind is not None and channels > 3:  # normals and depth have nothing behind them
        behind = pad(behind, (0, 0) * (behind.ndim // 2) + (0, channels - 3))
    found, alpha = rasterize(
        scene.triangles,
        scene.attributes if paired else scene.attributes[..., :channels],
        size,
        rasterizer,
        behind,
        backend,
        camera.projection == "perspective",
        Texture(mesh.texture, wrap) if paired and mesh.texture is not None else None,
    )
    color, normal, depth = found[:, :3], found[:, 3:6], found[:, 6:7]
    if paired:
        color = color + found[:, 7:]
    if deferred:
        texture = mesh.texture if is_textured(mesh) else None
        color = shade_pixels(found, texture, eye_of(camera), *_settings(material, lights, smooth), wrap)
        if background is not None:
            color = Layers(color, (depth == 0).to(color), alpha).over(background)
    return Rendering(color, alpha, normal, depth) if layers else Rendering(color, alpha)


def triangulate(
    mesh: Mesh,
    camera: Camera,
    size: tuple[int, int] = (256, 256),
    material: Material | None = None,
    lights: Sequence[Light] | None = None,
    shading: Shading = "flat",
    smooth: bool = False,
    wrap: Wrap = "repeat",
    paired: bool = False,
) -> Triangles:
    """The triangles and attributes that `render` rasterizes; arguments as there.

    ``paired`` prepares the texture for a lookup per pixel and face: the colour is that of a white surface less that of
    a black one, and the latter stands apart.
    """
    check_size("size", size)
    if not isinstance(mesh, Mesh):
        raise DTypeError("mesh", type(mesh).__name__, "a labkit.Mesh")
    if not isinstance(camera, Camera):
        raise DTypeError("camera", type(camera).__name__, "a labkit.Camera")
    if shading not in ("flat", "gouraud", "phong"):
        raise DomainError("shading", shading, "'flat', 'gouraud' or 'phong'")
    mesh.validate()
    camera.validate()
    vertices = mesh.vertices if mesh.vertices.ndim == 3 else mesh.vertices[None]  # (B or 1, V, 3)
    in_camera = camera.to_camera(vertices)  # (B, V, 3)
    batch, faces = len(in_camera), mesh.faces
    eye, settings = eye_of(camera), _settings(material, lights, smooth)
    points, albedo = vertices.expand(batch, -1, -1), vertex_albedo(mesh, wrap).expand(batch, -1, -1)  # (B, V, 3)
    more: list[Tensor] = []

    def lit(points: Tensor, normals: Tensor, albedo: Tensor) -> list[Tensor]:
        if not paired:
            return [shade(points, normals, eye, albedo, *settings)]
        black = shade(points, normals, eye, torch.zeros_like(albedo), *settings)
        return [shade(points, normals, eye, torch.ones_like(albedo), *settings) - black, black]

    if shading == "flat":
        normals = mesh.face_normals().expand(batch, -1, -1)  # (B, F, 3)
        colors = lit(points[:, faces].mean(2), normals, albedo[:, faces].mean(2))
        color, normals, *more = (t[:, :, None].expand(-1, -1, 3, -1) for t in (colors[0], normals, *colors[1:]))
    else:
        found = mesh.vertex_normals() if mesh.normals is None else mesh.normals
        normals = found.expand(batch, -1, -1)  # (B, V, 3)
        if shading == "gouraud":
            color, *rest = lit(points, normals, albedo)
            more = [t[:, faces] for t in rest]
        else:
            more = [points[:, faces]]
            uv = mesh.uv if is_textured(mesh) else None
            color = albedo if uv is None else pad(uv, (0, 1)).expand(batch, -1, -1)
        color, normals = color[:, faces], normals[:, faces]
    if paired and mesh.uv is not None:
        more.append(mesh.uv.to(points).expand(batch, -1, -1)[:, faces])
    corners = in_camera[:, faces]  # (B, F, 3, 3)
    attributes = torch.cat((color, normals, -corners[..., 2:], *more), dim=-1)  # (B, F, 3, 7, 10 or 12)
    flat = (corners == corners.roll(1, 2)).all(-1).any(-1)  # (B, F) two corners coincide
    corners, attributes, hidden, face = clip_near(corners, attributes, camera.near)
    hidden = hidden | flat.gather(1, face)
    triangles = camera.project_camera(corners)  # (B, F', 3, 3)
    return Triangles(torch.where(hidden[..., None, None], HIDDEN_DEPTH, triangles), attributes, face)


def eye_of(camera: Camera) -> Tensor:
    """Position (3,) or (B, 3) from which surfaces are seen; far back for an orthographic camera's parallel rays."""
    if camera.projection == "orthographic":
        return camera.eye + FAR_AWAY * camera.rotation[..., 2, :]
    return camera.eye


def is_textured(mesh: Mesh) -> bool:
    """Whether the albedo comes from the texture, which colours go before."""
    return mesh.colors is None and mesh.texture is not None and mesh.uv is not None


def vertex_albedo(mesh: Mesh, wrap: Wrap = "repeat") -> Tensor:
    """Base colours (V, 3): the vertices' own, else the texture at their uv, else grey."""
    if mesh.colors is not None:
        return mesh.colors.to(mesh.vertices)
    if mesh.texture is not None and mesh.uv is not None:
        return sample_texture(mesh.texture, mesh.uv, wrap).to(mesh.vertices)
    return mesh.vertices.new_full((mesh.vertices.shape[-2], 3), GREY)


def default_lights() -> list[Light]:
    """Ambient 0.3 and a white directional light of 0.7 from the upper right front."""
    return [Ambient(0.3), Directional((0.5, 0.7, 0.6), 0.7)]


def _settings(
    material: Material | None, lights: Sequence[Light] | None, smooth: bool
) -> tuple[Material, Sequence[Light], bool]:
    """The last arguments of `shade`, defaults filled in."""
    return material or Lambert(), default_lights() if lights is None else lights, smooth
