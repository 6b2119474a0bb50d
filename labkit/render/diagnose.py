"""Why does this vertex not move? What it does to the picture, measured, and the reason if its gradient is zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_tensor
from labkit.geometry import Mesh
from labkit.render.raster.faces import in_front
from labkit.render.raster.hard import Hard
from labkit.render.raster.n3mr import N3MR
from labkit.render.raster.op import Rasterizer, rasterize
from labkit.render.raster.pixels import pixel_pitch
from labkit.render.scene import Triangles, render, triangulate
from labkit.scene import Camera

Kind = Literal[
    "not zero",
    "unused",
    "near plane",
    "no area",
    "outside",
    "occluded",
    "no derivative",
    "flat loss",
    "saturated",
    "cancels",
]
FAINT = 1e-3  # of the greatest gradient of all vertices: up to this, a gradient counts as zero
STILL = 1e-3  # of the slope 1 / (edge width) of a soft outline: up to this, a picture counts as not moved
NUDGE = 0.25  # pixels by which a vertex is moved to either side to measure its influence


@dataclass(frozen=True)
class Diagnosis:
    """Why the gradient of a vertex is zero.

    Attributes:
        kind: the reason in a word or two.
        text: the reason in a sentence, with the numbers.
    """

    kind: Kind
    text: str


def picture(mesh: Mesh, camera: Camera, size: tuple[int, int], rasterizer: Rasterizer) -> Tensor:
    """Red, green, blue over black and alpha (4, H, W) of one mesh seen by one camera; differentiable as `render`."""
    seen = render(mesh, camera, size, rasterizer)
    return torch.cat((seen.color[0], seen.alpha[0]))


def influence(mesh: Mesh, camera: Camera, size: tuple[int, int], rasterizer: Rasterizer, vertex: int) -> Tensor:
    """What one vertex does to the picture, measured by central differences over half a pixel.

    Measured, not differentiated, so that it tells the truth for a rasterizer without a derivative too.

    Args:
        mesh: vertices (V, 3).
        camera: one camera.
        size: (H, W) in pixels.
        rasterizer: what draws.
        vertex: its number.

    Returns:
        (2, 4, H, W): change of red, green, blue and alpha for one pixel that the vertex moves right, and up.

    Raises:
        DomainError: there is no such vertex.
    """
    place = one_of(mesh, vertex)
    depth = float(camera.project(place)[2].clamp_min(camera.near)) if camera.projection == "perspective" else 1.0
    pixel = pixel_pitch(size) * depth * float(camera.half_extent(place))  # world units
    rows = []
    for direction in camera.rotation[:2].to(place):  # the picture's right and up in the world
        moved = []
        for sign in (1, -1):
            vertices = mesh.vertices.detach().clone()
            vertices[vertex] += sign * NUDGE * pixel * direction
            with torch.no_grad():
                moved.append(picture(mesh.replace(vertices=vertices), camera, size, rasterizer))
        rows.append((moved[0] - moved[1]) / (2 * NUDGE))
    return torch.stack(rows)


def seen_faces(scene: Triangles, size: tuple[int, int], perspective: bool) -> Tensor:
    """Number (H, W) of the mesh face that each pixel sees, -1 for none; exact for up to 2^24 triangles."""
    count = scene.triangles.shape[1]
    number = torch.arange(count, dtype=scene.triangles.dtype, device=scene.triangles.device)
    number = number[None, :, None, None].expand(-1, -1, 3, 1)
    with torch.no_grad():
        found, alpha = rasterize(scene.triangles[:1].detach(), number, size, Hard(), perspective=perspective)
    faces = scene.face[0][found[0, 0].round().long().clamp(0, max(count - 1, 0))] if count else found[0, 0].long()
    return torch.where(alpha[0, 0] > 0, faces, -1)


def why_zero(
    mesh: Mesh,
    camera: Camera,
    size: tuple[int, int],
    rasterizer: Rasterizer,
    vertex: int,
    gradient: Tensor,
    adjoint: Tensor,
) -> Diagnosis:
    """Why a loss of the `picture` does not pull at one vertex.

    Args:
        mesh: vertices (V, 3).
        camera: one camera.
        size: (H, W) in pixels.
        rasterizer: what drew the picture.
        vertex: its number.
        gradient: (V, 3) d loss / d vertices.
        adjoint: (4, H, W) d loss / d picture.

    Returns:
        The first reason that holds, from the geometry to the loss; "not zero" if the gradient is more than a
        thousandth of the greatest one of all vertices.

    Raises:
        DomainError: there is no such vertex.
        ShapeError, DTypeError: gradient or adjoint do not fit.
    """
    one_of(mesh, vertex)
    check_tensor("gradient", gradient, f"{len(mesh.vertices)} 3")
    check_tensor("adjoint", adjoint, f"4 {size[0]} {size[1]}")
    lengths = gradient.norm(dim=-1)
    own, greatest = float(lengths[vertex]), float(lengths.max())
    if own > FAINT * greatest:
        return Diagnosis("not zero", f"It is not: {own:.3g}, which is {own / greatest:.1%} of the greatest.")
    found = of_geometry(mesh, camera, size, vertex)
    return found or of_loss(mesh, camera, size, rasterizer, vertex, adjoint)


def of_geometry(mesh: Mesh, camera: Camera, size: tuple[int, int], vertex: int) -> Diagnosis | None:
    """The reason if nothing of the vertex is on the picture, whatever draws it."""
    around = (mesh.faces == vertex).any(-1)  # (F,)
    if not bool(around.any()):
        return Diagnosis("unused", "No face uses this vertex.")
    with torch.no_grad():
        scene = triangulate(mesh, camera, size)
        depths = -camera.to_camera(mesh.vertices[mesh.faces[around]])[..., 2]  # (K, 3)
    own = around[scene.face[0]] & in_front(scene.triangles[0])  # (F',)
    if not bool(own.any()):
        if bool((depths < camera.near).all()):
            deepest = float(depths.max())
            return Diagnosis(
                "near plane",
                f"Culled: all its {len(depths)} faces lie before the near plane or behind the eye, at depths up to "
                f"{deepest:.3g}; what is drawn begins at {camera.near:.3g}.",
            )
        return Diagnosis("no area", f"Culled: none of its {len(depths)} faces has an area, so none is drawn.")
    corners = scene.triangles[0, own]  # (K', 3, 3)
    half = corners.new_tensor([size[1], size[0]]) / min(size)  # NDC
    low, high = corners[..., :2].amin(1), corners[..., :2].amax(1)
    gap = torch.maximum(low - half, -half - high).amax(-1).amin() / pixel_pitch(size)  # of the face nearest to it
    if float(gap) > 0:
        return Diagnosis("outside", f"Outside the frame: the nearest of its faces ends {float(gap):.3g} pixels beyond.")
    perspective = camera.projection == "perspective"
    alone = Triangles(scene.triangles[:, own], scene.attributes[:, own], scene.face[:, own])
    covered = seen_faces(alone, size, perspective) >= 0
    seen = seen_faces(scene, size, perspective)
    hidden = covered & ~around[seen.clamp_min(0)]
    if bool(covered.any()) and bool(hidden.sum() == covered.sum()):
        front = seen[hidden].mode().values
        depth = float(-camera.to_camera(mesh.vertices[mesh.faces[front]])[..., 2].mean())
        own_depth = float(-camera.to_camera(mesh.vertices[vertex])[2])
        return Diagnosis(
            "occluded",
            f"Occluded: its faces cover {int(covered.sum())} pixels, and at all of them another face is nearer, most "
            f"often face {int(front)} at depth {depth:.3g}; the vertex lies at {own_depth:.3g}.",
        )
    return None


def of_loss(
    mesh: Mesh, camera: Camera, size: tuple[int, int], rasterizer: Rasterizer, vertex: int, adjoint: Tensor
) -> Diagnosis:
    """The reason for a vertex that could be seen."""
    greatest = float(adjoint.abs().max())
    if not greatest:
        return Diagnosis("flat loss", "The loss has no slope at any pixel: it asks for nothing.")
    width = rasterizer.edge_width_px(size)
    if not width:
        told = "jumps when the vertex moves, so there is no derivative to pass on: pixels belong to a face or do not"
        if isinstance(rasterizer, N3MR):
            told = "is sharp, and no edge at this vertex could cover or uncover a pixel that would lower the loss"
        return Diagnosis("no derivative", f"No derivative: what the loss looks at {told}.")
    asked = adjoint.abs().amax((1, 2)) > 0  # (4,) the channels that the loss looks at
    moved = influence(mesh, camera, size, rasterizer, vertex)[:, asked]  # (2, c, H, W)
    reach = moved.abs().amax((0, 1))  # (H, W)
    most, slope = float(reach.max()), 1 / width
    if most <= STILL * slope:
        alpha = picture(mesh, camera, size, rasterizer)[3]
        row, column = pixel_of(camera, mesh.vertices[vertex], size)
        return Diagnosis(
            "saturated",
            f"Saturated: moved by one pixel, it changes no pixel that the loss looks at by more than {most:.1e}; a "
            f"soft outline {width:.3g} pixels wide changes by {slope:.2g}. Alpha at its place is "
            f"{float(alpha[row, column]):.6f}.",
        )
    pulls = moved * adjoint[asked]  # (2, c, H, W) change of the loss through each pixel
    strongest = float(pulls.abs().max())
    if strongest <= FAINT * greatest * slope:
        count = int((reach > STILL * slope).sum())
        return Diagnosis(
            "flat loss",
            f"The loss asks for nothing there: moved by one pixel, the vertex changes {count} pixels by up to "
            f"{most:.2g}, and the loss by at most {strongest:.1e} at any of them; where the loss is steep, an outline "
            f"changes it by {greatest * slope:.1e}.",
        )
    return Diagnosis(
        "cancels",
        f"Its pixels disagree: their pulls are {float(pulls.abs().sum()):.2g} in all and "
        f"{float(pulls.sum((1, 2, 3)).norm()):.2g} when added up with their signs.",
    )


def pixel_of(camera: Camera, point: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the pixel nearest to a world point (3,), clipped to the picture."""
    x, y, _ = camera.project(point.detach()).tolist()
    column, row = x / pixel_pitch(size) + (size[1] - 1) / 2, (size[0] - 1) / 2 - y / pixel_pitch(size)
    return min(size[0] - 1, max(0, round(row))), min(size[1] - 1, max(0, round(column)))


def one_of(mesh: Mesh, vertex: int) -> Tensor:
    """The position (3,) of that vertex.

    Raises:
        ShapeError: the mesh is a batch.
        DomainError: there is no such vertex.
    """
    if mesh.vertices.ndim != 2:
        raise ShapeError("vertices", tuple(mesh.vertices.shape), "(V, 3), one mesh")
    if not 0 <= vertex < len(mesh.vertices):
        raise DomainError("vertex", vertex, f"a number from 0 to {len(mesh.vertices) - 1}")
    return mesh.vertices[vertex].detach()
