"""A folder of pictures with a JSON file of cameras as NeRF (Mildenhall et al. 2020) and its successors write it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.data.multiview import MultiView
from labkit.data.picture_files import over_white, read_rgba
from labkit.errors import FileError, LabError
from labkit.files import inside, read_bytes
from labkit.scene.rays import Views

CAMERAS = "transforms.json"
MAX_CAMERAS_BYTES = 1 << 26
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
LENS = ("camera_angle_x", "camera_angle_y", "fl_x", "fl_y", "cx", "cy", "w", "h", *DISTORTION)


def read(folder: str | Path) -> MultiView:
    """Return the pictures over white, with alpha as masks, 1 everywhere in pictures that have none.

    The file has ``frames``, each with ``file_path`` (PNG if it has no suffix) and ``transform_matrix``: 4 x 4, camera
    to world, camera axes as OpenGL's (x right, y up, z backwards). The lens is ``fl_x`` and ``fl_y`` in pixels
    (``fl_y`` is ``fl_x`` if absent), or ``camera_angle_x`` and ``camera_angle_y``, full angles in radians, with ``cx``
    and ``cy`` in pixels from the upper left corner, the middle of the picture if absent; a frame may have its own.
    ``w`` and ``h``, if given, must be the pictures' size. Anything else in the file is ignored.

    Args:
        folder: the folder that holds ``transforms.json``, or another such file in the folder of the pictures.

    Returns:
        The world is the file's own: what is to be reconstructed must lie in its unit sphere.

    Raises:
        FileError: a missing or broken file, a field that is absent or no number, distorted pictures, or sizes that
            differ. All missing pictures are named.
        BackendError: Pillow is not installed.
    """
    path = Path(folder)
    if path.is_dir():
        path = path / CAMERAS
    facts = _json(path)
    frames = facts.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise FileError(f"{path}: frames", _short(frames), "a list with an object for each picture")
    poses = torch.stack([_pose(f"{path}: frames[{i}]", frame) for i, frame in enumerate(frames)])  # (B, 4, 4)
    names = [_name(path, f"{path}: frames[{i}]", frame) for i, frame in enumerate(frames)]
    rgba = read_rgba(path.parent, names)
    size = (rgba.shape[-2], rgba.shape[-1])
    intrinsics = torch.stack([_lens(f"{path}: frames[{i}]", {**facts, **f}, size) for i, f in enumerate(frames)])
    rotation = (poses[:, :3, :3] * poses.new_tensor([1.0, -1.0, -1.0])).mT  # world to OpenCV's axes
    translation = -(rotation @ poses[:, :3, 3:])[..., 0]
    try:
        views = Views(intrinsics, rotation, translation, size).validate().to(torch.float32)
    except LabError as error:
        raise FileError(f"{path}: {error.argument}", error.got, error.expected) from error
    return MultiView(*over_white(rgba), views)


def _json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(read_bytes(path, MAX_CAMERAS_BYTES))
    except (ValueError, RecursionError) as error:
        raise FileError(str(path), f"no JSON ({error})", "a JSON object with frames") from error
    if not isinstance(facts, dict):
        raise FileError(str(path), type(facts).__name__, "a JSON object with frames")
    return facts


def _pose(where: str, frame: dict[str, Any]) -> Tensor:
    """The camera's matrix, (4, 4) float64."""
    rows = frame.get("transform_matrix")
    try:
        matrix = torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FileError(f"{where}.transform_matrix", _short(rows), "4 x 4 numbers") from error
    last = matrix.new_tensor([0.0, 0.0, 0.0, 1.0])
    if matrix.shape != (4, 4) or not bool(matrix.isfinite().all()) or not torch.allclose(matrix[3], last):
        raise FileError(f"{where}.transform_matrix", _short(rows), "4 x 4 finite numbers, the last row 0, 0, 0, 1")
    return matrix


def _name(path: Path, where: str, frame: dict[str, Any]) -> str:
    name = frame.get("file_path")
    if not isinstance(name, str) or not name:
        raise FileError(f"{where}.file_path", _short(name), "the name of a picture in the folder of the file")
    return name if Path(name).suffix or inside(path.parent, name).is_file() else f"{name}.png"


def _lens(where: str, facts: dict[str, Any], size: tuple[int, int]) -> Tensor:
    """The intrinsics, (3, 3) float64, of a frame with the file's fields below its own."""
    numbers: dict[str, float] = {}
    for name in LENS:
        value = facts.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise FileError(f"{where}: {name}", _short(value), "a finite number")
        numbers[name] = float(value)
    height, width = size
    for name, pixels in (("w", width), ("h", height)):
        if numbers.get(name, pixels) != pixels:
            raise FileError(f"{where}: {name}", f"{numbers[name]:g}", f"{pixels}, as its picture has")
    if bent := [name for name in DISTORTION if numbers.get(name)]:
        raise FileError(f"{where}: {bent[0]}", f"{numbers[bent[0]]:g}", "undistorted pictures: rectify them first")
    across = _focal(where, numbers, "x", width)
    if across is None:
        raise FileError(where, "neither fl_x nor camera_angle_x", "one of them, in the frame or the file")
    down = _focal(where, numbers, "y", height) or across
    rows = [[across, 0, numbers.get("cx", width / 2)], [0, down, numbers.get("cy", height / 2)], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def _focal(where: str, numbers: dict[str, float], axis: str, pixels: int) -> float | None:
    """The focal length along an axis, pixels, or None if nothing is said about it."""
    length, angle = numbers.get(f"fl_{axis}"), numbers.get(f"camera_angle_{axis}")
    if length is None and angle is None:
        return None
    if length is None and angle is not None and 0 < angle < math.pi:
        length = pixels / 2 / math.tan(angle / 2)
    if length is None or length <= 0:
        got = f"fl_{axis} {length}, camera_angle_{axis} {angle}"
        raise FileError(where, got, "a focal length above 0 pixels, or an angle in (0, pi) radians")
    return length


def _short(value: object) -> str:
    return "nothing" if value is None else repr(value)[:80]
