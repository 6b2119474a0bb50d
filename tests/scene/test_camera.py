"""Cameras: conventions by hand, kornia as oracle, derivatives in every parameter, the poles, every error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.camera import PinholeCamera

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.scene import Camera
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values[0] if len(values) == 1 else values, dtype=D, requires_grad=True)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "eye"),
    [
        (0, 0, (0, 0, 2)),
        (90, 0, (2, 0, 0)),
        (0, 90, (0, 2, 0)),
        (45, -90, (0, -2, 0)),
        (180, 30, (0, 1, -math.sqrt(3))),
    ],
)
def test_orbit_puts_the_eye_where_the_angles_say(azimuth: float, elevation: float, eye: tuple[float, ...]) -> None:
    camera = Camera.orbit(azimuth, elevation, torch.tensor(2.0, dtype=D), target=(1.0, 2.0, 3.0))
    torch.testing.assert_close(camera.eye, torch.tensor(eye, dtype=D) + torch.tensor([1.0, 2, 3], dtype=D), **FLOAT64)


def test_camera_axes_by_hand() -> None:
    camera = Camera.look_at((0.0, 0.0, 5.0))
    torch.testing.assert_close(camera.rotation, torch.eye(3), **FLOAT32)
    torch.testing.assert_close(camera.to_camera(torch.tensor([1.0, 2.0, 3.0])), torch.tensor([1.0, 2.0, -2.0]))
    from_right = Camera.look_at((5.0, 0.0, 0.0))  # eye on +x: the world's -z lies to the right
    torch.testing.assert_close(from_right.to_camera(torch.tensor([0.0, 0.0, -1.0])), torch.tensor([1.0, 0.0, -5.0]))


def test_ndc_by_hand() -> None:
    camera = Camera.look_at((0.0, 0.0, 2.0), fov=90.0)
    points = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [-1, 0, 1], [0, 0, -7]])
    expected = torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, 1, 2], [-1, 0, 1], [0, 0, 9]])
    torch.testing.assert_close(camera.project(points), expected)
    flat = Camera.look_at((0.0, 0.0, 2.0), projection="orthographic", half_height=4.0)
    expected = torch.tensor([[0.0, 0, 2], [0.5, 0, 2], [0, 0.5, 2], [-0.25, 0, 1], [0, 0, 9]])
    torch.testing.assert_close(flat.project(points), expected)


def test_points_before_near_keep_their_depth_and_side() -> None:
    camera = Camera(torch.eye(3), torch.zeros(3), fov=90.0, near=0.5)
    points = torch.tensor([[1.0, -1, 0], [1, -1, 3], [1, -1, -0.5]], requires_grad=True)
    projected = camera.project(points)
    torch.testing.assert_close(projected, torch.tensor([[2.0, -2, 0], [2, -2, -3], [2, -2, 0.5]]))
    (slope,) = torch.autograd.grad(projected.sum(), points)
    assert bool(slope.isfinite().all())


def test_narrow_perspective_from_afar_is_orthographic() -> None:
    points = torch.rand(20, 3, dtype=D, generator=torch.Generator().manual_seed(0)) - 0.5
    flat = Camera.orbit(30, 20, torch.tensor(1e7, dtype=D), projection="orthographic", half_height=1.0)
    far = Camera.orbit(30, 20, torch.tensor(1e7, dtype=D), fov=2 * math.degrees(math.atan(1e-7)))
    # Perspective differs from orthographic by the points' depth over the distance, 1e-7.
    torch.testing.assert_close(far.project(points)[:, :2], flat.project(points)[:, :2], rtol=0, atol=2e-7)


def test_projection_agrees_with_kornias_pinhole() -> None:
    height, width, fov = 64, 96, 50.0
    camera = Camera.orbit(torch.tensor(33.0, dtype=D), -21.0, 3.0, target=(0.1, 0.2, 0.3), fov=fov)
    points = torch.rand(10, 3, dtype=D, generator=torch.Generator().manual_seed(1)) - 0.5
    focal = height / 2 / math.tan(math.radians(fov / 2))
    intrinsics, extrinsics = torch.eye(4, dtype=D)[None], torch.eye(4, dtype=D)[None]
    intrinsics[0, 0, 0] = intrinsics[0, 1, 1] = focal
    intrinsics[0, 0, 2], intrinsics[0, 1, 2] = width / 2, height / 2
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=D))  # kornia: y down, looks along +z
    extrinsics[0, :3, :3], extrinsics[0, :3, 3] = flip @ camera.rotation, flip @ camera.translation
    pinhole = PinholeCamera(intrinsics, extrinsics, torch.tensor([float(height)]), torch.tensor([float(width)]))
    expected = pinhole.project(points[None])[0]  # pixels from the top left corner
    x, y, _ = camera.project(points).unbind(-1)
    pixels = torch.stack([x * height / 2 + width / 2, height / 2 - y * height / 2], -1)
    # Kornia divides by depth + 1e-8.
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-5)


@given(st.floats(-720, 720), st.floats(-89, 89), st.floats(0.1, 50))
def test_orbit_is_look_at_away_from_the_poles(azimuth: float, elevation: float, distance: float) -> None:
    orbit = Camera.orbit(azimuth, torch.tensor(elevation, dtype=D), distance, target=(0.3, -0.2, 0.1))
    looking = Camera.look_at(orbit.eye, (0.3, -0.2, 0.1))
    torch.testing.assert_close(orbit.rotation, looking.rotation, **FLOAT64)
    torch.testing.assert_close(orbit.translation, looking.translation, **FLOAT64)


@given(st.floats(-400, 400), st.floats(-400, 400), st.floats(0.1, 50))
def test_orbit_is_a_rotation_everywhere_and_keeps_the_target_in_the_middle(a: float, e: float, d: float) -> None:
    camera = Camera.orbit(torch.tensor(a, dtype=D), e, d, target=(1.0, 2.0, 3.0)).validate()
    projected = camera.project(torch.tensor([1.0, 2.0, 3.0], dtype=D))
    torch.testing.assert_close(projected, torch.tensor([0, 0, d], dtype=D), **FLOAT64)


def test_the_pole_is_the_limit_of_its_surroundings() -> None:
    at, below = (Camera.orbit(40.0, torch.tensor(e, dtype=D), 2.0) for e in (90.0, 90.0 - 1e-7))
    # An angle of 1e-7 degrees moves the entries by up to 2e-9.
    torch.testing.assert_close(at.rotation, below.rotation, rtol=0, atol=2e-9)


POINTS = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, -0.3]], dtype=D)


@pytest.mark.parametrize("elevation", [20.0, 90.0, -90.0, 0.0])
@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_derivatives_of_orbit(elevation: float, projection: str) -> None:
    def view(a, e, d, t, fov, half, points):
        camera = Camera.orbit(a, e, d, t, fov=fov, half_height=half, projection=projection)
        return camera.project(points), camera.eye

    points = POINTS.clone().requires_grad_()
    inputs = (leaf(0.0), leaf(elevation), leaf(2.0), leaf(0.1, 0.2, -0.1), leaf(50.0), leaf(1.5), points)
    assert torch.autograd.gradcheck(view, inputs)
    assert torch.autograd.gradgradcheck(view, inputs)


def test_derivatives_of_look_at() -> None:
    def view(eye, target, up, fov):
        return Camera.look_at(eye, target, up, fov=fov).project(POINTS)

    inputs = (leaf(1.0, 2.0, 3.0), leaf(0.1, 0.2, -0.1), leaf(0.1, 0.9, 0.2), leaf(50.0))
    assert torch.autograd.gradcheck(view, inputs)
    assert torch.autograd.gradgradcheck(view, inputs)


def test_derivatives_of_a_batch() -> None:
    def view(a, e, d, fov):
        return Camera.orbit(a, e, d, fov=fov).project(POINTS)

    assert torch.autograd.gradcheck(view, (leaf(0.0, 80.0), leaf(90.0, -5.0), leaf(2.0), leaf(40.0, 60.0)))


def test_derivatives_of_the_bare_fields() -> None:
    camera = Camera.orbit(torch.tensor(30.0, dtype=D), 20.0, 3.0)

    def view(rotation, translation):
        moved = Camera(rotation, translation)
        return moved.project(POINTS), moved.eye

    fields = (camera.rotation.requires_grad_(), camera.translation.requires_grad_())
    assert torch.autograd.gradcheck(view, fields)


def test_a_batch_is_its_cameras_one_by_one() -> None:
    azimuths, fovs = torch.tensor([0.0, 50.0, 200.0], dtype=D), torch.tensor([30.0, 50.0, 70.0], dtype=D)
    batch = Camera.orbit(azimuths, 10.0, 3.0, fov=fovs)
    singles = [Camera.orbit(a, 10.0, 3.0, fov=f) for a, f in zip(azimuths, fovs, strict=True)]
    shared = POINTS.expand(4, 2, 3).reshape(8, 3)
    torch.testing.assert_close(batch.project(shared), torch.stack([c.project(shared) for c in singles]), **FLOAT64)
    torch.testing.assert_close(batch.project(POINTS[0]), torch.stack([c.project(POINTS[0]) for c in singles]))
    torch.testing.assert_close(batch.eye, torch.stack([c.eye for c in singles]), **FLOAT64)
    own = torch.rand(3, 5, 3, 3, dtype=D, generator=torch.Generator().manual_seed(2))  # (B, F, 3, 3)
    expected = torch.stack([c.project(p) for c, p in zip(singles, own, strict=True)])
    torch.testing.assert_close(batch.project(own), expected, **FLOAT64)
    torch.testing.assert_close(batch.project(own[:1])[0], expected[0], **FLOAT64)
    assert singles[0].project(own).shape == (3, 5, 3, 3)
    mixed = Camera.look_at(torch.rand(3, 3, dtype=D) + 1, (0.0, 0.0, 0.0), half_height=torch.ones(3, dtype=D))
    assert mixed.rotation.shape == (3, 3, 3)


def test_dtypes_are_kept() -> None:
    assert Camera.orbit(10, 20, 3).rotation.dtype == torch.float32
    camera = Camera.orbit(10, torch.tensor(20.0, dtype=D), 3, fov=torch.tensor(50.0, dtype=D))
    assert camera.translation.dtype == D
    assert camera.project(POINTS.float()).dtype == torch.float32
    single = camera.to(torch.float32)
    assert {single.rotation.dtype, single.translation.dtype, single.fov.dtype} == {torch.float32}
    assert single.half_height == 1.0
    assert camera.to("meta").rotation.device.type == "meta"


ORBIT = {"azimuth": 10.0, "elevation": 20.0, "distance": 3.0}


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"distance": 0.0}, "distance"),
        ({"distance": -1.0}, "distance"),
        ({"distance": torch.tensor([1.0, -1.0])}, "distance"),
        ({"azimuth": math.nan}, "azimuth"),
        ({"elevation": math.inf}, "elevation"),
        ({"target": (0.0, math.nan, 0.0)}, "target"),
        ({"fov": 0.0}, "fov"),
        ({"fov": 180.0}, "fov"),
        ({"fov": torch.tensor(math.nan)}, "fov"),
        ({"half_height": 0.0}, "half_height"),
        ({"near": 0.0}, "near"),
        ({"projection": "fisheye"}, "projection"),
    ],
)
def test_orbit_refuses_values_out_of_range(changes: dict[str, object], argument: str) -> None:
    with pytest.raises(DomainError) as caught:
        Camera.orbit(**{**ORBIT, **changes})
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("arguments", "argument", "cure"),
    [
        (((1.0, 2, 3), (1.0, 2, 3)), "eye", "other than target"),
        (((0.0, 2, 0),), "up", "orbit"),
        (((0.0, 0, 2), (0.0, 0, 0), (0.0, 0, -3)), "up", "parallel"),
        (((0.0, 0, 2), (0.0, 0, 0), (0.0, 0, 0)), "up", "longer than 0"),
        (((0.0, math.nan, 2),), "eye", "finite"),
    ],
)
def test_look_at_refuses_undefined_views(arguments: tuple[object, ...], argument: str, cure: str) -> None:
    with pytest.raises(DomainError, match=cure) as caught:
        Camera.look_at(*arguments)
    assert caught.value.argument == argument


def test_validate_refuses_what_is_no_rotation_and_names_the_determinant() -> None:
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    with pytest.raises(DomainError, match="determinant -1,"):
        Camera(mirror, torch.zeros(3)).validate()
    with pytest.raises(DomainError, match="determinant 8,"):
        Camera(torch.stack([torch.eye(3), 2 * torch.eye(3)]), torch.zeros(2, 3)).validate()
    camera = Camera(torch.eye(3), torch.zeros(3))
    assert camera.validate() is camera


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: Camera(torch.eye(4), torch.zeros(3)).validate(), ShapeError),
        (lambda: Camera(torch.eye(3), torch.zeros(2, 3)).validate(), ShapeError),
        (lambda: Camera(torch.eye(3), torch.zeros(3), fov=torch.ones(2)).validate(), ShapeError),
        (lambda: Camera(torch.eye(3), torch.zeros(3, dtype=D)).validate(), DTypeError),
        (lambda: Camera(torch.eye(3), torch.zeros(3), fov="wide").validate(), DTypeError),
        (lambda: Camera(torch.eye(3), torch.zeros(3), fov=torch.tensor(60)).validate(), DTypeError),
        (lambda: Camera.orbit("north", 0, 1), DTypeError),
        (lambda: Camera.orbit(torch.zeros(2), torch.zeros(3), 1), ShapeError),
        (lambda: Camera.orbit(0, 0, 1, target=(0.0, 0.0)), ShapeError),
        (lambda: Camera.look_at(torch.ones(3, device="meta"), torch.zeros(3)), DeviceError),
        (lambda: Camera.orbit(0, 0, 1).project(torch.zeros(4, 2)), ShapeError),
        (lambda: Camera.orbit(0, 0, 1).project(torch.zeros(4, 3, dtype=torch.int64)), DTypeError),
        (lambda: Camera.orbit(0, 0, 1).project(torch.zeros(4, 3, device="meta")), DeviceError),
        (lambda: Camera.orbit(torch.zeros(2), 0, 1).project(torch.zeros(3, 4, 3)), ShapeError),
    ],
)
def test_wrong_shapes_types_and_devices_are_refused(build, error: type[LabError]) -> None:
    with pytest.raises(error):
        build()
