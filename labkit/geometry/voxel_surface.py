"""The surface of voxels as cubes: the walls between occupied and empty cells, and nothing inside."""

from __future__ import annotations

import math

import torch

from labkit.errors import DomainError
from labkit.geometry.cell_walls import cell_walls
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
