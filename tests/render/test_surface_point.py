"""The differentiable surface point: equations 8 and 9 against intersections that are traced again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.geometry.sdf import BoxField, Field, SphereField, TorusField, Union, value_and_gradient
from labkit.render.implicit import Tracer, sphere_trace
from labkit.render.surface_point import surface_point
from labkit.scene.camera import Camera
from labkit.scene.rays import Views
from tests.render.implicit_oracles import CENTER, RADIUS, D, rays, sphere
from tests.tolerances import FLOAT64

EXACT = Tracer(epsilon=1e-13, max_steps=3000)
Make = Callable[[Tensor], Field]


def network(theta: Tensor) -> Field:
    """A ball dented by a small MLP, all of whose weights are the entries of theta."""
    sizes = [(16, 3), (16,), (16, 16), (16,), (1, 16)]
    weights = theta.split([torch.Size(size).numel() for size in sizes])
    shapes = [weight.reshape(size) for weight, size in zip(weights, sizes, strict=True)]

    def field(x: Tensor) -> Tensor:
        h = torch.tanh(nn.functional.linear(x, shapes[0], shapes[1]))
        h = torch.tanh(nn.functional.linear(h, shapes[2], shapes[3]))
        return 0.7 * (x.norm(dim=-1) - 0.5 + 0.1 * nn.functional.linear(h, shapes[4])[:, 0])

    return field


def weights_of(count: int) -> Tensor:
    """Fixed random weights."""
    return 0.5 * torch.randn(count, generator=torch.Generator().manual_seed(3), dtype=D)


FIELDS: dict[str, tuple[Make, Tensor]] = {
    "sphere": (lambda p: SphereField(p[0], p[1:]), torch.tensor([0.6, 0.1, -0.1, 0.05], dtype=D)),
    "box": (lambda p: BoxField(p[:3], p[3:]), torch.tensor([0.4, 0.3, 0.5, 0.05, 0.1, 0.0], dtype=D)),
    "torus": (lambda p: TorusField(p[0], p[1]), torch.tensor([0.5, 0.25], dtype=D)),
    "union": (
        lambda p: Union(SphereField(p[0], p[1:4]), BoxField(p[4:])),
        torch.tensor([0.4, 0.3, 0.2, 0.1, 0.3, 0.5, 0.2], dtype=D),
    ),
    "network": (network, weights_of(16 * 3 + 16 + 16 * 16 + 16 + 16)),
}


def traced(field: Field, origins: Tensor, directions: Tensor) -> Tensor:
    """Points found to the last digits, and NaN where there are none."""
    trace = sphere_trace(field, origins, directions, EXACT)
    return trace.points.where(trace.hit[:, None], torch.nan)


def point_and_normal(make: Make, theta: Tensor, points: Tensor, directions: Tensor) -> Tensor:
    """Equations 8 and 9 side by side, (N, 6)."""
    field = make(theta)
    x = surface_point(field, points, directions)
    return torch.cat([x, value_and_gradient(field, x)[1]], -1)


def moved_by(make: Make, theta: Tensor, way: Tensor, points: Tensor, directions: Tensor) -> Tensor:
    """The derivative of `point_and_normal` as theta moves that way, by reverse mode of reverse mode, (N, 6)."""
    theta = theta.clone().requires_grad_()
    out = point_and_normal(make, theta, points, directions)
    dummy = torch.zeros_like(out, requires_grad=True)
    (gradient,) = torch.autograd.grad(out, theta, dummy, create_graph=True)
    return torch.autograd.grad(gradient @ way, dummy)[0]


@pytest.mark.parametrize("name", FIELDS)
def test_derivatives_of_points_and_normals_against_tracing_again(name: str) -> None:
    """d x / d theta and d n / d theta agree with central differences over new intersections, to 1e-3."""
    make, theta = FIELDS[name]
    origins, directions = rays(150, seed=1)
    points = traced(make(theta), origins, directions)
    _, normals = value_and_gradient(make(theta), points.nan_to_num(1.0))
    hit = points.isfinite().all(-1) & ((normals * directions).sum(-1) < -0.2)
    points, origins, directions = points[hit], origins[hit], directions[hit]
    assert len(points) > 25
    stream = torch.Generator().manual_seed(2)
    kept = 0
    for _ in range(6):
        way = torch.randn(theta.shape, generator=stream, dtype=D)
        way, h = way / way.norm(), 1e-5
        exact = moved_by(make, theta, way, points, directions)
        pair = []
        for sign in (1, -1):
            moved = make(theta + sign * h * way)
            again = traced(moved, origins, directions)
            pair.append(torch.cat([again, value_and_gradient(moved, again.nan_to_num(1.0))[1]], -1))
        numeric = (pair[0] - pair[1]) / (2 * h)
        smooth = numeric.isfinite().all(-1) & (numeric.norm(dim=-1) < 100)  # no edge of a box between the two
        kept += int(smooth.sum())
        for part in (slice(0, 3), slice(3, 6)):
            error = (exact - numeric)[smooth, part].norm() / (numeric[smooth, part].norm() + 1e-3)
            assert error < 1e-3
    assert kept > 0.9 * 6 * len(points)


def test_known_derivative() -> None:
    """By hand: a ball of radius r met head on moves towards the eye as r grows, its unit normal does not turn."""
    radius = torch.tensor(0.5, dtype=D, requires_grad=True)
    points, directions = torch.tensor([[0.0, 0, 0.5]], dtype=D), torch.tensor([[0.0, 0, -1]], dtype=D)
    x = surface_point(SphereField(radius), points, directions)
    assert torch.equal(x, points)
    (slope,) = torch.autograd.grad(x[0, 2], radius)
    assert slope == 1


def test_the_value_is_the_traced_point_exactly() -> None:
    """Also where f there is far from zero, and where the ray grazes."""
    radius = torch.tensor(0.5, requires_grad=True)
    points = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    directions = nn.functional.normalize(torch.randn(1000, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    x = surface_point(SphereField(radius), points, directions)
    assert torch.equal(x, points)
    assert x.requires_grad
    assert not points.requires_grad


@pytest.mark.parametrize(("slope", "clamped"), [(-0.5, -0.5), (-1e-5, -1e-3), (0.0, -1e-3), (1e-5, 1e-3), (0.5, 0.5)])
def test_grazing_rays_are_limited(slope: float, clamped: float) -> None:
    """d x / d theta = -v / (grad f . v) for f = z - theta, with the absolute value held and the sign kept."""
    theta = torch.zeros((), dtype=D, requires_grad=True)
    way = torch.tensor([[(1 - slope**2) ** 0.5, 0, slope]], dtype=D)
    x = surface_point(lambda p: p[:, 2] - theta, torch.zeros(1, 3, dtype=D), way)
    (moved,) = torch.autograd.grad(x[0, 0], theta)
    torch.testing.assert_close(moved, way[0, 0] / clamped, **FLOAT64)


def test_derivative_in_the_camera() -> None:
    """The point follows a camera that moves and turns, as it does when the rays are traced again."""
    views = Views.of(Camera.look_at(torch.tensor([0.4, 0.3, 2.2], dtype=D), fov=40.0), (5, 5))
    pixel = torch.arange(25)
    way = torch.randn(12, generator=torch.Generator().manual_seed(5), dtype=D)

    def looking(t: Tensor) -> tuple[Tensor, Tensor]:
        turned = torch.linalg.matrix_exp(t * (way[:9].reshape(3, 3) - way[:9].reshape(3, 3).mT)) @ views.rotation
        moved = Views(views.intrinsics, turned, views.translation + t * way[9:], views.size)
        return moved.rays(torch.zeros_like(pixel), pixel)

    depth = sphere_trace(sphere, *looking(torch.zeros((), dtype=D)), EXACT).depth
    h = torch.tensor(1e-5, dtype=D)
    pair = [traced(sphere, *looking(sign * h)) for sign in (1, -1)]
    numeric = (pair[0] - pair[1]) / (2 * h)
    t = torch.zeros((), dtype=D, requires_grad=True)
    origins, directions = looking(t)
    x = surface_point(sphere, origins + depth[:, None] * directions, directions)
    hit = numeric.isfinite().all(-1).nonzero()[:, 0]
    assert len(hit) > 10
    for i in hit.tolist():
        exact = torch.stack([torch.autograd.grad(x[i, axis], t, retain_graph=True)[0] for axis in range(3)])
        torch.testing.assert_close(exact, numeric[i], rtol=1e-3, atol=1e-5)


def test_without_grad_mode_nothing_is_computed() -> None:
    """The points come back as they are, and the field is not asked."""

    def refusing(x: Tensor) -> Tensor:
        raise AssertionError

    points, directions = torch.zeros(2, 3), torch.tensor([[1.0, 0, 0]]).expand(2, 3)
    with torch.no_grad():
        assert surface_point(refusing, points, directions) is points


def test_no_points() -> None:
    """Zero hits are fine."""
    radius = torch.tensor(0.5, requires_grad=True)
    x = surface_point(SphereField(radius), torch.zeros(0, 3), torch.zeros(0, 3))
    x.sum().backward()
    assert radius.grad == 0


POINT = CENTER[None] + torch.tensor([[RADIUS, 0, 0]], dtype=D)
WAY = torch.tensor([[-1.0, 0, 0]], dtype=D)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (DomainError, lambda: surface_point(sphere, POINT * torch.nan, WAY)),
        (DomainError, lambda: surface_point(sphere, POINT, WAY * torch.inf)),
        (DomainError, lambda: surface_point(sphere, POINT, WAY, limit=0.0)),
        (ShapeError, lambda: surface_point(sphere, POINT, WAY.expand(2, 3))),
        (ShapeError, lambda: surface_point(lambda x: x, POINT, WAY)),
        (DTypeError, lambda: surface_point(sphere, POINT, WAY.float())),
        (DeviceError, lambda: surface_point(sphere, POINT, WAY.to("meta"))),
    ],
)
def test_bad_input(error: type[Exception], call: Callable[[], object]) -> None:
    """Bad input is refused."""
    with pytest.raises(error):
        call()
