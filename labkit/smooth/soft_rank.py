"""Soft ranks and the soft k largest values, from the permutation matrix of the soft sort without building it."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError
from labkit.smooth.gates import Number
from labkit.smooth.sorting_network import check_keys, odd_even_network, reaching, sort_keys, sort_riders


def soft_rank(values: Tensor, steepness: Number, dim: int = -1, family: str = "logistic") -> Tensor:
    """The expected place of every value in the sorted order, from 1 for the smallest to n.

    P of `soft_sort` holds in column j the weights with which value j goes to the n places, so the ranks are
    ``P^T (1, ..., n)``. They sum to n (n + 1) / 2. P^T is applied exchange by exchange: O(n) a step, like the sort.
    In a sharp sort they are the ranks of `torch.sort`, but equal values share theirs, two of them equally.

    Args:
        values: any shape with n >= 1 along ``dim``, float.
        steepness, dim, family: as in `soft_sort`.

    Returns:
        The shape of ``values``, in [1, n].

    Raises:
        DTypeError, ShapeError, DomainError: as `soft_sort`.

    Source: labkit; the matrix is that of AlgoNet, section 4.1.
    """
    s = check_keys(values, steepness, dim, family)
    keys = values.movedim(dim, 0)  # (n, ...)
    network = odd_even_network(len(keys))
    _, alphas = sort_keys(network, keys, s, family)
    places = torch.arange(1, len(keys) + 1, dtype=keys.dtype, device=keys.device)
    places = places.reshape(-1, *(1 for _ in keys.shape[1:])).expand(keys.shape)
    return sort_riders(reversed(network), reversed(alphas), places).movedim(0, dim)


@overload
def soft_top_k(
    values: Tensor,
    k: int,
    steepness: Number,
    dim: int = -1,
    family: str = "logistic",
    *,
    weights: Literal[False] = False,
) -> Tensor:
    """The k largest values."""


@overload
def soft_top_k(
    values: Tensor, k: int, steepness: Number, dim: int = -1, family: str = "logistic", *, weights: Literal[True]
) -> tuple[Tensor, Tensor]:
    """The k largest values and their weights."""


def soft_top_k(
    values: Tensor,
    k: int,
    steepness: Number,
    dim: int = -1,
    family: str = "logistic",
    *,
    weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The k largest values of the soft sort, largest first, by those comparators alone that reach them.

    Args:
        values: any shape with n >= 1 along ``dim``, float.
        k: 1 to n.
        steepness, dim, family: as in `soft_sort`.
        weights: return W (..., k, n) too, with ``top = W @ values`` for ``dim`` moved to the end: the last k rows of
            P from the bottom up, each with the sum 1. Indices are what `torch.topk` has in their place.

    Returns:
        The shape of ``values`` with k in the place of n; with ``weights`` a pair of that and W.

    Raises:
        DTypeError, ShapeError, DomainError: as `soft_sort`, or k is not a whole number from 1 to n.

    Source: labkit; the network is that of AlgoNet, section 4.1.
    """
    s = check_keys(values, steepness, dim, family)
    n = values.shape[dim]
    if isinstance(k, bool) or not isinstance(k, int):
        raise DTypeError("k", type(k).__name__, "a whole number")
    if not 1 <= k <= n:
        raise DomainError("k", k, f"1 to {n}, the number of values along dim")
    keys = values.movedim(dim, 0)  # (n, ...)
    network = reaching(odd_even_network(n), range(n - k, n))
    ordered, alphas = sort_keys(network, keys, s, family)
    top = ordered[n - k :].flip(0).movedim(0, dim)
    if not weights:
        return top
    ends = torch.eye(n, dtype=keys.dtype, device=keys.device)[:, n - k :].flip(1)  # (n, k)
    ends = ends.reshape(n, *(1 for _ in keys.shape[1:]), k).expand(*keys.shape, k)
    return top, sort_riders(reversed(network), reversed(alphas), ends).movedim(0, -1)
