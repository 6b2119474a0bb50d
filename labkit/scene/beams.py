"""The lights of IG-GAN's pictures: two beams that move with the camera."""

from __future__ import annotations

import math

import torch

from labkit.scene.camera import Camera
from labkit.scene.lights import Ambient, Directional
from labkit.scene.shading import Light
from labkit.scene.vectors import check_between


def beam_lights(
    camera: Camera, intensity: float = 0.45, ambient: float = 0.1, below: float = 45.0, aside: float = 45.0
) -> list[Light]:
    """An ambient light, and two beams from below the camera, one from its right and one from its left.

    Seen in the camera's frame (x right, y up, z towards the camera) the beams come from ``(+-tan(aside),
    -tan(below), 1)``: at 45 degrees from (+-1, -1, 1) / sqrt(3). They are batched and differentiable as the camera is.

    Source: IG-GAN, section 4.2: "two beam light sources that illuminate the object from 45 degrees below the camera
    and 45 degrees to its left and right". Intensities are not stated there; with the defaults the brightness of a white
    surface stays within [0.1, 1].

    Args:
        camera: one camera, or a batch of B.
        intensity: brightness of a white surface that faces a beam, at least 0, of each of the two.
        ambient: that of the ambient light, at least 0.
        below, aside: degrees, in (-90, 90).

    Raises:
        DomainError, DTypeError: a number out of range or of the wrong type.
    """
    for name, angle in (("below", below), ("aside", aside)):
        check_between(name, angle, -90, 90)
    right, down = math.tan(math.radians(aside)), math.tan(math.radians(below))
    beams = [
        torch.tensor([x, -down, 1.0], dtype=camera.rotation.dtype, device=camera.rotation.device)
        for x in (right, -right)
    ]
    # A row vector times the rotation is turned back from the camera's frame to the world: (3,) or (B, 3).
    return [Ambient(ambient), *(Directional(beam @ camera.rotation, intensity) for beam in beams)]
