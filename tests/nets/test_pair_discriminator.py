"""The discriminator of pairs: its numbers, its map, its layers by torch's own functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tolerances import FLOAT32, FLOAT64

from labkit.errors import LabError
from labkit.nets.pair_discriminator import PairDiscriminator


def test_the_papers_sizes() -> None:
    """C64-C128-C256-C512-C1 on two times four views of 128 x 128."""
    with torch.device("meta"):
        net = PairDiscriminator(4, 4, 128)
        a, b = torch.empty(0, 4, 128, 128), torch.empty(0, 4, 128, 128)
        assert net(a, b).shape == (0,)
        assert net.map(a, b).shape == (0, 4, 4)
    assert [layer.out_channels for layer in net.layers] == [64, 128, 256, 512, 1]
    assert sum(parameter.numel() for parameter in net.parameters()) == 16 * 173_056 + 961


def test_layer_by_layer(generator: torch.Generator) -> None:
    net = PairDiscriminator(1, 2, 64, 3, generator=generator).double()
    a, b = (torch.rand(2, count, 64, 64, generator=generator, dtype=torch.float64) for count in (1, 2))
    now = torch.cat([a, b], 1)
    for layer in net.layers[:-1]:
        now = F.conv2d(now, layer.weight, layer.bias, 2, 1)
        now = torch.where(now > 0, now, 0.2 * now)
    last = net.layers[-1]
    expected = F.conv2d(now, last.weight, last.bias, 2, 1)[:, 0]
    torch.testing.assert_close(net.map(a, b), expected, **FLOAT64)
    torch.testing.assert_close(net(a, b), expected.mean((1, 2)), **FLOAT64)


def test_it_sees_both_and_their_order(generator: torch.Generator) -> None:
    net = PairDiscriminator(1, 1, 32, 4, generator=generator)
    a, b = torch.rand(2, 3, 1, 32, 32, generator=generator).requires_grad_()
    answer = net(a, b)
    assert not torch.allclose(answer, net(b, a))
    for slope in torch.autograd.grad(answer.sum(), (a, b)):
        assert bool(slope.flatten(1).any(1).all())
    torch.testing.assert_close(answer, torch.cat([net(a[n : n + 1], b[n : n + 1]) for n in range(3)]), **FLOAT32)


def test_it_learns_to_tell_pairs(generator: torch.Generator) -> None:
    """Equal pictures are real, unequal ones fake: which single pictures do not show."""
    net = PairDiscriminator(1, 1, 32, 8, generator=generator)
    adam = torch.optim.Adam(net.parameters(), 1e-3)

    def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        shade = torch.rand(2, count, 1, 1, 1, generator=generator)
        return tuple(shade.expand(-1, -1, 1, 32, 32))  # type: ignore[return-value]

    for _ in range(150):
        a, other = pairs(16)
        loss = F.softplus(-net(a, a)).mean() + F.softplus(net(a, other)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    a, other = pairs(200)
    apart = (a - other).abs().flatten(1).amax(1) > 0.4
    assert (net(a, a) > net(a, other))[apart].float().mean() > 0.95


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ((0, 1, 32, 4), "a_channels"),
        ((1, 0, 32, 4), "b_channels"),
        ((1, 1, 48, 4), "size"),
        ((1, 1, 16, 4), "size"),
        ((1, 1, 32, 0), "width"),
    ],
)
def test_what_cannot_be_built(sizes: tuple[int, int, int, int], name: str) -> None:
    with pytest.raises(LabError) as raised:
        PairDiscriminator(*sizes)
    assert raised.value.argument == name


def test_wrong_pictures() -> None:
    net = PairDiscriminator(1, 2, 32, 2)
    good = torch.zeros(2, 1, 32, 32), torch.zeros(2, 2, 32, 32)
    for a, b, name in (
        (good[1], good[1], "a"),
        (good[0], good[0], "b"),
        (good[0], good[1][:1], "b"),
        (torch.full_like(good[0], torch.inf), good[1], "a"),
        (torch.zeros(()), good[1], "a"),
        (None, good[1], "a"),
        (good[0], None, "b"),
    ):
        with pytest.raises(LabError) as raised:
            net(a, b)
        assert raised.value.argument == name
