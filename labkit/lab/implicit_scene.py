"""The plane that one row of a picture sees of a signed field, where all of its rays can be drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labkit.geometry.sdf import Field, value_and_gradient
from labkit.render.implicit import Tracer, sphere_trace
from labkit.scene.camera import Camera
from labkit.scene.rays import Views

FOV, DISTANCE, RADIUS = 42.0, 2.9, 1.0  # degrees, world units, and the bounding sphere's radius, which fits the picture
REACH = 1.2  # aims lie in [-REACH, REACH], world units
NEAR = Tracer(epsilon=1e-4, radius=RADIUS, max_steps=160)
NEWTON_STEPS, NEWTON_REACH = 20, 0.03  # the second in world units
EXACT = 1e-11  # greatest |f| of an exact point


def turned(degrees: float) -> Tensor:
    """The rotation (3, 3) about the y axis, float64."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]], dtype=torch.float64)


def camera_at(azimuth: float, elevation: float) -> Camera:
    """The camera of the notebook's pictures, float64; angles in degrees as `Camera.orbit` takes them."""
    turn, lift = (torch.tensor(angle, dtype=torch.float64) for angle in (azimuth, elevation))
    return Camera.orbit(turn, lift, DISTANCE, fov=FOV)


def all_rays(camera: Camera, size: int) -> tuple[Tensor, Tensor]:
    """Origins and directions (size * size, 3) of the pixels of a square picture, row by row."""
    pixel = torch.arange(size * size)
    return Views.of(camera, (size, size)).rays(torch.zeros_like(pixel), pixel)


@dataclass(frozen=True, eq=False)
class Meeting:
    """Where N rays meet a surface: points (N, 3), depths (N,) from their origins, and which of them hit, (N,)."""

    points: Tensor
    depth: Tensor
    hit: Tensor


def meet(field: Field, origins: Tensor, directions: Tensor) -> Meeting:
    """Exact first intersections, for fields whose gradients are at most 1 long.

    Rays (N, 3) are traced to f <= 1e-4, and from there by Newton's method along the ray to |f| <= 1e-11: tracing
    alone takes steps without end on grazing rays, where each shortens the way by the factor 1 - |grad f . v| only.
    """
    trace = sphere_trace(field, origins, directions, NEAR)
    rows = trace.hit.nonzero()[:, 0]  # (M,)
    start, v = trace.depth[rows], directions[rows]
    depth, values = start, torch.full_like(start, torch.inf)
    for _ in range(NEWTON_STEPS):
        values, normals = value_and_gradient(field, origins[rows] + depth[:, None] * v)
        if bool((values.abs() <= EXACT).all()):
            break
        step = (values / (normals * v).sum(-1)).nan_to_num(0.0).clamp(-NEWTON_REACH, NEWTON_REACH)
        depth = torch.where(values.abs() <= EXACT, depth, depth - step)
    found = (values.abs() <= EXACT) & ((depth - start).abs() <= NEWTON_REACH)
    depths = trace.depth.index_copy(0, rows, depth)
    return Meeting(
        origins + depths[:, None] * directions, depths, torch.zeros_like(trace.hit).index_copy(0, rows, found)
    )


@dataclass(frozen=True, eq=False)
class Section:
    """The plane through the eye and one row of the picture, with two coordinates.

    The first points away from the camera, the second to the camera's left; (0, 0) is the plane's point nearest to the
    middle of the world. So the camera is on the left of a drawing that is seen from above it.

    Attributes:
        eye: (3,) world.
        origin: (3,) world, of the coordinates.
        axes: (2, 3) world, orthonormal.
        slope: sideways per unit ahead at the right edge of the picture.
    """

    eye: Tensor
    origin: Tensor
    axes: Tensor
    slope: float

    @classmethod
    def of(cls, camera: Camera, down: float) -> Section:
        """The plane of the row at ``down`` in [0, 1] from the upper edge of the picture; the camera sees (0, 0, 0)."""
        right, up, back = camera.rotation
        edge = math.tan(math.radians(FOV / 2))
        ahead = (1 - 2 * down) * edge * up - back
        length = float(ahead.norm())
        axes = torch.stack([ahead / length, -right])
        origin = camera.eye - axes.T @ (axes @ camera.eye)
        return cls(camera.eye, origin, axes, edge / length)

    def world(self, flat: Tensor) -> Tensor:
        """(..., 2) -> (..., 3)."""
        return self.origin + flat @ self.axes

    def flat(self, world: Tensor) -> Tensor:
        """(..., 3) -> (..., 2), the nearest point of the plane."""
        return (world - self.origin) @ self.axes.T

    def through(self, aim: tuple[float, float]) -> Tensor:
        """Unit direction (3,) from the eye through a point of the plane."""
        towards = self.world(self.eye.new_tensor(aim)) - self.eye
        return towards / towards.norm()

    def aim_of(self, across: float) -> tuple[float, float]:
        """Where the ray at ``across`` in [0, 1] from the left edge of the picture crosses the second axis."""
        return 0.0, self._distance * self.slope * (1 - 2 * across)

    def rays(self, across: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and directions (N, 3) of the rays at places (N,) in the picture, from its left edge."""
        flat = torch.stack([torch.ones_like(across), self.slope * (1 - 2 * across)], -1)  # (N, 2)
        directions = torch.nn.functional.normalize(flat, dim=-1) @ self.axes
        return self.eye.expand_as(directions), directions

    def across(self, aim: tuple[float, float]) -> float:
        """Where in the picture the ray through a point is, from the left edge; in [0, 1] if the picture shows it."""
        return 0.5 - aim[1] / ((aim[0] + self._distance) * 2 * self.slope)

    @property
    def _distance(self) -> float:
        return -float(self.flat(self.eye)[0])

    def grid(self, extent: tuple[float, float, float, float], shape: tuple[int, int]) -> Tensor:
        """The world points (H * W, 3) of an H by W raster over left, right, bottom, top, the upper row first."""
        left, right, bottom, top = extent
        x = np.linspace(left, right, 2 * shape[1] + 1)[1::2]
        y = np.linspace(top, bottom, 2 * shape[0] + 1)[1::2]
        flat = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        return self.world(torch.from_numpy(flat).to(self.origin))
