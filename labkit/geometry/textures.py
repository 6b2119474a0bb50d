"""Texture pictures: bytes to arrays and back, with a cap on their size."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from labkit.errors import BackendError, FileError

MAX_PIXELS = 1 << 26  # 8192 x 8192; pictures of a few kilobytes can promise billions


def decode(data: bytes, name: str) -> NDArray[np.floating]:
    """Return the picture in ``data`` (PNG, JPEG, ...) as `pixels` does; ``name`` is its file, for messages.

    Raises:
        FileError: not a picture, truncated, or more than `MAX_PIXELS`.
        BackendError: Pillow is not installed.
    """
    pillow = _pillow()
    try:
        image = pillow.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise FileError(name, f"no usable picture ({error})", "a PNG or JPEG texture") from error
    return pixels(image, name)


def pixels(image: Any, name: str) -> NDArray[np.floating]:
    """Return an opened Pillow image as (H, W, 3) in [0, 1], row 0 on top; transparency is dropped.

    Raises:
        FileError: more than `MAX_PIXELS`, or the data is truncated or broken.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise FileError(name, f"a texture of {width} x {height} pixels", f"at most {MAX_PIXELS} pixels: shrink it")
    try:
        if image.mode.startswith("I"):  # 16 bits a pixel, grey; Pillow's own conversion to RGB clips at 255
            grey = np.asarray(image, dtype=np.float32)[..., None].repeat(3, axis=2)  # (H, W, 3)
            return np.clip(grey / np.float32(65535), 0, 1)
        return np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError) as error:
        raise FileError(name, f"a broken texture ({error})", "a complete PNG or JPEG picture") from error


def to_pillow(texture: Tensor) -> Any:
    """Return a (3, H, W) texture in [0, 1] as a Pillow image of 8 bits a channel."""
    values = texture.detach().cpu().numpy()
    return _pillow().fromarray(np.rint(np.moveaxis(values, 0, 2) * 255).astype(np.uint8))


def encode(texture: Tensor) -> bytes:
    """Return a (3, H, W) texture in [0, 1] as the bytes of a PNG of 8 bits a channel."""
    stream = io.BytesIO()
    to_pillow(texture).save(stream, format="PNG")
    return stream.getvalue()


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendError("texture", "no Pillow", 'pip install "labkit[geometry]"') from error
    return Image
