"""Materials: what fraction of the light from one direction a surface sends to the eye.

Every material has ``reflect(normal, to_light, to_eye, albedo, sharpness=None)``. It returns pi times the BRDF times the
cosine between normal and light, (..., 3): with pi inside, Lambert is ``albedo * max(n.l, 0)`` and a rough dielectric is
about as bright. ``sharpness=None`` is the usual form; a number gives the form without kinks, in which
``softplus(sharpness x) / sharpness`` stands for ``max(x, 0)`` and ``sigmoid(sharpness x)`` for ``x > 0``, infinitely
differentiable in everything. Both have finite gradients everywhere: edge-on light, light from behind, zero normals.

A parameter is a number or a tensor that broadcasts against (..., 1), such as () or a map (B, N, 1) for normals
(B, N, 3); colours such as ``specular`` may have 3 in that place. Parameters are converted to the normals' dtype.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from labkit.scene.vectors import EPSILON, check_between, dot, unit


@runtime_checkable
class Material(Protocol):
    """What `labkit.scene.shade` needs of a material."""

    def reflect(
        self, normal: Tensor, to_light: Tensor, to_eye: Tensor, albedo: Tensor, sharpness: float | None = None
    ) -> Tensor:
        """Return the reflected fraction pi * BRDF * cosine, (..., 3), a shape that broadcasts with the arguments'.

        Args:
            normal, to_light, to_eye: unit vectors in the world, (..., 3), the last two pointing away from the surface.
                A normal shorter than 1 means less light.
            albedo: base colour, (..., 3).
            sharpness: None, or how closely the form without kinks follows the usual one, greater than 0.
        """
        ...


@dataclass(frozen=True, eq=False)
class Lambert:
    """A matt surface, equally bright from everywhere: ``albedo * max(n.l, 0)``."""

    def reflect(
        self, normal: Tensor, to_light: Tensor, to_eye: Tensor, albedo: Tensor, sharpness: float | None = None
    ) -> Tensor:
        """Return the reflected fraction, see `Material.reflect`."""
        return albedo * _positive(dot(normal, to_light), sharpness)


@dataclass(frozen=True, eq=False)
class Phong:
    """Phong's model: ``albedo * max(n.l, 0) + specular * max(r.v, 0)^shininess`` with r the mirrored light direction.

    As in DIB-R (Chen et al. 2019, equations 7 to 9): the highlight is not multiplied by the cosine, so it is not
    reciprocal and may reflect more than comes in. Light from behind the surface (n.l <= 0) makes no highlight.

    Args:
        specular: strength of the highlight, at least 0.
        shininess: exponent, greater than 0; larger means smaller highlights.

    Raises:
        DomainError, DTypeError: a parameter out of range or no number.
    """

    specular: float | Tensor = 0.3
    shininess: float | Tensor = 32.0

    def __post_init__(self) -> None:
        _check_highlight(self.specular, self.shininess)

    def reflect(
        self, normal: Tensor, to_light: Tensor, to_eye: Tensor, albedo: Tensor, sharpness: float | None = None
    ) -> Tensor:
        """Return the reflected fraction, see `Material.reflect`."""
        n_l = dot(normal, to_light)
        r_v = 2 * n_l * dot(normal, to_eye) - dot(to_light, to_eye)  # (..., 1)
        highlight = _highlight(r_v, n_l, self.specular, self.shininess, sharpness)
        return albedo * _positive(n_l, sharpness) + highlight


@dataclass(frozen=True, eq=False)
class BlinnPhong:
    """Blinn's variant: ``albedo * max(n.l, 0) + specular * max(n.h, 0)^shininess``, h half-way between light and eye.

    The lighting of AlgoNet's renderer (Petersen et al. 2019, appendix A) together with an `Ambient` light. Light from
    behind the surface (n.l <= 0) makes no highlight.

    Args:
        specular: strength of the highlight, at least 0.
        shininess: exponent, greater than 0; about four times Phong's gives a highlight of the same size.

    Raises:
        DomainError, DTypeError: a parameter out of range or no number.
    """

    specular: float | Tensor = 0.3
    shininess: float | Tensor = 64.0

    def __post_init__(self) -> None:
        _check_highlight(self.specular, self.shininess)

    def reflect(
        self, normal: Tensor, to_light: Tensor, to_eye: Tensor, albedo: Tensor, sharpness: float | None = None
    ) -> Tensor:
        """Return the reflected fraction, see `Material.reflect`."""
        n_l = dot(normal, to_light)
        highlight = _highlight(dot(normal, unit(to_light + to_eye)), n_l, self.specular, self.shininess, sharpness)
        return albedo * _positive(n_l, sharpness) + highlight


@dataclass(frozen=True, eq=False)
class CookTorrance:
    """Microfacets (Cook and Torrance 1982): pi n.l (k_d albedo / pi + D G F / (4 n.l n.v)).

    D is the GGX distribution (Walter et al. 2007) with alpha = roughness^2, G the height-correlated Smith term
    (Heitz 2014), F Schlick's Fresnel (1994) with F0 = lerp(reflectance, albedo, metallic), and, after Shirley et al.
    (1997), k_d = 21/20 (1 - metallic) (1 - reflectance) (1 - (1 - n.l)^5) (1 - (1 - n.v)^5). Reciprocal, and reflects
    at most what comes in (to 0.1 percent), where the common k_d = (1 - F) (1 - metallic) reflects up to 1.37 times as
    much at grazing angles.

    Args:
        roughness: in (0, 1]; below about 0.03 the highlight is narrower than float32 resolves.
        metallic: in [0, 1]; 0 is a dielectric with a white highlight, 1 a metal with an albedo-coloured one.
        reflectance: mirror reflectance of the dielectric at normal incidence, in [0, 1].

    Raises:
        DomainError, DTypeError: a parameter out of range or no number.
    """

    roughness: float | Tensor = 0.5
    metallic: float | Tensor = 0.0
    reflectance: float | Tensor = 0.04

    def __post_init__(self) -> None:
        check_between("roughness", self.roughness, 0, 1, with_high=True)
        check_between("metallic", self.metallic, 0, 1, with_low=True, with_high=True)
        check_between("reflectance", self.reflectance, 0, 1, with_low=True, with_high=True)

    def reflect(
        self, normal: Tensor, to_light: Tensor, to_eye: Tensor, albedo: Tensor, sharpness: float | None = None
    ) -> Tensor:
        """Return the reflected fraction, see `Material.reflect`."""
        metallic, reflectance = _as(self.metallic, normal), _as(self.reflectance, normal)
        alpha2 = _as(self.roughness, normal) ** 4
        half = unit(to_light + to_eye)
        n_l = _positive(dot(normal, to_light), sharpness)  # (..., 1)
        n_v = _positive(dot(normal, to_eye), sharpness)
        n_h = dot(normal, half)
        # 1 - (n.h)^2 without cancellation near the mirror direction; the second part is 0 for a unit normal and keeps
        # the distribution finite for a zero one.
        gap = normal - half
        sine2 = dot(gap, gap) * (1 + n_h) / 2 + (1 - dot(normal, normal)) ** 2
        distribution = alpha2 / (math.pi * (alpha2 * n_h**2 + sine2) ** 2)
        # Height-correlated Smith over 4 n.l n.v, with the division carried out.
        smith = n_l * (alpha2 + (1 - alpha2) * n_v**2).sqrt() + n_v * (alpha2 + (1 - alpha2) * n_l**2).sqrt()
        visibility = 0.5 / (smith + EPSILON)
        f0 = reflectance * (1 - metallic) + albedo * metallic
        fresnel = f0 + (1 - f0) * (1 - dot(to_eye, half)) ** 5  # (..., 3)
        entering = 1.05 * (1 - reflectance) * (1 - (1 - n_l) ** 5) * (1 - (1 - n_v) ** 5)  # 21/20: 1 over all n.l
        diffuse = entering * (1 - metallic) * albedo
        return n_l * (diffuse + math.pi * distribution * visibility * fresnel)


def _as(value: float | Tensor, like: Tensor) -> Tensor:
    """Return ``value`` as a tensor of ``like``'s dtype, on its device."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _positive(value: Tensor, sharpness: float | None) -> Tensor:
    """Return max(value, 0), or its softplus."""
    # Not torch's softplus: that one turns linear above a threshold, a jump in the higher derivatives.
    return value.clamp_min(0) if sharpness is None else -logsigmoid(-sharpness * value) / sharpness


def _highlight(
    cosine: Tensor, n_l: Tensor, specular: float | Tensor, shininess: float | Tensor, sharpness: float | None
) -> Tensor:
    """Return ``specular * max(cosine, 0)^shininess`` where light falls on the surface, or the form without kinks."""
    specular, shininess = _as(specular, cosine), _as(shininess, cosine)
    # The base stays EPSILON away from 0, where a power below 1 has an infinite slope.
    if sharpness is None:
        power = (cosine.clamp_min(EPSILON).log() * shininess).exp()
        return torch.where((n_l > 0) & (cosine > EPSILON), specular * power, 0.0)
    power = ((_positive(cosine, sharpness) + EPSILON).log() * shininess).exp()
    return specular * power * torch.sigmoid(sharpness * n_l)


def _check_highlight(specular: float | Tensor, shininess: float | Tensor) -> None:
    """Raise `DomainError` or `DTypeError` unless both are in the range that `Phong` and `BlinnPhong` state."""
    check_between("specular", specular, 0, torch.inf, with_low=True)
    check_between("shininess", shininess, 0, torch.inf)
