"""Functions that a smooth function may call: each plain Python one with its soft form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.smooth.arithmetic import absolute, floor
from labkit.smooth.soft_values import Softness, Value, entries, number, stacked


def argmin(values: Sequence[float]) -> int:
    """The position of the smallest entry, the first of equal ones; inside a smooth function a soft position.

    Raises:
        DomainError: the list is empty.
    """
    return _first(values, min)


def argmax(values: Sequence[float]) -> int:
    """The position of the largest entry, the first of equal ones; inside a smooth function a soft position.

    Raises:
        DomainError: the list is empty.
    """
    return _first(values, max)


def _first(values: Sequence[Any], choose: Callable[..., int]) -> int:
    if not len(values):
        raise DomainError("values", "an empty list", "at least one entry")
    return choose(range(len(values)), key=lambda i: values[i])


@dataclass(frozen=True)
class SoftRange:
    """``range(start, stop, step)`` with a soft bound: turn k is taken as far as its value lies before ``stop``."""

    start: float | Tensor
    stop: float | Tensor
    step: int


def _range(softness: Softness, *bounds: Value) -> range | SoftRange:
    bounds = tuple(number(bound) for bound in bounds)
    if not any(isinstance(bound, Tensor) for bound in bounds):
        return range(*bounds)
    start, stop, step = (0, *bounds, 1)[:3] if len(bounds) == 1 else (*bounds, 1)[:3]
    if isinstance(step, Tensor) or step == 0:
        raise DomainError("step of range", step, "a plain whole number other than 0")
    return SoftRange(start, stop, step)


def _extreme(sign: int, softness: Softness, *values: Value) -> Value:
    """The soft largest (sign 1) or smallest (-1) value: its softmax weights times the values."""
    numbers = [number(v) for v in (entries(values[0]) if len(values) == 1 else values)]
    if not any(isinstance(v, Tensor) for v in numbers):
        return max(numbers, key=lambda v: sign * v)
    if any(not isinstance(v, Tensor) and v == sign * math.inf for v in numbers):
        return sign * math.inf
    x = stacked([v for v in numbers if isinstance(v, Tensor) or v != -sign * math.inf])  # (n, *batch)
    return (torch.softmax(sign * softness.steepness * x, 0) * x).sum(0)


def _position_of_extreme(sign: int, softness: Softness, values: Value) -> Value:
    numbers = [number(v) for v in entries(values)]
    if not any(isinstance(v, Tensor) for v in numbers):
        return _first(numbers, max if sign > 0 else min)
    x = stacked(numbers)  # (n, *batch)
    positions = torch.arange(len(x), dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.dim() - 1))
    return (torch.softmax(sign * softness.steepness * x, 0) * positions).sum(0)


def _absolute(softness: Softness, x: Value) -> Value:
    x = number(x)
    return absolute(x, softness.steepness, softness.family) if isinstance(x, Tensor) else abs(x)


def _floor(softness: Softness, x: Value) -> Value:
    x = number(x)
    return floor(x, softness.steepness) if isinstance(x, Tensor) else math.floor(x)


def _ceil(softness: Softness, x: Value) -> Value:
    return -_floor(softness, -number(x))


def _round(softness: Softness, x: Value) -> Value:
    x = number(x)
    return floor(x + 0.5, softness.steepness) if isinstance(x, Tensor) else round(x)


def _sum(softness: Softness, values: Value) -> Value:
    return sum(number(value) for value in entries(values))


def _length(softness: Softness, values: Value) -> int:
    return len(entries(values))


def _list(softness: Softness, values: Value) -> list[Value]:
    return list(entries(values))


def _enumerate(softness: Softness, values: Value) -> list[Value]:
    return list(enumerate(entries(values)))


def _zip(softness: Softness, *values: Value) -> list[Value]:
    return list(zip(*map(entries, values), strict=False))


def _curve(name: str) -> Callable[[Softness, Value], Value]:
    def apply(softness: Softness, x: Value) -> Value:
        x = number(x)
        return getattr(torch, name)(x) if isinstance(x, Tensor) else getattr(math, name)(x)

    return apply


_TRIGONOMETRIC = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh")
_CURVES = (*_TRIGONOMETRIC, "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt")

# Functions of one number that are smooth already, some of which do not allow every number.
CURVES: dict[Any, Callable[..., Value]] = {
    getattr(module, name): _curve(name) for name in _CURVES for module in (math, torch)
}
# Every function that may be called, and what is called in its place. Keyed by the object, so a name may be an alias.
FUNCTIONS: dict[Any, Callable[..., Value]] = {
    min: partial(_extreme, -1),
    max: partial(_extreme, 1),
    argmin: partial(_position_of_extreme, -1),
    argmax: partial(_position_of_extreme, 1),
    abs: _absolute,
    math.fabs: _absolute,
    torch.abs: _absolute,
    math.floor: _floor,
    torch.floor: _floor,
    math.ceil: _ceil,
    torch.ceil: _ceil,
    round: _round,
    sum: _sum,
    len: _length,
    range: _range,
    list: _list,
    enumerate: _enumerate,
    zip: _zip,
    **CURVES,
}
