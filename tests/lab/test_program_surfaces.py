"""The gate and the multiplication as surfaces, without a browser."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("pythreejs")

from ipywidgets import widgets

from labkit.lab import program_plots as plots
from labkit.lab.orbit import Orbit
from labkit.lab.program_surfaces import EFFORT, KINDS, PhiPanel, SurfacesPanel, SurfacesState, sample

LIVE = widgets.widget._instances
# largest error of the C-infinity program on the whole numbers 0..7, computed independently of this code
KNOWN = {1.0: 13.37, 2.0: 3.24, 4.0: 0.454, 8.0: 0.009}


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def panel() -> Iterator[SurfacesPanel]:
    made = SurfacesPanel(top=3)
    yield made
    made.close()


@pytest.mark.parametrize("steepness", KNOWN)
def test_known_errors_on_whole_numbers(steepness: float) -> None:
    found = sample("C-infinity", SurfacesState(steepness=steepness), "fine")
    # the known values are rounded to three digits
    assert found.error == pytest.approx(KNOWN[steepness], abs=0.006 if steepness < 3 else 0.0006)
    assert found.surface.marks.shape == (64, 3)


def test_exact_and_c0() -> None:
    for coloring, exact in (("d/dx1", lambda a, b: b), ("d/dx2", lambda a, b: a), ("norm", np.hypot)):
        found = sample("x1 * x2", SurfacesState(coloring=coloring), "coarse")
        a, b = np.meshgrid(*[np.linspace(0, 7, 21)] * 2, indexing="ij")
        np.testing.assert_allclose(found.surface.height, a * b)
        np.testing.assert_allclose(found.surface.color, exact(a, b))
    assert sample("C0", SurfacesState(), "fine").error == 0.0


def test_the_colour_is_the_derivative_of_the_height() -> None:
    state = SurfacesState(top=2, coloring="d/dx1")
    surface = sample("C-infinity", state, "fine").surface
    step = 2 / (len(surface.height) - 1)
    middle = (surface.height[2:] - surface.height[:-2]) / (2 * step)
    # central differences are wrong by step^2 times the third derivative, which is about 40 here
    np.testing.assert_allclose(surface.color[1:-1], middle, atol=0.05)


def test_too_steep_leaves_holes_between_whole_numbers() -> None:
    found = sample("C-infinity", SurfacesState(steepness=8.0), "fine")
    assert found.ended < 0.1
    assert np.isnan(found.surface.height).mean() == pytest.approx(1 - found.ended)
    assert np.isfinite(found.surface.marks).all()
    assert sample("C-infinity", SurfacesState(steepness=2.6), "fine").ended == 1.0


def test_three_surfaces_at_once(panel: SurfacesPanel) -> None:
    for kind in KINDS:
        assert len(panel.views[kind].view._shown.vertices) == 41 * 41 + 8 * 16
        assert kind in panel.titles[kind].value
    assert "41 x 41 points" in panel.readout.value
    assert "no end" not in panel.titles["C-infinity"].value
    assert panel.png()


def test_steepness_changes_one_surface_only(panel: SurfacesPanel) -> None:
    shown = {kind: panel.views[kind].view._shown.vertices for kind in KINDS}
    maps = panel.maps.value
    panel.set(steepness=6.0)
    moved = {
        kind: not np.array_equal(shown[kind], panel.views[kind].view._shown.vertices, equal_nan=True) for kind in KINDS
    }
    assert moved == {"x1 * x2": False, "C-infinity": True, "C0": False}
    assert "no end" in panel.titles["C-infinity"].value
    assert panel.maps.value != maps


def test_while_dragging_the_grid_is_coarse_and_the_maps_wait(panel: SurfacesPanel) -> None:
    found, limit, maps = panel.render(SurfacesState(top=3, steepness=3.0), "coarse")
    assert maps is None
    assert found["C-infinity"].surface.height.shape == (EFFORT["coarse"][0],) * 2
    assert found["C0"].surface.height.shape == (EFFORT["fine"][0],) * 2
    panel.show((found, limit, maps), "coarse")
    assert panel.maps.value


def test_the_three_cameras_are_one(panel: SurfacesPanel) -> None:
    panel.views["C0"].view.on_camera(Orbit.around(50.0, 30.0, 5.0))
    assert [panel.state[name] for name in ("azimuth", "elevation", "distance")] == [50.0, 30.0, 5.0]
    assert all(view.view.orbit.near(Orbit.around(50.0, 30.0, 5.0)) for view in panel.views.values())
    panel.views["C0"].view.on_camera(Orbit.around(0.0, 89.9, 99.0))
    assert panel.state["distance"] == 12.0
    panel.reset()
    assert panel.views["C0"].view.orbit.near(Orbit.around(-28.0, 22.0, 4.4))


def test_turning_makes_nothing_anew(panel: SurfacesPanel) -> None:
    kept = dict(panel._kept)
    found, _, maps = panel.render(SurfacesState(top=3, azimuth=10.0), "coarse")
    assert all(found[kind] is kept[kind][1] for kind in KINDS)
    assert panel.render(SurfacesState(top=3, azimuth=10.0), "fine")[2] is None
    assert maps is None


def test_the_gate_follows_its_slider() -> None:
    panel = PhiPanel()
    before = panel.png()
    panel.set(steepness=8.0)
    assert panel.png() != before
    assert panel.png() == plots.phi_plot(8.0, (620, 210))
    panel.close()


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    SurfacesPanel("brief", top=2).close()
    PhiPanel("short").close()
    assert len(LIVE) == before
