"""The mesh of an implicit surface: marching cubes on a grid that is fine only where the surface can be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_positive
from labkit.geometry.marching import marching_cubes
from labkit.geometry.mesh import Mesh
from labkit.geometry.sdf import Field

COARSEST = 16  # samples along an edge of the first blocks


@torch.no_grad()
def field_mesh(
    field: Field,
    resolution: int = 64,
    radius: float = 1.0,
    *,
    dense: bool = False,
    slope: float = 1.5,
    chunk: int = 65536,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Mesh:
    """Return the surface f = 0 within the cube [-radius, radius]^3, closed, its faces counter-clockwise from outside.

    Blocks of samples are halved, from 16 along an edge down to one. A block without a surface near any of its samples,
    as |f| at its centre tells, keeps that value for all of them. The samples on both sides of the surface are always
    evaluated if f changes by at most ``slope`` per world unit: then the mesh is that of the dense grid.

    Args:
        field: f, (N, 3) -> (N,), negative inside.
        resolution: samples along an edge, 2 to 1024, at the centres of cubes of edge ``2 radius / resolution``.
        radius: half the edge of the cube, world units. A surface that leaves the cube is closed at its faces.
        dense: evaluate all samples: for fields that are no distances, e.g. occupancies.
        slope: bound of |grad f|, greater than 0; 1 for a distance field. The default leaves room for networks that are
            trained to be one.
        chunk: points evaluated at a time, at least 1: bounds the memory.
        device, dtype: of the points that the field is given, float32 or float64.

    Returns:
        A float32 mesh, without faces where f is positive, or nowhere negative, at the samples.

    Raises:
        DomainError: NaN or infinity in the field, or a number out of range.
        ShapeError, DTypeError: as the names say; of the field, if it does not give one float for each point.
        BackendError: scikit-image is not installed.
    """
    if isinstance(resolution, bool) or not isinstance(resolution, int):
        raise DTypeError("resolution", type(resolution).__name__, "a whole number")
    if not 2 <= resolution <= 1024:
        raise DomainError("resolution", resolution, "2 to 1024 samples along an edge")
    check_positive("radius", radius, "world units")
    check_positive("slope", slope)
    if chunk < 1:
        raise DomainError("chunk", chunk, "at least 1 point")
    if dtype not in (torch.float32, torch.float64):
        raise DTypeError("dtype", dtype, "torch.float32 or torch.float64")
    pitch = 2 * radius / resolution

    def sample(index: Tensor, block: int) -> Tensor:
        """f at the centres of blocks (N, 3) int64 of ``block`` samples along an edge, (N,)."""
        values = []
        for part in index.split(chunk):
            points = ((part.to(dtype) + 0.5) * block) * pitch - radius
            values.append(field(points))
            if values[-1].shape != part.shape[:1]:
                raise ShapeError("field", tuple(values[-1].shape), f"({len(part)},), one value for each point")
        joined = torch.cat(values) if values else torch.zeros(0, dtype=dtype, device=device)
        if not bool(joined.isfinite().all()):
            point = (index[~joined.isfinite()][0] + 0.5) * (block * pitch) - radius
            raise DomainError("field", f"NaN or infinity at {tuple(point.tolist())}", "finite numbers in the cube")
        return joined

    block = 1 if dense else COARSEST
    side = math.ceil(resolution / block)
    axis = torch.arange(side, device=device)
    values = sample(torch.cartesian_prod(axis, axis, axis), block).reshape(side, side, side)
    while block > 1:
        # How far the samples of a block lie from its centre, and one pitch more: no edge of the grid that starts in the
        # block crosses the surface if the surface is farther away.
        reach = pitch * (math.sqrt(3) * (block - 1) / 2 + 1)
        close = values.abs() <= slope * reach
        block //= 2
        side = math.ceil(resolution / block)
        values, close = (_halved(grid, side) for grid in (values, close))
        index = close.nonzero()  # (N, 3)
        values[close] = sample(index, block)
    return marching_cubes(-values, 0.0, origin=(-radius,) * 3, pitch=pitch)


def _halved(grid: Tensor, side: int) -> Tensor:
    """Repeat every block of a cube along each axis, up to ``side`` blocks."""
    for axis in range(3):
        grid = grid.repeat_interleave(2, axis).narrow(axis, 0, side)
    return grid.contiguous()
