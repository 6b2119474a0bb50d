"""Weights and biases of a WHILE program: where they start, their derivatives, what a fit gains, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.smooth.while_examples import MULTIPLICATION
from labkit.smooth.while_program import WhileProgram
from labkit.smooth.while_training import TrainableWhileProgram

MULTIPLY = WhileProgram.parse(MULTIPLICATION)


def whole(n: int) -> dict[str, Tensor]:
    """All pairs below n."""
    axis = torch.arange(n, dtype=torch.float64)
    return dict(zip(("x1", "x2"), torch.meshgrid(axis, axis, indexing="ij"), strict=True))


def test_starts_as_the_plain_program() -> None:
    """Weight 1 and bias 0, one of each per assignment: the same numbers, and a regulariser of 0."""
    model = TrainableWhileProgram(MULTIPLY, torch.float64)
    inputs = whole(4)
    torch.testing.assert_close(model(inputs, steepness=2.0).outputs, MULTIPLY(inputs, steepness=2.0).outputs, **FLOAT64)
    assert [tuple(p.shape) for p in model.parameters()] == [(4,), (4,)]
    assert model.regularizer().item() == 0
    assert "4 assignments" in repr(model)


def test_weight_and_bias_by_hand() -> None:
    """``x := w (y + change) + b`` moves its variable by the fraction P; the regulariser sums the squares."""
    program = WhileProgram.parse("x0 := x1\nWHILE x2 != 0 DO\nx0 := x0 + 1\nx2 := x3\nEND")
    model = TrainableWhileProgram(program)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([2.0, 3.0, 1.0]))
        model.bias.copy_(torch.tensor([0.5, -1.0, 0.0]))
    inputs = {"x1": torch.tensor(4.0), "x2": torch.tensor(1.0)}
    # 2 * 4 + 0.5 = 8.5, then 3 * (8.5 + 1) - 1
    assert model(inputs, smoothness="c0").outputs["x0"].item() == 27.5
    # with P = 1/2 half the way from 8.5 to 27.5
    assert model(inputs | {"x2": torch.tensor(0.5)}, smoothness="c0", max_iterations=1).outputs["x0"].item() == 18
    assert model.regularizer().item() == 1 + 4 + 0.25 + 1


def test_derivatives() -> None:
    """First and second derivatives with respect to weights, biases and an input."""
    model = TrainableWhileProgram(MULTIPLY, torch.float64)

    def run(x1: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        inputs = {"x1": x1, "x2": torch.tensor(1.3, dtype=torch.float64)}
        options = {"steepness": 1.5, "epsilon": 1e-8, "max_iterations": 12}
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(model, parameters, (inputs,), options).outputs["x0"]

    x1 = torch.tensor([0.4, 2.1], dtype=torch.float64, requires_grad=True)
    parameters = [p.detach().clone().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(run, (x1, *parameters), fast_mode=False)
    assert torch.autograd.gradgradcheck(run, (x1, *parameters), fast_mode=False)


def test_fit_of_the_multiplication() -> None:
    """At s = 2 weights and biases take the largest error of all pairs 0..7 down from 3.24 to less than a third."""
    model = TrainableWhileProgram(MULTIPLY, torch.float64)
    inputs = whole(8)
    product = inputs["x1"] * inputs["x2"]
    events = list(model.fit(inputs, product, steps=100, steepness=2.0))
    before = events[0].values["largest_error"]
    after = (model(inputs, steepness=2.0).outputs["x0"] - product).abs().max().item()
    assert before == pytest.approx(3.24, abs=5e-3)  # as many digits as the known value has
    assert after < before / 3
    assert 0 < model.regularizer().item() < 0.1


def test_fit_of_what_is_exact_stays() -> None:
    """Where nothing is wrong nothing moves: the gradient of the loss at an error of 0 is 0, not NaN."""
    model = TrainableWhileProgram(MULTIPLY, torch.float64)
    inputs = whole(3)
    (event,) = model.fit(inputs, inputs["x1"] * inputs["x2"], steps=1, smoothness="c0")
    assert event.values["loss"] == 0
    assert torch.equal(model.weight, torch.ones_like(model.weight))


def test_fit_can_be_stopped() -> None:
    """Steps are done when they are asked for; what was done stays."""
    model = TrainableWhileProgram(MULTIPLY, torch.float64)
    inputs = whole(3)
    events = model.fit(inputs, inputs["x1"] * inputs["x2"], steps=9, steepness=2.0)
    assert torch.equal(model.weight, torch.ones_like(model.weight))
    taken = list(islice(events, 2))
    assert [(event.number, event.total) for event in taken] == [(1, 9), (2, 9)]
    assert taken[0].values["largest_error"] > taken[1].values["largest_error"] > 0
    assert not torch.equal(model.weight, torch.ones_like(model.weight))


ONE = torch.ones(2)
MODEL = TrainableWhileProgram(MULTIPLY)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: MODEL({"x1": ONE.double()}), DTypeError, "x1"),
        (lambda: MODEL.fit({"x1": ONE}, torch.ones(3)), ShapeError, "targets"),
        (lambda: MODEL.fit({"x1": torch.ones(0)}, torch.ones(0)), ShapeError, "not empty"),
        (lambda: MODEL.fit({"x1": ONE}, ONE.long()), DTypeError, "targets"),
        (lambda: MODEL.fit({"x1": ONE}, ONE.double()), DTypeError, "targets"),
        (lambda: MODEL.fit({"x1": ONE.double()}, ONE), DTypeError, "x1"),
        (lambda: MODEL.fit({"x1": ONE}, ONE * math.inf), DomainError, "targets"),
        (lambda: MODEL.fit({"x1": ONE}, ONE, steps=0), DomainError, "steps"),
        (lambda: MODEL.fit({"x1": ONE}, ONE, learning_rate=0.0), DomainError, "learning_rate"),
        (lambda: MODEL.fit({"x1": ONE}, ONE, regularization=-1.0), DomainError, "regularization"),
        (lambda: MODEL.fit({"x1": ONE}, ONE, epsilon=2.0), DomainError, "epsilon"),
        (lambda: MODEL.fit({"y": ONE}, ONE), DomainError, "names of variables"),
        (lambda: TrainableWhileProgram(MULTIPLY).to("meta").fit({"x1": ONE}, ONE), DeviceError, "meta"),
    ],
)
def test_errors(call: Callable[[], object], error: type[Exception], words: str) -> None:
    """Bad arguments are refused before the first step is asked for."""
    with pytest.raises(error, match=words):
        call()
