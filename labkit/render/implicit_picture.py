"""A picture of an implicit surface: trace every pixel, shade where the ray arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_tensor
from labkit.geometry.sdf import Field, value_and_gradient
from labkit.render.implicit import Tracer, sphere_trace
from labkit.scene.rays import Views

Shade = Callable[[Tensor, Tensor, Tensor], Tensor]


class FieldPicture(NamedTuple):
    """A picture and what was found on the way.

    ``color`` (3, H, W) over the background; ``mask`` (1, H, W), 1 where the ray hit, else 0; ``depth`` (1, H, W), from
    the eye along the ray in world units, 0 where it missed; ``steps`` (1, H, W) int64, evaluations of f for the pixel.
    """

    color: Tensor
    mask: Tensor
    depth: Tensor
    steps: Tensor


@torch.no_grad()
def render_field(
    field: Field,
    shade: Shade,
    view: Views,
    tracer: Tracer | None = None,
    background: float | Tensor = 1.0,
    chunk: int = 65536,
) -> FieldPicture:
    """Return the picture of the surface f = 0 from one view, without gradients.

    Args:
        field: f, (N, 3) -> (N,), negative inside, with its gradient as `value_and_gradient` takes it.
        shade: M of UDR, equation 5: points (N, 3) on the surface, the gradients of f there (N, 3), not normalised, and
            the directions of the rays (N, 3) to colours (N, 3).
        view: one view (B = 1).
        tracer: the settings of `sphere_trace`.
        background: a number, or a colour (3,).
        chunk: pixels traced at a time, at least 1: bounds the memory, and does not change the picture.

    Raises:
        DomainError: NaN or infinity in the view, the field or the colours, more than one view, or ``chunk`` below 1.
        ShapeError, DTypeError, DeviceError: as the names say.

    Source: UDR, section 3.4.
    """
    if len(view.validate()) != 1:
        raise DomainError("view", f"{len(view)} views", "one, e.g. views[0]")
    if chunk < 1:
        raise DomainError("chunk", chunk, "at least 1 pixel")
    height, width = view.size
    like = view.translation
    color = torch.as_tensor(background, dtype=like.dtype, device=like.device)
    if color.shape not in ((), (3,)):
        raise ShapeError("background", tuple(color.shape), "a number or (3,)")
    check_tensor("background", color, "...")
    color = color.expand(height * width, 3).clone()
    mask, depth = like.new_zeros(height * width), like.new_zeros(height * width)
    steps = torch.zeros(height * width, dtype=torch.int64, device=like.device)
    for pixels in torch.arange(height * width, device=like.device).split(chunk):
        origins, directions = view.rays(torch.zeros_like(pixels), pixels)
        trace = sphere_trace(field, origins, directions, tracer)
        steps[pixels] = trace.steps
        hit = trace.hit.nonzero()[:, 0]  # (M,)
        if not len(hit):
            continue
        points = trace.points[hit]
        _, normals = value_and_gradient(field, points)  # (M, 3)
        shaded = check_tensor("shade", shade(points, normals, directions[hit]), f"{len(hit)} 3")
        color[pixels[hit]] = shaded.to(color.dtype)
        mask[pixels[hit]], depth[pixels[hit]] = 1, trace.depth[hit]
    planes = (plane.reshape(height, width, -1).permute(2, 0, 1) for plane in (color, mask, depth, steps))
    return FieldPicture(*planes)
