"""The explorer as a panel, without a browser: controls, presets, clicks, files, exports and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("pythreejs")

from ipywidgets import Button, widgets

from labkit import load_mesh
from labkit.errors import DomainError, FileError
from labkit.lab.explorer import SmoothnessExplorer
from labkit.lab.explorer_state import OWN_FILE, PRESETS
from labkit.lab.orbit import Orbit

LIVE = widgets.widget._instances
SMALL = {"mesh": "icosphere", "size": 64}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def explorer() -> Iterator[SmoothnessExplorer]:
    panel = SmoothnessExplorer(**SMALL)
    yield panel
    panel.close()


def press(panel: SmoothnessExplorer, text: str) -> None:
    """Click the button of that text, as a browser's message would."""
    live = [w for w in LIVE.values() if isinstance(w, Button) and w.description == text]
    assert len(live) == 1
    live[0].click()
    panel.flush()


def shown(panel: SmoothnessExplorer) -> np.ndarray:
    """The sharp soft picture, (H, W, 3)."""
    assert panel._newest is not None
    return panel._newest.picture.numpy()


def test_a_picture_is_there_at_once(explorer: SmoothnessExplorer) -> None:
    assert shown(explorer).std() > 0.05
    assert explorer.png() is not None
    assert "64 x 64 pixels, CPU kernel" in explorer.readout.value
    assert explorer.note.value == explorer.status.value == ""
    assert "Click a pixel" in explorer.table.value
    assert all(view.png() for view in explorer.strip.values())


def test_presets_change_the_picture_and_reset_undoes_it(explorer: SmoothnessExplorer) -> None:
    seen = [shown(explorer)]
    for name, values in PRESETS.items():
        press(explorer, name)
        assert {field: explorer.state[field] for field in values} == values
        seen.append(shown(explorer))
    for i, one in enumerate(seen):
        assert all(np.abs(one - other).mean() > 1e-3 for other in seen[i + 1 :])
    press(explorer, "Reset")
    np.testing.assert_array_equal(shown(explorer), seen[0])


def test_only_what_matters_is_on_show(explorer: SmoothnessExplorer) -> None:
    def visible() -> set[str]:
        return {name for name, slider in explorer.controls._looks.items() if slider.layout.display != "none"}

    assert visible() == set()
    explorer.set(material="Phong")
    assert visible() == {"specular", "shininess"}
    explorer.set(material="Cook-Torrance")
    assert visible() == {"roughness", "metallic", "reflectance"}
    explorer.set(steepness=128.0)
    assert "<b>0.5 px</b>" in explorer.controls.edge.value
    assert explorer.controls._own.layout.display == "none"


def test_a_click_names_faces_and_lights_them_up(explorer: SmoothnessExplorer) -> None:
    before = explorer.bars.value
    explorer.soft.click(32, 20)
    assert explorer.state["pick"] == [32.5 / 64, 20.5 / 64]
    assert explorer.table.value.count("<tr>") == 1 + 8
    assert "row 32, column 20" in explorer.table.value
    assert explorer.bars.value != before
    assert explorer._newest is not None
    assert explorer.view._shown.lit.tolist() == list(explorer._newest.lit)
    explorer.set(size=128)
    assert "row 65, column 41" in explorer.table.value
    explorer.strip["depth"].click(0, 0)
    assert explorer.soft.marked == (0, 0)


def test_view_and_sliders_share_one_camera(explorer: SmoothnessExplorer) -> None:
    explorer.set(azimuth=-60.0, elevation=10.0, distance=4.0)
    assert explorer.view.orbit.near(Orbit.around(-60.0, 10.0, 4.0))
    explorer.view.on_camera(Orbit.around(100.0, 20.0, 5.0))
    assert [explorer.state[name] for name in ("azimuth", "elevation", "distance")] == [100.0, 20.0, 5.0]
    explorer.view.on_camera(Orbit.around(0.0, 89.9, 99.0, (0.0, 1.0, 0.0)))  # too steep, too far, panned away
    assert [explorer.state[name] for name in ("azimuth", "elevation", "distance")] == [0.0, 89.0, 10.0]
    assert explorer.view.orbit.near(Orbit.around(0.0, 89.0, 10.0))


def test_exports(explorer: SmoothnessExplorer, folder: Path) -> None:
    press(explorer, "PNG")
    press(explorer, "PNG")
    press(explorer, "OBJ")
    names = ["icosphere-1.obj", "icosphere-1.png", "icosphere-2.png"]
    assert sorted(path.name for path in (folder / "exports").iterdir()) == names
    assert (folder / "exports" / "icosphere-1.png").read_bytes() == explorer.png()
    assert len(load_mesh(folder / "exports" / "icosphere-1.obj").faces) == 1280
    assert str(folder / "exports" / "icosphere-1.obj") in explorer.controls.exported.value


def test_an_upload_is_shown(explorer: SmoothnessExplorer, folder: Path) -> None:
    text = b"v -1 -1 0\nv 1 -1 0\nv 0 1 0\nf 1 2 3\n"
    explorer._upload([("mine.obj", text)])
    assert explorer.state["mesh"] == OWN_FILE
    assert (folder / explorer.state["path"]).read_bytes() == text
    assert explorer._newest is not None
    assert len(explorer._newest.subject.mesh.faces) == 1
    assert explorer.controls._own.layout.display is None


def test_a_bad_file_is_told_in_the_panel_and_raised(explorer: SmoothnessExplorer) -> None:
    earlier = shown(explorer)
    with pytest.raises(FileError, match="absent"):
        explorer.set(mesh=OWN_FILE, path="absent.obj")
    assert "absent.obj" in explorer.status.value
    np.testing.assert_array_equal(shown(explorer), earlier)
    explorer.set(mesh="icosphere")
    assert explorer.status.value == ""
    with pytest.raises(DomainError, match="steepness"):
        explorer.set(steepness=0.0)


def test_state_travels_as_json(explorer: SmoothnessExplorer) -> None:
    explorer.set(material="Phong", pick=(0.5, 0.5), background="#abcdef")
    text = explorer.json.value
    explorer.reset()
    explorer.paste(text)
    assert explorer.state["material"] == "Phong"
    assert explorer.state["pick"] == [0.5, 0.5]


def test_without_webgl_there_are_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_VIEW", "image")
    panel = SmoothnessExplorer("other", **SMALL)
    panel.soft.click(32, 32)
    assert panel.view._picture.png() is not None
    panel.close()


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    SmoothnessExplorer("brief", **SMALL).close()
    assert len(LIVE) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spot_triangulated.obj", "stanford-bunny.obj", "suzanne.obj", "teapot.obj"])
def test_real_meshes_are_shown_and_exported(shared_mesh: Callable[[str], Path], name: str, folder: Path) -> None:
    path = shared_mesh(name)
    panel = SmoothnessExplorer(mesh=OWN_FILE, path=str(path), size=64)
    assert shown(panel).std() > 0.02
    written = panel.export_obj()
    assert len(load_mesh(written).faces) == len(load_mesh(path).faces)
    assert panel.export_png().stat().st_size > 500
    panel.close()
