"""Volume rendering of an implicit surface: soft where beta is large, which trains without masks, sharp as beta -> 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_device, check_positive, check_tensor
from labkit.geometry.sdf import Field, value_and_gradient
from labkit.render.field_rays import check_rays, evaluate, sphere_span
from labkit.smooth.gates import family_of

FLOOR = 1e-4  # share of the samples' distribution that is uniform, so that no part of a ray goes unseen


class VolumeRays(NamedTuple):
    """What N rays gather, each a sum over their samples with weights of sum alpha.

    ``color`` (N, 3), to be put over a background b as ``color + (1 - alpha) b``; ``alpha`` (N,), in [0, 1]; ``depth``
    (N,), from the origin in world units, and ``normals`` (N, 3), the gradients of f, both to be divided by alpha for
    a mean.
    """

    color: Tensor
    alpha: Tensor
    depth: Tensor
    normals: Tensor


def density(f: Tensor, beta: float | Tensor) -> Tensor:
    """Return VolSDF's density ``sigma = Psi(-f / beta) / beta``, Psi the cumulative Laplace distribution.

    Args:
        f: signed distance, any shape, negative inside.
        beta: softness in world units, greater than 0, a number or a one-element tensor.

    Returns:
        The shape of ``f``, per world unit: 1 / beta deep inside, half of it on the surface, 0 far outside.

    Raises:
        DTypeError, ShapeError, DomainError: ``f`` no finite float tensor, or ``beta`` not one positive number.

    Source: VolSDF (Yariv et al. 2021), equations 2 and 3, with alpha = 1 / beta as in its experiments.
    """
    check_positive("beta", beta, "world units")
    # labkit's Laplace family has the scale 2.
    return family_of("laplace")(-2 * check_tensor("f", f, "...") / beta) / beta


def composite(f: Tensor, depths: Tensor, beta: float | Tensor) -> Tensor:
    """Return the weight that each sample of a ray has in what the eye gathers.

    Between two samples f is taken as linear, for which the integral of the density is known exactly; so the weights
    stay right where beta is far below the spacing of the samples. ``T (1 - exp(-integral))`` of an interval, T the
    transmittance up to it, is shared by its two ends. The products of transmittances are sums of integrals.

    Args:
        f: (N, S), signed distance at the samples, at least 1 on a ray.
        depths: (N, S), not decreasing, world units.
        beta: as in `density`.

    Returns:
        (N, S), not negative, with sum ``1 - exp(-integral over the ray)``, at most 1. Differentiable in all arguments.

    Raises:
        DomainError: NaN, infinity, decreasing depths, or ``beta`` not positive.
        ShapeError, DTypeError, DeviceError: as the names say.

    Source: VolSDF, section 3; the exact integral, in place of its rectangle rule, is labkit's.
    """
    check_tensor("f", f, "N S")
    check_device(f=f, depths=check_tensor("depths", depths, f"{f.shape[0]} {f.shape[1]}", finite=False))
    check_positive("beta", beta, "world units")
    lengths = depths.diff(dim=-1)  # (N, S - 1)
    if not bool(((lengths >= 0) & lengths.isfinite()).all()):
        got = "NaN, infinity, or a sample nearer than the one before it"
        raise DomainError("depths", got, "finite depths that do not decrease")
    u = f / beta
    integral = torch.minimum(u, torch.zeros_like(u)) - 0.5 * torch.exp(-u.abs())  # of Psi(-u) du
    rise = u.diff(dim=-1)
    # The quotient loses digits as 1 / rise, the midpoint rule errs by rise^2 / 24: change where they are equal.
    flat = rise.abs() < (24 * torch.finfo(f.dtype).eps) ** (1 / 3)
    exact = integral.diff(dim=-1) / torch.where(flat, torch.ones_like(rise), rise) / beta
    optical = lengths * torch.where(flat, density((f[:, 1:] + f[:, :-1]) / 2, beta), exact)  # (N, S - 1)
    before = torch.nn.functional.pad(optical, (1, 0)).cumsum(-1)[:, :-1]  # of all intervals in front
    weights = torch.exp(-before) * -torch.expm1(-optical)
    return (torch.nn.functional.pad(weights, (1, 0)) + torch.nn.functional.pad(weights, (0, 1))) / 2


def render_rays(
    field: Field,
    shade: Callable[[Tensor, Tensor, Tensor], Tensor],
    origins: Tensor,
    directions: Tensor,
    beta: float | Tensor,
    generator: torch.Generator | None,
    *,
    radius: float = 1.0,
    coarse: int = 48,
    fine: int = 16,
    rounds: int = 2,
) -> VolumeRays:
    """Return what rays gather inside the sphere: samples of equal spacing, then more where the weights are.

    The depths of the samples are constants, found without gradients; colours, normals and weights at them are
    differentiable in the field, in ``shade``, in ``beta`` and in the rays.

    Args:
        field: f, (N, 3) -> (N,), negative inside, with its gradient as `value_and_gradient` takes it.
        shade: M of UDR, equation 5: points (N, 3), the gradients of f there (N, 3), not normalised, and directions
            (N, 3) to colours (N, 3). It sees every sample.
        origins, directions: (N, 3), the directions of length 1.
        beta: as in `density`.
        generator: moves each sample at random within its share of the ray; None: to the middle of it.
        radius: of the sphere about the origin, world units.
        coarse: samples of equal spacing, at least 2, with the two ends of the ray besides.
        fine: samples of each further round, at least 1, by the inverse of the cumulated weights so far.
        rounds: further rounds, at least 0.

    Returns:
        Zeros for rays that do not meet the sphere.

    Raises:
        DomainError: NaN or infinity in the rays, the field or the colours, or a number out of range.
        ShapeError, DTypeError, DeviceError: as the names say.

    Source: VolSDF, section 3; sampling in rounds as in NeuS.
    """
    check_rays(origins, directions)
    check_positive("beta", beta, "world units")
    check_positive("radius", radius, "world units")
    for name, number, least in (("coarse", coarse, 2), ("fine", fine, 1), ("rounds", rounds, 0)):
        if isinstance(number, bool) or not isinstance(number, int):
            raise DTypeError(name, type(number).__name__, "a whole number")
        if number < least:
            raise DomainError(name, number, f"at least {least}")
    count = len(origins)
    share = torch.full((count, coarse + rounds * fine), 0.5)
    if generator is not None:
        share = torch.rand(share.shape, generator=generator, device=generator.device)
    with torch.no_grad():
        near, far, _ = sphere_span(origins, directions, radius)
        rows = (far > near).nonzero()[:, 0]  # (M,)
        first, *others = share.to(origins)[rows].split([coarse, *[fine] * rounds], -1)
        near, far = near[rows, None], far[rows, None]
        strata = (torch.arange(coarse, device=first.device) + first) / coarse  # (M, coarse), in (0, 1)
        # Rounding may carry the last one beyond the far end.
        depths = torch.cat([near, torch.minimum(near + (far - near) * strata, far), far], -1)
        f = _values(field, origins[rows], directions[rows], depths) if rounds else depths
        for random in others:
            more = _inverse(depths, composite(f, depths, beta), random)
            order = torch.cat([depths, more], -1).sort(-1)
            f = torch.cat([f, _values(field, origins[rows], directions[rows], more)], -1).gather(-1, order.indices)
            depths = order.values
    ways = directions[rows, None].expand(*depths.shape, 3)  # (M, S, 3)
    points = origins[rows, None] + depths[..., None] * ways
    values, normals = value_and_gradient(field, points.flatten(0, 1))  # (M S,), (M S, 3)
    colors = check_tensor("shade", shade(points.flatten(0, 1), normals, ways.flatten(0, 1)), f"{len(values)} 3")
    weights = composite(values.reshape(depths.shape), depths, beta)  # (M, S)
    seen = torch.cat([colors, normals, depths.reshape(-1, 1)], -1).reshape(*depths.shape, 7)
    sums = (weights[..., None] * seen).sum(-2)  # (M, 7)
    sums = torch.cat([sums, weights.sum(-1, keepdim=True)], -1)
    all_rays = sums.new_zeros(count, 8).index_copy(0, rows, sums)
    return VolumeRays(all_rays[:, :3], all_rays[:, 7], all_rays[:, 6], all_rays[:, 3:6])


def _values(field: Field, origins: Tensor, directions: Tensor, depths: Tensor) -> Tensor:
    """f at the depths (M, S) of M rays, (M, S)."""
    points = origins[:, None] + depths[..., None] * directions[:, None]  # (M, S, 3)
    return evaluate(field, points.flatten(0, 1)).reshape(depths.shape)


def _inverse(depths: Tensor, weights: Tensor, random: Tensor) -> Tensor:
    """Depths distributed as the weights at ``depths``, (M, S) each; ``random`` (M, K) moves each in its share."""
    mass = weights[:, 1:] + weights[:, :-1]  # (M, S - 1), of intervals
    lengths = depths.diff(dim=-1)
    mass = mass / mass.sum(-1, keepdim=True).clamp_min(FLOOR) + FLOOR * lengths / lengths.sum(-1, keepdim=True)
    total = torch.nn.functional.pad(mass.cumsum(-1), (1, 0))  # (M, S)
    wanted = (torch.arange(random.shape[-1], device=random.device) + random) / random.shape[-1] * total[:, -1:]
    right = torch.searchsorted(total, wanted, right=True).clamp(1, depths.shape[-1] - 1)
    start, mass = total.gather(-1, right - 1), mass.gather(-1, right - 1)
    part = ((wanted - start) / mass.clamp_min(torch.finfo(mass.dtype).tiny)).clamp(0, 1)
    return depths.gather(-1, right - 1) + part * lengths.gather(-1, right - 1)
