"""Any folder of pictures as grey squares of one size: all of them, or none and a list of those that are broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from labkit.data.image_source import StoredImages
from labkit.data.picture_cache import cached_pictures
from labkit.data.picture_files import listed, over_white, read_rgba
from labkit.errors import FileError, check_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MAX_BYTES = 1 << 33  # of all pictures in memory, one byte a pixel
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a colour as it is stored (ITU-R BT.601)."""

Prepare = Callable[[Tensor], Tensor]
"""From one picture (1, 4, h, w), its colours not multiplied by alpha, to what is kept of it, (1, channels, H, W)."""


def folder_source(
    folder: str | Path,
    size: int | tuple[int, int] = 128,
    *,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StoredImages:
    """Return all pictures in a folder and its subfolders, in the order of their paths.

    Each becomes grey over white and is cropped around its middle to the shape of ``size``, then resized to it.

    Args:
        folder: PNG, JPEG, WebP, BMP and TIFF files are pictures by their suffix; hidden and other files are ignored.
        size: (H, W) in pixels, or one number for both.
        cache: folder for the small pictures, see `cached_pictures`.
        progress: called with the number of pictures that are ready and how many there are.

    Raises:
        FileError: no folder, no pictures, broken ones (all are named), or too many for the memory.
        DomainError: the size is out of range.
        BackendError: Pillow or filelock is not installed.
    """
    root = Path(folder)
    height, width = check_size("size", (size, size) if isinstance(size, int) else size)

    def prepare(rgba: Tensor) -> Tensor:
        return fitted(grey(over_white(rgba)[0]), (height, width))

    return StoredImages(read_all(root, files_in(root), (height, width), prepare, "cropped", 1, cache, progress))


def files_in(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[str]:
    """Paths of all pictures relative to ``folder``, sorted.

    Raises:
        FileError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise FileError(str(folder), "no folder", "a folder of pictures")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and not path.is_dir())
    paths = (path.relative_to(folder) for path in found)
    names = sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    if not names:
        raise FileError(str(folder), "no pictures", f"files that end in {', '.join(suffixes)}")
    return names


def read_all(
    folder: Path,
    names: Sequence[str],
    size: tuple[int, int],
    prepare: Prepare,
    how: str,
    channels: int = 1,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return the prepared pictures, (N, channels, H, W) uint8.

    Args:
        folder, names: the files, all inside the folder.
        size: (H, W) of the prepared pictures.
        prepare: what is done to each; a `FileError` that it raises makes the picture a broken one.
        how: what ``prepare`` does and with which settings, for the key of the cache, as are names, sizes and times of
            the files.
        channels: of the prepared pictures.
        cache, progress: as in `cached_pictures`.

    Raises:
        FileError: missing or broken pictures (all are named), or too many for the memory.
        BackendError: Pillow or filelock is not installed.
    """
    if len(names) * channels * size[0] * size[1] > MAX_BYTES:
        raise FileError(str(folder), f"{len(names)} pictures of {size[0]} x {size[1]}", "fewer, or a smaller size")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise FileError(str(folder), f"no {listed(missing)}", "every picture of the set")

    def make(numbers: Tensor) -> Tensor:
        try:
            return torch.cat([prepare(read_rgba(folder, [names[n]])) for n in numbers.tolist()])
        except FileError as error:  # all before these are sound
            broken = broken_in(folder, names[int(numbers[0]) :], prepare)
            expected = f"sound pictures only: repair or remove these ({error})"
            raise FileError(str(folder), f"{len(broken)} broken: {listed(broken)}", expected) from error

    facts: dict[str, object] = {}
    if cache is not None:
        stamps = [(name, (stat := (folder / name).stat()).st_size, stat.st_mtime_ns) for name in names]
        facts = {"how": how, "folder": str(folder.resolve()), "files": stamps}
    return cached_pictures(cache, facts, (len(names), channels, *size), make, progress)


def broken_in(folder: Path, names: Sequence[str], prepare: Prepare) -> list[str]:
    """Those of the files that cannot be read or prepared; every one is read whole."""
    broken = []
    for name in names:
        try:
            prepare(read_rgba(folder, [name]))
        except FileError:
            broken.append(name)
    return broken


def grey(color: Tensor) -> Tensor:
    """Brightness (B, 1, H, W) of colours (B, 3, H, W)."""
    return (color * color.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)


def fitted(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (B, C, h, w), cropped around their middle to the shape of ``size`` and resized without aliasing."""
    height, width = pictures.shape[-2:]
    scale = min(height / size[0], width / size[1])
    rows, columns = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return resized(pictures[..., top : top + rows, left : left + columns], size)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (B, C, h, w) as (B, C, H, W) without aliasing, in [0, 1]."""
    return interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
