"""Surfaces out of grids: marching cubes by scikit-image, with the degenerate grids answered first."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from labkit.errors import BackendError, DomainError, ShapeError, check_positive, check_tensor
from labkit.geometry.mesh import Mesh


def marching_cubes(
    values: Tensor,
    level: float = 0.5,
    *,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    pitch: float = 1.0,
    closed: bool = True,
) -> Mesh:
    """Return the float32 surface where a grid crosses ``level``; inside is where values > level.

    Topologically correct marching cubes (Lewiner et al. 2003), the surface triangulated with outward,
    counter-clockwise faces that share their vertices; where voxels touch only along an edge, so may four faces. A grid
    without a value above the level gives a mesh without faces; so does, if not ``closed``, one without a value at or
    below it. Not differentiable.

    Args:
        values: (X, Y, Z) float32 or float64, finite, indexed by x, y, z; computed in float32. Sample (i, j, k) lies
            at ``origin + (i + 0.5, j + 0.5, k + 0.5) * pitch``, as the voxel centres of `VoxelGrid` do.
        level: the value on the surface; for occupancies 0.5.
        origin: world coordinates of the outer corner of the grid.
        pitch: distance of neighbouring samples in world units.
        closed: continue the grid by one layer with values as far below the level as the largest is above it, so
            that the surface has no border; for occupancies it then ends at the faces of the outermost voxels.

    Raises:
        ShapeError: not a 3D grid; if not ``closed``, fewer than 2 samples along an axis.
        DTypeError, DomainError: wrong type, NaN or infinity in values, level, origin or pitch.
        BackendError: scikit-image is not installed.
    """
    check_tensor("values", values, "X Y Z")
    check_tensor("origin", torch.tensor(origin, dtype=torch.float64), "3")
    check_positive("pitch", pitch, "world units")
    if not math.isfinite(level):
        raise DomainError("level", level, "a finite number")
    if not closed and min(values.shape) < 2:
        raise ShapeError("values", tuple(values.shape), "at least 2 samples along each axis, or closed=True")
    # Relative to the level and of size 1, so that rounding to float32 moves no value across it and none overflows.
    above = values.detach().double() - level
    size = float(above.abs().max()) if above.numel() else 0.0
    if not math.isfinite(size):
        raise DomainError("values", "differences to the level beyond the range of float64", "smaller numbers")
    grid = (above / (size or 1.0)).float().cpu().numpy()  # (X, Y, Z)
    if closed and grid.size:
        grid = np.pad(grid, 1, constant_values=-abs(float(grid.max())))
    if not (grid.size and grid.max() > 0 >= grid.min()):
        return Mesh(values.new_zeros((0, 3), dtype=torch.float32), values.new_zeros((0, 3), dtype=torch.int64))
    try:
        from skimage import measure
    except ImportError as error:
        raise BackendError("marching_cubes", "no scikit-image", 'pip install "labkit[geometry]"') from error
    # A surface through the very samples has zero-area faces and holes: such samples are put just outside.
    grid = np.where(grid == 0, -1e-5 * grid.max(), grid).astype(np.float32)
    points, faces, _, _ = measure.marching_cubes(grid, 0.0, gradient_direction="ascent")
    shift = -0.5 if closed else 0.5  # the added layer moved every index by one
    vertices = (torch.from_numpy(points.astype(np.float64)) + shift) * pitch + torch.tensor(origin, dtype=torch.float64)
    return Mesh(
        vertices.to(values.device, torch.float32),
        torch.from_numpy(faces.astype(np.int64)).to(values.device),
    )
