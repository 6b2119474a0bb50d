"""Rotations as quaternions and as six numbers: forms without a pole, in which a pose can be optimised freely."""

from __future__ import annotations

import torch
from kornia.geometry.conversions import quaternion_to_rotation_matrix, rotation_matrix_to_quaternion
from torch import Tensor

from labkit.errors import DomainError, check_tensor
from labkit.scene.vectors import dot


def check_rotation(name: str, value: object, shape: str, expected: str = "an orthonormal matrix") -> Tensor:
    """Return ``value`` if it is a rotation, (..., 3, 3), orthonormal to 1e-4 with determinant 1, else raise.

    Args:
        name: argument name, used in the message.
        value: the thing to check.
        shape: what `check_tensor` shall demand.
        expected: what would have been right, used in the message.

    Raises:
        DomainError: NaN or infinity, or a matrix that stretches, shears or mirrors (the message holds its determinant).
        ShapeError, DTypeError: as the names say.
    """
    rotation = check_tensor(name, value, shape)
    matrix = rotation.detach()
    determinant = torch.linalg.det(matrix)
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    bad = ((matrix @ matrix.mT - identity).abs().amax((-2, -1)) > 1e-4) | (determinant < 0)
    if bool(bad.any()):
        got = f"a matrix with determinant {determinant[bad][0].item():.6g}"
        raise DomainError(name, got, f"{expected} with determinant 1")
    return rotation


def rotation_from_quaternion(quaternion: Tensor) -> Tensor:
    """Return the rotation of a quaternion of any length but 0, smooth in it.

    Args:
        quaternion: (..., 4), real part first: w, x, y, z. It is normalised here; ``-q`` is the same rotation as ``q``.

    Returns:
        (..., 3, 3), for column vectors: (cos(a / 2), 0, 0, sin(a / 2)) turns x towards y by the angle a.

    Raises:
        DomainError: NaN, infinity, or a quaternion of length 0.
        ShapeError, DTypeError: as the names say.
    """
    check_tensor("quaternion", quaternion, "... 4")
    return quaternion_to_rotation_matrix(_scaled("quaternion", quaternion))


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """Return the unit quaternion w, x, y, z, (..., 4), of a rotation (..., 3, 3).

    Of the two signs it takes the one that makes w, or where the trace is not positive the largest of x, y and z,
    positive: between the two the quaternion jumps to its negative, the same rotation.

    Raises:
        DomainError: NaN, infinity, or no rotation.
        ShapeError, DTypeError: as the names say.
    """
    return rotation_matrix_to_quaternion(check_rotation("rotation", rotation, "... 3 3"))


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """Return the rotation whose first two columns come from ``numbers`` by Gram-Schmidt, smooth in them.

    Unlike a quaternion, every rotation has one neighbourhood here: a network's output needs no jump. Source: Zhou,
    Barnes, Lu, Yang, Li, On the Continuity of Rotation Representations in Neural Networks, 2019, section 4.2. Some
    libraries take rows instead: their six numbers give the transposed matrix here.

    Args:
        numbers: (..., 6): the first column, then the second, of any lengths but 0.

    Returns:
        (..., 3, 3).

    Raises:
        DomainError: NaN, infinity, a column of length 0, or parallel columns (sine of their angle up to 1e-6).
        ShapeError, DTypeError: as the names say.
    """
    check_tensor("numbers", numbers, "... 6")
    first, second = (_scaled("numbers", column) for column in numbers.split(3, -1))  # (..., 3) each
    first = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True)
    second = second / torch.linalg.vector_norm(second, dim=-1, keepdim=True)
    for _ in range(2):  # the second pass removes what rounding left of the first column
        second = second - dot(first, second) * first
        sine = torch.linalg.vector_norm(second, dim=-1, keepdim=True)
        if not bool((sine > 1e-6).all()):
            raise DomainError("numbers", numbers.tolist(), "two columns that are not parallel")
        second = second / sine
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def six_from_rotation(rotation: Tensor) -> Tensor:
    """Return the first two columns, (..., 6), of a rotation (..., 3, 3): the inverse of `rotation_from_6d`.

    Raises:
        DomainError: NaN, infinity, or no rotation.
        ShapeError, DTypeError: as the names say.
    """
    return check_rotation("rotation", rotation, "... 3 3")[..., :2].mT.flatten(-2)


def _scaled(name: str, vector: Tensor) -> Tensor:
    """Return ``vector`` (..., n) over its largest entry, a constant: nothing over- or underflows in its length.

    What is made of it must not depend on its length; then the derivatives are exact, to any order.
    """
    largest = vector.detach().abs().amax(-1, keepdim=True)
    if not bool((largest > 0).all()):
        raise DomainError(name, vector.tolist(), "vectors longer than 0")
    return vector / largest
