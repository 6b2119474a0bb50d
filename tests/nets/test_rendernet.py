"""RenderNet: its sizes, its axes, its layers, and that it learns to render."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.nets.layers import seed_dropout
from labkit.nets.rendernet import RenderNet, ResidualBlock, SameConv
from tests.tolerances import FLOAT64


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in module.parameters())


def counted(size: int, w: int, f: int, blocks_3d: int, blocks_2d: int, blocks_late: int) -> int:
    """The numbers of the paper's layers, from their sizes: kernels, biases, and slopes of PReLU."""

    def conv(a: int, b: int, taps: int, slopes: bool = True) -> int:
        return a * b * taps + b + slopes * b

    def block(c: int, taps: int) -> int:
        return conv(c, c, taps) + conv(c, c, taps, slopes=False)

    down = [f, *(max(f // 2**n, 8) for n in range(1, 6))]
    return (
        conv(1, w // 2, 125) + conv(w // 2, w, 27) + conv(w, w, 27) + blocks_3d * block(w, 27)
        + conv(size // 4 * w, f, 1) + blocks_2d * block(f, 9) + blocks_late * block(down[1], 9)
        + sum(conv(a, b, 16) for a, b in pairwise(down)) + conv(down[-1], 1, 16, slopes=False)
    )  # fmt: skip


def test_sizes_of_the_papers() -> None:
    """56.3 million numbers, IG-GAN's form 22.0 million, and a picture of 128 from a cube of 128."""
    assert parameters(RenderNet()) == counted(128, 16, 512, 10, 10, 5) == 56_311_417
    net = RenderNet.iggan()
    assert parameters(net) == counted(128, 16, 512, 2, 4, 0) == 21_977_593
    with torch.no_grad():
        assert net(torch.zeros(1, 1, 128, 128, 128)).shape == (1, 1, 128, 128)


@pytest.mark.parametrize(("size", "width", "features"), [(32, 4, None), (64, 2, 48), (16, 8, 40), (20, 8, None)])
def test_smaller_sizes(size: int, width: int, features: int | None, generator: torch.Generator) -> None:
    """The same structure at any size: the picture has the edge of the cube."""
    net = RenderNet.iggan(size, width, features=features, generator=generator)
    assert parameters(net) == counted(size, width, features or size // 4 * width, 2, 4, 0)
    picture = net(torch.rand(2, 1, size, size, size, generator=generator))
    assert picture.shape == (2, 1, size, size)
    assert float(picture.min().detach()) > 0
    assert float(picture.max().detach()) < 1


def test_axes(generator: torch.Generator) -> None:
    """A pixel sees the whole ray behind it, at x to the right and y upwards, and nothing far from it."""
    net = RenderNet(128, 2, features=32, blocks_3d=0, blocks_2d=0, blocks_late=0, dropout=0, generator=generator)
    grid = torch.rand(1, 1, 128, 128, 128, generator=generator, requires_grad=True)
    row, column = 40, 80
    reach = torch.autograd.grad(net(grid)[0, 0, row, column], grid)[0][0, 0].abs()  # (x, y, z)
    assert bool((reach.amax((0, 1)) > 0).all())  # every depth
    x, y = (reach.amax(2) > 0).nonzero().double().mean(0).tolist()
    # The kernels are not quite symmetric, so the middle may be a few voxels off.
    assert (x, y) == pytest.approx((column, 127 - row), abs=4)
    assert int((reach.amax(2) > 0).sum()) < 64 * 64


def test_depth_is_not_lost(generator: torch.Generator) -> None:
    """The projection tells a voxel in front from one behind: turned round, the picture is another."""
    net = RenderNet.iggan(32, 4, generator=generator).double()
    grid = torch.zeros(1, 1, 32, 32, 32, dtype=torch.float64)
    grid[0, 0, 10:20, 10:20, 3:9] = 1
    assert not torch.allclose(net(grid), net(grid.flip(4)), atol=1e-3)


def test_projection_by_hand(generator: torch.Generator) -> None:
    """Channel d * w + c of the projection is channel c at depth d, and the picture's rows run downwards."""
    net = RenderNet.iggan(16, 8, features=32, generator=generator).double()
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> None:
        part: nn.Module = getattr(net, name)
        part.register_forward_hook(lambda _, given, result: seen.update({name: result, name + " in": given[0]}))

    keep("volume")
    keep("projection")
    grid = torch.rand(2, 1, 16, 16, 16, generator=generator, dtype=torch.float64)
    net(grid)
    assert torch.equal(seen["volume in"][1, 0, 3, 5, 7], grid[1, 0, 5, 12, 7])
    assert seen["volume"].shape == (2, 8, 4, 4, 4)
    assert seen["projection in"].shape == (2, 32, 4, 4)
    for depth, channel in ((0, 0), (1, 3), (3, 7)):
        flat = seen["projection in"][:, depth * 8 + channel]
        assert torch.equal(flat, seen["volume"][:, channel, :, :, depth])


def test_parts_by_hand(generator: torch.Generator) -> None:
    """The residual block, and an even kernel that is padded by 1 in front and 2 behind."""
    net = RenderNet(16, 8, blocks_3d=1, blocks_2d=1, blocks_late=1, dropout=0, generator=generator).double()
    block = next(m for m in net.picture if isinstance(m, ResidualBlock))
    rows = torch.randn(2, 32, 6, 6, generator=generator, dtype=torch.float64)
    inner = functional.conv2d(rows, block.first.weight, block.first.bias, padding=1)
    inner = torch.where(inner > 0, inner, 0.25 * inner)
    expected = rows + functional.conv2d(inner, block.second.weight, block.second.bias, padding=1)
    torch.testing.assert_close(block(rows), expected, **FLOAT64)
    even = next(m for m in net.picture if isinstance(m, SameConv))
    padded = torch.zeros(2, 32, 9, 9, dtype=torch.float64)
    padded[:, :, 1:7, 1:7] = rows
    torch.testing.assert_close(even(rows), functional.conv2d(padded, even.conv.weight, even.conv.bias), **FLOAT64)


def test_dropout(generator: torch.Generator) -> None:
    """The paper's share by default, from its own stream, in training only and outside the blocks; IG-GAN has none."""
    net = RenderNet(16, 8, blocks_3d=1, blocks_2d=1, blocks_late=1, generator=generator)
    grid = torch.rand(1, 1, 16, 16, 16, generator=generator)
    with pytest.raises(DomainError):
        net(grid)
    pictures = []
    for seed in (1, 1, 2):
        seed_dropout(net, torch.Generator().manual_seed(seed))
        pictures.append(net(grid))
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    shares = [m.share for m in net.modules() if type(m).__name__ == "SeededDropout"]
    assert shares == [0.5] * 9  # 3 in 3D, the projection, 5 in 2D
    still = net.eval()(grid)
    assert torch.equal(still, net(grid))
    small = RenderNet.iggan(16, 8, generator=generator)
    assert torch.equal(small(grid), small(grid))


def test_start() -> None:
    """Decided by the generator alone; the first picture is grey with a visible signal."""
    before = torch.get_rng_state()
    nets = [RenderNet.iggan(32, 4, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    a, b, c = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    default = RenderNet.iggan(32, 4)
    picture = default(torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert 0.02 < float(picture.std().detach()) < 0.4


def test_learns_to_render(generator: torch.Generator) -> None:
    """In 120 steps it draws boxes that it has not seen with less than half of the error that their mean has."""
    net = RenderNet.iggan(16, 8, features=64, generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        grid = torch.zeros(count, 1, 16, 16, 16)
        low = torch.randint(1, 7, (count, 3), generator=generator)
        high = torch.randint(9, 15, (count, 3), generator=generator)
        for n in range(count):
            (a, b, c), (d, e, f) = low[n].tolist(), high[n].tolist()
            grid[n, 0, a:d, b:e, c:f] = 1
        return grid, 1 - grid.amax(4).transpose(2, 3).flip(2)  # black on white

    for _ in range(120):
        grid, wanted = batch(8)
        loss = (net(grid) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    grid, wanted = batch(64)
    with torch.no_grad():
        error = float((net(grid) - wanted).square().mean())
    assert error < 0.5 * float((wanted - wanted.mean(0)).square().mean())


def test_rows_and_gradients(generator: torch.Generator) -> None:
    """A batch is its rows, and may be empty; the gradient reaches the grid, by finite differences in a direction."""
    net = RenderNet.iggan(16, 8, generator=generator).double()
    grid = torch.rand(2, 1, 16, 16, 16, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(net(grid), torch.cat([net(one[None]) for one in grid]), **FLOAT64)
    assert net(grid[:0]).shape == (0, 1, 16, 16)
    way = torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    along = torch.zeros((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: net(0.5 * grid + t * way).mean(), [along])


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 12},
        {"size": 30},
        {"size": 512},
        {"width": 3},
        {"width": 0},
        {"features": 4},
        {"blocks_3d": -1},
        {"channels": 0},
        {"dropout": 1.0},
    ],
)
def test_sizes_out_of_range(fields: dict[str, int | float]) -> None:
    """Refused."""
    with pytest.raises(DomainError):
        RenderNet(**({"size": 32, "blocks_2d": 1} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("grid", "error"),
    [
        (torch.zeros(1, 16, 16, 16), ShapeError),
        (torch.zeros(1, 1, 16, 16, 32), ShapeError),
        (torch.zeros(1, 1, 16, 16, 16).double(), DTypeError),
        (torch.zeros(1, 1, 16, 16, 16) + torch.nan, DomainError),
    ],
)
def test_inputs(grid: Tensor, error: type[LabError]) -> None:
    """Nothing that is no such volume passes."""
    with pytest.raises(error):
        RenderNet.iggan(16, 8)(grid)
