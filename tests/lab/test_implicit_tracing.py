"""One ray and one picture under sphere tracing, checked against spheres, where everything is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")

from labkit.geometry.sdf import SphereField, value_and_gradient
from labkit.lab.implicit_scene import DISTANCE, FOV, Section, all_rays, camera_at, meet
from labkit.lab.implicit_tracing import ENDING, ERROR, HUE, SHAPES, TracingState, picture, true_picture, walk
from labkit.render.implicit import EXHAUSTED, LEFT, NEVER_MET
from tests.tolerances import FLOAT64

STRAIGHT = {"shape": "sphere", "aim_x": 0.0, "aim_y": 0.0, "down": 0.5}


@pytest.mark.parametrize(("azimuth", "elevation", "down"), [(0.0, 0.0, 0.5), (70.0, -30.0, 0.2), (-120.0, 80.0, 0.9)])
def test_the_section_is_the_plane_of_a_row(azimuth: float, elevation: float, down: float) -> None:
    camera, size = camera_at(azimuth, elevation), 10
    section = Section.of(camera, down)
    row = int(down * size)
    eyes, rays = all_rays(camera, size)
    section = Section.of(camera, (row + 0.5) / size)
    eyes, rays = (part.reshape(size, size, 3)[row] for part in (eyes, rays))
    flat = section.flat(rays + eyes) - section.flat(eyes)
    torch.testing.assert_close(flat.norm(dim=-1), torch.ones(size, dtype=torch.float64), **FLOAT64)  # no part is lost
    across = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    origins, directions = section.rays(across)
    torch.testing.assert_close(origins, eyes, **FLOAT64)
    torch.testing.assert_close(directions, rays, **FLOAT64)
    torch.testing.assert_close(section.through(section.aim_of(float(across[3]))), rays[3], **FLOAT64)
    assert section.across((0.4, -0.3)) == pytest.approx(section.across(section.aim_of(section.across((0.4, -0.3)))))
    torch.testing.assert_close(section.flat(section.world(flat)), flat, **FLOAT64)
    nearest = section.origin @ section.axes.T
    torch.testing.assert_close(nearest, torch.zeros(2, dtype=torch.float64), **FLOAT64)  # of all its points


def test_exact_intersections_of_a_sphere_up_to_grazing_rays() -> None:
    offset = torch.tensor([0.0, 0.3, 0.59, 0.599999, 0.5999999999, 0.6000001, 0.7], dtype=torch.float64)
    origins = torch.stack([offset, torch.zeros_like(offset), torch.full_like(offset, 2.0)], -1)
    directions = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).expand_as(origins)
    met = meet(SphereField(0.6), origins, directions)
    assert met.hit.tolist() == [True] * 5 + [False] * 2
    depth = 2 - (0.36 - offset[:5].square()).sqrt()
    torch.testing.assert_close(met.depth[:5], depth, rtol=0, atol=1e-6)  # the last ray's f is 1e-11 over a micrometre
    torch.testing.assert_close(met.depth[:4], depth[:4], rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_field_is_steeper_than_its_bound(shape: str, generator: torch.Generator) -> None:
    field, bound = SHAPES[shape]
    points = torch.rand(20_000, 3, generator=generator, dtype=torch.float64) * 2 - 1
    _, gradient = value_and_gradient(field, points)
    assert bound - 0.15 < float(gradient.norm(dim=-1).max()) < bound + 1e-9


def test_a_ray_at_half_the_slope_halves_its_way_in_every_step() -> None:
    found = walk(TracingState(**STRAIGHT, slope=0.5))
    assert found.left == pytest.approx(0.4 / 2.0 ** np.arange(len(found.left)), abs=1e-9)
    assert found.radii == pytest.approx(found.left / 2)
    assert len(found.radii) == int(found.trace.steps) == math.ceil(math.log2(0.2 / 1e-3)) + 1
    assert not found.tried.any()
    assert found.errors[0] == pytest.approx(-found.left[-1])
    assert found.eye == pytest.approx([-DISTANCE, 0.0])


def test_a_step_is_shortened_where_it_would_land_inside() -> None:
    found = walk(TracingState(**STRAIGHT, slope=1.6))
    # 0.4 before the sphere: 0.64 lands inside, half of it before the surface
    assert found.tried[0]
    assert found.left[:2] == pytest.approx([0.4, 0.08])
    assert (found.radii > 0).all()
    assert abs(found.errors[0]) < 1e-3


def test_the_literal_algorithm_ends_behind_the_surface_and_the_secant_comes_back() -> None:
    found = walk(TracingState(**STRAIGHT, slope=2.4))
    assert found.radii[-1] == pytest.approx(-2.4 * 0.08)  # 0.96 / 2 instead of 0.4
    assert found.errors[0] == pytest.approx(0.08)
    assert abs(found.errors[1]) < 1e-8
    assert found.refined == pytest.approx([-0.6, 0.0])


def test_rays_that_miss_say_why() -> None:
    assert int(walk(TracingState(**{**STRAIGHT, "aim_y": 0.75})).trace.missed) == LEFT
    nowhere = walk(TracingState(**{**STRAIGHT, "aim_y": 1.2}))
    assert int(nowhere.trace.missed) == NEVER_MET
    assert len(nowhere.points) == 0
    assert math.isnan(nowhere.errors[0])
    lost = walk(TracingState(**STRAIGHT, slope=0.2, max_steps=4))
    assert int(lost.trace.missed) == EXHAUSTED
    assert len(lost.points) == 4


def test_the_picture_counts_every_ray() -> None:
    state = TracingState(shape="sphere", max_steps=6, second=ENDING)
    seen = picture(state, 32, None)
    assert sum(seen.counts) == 32 * 32
    assert seen.counts[2] > 0
    assert (np.abs(seen.second - HUE["exhausted"]).max(-1) < 1e-9).sum() == seen.counts[2]
    assert seen.steps.max() == 6
    generous = picture(TracingState(shape="sphere", max_steps=256), 32, None)
    # the sphere's share of the picture: a cone of half angle asin(0.6 / 2.9) on a plane of half side tan(21 degrees)
    radius = math.tan(math.asin(0.6 / DISTANCE)) / math.tan(math.radians(FOV / 2))
    assert generous.counts[0] / 1024 == pytest.approx(math.pi * radius**2 / 4, rel=0.05)


def test_the_error_of_the_depth() -> None:
    for slope, low, high in ((1.0, 0.0, 1.1e-3 * 30), (2.4, 0.03, 0.2)):
        state = TracingState(shape="sphere", slope=slope, second=ERROR)
        error = picture(state, 24, true_picture("sphere", state.azimuth, state.elevation, 24)).error
        assert low <= error[1] < high
        assert error[0] <= error[1]
