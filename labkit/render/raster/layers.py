"""What every rasterizer hands over: a picture, and how much of the background is left to see."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Layers(NamedTuple):
    """The faces of a scene on the screen, before there is a background.

    Attributes:
        color: (B, C, H, W) what the faces contribute to the picture, already weighted.
        share: (B, 1, H, W) the background's weight in [0, 1]; not always 1 - alpha.
        alpha: (B, 1, H, W) the silhouette in [0, 1].
    """

    color: Tensor
    share: Tensor
    alpha: Tensor

    def over(self, background: Tensor) -> Tensor:
        """The finished picture (B, C, H, W) over a background (C,) or (B, C, H, W)."""
        behind = background[:, None, None] if background.ndim == 1 else background
        return self.color + self.share * behind.to(self.color)
