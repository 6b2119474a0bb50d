"""From where the pictures of a data set are taken: ranges of azimuth and elevation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.data.categories import CATEGORIES, check_whole
from labkit.errors import DomainError, ShapeError, check_tensor


@dataclass(frozen=True)
class ViewRule:
    """Views drawn uniformly and independently from a range of azimuths and one of elevations.

    Args:
        azimuth, elevation: (low, high) in degrees as in `Camera.orbit`, low <= high; at most a full turn, and
            elevations from -90 to 90.

    Raises:
        DomainError: a range that is none, or too wide.
    """

    azimuth: tuple[float, float] = (0.0, 360.0)
    elevation: tuple[float, float] = (15.0, 60.0)

    def __post_init__(self) -> None:
        low, high = self.azimuth
        if not 0 <= high - low <= 360:
            raise DomainError("azimuth", self.azimuth, "(low, high) in degrees with low <= high <= low + 360")
        low, high = self.elevation
        if not -90 <= low <= high <= 90:
            raise DomainError("elevation", self.elevation, "(low, high) in degrees with -90 <= low <= high <= 90")

    def at(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The views that belong to numbers in [0, 1]: 0 is the lower end of a range, 1 the upper.

        Args:
            numbers: (..., 2), float32 or float64, the first of each pair for the azimuth.

        Returns:
            Azimuth and elevation in degrees, (...) each.

        Raises:
            ShapeError, DTypeError, DomainError: not such numbers.
        """
        check_tensor("numbers", numbers, "... 2")
        if bool(((numbers < 0) | (numbers > 1)).any()):
            raise DomainError("numbers", f"{numbers.min().item():g} to {numbers.max().item():g}", "numbers in [0, 1]")
        azimuth, elevation = (
            low + share * (high - low)
            for share, (low, high) in zip(numbers.unbind(-1), (self.azimuth, self.elevation), strict=True)
        )
        return azimuth, elevation

    def draw(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Random views.

        Args:
            generator: the random stream; the views lie on its device.
            count: number of views B, 0 or more.

        Returns:
            Azimuth and elevation in degrees, (B,) float32 each.

        Raises:
            DTypeError, ShapeError: ``count`` is not a whole number, or negative.
        """
        if check_whole("count", count) < 0:
            raise ShapeError("count", count, "0 or more views")
        return self.at(torch.rand(count, 2, generator=generator, device=generator.device))


LVP = ViewRule(azimuth=(-60.0, 60.0), elevation=(15.0, 60.0))
"""The limited viewpoints of IG-GAN, section 4.2, for chairs."""

VIEW_RULES = {
    name: ViewRule(elevation=(-30.0, 60.0) if name in ("chair", "table") else (15.0, 60.0)) for name in CATEGORIES
}
"""Views of each category: IG-GAN, section 4.2, states those of bathtubs and couches (elevation 15 to 60) and of chairs
(-30 to 60). Tables, on which a renderer is trained before it meets either, are seen like chairs; all others from above.
"""
