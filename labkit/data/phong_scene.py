"""The Phong model as UDR writes it: one material under one point light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DTypeError, check_tensor
from labkit.scene.lights import Colour
from labkit.scene.vectors import check_between, dot, unit


@dataclass(frozen=True, eq=False)
class PhongScene:
    """Material and light (UDR, section 3.2, equation 3). The defaults are those of the shiny sphere.

    L = k_d O_d I_a + k_d O_d I_d (n . w_l)_+ + k_s O_s I_d (r . w_l)_+^n_s, with w_l the unit vector to the light and
    r = -(I - 2 n n^T) w_o. The light does not fall off, nothing casts a shadow, and, other than under
    `labkit.scene.Phong`, a highlight may reach where the surface itself is turned away from the light.

    Args:
        kd, ks: k_d and k_s, at least 0.
        ambient: I_a, a `Colour`.
        light_color: I_d, a `Colour`.
        light: l, where the point light is, world units, (3,).
        shininess: n_s, at least 1.
        diffuse_color, specular_color: O_d and O_s, `Colour`; as tensors (N, 3) they differ from point to point.

    Raises:
        DomainError, ShapeError, DTypeError: as the names say.
    """

    kd: float | Tensor = 0.5
    ks: float | Tensor = 0.6
    ambient: Colour = 0.2
    light_color: Colour = 1.0
    light: Tensor | Sequence[float] = (2.0, 2.0, 2.0)
    shininess: float | Tensor = 20.0
    diffuse_color: Colour = 1.0
    specular_color: Colour = 1.0

    def __post_init__(self) -> None:
        for name in ("kd", "ks", "ambient", "light_color", "diffuse_color", "specular_color"):
            check_between(name, _tensor_of(name, getattr(self, name)), 0, torch.inf, with_low=True)
        check_between("shininess", self.shininess, 1, torch.inf, with_low=True)
        check_tensor("light", _tensor_of("light", self.light), "3")

    def radiance(self, points: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
        """L, the light that leaves the surface against the view directions; may exceed 1.

        Args:
            points: x, (N, 3), world units.
            normals: n, (N, 3), of length 1, outwards.
            directions: v, (N, 3), of length 1, from the eye to the surface: w_o = -v.

        Returns:
            (N, 3), once differentiable in every tensor.
        """
        kd, ks, ambient, light_color, light, shininess, diffuse_color, specular_color = (
            torch.as_tensor(getattr(self, name), dtype=points.dtype, device=points.device)
            for name in self.__dataclass_fields__
        )
        to_light = unit(light - points)  # (N, 3)
        mirrored = directions - 2 * dot(normals, directions) * normals  # r, (N, 3)
        facing, shining = dot(normals, to_light).clamp_min(0), dot(mirrored, to_light).clamp_min(0)  # (N, 1) each
        diffuse = kd * diffuse_color * (ambient + light_color * facing)
        return (diffuse + ks * specular_color * light_color * shining**shininess).expand_as(points)


def _tensor_of(name: str, value: Tensor | float | Sequence[float]) -> Tensor | float:
    """``value``, a list or tuple of numbers as a tensor."""
    if not isinstance(value, (list, tuple)):
        return value  # type: ignore[return-value]
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise DTypeError(name, repr(value), "numbers or a tensor") from error
