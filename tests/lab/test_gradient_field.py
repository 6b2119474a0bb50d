"""The computation behind the gradient panel: losses, flows, lines, picking, descents, arrows and colours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("numba")

from labkit.events import Step
from labkit.lab import gradient_field as field
from labkit.lab import gradient_plots as plots
from labkit.lab.explorer_render import Cache
from labkit.lab.gradient_descent import Descent, race
from labkit.lab.gradient_field import Flow, Line, Problem
from labkit.lab.gradient_state import COLORS, PIXEL, RENDERERS, SILHOUETTE, SURROGATE, VERTEX, GradientState
from labkit.render import AlgoNet, GenDR

SMALL = GradientState(size=48)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return field.pose(SMALL, Cache())


def flow_of(problem: Problem, name: str, state: GradientState = SMALL) -> Flow:
    return field.flow(problem, state.rasterizer(name), problem.mesh.vertices)


def test_edges_are_equally_wide_where_they_have_a_width() -> None:
    size = (48, 48)
    widths = {name: make(4.0, size).edge_width_px(size) for name, make in RENDERERS.items()}
    assert widths == pytest.approx(
        {"AlgoNet": 4.0, "SoftRas": 4.0, "GenDR": 4.0, "DIB-R": 2.0, SURROGATE: 0.0, "Hard": 0.0}
    )


def test_the_three_losses(problem: Problem) -> None:
    image = torch.rand(4, 48, 48, generator=torch.Generator().manual_seed(0))
    target = problem.target
    for name, expected in (
        (SILHOUETTE, (image[3] - target[3]).square().mean()),
        (COLORS, (image[:3] - target[:3]).square().mean()),
        (PIXEL, 1 - image[:, 24, 39].mean()),
    ):
        posed = field.pose(GradientState(size=48, loss=name), Cache())
        assert posed.pixel == (24, 39)
        torch.testing.assert_close(posed.of(image), expected)


def test_the_target_is_the_moved_shape(problem: Problem) -> None:
    rows, columns = problem.target[3].nonzero().double().mean(0).tolist()
    scale = 24 / (4 * math.tan(math.radians(22.5)))  # pixels a world unit, at the middle of the ball
    assert columns - 23.5 == pytest.approx(0.3 * scale, rel=0.1)
    assert 23.5 - rows == pytest.approx(0.15 * scale, rel=0.1)


@pytest.mark.parametrize("name", ["AlgoNet", "SoftRas", "DIB-R"])
def test_autodiff_is_the_slope_of_the_loss(problem: Problem, name: str) -> None:
    soft, added = SMALL.rasterizer(name), field.direction(SMALL, problem)
    line = field.along(problem, soft, problem.mesh.vertices, added, 9)
    places, slopes = line.differences
    assert places == pytest.approx((np.array(line.places[1:]) + np.array(line.places[:-1])) / 2)
    between = (np.array(line.slopes[1:]) + np.array(line.slopes[:-1])) / 2
    # the trapezoid of nine slopes against exact differences of losses: off where the loss bends
    assert slopes == pytest.approx(between, abs=0.12 * np.abs(line.slopes).max())


def test_hard_has_no_slope_and_the_surrogate_another(problem: Problem) -> None:
    added = field.direction(SMALL, problem)
    lines = {n: field.along(problem, SMALL.rasterizer(n), problem.mesh.vertices, added, 3) for n in ("Hard", SURROGATE)}
    assert lines["Hard"].losses == lines[SURROGATE].losses
    assert not any(lines["Hard"].slopes)
    slope = lines["Hard"].differences[1][0]
    assert slope < -0.1
    assert lines[SURROGATE].slopes[0] < 10 * slope  # the right sign; the length means nothing


def test_hard_has_a_gradient_through_the_shading() -> None:
    posed = field.pose(GradientState(size=48, loss=COLORS), Cache())
    assert flow_of(posed, "Hard").gradient.abs().max() > 0


def test_a_flow_is_the_chain_rule(problem: Problem) -> None:
    flow = flow_of(problem, "SoftRas")
    expected = 2 * (flow.picture[3] - problem.target[3]) / 48**2
    torch.testing.assert_close(flow.adjoint[3], expected)
    assert not flow.adjoint[:3].any()
    pull = flow.gradient.sum(0) @ problem.camera.rotation[:2].T
    assert (pull < 0).all()  # the target lies to the right and up


def test_a_moved_vertex_moves_alone_in_the_picture(problem: Problem) -> None:
    state = GradientState(size=48, vertex=24, move_x=0.2, move_y=-0.1)
    moved = field.pose(state, Cache())
    shift = (moved.mesh.vertices - problem.mesh.vertices) @ problem.camera.rotation.T
    expected = torch.zeros_like(shift)
    expected[24] = torch.tensor([0.2, -0.1, 0.0])
    torch.testing.assert_close(shift, expected, rtol=0, atol=1e-6)
    assert torch.equal(moved.target, problem.target)
    assert field.chosen(GradientState(vertex=10_000), problem.mesh) == 641


def test_the_line_moves_what_it_says(problem: Problem) -> None:
    one = field.direction(GradientState(size=48, moved=VERTEX, along="towards the eye", vertex=3), problem)
    assert one[3].tolist() == pytest.approx(problem.camera.rotation[2].tolist())
    assert one.abs().sum(-1).count_nonzero() == 1


def test_vertices_and_faces_are_found_where_they_are_seen(problem: Problem) -> None:
    places, seen = field.screen(problem, problem.mesh.vertices), field.visible(problem, problem.mesh.vertices)
    assert 200 < seen.sum() < 420  # the front of 642
    facing = problem.mesh.vertices @ problem.camera.eye
    front, back = int(facing.argmax()), int(facing.argmin())
    assert seen[front]
    assert not seen[back]
    row, column = (round(value) for value in places[front, :2])
    found = field.nearest_vertex(places, (row, column), seen)
    assert np.hypot(*(places[found, :2] - (row, column))) <= np.hypot(*(places[front, :2] - (row, column)))
    assert field.nearest_vertex(places, (row, column), ~seen) != found
    posed = field.pose(GradientState(size=48, pick=((row + 0.5) / 48, (column + 0.5) / 48)), Cache())
    for name in ("Hard", "SoftRas", "GenDR"):
        lit = field.faces_of_pixel(posed, SMALL.rasterizer(name), posed.mesh.vertices)
        corners = {int(vertex) for face in lit for vertex in posed.mesh.faces[face]}
        assert found in corners, name
    assert len(field.faces_of_pixel(posed, SMALL.rasterizer("Hard"), posed.mesh.vertices)) == 1
    corner = field.pose(GradientState(size=48, pick=(0.0, 0.0)), Cache())
    assert field.faces_of_pixel(corner, SMALL.rasterizer("Hard"), corner.mesh.vertices) == []


@pytest.mark.parametrize("method", ["Adam", "gradient"])
def test_a_descent_descends_by_its_rate(problem: Problem, method: str) -> None:
    descents = {"SoftRas": Descent(problem.mesh.vertices, method, False)}
    events = race(
        lambda: descents,
        lambda name, at: field.flow(problem, SMALL.rasterizer(name), at),
        lambda: 0.03,
        12,
    )
    first = next(events)
    assert isinstance(first, Step)
    moved = (descents["SoftRas"].vertices - problem.mesh.vertices).norm(dim=-1)
    greatest = 0.03 * (3**0.5 if method == "Adam" else 1)  # Adam's first step is the rate along each axis
    assert float(moved.max()) == pytest.approx(greatest, rel=0.01)
    *_, last = events
    assert isinstance(last, Step)
    assert (last.number, last.total) == (12, 12)
    assert last.values["SoftRas"] < 0.7 * first.values["SoftRas"]
    assert descents["SoftRas"].losses[-1] == last.values["SoftRas"]


def test_a_whole_mesh_keeps_its_shape(problem: Problem) -> None:
    one = Descent(problem.mesh.vertices, "gradient", True)
    one.step(flow_of(problem, "SoftRas"), 0.1)
    shift = one.vertices - problem.mesh.vertices
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-6)
    assert float(shift[0].norm()) == pytest.approx(0.1, rel=1e-4)
    still = Descent(problem.mesh.vertices, "gradient", False)
    still.step(flow_of(problem, "Hard"), 0.1)
    assert torch.equal(still.vertices, problem.mesh.vertices)


def test_arrows_point_down_the_gradient() -> None:
    vertices = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    gradient = torch.tensor([[0.0, -2.0, 0.0], [1.0, 0.0, 0.0], [1e-9, 0.0, 0.0]])
    found = plots.arrows(vertices, gradient, torch.tensor([0.0, 0.0, 5.0]))
    assert found.shape == (6, 2, 3)  # the third is too short
    assert found[0] == pytest.approx(np.array([[0, 0, 0], [0, plots.LONGEST, 0]]))
    assert found[3] == pytest.approx(np.array([[1, 0, 0], [1 - plots.LONGEST / 2, 0, 0]]))
    assert (found[1:3, 0] == found[0, 1]).all()  # its head begins at its end
    assert plots.arrows(vertices, torch.zeros_like(gradient), vertices[1]).shape == (0, 2, 3)


def test_colors_are_logarithmic() -> None:
    gradient = torch.zeros(4, 3)
    gradient[:3, 0] = torch.tensor([1.0, 1e-2, 1e-9])
    colors = plots.magnitude_colors(gradient)
    yellow, middle, dark, grey = colors
    assert yellow == pytest.approx([0.993, 0.906, 0.144], abs=0.01)
    assert middle == pytest.approx([0.128, 0.567, 0.551], abs=0.01)  # half of four decades
    assert dark == pytest.approx([0.267, 0.005, 0.329], abs=0.01)
    assert grey == pytest.approx([plots.NOTHING] * 3)
    assert (plots.magnitude_colors(torch.zeros(2, 3)) == plots.NOTHING).all()


def test_plots_are_pictures() -> None:
    line = Line((-1.0, 0.0, 1.0), (1.0, 0.0, 1.0), (-2.0, 0.0, 2.0))
    assert line.differences[1].tolist() == [-1.0, 1.0]
    made = [
        plots.lines({"SoftRas": line, SURROGATE: line}, "moved", (400, 200)),
        plots.losses({"Hard": [1.0, 0.5]}, {"Hard": 0.4, "GenDR": 0.0}, (300, 150)),
        plots.legend((300, 52)),
    ]
    assert all(one.startswith(b"\x89PNG") for one in made)
    mask = torch.zeros(6, 6)
    mask[1:5, 1:5] = 1
    ring = plots.outlined(torch.zeros(3, 6, 6), mask)[..., 0]
    assert ring.sum() == 12
    assert not ring[2:4, 2:4].any()
    hot = plots.heat(torch.tensor([[0.0, 1.0]]), torch.ones(1, 2))
    assert hot[0, 0] == pytest.approx(0.2, abs=0.01)
    assert hot[0, 1].min() > 0.6


def test_names_are_listed_once() -> None:
    state = GradientState(first="GenDR", second="GenDR", third="none", shown=3)
    assert state.names == ("GenDR",)
    assert state.focus == "GenDR"
    assert isinstance(state.rasterizer("GenDR"), GenDR)
    assert isinstance(state.rasterizer("AlgoNet"), AlgoNet)
