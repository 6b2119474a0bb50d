"""Shapes put together of boxes."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from labkit.geometry.mesh import Mesh
from labkit.geometry.shapes import box_union

Box = tuple[tuple[float, float, float], tuple[float, float, float]]  # smallest and largest corner


def four_legs(x: float, z: float, height: float, thickness: float) -> list[Box]:
    """Square legs on the floor in the corners of the rectangle from (-x, -z) to (x, z)."""
    across, along = (((-half, thickness - half), (half - thickness, half)) for half in (x, z))
    return [((u[0], 0.0, v[0]), (u[1], height, v[1])) for u, v in itertools.product(across, along)]


def of_boxes(boxes: list[Box], dtype: torch.dtype) -> Mesh:
    """The closed surface of their union, see `box_union`."""
    corners: Tensor = torch.tensor(boxes, dtype=dtype)  # (N, 2, 3)
    return box_union(corners[:, 0], corners[:, 1])
