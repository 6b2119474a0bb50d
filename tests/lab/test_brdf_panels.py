"""The two BRDF panels without a browser: they start with pictures, follow their state, run, and close."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from ipywidgets import Button, widgets

from labkit.errors import DomainError, FileError
from labkit.geometry import save_mesh, torus
from labkit.lab.brdf_fit import place
from labkit.lab.brdf_lobe_view import LobeView
from labkit.lab.brdf_model import PARAMETERS, lobe, parameters_of
from labkit.lab.brdf_panel import BrdfLab
from labkit.lab.brdf_recovery import ALL, HIGHLIGHT, PRESETS, BrdfRecovery, RecoveryState
from labkit.lab.brdf_state import PRESETS as LOOKS
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.orbit import Orbit

LIVE = widgets.widget._instances
SMALL = {"size": 32, "steps": 40}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    return tmp_path


@pytest.fixture
def lab() -> Iterator[BrdfLab]:
    made = BrdfLab(size=64)
    yield made
    made.close()


@pytest.fixture
def recovery() -> Iterator[BrdfRecovery]:
    made = BrdfRecovery(**SMALL)
    yield made
    made.close()


def shown(lab: BrdfLab) -> set[str]:
    """Sliders of the material that are on the page."""
    return {name for name, slider in lab.numbers.items() if slider.layout.display is None}


def test_everything_is_there_at_once(lab: BrdfLab) -> None:
    assert lab.png() is not None
    assert all(view.png() for view in lab.strip.views[:3])
    assert bytes(lab.polar.value).startswith(b"\x89PNG")
    assert "103&nbsp;%" in lab.energy.value
    assert "impossible" in lab.energy.value


@pytest.mark.parametrize("look", LOOKS)
def test_only_the_sliders_of_the_material_are_shown(look: str, lab: BrdfLab) -> None:
    (button,) = [w for w in LIVE.values() if isinstance(w, Button) and w.description == look]
    button.click()
    assert lab.record.material == LOOKS[look]["material"]
    names = parameters_of(lab.record.material)
    assert shown(lab) == set(names)
    titles = [
        title.value for title, box in zip(lab.strip._titles, lab.strip._boxes, strict=True) if not box.layout.display
    ]
    assert len(titles) == len(names)
    assert all(PARAMETERS[name].label in title for name, title in zip(names, titles, strict=True))
    assert lab.status.value == ""


def test_every_light_and_every_number_changes_the_picture(lab: BrdfLab) -> None:
    changes = [
        {"point": 3.0},
        {"point_distance": 1.5},
        {"point_color": "#00ff00"},
        {"directional_azimuth": -60.0},
        {"ambient": 0.5},
        {"harmonics": 1.0},
        {"sh6": 1.0},
        {"specular": 0.9},
        {"shininess": 5.0},
        {"diffuse": 0.5},
        {"material": "Cook-Torrance"},
        {"roughness": 0.2},
        {"metallic": 0.5},
        {"reflectance": 0.5},
        {"mesh": "chair"},
        {"azimuth": -70.0},
        {"background": "#ffffff"},
    ]
    for change in changes:
        before = lab.png()
        lab.set(**change)
        assert lab.png() != before, change


def test_the_lights_menu_chooses_the_sliders(lab: BrdfLab) -> None:
    for light in lab.lights:
        lab.set(light=light)
        assert [name for name, box in lab.lights.items() if box.layout.display is None] == [light]


def test_the_lobe_follows_and_the_picture_does_not(lab: BrdfLab) -> None:
    picture, polar, energy = lab.png(), lab.polar.value, lab.energy.value
    lab.set(incidence=80.0)
    assert lab.png() == picture
    assert lab.polar.value != polar
    assert lab.energy.value != energy
    polar = lab.polar.value
    lab.set(rooted=True)
    assert lab.polar.value != polar
    lab.set(material="Cook-Torrance", roughness=0.05)
    assert "disc: radius" in lab.lobe_title.value
    assert "at most what came in" in lab.energy.value


def test_dragging_turns_the_picture(lab: BrdfLab) -> None:
    lab.view.on_drag(20.0, 10.0)
    assert (lab.record.azimuth, lab.record.elevation) == (15.0, 45.0)
    lab.view.on_drag(0.0, 1000.0)
    assert lab.record.elevation == 89.0


def test_dark_is_fine(lab: BrdfLab) -> None:
    lab.set(directional=0.0, ambient=0.0, diffuse=0.0, specular=0.0)
    assert lab.status.value == ""
    assert "0&nbsp;%" in lab.energy.value


def test_a_mesh_of_ones_own(lab: BrdfLab, recovery: BrdfRecovery, folder: Path) -> None:
    save_mesh(torus(), folder / "own.obj")
    content = (folder / "own.obj").read_bytes()
    for panel in (lab, recovery):
        before = panel.strip.views[0].png()
        panel.mesh.receive([("mine.obj", content)])
        assert (panel.record.mesh, panel.record.path) == (OWN_FILE, "uploads/mine.obj")
        assert panel.strip.views[0].png() != before
        with pytest.raises(FileError, match="absent"):
            panel.set(path="absent.obj")
        assert "absent" in panel.status.value


def test_export(lab: BrdfLab, folder: Path) -> None:
    assert lab.export_png().read_bytes() == lab.png()
    assert (folder / "exports" / "brdf-Phong-1.png").is_file()


def test_a_lobe_without_webgl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_VIEW", "image")
    view = LobeView(64, 64)
    values = {name: parameter.default for name, parameter in PARAMETERS.items()}
    blank = view._picture(Orbit())
    view.show(lobe("Phong", values, 45.0), 45.0, 1.2, False)
    drawn = view._picture(Orbit.around(20.0, 20.0, 3.0))
    assert drawn.shape == blank.shape == (3, 64, 64)
    assert float((drawn - drawn[:, :1, :1]).abs().amax(0).gt(0.05).float().mean()) > 0.05
    view.close()


def test_a_recovery_finds_the_numbers(recovery: BrdfRecovery) -> None:
    before, paths = recovery.verdict.value, recovery.png()
    recovery.set(steps=150)
    recovery.runner.run()
    assert recovery.runner.state == "done"
    fit = recovery._recovery(recovery.record)
    for name in ("diffuse", "specular", "shininess"):
        assert place(name, fit.values[name]) == pytest.approx(place(name, fit.problem.truth[name]), abs=0.02)
    assert recovery.verdict.value != before
    assert recovery.png() != paths
    recovery.runner.run(steps=1)
    assert len(recovery._recovery(recovery.record).losses) == 1  # a new run begins anew


@pytest.mark.parametrize(("preset", "right"), [("texture, 1 light", False), ("texture, 4 lights", True)])
def test_the_negative_result_is_one_button_away(preset: str, right: bool, recovery: BrdfRecovery) -> None:
    recovery.set(**PRESETS[preset], size=48, steps=150)
    recovery.runner.run()
    fit = recovery._recovery(recovery.record)
    assert fit.losses[-1] < 0.01 * fit.first
    off = abs(np.log(fit.values["shininess"] / fit.problem.truth["shininess"]))
    assert bool(off < 0.05) is right
    assert right or off > 0.5


def test_what_is_hidden() -> None:
    assert RecoveryState().names == ("diffuse", "specular", "shininess")
    assert RecoveryState(texture=True).names == ("specular", "shininess")
    assert RecoveryState(hidden=HIGHLIGHT, texture=True).names == ("shininess",)
    assert RecoveryState(material="Cook-Torrance", hidden=HIGHLIGHT).names == ("roughness",)
    assert RecoveryState(material="Lambert", hidden=HIGHLIGHT).names == ()
    assert RecoveryState(material="Lambert", hidden=ALL).names == ("diffuse",)


def test_nothing_hidden_is_told(recovery: BrdfRecovery) -> None:
    with pytest.raises(DomainError, match="hidden"):
        recovery.set(material="Lambert", hidden=HIGHLIGHT)
    recovery.set(texture=True)  # now there is something
    assert recovery.status.value == ""
    assert recovery._path_box.layout.display == "none"
    recovery.runner.run(steps=2)


def test_another_problem_ends_the_fit(recovery: BrdfRecovery) -> None:
    recovery.runner.run(steps=3)
    assert recovery.runner.state == "paused"
    picture = recovery.strip.views[0].png()
    recovery.set(shot=2)
    assert recovery.runner.state == "paused"
    assert recovery.strip.views[0].png() != picture
    assert len(recovery._recovery(recovery.record).losses) == 3
    recovery.set(seed=5)
    assert recovery.runner.state == "stopped"
    assert recovery._recovery(recovery.record).losses == []


def test_live_a_fit_runs_on_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0")
    before = threading.active_count()
    panel = BrdfRecovery("live", **{**SMALL, "steps": 1000})
    panel.flush()
    panel.runner.run(steps=5)
    panel.runner.join()
    assert panel.runner.state == "paused"
    panel.runner.run()
    panel.set(seed=7)
    panel.runner.join()
    panel.flush()
    assert panel.runner.state == "stopped"
    assert panel.status.value == ""
    panel.close()
    assert threading.active_count() == before


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    BrdfLab("brief", size=64).close()
    BrdfRecovery("brief too", **SMALL).close()
    assert len(LIVE) == before
