"""3D-GAN's generator: its sizes, its layers by hand, its start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.nets.voxel_generator import VoxelGenerator
from tests.tolerances import FLOAT64


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_paper(generator: torch.Generator) -> None:
    """200 -> 512 -> 256 -> 128 -> 64 -> 1, kernel 4: 17.6 million numbers, and a cube of 64."""
    net = VoxelGenerator(generator=generator)
    kernels = 64 * (200 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64)
    assert parameters(net) == kernels + 2 * (512 + 256 + 128 + 64) + 1 == 17_569_665
    with torch.no_grad():
        assert net(torch.rand(2, 200, generator=generator)).shape == (2, 1, 64, 64, 64)


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_lower_resolutions_leave_layers_out(resolution: int, generator: torch.Generator) -> None:
    """The first layers stay as they are."""
    net = VoxelGenerator(7, resolution, 32, generator=generator)
    widths = [32, 16, 8, 4][: resolution.bit_length() - 3]
    shapes = [tuple(m.weight.shape) for m in net.modules() if isinstance(m, nn.ConvTranspose3d)]
    assert shapes == [(a, b, 4, 4, 4) for a, b in zip([7, *widths], [*widths, 1], strict=True)]
    assert net(torch.rand(3, 7, generator=generator)).shape == (3, 1, *[resolution] * 3)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_by_hand(norm: str, generator: torch.Generator) -> None:
    """Three transposed convolutions, norm and ReLU between them, a sigmoid above the logits."""
    net = VoxelGenerator(5, 16, 8, norm, generator=generator).double()
    z = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    rows = z[:, :, None, None, None]
    layers = [m for m in net.modules() if isinstance(m, nn.ConvTranspose3d)]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm3d | nn.InstanceNorm3d)]
    assert len(norms) == (0 if norm == "none" else 2)
    for index, layer in enumerate(layers):
        rows = functional.conv_transpose3d(rows, layer.weight, layer.bias, 1 + (index > 0), int(index > 0))
        if index < 2 and norm != "none":
            axes = (0, 2, 3, 4) if norm == "batch" else (2, 3, 4)
            centred = rows - rows.mean(axes, keepdim=True)
            rows = centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()
            rows = rows * norms[index].weight[:, None, None, None] + norms[index].bias[:, None, None, None]
        if index < 2:
            rows = rows.clamp(min=0)
    torch.testing.assert_close(net.logits(z), rows, **FLOAT64)
    torch.testing.assert_close(net(z), 1 / (1 + torch.exp(-rows)), **FLOAT64)


def test_start() -> None:
    """Decided by the generator alone, in DCGAN's distribution; without norms the signal keeps its scale."""
    before = torch.get_rng_state()
    nets = [VoxelGenerator(50, 16, 64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    default = VoxelGenerator(50, 16, 64)
    assert torch.equal(torch.get_rng_state(), before)
    a, b, c = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert not torch.equal(a, torch.cat([p.flatten() for p in default.parameters()]))
    first = next(m for m in nets[0].modules() if isinstance(m, nn.ConvTranspose3d))
    assert float(first.weight.detach().std()) == pytest.approx(0.02, rel=0.02)  # of 200 000 draws
    plain = VoxelGenerator(50, 32, 64, "none", generator=torch.Generator().manual_seed(0))
    logits = plain.logits(torch.randn(4, 50, generator=torch.Generator().manual_seed(1)))
    assert 0.3 < float(logits.detach().std()) < 5  # a product of random layers, so only its order is known


def test_rows_are_independent(generator: torch.Generator) -> None:
    """In evaluation mode a batch is its rows, with every norm, and may be empty; gradients reach z."""
    for norm in ("batch", "instance", "none"):
        net = VoxelGenerator(4, 16, 8, norm, generator=generator).double().eval()
        z = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        torch.testing.assert_close(net(z), torch.cat([net(row[None]) for row in z]), **FLOAT64)
        assert bool((torch.autograd.grad(net(z).sum(), z)[0] != 0).all())
    assert net(z[:0]).shape == (0, 1, 16, 16, 16)


@pytest.mark.parametrize(
    "fields",
    [
        {"resolution": 48},
        {"resolution": 4},
        {"resolution": 512},
        {"latent": 0},
        {"width": 0},
        {"width": 8},  # four halvings
        {"norm": "layer"},
    ],
)
def test_sizes_out_of_range(fields: dict[str, int | str]) -> None:
    """Refused before anything is made."""
    with pytest.raises(DomainError):
        VoxelGenerator(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("z", "error"),
    [
        (torch.zeros(2, 5), ShapeError),
        (torch.zeros(4), ShapeError),
        (torch.zeros(2, 4).double(), DTypeError),
        (torch.zeros(2, 4) + torch.inf, DomainError),
    ],
)
def test_inputs(z: torch.Tensor, error: type[LabError]) -> None:
    """Nothing that is no latent vector passes."""
    with pytest.raises(error):
        VoxelGenerator(4, 8, 4)(z)
