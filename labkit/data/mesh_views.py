"""Pictures of meshes under the Phong model, as training data: any shape with an exact surface to compare with."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from labkit.data.multiview import MultiView
from labkit.data.phong_scene import PhongScene
from labkit.errors import DomainError, DTypeError, ShapeError, check_positive, check_size
from labkit.geometry import Mesh
from labkit.render.raster.hard import Hard
from labkit.render.raster.op import rasterize
from labkit.render.scene import is_textured, triangulate
from labkit.scene import from_opencv, sample_texture
from labkit.scene.rays import Views
from labkit.scene.vectors import dot, unit

CREASE = 30.0
"""Degrees between two faces above which the edge between them is shaded as an edge."""

MAX_PAIRS = 1 << 26  # of faces around a common vertex: some gigabytes


def in_unit_sphere(mesh: Mesh, radius: float = 0.9) -> Mesh:
    """A copy, moved and scaled so that it just fits into a sphere around the origin (as `Mesh.normalized`).

    Args:
        mesh: one mesh.
        radius: of that sphere, world units; below 1 keeps the surface clear of the sphere where rays start and end.

    Raises:
        DomainError: ``radius`` is not greater than 0, or the mesh is unsound.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    check_positive("radius", radius, "world units")
    mesh = mesh.validate().normalized()
    return mesh.replace(vertices=radius * mesh.vertices)


@torch.no_grad()
def mesh_views(mesh: Mesh, views: Views, scene: PhongScene, samples: int = 4) -> MultiView:
    """Pictures of a mesh: ``samples`` x ``samples`` rays through each pixel, the light of equation 3 at each.

    Normals are interpolated over faces that meet at no more than `CREASE` degrees; a face seen from behind, as in open
    or badly oriented meshes, is lit on the side that is seen. Colours, or else the texture, of the mesh stand for the
    scene's ``diffuse_color`` if it has any.

    Args:
        mesh: one mesh, inside the unit sphere if it is to be reconstructed (`in_unit_sphere`).
        views: the cameras, with square pixels and the optical axis through the middle of the picture.
        scene: material and light.
        samples: per side of a pixel, in [1, 16].

    Returns:
        Pictures over white, and as masks the share of each pixel that the mesh covers; in the dtype and on the device
        of the views.

    Raises:
        DomainError: a mesh, camera or number out of range, or a mesh that no view shows.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    if isinstance(samples, bool) or not isinstance(samples, int):
        raise DTypeError("samples", type(samples).__name__, "a whole number")
    if not 1 <= samples <= 16:
        raise DomainError("samples", samples, "a number in [1, 16]")
    if mesh.validate().vertices.ndim != 2:
        raise ShapeError("mesh", f"{len(mesh.vertices)} meshes in a batch", "one mesh, vertices of shape (V, 3)")
    mesh = creased(mesh.to(views.rotation.device, views.rotation.dtype))
    pictures, masks = zip(*(_picture(mesh, views[i], scene, samples) for i in range(len(views))), strict=True)
    if not any(bool(mask.any()) for mask in masks):
        raise DomainError("views", "no pixel that sees the mesh", "cameras that look at it")
    return MultiView(torch.cat(pictures), torch.cat(masks), views)


def creased(mesh: Mesh, angle: float = CREASE) -> Mesh:
    """A copy in which every corner of every face is a vertex of its own, with the normal it is to be shaded with.

    That is the mean, weighted by area, of the normals of those faces around the corner's place that turn against the
    corner's own face by ``angle`` or less. So a box has sharp edges, and a fine sphere is smooth.

    Args:
        mesh: one mesh, (F, 3) faces; vertices at one place count as one.
        angle: degrees.

    Returns:
        A mesh of 3 F vertices with ``normals``, of length 1, or 0 where a face has no area.

    Raises:
        DomainError: a vertex that so many faces share that comparing them all with each other takes too much memory.
    """
    place = Mesh(mesh.vertices, mesh.faces).weld().faces.flatten()  # (C,) of each of C = 3 F corners
    degree = place.bincount()  # corners at a place
    times = degree[place]  # (C,)
    count = int(times.sum())
    if count > MAX_PAIRS:
        got = f"{int(degree.max())} faces around one vertex, {count} pairs of faces in all"
        raise DomainError("mesh", got, f"at most {MAX_PAIRS} pairs of faces that share a vertex")
    # All pairs (corner, other) of corners at one place: the others stand one after the other in `order`.
    order, start = place.argsort(), degree.cumsum(0) - degree
    corner = torch.arange(len(place), device=place.device).repeat_interleave(times)  # (P,)
    rank = torch.arange(count, device=place.device) - (times.cumsum(0) - times)[corner]
    other = order[start[place[corner]] + rank]
    a, b, c = mesh.face_vertices().unbind(-2)
    area, normal = torch.linalg.cross(b - a, c - a), mesh.face_normals()  # (F, 3), twice the area times the normal
    alike = dot(normal[corner // 3], normal[other // 3])[:, 0] >= math.cos(math.radians(angle)) - 1e-6
    summed = torch.zeros_like(area).repeat_interleave(3, 0).index_add(0, corner[alike], area[other[alike] // 3])
    normals = torch.nn.functional.normalize(summed, dim=-1, eps=torch.finfo(summed.dtype).tiny)

    def spread(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[mesh.faces.flatten()]

    return Mesh(
        vertices=mesh.vertices[mesh.faces.flatten()],
        faces=torch.arange(len(place), device=place.device).view(-1, 3),
        uv=spread(mesh.uv),
        colors=spread(mesh.colors),
        normals=normals,
        texture=mesh.texture,
    )


def _picture(mesh: Mesh, view: Views, scene: PhongScene, samples: int) -> tuple[Tensor, Tensor]:
    """Picture (1, 3, H, W) and mask (1, 1, H, W) of a `creased` mesh."""
    size = check_size("size times samples", [samples * pixels for pixels in view.size])
    finer = view.intrinsics * view.intrinsics.new_tensor([samples, samples, 1])[:, None]
    camera = from_opencv(finer, view.rotation, view.translation, size, pixel_centre=0.5)
    shapes = triangulate(mesh, camera, size, shading="phong")
    facing = mesh.face_normals()[shapes.face][:, :, None].expand(-1, -1, 3, -1)  # (1, F, 3, 3)
    layers, alpha = rasterize(shapes.triangles, torch.cat([shapes.attributes, facing], -1), size, Hard())
    covered = alpha[0, 0] > 0  # (H', W')
    surface, normals, _, points, facing = layers[0, :, covered].T.split((3, 3, 1, 3, 3), dim=-1)  # (N, 3 or 1)
    if is_textured(mesh) and mesh.texture is not None:
        scene = replace(scene, diffuse_color=sample_texture(mesh.texture, surface[:, :2]).clamp(0, 1))
    elif mesh.colors is not None:
        scene = replace(scene, diffuse_color=surface.clamp(0, 1))
    directions = unit(points - view.eyes)
    normals = unit(normals) * torch.where(dot(facing, directions) > 0, -1.0, 1.0)
    fine = torch.ones_like(layers[:, :3])
    fine[0, :, covered] = scene.radiance(points, normals, directions).clamp(0, 1).T
    return avg_pool2d(fine, samples), avg_pool2d(alpha, samples)
