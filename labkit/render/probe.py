"""Which faces make a pixel? The soft rasterizer opened up at one place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError, check_size, check_tensor
from labkit.render.raster import reference
from labkit.render.raster.algonet import AlgoNet
from labkit.render.raster.pixels import pixel_centers


@dataclass(frozen=True)
class Contribution:
    """What one face does to one pixel.

    Attributes:
        face: index into the triangles.
        coverage: V in [0, 1].
        depth: mean view depth of the corners.
        weight: Z in [0, 1], its share of the mean colour; the shares of all faces sum to 1.
        attribute: (C,) its attribute at the pixel.
    """

    face: int
    coverage: float
    depth: float
    weight: float
    attribute: tuple[float, ...]


def probe(
    triangles: Tensor,
    attributes: Tensor,
    size: tuple[int, int],
    pixel: tuple[int, int],
    rasterizer: AlgoNet,
    count: int = 10,
    perspective: bool = True,
) -> list[Contribution]:
    """The ``count`` faces with the greatest weight at a pixel, greatest first, computed in float64 by the reference.

    Args:
        triangles, attributes: as in `labkit.rasterize`, with B = 1.
        size: (H, W) of the picture in pixels.
        pixel: (row, column), row 0 on top.

    Raises:
        DomainError: the pixel lies outside the picture, or NaN or infinity in the tensors.
        ShapeError, DTypeError: as the names say.
    """
    height, width = check_size("size", size)
    check_tensor("triangles", triangles, "1 F 3 3")
    check_tensor("attributes", attributes, f"1 {triangles.shape[1]} 3 C")
    row, column = pixel
    if not (0 <= row < height and 0 <= column < width):
        raise DomainError("pixel", pixel, f"a row below {height} and a column below {width}")
    with torch.no_grad():
        corners = triangles.double()
        faces = rasterizer.prepare(corners, attributes.double(), perspective)
        place = pixel_centers(size, corners.dtype, corners.device)[row * width + column][None]
        found = reference.fragments(faces, place)
        weight = torch.where(faces.valid[0], found.weight[0, 0], 0)  # (F,)
        best = weight.topk(min(count, int(faces.valid.sum()))).indices
        values = found.values.expand(-1, 1, -1, -1)[0, 0]  # (F, C)
        return [
            Contribution(
                face=int(index),
                coverage=float(found.log_coverage[0, 0, index].exp()),
                depth=float(corners[0, index, :, 2].mean()),
                weight=float(weight[index]),
                attribute=tuple(values[index].tolist()),
            )
            for index in best
        ]
