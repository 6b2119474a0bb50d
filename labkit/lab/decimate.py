"""Meshes small enough for a live preview."""

from __future__ import annotations

import numpy as np


def cluster(vertices: np.ndarray, faces: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertex clustering on a cubic grid (Rossignac and Borrel 1993), coarsened until at most ``limit`` vertices remain.

    Args:
        vertices: (V, 3), finite.
        faces: (F, 3) vertex indices.
        limit: most vertices wanted, at least 1.

    Returns:
        (representative (K,), faces (G, 3)): for each cluster the vertex that stands for it, and the faces that still
        have three corners, in cluster numbers.
    """
    if len(vertices) <= limit:
        return np.arange(len(vertices)), faces
    low = vertices.min(0)
    extent = max(float((vertices.max(0) - low).max()), float(np.finfo(np.float32).tiny))
    cells = 4 * int(np.sqrt(limit)) + 2  # a surface fills about cells^2 of the cells^3
    while True:
        cells = max(1, cells * 4 // 5)
        grid = np.minimum((vertices - low) / extent * cells, cells - 1).astype(np.int64)  # (V, 3)
        key = (grid[:, 0] * cells + grid[:, 1]) * cells + grid[:, 2]
        _, representative, member = np.unique(key, return_index=True, return_inverse=True)
        if len(representative) <= limit:
            break
    moved = member[faces]  # (F, 3)
    moved = moved[(moved[:, 0] != moved[:, 1]) & (moved[:, 1] != moved[:, 2]) & (moved[:, 2] != moved[:, 0])]
    _, first = np.unique(np.sort(moved, axis=1), axis=0, return_index=True)
    return representative, moved[np.sort(first)]
