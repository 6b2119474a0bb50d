"""Bilinear texture lookup for one pixel and one face: the scalar twin of `labkit.scene.sample_texture`."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from labkit.render.raster.kernel_cpu_coverage import PLAIN

TINTED = 3  # channels that a texture multiplies


@njit(**PLAIN)
def _inside(index: int, length: int, tile: bool) -> int:
    return index % length if tile else min(max(index, 0), length - 1)


@njit(**PLAIN)
def taps_at(u: float, v: float, height: int, width: int, tile: bool) -> Any:
    """Rows, columns and fractions of the four texels around (u, v); ``tile`` repeats the texture."""
    across, down = u * width - 0.5, (1 - v) * height - 0.5
    left, top = math.floor(across), math.floor(down)
    return (
        _inside(int(top), height, tile),
        _inside(int(top) + 1, height, tile),
        _inside(int(left), width, tile),
        _inside(int(left) + 1, width, tile),
        across - left,
        down - top,
    )


@njit(**PLAIN)
def look_up(texture: Any, channel: int, taps: Any) -> float:
    """The texture (3, H, W) between its four texels."""
    top, bottom, left, right, across, down = taps
    upper = texture[channel, top, left] * (1 - across) + texture[channel, top, right] * across
    lower = texture[channel, bottom, left] * (1 - across) + texture[channel, bottom, right] * across
    return upper * (1 - down) + lower * down


@njit(**PLAIN)
def tint(to_texture: Any, texture: Any, channel: int, taps: Any, gradient: float) -> tuple[float, float]:
    """Add the gradient of a lookup to that of the texture; return the gradients of u and v."""
    top, bottom, left, right, across, down = taps
    to_texture[channel, top, left] += gradient * (1 - across) * (1 - down)
    to_texture[channel, top, right] += gradient * across * (1 - down)
    to_texture[channel, bottom, left] += gradient * (1 - across) * down
    to_texture[channel, bottom, right] += gradient * across * down
    upper = texture[channel, top, right] - texture[channel, top, left]
    lower = texture[channel, bottom, right] - texture[channel, bottom, left]
    before = texture[channel, bottom, left] - texture[channel, top, left]
    behind = texture[channel, bottom, right] - texture[channel, top, right]
    return (
        gradient * texture.shape[2] * (upper * (1 - down) + lower * down),
        -gradient * texture.shape[1] * (before * (1 - across) + behind * across),
    )
