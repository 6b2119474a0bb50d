"""The gradient panel without a browser: at once, clicked, dragged, run, paused, reset, and closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("numba")

from ipywidgets import widgets

from labkit.errors import DomainError, FileError
from labkit.geometry import icosphere, save_mesh
from labkit.lab.gradient_panel import GradientPanel
from labkit.lab.gradient_state import COLORS, PIXEL, SURROGATE, WHOLE
from labkit.lab.orbit import Orbit

LIVE = widgets.widget._instances
SMALL: dict[str, Any] = {"mesh": "own file", "size": 48, "vertex": 4, "steps": 5}
SMALL |= {"first": "GenDR", "second": "Hard", "third": "none"}


@pytest.fixture(autouse=True)
def ball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ball of 162 vertices: drawn faster than the built-in one."""
    monkeypatch.chdir(tmp_path)
    save_mesh(icosphere(2), tmp_path / "ball.obj")
    monkeypatch.setitem(SMALL, "path", "ball.obj")


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def panel(headless: None) -> Iterator[GradientPanel]:
    made = GradientPanel(**SMALL)
    yield made
    made.close()


def arrows(panel: GradientPanel) -> np.ndarray:
    return np.array(panel._arrows.array)


def test_everything_is_there_at_once(panel: GradientPanel) -> None:
    assert all(view.png() for slot in panel.slots[:2] for view in slot.values())
    assert panel.png() is not None
    assert [column.layout.display for column in panel._columns["picture"]] == [None, None, "none"]
    assert "GenDR" in panel.titles[0]["picture"].value
    assert panel._lit
    assert len(panel.view._lit.array) == 3 * len(panel._lit)
    assert "gradient" in panel.why.value
    assert len(arrows(panel)) > 60


def test_a_click_chooses_a_vertex_and_lights_the_faces(panel: GradientPanel) -> None:
    lit, answer = panel._lit, panel.why.value
    panel.slots[0]["picture"].click(24, 20)
    assert panel.record.pick == pytest.approx((24.5 / 48, 20.5 / 48))
    assert panel._lit != lit
    assert panel.why.value != answer
    place = panel._places[panel.record.vertex, :2]
    assert np.abs(place - (24, 20)).max() < 4
    assert f"Vertex {panel.record.vertex}, GenDR: " in panel.why.value
    panel.slots[1]["adjoint"].click(0, 0)  # nothing is drawn there, and the vertex is the nearest that is seen
    assert len(panel.view._lit.array) <= 3 * 8


def test_a_renderer_without_a_gradient_says_so(panel: GradientPanel) -> None:
    panel.set(shown=2)
    assert "No derivative" in panel.why.value
    assert "Hard" in panel.view_title.value
    assert not arrows(panel).any()
    panel.set(third=SURROGATE, shown=3)
    assert "surrogate" in panel.view_title.value
    assert arrows(panel).any()


def test_a_drag_moves_the_vertex_and_its_end_is_no_click(panel: GradientPanel) -> None:
    view, before = panel.slots[0]["picture"], panel._newest
    assert before is not None
    vertex = panel.record.vertex
    row, column = panel._places[vertex, :2]
    view.on_drag(20.0, -8.0)
    moved = panel._places[vertex, :2]
    assert moved - (row, column) == pytest.approx([-8 * 48 / 192, 20 * 48 / 192], abs=0.05)  # under the pointer
    view.click(2, 2)
    assert panel.record.vertex == vertex
    view.on_hover(3, 3)
    view.click(24, 24)
    assert panel.record.vertex != vertex
    assert panel.record.move_x == 0


def test_a_run_descends_and_start_again_puts_back(panel: GradientPanel) -> None:
    before, plot = arrows(panel), panel.curves.value
    panel.runner.run()
    assert panel.runner.state == "done"
    losses = panel._descents["GenDR"].losses
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    assert len(set(panel._descents["Hard"].losses)) == 1
    assert not np.array_equal(arrows(panel), before)
    assert panel.curves.value != plot
    panel.runner.run(steps=1)  # goes on from there
    assert len(panel._descents["GenDR"].losses) == 6
    panel.start_again()
    assert panel._descents == {}
    assert np.array_equal(arrows(panel), before)


def test_another_start_drops_the_descent_but_softness_does_not(panel: GradientPanel) -> None:
    panel.runner.run(steps=1)
    panel.set(edge=6.0, rate=0.05, third="SoftRas")
    assert len(panel._descents["GenDR"].losses) == 1
    panel.runner.run(steps=1)
    assert len(panel._descents["SoftRas"].losses) == 1
    assert panel.runner.state == "paused"
    panel.set(free=WHOLE)
    assert panel._descents == {}
    assert panel.runner.state == "stopped"


def test_losses_targets_and_lines_change_the_pictures(panel: GradientPanel) -> None:
    for changes in ({"loss": COLORS}, {"goal": "torus"}, {"shift_x": -0.2}, {"loss": PIXEL}):
        adjoint = panel.slots[0]["adjoint"].png()
        panel.set(**changes)
        assert panel.slots[0]["adjoint"].png() != adjoint, changes
    line = panel.line.value
    panel.set(along="up")
    assert panel.line.value != line
    assert "is moved up" in panel.line_title.value


def test_the_eye_follows_the_view(panel: GradientPanel) -> None:
    panel.view.on_camera(Orbit.around(-70.0, 40.0, 30.0))
    assert (panel.record.azimuth, panel.record.elevation, panel.record.distance) == (-70.0, 40.0, 10.0)
    assert panel.view.orbit.distance == pytest.approx(10.0)


def test_own_files(panel: GradientPanel, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        panel.set(path="absent.obj")
    save_mesh(icosphere(1), tmp_path / "own.obj")
    panel._upload([("own.obj", (tmp_path / "own.obj").read_bytes())])
    assert len(panel._places) == 42
    assert panel._own.layout.display is None
    panel.slots[0]["picture"].click(24, 24)
    assert panel.record.vertex < 42
    with pytest.raises(DomainError):
        panel.set(edge=0.0)


def test_without_webgl_a_picture_is_drawn(headless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_VIEW", "image")
    panel = GradientPanel("pictures", **SMALL)
    assert panel._preview(Orbit()).std() > 0.05
    panel.close()


def test_live_a_click_is_answered_while_a_descent_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0")
    before = threading.active_count()
    panel = GradientPanel("live", **{**SMALL, "steps": 500})
    panel.flush()
    start, lit = arrows(panel), panel._lit
    panel.runner.run(steps=20)
    panel.slots[0]["picture"].click(24, 20)
    panel.flush()
    assert panel._lit != lit
    panel.runner.join()
    panel.flush()
    assert len(panel._descents["GenDR"].losses) == 20
    assert not np.array_equal(arrows(panel), start)
    assert panel.status.value == ""
    panel.runner.run()
    panel.close()
    assert threading.active_count() == before


def test_closing_closes_every_widget(headless: None) -> None:
    before = len(LIVE)
    GradientPanel("brief", **SMALL).close()
    assert len(LIVE) == before
