"""How far pictures are from their targets: losses of two batches (B, C, H, W), each a scalar, 0 for equal pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import kornia
import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_tensor

WINDOW = 11  # pixels, of the Gaussian window of SSIM


def l1_loss(pictures: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference.

    Args:
        pictures, targets: (B, C, H, W) of one floating type.

    Raises:
        ShapeError, DTypeError: as the names say.
    """
    return (_checked(pictures, targets) - targets).abs().mean()


def l2_loss(pictures: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference; arguments and errors as `l1_loss`."""
    return (_checked(pictures, targets) - targets).square().mean()


def ssim_loss(pictures: Tensor, targets: Tensor) -> Tensor:
    """Structural dissimilarity (1 - SSIM) / 2 in [0, 1], mean over a Gaussian window of 11 pixels around each pixel.

    Arguments as `l1_loss`, for values in [0, 1].

    Raises:
        ShapeError, DTypeError: as the names say; also for pictures smaller than 6 pixels.

    Source: Wang et al. 2004, as in kornia.
    """
    if min(_checked(pictures, targets).shape[-2:]) <= WINDOW // 2:
        raise ShapeError("pictures", tuple(pictures.shape), f"more than {WINDOW // 2} pixels a side")
    return kornia.losses.ssim_loss(pictures, targets, WINDOW)


def iou_loss(silhouettes: Tensor, targets: Tensor) -> Tensor:
    """One minus the soft intersection over union: ``1 - sum a t / sum (a + t - a t)``, mean over the batch.

    Args:
        silhouettes, targets: (B, 1, H, W), alpha in [0, 1].

    A pair in which both are empty has loss 0 with zero gradient.

    Raises:
        ShapeError, DTypeError: as the names say.
        DomainError: a target outside [0, 1].

    Source: DIB-R, section 4.1, L_IOU.
    """
    _checked(silhouettes, targets, "1")
    if not bool(((targets >= 0) & (targets <= 1)).all()):
        raise DomainError("targets", f"from {targets.min():g} to {targets.max():g}", "alpha in [0, 1]")
    both = (silhouettes * targets).sum((1, 2, 3))  # (B,)
    either = (silhouettes + targets - silhouettes * targets).sum((1, 2, 3))
    empty = either == 0
    return torch.where(empty, 0.0, 1 - both / torch.where(empty, 1.0, either)).mean()


IMAGE_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"l1": l1_loss, "l2": l2_loss, "ssim": ssim_loss, "iou": iou_loss}
)
"""The losses by the names that `labkit.train.fit` knows them by."""


def _checked(pictures: Tensor, targets: Tensor, channels: str = "C") -> Tensor:
    """The pictures, if they go with the targets. NaN is left to the caller, who knows where it came from."""
    check_tensor("pictures", pictures, f"B {channels} H W", finite=False)
    check_tensor("targets", targets, " ".join(map(str, pictures.shape)), finite=False)
    if pictures.dtype != targets.dtype:
        raise DTypeError("targets", targets.dtype, f"{pictures.dtype}, the type of the pictures")
    return pictures
