"""Numbers that change over a fit."""

from __future__ import annotations


def geometric(start: float, stop: float, progress: float) -> float:
    """From ``start`` to ``stop``, both positive, by equal factors: ``start (stop / start)^progress``.

    Args:
        start: at progress 0.
        stop: at progress 1.
        progress: in [0, 1].
    """
    return start * (stop / start) ** progress
