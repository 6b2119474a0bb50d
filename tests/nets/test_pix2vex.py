"""pix2vex: the paper's 284,614,256 numbers, the mesh that it begins with, and the cube that it stays in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tolerances import FLOAT32

from labkit.errors import LabError
from labkit.geometry import icosphere
from labkit.nets.layers import seed_dropout
from labkit.nets.pix2vex import Pix2Vex

BASE = icosphere(1).vertices * 0.3


def test_the_papers_sizes() -> None:
    """n^2 -> n^2 + 3v -> 3v at n = 128, v = 162, counted without the memory for them."""
    with torch.device("meta"):
        net = Pix2Vex(4, 128, 162, hidden=None).eval()
        assert net(torch.empty(0, 4, 128, 128)).shape == (0, 162, 3)
    assert tuple(net.first.weight.shape) == (16384 + 486, 16384)
    assert tuple(net.last.weight.shape) == (486, 16384 + 486)
    connected = sum(parameter.numel() for layer in (net.first, net.last) for parameter in layer.parameters())
    assert connected == 284_614_256
    assert sum(parameter.numel() for parameter in net.pictures.parameters()) == 30_680_449
    assert next(net.parameters()).is_meta


def test_hidden_is_free() -> None:
    net = Pix2Vex(2, 32, 42, hidden=7, width=2)
    connected = sum(parameter.numel() for layer in (net.first, net.last) for parameter in layer.parameters())
    assert connected == 1024 * 7 + 7 + 7 * 126 + 126


def test_it_begins_with_its_base_and_stays_in_its_cube(generator: torch.Generator) -> None:
    net = Pix2Vex(2, 32, 42, width=4, hidden=64, base=BASE, generator=generator).eval()
    pictures = torch.rand(3, 2, 32, 32, generator=generator)
    first = net(pictures)
    assert first.shape == (3, 42, 3)
    assert 0 < (first - BASE).abs().max() < 0.12
    assert not torch.equal(first[0], first[1])
    with torch.no_grad():
        net.last.weight.zero_()
        torch.testing.assert_close(net(pictures), BASE.expand(3, -1, -1), **FLOAT32)
        net.last.bias.fill_(100.0)
        torch.testing.assert_close(net(pictures), torch.full((3, 42, 3), 0.5), **FLOAT32)
    tall = Pix2Vex(2, 32, 42, width=4, hidden=8, base=2 * BASE, edge=2.0)
    with torch.no_grad():
        tall.last.weight.zero_()
    torch.testing.assert_close(tall.eval()(pictures), 2 * BASE.expand(3, -1, -1), **FLOAT32)
    bare = Pix2Vex(2, 32, 5, width=4, hidden=8).eval()
    with torch.no_grad():
        bare.last.weight.zero_()
    torch.testing.assert_close(bare(pictures), torch.zeros(3, 5, 3), **FLOAT32)


def test_every_number_learns(generator: torch.Generator) -> None:
    net = Pix2Vex(1, 32, 42, width=2, hidden=8, base=BASE, generator=generator)
    seed_dropout(net, generator)
    net(torch.rand(4, 1, 32, 32, generator=generator)).square().sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in net.parameters())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"vertices": 0}, "vertices"),
        ({"hidden": 0}, "hidden"),
        ({"edge": 0.0}, "edge"),
        ({"base": BASE[:5]}, "base"),
        ({"base": 2 * BASE}, "base"),
        ({"skips": "x"}, "skips"),
    ],
)
def test_what_cannot_be_built(options: dict[str, Any], name: str) -> None:
    with pytest.raises(LabError) as raised:
        Pix2Vex(1, 16, **{"vertices": 42, "width": 2, **options})
    assert raised.value.argument == name
