"""The two beams: where they stand in the frame of the camera, and what they light."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT32, FLOAT64

from labkit.errors import DomainError, DTypeError
from labkit.scene import Ambient, Camera, Directional
from labkit.scene.beams import beam_lights


def in_camera_frame(camera: Camera, **angles: float) -> list[torch.Tensor]:
    """Unit directions towards the beams, in the camera's frame."""
    beams = []
    for light in beam_lights(camera, **angles)[1:]:
        assert isinstance(light, Directional)
        direction = torch.as_tensor(light.direction)
        turned = (camera.rotation @ direction[..., None])[..., 0]
        beams.append(turned / turned.norm(dim=-1, keepdim=True))
    return beams


def test_the_beams_come_from_below_right_and_left_of_the_camera() -> None:
    azimuth = torch.linspace(-200, 200, 7, dtype=torch.float64)
    camera = Camera.orbit(azimuth, azimuth / 5, 2.0, projection="orthographic")
    right, left = in_camera_frame(camera)
    expected = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64) / math.sqrt(3)
    torch.testing.assert_close(right, expected.expand(7, 3), **FLOAT64)
    torch.testing.assert_close(left, (expected * torch.tensor([-1.0, 1.0, 1.0])).expand(7, 3), **FLOAT64)


def test_one_camera_at_the_front() -> None:
    ambient, right, left = beam_lights(Camera.orbit(0.0, 0.0, 2.0), intensity=0.3, ambient=0.2)
    assert isinstance(ambient, Ambient)
    assert ambient.color == 0.2
    for light, side in ((right, 1.0), (left, -1.0)):
        assert isinstance(light, Directional)
        assert light.color == 0.3
        torch.testing.assert_close(light.direction, torch.tensor([side, -1.0, 1.0]), **FLOAT32)


def test_angles_are_those_seen_from_above_and_from_the_side() -> None:
    right, left = in_camera_frame(Camera.orbit(30.0, 10.0, 2.0), below=20.0, aside=60.0)
    for beam, side in ((right, 1), (left, -1)):
        x, y, z = beam.tolist()
        assert math.degrees(math.atan2(x, z)) == pytest.approx(side * 60, rel=FLOAT32["rtol"])
        assert math.degrees(math.atan2(y, z)) == pytest.approx(-20, rel=FLOAT32["rtol"])


def test_a_surface_that_faces_the_camera_gets_the_same_of_both() -> None:
    camera = Camera.orbit(torch.tensor([70.0]), 40.0, 2.0)
    normal = camera.rotation[0, 2]  # towards the camera
    total = 0.1
    for light in beam_lights(camera)[1:]:
        assert isinstance(light, Directional)
        to_light, radiance = light.at(normal[None])
        total += float((to_light * normal).sum() * radiance)
    assert total == pytest.approx(0.1 + 2 * 0.45 / math.sqrt(3), rel=FLOAT32["rtol"])


def test_the_directions_follow_the_camera_differentiably() -> None:
    azimuth = torch.tensor([20.0], dtype=torch.float64, requires_grad=True)

    def direction(angle: torch.Tensor) -> torch.Tensor:
        light = beam_lights(Camera.orbit(angle, 30.0, 2.0))[1]
        assert isinstance(light, Directional)
        return torch.as_tensor(light.direction)

    assert direction(azimuth).shape == (1, 3)
    assert direction(azimuth).dtype == torch.float64
    assert torch.autograd.gradcheck(direction, (azimuth,))


def test_errors() -> None:
    camera = Camera.orbit(0.0, 0.0, 2.0)
    for wrong in ({"below": 90.0}, {"aside": -90.0}, {"below": math.nan}, {"intensity": -0.1}, {"ambient": -0.1}):
        with pytest.raises(DomainError):
            beam_lights(camera, **wrong)
    with pytest.raises(DTypeError):
        beam_lights(camera, aside="45")  # type: ignore[arg-type]
