"""The renderings of ShapeNet models by Choy et al. (3D-R2N2, 2016), on which UDR, section 4.2, is evaluated."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from labkit.data.multiview import MultiView
from labkit.data.picture_files import over_white, read_rgba
from labkit.errors import FileError
from labkit.files import read_bytes
from labkit.scene.camera import Camera
from labkit.scene.rays import Views

CAMERAS = "rendering_metadata.txt"
MAX_CAMERAS_BYTES = 1 << 20
FOV = math.degrees(2 * math.atan(16 / 35))  # a lens of 35 on a sensor of 32: 149.84375 pixels on a picture of 137
REACH = 1.75  # world units from the camera to the centre at distance ratio 1


def read(folder: str | Path) -> MultiView:
    """Return the pictures of one model, over white, with alpha as masks and the exact cameras.

    Args:
        folder: ``<synset>/<id>`` or ``<synset>/<id>/rendering``, with ``rendering_metadata.txt`` (one camera a line)
            and ``00.png``, ``01.png``, ... for its lines.

    Returns:
        The world is that of the model's OBJ file in ShapeNetCore v1, y upwards.

    Raises:
        FileError: a missing or broken file, a line that is no camera, or pictures that are not square. All missing
            pictures are named.
        BackendError: Pillow is not installed.
    """
    folder = Path(folder)
    if (folder / "rendering" / CAMERAS).is_file():
        folder = folder / "rendering"
    angles = _cameras(folder / CAMERAS)
    rgba = read_rgba(folder, [f"{number:02d}.png" for number in range(len(angles))])
    height, width = rgba.shape[-2:]
    if height != width:
        raise FileError(str(folder), f"pictures of {width} x {height} pixels", "square ones, 137 x 137 as published")
    return MultiView(*over_white(rgba), views_of(angles[:, 0], angles[:, 1], angles[:, 2], (height, width)))


def views_of(azimuth: Tensor, elevation: Tensor, ratio: Tensor, size: tuple[int, int]) -> Views:
    """Return the cameras, float32.

    Args:
        azimuth, elevation: degrees, (B,) each, elevation in (-90, 90).
        ratio: distance from the centre, in units of 1.75 world units, (B,).
        size: (H, W) in pixels.

    Raises:
        DomainError, ShapeError, DTypeError: as `Camera.look_at`.
    """
    turn, lift = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    direction = torch.stack([lift.cos() * turn.cos(), lift.sin(), lift.cos() * turn.sin()], -1)  # (B, 3)
    return Views.of(Camera.look_at(REACH * ratio[:, None] * direction, fov=FOV), size).to(torch.float32)


def _cameras(path: Path) -> Tensor:
    """Azimuth, elevation and distance ratio, (B, 3) float64. The last column of the file is not what was rendered."""
    lines = read_bytes(path, MAX_CAMERAS_BYTES).decode("utf-8", "replace").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            azimuth, elevation, roll, ratio, _ = map(float, line.split())
        except ValueError as error:
            expected = "azimuth, elevation, in-plane angle, distance ratio and field of view"
            raise FileError(f"{path}, line {number}", repr(line[:80]), expected) from error
        if not (math.isfinite(azimuth) and abs(elevation) < 90 and roll == 0 and 0 < ratio < math.inf):
            expected = "an elevation in (-90, 90), in-plane angle 0 and a distance ratio above 0"
            raise FileError(f"{path}, line {number}", repr(line[:80]), expected)
        rows.append((azimuth, elevation, ratio))
    if not rows:
        raise FileError(str(path), "no line", "a camera on each line")
    return torch.tensor(rows, dtype=torch.float64)
