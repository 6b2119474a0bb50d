"""The training panel against a real recipe: started, paused, stopped, closed, killed, and come back to."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytest.importorskip("filelock")

import ipywidgets as W

from labkit.errors import BackendError, DomainError, FileError, LabError
from labkit.events import Done, Phase, Step
from labkit.lab.training_panel import TrainingPanel
from labkit.train import event_log
from labkit.train.checkpoint import Checkpoints
from labkit.train.event_log import read_events
from labkit.train.run_folder import RunFolder
from tests.lab import ball_recipe

LIVE = W.widgets.widget._instances
SLOW = "save_every = 1000\npreview_every = 0.05\nseconds = 0.01"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and exports go to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def opened() -> Iterator[Callable[..., TrainingPanel]]:
    """``opened(...)`` makes a panel that is closed at the end."""
    panels: list[TrainingPanel] = []

    def make(**options: Any) -> TrainingPanel:
        panels.append(TrainingPanel(ball_recipe, **options))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def word(panel: TrainingPanel) -> str:
    return panel.seen.word


def parameters(run: Path) -> tuple[int, dict[str, torch.Tensor]]:
    number, state = Checkpoints(run).load("latest")
    return number, {f"{group}.{name}": value for group, part in state.tensors.items() for name, value in part.items()}


def test_headless_a_run_is_done_when_start_returns(headless: None, opened: Callable[..., TrainingPanel]) -> None:
    panel = opened(preset="tiny")
    assert panel.controls.resume.disabled
    assert "Press Start" in panel.controls.text.value
    assert "12 steps" in panel.controls.plan.value
    truth = panel.views.pictures.png()
    assert truth is not None  # the first screen shows what is to be learnt
    panel.start()
    assert (word(panel), panel.seen.number) == ("done", 12)
    assert "step 12 of 12" in panel.controls.text.value
    assert panel.controls.bar.value == 1.0
    assert panel.views.pictures.png() != truth
    assert "psnr" in panel.views.table.value
    assert panel.path is not None
    assert [event.number for event in read_events(panel.path) if isinstance(event, Step)] == list(range(1, 13))
    assert [path.suffix for path in map(panel.export, ("obj", "glb", "png", "csv", "zip"))] == [
        *(".obj", ".glb", ".png", ".csv", ".zip")
    ]
    assert "zip" in panel.controls.exported.value
    panel.set(steps=15)
    panel.resume()
    assert (word(panel), panel.seen.number, panel.seen.total) == ("done", 15, 15)


def test_headless_errors_are_raised(headless: None, opened: Callable[..., TrainingPanel]) -> None:
    panel = opened(preset="tiny", overrides="spoiled = 7")
    with pytest.raises(BackendError, match="step 7"):
        panel.start()
    assert word(panel) == "failed"
    assert "step 6" in panel.views.messages.value
    panel.set(overrides="hight = 3")
    assert "did you mean height" in panel.controls.plan.value
    with pytest.raises(DomainError, match="hight"):
        panel.start()
    with pytest.raises(DomainError, match="none at work"):
        panel.pause()
    panel.detach()
    for action in (panel.resume, lambda: panel.export("zip"), lambda: panel.export("obj")):
        with pytest.raises(DomainError):
            action()
    with pytest.raises(FileError):
        panel.attach("runs/nowhere")
    foreign = RunFolder.create("runs/other", "udr", {}).path
    with pytest.raises(LabError):
        panel.resume()
    with pytest.raises(DomainError, match="preset"):
        opened(preset="huge")
    with pytest.raises(FileError):
        opened(run="runs/nowhere")
    assert foreign.is_dir()


def test_a_preset_brings_its_steps(headless: None, opened: Callable[..., TrainingPanel]) -> None:
    panel = opened(preset="tiny", steps=3)
    assert (panel.record.steps, panel.controls.start.disabled) == (3, False)
    panel.set(preset="slow")
    assert panel.record.steps == 400
    panel.set(preset="tiny", steps=5)
    assert panel.record.steps == 5
    panel.undo()
    panel.reset()
    assert (panel.record.preset, panel.record.steps) == ("tiny", 3)


def test_paused_stepped_stopped_and_resumed_by_its_buttons_it_ends_as_if_uninterrupted(
    opened: Callable[..., TrainingPanel],
) -> None:
    panel = opened(preset="tiny", steps=300, overrides=SLOW)
    buttons = panel.controls
    buttons.start.click()
    until(lambda: panel.seen.number >= 5 and not buttons.toggle.disabled)
    assert buttons.start.disabled
    buttons.toggle.click()
    until(lambda: word(panel) == "paused" and buttons.toggle.description == "Go on")
    paused_at = panel.seen.number
    buttons.one.click()
    until(lambda: panel.seen.number == paused_at + 1 and word(panel) == "paused")
    time.sleep(0.2)
    assert panel.seen.number == paused_at + 1
    buttons.save.click()
    until(lambda: panel.seen.checkpoint == paused_at + 1)
    buttons.toggle.click()
    until(lambda: panel.seen.number > paused_at + 5)
    buttons.halt.click()
    panel.join()
    assert word(panel) == "stopped"
    stopped_at, path = panel.seen.number, panel.path
    assert path is not None
    assert parameters(path)[0] == stopped_at
    assert not buttons.resume.disabled
    total = stopped_at + 20
    panel.set(steps=total)
    buttons.resume.click()
    until(lambda: word(panel) == "done")
    panel.join()
    whole = replace(ball_recipe.PRESETS["tiny"], steps=total, save_every=1000, preview_every=0.0)
    list(ball_recipe.train(whole, Path("runs/whole")))
    (_, one), (_, other) = parameters(path), parameters(Path("runs/whole"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    losses = [
        {event.number: event.values["loss"] for event in read_events(run) if isinstance(event, Step)}
        for run in (path, Path("runs/whole"))
    ]
    assert losses[0] == losses[1]


def test_closing_saves_and_a_new_panel_comes_back(opened: Callable[..., TrainingPanel]) -> None:
    before = set(LIVE)
    panel = opened(preset="tiny", steps=5000, overrides=SLOW)
    panel.start()
    until(lambda: panel.seen.number >= 10)
    path = panel.path
    assert path is not None
    again = opened(name="other", run=path)  # a second one watches the same run
    until(lambda: again.seen.number >= 12)
    assert again.record.steps == 5000
    again.pause()
    until(lambda: word(panel) == "paused")
    again.close()
    assert word(panel) == "paused"
    panel.close()
    events = list(read_events(path))
    assert isinstance(events[-1], Done)
    assert events[-1].stopped
    assert parameters(path)[0] == events[-1].number
    assert set(LIVE) <= before
    back = opened(run=path, name="back")
    back.join()
    assert (word(back), back.seen.number) == ("stopped", events[-1].number)
    assert (path.name, str(path)) in back.controls.menu.options
    back.set(steps=back.seen.number + 3)
    back.resume()
    back.join()
    assert (word(back), back.seen.number) == ("done", back.record.steps)


def test_the_menu_chooses_a_run_and_leaves_it(opened: Callable[..., TrainingPanel]) -> None:
    config = ball_recipe.PRESETS["tiny"]
    for name, steps in (("one", 4), ("two", 6)):
        list(ball_recipe.train(replace(config, steps=steps), Path("runs") / name))
    os.utime("runs/one/config.json", (0, 0))
    panel = opened(preset="tiny")
    panel.flush()
    assert [path for _, path in panel.controls.menu.options] == ["", "runs/two", "runs/one"]
    panel.controls.menu.value = "runs/one"
    panel.join()
    assert (panel.seen.number, panel.record.steps) == (4, 4)
    panel.controls.menu.value = "runs/two"
    panel.join()
    assert (panel.seen.number, panel.controls.bar.value) == (6, 1.0)
    panel.controls.menu.value = ""
    panel.flush()
    assert (panel.path, panel.seen.number, word(panel)) == (None, 0, "ready")
    assert "Press Start" in panel.controls.text.value


def test_scrubbing_back_stays_while_the_run_goes_on(opened: Callable[..., TrainingPanel]) -> None:
    panel = opened(preset="tiny", steps=5000, overrides=SLOW)
    panel.start()
    slider = panel.controls.slider
    until(lambda: panel.seen.newest_preview >= 20 and slider.max >= 20)
    assert slider.value == slider.max
    slider.value = 9
    panel.flush()
    frame = panel.frame
    assert frame is not None
    assert frame.surface is not None
    assert 0 <= frame.surface.number <= 9
    assert panel.record.step == 9
    assert frame.meshes["truth"].number == 0
    newest = panel.seen.newest_preview
    until(lambda: panel.seen.newest_preview > newest)
    panel.flush()
    assert panel.frame.surface.number == frame.surface.number  # type: ignore[union-attr]
    panel.stop()
    panel.join()
    slider.value = slider.max
    panel.flush()
    assert panel.record.step is None
    assert panel.frame.number == panel.seen.newest_preview  # type: ignore[union-attr]


def test_it_draws_at_most_eight_times_a_second(opened: Callable[..., TrainingPanel]) -> None:
    panel = opened(preset="tiny", steps=100_000, overrides="save_every = 100000\npreview_every = 0.0")
    panel.flush()
    versions: list[tuple[float, int]] = []
    show = panel.views.show

    def counted(frame: Any) -> None:
        if not versions or versions[-1][1] != frame.seen.version:
            versions.append((time.monotonic(), frame.seen.version))
        show(frame)

    panel.views.show = counted  # type: ignore[method-assign]
    panel.start()
    until(lambda: panel.seen.number > 300)
    versions.clear()
    began, first = time.monotonic(), panel.seen.number
    until(lambda: len(versions) >= 5)
    assert len(versions) <= 8 * (time.monotonic() - began) + 2
    assert panel.seen.number > first
    assert max(len(steps) for steps, _ in panel.seen.curves.values()) < 500


def test_what_cannot_be_written_is_said_and_nothing_is_lost(
    opened: Callable[..., TrainingPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = opened(preset="tiny", steps=5000, overrides=SLOW)
    panel.start()
    until(lambda: panel.seen.number >= 5)
    append = event_log.EventLog.append

    def full(log: Any, event: Any) -> None:
        raise FileError(str(log.path), "No space left on device", "a place that can be written")

    monkeypatch.setattr(event_log.EventLog, "append", full)
    until(lambda: "No space left" in panel.views.messages.value)
    monkeypatch.setattr(event_log.EventLog, "append", append)
    reached = panel.seen.number
    panel.go_on()
    until(lambda: panel.seen.number > reached + 5)
    panel.stop()
    panel.join()
    numbers = [event.number for event in read_events(panel.path) if isinstance(event, Step)]  # type: ignore[arg-type]
    assert numbers == list(range(1, panel.seen.number + 1))


def test_an_error_of_the_thread_is_shown_and_the_panel_lives(opened: Callable[..., TrainingPanel]) -> None:
    panel = opened(preset="tiny")
    panel.set(overrides="device = cuda:99")
    panel.start()
    until(lambda: "cuda:99" in panel.status.value)
    with pytest.raises(LabError, match="cuda:99"):
        panel.join()
    panel.set(overrides="")
    panel.start()
    panel.join()
    assert word(panel) == "done"


@pytest.mark.slow
def test_a_run_in_its_own_process_outlives_the_panel_and_a_killed_one_is_resumed(
    opened: Callable[..., TrainingPanel],
) -> None:
    overrides = "save_every = 20\nseconds = 0.02\npreview_every = 0.5"
    panel = opened(preset="tiny", steps=5000, where="own process", overrides=overrides)
    panel.start()
    until(lambda: panel.seen.number >= 30, 120)
    path = panel.path
    assert path is not None
    owner = json.loads((path / "owner.json").read_text())
    assert owner["pid"] != os.getpid()
    assert str(owner["pid"]) in panel.controls.facts.value
    panel.close()
    reached = panel.seen.number
    back = opened(name="back", run=path)
    until(lambda: back.seen.number > reached + 5)
    os.kill(owner["pid"], signal.SIGKILL)
    until(lambda: word(back) == "failed")
    until(lambda: "gone" in back.views.messages.value)
    assert back.seen.checkpoint is not None
    back.set(steps=back.seen.checkpoint + 3)
    back.resume()
    until(lambda: word(back) == "done")
    phases = [event.number for event in read_events(path) if isinstance(event, Phase) and event.name == "started"]
    assert phases == [0, back.record.steps - 3]
