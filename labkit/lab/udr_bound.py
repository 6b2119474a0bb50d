"""The shiny sphere, and the best picture of it that no view direction enters: M*(x) and its bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.data.phong_views import Bound, PhongScene, Sightings, random_views
from labkit.geometry.sdf import SphereField
from labkit.lab.scheduler import Quality
from labkit.lab.state import between
from labkit.scene.camera import Camera
from labkit.scene.rays import Views
from labkit.train.udr import PRESETS

RADIUS = 0.5  # world units
DISTANCE, FOV = PRESETS["cpu"].scene.distance, PRESETS["cpu"].scene.fov  # world units and degrees, as in training
FILL = 0.9  # of the picture that is shown, the share of its width that the sphere takes
LAMP = 2 * math.sqrt(3.0)  # world units from the middle to the light
MOST = 64  # cameras that the mean is taken over
MEASURED = (12, 16)  # pictures that the bound is measured on, and their side in pixels
SIDE = {"coarse": 40, "fine": 88}  # of the picture that is shown, pixels; it is the middle of one that training sees
ASKED = {"coarse": 24, "fine": MOST}  # cameras at most, for that picture alone: to trace them takes longest
EXPONENTS = (1, 2, 5, 10, 20, 50, 100, 200)  # n_s of the curve
KEPT = 8  # geometries that are remembered


@dataclass(frozen=True)
class BoundState:
    """Material, light and cameras.

    Attributes:
        diffuse, specular, shininess: k_d, k_s and n_s of equation 3.
        ambient: I_a.
        azimuth, elevation: of the light, degrees, seen from the middle of the sphere; azimuth 0 is +z, 90 is +x.
        cameras: over how many M* is the mean.
        view: azimuth of the camera of the picture that is shown, degrees.
    """

    diffuse: float = between(0.5, 0.0, 1.0)
    specular: float = between(0.6, 0.0, 1.0)
    shininess: float = between(20.0, 1.0, 200.0)
    ambient: float = between(0.2, 0.0, 1.0)
    azimuth: float = between(45.0, -180.0, 180.0)
    elevation: float = between(35.0, -90.0, 90.0)
    cameras: int = between(MOST, 2, MOST)
    view: float = between(20.0, -180.0, 180.0)

    @property
    def scene(self) -> PhongScene:
        """Material and light."""
        a, e = math.radians(self.azimuth), math.radians(self.elevation)
        light = (LAMP * math.cos(e) * math.sin(a), LAMP * math.sin(e), LAMP * math.cos(e) * math.cos(a))
        return PhongScene(self.diffuse, self.specular, self.ambient, light=light, shininess=self.shininess)


class BestPicture(NamedTuple):
    """One picture of the sphere, the best that M(x) can do, and how good it is on all measured views.

    Attributes:
        truth, best: (S, S, 3) in [0, 1].
        bound: on the measured views.
    """

    truth: Tensor
    best: Tensor
    bound: Bound


class ShinySphere:
    """Answers a `BoundState`. What depends on the cameras only is made once: light and material are then quick."""

    def __init__(self) -> None:
        self._field = SphereField(RADIUS)
        self._directions = torch.Generator().manual_seed(0).get_state()
        views = self._random(*MEASURED)
        self._measured = Sightings.of(self._field, views, self._random(MOST, MEASURED[1], skip=MEASURED[0]))
        self._shown: dict[tuple[float, Quality], Sightings] = {}

    def _random(self, count: int, side: int, skip: int = 0) -> Views:
        """The same random directions at any size."""
        stream = torch.Generator()
        stream.set_state(self._directions)
        return random_views(skip + count, (side, side), DISTANCE, FOV, stream)[skip:]

    def bound(self, state: BoundState) -> Bound:
        """Of what no renderer M(x) or M(x, n) exceeds in expectation; see `view_independent_bound`."""
        return _of_cameras(self._measured, state.cameras).bound(state.scene)

    def curve(self, state: BoundState) -> list[float]:
        """The bound, decibels on the sphere's pixels, at each of the `EXPONENTS`."""
        return [self.bound(replace(state, shininess=float(exponent))).psnr for exponent in EXPONENTS]

    def picture(self, state: BoundState, quality: Quality) -> BestPicture:
        """The picture of the state's camera, and M* from there."""
        sight, side = _of_cameras(self._sightings(state.view, quality), state.cameras), SIDE[quality]
        pictures = torch.ones(2, side * side, 3)
        pictures[0, sight.seen.pixel] = sight.seen.colors(state.scene)
        pictures[1, sight.seen.pixel] = sight.best(state.scene)
        truth, best = pictures.unflatten(1, (side, side))
        return BestPicture(truth, best, self.bound(state))

    def _sightings(self, azimuth: float, quality: Quality) -> Sightings:
        key = azimuth, quality
        if key not in self._shown:
            side, elevation = SIDE[quality], 20.0
            share = math.tan(math.asin(RADIUS / DISTANCE)) / math.tan(math.radians(FOV / 2))  # of the whole picture
            size = round(side * FILL / share)  # at which the other cameras look, too
            whole = Views.of(Camera.orbit(azimuth, elevation, DISTANCE, fov=FOV), (size, size)).to(torch.float32)
            shift = torch.zeros(3, 3)
            shift[:2, 2] = (size - side) / 2
            middle = replace(whole, intrinsics=whole.intrinsics - shift, size=(side, side))
            cameras = self._random(ASKED[quality], size, skip=MEASURED[0])
            while len(self._shown) >= KEPT:
                del self._shown[next(iter(self._shown))]
            self._shown[key] = Sightings.of(self._field, middle, cameras)
        return self._shown[key]


def _of_cameras(sight: Sightings, count: int) -> Sightings:
    """The same with the first of the cameras only."""
    return replace(sight, eyes=sight.eyes[:count], weights=sight.weights[:count])
