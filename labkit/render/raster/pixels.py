"""Where pixels lie: the one place that turns rows and columns into normalised device coordinates."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_centers(size: tuple[int, int], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Centres of all pixels in NDC, row by row from the top.

    The shorter image side spans [-1, 1], x points right and y up, so that pixels are square with the pitch
    2 / min(H, W).

    Args:
        size: (H, W) in pixels.

    Returns:
        (H * W, 2) x and y.
    """
    height, width = size
    shorter = min(height, width)
    x = (2 * torch.arange(width, dtype=dtype, device=device) + 1 - width) / shorter  # (W,)
    y = (height - 1 - 2 * torch.arange(height, dtype=dtype, device=device)) / shorter  # (H,)
    return torch.stack(torch.broadcast_tensors(x, y[:, None]), dim=-1).reshape(-1, 2)  # (H W, 2)


def to_image(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Reshape per-pixel values (B, H * W, C) to an image (B, C, H, W)."""
    return values.transpose(1, 2).unflatten(2, size)


def pixel_pitch(size: tuple[int, int]) -> float:
    """Width of one pixel in NDC."""
    return 2.0 / min(size)
