"""A picture of fixed size in the page that says which of its pixels the mouse is on."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import ipywidgets as W
import numpy as np
from ipyevents import Event
from PIL import Image
from torch import Tensor

from labkit.errors import DTypeError, ShapeError, check_size
from labkit.lab.closing import close_tree
from labkit.lab.scheduler import Quality

# Chromium would drag the picture itself away
NOT_DRAGGED = "-webkit-user-drag:none"
STYLE = f"<style>.labkit-pixels{{image-rendering:pixelated;object-fit:contain;cursor:crosshair;{NOT_DRAGGED}}}</style>"


def to_bytes(image: Tensor | np.ndarray) -> np.ndarray:
    """The picture as (H, W, 3) uint8.

    Args:
        image: (3, H, W), (1, H, W), (H, W, 3) or (H, W); uint8, or floats that are clipped to [0, 1], NaN shown as
            black. Of a shape that could be read both ways, such as (3, 5, 3), the channels are taken first.

    Raises:
        ShapeError, DTypeError: not a picture.
    """
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or not array.size:
        raise ShapeError("image", tuple(image.shape), "shape (3, H, W), (1, H, W), (H, W, 3) or (H, W)")
    if array.dtype.kind == "f":
        array = (np.nan_to_num(array, nan=0.0).clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise DTypeError("image", array.dtype, "uint8 or floats in [0, 1]")
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def encode(pixels: np.ndarray, quality: Quality) -> bytes:
    """(H, W, 3) uint8 as JPEG of quality 85 ("coarse") or PNG ("fine")."""
    stream = io.BytesIO()
    options: dict[str, Any] = (
        {"format": "JPEG", "quality": 85} if quality == "coarse" else {"format": "PNG", "compress_level": 1}
    )
    Image.fromarray(pixels).save(stream, **options)
    return stream.getvalue()


def mark_pixel(pixels: np.ndarray, row: int, column: int, arm: int = 5) -> np.ndarray:
    """A copy of (H, W, 3) uint8 with four arms around the pixel, each opposite to what it covers; the pixel stays."""
    marked = pixels.copy()
    height, width = pixels.shape[:2]
    for step in (*range(-arm - 1, -1), *range(2, arm + 2)):
        for r, c in ((row + step, column), (row, column + step)):
            if 0 <= r < height and 0 <= c < width:
                marked[r, c] = np.where(pixels[r, c] < 128, 255, 0)
    return marked


def fixed_image(width: int, height: int) -> W.Image:
    """A white PNG of that many CSS pixels, whatever is shown in it later."""
    size = {"width": f"{width}px", "height": f"{height}px"}
    # Chromium may never lay out a picture that began without content
    white = encode(np.full((1, 1, 3), 255, np.uint8), "fine")
    return W.Image(value=white, format="png", layout=W.Layout(**size, min_width=size["width"], max_width="none"))


class ImageView:
    """A picture ``width`` by ``height`` CSS pixels in size, with mouse events in the picture's own pixels.

    Rows and columns are those of the newest fine picture, even while a smaller coarse one is shown and however much the
    page scales it. A picture of another shape than the view is fitted into it, and the margin reports nothing.

    Attributes:
        widget: what is shown in the page.
        on_click: called as ``on_click(row, column)``, on any thread.
        on_hover: the same for the pointer, at most 20 times a second.
        on_drag: ``on_drag(dx, dy)``, CSS pixels that the pointer moved with the main button down.
        marked: (row, column) of the marked pixel, or None.

    Raises:
        DTypeError, DomainError: a senseless size.
    """

    def __init__(self, width: int = 256, height: int = 256) -> None:
        self.height, self.width = check_size("size", (height, width))
        self._image = fixed_image(width, height)
        self._image.layout.margin = "0"
        self._image.add_class("labkit-pixels")
        self._events = Event(source=self._image, watched_events=["click", "mousemove"], wait=50)
        self._events.throttle_or_debounce = "throttle"
        self._events.on_dom_event(self._handle)
        self.widget = W.VBox([W.HTML(STYLE, layout=W.Layout(height="0", margin="0")), self._image])
        self.on_click: Callable[[int, int], None] = lambda row, column: None
        self.on_hover: Callable[[int, int], None] = lambda row, column: None
        self.on_drag: Callable[[float, float], None] = lambda dx, dy: None
        self.marked: tuple[int, int] | None = None
        self._pressed_at: tuple[float, float] | None = None
        self._fine: np.ndarray | None = None  # (H, W, 3) uint8

    def show(self, image: Tensor | np.ndarray, quality: Quality = "fine") -> None:
        """Show a picture (shapes and types of `to_bytes`).

        Raises:
            ShapeError, DTypeError: not a picture; the earlier one stays.
        """
        pixels = to_bytes(image)
        if quality == "fine" or self._fine is None:
            self._fine = pixels
        self._send(pixels, quality)

    def mark(self, pixel: tuple[int, int] | None) -> None:
        """Mark a (row, column) of the fine picture, or nothing."""
        self.marked = pixel
        if self._fine is not None:
            self._send(self._fine, "fine")

    def click(self, row: int, column: int) -> None:
        """Do what a click on that pixel does.

        Raises:
            ShapeError: there is no such pixel.
        """
        height, width = (0, 0) if self._fine is None else self._fine.shape[:2]
        if not (0 <= row < height and 0 <= column < width):
            raise ShapeError("pixel", (row, column), f"a pixel of the {height} x {width} picture")
        self.on_click(row, column)

    def png(self) -> bytes | None:
        """The newest fine picture without the mark as a PNG file, or None before the first."""
        return None if self._fine is None else encode(self._fine, "fine")

    def close(self) -> None:
        """Close the widgets."""
        self._events.reset_callbacks()
        close_tree(self.widget, self._events)

    def _send(self, pixels: np.ndarray, quality: Quality) -> None:
        if self.marked is not None and self._fine is not None and pixels.shape == self._fine.shape:
            pixels = mark_pixel(pixels, *self.marked)
        with self._image.hold_sync():
            self._image.format = "jpeg" if quality == "coarse" else "png"
            self._image.value = encode(pixels, quality)

    def _handle(self, event: dict[str, Any]) -> None:
        x = event["clientX"] - event["boundingRectLeft"]
        y = event["clientY"] - event["boundingRectTop"]
        if event["event"] == "mousemove" and event["buttons"] & 1:
            if self._pressed_at is not None:
                self.on_drag(x - self._pressed_at[0], y - self._pressed_at[1])
            self._pressed_at = (x, y)
            return
        self._pressed_at = None
        pixel = self._pixel(x / event["boundingRectWidth"], y / event["boundingRectHeight"])
        if pixel is not None:
            (self.on_click if event["event"] == "click" else self.on_hover)(*pixel)

    def _pixel(self, across: float, down: float) -> tuple[int, int] | None:
        """The pixel at a place of the view given in [0, 1]; None on the margin or before the first picture."""
        if self._fine is None:
            return None
        rows, columns = self._fine.shape[:2]
        scale = min(self.width / columns, self.height / rows)  # CSS pixels a pixel, object-fit: contain
        column = int(np.floor((across - 0.5) * self.width / scale + columns / 2))
        row = int(np.floor((down - 0.5) * self.height / scale + rows / 2))
        return (row, column) if 0 <= row < rows and 0 <= column < columns else None
