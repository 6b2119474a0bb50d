"""Rays through pixels: they land where the camera projects, and where OpenCV's matrices say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.scene.camera import Camera
from labkit.scene.camera_formats import to_opencv
from labkit.scene.rays import Views
from tests.tolerances import FLOAT32, FLOAT64


def cameras(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Camera:
    """Cameras in general position."""
    stream = torch.Generator().manual_seed(seed)
    orientation = torch.randn(count, 4, generator=stream, dtype=dtype)
    eye = 3 * torch.randn(count, 3, generator=stream, dtype=dtype)
    return Camera.posed(orientation, eye=eye, fov=20 + 100 * torch.rand(count, generator=stream, dtype=dtype))


def every_ray(views: Views) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """View, pixel, origin and direction of every pixel of every view."""
    pixels = views.size[0] * views.size[1]
    view = torch.arange(len(views)).repeat_interleave(pixels)
    pixel = torch.arange(pixels).repeat(len(views))
    return view, pixel, *views.rays(view, pixel)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31), st.floats(0.1, 50))
def test_rays_project_back_onto_their_pixels(height: int, width: int, seed: int, t: float) -> None:
    """Any point of a ray falls onto the pixel's centre, in labkit's NDC: x = (2 j + 1 - W) / min(H, W), y up."""
    camera = cameras(3, seed=seed)
    _, pixel, origins, directions = every_ray(Views.of(camera, (height, width)))
    column, row = pixel % width, pixel // width
    wanted = torch.stack([2 * column + 1 - width, height - 1 - 2 * row], -1).double() / min(height, width)
    seen = camera.project((origins + t * directions).reshape(3, -1, 3))
    inside = seen[..., 2] > camera.near  # nearer points are not projected properly
    torch.testing.assert_close(seen[..., :2][inside], wanted.reshape(3, -1, 2)[inside], rtol=1e-7, atol=1e-8)
    assert inside.any() or t < 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FLOAT32), (torch.float64, FLOAT64)])
def test_rays_agree_with_opencv(dtype: torch.dtype, tolerance: dict[str, float]) -> None:
    """K (R x + t) of a point on the ray is (j, i) where OpenCV counts the first pixel's centre as 0."""
    camera = cameras(4, dtype)
    size = (5, 8)
    view, pixel, origins, directions = every_ray(Views.of(camera, size))
    K, R, t = to_opencv(camera, size)
    camera_points = (R[view] @ (origins + 2 * directions)[..., None])[..., 0] + t[view]
    image = (K[view] @ camera_points[..., None])[..., 0]
    expected = torch.stack([pixel % 8, pixel // 8], -1).to(dtype)
    torch.testing.assert_close(image[:, :2] / image[:, 2:], expected, rtol=tolerance["rtol"], atol=1e-4)
    assert (image[:, 2] > 0).all()  # ahead
    torch.testing.assert_close(torch.linalg.vector_norm(directions, dim=-1), torch.ones(160, dtype=dtype), **tolerance)
    torch.testing.assert_close(origins, camera.eye[view], **tolerance)


def test_known_rays() -> None:
    """By hand: the eye on +z looks along -z; the pixel above the middle has a direction upwards."""
    views = Views.of(Camera.look_at((0.0, 0.0, 2.0), fov=90.0), (3, 5))
    origins, directions = views.rays(torch.zeros(3, dtype=torch.int64), torch.tensor([7, 2, 9]))
    torch.testing.assert_close(origins, torch.tensor([[0.0, 0, 2]]).expand(3, 3), **FLOAT32)
    corner = torch.tensor([[0.0, 0, -1], [0, 2 / 3, -1], [4 / 3, 0, -1]])  # half of 3 pixels is the tangent, 1
    torch.testing.assert_close(directions, corner / corner.norm(dim=-1, keepdim=True), **FLOAT32)
    torch.testing.assert_close(views.eyes, torch.tensor([[0.0, 0, 2]]), **FLOAT32)


def test_skew_two_focal_lengths_and_an_offset() -> None:
    """What `Camera` cannot hold is inverted as well."""
    matrix = torch.tensor([[[300.0, 7.0, 20.5], [0, 250.0, 11.0], [0, 0, 1]]], dtype=torch.float64)
    views = replace(Views.of(cameras(1), (4, 6)), intrinsics=matrix).validate()
    _, pixel, origins, directions = every_ray(views)
    ahead = ((origins + 3 * directions) @ views.rotation[0].mT + views.translation) @ matrix[0].mT
    expected = torch.stack([pixel % 6 + 0.5, pixel // 6 + 0.5], -1).double()
    torch.testing.assert_close(ahead[:, :2] / ahead[:, 2:], expected, **FLOAT64)


def test_selection_and_conversion() -> None:
    """Indices, slices, masks, a loop, and a change of dtype give the same rays as the whole."""
    views = Views.of(cameras(4), (3, 2))
    pixel = torch.arange(6)
    whole = views.rays(torch.full((6,), 2), pixel)
    for part, view in (
        (views[2], 0),
        (views[-2], 0),
        (views[1:], 1),
        (views[torch.tensor([3, 2])], 1),
        (views[torch.tensor([False, False, True, False])], 0),
    ):
        for wanted, got in zip(whole, part.rays(torch.full((6,), view), pixel), strict=True):
            assert torch.equal(wanted, got)
    assert [len(part) for part in views] == [1, 1, 1, 1]
    assert views.to(torch.float32).rays(torch.zeros(6, dtype=torch.int64), pixel)[1].dtype == torch.float32


def test_gradients(generator: torch.Generator) -> None:
    """Eyes and directions are differentiable in every tensor."""
    views = Views.of(cameras(2), (3, 4))
    view, pixel = torch.tensor([0, 1, 1]), torch.tensor([0, 5, 11])

    def rays(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return Views(*tensors, (3, 4)).rays(view, pixel)

    inputs = [tensor.requires_grad_() for tensor in (views.intrinsics, views.rotation, views.translation)]
    assert torch.autograd.gradcheck(rays, inputs)


def bad(**fields: object) -> Callable[[], object]:
    """Validation of views with some fields exchanged."""
    return lambda: replace(Views.of(cameras(2), (3, 4)), **fields).validate()


NOT_ROTATION = 2 * torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
NUMBERS = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (DomainError, lambda: Views.of(Camera.look_at((0.0, 0, 2), projection="orthographic"), (3, 4))),
        (DomainError, lambda: Views.of(cameras(1), (0, 4))),
        (DTypeError, lambda: Views.of(cameras(1), (3.0, 4))),
        (DomainError, bad(rotation=NOT_ROTATION)),
        (DomainError, bad(intrinsics=-torch.eye(3, dtype=torch.float64).expand(2, 3, 3))),
        (DomainError, bad(intrinsics=torch.ones(2, 3, 3, dtype=torch.float64))),
        (DomainError, bad(translation=torch.full((2, 3), torch.nan, dtype=torch.float64))),
        (ShapeError, bad(translation=torch.zeros(3, 3, dtype=torch.float64))),
        (DTypeError, bad(translation=torch.zeros(2, 3))),
        (DeviceError, lambda: Views.of(cameras(2), (3, 4)).rays(NUMBERS, NUMBERS.to("meta"))),
        (DomainError, lambda: Views.of(cameras(2), (3, 4)).rays(NUMBERS + 2, NUMBERS)),
        (DomainError, lambda: Views.of(cameras(2), (3, 4)).rays(NUMBERS, NUMBERS + 12)),
        (DomainError, lambda: Views.of(cameras(2), (3, 4)).rays(NUMBERS, NUMBERS - 1)),
        (ShapeError, lambda: Views.of(cameras(2), (3, 4)).rays(NUMBERS, NUMBERS[:2])),
        (DTypeError, lambda: Views.of(cameras(2), (3, 4)).rays(NUMBERS, NUMBERS.float())),
    ],
)
def test_bad_input(error: type[Exception], call: Callable[[], object]) -> None:
    """Bad input is refused by name."""
    with pytest.raises(error):
        call()


def test_index_beyond_the_views() -> None:
    """As of a list."""
    with pytest.raises(IndexError, match="view 2 of 2"):
        Views.of(cameras(2), (3, 4))[2]
