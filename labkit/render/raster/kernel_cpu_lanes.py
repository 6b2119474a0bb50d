"""One face on the pixels of a tile: the inner loops of the streaming CPU kernel, forward and backward.

Edge functions x_i are oriented so that S = x_0 + x_1 + x_2 >= 0; then V = (1 + K) prod sigma(x_i) with K = exp(-S), a
constant of the face, and 1 - V is a sum of positive terms: nothing cancels, and no gradient divides by 1 - V.

Each loop runs over the lanes ``first`` to ``last``, the pixels of some rows of the tile, and becomes vector
instructions. For that the indices are unsigned (a signed one is tested for wrap-around), the number of turns is unknown
to the compiler (a known one is unrolled too early), and the scratch is one flat array with constant distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from labkit.render.raster.fastmath import FAST, HALF, ONE, ZERO, exp, sigmoid_parts

SIDE = 16  # pixels along a tile
AREA = np.uint64(SIDE * SIDE)
TINY = np.float32(1e-37)
CLEAR_FLOOR = np.float32(1e-25)  # prod(1 - V) below this is opaque; smaller numbers would become denormal and slow
FLUSH = np.float32(1e-15)  # a coverage or weight below this is nothing, for the same reason
BEND = np.float32(0.01**2)  # reference.CLAMP_WIDTH squared

# Slots of the scratch, AREA numbers each: where the lanes lie, from the middle of the tile's part of the image (there
# float32 keeps most digits), what the current face leaves there, and the pixels.
COLUMN, ROW, SCALE, WEIGHT, SHADE, LEVEL, TOTAL = (np.uint64(k) * AREA for k in range(7))
CORNER, RAMP, CLAMPED, EDGE = (np.uint64(k) * AREA for k in (7, 10, 13, 16))  # three slots each
TOP, SUM, CLEAR, DOT, COLOR = (np.uint64(k) * AREA for k in range(19, 24))

# Slots of the gradient of a face: a, b, c of the three edges, the logit, the log presence, the values; then, if values
# are interpolated, a, b, c of the three barycentric coordinates, the three inverse depths and the three logit slopes.
LOGIT_SLOT, PRESENCE_SLOT, VALUE_SLOT, DETAIL_SLOTS = 9, 10, 11, 15


@njit(**FAST)
def start(functions: Any, face: int, x: float, y: float, pitch: float, exact: Any, steps: Any) -> None:
    """Write the three linear functions of a face as ones of the tile's columns and rows around its middle x, y.

    ``exact`` (3, 3) in float64 and ``steps`` (3, 3) in float32 get the step per column, per row, and the middle value.
    """
    for i in range(3):
        a, b, c = functions[face, i, 0], functions[face, i, 1], functions[face, i, 2]
        exact[i, 0], exact[i, 1], exact[i, 2] = a * pitch, -b * pitch, a * x + b * y + c
        for j in range(3):
            steps[i, j] = exact[i, j]


@njit(**FAST)
def _soft_clamp(b: Any) -> tuple[Any, Any]:
    """reference.smooth_clamp without cancellation, and its slope."""
    r = np.sqrt(b * b + BEND)
    h = HALF * (b + r) if b > ZERO else HALF * BEND / (r - b)
    return h, h / r


@njit(**FAST)
def interpolate(tile: Any, first: Any, last: Any, c: Any, face: int, inverse_depth: Any, slope: Any) -> None:
    """Interpolation weights of the three corners at each lane, and the logit that they add."""
    q0, q1, q2 = inverse_depth[face, 0], inverse_depth[face, 1], inverse_depth[face, 2]
    s0, s1, s2 = slope[face, 0], slope[face, 1], slope[face, 2]
    for lane in range(first, last):
        x, y = tile[COLUMN + lane], tile[ROW + lane]
        h0, ramp0 = _soft_clamp(c[0, 0] * x + c[0, 1] * y + c[0, 2])
        h1, ramp1 = _soft_clamp(c[1, 0] * x + c[1, 1] * y + c[1, 2])
        h2, ramp2 = _soft_clamp(c[2, 0] * x + c[2, 1] * y + c[2, 2])
        w0, w1, w2 = h0 * q0, h1 * q1, h2 * q2
        total = ONE / (w0 + w1 + w2)
        w0, w1, w2 = w0 * total, w1 * total, w2 * total
        tile[CORNER + lane], tile[CORNER + AREA + lane], tile[CORNER + AREA + AREA + lane] = w0, w1, w2
        tile[RAMP + lane], tile[RAMP + AREA + lane], tile[RAMP + AREA + AREA + lane] = ramp0, ramp1, ramp2
        tile[CLAMPED + lane], tile[CLAMPED + AREA + lane], tile[CLAMPED + AREA + AREA + lane] = h0, h1, h2
        tile[TOTAL + lane] = total
        tile[LEVEL + lane] = w0 * s0 + w1 * s1 + w2 * s2


@njit(**FAST)
def forward(tile: Any, first: Any, last: Any, c: Any, logit: Any, presence: Any, face: int, values: Any) -> None:
    """Stream one face: update the running log-sum-exp, prod(1 - V) and the colour sums."""
    absence = ONE - presence
    a0, b0, c0, a1, b1, c1, a2, b2, c2 = c[0, 0], c[0, 1], c[0, 2], c[1, 0], c[1, 1], c[1, 2], c[2, 0], c[2, 1], c[2, 2]
    for lane in range(first, last):
        x, y = tile[COLUMN + lane], tile[ROW + lane]
        x0, x1, x2 = a0 * x + b0 * y + c0, a1 * x + b1 * y + c1, a2 * x + b2 * y + c2
        p0, m0, n0 = sigmoid_parts(x0)
        p1, m1, n1 = sigmoid_parts(x1)
        p2, m2, n2 = sigmoid_parts(x2)
        inverse = ONE / (n0 * n1 * n2)
        mixed = p0 * (m1 * n2 + p1 * m2) + m0 * (p1 * n2 + m1 * p2)  # n0 n1 n2 (1 - V)
        tile[CLEAR + lane] = max(tile[CLEAR + lane] * (presence * mixed * inverse + absence), CLEAR_FLOOR)
        level = logit + tile[LEVEL + lane] + min(x0, ZERO) + min(x1, ZERO) + min(x2, ZERO)
        top = tile[TOP + lane]
        step = exp(-abs(level - top))
        scale = step if level > top else ONE
        weight = inverse if level > top else step * inverse
        tile[TOP + lane] = max(level, top)
        tile[SUM + lane] = tile[SUM + lane] * scale + weight
        tile[SCALE + lane] = scale
        tile[WEIGHT + lane] = weight
    corners = values.shape[1]
    for channel in range(values.shape[2]):
        color = COLOR + np.uint64(channel) * AREA
        v0, v1, v2 = (
            values[face, 0, channel],
            values[face, corners // 2, channel],
            values[face, corners - 1, channel],
        )
        if corners == 1:
            for lane in range(first, last):
                tile[color + lane] = tile[color + lane] * tile[SCALE + lane] + tile[WEIGHT + lane] * v0
        else:
            for lane in range(first, last):
                value = tile[CORNER + lane] * v0 + tile[CORNER + AREA + lane] * v1
                value += tile[CORNER + AREA + AREA + lane] * v2
                tile[color + lane] = tile[color + lane] * tile[SCALE + lane] + tile[WEIGHT + lane] * value


@njit(**FAST)
def backward(
    tile: Any, first: Any, last: Any, c: Any, logit: Any, k: Any, presence: Any, face: int, values: Any
) -> None:
    """Recompute one face and leave at each lane: Z in WEIGHT, and gradients, of the x_i in EDGE, of the logit in SHADE,
    of the log presence in SCALE.

    The tile holds the finished sums: TOP and 1 / SUM of the log-sum-exp, in CLEAR the gradient of log prod(1 - V), in
    COLOR that of the mean attribute, and in DOT its product with the mean attribute.
    """
    a0, b0, c0, a1, b1, c1, a2, b2, c2 = c[0, 0], c[0, 1], c[0, 2], c[1, 0], c[1, 1], c[1, 2], c[2, 0], c[2, 1], c[2, 2]
    for lane in range(first, last):
        tile[SHADE + lane] = -tile[DOT + lane]
    corners = values.shape[1]
    for channel in range(values.shape[2]):
        color = COLOR + np.uint64(channel) * AREA
        v0, v1, v2 = (
            values[face, 0, channel],
            values[face, corners // 2, channel],
            values[face, corners - 1, channel],
        )
        if corners == 1:
            for lane in range(first, last):
                tile[SHADE + lane] += tile[color + lane] * v0
        else:
            for lane in range(first, last):
                value = tile[CORNER + lane] * v0 + tile[CORNER + AREA + lane] * v1
                value += tile[CORNER + AREA + AREA + lane] * v2
                tile[SHADE + lane] += tile[color + lane] * value
    absence = ONE - presence
    unanimous = ONE / (ONE + k)  # share of prod sigma(x_i) in V, the rest being prod sigma(-x_i)
    for lane in range(first, last):
        x, y = tile[COLUMN + lane], tile[ROW + lane]
        x0, x1, x2 = a0 * x + b0 * y + c0, a1 * x + b1 * y + c1, a2 * x + b2 * y + c2
        p0, m0, n0 = sigmoid_parts(x0)
        p1, m1, n1 = sigmoid_parts(x1)
        p2, m2, n2 = sigmoid_parts(x2)
        inverse = ONE / (n0 * n1 * n2)
        level = logit + tile[LEVEL + lane] + min(x0, ZERO) + min(x1, ZERO) + min(x2, ZERO)
        weight = exp(min(level - tile[TOP + lane], ZERO)) * inverse * tile[SUM + lane]
        weight = weight if weight > FLUSH else ZERO
        to_v = weight * tile[SHADE + lane]
        mixed = p0 * (m1 * n2 + p1 * m2) + m0 * (p1 * n2 + m1 * p2)  # n0 n1 n2 (1 - V)
        to_u = tile[CLEAR + lane] * presence / (presence * mixed + absence * (n0 * n1 * n2) + TINY)
        inner, outer = p0 * p1 * p2, m0 * m1 * m2
        all_in = inner * to_u if inner > FLUSH else ZERO
        all_out = outer * to_u if outer > FLUSH else ZERO
        same, other = unanimous * to_v - all_in, (ONE - unanimous) * to_v - all_out
        tile[SCALE + lane] = to_v - all_in - all_out
        tile[EDGE + lane] = (same * m0 - other * p0) * (n1 * n2 * inverse)
        tile[EDGE + AREA + lane] = (same * m1 - other * p1) * (n0 * n2 * inverse)
        tile[EDGE + AREA + AREA + lane] = (same * m2 - other * p2) * (n0 * n1 * inverse)
        tile[WEIGHT + lane] = weight
        tile[SHADE + lane] = to_v


@njit(**FAST)
def backward_corner(
    tile: Any, first: Any, last: Any, corner: Any, face: int, values: Any, inverse_depth: Any, slope: Any
) -> None:
    """Leave at each lane, for one corner: in SCALE the gradient of its barycentric coordinate, in LEVEL that of 1 / z.

    With weights w_i = h_i q_i / T, T = sum_k h_k q_k, a gradient G_i of w_i reaches h_i q_i as
    (G_i - sum_k w_k G_k) / T = sum_k w_k (G_i - G_k) / T.
    """
    for lane in range(first, last):
        tile[SCALE + lane] = ZERO
    for other in range(3):
        at = CORNER + np.uint64(other) * AREA
        rise = slope[face, corner] - slope[face, other]
        for lane in range(first, last):
            tile[SCALE + lane] += tile[at + lane] * rise * tile[SHADE + lane]
        for channel in range(values.shape[2]):
            color = COLOR + np.uint64(channel) * AREA
            rise = values[face, corner, channel] - values[face, other, channel]
            for lane in range(first, last):
                tile[SCALE + lane] += tile[at + lane] * rise * tile[WEIGHT + lane] * tile[color + lane]
    at = np.uint64(corner) * AREA
    for lane in range(first, last):
        share = tile[SCALE + lane] * tile[TOTAL + lane]
        tile[LEVEL + lane] = share * tile[CLAMPED + at + lane]
        tile[SCALE + lane] = share * inverse_depth[face, corner] * tile[RAMP + at + lane]


@njit(error_model="numpy", fastmath=True)  # sums may be reordered: that is what makes them vector instructions
def dot(tile: Any, first: Any, last: Any, one: Any, two: Any) -> float:
    """Sum over the lanes of the product of two slots."""
    total = ZERO
    for lane in range(first, last):
        total += tile[one + lane] * tile[two + lane]
    return float(total)


@njit(error_model="numpy", fastmath=True)
def total(tile: Any, first: Any, last: Any, slot: Any) -> float:
    """Sum over the lanes of one slot."""
    found = ZERO
    for lane in range(first, last):
        found += tile[slot + lane]
    return float(found)


@njit(**FAST)
def add_moments(
    sums: Any, face: int, at: int, tile: Any, first: Any, last: Any, slot: Any, x: float, y: float, pitch: float
) -> None:
    """Add to three numbers from ``at`` the gradient of a linear function whose values have theirs in ``slot``."""
    alone = total(tile, first, last, slot)
    sums[face, at] += dot(tile, first, last, slot, COLUMN) * pitch + x * alone
    sums[face, at + 1] += y * alone - dot(tile, first, last, slot, ROW) * pitch
    sums[face, at + 2] += alone
