"""The odd-even transposition network of soft exchanges, on which soft sort, rank and median are built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_positive, check_tensor
from labkit.smooth.gates import Number, family_of

# The wires 0, 2, 4, ... and 1, 3, 5, ..., each (wires, ...). Every comparator has one end in each lane, so that a step
# works on whole slices of memory and has nothing to interleave.
Lanes = tuple[Tensor, Tensor]


def odd_even_network(n: int, steps: int | None = None) -> list[range]:
    """The comparators of the odd-even transposition network: for every step the upper wires i of its pairs (i, i + 1).

    The pairs (0, 1), (2, 3), ... and (1, 2), (3, 4), ... take turns. n steps sort n values; the n - 1 steps that the
    paper gives for an even n do not: they turn 4, 3, 2, 1 into 1, 3, 2, 4.

    Args:
        n: wires, at least 0.
        steps: at least 0; n of them by default.

    Raises:
        DTypeError, DomainError: the number of steps is not a whole number, or negative.

    Source: AlgoNet, section 4.1, figure 5, after Knuth's Art of Computer Programming, section 5.3.4.
    """
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int)):
        raise DTypeError("steps", type(steps).__name__, "a whole number")
    if steps is not None and steps < 0:
        raise DomainError("steps", steps, "a whole number of at least 0")
    return [range(step % 2, n - 1, 2) for step in range(n if steps is None else steps)]


def reaching(network: Sequence[range], wires: range) -> list[range]:
    """The comparators of a network from which a path leads to the given neighbouring wires at its end."""
    low, high = wires.start, wires.stop
    kept = []
    for step in reversed(network):
        first = low - 1 + (step.start - low + 1) % 2  # the first upper wire i of the step with i + 1 >= low
        kept.append(step := range(max(step.start, first), min(step.stop, high), 2))
        if step:
            low, high = min(low, step[0]), max(high, step[-1] + 2)
    return kept[::-1]


def check_keys(values: Tensor, steepness: Number, dim: int, family: str) -> Tensor:
    """The steepness as a tensor () like values (any shape, float), if they can be sorted with it along ``dim``.

    Raises:
        DTypeError, ShapeError, DomainError: not finite floats, no such dimension, no value along it, steepness not
            positive, no such family, or steepness times the spread of the values beyond the floating-point range.
    """
    check_tensor("values", values, "...")
    check_positive("steepness", steepness)
    family_of(family)
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise DTypeError("dim", type(dim).__name__, "a whole number")
    if not -values.ndim <= dim < values.ndim:
        raise DomainError("dim", dim, f"a dimension of values, which has {values.ndim}")
    if not values.shape[dim]:
        raise ShapeError("values", tuple(values.shape), "at least one value along dim")
    s = torch.as_tensor(steepness, dtype=values.dtype, device=values.device).reshape(())
    with torch.no_grad():
        spread = s * (values.amax(dim) - values.amin(dim))
    if not bool(torch.isfinite(spread).all()):
        raise DomainError("values", f"a steepness times spread beyond {values.dtype}", "a smaller steepness or spread")
    return s


def sort_keys(network: Sequence[range], keys: Tensor, s: Number, family: str) -> tuple[Tensor, list[Tensor]]:
    """Send keys through a network whose comparators decide by ``alpha = F(s (b - a))``.

    Args:
        network: as `odd_even_network` gives it, or a part of that.
        keys: (n, ...), float.
        s: the steepness, one number, as `check_keys` returns it.
        family: as in `sigmoid`.

    Returns:
        The keys after the last step (n, ...), and for each step alpha (pairs, ...), 1 where a pair stays as it is.
    """
    gate = family_of(family)
    lanes, alphas = _split(keys), []
    for wires in network:
        a, b = _pairs(lanes, wires)
        alphas.append(gate(s * (b - a)))
        lanes = _exchange(lanes, wires, a, b, alphas[-1])
    return _merge(lanes), alphas


def sort_riders(network: Iterable[range], alphas: Iterable[Tensor], riders: Tensor) -> Tensor:
    """Send riders (n, ..., C...) through the exchanges that keys (n, ...) have decided: the product P riders.

    One exchange is a symmetric matrix, so with network and alphas reversed the product is with P transposed.
    """
    lanes = _split(riders)
    for wires, alpha in zip(network, alphas, strict=True):
        wide = alpha.reshape(*alpha.shape, *(1 for _ in range(riders.ndim - alpha.ndim)))  # (pairs, ..., 1...)
        lanes = _exchange(lanes, wires, *_pairs(lanes, wires), wide)
    return _merge(lanes)


def _split(x: Tensor) -> Lanes:
    return x[::2], x[1::2]


def _merge(lanes: Lanes) -> Tensor:
    even, odd = lanes
    whole = torch.stack((even[: len(odd)], odd), 1).flatten(0, 1)
    return torch.cat((whole, even[len(odd) :])) if len(even) > len(odd) else whole


def _pairs(lanes: Lanes, wires: range) -> Lanes:
    """Upper and lower values (pairs, ...) of the comparators of one step."""
    i, j = wires.start, wires.start + 1
    return _cut(lanes[i % 2], i // 2, len(wires)), _cut(lanes[j % 2], j // 2, len(wires))


def _exchange(lanes: Lanes, wires: range, a: Tensor, b: Tensor, alpha: Tensor) -> Lanes:
    """The lanes after one step on its pairs a, b. `torch.lerp` is exact at 0 and 1: outliers cost no digit."""
    i, j = wires.start, wires.start + 1
    low = _replaced(lanes[i % 2], i // 2, torch.lerp(b, a, alpha))
    high = _replaced(lanes[j % 2], j // 2, torch.lerp(a, b, alpha))
    return (high, low) if i % 2 else (low, high)


def _cut(lane: Tensor, start: int, length: int) -> Tensor:
    # a whole lane needs no view, whose cost would show: a step is some ten small operations
    return lane if length == len(lane) else lane.narrow(0, start, length)


def _replaced(lane: Tensor, start: int, piece: Tensor) -> Tensor:
    return piece if len(piece) == len(lane) else torch.cat((lane[:start], piece, lane[start + len(piece) :]))
