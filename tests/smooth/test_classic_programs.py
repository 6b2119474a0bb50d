"""The twelve classic programs: right as Python, sharp limit, gradients, batches."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64
from torch import Tensor

from labkit.smooth.classic_programs import PROGRAMS, ClassicProgram

NAMES = sorted(PROGRAMS)
# What each program must give on the input of the table, worked out by other means.
EXPECTED = {
    "bubble sort": sorted([2.1, 0.4, 3.3, 1.2, 2.7]),
    "binary search": [4],
    "Euclid": [math.gcd(48, 18)],
    "Collatz steps": [16],
    "Newton's root": [math.sqrt(7)],
    "Levenshtein distance": [3],
    "shortest path": [0, 4.1, 1.0, 1.0 + 8.1, 1.0 + 9.7],
    "0/1 knapsack": [10.3 + 12.2],
    "clamp": [1.0],
    "fizz buzz": [2],
    "longest run": [3],
    "bisection": [1.3433],
}


def flat(value: Any) -> list[Any]:
    """All numbers of a nested list."""
    return [x for entry in value for x in flat(entry)] if isinstance(value, list | tuple) else [value]


def replaced(value: Any, numbers: list[Any]) -> Any:
    """The same nesting with other numbers in place of the floats, which are taken from the front of the list."""
    if isinstance(value, list | tuple):
        return type(value)(replaced(entry, numbers) for entry in value)
    return numbers.pop(0) if isinstance(value, float) else value


def floats(program: ClassicProgram) -> list[float]:
    """The data of a program's input."""
    return [x for x in flat(program.arguments) if isinstance(x, float)]


def smooth(program: ClassicProgram, steepness: float, *numbers: Tensor) -> tuple[Tensor, ...]:
    """The numbers that the program gives for this data."""
    run = program.function.run(*replaced(program.arguments, list(numbers)), steepness=steepness)
    return tuple(x for x in flat(run.value) if isinstance(x, Tensor))


def leaves(program: ClassicProgram) -> list[Tensor]:
    """The data as tensors with gradient."""
    return [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in floats(program)]


def test_twelve() -> None:
    """All programs have an expected value."""
    assert sorted(EXPECTED) == NAMES
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_hard_twin_is_right(name: str) -> None:
    """The Python function solves its task."""
    program = PROGRAMS[name]
    tolerance = {"Newton's root": 0.02, "bisection": 0.05}.get(name, 1e-12)  # the two that end at a tolerance
    assert flat(program.function.hard(*program.arguments)) == pytest.approx(EXPECTED[name], abs=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_sharp_limit(name: str) -> None:
    """The error against the hard twin falls by more than a thousand along the steepness, to less than 1e-4."""
    program = PROGRAMS[name]
    hard = flat(program.function.hard(*program.arguments))
    errors = []
    for steepness in program.steepness:
        run = program.function.run(*program.tensors(), steepness=steepness)
        errors.append(max(abs(float(a) - b) for a, b in zip(flat(run.value), hard, strict=True)))
        assert run.remaining == 0.0
    assert all(later <= earlier for earlier, later in pairwise(errors)), errors
    assert errors[-1] < 1e-4, errors
    assert errors[-1] < 1e-3 * errors[0], errors


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name: str) -> None:
    """The derivative by autograd is the central difference of the smooth form, where the gates are soft."""
    program = PROGRAMS[name]
    assert torch.autograd.gradcheck(
        lambda *x: smooth(program, program.steepness[1], *x), leaves(program), eps=1e-6, atol=1e-6, rtol=1e-5
    )
    results = smooth(program, program.steepness[1], *(data := leaves(program)))
    gradients = torch.autograd.grad(sum(results), data)
    assert any(float(g.abs()) > 1e-9 for g in gradients)


@pytest.mark.parametrize("name", ["bubble sort", "clamp", "Euclid", "binary search", "longest run", "0/1 knapsack"])
def test_double_backward(name: str) -> None:
    """The second derivatives are the central differences of the first."""
    program = PROGRAMS[name]
    assert torch.autograd.gradgradcheck(
        lambda *x: smooth(program, program.steepness[0], *x), leaves(program), eps=1e-6, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(data=st.data())
def test_batch_equals_loop(name: str, data: st.DataObject) -> None:
    """Each element of a batch takes its own path, also when the others run longer."""
    program = PROGRAMS[name]
    whole = name in ("Euclid", "Collatz steps", "fizz buzz")
    number = st.integers(1, 12).map(float) if whole else st.floats(0.5, 7.5)
    count = len(floats(program))
    batch = torch.tensor(data.draw(st.lists(st.lists(number, min_size=count, max_size=count), min_size=3, max_size=3)))
    batch = batch.to(torch.float64)  # (3, count)
    together = smooth(program, program.steepness[2], *batch.unbind(1))
    for k in range(3):
        alone = smooth(program, program.steepness[2], *batch[k].unbind(0))
        assert len(alone) == len(together)
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(b.expand(3)[k], a.expand(()), **FLOAT64)


@pytest.mark.parametrize("name", NAMES)
def test_float32(name: str) -> None:
    """A float32 input gives float32 results, near those of float64."""
    program = PROGRAMS[name]
    single = flat(program.function.run(*program.tensors(torch.float32), steepness=program.steepness[-1]).value)
    double = flat(program.function.run(*program.tensors(), steepness=program.steepness[-1]).value)
    for a, b in zip(single, double, strict=True):
        if isinstance(a, Tensor):
            assert a.dtype == torch.float32
            torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3)  # steep gates magnify rounding
