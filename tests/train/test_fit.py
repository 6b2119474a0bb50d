"""Fits: the first step against finite differences, domains, schedules, events, stopping and going on."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from tolerances import FLOAT64
from train.fit_scenes import SIZE, D, ball, pictures, scene, steps

from labkit.events import Picture, Step
from labkit.geometry import edge_loss, laplacian_loss
from labkit.render import DIBR, N3MR, AlgoNet, GenDR, SoftRas
from labkit.render.views import FreePose
from labkit.scene import CookTorrance
from labkit.train import Objective, fit
from labkit.train.parameters import RANGES, SCALES, Parameters, replaced, value_at

PATHS = {
    "mesh.vertices": 0.9 * ball().vertices,
    "mesh.colors": 0.5 * ball().colors,
    "camera.azimuth": torch.tensor([4.0, 110.0], dtype=D),
    "camera.elevation": 20.0,
    "camera.distance": 4.0,
    "camera.target": (0.1, 0.0, 0.1),
    "camera.fov": 35.0,
    "lights.0.color": 0.4,
    "lights.1.direction": (0.6, 0.2, 0.7),
    "lights.2.position": (0.5, 2.5, 2.0),
    "material.specular": 0.1,
    "material.shininess": 3.0,
    "rasterizer.steepness": 6.0,
    "rasterizer.opacity": 1.0,
}


@pytest.mark.parametrize("path", PATHS)
def test_first_step_goes_downhill(path: str) -> None:
    """Adam's first step is the rate against the sign of each derivative, here by finite differences."""
    start = replaced(scene(), path, PATHS[path])
    targets, rate, scaled = pictures(scene()), 1e-3, path.rpartition(".")[2] in SCALES
    work = fit(start, targets, {path: rate}, losses={"l2": 1.0})
    before = torch.as_tensor(PATHS[path], dtype=D)
    next(event for event in work if isinstance(event, Step))
    after = value_at(work.scene, path)
    change = (after / before).log() if scaled else after - before
    objective, flat = Objective(targets, {"l2": 1.0}), before.flatten()
    for place in range(min(flat.numel(), 9)):
        nudge = torch.zeros_like(flat)
        nudge[place] = 1e-4 * flat.abs().max()
        losses = [
            objective(replaced(start, path, (flat + sign * nudge).view_as(before))).loss.item() for sign in (-1, 1)
        ]
        slope = (losses[1] - losses[0]) / (2 * float(nudge[place]))
        if abs(slope) > 1e-6:  # far above Adam's epsilon and the error of the difference
            assert change.flatten()[place].item() == pytest.approx(-math.copysign(rate, slope), rel=1e-2)
    assert bool((change != 0).any())


@pytest.mark.parametrize(
    "rasterizer",
    [
        AlgoNet(20.0, 5.0),
        SoftRas(1e-2, 1e-2),
        GenDR(tau=5e-2, gamma=1e-2),
        DIBR(1e-2),
        N3MR(),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_rasterizer_moves_vertices(rasterizer: Any) -> None:
    """From a flattened ball, twelve steps win back more than a third of the loss (less the truth's own), float32."""
    goal = scene(torch.float32, rasterizer=rasterizer)
    start = replaced(goal, "mesh.vertices", goal.mesh.vertices * torch.tensor([0.7, 1.0, 0.7]))
    losses = {"l2": 1.0, "iou": 1.0}
    work = fit(start, pictures(goal), {"mesh.vertices": 0.02}, losses=losses, steps=12)
    before, best = work.values["loss"], Objective(pictures(goal), losses)(goal).loss.item()  # soft IoU's best is not 0
    steps(work)
    assert work.values["loss"] - best < 2 / 3 * (before - best)


def test_a_free_camera_comes_back() -> None:
    """Position and orientation of both cameras, through quaternions, stay cameras and return to the truth."""
    goal = scene()
    true = FreePose.of(goal.camera.camera())
    start = replace(goal, camera=replace(true, orientation=true.orientation + 0.04, eye=true.eye + 0.15))
    rates = {"camera.orientation": 0.01, "camera.eye": 0.03}
    work = fit(start, pictures(goal), rates, losses={"l2": 1.0}, steps=80)
    before = work.values["l2"]
    steps(work)
    work.scene.camera.camera().validate()
    assert work.values["l2"] < 0.02 * before


@pytest.mark.parametrize(
    ("path", "rate"),
    [
        ("mesh.colors", 10.0),
        ("mesh.texture", 10.0),
        ("camera.fov", 300.0),
        ("camera.distance", 2.0),
        ("lights.0.color", 10.0),
        ("material.roughness", 10.0),
        ("material.metallic", 10.0),
        ("material.reflectance", 10.0),
        ("rasterizer.steepness", 2.0),
    ],
)
def test_values_stay_in_their_domain(path: str, rate: float) -> None:
    """Absurd rates push every value against its border, and the fit goes on with finite losses."""
    begin = replace(scene(), material=CookTorrance(0.5, 0.5, 0.5))
    if path == "mesh.texture":
        mesh = begin.mesh.replace(
            colors=None, uv=begin.mesh.vertices[:, :2], texture=torch.full((3, 4, 4), 0.5, dtype=D)
        )
        begin = replace(begin, mesh=mesh)
    name = path.rpartition(".")[2]
    low, high = RANGES.get(name, (0.0, math.inf))
    seen = set()
    for brightness in (0.0, 1.0):
        work = fit(begin, torch.full((2, 4, *SIZE), brightness, dtype=D), {path: rate}, steps=4)
        for event in steps(work):
            assert math.isfinite(event.values["loss"])
            value = torch.as_tensor(value_at(work.scene, path))
            assert bool(((value >= low) & (value <= high)).all())
            seen |= {value.min().item(), value.max().item()}
    assert {low, high} & seen or name in SCALES  # a border was reached, so something was held back there


def test_schedule_and_rate() -> None:
    """Scheduled numbers go by equal factors from the first value to the last; so do the rates."""
    start = scene()
    ends = {"rasterizer.steepness": (5.0, 80.0), "camera.fov": (50.0, 40.0)}
    work = fit(start, pictures(start), {"mesh.colors": 0.1}, schedules=ends, steps=4, final_rate=0.01)
    assert work.values["rasterizer.steepness"] == work.scene.rasterizer.steepness == 5.0
    done = steps(work)
    assert [event.values["rasterizer.steepness"] for event in done] == pytest.approx([10, 20, 40, 80])
    assert [event.values["rate"] for event in done] == pytest.approx([1, 0.01 ** (1 / 3), 0.01 ** (2 / 3), 0.01])
    assert (work.scene.rasterizer.steepness, work.scene.camera.fov) == pytest.approx((80.0, 40.0))


def test_rates_fall() -> None:
    """Without memory Adam moves each number by the rate itself: 0.01, then 0.001, then 0.0001."""
    goal = scene()
    start = replaced(goal, "mesh.colors", 0.5 * goal.mesh.colors)
    rates = {"mesh.colors": 0.01, "lights.0.color": 0.02}
    work = fit(start, pictures(goal), rates, steps=3, final_rate=0.01, betas=(0.0, 0.0))
    before = start
    for share in (1, 0.1, 0.01):
        next(event for event in work if isinstance(event, Step))
        for path, rate in rates.items():
            change = value_at(work.scene, path) - torch.as_tensor(value_at(before, path), dtype=D)
            assert change.abs().max().item() == pytest.approx(rate * share, rel=1e-3)  # Adam's epsilon takes a little
        before = work.scene


def test_terms_and_weights() -> None:
    """The loss is the weighted sum of the terms, which are those of the functions they are named after."""
    goal = scene()
    start = replaced(goal, "mesh.vertices", goal.mesh.vertices * torch.tensor([0.8, 1.0, 1.1], dtype=D))
    weights = {"l1": 1.0, "l2": 2.0, "ssim": 0.5, "iou": 0.3, "edge": 0.1, "laplacian": 4.0, "normal": 0.1}
    work = fit(start, pictures(goal), {"mesh.vertices": 0.01}, losses=weights, steps=3)
    assert work.values["laplacian"] == 0  # measured from the start
    for event in steps(work):
        assert event.values["loss"] == pytest.approx(sum(weights[name] * event.values[name] for name in weights))
    now, values = work.scene, work.values
    assert values["edge"] == pytest.approx(edge_loss(now.mesh).item())
    assert values["laplacian"] == pytest.approx(laplacian_loss(now.mesh, start.mesh).item())
    assert values["l1"] == pytest.approx((pictures(now) - pictures(goal)).abs().mean().item())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_the_targets(channels: int) -> None:
    """One channel is alpha, three are colour, four are both."""
    goal = scene()
    parts = {1: pictures(goal)[:, 3:], 3: pictures(goal)[:, :3], 4: pictures(goal)}
    work = fit(goal, parts[channels], {"mesh.vertices": 0.01}, picture_every=1, steps=1)
    assert work.values["l1"] == pytest.approx(0, abs=FLOAT64["atol"])
    first = next(work)
    assert isinstance(first, Picture)
    torch.testing.assert_close(first.image, parts[channels][0, :3].clamp(0, 1), **FLOAT64)


def test_events_and_state() -> None:
    """Pictures of all views at the start, now and then and at the end; steps in order; the scene is the step's."""
    goal = scene()
    start = replaced(goal, "mesh.colors", 0.5 * goal.mesh.colors)
    kept = start.mesh.colors.clone()
    work = fit(start, pictures(goal), {"mesh.colors": 0.02}, steps=5, picture_every=2)
    assert iter(work) is work
    told, scenes = [], []
    objective = Objective(pictures(goal), {"l1": 1.0})
    for event in work:
        assert event.number == (event.number if isinstance(event, Picture) else len(scenes) + 1)
        if isinstance(event, Step):
            assert event.total == 5
            assert event.values["l1"] == pytest.approx(objective(work.scene).terms["l1"])
            scenes.append((work.scene, work.scene.mesh.colors.clone()))
        else:
            told.append((event.number, event.name))
            assert tuple(event.image.shape) == (3, *SIZE)
            assert 0 <= event.image.min() <= event.image.max() <= 1
            assert not event.image.requires_grad
    assert told == [(number, name) for number in (0, 2, 4, 5) for name in ("view 0", "view 1")]
    assert torch.equal(start.mesh.colors, kept)
    assert all(torch.equal(one.mesh.colors, colors) for one, colors in scenes)
    assert not work.scene.mesh.colors.requires_grad


def test_stopping_and_going_on() -> None:
    """Twice three events and the rest make the same scene as all at once."""
    goal = scene()
    start = replaced(goal, "mesh.vertices", 0.8 * goal.mesh.vertices)
    whole, parts = (fit(start, pictures(goal), {"mesh.vertices": 0.01}, steps=6) for _ in range(2))
    list(whole)
    list(islice(parts, 3))
    halfway = parts.scene.mesh.vertices
    assert not torch.equal(halfway, start.mesh.vertices)
    list(parts)
    assert torch.equal(parts.scene.mesh.vertices, whole.scene.mesh.vertices)
    assert next(parts, None) is None


def test_parameters_leave_the_scene_alone() -> None:
    start = scene()
    parameters = Parameters(start, {"mesh.vertices": 0.1, "lights.1.direction": 0.1})
    into = parameters.into(start)
    assert into.mesh.vertices.requires_grad
    assert not start.mesh.vertices.requires_grad
    assert start.lights[1].direction == (0.5, 0.7, 0.6)
    assert into.lights[0] is start.lights[0]
