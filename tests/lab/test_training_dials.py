"""The sliders of a training's dials: by themselves, and on a real run of two opponents."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytest.importorskip("filelock")

import ipywidgets as W

from labkit.events import Tuned
from labkit.lab.training_dials import RATE, TrainingDials
from labkit.lab.training_history import Seen
from labkit.lab.training_panel import TrainingPanel
from labkit.lab.training_plan import config_of, dials_of
from labkit.train.config import EngineConfig, to_json
from labkit.train.dials import Dial
from labkit.train.event_log import read_events
from labkit.train.run_folder import RunFolder
from tests.train import duel_recipe

DIALS = {"pull": Dial(1.0, 0.0, 10.0), "centre": Dial(3.0, -5.0, 5.0), "steepness": Dial(100.0, 1.0, 1000.0)}
AT_WORK = Seen(word="running", dials={"pull": 2.0, "centre": -1.0, "steepness": 30.0})
LIVE = W.widgets.widget._instances


def opponents(config: EngineConfig) -> Mapping[str, Dial]:
    """The dials that the real recipe's trainer has."""
    return {"pull": DIALS["pull"], "centre": DIALS["centre"]}


RECIPE = SimpleNamespace(**vars(duel_recipe), dials=opponents)
LONG = {"preset": "tiny", "steps": 10**7, "overrides": "save_every = 10000000\nlog_every = 20"}


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


@pytest.fixture
def sent() -> list[tuple[float, dict[str, float]]]:
    """When what was sent."""
    return []


@pytest.fixture
def box(sent: list[tuple[float, dict[str, float]]]) -> Iterator[TrainingDials]:
    def send(command: str, **values: float) -> None:
        assert command == "set"
        sent.append((time.monotonic(), values))

    made = TrainingDials(send, lambda callback: callback, pytest.fail, {"pull": ("strength", "how strongly")})
    yield made
    made.close()


def values(box: TrainingDials) -> dict[str, float]:
    return {name: slider.value for name, slider in box.sliders.items()}


def test_sliders_stand_where_the_run_says_and_are_locked_without_one(box: TrainingDials, sent: list) -> None:
    box.tell("run", {}, Seen())
    assert box.widget.layout.display == "none"
    box.tell("run", DIALS, Seen())
    assert box.widget.layout.display is None
    assert values(box) == {"pull": 1.0, "centre": 3.0, "steepness": 100.0}
    assert all(slider.disabled for slider in box.sliders.values())
    assert "Locked" in box.note.value
    box.sliders["pull"].value = 7.0
    box.tell("run", DIALS, AT_WORK)
    assert values(box) == dict(AT_WORK.dials)
    assert not any(slider.disabled for slider in box.sliders.values())
    assert (box.sliders["pull"].description, box.sliders["pull"].tooltip) == ("strength", "how strongly")
    assert box.sliders["centre"].description == "centre"
    assert [type(slider) for slider in box.sliders.values()] == [W.FloatSlider, W.FloatSlider, W.FloatLogSlider]
    time.sleep(0.1)
    assert sent == []  # neither the run's own values nor a locked slider are wishes


def test_a_moved_slider_waits_for_its_run(box: TrainingDials, sent: list) -> None:
    box.tell("run", DIALS, AT_WORK)
    box.sliders["pull"].value = 4.0
    until(lambda: sent)
    assert sent[0][1] == {"pull": 4.0}
    box.tell("run", DIALS, AT_WORK)  # an older event
    assert values(box)["pull"] == 4.0
    turned = Seen(word="running", dials={**AT_WORK.dials, "pull": 4.0})
    box.tell("run", DIALS, turned)
    other = Seen(word="running", dials={**AT_WORK.dials, "pull": 9.0})
    box.tell("run", DIALS, other)  # somebody else has turned it
    assert values(box)["pull"] == 9.0
    box.sliders["pull"].value = 1.0
    until(lambda: len(sent) == 2)
    box.tell("run", DIALS, Seen(word="done", dials=other.dials))  # too late
    assert values(box)["pull"] == 9.0


def test_another_run_has_its_own_sliders(box: TrainingDials, sent: list) -> None:
    box.tell("one", DIALS, AT_WORK)
    box.sliders["pull"].value = 4.0
    until(lambda: sent)
    before = set(LIVE)
    box.tell("two", DIALS, AT_WORK)
    assert values(box)["pull"] == 2.0
    assert set(LIVE) == before  # the same widgets
    box.tell("three", {"pull": Dial(0.5, 0.0, 1.0)}, Seen())
    assert values(box) == {"pull": 0.5}
    assert box.sliders["pull"].max == 1.0
    assert len(LIVE) < len(before)


def test_dragging_sends_the_newest_few_times_a_second(box: TrainingDials, sent: list) -> None:
    box.tell("run", DIALS, AT_WORK)
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        place = int(50 * (time.monotonic() - began))  # whole steps of a slider, as in the page
        box.sliders["pull"].value = place * box.sliders["pull"].step
        box.sliders["centre"].value = place * box.sliders["centre"].step
        time.sleep(0.01)
    last = values(box)
    until(lambda: sent[-1][1].get("centre") == last["centre"])
    assert last["pull"] in [wish["pull"] for _, wish in sent if "pull" in wish]
    assert 3 <= len(sent) <= RATE + 3
    apart = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(sent)]
    assert min(apart) > 0.8 / RATE


def test_rounding_by_the_page_is_no_wish_and_the_ends_can_be_reached(box: TrainingDials, sent: list) -> None:
    box.tell("run", DIALS, Seen(word="running", dials={"pull": 2.0123, "centre": 0.0, "steepness": 37.21}))
    box.sliders["pull"].value += 0.4 * box.sliders["pull"].step
    box.sliders["steepness"].value *= 10 ** (0.4 * box.sliders["steepness"].step)
    time.sleep(0.1)
    assert sent == []
    box.sliders["steepness"].value = 10 ** box.sliders["steepness"].max
    until(lambda: sent)
    assert sent[0][1] == {"steepness": 1000.0}
    box.reset()
    until(lambda: len(sent) == 2)
    assert sent[1][1] == {"pull": 1.0, "centre": 3.0, "steepness": 100.0}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TrainingPanel]]:
    """``opened(...)`` makes a panel that is closed at the end."""
    monkeypatch.chdir(tmp_path)
    panels: list[TrainingPanel] = []

    def make(**options: Any) -> TrainingPanel:
        panels.append(TrainingPanel(RECIPE, **options))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()


def test_dials_act_on_the_running_training_and_a_second_panel_follows(opened: Callable[..., TrainingPanel]) -> None:
    before = set(LIVE)
    panel = opened(name="one", **LONG)
    panel.flush()
    assert values(panel.dials) == {"pull": 1.0, "centre": 3.0}
    panel.start()
    until(lambda: panel.seen.number > 20 and not panel.dials.sliders["centre"].disabled)
    panel.dials.sliders["centre"].value = -2.0
    until(lambda: panel.seen.dials.get("centre") == -2.0)
    path = panel.path
    assert path is not None
    other = opened(name="two", run=path)
    until(lambda: values(other.dials).get("centre") == -2.0 and not other.dials.sliders["pull"].disabled)
    other.pause()
    until(lambda: panel.seen.word == "paused")
    other.dials.sliders["pull"].value = 5.0  # a paused run obeys as well
    until(lambda: values(panel.dials) == {"pull": 5.0, "centre": -2.0})
    panel.close()
    until(lambda: other.seen.word == "stopped" and other.dials.sliders["pull"].disabled)
    assert values(other.dials) == {"pull": 5.0, "centre": -2.0}
    turned = [dict(event.values) for event in read_events(path) if isinstance(event, Tuned)]
    assert turned[0] == {"pull": 1.0, "centre": 3.0}
    assert turned[-1] == {"pull": 5.0, "centre": -2.0}
    other.close()
    again = opened(name="three", run=path)
    again.join()
    assert values(again.dials) == {"pull": 5.0, "centre": -2.0}
    again.close()
    assert set(LIVE) <= before


def test_headless_a_run_is_over_and_its_dials_are_locked(
    opened: Callable[..., TrainingPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    panel = opened(preset="tiny")
    panel.start()
    assert panel.seen.word == "done"
    assert panel.seen.dials == {"pull": 1.0, "centre": 3.0}
    assert all(slider.disabled for slider in panel.dials.sliders.values())


def test_a_run_of_another_recipe_or_version_has_no_config_and_so_no_dials(tmp_path: Path) -> None:
    whole = RunFolder.create(tmp_path / "whole", "duel", to_json(duel_recipe.PRESETS["tiny"])).path
    assert config_of(RECIPE, whole) == duel_recipe.PRESETS["tiny"]
    for name, config in (("other", {}), ("duel", {"no such field": 1})):
        assert config_of(RECIPE, RunFolder.create(tmp_path / name, name, config).path) is None
    assert dials_of(RECIPE, None) == {}
    assert dials_of(duel_recipe, duel_recipe.PRESETS["tiny"]) == {}  # a recipe without them
