"""Rays through pixels: calibrated views as vision data sets write them, and where each of their pixels looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_device, check_size, check_tensor
from labkit.scene.camera import Camera
from labkit.scene.camera_formats import to_opencv
from labkit.scene.poses import check_rotation


@dataclass(frozen=True, eq=False)
class Views:
    """B calibrated pictures of one size, differentiable in every tensor.

    Camera space is OpenCV's: x right, y down, z ahead. The centre of row i, column j lies at (j + 0.5, i + 0.5). All
    tensors share one device and one dtype. The constructor stores what it is given; `of` validates, and `validate`
    does so any time.

    Args:
        intrinsics: (B, 3, 3), pixels: rows (fx, skew, cx), (0, fy, cy), (0, 0, 1), with fx and fy greater than 0.
        rotation: (B, 3, 3), world to camera, orthonormal with determinant 1.
        translation: (B, 3), world units: ``camera = rotation @ world + translation``.
        size: (H, W), pixels.
    """

    intrinsics: Tensor
    rotation: Tensor
    translation: Tensor
    size: tuple[int, int]

    @classmethod
    def of(cls, camera: Camera, size: Sequence[int]) -> Views:
        """Return the views of a camera (B = 1) or a batch of B, for pictures of ``size`` (H, W) in pixels.

        Raises:
            DomainError: an orthographic camera, whose rays have no common eye, or a field or the size out of range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        matrix, rotation, translation = to_opencv(camera, size, pixel_centre=0.5)
        if rotation.ndim == 2:
            matrix, rotation, translation = matrix[None], rotation[None], translation[None]
        return cls(matrix, rotation, translation, check_size("size", size)).validate()

    def validate(self) -> Views:
        """Return the views themselves if every field is as `Views` says.

        Raises:
            DomainError: NaN or infinity, intrinsics of another form (the last row, below the diagonal, or a focal
                length that is not positive), a matrix that is no rotation, or a size out of range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        matrix = check_tensor("intrinsics", self.intrinsics, "B 3 3")
        check_rotation("rotation", self.rotation, f"{len(matrix)} 3 3")
        check_tensor("translation", self.translation, f"{len(matrix)} 3")
        for name, tensor in (("rotation", self.rotation), ("translation", self.translation)):
            if tensor.dtype != matrix.dtype:
                raise DTypeError(name, tensor.dtype, f"{matrix.dtype}, the type of the intrinsics")
        check_device(intrinsics=matrix, rotation=self.rotation, translation=self.translation)
        check_size("size", self.size)
        wrong = (matrix.tril(-1) != 0).any() | (matrix[:, 2, 2] != 1).any()
        if bool(wrong | (matrix.diagonal(dim1=-2, dim2=-1) <= 0).any()):
            expected = "rows (fx, skew, cx), (0, fy, cy), (0, 0, 1) with fx and fy greater than 0"
            raise DomainError("intrinsics", matrix.tolist(), expected)
        return self

    def __len__(self) -> int:
        return len(self.intrinsics)

    def __getitem__(self, index: int | slice | Tensor) -> Views:
        """Return some of the views: by number (B = 1), by slice, or by an index tensor (N,) int64 or (B,) bool."""
        if isinstance(index, int):
            count = len(self)
            if not -count <= index < count:
                raise IndexError(f"view {index} of {count}")  # what ends a loop over the views
            index = slice(index % count, index % count + 1)
        return replace(
            self,
            intrinsics=self.intrinsics[index],
            rotation=self.rotation[index],
            translation=self.translation[index],
        )

    def to(self, *args: Any, **kwargs: Any) -> Views:
        """Return the views with every tensor moved by ``Tensor.to(*args, **kwargs)``: a device, a dtype or both."""
        names = ("intrinsics", "rotation", "translation")
        moved: dict[str, Any] = {name: getattr(self, name).to(*args, **kwargs) for name in names}
        return replace(self, **moved)

    @property
    def eyes(self) -> Tensor:
        """Where the cameras stand in the world, (B, 3): c of UDR, section 3."""
        return -(self.rotation.mT @ self.translation[..., None])[..., 0]

    def rays(self, view: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """Return where N rays start and where they go: c and v of UDR, section 3.5.

        Args:
            view: (N,) int64, in [0, B).
            pixel: (N,) int64, ``i * W + j`` of row i and column j, in [0, H W).

        Returns:
            The eyes (N, 3), world units, and the directions through the pixels' centres (N, 3), of length 1.

        Raises:
            DomainError: a view or a pixel out of range.
            ShapeError, DTypeError, DeviceError: as the names say.
        """
        height, width = self.size
        check_tensor("view", view, "N", integer=True)
        check_tensor("pixel", pixel, f"{len(view)}", integer=True)
        check_device(intrinsics=self.intrinsics, view=view, pixel=pixel)
        for name, index, count in (("view", view, len(self)), ("pixel", pixel, height * width)):
            if bool(((index < 0) | (index >= count)).any()):
                raise DomainError(name, f"{index.min().item()} to {index.max().item()}", f"indices in [0, {count})")
        matrix = self.intrinsics.index_select(0, view)  # (N, 3, 3)
        column, row = pixel % width + 0.5, pixel.div(width, rounding_mode="floor") + 0.5  # (N,) each
        # The intrinsics are triangular, so substitution inverts them: exact, and without a solver.
        y = (row - matrix[:, 1, 2]) / matrix[:, 1, 1]
        x = (column - matrix[:, 0, 2] - matrix[:, 0, 1] * y) / matrix[:, 0, 0]
        ahead = torch.stack([x, y, torch.ones_like(x)], -1)  # (N, 3), camera space
        directions = (ahead[:, None] @ self.rotation.index_select(0, view))[:, 0]  # rows times R: R^T columns
        length = torch.linalg.vector_norm(ahead, dim=-1, keepdim=True)  # at least 1
        return self.eyes.index_select(0, view), directions / length
