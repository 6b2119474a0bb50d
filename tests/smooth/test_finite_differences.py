"""Finite differences: known derivatives, paddings by hand and against convolution, gradients, errors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor
from torch.nn.functional import conv1d, pad

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.finite_differences import PADDINGS, FiniteDifferences, finite_differences

each_padding = pytest.mark.parametrize("padding", [None, *PADDINGS])
SIGNAL = torch.tensor([1.0, 3.0, 2.0, 6.0], dtype=torch.float64)


def rough(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (None, [2, -1, 4]),
        ("zeros", [2, -1, 4, -6]),
        ("replicate", [2, -1, 4, 0]),
        ("reflect", [2, -1, 4, -4]),
        ("circular", [2, -1, 4, -5]),
    ],
)
def test_paddings_by_hand(padding: str | None, expected: list[float]) -> None:
    assert finite_differences(SIGNAL, padding=padding).tolist() == expected
    assert finite_differences(SIGNAL, padding=padding, spacing=0.5).tolist() == [2 * d for d in expected]


@pytest.mark.parametrize("padding", PADDINGS)
def test_paddings_are_those_of_a_convolution(padding: str, generator: torch.Generator) -> None:
    x = rough(generator, 2, 1, 7)
    longer = pad(x, (0, 1), "constant" if padding == "zeros" else padding)
    kernel = torch.tensor([[[-1.0, 1.0]]], dtype=torch.float64)
    torch.testing.assert_close(finite_differences(x, padding=padding), conv1d(longer, kernel), **FLOAT64)


def test_exact_for_a_parabola_and_second_order_for_a_sine() -> None:
    h = 0.1
    x = h * torch.arange(20, dtype=torch.float64)
    middle = x[:-1] + h / 2
    torch.testing.assert_close(finite_differences(3 * x**2 - x, spacing=h), 6 * middle - 1, **FLOAT64)
    errors = []
    for n in (100, 200):
        t = torch.linspace(0, 2 * math.pi, n + 1, dtype=torch.float64)[:-1]
        slope = finite_differences(t.sin(), padding="circular", spacing=2 * math.pi / n)
        errors.append((slope - (t + math.pi / n).cos()).abs().amax().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)


def test_gradient_of_a_plane() -> None:
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    plane = (3 * 0.5 * rows - 2 * 0.25 * columns).expand(2, 3, 4, 5)
    down, across = finite_differences(plane, (-2, -1), spacing=(0.5, 0.25))
    torch.testing.assert_close(down, torch.full((2, 3, 3, 5), 3.0), **FLOAT32)
    torch.testing.assert_close(across, torch.full((2, 3, 4, 4), -2.0), **FLOAT32)


@each_padding
def test_several_dims_are_each_by_itself(padding: str | None, generator: torch.Generator) -> None:
    x = rough(generator, 3, 4, 5)
    for dims in ((0,), (2, 0), [-3, 1, -1]):
        results = finite_differences(x, dims, padding=padding)
        assert isinstance(results, tuple)
        for dim, result in zip(dims, results, strict=True):
            assert torch.equal(result, finite_differences(x, dim, padding=padding))
            assert torch.equal(result, finite_differences(x.movedim(dim, -1), padding=padding).movedim(-1, dim))
            assert padding is None or result.shape == x.shape


@each_padding
@given(values=st.lists(st.floats(-100, 100), min_size=2, max_size=9), a=st.floats(-5, 5), c=st.floats(-5, 5))
def test_linear_and_blind_to_a_constant(padding: str | None, values: list[float], a: float, c: float) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    y = finite_differences(x, padding=padding)
    torch.testing.assert_close(finite_differences(a * x, padding=padding), a * y, **FLOAT64)
    if padding != "zeros":
        torch.testing.assert_close(finite_differences(x + c, padding=padding), y, **FLOAT64)
    if padding is None:
        torch.testing.assert_close(torch.cat([x[:1], x[:1] + y.cumsum(0)]), x, **FLOAT64)
    if padding == "circular":
        assert y.sum().item() == pytest.approx(0, abs=FLOAT64["atol"])


@each_padding
def test_zero_mean(padding: str | None, generator: torch.Generator) -> None:
    x = rough(generator, 2, 3, 5, 6)
    for dims in ((-1,), (-2, -1)):
        raw = finite_differences(x, dims, padding=padding)
        for result, before in zip(finite_differences(x, dims, padding=padding, zero_mean=True), raw, strict=True):
            torch.testing.assert_close(result.mean(dims), torch.zeros_like(result.mean(dims)), **FLOAT64)
            shift = before - result
            torch.testing.assert_close(shift, shift.mean(dims, keepdim=True).expand_as(shift), **FLOAT64)
    assert finite_differences(SIGNAL, zero_mean=True).tolist() == pytest.approx([1 / 3, -8 / 3, 7 / 3])


@each_padding
@pytest.mark.parametrize("zero_mean", [False, True])
def test_derivatives(padding: str | None, zero_mean: bool, generator: torch.Generator) -> None:
    x = rough(generator, 2, 3, 4).requires_grad_()

    def layer(x: Tensor) -> tuple[Tensor, ...]:
        return finite_differences(x, (-1, 1), padding=padding, zero_mean=zero_mean, spacing=(0.5, 2.0))

    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_as_a_layer_of_a_network(generator: torch.Generator) -> None:
    layer = FiniteDifferences(padding="zeros", zero_mean=True, spacing=2.0)
    x = rough(generator, 2, 3, 8, 8).float()
    y = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), layer)(x)
    assert y.shape == (2, 4, 8, 8)
    assert y.dtype == torch.float32
    assert torch.equal(layer(x), finite_differences(x, padding="zeros", zero_mean=True, spacing=2.0))
    assert list(layer.parameters()) == []
    assert repr(layer) == "FiniteDifferences(dims=-1, padding='zeros', zero_mean=True, spacing=2.0)"
    assert [tuple(d.shape) for d in FiniteDifferences((-2, -1))(x)] == [(2, 3, 7, 8), (2, 3, 8, 7)]


def test_the_input_is_left_alone() -> None:
    before = SIGNAL.clone()
    finite_differences(SIGNAL, padding="reflect", zero_mean=True)
    assert torch.equal(SIGNAL, before)


@pytest.mark.parametrize(
    ("x", "dims", "options", "error", "words"),
    [
        (SIGNAL[:1], -1, {}, ShapeError, "at least 2"),
        (SIGNAL[:1], -1, {"padding": "replicate"}, ShapeError, "at least 2"),
        (torch.zeros(2, 0), (0, 1), {}, ShapeError, "at least 2"),
        (SIGNAL, 1, {}, DomainError, "dims"),
        (torch.tensor(1.0), -1, {}, DomainError, "dims"),
        (SIGNAL, (), {}, DomainError, "at least one"),
        (torch.zeros(2, 2), (1, -1), {}, DomainError, "twice"),
        (SIGNAL, 0.0, {}, DTypeError, "dims"),
        (SIGNAL, True, {}, DTypeError, "dims"),
        (SIGNAL, -1, {"padding": "same"}, DomainError, "'same'.*zeros, replicate, reflect, circular"),
        (SIGNAL, -1, {"spacing": 0.0}, DomainError, "spacing"),
        (SIGNAL, -1, {"spacing": -1.0}, DomainError, "spacing"),
        (SIGNAL, -1, {"spacing": math.nan}, DomainError, "spacing"),
        (SIGNAL, -1, {"spacing": (1.0, 2.0)}, ShapeError, "spacing"),
        (torch.zeros(2, 2), (0, 1), {"spacing": (1.0,)}, ShapeError, "spacing"),
        (SIGNAL, -1, {"spacing": "1"}, DTypeError, "spacing"),
        (SIGNAL.long(), -1, {}, DTypeError, "x"),
        (SIGNAL * math.inf, -1, {}, DomainError, "x"),
    ],
)
def test_errors(x: Tensor, dims: object, options: dict[str, object], error: type[LabError], words: str) -> None:
    with pytest.raises(error, match=words):
        finite_differences(x, dims, **options)
    with pytest.raises(error, match=words):
        FiniteDifferences(dims, **options)(x)
