"""The Chanterelle mushrooms of Henzler et al. (2019) as IG-GAN prepares them: cropped, resized, of one brightness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from labkit.data.image_folder import files_in, grey, read_all, resized
from labkit.data.image_source import StoredImages, from_bytes, to_bytes
from labkit.errors import DomainError, FileError, check_size

FILL = 0.475
"""Share of the picture that the longest edge of a shape in the common frame takes when IG-GAN's camera sees it."""


def read(
    folder: str | Path,
    size: int = 128,
    *,
    fill: float = FILL,
    background: float = 1.0,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StoredImages:
    """Return the mushrooms, grey over ``background``, of equal mean brightness (IG-GAN, section 4.2).

    Each picture is cropped to a square around its mushroom's bounding box and resized; then a constant is added to the
    mushroom so that its mean is the mean over all mushrooms, and what leaves [0, 1] is cut off.

    Args:
        folder: PNG files whose alpha is the mask, also in subfolders such as ``train``, ``val`` and ``test``.
        size: pixels along each side.
        fill: share of the picture's side that the longest edge of the bounding box takes, in [0.1, 1]. The paper does
            not say; by default as much as of the generator's shapes, which must be able to look like them.
        background: grey level in [0, 1].
        cache: folder for the small pictures, see `cached_pictures`.
        progress: called with the number of pictures that are ready and how many there are.

    Raises:
        FileError: no folder, no pictures, broken ones, or masks without a mushroom (all are named).
        DomainError: a value out of range.
        BackendError: Pillow or filelock is not installed.
    """
    root = Path(folder)
    side, _ = check_size("size", (size, size))
    if not (0.1 <= fill <= 1 and 0 <= background <= 1):
        raise DomainError("fill, background", (fill, background), "a share in [0.1, 1] and a grey level in [0, 1]")
    names = files_in(root, (".png",))

    def prepare(rgba: Tensor) -> Tensor:
        layers = resized(cropped(rgba, fill), (side, side))
        if not to_bytes(layers[:, 1:]).any():
            raise FileError("picture", "a mask too thin to be seen", f"a mushroom that {side} pixels show")
        return layers

    layers = from_bytes(read_all(root, names, (side, side), prepare, f"chanterelle, fill {fill}", 2, cache, progress))
    light, alpha = layers.split(1, dim=1)  # (N, 1, H, W) each
    mean = light.sum((1, 2, 3), keepdim=True) / alpha.sum((1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
    level = (light / alpha.clamp_min(1 / 255) + mean.mean() - mean).clamp(0, 1)
    return StoredImages(to_bytes(level * alpha + background * (1 - alpha)))


def cropped(rgba: Tensor, fill: float) -> Tensor:
    """A square around what a picture (1, 4, h, w) shows: brightness times alpha, and alpha, (1, 2, S, S).

    Raises:
        FileError: no pixel has an alpha above 0.5.
    """
    alpha = rgba[:, 3:]
    seen = (alpha[0, 0] > 0.5).nonzero()  # (P, 2)
    if not len(seen):
        raise FileError("picture", "a mask without a pixel", "a mushroom in the alpha channel")
    low, high = seen.amin(0), seen.amax(0) + 1
    side = max(round(float((high - low).max()) / fill), 1)
    top, left = ((low + high - side).div(2, rounding_mode="floor")).tolist()
    height, width = alpha.shape[-2:]
    layers = torch.cat([grey(rgba[:, :3]) * alpha, alpha], 1)
    return pad(layers, (-left, left + side - width, -top, top + side - height))
