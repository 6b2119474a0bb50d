"""The streaming CPU kernel of the soft rasterizers, in numba: no list of pixel-face pairs, no lost face.

An image is cut into blocks, a block into tiles of 16 x 16 pixels. A thread owns a block: it gathers the faces that may
matter there, nearest first, and streams them through the tiles, keeping for each pixel only the running log-sum-exp of
the colour weights, the product of the 1 - V, and the colour sums. Backward recomputes the pairs from the finished sums.

What may be skipped. With l = log V + logit, face j changes alpha by at most V_j prod_{k != j} (1 - V_k), and the
finished colour by at most the smaller of exp(l_j - logsumexp_k l_k) and V_j exp(logit_j - min_k logit_k), the latter
because alpha <= sum_k V_k. Each factor is bounded over a tile or a row from the corners of the rectangle (log V is at
most log(1 + K) + sum_i min(0, x_i)), by the smallest logit of the image and by the sums so far, which can only tighten.
A pair is skipped where both bounds lie below 2^-24 / F, so that all skipped pairs of a pixel together stay below 2^-24.

Everything is plain arrays here; `stream.py` makes an operator of it, and the inner loops are in `kernel_cpu_lanes.py`.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from labkit.render.raster import fastmath, kernel_cpu_lanes
from labkit.render.raster.fastmath import FAST, HALF, ONE, ZERO
from labkit.render.raster.kernel_cpu_lanes import (
    AREA,
    CLEAR,
    COLOR,
    COLUMN,
    CORNER,
    DOT,
    EDGE,
    LEVEL,
    LOGIT_SLOT,
    PRESENCE_SLOT,
    ROW,
    SCALE,
    SHADE,
    SIDE,
    SUM,
    TOP,
    VALUE_SLOT,
    WEIGHT,
    add_moments,
    backward,
    backward_corner,
    dot,
    forward,
    interpolate,
    start,
    total,
)

BLOCK = 2  # tiles along a block
TOUCHING = -3.0  # log V above which a face counts as lying on the tile; those are streamed first
REFRESH = 32  # faces between two updates of the running bounds
LOG_8 = 2.0794415416798357  # the running maximum leaves out 1 / prod(1 + e_i) >= 1/8
NOTHING = np.float32(-1e30)


@njit(**FAST)
def _bound(edges: Any, face: int, x: float, y: float, half_width: float, half_height: float) -> float:
    """Upper bound of log V - log(1 + K) over a rectangle with the given centre and half sizes."""
    total = 0.0
    for i in range(3):
        a, b, c = edges[face, i, 0], edges[face, i, 1], edges[face, i, 2]
        total += min(0.0, a * x + b * y + c + abs(a) * half_width + abs(b) * half_height)
    return total


@njit(**FAST)
def _negligible(log_v: float, logit: float, floor: float, log_sum: float, log_clear: float, limit: float) -> bool:
    """Whether a face changes neither alpha nor colour by ``exp(limit)``; see the top of this file."""
    return log_v + log_clear < limit and log_v + logit - max(log_sum, floor) < limit


@njit(**FAST)
def _refresh(tile: Any, lows: Any, clears: Any) -> None:
    """Bounds per row, and in the last place for the tile: least log-sum-exp so far, greatest log prod(1 - V)."""
    for row in range(SIDE):
        first = np.uint64(SIDE * row)
        low, clear = tile[TOP + first], ZERO
        for lane in range(first, first + np.uint64(SIDE)):
            low = min(low, tile[TOP + lane])
            clear = max(clear, tile[CLEAR + lane])
        lows[row], clears[row] = low - LOG_8, np.log(clear)
        lows[SIDE] = lows[row] if row == 0 else min(lows[SIDE], lows[row])
        clears[SIDE] = clears[row] if row == 0 else max(clears[SIDE], clears[row])


@njit(**FAST)
def _load(tile: Any, i: int, j: int, images: Any, gradients: Any) -> None:
    """Start a tile: empty sums in forward, the finished sums and the incoming gradients in backward."""
    _, top, weight, clear = images
    to_mean, dots, _ = gradients
    height, width = top.shape
    for slot in range(len(tile)):
        tile[slot] = ZERO
    for row in range(SIDE):
        for column in range(SIDE):
            at = np.uint64(SIDE * row + column)
            tile[COLUMN + at] = np.float32(column) - HALF * np.float32(min(SIDE, width - j) - 1)
            tile[TOP + at], tile[CLEAR + at] = NOTHING, ONE
            tile[ROW + at] = np.float32(row) - HALF * np.float32(min(SIDE, height - i) - 1)
    if len(to_mean) == 0:
        return
    for row in range(min(SIDE, height - i)):
        for column in range(min(SIDE, width - j)):
            lane, y, x = np.uint64(SIDE * row + column), i + row, j + column
            tile[TOP + lane], tile[CLEAR + lane], tile[DOT + lane] = top[y, x], clear[y, x], dots[y, x]
            tile[SUM + lane] = ONE / weight[y, x] if weight[y, x] > ZERO else ZERO
            for channel in range(len(to_mean)):
                tile[COLOR + np.uint64(channel) * AREA + lane] = to_mean[channel, y, x]


@njit(**FAST)
def _load_clear(tile: Any, i: int, j: int, to_clear: Any) -> None:
    """Replace prod(1 - V), read for the bounds, by the gradient of its logarithm."""
    for row in range(SIDE):
        for column in range(SIDE):
            y, x = i + row, j + column
            inside = y < to_clear.shape[0] and x < to_clear.shape[1]
            tile[CLEAR + np.uint64(SIDE * row + column)] = to_clear[y, x] if inside else ZERO


@njit(**FAST)
def _store(tile: Any, i: int, j: int, images: Any) -> None:
    """Write the finished sums of a tile."""
    mean, top, weight, clear = images
    height, width = top.shape
    for row in range(min(SIDE, height - i)):
        for column in range(min(SIDE, width - j)):
            lane, y, x = np.uint64(SIDE * row + column), i + row, j + column
            top[y, x], weight[y, x], clear[y, x] = tile[TOP + lane], tile[SUM + lane], tile[CLEAR + lane]
            for channel in range(len(mean)):
                color = tile[COLOR + np.uint64(channel) * AREA + lane]
                mean[channel, y, x] = color / weight[y, x] if weight[y, x] > ZERO else ZERO


@njit(**FAST)
def _rows(
    c: Any, log_k: float, highest: float, floor: float, lows: Any, clears: Any, limit: float, part: Any
) -> tuple[int, int]:
    """First and one past the last row where a face may matter, among those of ``part``, (rows, columns) of the tile.

    ``c`` is what `start` leaves. Along a row, log V is at most the sum of the min(0, .) of the greatest x_i on it.
    """
    middle, half_width = (part[0] - 1) / 2, (part[1] - 1) / 2
    r0 = c[0, 2] + half_width * abs(c[0, 0]) - middle * c[0, 1]
    r1 = c[1, 2] + half_width * abs(c[1, 0]) - middle * c[1, 1]
    r2 = c[2, 2] + half_width * abs(c[2, 0]) - middle * c[2, 1]
    first, last = part[0], 0
    for row in range(part[0]):
        bound = min(0.0, c[0, 1] * row + r0) + min(0.0, c[1, 1] * row + r1) + min(0.0, c[2, 1] * row + r2)
        if not _negligible(log_k + bound, highest, floor, lows[row], clears[row], limit):
            first, last = min(first, row), row + 1
    return first, last


@njit(**FAST)
def _collect(
    sums: Any, face: int, tile: Any, first: Any, last: Any, x: float, y: float, pitch: float, corners: int
) -> None:
    """Add what `backward` left at the lanes to the gradient of the face."""
    for edge in range(3):
        add_moments(sums, face, 3 * edge, tile, first, last, EDGE + np.uint64(edge) * AREA, x, y, pitch)
    sums[face, LOGIT_SLOT] += total(tile, first, last, SHADE)
    sums[face, PRESENCE_SLOT] += total(tile, first, last, SCALE)
    channels = (len(tile) - int(COLOR)) // int(AREA)
    for corner in range(corners):
        for channel in range(channels):
            slot = COLOR + np.uint64(channel) * AREA
            if corners == 1:
                found = dot(tile, first, last, WEIGHT, slot)
            else:
                for lane in range(first, last):
                    tile[SCALE + lane] = tile[WEIGHT + lane] * tile[CORNER + np.uint64(corner) * AREA + lane]
                found = dot(tile, first, last, SCALE, slot)
            sums[face, VALUE_SLOT + corner * channels + channel] += found


@njit(**FAST)
def _gather(faces: Any, x: float, y: float, half: float, limit: float, found: Any) -> int:
    """Write the indices of all faces that may matter in a square into ``found``; return how many they are."""
    edges, log_k, _, highest, floor, _, _ = faces
    count = 0
    for face in range(len(edges)):
        log_v = log_k[face] + _bound(edges, face, x, y, half, half)
        if not _negligible(log_v, highest[face], floor, -1e30, 0.0, limit):
            found[count] = face
            count += 1
    return count


@njit(nogil=True, **FAST)
def _stream(
    thread: int, threads: int, faces: Any, detail: Any, limit: float, images: Any, gradients: Any, sums: Any
) -> int:
    """See `stream`."""
    edges, log_k, logit, highest, floor, shape, values = faces
    barycentric, inverse_depth, slope = detail
    detailed, reverse = len(barycentric) > 0, len(gradients[0]) > 0
    height, width = images[1].shape
    corners, channels = values.shape[1], values.shape[2]
    pitch = 2.0 / min(height, width)
    tile = np.zeros(int(COLOR) + int(AREA) * channels, np.float32)
    lows, clears = np.empty(SIDE + 1), np.empty(SIDE + 1)
    exact, steps, corner_steps = np.empty((3, 3)), np.empty((3, 3), np.float32), np.empty((3, 3), np.float32)
    found, bounds = np.empty(len(edges), np.int64), np.empty(len(edges))
    side = SIDE * BLOCK
    columns = -(-width // side)
    pairs = 0
    for block in range(thread, columns * -(-height // side), threads):
        top, left = block // columns * side, block % columns * side
        count = _gather(
            faces,
            (2 * left + side - width) * pitch / 2,
            (height - side - 2 * top) * pitch / 2,
            (side - 1) * pitch / 2,
            limit,
            found,
        )
        for number in range(BLOCK * BLOCK):
            i, j = top + number // BLOCK * SIDE, left + number % BLOCK * SIDE
            if i >= height or j >= width:
                continue
            part = min(SIDE, height - i), min(SIDE, width - j)  # rows and columns of the tile inside the image
            x, y = (2 * j + part[1] - width) * pitch / 2, (height - part[0] - 2 * i) * pitch / 2  # their middle
            _load(tile, i, j, images, gradients)
            _refresh(tile, lows, clears)
            if reverse:
                _load_clear(tile, i, j, gradients[2])
            half_width, half_height = (part[1] - 1) * pitch / 2, (part[0] - 1) * pitch / 2
            streamed = 0
            for wave in range(2):
                for candidate in range(count):
                    face = found[candidate]
                    if wave == 0:
                        bounds[candidate] = _bound(edges, face, x, y, half_width, half_height)
                    bound = bounds[candidate]
                    if (bound > TOUCHING) != (wave == 0) or _negligible(
                        bound + log_k[face], highest[face], floor, lows[SIDE], clears[SIDE], limit
                    ):
                        continue
                    start(edges, face, x, y, pitch, exact, steps)
                    rows = _rows(exact, log_k[face], highest[face], floor, lows, clears, limit, part)
                    if rows[0] >= rows[1]:
                        continue
                    first, last = np.uint64(SIDE * rows[0]), np.uint64(SIDE * rows[1])
                    pairs += SIDE * (rows[1] - rows[0])
                    if detailed:
                        start(barycentric, face, x, y, pitch, exact, corner_steps)
                        interpolate(tile, first, last, corner_steps, face, inverse_depth, slope)
                    level = np.float32(logit[face] + log_k[face])
                    if not reverse:
                        forward(tile, first, last, steps, level, shape[face, 1], face, values)
                        streamed += 1
                        if streamed % REFRESH == 0:
                            _refresh(tile, lows, clears)
                        continue
                    backward(tile, first, last, steps, level, shape[face, 0], shape[face, 1], face, values)
                    _collect(sums, face, tile, first, last, x, y, pitch, corners)
                    for corner in range(3 if detailed else 0):
                        backward_corner(tile, first, last, corner, face, values, inverse_depth, slope)
                        slot = VALUE_SLOT + corners * channels
                        add_moments(sums, face, slot + 3 * corner, tile, first, last, SCALE, x, y, pitch)
                        sums[face, slot + 9 + corner] += total(tile, first, last, LEVEL)
                        sums[face, slot + 12 + corner] += dot(
                            tile, first, last, SHADE, CORNER + np.uint64(corner) * AREA
                        )
                if not reverse:
                    _refresh(tile, lows, clears)
            if not reverse:
                _store(tile, i, j, images)
    return pairs


def _cached(sources: int) -> Any:
    """Wrap the kernel for the cache on disk. Numba watches one file only; a changed closure makes it look again."""

    @njit(nogil=True, cache=True, **FAST)
    def stream(
        thread: int, threads: int, faces: Any, detail: Any, limit: float, images: Any, gradients: Any, sums: Any
    ) -> int:
        """Stream all faces through every ``threads``-th block of the image, starting with number ``thread``.

        Args:
            faces: edges (F, 3, 3), log((1 + K) w) (F,) with the presence w, logit (F,), its greatest value on each face
                (F,) and its smallest of all, in float64; K and w (F, 2) and values (F, 1 or 3, C) in float32. Nearest
                face first.
            detail: barycentric (F, 3, 3) in float64, inverse_depth (F, 3) and logit_slope (F, 3) in float32; F = 0
                unless values or depth are interpolated.
            limit: log of the contribution below which a pair may be skipped.
            images: mean attribute (C, H, W); the log-sum-exp of the colour weights as ``top`` + log ``weight``, and
                prod(1 - V), (H, W) each. Written in forward, read in backward.
            gradients: of the mean (C, H, W), its product with the mean (H, W), and of log prod(1 - V) (H, W); C = 0
                runs forward.
            sums: (F, slots) float64 gradients of the faces, added to in backward.

        Returns:
            The number of pixel-face pairs that were evaluated.
        """
        return _stream(thread, threads, faces, detail, limit, images, gradients, sums) if sources else 0

    return stream


stream = _cached(
    zlib.crc32(b"".join(Path(file).read_bytes() for file in (fastmath.__file__, kernel_cpu_lanes.__file__)))
)
