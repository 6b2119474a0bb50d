"""What every way of following rays through a field needs: checks, the sphere that holds the object, and values."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_tensor
from labkit.geometry.sdf import Field


def evaluate(field: Field, points: Tensor, *, finite: bool = True) -> Tensor:
    """Return ``field(points)``, one value for each of the points (N, 3).

    Raises:
        ShapeError: not one value for each point.
        DomainError: NaN or infinity, if ``finite``: that waits for the device.
    """
    values = field(points)
    if values.shape != points.shape[:1]:
        raise ShapeError("field", tuple(values.shape), f"({len(points)},), one value for each point")
    if finite:
        check_values(values, points)
    return values


def check_values(values: Tensor, points: Tensor) -> None:
    """Raise `DomainError`, naming the first of the points (N, 3) where the field's value (N,) is no finite number."""
    broken = ~values.detach().isfinite()
    if bool(broken.any()):
        place = tuple(points[broken][0].tolist())
        raise DomainError("field", f"{values[broken][0].item()} at {place}", "finite numbers inside the sphere")


def check_rays(origins: Tensor, directions: Tensor) -> None:
    """Check N rays.

    Args:
        origins, directions: (N, 3); the directions have length 1 to 1e-3.

    Raises:
        DomainError: NaN, infinity, or a direction of another length.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    check_tensor("origins", origins, "N 3")
    check_tensor("directions", directions, f"{len(origins)} 3", finite=False)
    if origins.dtype != directions.dtype:
        raise DTypeError("directions", directions.dtype, f"{origins.dtype}, the type of the origins")
    check_device(origins=origins, directions=directions)
    length = torch.linalg.vector_norm(directions.detach(), dim=-1)
    if bool((~((length - 1).abs() <= 1e-3)).any()):  # true for NaN
        worst = (length - 1).abs().argmax()
        raise DomainError("directions", f"length {length[worst].item():g} at index {worst.item()}", "length 1")


def sphere_span(origins: Tensor, directions: Tensor, radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the depths between which rays run inside the sphere about the origin, and the depth of its middle.

    Args:
        origins, directions: (N, 3), the directions of length 1.
        radius: world units.

    Returns:
        near, far and middle, (N,) each, world units from the ray's origin. 0 <= near <= far, and near = far where the
        ray does not meet the sphere: at its point nearest to the centre. Middle is negative where that lies behind.
    """
    middle = -(origins * directions).sum(-1)
    offset = origins + middle[:, None] * directions  # (N, 3)
    half = (radius**2 - offset.square().sum(-1)).clamp_min(0).sqrt()
    return (middle - half).clamp_min(0), (middle + half).clamp_min(0), middle
