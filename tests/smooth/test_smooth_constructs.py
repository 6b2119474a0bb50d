"""The constructs of smooth functions, one by one: operators, logic, indices, known functions, calls."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DomainError
from labkit.smooth.gates import sigmoid
from labkit.smooth.smooth_function import smooth_function
from labkit.smooth.soft_functions import argmax, argmin

LIMIT = 2.0
TABLE = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)


def tensor(*values: float) -> Tensor:
    """A float64 tensor, without dimensions if of one value."""
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


@smooth_function
def choose(x: Any) -> Any:
    y = 100.0
    if x < 1:  # noqa: SIM108
        y = 1.0
    else:
        y = 2.0
    return y


def test_operators() -> None:
    """Arithmetic of plain numbers and tensors, in Python's order."""

    @smooth_function
    def compute(a: Any, b: Any) -> Any:
        a, b = b, a
        c = d = a - b * 2 + -a / 4
        c **= 2
        return c, +d, (a if a > b else b) + 0.0, [*[a], b][1], 7 // 2, 7 % 4

    assert compute(2, 5) == compute.hard(2, 5)
    soft = compute(tensor(2.0), tensor(5.0), steepness=100.0)
    torch.testing.assert_close(
        torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in soft]), tensor(*compute.hard(2, 5)), **FLOAT64
    )


def test_logic() -> None:
    """And multiplies, or and not are its complement, a chain is an and; a truth value can be kept and counted."""

    @smooth_function(steepness=2.0)
    def logic(x: Any, y: Any) -> Any:
        both = x > 0 and y > 0
        either = x > 0 or y > 0
        between = 0 < x < 1
        return both + 0.0, either + 0.0, (not both) + 0.0, between + 0.0, 1 if either else 0

    x, y = tensor(0.3, -0.4), tensor(0.1, 0.9)
    p, q, r = sigmoid(x, 2.0), sigmoid(y, 2.0), sigmoid(1 - x, 2.0)
    some = p + q - p * q
    for value, expected in zip(logic(x, y), (p * q, some, 1 - p * q, p * r, some), strict=True):
        torch.testing.assert_close(value, expected, **FLOAT64)
    assert logic(1, -1) == (0.0, 1.0, 1.0, 0.0, 1)


def test_certain_operands_end_a_condition() -> None:
    """The right side is not read when the left one is certain, so an index may be guarded."""

    @smooth_function
    def guarded(values: Any, i: Any) -> Any:
        return 1.0 if i < len(values) and values[i] > 0 else 0.0

    assert guarded(tensor(1.0, 2.0), 5) == 0.0
    with pytest.raises(DomainError, match="index"):
        smooth_function(first_entry)(tensor(1.0, 2.0), 5)


def first_entry(values: Any, i: Any) -> Any:
    return values[i]


def test_soft_index() -> None:
    """Reading and writing at a soft index use the same weights, softmax(-s (i - j)^2), of lists, tensors and tables."""

    @smooth_function(steepness=3.0)
    def read(values: Any, i: Any) -> Any:
        return values[i]

    @smooth_function(steepness=3.0)
    def write(values: Any, i: Any, x: Any) -> Any:
        values[i] = x
        return values

    @smooth_function(steepness=3.0)
    def write_table(values: Any, i: Any, j: Any) -> Any:
        values[i][j] = 9.0
        return values

    values, i = [4.0, 1.0, 6.0], tensor(0.8)
    w = torch.softmax(-3.0 * (i - torch.arange(3)) ** 2, 0)
    torch.testing.assert_close(read(values, i), (w * tensor(*values)).sum(), **FLOAT64)
    torch.testing.assert_close(read(tensor(*values), i), (w * tensor(*values)).sum(), **FLOAT64)
    moved = tensor(*values) + w * (9 - tensor(*values))
    torch.testing.assert_close(torch.stack(write(values, i, 9.0)), moved, **FLOAT64)
    assert values == [4.0, 1.0, 6.0]
    table = write_table([[0.0] * 3, [1.0] * 3], 1, i)
    assert table[0] == [0.0] * 3
    torch.testing.assert_close(torch.stack(table[1]), 1 + w * 8, **FLOAT64)
    table = write_table([[0.0] * 3, [1.0] * 3, [0.0] * 3], i, 2)
    torch.testing.assert_close(torch.stack([row[2] for row in table]), w * 9 + (1 - w) * tensor(0, 1, 0), **FLOAT64)
    matrix = torch.arange(6, dtype=torch.float64).reshape(3, 2)  # (3, 2): three entries, a batch of two
    batch = torch.stack([i, 2 - i])
    expected = torch.stack([read(matrix[:, k], batch[k]) for k in range(2)])
    torch.testing.assert_close(read(matrix, batch), expected, **FLOAT64)
    torch.testing.assert_close(read(values, tensor(-40.0)), tensor(4.0), **FLOAT64)


def test_functions() -> None:
    """Known functions are softened by their formulas and tend to their twins."""

    @smooth_function(steepness=2.0)
    def several(values: Any, x: Any) -> Any:
        return (
            *(min(values), max(values), argmin(values), argmax(values), abs(x), math.floor(x), round(x)),
            *(sum(values), len(values), math.sqrt(x), max(x, 1), sum(v * v for v in values), math.pi, math.ceil(x)),
            *(x // 2, x % 2, sum([a * b for a, b in zip(values, values)]), min(x, math.inf)),  # noqa: B905
        )

    values, x = [0.2, 1.1, 0.7], 2.6
    soft = several(tensor(*values), tensor(x))
    w = torch.softmax(2 * tensor(*values), 0)
    torch.testing.assert_close(soft[1], (w * tensor(*values)).sum(), **FLOAT64)
    torch.testing.assert_close(soft[3], (w * torch.arange(3)).sum(), **FLOAT64)
    sharp = several(tensor(*values), tensor(x), steepness=1e5)
    for a, b in zip(sharp, several.hard(values, x), strict=True):
        assert float(a) == pytest.approx(float(b), abs=1e-3)
    assert several(values, x) == several.hard(values, x)


def test_position_functions() -> None:
    """The hard argmin and argmax take the first of equal entries and refuse an empty list."""
    assert (argmin([2, 1, 1]), argmax([1, 3, 3])) == (1, 1)
    for function in (argmin, argmax):
        with pytest.raises(DomainError, match="empty"):
            function([])


def test_calls_and_outer_values() -> None:
    """Smooth functions call one another at the steepness of the caller and read constants around them."""

    @smooth_function(steepness=1.0)
    def outer(x: Any, scale: float = 3.0) -> Any:
        return scale * choose(x=x) + LIMIT + TABLE[1]

    x = tensor(0.7)
    torch.testing.assert_close(outer(x), 3 * choose(x, steepness=1.0) + 8, **FLOAT64)
    torch.testing.assert_close(outer(x, scale=1.0, steepness=9.0), choose(x, steepness=9.0) + 8, **FLOAT64)
