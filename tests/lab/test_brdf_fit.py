"""Recovery: hidden numbers come back from several lights, and shininess does not beside a texture under one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

pytest.importorskip("ipywidgets")

from labkit.errors import DomainError
from labkit.events import Step
from labkit.lab.brdf_fit import INNER, Recovery, hide, number_at, pattern, place, pose
from labkit.lab.brdf_model import MATERIALS, PARAMETERS, parameters_of
from labkit.lab.explorer_mesh import subject
from labkit.scene import sample_texture

BALL = subject("icosphere").mesh
PHONG = {"diffuse": 1.0, "specular": 0.4, "shininess": 60.0}  # k_d and k_s of DIB-R, section 5.3


def test_places_and_numbers_are_inverse() -> None:
    assert place("shininess", 10.0) == pytest.approx(1 / 3)
    assert place("metallic", 0.25) == pytest.approx(0.25)
    for name, parameter in PARAMETERS.items():
        ends = [number_at(name, torch.tensor(part, dtype=torch.float64)).item() for part in (0.0, 1.0)]
        assert ends == pytest.approx([parameter.low, parameter.high])
        assert place(name, number_at(name, torch.tensor(0.3, dtype=torch.float64)).item()) == pytest.approx(0.3)


def test_hidden_numbers_are_seeded_and_inside() -> None:
    for kind in MATERIALS:
        first, again, other = (hide(kind, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert first == again != other
        assert tuple(first) == parameters_of(kind)
        assert all(INNER[0] <= place(name, value) <= INNER[1] for name, value in first.items())


def test_pictures_are_of_the_truth() -> None:
    problem = pose(BALL, "Phong", PHONG, views=2, lamps=3, size=24)
    assert len(problem.shots) == 6
    assert 0 < float(problem.texture.min()) < float(problem.texture.max()) < 1
    for shot in problem.shots:
        torch.testing.assert_close(shot.light("Phong", PHONG, pattern()), shot.target)
        assert bool(((shot.uv >= 0) & (shot.uv <= 1)).all())
        assert shot.picture(shot.target).shape == (3, 24, 24)
    assert not torch.equal(problem.shots[0].target, problem.shots[1].target)  # another light
    top = problem.shots[0].seen.points[:, 1].argmax()
    assert float(problem.shots[0].uv[top, 1]) > 0.8  # v is up


@pytest.mark.parametrize("kind", MATERIALS)
def test_all_numbers_come_back_from_three_lights(kind: str) -> None:
    truth = hide(kind, torch.Generator().manual_seed(3))
    fit = Recovery(pose(BALL, kind, truth, lamps=3, size=32), tuple(truth))
    steps = list(fit)
    assert all(isinstance(step, Step) for step in steps)
    assert [step.number for step in steps] == list(range(1, 151))
    assert steps[-1].values["loss"] == fit.losses[-1] < 0.01 * fit.first
    for name, value in truth.items():
        assert place(name, fit.values[name]) == pytest.approx(place(name, value), abs=0.01)
        assert len(fit.path[name]) == 151
        assert fit.path[name][0] == pytest.approx(number_at(name, torch.tensor(0.5)).item())


def test_under_one_light_a_texture_hides_the_shininess() -> None:
    """The negative result of DIB-R, section 5.3: the picture is explained, and the shininess depends on the start."""
    ends = {}
    for lamps in (1, 4):
        problem = pose(BALL, "Phong", PHONG, lamps=lamps, size=48)
        for start in (0.2, 0.8):
            fit = Recovery(problem, ("shininess",), texture=True, start=start)
            list(fit)
            assert fit.losses[-1] < 0.01 * fit.first
            assert not torch.equal(fit.map.detach(), torch.full_like(fit.map, 0.5))
            ends[lamps, start] = fit.values["shininess"]
    assert ends[1, 0.2] < 0.3 * 60
    assert ends[1, 0.8] > 2 * ends[1, 0.2]
    assert ends[4, 0.2] == pytest.approx(60, rel=0.05)
    assert ends[4, 0.8] == pytest.approx(60, rel=0.05)


def test_the_least_error_is_flat_under_one_light_and_a_valley_under_two() -> None:
    least = {}
    for lamps in (1, 2):
        problem = pose(BALL, "Phong", PHONG, lamps=lamps, size=32)
        for assumed in (8.0, 60.0):
            guess = dataclasses.replace(problem, truth={**PHONG, "shininess": assumed})
            fit = Recovery(guess, (), texture=True, steps=60, rate=0.3)
            list(fit)
            assert fit.values["shininess"] == assumed
            least[lamps, assumed] = fit.losses[-1]
    assert least[1, 8.0] < 1 / 255
    assert least[1, 60.0] < 1 / 255
    assert least[2, 8.0] > 10 * least[2, 60.0]


def test_a_texture_stays_in_range_and_unseen_texels_stay() -> None:
    problem = pose(BALL, "Phong", PHONG, lamps=1, size=32)
    fit = Recovery(problem, (), texture=True, steps=30, rate=0.5)
    list(fit)
    found = fit.map.detach()
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert 0.3 < float((found == 0.5).all(0).float().mean()) < 0.9  # most of the back
    shot = problem.shots[0]
    moved = (sample_texture(found, shot.uv) != 0.5).any(-1)
    assert float(moved.float().mean()) > 0.99


def test_whoever_stops_may_go_on() -> None:
    problem = pose(BALL, "Phong", PHONG, lamps=2, size=24)
    whole, parts = (Recovery(problem, ("specular", "shininess"), steps=12) for _ in range(2))
    list(whole)
    for _ in range(5):
        next(parts)
    assert len(parts.losses) == 5
    list(parts)
    assert parts.losses == whole.losses
    assert parts.path == whole.path


def test_bad_input_is_refused() -> None:
    problem = pose(BALL, "Phong", PHONG, lamps=1, size=24)
    with pytest.raises(DomainError, match="at least one number"):
        Recovery(problem, ())
    with pytest.raises(DomainError, match="numbers of the material"):
        Recovery(problem, ("roughness",))
    for start in (0.0, 1.0, float("nan")):
        with pytest.raises(DomainError, match="start"):
            Recovery(problem, ("shininess",), start=start)
    for steps in (0, -1):
        with pytest.raises(DomainError, match="steps"):
            Recovery(problem, ("shininess",), steps=steps)
    with pytest.raises(DomainError, match="rate"):
        Recovery(problem, ("shininess",), rate=0.0)
