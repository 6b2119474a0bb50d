"""The plots of the fractal notebook show what they are given."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from labkit.lab.fractal_plots import loss_curve, parameter_dots, valleys

SOFT, HARD = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
ROWS = ((0.0, -0.5, 0.0, 0.0, 0.0, -0.5), (0.5, -0.5, 0.0, 0.0, 0.0, -0.5))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def places(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels of about that colour, (N, 2)."""
    return np.argwhere(np.abs(picture - color).max(-1) < 40)


def test_the_loss_falls_from_left_to_right() -> None:
    picture = pixels(loss_curve([1.0, 0.1, 0.01, 0.001], [4.0, 4.0, 1.0, 1.0], (386, 196)))
    assert picture.shape == (196, 386, 3)
    line = places(picture, SOFT)
    assert line[line[:, 1].argmin(), 0] < line[line[:, 1].argmax(), 0] - 80  # row 0 is on top
    assert places(pixels(loss_curve([], [], (386, 196))), SOFT).size == 0


def test_the_truth_is_drawn_where_it_is_known() -> None:
    moved = (tuple(value + 0.3 for value in ROWS[0]), ROWS[1])
    with_truth = pixels(parameter_dots(moved, moved, ROWS, (590, 170)))
    without = pixels(parameter_dots(moved, moved, None, (590, 170)))
    assert len(places(with_truth, HARD)) > 100
    assert len(places(without, HARD)) == 0
    assert len(places(without, SOFT)) > 50


def test_the_tangents_lie_on_the_valleys() -> None:
    x = np.linspace(-1, 1, 49)
    picture = pixels(valleys(x.tolist(), {2.0: (x**2).tolist()}, {2.0: (2 * x).tolist()}, 0.0, "x"))
    assert picture.shape == (300, 640, 3)
    axes = places(picture, HARD)
    assert np.ptp(axes[axes[:, 1] < 400][:, 1]) <= 3  # the truth is an upright line
    flat = pixels(valleys(x.tolist(), {2.0: (x**2).tolist()}, {2.0: (0 * x).tolist()}, 0.0, "x"))
    assert np.abs(flat - picture).max() > 100  # wrong slopes are drawn otherwise
