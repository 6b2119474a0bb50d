"""Values inside a smooth function: plain numbers, tensors, truth values with a probability, and lists of these.

A plain Python number is certain and stays one. Everything that touches a tensor is soft: comparisons give a `Truth`,
a soft index reads a weighted mean, and two values that meet after a branch are blended.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.smooth import gates
from labkit.smooth.arithmetic import floor
from labkit.smooth.gates import Number

Value = Any  # int, float, bool, Tensor, Truth, or a list or tuple of values


@dataclass(frozen=True)
class Truth:
    """A truth value that holds with probability ``p``, (*batch) in [0, 1]; in arithmetic it counts as ``p``."""

    p: Tensor


@dataclass(frozen=True)
class Softness:
    """How soft the gates are: the steepness s > 0 and the sigmoid family of `labkit.smooth.gates`."""

    steepness: Number
    family: str


def number(value: Value) -> Value:
    """The value as arithmetic sees it: a `Truth` becomes its probability, all else stays."""
    return value.p if isinstance(value, Truth) else value


def entries(value: Value) -> Sequence[Value]:
    """The entries of a list, or of a tensor (n, ...) along its first dimension.

    Raises:
        DTypeError: it has no entries.
    """
    if isinstance(value, Tensor) and value.dim():
        return value.unbind(0)
    if isinstance(value, list | tuple | range):
        return value
    raise DTypeError("list", "a truth value" if isinstance(value, Truth) else f"one {type(value).__name__}", "a list")


def truth(value: Value, softness: Softness) -> bool | Tensor:
    """The probability that ``value`` counts as true: a bool where that is certain; a tensor x asks "x != 0"."""
    if isinstance(value, Truth):
        return value.p
    return gates.ne(value, 0.0, softness.steepness, softness.family) if isinstance(value, Tensor) else bool(value)


def truth_value(p: bool | Tensor) -> bool | Truth:
    """The value that carries a probability."""
    return Truth(p) if isinstance(p, Tensor) else p


def _floor_divide(a: Value, b: Value, softness: Softness) -> Value:
    return floor(a / b, softness.steepness)


def _remainder(a: Value, b: Value, softness: Softness) -> Value:
    return a - b * floor(a / b, softness.steepness)


# The soft form where it differs from the plain one.
_JUMPING: dict[Callable[..., Value], Callable[[Value, Value, Softness], Value]] = {
    operator.floordiv: _floor_divide,
    operator.mod: _remainder,
}
_COMPARISONS: dict[Callable[..., Value], Callable[..., Tensor]] = {
    operator.lt: gates.lt,
    operator.le: gates.le,
    operator.gt: gates.gt,
    operator.ge: gates.ge,
    operator.eq: gates.eq,
    operator.ne: gates.ne,
}


def arithmetic(operation: Callable[..., Value], a: Value, b: Value, softness: Softness) -> Value:
    """``operation(a, b)`` of the module `operator`; ``//`` and ``%`` of tensors by the soft floor."""
    a, b = number(a), number(b)
    if operation in _JUMPING and (isinstance(a, Tensor) or isinstance(b, Tensor)):
        return _JUMPING[operation](a, b, softness)
    return operation(a, b)


def compare(operation: Callable[..., Value], a: Value, b: Value, softness: Softness) -> bool | Tensor:
    """The probability that a comparison of the module `operator` holds; a bool between plain numbers.

    A plain infinity compares with certainty, since every tensor is finite: ``best = math.inf`` is a safe start.
    """
    a, b = number(a), number(b)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        return bool(operation(a, b))
    for plain in (a, b):
        if not isinstance(plain, Tensor) and math.isinf(plain):
            return bool(operation(a if plain is a else 0.0, b if plain is b else 0.0))
    return _COMPARISONS[operation](a, b, softness.steepness, softness.family)


def blend(share: Tensor, new: Value, old: Value, memo: dict[tuple[int, int], Value] | None = None) -> Value:
    """``share * new + (1 - share) * old`` (AlgoNet, Eq. 3), through lists; equal plain numbers stay plain.

    Args:
        share: (*batch) in [0, 1].
        new, old: values of the same structure.
        memo: results by identity, so that two names of one list still name one list afterwards.

    Raises:
        ShapeError: lists of different lengths. DTypeError: a list meets a number. DomainError: infinity meets a number.
    """
    memo = {} if memo is None else memo
    key = id(new), id(old)
    if key not in memo:
        memo[key] = _blend(share, new, old, memo)
    return memo[key]


def _blend(share: Tensor, new: Value, old: Value, memo: dict[tuple[int, int], Value]) -> Value:
    if new is old:
        return new
    if isinstance(new, list | tuple) and isinstance(old, list | tuple):
        if len(new) != len(old):
            raise ShapeError("list", f"{len(new)} and {len(old)} entries", "the same length on both soft paths")
        return type(new)(blend(share, n, o, memo) for n, o in zip(new, old, strict=True))
    if isinstance(new, list | tuple | range) or isinstance(old, list | tuple | range):
        raise DTypeError("variable", "a list on one soft path, another kind on the other", "the same kind on both")
    if not isinstance(number(new), Tensor) and not isinstance(number(old), Tensor):
        if type(new) is type(old) and new == old:
            return new
        if math.isinf(new) or math.isinf(old):
            raise DomainError("variable", f"{new} on one soft path, {old} on the other", "a large number, not infinity")
        new, old = (v if isinstance(v, bool) else share.new_tensor(float(v)) for v in (new, old))
    mixed = gates.where(share, _finite(number(new)), _finite(number(old)))
    return Truth(mixed) if isinstance(new, Truth | bool) and isinstance(old, Truth | bool) else mixed


def _finite(value: Value) -> Value:
    if not isinstance(value, Tensor) and math.isinf(value):
        raise DomainError("variable", f"{value} on one soft path", "a large number, not infinity")
    return value


def keep(dead: Tensor | None, old: Value, new: Value) -> Value:
    """The new value, but the old one where a batch is ``dead`` (*batch), as far as they are tensors."""
    if dead is None:
        return new
    if isinstance(new, Tensor) and isinstance(old, float | int | Tensor):
        return torch.where(dead, old, new)
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [keep(dead, o, n) for o, n in zip(old, new, strict=True)]
    return new


def stacked(values: Sequence[Value]) -> Tensor:
    """Numbers and tensors, at least one of them a tensor, as one tensor (n, *batch)."""
    plain = [number(value) for value in values]
    like = next(value for value in plain if isinstance(value, Tensor))
    tensors = [value if isinstance(value, Tensor) else like.new_tensor(float(value)) for value in plain]
    return torch.stack(torch.broadcast_tensors(*tensors))


def average(weights: Tensor, values: Sequence[Value] | Tensor) -> Value:
    """The mean of n values, through nested lists, with weights (n, *batch) that sum to 1."""
    if not isinstance(values, Tensor):
        if all(isinstance(value, list | tuple) for value in values):
            return [average(weights, column) for column in zip(*values, strict=True)]
        plain = [v if isinstance(number(v), Tensor) else weights.new_tensor(float(v)) for v in values]
        mean = average(weights, stacked(plain))
        return Truth(mean) if all(isinstance(value, Truth | bool) for value in values) else mean
    dims = max(weights.dim(), values.dim())
    # (n, *batch) and (n, *entry) aligned from the right, as torch aligns (*batch) and (*entry)
    wide = [t.reshape(t.shape[0], *(1,) * (dims - t.dim()), *t.shape[1:]) for t in (weights, values)]
    return (wide[0] * wide[1]).sum(0)


def index_weights(index: Tensor, n: int, softness: Softness) -> Tensor:
    """The weights (n, *batch) of a soft index (*batch): ``softmax_j(-s (index - j)^2)``; far outside, of the end."""
    positions = torch.arange(n, dtype=index.dtype, device=index.device).reshape(n, *(1,) * index.dim())
    return torch.softmax(-softness.steepness * (index - positions) ** 2, 0)


def _position(index: Value, n: int, clamp: bool) -> int:
    """A plain index as a position; on a path that is only probable one past the ends reads the end."""
    position = operator.index(index)
    position += n if position < 0 else 0
    if not (clamp and n) and not 0 <= position < n:
        raise DomainError("index", index, f"from 0 to {n - 1}" if n else "no index into an empty list")
    return min(max(position, 0), n - 1)


def get_item(values: Value, index: Value, softness: Softness, clamp: bool) -> Value:
    """``values[index]``: exact for a plain index, the weighted mean of all entries for a soft one.

    Args:
        values: a list, or a tensor (n, ...).
        index: an int, or a tensor (*batch).
        clamp: let a plain index outside of the range read the nearest end, as a soft one does.

    Raises:
        DomainError: outside of the range, or no entries. DTypeError: no list.
    """
    n, index = len(entries(values)), number(index)
    if not isinstance(index, Tensor):
        return values[_position(index, n, clamp)]
    _position(0, n, clamp)
    return average(index_weights(index, n, softness), values)


def set_item(
    values: Value,
    path: Sequence[Value],
    new: Value,
    softness: Softness,
    clamp: bool,
    dead: Tensor | None,
    share: Tensor | None = None,
) -> None:
    """``values[i][j]... = new`` in place: a soft index moves every entry by its weight, ``a_j += w_j (new - a_j)``.

    Args:
        values: a list, nested as deep as the path is long.
        path: the indices i, j, ...
        clamp: as in `get_item`.
        dead: (*batch) where nothing is written, or None.
        share: (*batch) the weight of the indices before; None: certain.

    Raises:
        DTypeError: a tensor, whose entries cannot be assigned. DomainError: outside of the range.
    """
    if not isinstance(values, list):
        raise DTypeError("assignment", f"into a {type(values).__name__}", "a list: write `values = list(values)` first")
    n, index = len(values), number(path[0])
    moves: list[tuple[int, Tensor | None]]
    if isinstance(index, Tensor):
        _position(0, n, clamp)
        weights = index_weights(index, n, softness).unbind(0)
        moves = [(j, w if share is None else share * w) for j, w in enumerate(weights)]
    else:
        moves = [(_position(index, n, clamp), share)]
    for j, weight in moves:
        if len(path) > 1:
            set_item(values[j], path[1:], new, softness, clamp, dead, weight)
        else:
            values[j] = keep(dead, values[j], new if weight is None else blend(weight, new, values[j]))
