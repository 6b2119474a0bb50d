"""Pictures of one object from known cameras, with masks: what multi-view reconstruction is given and measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError, check_device, check_tensor
from labkit.scene.rays import Views

CEILING = 100.0
"""Decibels that equal pictures get, whose PSNR is infinite: an error of 1e-5, far below one step of 8 bits."""


class Pixels(NamedTuple):
    """Pixels of a `MultiView`.

    Attributes:
        view: which picture, (N,) int64.
        pixel: flat index ``row * W + column`` in it, (N,) int64.
        color: (N, 3) in [0, 1].
        alpha: opacity, (N,) in [0, 1].
    """

    view: Tensor
    pixel: Tensor
    color: Tensor
    alpha: Tensor


@dataclass(frozen=True, eq=False)
class MultiView:
    """B pictures of one size, their masks and their cameras (I_j, alpha_j, c_j and v_j of UDR, section 3.5).

    Args:
        images: (B, 3, H, W), float32 or float64, in [0, 1], composited over the background.
        masks: (B, 1, H, W) opacity in [0, 1], of the same type.
        views: B cameras for pictures of (H, W).

    Raises:
        ShapeError: no picture, or numbers of pictures, masks, cameras or pixels that differ.
        DomainError: NaN, infinity, values outside [0, 1], or cameras that `Views.validate` refuses.
        DTypeError, DeviceError: as the names say.
    """

    images: Tensor
    masks: Tensor
    views: Views

    def __post_init__(self) -> None:
        check_tensor("images", self.images, "B 3 H W")
        count, _, height, width = self.images.shape
        if 0 in self.images.shape:
            raise ShapeError("images", tuple(self.images.shape), "at least one picture of at least one pixel")
        check_tensor("masks", self.masks, f"{count} 1 {height} {width}")
        if self.masks.dtype != self.images.dtype:
            raise DTypeError("masks", self.masks.dtype, f"{self.images.dtype}, the type of the images")
        for name, values in (("images", self.images), ("masks", self.masks)):
            low, high = (value.item() for value in values.aminmax())
            if low < 0 or high > 1:
                raise DomainError(name, f"values from {low:g} to {high:g}", "values from 0 to 1")
        if not isinstance(self.views, Views):
            raise DTypeError("views", type(self.views).__name__, "labkit.scene.rays.Views")
        seen = (len(self.views.validate()), *self.views.size)
        if seen != (count, height, width):
            expected = f"{count} cameras for pictures of {height} x {width}, as the images have"
            raise ShapeError("views", f"{seen[0]} cameras for pictures of {seen[1]} x {seen[2]}", expected)
        check_device(images=self.images, masks=self.masks, views=self.views.rotation)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    def pixels(self, index: Tensor) -> Pixels:
        """The pixels with these numbers, counted picture by picture and row by row.

        Args:
            index: (N,) int64 in [0, B * H * W), on the device of the images.

        Raises:
            DomainError: a number outside the range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        check_tensor("index", index, "N", integer=True)
        if index.device != self.images.device:
            raise DeviceError("index", index.device, f"{self.images.device}, where the images lie")
        height, width = self.size
        count = len(self) * height * width
        if len(index) and bool(((index < 0) | (index >= count)).any()):
            raise DomainError("index", f"{index.min().item()} to {index.max().item()}", f"numbers in [0, {count})")
        view, pixel = index // (height * width), index % (height * width)
        images, masks = self.images.flatten(2), self.masks.flatten(1)  # (B, 3, H W), (B, H W)
        return Pixels(view, pixel, images[view, :, pixel], masks[view, pixel])

    def select(self, index: Tensor) -> MultiView:
        """The pictures (N,) int64 of ``index``, in that order.

        Raises:
            DomainError: there is no such picture.
            ShapeError, DTypeError: as the names say; no picture at all is a ShapeError.
        """
        check_tensor("index", index, "N", integer=True)
        if bool(((index < 0) | (index >= len(self))).any()):
            raise DomainError("index", index.tolist(), f"numbers in [0, {len(self)})")
        return MultiView(self.images[index], self.masks[index], self.views[index])

    def split(self, count: int) -> tuple[MultiView, MultiView]:
        """The pictures to train on, and ``count`` others to measure on, evenly spread over the order of the pictures.

        Raises:
            DomainError: unless at least one picture is left for each part.
        """
        if isinstance(count, bool) or not isinstance(count, int):
            raise DTypeError("count", type(count).__name__, "a whole number of pictures")
        if not 1 <= count < len(self):
            raise DomainError("count", count, f"a number of pictures in [1, {len(self)})")
        unseen = (2 * torch.arange(count, device=self.images.device) + 1) * len(self) // (2 * count)  # (count,)
        others = torch.ones(len(self), dtype=torch.bool, device=unseen.device).index_fill(0, unseen, False)
        return self.select(others.nonzero().squeeze(-1)), self.select(unseen)

    def to(self, *args: Any, **kwargs: Any) -> MultiView:
        """A copy with every tensor moved by ``Tensor.to(*args, **kwargs)``: a device, a dtype or both."""
        images, masks = self.images.to(*args, **kwargs), self.masks.to(*args, **kwargs)
        return MultiView(images, masks, self.views.to(*args, **kwargs))


def psnr(pictures: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio -10 log10(mean squared error) of values in [0, 1], decibels, ().

    One mean over all pictures, pixels and channels: not the mean of the pictures' own ratios, which is never smaller.

    Args:
        pictures, truth: (..., C, H, W), of one shape.
        mask: weights (..., 1, H, W), at least 0, that broadcast; None weighs all pixels alike.

    Returns:
        At most `CEILING`, which equal pictures get.

    Raises:
        DomainError: NaN, infinity, negative weights, or weights that are all zero.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    check_tensor("pictures", pictures, "... C H W")
    check_tensor("truth", truth, "... C H W")
    check_device(pictures=pictures, truth=truth, mask=mask)
    if pictures.shape != truth.shape or 0 in truth.shape:
        raise ShapeError("pictures", tuple(pictures.shape), f"{tuple(truth.shape)}, that of the truth, with a pixel")
    if pictures.dtype != truth.dtype:
        raise DTypeError("pictures", pictures.dtype, f"{truth.dtype}, the type of the truth")
    weight = torch.ones_like(truth[..., :1, :, :]) if mask is None else check_tensor("mask", mask, "... 1 H W")
    try:
        weight = weight.to(truth).expand_as(truth[..., :1, :, :])
    except RuntimeError as error:
        raise ShapeError("mask", tuple(weight.shape), f"a shape that broadcasts to {tuple(truth.shape)}") from error
    if bool((weight < 0).any()) or not bool((weight > 0).any()):
        raise DomainError("mask", f"weights from {weight.min().item():g} to {weight.max().item():g}", "some above 0")
    squared = (weight * (pictures - truth).square()).sum() / (weight.sum() * truth.shape[-3])
    return decibels(squared)


def decibels(error: Tensor) -> Tensor:
    """-10 log10 of mean squared errors (...) of values in [0, 1], at most `CEILING`; differentiable."""
    return -10 * error.clamp_min(10 ** (-CEILING / 10)).log10()
