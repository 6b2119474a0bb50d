"""Deferred shading: first what each pixel sees, then texture and light, once for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.scene import Light, Material, sample_texture, shade
from labkit.scene.textures import Wrap


def shade_pixels(
    seen: Tensor,
    texture: Tensor | None,
    eye: Tensor,
    material: Material,
    lights: Sequence[Light],
    smooth: bool = False,
    wrap: Wrap = "repeat",
) -> Tensor:
    """Light the surface points that the pixels of a picture see (the fragment shader of DIB-R, section 3.3).

    Args:
        seen: (B, 10, H, W) albedo (or u, v and 0 where there is a texture), world normal of any length, view depth and
            world position; zeros where a pixel sees nothing.
        texture: (3, H', W'), or None.
        eye: world position, (3,) or (B, 3).
        material, lights, smooth: see `labkit.scene.shade`.
        wrap: see `labkit.scene.sample_texture`.

    Returns:
        (B, 3, H, W), black where a pixel sees nothing.
    """
    surface, normal, depth, point = seen.movedim(1, -1).split((3, 3, 1, 3), dim=-1)  # (B, H, W, 3 or 1)
    albedo = surface if texture is None else sample_texture(texture, surface[..., :2], wrap)
    color = shade(point, normal, eye, albedo, material, lights, smooth)
    return torch.where(depth > 0, color, 0.0).movedim(-1, 1)
