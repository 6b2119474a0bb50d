"""The binvox format: a text header, then run-length coded voxels (Patrick Min's binvox, version 1).

Header: ``#binvox 1``, ``dim d d d``, ``translate x y z``, ``scale s``, ``data``, each on its line. Then pairs of
bytes: a value (0 or 1) and how often it is repeated (1 to 255). Voxel (x, y, z) has index x d^2 + z d + y: y runs
fastest. Its centre lies at (x + 0.5, y + 0.5, z + 0.5) / d * scale + translate.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from labkit.errors import DTypeError, FileError, LabError, ShapeError
from labkit.files import read_bytes, write_bytes
from labkit.geometry.voxels import VoxelGrid

MAX_DIM = 1024
HEADER = re.compile(rb"#binvox 1[ \t\r]*\n((?:(?:dim|translate|scale)[ \t][^\n]{0,200}\n){3,20})data[ \t\r]*\n")


def read_binvox(path: str | Path, max_dim: int = MAX_DIM) -> VoxelGrid:
    """Return the grid of bools in a binvox file.

    Args:
        path: the file.
        max_dim: a grid with more voxels along an edge is refused before it is allocated.

    Raises:
        FileError: missing, empty, not binvox version 1, not a cube, too large, truncated, a value other than 0 and
            1, a run of length 0, or runs that do not add up to the promised voxels.
    """
    path = Path(path)
    data = read_bytes(path)
    header = HEADER.match(data)
    if header is None:
        raise FileError(str(path), f"a file that starts with {data[:20]!r}", "a binvox header of version 1")
    try:
        fields = {key: [float(word) for word in rest] for key, *rest in map(str.split, header[1].decode().splitlines())}
        sizes, origin, scale = (fields[key] for key in ("dim", "translate", "scale"))
        (x, y, z), (edge,) = origin, scale
        depth, height, width = sizes
    except (ValueError, KeyError) as error:
        raise FileError(str(path), f"a broken header ({error})", "dim d d d, translate x y z, scale s") from error
    if not (depth == height == width and 1 <= depth <= max_dim and depth == int(depth)):
        raise FileError(str(path), f"dim {sizes}", f"one whole number from 1 to {max_dim}, three times")
    size = int(depth)
    runs = np.frombuffer(data, np.uint8, offset=header.end())
    if len(runs) % 2:
        raise FileError(str(path), f"{len(runs)} bytes of runs", "pairs of bytes; the file is truncated")
    values, counts = runs[0::2], runs[1::2].astype(np.int64)
    total = int(counts.sum())
    if total != size**3 or (counts == 0).any() or (values > 1).any():
        what = f"{total} voxels in {len(counts)} runs, values up to {values.max(initial=0)}"
        raise FileError(str(path), what, f"{size**3} voxels in runs of 1 to 255, values 0 and 1")
    grid = np.repeat(values.astype(bool), counts).reshape(size, size, size).transpose(0, 2, 1)  # x z y -> x y z
    try:
        return VoxelGrid(torch.from_numpy(grid.copy()), (x, y, z), edge / size)
    except LabError as error:
        raise FileError(str(path), f"{error.argument} {error.got}", error.expected) from error


def write_binvox(grid: VoxelGrid, path: str | Path) -> None:
    """Write a cubic grid of bools, atomically.

    Raises:
        DTypeError: the values are not bools (compare them with a level first).
        ShapeError: not the same size, 1 to 1024, along each axis: the format has cubes only.
        FileError: the folder is missing or cannot be written.
    """
    if grid.values.dtype != torch.bool:
        raise DTypeError("grid", f"{grid.values.dtype} values", "bool values, such as values > 0.5")
    size = grid.values.shape[0]
    if len(set(grid.values.shape)) != 1 or not 1 <= size <= MAX_DIM:
        raise ShapeError("grid", tuple(grid.values.shape), f"a cube of 1 to {MAX_DIM} voxels along each edge")
    flat = grid.values.permute(0, 2, 1).reshape(-1).cpu().numpy()  # (D^3,) y fastest
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])  # first voxel of each run
    lengths = np.diff(np.append(starts, len(flat)))
    pieces = -(-lengths // 255)  # bytes pairs per run
    values = np.repeat(flat[starts], pieces)
    counts = np.full(len(values), 255)
    counts[np.cumsum(pieces) - 1] = lengths - 255 * (pieces - 1)
    x, y, z = (repr(float(value)) for value in grid.origin)
    header = f"#binvox 1\ndim {size} {size} {size}\ntranslate {x} {y} {z}\nscale {float(grid.pitch) * size!r}\ndata\n"
    write_bytes(path, header.encode() + np.stack([values, counts], axis=1).astype(np.uint8).tobytes())
