"""Many pictures as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_tensor


def contact_sheet(
    pictures: Tensor | Sequence[Tensor], columns: int | None = None, gap: int = 2, background: float = 1.0
) -> Tensor:
    """Put pictures of one size into rows, the first at the upper left, with gaps between them and none around.

    Args:
        pictures: (N, C, H, W), or N tensors (C, H, W), float32 or float64; one or more.
        columns: pictures in a row; by default the number that makes the sheet about as many rows as columns.
        gap: pixels between two pictures, 0 or more.
        background: value of the gaps and of places without a picture.

    Returns:
        (C, H', W') with ``H' = rows H + (rows - 1) gap`` and W' likewise.

    Raises:
        ShapeError, DTypeError, DeviceError: no pictures, or pictures of several sizes, types or devices.
        DomainError: a number out of range.
    """
    if not isinstance(pictures, Tensor):
        if not pictures:
            raise ShapeError("pictures", 0, "one or more pictures")
        first = check_tensor("pictures[0]", pictures[0], "C H W", finite=False)
        for number, picture in enumerate(pictures):
            name = f"pictures[{number}]"
            check_tensor(name, picture, " ".join(map(str, first.shape)), finite=False)
            check_device(**{"pictures[0]": first, name: picture})
            if picture.dtype != first.dtype:
                raise DTypeError(name, picture.dtype, f"{first.dtype}, the type of the first")
        pictures = torch.stack(list(pictures))
    check_tensor("pictures", pictures, "N C H W", finite=False)
    count, channels, height, width = pictures.shape
    if count == 0:
        raise ShapeError("pictures", tuple(pictures.shape), "one or more pictures")
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    for name, number, least in (("columns", columns, 1), ("gap", gap, 0)):
        if isinstance(number, bool) or not isinstance(number, int):
            raise DTypeError(name, type(number).__name__, "a whole number")
        if number < least:
            raise DomainError(name, number, f"{least} or more")
    columns = min(columns, count)
    rows = -(-count // columns)
    cells = pictures.new_full((rows * columns, channels, height + gap, width + gap), background)
    cells[:count, :, :height, :width] = pictures
    sheet = cells.view(rows, columns, channels, height + gap, width + gap).permute(2, 0, 3, 1, 4)
    sheet = sheet.reshape(channels, rows * (height + gap), columns * (width + gap))
    return sheet[:, : rows * (height + gap) - gap, : columns * (width + gap) - gap].contiguous()
