"""How good a UDR is: pictures from unseen directions, and its surface against the true one."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from labkit.data.multiview import psnr
from labkit.geometry import Mesh, chamfer
from labkit.geometry.field_mesh import field_mesh
from labkit.geometry.metrics import sample_surface
from labkit.geometry.sdf import value_and_gradient
from labkit.nets.appearance import Appearance
from labkit.nets.sdf import SDFNet
from labkit.render.implicit import Tracer
from labkit.render.implicit_picture import FieldPicture, render_field
from labkit.scene.rays import Views
from labkit.train.udr_data import Problem

SAMPLES = 10_000  # points on each surface for the Chamfer distance
RESOLUTION = 96  # of the grid from which the final surface is taken


def patient(tracer: Tracer) -> Tracer:
    """The tracer for pictures: a grazing ray on which a training step gives up is a hole in a silhouette here."""
    return replace(tracer, two_sided=True, max_steps=2 * tracer.max_steps, secant_steps=max(tracer.secant_steps, 8))


def picture(field: SDFNet, appearance: Appearance, view: Views, tracer: Tracer) -> FieldPicture:
    """What the networks show of one view, over white."""

    def shade(points: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
        return appearance(points, normals, directions, field.full(points)[2] if appearance.features else None)

    return render_field(field, shade, view, tracer)


def mesh_of(field: SDFNet, resolution: int, radius: float = 1.0) -> Mesh:
    """The zero set of f in the cube [-radius, radius]^3, on the CPU."""
    with torch.no_grad():
        return field_mesh(field, resolution, radius, device=next(field.parameters()).device).to("cpu")


@torch.no_grad()
def face_on_colors(field: SDFNet, appearance: Appearance, vertices: Tensor) -> Tensor:
    """The colour of each vertex (V, 3) as seen along its normal, (V, 3) in [0, 1]."""
    points = vertices.to(next(field.parameters()).device)
    _, normals, features = field.full(points)
    towards = -torch.nn.functional.normalize(normals, dim=-1)
    return appearance(points, normals, towards, features).clamp(0, 1).cpu()


def view_quality(
    field: SDFNet, appearance: Appearance, problem: Problem, tracer: Tracer, count: int
) -> dict[str, float]:
    """PSNR of the first ``count`` unseen views, decibels: where the true surface is seen, and of whole pictures."""
    chosen = problem.unseen.select(torch.arange(min(count, len(problem.unseen))))
    views = [chosen.views[number].to(next(field.parameters()).device) for number in range(len(chosen))]
    shown = [picture(field, appearance, view, tracer) for view in views]
    colors = torch.stack([each.color for each in shown]).clamp(0, 1).cpu()
    masks = torch.stack([each.mask for each in shown]).cpu()
    return {
        "psnr unseen": psnr(colors, chosen.images, (chosen.masks > 0.5).float()).item(),
        "psnr whole picture": psnr(colors, chosen.images).item(),
        "mask error": (masks - chosen.masks).abs().mean().item(),
    }


def surface_quality(field: SDFNet, problem: Problem, seed: int) -> dict[str, float]:
    """Chamfer distance x 1000, both ways and unsquared (UDR, section 4.2), and how far |grad f| is from 1.

    "chamfer floor x1000" is what two random samples of the true surface itself have: no surface is measured closer.
    """
    stream = torch.Generator().manual_seed(seed)
    mesh, truth = mesh_of(field, RESOLUTION), problem.surface(SAMPLES, stream)
    again = problem.surface(SAMPLES, stream)
    if truth is None or again is None or not len(mesh.faces):
        return {}
    points = sample_surface(mesh, SAMPLES, stream).points
    device = next(field.parameters()).device
    with torch.no_grad():
        slope = value_and_gradient(field, points.to(device))[1].norm(dim=-1)
    return {
        "chamfer x1000": 1000 * chamfer(points, truth).item(),
        "chamfer floor x1000": 1000 * chamfer(again, truth).item(),
        "eikonal error": (slope - 1).abs().mean().item(),
    }
