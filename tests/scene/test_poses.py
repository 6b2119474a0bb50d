"""Rotations as quaternions and six numbers: known values, laws, derivatives, the cameras made of them, every error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.scene import Camera
from labkit.scene.poses import (
    check_rotation,
    quaternion_from_rotation,
    rotation_from_6d,
    rotation_from_quaternion,
    six_from_rotation,
)
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64
HALF = math.sqrt(0.5)
POINTS = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, -0.3]], dtype=D)
numbers = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("quaternion", "x", "y", "z"),
    [
        ((1.0, 0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((HALF, 0, 0, HALF), (0, 1, 0), (-1, 0, 0), (0, 0, 1)),  # a quarter turn about z takes x to y, y to -x
        ((HALF, HALF, 0, 0), (1, 0, 0), (0, 0, 1), (0, -1, 0)),  # about x: y to z
        ((HALF, 0, HALF, 0), (0, 0, -1), (0, 1, 0), (1, 0, 0)),  # about y: z to x
        ((0.0, 3, 0, 0), (1, 0, 0), (0, -1, 0), (0, 0, -1)),
        ((-0.5, -0.5, -0.5, -0.5), (0, 1, 0), (0, 0, 1), (1, 0, 0)),  # a third of a turn: x to y to z to x
    ],
)
def test_known_quaternions(quaternion: tuple[float, ...], x: Any, y: Any, z: Any) -> None:
    rotation = rotation_from_quaternion(torch.tensor(quaternion, dtype=D))
    torch.testing.assert_close(rotation, torch.tensor([x, y, z], dtype=D).mT, **FLOAT64)


def test_six_numbers_by_hand() -> None:
    """Columns (0, 2, 0) and (3, 5, 0): y, then x without its part along y; their cross product is -z."""
    rotation = rotation_from_6d(torch.tensor([0.0, 2, 0, 3, 5, 0]))
    torch.testing.assert_close(rotation, torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]), **FLOAT32)


def axis_angle(quaternion: Tensor) -> Tensor:
    """Rodrigues' formula, the independent way from a unit quaternion to a matrix."""
    w, vector = quaternion[0], quaternion[1:]
    angle, axis = 2 * math.atan2(vector.norm(), w), vector / vector.norm()
    cross = torch.stack([torch.linalg.cross(axis, e) for e in torch.eye(3, dtype=D)], -1)
    return torch.eye(3, dtype=D) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


@given(st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: max(map(abs, q[1:])) > 1e-2))
def test_quaternions_turn_as_rodrigues_says_and_come_back(values: tuple[float, ...]) -> None:
    quaternion = torch.tensor(values, dtype=D)
    unit = quaternion / quaternion.norm()
    rotation = rotation_from_quaternion(quaternion)
    torch.testing.assert_close(rotation, axis_angle(unit), **FLOAT64)
    torch.testing.assert_close(rotation_from_quaternion(-7 * quaternion), rotation, **FLOAT64)
    back = quaternion_from_rotation(rotation)
    torch.testing.assert_close(back * torch.sign(back @ unit), unit, **FLOAT64)
    torch.testing.assert_close(rotation_from_6d(six_from_rotation(rotation)), rotation, **FLOAT64)


@given(st.lists(numbers, min_size=6, max_size=6))
def test_six_numbers_are_a_rotation_that_keeps_the_first_column_and_the_side_of_the_second(values: list[float]) -> None:
    first, second = torch.tensor(values).double().split(3)  # as float32 holds them
    assume(torch.linalg.cross(first, second).norm() > 1e-2 * first.norm() * second.norm())
    rotation = check_rotation("rotation", rotation_from_6d(torch.tensor(values)), "3 3").double()
    torch.testing.assert_close(rotation[:, 0], first / first.norm(), **FLOAT32)
    assert rotation[:, 1] @ second > 0
    assert abs(rotation[:, 2] @ second) <= 1e-5 * second.norm()


def test_nearly_parallel_columns_still_make_a_rotation_in_float32() -> None:
    rotation = rotation_from_6d(torch.tensor([1.0, 0.3, -0.7, 1.0, 0.3, -0.70001]))
    # One pass of Gram-Schmidt leaves 0.013 here.
    torch.testing.assert_close(rotation.mT @ rotation, torch.eye(3), **FLOAT32)


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("length", [1e-30, 1e-12, 1e30])
def test_no_length_over_or_underflows(length: float, dtype: torch.dtype) -> None:
    quaternion = torch.tensor([0.5, -0.1, 0.7, 0.3], dtype=dtype)
    six = torch.tensor([0.5, -0.1, 0.7, 0.3, 0.2, 0.9], dtype=dtype)
    torch.testing.assert_close(rotation_from_quaternion(quaternion * length), rotation_from_quaternion(quaternion))
    torch.testing.assert_close(rotation_from_6d(six * length), rotation_from_6d(six))


def test_a_batch_is_its_rotations_one_by_one(generator: torch.Generator) -> None:
    quaternions = torch.randn(3, 2, 4, generator=generator, dtype=D)
    sixes = torch.randn(3, 2, 6, generator=generator, dtype=D)
    for many, convert in ((quaternions, rotation_from_quaternion), (sixes, rotation_from_6d)):
        rotations = convert(many)
        assert rotations.shape == (3, 2, 3, 3)
        torch.testing.assert_close(rotations[2, 1], convert(many[2, 1]), **FLOAT64)
        assert quaternion_from_rotation(rotations).shape == (3, 2, 4)
        torch.testing.assert_close(six_from_rotation(rotations)[2, 1], six_from_rotation(rotations[2, 1]), **FLOAT64)


ORIENTATIONS = (
    [0.9, 0.2, -0.5, 1.1],
    [1.0, 0, 0, 0],
    [0, 0, 2.0, 0],
    [0.5, 0.1, -0.4, 0.2, 1.3, 0.6],
    [1.0, 0, 0, 0, 1, 0],
)


@pytest.mark.parametrize("values", ORIENTATIONS)
@pytest.mark.parametrize("place", ["eye", "translation"])
def test_derivatives_of_a_posed_camera(values: list[float], place: str) -> None:
    def view(orientation: Tensor, point: Tensor, fov: Tensor) -> Tensor:
        return Camera.posed(orientation, **{place: point}, fov=fov).project(POINTS)

    inputs = [torch.tensor(v, dtype=D, requires_grad=True) for v in (values, [0.3, -0.2, -4.0], 50.0)]
    assert torch.autograd.gradcheck(view, inputs)
    assert torch.autograd.gradgradcheck(view, inputs)


@pytest.mark.parametrize("values", ORIENTATIONS[:3])
def test_derivatives_through_the_matrix_and_back(values: list[float]) -> None:
    quaternion = torch.tensor(values, dtype=D, requires_grad=True)

    def there_and_back(q: Tensor) -> Tensor:
        rotation = rotation_from_quaternion(q)
        return torch.cat([quaternion_from_rotation(rotation), six_from_rotation(rotation)])

    assert torch.autograd.gradcheck(there_and_back, (quaternion,))
    assert torch.autograd.gradgradcheck(there_and_back, (quaternion,))


def test_a_look_at_pose_is_posed_again() -> None:
    looking = Camera.look_at(torch.tensor([[1.0, 2, 3], [-2, 0.5, 1]], dtype=D), (0.1, 0.2, 0.3), fov=40.0)
    for orientation in (quaternion_from_rotation(looking.rotation), six_from_rotation(looking.rotation)):
        for place in ({"eye": looking.eye}, {"translation": looking.translation}):
            posed = Camera.posed(orientation, **place, fov=40.0)
            torch.testing.assert_close(posed.project(POINTS), looking.project(POINTS), **FLOAT64)
            torch.testing.assert_close(posed.eye, looking.eye, **FLOAT64)


def test_batches_and_numbers_mix() -> None:
    quaternions = torch.eye(4, dtype=D)
    camera = Camera.posed(quaternions, eye=(0.0, 1.0, 2.0), fov=torch.full((4,), 30.0, dtype=D))
    assert camera.rotation.shape == (4, 3, 3)
    torch.testing.assert_close(camera.eye, torch.tensor([0.0, 1, 2], dtype=D).expand(4, 3), **FLOAT64)
    assert Camera.posed(torch.ones(4), translation=torch.zeros(5, 3)).rotation.shape == (5, 3, 3)
    assert Camera.posed(torch.ones(4), eye=(0.0, 0, 1)).translation.dtype == torch.float32


def test_a_wrong_pose_is_found_again_across_the_pole() -> None:
    """Descent on the pose itself, six numbers and a translation, from straight above to a camera at the side."""
    target = Camera.look_at(torch.tensor([3.0, 0.2, 0.5], dtype=D)).project(POINTS)
    start = Camera.orbit(torch.tensor(0.0, dtype=D), 90, 3.0)
    six = six_from_rotation(start.rotation).clone().requires_grad_()
    translation = start.translation.clone().requires_grad_()
    optimizer = torch.optim.Adam([six, translation], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (Camera.posed(six, translation=translation).project(POINTS) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 1e-4


@pytest.mark.parametrize(
    ("build", "argument", "match"),
    [
        (lambda: rotation_from_quaternion(torch.zeros(4)), "quaternion", "longer than 0"),
        (lambda: rotation_from_quaternion(torch.eye(4)[:, :1].expand(4, 4)), "quaternion", "longer than 0"),
        (lambda: rotation_from_quaternion(torch.tensor([1.0, math.nan, 0, 0])), "quaternion", "finite"),
        (lambda: rotation_from_6d(torch.zeros(6)), "numbers", "longer than 0"),
        (lambda: rotation_from_6d(torch.tensor([1.0, 2, 3, 0, 0, 0])), "numbers", "longer than 0"),
        (lambda: rotation_from_6d(torch.tensor([1.0, 2, 3, -2, -4, -6])), "numbers", "parallel"),
        (lambda: rotation_from_6d(torch.full((6,), math.inf)), "numbers", "finite"),
        (lambda: quaternion_from_rotation(2 * torch.eye(3)), "rotation", "determinant 8,"),
        (lambda: six_from_rotation(-torch.eye(3)), "rotation", "determinant -1,"),
        (lambda: Camera.posed(torch.zeros(4), eye=(0.0, 0, 1)), "quaternion", "longer than 0"),
        (lambda: Camera.posed(torch.ones(6), eye=(0.0, 0, 1)), "numbers", "parallel"),
        (lambda: Camera.posed(torch.ones(4), eye=(0.0, 0, math.nan)), "eye", "finite"),
        (lambda: Camera.posed(torch.ones(4), eye=(0.0, 0, 1), fov=0.0), "fov", "180"),
    ],
)
def test_what_is_no_rotation_is_refused(build: Callable[[], Any], argument: str, match: str) -> None:
    with pytest.raises(DomainError, match=match) as caught:
        build()
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: rotation_from_quaternion(torch.ones(3)), ShapeError),
        (lambda: rotation_from_quaternion([1.0, 0, 0, 0]), DTypeError),
        (lambda: rotation_from_6d(torch.ones(2, 4)), ShapeError),
        (lambda: quaternion_from_rotation(torch.eye(4)), ShapeError),
        (lambda: six_from_rotation(torch.eye(3, dtype=torch.int64)), DTypeError),
        (lambda: Camera.posed(torch.ones(5), eye=(0.0, 0, 1)), ShapeError),
        (lambda: Camera.posed(torch.ones(2, 2, 4), eye=(0.0, 0, 1)), ShapeError),
        (lambda: Camera.posed(torch.ones(2, 4), eye=torch.ones(3, 3)), ShapeError),
        (lambda: Camera.posed(torch.ones(4)), DTypeError),
        (lambda: Camera.posed(torch.ones(4), eye=(0.0, 0, 1), translation=(0.0, 0, 1)), DTypeError),
        (lambda: Camera.posed((1.0, 0, 0, 0), eye=(0.0, 0, 1)), DTypeError),
        (lambda: Camera.posed(torch.ones(4), eye=torch.ones(3, device="meta")), DeviceError),
    ],
)
def test_wrong_shapes_types_and_devices_are_refused(build: Callable[[], Any], error: type[LabError]) -> None:
    with pytest.raises(error):
        build()
