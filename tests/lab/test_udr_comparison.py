"""Several renderers in one race: in turn, saved, resumed after everything, measured on the pixels that are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("filelock")
pytest.importorskip("safetensors")

from labkit.errors import DomainError, LabError
from labkit.events import Done, Event, Phase, Picture, Step
from labkit.lab import udr_plots as plots
from labkit.lab.training_panel import TrainingPanel
from labkit.lab.udr_comparison_frame import margin, middle, table
from labkit.lab.udr_comparison_panel import NEW, SavingRunner, UdrComparisonPanel
from labkit.lab.udr_race import Race, races_below
from labkit.lab.udr_target import KINDS, ComparisonState, target
from labkit.lab.udr_trials import TRIALS, choose, trials, use
from labkit.train import udr
from labkit.train.checkpoint import Checkpoints
from labkit.train.run_folder import RunFolder

TINY = replace(ComparisonState(preset="tiny", steps=6, views=3).config, save_every=3, preview_every=1000.0)


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


def states(race: Race) -> list[dict[str, Any]]:
    return [Checkpoints(lane.path).load("latest")[1].tensors for lane in race.lanes.values()]


def until_step(events: Iterator[Event], number: int) -> None:
    for event in events:
        if isinstance(event, Step) and event.number == number:
            return


def test_a_race_that_was_left_goes_on_bit_for_bit_and_who_is_behind_catches_up(tmp_path: Path) -> None:
    kinds = ["UDR", "DVR"]
    whole = Race.begin(TINY, kinds, tmp_path / "whole")
    told = list(whole.events())
    assert [event.number for event in told if isinstance(event, Step)] == [1, 2, 3, 4, 5, 6]
    assert whole.over

    left = Race.begin(TINY, kinds, tmp_path / "left")
    events = left.events()
    until_step(events, 4)
    events.close()
    assert not left.over
    assert [lane.at_work for lane in left.lanes.values()] == [False, False]
    assert isinstance(list(udr.train(left.lanes["UDR"].config, left.lanes["UDR"].path, resume=True))[-1], Done)

    found = Race.open(left.path)
    assert [(lane.number, lane.over) for lane in found.lanes.values()] == [(6, True), (4, False)]
    again = list(found.events())  # the one that is behind
    assert [event.number for event in again if isinstance(event, Phase)] == [4]
    assert [event.number for event in again if isinstance(event, Step)] == [5, 6]
    assert found.over
    for mine, other in zip(states(found), states(whole), strict=True):
        assert mine.keys() == other.keys()
        for group in mine:
            for name in mine[group]:
                assert torch.equal(mine[group][name], other[group][name])
    for lane in found.lanes.values():
        assert {"psnr unseen", "psnr bound", "chamfer x1000", "mask error"} <= lane.closing.keys()
        assert lane.quality[0] == sorted(lane.quality[0])
        assert lane.seconds > 0


def test_only_what_m_sees_differs(tmp_path: Path) -> None:
    race = Race.begin(TINY, list(KINDS), tmp_path)
    assert [lane.config.appearance.kind for lane in race.lanes.values()] == list(KINDS)
    same = {replace(lane.config, appearance=TINY.appearance) for lane in race.lanes.values()}
    assert same == {TINY}
    assert races_below(tmp_path) == []  # nothing is written yet


def test_no_race_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="comparison"):
        Race.open(tmp_path)


def test_the_target_is_that_of_the_runs(tmp_path: Path) -> None:
    scene = replace(TINY.scene, size=32)
    found = target(scene)
    truths = [event.image for event in udr.preview(replace(TINY, scene=scene)) if isinstance(event, Picture)]
    torch.testing.assert_close(found.images, torch.stack(truths), atol=1e-5, rtol=0)
    assert found.psnr(found.images) == 100.0
    worse = found.images.clone()
    worse[~found.inner[:, None].expand_as(worse)] = 0.5  # the rim and what is around it do not count
    assert found.psnr(worse) == 100.0
    assert found.psnr((found.images - 0.1).clamp(0, 1)) == pytest.approx(20.0, abs=0.5)
    object_pixels = (found.images < 1).any(1)
    assert 0.4 < found.inner.sum() / object_pixels.sum() < 0.95
    assert 18 < found.bound < 40
    assert target(replace(scene, ks=0.0)).bound > found.bound + 20


def test_no_target_without_an_exact_field() -> None:
    with pytest.raises(DomainError, match="source"):
        target(replace(TINY.scene, source="chair"))


def test_the_panel_trains_and_a_new_one_finds_it(headless: None, tmp_path: Path) -> None:
    panel = UdrComparisonPanel(preset="tiny", steps=4, runs=tmp_path)
    try:
        assert panel.frame is not None
        assert panel.frame.target is not None  # the truth is there before anything is trained
        assert panel.race is None
        first, curves = panel.sheet.png(), panel.png()
        panel.run()
        assert panel.runner.state == "done"
        race = panel.race
        assert race is not None
        assert list(race.lanes) == ["UDR", "DRnoV", "DVR"]
        assert race.over
        assert panel.sheet.png() != first
        assert panel.png() != curves
        for word in ("UDR", "DRnoV", "DVR", "from the bound", "Chamfer"):
            assert word in panel.table.value
        assert "..." not in panel.table.value
        for shown in ("DVR", "truth", "view"):
            panel.set(shown=shown)
    finally:
        panel.close()

    again = UdrComparisonPanel(runs=tmp_path)
    try:
        assert [path for _, path in again.menu.options] == ["", str(race.path)]
        again.menu.value = str(race.path)
        again.flush()
        assert again.race is not None
        assert again.frame is not None
        assert again.frame.path == race.path
        assert "..." not in again.table.value
        again.menu.value = NEW[1]
        again.flush()
        assert again.race is None
        assert "Nothing is trained yet" in again.table.value
    finally:
        again.close()


def test_step_then_stop_saves(headless: None, tmp_path: Path) -> None:
    panel = UdrComparisonPanel(preset="tiny", steps=20, runs=tmp_path, fourth=True, views=2)
    try:
        panel.run(steps=2)
        assert panel.runner.state == "paused"
        race = panel.race
        assert race is not None
        assert [lane.number for lane in race.lanes.values()] == [2, 2, 2, 2]
        assert all(RunFolder.open(lane.path).running for lane in race.lanes.values())
        panel.runner.stop()
        assert not any(RunFolder.open(lane.path).running for lane in race.lanes.values())
        assert [Checkpoints(lane.path).numbers() for lane in race.lanes.values()] == [[2]] * 4
        assert "goes on with" in panel.plan.value
        panel.run(steps=1)  # the same comparison, not a new one
        assert panel.race is race
        assert [lane.number for lane in race.lanes.values()] == [3, 3, 3, 3]
    finally:
        panel.close()
    assert [Checkpoints(lane.path).numbers() for lane in race.lanes.values()] == [[2, 3]] * 4


def test_one_comparison_is_trained_in_one_place(headless: None, tmp_path: Path) -> None:
    race = Race.begin(TINY, ["UDR"], tmp_path)
    events = race.events()
    until_step(events, 1)
    panel = UdrComparisonPanel(run=race.path, runs=tmp_path)
    try:
        with pytest.raises(LabError):
            panel.run()
        assert "labkit-error" in panel.status.value
    finally:
        panel.close()
        events.close()


def test_a_preset_brings_its_own_numbers(headless: None, tmp_path: Path) -> None:
    panel = UdrComparisonPanel(preset="tiny", runs=tmp_path)
    try:
        assert (panel.record.steps, panel.record.views) == (8, 4)
        panel.set(preset="cpu", source="torus", specular=0.9)
        cpu = udr.PRESETS["cpu"]
        assert (panel.record.steps, panel.record.views) == (cpu.steps, cpu.scene.views)
        scene = panel.record.config.scene
        assert (scene.source, scene.ks, scene.size) == ("torus", 0.9, cpu.scene.size)
    finally:
        panel.close()


def test_a_runner_that_was_not_paused_stops_as_any_other() -> None:
    drawn: list[str] = []
    runner = SavingRunner(lambda: iter(()), lambda event: None, lambda: drawn.append("drawn"), lambda error: None)
    runner.stop()
    assert runner.state == "ready"
    assert drawn == []
    runner.close()


def test_the_middle_of_a_picture_and_the_sheet() -> None:
    found = target(replace(TINY.scene, size=48))
    edge = margin(found)
    cut = middle(found.images[0], edge)
    assert cut.shape == (48 - 2 * edge, 48 - 2 * edge, 3)
    assert edge > 0
    assert (cut < 1).sum() == (found.images[0] < 1).sum()  # nothing of the object is lost
    whole = plots.sheet([[cut, None], [None, np.zeros((8, 8, 3))]], tile=16, gap=4)
    assert whole.shape == (36, 36, 3)
    assert whole[20:, :16].min() == 1  # nothing there
    assert whole[20:, 20:].max() == 0
    assert whole[:16, 16:20].min() == 1


def test_no_table_without_runs(headless: None, tmp_path: Path) -> None:
    panel = UdrComparisonPanel(preset="tiny", runs=tmp_path)
    assert panel.frame is not None
    assert "Nothing is trained yet" in table(panel.frame)
    panel.close()


def test_trials_become_runs(headless: None, tmp_path: Path) -> None:
    panel = TrainingPanel(udr, preset="tiny", runs=tmp_path)
    try:
        box = trials(panel)
        for name in TRIALS:
            choose(panel, name)
            assert "&#9888;" not in panel.controls.plan.value, name  # every line names a field and fits
        with pytest.raises(DomainError, match="torus"):
            choose(panel, "a cube")
        with pytest.raises(LabError, match="absent"):
            use(panel, tmp_path / "absent.obj")
        file = tmp_path / "my mesh.obj"
        file.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
        use(panel, file)
        assert panel.record.overrides.endswith(f"scene.path = {file}")
        panel.start()
        assert panel.seen.word == "done"
        assert box.children
    finally:
        panel.close()
