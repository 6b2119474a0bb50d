"""Where the viewer of a mesh stands, in plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from labkit.errors import DomainError

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Orbit:
    """An eye that looks at a target, world coordinates, y up (the same axes as `labkit.scene.Camera.look_at`).

    Attributes:
        eye: position of the eye.
        target: the point in the middle of the picture.

    Raises:
        DomainError: not finite, or the eye in the target.
    """

    eye: Point = (0.0, 0.0, 3.0)
    target: Point = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.distance) and self.distance > 0):
            raise DomainError("eye", self.eye, f"a finite point other than the target {self.target}")

    @classmethod
    def around(cls, azimuth: float, elevation: float, distance: float, target: Point = (0.0, 0.0, 0.0)) -> Orbit:
        """The eye at a distance from the target; degrees, azimuth 0 on +z and 90 on +x, elevation up +y."""
        a, e = math.radians(azimuth), math.radians(elevation)
        ray = (math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a))
        x, y, z = (t + distance * r for t, r in zip(target, ray, strict=True))
        return cls((x, y, z), target)

    @property
    def distance(self) -> float:
        """From target to eye, world units."""
        return math.dist(self.eye, self.target)

    @property
    def azimuth(self) -> float:
        """Degrees in (-180, 180]; 0 on +z, 90 on +x."""
        return math.degrees(math.atan2(self.eye[0] - self.target[0], self.eye[2] - self.target[2]))

    @property
    def elevation(self) -> float:
        """Degrees in [-90, 90]; 90 on +y."""
        return math.degrees(math.asin(max(-1.0, min(1.0, (self.eye[1] - self.target[1]) / self.distance))))

    def turned(self, azimuth: float, elevation: float) -> Orbit:
        """Turned by degrees about the target, kept one degree away from the poles."""
        up = max(-89.0, min(89.0, self.elevation + elevation))
        return Orbit.around(self.azimuth + azimuth, up, self.distance, self.target)

    def near(self, other: Orbit, tolerance: float = 1e-5) -> bool:
        """Whether eye and target agree within ``tolerance`` times the distance."""
        reach = tolerance * self.distance
        return math.dist(self.eye, other.eye) <= reach and math.dist(self.target, other.target) <= reach
