"""Image losses: values by hand, SSIM against its formula written out, derivatives, every error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.train.image_losses import IMAGE_LOSSES, iou_loss, l1_loss, l2_loss, ssim_loss

Loss = Callable[[Tensor, Tensor], Tensor]
D = torch.float64
each_loss = pytest.mark.parametrize("loss", IMAGE_LOSSES.values(), ids=IMAGE_LOSSES)


def noise(generator: torch.Generator, channels: int = 1, dtype: torch.dtype = D) -> Tensor:
    """Two pictures in (0, 1)."""
    return torch.rand(2, channels, 8, 9, generator=generator, dtype=D).to(dtype)


def test_l1_and_l2_by_hand() -> None:
    pictures, targets = torch.tensor([0.0, 1.0, 3.0, 0.5]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    shaped = pictures.view(1, 1, 2, 2), targets.view(1, 1, 2, 2)
    assert l1_loss(*shaped).item() == pytest.approx((0 + 1 + 2 + 0.5) / 4)
    assert l2_loss(*shaped).item() == pytest.approx((0 + 1 + 4 + 0.25) / 4)


def test_iou_by_hand() -> None:
    """Two squares of 4 pixels that share 2: 2 / 6. A soft pixel a under a target 1: a / 1; the batch is averaged."""
    silhouettes, targets = torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    silhouettes[0, 0, :2, :2] = 1
    targets[0, 0, 1:, :2] = 1
    silhouettes[1, 0, 1, 1], targets[1, 0, 1, 1] = 0.25, 1
    assert iou_loss(silhouettes[:1], targets[:1]).item() == pytest.approx(1 - 2 / 6)
    assert iou_loss(silhouettes[1:], targets[1:]).item() == pytest.approx(0.75)
    assert iou_loss(silhouettes, targets).item() == pytest.approx((4 / 6 + 0.75) / 2)


def test_iou_of_nothing() -> None:
    """Empty over empty is a match without a gradient; empty over something is a miss that pulls."""
    empty = torch.zeros(1, 1, 2, 2, requires_grad=True)
    iou_loss(empty, torch.zeros(1, 1, 2, 2)).backward()
    assert iou_loss(empty, torch.zeros(1, 1, 2, 2)).item() == 0
    assert torch.equal(empty.grad, torch.zeros(1, 1, 2, 2))
    loss = iou_loss(empty, torch.ones(1, 1, 2, 2))
    assert loss.item() == 1
    assert bool((torch.autograd.grad(loss, empty)[0] < 0).all())


def test_ssim_of_flat_pictures() -> None:
    """Without variance the second factor is 1: (2 m n + c) / (m^2 + n^2 + c) with c = 0.01^2."""
    flat = torch.ones(1, 3, 16, 16, dtype=D)
    expected = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)
    # kornia adds 1e-12 to the denominator, whose variances alone are 9e-4
    assert ssim_loss(0.2 * flat, 0.7 * flat).item() == pytest.approx((1 - expected) / 2, abs=1e-8)


def test_ssim_written_out(generator: torch.Generator) -> None:
    """The formula at each pixel in numpy, with an 11 x 11 Gaussian window of sigma 1.5 over mirrored borders."""
    pair = [noise(generator), noise(generator)]
    padded = [np.pad(one.numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), "reflect") for one in pair]
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(image: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(image, (11, 11), axis=(2, 3))
        return (views * window).sum((-2, -1))

    (x, y), (mx, my) = padded, map(mean, padded)
    sx, sy, sxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    ssim = (2 * mx * my + 1e-4) * (2 * sxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (sx + sy + 9e-4))
    # the same 1e-12 as above
    assert ssim_loss(*pair).item() == pytest.approx(((1 - ssim) / 2).mean(), rel=1e-7)


@each_loss
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FLOAT32), (D, FLOAT64)])
def test_equal_pictures(loss: Loss, dtype: torch.dtype, tolerance: dict, generator: torch.Generator) -> None:
    """Nothing is lost between equal pictures (of 0 and 1 for the silhouettes), and the type is kept."""
    pictures = noise(generator, dtype=dtype).round()
    assert loss(pictures, pictures).dtype == dtype
    torch.testing.assert_close(loss(pictures, pictures), torch.zeros((), dtype=dtype), **tolerance)


@each_loss
def test_derivatives(loss: Loss, generator: torch.Generator) -> None:
    pictures, targets = noise(generator), noise(generator)
    assert torch.autograd.gradcheck(lambda seen: loss(seen, targets), pictures.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda seen: loss(seen, targets), pictures)


@each_loss
@pytest.mark.parametrize(
    ("pictures", "targets", "error", "named"),
    [
        (torch.zeros(1, 8, 8), torch.zeros(1, 8, 8), ShapeError, "pictures"),
        (torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 7), ShapeError, "targets"),
        (torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 8, 8), ShapeError, "targets"),
        (torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=D), DTypeError, "targets"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), torch.zeros(1, 1, 8, 8), DTypeError, "pictures"),
        (torch.zeros(1, 1, 8, 8), None, DTypeError, "targets"),
    ],
)
def test_errors(loss: Loss, pictures: Tensor, targets: Tensor, error: type[LabError], named: str) -> None:
    with pytest.raises(error, match=named):
        loss(pictures, targets)


def test_own_errors() -> None:
    with pytest.raises(ShapeError, match="pixels a side"):
        ssim_loss(torch.zeros(1, 1, 5, 8), torch.zeros(1, 1, 5, 8))
    with pytest.raises(ShapeError, match="pictures"):
        iou_loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    with pytest.raises(DomainError, match="alpha"):
        iou_loss(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 1.5))
