"""The three panels without a browser: at once, clicked, dragged, at their limits, and closed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ipywidgets")

from ipywidgets import widgets

from labkit.errors import DomainError
from labkit.lab import implicit_plots as plots
from labkit.lab.implicit_derivative import PARAMETERS
from labkit.lab.implicit_derivative_panel import DerivativePanel
from labkit.lab.implicit_phong_panel import PhongPanel
from labkit.lab.implicit_scene import REACH
from labkit.lab.implicit_tracing import ERROR, SHAPES
from labkit.lab.implicit_tracing_panel import PRESETS, TracingPanel
from labkit.lab.panel import Panel

LIVE = widgets.widget._instances


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def tracing(headless: None) -> Iterator[TracingPanel]:
    made = TracingPanel()
    yield made
    made.close()


@pytest.fixture
def derivative(headless: None) -> Iterator[DerivativePanel]:
    made = DerivativePanel()
    yield made
    made.close()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def press(panel: Panel, text: str) -> None:
    """Press the button with that text."""
    todo: list[Any] = [panel.widget]
    while todo:
        widget = todo.pop()
        if getattr(widget, "description", "") == text:
            widget.click()
            panel.flush()
            return
        todo += getattr(widget, "children", ())
    raise LookupError(text)


def test_everything_is_there_at_once(tracing: TracingPanel) -> None:
    for view in (tracing.drawing, tracing.steps, tracing.second):
        assert decoded(view.png() or b"").std() > 10
    assert decoded(bytes(tracing.curve.value)).shape == (190, 400, 3)
    assert "hit" in tracing.told.value
    assert tracing.png() == tracing.drawing.png()


def test_a_click_puts_the_ring_under_the_pointer(tracing: TracingPanel) -> None:
    before = tracing.drawing.png()
    tracing.drawing.click(100, 250)
    assert tracing.record.aim == pytest.approx(plots.place(100, 250), abs=1e-4)
    assert tracing.drawing.png() != before
    shown = decoded(tracing.drawing.png() or b"")[90:111, 240:261]
    pink = np.abs(shown - (204, 121, 167)).max(-1) < 30
    rows, columns = pink.nonzero()
    assert (rows.mean() + 90, columns.mean() + 240) == pytest.approx((100, 250), abs=1.5)  # markers snap to pixels


def test_a_drag_moves_it_and_its_end_is_no_click(tracing: TracingPanel) -> None:
    x, y = tracing.record.aim
    tracing.drawing.on_drag(20.0, -30.0)
    assert tracing.record.aim == pytest.approx((x + 20 / plots.SCALE, y + 30 / plots.SCALE), abs=1e-3)
    aim = tracing.record.aim
    tracing.drawing.click(10, 60)
    assert tracing.record.aim == aim
    tracing.drawing.on_hover(10, 60)
    tracing.drawing.on_drag(10_000.0, 0.0)
    assert tracing.record.aim_x == REACH


def test_a_pixel_of_the_picture_becomes_the_ray(tracing: TracingPanel) -> None:
    for row, column in ((48, 30), (20, 60)):
        tracing.steps.click(row, column)
        assert tracing.record.down == pytest.approx((row + 0.5) / 96)
        assert tracing.steps.marked == (row, column)
        assert tracing.second.marked == (row, column)
        assert tracing.record.aim_x == 0.0
        # the ray of the drawing costs what the picture says of that pixel
        state = tracing.record
        shown = tracing.render(state, "fine")
        assert int(shown.walk.trace.steps) == shown.picture.steps[row, column]


def test_the_presets_show_what_they_promise(tracing: TracingPanel) -> None:
    found = {}
    for name in PRESETS:
        press(tracing, name)
        found[name] = tracing.render(tracing.record, "fine").walk
    assert found["back-off"].tried.any()
    assert abs(found["back-off"].errors[0]) < 1e-3
    assert found["overshoot"].errors[0] > 0.05
    assert abs(found["overshoot"].errors[1]) < 1e-6
    assert len(found["too flat"].radii) > len(found["back-off"].radii)
    assert found["rough"].errors[0] < -0.01
    press(tracing, "exact")
    assert tracing.record == tracing.initial


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_at_its_limits(tracing: TracingPanel, shape: str) -> None:
    steep = {"slope": 4.0, "epsilon": 1e-6, "alpha": 0.95, "max_steps": 4, "second": ERROR, "down": 0.0}
    tracing.show(tracing.render(replace(tracing.record, shape=shape, **steep), "coarse"), "coarse")
    flat = {"slope": 0.2, "epsilon": 0.1, "alpha": 0.05, "max_steps": 256, "azimuth": -180.0, "elevation": 89.0}
    tracing.show(tracing.render(replace(tracing.record, shape=shape, **flat), "coarse"), "coarse")
    assert decoded(tracing.second.png() or b"").std() > 1


def test_a_number_out_of_range_changes_nothing(tracing: TracingPanel) -> None:
    with pytest.raises(DomainError):
        tracing.set(alpha=1.0)
    assert tracing.record == tracing.initial


def test_equation_8_is_printed_beside_the_difference(derivative: DerivativePanel) -> None:
    assert "relative error" in derivative.told.value
    assert decoded(bytes(derivative.across.value)).shape == (180, 606, 3)
    before = derivative.drawing.png()
    for name in ("facing", "grazing"):
        press(derivative, name)
        shown = derivative.render(derivative.record, "coarse")
        error = abs(float(shown.slopes.implicit / shown.slopes.traced) - 1)
        assert error < 1e-3, name
    assert abs(float(shown.slopes.cosine)) < 0.2
    assert derivative.drawing.png() != before
    derivative.set(limit=0.5)
    assert "The clamp cuts here" in derivative.told.value
    press(derivative, "missing")
    assert "This ray misses" in derivative.told.value
    assert "= -1.000" in derivative.told.value


def test_every_number_at_its_limits(derivative: DerivativePanel) -> None:
    for shape in PARAMETERS:
        for theta, step in ((0.4, 1e-9), (0.1, 0.05)):
            state = replace(derivative.record, shape=shape, theta=theta, step=step, limit=0.5, aim_x=0.0, aim_y=0.05)
            derivative.show(derivative.render(state, "coarse"), "coarse")
            assert "d depth / d theta" in derivative.told.value or "misses" in derivative.told.value
            assert decoded(derivative.drawing.png() or b"").std() > 10
    derivative.set(shape="box: half its width", theta=0.4, step=0.05, limit=1e-5)
    assert derivative.status.value == ""


def test_the_ray_of_the_derivative_follows_the_mouse(derivative: DerivativePanel) -> None:
    derivative.drawing.click(20, 200)
    assert derivative.record.aim == pytest.approx(plots.place(20, 200), abs=1e-4)
    derivative.drawing.on_drag(0.0, 40.0)
    derivative.drawing.click(300, 300)
    assert derivative.record.aim == pytest.approx(plots.place(60, 200), abs=1e-3)


def test_figure_2_in_buttons(headless: None) -> None:
    panel = PhongPanel()
    pictures = bytes(panel.pair.value), bytes(panel.map.value)
    press(panel, "(c) move v")
    assert panel.record.normal == panel.record.first_normal
    assert panel.record.view != panel.record.first_view
    assert panel.table.value.count("none: one answer for both") == 2  # M(x), M(x, n)
    assert (bytes(panel.pair.value), bytes(panel.map.value)) != pictures
    press(panel, "(b) turn n")
    assert panel.table.value.count("none: one answer for both") == 2  # M(x), M(x, v)
    press(panel, "keep as (a)")
    assert panel.table.value.count("none: one answer for both") == 4
    panel.set(first_normal=45.0, first_view=-45.0, light=-80.0, shininess=1.0, specular=0.0, diffuse=0.0)
    press(panel, "(b) turn n")
    press(panel, "(c) move v")
    assert panel.status.value == ""
    panel.close()


@pytest.mark.parametrize("kind", [TracingPanel, DerivativePanel, PhongPanel])
def test_live_coarse_then_fine_and_closed(monkeypatch: pytest.MonkeyPatch, kind: type[Panel]) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0")
    widgets_before, threads = len(LIVE), threading.active_count()
    panel = kind("live")
    field = "normal" if kind is PhongPanel else "aim_y"
    for value in (0.1, 0.15, 0.2):
        panel.set(**{field: value})
    panel.flush()
    assert panel.status.value == ""
    assert panel.png()
    panel.close()
    assert threading.active_count() == threads
    assert len(LIVE) == widgets_before
