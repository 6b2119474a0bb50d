"""Small vector tools that stay differentiable at degenerate input, shared by cameras, lights and materials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError

EPSILON = 1e-8
"""Length below which a vector counts as zero; added in quadrature, so that norms have no kink."""


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Return the dot product over the last dimension, which is kept: (..., 3), (..., 3) -> (..., 1)."""
    return (left * right).sum(-1, keepdim=True)


def unit(vector: Tensor) -> Tensor:
    """Return ``vector / sqrt(|vector|^2 + EPSILON^2)``, shape (..., 3): zero stays zero, with finite gradients."""
    return vector / (dot(vector, vector) + EPSILON**2).sqrt()


def spread(name: str, vector: Tensor | Sequence[float] | float, points: Tensor) -> Tensor:
    """Return ``vector`` in ``points``' dtype and on its device, shaped to broadcast against ``points`` (B, ..., 3).

    Args:
        name: argument name, used in the message.
        vector: a number or (), (3,), or (B, 3) with one row for each entry of the batch.
        points: (..., 3).

    Raises:
        ShapeError: (B, 3) does not go with the points.
    """
    vector = torch.as_tensor(vector, dtype=points.dtype, device=points.device)
    if vector.ndim < 2:
        return vector
    if points.ndim < 2 or (len(vector) != len(points) and 1 not in (len(vector), len(points))):
        raise ShapeError(name, tuple(vector.shape), f"(3,), or (B, 3) for points {tuple(points.shape)}")
    return vector.reshape(len(vector), *[1] * (points.ndim - 2), 3)  # (B, 1, ..., 1, 3)


def check_between(
    name: str, value: float | Tensor, low: float, high: float, *, with_low: bool = False, with_high: bool = False
) -> None:
    """Raise `DomainError` unless every element of ``value`` lies between ``low`` and ``high``.

    Args:
        name: argument name, used in the message.
        value: a number, or a float32 or float64 tensor of any shape.
        low: lower bound; it belongs to the range if ``with_low``.
        high: upper bound; it belongs to the range if ``with_high``. Infinity itself never does.

    Raises:
        DTypeError: ``value`` is neither a number nor a floating-point tensor.
        DomainError: an element is NaN, infinite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, Tensor)):
        raise DTypeError(name, type(value).__name__, "a number or a tensor")
    if isinstance(value, Tensor) and value.dtype not in (torch.float32, torch.float64):
        raise DTypeError(name, str(value.dtype).removeprefix("torch."), "float32 or float64")
    numbers = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64, device="cpu")
    above = numbers >= low if with_low else numbers > low
    below = numbers <= high if with_high else numbers < high
    good = above & below & numbers.isfinite()
    if not bool(good.all()):
        upper = "infinity)" if math.isinf(high) else f"{high:g}{']' if with_high else ')'}"
        raise DomainError(name, numbers[~good][0].item(), f"a number in {'[' if with_low else '('}{low:g}, {upper}")
