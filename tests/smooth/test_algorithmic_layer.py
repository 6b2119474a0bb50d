"""Algorithmic layer: the three insertions, and the sensitivity against finite differences of a weighted twin."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.algorithmic_layer import INSERTIONS, AlgorithmicLayer
from labkit.smooth.finite_differences import FiniteDifferences

each_insertion = pytest.mark.parametrize("insertion", INSERTIONS)


def rough(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def network(insertion: str, generator: torch.Generator) -> nn.Sequential:
    """Five inputs, an algorithm between two linear layers, three outputs."""
    parts = [nn.Linear(5, 4), AlgorithmicLayer(torch.sin, insertion), nn.Linear(8 if insertion == "skip" else 4, 3)]
    net = nn.Sequential(*parts).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(rough(generator, *parameter.shape))
    return net


def test_insertions(generator: torch.Generator) -> None:
    x = rough(generator, 2, 3)
    assert torch.equal(AlgorithmicLayer(torch.sin)(x), x.sin())
    assert torch.equal(AlgorithmicLayer(torch.sin, "residual")(x), x + x.sin())
    assert torch.equal(AlgorithmicLayer(torch.sin, "skip")(x), torch.cat([x.sin(), x], -1))


def test_skip_joins_unequal_numbers_of_features(generator: torch.Generator) -> None:
    images = rough(generator, 2, 3, 4, 5)
    layer = AlgorithmicLayer(lambda x: x.sum(1, keepdim=True), "skip", dim=1)
    assert torch.equal(layer(images), torch.cat([images.sum(1, keepdim=True), images], 1))
    assert torch.equal(AlgorithmicLayer(FiniteDifferences(), "skip")(images)[..., :4], images.diff())


@each_insertion
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_derivatives_are_those_without_weights(insertion: str, dim: int, generator: torch.Generator) -> None:
    x = rough(generator, 2, 3, 4).requires_grad_()
    layer = AlgorithmicLayer(torch.sin, insertion, dim=dim)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


@each_insertion
def test_sensitivity_is_the_derivative_with_respect_to_the_weights(insertion: str, generator: torch.Generator) -> None:
    net, x, target = network(insertion, generator), rough(generator, 6, 5), rough(generator, 6, 3)
    layer = net[1]
    assert isinstance(layer, AlgorithmicLayer)

    def loss() -> Tensor:
        return (net(x) - target).square().mean()

    sensitivity = layer.sensitivity(loss())
    h = 1e-5
    for feature in range(4):
        moved = []
        for sign in (1, -1):
            weight = torch.ones(4, dtype=torch.float64)
            weight[feature] += sign * h
            layer.algorithm = lambda x, w=weight: w * x.sin()
            moved.append(loss().item())
        # central differences: truncation and rounding leave some 1e-9
        assert sensitivity[feature].item() == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6, abs=1e-8)


def test_sign_and_features_by_hand() -> None:
    layer = AlgorithmicLayer(lambda x: 2 * x, "residual", dim=0)
    x = torch.tensor([[1.0, 10.0], [3.0, 0.0]])
    y = layer(x)
    # d/dw_i of the sum of x + w 2 x is the sum of 2 x over the other dimension: more weight, greater loss
    assert layer.sensitivity(y.sum()).tolist() == [22.0, 6.0]
    assert layer.sensitivity(-y[0].sum()).tolist() == [-22.0, 0.0]


@each_insertion
def test_no_grad_changes_and_backward_still_works(insertion: str, generator: torch.Generator) -> None:
    net, x = network(insertion, generator), rough(generator, 6, 5)
    loss = net(x).square().mean()
    first = net[1].sensitivity(loss)
    assert all(p.grad is None for p in net.parameters())
    torch.testing.assert_close(net[1].sensitivity(loss), first, **FLOAT64)
    loss.backward()
    grads = [p.grad.clone() for p in net.parameters()]
    other = net(x).square().mean()
    torch.testing.assert_close(net[1].sensitivity(other), first, **FLOAT64)  # nothing of the backward remains
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), grads, strict=True))
    assert not first.requires_grad


def test_several_forwards_add_up(generator: torch.Generator) -> None:
    layer, a, b = AlgorithmicLayer(torch.sin), rough(generator, 2, 3), rough(generator, 4, 3)
    first, second = layer(a).sum(), layer(b).sum()
    torch.testing.assert_close(layer.sensitivity(first), a.sin().sum(0), **FLOAT64)
    torch.testing.assert_close(layer.sensitivity(first + second), a.sin().sum(0) + b.sin().sum(0), **FLOAT64)
    with torch.no_grad():
        layer(rough(generator, 2, 7))
    torch.testing.assert_close(layer.sensitivity(second), b.sin().sum(0), **FLOAT64)


def test_the_weights_are_in_no_optimizer_and_no_file(generator: torch.Generator) -> None:
    net, x = network("between", generator), rough(generator, 6, 5)
    before = set(net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    assert set(net.state_dict()) == before == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert list(net[1].parameters()) == []
    assert torch.equal(net[1](x), x.sin())  # still weights of one


def test_parameters_of_the_algorithm_are_trained(generator: torch.Generator) -> None:
    layer = AlgorithmicLayer(nn.Linear(3, 3))
    assert len(list(layer.parameters())) == 2
    loss = layer(rough(generator, 2, 3).float()).sum()
    layer.sensitivity(loss)
    assert all(p.grad is None for p in layer.parameters())


def test_moves_copies_and_modes(generator: torch.Generator) -> None:
    net, x = network("residual", generator), rough(generator, 6, 5)
    expected = net[1].sensitivity(net(x).sum())
    for twin in (copy.deepcopy(net), net.eval(), net.to("cpu")):
        torch.testing.assert_close(twin[1].sensitivity(twin(x).sum()), expected, **FLOAT64)
    single = copy.deepcopy(net).float()
    assert single(x.float()).dtype == torch.float32
    assert single[1].sensitivity(single(x.float()).sum()).dtype == torch.float32
    layer = AlgorithmicLayer(torch.sin)
    with torch.inference_mode():
        layer(x)
    torch.testing.assert_close(layer.sensitivity(layer(x).sum()), x.sin().sum(0), **FLOAT64)
    assert repr(net[1]) == "AlgorithmicLayer(insertion='residual', dim=-1)"


def unused(layer: AlgorithmicLayer, x: Tensor) -> Tensor:
    layer(x)
    return x.clone().requires_grad_().sum()


def without_graph(layer: AlgorithmicLayer, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x).sum()


def after_backward(layer: AlgorithmicLayer, x: Tensor) -> Tensor:
    loss = layer(x).square().sum()
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (unused, LabError, "a graph without this layer"),
        (without_graph, LabError, "without a graph.*gradients enabled"),
        (lambda layer, x: x.clone().requires_grad_().sum(), LabError, "without a graph"),
        (after_backward, LabError, "second time.*before its backward"),
        (lambda layer, x: layer(x), ShapeError, "loss"),
        (lambda layer, x: layer(x).sum() / 0, DomainError, "loss"),
        (lambda layer, x: 1.0, DTypeError, "loss"),
    ],
)
def test_sensitivity_errors(
    make: Callable[[AlgorithmicLayer, Tensor], Tensor], error: type[LabError], words: str
) -> None:
    layer = AlgorithmicLayer(torch.sin)
    with pytest.raises(error, match=words):
        layer.sensitivity(make(layer, torch.ones(2, 3)))


def test_errors_of_shape_and_kind() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ShapeError, match=r"\(2, 2\).*\(2, 3\)"):
        AlgorithmicLayer(FiniteDifferences(), "residual")(x)
    with pytest.raises(ShapeError, match=r"\(1, 3\).*\(2, 3\)"):  # would broadcast without a word
        AlgorithmicLayer(lambda x: x.sum(0, keepdim=True), "residual")(x)
    for algorithm in (FiniteDifferences(0), lambda x: x.sum(-1), lambda x: x[None]):
        with pytest.raises(ShapeError, match=r"\(2, 3\)"):
            AlgorithmicLayer(algorithm, "skip")(x)
    with pytest.raises(DomainError, match="dim"):
        AlgorithmicLayer(torch.sum)(x)
    with pytest.raises(DomainError, match="dim"):
        AlgorithmicLayer(torch.sin, dim=2)(x)
    with pytest.raises(DomainError, match=r"algorithm.*nan"):
        AlgorithmicLayer(lambda x: (x - 2).sqrt())(x)
    with pytest.raises(DTypeError, match="algorithm"):
        AlgorithmicLayer(FiniteDifferences((0, 1)))(x)
    with pytest.raises(DTypeError, match="algorithm"):
        AlgorithmicLayer("sort")
    with pytest.raises(DomainError, match=r"'after'.*between, skip, residual"):
        AlgorithmicLayer(torch.sin, "after")
