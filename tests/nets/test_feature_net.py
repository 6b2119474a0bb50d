"""The classifier behind FID: its layers by hand, its start, and that a picture's features are its own."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT32, FLOAT64
from torch import Tensor
from torch.nn.functional import conv2d

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.nets.feature_net import FeatureNet


@pytest.mark.parametrize(
    ("size", "channels"),
    [(8, [5]), (32, [2, 4, 5]), (33, [2, 4, 8, 5]), (64, [2, 4, 8, 5]), (256, [2, 4, 8, 8, 8, 5])],
)
def test_by_hand(size: int, channels: list[int], generator: torch.Generator) -> None:
    """Down to 4 x 4 (or 3 x 3), its mean, and the classes linear in it."""
    net = FeatureNet(size, 3, 5, width=2, generator=generator).double()
    assert [layer.out_channels for layer in net.convolutions] == channels
    images = torch.rand(2, 1, size, size, generator=generator, dtype=torch.float64)
    maps = 1 - images
    for layer in net.convolutions:
        layer.bias.data.uniform_(-0.1, 0.1, generator=generator)
        maps = conv2d(maps, layer.weight, layer.bias, stride=2, padding=1).clamp(min=0)
    assert maps.shape[2:] in ((4, 4), (3, 3))
    expected = maps.sum((2, 3)) / maps[0, 0].numel()
    torch.testing.assert_close(net.features(images), expected, **FLOAT64)
    torch.testing.assert_close(net(images), expected @ net.classifier.weight.T + net.classifier.bias, **FLOAT64)


def test_size_of_the_default() -> None:
    """0.1 million numbers, 64 features, at most four times the width."""
    net = FeatureNet(128, 8)
    assert [tuple(layer.weight.shape[:2]) for layer in net.convolutions] == [
        (16, 1),
        (32, 16),
        (64, 32),
        (64, 64),
        (64, 64),
    ]
    assert sum(value.numel() for value in net.parameters()) == 9 * (16 + 512 + 2048 + 4096 + 4096) + 240 + 8 * 65


def test_a_picture_s_features_are_its_own(generator: torch.Generator) -> None:
    """In training as in evaluation, in a batch as alone; a white picture has none, and contrast is seen."""
    net = FeatureNet(16, 3, generator=generator)
    images = torch.rand(5, 1, 16, 16, generator=generator)
    together = net.train().features(images)
    assert torch.equal(together, net.eval().features(images))
    alone = torch.cat([net.features(image[None]) for image in images])
    torch.testing.assert_close(alone, together, **FLOAT32)
    assert net.features(images[:0]).shape == (0, 64)
    assert not net.features(torch.ones(1, 1, 16, 16)).any()
    torch.testing.assert_close(net.features(1 - (1 - images) / 2), together / 2, **FLOAT32)  # biases start at 0


def test_start(generator: torch.Generator) -> None:
    """Decided by the generator alone, with the variance that keeps a signal's size."""
    before = torch.get_rng_state()
    net, twin = (FeatureNet(64, 8, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    other = FeatureNet(64, 8, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(net.state_dict(), twin.state_dict(), rtol=0, atol=0)
    assert not torch.equal(net.classifier.weight, other.classifier.weight)
    for layer in net.convolutions[1:]:
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * layer.in_channels)), rel=0.05)


def test_derivatives(generator: torch.Generator) -> None:
    """By finite differences, in the pictures and through all weights."""
    net = FeatureNet(8, 2, 3, width=2, generator=generator).double()
    images = torch.rand(1, 1, 8, 8, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(net, [images])
    slopes = torch.autograd.grad(net(images).square().sum(), list(net.parameters()))
    assert all(slope.any() for slope in slopes)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": 7}, "size"), ({"classes": 1}, "classes"), ({"features": 0}, "features"), ({"width": 0}, "width")],
)
def test_refused_options(options: dict[str, int], words: str) -> None:
    """With the argument's name."""
    with pytest.raises(DomainError, match=words):
        FeatureNet(**{"size": 16, "classes": 2, **options})


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (torch.zeros(2, 3, 16, 16), ShapeError),
        (torch.zeros(2, 1, 16, 15), ShapeError),
        (torch.zeros(1, 16, 16), ShapeError),
        (torch.zeros(2, 1, 16, 16, dtype=torch.float64), DTypeError),
        (torch.zeros(2, 1, 16, 16, dtype=torch.int64), DTypeError),
        (torch.full((2, 1, 16, 16), math.nan), DomainError),
    ],
)
def test_refused_pictures(images: Tensor, error: type[LabError]) -> None:
    """By the classifier and by the features alike."""
    net = FeatureNet(16, 2)
    for call in (net, net.features):
        with pytest.raises(error, match="images"):
            call(images)
