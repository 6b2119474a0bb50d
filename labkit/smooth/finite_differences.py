"""Finite differences: the derivative of a sampled signal along one or several dimensions, as a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError, ShapeError, check_positive, check_tensor

Spacing = float | Sequence[float]
# The one sample by which the signal goes on behind its end, (..., 1, ...).
PADDINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "zeros": lambda x, dim: torch.zeros_like(x.narrow(dim, 0, 1)),
    "replicate": lambda x, dim: x.narrow(dim, -1, 1),
    "reflect": lambda x, dim: x.narrow(dim, -2, 1),
    "circular": lambda x, dim: x.narrow(dim, 0, 1),
}


def check_dim(dim: int, ndim: int, name: str = "dim") -> int:
    """Return ``dim`` counted from 0 if it is a dimension of a tensor that has ``ndim``, else raise.

    Raises:
        DTypeError, DomainError: not a whole number, or outside [-ndim, ndim - 1].
    """
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise DTypeError(name, type(dim).__name__, "a whole number")
    if not -ndim <= dim < ndim:
        raise DomainError(name, dim, f"a dimension of a tensor that has {ndim}")
    return dim % ndim


def finite_differences(
    x: Tensor,
    dims: int | Sequence[int] = -1,
    *,
    padding: str | None = None,
    zero_mean: bool = False,
    spacing: Spacing = 1.0,
) -> Tensor | tuple[Tensor, ...]:
    """The forward differences ``(x[i + 1] - x[i]) / spacing`` along one dimension, or along each of several.

    The difference at i is the derivative half-way between the samples i and i + 1, exact for a parabola. To
    differentiate along one dimension and then along another, call it twice.

    Args:
        x: any shape, float.
        dims: a number, or a sequence of different ones; each has a size of at least 2.
        padding: None leaves n - 1 differences of n samples. A mode gives n: the signal goes on behind its last sample
            by one that is 0 ("zeros"), the last again ("replicate", so that the last difference is 0), the last but
            one ("reflect") or the first ("circular": the signal is periodic, and its differences sum to 0).
        zero_mean: subtract from each result its mean over all of ``dims`` together, as for an image's gradient.
        spacing: distance of two samples, greater than 0; a number, or one for each of ``dims``.

    Returns:
        For a number, one tensor shaped as ``x``, save that without padding ``dims`` has one entry less. For a sequence
        a tuple of such tensors in its order, the gradient (no tensor, as without padding their shapes differ).

    Raises:
        DTypeError, DomainError: ``x`` is not a finite float tensor; no dimension, a repeated or missing one; an unknown
            padding; a spacing that is not positive.
        ShapeError: a dimension is shorter than 2, or ``spacing`` is not one for each of ``dims``.

    Source: AlgoNet, section 4.2, which does not say on which side it pads, nor how.
    """
    check_tensor("x", x, "...")
    several = list(dims) if isinstance(dims, Sequence) else [dims]
    axes = [check_dim(dim, x.ndim, "dims") for dim in several]
    if not axes or len(set(axes)) < len(axes):
        raise DomainError("dims", tuple(several), "at least one dimension, none of them twice")
    if min(x.shape[axis] for axis in axes) < 2:
        raise ShapeError("x", tuple(x.shape), f"at least 2 samples along the dimensions {tuple(several)}")
    if padding is not None and padding not in PADDINGS:
        raise DomainError("padding", repr(padding), f"None or one of {', '.join(PADDINGS)}")
    steps = list(spacing) if isinstance(spacing, Sequence) else [spacing] * len(axes)
    if len(steps) != len(axes):
        raise ShapeError("spacing", f"{len(steps)} numbers", f"one, or {len(axes)} as there are dims")
    for step in steps:
        check_positive("spacing", step)

    def differences(axis: int, step: float) -> Tensor:
        behind = None if padding is None else PADDINGS[padding](x, axis)
        result = torch.diff(x, dim=axis, append=behind) / step
        return result - result.mean(axes, keepdim=True) if zero_mean else result

    results = tuple(map(differences, axes, steps))
    return results if isinstance(dims, Sequence) else results[0]


class FiniteDifferences(nn.Module):
    """`finite_differences` as a layer without parameters; its arguments and errors are those of the function."""

    def __init__(
        self,
        dims: int | Sequence[int] = -1,
        *,
        padding: str | None = None,
        zero_mean: bool = False,
        spacing: Spacing = 1.0,
    ) -> None:
        super().__init__()
        self.dims, self.padding, self.zero_mean, self.spacing = dims, padding, zero_mean, spacing

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The differences of ``x``: a tensor where ``dims`` is a number, else a tuple."""
        return finite_differences(x, self.dims, padding=self.padding, zero_mean=self.zero_mean, spacing=self.spacing)

    def extra_repr(self) -> str:
        """The arguments, as printing a network shows them."""
        return f"dims={self.dims}, padding={self.padding!r}, zero_mean={self.zero_mean}, spacing={self.spacing}"
