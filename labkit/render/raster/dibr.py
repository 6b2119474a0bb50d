"""DIB-R (Chen et al. 2019): the nearest face gives the colour, all faces around a pixel give a soft silhouette."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, check_positive
from labkit.render.raster import family
from labkit.render.raster.family import Family
from labkit.render.raster.hard import Hard
from labkit.render.raster.layers import Layers
from labkit.render.raster.pixels import pixel_pitch

BOX, COUNT = 0.02, 30  # NDC by which the original grows the box of a face; faces that it takes for a pixel


@dataclass(frozen=True)
class DIBR:
    """The interpolation-based renderer of DIB-R.

    Where a face covers the pixel, the nearest one is interpolated and alpha is 1 (equations 1 to 4). Elsewhere the
    picture shows the background, and ``alpha = 1 - prod(1 - A)`` with ``A = exp(-d^2 / delta)``, d the distance to a
    face (equations 5 and 6; the paper writes d for the squared distance). So colours move vertices only inside the
    silhouette, alpha only outside.

    Attributes:
        delta: > 0, in NDC units squared. Number or one-element tensor. The original's 1 / 7000 is a setting for 64
            pixels; at other sizes use `from_pixels`.
        compat: "official" for the original's code: affine interpolation (also under perspective), and outside only
            the first 30 faces by index whose bounding box, grown by 0.02, holds the pixel.

    Raises:
        DomainError: delta is not positive or not finite, or an unknown choice.

    Source: DIB-R, section 3.2.
    """

    delta: float | Tensor = 1 / 7000
    compat: Literal["official"] | None = None
    deferrable = True
    textured = False

    def __post_init__(self) -> None:
        check_positive("delta", self.delta, "NDC units squared")
        if self.compat not in (None, "official"):
            raise DomainError("compat", repr(self.compat), "None or 'official'")

    @property
    def family(self) -> Family:
        """Its alpha as a member of the distance family: A is the reversed exponential distribution of d^2 / delta."""
        official = self.compat == "official"
        return Family(
            "squared", "exponential_rev", self.delta, box=BOX if official else None, count=COUNT if official else None
        )

    @classmethod
    def from_pixels(cls, edge_width: float, size: tuple[int, int]) -> DIBR:
        """Build from the edge width in pixels (see `edge_width_px`) instead of delta."""
        check_positive("edge_width", edge_width, "pixels")
        return cls((edge_width * pixel_pitch(size)) ** 2 / math.log(2))

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Distance sqrt(delta ln 2) outside a face at which A is 1/2, in pixels of an (H, W) image."""
        return math.sqrt(float(torch.as_tensor(self.delta).detach()) * math.log(2)) / pixel_pitch(size)

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The layers by dense torch."""
        alpha = family.rasterize(self.family, triangles, attributes[..., :0], size, perspective).alpha
        return Hard().reference(triangles, attributes, size, perspective and not self.compat)._replace(alpha=alpha)

    def kernel(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The same by the streaming CPU kernel."""
        from labkit.render.raster import family_stream

        alpha = family_stream.rasterize(self.family, triangles, attributes[..., :0], size, perspective).alpha
        return Hard().kernel(triangles, attributes, size, perspective and not self.compat)._replace(alpha=alpha)
