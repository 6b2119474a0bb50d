"""The eighteen distributions against scipy's, in the middle and in the tails, for the reference and for the kernel."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.render.raster.distributions import DISTRIBUTIONS, log_probabilities

stats = pytest.importorskip("scipy.stats")

SHAPES = (0.5, 1.0, 2.5, 7.0)
RECIPROCAL = SimpleNamespace(  # scipy has none: F(v) = (1 + v / (1 + |v|)) / 2
    cdf=lambda v: np.where(v < 0, 0.5 / (1 + np.abs(v)), 1 - 0.5 / (1 + np.abs(v))),
    sf=lambda v: np.where(v > 0, 0.5 / (1 + np.abs(v)), 1 - 0.5 / (1 + np.abs(v))),
    pdf=lambda v: 0.5 / (1 + np.abs(v)) ** 2,
)
STEP = SimpleNamespace(  # all the mass at 0, which belongs to the upper side
    cdf=lambda v: np.where(v >= 0, 1.0, 0.0), sf=lambda v: np.where(v >= 0, 0.0, 1.0), pdf=np.zeros_like
)


def mirrored(forward: object) -> SimpleNamespace:
    """The distribution of -X."""
    return SimpleNamespace(
        cdf=lambda v: forward.sf(-v),
        sf=lambda v: forward.cdf(-v),
        pdf=lambda v: forward.pdf(-v),  # type: ignore[attr-defined]
    )


def oracle(name: str, shape: float) -> object:
    """scipy's distribution of a name."""
    if name.endswith("_rev"):
        return mirrored(oracle(name.removesuffix("_rev"), shape))
    return {
        "heaviside": STEP,
        "uniform": stats.uniform(-1, 2),
        "cubic_hermite": stats.beta(2, 2, loc=-1, scale=2),  # its density is the parabola 3/4 (1 - v^2)
        "wigner_semicircle": stats.semicircular,
        "gaussian": stats.norm,
        "laplace": stats.laplace,
        "logistic": stats.logistic,
        "gudermannian": stats.hypsecant,
        "cauchy": stats.cauchy,
        "reciprocal": RECIPROCAL,
        "gumbel_max": stats.gumbel_r,
        "gumbel_min": stats.gumbel_l,
        "exponential": stats.expon,
        "gamma": stats.gamma(shape),
        "levy": stats.levy,
    }[name]


NAMES = [(name, shape) for name in DISTRIBUTIONS for shape in (SHAPES if name.startswith("gamma") else (0.5,))]
MIDDLE = np.concatenate((np.linspace(-3, 3, 97), [-0.999, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 0.999]))
TAILS = np.array([-700.0, -200, -37, -25, -10, -5, 5, 10, 25, 37, 200, 700])


def test_there_are_eighteen() -> None:
    assert len(DISTRIBUTIONS) == 18


@pytest.mark.parametrize(("name", "shape"), NAMES)
def test_probabilities_against_scipy(name: str, shape: float) -> None:
    expected = oracle(name, shape)
    for v in (MIDDLE, TAILS):
        below, above = (log.exp().numpy() for log in log_probabilities(name, torch.from_numpy(v), shape))
        # cancelled digits: scipy's and the semicircle's own formula near the ends of the support
        loose = 1e-4 if name == "wigner_semicircle" else 1e-9
        np.testing.assert_allclose(below, expected.cdf(v), rtol=loose, atol=1e-300 if v is TAILS else 1e-14)
        np.testing.assert_allclose(above, expected.sf(v), rtol=loose, atol=1e-300 if v is TAILS else 1e-14)


def slope(name: str, v: Tensor, shape: float) -> Tensor:
    """dF / dv, through the smaller of F and 1 - F."""
    v = v.clone().requires_grad_()
    log_below, log_above = log_probabilities(name, v, shape)
    value = torch.where(log_below < log_above, log_below.exp(), -log_above.exp())
    if not value.requires_grad:
        return torch.zeros_like(v)
    return torch.autograd.grad(value.sum(), v)[0]


@pytest.mark.parametrize(("name", "shape"), NAMES)
def test_slopes_against_scipy(name: str, shape: float) -> None:
    smooth = MIDDLE[(np.abs(np.abs(MIDDLE) - 1) > 1e-9) & (MIDDLE != 0)]  # the supports end at 0 and at -1, 1
    found = slope(name, torch.from_numpy(smooth), shape).numpy()
    np.testing.assert_allclose(found, oracle(name, shape).pdf(smooth), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "name",
    [name for name in DISTRIBUTIONS if name.split("_")[0] not in ("heaviside", "exponential", "gamma", "levy")],
)
def test_the_middle_has_its_slope(name: str) -> None:
    """At v = 0, where pixels lie on edges, the density is that of scipy and not the slope 0 of |v|."""
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(slope(name, zero, 0.5)) == pytest.approx(float(oracle(name, 0.5).pdf(0.0)), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("names", "low", "high"),
    [
        (("heaviside", "uniform", "cubic_hermite", "wigner_semicircle"), True, True),
        (("exponential", "gamma", "levy"), True, False),
        (("exponential_rev", "gamma_rev", "levy_rev"), False, True),
    ],
)
def test_where_the_support_ends(names: tuple[str, ...], low: bool, high: bool, dtype: torch.dtype) -> None:
    """Where F is 0 its logarithm is that of the smallest positive number, and that of 1 - F is 0; and the reverse."""
    nothing = math.log(torch.finfo(dtype).tiny)
    for name in names:
        below, above = log_probabilities(name, torch.tensor([-2.0, 2.0], dtype=dtype))
        assert not low or (float(below[0]), float(above[0])) == (pytest.approx(nothing), 0)
        assert not high or (float(below[1]), float(above[1])) == (0, pytest.approx(nothing))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_finite_for_any_number(name: str, dtype: torch.dtype) -> None:
    """Values, and slopes also where the incoming gradient is 0, as of the faces that do not count."""
    sizes = [0.0, *(10.0**k for k in (-38, -30, -20, -10, -7, -3, -1, 0, 1, 2, 4, 6, 10, 18, 30))]
    v = torch.tensor([*sizes, *(-s for s in sizes), 1 - 1e-7, 1e-7 - 1], dtype=dtype, requires_grad=True)
    for log in log_probabilities(name, v):
        assert log.isfinite().all()
        assert (log <= 0).all()
        if log.requires_grad:
            zero = torch.autograd.grad(log, v, torch.zeros_like(log), retain_graph=True)[0]
            assert torch.equal(zero, torch.zeros_like(v))
    assert slope(name, v.detach(), 0.5).isfinite().all()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_rising_from_0_to_1(name: str) -> None:
    v = torch.linspace(-50, 50, 2001, dtype=torch.float64)
    below, above = log_probabilities(name, v)
    assert (below.exp().diff() >= -1e-15).all()
    torch.testing.assert_close(below.exp() + above.exp(), torch.ones_like(v), **FLOAT64)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_float32_keeps_the_tails(name: str) -> None:
    v = torch.cat((torch.linspace(-4, 4, 161), torch.tensor([-30.0, -10, 10, 30])))
    exact = log_probabilities(name, v.double())
    for found, expected in zip(log_probabilities(name, v), exact, strict=True):
        held = expected > -80  # what float32 can hold
        # where the support ends, digits cancel: the semicircle's formula as a whole, the others' distance to the end
        rtol, atol = (1e-1, 1e-6) if name == "wigner_semicircle" else (2e-5, 1e-7)
        torch.testing.assert_close(found[held].double().exp(), expected[held].exp(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "heaviside"])
def test_derivatives(name: str) -> None:
    v = torch.tensor([-2.3, -0.7, -0.2, 0.3, 0.8, 1.9], dtype=torch.float64, requires_grad=True)
    held = v.detach()[log_probabilities(name, v.detach())[0] > -60].requires_grad_()

    def probability(v: Tensor) -> Tensor:
        return log_probabilities(name, v)[0].exp()

    assert torch.autograd.gradcheck(probability, held)
    assert torch.autograd.gradgradcheck(probability, held)


@pytest.mark.parametrize(("name", "shape"), NAMES)
def test_the_kernels_scalar_twins(name: str, shape: float) -> None:
    pytest.importorskip("numba")
    from labkit.render.raster.kernel_cpu_coverage import coverage

    expected, code = oracle(name, shape), list(DISTRIBUTIONS).index(name)
    for v in (*MIDDLE, *TAILS):
        d, c, density = coverage(code, float(v), shape)
        rtol = 1e-4 if name == "wigner_semicircle" else 1e-9
        np.testing.assert_allclose(d, expected.cdf(v), rtol=rtol, atol=1e-14)
        np.testing.assert_allclose(c, expected.sf(v), rtol=rtol, atol=1e-14)
        if v != 0 and abs(abs(v) - 1) > 1e-9:
            np.testing.assert_allclose(density, expected.pdf(v), rtol=1e-6, atol=1e-12)
    for v in (-1e30, -1e6, -1.0, -1e-200, 0.0, 1e-200, 1.0, 1e6, 1e30):
        assert all(math.isfinite(number) and number >= 0 for number in coverage(code, v, shape))
