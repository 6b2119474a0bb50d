"""Sets of picture files: all of them sound and of one size, or none is loaded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.errors import BackendError, FileError
from labkit.files import inside, read_bytes
from labkit.geometry.textures import pixels

MAX_PICTURE_BYTES = 1 << 28
MAX_PIXELS = 1 << 27  # of all pictures together, two gibibytes as floats: 68 pictures of 1600 x 1200
SHOWN = 8  # names in a message


def read_rgba(folder: Path, names: Sequence[str]) -> Tensor:
    """Return picture files (PNG, JPEG, ...) as (B, 4, H, W) float32: red, green, blue and alpha in [0, 1].

    Colours are as stored, not multiplied by alpha; a picture without transparency has alpha 1.

    Args:
        folder: what the names are relative to, and what they must stay inside.
        names: B >= 1 of them.

    Raises:
        FileError: a name that leads out of the folder, missing pictures (all are named), broken ones, pictures of
            different sizes (all are named), or more than `MAX_PIXELS` in all. Nothing is decoded before all files are
            known to be there and of one size.
        BackendError: Pillow is not installed.
    """
    paths = [inside(folder, name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing or not names:
        raise FileError(str(folder), f"no {listed(missing) if names else 'pictures'}", "every picture of the set")
    sizes = [_opened(path).size for path in paths]  # (W, H) each
    width, height = sizes[0]
    if odd := [f"{name} of {w} x {h}" for name, (w, h) in zip(names, sizes, strict=True) if (w, h) != (width, height)]:
        raise FileError(str(folder), listed(odd), f"pictures of {width} x {height} pixels, as {names[0]}")
    if len(names) * width * height > MAX_PIXELS:
        got = f"{len(names)} pictures of {width} x {height} pixels"
        raise FileError(str(folder), got, f"at most {MAX_PIXELS} pixels in all: use fewer, or shrink them")
    planes = np.empty((len(names), 4, height, width), np.float32)
    for plane, path in zip(planes, paths, strict=True):
        picture = _opened(path)
        plane[:3] = pixels(picture, str(path)).transpose(2, 0, 1)  # loads the whole picture, or raises
        opaque = not picture.has_transparency_data
        plane[3] = 1 if opaque else np.asarray(picture.convert("RGBA").getchannel("A"), np.float32) / 255
    return torch.from_numpy(planes)


def over_white(rgba: Tensor) -> tuple[Tensor, Tensor]:
    """Return pictures (B, 4, H, W) over white, (B, 3, H, W), and their alpha (B, 1, H, W)."""
    color, alpha = rgba.split((3, 1), dim=1)
    return color * alpha + (1 - alpha), alpha


def listed(names: Sequence[str]) -> str:
    """The names in one line, shortened if there are many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _opened(path: Path) -> Any:
    """The Pillow image of a file, its size known and its pixels not yet read."""
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendError("pictures", "no Pillow", 'pip install "labkit[train]"') from error
    try:
        return Image.open(io.BytesIO(read_bytes(path, MAX_PICTURE_BYTES)))
    except FileError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(str(path), f"no usable picture ({error})", "a PNG or JPEG picture") from error
