"""Arithmetic that jumps or has a kink, made smooth: the floor and the absolute value."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labkit.errors import check_positive, check_tensor
from labkit.smooth.gates import Number, sigmoid


def absolute(x: Tensor, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of ``|x|``: ``x (2 F(s x) - 1)``, 0 at 0; for the logistic family ``x tanh(s x / 2)``.

    Args:
        x: any shape, float.
        steepness: s > 0, per unit of ``x``.
        family: as in `sigmoid`.

    Raises:
        DTypeError, DomainError: as `sigmoid`.
    """
    return x * (2 * sigmoid(x, steepness, family) - 1)


def floor(x: Tensor, steepness: Number) -> Tensor:
    """The soft form of the floor: a staircase with rounded steps, exact half-way between two jumps.

    ``x - 1/2 + atan(r sin(2 pi x) / (1 - r cos(2 pi x))) / pi`` with ``r = exp(-8 / s)``: the hard staircase convolved
    with the Cauchy density whose peak is s / 4, as the Cauchy family of `sigmoid`. At a whole number n it is n - 1/2,
    between floor(n) and floor of a little less; ask for ``floor(x + 0.5)`` where ``x`` is meant to be whole.

    Args:
        x: any shape, float.
        steepness: s > 0, per unit of ``x``.

    Raises:
        DTypeError, DomainError: as `sigmoid`.
    """
    check_tensor("x", x, "...")
    check_positive("steepness", steepness)
    exponent = -8 / torch.as_tensor(steepness, dtype=x.dtype, device=x.device)
    r = torch.exp(exponent)
    # the angle inside one step, since sine and cosine of a large one lose digits
    half = math.pi * (x - torch.floor(x).detach())
    # 1 - r cos(2 half), which must not become 0 where r rounds to 1
    adjacent = 2 * r * torch.sin(half) ** 2 - torch.expm1(exponent)
    return x - 0.5 + torch.atan2(r * torch.sin(2 * half), adjacent) / math.pi
