"""The walls between solid and empty cells of a grid: the surface of voxels, and of unions of boxes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from labkit.errors import DTypeError, ShapeError


def cell_walls(solid: Tensor) -> tuple[Tensor, Tensor]:
    """The walls between solid and empty cells of a grid, everything beyond it being empty.

    Args:
        solid: (X, Y, Z) bool; cell (i, j, k) lies between the corners (i, j, k) and (i + 1, j + 1, k + 1).

    Returns:
        The corners of all walls, (V, 3) int64, and their triangles, (F, 3) int64, counter-clockwise seen from the
        empty side.

    Raises:
        DTypeError, ShapeError: ``solid`` is not such a grid.
    """
    if not isinstance(solid, Tensor) or solid.dtype != torch.bool:
        raise DTypeError("solid", getattr(solid, "dtype", type(solid).__name__), "a bool tensor")
    if solid.ndim != 3:
        raise ShapeError("solid", tuple(solid.shape), "shape (X, Y, Z)")
    counts = [size + 1 for size in solid.shape]  # corners along each axis
    stride = torch.tensor([counts[1] * counts[2], counts[2], 1], device=solid.device)
    quads = []
    for axis in range(3):
        closed = pad(solid.movedim(axis, -1).to(torch.int8), (1, 1))  # an empty cell at either end
        step = closed.diff(dim=-1).movedim(-1, axis)  # wall i lies before cell i along the axis
        one, two = stride[(axis + 1) % 3], stride[(axis + 2) % 3]
        for sign in (-1, 1):
            corner = ((step == sign).nonzero() * stride).sum(-1)  # (Q,)
            # one x two points along the axis: outward where the solid lies below the wall.
            first, last = (one, two) if sign < 0 else (two, one)
            quads.append(torch.stack([corner, corner + first, corner + first + last, corner + last], dim=-1))
    triangles = torch.cat(quads)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    used = torch.zeros(math.prod(counts), dtype=torch.bool, device=solid.device)
    used[triangles] = True
    number = used.cumsum(0) - 1  # of each corner among those used
    corners = used.nonzero().squeeze(-1)  # (V,)
    where = torch.stack([corners // stride[0], corners // stride[1] % counts[1], corners % counts[2]], dim=-1)
    return where, number[triangles]
