"""Sorting by soft exchanges: every output is a weighted mean of all inputs, and has a gradient to each of them."""

from __future__ import annotations

from typing import Literal, TypeVar, overload

import torch
from torch import Tensor

from labkit.errors import DTypeError, ShapeError, check_device, check_tensor
from labkit.smooth.gates import Number
from labkit.smooth.sorting_network import check_keys, odd_even_network, sort_keys, sort_riders

Companions = TypeVar("Companions", Tensor, tuple[Tensor, ...])


@overload
def soft_sort(
    values: Tensor,
    steepness: Number,
    companions: None = None,
    steps: int | None = None,
    dim: int = -1,
    *,
    permutation: Literal[False] = False,
    family: str = "logistic",
) -> Tensor:
    """The sorted values."""


@overload
def soft_sort(
    values: Tensor,
    steepness: Number,
    companions: None = None,
    steps: int | None = None,
    dim: int = -1,
    *,
    permutation: Literal[True],
    family: str = "logistic",
) -> tuple[Tensor, Tensor]:
    """The sorted values and the matrix."""


@overload
def soft_sort(
    values: Tensor,
    steepness: Number,
    companions: Companions,
    steps: int | None = None,
    dim: int = -1,
    *,
    permutation: Literal[False] = False,
    family: str = "logistic",
) -> tuple[Tensor, Companions]:
    """The sorted values and companions."""


@overload
def soft_sort(
    values: Tensor,
    steepness: Number,
    companions: Companions,
    steps: int | None = None,
    dim: int = -1,
    *,
    permutation: Literal[True],
    family: str = "logistic",
) -> tuple[Tensor, Companions, Tensor]:
    """The sorted values, the sorted companions and the matrix."""


def soft_sort(
    values: Tensor,
    steepness: Number,
    companions: Tensor | tuple[Tensor, ...] | None = None,
    steps: int | None = None,
    dim: int = -1,
    *,
    permutation: bool = False,
    family: str = "logistic",
) -> Tensor | tuple[Tensor | tuple[Tensor, ...], ...]:
    """Sort softly, smallest first, by exchanges of neighbours in the odd-even transposition network.

    One exchange turns neighbours a, b into ``alpha a + (1 - alpha) b`` and ``(1 - alpha) a + alpha b`` with
    ``alpha = F(s (b - a))``. A high steepness sorts as `torch.sort`; few steps sort coarsely; many steps with a low
    steepness make all values their mean. The sum stays in every case. A step costs O(n), with the matrix O(n^2), in
    time and, kept for the gradient, in memory.

    Args:
        values: the keys, any shape with n >= 1 along ``dim``, float.
        steepness: s > 0, one number, per unit of ``values``.
        companions: what is sorted along with the keys: a tensor, or a tuple of them, with the dtype, device and shape
            of ``values``, followed by any further dimensions (a feature vector for each key, for example).
        steps: steps of the network, at least 0; n by default, which sorts.
        dim: the dimension of ``values`` to sort along.
        permutation: return the matrix too.
        family: as in `sigmoid`.

    Returns:
        The sorted values alone, or a tuple: sorted values; sorted companions if given, as they came; if asked for,
        the doubly stochastic P (..., n, n) with ``sorted = P @ values``, for ``dim`` moved to the end.

    Raises:
        DTypeError, ShapeError, DeviceError, DomainError: not as told above, or the steepness times the spread of the
            values exceeds the floating-point range.

    Source: AlgoNet, section 4.1, figure 5, equations 6 and 7 (P is the product of its matrices M).
    """
    s = check_keys(values, steepness, dim, family)
    if not isinstance(companions, (Tensor, tuple, type(None))):
        raise DTypeError("companions", type(companions).__name__, "a tensor or a tuple of tensors")
    given = companions if isinstance(companions, tuple) else () if companions is None else (companions,)
    for rider in given:
        check_tensor("companions", rider, "...")
        check_device(values=values, companions=rider)
        if rider.dtype != values.dtype:
            raise DTypeError("companions", rider.dtype, f"{values.dtype}, as values")
        if rider.shape[: values.ndim] != values.shape:
            raise ShapeError("companions", tuple(rider.shape), f"{tuple(values.shape)} as values, then any others")
    dim %= values.ndim
    network = odd_even_network(values.shape[dim], steps)
    result, alphas = sort_keys(network, values.movedim(dim, 0), s, family)
    answer: list[Tensor | tuple[Tensor, ...]] = [result.movedim(0, dim)]
    riders = tuple(sort_riders(network, alphas, rider.movedim(dim, 0)).movedim(0, dim) for rider in given)
    if companions is not None:
        answer.append(riders if isinstance(companions, tuple) else riders[0])
    if permutation:
        n, *batch = result.shape
        eye = torch.eye(n, dtype=values.dtype, device=values.device)
        rows = eye.reshape(n, *(1 for _ in batch), n).expand(n, *batch, n)
        answer.append(sort_riders(network, alphas, rows).movedim(0, -2))
    return tuple(answer) if len(answer) > 1 else answer[0]
