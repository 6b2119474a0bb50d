"""The panel of a RAN training: its pictures in the diagram, its curves, its shapes, and dials that act at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytest.importorskip("filelock")

import ipywidgets as W

from labkit.events import MeshPreview, Picture, Step
from labkit.lab import ran_plots
from labkit.lab.ran_diagram import TILES
from labkit.lab.ran_panel import WORDS, RanPanel
from labkit.lab.ran_views import two_by_two
from labkit.train import ran
from labkit.train.event_log import read_events
from labkit.train.preview_files import load_preview, previews

TINY = replace(ran.PRESETS["tiny"], preview_every=1e-3)
LIVE = W.widgets.widget._instances


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    path = tmp_path_factory.mktemp("runs") / "ran-one"
    for _ in ran.train(TINY, path):
        pass
    return path


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RanPanel]]:
    """``opened(...)`` makes a panel that is closed at the end."""
    monkeypatch.chdir(tmp_path)
    panels: list[RanPanel] = []

    def make(**options: Any) -> RanPanel:
        panels.append(RanPanel(**options))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def images(panel: RanPanel) -> int:
    return str(panel.views.paths.value).count("<image")


def test_before_a_run_its_input_and_the_truth_are_seen(headless: None, opened: Callable[..., RanPanel]) -> None:
    before = set(LIVE)
    panel = opened(preset="tiny")
    assert images(panel) == 1
    assert panel.frame is not None
    assert set(panel.frame.meshes) == {"truth"}
    assert set(panel.dials.sliders) == set(ran.dials(TINY)) <= set(WORDS)
    assert all(slider.disabled for slider in panel.dials.sliders.values())
    assert panel.dials.sliders["steepness"].value == TINY.smooth.steepness
    panel.close()
    assert set(LIVE) <= before


def test_a_run_fills_the_diagram_and_one_loss_can_be_marked(
    headless: None, opened: Callable[..., RanPanel], run: Path
) -> None:
    panel = opened(run=run)
    assert images(panel) == len(TILES)
    assert panel.views.seen_side.orbit.azimuth == pytest.approx(0)
    whole, curves = panel.views.paths.value, panel.views.curves.value
    assert "data-judged" not in whole
    panel.set(loss="3")
    assert panel.views.paths.value.count("data-judged") == 3
    assert panel.views.curves.value == curves
    panel.set(log=False)
    assert panel.views.curves.value != curves
    panel.set(loss="all", step=0)
    assert panel.views.paths.value != whole
    assert "iou" in panel.views.table.value
    steps = [event.values for event in read_events(run) if isinstance(event, Step)]
    for game in ran_plots.GAMES:
        assert {f"{game} {number}" for number in range(1, 6)} <= set(steps[-1]), game


def test_the_baseline_marks_its_own_loss(headless: None, opened: Callable[..., RanPanel]) -> None:
    panel = opened(preset="tiny", steps=2, overrides="mode = direct\npreview_every = 0.001")
    assert panel.views.paths.value.count("data-compared") == 1
    panel.start()
    assert images(panel) == 3  # a, the shape, b''
    panel.set(loss="2")
    assert panel.views.paths.value.count("data-compared") == 1
    assert "pixels direct" in panel.seen.curves
    assert "alpha_1" not in panel.dials.sliders


def test_a_dial_acts_on_the_running_training_at_once(opened: Callable[..., RanPanel]) -> None:
    panel = opened(preset="tiny", steps=10**6, overrides="preview_every = 1000\nsave_every = 1000000")
    panel.start()
    until(lambda: panel.seen.number >= 2 and not panel.dials.sliders["steepness"].disabled)
    panel.pause()
    until(lambda: panel.seen.word == "paused")
    path, number = panel.path, panel.seen.number
    assert path is not None

    def looked() -> tuple[MeshPreview, Picture]:
        """The prediction and its smooth rendering, asked for now."""
        asked = time.time_ns()
        panel.preview_now()
        files: dict[str, Path] = {}
        while not {"prediction", "b second"} <= set(files):
            time.sleep(0.02)
            files = {file.name: file.path for file in previews(path) if file.path.stat().st_mtime_ns > asked}
        mesh, picture = load_preview(files["prediction"]), load_preview(files["b second"])
        assert isinstance(mesh, MeshPreview)
        assert isinstance(picture, Picture)
        assert mesh.number == picture.number == number
        return mesh, picture

    seen = []
    for steepness in (10.0, 200.0):
        panel.dials.sliders["steepness"].value = steepness
        until(lambda wish=steepness: panel.seen.dials["steepness"] == pytest.approx(wish, rel=0.03))
        seen.append(looked())
    (mesh, soft), (same, sharp) = seen
    assert torch.equal(mesh.vertices, same.vertices)
    between = [((picture.image > 0.3) & (picture.image < 0.95)).float().mean() for picture in (soft, sharp)]
    assert between[0] > between[1] + 0.02  # the softer, the wider the edges
    panel.stop()
    panel.join()
    assert all(slider.disabled for slider in panel.dials.sliders.values())


def test_four_views_stand_two_by_two() -> None:
    strip = np.full((3, 18, 3), 255, np.uint8)
    for view in range(4):
        strip[:, 5 * view : 5 * view + 3] = 50 * view
    square = two_by_two(strip)
    assert square.shape == (8, 8, 3)
    corners = [square[row : row + 3, column : column + 3] for row in (0, 5) for column in (0, 5)]
    assert [set(corner.flatten().tolist()) for corner in corners] == [{0}, {50}, {100}, {150}]
    assert (square[3:5] == 255).all()
    assert two_by_two(strip[:, :8]).shape == (3, 8, 3)


def test_curves_of_each_loss_stand_apart() -> None:
    lines = {f"{game} {loss}": ((1, 2, 3), (0.5, 0.4, 0.3)) for game in ran_plots.GAMES for loss in ("1", "4")}
    whole = ran_plots.loss_curves(lines, 2, 0.5, True)
    assert whole.startswith(b"\x89PNG")
    for name in lines:
        rest = {other: line for other, line in lines.items() if other != name}
        assert ran_plots.loss_curves(rest, 2, 0.5, True) != whole
    assert ran_plots.loss_curves({**lines, "gradient": ((1, 2, 3), (9.0, 9.0, 9.0))}, 2, 0.5, True) == whole
    assert ran_plots.loss_curves({"game 1": ((1,), (0.0,))}, None, 0.5, True)  # nothing positive


def test_the_tables_begin_with_what_counts() -> None:
    newest = {"game 1": 1.25, "pixels 1": 0.5, "loss 1": 7.0, "seconds": 2.0, "b'' - b'": 0.25, "iou": 0.75}
    made = ran_plots.tables(newest, {"iou": (0.8, 3)})
    order = [
        made.index(told) for told in (">iou<", ">b&#x27;&#x27; - b&#x27;<", ">seconds<", "1.2500", "0.5000", "7.0000")
    ]
    assert order == sorted(order)
    assert "0.8<" in made
    assert "fooling 1" not in made
    assert made.count("<table") == 2
    assert ran_plots.tables({"iou": 0.5}, {}).count("<table") == 1
