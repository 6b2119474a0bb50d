"""Points to a picture, smoothly: every point is a small Gaussian cloud, a pixel holds its share of every cloud.

Coordinates of the plane have x to the right and y up; pictures have row 0 on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from labkit.errors import DomainError, DTypeError, ShapeError, check_positive, check_size, check_tensor

CHUNK = 4096  # points at once: their shares of 256 rows and columns are 8 MB in float32


@dataclass(frozen=True)
class Window:
    """The part of the plane that a picture shows, with square pixels.

    Args:
        x, y: its centre, in plane units.
        size: length in plane units of the picture's shorter side, > 0.

    Raises:
        DTypeError, DomainError: not numbers, not finite, or a size that is not positive.
    """

    x: float = 0.0
    y: float = 0.0
    size: float = 2.0

    def __post_init__(self) -> None:
        check_positive("size", self.size, "plane units")
        for name in ("x", "y"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DTypeError(name, type(value).__name__, "a number")
            if not math.isfinite(value):
                raise DomainError(name, value, "a finite number")

    @classmethod
    def around(cls, points: Tensor, margin: float = 0.05) -> Window:
        """The smallest square that holds all points (N, 2), with ``margin`` >= 0 of its size to spare on each side.

        Points that are all equal get a window of size 1 and its margins.

        Raises:
            DTypeError, ShapeError, DomainError: no points, not finite, or a negative margin.
        """
        _check_points(points, "N 2")
        if not (math.isfinite(margin) and margin >= 0):
            raise DomainError("margin", margin, "a finite number of at least 0")
        low, high = points.detach().amin(0), points.detach().amax(0)  # (2,) each
        x, y = ((low + high) / 2).tolist()
        return cls(x, y, ((high - low).amax().item() or 1.0) * (1 + 2 * margin))

    def to_pixels(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """Where points (..., 2) lie in a picture of ``size`` (height, width): (..., 2) as column and row.

        Pixel (i, j) is the square of rows [i, i + 1] and columns [j, j + 1]; (0, 0) is the upper left corner.
        """
        height, width = size
        scale = min(height, width) / self.size  # pixels per plane unit
        middle = points.new_tensor([width / 2, height / 2])
        return (points - points.new_tensor([self.x, self.y])) * points.new_tensor([scale, -scale]) + middle


def splat(points: Tensor, size: tuple[int, int], sigma: float | Tensor, window: Window | None = None) -> Tensor:
    """The expected number of points in every pixel when each point is moved at random by a Gaussian.

    A point at column u and row v lies in pixel (i, j) with probability
    ``[Phi((j + 1 - u) / sigma) - Phi((j - u) / sigma)] [Phi((i + 1 - v) / sigma) - Phi((i - v) / sigma)]``, Phi the
    normal distribution function. As that is a product of a column's share and a row's share, the sum over all points
    is one matrix product, and nothing as large as points times pixels is ever made: the work in memory is
    ``CHUNK * (height + width)`` numbers, in the backward pass too, where each chunk is computed anew. (With
    ``create_graph=True`` a backward pass keeps ``points * (height + width)``.)

    Args:
        points: (..., N, 2), x and y in plane units, N >= 1.
        size: (height, width) of the picture.
        sigma: standard deviation of the Gaussian in pixels, > 0: the level of detail. One number; a tensor of the
            dtype of ``points`` gets a gradient.
        window: what the picture shows, `Window()` if None.

    Returns:
        (..., height, width), from 0 to N; the sum is N less what falls outside. C-infinity in points and sigma.

    Raises:
        DTypeError, ShapeError, DomainError: no points, not finite, a bad size, or sigma not positive.

    Source: AlgoNet, section 4.5.
    """
    _check_points(points, "... N 2")
    size = check_size("size", size)
    check_positive("sigma", sigma, "pixels")
    sigma = torch.as_tensor(sigma, dtype=points.dtype, device=points.device).reshape(())
    total = points.new_zeros(*points.shape[:-2], *size)
    for chunk in (window or Window()).to_pixels(points, size).split(CHUNK, -2):
        total = total + checkpoint(_counts, chunk, sigma, size, use_reentrant=False, preserve_rng_state=False)
    return total


def expose(counts: Tensor, points: int, exposure: float = 1.0) -> Tensor:
    """A picture of counts: ``1 - exp(-exposure * counts / mean)``, with ``mean = points / (height * width)``.

    The paper asks for the probability that any point lies in the pixel, ``1 - prod_n (1 - p_n)``, which needs every
    point in every pixel. The Poisson form ``1 - exp(-sum_n p_n)`` is equal to first order, lower by at most
    ``sum_n p_n^2 / 2`` (``0 <= exp(-p) - (1 - p) <= p^2 / 2``, factor by factor), and needs the counts alone. It is
    the case ``exposure = mean``. Dividing by the mean instead makes the brightness the same for any number of points
    and any picture size.

    Args:
        counts: (..., H, W), from `splat`.
        points: how many points were splatted, >= 1.
        exposure: optical depth of a pixel that holds as many points as it would if they were spread evenly over the
            picture, > 0. At 1 such a pixel has brightness 0.63.

    Returns:
        (..., 1, H, W) in [0, 1], with one channel; 0 is empty.

    Raises:
        DTypeError, ShapeError, DomainError: counts not finite, no points, or an exposure that is not positive.
    """
    check_tensor("counts", counts, "... H W")
    check_positive("points", points)
    check_positive("exposure", exposure)
    return -torch.expm1(-counts * (exposure * counts.shape[-2] * counts.shape[-1] / points)).unsqueeze(-3)


def render_points(
    points: Tensor,
    size: tuple[int, int],
    sigma: float | Tensor,
    window: Window | None = None,
    exposure: float = 1.0,
) -> Tensor:
    """`splat` and `expose` in one: points (..., N, 2) to a picture (..., 1, H, W) in [0, 1]."""
    return expose(splat(points, size, sigma, window), points.shape[-2], exposure)


def blur(image: Tensor, sigma: float) -> Tensor:
    """An image (..., H, W) whose pixels, as points at their centres, are each spread by a Gaussian as in `splat`.

    What falls outside is lost; beyond the border there is nothing.

    Args:
        image: (..., H, W), any numbers, such as counts or optical depths.
        sigma: standard deviation in pixels, > 0.

    Raises:
        DTypeError, ShapeError, DomainError: not finite, or sigma not positive.
    """
    check_tensor("image", image, "... H W")
    check_positive("sigma", sigma, "pixels")
    spread = image.new_tensor(sigma)
    rows, columns = (
        _shares(torch.arange(cells, dtype=image.dtype, device=image.device) + 0.5, spread, cells)
        for cells in image.shape[-2:]
    )  # (H, H), (W, W)
    return rows.transpose(-1, -2) @ image @ columns


def _counts(pixels: Tensor, sigma: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum over points of the shares of rows times the shares of columns: (..., N, 2) to (..., H, W)."""
    rows, columns = (_shares(pixels[..., 1 - axis], sigma, size[axis]) for axis in (0, 1))
    return rows.transpose(-1, -2) @ columns


def _shares(position: Tensor, sigma: Tensor, cells: int) -> Tensor:
    """Shares (..., N, cells) of ``cells`` unit intervals from 0 in Gaussians centred at ``position`` (..., N)."""
    edges = torch.arange(cells + 1, dtype=position.dtype, device=position.device)
    return 0.5 * torch.erf((edges - position[..., None]) / (math.sqrt(2) * sigma)).diff(dim=-1)


def _check_points(points: Tensor, shape: str) -> None:
    check_tensor("points", points, shape)
    if points.shape[-2] == 0:
        raise ShapeError("points", tuple(points.shape), "at least one point")
