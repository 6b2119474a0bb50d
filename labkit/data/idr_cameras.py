"""Photographs with masks and calibrated cameras as IDR (Yariv et al. 2020) stores them: image/, mask/, cameras.npz."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labkit.data.multiview import MultiView
from labkit.data.picture_files import listed, over_white, read_rgba
from labkit.errors import DomainError, FileError, ShapeError
from labkit.files import read_bytes
from labkit.scene.rays import Views

CAMERAS = "cameras.npz"
MAX_CAMERAS_BYTES = 1 << 24
SUFFIXES = (".png", ".jpg", ".jpeg")


def read(folder: str | Path) -> MultiView:
    """Return the photographs, over white where the masks are 0, with masks of 0 and 1.

    Args:
        folder: ``image/`` and ``mask/``, one picture and one mask for each camera in the order of their names, and
            ``cameras.npz`` with 4 x 4 matrices ``world_mat_i``, K [R | t] from the world to OpenCV's pixels, and
            ``scale_mat_i``, from the unit sphere to the world.

    Returns:
        The world is that of ``scale_mat``, in which the object fills the unit sphere. The centre of the first pixel,
        (0, 0) in these files, is at (0.5, 0.5) in `Views`.

    Raises:
        FileError: a missing or broken file, numbers of pictures, masks and cameras that differ, or the file of another
            project under the same name (DVR's has ``camera_mat_i``). Everything that is missing is named.
        BackendError: Pillow is not installed.
    """
    folder = Path(folder)
    names, masks = _names(folder, "image"), _names(folder, "mask")
    if len(names) != len(masks):
        raise FileError(str(folder), f"{len(names)} pictures and {len(masks)} masks", "a mask for each picture")
    matrices = _matrices(folder / CAMERAS, len(names))  # (B, 3, 4)
    rgba = read_rgba(folder, names + masks)  # together, so that all are of one size
    rgba, mask = rgba[: len(names), :3], (rgba[len(names) :, :3].mean(1, keepdim=True) > 0.5).to(rgba)
    try:
        parts = [decompose(matrix) for matrix in matrices]
    except DomainError as error:
        raise FileError(str(folder / CAMERAS), error.got, error.expected) from error
    intrinsics, rotation, translation = (torch.stack(each).float() for each in zip(*parts, strict=True))
    intrinsics[:, :2, 2] += 0.5
    views = Views(intrinsics, rotation, translation, (rgba.shape[-2], rgba.shape[-1]))
    return MultiView(*over_white(torch.cat([rgba, mask], 1)), views)


def decompose(matrix: NDArray[np.float64]) -> tuple[Tensor, Tensor, Tensor]:
    """Split a projection matrix (3, 4) into K [R | t], up to a factor; float64.

    Returns:
        K (3, 3), upper triangular with positive diagonal and K[2, 2] = 1; R (3, 3) with determinant 1; t (3,).

    Raises:
        ShapeError: the matrix is not (3, 4).
        DomainError: NaN, infinity, or a camera without a centre.
    """
    if matrix.shape != (3, 4):
        raise ShapeError("matrix", matrix.shape, "shape (3, 4)")
    square = matrix[:, :3]
    if not np.isfinite(matrix).all() or np.linalg.cond(square) > 1e12:
        raise DomainError("matrix", matrix.tolist(), "finite numbers, the left 3 x 3 of them with an inverse")
    matrix = matrix * np.sign(np.linalg.det(square))  # a projection matrix and its negative project alike
    # RQ from QR: with the rows and columns in reverse order, what was lower triangular is upper triangular.
    q, r = np.linalg.qr(matrix[::-1, :3].T)
    upper, rotation = np.triu(r.T[::-1, ::-1]), q.T[::-1]
    signs = np.sign(np.diag(upper))
    upper, rotation = upper * signs, signs[:, None] * rotation
    translation = np.linalg.solve(upper, matrix[:, 3])
    return torch.tensor(upper / upper[2, 2]), torch.tensor(rotation), torch.tensor(translation)


def _names(folder: Path, part: str) -> list[str]:
    if not (folder / part).is_dir():
        raise FileError(str(folder), f"no folder {part}", "the folders image and mask, and cameras.npz")
    found = sorted(path.name for path in (folder / part).iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileError(str(folder / part), "no pictures", "PNG or JPEG files")
    return [f"{part}/{name}" for name in found]


def _matrices(path: Path, count: int) -> list[NDArray[np.float64]]:
    """world_mat_i scale_mat_i without its last row, (3, 4) each."""
    data = read_bytes(path, MAX_CAMERAS_BYTES)
    wanted = [f"{kind}_mat_{number}" for number in range(count) for kind in ("world", "scale")]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_CAMERAS_BYTES:
                raise FileError(str(path), "too much", f"at most {MAX_CAMERAS_BYTES} bytes when unpacked")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if strange := [name for name in file.files if name.startswith("camera_mat_")]:
                raise FileError(
                    str(path), f"{strange[0]}, as in DVR's files", "IDR's world_mat_i and scale_mat_i alone"
                )
            if missing := [name for name in wanted if name not in file.files]:
                raise FileError(str(path), f"no {listed(missing)}", f"matrices for {count} pictures")
            arrays = [np.asarray(file[name]) for name in wanted]
    except FileError:
        raise
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(str(path), f"content that cannot be read ({error})", "a sound .npz of plain numbers") from error
    for name, array in zip(wanted, arrays, strict=True):
        if array.shape != (4, 4) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise FileError(f"{path}: {name}", f"{array.dtype} of shape {array.shape}", "4 x 4 finite numbers")
    doubles = [array.astype(np.float64) for array in arrays]
    return [(world @ scale)[:3] for world, scale in zip(doubles[::2], doubles[1::2], strict=True)]
