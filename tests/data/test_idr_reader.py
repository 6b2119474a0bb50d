"""IDR's photographs: matrices made by labkit's own cameras come back; foreign and broken files are refused."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from labkit.data import idr_cameras
from labkit.errors import DomainError, FileError, ShapeError
from labkit.scene.camera import Camera
from labkit.scene.camera_formats import to_opencv
from tests.data.picture_sets import CAMERA, CORNERS, EYES, expected_places, over_white, project, write_picture
from tests.tolerances import FLOAT64

SIZE = (24, 36)


def idr_matrices(camera: Camera, size: tuple[int, int]) -> dict[str, NDArray]:
    """World and scale matrices of cameras, in a world where the unit sphere is 7 times as large and elsewhere."""
    rows = to_opencv(camera, size, pixel_centre=0.0)
    scale = np.diag([7.0, 7.0, 7.0, 1.0])
    scale[:3, 3] = [10.0, -4.0, 3.0]
    arrays = {}
    for i, (k, r, t) in enumerate(zip(*rows, strict=True)):
        world = np.eye(4)
        world[:3] = -13.0 * (k @ torch.cat([r, t[:, None]], 1)).numpy() @ np.linalg.inv(scale)
        arrays |= {f"world_mat_{i}": world, f"scale_mat_{i}": scale, f"world_mat_inv_{i}": np.linalg.inv(world)}
    return arrays


def write_idr(folder: Path, **changed: NDArray | None) -> tuple[list[NDArray], list[NDArray]]:
    """A scan's folder, with changed arrays of cameras.npz."""
    images = [write_picture(folder / "image" / f"{i:06d}.png", SIZE, i, "RGB") for i in range(3)]
    masks = [write_picture(folder / "mask" / f"{i:03d}.png", SIZE, 10 + i, "L") for i in range(3)]
    arrays = {k: v for k, v in (idr_matrices(CAMERA, SIZE) | changed).items() if v is not None}
    np.savez(folder / idr_cameras.CAMERAS, **arrays)
    return images, masks


def test_idr_round_trip(tmp_path: Path) -> None:
    """Points of the unit sphere fall where the camera that wrote the matrices sees them."""
    images, masks = write_idr(tmp_path)
    data = idr_cameras.read(tmp_path)
    expected = expected_places(CAMERA, CORNERS, SIZE)
    torch.testing.assert_close(project(data.views, CORNERS), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(data.views.rotation, to_opencv(CAMERA, SIZE).R.float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(data.views.eyes, EYES.float(), rtol=1e-5, atol=1e-5)
    for i in range(3):
        mask = masks[i] > 127.5
        assert torch.equal(data.masks[i, 0], torch.from_numpy(mask[..., 0]).float())
        picture = np.concatenate([images[i], (255 * mask).astype(np.uint8)], -1)
        torch.testing.assert_close(data.images[i], over_white(picture), rtol=0, atol=1e-6)


def test_decompose_random_matrices() -> None:
    """K [R | t] comes back, whatever factor of either sign stands before it, with skew."""
    stream = np.random.default_rng(0)
    for _ in range(50):
        k = np.triu(stream.uniform(0.5, 3.0, (3, 3))) * [[300], [300], [1]]
        k[2, 2] = 1
        r = np.linalg.qr(stream.normal(size=(3, 3)))[0]
        r *= np.linalg.det(r)
        t = stream.normal(size=3)
        factor = stream.uniform(0.1, 5) * stream.choice([-1, 1])
        parts = idr_cameras.decompose(factor * k @ np.concatenate([r, t[:, None]], 1))
        for found, expected in zip(parts, (k, r, t), strict=True):
            torch.testing.assert_close(found, torch.from_numpy(expected), **FLOAT64)


def test_decompose_refuses() -> None:
    """Other shapes, NaN, and cameras at infinity."""
    with pytest.raises(ShapeError):
        idr_cameras.decompose(np.eye(4))
    for broken in (np.full((3, 4), np.nan), np.concatenate([np.diag([1.0, 1.0, 0.0]), np.ones((3, 1))], 1)):
        with pytest.raises(DomainError):
            idr_cameras.decompose(broken)


def test_idr_refuses_the_file_of_dvr(tmp_path: Path) -> None:
    """The same name, other contents."""
    write_idr(tmp_path, camera_mat_0=np.eye(4))
    with pytest.raises(FileError, match="camera_mat_0, as in DVR"):
        idr_cameras.read(tmp_path)


def test_idr_names_all_missing_matrices(tmp_path: Path) -> None:
    """Two of them."""
    write_idr(tmp_path, world_mat_1=None, scale_mat_2=None)
    with pytest.raises(FileError, match="no world_mat_1, scale_mat_2"):
        idr_cameras.read(tmp_path)


@pytest.mark.parametrize(
    "matrix",
    [np.eye(3), np.full((4, 4), np.inf), np.eye(4, dtype=complex), np.zeros((4, 4)), np.array([["a"] * 4] * 4)],
)
def test_idr_refuses_broken_matrices(tmp_path: Path, matrix: NDArray) -> None:
    """Of another shape or type, not finite, or no camera."""
    write_idr(tmp_path, world_mat_1=matrix)
    with pytest.raises(FileError, match=r"cameras\.npz"):
        idr_cameras.read(tmp_path)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return os_mkdir, (str(self.path),)


def os_mkdir(path: str) -> None:
    """What must never run."""
    Path(path).mkdir()


def test_idr_never_unpickles(tmp_path: Path) -> None:
    """An array of objects is refused and its pickle not run."""
    trap = np.empty((4, 4), dtype=object)
    trap[:] = Trap(tmp_path / "sprung")
    write_idr(tmp_path, world_mat_0=trap)
    with pytest.raises(FileError, match="plain numbers"):
        idr_cameras.read(tmp_path)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(trap))  # the trap does work
    assert (tmp_path / "sprung").exists()


def test_idr_other_faults(tmp_path: Path) -> None:
    """Garbage, a bomb, a missing folder, a mask too few, sizes that differ."""
    write_idr(tmp_path)
    good = (tmp_path / idr_cameras.CAMERAS).read_bytes()
    for data in (b"garbage", good[: len(good) // 2]):
        (tmp_path / idr_cameras.CAMERAS).write_bytes(data)
        with pytest.raises(FileError, match=r"cameras\.npz"):
            idr_cameras.read(tmp_path)
    with zipfile.ZipFile(tmp_path / idr_cameras.CAMERAS, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("world_mat_0.npy", bytes(1 << 25))
    with pytest.raises(FileError, match="unpacked"):
        idr_cameras.read(tmp_path)
    (tmp_path / idr_cameras.CAMERAS).write_bytes(good)
    write_picture(tmp_path / "image" / "000001.png", (24, 35), mode="RGB")
    with pytest.raises(FileError, match=r"image/000001\.png of 35 x 24"):
        idr_cameras.read(tmp_path)
    (tmp_path / "mask" / "001.png").unlink()
    with pytest.raises(FileError, match="3 pictures and 2 masks"):
        idr_cameras.read(tmp_path)
    with pytest.raises(FileError, match="no folder image"):
        idr_cameras.read(tmp_path / "mask")
