"""What four renderers can know of one lit point: the paper's argument, and its numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

pytest.importorskip("ipywidgets")

from labkit.lab.implicit_phong import COLOR, RENDERERS, STEPS, PhongState, judge, known, maps, seen
from tests.tolerances import FLOAT64

A = PhongState(normal=0.0, view=30.0, first_normal=0.0, first_view=30.0)
ANGLE = torch.tensor(0.0, dtype=torch.float64)


def test_the_colour_is_equation_3() -> None:
    state = replace(A, light=-30.0, diffuse=0.4, specular=0.3, shininess=20.0)
    color = torch.tensor(COLOR, dtype=torch.float64)
    for normal, view in ((0.0, 30.0), (0.0, 10.0), (5.0, -20.0)):
        facing = math.cos(math.radians(normal + 30))
        mirrored = math.cos(math.radians((2 * normal - view) + 30)) ** 20  # r and the light are so far apart
        expected = (0.4 * color * (0.2 + facing) + 0.3 * mirrored).clamp(0, 1)
        torch.testing.assert_close(seen(state, ANGLE + normal, ANGLE + view), expected, **FLOAT64)


@pytest.mark.parametrize(("changes", "blind"), [({}, "all"), ({"normal": 20.0}, "n"), ({"view": 5.0}, "v")])
def test_figure_2(changes: dict[str, float], blind: str) -> None:
    state = replace(A, **changes)
    truth, verdicts = judge(state)
    assert list(verdicts) == list(RENDERERS)
    for name, kind in RENDERERS.items():
        cannot = blind == "all" or blind not in kind
        assert verdicts[name].changed == ("" if cannot else blind)
        error = float((truth[0] - truth[1]).abs().mean()) / 2 if cannot else 0.0
        assert verdicts[name].error == pytest.approx(error)
        if cannot:
            assert torch.equal(verdicts[name].answers[0], verdicts[name].answers[1])
    if changes:
        assert verdicts["M(x), called DVR"].error > 0.1


def test_the_best_maps_are_means_and_nothing_beats_them(generator: torch.Generator) -> None:
    colors = torch.rand(5, 7, 3, generator=generator, dtype=torch.float64)
    assert torch.equal(known("nv", colors), colors)
    for kind, axes in (("", (0, 1)), ("n", (1,)), ("v", (0,))):
        best = known(kind, colors)
        for axis in axes:
            assert float(best.diff(dim=axis).abs().max()) == 0.0  # it does not see that angle
        other = best + 0.01 * torch.randn(best.shape, generator=generator, dtype=torch.float64).mean(axes, keepdim=True)
        assert (best - colors).square().sum() < (other - colors).square().sum()


def test_more_arguments_are_never_worse_and_both_are_needed() -> None:
    found = maps(PhongState())
    errors = dict(zip(RENDERERS.values(), (error for _, error in found.values()), strict=True))
    assert errors["nv"] == 0.0
    assert 0.05 < errors["n"] < errors[""]
    assert 0.05 < errors["v"] <= errors[""]
    assert all(colors.shape == (STEPS, STEPS, 3) for colors, _ in found.values())
    matt = maps(PhongState(specular=0.0))
    assert matt["M(x, n), called DRnoV"][1] == pytest.approx(0.0, abs=1e-12)  # without a highlight v is not needed
