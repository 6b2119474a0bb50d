"""Equation 8 on every surface of the panel, against closed forms and against tracing again."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("ipywidgets")

from labkit.lab.implicit_derivative import PARAMETERS, DerivativeState, missing, plane, silhouette, slopes
from labkit.lab.implicit_scene import meet

SPHERE = next(iter(PARAMETERS))


def chosen(state: DerivativeState) -> tuple[torch.Tensor, torch.Tensor]:
    section = plane()
    return section.eye[None], section.through(state.aim)[None]


@pytest.mark.parametrize("shape", PARAMETERS)
@pytest.mark.parametrize("theta", [0.15, 0.3])
def test_equation_8_agrees_with_tracing_again(shape: str, theta: float) -> None:
    section = plane()
    state = DerivativeState(shape=shape, theta=theta, step=1e-6)
    found = slopes(state, *section.rays(torch.linspace(0.05, 0.95, 61, dtype=torch.float64)))
    steep = found.traced.isfinite() & (found.cosine.abs() > 0.05)
    assert int(steep.sum()) > 4
    error = (found.implicit - found.traced)[steep].abs() / found.traced[steep].abs().clamp_min(1e-3)
    assert float(error.max()) < 1e-3
    assert float(found.implicit[steep].abs().max()) > 0.1  # something moves
    assert found.implicit.isnan().equal(~found.trace.hit)


def test_the_radius_of_a_sphere_in_closed_form() -> None:
    state = DerivativeState(shape=SPHERE, theta=0.4, aim_x=0.0, aim_y=0.2)
    origins, directions = chosen(state)
    found = slopes(state, origins, directions)
    middle = -(origins * directions).sum()
    offset = (origins + middle * directions).norm()
    expected = -0.4 / math.sqrt(0.16 - float(offset) ** 2)
    assert float(found.implicit) == pytest.approx(expected, rel=1e-9)
    assert float(found.traced) == pytest.approx(expected, rel=1e-6)
    assert float(found.implicit * found.cosine) == pytest.approx(1.0)  # d f / d R = -1


def test_the_clamp_bounds_what_grazing_rays_say() -> None:
    section, state = plane(), DerivativeState(shape=SPHERE, theta=0.4, limit=0.01)
    across = torch.linspace(0, 1, 121, dtype=torch.float64)
    nearing = silhouette(state, section, across, meet(state.field(), *section.rays(across)).hit, 0.3)
    assert nearing is not None
    found = slopes(state, *section.rays(nearing))
    assert found.trace.hit.all()
    assert float(found.cosine.abs().min()) < 1e-3  # it comes very close
    assert float(found.implicit.abs().max()) == pytest.approx(100.0)
    assert float(found.free.abs().max()) > 1000.0
    clear = found.cosine.abs() > 0.01
    torch.testing.assert_close(found.implicit[clear], found.free[clear])
    # a step beyond the silhouette has no ray to compare with
    assert found.traced[-1].isnan()


def test_a_ray_that_misses_is_seen_by_the_mask_loss_only() -> None:
    state = DerivativeState(shape=SPHERE, theta=0.3, aim_x=0.0, aim_y=0.5)
    origins, directions = chosen(state)
    assert slopes(state, origins, directions).implicit.isnan().all()
    found = missing(state, origins, directions)
    offset = (origins - (origins * directions).sum() * directions).norm()
    assert found.value == pytest.approx(float(offset) - 0.3, abs=1e-4)  # the least of 201 samples
    assert found.slope == pytest.approx(-1.0)


def test_a_box_has_no_grazing_rays_and_an_empty_row_no_silhouette() -> None:
    section, across = plane(), torch.linspace(0, 1, 31, dtype=torch.float64)
    state = DerivativeState(shape="box: half its width", theta=0.3)
    nearing = silhouette(state, section, across, meet(state.field(), *section.rays(across)).hit, 0.9)
    assert nearing is not None
    assert float(slopes(state, *section.rays(nearing)).cosine.abs().min()) > 0.3
    assert silhouette(state, section, across, torch.zeros(31, dtype=torch.bool), 0.5) is None
