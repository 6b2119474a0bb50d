"""The scan lines of the Neural 3D Mesh Renderer as a CPU kernel: a thread takes a face and follows its edges."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from numba import njit
from torch import Tensor


def scan_lines(corners: Tensor, seen: Tensor, values: Tensor, incoming: Tensor, pitch: float, eps: float) -> Tensor:
    """The same as `n3mr_reference.scan_lines`, in time that grows with the length of the edges times R."""
    threads = torch.get_num_threads()
    names = seen.unique()
    gradient = torch.zeros_like(corners[..., 0])
    tensors = (corners, names[names >= 0], seen, values, incoming, gradient)
    arrays = tuple(tensor.contiguous().numpy() for tensor in tensors)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(_scan, threads, arrays, pitch, eps), range(threads)))
    return gradient


@njit(nogil=True, cache=True, error_model="numpy")
def _scan(threads: int, arrays: Any, pitch: float, eps: float, thread: int) -> None:
    corners, names, seen, values, incoming, gradient = arrays
    rows, length = seen.shape
    for name in range(thread, len(names), threads):
        face = names[name]
        a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
        area = (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
        left = math.floor(max(min(a[0], b[0], c[0]), 0.0))
        right = math.ceil(min(max(a[0], b[0], c[0]), length - 1.0))
        for i in range(3):
            j = (i + 1) % 3
            x, y = corners[face, i]
            up = corners[face, j, 1] - y
            if up == 0 or area == 0:
                continue
            slope = (corners[face, j, 0] - x) / up
            direction = 1 if (area > 0) == (up > 0) else -1
            low, high = max(min(y, corners[face, j, 1]), 0.0), min(max(y, corners[face, j, 1]), rows - 1.0)
            if low > high:  # only now do both fit into whole numbers
                continue
            for line in range(math.ceil(low), math.floor(high) + 1):
                cross = slope * (line - y) + x
                if not -1 <= cross <= length:
                    continue
                inner = math.floor(cross) if direction > 0 else math.ceil(cross)
                outer = inner + direction
                if min(inner, outer) < 0 or max(inner, outer) >= length:
                    continue
                owned = seen[line, inner] == face
                if direction > 0:
                    first, last = left, length - 1 if owned else inner
                else:
                    first, last = 0 if owned else inner, right
                from_start, from_end = (corners[face, j, 1] - line) / up, (line - y) / up
                for place in range(first, last + 1):
                    outside = (place - inner) * direction > 0
                    if not outside and seen[line, place] != face:
                        continue
                    other = inner if outside else outer
                    gain = 0.0
                    for k in range(values.shape[2]):
                        gain += (values[line, place, k] - values[line, other, k]) * incoming[line, place, k]
                    if gain <= 0:
                        continue
                    distance = pitch * abs(place - cross)
                    towards = -direction if outside else direction
                    if from_start > 0:
                        gradient[face, i] += towards * gain / (distance / from_start + eps)
                    if from_end > 0:
                        gradient[face, j] += towards * gain / (distance / from_end + eps)
