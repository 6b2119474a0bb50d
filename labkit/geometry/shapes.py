"""Procedural shapes: spheres, tori and unions of boxes, all closed and counter-clockwise seen from outside."""

from __future__ import annotations

import math

import torch
import trimesh
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_device, check_positive, check_tensor
from labkit.geometry.cell_walls import cell_walls
from labkit.geometry.mesh import Mesh


def icosphere(subdivisions: int = 2, dtype: torch.dtype = torch.float32) -> Mesh:
    """The unit sphere as an icosahedron whose triangles are split in four ``subdivisions`` times.

    Args:
        subdivisions: 0 to 8; 0, 1, 2, 3, 4 give 12, 42, 162, 642, 2562 vertices (2 + 10 * 4^n).
        dtype: float32 or float64.

    Raises:
        DomainError: subdivisions is not a whole number in [0, 8].
    """
    if isinstance(subdivisions, bool) or not isinstance(subdivisions, int) or not 0 <= subdivisions <= 8:
        raise DomainError("subdivisions", subdivisions, "a whole number from 0 to 8")
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=1.0)
    return Mesh(torch.as_tensor(sphere.vertices, dtype=dtype), torch.as_tensor(sphere.faces, dtype=torch.int64))


def torus(
    major: float = 1.0, minor: float = 0.4, segments: int = 48, sides: int = 24, dtype: torch.dtype = torch.float32
) -> Mesh:
    """A torus around the y axis, with uv: u runs around the axis, v around the tube, each once.

    The seams carry two vertices at (bit for bit) one place, because their uv differ: ``torus(...).weld()`` has
    ``segments * sides`` vertices, no uv, and every edge in exactly two faces.

    Args:
        major: distance from the axis to the middle of the tube, world units.
        minor: radius of the tube, less than ``major``.
        segments: quads around the axis, 3 or more.
        sides: quads around the tube, 3 or more.
        dtype: float32 or float64.

    Raises:
        DomainError: a size is out of range.
    """
    check_positive("minor", minor)
    check_positive("major", major)
    if minor >= major:
        raise DomainError("minor", minor, f"less than major = {major} (else the tube meets itself)")
    for name, number in (("segments", segments), ("sides", sides)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 3:
            raise DomainError(name, number, "a whole number, 3 or more")
    i, j = torch.meshgrid(torch.arange(segments + 1), torch.arange(sides + 1), indexing="ij")
    # Modulo before the angle: both sides of a seam get the same bits.
    around = (i % segments).double() * (2 * math.pi / segments)  # (segments + 1, sides + 1)
    tube = (j % sides).double() * (2 * math.pi / sides)
    radius = major + minor * tube.cos()
    vertices = torch.stack([radius * around.sin(), minor * tube.sin(), radius * around.cos()], dim=-1)
    uv = torch.stack([i / segments, j / sides], dim=-1)
    corner = (i * (sides + 1) + j)[:-1, :-1].flatten()
    quads = torch.stack([corner, corner + sides + 1, corner + sides + 2, corner + 1], dim=-1)
    return Mesh(vertices.reshape(-1, 3).to(dtype), _split(quads), uv=uv.reshape(-1, 2).to(dtype))


def box_union(low: Tensor, high: Tensor) -> Mesh:
    """The surface of the union of axis-aligned boxes, welded, without inner walls and without T-junctions.

    All planes of all boxes cut space into cells; the surface is every cell wall between solid and empty. It is
    closed and its volume exact. It is a 2-manifold unless two solid cells meet in an edge or a corner only.

    Args:
        low: (N, 3), the smallest corner of each box, float32 or float64, world units.
        high: (N, 3), the largest corner of each box, greater than ``low`` along each axis.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: wrong sizes, types, devices, NaN, or a box
            without volume (the first is named).
    """
    check_tensor("low", low, "N 3")
    check_tensor("high", high, f"{low.shape[0]} 3")
    if high.dtype != low.dtype:
        raise DTypeError("high", high.dtype, f"{low.dtype}, the type of low")
    check_device(low=low, high=high)
    flat = (high <= low).any(-1)
    if bool(flat.any()):
        box = int(flat.nonzero()[0])
        raise DomainError("high", f"box {box} from {low[box].tolist()} to {high[box].tolist()}", "high above low")
    planes = [torch.cat([low[:, axis], high[:, axis]]).unique() for axis in range(3)]
    solid = torch.zeros([max(len(plane) - 1, 0) for plane in planes], dtype=torch.bool, device=low.device)
    for start, stop in zip(low, high, strict=True):
        cells = [
            slice(int(torch.searchsorted(plane, start[axis])), int(torch.searchsorted(plane, stop[axis])))
            for axis, plane in enumerate(planes)
        ]
        solid[tuple(cells)] = True
    corners, faces = cell_walls(solid)
    return Mesh(torch.stack([plane[i] for plane, i in zip(planes, corners.T, strict=True)], dim=-1), faces)


def _split(quads: Tensor) -> Tensor:
    """(Q, 4) corners in order -> (2 Q, 3) triangles."""
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
