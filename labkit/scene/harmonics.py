"""Light from all around in nine numbers: spherical harmonics of degree 0, 1 and 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_device, check_tensor

# Squares of the norms, times 4 pi, of 1; y, z, x; xy, yz, 2z^2 - x^2 - y^2, xz, x^2 - y^2.
SQUARES = (1, 3, 3, 3, 15, 15, 5 / 4, 15, 15 / 4)
DIBR_SQUARES = (*SQUARES[:7], 15 / 2, 15 / 8)
BANDS = (1, *[2 / 3] * 3, *[1 / 4] * 5)  # what a surface collects of each band: pi, 2 pi / 3 and pi / 4, over pi


@dataclass(frozen=True, eq=False)
class SphericalHarmonics:
    """A distant environment, smooth enough for nine coefficients; a surface sends back ``albedo * irradiance(n)``.

    The light that arrives from the unit direction w is ``L(w) = sum_k c_k Y_k(w)``, with the real orthonormal harmonics
    without the Condon-Shortley sign, in the order (l, m) = (0,0); (1,-1), (1,0), (1,1); (2,-2) ... (2,2):
    ``1; y, z, x; xy, yz, 3z^2 - 1, xz, x^2 - y^2`` times positive norms. (Where a library has the sign, flip the
    coefficients of odd m.) A surface with normal n collects the irradiance E(n), in which the bands count pi,
    2 pi / 3 and pi / 4; a white Lambert surface then has the brightness E(n) / pi. So L = b everywhere, which is
    c = (sqrt(4 pi) b, 0, ..., 0), is the same as ``Ambient(b)``. A polynomial in n, infinitely differentiable.

    It lights the albedo and makes no highlights, whatever the material. Nine coefficients follow a small bright light
    only roughly, and the brightness may fall below zero on the far side.

    Args:
        coefficients: (9,) grey, (9, 3) red, green and blue, or a batch (B, 9) or (B, 9, 3); any finite numbers.
        compat: "dibr" for the lighting factor of DIB-R's code, ``sum_k c_k Y_k(n)`` without the band factors, in the
            order ``1; x, z, y; xy, yz, 3z^2 - 1, xz, x^2 - y^2``, with the norms of the last two divided by sqrt(2).

    Raises:
        DomainError, ShapeError, DTypeError: as the names say.

    Source: Ramamoorthi and Hanrahan (2001), equations 2 to 12; DIB-R (Chen et al. 2019), equation 11.
    """

    coefficients: Tensor
    compat: Literal["dibr"] | None = None

    def __post_init__(self) -> None:
        shape = tuple(check_tensor("coefficients", self.coefficients, "...").shape)
        if not ((len(shape) < 3 and shape[-1:] == (9,)) or (len(shape) in (2, 3) and shape[-2:] == (9, 3))):
            raise ShapeError("coefficients", shape, "(9,), (9, 3), (B, 9) or (B, 9, 3)")
        if self.compat not in (None, "dibr"):
            raise DomainError("compat", repr(self.compat), "None or 'dibr'")

    def irradiance(self, normals: Tensor) -> Tensor:
        """The irradiance over pi, (..., 1) or (..., 3), on surfaces with unit ``normals`` (..., 3).

        A normal of length 0 receives band 0 only. A batch of coefficients goes with normals (B, ..., 3).

        Raises:
            ShapeError, DeviceError: the coefficients do not go with the normals.
        """
        check_device(normals=normals, coefficients=self.coefficients)
        value = self.coefficients.to(normals.dtype)
        if value.shape[-1] == 9:
            value = value[..., None]
        basis = self._basis(normals)
        if value.ndim == 2:
            return basis @ value
        if normals.ndim < 2 or (len(value) != len(normals) and 1 not in (len(value), len(normals))):
            expected = f"one entry for each of normals {tuple(normals.shape)}"
            raise ShapeError("coefficients", tuple(self.coefficients.shape), expected)
        return torch.einsum("b...k,bkc->b...c", basis, value)

    def _basis(self, normals: Tensor) -> Tensor:
        """The nine functions (..., 9), factors included; each is homogeneous, so that a zero normal gives zeros."""
        x, y, z = normals.unbind(-1)
        linear = [x, z, y] if self.compat else [y, z, x]
        functions = [torch.ones_like(x), *linear, x * y, y * z, 2 * z * z - x * x - y * y, x * z, x * x - y * y]
        squares, bands = (DIBR_SQUARES, [1] * 9) if self.compat else (SQUARES, BANDS)
        factors = [math.sqrt(square / (4 * math.pi)) * band for square, band in zip(squares, bands, strict=True)]
        return torch.stack(functions, -1) * normals.new_tensor(factors)
