"""The networks of colour: what each kind sees, by which numbers, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.nets import APPEARANCES, Appearance, encode


def inputs(generator: torch.Generator, count: int = 6, features: int = 2) -> list[Tensor]:
    """x, n, v and z, float64; n is not of length 1."""
    sizes = (3, 3, 3, features)
    return [torch.randn(count, size, generator=generator, dtype=torch.float64) for size in sizes]


@pytest.mark.parametrize("kind", APPEARANCES)
def test_sees_what_its_kind_says(kind: str, generator: torch.Generator) -> None:
    """The derivative is nonzero in what is seen, and the rest may even be absent or nonsense."""
    net = Appearance(kind, 32, 4, features=2, generator=generator).double()
    given = [t.requires_grad_() for t in inputs(generator)]
    color = net(*given)
    assert color.shape == (6, 3)
    slopes = torch.autograd.grad(color.sum(), given, materialize_grads=True)
    for name, slope in zip("xnvz", slopes, strict=True):
        assert bool((slope != 0).any()) == (name in APPEARANCES[kind] + "z")
    nonsense = [t if name in APPEARANCES[kind] + "z" else None for name, t in zip("xnvz", given, strict=True)]
    assert torch.equal(net(*nonsense), color)


def test_by_hand(generator: torch.Generator) -> None:
    """Two ReLU layers and the last, on the encoded view, with the normal as it comes."""
    net = Appearance("UDR", 16, 2, view_encoding=2, output="linear", generator=generator).double()
    x, n, v, _ = inputs(generator)
    rows = torch.cat([x, n, encode(v, 2)], -1)
    for layer in net.layers[:2]:
        rows = (rows @ layer.weight.T + layer.bias).clamp(min=0)
    expected = rows @ net.layers[2].weight.T + net.layers[2].bias
    torch.testing.assert_close(net(x, n, v), expected, **FLOAT64)
    assert not torch.allclose(net(x, 2 * n, v), expected)
    net.output = "sigmoid"
    torch.testing.assert_close(net(x, n, v), 1 / (1 + torch.exp(-expected)), **FLOAT64)


def test_sizes_of_the_paper() -> None:
    """Four layers of 512 and one with three outputs, from nine numbers."""
    shapes = [tuple(layer.weight.shape) for layer in Appearance().layers]
    assert shapes == [(512, 9), (512, 512), (512, 512), (512, 512), (3, 512)]


def test_derivatives(generator: torch.Generator) -> None:
    """By finite differences, in all four inputs."""
    net = Appearance("UDR", 8, 2, features=2, view_encoding=1, generator=generator).double()
    assert torch.autograd.gradcheck(net, [t.requires_grad_() for t in inputs(generator, 2)])


def test_rows_are_independent(generator: torch.Generator) -> None:
    """A batch is its rows, and may be empty."""
    net = Appearance("UDR", 16, 2, generator=generator).double()
    x, n, v, _ = inputs(generator)
    rows = torch.cat([net(x[i : i + 1], n[i : i + 1], v[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(net(x, n, v), rows, **FLOAT64)
    assert net(x[:0], n[:0], v[:0]).shape == (0, 3)


def test_start(generator: torch.Generator) -> None:
    """Within the bound of each layer, decided by the generator alone."""
    before = torch.get_rng_state()
    net, twin = (Appearance("DVR", 64, 2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    other = Appearance("DVR", 64, 2, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(net.layers, twin.layers, other.layers, strict=True):
        bound = 1 / math.sqrt(a.in_features)
        for name in ("weight", "bias"):
            numbers = getattr(a, name)
            assert numbers.abs().max() <= bound
            assert torch.equal(numbers, getattr(b, name))
            assert not torch.equal(numbers, getattr(c, name))
        assert a.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "IDR"}, "UDR, DRnoV, DVR, view"),
        ({"output": "tanh"}, "sigmoid or linear"),
        ({"width": 0}, "width"),
        ({"depth": 0}, "depth"),
        ({"features": -1}, "features"),
        ({"view_encoding": 99}, "frequencies"),
    ],
)
def test_refused_options(options: dict[str, object], words: str) -> None:
    """With the argument's name, or the names that exist."""
    with pytest.raises(DomainError, match=words):
        Appearance(**{"width": 8, **options})


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        (0, torch.zeros(6, 2), ShapeError),
        (1, torch.zeros(5, 3), ShapeError),
        (2, torch.zeros(6, 3, dtype=torch.float64), DTypeError),
        (2, None, DTypeError),
        (1, torch.full((6, 3), math.inf), DomainError),
        (3, None, DTypeError),
        (3, torch.zeros(6, 3), ShapeError),
    ],
)
def test_refused_inputs(place: int, value: Tensor | None, error: type[LabError]) -> None:
    """With the name of the input."""
    given: list[Tensor | None] = [torch.zeros(6, 3), torch.zeros(6, 3), torch.zeros(6, 3), torch.zeros(6, 2)]
    given[place] = value
    with pytest.raises(error, match="xnvz"[place]):
        Appearance("UDR", 8, 1, features=2)(*given)
