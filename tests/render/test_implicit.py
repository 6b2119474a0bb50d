"""Sphere tracing against known intersections, and against Algorithm 1 written ray by ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.render.field_rays import sphere_span
from labkit.render.implicit import (
    EXHAUSTED,
    HIT,
    LEFT,
    NEVER_MET,
    REASONS,
    Trace,
    Tracer,
    sphere_trace,
)
from tests.render.implicit_oracles import (
    ANALYTIC,
    CENTER,
    RADIUS,
    D,
    Field,
    box,
    broken_inside,
    bumpy,
    rays,
    sphere,
    torus,
)
from tests.tolerances import FLOAT32, FLOAT64


def slow_sphere(x: Tensor) -> Tensor:
    """A tenth of the distance: steps are far too short."""
    return 0.1 * sphere(x)


class Counted:
    """A field that counts how many points it was asked for."""

    def __init__(self, field: Field) -> None:
        self.field, self.points = field, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.points += len(x)
        return self.field(x)


def algorithm_1(field: Field, o: Tensor, v: Tensor, tracer: Tracer) -> tuple[Tensor, int, int]:
    """The supplement's loop for one ray that meets the sphere: where it ends, evaluations, and the outcome."""
    evaluated = 0

    def f(x: Tensor) -> float:
        nonlocal evaluated
        evaluated += 1
        return float(field(x[None]))

    b, c = o @ v, o @ o - tracer.radius**2
    x = o if c < 0 else o + (-b - (b * b - c).sqrt()) * v
    value, inside = f(x), True
    while value > tracer.epsilon and inside:
        d = value
        there = f(x + d * v)
        if there < 0:
            if evaluated == tracer.max_steps:
                return x, evaluated, EXHAUSTED
            d = tracer.backoff * d
            there = f(x + d * v)
        x, value = x + d * v, there
        inside = bool(x.norm() < tracer.radius)
        if evaluated == tracer.max_steps and value > tracer.epsilon and inside:
            return x, evaluated, EXHAUSTED
    return x, evaluated, HIT if inside else LEFT


@pytest.mark.parametrize("name", ANALYTIC)
def test_known_intersections(name: str) -> None:
    """The same rays hit, at the same depth, as by quadratic, slabs, quartic and plane."""
    field, oracle = ANALYTIC[name]
    origins, directions = rays(300)
    trace = sphere_trace(field, origins, directions, Tracer(epsilon=1e-10, max_steps=3000))
    wanted = torch.tensor([oracle(o, v) for o, v in zip(origins, directions, strict=True)], dtype=D)
    assert torch.equal(trace.hit, wanted.isfinite())
    assert 40 < trace.hit.sum() < 290
    # A grazing ray stops at distance epsilon from the surface, which is farther along the ray.
    torch.testing.assert_close(trace.depth[trace.hit], wanted[trace.hit], rtol=0, atol=1e-6)
    torch.testing.assert_close(trace.points, origins + trace.depth[:, None] * directions, **FLOAT64)


@pytest.mark.parametrize("name", [*ANALYTIC, "bumpy"])
def test_convergence_at_the_papers_settings(name: str) -> None:
    """|f| < 1e-4 wherever a ray hit, in float32: literally for distances, with secant steps for any field."""
    field = bumpy if name == "bumpy" else ANALYTIC[name][0]
    origins, directions = (tensor.float() for tensor in rays(2000))
    tracer = Tracer(secant_steps=8 if name == "bumpy" else 0)
    trace = sphere_trace(field, origins, directions, tracer)
    start, _, _ = sphere_span(origins, directions, 1.0)
    hit = trace.hit & (trace.depth > start)  # the plane's half space is cut by the sphere: those hit where they start
    assert hit.sum() > 200
    assert field(trace.points[hit]).abs().max() < 1e-4


@pytest.mark.parametrize(
    "tracer", [Tracer(), Tracer(backoff=0.9, epsilon=1e-3), Tracer(max_steps=7), Tracer(radius=0.8, compact=False)]
)
@pytest.mark.parametrize("field", [sphere, bumpy, slow_sphere], ids=lambda field: field.__name__)
def test_algorithm_1_ray_by_ray(field: Field, tracer: Tracer) -> None:
    """Point, number of evaluations and outcome are those of the paper's loop, also for a field that is no distance."""
    origins, directions = rays(150)
    origins[::3] *= 0.25  # inside the sphere
    trace = sphere_trace(field, origins, directions, tracer)
    met = (trace.missed != NEVER_MET).nonzero()[:, 0]
    assert len(met) > 100
    for i in met.tolist():
        point, evaluated, outcome = algorithm_1(field, origins[i], directions[i], tracer)
        assert (int(trace.steps[i]), int(trace.missed[i])) == (evaluated, outcome)
        torch.testing.assert_close(trace.points[i], point, **FLOAT64)


def test_one_evaluation_for_each_step() -> None:
    """f is asked exactly as often as the rays report, or for all rays in each step without compaction."""
    origins, directions = rays(500)
    for tracer in (Tracer(), Tracer(secant_steps=3, two_sided=True, max_steps=9)):
        field = Counted(bumpy)
        trace = sphere_trace(field, origins, directions, tracer)
        assert field.points == int(trace.steps.sum())
    field = Counted(bumpy)
    trace = sphere_trace(field, origins, directions, Tracer(compact=False))
    assert field.points == 500 * int(trace.steps.max())


@pytest.mark.parametrize("tracer", [Tracer(), Tracer(secant_steps=5, two_sided=True, max_steps=10)])
def test_compaction_changes_nothing(tracer: Tracer) -> None:
    """Both ways give the same bits."""
    origins, directions = rays(400)
    for field in (sphere, box, torus, bumpy, slow_sphere):
        one = sphere_trace(field, origins, directions, tracer, history=True)
        other = sphere_trace(field, origins, directions, replace(tracer, compact=False), history=True)
        for name, value in vars(one).items():
            assert torch.equal(value, getattr(other, name)), name


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from([Tracer(), Tracer(secant_steps=4, two_sided=True, max_steps=8)]))
def test_rays_are_independent(seed: int, tracer: Tracer) -> None:
    """A batch equals the loop over its rays, in any order."""
    origins, directions = rays(6, seed)
    batch = sphere_trace(bumpy, origins, directions, tracer)
    for i in range(6):
        single = sphere_trace(bumpy, origins[i : i + 1], directions[i : i + 1], tracer)
        torch.testing.assert_close(batch.points[i], single.points[0], **FLOAT64)
        assert int(batch.missed[i]) == int(single.missed[0])
        assert int(batch.steps[i]) == int(single.steps[0])


def test_overshoot_by_hand_and_its_cure() -> None:
    """f = 4 z from z = h: the halved step lands at -h, behind the surface; one secant step finds z = 0."""

    def steep(x: Tensor) -> Tensor:
        return 4 * x[:, 2]

    origins, directions = torch.tensor([[0.0, 0, 0.25]], dtype=D), torch.tensor([[0.0, 0, -1]], dtype=D)
    literal = sphere_trace(steep, origins, directions)
    assert bool(literal.hit)
    assert int(literal.steps) == 3
    torch.testing.assert_close(literal.points[0, 2], torch.tensor(-0.25, dtype=D), **FLOAT64)
    refined = sphere_trace(steep, origins, directions, Tracer(secant_steps=1))
    assert int(refined.steps) == 4
    torch.testing.assert_close(refined.points, torch.zeros(1, 3, dtype=D), **FLOAT64)
    torch.testing.assert_close(refined.depth, torch.tensor([0.25], dtype=D), **FLOAT64)


def test_secant_steps_stay_in_the_bracket() -> None:
    """For a field that is no distance they remove the bias of the literal form, and move no other ray."""

    def steep(x: Tensor) -> Tensor:
        return 2.5 * bumpy(x)

    origins, directions = rays(1000)
    literal = sphere_trace(steep, origins, directions)
    refined = sphere_trace(steep, origins, directions, Tracer(secant_steps=16))
    deep = literal.hit & (steep(literal.points) < -1e-5) & (literal.steps > 1)
    assert deep.sum() > 30
    assert steep(literal.points[deep]).abs().max() > 0.1
    assert steep(refined.points[deep]).abs().max() < 1e-5
    assert (refined.depth <= literal.depth).all()
    assert torch.equal(refined.points[~deep], literal.points[~deep])
    assert torch.equal(refined.steps - literal.steps, 16 * deep)


def test_two_sided_finds_the_first_crossing() -> None:
    """Where steps are too short to arrive, the other side and samples between decide: the nearer of two spheres."""

    def two(x: Tensor) -> Tensor:
        return 0.05 * torch.minimum((x - x.new_tensor([0.4, 0, 0])).norm(dim=-1), (x + 0.4).norm(dim=-1)) - 0.0125

    origins, directions = rays(300)
    lost = sphere_trace(two, origins, directions)
    assert (lost.missed == EXHAUSTED).sum() > 100
    assert not lost.hit.any()
    trace = sphere_trace(two, origins, directions, Tracer(max_steps=200, secant_steps=12, two_sided=True))
    wanted = torch.full((300,), torch.inf, dtype=D)
    for center in (torch.tensor([0.4, 0, 0], dtype=D), torch.full((3,), -0.4, dtype=D)):
        b, c = ((origins - center) * directions).sum(-1), (origins - center).square().sum(-1) - 0.25**2
        wanted = torch.where(b * b > c, torch.minimum(wanted, -b - (b * b - c).clamp_min(0).sqrt()), wanted)
    assert (trace.hit & ~wanted.isfinite()).sum() == 0
    assert trace.hit.sum() > 0.95 * wanted.isfinite().sum()  # the others graze: no sample is inside
    assert two(trace.points[trace.hit]).abs().max() <= 1e-5
    # f = epsilon is epsilon / slope = 2e-4 off the surface, and farther along a ray that is not perpendicular to it.
    torch.testing.assert_close(trace.depth[trace.hit], wanted[trace.hit], rtol=0, atol=2e-3)
    grazing = trace.missed == EXHAUSTED
    assert (trace.missed[~wanted.isfinite() & ~grazing] != HIT).all()
    assert grazing.sum() < 15


def test_where_rays_start_and_end() -> None:
    """By hand: outside, inside, behind, past, tangent, away, and from inside the surface."""
    o = [[0, 0, 3], [0, 0, 0.8], [0, 0, 3], [0, 2, 3], [0, 1, 3], [0, 0.6, 3], [0, 0, 0.1], [0, 0, 0.9]]
    v = [[0, 0, -1], [0, 0, -1], [0, 0, 1], [0, 0, -1], [0, 0, -1], [0, 0, -1], [0, 0, 1], [0, 0, 1]]
    origins, directions = torch.tensor(o, dtype=D), torch.tensor(v, dtype=D)

    def ball(x: Tensor) -> Tensor:
        return x.norm(dim=-1) - 0.5

    trace = sphere_trace(ball, origins, directions)
    expected = [HIT, HIT, NEVER_MET, NEVER_MET, NEVER_MET, LEFT, HIT, LEFT]
    assert trace.missed.tolist() == expected
    assert trace.hit.tolist() == [outcome == HIT for outcome in expected]
    depth = torch.tensor([2.5, 0.3, 0, 3, 3], dtype=D)
    torch.testing.assert_close(trace.depth[:5], depth, rtol=0, atol=1e-5)  # epsilon
    assert trace.depth[6] == 0
    assert trace.steps[6] == 1
    assert trace.steps[2:5].tolist() == [0, 0, 0]
    assert [REASONS[i] for i in (HIT, LEFT, NEVER_MET, EXHAUSTED)] == list(REASONS)


def test_far_camera_in_float32() -> None:
    """A camera 100 units away costs the points no digits: they are kept relative to the sphere."""
    origins, directions = (tensor.float() for tensor in rays(500, distance=100.0))
    trace = sphere_trace(sphere, origins, directions)
    assert trace.hit.sum() > 50
    assert sphere(trace.points[trace.hit]).abs().max() < 2e-5


def test_a_field_that_never_crosses_zero() -> None:
    """Ends at the bound on steps as a miss and says so; one that is zero in a point only does not loop either."""
    origins, directions = rays(20)
    for tracer in (Tracer(max_steps=50), Tracer(max_steps=50, two_sided=True, secant_steps=3)):
        trace = sphere_trace(lambda x: torch.full_like(x[:, 0], 1e-4), origins, directions, tracer)
        met = trace.missed != NEVER_MET
        assert met.any()
        assert (trace.missed[met] == EXHAUSTED).all()
        assert not trace.hit.any()
        assert (trace.steps[met] >= 50).all()


def test_history() -> None:
    """The path starts where the ray enters, no step is longer than f there, and its end is the point found."""
    origins, directions = rays(100)
    trace = sphere_trace(bumpy, origins, directions, history=True)
    assert trace.path is not None
    assert trace.distances is not None
    met = trace.missed != NEVER_MET
    path, distances = trace.path[:, met], trace.distances[:, met]
    assert len(path) == int(trace.steps.max())
    torch.testing.assert_close(path[0].norm(dim=-1), torch.ones(int(met.sum()), dtype=D), **FLOAT64)
    torch.testing.assert_close(distances, torch.stack([bumpy(row) for row in path]), **FLOAT64)
    assert ((path[1:] - path[:-1]).norm(dim=-1) <= distances[:-1].clamp_min(0) + 1e-12).all()
    assert torch.equal(trace.path[-1], trace.points)
    assert (trace.distances[:, ~met] == 0).all()


def test_no_rays_and_no_graph() -> None:
    """Zero rays are fine; nothing carries a graph, whatever requires grad."""
    trace = sphere_trace(sphere, torch.zeros(0, 3), torch.zeros(0, 3), history=True)
    assert trace.points.shape == (0, 3)
    assert trace.path is not None
    assert trace.path.shape == (0, 0, 3)
    origins, directions = (tensor.requires_grad_() for tensor in rays(5))
    radius = torch.tensor(0.5, dtype=D, requires_grad=True)
    trace = sphere_trace(lambda x: x.norm(dim=-1) - radius, origins, directions)
    assert not trace.points.requires_grad
    assert not trace.depth.requires_grad


def trace_of(tracer: Tracer | None = None, field: Field = sphere, **change: Any) -> Callable[[], Trace]:
    """A call with some arguments exchanged."""
    origins, directions = rays(4)
    arguments = {"origins": origins, "directions": directions} | change
    return lambda: sphere_trace(field, arguments["origins"], arguments["directions"], tracer)


ERRORS: list[tuple[type[LabError], Callable[[], object]]] = [
    (DomainError, lambda: Tracer(epsilon=0.0)),
    (DomainError, lambda: Tracer(radius=-1.0)),
    (DomainError, lambda: Tracer(backoff=1.0)),
    (DomainError, lambda: Tracer(max_steps=0)),
    (DTypeError, lambda: Tracer(max_steps=2.5)),  # type: ignore[arg-type]
    (DomainError, lambda: Tracer(secant_steps=-1)),
    (DomainError, lambda: Tracer(two_sided=True)),
    (ShapeError, trace_of(origins=torch.zeros(4, 2, dtype=D))),
    (ShapeError, trace_of(directions=torch.zeros(3, 3, dtype=D))),
    (DTypeError, trace_of(origins=torch.zeros(4, 3))),
    (DeviceError, trace_of(directions=torch.zeros(4, 3, dtype=D, device="meta"))),
    (DomainError, trace_of(origins=torch.full((4, 3), torch.nan, dtype=D))),
    (DomainError, trace_of(directions=torch.ones(4, 3, dtype=D))),
    (DomainError, trace_of(directions=torch.full((4, 3), torch.nan, dtype=D))),
    (ShapeError, trace_of(field=lambda x: x)),
    (DomainError, trace_of(field=broken_inside(torch.nan))),
    (DomainError, trace_of(field=broken_inside(torch.inf))),
    (DomainError, trace_of(Tracer(compact=False), broken_inside(-torch.inf))),
]


@pytest.mark.parametrize(("error", "call"), ERRORS)
def test_bad_input(error: type[LabError], call: Callable[[], object]) -> None:
    """Bad input, and a field that is no number somewhere on a ray, are refused."""
    with pytest.raises(error):
        call()


def test_known_case_in_float32() -> None:
    """The sphere of the oracle, met head on."""
    way = torch.tensor([[0.0, 0, -1]])
    origin = CENTER.float()[None] + torch.tensor([[0.0, 0, 3]])
    trace = sphere_trace(sphere, origin, way)
    torch.testing.assert_close(trace.depth, torch.tensor([3 - RADIUS]), **FLOAT32)
