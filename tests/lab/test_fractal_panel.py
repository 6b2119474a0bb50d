"""The fractal explorer as a panel, without a browser: sliders, maps, systems, presets, exports and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from ipywidgets import Button, widgets

from labkit.errors import DomainError
from labkit.lab.fractal_panel import FractalExplorer
from labkit.lab.fractal_state import FERN, PRESETS

LIVE = widgets.widget._instances
SMALL = {"size": 48, "points": 1500}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def panel() -> Iterator[FractalExplorer]:
    made = FractalExplorer(**SMALL)
    yield made
    made.close()


def press(panel: FractalExplorer, text: str) -> None:
    """Click the button of that text, as a browser's message would."""
    (found,) = [w for w in LIVE.values() if isinstance(w, Button) and w.description == text]
    found.click()
    panel.flush()


def shown(panel: FractalExplorer) -> np.ndarray:
    """The newest picture, (H, W)."""
    assert panel._newest is not None
    return panel._newest.picture.numpy()


def test_a_picture_is_there_at_once(panel: FractalExplorer) -> None:
    assert shown(panel).shape == (48, 48)
    assert shown(panel).std() > 0.1
    assert panel.png() is not None
    assert "48 x 48 pixels, 1,500 points, CPU" in panel.readout.value
    assert " MB" in panel.readout.value
    assert panel.facts.value.count("<tr") == 1 + 4
    assert "a3 of map 2" in panel.scale.value
    assert panel.status.value == ""


def test_sliders_hold_the_chosen_map(panel: FractalExplorer) -> None:
    for number, row in enumerate(FERN):
        panel.chooser.index = number
        assert panel.record.chosen == number + 1
        assert [slider.value for slider in panel.sliders] == pytest.approx(row, abs=1e-6)


def test_a_slider_moves_one_number_and_the_picture(panel: FractalExplorer) -> None:
    before = shown(panel)
    panel.sliders[2].value = 0.2
    assert panel.record.coefficients[1][2] == 0.2
    assert [row for number, row in enumerate(panel.record.coefficients) if number != 1] == [
        FERN[number] for number in (0, 2, 3)
    ]
    assert np.abs(shown(panel) - before).mean() > 0.01
    panel.sliders[3].value = 1.0
    assert panel.record.coefficients[1][2:4] == (0.2, 1.0)
    assert panel.record.parameter == "a4"  # the derivative follows the slider in hand
    press(panel, "Maps as built in")
    np.testing.assert_array_equal(shown(panel), before)


def test_an_echo_of_a_slider_is_no_change(panel: FractalExplorer) -> None:
    panel.set(coefficients=(FERN[0], (0.0, -0.15, 0.0437, 1.6, -0.04, -0.15), *FERN[2:]))
    panel.sliders[2].value = 0.04  # rounded to its step by the browser
    assert panel.record.coefficients[1][2] == 0.0437


def test_another_system_begins_as_it_is_built_in(panel: FractalExplorer) -> None:
    panel.sliders[0].value = 1.0
    panel.set(system="dragon")
    assert panel.record.coefficients == ()
    assert list(panel.chooser.options) == ["1", "2"]
    panel.set(chosen=4)
    assert panel.chooser.index == 1
    assert "of map 2" in panel.scale.value
    panel.set(system="random", maps=5)
    assert len(panel.chooser.options) == 5
    earlier = shown(panel)
    panel.set(system_seed=2)
    assert np.abs(shown(panel) - earlier).mean() > 0.01
    assert panel.random.layout.display is None
    panel.set(system="fern")
    assert panel.random.layout.display == "none"


def test_presets_change_the_picture_and_reset_undoes_them(panel: FractalExplorer) -> None:
    first = shown(panel)
    seen = {}
    for name in PRESETS:
        press(panel, name)
        seen[name] = shown(panel)
    np.testing.assert_array_equal(seen["fern"], first)
    assert all(np.abs(seen[name] - first).mean() > 0.01 for name in PRESETS if name != "fern")
    press(panel, "Reset")
    np.testing.assert_array_equal(shown(panel), first)


def test_a_click_chooses_the_frame_under_it(panel: FractalExplorer) -> None:
    panel.soft.click(340, 160)  # inside the frame of the left leaf, and of the whole fern's
    assert panel.record.chosen == 3
    panel.soft.click(2, 2)
    assert panel.record.chosen == 3
    panel.set(frames=False, chosen=1)
    panel.soft.click(340, 160)
    assert panel.record.chosen == 1


def test_maps_that_stretch_are_told_in_the_panel(panel: FractalExplorer) -> None:
    with pytest.raises(DomainError, match="maps that contract"):
        panel.set(coefficients=(FERN[0], (0.0, 1.0, 0.0, 1.6, 0.0, 1.0), *FERN[2:]))
    assert "maps that contract" in panel.status.value
    assert panel.sliders[1].value == 1.0  # beyond the slider's usual range, which has grown
    press(panel, "Maps as built in")
    assert panel.status.value == ""


def test_state_travels_as_json(panel: FractalExplorer) -> None:
    panel.set(system="dragon", sigma=3.0)
    panel.sliders[4].value = 0.25
    text, picture = panel.json.value, shown(panel)
    panel.reset()
    panel.paste(text)
    np.testing.assert_array_equal(shown(panel), picture)


def test_export(panel: FractalExplorer, folder: Path) -> None:
    panel.set(system="Sierpinski triangle")
    press(panel, "Export PNG")
    press(panel, "Export PNG")
    assert sorted(path.name for path in (folder / "exports").iterdir()) == [
        "Sierpinski-triangle-1.png",
        "Sierpinski-triangle-2.png",
    ]
    assert "Sierpinski-triangle-2.png" in panel.exported.value


def test_a_coarse_picture_shows_the_same_fractal(panel: FractalExplorer) -> None:
    panel.set(size=256, points=20_000)
    coarse = panel.render(panel.record, "coarse").picture
    sharp = shown(panel)
    assert len(coarse) < len(sharp)
    assert float(coarse.mean()) == pytest.approx(float(sharp.mean()), rel=0.2)


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    FractalExplorer("brief", **SMALL).close()
    assert len(LIVE) == before
