"""Fields written by hand and where rays meet them, known without tracing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Field = Callable[[Tensor], Tensor]
D = torch.float64
RADIUS, CENTER = 0.55, torch.tensor([0.1, -0.2, 0.15], dtype=D)
HALF = torch.tensor([0.3, 0.5, 0.4], dtype=D)
MAJOR, MINOR = 0.55, 0.2
NORMAL, OFFSET = torch.tensor([2.0, 3.0, -6.0], dtype=D) / 7, 0.15


def sphere(x: Tensor) -> Tensor:
    """Distance to a sphere off the origin."""
    return torch.linalg.vector_norm(x - CENTER.to(x), dim=-1) - RADIUS


def box(x: Tensor) -> Tensor:
    """Distance to a box along the axes."""
    q = x.abs() - HALF.to(x)
    return torch.linalg.vector_norm(q.clamp_min(0), dim=-1) + q.amax(-1).clamp_max(0)


def torus(x: Tensor) -> Tensor:
    """Distance to a torus about the y axis."""
    return torch.hypot(torch.hypot(x[:, 0], x[:, 2]) - MAJOR, x[:, 1]) - MINOR


def plane(x: Tensor) -> Tensor:
    """Distance to the half space below a plane."""
    return x @ NORMAL.to(x) - OFFSET


def bumpy(x: Tensor) -> Tensor:
    """No distance: its slope reaches 2, so that steps jump over the surface, and not always back."""
    return (x * x.new_tensor([1.0, 1.3, 0.8])).norm(dim=-1) - 0.5 + 0.06 * torch.sin(12 * x).sum(-1)


def broken_inside(value: float) -> Field:
    """A field that is no number in one part of space."""
    return lambda x: torch.where(x.norm(dim=-1) < 0.9, value, x.norm(dim=-1) - 0.5)


def rays(count: int, seed: int = 0, distance: float = 2.5) -> tuple[Tensor, Tensor]:
    """Rays from random places at a distance from the origin towards random places near it."""
    stream = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=stream, dtype=D)
    origins = distance * origins / origins.norm(dim=-1, keepdim=True)
    targets = 1.6 * torch.rand(count, 3, generator=stream, dtype=D) - 0.8
    return origins, (targets - origins) / (targets - origins).norm(dim=-1, keepdim=True)


def ray_sphere(o: Tensor, v: Tensor) -> float:
    """First root of the quadratic, or infinity."""
    b, c = float((o - CENTER) @ v), float((o - CENTER) @ (o - CENTER)) - RADIUS**2
    return -b - np.sqrt(b * b - c) if b * b > c else np.inf


def ray_box(o: Tensor, v: Tensor) -> float:
    """The slab method."""
    ends = np.sort(((torch.stack([-HALF, HALF]) - o) / v).numpy(), axis=0)  # (2, 3)
    near, far = ends[0].max(), ends[1].min()
    return near if near < far else np.inf


def ray_torus(o: Tensor, v: Tensor) -> float:
    """First real root of the quartic (|x|^2 + R^2 - r^2)^2 = 4 R^2 (x^2 + z^2)."""
    square = np.polynomial.Polynomial([float(o @ o) + MAJOR**2 - MINOR**2, 2 * float(o @ v), 1.0])
    across = [o[0] ** 2 + o[2] ** 2, 2 * (o[0] * v[0] + o[2] * v[2]), v[0] ** 2 + v[2] ** 2]
    roots = (square**2 - 4 * MAJOR**2 * np.polynomial.Polynomial([float(c) for c in across])).roots()
    real = roots.real[np.abs(roots.imag) < 1e-9]
    return real.min() if real.size else np.inf


def ray_plane(o: Tensor, v: Tensor) -> float:
    """Where the ray meets the plane inside the unit sphere, or where it enters the sphere if it is below there."""
    b, c = float(o @ v), float(o @ o) - 1
    if b * b <= c:
        return np.inf
    near, far = (-b + sign * np.sqrt(b * b - c) for sign in (-1, 1))
    if float(plane((o + near * v)[None])) <= 0:
        return near
    t = float((OFFSET - o @ NORMAL) / (v @ NORMAL))
    return t if near < t < far else np.inf


ANALYTIC: dict[str, tuple[Field, Callable[[Tensor, Tensor], float]]] = {
    "sphere": (sphere, ray_sphere),
    "box": (box, ray_box),
    "torus": (torus, ray_torus),
    "plane": (plane, ray_plane),
}
