"""Pictures of implicit surfaces, pixel by pixel against known intersections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from labkit.errors import DomainError, LabError, ShapeError
from labkit.geometry.sdf import SphereField
from labkit.render.implicit import Tracer
from labkit.render.implicit_picture import FieldPicture, render_field
from labkit.scene.camera import Camera
from labkit.scene.rays import Views
from tests.render.implicit_oracles import Field

D = torch.float64
SIZE = (12, 17)


def one_view(dtype: torch.dtype = D) -> Views:
    """A wide picture from the side."""
    eye = torch.tensor([1.5, 1.0, 2.0], dtype=dtype)
    return Views.of(Camera.look_at(eye, (0.1, 0.0, 0.0), fov=35.0), SIZE)


def normals_seen(points: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
    """Colours that tell the point, the gradient and the direction."""
    return points + 10 * normals + 100 * directions


@pytest.mark.parametrize("chunk", [1, 50, 65536])
def test_picture_of_a_ball(chunk: int) -> None:
    """Mask, depth and colour of every pixel, by the quadratic; rows from the top; the background elsewhere."""
    views, field = one_view(), SphereField(0.5)
    tracer = Tracer(epsilon=1e-12, max_steps=500)
    got = render_field(field, normals_seen, views, tracer, torch.tensor([0.1, 0.2, 0.3]), chunk)
    assert [tuple(part.shape) for part in got] == [(3, *SIZE), (1, *SIZE), (1, *SIZE), (1, *SIZE)]
    for i in range(SIZE[0]):
        for j in range(SIZE[1]):
            o, v = (ray[0] for ray in views.rays(torch.tensor([0]), torch.tensor([i * SIZE[1] + j])))
            root = (o @ v) ** 2 - o @ o + 0.25
            if root <= 0:
                assert got.mask[0, i, j] == 0 == got.depth[0, i, j]
                assert got.color[:, i, j].tolist() == pytest.approx([0.1, 0.2, 0.3])
                continue
            depth = -(o @ v) - root.sqrt()
            point = o + depth * v
            assert got.mask[0, i, j] == 1
            # Grazing rays stop epsilon before the surface, which is more along the ray.
            torch.testing.assert_close(got.depth[0, i, j], depth, rtol=0, atol=1e-8)
            torch.testing.assert_close(got.color[:, i, j], point + 20 * point + 100 * v, rtol=0, atol=1e-6)
    assert 20 < got.mask.sum() < 180
    assert (got.steps[0][got.mask[0] == 1] > 1).all()


def test_types_and_graphs() -> None:
    """The view's dtype; no graph, whatever requires grad; a picture without a hit is the background."""
    radius = torch.tensor(0.5, requires_grad=True)
    got = render_field(SphereField(radius), normals_seen, one_view(torch.float32))
    assert got.color.dtype == torch.float32
    assert got.steps.dtype == torch.int64
    assert not got.color.requires_grad
    empty = render_field(lambda x: x.norm(dim=-1) + 1, normals_seen, one_view(), background=0.25)
    assert (empty.color == 0.25).all()
    assert (empty.mask == 0).all()


BALL = SphereField(0.5)


def picture_of(field: Field = BALL, views: Views | None = None, **options: Any) -> Callable[[], FieldPicture]:
    """A call with some arguments exchanged."""
    arguments: dict[str, Any] = {"shade": normals_seen} | options
    return lambda: render_field(field, view=views or one_view(), **arguments)


ERRORS: list[tuple[type[LabError], Callable[[], FieldPicture]]] = [
    (DomainError, picture_of(views=one_view()[torch.tensor([0, 0])])),
    (DomainError, picture_of(chunk=0)),
    (ShapeError, picture_of(background=torch.zeros(2))),
    (DomainError, picture_of(background=float("nan"))),
    (ShapeError, picture_of(shade=lambda x, n, v: x[:, :2])),
    (DomainError, picture_of(shade=lambda x, n, v: x / 0)),
    (DomainError, picture_of(field=lambda x: x[:, 0] / 0)),
]


@pytest.mark.parametrize(("error", "call"), ERRORS)
def test_bad_input(error: type[LabError], call: Callable[[], FieldPicture]) -> None:
    """Bad input is refused."""
    with pytest.raises(error):
        call()
