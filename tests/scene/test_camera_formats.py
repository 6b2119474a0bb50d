"""Camera converters against each library's projection written from its documentation, by numbers and by round trips."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.camera import PinholeCamera
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.scene import Camera
from labkit.scene.camera_formats import (
    from_kaolin,
    from_nvdiffrast,
    from_opencv,
    from_pytorch3d,
    from_softras,
    to_kaolin,
    to_nvdiffrast,
    to_opencv,
    to_pytorch3d,
    to_softras,
)
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64
SIZES = [(48, 48), (48, 64), (90, 30)]  # square, wide, tall
POINTS = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, -0.3], [0.0, 0.0, 0.0], [0.7, 0.1, 0.6]], dtype=D)
CAMERAS = {
    "front": Camera.orbit(0, 0, torch.tensor(3.0, dtype=D)),
    "above": Camera.orbit(torch.tensor(130.0, dtype=D), 90, 2.5, fov=35.0),
    "side": Camera.look_at(torch.tensor([2.0, 1, -1.5], dtype=D), (0.2, -0.1, 0.3), (0.4, 1, -0.2), fov=100.0),
    "batch": Camera.orbit(
        torch.tensor([20.0, -75.0], dtype=D), 15, 3.0, target=(0.1, 0.2, 0), fov=torch.tensor([20.0, 80], dtype=D)
    ),
}
FLAT = {
    name: replace(camera, projection="orthographic", half_height=torch.tensor(1.7, dtype=D))
    for name, camera in CAMERAS.items()
}


def pixels(camera: Camera, size: tuple[int, int], points: Tensor = POINTS) -> Tensor:
    """Where `Camera` puts points: columns and rows from the picture's upper left corner, (..., N, 2)."""
    height, width = size
    x, y, _ = camera.project(points).unbind(-1)
    half = min(height, width) / 2
    return torch.stack([width / 2 + half * x, height / 2 - half * y], -1)


def in_opencv(K: Tensor, R: Tensor, t: Tensor) -> Tensor:
    """OpenCV, camera calibration: u = fx X / Z + cx, v = fy Y / Z + cy; pixel j has its centre at j."""
    X, Y, Z = (torch.einsum("...ij,nj->...ni", R, POINTS) + t[..., None, :]).unbind(-1)
    fx, fy, cx, cy = (K[..., i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return torch.stack([fx * X / Z + cx, fy * Y / Z + cy], -1)


def in_pytorch3d(R: Tensor, T: Tensor, fov: Tensor, size: tuple[int, int]) -> Tensor:
    """PyTorch3D, cameras: rows times R; NDC x left, y up, shorter side [-1, 1]; screen from the top left corner."""
    x, y, z = (POINTS @ R + T[..., None, :]).unbind(-1)
    scale = 1 / torch.tan(fov * math.pi / 180 / 2)[..., None]
    half = min(size) / 2
    return torch.stack([size[1] / 2 - half * scale * x / z, size[0] / 2 - half * scale * y / z], -1)


def in_kaolin(view_matrix: Tensor, fov: Tensor, size: tuple[int, int]) -> Tensor:
    """Kaolin, PinholeIntrinsics.from_fov (vertical): focal = (height / 2) / tan(fov / 2) pixels; NDC [-1, 1] over each
    side, x right, y up, w = -z."""
    homogeneous = torch.cat([POINTS, torch.ones_like(POINTS[:, :1])], -1)
    x, y, z, _ = (homogeneous @ view_matrix.mT).unbind(-1)
    focal = (size[0] / 2 / torch.tan(fov / 2))[..., None]
    ndc_x, ndc_y = 2 * focal / size[1] * x / -z, 2 * focal / size[0] * y / -z
    return torch.stack([(ndc_x + 1) / 2 * size[1], (1 - ndc_y) / 2 * size[0]], -1)


def in_nvdiffrast(matrix: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """nvdiffrast, coordinate systems: OpenGL's clip space; rows count from the bottom. Returns pixels from the top left
    after the flip, and z / w."""
    homogeneous = torch.cat([POINTS, torch.ones_like(POINTS[:, :1])], -1)
    x, y, z, w = (homogeneous @ matrix.mT).unbind(-1)
    columns, rows_from_bottom = (x / w + 1) / 2 * size[1], (y / w + 1) / 2 * size[0]
    return torch.stack([columns, size[0] - rows_from_bottom], -1), z / w


def in_softras(eye: Tensor, at: Tensor, up: Tensor, viewing_angle: Tensor, size: tuple[int, int]) -> Tensor:
    """SoftRas, look_at and perspective: axes z = at - eye, x = up x z, y = z x x; x / (z tan angle), y up."""
    vertices = POINTS * torch.tensor([1.0, 1, -1], dtype=D)
    z_axis = torch.nn.functional.normalize(at - eye, dim=-1)
    x_axis = torch.nn.functional.normalize(torch.linalg.cross(up, z_axis), dim=-1)
    y_axis = torch.linalg.cross(z_axis, x_axis)
    x, y, z = ((vertices - eye[..., None, :]) @ torch.stack([x_axis, y_axis, z_axis], -1)).unbind(-1)
    width = torch.tan(viewing_angle * math.pi / 180)[..., None]
    half = size[0] / 2
    return torch.stack([half + half * x / z / width, half - half * y / z / width], -1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CAMERAS)
def test_points_land_on_the_same_pixel(name: str, size: tuple[int, int]) -> None:
    camera = CAMERAS[name]
    expected = pixels(camera, size)
    torch.testing.assert_close(in_opencv(*to_opencv(camera, size)) + 0.5, expected, **FLOAT64)
    torch.testing.assert_close(in_opencv(*to_opencv(camera, size, pixel_centre=0.5)), expected, **FLOAT64)
    torch.testing.assert_close(in_pytorch3d(*to_pytorch3d(camera), size), expected, **FLOAT64)
    torch.testing.assert_close(in_kaolin(*to_kaolin(camera, size), size), expected, **FLOAT64)
    torch.testing.assert_close(in_nvdiffrast(to_nvdiffrast(camera, size), size)[0], expected, **FLOAT64)
    flat = FLAT[name]
    torch.testing.assert_close(in_nvdiffrast(to_nvdiffrast(flat, size), size)[0], pixels(flat, size), **FLOAT64)


@pytest.mark.parametrize("name", CAMERAS)
def test_points_land_on_the_same_pixel_of_softras_square_pictures(name: str) -> None:
    camera = CAMERAS[name]
    torch.testing.assert_close(in_softras(*to_softras(camera), (32, 32)), pixels(camera, (32, 32)), **FLOAT64)


@given(st.floats(-180, 180), st.floats(-89, 89), st.floats(0.5, 20))
def test_softras_eye_is_the_one_of_its_own_angles(azimuth: float, elevation: float, distance: float) -> None:
    a, e = math.radians(azimuth), math.radians(elevation)  # get_points_from_angles(distance, elevation, azimuth)
    eye = torch.tensor([math.cos(e) * math.sin(a), math.sin(e), -math.cos(e) * math.cos(a)], dtype=D) * distance
    camera = Camera.orbit(azimuth, elevation, torch.tensor(distance, dtype=D))
    torch.testing.assert_close(to_softras(camera).eye, eye, **FLOAT64)
    there = from_softras(eye, torch.zeros(3, dtype=D), torch.tensor([0, 1, 0], dtype=D))
    torch.testing.assert_close(there.rotation, camera.rotation, **FLOAT64)


def test_numbers_by_hand() -> None:
    """An eye at (0, 0, 2) looking along -z, 90 degrees over the height of 48 x 64 pixels."""
    camera, size = Camera.look_at((0.0, 0.0, 2.0), fov=90.0), (48, 64)
    K, R, t = to_opencv(camera, size)
    torch.testing.assert_close(K, torch.tensor([[24.0, 0, 31.5], [0, 24, 23.5], [0, 0, 1]]), **FLOAT32)
    torch.testing.assert_close(R, torch.diag(torch.tensor([1.0, -1, -1])), **FLOAT32)
    torch.testing.assert_close(t, torch.tensor([0.0, 0, 2]), **FLOAT32)
    R, T, fov = to_pytorch3d(camera)
    torch.testing.assert_close(R, torch.diag(torch.tensor([-1.0, 1, -1])), **FLOAT32)
    torch.testing.assert_close(T, torch.tensor([0.0, 0, 2]), **FLOAT32)
    torch.testing.assert_close(fov, torch.tensor(90.0), **FLOAT32)
    tall = to_kaolin(camera, (64, 48))  # tan(fov / 2) over the height: 64 / 48
    torch.testing.assert_close(tall.fov, torch.tensor(2 * math.atan(4 / 3)), **FLOAT32)
    torch.testing.assert_close(tall.view_matrix[:3, 3], torch.tensor([0.0, 0, -2]), **FLOAT32)
    eye, at, up, angle = to_softras(camera)
    expected = torch.tensor([[0.0, 0, -2], [0, 0, -1], [0, 1, 0]])
    torch.testing.assert_close(torch.stack([eye, at, up]), expected, **FLOAT32)
    torch.testing.assert_close(angle, torch.tensor(45.0), **FLOAT32)
    matrix = to_nvdiffrast(replace(camera, near=1.0), size, far=3.0)  # -(3 + 1) / 2 = -2, -2 3 1 / 2 = -3
    expected = torch.tensor([[0.75, 0, 0, 0], [0, 1, 0, 0], [0, 0, -2, 1], [0, 0, -1, 2]])
    torch.testing.assert_close(matrix, expected, **FLOAT32)


def test_a_turned_camera_is_transposed_for_row_vectors() -> None:
    """The eye on +x sees -z on its right: PyTorch3D's x, which points left, is the world's z."""
    R, T, _ = to_pytorch3d(Camera.look_at((5.0, 0.0, 0.0)))
    torch.testing.assert_close(torch.tensor([0.0, 0, 1]) @ R + T, torch.tensor([1.0, 0, 5]), **FLOAT32)
    torch.testing.assert_close(torch.tensor([1.0, 0, 0]) @ R + T, torch.tensor([0.0, 0, 4]), **FLOAT32)


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_clip_depth_runs_from_near_to_far(projection: str) -> None:
    camera = replace(CAMERAS["front"], near=2.9, projection=projection)  # the points (0, 0, 0.1) and (0, 0, 0.6) away
    _, depth = in_nvdiffrast(to_nvdiffrast(camera, (8, 8), far=3.3), (8, 8))
    torch.testing.assert_close(depth[0], torch.tensor(-1.0, dtype=D), **FLOAT64)
    torch.testing.assert_close(depth[1], torch.tensor(1.0, dtype=D), **FLOAT64)
    assert -1 < depth[2] < 1
    assert depth[3] < -1


@pytest.mark.parametrize("name", ["front", "side"])
def test_opencv_agrees_with_kornias_pinhole(name: str) -> None:
    size = (48, 64)
    K, R, t = to_opencv(CAMERAS[name], size, pixel_centre=0.5)
    intrinsics, extrinsics = torch.eye(4, dtype=D)[None], torch.eye(4, dtype=D)[None]
    intrinsics[0, :3, :3], extrinsics[0, :3, :3], extrinsics[0, :3, 3] = K, R, t
    pinhole = PinholeCamera(intrinsics, extrinsics, torch.tensor([48.0]), torch.tensor([64.0]))
    # Kornia divides by depth + 1e-8.
    torch.testing.assert_close(pinhole.project(POINTS[None])[0], pixels(CAMERAS[name], size), rtol=0, atol=1e-5)


TRIPS: dict[str, Callable[[Camera, tuple[int, int]], Camera]] = {
    "pytorch3d": lambda c, size: from_pytorch3d(*to_pytorch3d(c), near=c.near),
    "kaolin": lambda c, size: from_kaolin(*to_kaolin(c, size), size, near=c.near),
    "opencv": lambda c, size: from_opencv(*to_opencv(c, size), size, near=c.near),
    "corner": lambda c, size: from_opencv(*to_opencv(c, size, pixel_centre=0.5), size, pixel_centre=0.5, near=c.near),
    "nvdiffrast": lambda c, size: from_nvdiffrast(3 * to_nvdiffrast(c, size, far=9.0), size, near=c.near),
    "softras": lambda c, size: from_softras(*to_softras(c), near=c.near),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("trip", TRIPS)
def test_there_and_back_is_the_same_camera(trip: str, name: str, size: tuple[int, int]) -> None:
    camera = replace(CAMERAS[name], near=0.2)
    back = TRIPS[trip](camera, size)
    torch.testing.assert_close(back.rotation, camera.rotation, **FLOAT64)
    torch.testing.assert_close(back.translation, camera.translation, **FLOAT64)
    fov = torch.as_tensor(camera.fov, dtype=D).expand(camera.rotation.shape[:-2])
    torch.testing.assert_close(back.fov, fov, **FLOAT64)
    assert (back.near, back.projection) == (0.2, "perspective")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CAMERAS)
def test_orthographic_matrices_there_and_back(name: str, size: tuple[int, int]) -> None:
    flat = replace(FLAT[name], near=0.2)
    back = from_nvdiffrast(3 * to_nvdiffrast(flat, size, far=9.0), size, near=0.2)
    torch.testing.assert_close(back.rotation, flat.rotation, **FLOAT64)
    torch.testing.assert_close(back.translation, flat.translation, **FLOAT64)
    torch.testing.assert_close(back.half_height, flat.half_height.expand(flat.rotation.shape[:-2]), **FLOAT64)
    assert back.projection == "orthographic"


def test_one_field_of_view_serves_a_batch() -> None:
    camera = replace(CAMERAS["batch"], fov=40.0)
    assert to_opencv(camera, (8, 6)).K.shape == (2, 3, 3)
    assert to_pytorch3d(camera).fov.shape == to_softras(camera).viewing_angle.shape == (2,)
    assert to_kaolin(camera, (8, 6)).fov.shape == (2,)
    assert to_nvdiffrast(camera, (8, 6)).shape == (2, 4, 4)
    R, T, _ = to_pytorch3d(camera)
    assert from_pytorch3d(R, T, 50).fov == 50
    assert from_kaolin(to_kaolin(camera, (8, 6)).view_matrix, 1.0, (8, 6)).fov.shape == ()


@pytest.mark.parametrize("trip", TRIPS)
def test_float32_stays_float32(trip: str) -> None:
    camera = CAMERAS["side"].to(torch.float32)
    back = TRIPS[trip](camera, (48, 64))
    assert back.rotation.dtype == back.translation.dtype == torch.float32
    # 0.01 pixels in 48: what float32 leaves of a few rotations, an arc tangent and a tangent at 100 degrees.
    torch.testing.assert_close(pixels(back, (48, 64)), pixels(CAMERAS["side"], (48, 64)), rtol=0, atol=1e-2)


@pytest.mark.parametrize("trip", TRIPS)
def test_derivatives_pass_through_both_ways(trip: str) -> None:
    def view(orientation: Tensor, eye: Tensor, fov: Tensor) -> Tensor:
        return pixels(TRIPS[trip](Camera.posed(orientation, eye=eye, fov=fov), (6, 9)), (6, 9))

    def direct(orientation: Tensor, eye: Tensor, fov: Tensor) -> Tensor:
        return pixels(Camera.posed(orientation, eye=eye, fov=fov), (6, 9))

    values = ([0.9, 0.1, -0.3, 0.2], [1.0, 0.4, 2.5], 50.0)
    inputs = tuple(torch.tensor(v, dtype=D, requires_grad=True) for v in values)
    assert torch.autograd.gradcheck(view, inputs)
    ours = torch.autograd.grad(view(*inputs).square().sum(), inputs)
    torch.testing.assert_close(ours, torch.autograd.grad(direct(*inputs).square().sum(), inputs), **FLOAT64)


def test_derivatives_of_the_foreign_numbers() -> None:
    camera = CAMERAS["side"]
    matrices = (to_nvdiffrast(camera, (6, 9)), to_nvdiffrast(FLAT["side"], (6, 9)))
    for matrix in matrices:
        scale = torch.tensor(1.3, dtype=D, requires_grad=True)
        assert torch.autograd.gradcheck(lambda s, m=matrix: pixels(from_nvdiffrast(m * s, (6, 9)), (6, 9)), (scale,))
    K, R, t = to_opencv(camera, (6, 9))
    parts = (K.diagonal()[0].clone().requires_grad_(), t.clone().requires_grad_())

    def through_opencv(focal: Tensor, t: Tensor) -> Tensor:
        return pixels(from_opencv(torch.stack([focal, focal, focal / focal]).diag() + K.triu(1), R, t, (6, 9)), (6, 9))

    assert torch.autograd.gradcheck(through_opencv, parts)
    assert torch.autograd.gradgradcheck(through_opencv, parts)


K = torch.tensor([[24.0, 0, 31.5], [0, 24, 23.5], [0, 0, 1]])
EYE, ONE, SIZE = torch.eye(3), torch.ones(3), (48, 64)
MIRROR = torch.diag(torch.tensor([1.0, 1, -1]))
FLATLAND = Camera(EYE, ONE, projection="orthographic")


def changed(tensor: Tensor, index: tuple[int, int], value: float) -> Tensor:
    """A copy of a matrix with one entry set."""
    copy = tensor.clone()
    copy[index] = value
    return copy


CLIP = to_nvdiffrast(Camera.look_at((0.0, 0.0, 2.0)), SIZE)


@pytest.mark.parametrize(
    ("build", "argument", "match"),
    [
        (lambda: to_opencv(FLATLAND, SIZE), "camera", "orthographic"),
        (lambda: to_pytorch3d(FLATLAND), "camera", "to_nvdiffrast"),
        (lambda: to_kaolin(FLATLAND, SIZE), "camera", "orthographic"),
        (lambda: to_softras(FLATLAND), "camera", "orthographic"),
        (lambda: to_pytorch3d(Camera(MIRROR, ONE)), "rotation", "determinant -1,"),
        (lambda: to_nvdiffrast(Camera(EYE, ONE, fov=200.0), SIZE), "fov", "180"),
        (lambda: to_nvdiffrast(Camera(EYE, ONE, near=2.0), SIZE, far=2.0), "far", "2, infinity"),
        (lambda: to_kaolin(Camera(EYE, ONE), (0, 4)), "size", "between 1"),
        (lambda: to_opencv(Camera(EYE, ONE), SIZE, pixel_centre=1.0), "pixel_centre", r"0\.5"),
        (lambda: from_opencv(changed(K, (0, 0), 25.0), EYE, ONE, SIZE), "K", "resample"),
        (lambda: from_opencv(changed(K, (0, 1), 0.1), EYE, ONE, SIZE), "K", "resample"),
        (lambda: from_opencv(changed(K, (0, 2), 32.0), EYE, ONE, SIZE), "K", "crop"),
        (lambda: from_opencv(changed(K, (2, 2), 2.0), EYE, ONE, SIZE), "K", "resample"),
        (lambda: from_opencv(changed(K, (1, 1), -24.0), EYE, ONE, SIZE), "K", "infinity"),
        (lambda: from_opencv(changed(K, (0, 0), math.nan), EYE, ONE, SIZE), "K", "finite"),
        (lambda: from_opencv(K, MIRROR, ONE, SIZE), "R", "determinant -1,"),
        (lambda: from_opencv(K, EYE, ONE * math.inf, SIZE), "t", "finite"),
        (lambda: from_pytorch3d(2 * EYE, ONE), "R", "determinant 8,"),
        (lambda: from_pytorch3d(EYE, ONE, 180.0), "fov", "180"),
        (lambda: from_kaolin(2 * torch.eye(4), 1.0, SIZE), "view_matrix", "rigid"),
        (lambda: from_kaolin(changed(torch.eye(4), (3, 0), 1.0), 1.0, SIZE), "view_matrix", "last row"),
        (lambda: from_kaolin(torch.eye(4), 60.0, SIZE), "fov", "3.14"),
        (lambda: from_nvdiffrast(CLIP, (48, 48)), "matrix", "square pixels"),
        (lambda: from_nvdiffrast(changed(CLIP, (0, 2), 0.5), SIZE), "matrix", "square pixels"),
        (lambda: from_nvdiffrast(CLIP * torch.tensor([[1.0], [-1], [1], [1]]), SIZE), "matrix", "determinant -1,"),
        (lambda: from_nvdiffrast(torch.zeros(4, 4), SIZE), "matrix", "infinity"),
        (lambda: from_nvdiffrast(torch.stack([CLIP, torch.eye(4)]), SIZE), "matrix", "both projections"),
        (lambda: from_softras(ONE, ONE, ONE), "eye", "other than target"),
        (lambda: from_softras(ONE, 0 * ONE, ONE * torch.tensor([1.0, 1, 1])), "up", "parallel"),
        (lambda: from_softras(ONE, 0 * ONE, torch.tensor([0.0, 1, 0]), 90.0), "viewing_angle", "90"),
    ],
)
def test_what_is_no_such_camera_is_refused(build: Callable[[], Any], argument: str, match: str) -> None:
    with pytest.raises(DomainError, match=match) as caught:
        build()
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: from_opencv(torch.eye(4), EYE, ONE, SIZE), ShapeError),
        (lambda: from_opencv(K, EYE, torch.ones(4), SIZE), ShapeError),
        (lambda: from_opencv(K, EYE, torch.ones(2, 3), SIZE), ShapeError),
        (lambda: from_opencv(K.expand(2, 3, 3), EYE, ONE, SIZE), ShapeError),
        (lambda: from_pytorch3d(EYE, ONE.double()), DTypeError),
        (lambda: from_pytorch3d(EYE, ONE.to("meta")), DeviceError),
        (lambda: from_kaolin(torch.eye(4), ONE[0].to("meta"), SIZE), DeviceError),
        (lambda: from_opencv(K.to("meta"), EYE, ONE, SIZE), DeviceError),
        (lambda: from_softras(EYE[0], ONE, ONE.to("meta")), DeviceError),
        (lambda: from_pytorch3d([1, 2, 3], ONE), DTypeError),
        (lambda: from_kaolin(EYE, 1.0, SIZE), ShapeError),
        (lambda: from_kaolin(torch.eye(4), "wide", SIZE), DTypeError),
        (lambda: from_kaolin(torch.eye(4), 1.0, (48.0, 64.0)), DTypeError),
        (lambda: from_nvdiffrast(EYE, SIZE), ShapeError),
        (lambda: from_softras((0.0, 0.0, 1.0), ONE, ONE), DTypeError),
    ],
)
def test_wrong_shapes_and_types_are_refused(build: Callable[[], Any], error: type[LabError]) -> None:
    with pytest.raises(error):
        build()
