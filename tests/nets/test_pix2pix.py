"""pix2pix: its numbers, its layers by hand, and what its skips, dropout and residual do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tolerances import FLOAT32, FLOAT64
from torch import Tensor, nn

from labkit.errors import LabError
from labkit.nets.layers import seed_dropout
from labkit.nets.pix2pix import SLOPE, Pix2Pix


def numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shapes(module: nn.ModuleList) -> list[tuple[int, ...]]:
    return [tuple(layer.weight.shape) for layer in module]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 30_683_524),  # 2 * 15,339,520 weights; 2,496 and 1,988 biases
        ({"skips": "concatenate"}, 41_828_740),  # the six outer mirrored layers have twice the inputs
        ({"downs": 2}, 270_596),  # the translators: "the first two layers"
    ],
)
def test_the_papers_sizes(options: dict[str, Any], count: int) -> None:
    """C64-C128-C256-C512-C512-C512-C512, mirrored, at 128 x 128 with four views."""
    with torch.device("meta"):
        net = Pix2Pix(4, 4, 128, **options)
        assert net.eval()(torch.empty(0, 4, 128, 128)).shape == (0, 4, 128, 128)
    assert numbers(net) == count
    if not options:
        filters = [4, 64, 128, 256, 512, 512, 512, 512]
        assert shapes(net.halving) == [(after, before, 4, 4) for before, after in pairwise(filters)]
        assert shapes(net.doubling) == shapes(net.halving)  # transposed: the input comes first


def test_where_dropout_stands(generator: torch.Generator) -> None:
    """After the fifth, sixth and seventh layer of each half, that is where the picture has 1/32 of its size or less."""
    net = Pix2Pix(1, 1, 128, 1, generator=generator)
    seed_dropout(net, generator)
    met: list[tuple[int, ...]] = []
    net.drop.register_forward_hook(lambda _, given, made: met.append(tuple(made.shape[1:])))
    net(torch.rand(1, 1, 128, 128, generator=generator))
    assert met == [(8, 4, 4), (8, 2, 2), (8, 1, 1), (8, 2, 2), (8, 4, 4), (8, 8, 8)]


@pytest.mark.parametrize(("size", "downs"), [(64, 6), (128, 7), (256, 7), (96, 5), (2, 1)])
def test_as_many_layers_as_the_size_allows(size: int, downs: int) -> None:
    with torch.device("meta"):
        assert len(Pix2Pix(1, 1, size, 2).halving) == downs


def test_two_by_two_by_hand() -> None:
    """One filter on four pixels: only the middle of each 4 x 4 kernel meets a pixel."""
    net = Pix2Pix(1, 1, 2, 1, output="linear")
    values = torch.arange(16.0).reshape(1, 1, 4, 4)
    with torch.no_grad():
        net.halving[0].weight.copy_(values / 10)
        net.halving[0].bias.fill_(-4.0)
        net.doubling[0].weight.copy_(values - 8)
        net.doubling[0].bias.fill_(0.5)
    picture = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # 0.5 * 1 + 0.6 * 2 + 0.9 * 3 + 1.0 * 4 - 4 = 4.4; the kernel's middle is -3, -2, 1, 2
    expected = torch.tensor([[[[-12.7, -8.3], [4.9, 9.3]]]])
    torch.testing.assert_close(net(picture), expected, **FLOAT32)
    # -1 of it: -8.4 - 4 = -12.4, of which the leaky part is -2.48
    torch.testing.assert_close(net(-picture), torch.tensor([[[[7.94, 5.46], [-1.98, -4.46]]]]), **FLOAT32)
    net.output = "sigmoid"
    torch.testing.assert_close(net(picture), torch.sigmoid(expected), **FLOAT32)


@pytest.mark.parametrize("skips", ["sum", "concatenate"])
def test_how_the_halves_meet(skips: Any, generator: torch.Generator) -> None:
    net = Pix2Pix(2, 3, 8, 4, downs=2, skips=skips, output="linear", generator=generator).double()
    picture = torch.rand(2, 2, 8, 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    (one, two), (out, back) = net.halving, net.doubling
    first = F.leaky_relu(F.conv2d(picture, one.weight, one.bias, 2, 1), SLOPE)
    second = F.leaky_relu(F.conv2d(first, two.weight, two.bias, 2, 1), SLOPE)
    third = F.leaky_relu(F.conv_transpose2d(second, back.weight, back.bias, 2, 1), SLOPE)
    met = third + first if skips == "sum" else torch.cat([third, first], 1)
    expected = F.conv_transpose2d(met, out.weight, out.bias, 2, 1)
    torch.testing.assert_close(net(picture), expected, **FLOAT64)


def test_the_outermost_residual_hands_the_picture_on(generator: torch.Generator) -> None:
    net = Pix2Pix(1, 1, 16, 4, residual=True, generator=generator)
    picture = torch.rand(2, 1, 16, 16, generator=generator).requires_grad_()
    untrained = net(picture)
    assert 0 < (untrained - picture.clamp(0.01, 0.99)).abs().max() < 0.15
    with torch.no_grad():
        net.doubling[0].weight.zero_()
    torch.testing.assert_close(net(picture), picture.clamp(0.01, 0.99), **FLOAT32)
    inside = (picture > 0.01) & (picture < 0.99)
    (slope,) = torch.autograd.grad(net(picture).sum(), picture)
    torch.testing.assert_close(slope, inside.float(), **FLOAT32)


def test_signals_keep_their_size() -> None:
    """He's start: white noise leaves neither explosion nor silence, at any width."""
    for width in (4, 16):
        stream = torch.Generator().manual_seed(0)
        net = Pix2Pix(2, 2, 64, width, output="linear", generator=stream).eval()
        spread = net(torch.randn(8, 2, 64, 64, generator=stream)).std().item()
        assert 0.3 < spread < 5


def test_dropout_from_the_fifth_layer_with_its_own_stream(generator: torch.Generator) -> None:
    deep, shallow = Pix2Pix(1, 1, 32, 2, generator=generator), Pix2Pix(1, 1, 32, 2, downs=4, generator=generator)
    picture = torch.rand(1, 1, 32, 32, generator=generator)
    with pytest.raises(LabError, match="generator"):
        deep(picture)
    assert torch.equal(shallow(picture), shallow(picture))

    def drawn() -> list[Tensor]:
        seed_dropout(deep, torch.Generator().manual_seed(5))
        return [deep(picture) for _ in range(4)]

    first, again = drawn(), drawn()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(first[0], other) for other in first)
    deep.eval()
    assert torch.equal(deep(picture), deep(picture))


def test_start_and_batch(generator: torch.Generator) -> None:
    """The same seed gives the same network, without torch's own stream; a batch is its pictures one by one."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a, b = (Pix2Pix(1, 2, 16, 3, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    pictures = torch.rand(3, 1, 16, 16, generator=generator)
    torch.testing.assert_close(a(pictures), torch.cat([a(one[None]) for one in pictures]), **FLOAT32)


@pytest.mark.parametrize(
    ("sizes", "options", "name"),
    [
        ((0, 1, 16), {}, "inputs"),
        ((1, 0, 16), {}, "outputs"),
        ((1, 1, 15), {}, "downs"),
        ((1, 1, 24), {"downs": 4}, "size"),
        ((1, 1, 16), {"downs": 8}, "downs"),
        ((1, 1, 16), {"skips": "none"}, "skips"),
        ((1, 1, 16), {"output": "tanh"}, "output"),
        ((1, 1, 16), {"dropout": 1.0}, "share"),
        ((1, 2, 16), {"residual": True}, "residual"),
        ((1, 1, 16), {"residual": True, "output": "linear"}, "residual"),
    ],
)
def test_what_cannot_be_built(sizes: tuple[int, int, int], options: dict[str, Any], name: str) -> None:
    with pytest.raises(LabError) as raised:
        Pix2Pix(*sizes, 2, **options)
    assert raised.value.argument == name


@pytest.mark.parametrize("shape", [(1, 2, 16, 16), (1, 1, 8, 8), (1, 16, 16)])
def test_wrong_pictures(shape: tuple[int, ...]) -> None:
    net = Pix2Pix(1, 1, 16, 2)
    with pytest.raises(LabError, match="pictures"):
        net(torch.zeros(shape))
    with pytest.raises(LabError, match="pictures"):
        net(torch.full((1, 1, 16, 16), torch.nan))
    with pytest.raises(LabError, match="pictures"):
        net(torch.zeros(1, 1, 16, 16, dtype=torch.float64))
