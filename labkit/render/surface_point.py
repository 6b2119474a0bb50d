"""The point where a ray meets an implicit surface, differentiable in the surface and in the ray."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.errors import DTypeError, ShapeError, check_device, check_positive, check_tensor
from labkit.geometry.sdf import Field


def surface_point(field: Field, points: Tensor, directions: Tensor, limit: float = 1e-3) -> Tensor:
    """Return traced ``points`` as differentiable functions of the field: ``x(theta) = x_0 - u f(x_0; theta)``.

    ``u = v / (grad f(x_0) . v)`` is a constant. The value equals ``points`` exactly, so f(x_0), which is small but not
    zero, moves nothing; the first derivative is that of the true intersection. The gradient of f at the returned
    points is the normal of equation 9, with its full derivative.

    Where ``points`` depend on something themselves (``origins + depth * directions`` of cameras that are optimised,
    ``depth`` constant), the result has the right derivative in that too: the motion of the point, carried back to the
    surface along the ray.

    Args:
        field: f, (N, 3) -> (N,), negative inside, differentiable by autograd in x.
        points: x_0, (N, 3), on the surface, e.g. from `sphere_trace`.
        directions: v, (N, 3), of length 1.
        limit: least absolute value of ``grad f . v``, greater than 0. It keeps the sign, which is negative for rays
            that enter; without it, rays that graze the surface have gradients without bound.

    Returns:
        (N, 3). Without grad mode, ``points`` themselves.

    Raises:
        DomainError: NaN or infinity in the points or directions, or ``limit`` not positive.
        ShapeError, DTypeError, DeviceError: as the names say.

    Source: UDR, section 3.4, equation 8.
    """
    check_tensor("points", points, "N 3")
    check_device(points=points, directions=check_tensor("directions", directions, f"{len(points)} 3", finite=False))
    check_tensor("directions", directions, "N 3")
    if directions.dtype != points.dtype:
        raise DTypeError("directions", directions.dtype, f"{points.dtype}, the type of the points")
    check_positive("limit", limit)
    if not torch.is_grad_enabled():
        return points
    x = points if points.requires_grad else points.detach().requires_grad_()
    values = field(x)  # (N,)
    if values.shape != points.shape[:1]:
        raise ShapeError("field", tuple(values.shape), f"({len(points)},), one value for each point")
    # One backward pass through the graph that the values need anyway.
    (normals,) = torch.autograd.grad(values.sum(), x, retain_graph=True)  # (N, 3)
    v = directions.detach()
    slope = (normals * v).sum(-1)
    slope = torch.where(slope > 0, slope.clamp_min(limit), slope.clamp_max(-limit))
    u = v / slope[:, None]  # (N, 3)
    return points - u * (values - values.detach())[:, None]
