"""Signed distances in closed form: against sampled surfaces, their laws, their derivatives, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.geometry.sdf import (
    BoxField,
    CapsuleField,
    Difference,
    Field,
    Intersection,
    Moved,
    PlaneField,
    SmoothUnion,
    SphereField,
    TorusField,
    Union,
    value_and_gradient,
)

TURN = torch.tensor([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]], dtype=torch.float64)
SOLIDS: dict[str, Field] = {
    "sphere": SphereField(0.6, (0.1, -0.2, 0.3)),
    "box": BoxField((0.5, 0.3, 0.2), (0.1, 0.0, -0.1)),
    "torus": TorusField(0.6, 0.25, (0.0, 0.1, 0.0)),
    "capsule": CapsuleField((-0.4, 0.1, 0.0), (0.3, -0.2, 0.5), 0.25),
    "plane": PlaneField((1.0, 2.0, -2.0), 0.3),
    "moved": Moved(BoxField((0.5, 0.3, 0.2)), TURN, (0.2, -0.1, 0.3)),
}
BOUNDS: dict[str, Field] = {
    "union": Union(SOLIDS["sphere"], SOLIDS["box"]),
    "intersection": Intersection(SOLIDS["sphere"], SOLIDS["box"]),
    "difference": Difference(SOLIDS["sphere"], SOLIDS["box"]),
    "smooth union": SmoothUnion(SOLIDS["sphere"], SOLIDS["torus"], 0.2),
}
FIELDS = SOLIDS | BOUNDS


def cube(generator: torch.Generator, count: int) -> Tensor:
    """Points of the cube [-1.5, 1.5]^3, (N, 3) float64."""
    return 3 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1.5


def surface(field: Field, generator: torch.Generator, count: int = 10_000) -> Tensor:
    """Points where the field is zero, by Newton steps, which need no exact distance."""
    x = cube(generator, count)
    for _ in range(40):
        f, g = value_and_gradient(field, x)
        x = x - f[:, None] * g
    return x[field(x).abs() < 1e-9]


@pytest.mark.parametrize(
    ("field", "point", "value", "gradient"),
    [
        (SphereField(0.5), (0, 0, 2), 1.5, (0, 0, 1)),
        (SphereField(0.5, (0, 0, 1)), (0, 0.25, 1), -0.25, (0, 1, 0)),
        (BoxField((1, 2, 3)), (0, 5, 0), 3, (0, 1, 0)),
        (BoxField((1, 2, 3)), (4, 6, 0), 5, (0.6, 0.8, 0)),
        (BoxField((1, 2, 3)), (-2, -4, -5), 3, (-1 / 3, -2 / 3, -2 / 3)),
        (BoxField((1, 2, 3)), (-0.75, 0, 0), -0.25, (-1, 0, 0)),
        (BoxField((1, 2, 3)), (1, 2, 3), 0, (1, 0, 0)),
        (TorusField(1, 0.25), (2, 0, 0), 0.75, (1, 0, 0)),
        (TorusField(1, 0.25), (0, 3, 4), math.sqrt(18) - 0.25, (0, 1 / math.sqrt(2), 1 / math.sqrt(2))),
        (TorusField(1, 0.25), (0, 0, 0), 0.75, (0, 0, 0)),
        (CapsuleField((0, 0, -1), (0, 0, 1), 0.5), (2, 0, 0.5), 1.5, (1, 0, 0)),
        (CapsuleField((0, 0, -1), (0, 0, 1), 0.5), (0, 0, 3), 1.5, (0, 0, 1)),
        (CapsuleField((1, 0, 0), (1, 0, 0), 0.5), (1, 2, 0), 1.5, (0, 1, 0)),
        (PlaneField((0, 0, 5), 2), (7, 8, 9), 7, (0, 0, 1)),
        (Union(SphereField(1), SphereField(1, (4, 0, 0))), (3.5, 0, 0), -0.5, (-1, 0, 0)),
        (Union(SphereField(1), SphereField(1, (4, 0, 0))), (2, 0, 0), 1, (1, 0, 0)),
        (Intersection(SphereField(1), SphereField(1, (1, 0, 0))), (0, 0, 0), 0, (-1, 0, 0)),
        (Difference(SphereField(1), SphereField(0.5)), (0, 0.25, 0), 0.25, (0, -1, 0)),
        (SmoothUnion(SphereField(1), SphereField(1, (4, 0, 0)), 0.4), (2, 0, 0), 0.9, (0, 0, 0)),
        (SmoothUnion(SphereField(1), SphereField(1, (4, 0, 0)), 0.4), (1.5, 0, 0), 0.5, (1, 0, 0)),
        (Moved(BoxField((1, 2, 3)), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], (0, 0, 1)), (4, 0, 1), 2, (1, 0, 0)),
    ],
    ids=lambda value: type(value).__name__ if callable(value) else None,
)
def test_by_hand(field: Field, point: tuple[float, ...], value: float, gradient: tuple[float, ...]) -> None:
    """Known values and gradients, kinks included."""
    x = torch.tensor([point], dtype=torch.float64)
    f, g = value_and_gradient(field, x)
    assert f.item() == pytest.approx(value, abs=1e-12)
    torch.testing.assert_close(g, torch.tensor([gradient], dtype=torch.float64), **FLOAT64)


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_exact(name: str, generator: torch.Generator) -> None:
    """Walking f against the gradient arrives at the surface; no sample of the surface is nearer than f."""
    field, x = SOLIDS[name], cube(generator, 500)
    f, g = value_and_gradient(field, x)
    torch.testing.assert_close(g.norm(dim=-1), torch.ones_like(f), **FLOAT64)
    torch.testing.assert_close(field(x - f[:, None] * g), torch.zeros_like(f), **FLOAT64)
    assert (torch.cdist(x, surface(field, generator)).amin(-1) > f.abs() - 1e-6).all()  # samples are off by 1e-9


@pytest.mark.parametrize("name", BOUNDS)
def test_operations_are_bounds(name: str, generator: torch.Generator) -> None:
    """|f| is at most the distance to the surface; a union is exact outside, an intersection inside."""
    field, x = BOUNDS[name], cube(generator, 800) / 2
    f = field(x)
    nearest = torch.cdist(x, surface(field, generator)).amin(-1)
    assert (nearest > f.abs() - 1e-6).all()
    exact = {"union": f > 0.1, "intersection": f < -0.05}.get(name)
    if exact is not None:
        assert exact.any()
        assert (nearest[exact] < f[exact].abs() + 0.05).all()  # the samples lie about 0.03 apart
    else:
        assert (nearest > f.abs() + 0.05).any()


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_lipschitz(name: str, seed: int) -> None:
    """f changes by at most the distance walked."""
    p, q = (cube(torch.Generator().manual_seed(seed + i), 50) for i in range(2))
    assert ((FIELDS[name](p) - FIELDS[name](q)).abs() <= (p - q).norm(dim=-1) + 1e-12).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_set_laws(seed: int) -> None:
    """De Morgan, commutation, and what a difference is; moving all moves each."""
    x = cube(torch.Generator().manual_seed(seed), 50)
    a, b = SOLIDS["sphere"], SOLIDS["capsule"]
    same: list[tuple[Field, Field]] = [
        (Union(a, b), Union(b, a)),
        (Difference(a, b), Intersection(a, lambda y: -b(y))),
        (Union(a, b), lambda y: -Intersection(lambda z: -a(z), lambda z: -b(z))(y)),
        (SmoothUnion(a, b, 0.3), SmoothUnion(b, a, 0.3)),
        (Moved(Union(a, b), TURN), Union(Moved(a, TURN), Moved(b, TURN))),
        (Moved(SphereField(0.6), TURN, (0.1, -0.2, 0.3)), a),
    ]
    for left, right in same:
        torch.testing.assert_close(left(x), right(x), **FLOAT64)
    below = Union(a, b)(x) - SmoothUnion(a, b, 0.3)(x)
    assert below.min() >= -1e-12
    assert below.max() <= 0.3 / 4 + 1e-12
    torch.testing.assert_close(SmoothUnion(a, b, 1e-9)(x), Union(a, b)(x), rtol=0, atol=1e-9)  # width / 4 apart


@pytest.mark.parametrize("name", FIELDS)
def test_derivatives_in_points(name: str, generator: torch.Generator) -> None:
    """First and second order by finite differences, away from kinks; float32 keeps its type."""
    field, x = FIELDS[name], cube(generator, 4).requires_grad_()
    assert torch.autograd.gradcheck(field, (x,))
    assert torch.autograd.gradgradcheck(field, (x,))
    single = field(x.detach().float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), field(x.detach()), rtol=1e-4, atol=1e-5)


MAKERS: dict[str, tuple[Callable[..., Field], list[list[float] | float]]] = {
    "sphere": (SphereField, [0.6, [0.1, -0.2, 0.3]]),
    "box": (BoxField, [[0.5, 0.3, 0.2], [0.1, 0.0, -0.1]]),
    "torus": (TorusField, [0.6, 0.25, [0.0, 0.1, 0.0]]),
    "capsule": (CapsuleField, [[-0.4, 0.1, 0.0], [0.3, -0.2, 0.5], 0.25]),
    "plane": (PlaneField, [[1.0, 2.0, -2.0], 0.3]),
    "blend": (lambda w, r: SmoothUnion(SphereField(r), BoxField((0.2, 0.9, 0.2)), w), [0.4, 0.6]),
    "moved": (lambda t: Moved(SOLIDS["box"], TURN, t), [[0.2, -0.1, 0.3]]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_in_parameters(name: str, generator: torch.Generator) -> None:
    """By finite differences, of the value and of its gradient in x."""
    make, numbers = MAKERS[name]
    parameters = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in numbers]
    x = cube(generator, 5)
    assert torch.autograd.gradcheck(lambda *p: make(*p)(x), parameters)
    assert torch.autograd.gradcheck(lambda *p: value_and_gradient(make(*p), x)[1].square().cumsum(0), parameters)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_at_degenerate_points(name: str, dtype: torch.dtype) -> None:
    """Centres, axes, edges, corners, and points next to and far from them: value and both derivatives."""
    steps = torch.tensor([0.0, 1e-30, 1e-12, 0.1, 0.2, 0.5, 1e6], dtype=dtype)
    x = torch.cartesian_prod(steps, -steps, steps).requires_grad_()
    places = [torch.tensor(FIELDS[n].center, dtype=dtype) for n in ("sphere", "box", "torus")]
    x = torch.cat([x, *(x.detach() + place for place in places)])
    f, g = value_and_gradient(FIELDS[name], x)
    mixed = (g * torch.tensor([1.0, 2.0, 3.0], dtype=dtype)).sum() + 0 * f.sum()  # a plane's gradient is constant
    (second,) = torch.autograd.grad(mixed, x)
    assert all(bool(t.isfinite().all()) for t in (f, g, second))
    assert g.norm(dim=-1).max() < 1 + 1e-5


def test_graph_only_where_something_asks(generator: torch.Generator) -> None:
    """By autograd's path: recorded for x or a parameter, not else, and never under no_grad; x is left alone."""
    x, radius = cube(generator, 5), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    for field, point, recorded in (
        (SphereField(0.5), x, False),
        (SphereField(0.5), x.clone().requires_grad_(), True),
        (SphereField(radius), x, True),
        (SphereField(0.5), x.clone().requires_grad_() * 2, True),
    ):
        f, g = value_and_gradient(field, point)
        assert f.requires_grad == recorded
        assert g.requires_grad == recorded
        with torch.no_grad():
            f, g = value_and_gradient(field, point)
        assert not f.requires_grad
        assert not g.requires_grad
    assert not x.requires_grad
    assert x.grad is None


def test_own_method_is_taken(generator: torch.Generator) -> None:
    """And constants have gradient zero; a field may see only some coordinates."""

    class Own:
        def __call__(self, x: Tensor) -> Tensor:
            return x[:, 0]

        def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, 0], torch.full_like(x, 7)

    x = cube(generator, 5)
    assert (value_and_gradient(Own(), x)[1] == 7).all()
    for point in (x, x.clone().requires_grad_()):
        assert (value_and_gradient(lambda y: y.new_ones(len(y)), point)[1] == 0).all()
    assert value_and_gradient(SphereField(), x[:0])[1].shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SphereField(-1.0), DomainError, "radius"),
        (lambda: SphereField(1.0, (0, 0)), ShapeError, "center"),
        (lambda: SphereField(1.0, "middle"), DTypeError, "center"),
        (lambda: SphereField(1.0, (0, 0, math.nan)), DomainError, "center"),
        (lambda: BoxField((1, 0, 1)), DomainError, "half_size"),
        (lambda: TorusField(0.2, 0.2), DomainError, "major"),
        (lambda: TorusField(0.2, 0.0), DomainError, "minor"),
        (lambda: CapsuleField(radius=0.0), DomainError, "radius"),
        (lambda: PlaneField((0, 0, 0)), DomainError, "normal"),
        (lambda: PlaneField(offset=math.inf), DomainError, "offset"),
        (lambda: SmoothUnion(SphereField(), SphereField(), 0.0), DomainError, "width"),
        (lambda: Moved(SphereField(), 2 * TURN), DomainError, "rotation"),
        (lambda: Moved(SphereField(), -TURN), DomainError, "rotation"),
        (lambda: Moved(SphereField(), TURN[:2]), ShapeError, "rotation"),
        (lambda: Moved(SphereField(), TURN, (1, 2)), ShapeError, "translation"),
        (lambda: SphereField()(torch.zeros(3)), ShapeError, "x"),
        (lambda: SphereField()([[0, 0, 0]]), DTypeError, "x"),
        (lambda: value_and_gradient(SphereField(), torch.full((1, 3), math.nan)), DomainError, "x"),
        (lambda: value_and_gradient(lambda x: x, torch.zeros(2, 3)), ShapeError, r"field\(x\)"),
        (lambda: value_and_gradient(lambda x: 1.0, torch.zeros(2, 3)), DTypeError, r"field\(x\)"),
    ],
)
def test_refused(make: Callable[[], object], error: type[LabError], words: str) -> None:
    """With the argument's name, at once."""
    with pytest.raises(error, match=words):
        make()
