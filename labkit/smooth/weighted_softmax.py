"""The softmax of a list of which every element is only in part a member."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_tensor
from labkit.smooth.finite_differences import check_dim


def weighted_softmax(x: Tensor, weights: Tensor, dim: int = -1) -> Tensor:
    """``w_i exp(x_i) / sum_j w_j exp(x_j)`` along ``dim``, without overflow: softmax(x + log w).

    An element of weight 0 is not in the list: its result is exactly 0 and so is every gradient with respect to its x.
    The gradient with respect to its weight is not: it tells what would happen if it joined, ``exp(x_i)`` over the sum
    (cut at the square root of the largest number of the type, 1.8e19 in float32, to stay finite).

    Args:
        x: float, any shape that broadcasts with that of ``weights``.
        weights: w in [0, 1], of the same type; in each list along ``dim`` at least one is not 0.
        dim: a dimension of the common shape.

    Returns:
        The common shape, in [0, 1], with sum 1 along ``dim``. It can be differentiated twice, also at weights of 0.

    Raises:
        DTypeError, DeviceError, ShapeError: types or devices differ, or the shapes do not broadcast.
        DomainError: not finite, a weight outside [0, 1], all weights of a list 0, or no such ``dim``.

    Source: AlgoNet, section 4.3, equation 8 (wSoftMax), with weights in (0, 1]; zero is labkit's limit of it.
    """
    check_tensor("x", x, "...")
    check_tensor("weights", weights, "...")
    check_device(x=x, weights=weights)
    if weights.dtype != x.dtype:
        raise DTypeError("weights", weights.dtype, f"{x.dtype}, the type of x")
    try:
        x, w = torch.broadcast_tensors(x, weights)
    except RuntimeError as error:
        raise ShapeError("weights", tuple(weights.shape), f"to broadcast with x, {tuple(x.shape)}") from error
    dim = check_dim(dim, x.ndim)
    if bool(((w < 0) | (w > 1)).any()):
        raise DomainError("weights", f"{w.min().item()} to {w.max().item()}", "weights in [0, 1]")
    inside = w > 0
    if not bool(inside.any(dim).all()):
        raise DomainError("weights", "only zeros along dim", "at least one weight greater than 0")

    z = torch.where(inside, x + torch.where(inside, w, 1).log(), -math.inf)
    # Weights of 0 take part as w exp(x - log of the sum): nothing in value, but all they need in the derivatives.
    # Cutting the exponent, not the exponential, keeps 0 times infinity out of them.
    highest = math.log(torch.finfo(x.dtype).max) / 2
    exponent = torch.where(inside, 0, x - z.logsumexp(dim, keepdim=True)).clamp(max=highest)
    joining = torch.where(inside, 0, w) * exponent.exp()
    return (z.softmax(dim) + joining) / (1 + joining.sum(dim, keepdim=True))


def weighted_softmin(x: Tensor, weights: Tensor, dim: int = -1) -> Tensor:
    """``weighted_softmax(-x, weights, dim)``, with its arguments and errors (AlgoNet, section 4.3, wSoftMin)."""
    return weighted_softmax(-check_tensor("x", x, "..."), weights, dim)


class WeightedSoftmax(nn.Module):
    """`weighted_softmax` along ``dim`` as a layer without parameters."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """The weighted softmax of ``x``; arguments and errors as of the function."""
        return weighted_softmax(x, weights, self.dim)

    def extra_repr(self) -> str:
        """The arguments, as printing a network shows them."""
        return f"dim={self.dim}"


class WeightedSoftmin(WeightedSoftmax):
    """`weighted_softmin` along ``dim`` as a layer without parameters."""

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """The weighted softmin of ``x``; arguments and errors as of the function."""
        return weighted_softmin(x, weights, self.dim)
