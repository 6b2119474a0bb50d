"""The inverse problem as a panel, without a browser: targets, starts, runs, uploads, and what survives a restart."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")

from ipywidgets import Button, widgets
from PIL import Image

from labkit.errors import DomainError, FileError
from labkit.lab import fractal_problem
from labkit.lab.fractal_fit_panel import FractalFitPanel
from labkit.lab.fractal_problem import OWN_PICTURE, FractalFitState, error, load_picture, pose
from labkit.lab.fractal_render import Drawing, rows_of, with_rows

LIVE = widgets.widget._instances
SMALL = {"target": "Sierpinski triangle", "size": 32, "points": 800, "steps": 15}


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def panel(headless: None) -> Iterator[FractalFitPanel]:
    made = FractalFitPanel(**SMALL)
    yield made
    made.close()


def gap(panel: FractalFitPanel) -> float:
    """The distance of the fitted fractal from the target."""
    state = panel.record
    problem = pose(state)
    system = with_rows(problem.start, state.fitted)
    return error(Drawing(system, state.size, state.last_sigma, problem.exposure).draw(20_000, 5), problem.target)


def file_of(picture: np.ndarray, kind: str = "PNG") -> bytes:
    """A picture file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind)
    return stream.getvalue()


def disc(side: int = 40) -> np.ndarray:
    """A dark disc on white, (side, side) uint8."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(x**2 + y**2 < (side / 4) ** 2, 0, 255).astype(np.uint8)


def test_pictures_are_there_at_once(panel: FractalFitPanel) -> None:
    assert all(view.png() for view in panel.views.values())
    assert panel.png() is not None
    assert panel.loss.value
    assert panel.dots.value
    assert "8, 4, 2, 1 px" in panel.schedule.value
    assert "changed by <b>+0 %</b>" in panel.verdict.value


def test_a_run_comes_much_closer_and_is_kept_in_the_state(panel: FractalFitPanel) -> None:
    before, loss, dots = gap(panel), panel.loss.value, panel.dots.value
    panel.runner.run()
    assert panel.runner.state == "done"
    assert gap(panel) < 0.3 * before
    assert panel._fit is not None
    assert len(panel._fit.losses) == 4 * 15
    assert panel._fit.sigmas == [8.0] * 15 + [4.0] * 15 + [2.0] * 15 + [1.0] * 15
    assert panel.record.fitted == rows_of(panel._fit.system)
    assert panel.loss.value != loss
    assert panel.dots.value != dots


def test_the_fitted_maps_survive_a_restart(panel: FractalFitPanel) -> None:
    panel.runner.run(steps=10)
    text, verdict = panel.json.value, panel.verdict.value
    panel.close()
    other = FractalFitPanel("another kernel")
    other.paste(text)
    assert other.verdict.value == verdict
    assert other.record.fitted == panel.record.fitted != ()
    other.close()


def test_steps_go_on_and_resume_begins_where_the_fit_ended(panel: FractalFitPanel) -> None:
    panel.runner._one.click()
    assert panel._fit is not None
    assert (panel.runner.state, len(panel._fit.losses)) == ("paused", 1)
    panel.runner._one.click()
    assert len(panel._fit.losses) == 2
    panel.runner.stop()
    fitted = panel.record.fitted
    panel.set(resume=True, rate=0.001)
    panel.runner.run(steps=1)
    assert np.abs(np.subtract(panel.record.fitted, fitted)).max() < 2e-3  # Adam's first step is as large as the rate
    panel.runner.stop()
    panel.set(resume=False)
    panel.runner.run(steps=1)
    assert np.abs(np.subtract(panel.record.fitted, rows_of(pose(panel.record).start))).max() < 2e-3


def test_another_problem_ends_the_fit_and_drops_its_maps(panel: FractalFitPanel) -> None:
    panel.runner.run(steps=3)
    assert panel.record.fitted
    panel.set(rate=0.02)
    assert panel.record.fitted
    assert panel.runner.state == "paused"
    panel.set(perturbation=50.0)
    assert panel.record.fitted == ()
    assert panel.runner.state == "stopped"
    panel.undo()
    panel.runner.run()
    assert len(panel.record.fitted) == 3


def test_a_random_start_has_as_many_maps_as_guessed(panel: FractalFitPanel) -> None:
    panel.set(start="random", maps=5)
    assert panel._maps.layout.display is None
    assert panel._perturbation.layout.display == "none"
    panel.runner.run(steps=2)
    assert len(panel.record.fitted) == 5
    assert pose(panel.record).truth is None


def test_the_schedule_is_geometric() -> None:
    assert FractalFitState(first_sigma=9.0, last_sigma=1.0, levels=3).sigmas == (9.0, 3.0, 1.0)
    assert FractalFitState(first_sigma=9.0, levels=1).sigmas == (1.0,)
    assert FractalFitState(first_sigma=1.0, last_sigma=2.0).sigmas == (2.0,)


def test_an_upload_becomes_the_target(panel: FractalFitPanel, folder: Path) -> None:
    panel.receive_upload("C:\\fake\\disc.png", file_of(disc()))
    assert (panel.record.target, panel.record.start) == (OWN_PICTURE, "random")
    assert (folder / panel.record.path).read_bytes() == file_of(disc())
    assert Path(panel.record.path).parent == Path("uploads")
    first = pose(panel.record).target
    assert float(first[16, 16]) == 1.0
    assert float(first[0, 0]) == 0.0
    before = gap(panel)
    panel.runner.run()
    assert gap(panel) < before
    panel.receive_upload("disc.png", file_of(255 - disc()))  # the same name, another picture
    torch.testing.assert_close(pose(panel.record).target, 1 - first, rtol=0, atol=1.01 / 255)  # rounded to 8 bits
    panel.set(invert=False)
    torch.testing.assert_close(pose(panel.record).target, first, rtol=0, atol=1.01 / 255)


def test_a_picture_is_padded_not_stretched() -> None:
    wide = np.zeros((10, 20), np.uint8)
    Path("wide.jpg").write_bytes(file_of(wide + 255, "JPEG"))
    with pytest.raises(FileError, match="one brightness"):
        load_picture("wide.jpg", 16, False)
    wide[:, 5:] = 255
    Path("wide.png").write_bytes(file_of(wide))
    loaded = load_picture("wide.png", 16, False)
    assert loaded.shape == (16, 16)
    assert not loaded[:4].any()
    assert not loaded[12:].any()
    assert float(loaded[8, 15]) == 1.0
    assert float(loaded[8, 1]) == 0.0


def test_transparent_is_white() -> None:
    layers = np.zeros((8, 8, 4), np.uint8)
    layers[2:6, 2:6, 3] = 255  # a black square on nothing
    Path("square.png").write_bytes(file_of(layers))
    loaded = load_picture("square.png", 8, True)
    assert float(loaded[4, 4]) == 1.0
    assert float(loaded[0, 0]) == 0.0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"no picture", "PNG or JPEG"),
        (file_of(disc())[:60], "PNG or JPEG"),
        (file_of(disc(), "GIF"), "PNG or JPEG"),
        (file_of(disc() * 0), "one brightness"),
    ],
)
def test_a_broken_file_is_told_in_the_panel(panel: FractalFitPanel, content: bytes, told: str) -> None:
    with pytest.raises(FileError, match=told):
        panel.receive_upload("broken.png", content)
    assert told in panel.status.value
    panel.set(target="fern", start="perturbed")
    assert panel.status.value == ""


def test_sizes_are_capped(panel: FractalFitPanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="at most"):
        panel.receive_upload("large.png", bytes(fractal_problem.MAX_BYTES + 1))
    assert not (folder / "uploads").exists()
    monkeypatch.setattr(fractal_problem, "MAX_PIXELS", 100)
    Path("disc.png").write_bytes(file_of(disc()))
    with pytest.raises(FileError, match="40 x 40 pixels"):
        load_picture("disc.png", 16, True)


def test_missing_things_are_named(panel: FractalFitPanel) -> None:
    with pytest.raises(FileError, match="upload one"):
        panel.set(target=OWN_PICTURE)
    with pytest.raises(FileError, match="absent"):
        panel.set(path="absent.png")
    Path("disc.png").write_bytes(file_of(disc()))
    panel.set(path="disc.png")
    with pytest.raises(DomainError, match="random"):
        panel.set(start="perturbed")


def test_export(panel: FractalFitPanel, folder: Path) -> None:
    (button,) = [w for w in LIVE.values() if isinstance(w, Button) and w.description == "Export PNG"]
    button.click()
    assert (folder / "exports" / "fit-Sierpinski-triangle-1.png").read_bytes() == panel.png()


def test_live_a_fit_runs_on_its_own_thread_and_can_be_paused_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0")
    before = threading.active_count()
    panel = FractalFitPanel("live", **{**SMALL, "steps": 200})
    panel.flush()
    panel.runner.run(steps=5)
    panel.runner.join()
    panel.flush()
    assert panel.runner.state == "paused"
    assert panel._fit is not None
    assert len(panel._fit.losses) == 5
    assert panel.record.fitted == rows_of(panel._fit.system)
    panel.runner.run()
    panel.set(target="dragon")
    panel.runner.join()
    panel.flush()
    assert panel.runner.state == "stopped"
    assert panel.record.fitted == ()
    assert panel.status.value == ""
    panel.runner.run()
    panel.close()
    assert threading.active_count() == before


def test_closing_closes_every_widget(headless: None) -> None:
    before = len(LIVE)
    FractalFitPanel("brief", **SMALL).close()
    assert len(LIVE) == before
