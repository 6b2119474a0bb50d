"""Textures: the one place where a picture is looked up at texture coordinates."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_device, check_tensor

Wrap = Literal["repeat", "clamp"]


class Texture(NamedTuple):
    """A picture (3, H, W) and what lies outside of it, as `sample_texture` takes them."""

    image: Tensor
    wrap: Wrap = "repeat"


def sample_texture(texture: Tensor, uv: Tensor, wrap: Wrap = "repeat") -> Tensor:
    """Look up a texture bilinearly.

    u points right and v up, [0, 1] spans the texture once, and the texel in column i of W has its centre at
    u = (i + 1/2) / W, the one in row j of H at v = 1 - (j + 1/2) / H. Differentiable to any order in both, except that
    the slope in uv jumps where u or v crosses a texel centre. (Torch's own ``grid_sample`` has no second derivative.)

    Args:
        texture: (3, H, W), or (B, 3, H, W) with one texture for each entry of ``uv``.
        uv: (..., 2), or (B, ..., 2).
        wrap: outside [0, 1] "repeat" tiles the plane seamlessly (at u = 0 the first and last column count half each),
            "clamp" continues the border.

    Returns:
        (..., 3) in the dtype of ``uv``.

    Raises:
        DomainError: NaN or infinity, or an unknown ``wrap``.
        ShapeError: sizes that do not fit, or a texture without a pixel.
        DTypeError, DeviceError: as the names say.
    """
    batched = isinstance(texture, Tensor) and texture.ndim == 4
    check_tensor("texture", texture, "B 3 H W" if batched else "3 H W")
    check_tensor("uv", uv, "... 2")
    check_device(texture=texture, uv=uv)
    height, width = texture.shape[-2:]
    if not height * width:
        raise ShapeError("texture", tuple(texture.shape), "at least one pixel")
    if batched and (uv.ndim < 2 or len(uv) != len(texture)):
        raise ShapeError("uv", tuple(uv.shape), f"({len(texture)}, ..., 2), one entry for each texture")
    if wrap not in ("repeat", "clamp"):
        raise DomainError("wrap", repr(wrap), "'repeat' or 'clamp'")
    texels = texture.to(uv.dtype).movedim(-3, 0).flatten(1)  # (3, H W) or (3, B H W)
    first = torch.zeros((), dtype=torch.int64, device=uv.device)  # index of the first texel of each entry's texture
    if batched:
        first = (torch.arange(len(uv), device=uv.device) * height * width).reshape(-1, *[1] * (uv.ndim - 2))
    across, down = uv[..., 0] * width - 0.5, (1 - uv[..., 1]) * height - 0.5  # (...,) in texels from the upper left one
    left, top = across.detach().floor(), down.detach().floor()

    def texel(row: Tensor, column: Tensor) -> Tensor:
        if wrap == "repeat":
            row, column = row.remainder(height), column.remainder(width)
        else:
            row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
        return texels[:, first + row.long() * width + column.long()]  # (3, ...)

    upper, lower = (torch.lerp(texel(row, left), texel(row, left + 1), across - left) for row in (top, top + 1))
    return torch.lerp(upper, lower, down - top).movedim(0, -1)
