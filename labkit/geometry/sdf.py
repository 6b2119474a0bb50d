"""Signed distance fields in closed form: ground truth for networks, and material for the notebooks.

A field is any callable from points (N, 3) to values (N,), negative inside. It may have a method
``value_and_gradient(x) -> (f (N,), g (N, 3))`` of its own, as `labkit.nets.SDFNet` has.

Every field here changes by at most the distance walked (its gradient is at most 1 long), so ``|f(x)|`` never exceeds
the distance to its surface, and a sphere tracer may go that far. The solids are exact: ``|f(x)|`` is that distance. So
are moved fields, a `Union` outside and an `Intersection` inside, each of exact fields. Elsewhere, and everywhere for
`Difference` and `SmoothUnion`, f only bounds the distance from below.

Where several points of the surface are nearest, f has a kink. The gradient there is that of one of them, or zero where
symmetry leaves none: at the centre of a sphere, on the circle inside a torus and its axis, on the segment inside a
capsule, on the middle plane of a box. So it is finite everywhere, and so is its derivative. Values and gradients are
differentiable in the points and in every parameter that is a tensor. Lengths are world units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_positive, check_tensor

Field = Callable[[Tensor], Tensor]
Number = float | Tensor
Vector = Sequence[float] | Tensor
ORIGIN = (0.0, 0.0, 0.0)


def value_and_gradient(field: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return f (N,) and its gradient in x, (N, 3), by the field's own method or else by autograd.

    Where gradients are recorded, both are differentiable in x, if it requires gradients, and in whatever the field is
    made of that does. Otherwise they carry no graph. A field that does not depend on x has gradient zero.

    Args:
        field: a callable from (N, 3) to (N,), one row at a time.
        x: (N, 3).

    Raises:
        DTypeError, ShapeError, DomainError: ``x`` is not so or not finite, or the field's answer is not (N,).
    """
    check_tensor("x", x, "N 3")
    own = getattr(field, "value_and_gradient", None)
    if own is not None:
        return own(x)
    recording = torch.is_grad_enabled()
    with torch.enable_grad():
        at = x if recording and x.requires_grad else x.detach().requires_grad_()
        f = check_tensor("field(x)", field(at), str(len(x)), finite=False)
        recorded = recording and (x.requires_grad or _has_other_leaf(f, at))
        if not f.requires_grad:
            return f, torch.zeros_like(x)
        (g,) = torch.autograd.grad(f.sum(), at, create_graph=recorded, materialize_grads=True)
    return (f, g) if recorded else (f.detach(), g)


def _has_other_leaf(f: Tensor, leaf: Tensor) -> bool:
    """Whether f depends on a tensor that requires gradients, other than ``leaf``."""
    todo, seen = [f.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", leaf) is not leaf:
            return True
        todo += [parent for parent, _ in node.next_functions]
    return False


@dataclass(frozen=True, eq=False)
class SphereField:
    """A ball: ``|x - center| - radius``. The gradient at the centre is zero."""

    radius: Number = 0.5
    center: Vector = ORIGIN

    def __post_init__(self) -> None:
        check_positive("radius", self.radius)
        _check_vector("center", self.center)

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        return _length(_from(self.center, x)) - self.radius


@dataclass(frozen=True, eq=False)
class BoxField:
    """A box along the axes, from ``center - half_size`` to ``center + half_size``."""

    half_size: Vector = (0.5, 0.5, 0.5)
    center: Vector = ORIGIN

    def __post_init__(self) -> None:
        if not bool((_check_vector("half_size", self.half_size) > 0).all()):
            raise DomainError("half_size", self.half_size, "three numbers greater than 0")
        _check_vector("center", self.center)

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        beyond = _from(self.center, x).abs() - _like(self.half_size, x)  # (N, 3): how far past each pair of faces
        # max with an index, not amax, which would share the gradient among equals
        return _length(beyond.clamp(min=0)) + beyond.max(-1).values.clamp(max=0)


@dataclass(frozen=True, eq=False)
class TorusField:
    """A ring around the y axis, as `labkit.geometry.torus`: what is within ``minor`` of a circle of radius ``major``.

    ``major`` must exceed ``minor``: else the ring meets itself, and f is no distance inside.
    """

    major: Number = 0.5
    minor: Number = 0.2
    center: Vector = ORIGIN

    def __post_init__(self) -> None:
        check_positive("minor", self.minor)
        check_positive("major", self.major)
        major, minor = (_check_numbers("major and minor", radius, "") for radius in (self.major, self.minor))
        if not major > minor:
            raise DomainError("major", major.item(), f"more than minor, {minor.item()}")
        _check_vector("center", self.center)

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        p = _from(self.center, x)
        return _length(torch.stack([_length(p[:, ::2]) - self.major, p[:, 1]], -1)) - self.minor


@dataclass(frozen=True, eq=False)
class CapsuleField:
    """All points within ``radius`` of the segment from ``start`` to ``end``, which may be one point."""

    start: Vector = (0.0, 0.0, -0.5)
    end: Vector = (0.0, 0.0, 0.5)
    radius: Number = 0.2

    def __post_init__(self) -> None:
        _check_vector("start", self.start)
        _check_vector("end", self.end)
        check_positive("radius", self.radius)

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        p, axis = _from(self.start, x), _like(self.end, x) - _like(self.start, x)
        along = (p @ axis) / axis.square().sum().clamp(min=_smallest_square(x))  # (N,): 0 at the start, 1 at the end
        return _length(p - along.clamp(0, 1)[:, None] * axis) - self.radius


@dataclass(frozen=True, eq=False)
class PlaneField:
    """A half space: ``x . n - offset`` with n = ``normal`` / \\|``normal``\\|, which points out of the solid."""

    normal: Vector = (0.0, 0.0, 1.0)
    offset: Number = 0.0

    def __post_init__(self) -> None:
        if not bool(_check_vector("normal", self.normal).norm() > 0):
            raise DomainError("normal", self.normal, "a vector longer than 0")
        _check_numbers("offset", self.offset, "")

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        normal = _like(self.normal, x)
        return _from(ORIGIN, x) @ (normal / normal.norm()) - self.offset


@dataclass(frozen=True, eq=False)
class Union:
    """What is in ``a`` or in ``b``: the smaller value, and ``a`` where both are equal."""

    a: Field
    b: Field

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        return _smaller(self.a(x), self.b(x))


@dataclass(frozen=True, eq=False)
class Intersection:
    """What is in ``a`` and in ``b``: the larger value, and ``a`` where both are equal."""

    a: Field
    b: Field

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        return -_smaller(-self.a(x), -self.b(x))


@dataclass(frozen=True, eq=False)
class Difference:
    """What is in ``a`` and not in ``b``: the larger of a and -b, and ``a`` where both are equal."""

    a: Field
    b: Field

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        return -_smaller(-self.a(x), self.b(x))


@dataclass(frozen=True, eq=False)
class SmoothUnion:
    """A union whose seam is filled: where a and b differ by less than ``width``, up to width / 4 below the smaller.

    ``b + (a - b) m - width m (1 - m)`` with ``m = clamp(1/2 + (b - a) / (2 width), 0, 1)``: the quadratic blend of
    computer graphics, once continuously differentiable in a and b.
    """

    a: Field
    b: Field
    width: Number = 0.1

    def __post_init__(self) -> None:
        check_positive("width", self.width)

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        a, b = self.a(x), self.b(x)
        m = (0.5 + 0.5 * (b - a) / self.width).clamp(0, 1)
        return b + (a - b) * m - self.width * m * (1 - m)


@dataclass(frozen=True, eq=False)
class Moved:
    """The field turned by ``rotation`` (3, 3) about the origin, then shifted by ``translation``: p goes to R p + t."""

    field: Field
    rotation: Tensor | Sequence[Sequence[float]]
    translation: Vector = ORIGIN

    def __post_init__(self) -> None:
        matrix = _check_numbers("rotation", self.rotation, "3 3")
        off = (matrix @ matrix.T - torch.eye(3).to(matrix)).abs().max()
        if not (off <= 1e-4 and torch.linalg.det(matrix) > 0):
            raise DomainError("rotation", matrix.tolist(), "an orthonormal matrix with determinant 1")
        _check_vector("translation", self.translation)

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        return self.field(_from(self.translation, x) @ _like(self.rotation, x))  # rows: (x - t) R is R^-1 (x - t)


def _like(value: Vector | Sequence[Sequence[float]], x: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def _from(point: Vector, x: Tensor) -> Tensor:
    return check_tensor("x", x, "N 3") - _like(point, x)


def _smallest_square(x: Tensor) -> float:
    """Squares below count as zero: the -3/2 power, met in the second derivative of a length, is finite above."""
    return torch.finfo(x.dtype).tiny ** (2 / 3)


def _length(v: Tensor) -> Tensor:
    """Length over the last dimension, (..., n) -> (...). At zero all its derivatives are zero, not NaN."""
    square = v.square().sum(-1)
    zero = square < _smallest_square(v)
    return torch.where(zero, 0, torch.where(zero, 1, square).sqrt())


def _smaller(a: Tensor, b: Tensor) -> Tensor:
    """The minimum, whose gradient is a's where both are equal: torch.minimum would mix the two."""
    return torch.where(a <= b, a, b)


def _check_vector(name: str, vector: Vector) -> Tensor:
    return _check_numbers(name, vector, "3")


def _check_numbers(name: str, value: object, shape: str) -> Tensor:
    """Return a detached float64 copy if it is finite numbers of that shape, else raise."""
    try:
        numbers = torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DTypeError(name, type(value).__name__, f"numbers of shape ({shape})") from error
    return check_tensor(name, numbers, shape)
