"""The streaming CPU kernel of the distance family (SoftRas, GenDR, DIB-R's alpha), forward and backward.

A thread owns a band of rows and streams all faces through it in the order of their index, each over the pixels of its
bounding box grown by its reach: the distance beyond which its coverage falls to the cutoff. So nothing that counts is
left out, and nothing is kept per pixel and face. A pixel keeps the running log-sum-exp of the colours, which the
background's logit begins, and the running sum of the t-conorm's generator. Backward recomputes the pairs.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from labkit.render.raster import kernel_cpu_coverage, kernel_cpu_texture
from labkit.render.raster.kernel_cpu_coverage import HARD, PLAIN, PROBABILISTIC, TINY, coverage, generator
from labkit.render.raster.kernel_cpu_texture import TINTED, look_up, taps_at, tint

BAND = 16  # rows that a thread fills at a time
SPECK, TOUCH, NOWHERE = 1e-12, 1e-12, 1e12  # as in family.py and distances.py
LINEAR, SQUARED, BARYCENTRIC = 0, 1, 2
# Where the gradients of a face stand in its row of sums; the values' gradients follow.
LINES, CORNER_WEIGHTS, CORNERS, DEPTHS, SCALE, GAMMA, VALUES = 0, 9, 18, 24, 27, 28, 29


@njit(**PLAIN)
def _to_edge(x: float, y: float, ax: float, ay: float, bx: float, by: float, line: float) -> float:
    """Squared distance of a pixel to the line through a and b, or infinity where its foot is not between them."""
    dx, dy = bx - ax, by - ay
    along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + TOUCH * TOUCH)
    return line * line if 0 < along < 1 else np.inf


@njit(**PLAIN)
def _least(a: float, b: float, c: float) -> tuple[float, int]:
    """The least of three numbers and its place."""
    if a <= b and a <= c:
        return a, 0
    return (b, 1) if b <= c else (c, 2)


@njit(**PLAIN)
def _distance(kind: int, l0: float, l1: float, l2: float, flat: bool, k: Any, x: float, y: float) -> tuple[float, int]:
    """Signed distance of a pixel (see `distances.signed_distance`) and the place on the face that it is measured from:
    0 to 2 an edge, 3 to 5 a corner. The corners ``k`` are x and y of each."""
    least, place = _least(l0, l1, l2)
    if least >= 0 and not flat:
        return (least * least if kind == SQUARED else least), place
    edge, place = _least(
        _to_edge(x, y, k[2], k[3], k[4], k[5], l0),
        _to_edge(x, y, k[4], k[5], k[0], k[1], l1),
        _to_edge(x, y, k[0], k[1], k[2], k[3], l2),
    )
    apart, corner = _least(
        (k[0] - x) ** 2 + (k[1] - y) ** 2, (k[2] - x) ** 2 + (k[3] - y) ** 2, (k[4] - x) ** 2 + (k[5] - y) ** 2
    )
    if apart < edge:
        return (-apart if kind == SQUARED else -math.sqrt(apart + TOUCH * TOUCH)) - TOUCH * TOUCH, 3 + corner
    return (-edge if kind == SQUARED else -math.sqrt(edge)) - TOUCH * TOUCH, place


@njit(**PLAIN)
def _box(k: Any, reach: float, grown: float, box: float) -> tuple[float, float, float, float]:
    """Least and greatest x and y of the pixels that a face may reach: its triangle enlarged by the factor ``grown``
    about its middle and then by ``reach`` on all sides, within ``box`` of its own bounding box."""
    low_x, high_x = min(k[0], k[2], k[4]), max(k[0], k[2], k[4])
    low_y, high_y = min(k[1], k[3], k[5]), max(k[1], k[3], k[5])
    more_x, more_y = reach + (grown - 1) * (high_x - low_x), reach + (grown - 1) * (high_y - low_y)
    more_x, more_y = min(more_x, box), min(more_y, box)
    return low_x - more_x, high_x + more_x, low_y - more_y, high_y + more_y


@njit(**PLAIN)
def _first(low: float, length: int, pitch: float) -> int:
    """First of ``length`` pixels in a row of which the centre is not below ``low``, with one to spare."""
    return int(min(max(low / pitch + 0.5 * (length - 1), 0.0), float(length)))


@njit(**PLAIN)
def _linear(functions: Any, face: int) -> Any:
    """The three linear functions of a face, each as its triple."""
    return (
        (functions[face, 0, 0], functions[face, 0, 1], functions[face, 0, 2]),
        (functions[face, 1, 0], functions[face, 1, 1], functions[face, 1, 2]),
        (functions[face, 2, 0], functions[face, 2, 1], functions[face, 2, 2]),
    )


@njit(**PLAIN)
def _corners(corners: Any, face: int) -> Any:
    """x and y of the three corners of a face."""
    (x0, y0), (x1, y1), (x2, y2) = (
        (corners[face, 0, 0], corners[face, 0, 1]),
        (corners[face, 1, 0], corners[face, 1, 1]),
        (corners[face, 2, 0], corners[face, 2, 1]),
    )
    return x0, y0, x1, y1, x2, y2


@njit(**PLAIN)
def _clip(weight: float) -> float:
    return min(max(weight, 0.0), 1.0) + SPECK


@njit(**PLAIN)
def _add(sums: Any, face: int, at: int, gradient: float, x: float, y: float) -> None:
    """Add the gradient of a linear function's value at a pixel to those of its three coefficients."""
    sums[face, at] += gradient * x
    sums[face, at + 1] += gradient * y
    sums[face, at + 2] += gradient


@njit(**PLAIN)
def _mean(values: Any, face: int, column: int, w0: float, w1: float, w2: float) -> float:
    """A value of a face, interpolated between its corners."""
    return w0 * values[face, 0, column] + w1 * values[face, 1, column] + w2 * values[face, 2, column]


@njit(**PLAIN)
def _spread(sums: Any, face: int, at: int, columns: int, gradient: float, w0: float, w1: float, w2: float) -> None:
    """Add the gradient of an interpolated value to those of its three corners."""
    sums[face, at] += w0 * gradient
    sums[face, at + columns] += w1 * gradient
    sums[face, at + 2 * columns] += w2 * gradient


@njit(nogil=True, **PLAIN)
def _stream(thread: int, threads: int, faces: Any, model: Any, images: Any, gradients: Any, slopes: Any) -> int:
    """See `stream`."""
    lines, barycentric, corners, depths, values, flat, texture = faces
    kind, distribution, shape, conorm, p, cutoff, scale, gamma, near, far, behind, lowest, box, most, affine, tile = (
        model
    )
    sums, to_texture = slopes
    picture, share, tops, totals = images
    to_picture, to_dot, to_total = gradients
    reverse = len(to_total) > 0
    channels, columns = len(picture), values.shape[2]  # the last two columns are u and v if there is a texture
    textured = columns > channels
    height, width = totals.shape
    shorter = min(height, width)
    pitch = 2.0 / shorter
    reach, grown = math.sqrt(-lowest * scale), 1.0
    if kind == LINEAR:
        reach = -lowest * scale
    elif kind == BARYCENTRIC:
        reach, grown = 0.0, 1 + 3 * reach
    top, total = np.empty((BAND, width)), np.empty((BAND, width))
    combined, taken = np.empty((BAND, width)), np.empty((BAND, width), np.int64)
    color = np.empty((BAND, width, channels))
    covered = conorm == PROBABILISTIC
    empty = 1.0 if covered else 0.0  # what is kept is the product of the 1 - D
    faintest = math.log(cutoff) - 40 if cutoff > 0 else -np.inf  # nothing beside the nearest, whose D may be the cutoff
    pairs = 0
    for band in range(thread, -(-height // BAND), threads):
        start = band * BAND
        rows = min(BAND, height - start)
        top[:], total[:], combined[:], taken[:], color[:] = behind / gamma, 1.0, empty, 0, 0.0
        for face in range(len(lines)):
            k = _corners(corners, face)
            low_x, high_x, low_y, high_y = _box(k, reach, grown, box)
            begin = max(start, height - _first(high_y, height, pitch) - 2)
            end = min(start + rows, height - _first(low_y, height, pitch))
            if begin >= end:
                continue
            left, right = _first(low_x, width, pitch), min(width, _first(high_x, width, pitch) + 2)
            (la0, lb0, lc0), (la1, lb1, lc1), (la2, lb2, lc2) = _linear(lines, face)
            (wa0, wb0, wc0), (wa1, wb1, wc1), (wa2, wb2, wc2) = _linear(barycentric, face)
            z0, z1, z2, is_flat = depths[face, 0], depths[face, 1], depths[face, 2], flat[face]
            q0, q1, q2 = (1.0, 1.0, 1.0) if affine else (1 / z0, 1 / z1, 1 / z2)
            for i in range(begin, end):
                y = (height - 1 - 2 * i) / shorter
                r = i - start
                for j in range(left, right):
                    x = (2 * j + 1 - width) / shorter
                    if x < low_x or x > high_x or y < low_y or y > high_y or taken[r, j] >= most:
                        continue
                    taken[r, j] += 1
                    if channels == 0 and (to_total[i, j] == 0 if reverse else covered and combined[r, j] == 0):
                        continue  # nothing can change any more
                    b0, b1, b2 = wa0 * x + wb0 * y + wc0, wa1 * x + wb1 * y + wc1, wa2 * x + wb2 * y + wc2
                    l0, l1, l2 = la0 * x + lb0 * y + lc0, la1 * x + lb1 * y + lc1, la2 * x + lb2 * y + lc2
                    if kind == BARYCENTRIC:
                        least, place = _least(b0, b1, b2)
                        distance = -NOWHERE if is_flat else least * abs(least)
                    elif min(l0, l1, l2) < -reach and not is_flat:
                        continue
                    else:
                        distance, place = _distance(kind, l0, l1, l2, is_flat, k, x, y)
                    v = distance / scale
                    if v < lowest:
                        continue
                    d, c, density = coverage(distribution, v, shape)
                    if d <= cutoff:
                        continue
                    pairs += 1
                    leads = d > combined[r, j]  # asked for the maximum only: the first face that reaches it
                    if conorm == PROBABILISTIC:
                        steep = 1 / c if c > TINY else 0.0
                        combined[r, j] *= c
                    else:
                        g, steep = generator(conorm, d, c, p)
                        if conorm == 0 or conorm == HARD:
                            combined[r, j] = max(combined[r, j], g)
                        else:
                            combined[r, j] += g
                    to_v = to_total[i, j] * steep * density if reverse else 0.0
                    if conorm == 0 and reverse and not (leads and d == totals[i, j]):
                        to_v = 0.0
                    seen = channels > 0
                    if seen:
                        h0, h1, h2 = _clip(b0), _clip(b1), _clip(b2)
                        w0, w1, w2 = h0 * q0, h1 * q1, h2 * q2
                        whole = 1 / (w0 + w1 + w2)
                        w0, w1, w2 = w0 * whole, w1 * whole, w2 * whole
                        depth = w0 * z0 + w1 * z1 + w2 * z2
                        closeness = (far - depth) / (far - near)
                        level = closeness / gamma - (tops[i, j] if reverse else top[r, j])
                        seen = level > faintest
                    if seen and textured:
                        u = _mean(values, face, channels, w0, w1, w2)
                        taps = taps_at(
                            u, _mean(values, face, channels + 1, w0, w1, w2), texture.shape[1], texture.shape[2], tile
                        )
                    if seen and not reverse:
                        if level > 0:
                            shrink = math.exp(-level)
                            top[r, j] += level
                            total[r, j] *= shrink
                            for m in range(channels):
                                color[r, j, m] *= shrink
                        part = d * math.exp(min(level, 0.0))
                        total[r, j] += part
                        for m in range(channels):
                            value = _mean(values, face, m, w0, w1, w2)
                            if textured and m < TINTED:
                                value *= look_up(texture, m, taps)
                            color[r, j, m] += part * value
                    if not reverse:
                        continue
                    if seen:
                        share_f = d * math.exp(level)
                        g0 = g1 = g2 = 0.0  # of the share times the corner weights
                        to_u = to_t = 0.0
                        for m in range(channels):
                            incoming = to_picture[m, i, j]
                            if textured and m < TINTED:
                                value = _mean(values, face, m, w0, w1, w2)
                                across, down = tint(to_texture, texture, m, taps, share_f * incoming * value)
                                to_u, to_t = to_u + across, to_t + down
                                incoming *= look_up(texture, m, taps)
                            g0 += values[face, 0, m] * incoming
                            g1 += values[face, 1, m] * incoming
                            g2 += values[face, 2, m] * incoming
                            incoming *= share_f
                            _spread(sums, face, VALUES + m, columns, incoming, w0, w1, w2)
                        mean = w0 * g0 + w1 * g1 + w2 * g2
                        to_level = share_f * (mean - to_dot[i, j])
                        to_v += to_level * density / d
                        sums[face, GAMMA] += to_level * closeness
                        to_depth = -to_level / (gamma * (far - near))
                        g0, g1, g2 = (
                            share_f * g0 + to_depth * z0,
                            share_f * g1 + to_depth * z1,
                            share_f * g2 + to_depth * z2,
                        )
                        if textured:
                            g0 += values[face, 0, channels] * to_u + values[face, 0, channels + 1] * to_t
                            g1 += values[face, 1, channels] * to_u + values[face, 1, channels + 1] * to_t
                            g2 += values[face, 2, channels] * to_u + values[face, 2, channels + 1] * to_t
                            _spread(sums, face, VALUES + channels, columns, to_u, w0, w1, w2)
                            _spread(sums, face, VALUES + channels + 1, columns, to_t, w0, w1, w2)
                        mean = w0 * g0 + w1 * g1 + w2 * g2
                        # gradients of h q, before their sum was divided by
                        g0, g1, g2 = (g0 - mean) * whole, (g1 - mean) * whole, (g2 - mean) * whole
                        fall = 0.0 if affine else 1.0  # q = 1 / z falls by q^2
                        sums[face, DEPTHS] += to_depth * w0 - fall * g0 * h0 * q0 * q0
                        sums[face, DEPTHS + 1] += to_depth * w1 - fall * g1 * h1 * q1 * q1
                        sums[face, DEPTHS + 2] += to_depth * w2 - fall * g2 * h2 * q2 * q2
                        _add(sums, face, CORNER_WEIGHTS, g0 * q0 if 0 <= b0 <= 1 else 0.0, x, y)
                        _add(sums, face, CORNER_WEIGHTS + 3, g1 * q1 if 0 <= b1 <= 1 else 0.0, x, y)
                        _add(sums, face, CORNER_WEIGHTS + 6, g2 * q2 if 0 <= b2 <= 1 else 0.0, x, y)
                    sums[face, SCALE] += to_v * v
                    to_distance = to_v / scale
                    if kind == BARYCENTRIC:
                        _add(sums, face, CORNER_WEIGHTS + 3 * place, to_distance * 2 * abs(least), x, y)
                    elif place < 3:
                        line = l0 if place == 0 else l1 if place == 1 else l2
                        rise = 2 * line if kind == SQUARED else 1.0 if distance >= 0 else np.sign(line)
                        _add(sums, face, LINES + 3 * place, to_distance * (rise if distance >= 0 else -rise), x, y)
                    else:
                        rise = to_distance * (-2.0 if kind == SQUARED else 1 / distance)
                        at = 2 * (place - 3)
                        sums[face, CORNERS + at] += rise * (corners[face, place - 3, 0] - x)
                        sums[face, CORNERS + at + 1] += rise * (corners[face, place - 3, 1] - y)
        if reverse:
            continue
        for i in range(start, start + rows):
            for j in range(width):
                r = i - start
                totals[i, j] = -math.log(combined[r, j]) if conorm == PROBABILISTIC else combined[r, j]
                tops[i, j] = top[r, j] + math.log(total[r, j])
                share[i, j] = math.exp(behind / gamma - tops[i, j])
                for k in range(channels):
                    picture[k, i, j] = color[r, j, k] / total[r, j]
    return pairs


def _cached(sources: int) -> Any:
    """Wrap the kernel for the cache on disk. Numba watches one file only; a changed closure makes it look again."""

    @njit(nogil=True, cache=True, **PLAIN)
    def stream(thread: int, threads: int, faces: Any, model: Any, images: Any, gradients: Any, slopes: Any) -> int:
        """Stream all faces through every ``threads``-th band of rows, starting with number ``thread``; all float64.

        Args:
            faces: signed distances to the three lines and barycentric coordinates as linear functions (F, 3, 3) each,
                corners (F, 3, 2), depths (F, 3), values (F, 3, C), which faces have no area (F,), and a texture
                (3, H', W'). With two more values than the picture has channels, the last two are u and v, and the
                first three are multiplied by the texture there.
            model: kind of distance, distribution, its shape, t-conorm, its p, cutoff, scale, gamma, near, far, the
                background's closeness, the least v with F(v) above the cutoff, NDC by which a box may grow, faces
                that a pixel takes at most, whether interpolation is affine, and whether the texture repeats.
            images: picture (C, H, W), the background's share, log-sum-exp and sum of generators (H, W) each; written
                in forward, read in backward.
            gradients: of the picture (C, H, W), of all logits' common part (H, W), and of the sum of generators (H, W),
                which is empty to run forward.
            slopes: gradients of the faces (F, slots) and of the texture, added to in backward.

        Returns:
            The number of pixel-face pairs that counted.
        """
        return _stream(thread, threads, faces, model, images, gradients, slopes) if sources else 0

    return stream


SOURCES = (kernel_cpu_coverage.__file__, kernel_cpu_texture.__file__)
stream = _cached(zlib.crc32(b"".join(Path(file).read_bytes() for file in SOURCES)))
