"""What the readers' tests share: cameras, points that they see, and picture files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from labkit.scene.camera import Camera
from labkit.scene.rays import Views

Image = pytest.importorskip("PIL.Image")

EYES = torch.tensor([[0.3, 0.9, 2.4], [-1.9, 0.4, 1.2], [0.8, -1.1, -2.2]], dtype=torch.float64)
CAMERA = Camera.look_at(EYES, target=(0.05, 0.1, 0.0), fov=40.0)
CORNERS = torch.tensor([[x, y, z] for x in (-0.3, 0.4) for y in (-0.2, 0.5) for z in (-0.4, 0.1)], dtype=torch.float64)


def project(views: Views, points: Tensor) -> Tensor:
    """Where points (N, 3) fall in each picture, (B, N, 2), as shares of its width and height."""
    local = points @ views.rotation.double().mT + views.translation.double()[:, None]
    image = local @ views.intrinsics.double().mT
    return image[..., :2] / image[..., 2:] / torch.tensor(views.size[::-1])


def expected_places(camera: Camera, points: Tensor, size: tuple[int, int]) -> Tensor:
    """The same by `Camera.project`: NDC span [-1, 1] over the shorter side, y up."""
    ndc = camera.project(points)[..., :2] * min(size) / 2  # pixels from the middle
    height, width = size
    return torch.stack([0.5 + ndc[..., 0] / width, 0.5 - ndc[..., 1] / height], -1)


def write_picture(path: Path, size: tuple[int, int], seed: int = 0, mode: str = "RGBA") -> NDArray[np.uint8]:
    """Write random pixels; (H, W, channels) comes back."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.squeeze(-1) if channels == 1 else values, mode).save(path)
    return values


def over_white(rgba: NDArray[np.uint8]) -> Tensor:
    """A picture (H, W, 4) over white, (3, H, W)."""
    values = torch.from_numpy(rgba).float() / 255
    return (values[..., :3] * values[..., 3:] + 1 - values[..., 3:]).movedim(-1, 0)
