"""Sphere tracing, looked at: one ray step by step, and a whole picture of rays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from labkit.errors import BackendError
from labkit.geometry.sdf import BoxField, Field, Moved, SmoothUnion, SphereField, TorusField, Union, value_and_gradient
from labkit.lab.implicit_scene import RADIUS, REACH, Meeting, Section, all_rays, camera_at, meet, turned
from labkit.lab.state import between, one_of
from labkit.render.implicit import EXHAUSTED, Trace, Tracer, sphere_trace

BUMPS, WAVES = 0.06, 9.0  # height in world units, and radians per world unit


def bumpy(x: Tensor) -> Tensor:
    """A sphere with bumps, (N, 3) -> (N,): its gradient is up to 1 + BUMPS * WAVES long, so it is no distance."""
    return x.norm(dim=-1) - 0.6 + BUMPS * (WAVES * x).sin().prod(-1)


SHAPES: MappingProxyType[str, tuple[Field, float]] = MappingProxyType(
    {
        "sphere": (SphereField(0.6), 1.0),
        "box": (Moved(BoxField((0.5, 0.35, 0.4)), turned(35.0)), 1.0),
        "torus": (TorusField(0.55, 0.2), 1.0),
        "sphere and box (union)": (
            Union(SphereField(0.38, (-0.35, 0.0, 0.1)), BoxField((0.75, 0.1, 0.3))),
            1.0,
        ),
        "two spheres (smooth union)": (
            SmoothUnion(SphereField(0.35, (-0.35, 0.0, 0.0)), SphereField(0.3, (0.35, 0.1, 0.0)), 0.3),
            1.0,
        ),
        "bumpy sphere: no distance": (bumpy, 1 + BUMPS * WAVES),
    }
)
"""The fields by name, and a bound on the length of their gradients."""

ENDING, ERROR = "how the rays end", "error of the depth"
PICTURE = (48, 96)  # pixels a side while a slider moves, and at rest
REFINED = 8  # secant steps
HUE = {"miss": (0.93, 0.95, 0.97), "exhausted": (0.835, 0.369, 0.0), "false": (0.8, 0.475, 0.655)}
ERRORS = (1e-7, 1e-1)  # world units: the ends of the colour scale


@dataclass(frozen=True)
class TracingState:
    """Everything that decides what the tracing panel shows.

    Attributes:
        shape: which field.
        slope: the field is multiplied by this; 1 leaves distances as they are, more makes steps too long.
        epsilon, alpha: of Algorithm 1, world units and a factor.
        max_steps: evaluations of f after which a ray is given up.
        aim_x, aim_y: a point of the plane that the chosen ray goes through, world units.
        down: which row of the picture the plane belongs to, from the upper edge.
        azimuth, elevation: of the camera, degrees.
        second: what the second picture shows.
    """

    shape: str = one_of("sphere and box (union)", *SHAPES)
    slope: float = between(1.0, 0.2, 4.0)
    epsilon: float = between(1e-3, 1e-6, 0.1)
    alpha: float = between(0.5, 0.05, 0.95)
    max_steps: int = between(64, 4, 256)
    aim_x: float = between(0.0, -REACH, REACH)
    aim_y: float = between(-0.05, -REACH, REACH)
    down: float = between(0.46, 0.0, 1.0)
    azimuth: float = between(20.0, -180.0, 180.0)
    elevation: float = between(20.0, -89.0, 89.0)
    second: str = one_of(ENDING, ERROR)

    @property
    def section(self) -> Section:
        """The plane of the chosen row."""
        return Section.of(camera_at(self.azimuth, self.elevation), self.down)

    @property
    def aim(self) -> tuple[float, float]:
        """The point of the plane that the ray goes through."""
        return self.aim_x, self.aim_y

    def field(self, x: Tensor) -> Tensor:
        """f, (N, 3) -> (N,)."""
        return self.slope * SHAPES[self.shape][0](x)

    def tracer(self, secant_steps: int = 0) -> Tracer:
        """Algorithm 1 as the sliders say, literally unless there are secant steps."""
        return Tracer(self.epsilon, RADIUS, self.alpha, self.max_steps, secant_steps)


def truth_of(shape: str, origins: Tensor, directions: Tensor) -> Meeting:
    """Where rays (N, 3) really meet the surface."""
    field, bound = SHAPES[shape]
    return meet(lambda x: field(x) / bound, origins, directions)


@dataclass(frozen=True, eq=False)
class Walk:
    """The way of one ray.

    Attributes:
        eye, end, refined: (2,) of the plane: where the ray begins, ends by Algorithm 1, and ends with secant steps.
        points: (K, 2), where it stood, in turn; radii: (K,), f there.
        tried: for each of them, whether the step from there was too long and was shortened.
        left: (K,), the true way to the surface, NaN if there is none.
        trace, better: of Algorithm 1, and with secant steps.
        errors: of the depth of both, world units; NaN if the ray really misses, or nobody looked.
    """

    eye: np.ndarray
    end: np.ndarray
    refined: np.ndarray
    points: np.ndarray
    radii: np.ndarray
    tried: np.ndarray
    left: np.ndarray
    trace: Trace
    better: Trace
    errors: tuple[float, float]


def walk(state: TracingState, exact: bool = True) -> Walk:
    """Trace the chosen ray; without ``exact``, the true way to the surface is not looked for, and NaN."""
    section = state.section
    origins, directions = section.eye[None], section.through(state.aim)[None]
    trace = sphere_trace(state.field, origins, directions, state.tracer(), history=True)
    better = sphere_trace(state.field, origins, directions, state.tracer(REFINED))
    truth = truth_of(state.shape, origins, directions) if exact else None
    if trace.path is None or trace.distances is None:
        raise BackendError("sphere_trace", "no history", "the path that was asked for")
    spent = int(trace.steps)
    path, radii = trace.path[:spent, 0], trace.distances[:spent, 0]  # (S, 3) and (S,)
    depths = (path - section.eye).norm(dim=-1)
    stood = torch.ones(spent, dtype=torch.bool)
    stood[1:] = depths.diff() != 0
    tried = torch.zeros(spent, dtype=torch.bool)
    tried[:-1] = ~stood[1:]
    real = float(truth.depth) if truth is not None and bool(truth.hit) else math.nan

    def flat(points: Tensor) -> np.ndarray:
        return section.flat(points).numpy()

    return Walk(
        flat(section.eye),
        flat(trace.points[0]),
        flat(better.points[0]),
        flat(path[stood]),
        radii[stood].numpy(),
        tried[stood].numpy(),
        (real - depths[stood]).numpy(),
        trace,
        better,
        (float(trace.depth) - real, float(better.depth) - real),
    )


@dataclass(frozen=True, eq=False)
class Picture:
    """All rays of the camera.

    Attributes:
        steps: (N, N) evaluations of f.
        second: (N, N, 3) colours of the second picture.
        counts: how many rays hit, missed, and ran out of steps.
        error: the median and the greatest error of the depth of rays that rightly hit, world units.
    """

    steps: np.ndarray
    second: np.ndarray
    counts: tuple[int, int, int]
    error: tuple[float, float]


def true_picture(shape: str, azimuth: float, elevation: float, size: int) -> Meeting:
    """`truth_of` of all rays of the camera."""
    return truth_of(shape, *all_rays(camera_at(azimuth, elevation), size))


def picture(state: TracingState, size: int, truth: Meeting | None) -> Picture:
    """Trace all rays of the camera.

    Args:
        state: what to trace, and how.
        size: pixels a side.
        truth: `true_picture` of the same camera and size; needed for the error of the depth only.
    """
    origins, directions = all_rays(camera_at(state.azimuth, state.elevation), size)
    trace = sphere_trace(state.field, origins, directions, state.tracer())
    colors = torch.tensor(HUE["miss"], dtype=torch.float64).repeat(size * size, 1)
    colors[trace.missed == EXHAUSTED] = colors.new_tensor(HUE["exhausted"])
    error = (0.0, 0.0)
    if state.second == ERROR and truth is not None:
        both = trace.hit & truth.hit
        off = (trace.depth - truth.depth).abs()[both]
        low, high = (math.log(end) for end in ERRORS)
        part = ((off.clamp_min(ERRORS[0]).log() - low) / (high - low)).clamp(0, 1).numpy()
        colors[both] = torch.from_numpy(colormaps["viridis"](part)[:, :3].copy())
        colors[trace.hit & ~truth.hit] = colors.new_tensor(HUE["false"])
        error = (float(off.median()), float(off.max())) if len(off) else error
    elif bool(trace.hit.any()):
        _, normals = value_and_gradient(state.field, trace.points[trace.hit])
        facing = -(torch.nn.functional.normalize(normals, dim=-1) * directions[trace.hit]).sum(-1).clamp(-1, 0)
        colors[trace.hit] = (0.25 + 0.65 * facing)[:, None].expand(-1, 3)
    hits, lost = int(trace.hit.sum()), int((trace.missed == EXHAUSTED).sum())
    return Picture(
        trace.steps.reshape(size, size).numpy(),
        colors.reshape(size, size, 3).numpy(),
        (hits, size * size - hits - lost, lost),
        error,
    )
