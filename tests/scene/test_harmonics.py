"""Spherical harmonics: against integrals over the sphere and Legendre's polynomials, the original's numbers, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.scene import Ambient, CookTorrance, Directional, Lambert, SphericalHarmonics, shade
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64
ORIGIN, EYE, ALBEDO = (torch.tensor(v, dtype=D) for v in ((0.0, 0, 0), (0.0, 0, 4), (0.8, 0.4, 0.2)))


def directions(generator: torch.Generator, count: int = 20) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, dtype=D, generator=generator), dim=-1)


def turn(generator: torch.Generator) -> Tensor:
    return quaternion_to_rotation_matrix(torch.randn(4, dtype=D, generator=generator))


def quadrature(low: float) -> tuple[Tensor, Tensor]:
    """Directions (N, 3) with z >= low and weights (N,): exact for polynomials of degree up to 23."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    z, weight = (torch.from_numpy(v) for v in (low + (nodes + 1) * (1 - low) / 2, weights * (1 - low) / 2))
    angle = torch.arange(24, dtype=D) * math.pi / 12
    ring = (1 - z**2).sqrt()[:, None]
    points = torch.stack(torch.broadcast_tensors(ring * angle.cos(), ring * angle.sin(), z[:, None]), -1)
    return points.reshape(-1, 3), (weight[:, None] * torch.full((24,), math.pi / 12, dtype=D)).flatten()


def harmonics(points: Tensor) -> Tensor:
    """The nine functions at unit ``points`` (N, 3) by their definition with Legendre's polynomials, as (N, 9)."""
    z, around = points[:, 2].numpy(), torch.atan2(points[:, 1], points[:, 0]).numpy()
    found = []
    for degree in range(3):
        for order in range(-degree, degree + 1):
            m = abs(order)
            legendre = (1 - z**2) ** (m / 2) * np.polynomial.Legendre.basis(degree).deriv(m)(z)
            norm = (2 * degree + 1) / (4 * math.pi) * math.factorial(degree - m) / math.factorial(degree + m)
            angle = 2**0.5 * (np.sin(m * around) if order < 0 else np.cos(m * around)) if m else 1.0
            found.append(norm**0.5 * legendre * angle)
    return torch.from_numpy(np.stack(found, -1))


def test_brightness_is_the_integral_of_the_light_over_pi(generator: torch.Generator) -> None:
    """E(n) = integral over the hemisphere around n of L(w) n.w dw."""
    coefficients = torch.randn(9, 3, dtype=D, generator=generator)
    around_z, weights = quadrature(0.0)
    for _ in range(5):
        rotation = turn(generator)  # takes +z to the normal
        light = harmonics(around_z @ rotation.mT) @ coefficients
        expected = (light * around_z[:, 2:] * weights[:, None]).sum(0) / math.pi
        made = SphericalHarmonics(coefficients).irradiance(rotation[:, 2])
        torch.testing.assert_close(made, expected, **FLOAT64)


def test_light_from_everywhere_is_ambient_light(generator: torch.Generator) -> None:
    colour = torch.tensor([0.2, 0.5, 0.9], dtype=D)
    coefficients = torch.zeros(9, 3, dtype=D)
    coefficients[0] = math.sqrt(4 * math.pi) * colour
    normals = directions(generator)
    made = shade(ORIGIN, normals, EYE, ALBEDO, CookTorrance(), [SphericalHarmonics(coefficients)])
    torch.testing.assert_close(made, shade(ORIGIN, normals, EYE, ALBEDO, CookTorrance(), [Ambient(colour)]), **FLOAT64)


def test_the_cosine_lobe(generator: torch.Generator) -> None:
    """L(w) = max(w.d, 0), projected by quadrature: nine coefficients give its brightness to 0.5 percent of full light.

    With E(n) = integral of max(w.d, 0) max(w.n, 0) dw, the first band left out, l = 4, has
    9 / (4 pi) (pi / 24)^2 / pi = 0.0039 of brightness, and the sum of all the others far less.
    """
    around_z, weights = quadrature(0.0)
    rotation = turn(generator)
    lobe = rotation[:, 2]
    hemisphere = around_z @ rotation.mT  # where the lobe is not zero
    coefficients = (harmonics(hemisphere) * (around_z[:, 2] * weights)[:, None]).sum(0)
    normals = directions(generator, 40)
    # Two unit vectors at angle t: (2 / 3 pi) (sin t + (pi - t) cos t), the classical integral of two clamped cosines.
    cosine = (normals @ lobe).clamp(-1, 1)
    angle = cosine.arccos()
    expected = 2 / (3 * math.pi) * (angle.sin() + (math.pi - angle) * cosine)
    made = SphericalHarmonics(coefficients).irradiance(normals)[:, 0]
    assert float((made - expected).abs().max()) < 0.005
    assert float(expected.max() - expected.min()) > 0.5


def test_a_directional_light_is_a_sum_of_harmonics() -> None:
    """A light of colour 1 from d is L = pi delta(w - d), so c = pi Y(d): facing it, 1/4 + 1/2 + 5/16 of brightness."""
    toward = torch.tensor([[0.48, 0.6, 0.64]], dtype=D)
    light = SphericalHarmonics(math.pi * harmonics(toward)[0])
    assert float(light.irradiance(toward[0])) == pytest.approx(17 / 16)
    assert float(light.irradiance(-toward[0])) == pytest.approx(1 / 16)
    facing = shade(ORIGIN, toward[0], EYE, ALBEDO, Lambert(), [Directional(toward[0])])
    torch.testing.assert_close(facing, ALBEDO, **FLOAT64)


def test_turning_the_light_is_turning_the_surface(generator: torch.Generator) -> None:
    """A turned environment is again one of nine coefficients, of the same energy in each band."""
    coefficients, rotation = torch.randn(9, dtype=D, generator=generator), turn(generator)
    sphere, weights = quadrature(-1.0)
    turned = (harmonics(sphere) * (harmonics(sphere @ rotation) @ coefficients * weights)[:, None]).sum(0)
    assert float((turned - coefficients).abs().max()) > 0.1
    normals = directions(generator)
    made = SphericalHarmonics(turned).irradiance(normals @ rotation.mT)
    torch.testing.assert_close(made, SphericalHarmonics(coefficients).irradiance(normals), **FLOAT64)
    for band in (slice(0, 1), slice(1, 4), slice(4, 9)):
        torch.testing.assert_close(turned[band].norm(), coefficients[band].norm(), **FLOAT64)


def test_the_numbers_of_dib_r() -> None:
    """Order, signs and constants of the original, one coefficient at a time, at a normal with x < y < z."""
    x, y, z = 2 / 7, 3 / 7, 6 / 7
    expected = [0.28209479177, 0.4886025119 * x, 0.4886025119 * z, 0.4886025119 * y, 1.09254843059 * x * y]
    expected += [1.09254843059 * y * z, 0.94617469575 * z * z - 0.31539156525]
    expected += [0.77254840404 * x * z, 0.38627420202 * (x * x - y * y)]
    normal = torch.tensor([x, y, z], dtype=D)
    made = [float(SphericalHarmonics(row, compat="dibr").irradiance(normal)) for row in torch.eye(9, dtype=D)]
    assert made == pytest.approx(expected, rel=1e-9)  # the printed digits
    correct = [float(SphericalHarmonics(row).irradiance(normal)) for row in torch.eye(9, dtype=D)]
    bands = [1, *[2 / 3] * 3, *[1 / 4] * 5]
    assert correct[0] == pytest.approx(made[0])
    assert [correct[k] / bands[k] for k in (1, 2, 3)] == pytest.approx([made[k] for k in (3, 2, 1)])
    assert [correct[k] / bands[k] / made[k] for k in range(4, 9)] == pytest.approx([1, 1, 1, 2**0.5, 2**0.5])


def test_shapes_and_batches(generator: torch.Generator) -> None:
    batch = torch.randn(2, 9, 3, dtype=D, generator=generator)
    normals = directions(generator, 12).reshape(2, 3, 2, 3)
    made = SphericalHarmonics(batch).irradiance(normals)
    grey = SphericalHarmonics(batch[..., 0]).irradiance(normals)
    assert (made.shape, grey.shape) == ((2, 3, 2, 3), (2, 3, 2, 1))
    torch.testing.assert_close(grey, made[..., :1], **FLOAT64)
    for row in range(2):
        alone = SphericalHarmonics(batch[row])
        torch.testing.assert_close(made[row], alone.irradiance(normals[row]), **FLOAT64)
        assert alone.irradiance(normals[0, 0, 0]).shape == (3,)
        one = SphericalHarmonics(batch[row : row + 1]).irradiance(normals)  # one environment for both
        torch.testing.assert_close(one, alone.irradiance(normals), **FLOAT64)
    points = torch.zeros(2, 5, 3, dtype=D)  # one normal for a batch of points
    lit = shade(points, normals[0, 0, 0], EYE, ALBEDO, Lambert(), [SphericalHarmonics(batch)])
    torch.testing.assert_close(lit[1, 0], ALBEDO * SphericalHarmonics(batch[1]).irradiance(normals[0, 0, 0]), **FLOAT64)
    single = SphericalHarmonics(batch[0]).irradiance(normals.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), SphericalHarmonics(batch[0]).irradiance(normals), **FLOAT32)


@pytest.mark.parametrize("compat", [None, "dibr"])
def test_derivatives(compat: str | None, generator: torch.Generator) -> None:
    coefficients = torch.randn(9, 3, dtype=D, generator=generator).requires_grad_()
    normals = torch.cat((directions(generator, 2), torch.zeros(1, 3, dtype=D))).requires_grad_()

    def picture(c: Tensor, n: Tensor) -> Tensor:
        return SphericalHarmonics(c, compat=compat).irradiance(n)

    assert torch.autograd.gradcheck(picture, (coefficients, normals))
    assert torch.autograd.gradgradcheck(picture, (coefficients, normals))


def test_a_zero_normal_receives_band_zero_only(generator: torch.Generator) -> None:
    coefficients = torch.randn(9, 3, dtype=D, generator=generator)
    made = shade(ORIGIN, ORIGIN, EYE, ALBEDO, Lambert(), [SphericalHarmonics(coefficients)], smooth=True)
    torch.testing.assert_close(made, ALBEDO * coefficients[0] / math.sqrt(4 * math.pi), **FLOAT64)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: SphericalHarmonics(torch.zeros(8)), ShapeError),
        (lambda: SphericalHarmonics(torch.zeros(())), ShapeError),
        (lambda: SphericalHarmonics(torch.zeros(9, 4)), ShapeError),
        (lambda: SphericalHarmonics(torch.zeros(3, 9, 9)), ShapeError),
        (lambda: SphericalHarmonics(torch.zeros(2, 2, 9, 3)), ShapeError),
        (lambda: SphericalHarmonics([0.0] * 9), DTypeError),
        (lambda: SphericalHarmonics(torch.zeros(9, dtype=torch.int64)), DTypeError),
        (lambda: SphericalHarmonics(torch.full((9,), math.nan)), DomainError),
        (lambda: SphericalHarmonics(torch.zeros(2, 9)).irradiance(torch.zeros(3, 4, 3)), ShapeError),
        (lambda: SphericalHarmonics(torch.zeros(2, 9)).irradiance(torch.zeros(3)), ShapeError),
    ],
)
def test_bad_coefficients_are_refused(build, error: type[LabError]) -> None:
    with pytest.raises(error, match="coefficients"):
        build()


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(DomainError, match="compat: got 'kaolin'"):
        SphericalHarmonics(torch.zeros(9), compat="kaolin")
