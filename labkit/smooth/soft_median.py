"""The soft median, exact by a sorting network or fast by weights that leave the extremes."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError
from labkit.smooth.gates import Number
from labkit.smooth.sorting_network import check_keys, odd_even_network, reaching, sort_keys
from labkit.smooth.weighted_softmax import weighted_softmax, weighted_softmin


def soft_median(
    values: Tensor,
    steepness: Number,
    dim: int = -1,
    method: str = "exact",
    degree: int = 5,
    family: str = "logistic",
) -> Tensor:
    """A mean in which the values in the middle count: near the median, with gradients to several values.

    ``"exact"`` is the middle value of `soft_sort`, or the mean of both middle values of an even number, by those
    comparators alone that reach the middle: three in four of a long list. It tends to the median as the steepness
    grows.

    ``"fast"`` starts from equal weights w = 1 / n and replaces them ``degree`` times by
    ``wSoftMin(wSoftMin(s x, w) + wSoftMax(s x, w), w)``: the inner two find the ends of what is left, the outer one
    takes weight from them, in O(n) a round. The result is the mean by these weights. A round divides the weight of
    the lowest and of the highest value by up to e, or of several by less, so it needs several rounds for each outlier
    on the worse side. What is left tends to the mean of the inner values: the median of symmetric data only. The
    steepness must be high for the outliers and low for the rest, where it would thin out the other end.

    Args:
        values: any shape with n >= 1 along ``dim``, float.
        steepness: s > 0, one number, per unit of ``values``.
        dim: the dimension of ``values`` to reduce.
        method: "exact" or "fast".
        degree: rounds of the fast form, at least 0 (the mean).
        family: the sigmoid of the exact form, as in `sigmoid`.

    Returns:
        The shape of ``values`` without ``dim``.

    Raises:
        DTypeError, ShapeError, DomainError: as `soft_sort`, no such method, or the degree not a whole number from 0.

    Source: AlgoNet, section 4.4. The recursion is misprinted there; it makes sense with a vector of weights as its
    value and equal ones as its start.
    """
    s = check_keys(values, steepness, dim, family)
    if method not in ("exact", "fast"):
        raise DomainError("method", repr(method), "'exact' or 'fast'")
    if isinstance(degree, bool) or not isinstance(degree, int):
        raise DTypeError("degree", type(degree).__name__, "a whole number")
    if degree < 0:
        raise DomainError("degree", degree, "a whole number of at least 0")
    n = values.shape[dim]
    if method == "exact":
        middle = range((n - 1) // 2, n // 2 + 1)
        network = reaching(odd_even_network(n), middle)
        ordered, _ = sort_keys(network, values.movedim(dim, 0), s, family)
        return ordered[middle.start : middle.stop].mean(0)
    w = torch.full_like(values, 1 / n)
    sharp = s * (values - values.amax(dim, keepdim=True).detach())
    for _ in range(degree):
        w = weighted_softmin(weighted_softmin(sharp, w, dim) + weighted_softmax(sharp, w, dim), w, dim)
    return (w * values).sum(dim)
