"""Shading: the colour that a lit surface sends to the eye."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.errors import DTypeError, ShapeError, check_device, check_positive, check_tensor
from labkit.scene.harmonics import SphericalHarmonics
from labkit.scene.lights import Ambient, Directional, Point
from labkit.scene.materials import Material
from labkit.scene.vectors import dot, spread, unit

Light = Ambient | Directional | Point | SphericalHarmonics


def shade(
    points: Tensor,
    normals: Tensor,
    eye: Tensor,
    albedo: Tensor,
    material: Material,
    lights: Sequence[Light],
    smooth: bool = False,
    *,
    two_sided: bool = False,
    sharpness: float = 32.0,
) -> Tensor:
    """Return the colours of surface points: the sum over the lights of reflected radiance.

    ``sum_k radiance_k * material.reflect(n, l_k, v, albedo) + albedo * (ambient + irradiance(n))``, with n the unit
    normal, l_k the unit vector to light k, v the unit vector to the eye and the irradiance that of
    `SphericalHarmonics`. The colours may exceed 1. Nothing casts a shadow.

    DIB-R's models (Chen et al. 2019, equations 7 to 11), I = I_l I_c + I_s with the mesh colour I_c: `Phong` (specular
    k_s, shininess alpha) or `Lambert` under one ``Directional(L)`` of colour 1 and nothing else, and
    ``SphericalHarmonics(w, compat="dibr")`` alone. The constant k_d multiplies I_c and so belongs to the albedo. Here
    cosines below zero count as zero. Any sum of lights, coloured and ambient ones among them, is the full form.

    Args:
        points: world coordinates, (..., 3).
        normals: world, (..., 3), any length; a zero normal receives ambient light only (that of band 0 included and,
            with ``smooth``, the small light of a surface edge-on).
        eye: world position of the eye, (3,), or (B, 3) with points (B, ..., 3).
        albedo: base colour, (..., 3), usually in [0, 1].
        material: how light is reflected, see `labkit.scene.materials`.
        lights: any number of lights; none gives black.
        smooth: use the form without kinks: softplus in place of max(0, .), tanh in place of the sign. Infinitely
            differentiable in every argument and every parameter.
        two_sided: turn normals that point away from the eye around, for open or badly oriented meshes. With
            ``smooth`` the normal is multiplied by tanh(sharpness n.v) and so shrinks through 0 at the silhouette.
        sharpness: softplus(sharpness x) / sharpness stands for max(0, x) when ``smooth``: off by at most
            ln(2) / sharpness, at x = 0. Greater than 0.

    Returns:
        (..., 3), the broadcast shape of points, normals and albedo, in the dtype of ``points``.

    Raises:
        DomainError: NaN or infinity, or ``sharpness`` not greater than 0.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    for name, value in (("points", points), ("normals", normals), ("albedo", albedo)):
        check_tensor(name, value, "... 3")
    check_tensor("eye", eye, "3" if isinstance(eye, Tensor) and eye.ndim == 1 else "B 3")
    check_device(points=points, normals=normals, eye=eye, albedo=albedo)
    check_positive("sharpness", sharpness)
    if isinstance(material, type) or not isinstance(material, Material):
        raise DTypeError("material", material, "a material such as labkit.scene.Lambert()")
    if not isinstance(lights, Sequence):
        raise DTypeError("lights", type(lights).__name__, "a list of lights")
    for light in lights:
        if not isinstance(light, Light):
            expected = "Ambient, Directional, Point or SphericalHarmonics lights"
            raise DTypeError("lights", type(light).__name__, expected)
    try:
        shape = torch.broadcast_shapes(points.shape, normals.shape, albedo.shape)
    except RuntimeError as error:
        sizes = [tuple(t.shape) for t in (points, normals, albedo)]
        raise ShapeError("points, normals, albedo", sizes, "shapes that broadcast") from error
    points, albedo = points.expand(shape), albedo.to(points.dtype).expand(shape)
    to_eye = unit(spread("eye", eye, points) - points)
    normal = unit(normals.to(points.dtype)).expand(shape)
    if two_sided:
        facing = dot(normal, to_eye)
        normal = normal * (torch.tanh(sharpness * facing) if smooth else torch.where(facing < 0, -1.0, 1.0))
    colour = torch.zeros_like(points)
    for light in lights:
        if isinstance(light, Ambient):
            colour = colour + albedo * light.radiance(points)
        elif isinstance(light, SphericalHarmonics):
            colour = colour + albedo * light.irradiance(normal)
        else:
            to_light, radiance = light.at(points)
            reflected = material.reflect(normal, to_light, to_eye, albedo, sharpness if smooth else None)
            colour = colour + radiance * reflected
    return colour
