"""The panels of recovered attributes: what is kept of a run, one panel with its history, and the board of several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.errors import DomainError, FileError, ShapeError
from labkit.events import Event, Picture, Step
from labkit.geometry import Mesh, icosphere, save_mesh
from labkit.lab.attributes_board import BENT, GAP, AttributesBoard
from labkit.lab.attributes_history import Run, Task, difference, mosaic
from labkit.lab.attributes_panel import AttributesPanel
from labkit.lab.attributes_plots import share_curves
from labkit.lab.explorer_state import OWN_FILE

TOTAL, EVERY, VIEWS, SIDE = 6, 2, 3, 8


def brighter(goal: float, pause: float = 0.0, fails_at: int = 0) -> Iterator[Event]:
    """Halves the distance of a grey from its goal at each step; pictures and figures at every other."""
    value = 0.0
    yield from (Picture(0, f"view {view}", torch.zeros(3, SIDE, SIDE)) for view in range(VIEWS))
    for number in range(1, TOTAL + 1):
        time.sleep(pause)
        if number == fails_at:
            raise DomainError("loss", float("nan"), "a finite loss")
        value += (goal - value) / 2
        shown = number % EVERY == 0
        yield Step(number, TOTAL, {"error": goal - value, "grey (units)": goal - value} if shown else {"loss": 1.0})
        if shown:
            yield from (Picture(number, f"view {view}", torch.full((3, SIDE, SIDE), value)) for view in range(VIEWS))


def grey_task(goal: float = 0.8, pause: float = 0.0, fails_at: int = 0) -> Task:
    target = torch.full((VIEWS, 3, SIDE, SIDE), goal)
    figures = {"error": goal, "grey (units)": goal}
    return Task(
        "grey, all of it", torch.zeros_like(target), target, TOTAL, figures, lambda: brighter(goal, pause, fails_at)
    )


def test_a_task_is_checked() -> None:
    good = grey_task()
    with pytest.raises(ShapeError, match="target"):
        Task("", good.start, good.target[:1], TOTAL, good.figures, good.events)
    with pytest.raises(DomainError, match="figures"):
        Task("", good.start, good.target, TOTAL, {"error": 0.0}, good.events)
    with pytest.raises(DomainError, match="figures"):
        Task("", good.start, good.target, TOTAL, {}, good.events)


def test_a_mosaic_keeps_every_view() -> None:
    views = [np.full((4, 5, 3), 10 * number, np.uint8) for number in range(3)]
    whole = mosaic(views, gap=1)
    assert whole.shape == (9, 11, 3)
    assert (whole[:4, :5] == 0).all()
    assert (whole[:4, 6:] == 10).all()
    assert (whole[5:, :5] == 20).all()
    assert (whole[5:, 6:] == 255).all()
    assert (whole[4] == 255).all()
    assert np.array_equal(mosaic(views[:1]), views[0])


def test_the_difference_is_a_share() -> None:
    target = np.full((2, 2, 3), 100, np.uint8)
    picture = target.copy()
    picture[0, 0], picture[0, 1] = (70, 100, 100), 220
    assert difference(picture, target, 40.0).tolist() == [[0.25, 1.0], [0.0, 0.0]]


def test_a_run_keeps_its_history() -> None:
    run = Run(grey_task())
    for event in run.events():
        run.receive(event)
    assert run.steps == run.measured == [0, 2, 4, 6]
    assert run.done == TOTAL
    assert run.figures["grey (units)"] == pytest.approx([0.8, 0.2, 0.05, 0.0125])
    assert run.share == pytest.approx(1 / 64)
    for asked, found in ((0, 0), (1, 0), (2, 2), (3, 2), (6, 6), (99, 6)):
        step, picture = run.picture(asked)
        assert step == found
        assert picture[0, 0, 0] == round(255 * 0.8 * (1 - 0.5**found))
        assert run.at(asked)["error"] == pytest.approx(0.8 * 0.5**found)


def test_pauses_are_no_work() -> None:
    run = Run(grey_task(pause=0.01))
    for _ in run.events():
        time.sleep(0.02)  # the listener's time
    assert 0.06 <= run.seconds < 0.2


def test_curves_show_what_they_are_given() -> None:
    size = (400, 190)
    falling = {"error": [1.0, 0.1, 0.01]}
    drawn = [
        share_curves([0, 1, 2], falling, 2, 0, size),
        share_curves([0, 1, 2], falling, 2, 1, size),
        share_curves([0, 1, 2], falling, 2, 0, size, goal=0.1),
        share_curves([0, 1, 2], {"error": [2.0, 0.1, 0.01]}, 2, 0, size),
        share_curves([0], {}, 2, 0, size),
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn)
    assert len(set(drawn)) == len(drawn)
    # a share of a start that was 0 already does not exist
    assert share_curves([0, 1], {"known": [0.0, 0.0]}, 2, 0, size) == share_curves([0, 1], {}, 2, 0, size)


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def panel(headless: None) -> Iterator[AttributesPanel]:
    made = AttributesPanel(grey_task())
    yield made
    made.close()


def mean(view: object) -> float:
    """Mean of the newest picture of a view, white mosaic gaps included."""
    return float(view._fine.mean())  # type: ignore[attr-defined]


def test_the_panel_shows_the_start_at_once(panel: AttributesPanel) -> None:
    assert np.array_equal(panel.views["current"]._fine, panel.views["start"]._fine)
    assert mean(panel.views["target"]) > mean(panel.views["start"])
    assert panel.views["difference"]._fine.max() == 255
    assert "error 0.8" in panel.told.value
    assert bytes(panel.curve.value).startswith(b"\x89PNG")
    assert panel.png() == panel.views["current"].png()
    assert (panel._slider.max, panel._play.max) == (TOTAL, TOTAL)


def test_the_panel_runs_and_its_history_is_scrubbed(panel: AttributesPanel) -> None:
    before = bytes(panel.curve.value)
    panel.runner.run()
    assert panel.runner.state == "done"
    assert panel.record.step == panel._slider.value == TOTAL
    assert panel.views["difference"]._fine.max() == pytest.approx(255 / 64, abs=2)
    assert "1.6%" in panel.told.value
    assert bytes(panel.curve.value) != before
    end = mean(panel.views["current"])
    panel._slider.value = 3
    assert "step 2" in panel.scales["current"].value
    assert "25.0%" in panel.told.value
    assert mean(panel.views["current"]) < end
    panel.set(step=0)
    assert np.array_equal(panel.views["current"]._fine, panel.views["start"]._fine)
    panel.runner.run()
    assert panel.record.step == TOTAL
    assert panel.run.steps == [0, 2, 4, 6]


def test_another_task_begins_anew(panel: AttributesPanel) -> None:
    panel.runner.run()
    old = mean(panel.views["target"])
    panel.take(grey_task(0.4))
    assert (panel.record.step, panel.run.done) == (0, 0)
    assert mean(panel.views["target"]) < old
    assert "error 0.4" in panel.told.value
    panel.runner.run()
    assert panel.run.figures["error"][-1] == pytest.approx(0.4 / 64)


def test_a_failure_is_told_and_the_history_stays(headless: None) -> None:
    panel = AttributesPanel(grey_task(fails_at=5))
    with pytest.raises(DomainError, match="loss"):
        panel.runner.run()
    assert panel.runner.state == "failed"
    assert "finite loss" in panel.status.value
    panel.set(step=4)
    assert panel.run.steps == [0, 2, 4]
    assert "step 4" in panel.scales["current"].value
    panel.close()


def test_a_live_run_pauses_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0")
    heard: list[str] = []
    panel = AttributesPanel(grey_task(pause=0.02), changed=lambda: heard.append(panel.runner.state))
    panel.flush()
    panel.runner.run(steps=3)
    panel.runner.join()
    assert (panel.runner.state, panel.run.done, panel.record.step) == ("paused", 3, 2)
    panel.runner.run()
    panel.runner.join()
    assert (panel.runner.state, panel.record.step) == ("done", TOTAL)
    assert heard[-1] == "done"
    assert "paused" in heard
    panel.flush()
    assert "1.6%" in panel.told.value
    panel.close()


def pose(mesh: Mesh | None) -> dict[str, Task]:
    """A brighter goal for a larger mesh."""
    goal = 0.5 if mesh is None else 0.9
    return {"a": grey_task(goal), "b": grey_task(goal / 2)}


@pytest.fixture
def board(headless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttributesBoard]:
    monkeypatch.chdir(tmp_path)
    made = AttributesBoard(pose)
    yield made
    made.close()


def test_the_board_runs_all_and_fills_its_table(board: AttributesBoard) -> None:
    assert board.table.value.count("0.5000") == 1
    assert "1.6%" not in board.table.value
    sheet = board.sheet._fine
    assert sheet.shape == (3 * (SIDE + GAP), 2 * (SIDE + GAP), 3)
    assert (sheet[2 * (SIDE + GAP), 0] == 0).all()
    board.run_all()
    assert [panel.runner.state for panel in board.panels.values()] == ["done", "done"]
    assert board.table.value.count("1.6% &#10003;") == 2
    assert board.tabs.selected_index == 1
    # the newest pictures are nearly the targets
    newest, target = board.sheet._fine[2 * (SIDE + GAP) :][:SIDE], board.sheet._fine[:SIDE]
    assert np.abs(newest.astype(int) - target).max() <= 3
    assert board.png() == board.sheet.png()


def test_a_click_on_the_sheet_opens_a_panel(board: AttributesBoard) -> None:
    board.sheet.click(1, SIDE + GAP + 1)
    assert board.tabs.selected_index == 1
    board.sheet.click(1, 1)
    assert board.tabs.selected_index == 0


def test_another_mesh_poses_the_problems_anew(board: AttributesBoard, tmp_path: Path) -> None:
    board.run_all()
    board.set(mesh="icosphere")
    assert "0.9000" in board.table.value
    assert "1.6%" not in board.table.value
    assert all(panel.run.done == 0 for panel in board.panels.values())
    save_mesh(icosphere(1), tmp_path / "mine.ply")
    board.receive([("mine.ply", (tmp_path / "mine.ply").read_bytes())])
    assert board.record.mesh == OWN_FILE
    assert board._own.layout.display is None
    assert Path(board.record.path).is_file()
    board.set(mesh=BENT)
    assert "0.5000" in board.table.value
    assert board._own.layout.display == "none"


def test_a_missing_file_is_told_and_the_problems_stay(board: AttributesBoard) -> None:
    with pytest.raises(FileError, match="no file"):
        board.set(mesh=OWN_FILE)
    assert "type its path" in board.status.value
    assert "0.5000" in board.table.value
    with pytest.raises(FileError, match="0 meshes"):
        board.receive([("notes.txt", b"")])


def test_a_row_of_live_runs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0")
    board = AttributesBoard(lambda mesh: {"a": grey_task(pause=0.05), "b": grey_task(0.4)})
    board.flush()
    board.run_all()
    board.stop_all()
    board.panels["a"].runner.join()
    assert [panel.runner.state for panel in board.panels.values()] == ["stopped", "ready"]
    board.run_all()
    deadline = time.monotonic() + 20
    while board.panels["b"].runner.state != "done" and time.monotonic() < deadline:
        time.sleep(0.02)
    for panel in board.panels.values():
        panel.runner.join()
        panel.flush()
    assert [panel.runner.state for panel in board.panels.values()] == ["done", "done"]
    board.close()
