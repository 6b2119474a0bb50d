"""The panels of the shootout, driven from Python."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.lab.shootout_cameras import cameras_picture
from labkit.lab.shootout_checks_panel import ChecksPanel
from labkit.lab.shootout_panel import COARSE, SIDE, ShootoutPanel
from labkit.lab.shootout_plots import Tile, field_picture, outlined
from labkit.lab.shootout_scene import NAMES, SHAPES
from labkit.lab.shootout_sheet import GAP, GREY, TILE, SheetPanel, SheetState, name_at, silhouette
from labkit.render import GenDR, render
from labkit.render.raster.distributions import DISTRIBUTIONS
from labkit.render.raster.t_conorms import T_CONORMS
from labkit.scene import Camera
from tests.tolerances import FLOAT32


def pixels(data: bytes) -> np.ndarray:
    """(H, W, 3) of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "0" if getattr(request, "param", "") == "live" else "1")


@pytest.fixture
def shootout() -> Iterator[ShootoutPanel]:
    made = ShootoutPanel(steps=3)
    yield made
    made.close()


def test_the_shootout_draws_and_races(shootout: ShootoutPanel) -> None:
    first, empty = bytes(shootout.fields.value), bytes(shootout.curves.value)
    assert pixels(first).shape == (436, 594, 3)
    shootout.run()
    assert shootout.runner.state == "done"
    assert all(len(shootout.history[f"{name}, loss"]) == 3 for name in NAMES)
    assert bytes(shootout.curves.value) != empty
    assert shootout.png() == bytes(shootout.fields.value)
    after = pixels(shootout.png())
    assert (np.abs(after - pixels(first)).max(-1) > 0).mean() > 0.01
    shootout.set(width=6.0)
    assert shootout.history == {}
    assert bytes(shootout.curves.value) == empty


def test_coarse_pictures_are_the_same_problem_smaller(shootout: ShootoutPanel) -> None:
    _, fine, found = shootout.render(shootout.record, "fine")
    _, coarse, small = shootout.render(shootout.record, "coarse")
    assert (fine.size, coarse.size) == ((SIDE, SIDE), (COARSE, COARSE))
    for name in NAMES:
        assert small[name].loss == pytest.approx(found[name].loss, rel=0.1)


@pytest.mark.parametrize("headless", ["live"], indirect=True)
def test_a_change_ends_a_race(shootout: ShootoutPanel) -> None:
    shootout.set(steps=300)
    shootout.flush()
    shootout.run()
    deadline = time.monotonic() + 30
    while len(shootout.history["Hard, loss"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    shootout.set(shape="chair")
    assert shootout.runner.state == "stopped"
    shootout.runner.join()
    shootout.flush()
    assert shootout.history == {}
    assert shootout.status.value == ""


def test_arrows_are_drawn_where_they_belong() -> None:
    dark, none = torch.zeros(3, 32, 32), torch.zeros(0, 2)
    plain = Tile("", dark, none, none)
    right = Tile("", dark, torch.tensor([[4.0, 16.0]]), torch.tensor([[3.0, 0.0]]))
    changed = np.abs(pixels(field_picture([right, plain])) - pixels(field_picture([plain, plain]))).max(-1) > 0
    rows, columns = np.nonzero(changed)
    assert columns.min() > 198 * 3.5 / 32
    assert columns.max() < 198 * (4.5 + 0.2 * 32 + 2) / 32
    assert abs(rows.mean() - (20 + 198 * 16.5 / 32)) < 3
    still = Tile("", dark, torch.tensor([[4.0, 16.0]]), torch.zeros(1, 2))
    assert field_picture([still, plain]) == field_picture([plain, plain])


def test_the_outline_is_the_rim() -> None:
    alpha = torch.zeros(1, 9, 9)
    alpha[:, 2:7, 2:7] = 1
    drawn = outlined(torch.zeros(1, 9, 9), alpha)
    assert int((drawn.amax(0) > 0).sum()) == 16
    assert float(drawn[:, 3:6, 3:6].max()) == 0


def test_the_table_turns_from_grey() -> None:
    panel = ChecksPanel()
    empty = panel.png()
    panel.runner.run(steps=6)  # the first row
    assert len(panel.table.found) == 6
    changed = np.abs(pixels(panel.png()) - pixels(empty)).max(-1) > 20
    assert 0.02 < changed.mean() < 0.12
    assert not changed[100:].any()
    panel.set(seed=1)
    assert panel.table.found == {}
    assert panel.png() == empty
    panel.close()


def test_the_sheet_shows_all_and_enlarges_one() -> None:
    panel = SheetPanel(shape="torus")
    panel.run()
    image = panel.sheet.image
    for down, t_conorm in ((0, "max"), (5, "yager")):
        across = list(DISTRIBUTIONS).index("gaussian")
        top, left = down * (TILE + GAP), across * (TILE + GAP)
        p = {"max": 1.0, "yager": 2.0}[t_conorm]
        soft = GenDR(tau=6 / TILE, distribution="gaussian", t_conorm=t_conorm, p=p)
        camera = Camera.orbit(30.0, 20.0, 3.0, fov=55.0)
        expected = render(SHAPES["torus"](), camera, (TILE, TILE), soft).alpha[0, 0]
        torch.testing.assert_close(image[top : top + TILE, left : left + TILE], expected, **FLOAT32)
        assert name_at(top, left) == ("gaussian", t_conorm)
        assert name_at(top + TILE, left) is None
    assert int((image == GREY).sum()) == image.numel() - 162 * TILE**2
    panel.view.click(5 * (TILE + GAP) + 3, 4 * (TILE + GAP) + 3)
    assert (panel.state["distribution"], panel.state["t_conorm"]) == (list(DISTRIBUTIONS)[4], "yager")
    assert "p = 2" in panel.title.value
    panel.view.on_hover(3, 3)
    assert "heaviside" in panel.pointed.value
    assert "max" in panel.pointed.value
    panel.set(squared=True)
    assert bool((panel.sheet.image == GREY).all())
    assert panel.png() is not None
    panel.close()


def test_every_t_conorm_covers_at_least_the_maximum() -> None:
    state = SheetState()
    least = silhouette(state, "laplace", "max", 24)
    for t_conorm in T_CONORMS:
        # float32 pictures: some last digits less are not less
        assert float((silhouette(state, "laplace", t_conorm, 24) - least).min()) > -1e-5


def test_a_large_picture_is_as_soft_as_a_small_one() -> None:
    small, large = (silhouette(SheetState(), "gaussian", "probabilistic", side) for side in (44, 88))
    assert float(small.mean()) == pytest.approx(float(large.mean()), rel=0.01)


def test_cameras_are_drawn() -> None:
    mesh = SHAPES["sphere"]()
    one = {"a": Camera.orbit(0.0, 10.0, 3.0)}
    two = {**one, "b": Camera.orbit(90.0, 10.0, 3.0, projection="orthographic")}
    alone, both = (pixels(cameras_picture(mesh, cameras, (48, 64))) for cameras in (one, two))
    assert alone.shape == both.shape == (420, 525, 3)
    green = np.abs(both - np.array([0, 158, 115])).max(-1) < 30
    assert green.sum() > 50
    assert not (np.abs(alone - np.array([0, 158, 115])).max(-1) < 30).any()


@pytest.mark.parametrize(("quality", "head"), [("fine", b"\x89PNG"), ("coarse", b"\xff\xd8")])
def test_coarse_pictures_are_jpeg(quality: str, head: bytes) -> None:
    tile = Tile("a", torch.rand(3, 16, 16), torch.zeros(0, 2), torch.zeros(0, 2))
    assert field_picture([tile], quality).startswith(head)
