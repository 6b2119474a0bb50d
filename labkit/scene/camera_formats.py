"""Cameras as PyTorch3D, Kaolin, OpenCV, nvdiffrast and SoftRas write them, and back; none of these is needed here.

Each ``to_*`` returns plain tensors under the foreign library's own names, with a leading B for a batch of cameras, and
each ``from_*`` takes them in that order: ``from_opencv(*to_opencv(camera, size), size)`` is the camera again. All are
differentiable. ``size``, (height, width) in pixels, is asked for where the foreign field of view does not span the
picture's shorter side. A point falls onto the same spot of the picture in both, measured from the picture's upper left
corner: PyTorch3D, Kaolin and nvdiffrast have the centre of the first pixel at (0.5, 0.5), as here; for OpenCV it is an
argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.errors import DomainError, check_device, check_size, check_tensor
from labkit.scene.camera import Camera
from labkit.scene.poses import check_rotation
from labkit.scene.vectors import check_between

PYTORCH3D = (-1.0, 1.0, -1.0)  # x left, y up, z into the scene: signs of the axes against those of `Camera`
OPENCV = (1.0, -1.0, -1.0)  # x right, y down, z into the scene
SOFTRAS = (1.0, 1.0, -1.0)  # z turned round, in a world that is mirrored in the same way


class PyTorch3DCamera(NamedTuple):
    """Arguments of ``FoVPerspectiveCameras``: ``R`` and ``T`` for row vectors, ``view = world @ R + T``.

    x points left, y up, z into the scene. ``fov``, degrees, spans the shorter side of the picture as here, as long as
    ``aspect_ratio``, that of a pixel, keeps its default 1. PyTorch3D itself takes batches only: ``R`` as (B, 3, 3).
    """

    R: Tensor
    T: Tensor
    fov: Tensor


class KaolinCamera(NamedTuple):
    """Arguments of ``kaolin.render.camera.Camera.from_args``: OpenGL's axes, ``fov`` in radians over the height.

    ``view_matrix`` is (4, 4) or (B, 4, 4), ``view = view_matrix @ (world, 1)``. Kaolin takes ``fov`` as one number.
    """

    view_matrix: Tensor
    fov: Tensor


class OpenCVCamera(NamedTuple):
    """OpenCV's camera matrix ``K``, rotation ``R`` and translation ``t``: ``w (u, v, 1) = K (R world + t)``.

    x points right, y down, z into the scene; u counts columns to the right, v rows downwards, in pixels.
    """

    K: Tensor
    R: Tensor
    t: Tensor


class SoftRasCamera(NamedTuple):
    """Arguments of SoftRas' and N3MR's ``look_at(vertices, eye, at, up)`` and ``perspective(vertices, viewing_angle)``.

    Their world is left-handed. The same picture arises from vertices (x, y, -z) with faces in the same order; the
    vectors here are mirrored already. ``viewing_angle`` is half the field of view, degrees; pictures are square.
    """

    eye: Tensor
    at: Tensor
    up: Tensor
    viewing_angle: Tensor


def to_pytorch3d(camera: Camera) -> PyTorch3DCamera:
    """Return the camera as PyTorch3D writes it.

    Raises:
        DomainError: an orthographic camera, or a field out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    fov = _degrees(_tangent(camera))
    signs = camera.rotation.new_tensor(PYTORCH3D)
    return PyTorch3DCamera((signs[:, None] * camera.rotation).mT, signs * camera.translation, fov)


def from_pytorch3d(R: Tensor, T: Tensor, fov: float | Tensor = 60.0, *, near: float = Camera.near) -> Camera:
    """Return the camera of PyTorch3D's ``FoVPerspectiveCameras(R=R, T=T, fov=fov)``.

    Args:
        R, T, fov: as in `PyTorch3DCamera`.
        near: as in `Camera`.

    Raises:
        DomainError: NaN, infinity, ``R`` no rotation, or a number out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    _check_devices(R=R, T=T, fov=fov)
    signs = check_rotation("R", R, "... 3 3").new_tensor(PYTORCH3D)
    check_tensor("T", T, "... 3")
    return Camera(signs[:, None] * R.mT, signs * T, fov, near=near).validate()


def to_kaolin(camera: Camera, size: Sequence[int]) -> KaolinCamera:
    """Return the camera as Kaolin writes it, for a picture of ``size`` (height, width).

    Raises:
        DomainError: an orthographic camera, or a field or the size out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    height, width = check_size("size", size)
    fov = 2 * torch.atan(_tangent(camera) * (height / min(height, width)))
    return KaolinCamera(_rigid(camera), fov)


def from_kaolin(view_matrix: Tensor, fov: float | Tensor, size: Sequence[int], *, near: float = Camera.near) -> Camera:
    """Return the camera of Kaolin's ``Camera.from_args(view_matrix=..., fov=..., height=..., width=...)``.

    Args:
        view_matrix, fov: as in `KaolinCamera`, ``fov`` in radians in (0, pi), a number or () or (B,).
        size: (height, width) of the picture in pixels.
        near: as in `Camera`.

    Raises:
        DomainError: NaN, infinity, a matrix that is no rigid motion, or a number out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    height, width = check_size("size", size)
    _check_devices(view_matrix=view_matrix, fov=fov)
    check_tensor("view_matrix", view_matrix, "... 4 4")
    rotation = check_rotation(
        "view_matrix", view_matrix[..., :3, :3], "... 3 3", "a rigid motion, its rotation orthonormal"
    )
    last = view_matrix[..., 3, :]
    if bool(((last - last.new_tensor([0.0, 0, 0, 1])).abs() > 1e-4).any()):
        raise DomainError("view_matrix", f"last row {last.tolist()}", "0, 0, 0, 1")
    check_between("fov", fov, 0, math.pi)
    angle = fov if isinstance(fov, Tensor) else rotation.new_tensor(fov)
    short = _degrees((angle / 2).tan() * (min(height, width) / height))
    return Camera(rotation, view_matrix[..., :3, 3], short, near=near).validate()


def to_opencv(camera: Camera, size: Sequence[int], *, pixel_centre: float = 0.0) -> OpenCVCamera:
    """Return the camera as OpenCV writes it, for a picture of ``size`` (height, width).

    Args:
        camera: a camera or a batch of B, perspective.
        size: (height, width) of the picture in pixels.
        pixel_centre: coordinate u and v of the first pixel's centre: 0 as OpenCV counts, so that the principal point is
            ((width - 1) / 2, (height - 1) / 2), or 0.5 as COLMAP and kornia do: (width / 2, height / 2).

    Raises:
        DomainError: an orthographic camera, or a field or a number out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    height, width = check_size("size", size)
    K = _intrinsics(min(height, width) / 2 / _tangent(camera), size, pixel_centre)
    signs = camera.rotation.new_tensor(OPENCV)
    return OpenCVCamera(K, signs[:, None] * camera.rotation, signs * camera.translation)


def from_opencv(
    K: Tensor, R: Tensor, t: Tensor, size: Sequence[int], *, pixel_centre: float = 0.0, near: float = Camera.near
) -> Camera:
    """Return the camera of OpenCV's ``K``, ``R`` and ``t``.

    Args:
        K, R, t: as in `OpenCVCamera`, (3, 3), (3, 3) and (3,), or (B, ...). A rotation vector: ``cv2.Rodrigues`` first.
        size: (height, width) of the picture in pixels.
        pixel_centre: as in `to_opencv`.
        near: as in `Camera`.

    Raises:
        DomainError: NaN, infinity, ``R`` no rotation, a number out of range, or a ``K`` that `Camera` cannot hold: two
            focal lengths, skew, or a principal point off the picture's middle, by more than 1e-4 of an entry's size.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    height, width = check_size("size", size)
    _check_devices(K=K, R=R, t=t)
    check_tensor("K", K, "... 3 3")
    signs = check_rotation("R", R, "... 3 3").new_tensor(OPENCV)
    check_tensor("t", t, "... 3")
    focal = K[..., 1, 1]
    check_between("K", focal, 0, math.inf)
    wanted = _intrinsics(focal.detach(), size, pixel_centre)
    if not torch.allclose(K.detach(), wanted, rtol=1e-4, atol=1e-4):
        cure = f"{wanted.tolist()}, or crop and resample the picture until it has this shape"
        raise DomainError("K", K.tolist(), cure)
    fov = _degrees(min(height, width) / 2 / focal)
    return Camera(signs[:, None] * R, signs * t, fov, near=near).validate()


def to_nvdiffrast(camera: Camera, size: Sequence[int], *, far: float = 100.0) -> Tensor:
    """Return the matrix from the world to OpenGL's clip space, (4, 4) or (B, 4, 4), as nvdiffrast rasterizes it.

    ``clip = torch.cat([vertices, ones], -1) @ matrix.mT``; x / w and y / w span [-1, 1] over the whole picture, y up,
    and z / w runs from -1 at ``camera.near`` to 1 at ``far``. Row 0 of nvdiffrast's picture is the lowest: flip it.

    Args:
        camera: a camera or a batch of B, of either projection.
        size: (height, width) of the picture in pixels.
        far: view distance of the far plane in world units, greater than ``camera.near``.

    Raises:
        DomainError: a field, the size or ``far`` out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    near = camera.validate().near
    height, width = check_size("size", size)
    check_between("far", far, near, math.inf)
    rigid = _rigid(camera)
    half = camera.half_extent(rigid)[..., None]  # (..., 1)
    shorter, depth = min(height, width), far - near
    if camera.projection == "perspective":
        z, w = [0, 0, -(far + near) / depth, -2 * far * near / depth], [0.0, 0, -1, 0]
    else:
        z, w = [0, 0, -2 / depth, -(far + near) / depth], [0.0, 0, 0, 1]
    x, y = (rigid[..., row, :] * (shorter / side) / half for row, side in ((0, width), (1, height)))
    return torch.cat([torch.stack([x, y], -2), rigid.new_tensor([z, w]) @ rigid], -2)


def from_nvdiffrast(matrix: Tensor, size: Sequence[int], *, near: float = Camera.near) -> Camera:
    """Return the camera of a matrix from the world to OpenGL's clip space, of either projection.

    Args:
        matrix: (4, 4) or (B, 4, 4), a rigid motion followed by OpenGL's symmetric frustum, up to a positive factor.
        size: (height, width) of the picture in pixels.
        near: as in `Camera`. Of an orthographic matrix it must be the near plane: else the eye's distance is not known.

    Raises:
        DomainError: NaN, infinity, a number out of range, projections that differ within the batch, pixels that are not
            square, or a frustum that is not symmetric.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    height, width = check_size("size", size)
    check_tensor("matrix", matrix, "... 4 4")
    across = torch.linalg.vector_norm(matrix.detach()[..., 3, :3], dim=-1) > 0  # (...,) does w depend on the place
    if bool(across.any() != across.all()):
        raise DomainError("matrix", "both projections in one batch", "perspective or orthographic matrices")
    perspective = bool(across.all())
    factor = torch.linalg.vector_norm(matrix[..., 3, :3], dim=-1) if perspective else matrix[..., 3, 3]
    check_between("matrix", factor, 0, math.inf)
    x, y, z, w = (matrix / factor[..., None, None]).unbind(-2)  # (..., 4) each
    x_scale, y_scale, z_scale = (torch.linalg.vector_norm(row[..., :3], dim=-1, keepdim=True) for row in (x, y, z))
    if not bool(((x_scale * width - y_scale * height).abs() <= 1e-4 * y_scale * height).all()):
        scales = f"scales {x_scale.tolist()} of x and {y_scale.tolist()} of y"
        raise DomainError("matrix", scales, f"scales as {height} to {width}, for square pixels")
    # Orthographic: clip z is -z_scale (view z + near) - 1, so the near plane tells how far away the eye is.
    away = -w if perspective else torch.cat([-z[..., :3], -(z[..., 3:] + 1 + near * z_scale)], -1) / z_scale
    rigid = torch.stack([x / x_scale, y / y_scale, away], -2)  # (..., 3, 4)
    expected = "a rigid motion and a symmetric frustum, its rotation orthonormal"
    rotation = check_rotation("matrix", rigid[..., :3], "... 3 3", expected)
    half = (min(height, width) / height / y_scale)[..., 0]
    if perspective:
        return Camera(rotation, rigid[..., 3], _degrees(half), near=near).validate()
    return Camera(rotation, rigid[..., 3], projection="orthographic", near=near, half_height=half).validate()


def to_softras(camera: Camera) -> SoftRasCamera:
    """Return the camera as SoftRas and the Neural 3D Mesh Renderer write it: mirror the vertices' z with it.

    Raises:
        DomainError: an orthographic camera, or a field out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    angle = _degrees(_tangent(camera)) / 2
    signs = camera.rotation.new_tensor(SOFTRAS)
    at = camera.eye - camera.rotation[..., 2, :]
    return SoftRasCamera(signs * camera.eye, signs * at, signs * camera.rotation[..., 1, :], angle)


def from_softras(
    eye: Tensor, at: Tensor, up: Tensor, viewing_angle: float | Tensor = 30.0, *, near: float = Camera.near
) -> Camera:
    """Return the camera of SoftRas' and N3MR's eye and half field of view: mirror the vertices' z with it.

    Args:
        eye, at, up, viewing_angle: as in `SoftRasCamera`.
        near: as in `Camera`.

    Raises:
        DomainError: NaN, infinity, ``at`` in the eye, ``up`` zero or along the view, or a number out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    points = {"eye": eye, "at": at, "up": up}
    _check_devices(**points, viewing_angle=viewing_angle)
    check_between("viewing_angle", viewing_angle, 0, 90)
    mirrored = [check_tensor(name, point, "... 3") * point.new_tensor(SOFTRAS) for name, point in points.items()]
    return Camera.look_at(*mirrored, fov=2 * viewing_angle, near=near)


def _check_devices(**parts: object) -> None:
    """Raise `DeviceError` unless all parts that are tensors lie on one device."""
    check_device(**{name: part for name, part in parts.items() if isinstance(part, Tensor)})


def _tangent(camera: Camera) -> Tensor:
    """Return tan(fov / 2) of a valid perspective camera, () or (B,)."""
    if camera.validate().projection != "perspective":
        raise DomainError("camera", "an orthographic projection", "a perspective one; to_nvdiffrast takes either")
    return camera.half_extent(camera.rotation).expand(camera.rotation.shape[:-2])


def _degrees(tangent: Tensor) -> Tensor:
    """Return the full angle of view, degrees, of which half has this tangent."""
    return torch.rad2deg(2 * torch.atan(tangent))


def _rigid(camera: Camera) -> Tensor:
    """Return the matrix from the world to camera space, (4, 4) or (B, 4, 4)."""
    top = torch.cat([camera.rotation, camera.translation[..., None]], -1)  # (..., 3, 4)
    last = top.new_tensor([[0.0, 0, 0, 1]]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, last], -2)


def _intrinsics(focal: Tensor, size: Sequence[int], pixel_centre: float) -> Tensor:
    """Return OpenCV's camera matrix, (..., 3, 3), of focal lengths (...) in pixels, centred on the picture."""
    if pixel_centre not in (0.0, 0.5):
        raise DomainError("pixel_centre", pixel_centre, "0.0 (OpenCV) or 0.5 (COLMAP, kornia)")
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    down, across = ((pixels - 1) / 2 + pixel_centre for pixels in size)
    rows = [focal, zero, across * one, zero, focal, down * one, zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
