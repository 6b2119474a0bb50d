"""The materials as the BRDF laboratory knows them: named numbers, lobes, and how much light comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from labkit.scene import BlinnPhong, CookTorrance, Lambert, Material, Phong
from labkit.scene.vectors import unit

SHINY, MICROFACET = ("Phong", "Blinn-Phong"), ("Cook-Torrance",)
MATERIALS = ("Lambert", *SHINY, *MICROFACET)
NORMAL = (0.0, 1.0, 0.0)  # of the surface under the lobe; the plane of incidence is z = 0
Values = Mapping[str, float | Tensor]


@dataclass(frozen=True)
class Parameter:
    """One number of a material.

    Attributes:
        label: with its symbol in the papers.
        low, high: its range.
        default: where it begins.
        materials: which materials have it.
        log: whether equal factors count the same, so that it is moved and fitted by its logarithm.
        tip: what it does.
    """

    label: str
    low: float
    high: float
    default: float
    materials: tuple[str, ...]
    tip: str
    log: bool = False


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "diffuse": Parameter("diffuse kd", 0.0, 1.0, 1.0, MATERIALS, "Factor of the base colour"),
        "specular": Parameter("specular ks", 0.0, 1.0, 0.4, SHINY, "Strength of the highlight"),
        "shininess": Parameter("shininess α", 1.0, 1000.0, 30.0, SHINY, "Higher: a smaller highlight", log=True),
        "roughness": Parameter("roughness", 0.05, 1.0, 0.4, MICROFACET, "Higher: a wider, weaker highlight"),
        "metallic": Parameter("metallic", 0.0, 1.0, 0.0, MICROFACET, "0: plastic; 1: metal, coloured highlight"),
        "reflectance": Parameter("reflectance F0", 0.0, 1.0, 0.04, MICROFACET, "Mirror share of plastic, seen head-on"),
    }
)
"""All numbers of all materials. In DIB-R's Phong model the constant k_d multiplies the base colour, as it does here."""


def parameters_of(kind: str) -> tuple[str, ...]:
    """Names of the numbers that a material has."""
    return tuple(name for name, parameter in PARAMETERS.items() if kind in parameter.materials)


def material(kind: str, values: Values) -> Material:
    """The material with these numbers; "diffuse" belongs to the base colour and is not used here.

    Raises:
        DomainError, DTypeError: a number is out of the material's range.
    """
    if kind == "Phong":
        return Phong(values["specular"], values["shininess"])
    if kind == "Blinn-Phong":
        return BlinnPhong(values["specular"], values["shininess"])
    if kind == "Cook-Torrance":
        return CookTorrance(values["roughness"], values["metallic"], values["reflectance"])
    return Lambert()


@dataclass(frozen=True, eq=False)
class Lobe:
    """The reflected fraction pi * BRDF * cosine of one light direction, for many directions to the eye.

    Attributes:
        directions: (M, N, 3) unit vectors of the upper hemisphere, M rings around the mirror direction.
        fraction: (M, N) mean of the three channels, for a white surface.
        reflected: share of the incoming light that leaves again, over the whole hemisphere; more than 1 is more light
            than came in.
    """

    directions: Tensor
    fraction: Tensor
    reflected: float

    def triangles(self, scale: float, rooted: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """The lobe as a mesh: vertices (V, 3), faces (F, 3), and the height (V,) in [0, 1] that colours show.

        Args:
            scale: fraction at radius 1.
            rooted: radius is the cube root, which keeps weak parts visible beside strong ones.
        """
        height = self.fraction / scale
        if rooted:
            height = height.clamp_min(0) ** (1 / 3)
        rows, columns = height.shape
        number = torch.arange(rows * columns).reshape(rows, columns)
        a, b = number[:-1], number[1:]
        c, d = b.roll(-1, 1), a.roll(-1, 1)  # the rings are closed
        faces = torch.cat([torch.stack((a, b, c), -1), torch.stack((a, c, d), -1)]).reshape(-1, 3)
        return (height[..., None] * self.directions).reshape(-1, 3), faces, height.reshape(-1).clamp(0, 1)


def incoming(degrees: float) -> Tensor:
    """Unit vector to a light that many degrees from the normal, (3,), on the left (-x)."""
    angle = math.radians(degrees)
    return torch.tensor([-math.sin(angle), math.cos(angle), 0.0], dtype=torch.float64)


def fraction(kind: str, values: Values, degrees: float, to_eye: Tensor) -> Tensor:
    """pi * BRDF * cosine of a white surface, mean of the channels.

    Args:
        kind: name of the material.
        values: its numbers.
        degrees: angle between normal and light.
        to_eye: unit vectors (..., 3), float64.

    Returns:
        (...,), differentiable in the numbers.
    """
    white = torch.ones(3, dtype=torch.float64) * values["diffuse"]
    normal = torch.tensor(NORMAL, dtype=torch.float64)
    found = material(kind, values).reflect(normal, incoming(degrees), to_eye, white)
    return found.mean(-1).expand(to_eye.shape[:-1])


def lobe(kind: str, values: Values, degrees: float, rings: int = 64, spokes: int = 72) -> Lobe:
    """The lobe over the hemisphere.

    The rings stand closer and closer towards the mirror direction, so that the sharpest highlight is still resolved.
    What of a ring lies below the horizon is put on the horizon.

    Args:
        kind, values, degrees: as of `fraction`; ``degrees`` in [0, 90).
        rings, spokes: how many directions.
    """
    step = (torch.arange(rings, dtype=torch.float64) + 0.5) / rings
    away, around = math.pi * step**3, 2 * math.pi * torch.arange(spokes, dtype=torch.float64) / spokes
    mirror = incoming(degrees) * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    side = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    across = torch.linalg.cross(mirror, side)
    circle = around.cos()[:, None] * side + around.sin()[:, None] * across  # (N, 3)
    directions = away.cos()[:, None, None] * mirror + away.sin()[:, None, None] * circle  # (M, N, 3)
    cosine = directions[..., 1].clone()
    solid = away.sin() * 3 * math.pi * step**2 / rings * 2 * math.pi / spokes  # (M,) steradian a direction
    above = unit(torch.stack((directions[..., 0], cosine.clamp_min(0), directions[..., 2]), -1))
    found = fraction(kind, values, degrees, above)
    out = (found * cosine.clamp_min(0) * solid[:, None]).sum() / math.pi  # reflected, per light on a facing surface
    return Lobe(above, found, float(out) / math.cos(math.radians(degrees)))


def slice_of(kind: str, values: Values, degrees: float, count: int = 721) -> tuple[np.ndarray, np.ndarray]:
    """The lobe in the plane of incidence: angles of the eye from the normal (N,), degrees, positive on the mirror side,
    and the fraction there (N,)."""
    angles = np.linspace(-90.0, 90.0, count)
    to_eye = np.stack([np.sin(np.radians(angles)), np.cos(np.radians(angles)), np.zeros(count)], -1)
    return angles, fraction(kind, values, degrees, torch.as_tensor(to_eye)).numpy()
