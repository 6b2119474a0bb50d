"""ImageView without a browser: pixels in, pixels out, nothing left behind."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pythreejs")

import ipywidgets as W
from PIL import Image

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.lab.image_view import ImageView, mark_pixel, to_bytes

LIVE = W.widgets.widget._instances
SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def picture() -> Iterator[ImageView]:
    view = ImageView(200, 100)
    yield view
    view.close()


def decoded(view: ImageView) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(view._image.value)))


def event(kind: str, x: float, y: float, buttons: int = 0) -> dict[str, object]:
    return {
        "event": kind,
        "clientX": 30.5 + x,
        "clientY": 7.25 + y,
        "boundingRectLeft": 30.5,
        "boundingRectTop": 7.25,
        "boundingRectWidth": 200.0,
        "boundingRectHeight": 100.0,
        "buttons": buttons,
    }


# ---- pictures ----


@pytest.mark.parametrize(
    "image",
    [
        torch.full((3, 4, 6), 0.5),
        torch.full((1, 4, 6), 0.5, dtype=torch.float64, requires_grad=True),
        np.full((4, 6, 3), 0.5, np.float32),
        np.full((4, 6), 0.5),
        np.full((4, 6, 3), 128, np.uint8),
    ],
)
def test_every_kind_of_picture_becomes_bytes(image: torch.Tensor | np.ndarray) -> None:
    pixels = to_bytes(image)
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 128).all()


def test_values_are_rounded_and_clipped_and_nan_is_black() -> None:
    assert to_bytes(np.array([[-1.0, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 2.0, np.nan, np.inf]]))[0, :, 0].tolist() == [
        0, 0, 0, 1, 255, 255, 0, 255,
    ]  # fmt: skip


@pytest.mark.parametrize(("shape", "error"), [((4,), ShapeError), ((2, 4, 6), ShapeError), ((0, 5), ShapeError)])
def test_what_is_no_picture(picture: ImageView, shape: tuple[int, ...], error: type[LabError]) -> None:
    with pytest.raises(error, match="image"):
        picture.show(np.zeros(shape))
    with pytest.raises(DTypeError, match="int64"):
        picture.show(np.zeros((4, 4), np.int64))
    assert picture.png() is None


def test_fine_is_lossless_and_coarse_is_jpeg(picture: ImageView) -> None:
    image = (np.random.default_rng(0).random((20, 40, 3)) * 255).astype(np.uint8)
    picture.show(image, "fine")
    assert picture._image.format == "png"
    assert (decoded(picture) == image).all()
    picture.show(image[::2, ::2], "coarse")
    assert bytes(picture._image.value).startswith(b"\xff\xd8")
    assert (np.asarray(Image.open(io.BytesIO(picture.png() or b""))) == image).all()


def test_clicks_and_hovers_arrive_as_pixels_of_the_fine_picture(picture: ImageView) -> None:
    clicks: list[tuple[int, int]] = []
    hovers: list[tuple[int, int]] = []
    picture.on_click = lambda row, column: clicks.append((row, column))
    picture.on_hover = lambda row, column: hovers.append((row, column))
    picture._handle(event("click", 1, 1))  # no picture yet
    picture.show(np.zeros((10, 10)))  # 10 x 10 in 200 x 100: ten CSS pixels a pixel, fifty of margin left and right
    picture.show(np.zeros((5, 5)), "coarse")
    picture._handle(event("click", 50.0, 0.0))
    picture._handle(event("click", 149.9, 99.9))
    picture._handle(event("mousemove", 74.0, 35.0))
    picture._handle(event("click", 49.0, 50.0))
    picture._handle(event("click", 151.0, 50.0))
    assert clicks == [(0, 0), (9, 9)]
    assert hovers == [(3, 2)]


def test_drags_arrive_as_steps(picture: ImageView) -> None:
    steps: list[tuple[float, float]] = []
    picture.on_drag = lambda dx, dy: steps.append((dx, dy))
    for x, buttons in ((10, 0), (20, 1), (25, 1), (40, 1), (60, 0), (70, 1)):
        picture._handle(event("mousemove", x, x / 2, buttons))
    assert steps == [(5.0, 2.5), (15.0, 7.5)]


def test_a_click_from_python(picture: ImageView) -> None:
    clicks: list[tuple[int, int]] = []
    picture.on_click = lambda row, column: clicks.append((row, column))
    with pytest.raises(ShapeError, match="0 x 0 picture"):
        picture.click(0, 0)
    picture.show(np.zeros((3, 5)))
    picture.click(2, 4)
    assert clicks == [(2, 4)]
    for pixel in ((3, 0), (0, 5), (-1, 0)):
        with pytest.raises(ShapeError, match="3 x 5 picture"):
            picture.click(*pixel)


@given(st.integers(0, 6), st.integers(0, 8))
def test_the_mark_leaves_its_pixel_and_changes_a_few_around_it(row: int, column: int) -> None:
    pixels = np.full((7, 9, 3), 40, np.uint8)
    marked = mark_pixel(pixels, row, column)
    changed = (marked != pixels).any(-1)
    assert not changed[row, column]
    assert 0 < changed.sum() <= 20
    assert (marked[changed] == 255).all()
    assert (pixels == 40).all()


def test_the_mark_is_drawn_and_taken_away_and_never_kept(picture: ImageView) -> None:
    picture.show(np.zeros((20, 20)))
    picture.mark((10, 10))
    assert decoded(picture).any()
    assert not np.asarray(Image.open(io.BytesIO(picture.png() or b""))).any()
    picture.mark(None)
    assert not decoded(picture).any()


def test_picture_views_close_all_their_widgets() -> None:
    before = set(LIVE)
    ImageView(10, 10).close()
    assert set(LIVE) == before
    with pytest.raises(DomainError, match="size"):
        ImageView(0, 10)
