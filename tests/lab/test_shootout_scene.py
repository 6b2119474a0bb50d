"""Six renderers on one problem: what is measured, and the race of their descents."""

from __future__ import annotations

import itertools

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.errors import DomainError
from labkit.lab.shootout_scene import FREEDOMS, LOSSES, NAMES, SHAPES, Problem, Race, contenders, pose
from labkit.render import Hard
from tests.tolerances import FLOAT32


def test_the_soft_ones_are_equally_soft() -> None:
    widths = {name: each.edge_width_px((48, 64)) for name, each in contenders(3.5, (48, 64)).items()}
    assert tuple(widths) == NAMES
    assert [widths[name] for name in NAMES[:4]] == pytest.approx([3.5] * 4)
    assert [widths[name] for name in NAMES[4:]] == [0, 0]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_small_and_coloured(shape: str) -> None:
    mesh = SHAPES[shape]().validate()
    assert len(mesh.faces) < 300
    assert mesh.colors is not None
    assert float(mesh.vertices.norm(dim=-1).max()) == pytest.approx(1, abs=1e-5)


def test_the_target_is_the_copy_moved_by_that_many_pixels() -> None:
    still, moved = (pose("torus", 64, shift=shift).target.alpha[0, 0] for shift in ((0.0, 0.0), (9.0, 4.0)))
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")

    def middle(alpha: torch.Tensor) -> tuple[float, float]:
        return float((alpha * columns).sum() / alpha.sum()), float((alpha * rows).sum() / alpha.sum())

    (x, y), (there, up) = middle(still), middle(moved)
    # the near half of the torus moves by more pixels than its middle
    assert there - x == pytest.approx(9, rel=0.15)
    assert y - up == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_measured_is_the_loss_and_its_gradient(name: str, loss: str) -> None:
    """The slope of a float64 difference quotient, where there is a true gradient."""
    problem = pose("sphere", 16, loss=loss)
    rasterizer = contenders(3.0, (16, 16))[name]
    vertices = problem.mesh.vertices
    found = problem.measure(vertices, rasterizer)
    part = "alpha" if loss == "silhouette" else "color"
    difference = getattr(found.picture, part) - getattr(problem.target, part)
    assert found.loss == pytest.approx(float(difference.square().mean()), rel=1e-5)
    assert found.gradient.shape == vertices.shape
    assert found.seconds > 0
    assert found.kept > 0
    if name == "Hard" and loss == "silhouette":
        assert not found.gradient.any()
    elif not name.startswith("N3MR"):
        problem = Problem(problem.mesh.to(dtype=torch.float64), problem.camera, problem.size, problem.target, loss)
        wide, step = problem.mesh.vertices, 1e-7
        way = torch.randn(wide.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ends = [problem.measure(wide + sign * step * way, rasterizer).picture for sign in (1, -1)]
        above, below = (
            float((getattr(end, part) - getattr(problem.target, part).double()).square().mean()) for end in ends
        )
        exact = problem.measure(wide, rasterizer).gradient
        assert float((exact * way).sum()) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-9)


def test_the_reference_keeps_more_than_the_kernel() -> None:
    problem = pose("sphere", 24)
    soft = contenders(3.0, (24, 24))["SoftRas"]
    kernel, reference = (
        problem.measure(problem.mesh.vertices, soft, backend).kept for backend in ("auto", "reference")
    )
    assert reference > 10 * kernel > 0


def test_the_referee() -> None:
    problem = pose("sphere", 32, shift=(0.0, 0.0))
    assert problem.missed(problem.mesh.vertices) == 0
    assert problem.missed(problem.mesh.vertices + torch.tensor([50.0, 0, 0])) == 1


def test_arrows_lie_on_the_picture() -> None:
    problem = pose("torus", 40, azimuth=0.0)
    right, up = problem.camera.rotation[0], problem.camera.rotation[1]
    directions = torch.stack([right, up, problem.camera.rotation[2]])
    _, arrows = problem.on_screen(problem.mesh.vertices[:3], directions)
    torch.testing.assert_close(arrows, torch.tensor([[1.0, 0], [0, -1.0], [0, 0]]), **FLOAT32)
    places, _ = problem.on_screen(torch.zeros(1, 3), torch.zeros(1, 3))
    torch.testing.assert_close(places, torch.tensor([[19.5, 19.5]]), **FLOAT32)
    moved, _ = problem.on_screen(problem.pixel * right[None], right[None])
    torch.testing.assert_close(moved, torch.tensor([[20.5, 19.5]]), **FLOAT32)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_a_race(freedom: str) -> None:
    """All but Hard come nearer; the whole shape keeps its form; stopping leaves the state of the newest step."""
    problem = pose("sphere", 32, shift=(4.0, 2.0))
    race = Race(problem, contenders(3.0, (32, 32)), freedom, 0.5)
    steps = list(itertools.islice(race.run(20), 8))
    assert [(step.number, step.total) for step in steps] == [(number, 20) for number in range(1, 9)]
    start = problem.mesh.vertices
    for name in NAMES:
        first, last = (steps[i].values[f"{name}, loss"] for i in (0, -1))
        way = race.vertices[name] - start
        if name == "Hard":
            assert not way.any()
            assert first == last
        else:
            assert last < 0.95 * first
            assert bool((way - way[0]).abs().max() > 1e-3) is (freedom == FREEDOMS[1])
        assert steps[0].values[f"{name}, ms"] > 0
        assert steps[0].values[f"{name}, kB"] > 0


def test_bad_arguments() -> None:
    with pytest.raises(DomainError, match="shape"):
        pose("cube")
    with pytest.raises(DomainError, match="loss"):
        pose("sphere", loss="depth")
    with pytest.raises(DomainError, match="freedom"):
        Race(pose("sphere", 8), {"Hard": Hard()}, "none")
    with pytest.raises(DomainError, match="rate"):
        Race(pose("sphere", 8), {"Hard": Hard()}, rate=0.0)
