"""Volume rendering of signed distances: known integrals, gradients, and the sharp limit against sphere tracing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.geometry.sdf import SphereField, value_and_gradient
from labkit.render.implicit import sphere_trace
from labkit.render.volume_sdf import VolumeRays, composite, density, render_rays
from tests.render.implicit_oracles import Field, bumpy, rays, sphere, torus
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64


def coloured(points: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
    """A colour that depends on all that a shade may see."""
    return 0.5 + 0.2 * points + 0.2 * normals - 0.1 * directions


def test_density_is_the_laplace_distribution() -> None:
    """Against torch's, and by hand: half on the surface, all of 1 / beta inside, nothing outside."""
    f = torch.linspace(-1, 1, 101, dtype=D)
    for beta in (0.01, 0.1, torch.tensor(2.0, dtype=D)):
        laplace = torch.distributions.Laplace(torch.zeros((), dtype=D), beta)
        torch.testing.assert_close(density(f, beta), laplace.cdf(-f) / beta, **FLOAT64)
    at = density(torch.tensor([0.0, -50.0, 50.0]), 0.1)
    torch.testing.assert_close(at, torch.tensor([5.0, 10.0, 0.0]), **FLOAT32)
    assert density(torch.tensor([1e30, -1e30]), 1e-6).isfinite().all()


@pytest.mark.parametrize("beta", [0.02, 0.3])
def test_weights_are_the_integral_of_the_density(beta: float) -> None:
    """For f linear between few samples, alpha is that of a rectangle rule with a million."""
    depths, f = torch.tensor([0.0, 0.3, 0.35, 1.0, 1.2], dtype=D), torch.tensor([0.4, 0.1, -0.03, 0.08, -0.4], dtype=D)
    weights = composite(f[None], depths[None], beta)[0]
    t = (torch.arange(1_000_000, dtype=D) + 0.5) * 1.2e-6
    right = torch.searchsorted(depths, t).clamp(1, 4)
    part = (t - depths[right - 1]) / (depths[right] - depths[right - 1])
    optical = density(f[right - 1] + part * (f[right] - f[right - 1]), beta) * 1.2e-6
    transmittance = torch.exp(-optical.cumsum(0))
    # A rectangle rule of that step errs by about 1e-6.
    torch.testing.assert_close(weights.sum(), 1 - transmittance[-1], rtol=1e-5, atol=1e-6)
    ends = torch.searchsorted(t, depths[1:]) - 1
    passed = torch.cat([torch.ones(1, dtype=D), transmittance[ends]])  # light left at each sample
    intervals = passed[:-1] - passed[1:]
    torch.testing.assert_close(weights[1:-1], (intervals[1:] + intervals[:-1]) / 2, rtol=1e-4, atol=1e-5)


def test_constant_density_by_hand() -> None:
    """f = 0 over a length L: alpha = 1 - exp(-L / (2 beta)), however the ray is cut."""
    for samples in (2, 3, 50):
        depths = torch.linspace(0, 0.7, samples, dtype=D)[None]
        alpha = composite(torch.zeros_like(depths), depths, 0.25).sum()
        torch.testing.assert_close(alpha, torch.tensor(1 - math.exp(-0.7 / 0.5), dtype=D), **FLOAT64)


def test_a_crossing_between_two_samples_is_not_missed() -> None:
    """Two samples 0.1 apart with beta a millionth of that: opaque, in float32 too."""
    for f in ([0.06, -0.04], [0.09, -0.01]):
        weights = composite(torch.tensor([f]), torch.tensor([[1.0, 1.1]]), 1e-7)
        torch.testing.assert_close(weights, torch.full((1, 2), 0.5), **FLOAT32)


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=12),
    st.floats(1e-6, 10),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_weights_are_shares(values: list[float], beta: float, dtype: torch.dtype) -> None:
    """Not negative, finite, with sum at most 1; more samples on the same line change the sum by nothing."""
    f = torch.tensor([values], dtype=dtype)
    depths = torch.arange(len(values), dtype=dtype)[None]
    weights = composite(f, depths, beta)
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    assert weights.sum() <= 1 + 1e-6
    if len(values) > 1 and dtype == torch.float64:
        middle = (f[:, 1:] + f[:, :-1]) / 2
        twice = torch.cat([torch.stack([f[:, :-1], middle], -1).flatten(1), f[:, -1:]], 1)
        halves = torch.arange(twice.shape[1], dtype=dtype)[None] / 2
        # Deep inside, where the sum is 1, digits of the integral are lost.
        torch.testing.assert_close(composite(twice, halves, beta).sum(), weights.sum(), rtol=1e-7, atol=1e-9)


def test_gradients_of_the_weights(generator: torch.Generator) -> None:
    """gradcheck in f, depths and beta: crossings, equal neighbours, equal depths, f = 0, alpha near 0 and 1."""
    f = torch.randn(4, 6, generator=generator, dtype=D)
    f[0] = torch.tensor([0.5, 0.5, 0.5, -0.5, -0.5, 0.2])
    f[1] = 30.0
    f[2] = -30.0
    f[3] = torch.tensor([0.5, 0.0, -0.3, 0.0, 0.0, 0.4])
    depths = torch.rand(4, 6, generator=generator, dtype=D).cumsum(-1)
    for beta in (0.1, 1.0):
        inputs = (f.clone().requires_grad_(), depths.clone().requires_grad_(), torch.tensor(beta, dtype=D))
        inputs[2].requires_grad_()
        assert torch.autograd.gradcheck(composite, inputs)
    steps = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=D)
    flat = torch.zeros(1, 4, dtype=D, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: composite(f, steps, 0.1), [flat])


def test_gradients_of_a_picture(generator: torch.Generator) -> None:
    """gradcheck through the whole: radius, centre, beta and colour, at fixed samples."""
    origins, directions = rays(4)
    tint = torch.rand(3, generator=generator, dtype=D)

    def picture(radius: Tensor, center: Tensor, beta: Tensor, tint: Tensor) -> tuple[Tensor, ...]:
        def shade(points: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
            return tint * coloured(points, normals, directions)

        def field(x: Tensor) -> Tensor:
            return (x - center).square().sum(-1).sqrt() - radius

        return tuple(render_rays(field, shade, origins, directions, beta, None, coarse=5, rounds=0))

    inputs = [torch.tensor(0.5, dtype=D), torch.rand(3, generator=generator, dtype=D) / 5, torch.tensor(0.2, dtype=D)]
    leaves = [tensor.requires_grad_() for tensor in (*inputs, tint)]
    assert torch.autograd.gradcheck(picture, leaves)


@pytest.mark.parametrize("field", [sphere, torus, bumpy], ids=lambda field: field.__name__)
def test_the_sharp_limit_is_the_traced_picture(field: Field, generator: torch.Generator) -> None:
    """beta -> 0: alpha tells hits, and colour, depth and normals are those of the first surface."""
    origins, directions = rays(600)
    trace = sphere_trace(field, origins, directions)
    worst = {}
    for beta in (0.05, 5e-4, 1e-5):
        got = render_rays(field, coloured, origins, directions, beta, generator, coarse=96, fine=32, rounds=3)
        error = (got.depth - trace.depth).abs()[trace.hit & (got.alpha > 0.5)]
        worst[beta] = error.median()
    assert worst[1e-5] < worst[5e-4] < worst[0.05]
    # A ray may graze the surface between two samples of the first round.
    assert ((got.alpha > 0.5) == trace.hit).float().mean() > 0.99
    points = trace.points[trace.hit]
    _, normals = value_and_gradient(field, points)
    wanted = torch.cat([coloured(points, normals, directions[trace.hit]), normals, trace.depth[trace.hit, None]], -1)
    found = torch.cat([got.color, got.normals, got.depth[:, None]], -1)[trace.hit]
    close = ((found - wanted).abs() < 5e-3).all(-1)
    assert close.float().mean() > 0.95


def test_softer_is_more_transparent() -> None:
    """The alpha of rays through a ball falls, and that of rays past it rises, as beta grows."""
    origins = torch.tensor([[0.0, 0, 3], [0, 0.7, 3]], dtype=D)
    directions = torch.tensor([[0.0, 0, -1]], dtype=D).expand(2, 3)
    alphas = [render_rays(SphereField(0.5), coloured, origins, directions, b, None).alpha for b in (0.01, 0.1, 0.5)]
    assert alphas[0][0] > alphas[1][0] > alphas[2][0] > 0.5
    assert alphas[0][1] < alphas[1][1] < 0.9


def test_rays_that_miss_the_sphere_and_no_rays() -> None:
    """Zeros, with the gradients of the others intact; nothing at all is fine."""
    origins, directions = rays(40)
    directions[::2] *= -1
    radius = torch.tensor(0.5, dtype=D, requires_grad=True)
    got = render_rays(SphereField(radius), coloured, origins, directions, 0.1, None)
    assert (got.alpha[::2] == 0).all()
    assert (got.color[::2] == 0).all()
    assert (got.alpha[1::2] > 0).sum() > 10
    (slope,) = torch.autograd.grad(got.alpha.sum(), radius)
    assert slope > 0
    nothing = render_rays(sphere, coloured, torch.zeros(0, 3), torch.zeros(0, 3), 0.1, None)
    assert [len(part) for part in nothing] == [0, 0, 0, 0]
    away = render_rays(sphere, coloured, origins[::2], directions[::2], 0.1, None)
    assert all((part == 0).all() for part in away)


def test_randomness_is_the_callers() -> None:
    """Equal generators give equal pictures, others give others, and torch's own stream is not touched."""
    origins, directions = rays(30)
    state = torch.get_rng_state()
    one, again, other = (
        render_rays(sphere, coloured, origins, directions, 0.1, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.color, again.color)
    assert not torch.equal(one.color, other.color)
    torch.testing.assert_close(one.alpha, other.alpha, rtol=0, atol=0.02)  # samples differ, the integral does not
    assert torch.equal(state, torch.get_rng_state())


def test_rays_are_independent() -> None:
    """A batch equals the loop over its rays."""
    origins, directions = rays(8)
    batch = render_rays(bumpy, coloured, origins, directions, 0.05, None)
    for i in range(8):
        single = render_rays(bumpy, coloured, origins[i : i + 1], directions[i : i + 1], 0.05, None)
        for many, one in zip(batch, single, strict=True):
            torch.testing.assert_close(many[i], one[0], **FLOAT64)


def picture_of(
    field: Field = sphere, shade: Any = coloured, beta: Any = 0.1, **options: Any
) -> Callable[[], VolumeRays]:
    """A call with some arguments exchanged."""
    origins, directions = rays(4)
    return lambda: render_rays(field, shade, origins, directions, beta, None, **options)


ONE = torch.zeros(1, 3)
ERRORS: list[tuple[type[LabError], Callable[[], object]]] = [
    (DomainError, lambda: density(ONE, 0.0)),
    (DomainError, lambda: density(ONE * torch.nan, 0.1)),
    (ShapeError, lambda: density(ONE, torch.ones(2))),
    (DomainError, lambda: composite(ONE, torch.tensor([[0.0, 2, 1]]), 0.1)),
    (DomainError, lambda: composite(ONE, torch.tensor([[0.0, 1, torch.inf]]), 0.1)),
    (DomainError, lambda: composite(ONE, torch.tensor([[torch.nan, 1, 2]]), 0.1)),
    (DomainError, lambda: composite(ONE, ONE, -0.1)),
    (ShapeError, lambda: composite(ONE, torch.zeros(1, 2), 0.1)),
    (DTypeError, lambda: composite(ONE, ONE.long(), 0.1)),
    (DeviceError, lambda: composite(ONE, ONE.to("meta"), 0.1)),
    (DomainError, picture_of(beta=0.0)),
    (DomainError, picture_of(radius=0.0)),
    (DomainError, picture_of(coarse=1)),
    (DomainError, picture_of(rounds=-1)),
    (DTypeError, picture_of(fine=2.0)),
    (DomainError, picture_of(field=lambda x: x[:, 0] * torch.nan)),
    (DomainError, picture_of(shade=lambda x, n, v: x / 0)),
    (ShapeError, picture_of(field=lambda x: x)),
    (ShapeError, picture_of(shade=lambda x, n, v: x[:, :2])),
]


@pytest.mark.parametrize(("error", "call"), ERRORS)
def test_bad_input(error: type[LabError], call: Callable[[], object]) -> None:
    """Bad input is refused."""
    with pytest.raises(error):
        call()
