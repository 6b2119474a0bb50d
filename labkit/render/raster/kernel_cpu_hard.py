"""The z-buffer of the hard rasterizer as a CPU kernel: which face does each pixel see?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

BAND = 16  # rows that a thread fills at a time


def nearest_faces(edges: Tensor, nearness: Tensor, candidates: Tensor, size: tuple[int, int]) -> Tensor:
    """Index of the nearest face that contains each pixel centre, -1 where there is none; ties go to the lowest index.

    Args:
        edges: (B, F, 3, 3) float64 edge functions.
        nearness: (B, F, 3) float64, linear on the screen, greater is nearer.
        candidates: (B, F) faces that can be seen.
        size: (H, W) pixels.

    Returns:
        (B, H * W) int64.
    """
    threads = torch.get_num_threads()
    seen = torch.full((len(edges), size[0] * size[1]), -1)
    with ThreadPoolExecutor(threads) as pool:
        for index in range(len(edges)):
            kept = candidates[index].nonzero().squeeze(1)
            arrays = (edges[index, kept].numpy(), nearness[index, kept].numpy(), kept.numpy())
            image = seen[index].view(size).numpy()
            list(pool.map(partial(_fill, threads, *arrays, image), range(threads)))
    return seen


# No fast mathematics: rounding must be that of the reference, so that both see the same face on an edge.
@njit(nogil=True, cache=True)
def _fill(threads: int, edges: Any, nearness: Any, names: Any, seen: Any, thread: int) -> None:
    height, width = seen.shape
    shorter = min(height, width)
    pitch = 2.0 / shorter
    nearest = np.empty((BAND, width))
    for band in range(thread, -(-height // BAND), threads):
        top = band * BAND
        rows = min(BAND, height - top)
        nearest[:] = -np.inf
        middle = (height - rows - 2 * top) / shorter  # y of the middle of the band
        for face in range(len(edges)):
            first, last = _columns(edges[face], middle, (rows - 1) * pitch / 2, width, pitch)
            if first >= last:
                continue
            (a0, b0, c0), (a1, b1, c1), (a2, b2, c2) = (
                (edges[face, 0, 0], edges[face, 0, 1], edges[face, 0, 2]),
                (edges[face, 1, 0], edges[face, 1, 1], edges[face, 1, 2]),
                (edges[face, 2, 0], edges[face, 2, 1], edges[face, 2, 2]),
            )
            a, b, c = nearness[face, 0], nearness[face, 1], nearness[face, 2]
            for row in range(rows):
                y = (height - 1 - 2 * (top + row)) / shorter
                for column in range(first, last):
                    x = (2 * column + 1 - width) / shorter
                    e0, e1, e2 = a0 * x + b0 * y + c0, a1 * x + b1 * y + c1, a2 * x + b2 * y + c2
                    if (e0 >= 0 and e1 >= 0 and e2 >= 0) or (e0 <= 0 and e1 <= 0 and e2 <= 0):
                        near = a * x + b * y + c
                        if near > nearest[row, column]:
                            nearest[row, column] = near
                            seen[top + row, column] = names[face]


@njit
def _columns(edges: Any, y: float, half: float, width: int, pitch: float) -> tuple[int, int]:
    """First and one past the last column that a face can reach in a band of rows, with a column to spare."""
    turn = 1.0 if edges[0, 2] + edges[1, 2] + edges[2, 2] > 0 else -1.0
    low, high = -0.5 * width * pitch, 0.5 * width * pitch
    for i in range(3):
        a, rest = turn * edges[i, 0], turn * (edges[i, 1] * y + edges[i, 2]) + abs(edges[i, 1]) * half
        if a > 0:  # inside needs a x + rest >= 0
            low = max(low, -rest / a)
        elif a < 0:
            high = min(high, -rest / a)
        elif rest < 0:
            return 0, 0
    first = (low / pitch + 0.5 * width) - 1.5
    last = (high / pitch + 0.5 * width) + 1.5
    return int(max(0.0, min(first, width * 1.0))), int(max(0.0, min(last, width * 1.0)))
