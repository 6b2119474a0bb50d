"""What the smoothness explorer remembers: one frozen record, its ranges, and the paper's corner cases as presets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from labkit.errors import DomainError
from labkit.lab.state import between, one_of

OWN_FILE = "own file"
MATERIALS = ("Lambert", "Phong", "Blinn-Phong", "Cook-Torrance")
SIZES = (64, 128, 256, 384, 512)

PRESETS = MappingProxyType(
    {
        "low s, low o": {"rasterizer": "AlgoNet", "steepness": 80.0, "opacity": 3.0, "sliver_fade": 0.0},
        "high s, low o": {"rasterizer": "AlgoNet", "steepness": 800.0, "opacity": 3.0, "sliver_fade": 0.0},
        "low s, high o": {"rasterizer": "AlgoNet", "steepness": 80.0, "opacity": 60.0, "sliver_fade": 0.0},
        "high s, high o": {"rasterizer": "AlgoNet", "steepness": 800.0, "opacity": 60.0, "sliver_fade": 0.0},
    }
)
"""The four corners of AlgoNet's figure 9: smooth or crisp edges, transparent or opaque faces."""


@dataclass(frozen=True)
class ExplorerState:
    """Everything that decides what the explorer shows.

    Attributes:
        mesh: a procedural shape, or "own file" for the one at ``path``.
        path: mesh file, relative to the notebook's folder or absolute; used with "own file" only.
        rasterizer: "AlgoNet" or "Hard".
        steepness: s of `labkit.AlgoNet`, per NDC unit.
        opacity: o of `labkit.AlgoNet`, per unit of depth.
        sliver_fade: r of `labkit.AlgoNet`; 0 is the paper's formula.
        material: name of the reflection model; the fields below it are its parameters as in `labkit.scene`.
        light_azimuth, light_elevation: where the light comes from, degrees, as for the camera.
        azimuth, elevation, distance: where the eye is, degrees and world units (`labkit.Camera.orbit`).
        size: pixels along each side.
        background: colour as "#rrggbb".
        pick: the pixel looked into as (down, across), each in [0, 1] of the picture, or None.
        patience: seconds that the sharp picture may take; a slower one is made with fewer pixels.

    Raises:
        DomainError: ``background`` is not of that form.
    """

    mesh: str = one_of("torus", "icosphere", "chair", "couch", "bathtub", OWN_FILE)
    path: str = ""
    rasterizer: str = one_of("AlgoNet", "Hard")
    steepness: float = between(200.0, 1.0, 1e4)
    opacity: float = between(10.0, 0.01, 1e4)
    sliver_fade: float = between(0.1, 0.0, 1.0)
    material: str = one_of(*MATERIALS)
    specular: float = between(0.4, 0.0, 1.0)
    shininess: float = between(30.0, 1.0, 1000.0)
    roughness: float = between(0.4, 0.05, 1.0)
    metallic: float = between(0.0, 0.0, 1.0)
    reflectance: float = between(0.04, 0.0, 1.0)
    light_azimuth: float = between(40.0, -180.0, 180.0)
    light_elevation: float = between(42.0, -90.0, 90.0)
    azimuth: float = between(25.0, -180.0, 180.0)
    elevation: float = between(40.0, -89.0, 89.0)
    distance: float = between(3.0, 1.2, 10.0)
    size: int = between(256, 16, 1024)
    background: str = "#101418"
    pick: tuple[float, float] | None = between(None, 0.0, 1.0)
    patience: float = between(5.0, 0.5, 600.0)

    def __post_init__(self) -> None:
        if not re.fullmatch("#[0-9a-fA-F]{6}", self.background):
            raise DomainError("background", self.background, "a colour such as #ffffff")

    @property
    def background_rgb(self) -> tuple[float, float, float]:
        """Red, green and blue of the background in [0, 1]."""
        red, green, blue = (int(self.background[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return red, green, blue

    @property
    def edge_px(self) -> float:
        """Width 2 / s of the soft edge in pixels (`labkit.AlgoNet.edge_width_px`)."""
        return self.size / self.steepness

    def picked(self, size: int) -> tuple[int, int] | None:
        """(row, column) of the pixel looked into, in a picture of ``size`` pixels a side."""
        if self.pick is None:
            return None
        row, column = (min(size - 1, int(part * size)) for part in self.pick)
        return row, column
