"""How a surface point moves along its ray when one number of the surface changes: equation 8, and by tracing again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from labkit.geometry.sdf import BoxField, Field, Moved, SmoothUnion, SphereField, TorusField, value_and_gradient
from labkit.lab.implicit_scene import RADIUS, REACH, Meeting, Section, camera_at, meet, turned
from labkit.lab.state import between, one_of
from labkit.render.implicit import minimum_point, sphere_span
from labkit.render.surface_point import surface_point

SHOWN = 0.1  # change of theta that the arrows stand for
OTHER = 0.1  # world units: a jump to another part of the surface is no derivative
FAN = 121  # rays across the picture
CLOSEST = 9  # decades of rays before the silhouette
NO_CLAMP = 1e-12

TO_CAMERA = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
PARAMETERS: MappingProxyType[str, Callable[[Tensor], Field]] = MappingProxyType(
    {
        "sphere: radius": lambda theta: SphereField(theta),
        "sphere: place on the second axis": lambda theta: SphereField(0.4, torch.stack([-theta, 0 * theta, 0 * theta])),
        "torus: minor radius": lambda theta: Moved(TorusField(0.55, theta), TO_CAMERA),
        "two spheres: width of the blend": lambda theta: SmoothUnion(
            SphereField(0.32, (-0.36, 0.0, 0.0)), SphereField(0.32, (0.36, 0.0, 0.0)), theta
        ),
        "box: half its width": lambda theta: Moved(
            BoxField(torch.stack([theta, 0 * theta + 0.4, 0 * theta + 0.4])), turned(35.0)
        ),
    }
)
"""Surfaces by the number theta that is changed, each made from a float64 tensor ()."""


@dataclass(frozen=True)
class DerivativeState:
    """Everything that decides what the derivative panel shows.

    Attributes:
        shape: the surface, and which of its numbers theta is.
        theta: its value, world units.
        aim_x, aim_y: a point of the plane that the chosen ray goes through, world units.
        limit: least |grad f . v| that equation 8 divides by.
        step: of the finite difference, world units of theta.
    """

    shape: str = one_of(next(iter(PARAMETERS)), *PARAMETERS)
    theta: float = between(0.35, 0.1, 0.4)
    aim_x: float = between(-0.1, -REACH, REACH)
    aim_y: float = between(0.25, -REACH, REACH)
    limit: float = between(1e-3, 1e-5, 0.5)
    step: float = between(1e-5, 1e-9, 0.05)

    @property
    def aim(self) -> tuple[float, float]:
        """The point of the plane that the ray goes through."""
        return self.aim_x, self.aim_y

    def field(self, change: float = 0.0) -> Field:
        """f with theta changed by so much."""
        return PARAMETERS[self.shape](torch.tensor(self.theta + change, dtype=torch.float64))


def plane() -> Section:
    """The plane y = 0, seen by a camera on +z: its first axis is -z, its second -x."""
    return Section.of(camera_at(0.0, 0.0), 0.5)


@dataclass(frozen=True, eq=False)
class Slopes:
    """How fast N rays' points move away from the camera, d depth / d theta.

    Attributes:
        trace: where the rays meet the surface.
        cosine: (N,), grad f . v at the points.
        implicit: (N,), by equation 8; NaN where a ray misses.
        free: (N,), the same without a limit.
        traced: (N,), central finite difference of the depth; NaN if one of the three rays misses or meets another part.
    """

    trace: Meeting
    cosine: Tensor
    implicit: Tensor
    free: Tensor
    traced: Tensor


def slopes(state: DerivativeState, origins: Tensor, directions: Tensor, step: float | None = None) -> Slopes:
    """Both derivatives, for rays (N, 3)."""
    h = state.step if step is None else step
    trace = meet(state.field(), origins, directions)
    _, normals = value_and_gradient(state.field(), trace.points)
    higher, lower = (meet(state.field(change), origins, directions) for change in (h, -h))
    moved = (higher.depth - lower.depth) / (2 * h)
    same = trace.hit & higher.hit & lower.hit & ((higher.depth - lower.depth).abs() < OTHER)
    return Slopes(
        trace,
        (normals * directions).sum(-1),
        torch.where(trace.hit, by_equation_8(state, trace.points, directions, state.limit), math.nan),
        torch.where(trace.hit, by_equation_8(state, trace.points, directions, NO_CLAMP), math.nan),
        torch.where(same, moved, math.nan),
    )


def by_equation_8(state: DerivativeState, points: Tensor, directions: Tensor, limit: float) -> Tensor:
    """d (x . v) / d theta for each of N traced points, (N,)."""
    theta = torch.tensor(state.theta, dtype=points.dtype, requires_grad=True)
    weights = torch.ones(len(points), dtype=points.dtype, requires_grad=True)
    depth = (surface_point(PARAMETERS[state.shape](theta), points, directions, limit) * directions).sum(-1)
    # A gradient of the gradient by the weights: all N derivatives by one number, in two passes.
    (total,) = torch.autograd.grad((weights * depth).sum(), theta, create_graph=True)
    (each,) = torch.autograd.grad(total, weights)
    return each


@dataclass(frozen=True, eq=False)
class Miss:
    """What the mask loss of equation 10 sees of a ray that misses.

    Attributes:
        point: (1, 3), z, where f is least on the ray.
        value: f(z), world units.
        slope: d f(z) / d theta.
    """

    point: Tensor
    value: float
    slope: float


def missing(state: DerivativeState, origins: Tensor, directions: Tensor) -> Miss:
    """The point of one ray (1, 3) where f is least, and how f there depends on theta."""
    near, far, _ = sphere_span(origins, directions, RADIUS)
    fractions = torch.linspace(0, 1, 201, dtype=origins.dtype)[None]
    point = minimum_point(state.field(), origins, directions, near, far, fractions)
    theta = torch.tensor(state.theta, dtype=origins.dtype, requires_grad=True)
    value = PARAMETERS[state.shape](theta)(point)[0]
    (slope,) = torch.autograd.grad(value, theta)
    return Miss(point, float(value.detach()), float(slope))


def silhouette(state: DerivativeState, section: Section, across: Tensor, hit: Tensor, chosen: float) -> Tensor | None:
    """Places of rays that come closer and closer to the silhouette nearest to the chosen ray, from inside.

    Args:
        section: the plane.
        across, hit: (N,), places of rays in rising order, and which of them hit.
        chosen: the place of the chosen ray.

    Returns:
        Places (M,), or None without a silhouette. The last is 10^-CLOSEST pictures before it.
    """
    edges = (hit[1:] != hit[:-1]).nonzero()[:, 0]  # (E,)
    if not len(edges):
        return None
    edge = int(edges[(across[edges] - chosen).abs().argmin()])
    inside, outside = (across[edge], across[edge + 1]) if hit[edge] else (across[edge + 1], across[edge])
    for _ in range(5):  # 63 parts each time
        between_them = torch.lerp(inside, outside, torch.linspace(0, 1, 64, dtype=across.dtype))
        last = int(meet(state.field(), *section.rays(between_them)).hit.nonzero()[:, 0].max())
        inside, outside = between_them[last], between_them[min(last + 1, 63)]
    away = torch.logspace(-1, -CLOSEST, 4 * CLOSEST + 1, dtype=across.dtype)
    return inside + (inside - outside).sign() * away
