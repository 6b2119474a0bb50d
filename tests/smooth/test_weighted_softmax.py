"""Weighted softmax: values by hand, weights of zero in value and derivatives, extremes, laws, errors."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.weighted_softmax import WeightedSoftmax, WeightedSoftmin, weighted_softmax, weighted_softmin

lists = st.lists(st.tuples(st.floats(-20, 20), st.one_of(st.just(0.0), st.floats(1e-6, 1))), min_size=1, max_size=6)
members = lists.filter(lambda pairs: any(w for _, w in pairs))


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def plain(x: Tensor, w: Tensor) -> Tensor:
    """Equation 8 as it is printed, along the last dimension: right as long as nothing overflows."""
    return w * x.exp() / (w * x.exp()).sum(-1, keepdim=True)


def test_by_hand() -> None:
    x = tensor(math.log(1.0), math.log(2.0), math.log(4.0))
    assert weighted_softmax(x, tensor(1.0, 0.5, 0.5)).tolist() == pytest.approx([1 / 4, 1 / 4, 2 / 4])
    assert weighted_softmin(x, tensor(1.0, 0.5, 0.5)).tolist() == pytest.approx([8 / 11, 2 / 11, 1 / 11])
    assert weighted_softmax(x, tensor(1.0, 0.0, 1.0)).tolist() == pytest.approx([1 / 5, 0, 4 / 5])


@given(pairs=members)
def test_is_the_printed_equation(pairs: list[tuple[float, float]]) -> None:
    x, w = tensor(*(x for x, _ in pairs)), tensor(*(w for _, w in pairs))
    y = weighted_softmax(x, w)
    torch.testing.assert_close(y, plain(x, w), **FLOAT64)
    torch.testing.assert_close(weighted_softmin(x, w), plain(-x, w), **FLOAT64)
    assert bool((y[w == 0] == 0).all())
    # an element of weight 0 might as well not be there
    torch.testing.assert_close(y[w > 0], weighted_softmax(x[w > 0], w[w > 0]), **FLOAT64)


@given(pairs=members, shift=st.floats(-1000, 1000), order=st.randoms(use_true_random=False))
def test_laws(pairs: list[tuple[float, float]], shift: float, order: random.Random) -> None:
    x, w = tensor(*(x for x, _ in pairs)), tensor(*(w for _, w in pairs))
    y = weighted_softmax(x, w)
    assert y.sum().item() == pytest.approx(1)
    torch.testing.assert_close(weighted_softmax(x + shift, w), y, **FLOAT64)
    torch.testing.assert_close(weighted_softmax(x, w / 2), y, **FLOAT64)
    places = list(range(len(pairs)))
    order.shuffle(places)
    torch.testing.assert_close(weighted_softmax(x[places], w[places]), y[places], **FLOAT64)


def test_weights_of_one_recover_the_softmax(generator: torch.Generator) -> None:
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    for dim in range(-3, 3):
        torch.testing.assert_close(weighted_softmax(x, torch.ones_like(x), dim), x.softmax(dim), **FLOAT64)


def test_a_vanishing_weight_removes_its_element() -> None:
    x = tensor(1.0, 2.0, 3.0)
    for tiny in (1e-30, 1e-300):
        torch.testing.assert_close(
            weighted_softmax(x, tensor(1.0, 1.0, tiny)), weighted_softmax(x, tensor(1.0, 1.0, 0.0)), **FLOAT64
        )


@pytest.mark.parametrize("w", [(0.3, 1.0, 0.7), (0.3, 0.0, 0.7), (0.0, 0.0, 0.7), (1.0, 0.0, 0.0)])
def test_derivatives_at_every_weight(w: tuple[float, ...]) -> None:
    # Differences cannot be taken beyond 0; the printed equation has derivatives there that autograd finds.
    inputs = [tensor(0.3, -1.2, 2.1).requires_grad_(), tensor(*w).requires_grad_()]
    upstream = tensor(0.4, -1.3, 0.9)

    def derivatives(function: Callable[..., Tensor]) -> list[Tensor]:
        first = torch.autograd.grad((upstream * function(*inputs)).sum(), inputs, create_graph=True)
        mixed = (first[0] * tensor(1.0, 2.0, -1.0)).sum() + (first[1] * tensor(-2.0, 1.0, 0.5)).sum()
        return [*first, *torch.autograd.grad(mixed, inputs)]

    for got, expected in zip(derivatives(weighted_softmax), derivatives(plain), strict=True):
        torch.testing.assert_close(got, expected, **FLOAT64)


def test_gradient_of_a_weight_of_zero_by_hand() -> None:
    x, w = tensor(math.log(3.0), math.log(5.0)), tensor(0.5, 0.0).requires_grad_()
    joined, other = (torch.autograd.grad(weighted_softmax(x, w)[i], w)[0][1].item() for i in (1, 0))
    assert joined == pytest.approx(5 / (0.5 * 3))
    assert other == pytest.approx(-5 / (0.5 * 3))


@pytest.mark.parametrize("function", [weighted_softmax, weighted_softmin])
def test_gradcheck(function: Callable[..., Tensor], generator: torch.Generator) -> None:
    x = torch.randn(2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    w = (0.1 + 0.8 * torch.rand(4, generator=generator, dtype=torch.float64)).requires_grad_()
    sliced = tensor(0.5, 0.0, 1.0, 0.0)
    assert torch.autograd.gradcheck(function, (x, w))
    assert torch.autograd.gradgradcheck(function, (x, w))
    assert torch.autograd.gradcheck(lambda x: function(x, sliced), x)
    assert torch.autograd.gradgradcheck(lambda x: function(x, sliced), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x", [(0.0, 1e4, -1e4), (1e30, -1e30, 1e30), (-1e30, 3e38, -3e38), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("w", [(1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1e-38, 0.0, 0.0), (0.0, 1e-30, 1.0)])
def test_extremes_stay_finite(dtype: torch.dtype, x: tuple[float, ...], w: tuple[float, ...]) -> None:
    inputs = [torch.tensor(values, dtype=dtype, requires_grad=True) for values in (x, w)]
    for function in (weighted_softmax, weighted_softmin):
        y = function(*inputs)
        gradients = torch.autograd.grad((y * torch.arange(1, 4, dtype=dtype)).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(gradients[0].sum() + gradients[1][0], inputs)
        assert y.sum().item() == pytest.approx(1)
        assert y.dtype == dtype
        assert all(bool(torch.isfinite(t).all()) for t in (y, *gradients, *second))
        assert bool((y[inputs[1] == 0] == 0).all())
        assert bool((gradients[0][inputs[1] == 0] == 0).all())


def test_no_overflow_and_no_lost_digits() -> None:
    # weights and values that cancel: the log domain keeps both
    y = weighted_softmax(torch.tensor([80.0, 0.0]), torch.tensor([math.exp(-80), 1.0]))
    torch.testing.assert_close(y, torch.tensor([0.5, 0.5]), **FLOAT32)
    assert weighted_softmax(tensor(1000.0, 999.0), tensor(1.0, 1.0))[0].item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_shapes_batches_and_modules(generator: torch.Generator) -> None:
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    w = torch.rand(4, 1, generator=generator, dtype=torch.float64)
    y = weighted_softmax(x, w, 1)
    assert y.shape == (3, 4, 5)
    loop = [[weighted_softmax(x[b, :, c], w[:, 0]) for c in range(5)] for b in range(3)]
    torch.testing.assert_close(y, torch.stack([torch.stack(row, -1) for row in loop]), **FLOAT64)
    assert weighted_softmax(x[0, 0], x.sigmoid()).shape == (3, 4, 5)
    for module, function in ((WeightedSoftmax, weighted_softmax), (WeightedSoftmin, weighted_softmin)):
        assert torch.equal(module(1)(x, w), function(x, w, 1))
        assert list(module(1).parameters()) == []
        assert repr(module(1)) == f"{module.__name__}(dim=1)"


def test_inputs_are_left_alone() -> None:
    x, w = tensor(1.0, 2.0), tensor(0.0, 1.0)
    weighted_softmin(x, w)
    assert (x.tolist(), w.tolist()) == ([1.0, 2.0], [0.0, 1.0])


@pytest.mark.parametrize(
    ("x", "w", "dim", "error", "words"),
    [
        (tensor(1.0), tensor(0.0), -1, DomainError, "only zeros"),
        (torch.zeros(2, 3), torch.tensor([[1.0, 1, 1], [0, 0, 0]]), -1, DomainError, "only zeros"),
        (tensor(1.0), tensor(-0.1), -1, DomainError, "-0.1"),
        (tensor(1.0), tensor(1.1), -1, DomainError, "1.1"),
        (tensor(1.0), tensor(math.nan), -1, DomainError, "nan"),
        (tensor(-math.inf), tensor(1.0), -1, DomainError, "inf"),
        (tensor(1.0, 2.0), tensor(1.0, 1.0, 1.0), -1, ShapeError, "weights.*(3,).*(2,)"),
        (tensor(1.0), tensor(1.0), 1, DomainError, "dim"),
        (torch.tensor(1.0), torch.tensor(1.0), -1, DomainError, "dim"),
        (tensor(1.0), tensor(1.0), True, DTypeError, "dim"),
        (tensor(1.0), torch.ones(1), -1, DTypeError, "float32.*float64"),
        (torch.ones(1, dtype=torch.int64), tensor(1.0), -1, DTypeError, "x"),
        (tensor(1.0), [1.0], -1, DTypeError, "weights"),
    ],
)
def test_errors(x: Tensor, w: Tensor, dim: int, error: type[LabError], words: str) -> None:
    for function in (weighted_softmax, weighted_softmin):
        with pytest.raises(error, match=words):
            function(x, w, dim)
