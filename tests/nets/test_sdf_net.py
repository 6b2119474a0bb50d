"""The network of a signed distance: its gradient against autograd, its start, its encoding, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.nets import SDFNet, encode, encode_with_jacobian

VARIANTS = [
    pytest.param({}, id="plain"),
    pytest.param({"features": 4}, id="features"),
    pytest.param({"encoding": 3}, id="encoding"),
    pytest.param({"encoding": 2, "features": 3, "beta": 5.0}, id="both"),
]


def trained(generator: torch.Generator, width: int = 48, depth: int = 5, **options: float) -> SDFNet:
    """A float64 network away from its start, where nothing is zero by construction."""
    net = SDFNet(width, depth, generator=generator, **options).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.03 * torch.randn(parameter.shape, generator=generator)
    return net


def cube(generator: torch.Generator, count: int = 40) -> Tensor:
    """Points of the cube [-1, 1]^3, (N, 3) float64."""
    return 2 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1


def by_autograd(net: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The oracle: f, and its gradient by a second graph."""
    f = net(x)
    return f, torch.autograd.grad(f.sum(), x, create_graph=True)[0]


def loss(f: Tensor, g: Tensor) -> Tensor:
    """Something that mixes all entries of f (N,) and g (N, 3)."""
    return ((g.norm(dim=-1) - 1).square() + f.sin() * g.roll(1, 0).prod(-1)).sum() + f.square().mean()


@pytest.mark.parametrize("options", VARIANTS)
def test_value_and_gradient_equal_autograd(options: dict[str, float], generator: torch.Generator) -> None:
    """f and grad f to 1e-10, and the features of the same last layer."""
    net, x = trained(generator, **options), cube(generator).requires_grad_()
    f, g, z = net.full(x)
    expected = by_autograd(net, x)
    assert (f - expected[0]).abs().max() < 1e-10
    assert (g - expected[1]).abs().max() < 1e-10
    assert f.shape == (40,)
    assert g.shape == (40, 3)
    assert (z is None) == ("features" not in options)
    if z is not None:
        assert z.shape == (40, options["features"])
        top = torch.nn.functional.linear(net._last_hidden(encode(x, net.encoding)), net.top.weight, net.top.bias)
        torch.testing.assert_close(z, top[:, 1:], **FLOAT64)


@pytest.mark.parametrize("options", VARIANTS)
def test_derivatives_equal_double_autograd(options: dict[str, float], generator: torch.Generator) -> None:
    """Of a loss on f and grad f, in the points and in every parameter."""
    net, x = trained(generator, **options), cube(generator).requires_grad_()
    wanted = [x, *net.parameters()]
    found = torch.autograd.grad(loss(*net.value_and_gradient(x)), wanted)
    expected = torch.autograd.grad(loss(*by_autograd(net, x)), wanted, materialize_grads=True)
    for name, a, b in zip(["x", *dict(net.named_parameters())], found, expected, strict=True):
        torch.testing.assert_close(a, b, **FLOAT64, msg=lambda text, name=name: f"{name}: {text}")
        assert a.abs().max() > 0 or name.startswith("top.")


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_derivatives_pass_gradcheck(skip: int, generator: torch.Generator) -> None:
    """By finite differences, all three outputs, with the weights as inputs (depths 2 to 4 move the skip)."""
    net = trained(generator, 9, 2 + skip, beta=3.0, features=2)
    names, weights = zip(*net.named_parameters(), strict=True)

    class Full(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return self.net.full(x)

    def run(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        given = {f"net.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(Full(), given, (x,))

    inputs = (cube(generator, 2).requires_grad_(), *(w.detach().clone().requires_grad_() for w in weights))
    assert torch.autograd.gradcheck(run, inputs)


def test_call_is_differentiable_twice(generator: torch.Generator) -> None:
    """By finite differences of first derivatives."""
    net = trained(generator, 9, 2, beta=3.0)
    assert torch.autograd.gradgradcheck(net, (cube(generator, 3).requires_grad_(),))


def test_second_order_of_the_pass_is_refused(generator: torch.Generator) -> None:
    """Aloud, not by leaving terms out; the first order may be taken as often as one likes."""
    net, x = trained(generator), cube(generator).requires_grad_()
    f, g = net.value_and_gradient(x)
    with pytest.raises(DomainError, match="create_graph"):
        torch.autograd.grad(g.sum(), x, create_graph=True)
    first, second = (torch.autograd.grad(loss(f, g), x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def products(run: Callable[[], object]) -> int:
    """Floating-point operations that matrix products take."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_pass_costs_two_evaluations(generator: torch.Generator) -> None:
    """In matrix products; and training on it takes no more of them than double autograd does."""
    net, x = SDFNet(64, 8, generator=generator), cube(generator, 64).float()
    with torch.no_grad():
        assert products(lambda: net.value_and_gradient(x)) < 2.02 * products(lambda: net(x))
    ours = products(lambda: loss(*net.value_and_gradient(x)).backward())
    theirs = products(lambda: loss(*by_autograd(net.forward, x.requires_grad_())).backward())
    assert ours <= 1.02 * theirs


def test_float32_agrees_with_float64(generator: torch.Generator) -> None:
    """To the digits of float32."""
    net, x = SDFNet(64, 8, generator=generator), cube(generator)
    f, g = net.value_and_gradient(x.float())
    expected = net.double().value_and_gradient(x)
    assert f.dtype == g.dtype == torch.float32
    torch.testing.assert_close(f.double(), expected[0], **FLOAT32)
    # softplus at beta 100 multiplies the rounding of its argument by 100 in the slope
    torch.testing.assert_close(g.double(), expected[1], rtol=1e-3, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.integers(0, 2**31))
def test_batch_equals_loop(count: int, seed: int) -> None:
    """Rows do not see each other; no rows are allowed."""
    generator = torch.Generator().manual_seed(seed)
    net, x = trained(generator, 16, 3, features=2), cube(generator, count)
    together = net.full(x)
    assert together[0].shape == (count,)
    for row in range(count):
        for whole, one in zip(together, net.full(x[row : row + 1]), strict=True):
            torch.testing.assert_close(whole[row : row + 1], one, **FLOAT64)


@pytest.mark.parametrize(
    ("width", "depth", "encoding", "spread"),
    [(512, 8, 0, 0.02), (256, 8, 6, 0.02), (128, 4, 0, 0.02), (64, 4, 0, 0.05), (32, 4, 0, 0.1)],
)
@pytest.mark.parametrize("radius", [0.3, 0.7])
def test_start_is_a_sphere(
    width: int, depth: int, encoding: int, spread: float, radius: float, generator: torch.Generator
) -> None:
    """Of the radius that was asked for, with slope near 1."""
    net = SDFNet(width, depth, radius=radius, encoding=encoding, generator=generator)
    direction = torch.nn.functional.normalize(cube(generator, 500)).float()
    low, high = torch.zeros(500), torch.full((500,), 2 * radius)
    for _ in range(12):  # bisection along each ray finds where the surface is
        middle = (low + high) / 2
        inside = net(middle[:, None] * direction).detach() < 0
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    assert low.std() < spread * radius
    assert abs(low.mean() - radius) < spread * radius
    _, g = net.value_and_gradient(radius * direction)
    assert abs((g * direction).sum(-1).mean() - 1) < 0.1
    assert net(torch.zeros(1, 3)) < -0.5 * radius


def test_start_does_not_see_encoded_columns(generator: torch.Generator) -> None:
    """At the input and at the skip; hidden biases are zero, hidden deviations sqrt(2 / outputs)."""
    net = SDFNet(256, 6, encoding=4, features=8, generator=generator)
    for layer, linear in enumerate(net.hidden):
        raw = {0: 3, net.skip: 256 - 27 + 3}.get(layer, linear.in_features)
        assert (linear.weight[:, raw:] == 0).all()
        assert (linear.bias == 0).all()
        assert linear.weight[:, :raw].std().item() == pytest.approx(math.sqrt(2 / linear.out_features), rel=0.1)
        assert linear.in_features == (27 if layer == 0 else 256)
    assert net.top.weight[1:].std().item() == pytest.approx(1 / 16, rel=0.1)


def test_generator_decides(generator: torch.Generator) -> None:
    """The same seed gives the same network; torch's global stream is neither read nor moved."""
    before = torch.get_rng_state()
    first, second = (SDFNet(32, 3, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    other = SDFNet(32, 3, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.hidden[0].weight, other.hidden[0].weight)
    default = [SDFNet(32, 3).hidden[0].weight for _ in range(2)]
    assert torch.equal(*default)


def test_state_can_be_restored(generator: torch.Generator) -> None:
    """Through the state dictionary."""
    net, other = trained(generator), SDFNet(48, 5).double()
    other.load_state_dict(net.state_dict())
    x = cube(generator)
    assert torch.equal(net(x), other(x))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"width": 6}, DomainError, "width"),
        ({"width": 32, "encoding": 3}, DomainError, "width"),
        ({"width": 64.0}, DomainError, "width"),
        ({"depth": 1}, DomainError, "depth"),
        ({"depth": True}, DomainError, "depth"),
        ({"features": -1}, DomainError, "features"),
        ({"encoding": 17}, DomainError, "frequencies"),
        ({"radius": 0.0}, DomainError, "radius"),
        ({"radius": "1"}, DTypeError, "radius"),
        ({"beta": math.inf}, DomainError, "beta"),
    ],
)
def test_refused_sizes(options: dict[str, object], error: type[LabError], words: str) -> None:
    """With the argument's name."""
    with pytest.raises(error, match=words):
        SDFNet(**{"width": 16, "depth": 2, **options})


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(4, 2), ShapeError),
        (torch.zeros(3), ShapeError),
        (torch.zeros(4, 3, dtype=torch.float64), DTypeError),
        (torch.zeros(4, 3, dtype=torch.int64), DTypeError),
        ([[0.0, 0.0, 0.0]], DTypeError),
        (torch.full((4, 3), math.nan), DomainError),
    ],
)
def test_refused_points(x: object, error: type[LabError]) -> None:
    """By both ways in."""
    net = SDFNet(16, 2)
    for run in (net, net.full, net.value_and_gradient):
        with pytest.raises(error, match="x"):
            run(x)


def test_encoding_by_hand() -> None:
    """x, then sin and cos of x and of 2 x."""
    x = torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64)
    rows = [x[0], x[0].sin(), x[0].cos(), (2 * x[0]).sin(), (2 * x[0]).cos()]
    torch.testing.assert_close(encode(x, 2), torch.cat(rows)[None], **FLOAT64)
    assert encode(x, 0) is not x
    assert torch.equal(encode(x, 0), x)
    for bad in (-1, 17, 1.5, True):
        with pytest.raises(DomainError, match="frequencies"):
            encode(x, bad)


def test_encoding_jacobian(generator: torch.Generator) -> None:
    """Equals autograd's, and is differentiable."""
    x = cube(generator, 3).requires_grad_()
    value, jacobian = encode_with_jacobian(x, 3)
    assert torch.equal(value, encode(x, 3))
    full = torch.autograd.functional.jacobian(lambda y: encode(y, 3), x)  # (N, E, N, 3)
    torch.testing.assert_close(jacobian, torch.einsum("nenk->kne", full), **FLOAT64)
    assert torch.autograd.gradcheck(lambda y: encode_with_jacobian(y, 2), (x,))
