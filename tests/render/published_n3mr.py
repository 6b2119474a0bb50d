"""The gradient rule of the Neural 3D Mesh Renderer as it was published, pixel by pixel: an independent oracle."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def by_the_book(corners: np.ndarray, seen: np.ndarray, image: np.ndarray, incoming: np.ndarray, eps: float) -> Tensor:
    """Gradient (F, 3, 2) of the corners (F, 3, 2), given in NDC, of a square picture.

    ``seen`` (N, N) names the face of each pixel; ``image`` and its gradient ``incoming`` are (N, N, C). All three are
    indexed [y, x], upwards. No pixel centre may lie exactly on an edge.
    """
    n = len(seen)
    gradient = np.zeros((len(corners), 3, 2))

    def crossing(p: tuple[float, float], q: tuple[float, float], d0: int) -> float:
        return (q[1] - p[1]) / (q[0] - p[0]) * (d0 - p[0]) + p[1]

    for name, face in enumerate(corners):
        (x0, y0), (x1, y1), (x2, y2) = face
        front = (x1 - x0) * (y2 - y0) > (y1 - y0) * (x2 - x0)
        for edge in range(3):
            turn = [edge, (edge + 1) % 3, (edge + 2) % 3] if front else [edge, (edge + 2) % 3, (edge + 1) % 3]
            for axis in (0, 1):
                p, q, r = (((face[k][axis] * n + n - 1) / 2, (face[k][1 - axis] * n + n - 1) / 2) for k in turn)
                way = (-1 if axis == 0 else 1) * (1 if p[0] < q[0] else -1)
                for d0 in range(max(0, math.ceil(min(p[0], q[0]))), min(n - 1, math.floor(max(p[0], q[0]))) + 1):
                    line = [(d1, d0) if axis == 0 else (d0, d1) for d1 in range(n)]
                    cross = crossing(p, q, d0)
                    d1_in = math.floor(cross) if way > 0 else math.ceil(cross)
                    d1_out = d1_in + way
                    if min(d1_in, d1_out) < 0 or max(d1_in, d1_out) >= n:
                        continue
                    events = []
                    if seen[line[d1_in]] == name:
                        events += [(d1, d1_in) for d1 in (range(d1_out, n) if way > 0 else range(d1_out + 1))]
                    opposite = crossing(p, r, d0) if (d0 - p[0]) * (d0 - r[0]) < 0 else crossing(q, r, d0)
                    limit = math.ceil(opposite) if way > 0 else math.floor(opposite)
                    first, last = max(0, min(d1_in, limit)), min(n - 1, max(d1_in, limit))
                    events += [(d1, d1_out) for d1 in range(first, last + 1) if seen[line[d1]] == name]
                    for d1, other in events:
                        diff = float(((image[line[d1]] - image[line[other]]) * incoming[line[d1]]).sum())
                        if diff <= 0:
                            continue
                        for k, arm in ((0, q[0] - d0), (1, d0 - p[0])):
                            dist = (q[0] - p[0]) / arm * (d1 - cross) * 2 / n
                            gradient[name, turn[k], 1 - axis] -= diff / (dist + math.copysign(eps, dist))
    return torch.from_numpy(gradient)
