"""The pyramid that draws a camera: corners by hand and by projection, its edges, derivatives, every error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError
from labkit.scene import Camera
from labkit.scene.frustum import frustum
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64


def test_corners_by_hand() -> None:
    """90 degrees over the height, 3 away: half of it is 3, and the width is twice as much."""
    points, edges = frustum(Camera.look_at((0.0, 0.0, 5.0), fov=90.0), (10, 20), 3.0)
    expected = torch.tensor([[0.0, 0, 5], [-6, 3, 2], [6, 3, 2], [6, -3, 2], [-6, -3, 2]])
    torch.testing.assert_close(points, expected, **FLOAT32)
    pairs = {frozenset(pair) for pair in edges.tolist()}
    assert pairs == {frozenset(p) for p in ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))}
    flat = Camera.look_at((0.0, 0.0, 5.0), projection="orthographic", half_height=0.5)
    expected = torch.tensor([[0.0, 0, 5], [-0.5, 1, 2], [0.5, 1, 2], [0.5, -1, 2], [-0.5, -1, 2]])
    torch.testing.assert_close(frustum(flat, (20, 10), 3.0)[0], expected, **FLOAT32)


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@pytest.mark.parametrize("size", [(8, 8), (8, 12), (12, 8)])
@pytest.mark.parametrize("batch", [False, True])
def test_corners_project_onto_the_corners_of_the_picture(batch: bool, size: tuple[int, int], projection: str) -> None:
    azimuth = torch.tensor([10.0, 200.0] if batch else 35.0, dtype=D)
    fov = torch.tensor([30.0, 80.0], dtype=D) if batch else 50.0
    camera = Camera.orbit(azimuth, 40, 3.0, target=(0.1, 0.2, 0.3), fov=fov, projection=projection, half_height=1.5)
    points, _ = frustum(camera, size, torch.tensor([2.5]))
    assert points.shape == ((2, 5, 3) if batch else (5, 3))
    torch.testing.assert_close(points[..., 0, :], camera.eye, **FLOAT64)
    x, y = size[1] / 8, size[0] / 8
    expected = torch.tensor([[-x, y, 2.5], [x, y, 2.5], [x, -y, 2.5], [-x, -y, 2.5]], dtype=D)
    torch.testing.assert_close(camera.project(points)[..., 1:, :], expected.expand(*points.shape[:-2], 4, 3), **FLOAT64)


def test_one_field_of_view_serves_a_batch() -> None:
    camera = Camera.orbit(torch.tensor([0.0, 90.0, 180.0]), 0, 2.0)
    assert frustum(camera, (4, 4))[0].shape == (3, 5, 3)


def test_derivatives() -> None:
    def corners(orientation: Tensor, eye: Tensor, fov: Tensor, depth: Tensor) -> Tensor:
        return frustum(Camera.posed(orientation, eye=eye, fov=fov), (4, 6), depth)[0]

    values = ([0.9, 0.2, -0.5, 1.1], [0.3, 1.0, 2.0], 50.0, 1.5)
    inputs = tuple(torch.tensor(v, dtype=D, requires_grad=True) for v in values)
    assert torch.autograd.gradcheck(corners, inputs)


@pytest.mark.parametrize(
    ("build", "error", "argument"),
    [
        (lambda c: frustum(c, (4, 4), 0.0), DomainError, "depth"),
        (lambda c: frustum(c, (4, 0)), DomainError, "size"),
        (lambda c: frustum(c, (4, 4), "far"), DTypeError, "depth"),
        (lambda c: frustum(Camera(2 * c.rotation, c.translation), (4, 4)), DomainError, "rotation"),
    ],
)
def test_bad_input_is_refused(build: Callable[[Camera], Any], error: type[LabError], argument: str) -> None:
    with pytest.raises(error) as caught:
        build(Camera.orbit(0, 0, 1))
    assert caught.value.argument == argument
