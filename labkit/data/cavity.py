"""How full a shape is where a bathtub or a couch is hollow: what silhouettes cannot show and shading can."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

from labkit.errors import ShapeError, check_tensor
from labkit.nets.layers import check_count
from labkit.scene.vectors import check_between


@dataclass(frozen=True)
class Cavity:
    """The result of `cavity_occupancy` for B shapes.

    Attributes:
        region: (B,) int64, voxels of each shape's region; 0 for empty and for thin shapes.
        filled: (B,) int64, how many of them are filled.
    """

    region: Tensor
    filled: Tensor

    @property
    def occupancy(self) -> Tensor:
        """(B',) float64 in [0, 1]: the filled share, of the B' shapes that have a region."""
        there = self.region > 0
        return self.filled[there].double() / self.region[there].double()


def cavity_occupancy(grids: Tensor, *, level: float = 0.5, floor: float = 0.5, margin: int | None = None) -> Cavity:
    """Count what is filled in the part of space that a shape's silhouettes enclose but its shape may leave open.

    With S the voxels above ``level``, exactly:

    1. hull: the voxels whose projections along x, along y and along z all lie in the projections of S, that is, the
       largest shape with the same three silhouettes;
    2. region: the hull's voxels at and above the layer ``floor`` of the height of S whose horizontal neighbours up to
       ``margin`` away in x and in z, diagonal ones included, belong to the hull too;
    3. occupancy: the share of the region that S fills.

    A filled tub has 1; one whose walls are thinner than the margin and whose floor is below ``floor`` has 0. A couch is
    measured between its arms, in front of its back. Not differentiable.

    Source: the measure that "seemingly filled bathtubs" (IG-GAN, section 5.2) call for; the paper has none.

    Args:
        grids: (B, 1, N, N, N) occupancies [x, y, z] in [0, 1], y up.
        level: where a voxel counts as filled, in [0, 1).
        floor: where the region begins, as a share of the shape's height, in [0, 1).
        margin: voxels, 0 to N; None for N / 8, rounded.

    Raises:
        ShapeError, DTypeError, DomainError: an argument is not so.
    """
    check_tensor("grids", grids, "B 1 N N N")
    for name, value in (("level", level), ("floor", floor)):
        check_between(name, value, 0, 1, with_low=True)
    size = grids.shape[-1]
    if not size:
        raise ShapeError("grids", tuple(grids.shape), "grids with voxels")
    margin = check_count("margin", round(size / 8) if margin is None else margin, 0, size)
    solid = grids[:, 0] > level  # (B, x, y, z)
    hull = solid.any(1, keepdim=True) & solid.any(2, keepdim=True) & solid.any(3, keepdim=True)
    outside = pad((~hull).movedim(2, 1).float(), (margin,) * 4, value=1.0)  # (B, y, x + 2 m, z + 2 m)
    inner = max_pool2d(outside, 2 * margin + 1, stride=1).movedim(1, 2) == 0  # (B, x, y, z)
    layers = solid.any(3).any(1)  # (B, y)
    number = torch.arange(size, device=grids.device)
    low = torch.where(layers, number, size).amin(1)
    high = torch.where(layers, number, -1).amax(1) + 1
    above = number >= (low + floor * (high - low))[:, None]
    region = inner & above[:, None, :, None]
    return Cavity(region.sum((1, 2, 3)), (region & solid).sum((1, 2, 3)))


def fill_layers(solid: Tensor) -> Tensor:
    """Fill whatever a horizontal layer encloses: a tub up to its rim, with the same silhouettes from above and beside.

    A voxel becomes solid if within its layer (one y) no path of empty voxels, by steps along x and z, leads from it out
    of the grid.

    Args:
        solid: (X, Y, Z) bool.

    Returns:
        (X, Y, Z) bool.

    Raises:
        ShapeError: not such a grid.
    """
    if solid.ndim != 3 or solid.dtype != torch.bool:
        raise ShapeError("solid", f"{tuple(solid.shape)} of {solid.dtype}", "shape (X, Y, Z), bool")
    empty = pad((~solid).movedim(1, 0)[:, None].float(), (1,) * 4, value=1.0)  # (Y, 1, X + 2, Z + 2)
    cross = empty.new_tensor([[0, 1, 0], [1, 1, 1], [0, 1, 0]])[None, None]
    reached, last = torch.zeros_like(empty), -1.0
    reached[..., 0, :] = 1
    while (count := float(reached.sum())) != last:
        last = count
        reached = (conv2d(reached, cross, padding=1) > 0) * empty
    return reached[:, 0, 1:-1, 1:-1].movedim(0, 1) == 0
