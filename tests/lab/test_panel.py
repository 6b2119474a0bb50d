"""The panel base without a browser: both ways of control, one record, errors in place, nothing left behind."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

import ipywidgets as W
from IPython.core.interactiveshell import InteractiveShell

from labkit.errors import DomainError
from labkit.lab.image_view import ImageView
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality
from labkit.lab.state import between, one_of

LIVE = W.widgets.widget._instances


@dataclass(frozen=True)
class State:
    level: float = between(0.5, 0.0, 1.0)
    wide: float = between(0.0, -10.0, 10.0)  # more than its slider can show
    kind: str = one_of("plain", "broken")


class Demo(Panel):
    State = State

    def build(self) -> W.Widget:
        self.level = self.bind(W.FloatSlider(min=0, max=1, step=0.01), "level")
        self.wide = self.bind(W.FloatSlider(min=-1, max=1), "wide")
        self.kind = self.bind(W.Dropdown(options=["plain", "broken"]), "kind")
        self.view = self.own(ImageView(32, 32))
        self.followed: list[State] = []
        return W.VBox([self.level, self.wide, self.kind, self.view.widget])

    def render(self, state: State, quality: Quality) -> np.ndarray:
        if state.kind == "broken":
            raise ValueError("the <kind> is broken")
        return np.full((4, 4), state.level)

    def show(self, result: np.ndarray, quality: Quality) -> None:
        self.view.show(result, quality)

    def adopted(self, state: State) -> None:
        self.followed.append(state)

    def caption(self) -> str:
        return "on paper"

    def png(self) -> bytes | None:
        return self.view.png()


@pytest.fixture(params=["worker", "headless"])
def demo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    if request.param == "headless":
        monkeypatch.setenv("LABKIT_HEADLESS", "1")
    else:
        monkeypatch.delenv("LABKIT_HEADLESS", raising=False)
    panel = Demo()
    yield panel
    panel.close()


@pytest.fixture
def threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    monkeypatch.delenv("LABKIT_HEADLESS", raising=False)
    panel = Demo()
    yield panel
    panel.close()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    panel = Demo()
    yield panel
    panel.close()


def button(panel: Panel, text: str) -> W.Button:
    found = [w for w in LIVE.values() if isinstance(w, W.Button) and w.description == text]
    assert len(found) == 1
    return found[0]


def test_it_shows_its_first_picture_and_says_how(demo: Demo) -> None:
    demo.flush()
    assert demo.view._fine is not None
    assert (demo.view._fine == 128).all()
    assert "for 1 changes" in demo.readout.value
    assert demo.readout.value.endswith("on paper")
    assert demo.state == {"level": 0.5, "wide": 0.0, "kind": "plain"}


def test_controls_and_state_follow_each_other(demo: Demo) -> None:
    demo.level.value = 0.75
    assert demo.state["level"] == 0.75
    demo.set(level=0.25)
    assert demo.level.value == 0.25
    assert [state.level for state in demo.followed] == [0.75, 0.25]
    demo.flush()
    assert (demo.view._fine == 64).all()


def test_initial_changes_and_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    panel = Demo(level=0.1)
    assert panel.level.value == 0.1
    panel.set(level=0.9, wide=1.0)
    panel.reset()
    assert panel.state == {"level": 0.1, "wide": 0.0, "kind": "plain"}
    panel.close()
    with pytest.raises(DomainError, match="level"):
        Demo(level=7.0)


def test_undo_takes_a_drag_back_in_one_step(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("labkit.lab.panel.time.monotonic", lambda: now[0])
    for level in (0.6, 0.7, 0.8):
        demo.level.value = level
        now[0] += 0.1
    now[0] += 10
    demo.kind.value = "plain"
    demo.set(level=0.9)
    demo.undo()
    assert demo.level.value == 0.8
    demo.undo()
    assert demo.level.value == 0.5
    demo.undo()
    assert demo.level.value == 0.5


def test_the_json_text_goes_both_ways(demo: Demo) -> None:
    demo.set(level=0.3)
    demo.flush()
    text = demo.json.value
    assert '"level": 0.3' in text
    demo.json.value = text.replace("0.3", "0.7")
    button(demo, "Apply JSON").click()
    assert demo.state["level"] == 0.7
    button(demo, "Reset").click()
    assert demo.state["level"] == 0.5


def test_restore_is_all_or_nothing(demo: Demo) -> None:
    demo.restore({"level": 0.2, "wide": 1.0, "kind": "plain"})
    before = demo.state
    for values in (
        {"level": 0.9},
        {**before, "level": 2.0},
        {**before, "level": 0.9, "new": 1},
        {**before, "level": "x"},
    ):
        with pytest.raises(DomainError):
            demo.restore(values)
        assert demo.state == before
        assert demo.level.value == 0.2


def test_a_state_that_a_control_cannot_show_is_refused_whole(demo: Demo) -> None:
    with pytest.raises(DomainError, match="wide"):
        demo.set(level=0.9, wide=5.0)
    assert demo.state == {"level": 0.5, "wide": 0.0, "kind": "plain"}
    assert (demo.level.value, demo.wide.value) == (0.5, 0.0)


def test_an_error_of_render_is_shown_in_place_and_goes_when_it_is_cured(threaded: Demo) -> None:
    threaded.kind.value = "broken"
    threaded.flush()
    assert "ValueError: the &lt;kind&gt; is broken" in threaded.status.value
    assert "<details>" in threaded.status.value
    assert "Traceback" in threaded.status.value
    threaded.kind.value = "plain"
    threaded.flush()
    assert threaded.status.value == ""


def test_an_error_of_a_callback_is_shown_in_place(threaded: Demo) -> None:
    threaded.json.value = "{"
    button(threaded, "Apply JSON").click()
    assert "not JSON" in threaded.status.value
    threaded.flush()
    assert "not JSON" in threaded.status.value  # a picture that succeeds does not hide it
    threaded.set(level=0.1)
    assert threaded.status.value == ""


def test_headless_errors_are_shown_and_raised(alone: Demo) -> None:
    with pytest.raises(ValueError, match="kind"):
        alone.kind.value = "broken"
    assert "is broken" in alone.status.value
    with pytest.raises(ValueError, match="kind"):
        alone.flush()
    alone.json.value = "{"
    button(alone, "Apply JSON").click()
    with pytest.raises(DomainError, match="not JSON"):
        alone.flush()
    alone.flush()


def test_changes_from_many_threads_end_in_one_consistent_state(threaded: Demo) -> None:
    def turn(k: int) -> None:
        for step in range(20):
            threaded.set(level=(k * 20 + step) / 100)

    threads = [threading.Thread(target=turn, args=(k,)) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threaded.flush()
    assert threaded.level.value == threaded.state["level"]
    assert (threaded.view._fine == int(threaded.state["level"] * 255 + 0.5)).all()


def test_close_closes_every_widget_and_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_HEADLESS", raising=False)
    before = set(LIVE), threading.active_count()
    panel = Demo()
    assert len(LIVE) > len(before[0]) + 20
    panel.close()
    panel.close()
    assert (set(LIVE), threading.active_count()) == before
    panel.set(level=0.9)
    assert panel.state["level"] == 0.5


def test_a_build_that_fails_leaves_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_HEADLESS", raising=False)

    class Broken(Demo):
        def build(self) -> W.Widget:
            raise ValueError("cannot be built")

    before = threading.active_count()
    with pytest.raises(ValueError, match="cannot be built"):
        Broken()
    assert threading.active_count() == before


def test_a_rerun_replaces_the_earlier_panel_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    shell = InteractiveShell()
    monkeypatch.setattr("labkit.lab.panel.get_ipython", lambda: shell)
    first = Demo()
    count = len(LIVE)
    second = Demo()
    assert first._closed
    assert not second._closed
    assert len(LIVE) == count
    other = Demo(name="other")
    assert not second._closed
    second.close()
    other.close()


def test_what_the_notebook_keeps(alone: Demo) -> None:
    bundle = alone._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == alone.widget.model_id
