"""Rigid resampling: a voxel grid turned into the frame of a camera, inside a larger grid that cuts nothing off."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_tensor

MAX_SIZE = 512
ROUNDING = 8
"""Machine epsilons times the grid's size within which a coordinate counts as whole: several times its own error."""


def embed(grid: Tensor, rotation: Tensor, size: int) -> Tensor:
    """Turn grids about their centre and put them into the middle of larger ones; differentiable in both.

    The value at index o of the result is the trilinear interpolation of the grid at ``R^T (o - (S - 1) / 2) +
    (N - 1) / 2``: the centre of the cube, not a voxel, stays in place. Beyond the outermost voxel centres the values
    fall to 0 within one voxel, and are 0 from there on. Nothing is cut off if ``S >= sqrt(3) (N - 1) + 3``, as with 64
    in 128. If S - N is even, turns by multiples of 90 degrees about the axes move values exactly, without rounding,
    also with the rounded sines and cosines of a camera: coordinates that are whole but for rounding are made whole,
    with the derivative left as it is. Trilinear interpolation has kinks at whole coordinates; the derivative there
    is that of one side. Gradients of gradients are not available (`grid_sample` has none).

    Source: IG-GAN, section 4.1 ("a rigid body transformation embeds the 64^3 grid in a 128^3 grid"); RenderNet, 2.1.

    Args:
        grid: (B, C, N, N, N) indexed by x, y, z, float32 or float64.
        rotation: (B, 3, 3) from the grid's axes to those of the result; a camera's ``rotation`` gives camera axes (x
            right, y up, z towards the camera). Its type is converted to the grid's. Whether it is a rotation is not
            checked; a batch of 1 stands for all.
        size: S, 1 to 512.

    Returns:
        (B, C, S, S, S), in the type of ``grid``.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: as the names say; NaN and infinity are refused.
    """
    check_tensor("grid", grid, "B C N N N")
    check_tensor("rotation", rotation, "B 3 3")
    check_device(grid=grid, rotation=rotation)
    if isinstance(size, bool) or not isinstance(size, int):
        raise DTypeError("size", size, "a whole number")
    batch, resolution = len(grid), grid.shape[-1]
    if not (1 <= size <= MAX_SIZE and 1 <= resolution <= MAX_SIZE):
        raise DomainError("size", f"{size} for a grid of {resolution}", f"1 to {MAX_SIZE} voxels per axis")
    if len(rotation) not in (1, batch):
        raise ShapeError("rotation", tuple(rotation.shape), f"({batch}, 3, 3) or (1, 3, 3), as the grid has it")
    line = torch.arange(size, dtype=grid.dtype, device=grid.device) - (size - 1) / 2
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1).view(1, -1, 3)  # (1, S^3, 3)
    source = points @ rotation.to(grid.dtype) + (resolution - 1) / 2  # row vectors: R^T applied to each
    whole = source.detach().round()
    near = (source.detach() - whole).abs() < ROUNDING * torch.finfo(grid.dtype).eps * max(size, resolution)
    source = source + torch.where(near, whole - source.detach(), 0.0)
    # grid_sample divides by the number of samples along an axis, which is exact for a power of two.
    padded = 1 << (resolution - 1).bit_length()
    filled = pad(grid, (0, padded - resolution) * 3)
    unit = (2 * source + 1 - padded) / padded  # [-1, 1] from the outer face of the first voxel to that of the last
    unit = unit.flip(-1).view(-1, size, size, size, 3).expand(batch, -1, -1, -1, -1)  # the last axis of a tensor first
    return grid_sample(filled, unit, mode="bilinear", padding_mode="zeros", align_corners=False)
