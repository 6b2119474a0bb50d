"""What is kept of a run's events, drawn from it, and written out."""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytest.importorskip("filelock")

from labkit.errors import DomainError, FileError, LabError
from labkit.events import Done, Failed, MeshPreview, Phase, Picture, Saved, Step, Warned
from labkit.geometry import load_mesh
from labkit.lab import training_history, training_plots
from labkit.lab.orbit import Orbit
from labkit.lab.picture_view import PictureView
from labkit.lab.training_export import curves_csv, export_mesh, export_run
from labkit.lab.training_history import POINTS, Curve, History, earlier
from labkit.lab.training_plan import TrainingState, described, planned, runs_below, word_for
from labkit.lab.training_views import Frame, TrainingViews
from labkit.train.preview_files import save_preview
from labkit.train.run_folder import RunFolder
from tests.lab import ball_recipe
from tests.tolerances import FLOAT64

EXACT = {"rel": FLOAT64["rtol"], "abs": FLOAT64["atol"]}


def told(*events: object) -> training_history.Seen:
    history = History()
    for event in events:
        history.receive(event)  # type: ignore[arg-type]
    return history.seen()


@given(st.integers(1, 3000), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_a_curve_stays_small_and_keeps_the_mean(count: int, every: int) -> None:
    curve = Curve()
    for number in range(1, count + 1):
        curve.add(every * number, float(number))
    assert len(curve.steps) == len(curve.values) < POINTS
    assert len(curve.steps) >= min(count, POINTS // 2 - 1)
    assert curve.steps == sorted(set(curve.steps))
    each = round(count / len(curve.steps)) if curve.steps else 1
    kept = curve.steps[-1] // every
    # means of equally many neighbours of 1, 2, ..., kept: their mean is the mean of all
    assert np.mean(curve.values) == pytest.approx((kept + 1) / 2, **EXACT)
    assert kept > count - 2 * each


def test_a_resumed_run_forgets_what_it_does_again() -> None:
    steps = [Step(number, 9, {"loss": float(number == 7)}) for number in range(1, 8)]
    seen = told(Phase(0, "started", 9), *steps, Phase(4, "started", 12), Step(5, 12, {"loss": 3.0}))
    assert seen.curves["loss"] == ((1, 2, 3, 4, 5), (0.0, 0.0, 0.0, 0.0, 3.0))
    assert (seen.number, seen.total, seen.word) == (5, 12, "running")
    assert seen.best["loss"] == (0.0, 1)
    again = told(Phase(0, "started", 9), Step(1, 9, {"loss": 5.0}), Step(2, 9, {"loss": 1.0}), Phase(1, "started", 9))
    assert "loss" not in again.best or again.best["loss"][1] <= 1


def test_the_best_is_the_smallest_loss_and_the_largest_psnr() -> None:
    seen = told(
        Step(1, 3, {"loss": 2.0, "gradient": 1.0}),
        Saved(1, "checkpoints/000001", True, {"psnr unseen": 20.0}),
        Step(2, 3, {"loss": 1.0, "gradient": 9.0}),
        Step(3, 3, {"loss": float("nan"), "gradient": 2.0}),
        Saved(3, "checkpoints/000003", False, {"psnr unseen": 18.0}),
    )
    assert seen.best == {"loss": (1.0, 2), "psnr unseen": (20.0, 1)}
    assert math.isnan(seen.newest["loss"])
    assert (seen.newest["psnr unseen"], seen.newest["gradient"], seen.checkpoint) == (18.0, 2.0, 3)


def test_words_messages_and_previews() -> None:
    picture = Picture(3, "view 0", torch.zeros(1, 2, 2))
    seen = told(Phase(0, "started", 5), Step(4, 5, {}), picture, Warned(4, "w"), Warned(4, "w"), Phase(4, "paused", 5))
    assert (seen.word, seen.active, seen.number, seen.newest_preview) == ("paused", True, 4, 3)
    assert seen.messages == ((4, False, "w"),)
    assert told(Phase(4, "paused", 5), Phase(4, "running", 5)).word == "running"
    assert told(Failed(2, "gone")).messages == ((2, True, "gone"),)
    assert [told(event).word for event in (Failed(2, ""), Done(5), Done(3, stopped=True))] == [
        "failed",
        "done",
        "stopped",
    ]
    many = told(*(Warned(number, str(number)) for number in range(100)))
    assert [number for number, *_ in many.messages] == list(range(80, 100))


def test_the_pace_out_of_a_file_is_that_of_the_steps_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.0, 1.0, 5.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(training_history.time, "monotonic", lambda: next(clock))
    steps = [Step(number, 10, {"seconds": 0.25}) for number in (1, 2, 3)]
    replayed = told(*steps)
    assert replayed.rate == pytest.approx(4.0, **EXACT)
    assert replayed.seconds_left == pytest.approx(7 / 4, **EXACT)
    assert told(*steps).rate == pytest.approx(1.0, **EXACT)
    assert told(steps[0]).rate is None


def test_earlier_previews_come_from_the_folder(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "ball", {}).path
    for number in (0, 4, 8):
        save_preview(run, Picture(number, "view 0", torch.full((1, 2, 2), number / 10)))
    save_preview(run, ball_recipe.surface(4, "surface", 0.5, 0.0))
    truth = ball_recipe.surface(9, "truth", 0.7, 0.0)
    seen = told(truth, ball_recipe.surface(8, "surface", 0.6, 0.0))
    loaded: dict[Path, MeshPreview | Picture] = {}
    meshes, pictures = earlier(run, seen, 7, loaded)
    assert (pictures["view 0"].number, meshes["surface"].number, meshes["truth"]) == (4, 4, truth)
    assert torch.allclose(pictures["view 0"].image, torch.tensor(0.4), atol=1 / 510)  # 8 bits on disk
    again = earlier(run, seen, 7, loaded)
    assert again[0]["surface"] is meshes["surface"]
    meshes, pictures = earlier(run, seen, 3, loaded)
    assert (pictures["view 0"].number, set(meshes)) == (0, {"truth"})
    assert len(loaded) == 1


def test_smoothing_is_a_weighted_mean_of_the_past() -> None:
    values = [4.0, 2.0, float("nan"), 8.0]
    assert training_plots.smooth(values[:2], 0.0).tolist() == [4.0, 2.0]
    found = training_plots.smooth(values, 0.5)
    second = (2.0 + 0.5 * 4.0) / 1.5
    assert found == pytest.approx([4.0, second, second, (8 + 0.5 * 2 + 0.25 * 4) / 1.75], **EXACT)
    assert training_plots.smooth([5.0] * 9, 0.9) == pytest.approx([5.0] * 9, **EXACT)


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("log", [True, False])
def test_curves_show_every_term_and_survive_what_cannot_be_drawn(log: bool) -> None:
    size = (400, 200)
    line = ((1, 2, 3, 4), (1.0, 0.5, 0.0, float("nan")))
    empty = decoded(training_plots.loss_curves({}, None, 0.5, log, size))
    one = decoded(training_plots.loss_curves({"loss": line, "seconds": line}, None, 0.5, log, size))
    two = decoded(training_plots.loss_curves({"loss": line, "loss color": line}, 2, 0.0, log, size))
    for picture in (empty, one, two):
        assert picture.shape == (200, 400, 3)

    def drawn(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
        return bool((np.abs(picture - color).max(-1) < 30).any())

    soft, hard = (0, 114, 178), (213, 94, 0)
    assert not drawn(empty, soft)
    assert drawn(one, soft)
    assert not drawn(one, hard)
    assert drawn(two, hard)


def test_a_sheet_puts_each_view_beside_its_truth() -> None:
    def picture(name: str, grey: float) -> Picture:
        return Picture(1, name, torch.full((1, 10, 12), grey))

    pictures = {"truth 10": picture("truth 10", 0.4)} | {
        f"{kind} {n}": picture(f"{kind} {n}", level + n / 10)
        for kind, level in (("view", 0.0), ("truth", 0.5))
        for n in (0, 1, 2)
    }
    whole = training_plots.sheet(pictures)
    assert whole is not None
    # two pairs a row, cells of 12 x 10 with 1 between and 3 after a pair
    places = {"view 0": (0, 0), "truth 0": (0, 13), "view 1": (0, 28), "truth 1": (0, 41)}
    places |= {"view 2": (11, 0), "truth 2": (11, 13), "truth 10": (11, 28)}
    assert whole.shape == (21, 53, 3)
    for name, (top, left) in places.items():
        level = float(pictures[name].image[0, 0, 0]) * 255
        assert np.abs(whole[top : top + 10, left : left + 12].astype(float) - level).max() < 1, name
    assert (whole[10] == 255).all()
    assert (whole[:, 12] == 255).all()
    assert (whole[:, 25:28] == 255).all()
    assert training_plots.sheet({}) is None


def test_the_table_names_newest_and_best() -> None:
    text = training_plots.table({"loss <b>": 0.5, "psnr": 20.0}, {"psnr": (21.5, 1200)})
    assert "loss &lt;b&gt;" in text
    for part in ("0.5", "20", "21.5", "1,200"):
        assert f">{part}<" in text


def test_overrides_reach_the_config_and_wrong_ones_are_named() -> None:
    state = TrainingState(preset="tiny", steps=7, seed=3, overrides="radius = 0.4\n\n device = cpu\nspoiled=2")
    config = planned(ball_recipe, state)
    assert (config.steps, config.seed, config.radius, config.device, config.spoiled) == (7, 3, 0.4, "cpu", 2)
    assert "radius = 0.4" in described(ball_recipe, config)
    assert "7 steps" in described(ball_recipe, config)
    for bad, told_of in (
        ("hight = 1", "height"),
        ("radius = wide", "radius"),
        ("radius", "path|lines"),
        ("a.b = 1", "a"),
    ):
        with pytest.raises(LabError, match=told_of):
            planned(ball_recipe, TrainingState(preset="tiny", overrides=bad))


def test_the_menu_lists_the_recipe_s_runs_newest_first(tmp_path: Path) -> None:
    for place, (name, recipe) in enumerate((("a", "ball"), ("b", "udr"), ("c", "ball"))):
        folder = RunFolder.create(tmp_path / name, recipe, {})
        os.utime(folder.path / "config.json", (place, place))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "config.json").write_text("no json")
    assert runs_below(tmp_path, "ball") == [("c", str(tmp_path / "c")), ("a", str(tmp_path / "a"))]
    with RunFolder.open(tmp_path / "a").locked():
        assert [text for text, _ in runs_below(tmp_path, "ball")] == ["c", "▶ a"]
    assert runs_below(tmp_path / "nowhere", "ball") == []


def test_other_processes_know_a_recipe_by_its_import_path() -> None:
    from labkit.train import udr

    assert word_for(udr) == "udr"
    assert word_for(ball_recipe) == ball_recipe.__name__


def test_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "one"
    config = ball_recipe.PRESETS["tiny"]
    list(ball_recipe.train(config, run))
    for suffix in (".obj", ".glb"):
        path = export_mesh(ball_recipe.surface(3, "surface", 0.5, 0.0), suffix)
        assert load_mesh(path).vertices.norm(dim=-1).max() == pytest.approx(0.5, rel=1e-6)  # 6 digits in OBJ
    rows = list(csv.reader(io.StringIO(curves_csv(run).decode())))
    assert rows[0][0] == "step"
    assert [int(row[0]) for row in rows[1:]] == list(range(1, config.steps + 1))
    (run / "lock").touch()
    first, second = export_run(run), export_run(run)
    assert first != second
    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
        assert archive.read("one/events.jsonl") == (run / "events.jsonl").read_bytes()
    assert {"one/config.json", "one/latest"} <= names
    assert any(name.startswith("one/checkpoints/") for name in names)
    assert not any(name.endswith(("lock", "owner.json")) for name in names)
    empty = RunFolder.create(tmp_path / "empty", "ball", {}).path
    with pytest.raises(DomainError, match="no steps"):
        curves_csv(empty)
    with pytest.raises(FileError):
        export_run(tmp_path / "nowhere")


def test_pictures_stand_in_where_there_is_no_webgl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    monkeypatch.setenv("LABKIT_VIEW", "image")
    views = TrainingViews(pytest.fail)
    ball = ball_recipe.surface(1, "surface", 0.5, 0.0)
    views.show(Frame("run", told(ball), TrainingState(), {"surface": ball}, {}))
    assert isinstance(views.surface, PictureView)
    found = views.surface._picture._fine
    assert found is not None
    assert found.std() > 5
    views.truth.on_camera(Orbit((0.0, 0.0, 2.0)))  # the other eye follows
    assert views.surface.orbit.eye == (0.0, 0.0, 2.0)
    views.close()
