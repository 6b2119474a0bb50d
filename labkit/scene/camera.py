"""Cameras: where the eye stands, how it is turned, and how points of the world fall onto the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_positive, check_tensor
from labkit.scene.poses import check_rotation, rotation_from_6d, rotation_from_quaternion
from labkit.scene.vectors import check_between

PROJECTIONS = ("perspective", "orthographic")


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera, or a batch of B cameras, differentiable in every field except ``projection`` and ``near``.

    Camera space is OpenGL's: x right, y up, the camera looks along -z. Normalised device coordinates (NDC) have
    x right and y up; the shorter image side spans [-1, 1]. All tensors share one device.

    Args:
        rotation: world to camera, (3, 3) or (B, 3, 3), orthonormal with determinant 1.
        translation: (3,) or (B, 3), world units: ``camera = rotation @ world + translation``.
        fov: full angle of view across the shorter image side, degrees in (0, 180), a number or () or (B,).
            Used by the perspective projection only.
        projection: ``"perspective"`` or ``"orthographic"``.
        near: view distance, in world units, below which nothing is projected properly, greater than 0.
        half_height: half the extent of the shorter image side in world units, greater than 0, a number or () or
            (B,). Used by the orthographic projection only.

    The constructor stores what it is given; `look_at`, `orbit` and `posed` validate, and `validate` does so any time.
    """

    rotation: Tensor
    translation: Tensor
    fov: float | Tensor = 60.0
    projection: str = "perspective"
    near: float = 0.05
    half_height: float | Tensor = 1.0

    @classmethod
    def look_at(
        cls,
        eye: Tensor | Sequence[float],
        target: Tensor | Sequence[float] = (0.0, 0.0, 0.0),
        up: Tensor | Sequence[float] = (0.0, 1.0, 0.0),
        **fields: Any,
    ) -> Camera:
        """Return the camera at ``eye`` that sees ``target`` in the middle of its picture and ``up`` upwards.

        Args:
            eye, target, up: world coordinates, (3,) or (B, 3); sizes 3 and B mix. Numbers become float32 unless a
                tensor among the arguments says otherwise.
            **fields: ``fov``, ``projection``, ``near``, ``half_height`` as in `Camera`.

        Raises:
            DomainError: NaN or infinity, ``eye`` equal to ``target``, ``up`` zero or parallel to the view direction
                (see `orbit` for a camera straight above), or a field out of range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        eye, target, up = _gather(fields, eye=(eye, 3), target=(target, 3), up=(up, 3))
        distance = torch.linalg.vector_norm(eye - target, dim=-1, keepdim=True)  # (..., 1)
        if not bool((distance > 0).all()):
            raise DomainError("eye", eye.tolist(), "a point other than target")
        length = torch.linalg.vector_norm(up, dim=-1, keepdim=True)
        if not bool((length > 0).all()):
            raise DomainError("up", up.tolist(), "a vector longer than 0")
        back = (eye - target) / distance  # the camera's +z in the world
        right = torch.linalg.cross(up / length, back)
        sine = torch.linalg.vector_norm(right, dim=-1, keepdim=True)
        if not bool((sine > 1e-6).all()):
            raise DomainError("up", up.tolist(), "a vector not parallel to the view direction, or use Camera.orbit")
        right = right / sine
        rotation = torch.stack([right, torch.linalg.cross(back, right), back], -2)  # (..., 3, 3)
        return cls(rotation, -(rotation @ eye[..., None])[..., 0], **fields).validate()

    @classmethod
    def orbit(
        cls,
        azimuth: float | Tensor,
        elevation: float | Tensor,
        distance: float | Tensor,
        target: Tensor | Sequence[float] = (0.0, 0.0, 0.0),
        **fields: Any,
    ) -> Camera:
        """Return the camera on a sphere around ``target``, looking at it.

        Azimuth 0 puts the eye on +z, azimuth 90 on +x; elevation raises it towards +y. The rotation is made from the
        two angles themselves, so it is smooth everywhere, the poles (elevation +-90) and beyond included.

        Args:
            azimuth, elevation: degrees, any finite number, or tensor () or (B,).
            distance: from eye to target in world units, greater than 0, a number or () or (B,).
            target: world coordinates, (3,) or (B, 3).
            **fields: ``fov``, ``projection``, ``near``, ``half_height`` as in `Camera`.

        Raises:
            DomainError: NaN, infinity, ``distance`` not greater than 0, or a field out of range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        azimuth, elevation, distance, target = _gather(
            fields, azimuth=(azimuth, 0), elevation=(elevation, 0), distance=(distance, 0), target=(target, 3)
        )
        check_between("distance", distance, 0, torch.inf)
        half_turn, half_lift = torch.deg2rad(azimuth) / 2, torch.deg2rad(elevation) / 2
        # The quaternion (w, x, y, z) of the lift about x after the turn about -y. Kornia's axis-angle route would be
        # shorter, but it switches to a first-order series near angle 0, where second derivatives are then wrong.
        quaternion = torch.stack(
            [
                half_lift.cos() * half_turn.cos(),
                half_lift.sin() * half_turn.cos(),
                -half_lift.cos() * half_turn.sin(),
                -half_lift.sin() * half_turn.sin(),
            ],
            -1,
        )  # (..., 4)
        rotation = quaternion_to_rotation_matrix(quaternion)
        ahead = torch.stack([torch.zeros_like(distance), torch.zeros_like(distance), distance], -1)
        return cls(rotation, -(rotation @ target[..., None])[..., 0] - ahead, **fields).validate()

    @classmethod
    def posed(
        cls,
        orientation: Tensor,
        *,
        eye: Tensor | Sequence[float] | None = None,
        translation: Tensor | Sequence[float] | None = None,
        **fields: Any,
    ) -> Camera:
        """Return the camera turned by a quaternion or by six numbers: no pole, so a pose can be fitted freely.

        Args:
            orientation: the rotation from world to camera, (4,) or (B, 4) as a quaternion w, x, y, z of any length but
                0, or (6,) or (B, 6) as in `rotation_from_6d`.
            eye: where the camera stands in the world, (3,) or (B, 3); give this or ``translation``.
            translation: as in `Camera`, (3,) or (B, 3).
            **fields: ``fov``, ``projection``, ``near``, ``half_height`` as in `Camera`.

        Raises:
            DomainError: NaN, infinity, an orientation of length 0 or with parallel columns, or a field out of range.
            ShapeError, DTypeError, DeviceError: as the names say; DTypeError also for ``eye`` with ``translation``.
        """
        check_tensor("orientation", orientation, "... n")
        if orientation.shape[-1] not in (4, 6):
            raise ShapeError("orientation", tuple(orientation.shape), "(4,) or (B, 4), a quaternion, or (6,) or (B, 6)")
        if (eye is None) == (translation is None):
            raise DTypeError("eye, translation", "both" if translation is not None else "neither", "one of the two")
        place = {"translation": (translation, 3)} if eye is None else {"eye": (eye, 3)}
        orientation, point = _gather(fields, orientation=(orientation, orientation.shape[-1]), **place)
        turned = rotation_from_quaternion if orientation.shape[-1] == 4 else rotation_from_6d
        rotation = turned(orientation)
        return cls(rotation, point if eye is None else -(rotation @ point[..., None])[..., 0], **fields).validate()

    def validate(self) -> Camera:
        """Return the camera itself if every field is as `Camera` says.

        Raises:
            DomainError: NaN or infinity, a rotation that is not orthonormal or mirrors (the message holds its
                determinant), an unknown projection, or a field out of range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        batch = [] if isinstance(self.rotation, Tensor) and self.rotation.ndim == 2 else ["B"]
        rotation = check_rotation("rotation", self.rotation, " ".join([*batch, "3", "3"]))
        if batch:
            batch = [str(len(rotation))]
        check_tensor("translation", self.translation, " ".join([*batch, "3"]))
        if self.translation.dtype != rotation.dtype:
            raise DTypeError("translation", self.translation.dtype, f"{rotation.dtype}, the rotation's")
        if self.projection not in PROJECTIONS:
            raise DomainError("projection", repr(self.projection), " or ".join(map(repr, PROJECTIONS)))
        check_between("fov", self.fov, 0, 180)
        check_between("half_height", self.half_height, 0, torch.inf)
        check_positive("near", self.near, "world units")
        numbers = {name: value for name in ("fov", "half_height") if isinstance(value := getattr(self, name), Tensor)}
        for name, value in numbers.items():
            if value.ndim:
                check_tensor(name, value, " ".join(batch))
        check_device(rotation=rotation, translation=self.translation, **numbers)
        return self

    @property
    def eye(self) -> Tensor:
        """Position of the eye in the world, (3,) or (B, 3)."""
        return -(self.rotation.mT @ self.translation[..., None])[..., 0]

    def half_extent(self, like: Tensor) -> Tensor:
        """Return half of the shorter image side, () or (B,), in ``like``'s dtype, on its device.

        Perspective: ``tan(fov / 2)``, its length at view distance 1; orthographic: ``half_height``, world units.
        """
        if self.projection == "perspective":
            return (torch.deg2rad(_scalar(self.fov, like)) / 2).tan()
        return _scalar(self.half_height, like)

    def to(self, *args: Any, **kwargs: Any) -> Camera:
        """Return the camera with every tensor moved by ``Tensor.to(*args, **kwargs)``: a device, a dtype or both."""
        names = ("rotation", "translation", "fov", "half_height")
        moved: dict[str, Any] = {
            name: value.to(*args, **kwargs) for name in names if isinstance(value := getattr(self, name), Tensor)
        }
        return replace(self, **moved)

    def to_camera(self, points: Tensor) -> Tensor:
        """Return ``points`` in camera space.

        Args:
            points: world coordinates, (..., 3). With a batch of cameras, (3,) and (N, 3) are seen by every camera
                and come back as (B, 3) and (B, N, 3); anything with more dimensions is (B, ..., 3) or (1, ..., 3),
                one scene per camera. The camera is converted to the points' dtype.

        Raises:
            ShapeError, DTypeError, DeviceError: as the names say. Values are not checked.
        """
        check_tensor("points", points, "... 3", finite=False)
        check_device(rotation=self.rotation, points=points)
        rotation, translation = self.rotation.to(points.dtype), self.translation.to(points.dtype)
        if rotation.ndim == 2:
            return points @ rotation.mT + translation
        batch = len(rotation)
        if points.ndim > 2 and len(points) not in (1, batch):
            raise ShapeError("points", tuple(points.shape), f"({batch}, ..., 3) or (1, ..., 3) or (N, 3)")
        if points.ndim == 1:
            return (rotation @ points[:, None])[..., 0] + translation
        between = [1] * max(points.ndim - 3, 0)
        return points @ rotation.mT.reshape(batch, *between, 3, 3) + translation.reshape(batch, *between, 1, 3)

    def project_camera(self, camera_points: Tensor) -> Tensor:
        """Return NDC x, NDC y and depth (view distance -z, world units) of points in camera space.

        Perspective: ``x / (depth tan(fov / 2))``; orthographic: ``x / half_height``; y likewise. A point nearer than
        ``near`` or behind the eye keeps its true depth, by which it can be told apart, but its x and y are those of
        ``near``: finite, on the right side, and to be clipped or culled by the caller.

        Args:
            camera_points: (..., 3), or (B, ..., 3) from a batch of B cameras.

        Returns:
            (..., 3).

        Raises:
            ShapeError, DTypeError, DeviceError: as the names say. Values are not checked.
        """
        check_tensor("camera_points", camera_points, "... 3", finite=False)
        depth = -camera_points[..., 2]
        extent = _broadcast(self.half_extent(camera_points), depth).expand_as(depth)
        if self.projection == "perspective":
            extent = extent * depth.clamp_min(self.near)
        return torch.cat([camera_points[..., :2] / extent[..., None], depth[..., None]], -1)

    def project(self, points: Tensor) -> Tensor:
        """Return NDC x, y and depth of world ``points``: `project_camera` after `to_camera`, shapes as there."""
        return self.project_camera(self.to_camera(points))


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """Return ``value`` as a tensor of ``like``'s dtype, on its device."""
    if isinstance(value, Tensor):
        check_device(points=like, camera=value)
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _broadcast(value: Tensor, depth: Tensor) -> Tensor:
    """Reshape ``value``, () or (B,), to broadcast against ``depth`` (B, ...)."""
    return value.reshape(-1, *[1] * (depth.ndim - 1)) if value.ndim else value


def _gather(fields: dict[str, Any], **arguments: tuple[Any, int]) -> list[Tensor]:
    """Return the arguments, each given with its size (0 for a number), as tensors of one dtype, device and batch.

    ``fields`` takes part in the batch size only: B values of ``fov`` make B cameras.
    """
    tensors = {name: value for name, (value, _) in arguments.items() if isinstance(value, Tensor)}
    check_device(**tensors, **{name: value for name, value in fields.items() if isinstance(value, Tensor)})
    dtype, device = torch.float32, None
    if tensors:
        dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors.values()) else torch.float32
        device = next(iter(tensors.values())).device
    batches: set[int] = {len(v) for v in fields.values() if isinstance(v, Tensor) and v.ndim}
    made = []
    for name, (value, size) in arguments.items():
        if not isinstance(value, Tensor):
            try:
                value = torch.tensor(value, dtype=dtype, device=device)
            except (TypeError, ValueError) as error:
                raise DTypeError(name, repr(value), "numbers or a tensor") from error
        batched = value.ndim > (size > 0)
        check_tensor(name, value, " ".join(["B"] * batched + [str(size)] * (size > 0)))
        batches |= {len(value)} if batched else set()
        made.append((value.to(dtype), size))
    if len(batches - {1}) > 1:
        raise ShapeError(" and ".join(arguments), sorted(batches), "one batch size")
    if not batches:
        return [value for value, _ in made]
    return [value.expand(max(batches), *[size] * (size > 0)) for value, size in made]
