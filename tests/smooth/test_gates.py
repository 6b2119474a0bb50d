"""Gates: values by hand, the laws of sigmoids and of logic, sharp limits, extremes, derivatives, errors."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.smooth.gates import (
    FAMILIES,
    eq,
    family_of,
    ge,
    gt,
    heaviside,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    ne,
    sigmoid,
    smooth_step,
    where,
)

each_family = pytest.mark.parametrize("family", FAMILIES)
reals = st.floats(-20, 20)
steepnesses = st.floats(0.01, 100)
probabilities = st.floats(0, 1)
# 1 - F(v) at v = 3, each from the distribution's own textbook form with its scale set for a slope of 1/4 at 0.
TAILS_AT_3 = {
    "logistic": 1 / (1 + math.exp(3)),
    "gaussian": 1 - statistics.NormalDist(sigma=4 / math.sqrt(2 * math.pi)).cdf(3),
    "cauchy": math.atan2(4 / math.pi, 3) / math.pi,
    "laplace": 0.5 * math.exp(-3 / 2),
    "algebraic": (1 - 1.5 / math.sqrt(1 + 1.5**2)) / 2,
    "uniform": 0.0,
}


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def test_every_family_has_its_textbook_value() -> None:
    assert set(TAILS_AT_3) == set(FAMILIES)
    for family, tail in TAILS_AT_3.items():
        assert 1 - sigmoid(tensor(1.5), 2.0, family).item() == pytest.approx(
            tail, rel=FLOAT64["rtol"], abs=FLOAT64["atol"]
        )


@pytest.mark.parametrize(
    ("family", "tail"),
    [
        ("logistic", lambda v: math.exp(-v)),
        ("cauchy", lambda v: 4 / (math.pi**2 * v)),
        ("laplace", lambda v: math.exp(-v / 2) / 2),
        ("algebraic", lambda v: 1 / v**2),
        ("uniform", lambda v: 0.0),
    ],
)
def test_tails_are_those_of_the_table(family: str, tail: Callable[[float], float]) -> None:
    # asymptotic forms: right to 1 % at v = 30, where the logistic tail is 1e-13, some hundred roundings of 1
    got = 1 - sigmoid(tensor(30.0), 1.0, family).item()
    assert got == pytest.approx(tail(30.0), rel=0.01, abs=2e-15)


@each_family
@given(x=reals, step=st.floats(0, 5), s=steepnesses)
def test_sigmoids_rise_from_0_to_1_and_are_symmetric(family: str, x: float, step: float, s: float) -> None:
    low, high, mirrored = sigmoid(tensor(x, x + step, -x), s, family).tolist()
    assert 0 <= low <= high + 1e-15
    assert high <= 1
    assert mirrored == pytest.approx(1 - low, abs=FLOAT64["atol"])


@each_family
@given(s=steepnesses)
def test_slope_in_the_middle_is_a_quarter_of_the_steepness(family: str, s: float) -> None:
    x = tensor(0.0, requires_grad=True)
    value = sigmoid(x, s, family)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert value.item() == 0.5
    assert slope.item() == pytest.approx(s / 4, rel=FLOAT64["rtol"])


@each_family
@given(x=reals.filter(lambda x: abs(x) > 1e-3))
def test_the_sharp_limit_is_the_heaviside_step(family: str, x: float) -> None:
    torch.testing.assert_close(sigmoid(tensor(x), 1e12, family), heaviside(tensor(x)), **FLOAT64)


@each_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steepness", [1e-12, 1.0, 1e12, 1e30])
def test_extremes_stay_finite(family: str, dtype: torch.dtype, steepness: float) -> None:
    x = torch.tensor([-1e30, -1e10, -1.0, -1e-30, 0.0, 1e-12, 1.0, 1e30], dtype=dtype, requires_grad=True)
    value = sigmoid(x, steepness, family)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert value.dtype == gradient.dtype == dtype
    assert bool(torch.isfinite(value).all())
    assert bool(torch.isfinite(gradient).all())
    assert bool((value[1:] >= value[:-1]).all())
    assert bool((gradient >= 0).all())


def test_an_infinite_argument_of_a_family_has_a_value_and_no_slope() -> None:
    for family in FAMILIES:
        v = torch.tensor([-math.inf, math.inf], requires_grad=True)
        value = family_of(family)(v)
        (slope,) = torch.autograd.grad(value.sum(), v)
        torch.testing.assert_close(value, torch.tensor([0.0, 1.0]), **FLOAT32)
        assert slope.tolist() == [0.0, 0.0]


@each_family
def test_derivatives(family: str) -> None:
    # away from the corners of the uniform family at |v| = 2, and from the jump of Laplace's second derivative at 0
    x = torch.tensor([-1.7, -0.9, -0.2, 0.3, 0.8, 1.9], dtype=torch.float64, requires_grad=True)
    s = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    for function in (sigmoid, lambda x, s, family: eq(x, 0.1, s, family)):
        assert torch.autograd.gradcheck(lambda x, s, f=function: f(x, s, family), (x, s))
        assert torch.autograd.gradgradcheck(lambda x, s, f=function: f(x, s, family), (x, s))


@given(x=st.floats(-1, 2))
def test_smooth_step_values_and_slopes(x: float) -> None:
    t = tensor(x, requires_grad=True)
    value = smooth_step(t)
    (slope,) = torch.autograd.grad(value.sum(), t)
    inside = 0 <= x <= 1
    assert value.item() == pytest.approx(3 * x**2 - 2 * x**3 if inside else float(x > 0), abs=1e-12)
    assert slope.item() == pytest.approx(6 * x * (1 - x) if inside else 0.0, abs=1e-12)


def test_steps_at_their_ends() -> None:
    assert smooth_step(tensor(-3.0, 0.0, 0.25, 0.5, 1.0, 7.0)).tolist() == [0.0, 0.0, 0.15625, 0.5, 1.0, 1.0]
    assert heaviside(tensor(-1e-300, 0.0, 2.0)).tolist() == [0.0, 1.0, 1.0]
    assert torch.autograd.gradcheck(smooth_step, tensor(-0.5, 0.1, 0.6, 1.5, requires_grad=True))
    assert torch.autograd.gradgradcheck(smooth_step, tensor(-0.5, 0.1, 0.6, 1.5, requires_grad=True))


@each_family
@given(a=reals, b=reals, s=steepnesses)
def test_comparisons_agree_with_each_other(family: str, a: float, b: float, s: float) -> None:
    x, y = tensor(a), tensor(b)
    close = {"atol": FLOAT64["atol"], "rtol": 0}
    torch.testing.assert_close(gt(x, y, s, family), sigmoid(x - y, s, family))
    torch.testing.assert_close(lt(x, y, s, family), gt(y, x, s, family))
    torch.testing.assert_close(lt(x, y, s, family) + gt(x, y, s, family), tensor(1.0), **close)
    assert torch.equal(ge(x, y, s, family), gt(x, y, s, family))
    assert torch.equal(le(x, y, s, family), lt(x, y, s, family))
    torch.testing.assert_close(eq(x, y, s, family), eq(y, x, s, family), **close)
    torch.testing.assert_close(eq(x, y, s, family) + ne(x, y, s, family), tensor(1.0), **close)
    assert 0 <= eq(x, y, s, family).item() <= 1 + 1e-15


def test_comparisons_by_hand() -> None:
    three = tensor(1.0, 2.0, 3.0)
    assert gt(three, 2.0, 1e6).tolist() == [0.0, 0.5, 1.0]
    assert lt(three, 2.0, 1e6).tolist() == [1.0, 0.5, 0.0]
    assert eq(three, 2.0, 1e6).tolist() == [0.0, 1.0, 0.0]
    assert ne(three, 2.0, 1e6).tolist() == [1.0, 0.0, 1.0]
    sech = 1 / math.cosh(4 * 0.5 / 2)
    assert eq(tensor(2.5), 2.0, 4.0).item() == pytest.approx(sech**2)
    assert sech**2 == pytest.approx(0.42, abs=0.005)  # as the docstring rounds it


@given(p=probabilities, q=probabilities, r=probabilities)
def test_laws_of_logic(p: float, q: float, r: float) -> None:
    a, b, c = tensor(p), tensor(q), tensor(r)
    close = {"atol": FLOAT64["atol"], "rtol": 0}
    torch.testing.assert_close(logical_not(logical_not(a)), a, **close)
    torch.testing.assert_close(logical_not(logical_and(a, b)), logical_or(logical_not(a), logical_not(b)), **close)
    torch.testing.assert_close(logical_not(logical_or(a, b)), logical_and(logical_not(a), logical_not(b)), **close)
    torch.testing.assert_close(logical_and(a, b, c), logical_and(a, logical_and(b, c)), **close)
    torch.testing.assert_close(logical_or(a, b, c), logical_or(logical_or(c, a), b), **close)
    torch.testing.assert_close(logical_and(a, b) + logical_or(a, b), a + b, **close)  # inclusion and exclusion
    assert logical_and(a).item() == p


def test_logic_of_certain_events_is_boolean() -> None:
    for bits in itertools.product([0.0, 1.0], repeat=3):
        events = [tensor(bit) for bit in bits]
        assert logical_and(*events).item() == all(bits)
        assert logical_or(*events).item() == any(bits)


def test_where_takes_or_mixes_the_branches() -> None:
    p = tensor(0.0, 0.25, 1.0)
    assert where(p, tensor(8.0, 8.0, 8.0), tensor(4.0, 4.0, 4.0)).tolist() == [4.0, 5.0, 8.0]
    assert where(p, 8.0, 4.0).tolist() == [4.0, 5.0, 8.0]
    inputs = [t.requires_grad_() for t in (p, tensor(1.0, 2.0, 3.0), tensor(0.1, 0.2, 0.3))]
    assert torch.autograd.gradcheck(where, inputs)
    assert torch.autograd.gradgradcheck(where, inputs)
    (at_p,) = torch.autograd.grad(where(p, 8.0, 4.0).sum(), p)
    assert at_p.tolist() == [4.0, 4.0, 4.0]


def test_a_batch_is_a_loop(generator: torch.Generator) -> None:
    x, y = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    for compare in (lt, le, gt, ge, eq, ne):
        single = [compare(a, b, 3.0) for a, b in zip(x.flatten(), y.flatten(), strict=True)]
        torch.testing.assert_close(compare(x, y, 3.0), torch.stack(single).view(3, 4, 5), **FLOAT64)


def test_errors() -> None:
    x = tensor(1.0)
    with pytest.raises(DomainError, match=r"'normal'.*logistic, gaussian"):
        sigmoid(x, 1.0, "normal")
    with pytest.raises(DomainError, match="family"):
        family_of("")
    for steepness in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(DomainError, match="steepness"):
            sigmoid(x, steepness)
    with pytest.raises(ShapeError, match="steepness"):
        gt(x, x, tensor(1.0, 2.0))
    for function in (heaviside, smooth_step, lambda x: sigmoid(x, 1.0)):
        with pytest.raises(DTypeError):
            function(torch.ones(2, dtype=torch.int64))
        with pytest.raises(DomainError, match="nan"):
            function(tensor(0.0, math.nan))
