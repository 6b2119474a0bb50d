"""Positional encoding: sines of a vector at doubling frequencies, so that a network sees fine detail."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.errors import DomainError, check_tensor

MAX_FREQUENCIES = 16
"""2^16 turns a float32 coordinate near 1 into a phase that still has three digits."""


def encoded_size(frequencies: int) -> int:
    """Columns that `encode` makes: ``3 + 6 frequencies``.

    Raises:
        DomainError: not a whole number from 0 to 16.
    """
    whole = isinstance(frequencies, int) and not isinstance(frequencies, bool)
    if not whole or not 0 <= frequencies <= MAX_FREQUENCIES:
        raise DomainError("frequencies", frequencies, f"a whole number from 0 to {MAX_FREQUENCIES}")
    return 3 + 6 * frequencies


def encode(x: Tensor, frequencies: int) -> Tensor:
    """Return x itself, then ``sin(2^k x), cos(2^k x)`` for k = 0 ... frequencies - 1.

    Args:
        x: (N, 3), in units in which the scene is about 1 wide.
        frequencies: number of octaves; 0 gives x alone.

    Returns:
        (N, 3 + 6 frequencies): the three coordinates, then for each octave three sines and three cosines.

    Raises:
        DTypeError, ShapeError, DomainError: not (N, 3) floats, not finite, or no such number of octaves.

    Source: IDR, Yariv et al., 2020, section 4, after NeRF; the frequencies are not multiplied by pi. UDR has none.
    """
    check_tensor("x", x, "N 3")
    encoded_size(frequencies)
    return torch.cat([x, *(wave for _, sine, cosine in _octaves(x, frequencies) for wave in (sine, cosine))], -1)


def encode_with_jacobian(x: Tensor, frequencies: int) -> tuple[Tensor, Tensor]:
    """Return `encode` (N, E) and its Jacobian (3, N, E): entry [i, n] is the derivative of row n along axis i.

    Both are differentiable in x to any order. Arguments and errors as for `encode`.
    """
    check_tensor("x", x, "N 3")
    size = encoded_size(frequencies)
    waves, slopes = [x], [torch.ones_like(x)]
    for rate, sine, cosine in _octaves(x, frequencies):
        waves += [sine, cosine]
        slopes += [rate * cosine, -rate * sine]
    # Every column depends on one axis only, and the axes take turns.
    axis = torch.eye(3, dtype=x.dtype, device=x.device).repeat(1, size // 3)  # (3, E)
    return torch.cat(waves, -1), torch.cat(slopes, -1) * axis[:, None]


def _octaves(x: Tensor, frequencies: int) -> list[tuple[float, Tensor, Tensor]]:
    rates = [2.0**k for k in range(frequencies)]
    return [(rate, torch.sin(rate * x), torch.cos(rate * x)) for rate in rates]
