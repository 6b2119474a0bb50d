"""The cue test: what silhouettes, fog and shading show of a tub's hollow."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from labkit.data.cue_test import blurred, blurred_shading, cue_test
from labkit.errors import DomainError, LabError, ShapeError
from labkit.scene.camera import Camera
from tests.tolerances import FLOAT64

D = torch.float64


def test_wall_of_four() -> None:
    """Silhouettes do not see the hollow, fog hardly, shading does: in every renderer."""
    cue = cue_test(4, elevations=(45.0,), azimuths=2, renderer="hard")
    seen = cue.differences
    assert list(seen) == ["visual hull", "absorption only", "shaded", "hard"]
    assert cue.silhouette < 0.002
    # The bounds are those of the experiment: walls of 4 voxels hide the hollow from absorption.
    assert seen["visual hull"] < 0.01
    assert seen["absorption only"] < 0.07
    assert seen["shaded"] > 0.1
    assert seen["hard"] > 0.1


@pytest.mark.slow
def test_walls() -> None:
    """Thin walls let absorption see as much as shading, the silhouette little; both fall faster than shading."""
    found = {wall: cue_test(wall, elevations=(15.0, 60.0), azimuths=2, renderer=None).differences for wall in (2, 4)}
    assert found[2]["absorption only"] > 0.12
    for name, factor in (("visual hull", 5), ("absorption only", 3)):
        assert found[2][name] > factor * found[4][name]
    assert found[2]["shaded"] < 2 * found[4]["shaded"]


def ball(radius: float, size: int = 48) -> Tensor:
    """A solid ball in the middle, (1, 1, S, S, S)."""
    line = torch.arange(size, dtype=D) - (size - 1) / 2
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    return (x * x + y * y + z * z < radius**2).to(D)[None, None]


def test_shading_of_a_ball() -> None:
    """Lambert's law with the ball's own normals, from any side, and white beside it."""
    size, radius = 48, 18.0
    solid = ball(radius, size)
    line = torch.arange(size, dtype=D) - (size - 1) / 2
    x, y = line[None, :], -line[:, None]  # columns to the right, rows downwards
    z = (radius**2 - x * x - y * y).clamp(min=0).sqrt()
    normals = torch.stack([x.expand_as(z), y.expand_as(z), z], -1) / radius  # (S, S, 3)
    beams = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]], dtype=D) / math.sqrt(3)
    wanted = 0.1 + 0.45 * (normals @ beams.T).clamp(min=0).sum(-1)
    inner = (x * x + y * y) < (0.9 * radius) ** 2
    for azimuth in (0.0, 70.0):  # the ball is the same from all sides, and the lights move along
        camera = Camera.orbit(azimuth, 20.0, 2.0, projection="orthographic").to(D)
        picture = blurred_shading(solid, blurred(solid, 2.0), camera)[0, 0]
        # The normals of a ball of voxels are a few degrees off.
        assert float((picture - wanted)[inner].abs().mean()) < 0.02
        assert float((picture - wanted)[inner].abs().max()) < 0.12
        assert bool((picture[~(solid[0, 0].any(-1).T.flip(0) > 0)] == 1).all())


def test_nearest_surface_is_seen() -> None:
    """A plate that faces the camera has one brightness, and hides what is behind it."""
    grid = torch.zeros(2, 1, 16, 16, 16, dtype=D)
    grid[:, 0, 3:13, 3:13, 9:12] = 1
    grid[1, 0, 6:8, 5:11, 3:6] = 1
    camera = Camera.orbit(0.0, 0.0, 2.0, projection="orthographic").to(D)
    alone, before = blurred_shading(grid, blurred(grid, 0.7), camera)
    middle = (slice(None), slice(7, 9), slice(7, 9))
    torch.testing.assert_close(alone[middle], torch.full((1, 2, 2), 0.1 + 0.9 / math.sqrt(3), dtype=D), **FLOAT64)
    torch.testing.assert_close(alone[middle], before[middle], **FLOAT64)


def test_blur_by_hand() -> None:
    """A voxel becomes a product of three bells; their sum is 1, and constants stay."""
    grid = torch.zeros(1, 1, 15, 15, 15, dtype=D)
    grid[0, 0, 7, 7, 7] = 1
    bell = torch.exp(-0.5 * ((torch.arange(15, dtype=D) - 7) / 1.2) ** 2)
    bell[:2] = bell[13:] = 0  # cut off at 4 sigma
    bell /= bell.sum()
    expected = bell[:, None, None] * bell[:, None] * bell
    torch.testing.assert_close(blurred(grid, 1.2)[0, 0], expected, **FLOAT64)
    flat = blurred(torch.ones(1, 1, 15, 15, 15, dtype=D), 1.2)
    torch.testing.assert_close(flat[0, 0, 7, 7, 7], torch.ones((), dtype=D), **FLOAT64)


@pytest.mark.parametrize(
    "fields",
    [{"wall": 0}, {"azimuths": 0}, {"elevations": ()}, {"sigma": 0.0}, {"number": -1}, {"renderer": "blender"}],
)
def test_errors(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is out of range is refused, before any volume is turned."""
    monkeypatch.setattr("labkit.data.cue_test.embed", None)
    with pytest.raises(LabError):
        cue_test(**({"azimuths": 1, "elevations": (15.0,), "renderer": None} | fields))


def test_errors_of_the_parts() -> None:
    """Grids of the wrong shape, and of the wrong numbers."""
    camera = Camera.orbit(0.0, 0.0, 2.0)
    with pytest.raises(ShapeError):
        blurred_shading(torch.zeros(1, 1, 4, 4, 5), torch.zeros(1, 1, 4, 4, 5), camera)
    with pytest.raises(ShapeError):
        blurred_shading(torch.zeros(1, 1, 4, 4, 4), torch.zeros(2, 1, 4, 4, 4), camera)
    with pytest.raises(DomainError):
        blurred(torch.full((1, 1, 4, 4, 4), torch.nan))
