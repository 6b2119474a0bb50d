"""The parts that a mesh file holds, and how they become one `Mesh`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from labkit.geometry.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a file, everything per vertex.

    Args:
        vertices: (V, 3) floats.
        faces: (F, 3) int64 into this part's vertices.
        uv: (V, 2) or None, v up.
        normals: (V, 3) or None.
        colors: (V, 3) or None, in [0, 1].
        texture: (H, W, 3) or None, in [0, 1], row 0 on top; parts that share a picture share the very array.
        diffuse: the material's one colour, red, green, blue in [0, 1], or None.
    """

    vertices: NDArray[np.floating]
    faces: NDArray[np.int64]
    uv: NDArray[np.floating] | None = None
    normals: NDArray[np.floating] | None = None
    colors: NDArray[np.floating] | None = None
    texture: NDArray[np.floating] | None = None
    diffuse: tuple[float, float, float] | None = None


def merge(parts: Sequence[Part]) -> Mesh:
    """Return one float32 mesh of all parts, in their order; not validated.

    ``uv`` and ``normals`` survive if every part has them. The texture survives if all parts share one. Otherwise
    each vertex gets a colour: its own, else its part's texture at its uv, else its material's colour, else white;
    if no part has any of these, the mesh has no colours.
    """
    first = parts[0].texture
    shared = first is not None and all(part.texture is first and part.uv is not None for part in parts)
    own = all(part.colors is not None for part in parts)
    painted = own or (not shared and any(_is_painted(part) for part in parts))
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])  # (F, 3)
    return Mesh(
        vertices=_floats([part.vertices for part in parts]),
        faces=torch.from_numpy(np.ascontiguousarray(faces, dtype=np.int64)),
        uv=_joined([part.uv for part in parts]),
        normals=_joined([part.normals for part in parts]),
        colors=_floats([_painted(part) for part in parts]).clamp(0, 1) if painted else None,
        texture=torch.from_numpy(np.moveaxis(first, 2, 0).copy()) if shared and first is not None else None,
    )


def _floats(arrays: Sequence[NDArray]) -> torch.Tensor:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which validation refuses by name
        return torch.from_numpy(np.concatenate(arrays).astype(np.float32))


def _joined(arrays: Sequence[NDArray | None]) -> torch.Tensor | None:
    present = [array for array in arrays if array is not None]
    return _floats(present) if len(present) == len(arrays) else None


def _is_painted(part: Part) -> bool:
    return part.colors is not None or part.diffuse is not None or (part.texture is not None and part.uv is not None)


def _painted(part: Part) -> NDArray[np.floating]:
    if part.colors is not None:
        return part.colors
    if part.texture is not None and part.uv is not None:
        height, width, _ = part.texture.shape
        turns = part.uv - np.floor(part.uv)  # (V, 2) in [0, 1]: the texture repeats
        column = np.minimum((np.nan_to_num(turns[:, 0]) * width).astype(np.int64), width - 1)
        row = np.minimum(((1 - np.nan_to_num(turns[:, 1])) * height).astype(np.int64), height - 1)
        return part.texture[row, column]  # (V, 3)
    return np.tile(np.array(part.diffuse or (1.0, 1.0, 1.0)), (len(part.vertices), 1))
