"""DCGAN's two networks: sizes, layers by hand, and a spectral norm without hidden randomness."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.nets.dcgan import ImageDiscriminator, ImageGenerator
from tests.tolerances import FLOAT64


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in module.parameters())


def state(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def original(net: ImageDiscriminator) -> list[Tensor]:
    """The weights before they are normalised."""
    return [m.parametrizations.weight.original for m in net.layers if isinstance(m, nn.Conv2d)]  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "widths"), [(32, [256, 128, 64]), (64, [512, 256, 128, 64])])
def test_generator_sizes(size: int, widths: list[int], generator: torch.Generator) -> None:
    """4x4 transposed convolutions, the last width 64 at every size."""
    net = ImageGenerator(size, generator=generator)
    kernels = 16 * sum(a * b for a, b in zip([100, *widths], [*widths, 1], strict=True))
    assert parameters(net) == kernels + 2 * sum(widths) + 1
    with torch.no_grad():
        picture = net(torch.rand(2, 100, generator=generator))
    assert picture.shape == (2, 1, size, size)
    assert float(picture.min()) > 0
    assert float(picture.max()) < 1


def test_sizes_of_iggan(generator: torch.Generator) -> None:
    """Both networks at 128."""
    net, judge = ImageGenerator(128, generator=generator), ImageDiscriminator(128, generator=generator)
    assert parameters(net) == 12_784_513
    widths = [1, 64, 128, 256, 512, 1024, 1]
    kernels = 16 * sum(a * b for a, b in pairwise(widths))
    assert parameters(judge) == kernels + sum(widths[1:]) == 11_160_513
    with torch.no_grad():
        picture = net(torch.rand(2, 100, generator=generator))
        assert picture.shape == (2, 1, 128, 128)
        assert judge(picture).shape == (2,)


@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_discriminator_by_hand(size: int, batch_norm: bool, generator: torch.Generator) -> None:
    """Convolutions of stride 2 to 4x4, divided by their singular values; leaky ReLU; one number."""
    net = ImageDiscriminator(size, 4, 2, batch_norm=batch_norm, generator=generator).double()
    images = torch.rand(3, 2, size, size, generator=generator, dtype=torch.float64)
    for _ in range(400):
        net(images)  # power iterations until the singular values are exact
    net.eval()
    rows = images * 2 - 1
    norms = [m for m in net.layers if isinstance(m, nn.BatchNorm2d)]
    convs = [m for m in net.layers if isinstance(m, nn.Conv2d)]
    assert len(convs) == size.bit_length() - 2
    assert len(norms) == (len(convs) - 2 if batch_norm else 0)
    for index, conv in enumerate(convs):
        last = index == len(convs) - 1
        weight = conv.parametrizations.weight.original  # type: ignore[union-attr]
        weight = weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
        rows = functional.conv2d(rows, weight, conv.bias, 1 if last else 2, 0 if last else 1)
        if batch_norm and index and not last:
            norm = norms[index - 1]
            rows = functional.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        if not last:
            rows = torch.where(rows > 0, rows, 0.2 * rows)
    assert rows.shape == (3, 1, 1, 1)
    # A power iteration converges as the ratio of the two largest singular values allows, 1e-6 is what 400 are sure of.
    torch.testing.assert_close(net(images), rows[:, 0, 0, 0], rtol=1e-6, atol=1e-6)


def test_spectral_norm_moves_in_training_only(generator: torch.Generator) -> None:
    """A pass in training mode is a power iteration, one in evaluation mode changes nothing."""
    net = ImageDiscriminator(16, 8, generator=generator)
    images = torch.rand(2, 1, 16, 16, generator=generator)
    before = state(net)
    net.eval()(images)
    assert all(torch.equal(value, before[name]) for name, value in state(net).items())
    net.train()(images)
    moved = {name for name, value in state(net).items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.endswith(("_u", "_v")) for name in moved)


def test_without_spectral_norm(generator: torch.Generator) -> None:
    """The plain DCGAN has the same weights to train, and no buffers."""
    plain = ImageDiscriminator(16, 8, spectral=False, generator=generator)
    assert not list(plain.buffers())
    assert parameters(plain) == parameters(ImageDiscriminator(16, 8, generator=generator))


def test_start() -> None:
    """Weights and start vectors come from the generator alone; the global stream is as before."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    nets = [ImageDiscriminator(16, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    nets.append(ImageDiscriminator(16, 32, generator=torch.Generator().manual_seed(1)))
    first, twin, other, again = map(state, nets)
    assert {name.split(".")[-1] for name in first} == {"bias", "original", "_u", "_v"}
    for name, value in first.items():
        assert torch.equal(value, twin[name])
        assert torch.equal(value, again[name])
        assert name.endswith("original") <= (not torch.equal(value, other[name]))
    assert original(nets[0])[1].std().item() == pytest.approx(0.02, rel=0.05)  # of 32 768 draws
    default = [state(ImageGenerator(16, 4, 8)) for _ in range(2)]
    assert all(torch.equal(value, default[1][name]) for name, value in default[0].items())


def test_copies_and_states_agree(generator: torch.Generator) -> None:
    """A state loaded into another network gives the same logits, buffers included; float64 works."""
    net = ImageDiscriminator(16, 8, generator=generator)
    images = torch.rand(3, 1, 16, 16, generator=generator)
    net(images)
    loaded = ImageDiscriminator(16, 8)
    loaded.load_state_dict(net.state_dict())
    assert torch.equal(loaded(images), copy.deepcopy(net)(images))
    torch.testing.assert_close(
        net.eval().double()(images.double()).float(), loaded.eval()(images), rtol=1e-3, atol=1e-4
    )


def test_rows_are_independent(generator: torch.Generator) -> None:
    """In evaluation mode a batch is its rows, and may be empty; by finite differences the gradient is right."""
    net = ImageDiscriminator(8, 4, generator=generator).double().eval()
    images = torch.rand(3, 1, 8, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(net(images), torch.cat([net(image[None]) for image in images]), **FLOAT64)
    assert net(images[:0]).shape == (0,)
    assert torch.autograd.gradcheck(net, [images])


@pytest.mark.parametrize("fields", [{"size": 48}, {"size": 4}, {"width": 0}, {"channels": 0}])
def test_sizes_out_of_range(fields: dict[str, int]) -> None:
    """Refused before anything is made."""
    for kind in (ImageGenerator, ImageDiscriminator):
        with pytest.raises(DomainError):
            kind(**fields)
    with pytest.raises(DomainError):
        ImageGenerator(32, norm="layer")


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (torch.zeros(2, 1, 8, 16), ShapeError),
        (torch.zeros(1, 8, 8), ShapeError),
        (torch.zeros(2, 3, 8, 8), ShapeError),
        (torch.zeros(2, 1, 8, 8).double(), DTypeError),
        (torch.zeros(2, 1, 8, 8) + torch.nan, DomainError),
    ],
)
def test_inputs(images: Tensor, error: type[LabError]) -> None:
    """Nothing that is no picture passes."""
    with pytest.raises(error):
        ImageDiscriminator(8, 4)(images)
