"""What the fractal explorer computes: derivatives, frames, colours, dimensions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.errors import ShapeError
from labkit.lab.fractal_render import (
    PARAMETERS,
    PART,
    RANDOM,
    SYSTEMS,
    Drawing,
    base,
    blue_red,
    dimension,
    frame_at,
    frames,
    overlay,
    rows_of,
    with_rows,
)
from labkit.smooth.fractals import IteratedFunctionSystem
from labkit.smooth.splatting import Window
from tests.tolerances import FLOAT32


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("parameter", range(len(PARAMETERS)))
def test_slope_is_the_derivative_of_the_picture(name: str, parameter: int) -> None:
    system = base(name, 0, 0).double()
    step = 1e-5

    def drawing(shift: float) -> Drawing:
        table = system.coefficients.detach().clone()
        table[1, parameter] += shift
        return Drawing(IteratedFunctionSystem(table, system.probabilities, system.window), 24, 1.5, 1.0)

    picture, slope = drawing(0.0).slope(200, 3, 1, parameter)
    torch.testing.assert_close(picture, drawing(0.0).draw(200, 3))
    difference = (drawing(step).draw(200, 3) - drawing(-step).draw(200, 3)) / (2 * step)
    # the error of a central difference is step^2 / 6 times a third derivative, some hundred thousand here
    torch.testing.assert_close(slope, difference, rtol=1e-4, atol=1e-4 * float(slope.abs().max()))


def test_no_gradient_is_left_behind() -> None:
    picture, slope = Drawing(base("fern", 0, 0), 16, 1.0, 1.0).slope(50, 0, 0, 0)
    assert not picture.requires_grad
    assert not slope.requires_grad


def test_a_picture_that_is_no_longer_wanted_is_left_unfinished() -> None:
    drawing = Drawing(base("dragon", 0, 0), 16, 1.0, 1.0)
    asked = []
    partial = drawing.draw(3 * PART, 0, stale=lambda: bool(asked.append(None)) or len(asked) == 2)
    assert len(asked) == 2
    whole = drawing.draw(3 * PART, 0)
    # brightness is 1 - exp(-depth), and two thirds of the points have two thirds of the depth, up to chance
    assert float(partial.neg().log1p().sum() / whole.neg().log1p().sum()) == pytest.approx(2 / 3, rel=0.02)


def test_rows_go_there_and_back() -> None:
    fern = base("fern", 0, 0)
    rows = rows_of(fern)
    assert rows[1] == (0.0, -0.15, 0.04, 1.6, -0.04, -0.15)
    torch.testing.assert_close(with_rows(fern, rows).coefficients, fern.coefficients, **FLOAT32)
    assert with_rows(fern, ()) is fern
    with pytest.raises(ShapeError):
        with_rows(fern, rows[:3])


def test_the_random_system_depends_on_its_seed() -> None:
    assert rows_of(base(RANDOM, 3, 1)) == rows_of(base(RANDOM, 3, 1))
    assert rows_of(base(RANDOM, 3, 1)) != rows_of(base(RANDOM, 3, 2))
    assert len(rows_of(base(RANDOM, 5, 1))) == 5


def halves() -> IteratedFunctionSystem:
    """The identity, and the half that is turned by 90 degrees to the left around the origin."""
    return IteratedFunctionSystem(
        torch.tensor([[0.0, 0, 0, 0, 0, 0], [0, -1, -0.5, 0, 0.5, -1]]), torch.ones(2) / 2, Window(0.0, 0.0, 2.0)
    )


def test_frames_are_where_the_maps_put_the_window() -> None:
    found = frames(halves(), 100)
    np.testing.assert_allclose(found[0], [[0, 100], [100, 100], [100, 0], [0, 0]])
    # corners (-1, -1) and (1, -1) go to (0.5, -0.5) and (0.5, 0.5)
    np.testing.assert_allclose(found[1], [[75, 75], [75, 25], [25, 25], [25, 75]], atol=1e-4)


def test_the_smallest_frame_is_hit() -> None:
    outlines = frames(halves(), 100)
    assert frame_at(outlines, 50, 50) == 1
    assert frame_at(outlines, 10, 50) == 0
    assert frame_at(outlines[1:], 10, 50) is None
    flat = frames(base("fern", 0, 0), 100)[:1]
    assert frame_at(flat, 95, 50) is None


def test_overlay_draws_frames_over_the_picture() -> None:
    picture = torch.zeros(20, 20)
    assert overlay(picture, np.empty((0, 4, 2)), 0, 100).max() == 0
    drawn = overlay(picture, frames(halves(), 100), 1, 100)
    assert drawn.shape == (100, 100, 3)
    assert drawn[50, 75].tolist() == pytest.approx([0x56, 0xB4, 0xE9], abs=30)  # the bottom of map 2, in its colour
    assert drawn[60, 60].max() == 0
    assert overlay(picture + 1, np.empty((0, 4, 2)), 0, 100).min() == 255


def test_blue_is_negative_and_red_positive() -> None:
    colors, limit = blue_red(torch.tensor([[-2.0, 0.0, 2.0]]))
    assert limit == pytest.approx(2.0)
    assert colors[0, 0, 2] > colors[0, 0, 0] + 0.3
    assert colors[0, 2, 0] > colors[0, 2, 2] + 0.3
    assert np.ptp(colors[0, 1]) < 0.02
    assert np.isfinite(blue_red(torch.zeros(3, 3))[0]).all()


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([0.25] * 3, math.log(3) / math.log(2)),
        ([1 / 9] * 8, math.log(8) / math.log(3)),
        ([0.5, 0.5], 2.0),
        ([0.25, 0.0], 0.0),
        ([0.9] * 4, 2 * math.log(4) / -math.log(0.9)),
    ],
)
def test_known_dimensions(areas: list[float], expected: float) -> None:
    assert dimension(areas) == pytest.approx(expected, abs=1e-6)


def test_without_contraction_there_is_no_dimension() -> None:
    assert math.isnan(dimension([0.5, 1.0]))
