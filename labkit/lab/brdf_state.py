"""What the BRDF laboratory remembers: one frozen record, and presets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from labkit.errors import DomainError
from labkit.lab.brdf_model import MATERIALS, PARAMETERS
from labkit.lab.explorer_state import OWN_FILE, SIZES
from labkit.lab.state import between, one_of

LIGHTS = ("directional", "point", "ambient", "harmonics")
COLOURS = ("directional_color", "point_color", "ambient_color")
HARMONICS = tuple(f"sh{number}" for number in range(9))
PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "chalk": {"material": "Lambert", "diffuse": 1.0},
        "plastic": {"material": "Cook-Torrance", "diffuse": 1.0, "roughness": 0.3, "metallic": 0.0},
        "metal": {"material": "Cook-Torrance", "diffuse": 1.0, "roughness": 0.35, "metallic": 1.0},
        "DIB-R": {"material": "Phong", "diffuse": 1.0, "specular": 0.4, "shininess": 30.0},
    }
)
"""The last is the Phong model of DIB-R, section 5.3: k_d = 1 and k_s = 0.4; it gives no shininess."""


def _parameter(name: str) -> Any:
    found = PARAMETERS[name]
    return between(found.default, found.low, found.high)


@dataclass(frozen=True)
class BrdfState:
    """Everything that decides what the laboratory shows.

    Attributes:
        mesh, path: as of `labkit.lab.explorer_state.ExplorerState`.
        material: name of the model; the fields below it are `labkit.lab.brdf_model.PARAMETERS`.
        incidence: angle between normal and light of the lobe, degrees.
        rooted: whether the lobe's radius is the cube root of the fraction.
        light: whose sliders are shown; all lights shine.
        directional, point, ambient, harmonics: strength of each light; 0 is off.
        directional_azimuth, directional_elevation, point_azimuth, point_elevation: degrees, as for the camera.
        point_distance: from the centre of the mesh, world units.
        directional_color, point_color, ambient_color: as "#rrggbb".
        sh0 to sh8: coefficients of `labkit.scene.SphericalHarmonics`, grey.
        azimuth, elevation, distance: where the eye is, degrees and world units.
        size: pixels along each side.
        background: colour as "#rrggbb".

    Raises:
        DomainError: a colour is not of that form.
    """

    mesh: str = one_of("torus", "icosphere", "chair", "couch", "bathtub", OWN_FILE)
    path: str = ""
    material: str = one_of("Phong", *MATERIALS)
    diffuse: float = _parameter("diffuse")
    specular: float = _parameter("specular")
    shininess: float = _parameter("shininess")
    roughness: float = _parameter("roughness")
    metallic: float = _parameter("metallic")
    reflectance: float = _parameter("reflectance")
    incidence: float = between(45.0, 0.0, 89.0)
    rooted: bool = False
    light: str = one_of(*LIGHTS)
    directional: float = between(0.8, 0.0, 3.0)
    directional_azimuth: float = between(40.0, -180.0, 180.0)
    directional_elevation: float = between(42.0, -90.0, 90.0)
    directional_color: str = "#ffffff"
    point: float = between(0.0, 0.0, 20.0)
    point_azimuth: float = between(-60.0, -180.0, 180.0)
    point_elevation: float = between(20.0, -90.0, 90.0)
    point_distance: float = between(2.0, 0.5, 5.0)
    point_color: str = "#ffd9a0"
    ambient: float = between(0.1, 0.0, 1.0)
    ambient_color: str = "#ffffff"
    harmonics: float = between(0.0, 0.0, 2.0)
    sh0: float = between(1.5, -2.0, 2.0)
    sh1: float = between(0.9, -2.0, 2.0)
    sh2: float = between(0.0, -2.0, 2.0)
    sh3: float = between(0.5, -2.0, 2.0)
    sh4: float = between(0.0, -2.0, 2.0)
    sh5: float = between(0.0, -2.0, 2.0)
    sh6: float = between(0.0, -2.0, 2.0)
    sh7: float = between(0.0, -2.0, 2.0)
    sh8: float = between(0.0, -2.0, 2.0)
    azimuth: float = between(25.0, -180.0, 180.0)
    elevation: float = between(40.0, -89.0, 89.0)
    distance: float = between(3.0, 1.2, 10.0)
    size: int = between(256, SIZES[0], 512)
    background: str = "#101418"

    def __post_init__(self) -> None:
        for name in (*COLOURS, "background"):
            if not re.fullmatch("#[0-9a-fA-F]{6}", getattr(self, name)):
                raise DomainError(name, getattr(self, name), "a colour such as #ffffff")

    @property
    def values(self) -> dict[str, float]:
        """The numbers of the materials by name."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def rgb(self, field: str) -> tuple[float, float, float]:
        """Red, green and blue in [0, 1] of a colour field."""
        text = getattr(self, field)
        red, green, blue = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return red, green, blue
