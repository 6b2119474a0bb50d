"""The least sample of a ray, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from labkit.errors import DomainError, LabError, ShapeError
from labkit.render.implicit import minimum_point, sphere_trace
from tests.render.implicit_oracles import D, Field, broken_inside, rays, sphere
from tests.tolerances import FLOAT64


def test_minimum_point_by_hand() -> None:
    """f = |x| along a ray past the origin: the sample nearest to it, of the ray's own fractions."""
    origins = torch.tensor([[0.0, 0.1, 3], [0.2, 0, 3]], dtype=D)
    directions = torch.tensor([[0.0, 0, -1], [0, 0, -1]], dtype=D)
    near, far = torch.tensor([2.0, 2.0], dtype=D), torch.tensor([4.0, 6.0], dtype=D)
    fractions = torch.tensor([[0.1, 0.45, 0.9], [0.1, 0.45, 0.9]], dtype=D)
    points = minimum_point(lambda x: x.norm(dim=-1), origins, directions, near, far, fractions)
    torch.testing.assert_close(points, torch.tensor([[0.0, 0.1, 0.1], [0.2, 0, 0.6]], dtype=D), **FLOAT64)
    shared = minimum_point(lambda x: x.norm(dim=-1), origins, directions, near, far, fractions[:1])
    assert torch.equal(points, shared)


def test_minimum_point_keeps_the_near_end() -> None:
    """A shell that all samples miss: the point of the hit itself is the least, so that f there is not positive."""

    def shell(x: Tensor) -> Tensor:
        return (sphere(x) + 1e-3).abs() - 1e-3  # 2e-3 thick

    origins, directions = rays(200)
    trace = sphere_trace(shell, origins, directions)
    origins, directions, near = (tensor[trace.hit] for tensor in (origins, directions, trace.depth))
    fractions = torch.tensor([[0.4, 0.6]], dtype=D)
    points = minimum_point(shell, origins, directions, near, near + 0.3, fractions)
    assert len(points) > 50
    assert shell(points).max() <= 1e-5


def minimum_of(field: Field = sphere, **change: Any) -> Callable[[], Tensor]:
    """A call with some arguments exchanged."""
    origins, directions = rays(4)
    near = torch.zeros(4, dtype=D)
    given_ = {"near": near, "far": near + 1, "fractions": torch.full((1, 3), 0.5, dtype=D)} | change
    return lambda: minimum_point(field, origins, directions, given_["near"], given_["far"], given_["fractions"])


ERRORS: list[tuple[type[LabError], Callable[[], object]]] = [
    (DomainError, minimum_of(broken_inside(torch.nan), far=torch.full((4,), 5.0, dtype=D))),
    (DomainError, minimum_of(far=torch.full((4,), -1.0, dtype=D))),
    (DomainError, minimum_of(fractions=torch.full((1, 3), 1.5, dtype=D))),
    (ShapeError, minimum_of(fractions=torch.full((3, 3), 0.5, dtype=D))),
    (ShapeError, minimum_of(near=torch.zeros(3, dtype=D))),
]


@pytest.mark.parametrize(("error", "call"), ERRORS)
def test_bad_input(error: type[LabError], call: Callable[[], object]) -> None:
    """Bad input, and a field that is no number at a sample, are refused."""
    with pytest.raises(error):
        call()
