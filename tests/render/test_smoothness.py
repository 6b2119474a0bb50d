"""C-infinity, seen: one triangle moves through another, and no derivative of the picture jumps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from labkit.render.raster import AlgoNet, Hard, Rasterizer, rasterize

SIZE = (1, 1)
STILL = torch.tensor([[-1.5, -1.2, 2.0], [1.5, -1.2, 2.1], [0.0, 1.6, 1.9]], dtype=torch.float64)
MOVING = torch.tensor([[-1.4, 1.1, 2.0], [-0.2, -1.7, 2.0], [1.3, 0.9, 2.0]], dtype=torch.float64)
ATTRIBUTES = torch.tensor([[[[0.1]], [[0.9]]]], dtype=torch.float64).expand(1, 2, 3, 1)
DEPTH, ACROSS = (torch.tensor(way, dtype=torch.float64) for way in ((0.0, 0.0, 1.0), (3.0, 0.3, -0.5)))


def scene(way: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """One image per time (N,): triangles (N, 2, 3, 3), the second one on its way, and attributes."""
    moving = MOVING + times[:, None, None] * way
    return torch.stack((STILL.expand_as(moving), moving), dim=1), ATTRIBUTES.expand(len(times), -1, -1, -1)


def derivatives(rasterizer: Rasterizer, way: Tensor, times: Tensor) -> Tensor:
    """The pixel at each time, and its first three derivatives by time (4, N)."""
    times = times.requires_grad_()
    color, alpha = rasterize(*scene(way, times), SIZE, rasterizer)
    found = [(color + alpha).flatten()]
    for _ in range(3):  # images do not mix, so the gradient of the sum holds the derivative of each
        found.append(torch.autograd.grad(found[-1].sum(), times, create_graph=True)[0])
    return torch.stack(found).detach()


def steps(compute: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """Greatest change between neighbouring samples of what ``compute`` returns, (..., N)."""
    return compute(torch.linspace(-0.8, 0.8, count + 1, dtype=torch.float64)).diff(dim=-1).abs().amax(-1)


@pytest.mark.parametrize("way", [DEPTH, ACROSS], ids=["depth", "across"])
@pytest.mark.parametrize(
    "soft",
    [
        AlgoNet(10.0, 8.0),
        AlgoNet(10.0, 8.0, depth="pixel", color="barycentric"),
        AlgoNet(10.0, 8.0, sliver_fade=0.2),
    ],
    ids=["paper", "interpolated", "faded"],
)
def test_three_derivatives_are_continuous(soft: AlgoNet, way: Tensor) -> None:
    coarse, fine, finest = (steps(lambda t: derivatives(soft, way, t), n) for n in (100, 200, 400))
    assert (coarse > 1e-4).all()  # the picture does change, in all three derivatives
    # A continuous function's change shrinks with the step, here linearly, halving; a jump's does not.
    for ratio in (fine / coarse, finest / fine):
        assert (ratio > 0.4).all()
        assert (ratio < 0.6).all()


@pytest.mark.parametrize("way", [DEPTH, ACROSS], ids=["depth", "across"])
def test_the_hard_picture_jumps(way: Tensor) -> None:
    def pixel(times: Tensor) -> Tensor:
        return rasterize(*scene(way, times), SIZE, Hard())[0].flatten()

    for count in (100, 200, 400, 3000):
        assert float(steps(pixel, count)) == pytest.approx(0.8)  # from one attribute to the other, at any step
