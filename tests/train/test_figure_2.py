"""DIB-R's Figure 2: each of its eight optimizations brings L1 below 10 % in under 60 s (``pytest -s`` prints them)."""

from __future__ import annotations

import time

import pytest
import torch

from labkit.errors import LabError
from labkit.events import Picture, Step
from labkit.geometry import chair
from labkit.render import warm_up
from labkit.train.figure_2 import problems
from labkit.train.parameters import replaced, value_at

LETTERS = "abcdefgh"


@pytest.mark.slow
@pytest.mark.parametrize("letter", LETTERS)
def test_recovery(letter: str) -> None:
    warm_up()  # compiling is not the fit's time
    problem = problems()[letter]
    start, began = problem.error(problem.start), time.monotonic()
    work = problem.fit()
    steps = sum(isinstance(event, Step) for event in work)
    seconds, end = time.monotonic() - began, problem.error(work.scene)
    print(
        f"\n({letter}) {problem.title:32} {start:.5f} -> {end:.5f}, {end / start:6.2%}, {seconds:4.1f} s, {steps} steps"
    )
    assert steps == problem.steps
    assert start > 2e-3  # half a grey level of 255 over all pixels and channels: there is something to see
    assert end < 0.1 * start
    assert seconds < 60


@pytest.mark.parametrize("letter", LETTERS)
def test_only_the_attribute_differs(letter: str) -> None:
    """Putting the target's values at the fitted paths of the start makes the target's pictures, exactly."""
    problem = problems(size=16)[letter]
    scene = problem.start
    assert problem.error(scene) > 1e-3
    for path in problem.rates:
        scene = replaced(scene, path, value_at(problem.target, path))
    assert problem.error(scene) == 0


@pytest.mark.parametrize("letter", LETTERS)
def test_any_mesh(letter: str) -> None:
    """A mesh without uv, of another size, far from the origin: the fit runs, and its first steps help."""
    mesh = chair()
    problem = problems(mesh.replace(vertices=7 * mesh.vertices + 100), size=24)[letter]
    work = problem.fit()
    first = next(work)
    assert isinstance(first, Picture)
    assert tuple(first.image.shape) == (3, 24, 24)
    for event in work:
        if isinstance(event, Step) and event.number == 8:
            break
    assert problem.error(work.scene) < problem.error(problem.start)


def test_bad_mesh() -> None:
    mesh = chair()
    with pytest.raises(LabError, match="vertices"):
        problems(mesh.replace(vertices=mesh.vertices * torch.nan))
    with pytest.raises(LabError, match="vertices"):
        problems(mesh.replace(vertices=mesh.vertices.expand(2, -1, -1)))
