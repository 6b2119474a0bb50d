"""Smooth floor and absolute value: values by hand, laws, sharp limits, extremes, derivatives, errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError
from labkit.smooth.arithmetic import absolute, floor
from labkit.smooth.gates import FAMILIES, sigmoid

each_family = pytest.mark.parametrize("family", FAMILIES)
steepnesses = st.floats(0.01, 1000)


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def test_absolute_is_x_tanh() -> None:
    assert absolute(tensor(-3.0, 0.0, 0.5), 2.0).tolist() == pytest.approx([3 * math.tanh(3), 0, 0.5 * math.tanh(0.5)])


@each_family
@given(x=st.floats(-50, 50), s=steepnesses)
def test_absolute_is_even_and_lies_below_the_hard_one(family: str, x: float, s: float) -> None:
    value, mirrored = absolute(tensor(x, -x), s, family).tolist()
    assert value == pytest.approx(mirrored, abs=FLOAT64["atol"])
    assert -1e-13 <= value <= abs(x)


@each_family
@given(x=st.floats(-50, 50))
def test_sharp_absolute_is_the_hard_one(family: str, x: float) -> None:
    torch.testing.assert_close(absolute(tensor(x), 1e12, family), tensor(abs(x)), **FLOAT64)


@given(x=st.floats(-50, 50).filter(lambda x: abs(x - round(x)) > 1e-3))
def test_sharp_floor_is_the_hard_one(x: float) -> None:
    torch.testing.assert_close(floor(tensor(x), 1e15), tensor(math.floor(x)), **FLOAT64)


def test_floor_converges_with_the_tail_of_its_kernel() -> None:
    x = torch.arange(-3, 3, 0.05, dtype=torch.float64) + 0.025  # at least 0.025 from all whole numbers
    errors = [(floor(x, s) - torch.floor(x)).abs().amax().item() for s in (1e3, 1e4, 1e5)]
    assert errors[0] < 0.02
    # a Cauchy tail falls as 1 / s; the nearest jump has all but a percent of the error
    assert [a / b for a, b in itertools.pairwise(errors)] == pytest.approx([10, 10], rel=0.01)


def test_floor_is_the_staircase_of_cauchy_sigmoids() -> None:
    # The sum of the jumps at -N + 1 ... N, less the jumps that it does not have, is the definition; N = 200000 leaves
    # the tails of the far jumps, which cancel in pairs up to some 1 / N.
    x, s, n = tensor(0.0, 0.1, 0.5, 0.77), 3.0, 200_000
    jumps = torch.arange(-n + 1, n + 1, dtype=torch.float64)
    staircase = sigmoid(x[:, None] - jumps, s, "cauchy").sum(-1) - n
    torch.testing.assert_close(floor(x, s), staircase, rtol=0, atol=1e-5)


@given(x=st.floats(-50, 50), n=st.integers(-1000, 1000), s=steepnesses)
def test_floor_climbs_by_one_per_step(x: float, n: int, s: float) -> None:
    # x + n rounds at 1e-13, which a slope of up to s / 4 + 1 multiplies
    assert floor(tensor(x + n), s).item() == pytest.approx(floor(tensor(x), s).item() + n, abs=1e-10)


@given(x=st.floats(-50, 50), step=st.floats(0, 2), s=steepnesses)
def test_floor_never_falls(x: float, step: float, s: float) -> None:
    low, high = floor(tensor(x, x + step), s).tolist()
    assert low <= high + 1e-13


@given(n=st.integers(-1000, 1000), s=steepnesses)
def test_floor_at_whole_and_half_numbers(n: int, s: float) -> None:
    assert floor(tensor(n, n + 0.5), s).tolist() == pytest.approx([n - 0.5, n], abs=FLOAT64["atol"])


def test_low_steepness_leaves_a_straight_line() -> None:
    x = tensor(-1.3, 0.0, 0.2, 2.9)
    torch.testing.assert_close(floor(x, 0.1), x - 0.5, **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steepness", [1e-12, 1.0, 1e12, 1e30])
def test_extremes_stay_finite(dtype: torch.dtype, steepness: float) -> None:
    x = torch.tensor([-1e30, -1e10, -1.0, -1e-30, 0.0, 1e-12, 0.3, 1.0, 1e30], dtype=dtype, requires_grad=True)
    for value in (floor(x, steepness), *(absolute(x, steepness, family) for family in FAMILIES)):
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert value.dtype == gradient.dtype == dtype
        assert bool(torch.isfinite(value).all())
        assert bool(torch.isfinite(gradient).all())


def test_derivatives() -> None:
    x = tensor(-1.7, -0.9, -0.2, 0.3, 0.8, 1.0, 2.4, requires_grad=True)
    s = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    for function in (absolute, floor):
        assert torch.autograd.gradcheck(function, (x, s))
        assert torch.autograd.gradgradcheck(function, (x, s))


@given(s=st.floats(20, 1000))
def test_slope_of_a_sharp_jump_is_a_quarter_of_the_steepness(s: float) -> None:
    x = tensor(3.0, requires_grad=True)
    (slope,) = torch.autograd.grad(floor(x, s).sum(), x)
    r = math.exp(-8 / s)
    assert slope.item() == pytest.approx((1 + r) / (1 - r))  # s / 4 but for the tails of the other jumps
    assert slope.item() == pytest.approx(s / 4, rel=0.02)


def test_types_and_batches(generator: torch.Generator) -> None:
    x = 5 * torch.randn(3, 4, generator=generator, dtype=torch.float64)
    for function in (floor, absolute):
        torch.testing.assert_close(function(x, 7.0), torch.stack([function(row, 7.0) for row in x]), **FLOAT64)
        torch.testing.assert_close(function(x.float(), 7.0).double(), function(x, 7.0), **FLOAT32)


@pytest.mark.parametrize("function", [absolute, floor])
def test_errors(function: Callable[[Tensor, float], Tensor]) -> None:
    with pytest.raises(DTypeError, match="x"):
        function(torch.ones(1, dtype=torch.int64), 1.0)
    with pytest.raises(DomainError, match="x"):
        function(tensor(math.inf), 1.0)
    with pytest.raises(DomainError, match="steepness"):
        function(tensor(1.0), 0.0)
