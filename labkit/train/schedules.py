"""Numbers that change over a fit or a training."""

from __future__ import annotations


def geometric(start: float, stop: float, progress: float) -> float:
    """From ``start`` to ``stop``, both positive, by equal factors: ``start (stop / start)^progress``.

    Args:
        start: at progress 0.
        stop: at progress 1.
        progress: in [0, 1].
    """
    return start * (stop / start) ** progress


def halved(number: int, every: int) -> float:
    """What is left of 1 at step ``number`` if it halves after every ``every`` steps; all of it where that is 0."""
    return 0.5 ** (number // every) if every else 1.0
