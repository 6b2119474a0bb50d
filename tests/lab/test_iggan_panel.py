"""The panel of an IG-GAN training: previews, one shape by sliders, what D says, figures beside the baselines'."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytest.importorskip("filelock")

import ipywidgets as W

from labkit.errors import DomainError
from labkit.events import Saved
from labkit.lab import iggan_plots as plots
from labkit.lab.iggan_figures import Figures, comparable, method_of
from labkit.lab.iggan_panel import METHODS, WORDS, IGGANPanel, choose, methods
from labkit.lab.iggan_probe import LEVELS, IGGANState, Probe, walked
from labkit.lab.orbit import Orbit
from labkit.lab.training_plan import planned
from labkit.train import iggan
from labkit.train.event_log import read_events
from labkit.train.iggan_networks import latents
from tests.tolerances import FLOAT32

TINY = replace(iggan.PRESETS["tiny"], preview_every=1e-3)
LIVE = W.widgets.widget._instances


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and beside it a finished baseline."""
    folder = tmp_path_factory.mktemp("runs")
    for name, config in (("hull", replace(TINY, method="visual-hull")), ("one", TINY)):
        for _ in iggan.train(config, folder / name):
            pass
    return folder / "one"


@pytest.fixture(scope="module")
def probe(run: Path) -> Iterator[Probe]:
    made = Probe()
    yield made
    made.close()


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., IGGANPanel]]:
    """``opened(...)`` makes a headless panel that is closed at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    panels: list[IGGANPanel] = []

    def make(**options: Any) -> IGGANPanel:
        panels.append(IGGANPanel(**options))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()


def hidden(widget: W.Widget) -> bool:
    return widget.layout.display == "none"


def test_before_a_run_the_shapes_of_the_data_are_seen(opened: Callable[..., IGGANPanel]) -> None:
    before = set(LIVE)
    panel = opened(preset="tiny")
    assert panel.frame is not None
    assert set(panel.frame.meshes) == {f"truth {place}" for place in range(4)}
    assert "data" in panel.views._title.value
    assert "checkpoint" in panel.views.one.told.value
    assert hidden(panel.views.match)
    assert set(panel.dials.sliders) <= set(WORDS)
    panel.close()
    assert set(LIVE) <= before


def test_a_run_is_shown_and_asked(opened: Callable[..., IGGANPanel], run: Path) -> None:
    panel = opened(run=run)
    views = panel.views
    assert "after 8 steps" in views._title.value
    assert not any(hidden(place) for place in views._places.values())
    assert views.one.look is not None
    assert views.one.levels is not None
    assert not any(hidden(plot) for plot in (views.match, views.measured, views.one.opinion))

    shape, seen = views.one.look.shapes, views.one.look.off_the_shelf
    opinion, strip = views.one.opinion.value, views.one.strip.value
    panel.set(threshold=0.0)  # everything is solid: sigmoids exceed 0
    assert torch.equal(views.one.look.shapes, shape)
    assert not torch.equal(views.one.look.off_the_shelf, seen)
    assert views.one.strip.value == strip
    assert views.one.opinion.value != opinion
    panel.set(threshold=1.0)
    assert len(views.one.look.meshes[0].faces) == 0
    assert views.one.look.off_the_shelf.min() == 1.0
    assert "nothing" in views.one._titles[0].value

    neural = views.one.look.neural
    panel.set(walk=0.5)
    assert not torch.equal(views.one.look.shapes, shape)
    panel.set(walk=1.0, first=77)
    end = views.one.look.shapes
    panel.set(walk=0.0, first=2)
    torch.testing.assert_close(views.one.look.shapes, end, **FLOAT32)
    panel.set(first=1, azimuth=100.0)
    assert torch.equal(views.one.look.shapes, shape)
    assert not torch.equal(views.one.look.neural, neural)
    assert views.one.solid.orbit.azimuth == pytest.approx(100.0)
    views.one.solid.on_camera(Orbit.around(-20.0, 88.0, 3.0))
    assert panel.record.azimuth == pytest.approx(-20.0)
    assert panel.record.elevation == 85.0


def test_turning_one_shape_turns_all(opened: Callable[..., IGGANPanel], run: Path) -> None:
    panel = opened(run=run)
    orbit = Orbit.around(80.0, 10.0, 2.0)
    panel.views.shapes[2].on_camera(orbit)
    assert all(view.orbit.near(orbit) for view in panel.views.shapes)


def test_baselines_are_shown_by_their_own_renderer(opened: Callable[..., IGGANPanel], run: Path) -> None:
    panel = opened(run=run.parent / "hull")
    views = panel.views
    assert views.one.look is not None
    assert views.one.look.neural.shape == views.one.look.off_the_shelf.shape == (1, 1, 32, 32)
    assert hidden(views.one.opinion)
    assert hidden(views.match)
    assert "visual-hull" in views.one._titles[2].value
    assert "method" in views._heads["middle"].value


def test_the_dcgan_has_no_shape_to_ask_for(opened: Callable[..., IGGANPanel]) -> None:
    panel = opened(preset="tiny", steps=1, overrides="method = dcgan\npreview_every = 0.001")
    panel.start()
    assert "no shapes" in panel.views.one.told.value
    assert not hidden(panel.views._places["middle"])
    assert hidden(panel.views._places["left"])


def test_one_renderer_is_opened_and_is_closed(
    opened: Callable[..., IGGANPanel], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labkit.lab import iggan_probe

    alive: list[Any] = []
    original = iggan_probe.OffTheShelf

    class Counted(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            alive.append(self)

        def close(self) -> None:
            super().close()
            alive.remove(self)

    monkeypatch.setattr(iggan_probe, "OffTheShelf", Counted)
    panel = opened(run=run)
    panel.set(threshold=0.4)
    panel.attach(run.parent / "hull")
    assert len(alive) == 1
    panel.close()
    assert not alive


def test_the_dots_are_those_of_the_measured_error(probe: Probe, run: Path) -> None:
    neural, expected = probe.matched(run, TINY.steps)
    told = [event.values for event in read_events(run) if isinstance(event, Saved)][-1]
    assert len(neural) == TINY.measured.shapes
    assert (neural - expected).square().mean().item() == pytest.approx(told["DOM error"], rel=1e-3)
    assert np.corrcoef(neural, expected)[0, 1] == pytest.approx(told["DOM correlation"], abs=1e-3)


def test_levels_hold_the_look_itself(probe: Probe, run: Path) -> None:
    """At the middle threshold the strip shows what the look shows, and D says the same."""
    state = IGGANState(threshold=0.5)
    look = probe.look(run, TINY.steps, state)
    found = probe.levels(run, TINY.steps, state, look.shapes)
    middle = LEVELS // 2
    assert found.thresholds[middle].item() == pytest.approx(0.5)
    torch.testing.assert_close(found.outputs[middle : middle + 1], look.off_the_shelf_output, **FLOAT32)
    side = 2 * TINY.resolution
    start = middle * (side + 2)
    assert torch.equal(found.pictures[:, :, start : start + side], look.off_the_shelf[0])


def test_a_walk_keeps_its_length_and_its_ends() -> None:
    config = replace(TINY.generator, latent=200)
    ends = [latents(config, 1, torch.Generator().manual_seed(number)) for number in (3, 4)]
    for place, end in enumerate(ends):
        torch.testing.assert_close(walked(config, 3, 4, float(place)), end, **FLOAT32)
    middle = walked(config, 3, 4, 0.5).norm().item()
    lengths = [end.norm().item() for end in ends]
    assert min(lengths) * 0.9 < middle < max(lengths) * 1.1  # the straight line's is 0.7 of it
    assert torch.lerp(*ends, 0.5).norm().item() < 0.85 * middle
    torch.testing.assert_close(walked(config, 3, 3, 0.3), ends[0], **FLOAT32)
    cube = replace(config, prior="uniform")
    a, b = (latents(cube, 1, torch.Generator().manual_seed(number)) for number in (3, 4))
    torch.testing.assert_close(walked(cube, 3, 4, 0.25), 0.75 * a + 0.25 * b, **FLOAT32)


def test_figures_of_checkpoints_and_of_comparable_runs(run: Path) -> None:
    own = Figures.of(run, TINY)
    saved = {event.number: event.values for event in read_events(run) if isinstance(event, Saved)}
    assert own.method == "IG-GAN"
    assert own.curves["cavity"][0] == (4, 8)
    assert own.curves["cavity"][1] == tuple(saved[step]["cavity"] for step in (4, 8))
    (other,) = comparable(run, TINY)
    assert other.method == "visual-hull"
    assert "DOM error" not in other.curves
    assert comparable(run, replace(TINY, resolution=32)) == []


def test_methods_in_words(opened: Callable[..., IGGANPanel]) -> None:
    panel = opened(preset="tiny")
    box = methods(panel)
    told = []
    for name in METHODS:
        choose(panel, name)
        told.append(method_of(planned(iggan, panel.record)))
    assert told == ["IG-GAN", "IG-GAN, no DOM", "IG-GAN, fixed renderer", "visual-hull", "absorption-only", "dcgan"]
    with pytest.raises(DomainError):
        choose(panel, "magic")
    box.close()


def test_sliders_are_bound(opened: Callable[..., IGGANPanel]) -> None:
    panel = opened(preset="tiny")
    for field in ("walk", "threshold", "azimuth", "elevation", "first", "second"):
        panel.set(**{field: 1})
    bound = {field: widget.value for widget, field, *_ in panel._bound if field in IGGANState.__dataclass_fields__}
    assert all(math.isclose(bound[field], 1) for field in ("walk", "threshold", "azimuth", "elevation", "first"))


def test_the_plots_show_what_they_are_given() -> None:
    steps = (100, 200)
    own = Figures("IG-GAN", {"fid (N=500)": (steps, (9.0, 5.0)), "cavity": (steps, (0.9, 0.2))})
    rival = Figures("visual-hull", {"fid (N=500)": (steps, (9.0, 8.0))})
    ablation = Figures("IG-GAN, no DOM", {"cavity": (steps, (0.9, 0.8))})
    made = [plots.measured(own, others) for others in ([], [rival], [ablation], [rival, ablation])]
    truth = replace(own, curves={**own.curves, "cavity data": (steps, (0.1, 0.1))})
    made += [plots.measured(truth, []), plots.measured(Figures("dcgan", {}), [])]
    dots = torch.tensor([-1.0, -2.0, -3.0])
    made += [plots.match(dots, dots), plots.match(dots + 0.5, dots), plots.match(dots[:1], dots[:1])]
    assert all(picture.startswith(b"\x89PNG") for picture in made)
    assert len(set(made)) == len(made)
