"""The surface of voxels as cubes: the walls between occupied and empty cells, and nothing inside."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from labkit.errors import DomainError, DTypeError, ShapeError
from labkit.geometry.mesh import Mesh
from labkit.geometry.voxels import VoxelGrid


def cubes_mesh(grid: VoxelGrid, level: float = 0.5) -> Mesh:
    """The float32 surface of the union of all voxels with values > ``level``, two triangles for each outer face.

    Neighbouring faces share their vertices. The mesh is closed and its volume exact; an edge along which only two
    diagonal voxels touch has four faces. Inner walls do not occur, so a solid block is as light as its surface. A grid
    without such voxels gives a mesh without vertices. Not differentiable.

    Args:
        grid: bool values, for which ``level`` does not matter, or floats.
        level: the value above which a voxel is occupied; finite.

    Raises:
        DomainError: ``level`` is not finite.
    """
    if not math.isfinite(level):
        raise DomainError("level", level, "a finite number")
    values = grid.values
    corners, faces = cell_walls(values if values.dtype == torch.bool else values > level)
    places = corners.double() * grid.pitch + corners.new_tensor(grid.origin, dtype=torch.float64)
    return Mesh(places.float(), faces)


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
