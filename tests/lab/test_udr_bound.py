"""The best picture without the view direction, and the sliders over it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets")

from labkit.data.multiview import CEILING
from labkit.errors import DomainError
from labkit.lab.udr_bound import FILL, LAMP, MOST, SIDE, BoundState, ShinySphere
from labkit.lab.udr_bound_panel import LOOKS, BoundPanel
from labkit.lab.udr_plots import error_picture

from .test_implicit_panels import press


@pytest.fixture(scope="module")
def sphere() -> ShinySphere:
    return ShinySphere()


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch) -> Iterator[BoundPanel]:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    made = BoundPanel()
    yield made
    made.close()


def test_without_a_highlight_there_is_no_bound(sphere: ShinySphere) -> None:
    matt = BoundState(specular=0.0)
    assert sphere.bound(matt).psnr == pytest.approx(CEILING, abs=1e-6)
    truth, best, _ = sphere.picture(matt, "coarse")
    torch.testing.assert_close(best, truth, atol=1e-5, rtol=0)


def test_the_bound_falls_with_the_strength_and_rises_with_the_exponent(sphere: ShinySphere) -> None:
    strong = [sphere.bound(BoundState(specular=ks)).psnr for ks in (0.1, 0.3, 0.6)]
    assert strong == sorted(strong, reverse=True)
    curve = sphere.curve(BoundState())
    assert curve == sorted(curve)
    assert 23 < sphere.bound(BoundState()).psnr < 28  # 25.3 by an independent implementation with I_a = 0.1


def test_few_cameras_flatter(sphere: ShinySphere) -> None:
    bounds = [sphere.bound(BoundState(cameras=count)).psnr for count in (2, 8, MOST)]
    assert bounds == sorted(bounds, reverse=True)


def test_all_pixels_look_better_by_the_ratio_of_areas(sphere: ShinySphere) -> None:
    found = sphere.bound(BoundState())
    assert found.psnr_full == pytest.approx(found.psnr - 10 * np.log10(found.coverage), abs=1e-6)


def test_the_highlight_walks_with_the_camera_and_the_best_picture_does_not() -> None:
    """On the sphere the highlight is where the normal halves the angle between light and eye."""
    sphere, state = ShinySphere(), BoundState(shininess=200.0, elevation=20.0, azimuth=60.0)
    columns = []
    for view in (20.0, 40.0):
        truth, best, _ = sphere.picture(replace(state, view=view), "fine")
        assert float((truth - best).abs().max()) > 0.3
        inside = truth.mean(-1) * (torch.arange(SIDE["fine"])[None] > 0)
        inside[truth.mean(-1) == 1] = 0  # the background is white; so may be the very middle of the highlight
        columns.append(int(inside.max(0).values.argmax()))
    assert columns[0] > columns[1]  # seen from nearer to the light it is nearer to the middle


def test_the_light_stands_where_the_sliders_say() -> None:
    at = BoundState(azimuth=90.0, elevation=0.0).scene.light
    assert tuple(at) == pytest.approx((LAMP, 0.0, 0.0), abs=1e-9)
    assert tuple(BoundState(elevation=90.0).scene.light) == pytest.approx((0.0, LAMP, 0.0), abs=1e-9)


def test_the_sphere_fills_the_picture(sphere: ShinySphere) -> None:
    truth, _, _ = sphere.picture(BoundState(ambient=1.0, diffuse=0.5, specular=0.0), "fine")
    covered = (truth.mean(-1) < 1).float()
    radius = (covered.sum().item() / np.pi) ** 0.5
    assert radius == pytest.approx(FILL * SIDE["fine"] / 2, rel=0.02)


def test_the_panel_shows_everything_at_once_and_follows(panel: BoundPanel) -> None:
    picture = np.asarray(Image.open(io.BytesIO(panel.png() or b"")).convert("RGB"))
    assert picture.shape == (SIDE["fine"], 3 * SIDE["fine"], 3)
    assert panel.answer is not None
    before, curve = panel.answer.found.bound.psnr, bytes(panel.curve.value)
    assert f"{before:.1f} dB" in panel.told.value
    panel.set(specular=0.9)
    assert panel.answer.found.bound.psnr < before
    assert bytes(panel.curve.value) != curve
    press(panel, "matt")
    assert panel.record.specular == 0.0
    assert "no highlight" in panel.told.value
    for name in LOOKS:
        press(panel, name)
    panel.reset()
    assert panel.record == BoundState()


def test_what_does_not_fit_is_refused(panel: BoundPanel) -> None:
    with pytest.raises(DomainError):
        panel.set(shininess=0.5)
    with pytest.raises(DomainError):
        panel.set(cameras=MOST + 1)


def test_differences_are_dark_where_there_are_none() -> None:
    first, second = np.zeros((4, 4, 3)), np.zeros((4, 4, 3))
    second[0, 0] = 0.5
    found = error_picture(first, second)
    assert found[1, 1].max() < 0.02
    assert found[0, 0].min() > 0.6
