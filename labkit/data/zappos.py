"""UT Zappos50K (Yu and Grauman 2014): catalogue pictures of shoes on white, RAN's camera-captured data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from labkit.data.categories import check_whole
from labkit.data.image_folder import files_in, grey, read_all, resized
from labkit.data.image_source import StoredImages, check_numbers
from labkit.data.picture_files import over_white
from labkit.data.view_sets import ViewSets
from labkit.errors import DomainError, check_size
from labkit.files import inside

OTHER_SIDE = 180.0
"""Degrees of azimuth at which the mirrored picture is said to be taken (RAN, appendix C)."""


class Mirrored:
    """Pictures in pairs: number 2n is picture n, number 2n + 1 is its mirror image. An `ImageSource`.

    Args:
        stored: N pictures.
    """

    def __init__(self, stored: StoredImages) -> None:
        self.stored = stored

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.stored.size

    @property
    def count(self) -> int:
        """2 N."""
        return 2 * self.stored.count

    def images(self, numbers: Tensor) -> Tensor:
        """See `ImageSource.images`."""
        numbers = check_numbers(numbers, self.count)
        pictures = self.stored.images(numbers // 2)
        return torch.where((numbers % 2 == 1)[:, None, None, None], pictures.flip(-1), pictures)

    def close(self) -> None:
        """Nothing to let go of."""


def read(
    folder: str | Path,
    size: int = 128,
    *,
    under: str = "",
    limit: int | None = None,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ViewSets:
    """Return pairs of a shoe's picture and its mirror image, as if the latter were seen from the other side.

    Pictures are shown whole, in the middle of a white square.

    Args:
        folder: ``ut-zap50k-images`` or ``ut-zap50k-images-square``, with ``<category>/<subcategory>/<brand>/<id>.jpg``.
        size: pixels along each side.
        under: only what lies under ``<category>``, ``<category>/<subcategory>`` or one brand.
        limit: only the first so many, in the order of the paths.
        cache: folder for the small pictures, see `cached_pictures`.
        progress: called with the number of pictures that are ready and how many there are.

    Raises:
        FileError: no folder, no pictures, or broken ones (all are named).
        DomainError: a number out of range.
        BackendError: Pillow or filelock is not installed.
    """
    side, _ = check_size("size", (size, size))
    if limit is not None and check_whole("limit", limit) < 1:
        raise DomainError("limit", limit, "1 picture or more, or None")
    root = Path(folder)
    part = encoded(root, under)
    names = [(Path(part) / name).as_posix() for name in files_in(inside(root, part), (".jpg",))]

    def prepare(rgba: Tensor) -> Tensor:
        return squared(grey(over_white(rgba)[0]), side)

    pictures = read_all(root, names[:limit], (side, side), prepare, "squared", 1, cache, progress)
    angles = torch.tensor([[0.0, OTHER_SIDE]]).expand(len(pictures), 2)
    return ViewSets(Mirrored(StoredImages(pictures)), angles)


def encoded(root: Path, name: str) -> str:
    """``name`` as it is stored: with "%2E" for the last dot of a folder, where that and not the dot exists.

    Some archives store so folders whose names end with a dot, as that of "Dr. Martens Inc.".
    """
    found = Path()
    for part in Path(name).parts:
        dotless = found / f"{part[:-1]}%2E"
        swap = part.endswith(".") and not (root / found / part).exists() and (root / dotless).exists()
        found = dotless if swap else found / part
    return found.as_posix()


def squared(picture: Tensor, side: int) -> Tensor:
    """A picture (1, 1, h, w), whole, in the middle of a white square (1, 1, side, side)."""
    height, width = picture.shape[-2:]
    longest = max(height, width)
    rows, columns = max(round(height / longest * side), 1), max(round(width / longest * side), 1)
    square = torch.ones(1, 1, side, side)
    top, left = (side - rows) // 2, (side - columns) // 2
    square[..., top : top + rows, left : left + columns] = resized(picture, (rows, columns))
    return square
