"""Voxels: a grid of occupancies placed in the world, and solid voxelisation of meshes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_positive, check_tensor
from labkit.geometry.marching import marching_cubes
from labkit.geometry.mesh import Mesh

MAX_RESOLUTION = 512
PAIRS = 1 << 20  # (face, ray) pairs worked on at a time: bounds the memory, not the answer


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Occupancies of cubic voxels, indexed ``values[x, y, z]``, aligned with the world's axes.

    The centre of voxel (i, j, k) lies at ``origin + (i + 0.5, j + 0.5, k + 0.5) * pitch``.

    Args:
        values: (X, Y, Z), bool (True: inside) or float32/float64 (for occupancies 0 outside, 1 inside).
        origin: world coordinates of the outer corner of voxel (0, 0, 0).
        pitch: edge length of a voxel in world units.

    Raises:
        ShapeError, DTypeError, DomainError: values are not such a grid or not finite, or the placement is not three
            finite numbers and a positive one.
    """

    values: Tensor
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pitch: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.values, Tensor) and self.values.dtype == torch.bool:
            if self.values.ndim != 3:
                raise ShapeError("values", tuple(self.values.shape), "shape (X, Y, Z)")
        else:
            check_tensor("values", self.values, "X Y Z")
        check_tensor("origin", torch.tensor(self.origin, dtype=torch.float64), "3")
        check_positive("pitch", self.pitch, "world units")

    def centers(self) -> Tensor:
        """(X, Y, Z, 3): world coordinates of the voxel centres, in the type of float values, else float32."""
        dtype = self.values.dtype if self.values.is_floating_point() else torch.float32
        axes = [
            start + (torch.arange(size, dtype=dtype, device=self.values.device) + 0.5) * self.pitch
            for start, size in zip(self.origin, self.values.shape, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)

    def volume(self) -> Tensor:
        """Sum of the occupancies times the volume of a voxel; a scalar, differentiable for float values."""
        return self.values.sum() * self.pitch**3

    def to_mesh(self, level: float = 0.5) -> Mesh:
        """The closed surface where the values cross ``level`` (see `marching_cubes`)."""
        return marching_cubes(self.values.to(torch.float32), level, origin=self.origin, pitch=self.pitch)


def mesh_to_voxels(
    mesh: Mesh,
    resolution: int,
    *,
    origin: tuple[float, float, float] | None = None,
    pitch: float | None = None,
) -> VoxelGrid:
    """Return the (R, R, R) bool grid of the voxels whose centres lie inside a mesh; not differentiable.

    Each line of voxel centres is a ray; the signed crossings of the surface before a centre add up to its winding
    number, and a centre with a winding number other than 0 is inside. So parts that overlap are united, and an
    inside-out mesh gives the same grid, but a mesh whose faces are not turned consistently does not work. Of the
    rays along x, y and z the majority decides. For closed meshes they agree, except where a centre lies on the
    surface within rounding. For open meshes a voxel is wrong only where two axes see it through a hole: small holes
    are healed, an open box or a single sheet gives ragged or no voxels.

    The crossing test compares each projected edge in one fixed direction, so that a ray through an edge or a vertex
    counts each sheet exactly once, also when the faces do not share their vertices.

    Args:
        mesh: one mesh, vertices (V, 3). Without faces the grid is empty.
        resolution: voxels per axis, R in 1 to 512.
        origin, pitch: place the grid, as fields of `VoxelGrid`; give both or none. By default the cube around the
            centre of the bounding box whose edge is the longest edge of the box.

    Raises:
        ShapeError: a batch of meshes.
        DomainError: the resolution out of range, only one of origin and pitch, or no extent to choose them by.
    """
    mesh = mesh.validate()
    if mesh.vertices.ndim != 2:
        raise ShapeError("mesh", f"{mesh.vertices.shape[0]} meshes in a batch", "one mesh, vertices of shape (V, 3)")
    if isinstance(resolution, bool) or not isinstance(resolution, int):
        raise DTypeError("resolution", resolution, "a whole number")
    if not 1 <= resolution <= MAX_RESOLUTION:
        raise DomainError("resolution", resolution, f"1 to {MAX_RESOLUTION} voxels per axis")
    if (origin is None) != (pitch is None):
        raise DomainError("origin and pitch", f"{origin} and {pitch}", "both or none of them")
    corners = mesh.face_vertices().detach().double()  # (F, 3, 3)
    if origin is None or pitch is None:
        points = corners.flatten(0, 1)  # (F * 3, 3)
        low, high = (points.amin(0), points.amax(0)) if len(points) else (torch.zeros(3), torch.zeros(3))
        side = float((high - low).max())
        if side == 0:
            raise DomainError("mesh", "no faces, or no extent", "a mesh with a size, or origin and pitch")
        x, y, z = ((low + high - side) / 2).tolist()
        origin, pitch = (x, y, z), side / resolution
    grid = VoxelGrid(corners.new_zeros((resolution,) * 3, dtype=torch.bool), origin, pitch)
    local = (corners - corners.new_tensor(grid.origin)) / grid.pitch - 0.5  # centres at whole numbers
    votes = torch.zeros_like(grid.values, dtype=torch.int8)
    for axis in range(3):
        order = [axis, (axis + 1) % 3, (axis + 2) % 3]
        winding = _winding(local[..., order], resolution)  # [axis, axis + 1, axis + 2]
        votes += (winding != 0).permute([order.index(i) for i in range(3)])
    return VoxelGrid(votes >= 2, grid.origin, grid.pitch)


def _winding(corners: Tensor, size: int) -> Tensor:
    """(R, R, R) int32: winding numbers at whole-numbered points along rays in the direction of the first axis.

    ``corners`` is (F, 3, 3) in voxel units. The ray (j, k) crosses a face if the face's projection winds around it.
    """
    low = corners[..., 1:].amin(1).ceil().clamp(0, size).long()  # (F, 2) first ray that can meet the face
    high = corners[..., 1:].amax(1).floor().clamp(-1, size - 1).long()  # (F, 2) last one
    spans = (high - low + 1).clamp(min=0)  # (F, 2)
    ends = spans.prod(1).cumsum(0)  # (F,)
    total = int(ends[-1]) if len(ends) else 0
    # The last layer takes the crossings behind all centres.
    change = torch.zeros((size + 1) * size * size, dtype=torch.int32, device=corners.device)
    for start in range(0, total, PAIRS):
        pair = torch.arange(start, min(start + PAIRS, total), device=corners.device)  # (P,)
        face = torch.searchsorted(ends, pair, right=True)  # (P,)
        offset = pair - (ends[face] - spans[face].prod(1))
        ray = low[face] + torch.stack([offset // spans[face, 1], offset % spans[face, 1]], -1)  # (P, 2)
        turns = _turns(corners[face][..., 1:], ray.double())  # (P,)
        hit = turns.nonzero().squeeze(-1)
        depth = _depth(corners[face[hit]], ray[hit].double())  # (H,)
        layer = depth.ceil().clamp(0, size).long()  # first centre at or behind the crossing
        cell = (layer * size + ray[hit, 0]) * size + ray[hit, 1]
        change.index_add_(0, cell, turns[hit])
    winding = change.view(size + 1, size, size)[:size]
    for one, following in itertools.pairwise(winding):  # much faster than cumsum, which crosses the memory
        following += one
    return winding


def _turns(triangles: Tensor, points: Tensor) -> Tensor:
    """(P,) int32 in -1, 0, 1: how often each (3, 2) triangle winds around its point."""
    turns = torch.zeros(len(points), dtype=torch.int32, device=points.device)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        start, end = triangles[:, a], triangles[:, b]  # (P, 2)
        upward = end[:, 1] > start[:, 1]
        below, above = torch.where(upward[:, None], start, end), torch.where(upward[:, None], end, start)
        crosses = (below[:, 1] <= points[:, 1]) & (points[:, 1] < above[:, 1])
        # Always from below to above: both faces of an edge round alike, whichever way they run through it.
        span, reach = above - below, points - below
        left = span[:, 0] * reach[:, 1] > span[:, 1] * reach[:, 0]
        turns += (crosses & left).int() * (2 * upward.int() - 1)
    return turns


def _depth(triangles: Tensor, points: Tensor) -> Tensor:
    """(P,): first coordinate where the ray through each point meets the plane of its (3, 3) triangle."""
    a, b, c = triangles.unbind(1)  # (P, 3) each
    normal = torch.linalg.cross(b - a, c - a)
    depth = a[:, 0] - ((points - a[:, 1:]) * normal[:, 1:]).sum(-1) / normal[:, 0]
    # Seen edge-on a triangle has no such plane; its own extent bounds the answer.
    return torch.nan_to_num(depth).clamp(triangles[..., 0].amin(1), triangles[..., 0].amax(1))
