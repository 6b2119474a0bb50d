"""WHILE programs run hard and smooth: known values, laws, derivatives, bounds, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.smooth.while_examples import EXAMPLES, MULTIPLICATION
from labkit.smooth.while_program import WhileProgram, phi_c0, phi_cinf

MULTIPLY = WhileProgram.parse(MULTIPLICATION)
COUNT_UP = WhileProgram.parse("WHILE x1 != 0 DO\nx0 := x0 + 1\nx1 := x1 + 1\nEND")
GRIDS = {  # the function, and the numbers from 0 that each input takes
    "multiplication": (lambda a, b: a * b, (8, 8)),
    "addition": (lambda a, b: a + b, (16, 16)),
    "subtraction": (lambda a, b: max(a - b, 0), (16, 16)),
    "factorial": (math.factorial, (7,)),
    "greatest common divisor": (math.gcd, (25, 25)),
    "power": (lambda a, b: a**b, (5, 5)),
}


def pairs(*sizes: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """All tuples of whole numbers below the sizes, as x1, x2, ..."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=dtype) for n in sizes), indexing="ij")
    return {f"x{i}": axis for i, axis in enumerate(axes, 1)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", EXAMPLES)
def test_discrete_and_c0(name: str, dtype: torch.dtype) -> None:
    """Every example computes what Python does, hard and C0, exactly, in every variable."""
    function, sizes = GRIDS[name]
    inputs = pairs(*sizes, dtype=dtype)
    columns = [value.flatten().tolist() for value in inputs.values()]
    want = torch.tensor([function(*map(int, row)) for row in zip(*columns, strict=True)], dtype=dtype).view(sizes)
    program = WhileProgram.parse(EXAMPLES[name])
    hard, soft = (program(inputs, kind, max_iterations=5000) for kind in ("hard", "c0"))
    assert hard.halted
    assert soft.halted
    assert torch.equal(hard.outputs["x0"], want)
    assert all(torch.equal(hard.outputs[x], soft.outputs[x]) for x in program.variables)
    assert torch.equal(hard.iterations, soft.iterations)


@pytest.mark.parametrize(("steepness", "error"), [(1, 13.37), (2, 3.24), (4, 0.454), (8, 0.009)])
def test_multiplication_of_known_error(steepness: float, error: float) -> None:
    """The C-infinity multiplication is wrong by as much as an independent computation says."""
    inputs = pairs(8, 8)
    result = MULTIPLY(inputs, "cinf", steepness, epsilon=1e-6)
    largest = (result.outputs["x0"] - inputs["x1"] * inputs["x2"]).abs().max()
    assert result.halted
    # as many digits as the known values have
    torch.testing.assert_close(largest.item(), error, rtol=0, atol=5e-3 if error > 1 else 5e-4)


def literal(x1: float, x2: float, s: float, epsilon: float) -> float:
    """The multiplication program written out by hand, as on the right of AlgoNet's listing."""

    def phi(x: float) -> float:
        return 1 - 1 / math.cosh(s * x)

    x0, x3, p1 = 0.0, 0.0, phi(x2)
    while p1 > epsilon:
        x3 = p1 * x1 + (1 - p1) * x3
        p2 = p1 * phi(x3)
        while p2 > epsilon:
            x0, x3 = x0 + p2, x3 - p2
            p2 *= phi(x3)
        x2 -= p1
        p1 *= phi(x2)
    return x0


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(-4, 7), st.floats(0, 4)), min_size=1, max_size=4), st.floats(0.5, 6))
def test_batch_equals_loop(points: list[tuple[float, float]], s: float) -> None:
    """An element of a batch gets what the program gives for it alone."""
    columns = torch.tensor(points, dtype=torch.float64).unbind(-1)
    inputs = dict(zip(("x1", "x2"), columns, strict=True))
    together = MULTIPLY(inputs, "cinf", s, 1e-3, max_iterations=60)
    for i in range(len(points)):
        alone = MULTIPLY({name: value[i] for name, value in inputs.items()}, "cinf", s, 1e-3, max_iterations=60)
        assert torch.equal(alone.iterations, together.iterations[i])
        torch.testing.assert_close(alone.remaining, together.remaining[i], **FLOAT64)
        for name, value in alone.outputs.items():
            torch.testing.assert_close(value, together.outputs[name][i], **FLOAT64)


@pytest.mark.parametrize(("x1", "x2"), [(0.0, 0.0), (2.4, 3.7), (0.3, 5.5), (6.9, 0.2)])
def test_cinf_follows_the_listing(x1: float, x2: float) -> None:
    """The interpreter does what the paper writes out by hand for real inputs."""
    result = MULTIPLY(dict(zip(("x1", "x2"), torch.tensor([x1, x2], dtype=torch.float64), strict=True)), "cinf", 2.0)
    torch.testing.assert_close(result.outputs["x0"].item(), literal(x1, x2, 2.0, 1e-6), **FLOAT64)


def test_c0_by_hand() -> None:
    """Half a turn: P is 1 once, then 1/2, and what is left of 1.5 is 0."""
    program = WhileProgram.parse("WHILE x1 != 0 DO\nx0 := x0 + 1\nx2 := x3\nx1 := x1 - 1\nEND")
    result = program({"x1": torch.tensor([1.5]), "x2": torch.tensor(8.0), "x3": torch.tensor(4.0)}, "c0")
    assert {name: value.item() for name, value in result.outputs.items()} == {"x0": 1.5, "x1": 0, "x2": 4, "x3": 4}
    assert result.iterations.tolist() == [2]
    started = program({"x1": torch.tensor([0.5]), "x2": torch.tensor(8.0), "x3": torch.tensor(4.0)}, "c0")
    assert (started.outputs["x0"].item(), started.outputs["x2"].item()) == (0.5, 6.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_phi_cinf_far_out_and_near(dtype: torch.dtype) -> None:
    """1 - sech to full relative precision near 0, with both derivatives, and 1 with none far out, at any steepness."""
    x = torch.tensor([0.0, 1e-6, 1e-3, 0.7, -2.0, 1e3, -1e30], dtype=dtype, requires_grad=True)
    value = phi_cinf(x, 3.0)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    v = [3.0 * a for a in x.tolist()]
    sech = [1 / math.cosh(a) if abs(a) < 700 else 0.0 for a in v]
    want = [2 * math.sinh(a / 2) ** 2 * c if abs(a) < 700 else 1.0 for a, c in zip(v, sech, strict=True)]
    tolerance = {**(FLOAT32 if dtype == torch.float32 else FLOAT64), "atol": 0.0}
    torch.testing.assert_close(value, torch.tensor(want, dtype=dtype), **tolerance)
    slopes = [3 * c * math.tanh(a) for a, c in zip(v, sech, strict=True)]
    bends = [9 * c * (c * c - math.tanh(a) ** 2) for a, c in zip(v, sech, strict=True)]
    tolerance = FLOAT32 if dtype == torch.float32 else FLOAT64
    torch.testing.assert_close(first, torch.tensor(slopes, dtype=dtype), **tolerance)
    torch.testing.assert_close(second, torch.tensor(bends, dtype=dtype), **tolerance)


def test_steepness_may_be_any_one_element_tensor() -> None:
    """It changes neither the shape nor the type of the result."""
    inputs = {"x1": torch.tensor(2.0), "x2": torch.tensor(1.5)}
    result = MULTIPLY(inputs, "cinf", torch.tensor([3.0], dtype=torch.float64))
    torch.testing.assert_close(result.outputs["x0"], MULTIPLY(inputs, "cinf", 3.0).outputs["x0"], **FLOAT32)


def test_phi_c0_and_its_slopes() -> None:
    """Values by hand; slope 0 at 0, the inner one at 1, and none beyond."""
    x = torch.tensor([-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    value = phi_c0(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert value.tolist() == [1, 1, 0.25, 0, 0.5, 1, 1]
    assert slope.tolist() == [0, -1, -1, 0, 1, 1, 0]


@pytest.mark.parametrize("source", [MULTIPLICATION, "x3 := x2 + 1\nx0 := x1\nWHILE x3 != 0 DO x0 := x3; x3 := x1 END"])
def test_derivatives(source: str) -> None:
    """First and second derivatives of C-infinity with respect to the inputs and the steepness."""
    program = WhileProgram.parse(source)

    def run(x1: Tensor, x2: Tensor, s: Tensor) -> Tensor:
        return program({"x1": x1, "x2": x2}, "cinf", s, 1e-8, max_iterations=40).outputs["x0"]

    x1 = torch.tensor([0.4, 1.3], dtype=torch.float64, requires_grad=True)
    x2 = torch.tensor([1.2, 0.7], dtype=torch.float64, requires_grad=True)
    s = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x1, x2, s), fast_mode=False)
    assert torch.autograd.gradgradcheck(run, (x1, x2, s), fast_mode=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothness", ["c0", "cinf"])
def test_gradients_are_finite(smoothness: str, dtype: torch.dtype) -> None:
    """At all points of a grid on [0, 7]^2, the whole numbers among them, and not all zero."""
    axis = torch.linspace(0, 7, 29, dtype=dtype)
    x1, x2 = (a.clone().requires_grad_() for a in torch.meshgrid(axis, axis, indexing="ij"))
    result = MULTIPLY({"x1": x1, "x2": x2}, smoothness, 2.0)
    for gradient in torch.autograd.grad(result.outputs["x0"].sum(), (x1, x2)):
        assert bool(torch.isfinite(gradient).all())
        assert gradient.abs().max() > 1


def test_c0_gradient_is_the_one_from_the_left() -> None:
    """At whole numbers autograd gives the left-hand derivative, by x1 exactly x2."""
    inputs = {name: value[1:, 1:].clone().requires_grad_() for name, value in pairs(5, 5).items()}
    by_x1, by_x2 = torch.autograd.grad(MULTIPLY(inputs, "c0").outputs["x0"].sum(), list(inputs.values()))
    torch.testing.assert_close(by_x1, inputs["x2"].detach(), **FLOAT64)
    h = 1e-8  # smaller than epsilon, so that the loops end at the same turn
    lower = MULTIPLY({"x1": inputs["x1"], "x2": inputs["x2"] - h}, "c0").outputs["x0"]
    slope = (inputs["x1"] * inputs["x2"] - lower).detach() / h
    torch.testing.assert_close(by_x2, slope, rtol=1e-6, atol=0.0)  # rounding of about 1e-16 / h


@pytest.mark.parametrize("smoothness", ["hard", "c0", "cinf"])
def test_endless_program_ends_at_its_bound(smoothness: str) -> None:
    """It says so where it did not halt, and only there."""
    result = COUNT_UP({"x1": torch.tensor([0.0, 5.0])}, smoothness, steepness=4.0, max_iterations=30)
    assert not result.halted
    assert result.iterations.tolist() == [0, 30]
    assert result.remaining[0] == 0
    torch.testing.assert_close(result.remaining[1].item(), 1.0, **FLOAT32)
    torch.testing.assert_close(result.outputs["x0"][1].item(), 30.0, **FLOAT32)


def test_bound_counts_all_loops() -> None:
    """An endless loop in an endless loop takes the bound once, not squared; a bound that suffices changes nothing."""
    nested = WhileProgram.parse("WHILE x1 != 0 DO\nWHILE x1 != 0 DO\nx0 := x0 + 1\nEND\nEND")
    result = nested({"x1": torch.tensor(1.0)}, "hard", max_iterations=50)
    assert (result.iterations.item(), result.remaining.item(), result.outputs["x0"].item()) == (50, 1, 49)
    x = {"x1": torch.tensor(3.0), "x2": torch.tensor(2.0)}
    exact, short = (MULTIPLY(x, "hard", max_iterations=n) for n in (8, 7))
    assert (exact.halted, exact.outputs["x0"].item(), exact.iterations.item()) == (True, 6, 8)
    assert short.halted is False


def test_names_and_broadcasting() -> None:
    """Shapes broadcast, what is not given is 0, what is not used is kept, and no tensor of the caller changes."""
    x1, x2 = torch.tensor([[2.0], [3.0]]), torch.tensor([4.0, 5.0, 0.0])
    result = MULTIPLY({"x1": x1, "x2": x2, "x9": torch.tensor(7.0)}, "hard")
    assert result.outputs["x0"].tolist() == [[8, 10, 0], [12, 15, 0]]
    assert sorted(result.outputs) == ["x0", "x1", "x2", "x3", "x9"]
    assert result.outputs["x9"].shape == (2, 3)
    assert MULTIPLY({"x1": x1}, "hard").outputs["x0"].tolist() == [[0], [0]]
    assert MULTIPLY({}, "hard").outputs["x0"].item() == 0
    assert x2.tolist() == [4, 5, 0]
    assert MULTIPLY({"x1": torch.ones(0)}).outputs["x0"].shape == (0,)


def test_program_tells_about_itself() -> None:
    """Variables by number, x0 always; the source as given; a readable form."""
    program = WhileProgram.parse("x10 := x2\nx2 := x2 - 1")
    assert program.variables == ("x0", "x2", "x10")
    assert program.source == "x10 := x2\nx2 := x2 - 1"
    assert repr(MULTIPLY) == "WhileProgram(x0, x1, x2, x3; 4 assignments, 2 loops)"
    assert [a.number for a in MULTIPLY.assignments] == [0, 1, 2, 3]


def test_trace() -> None:
    """One record for each test and assignment, with the state as it was then."""
    program = WhileProgram.parse("x3 := x1\nWHILE x1 != 0 DO\n  x1 := x1 - 1\nEND")
    steps = list(program.trace({"x1": torch.tensor(1.5)}, smoothness="c0"))
    assert [(s.line, s.text, s.before.item(), s.probability.item(), s.variables["x1"].item()) for s in steps] == [
        (1, "x3 := x1", 1, 1, 1.5),
        (2, "WHILE x1 != 0 DO", 1, 1, 1.5),
        (3, "x1 := x1 - 1", 1, 1, 0.5),
        (2, "WHILE x1 != 0 DO", 1, 0.5, 0.5),
        (3, "x1 := x1 - 1", 0.5, 0.5, 0.0),
        (2, "WHILE x1 != 0 DO", 0.5, 0, 0.0),
    ]
    assert list(steps[0].variables) == ["x0", "x1", "x3"]


def test_trace_is_lazy_but_checks_at_once() -> None:
    """The head of an endless run can be taken; a bad argument does not wait for the first record."""
    head = list(islice(COUNT_UP.trace({"x1": torch.tensor(1.0)}, smoothness="hard", max_iterations=10**9), 7))
    assert [step.variables["x0"].item() for step in head] == [0, 1, 1, 1, 2, 2, 2]
    with pytest.raises(DomainError, match="smoothness"):
        COUNT_UP.trace({"x1": torch.tensor(1.0)}, smoothness="soft")


ONE = torch.ones(2)
MEAN = WhileProgram.parse("WHILE x2 != 0 DO x0 := x1; x2 := x2 - 1 END")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: MULTIPLY({"a": ONE}), DomainError, "names of variables"),
        (lambda: MULTIPLY({"x01": ONE}), DomainError, "names of variables"),
        (lambda: MULTIPLY({"x1": 3}), DTypeError, "x1"),  # type: ignore[dict-item]
        (lambda: MULTIPLY({"x1": ONE.long()}), DTypeError, "float32 or float64"),
        (lambda: MULTIPLY({"x1": ONE, "x2": ONE.double()}), DTypeError, "as the others"),
        (lambda: MULTIPLY({"x1": ONE, "x2": ONE.to("meta")}), DeviceError, "x2"),
        (lambda: MULTIPLY({"x1": ONE * math.nan}), DomainError, "finite"),
        (lambda: MULTIPLY({"x1": ONE, "x2": torch.ones(3)}), ShapeError, "broadcast"),
        (lambda: MULTIPLY({"x1": ONE * 1.5}, "hard"), DomainError, "whole numbers"),
        (lambda: MULTIPLY({"x1": ONE}, "soft"), DomainError, "cinf, c0, hard"),
        (lambda: MULTIPLY({"x1": ONE}, steepness=0.0), DomainError, "steepness"),
        (lambda: MULTIPLY({"x1": ONE}, epsilon=1.0), DomainError, "epsilon"),
        (lambda: MULTIPLY({"x1": ONE}, epsilon=math.nan), DomainError, "epsilon"),
        (lambda: MULTIPLY({"x1": ONE}, max_iterations=-1), DomainError, "max_iterations"),
        (lambda: MULTIPLY({"x1": ONE}, max_iterations=2.5), DomainError, "max_iterations"),  # type: ignore[arg-type]
        (lambda: MEAN({"x0": ONE * -3e38, "x1": ONE * 3e38, "x2": ONE / 2}, "c0"), DomainError, "stay finite"),
    ],
)
def test_errors(call: Callable[[], object], error: type[Exception], words: str) -> None:
    """Bad arguments are refused with their names, and so is a run that overflows."""
    with pytest.raises(error, match=words):
        call()
