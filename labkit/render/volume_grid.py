"""Pictures of a volume without surfaces, as IG-GAN's baselines see them: parallel rays along z, one per column."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_device, check_positive, check_tensor
from labkit.scene.vectors import check_between

SLACK = 1e-4  # what rounding in a resampled grid may exceed [0, 1] by


def visual_hull(grid: Tensor, *, tau: float = 1.0, background: float = 1.0, color: float = 0.0) -> Tensor:
    """Return the smoothed silhouette ``alpha = 1 - exp(-tau sum v)``, v the occupancies on a ray.

    Args:
        grid: (B, 1, M, M, M) occupancies in [0, 1] in the camera's frame: x right, y up, z to the camera.
        tau: absorption of a full voxel. 1 in PlatonicGAN's code; PrGAN (Gadelha et al. 2017, equation 3) has a factor
            too, which its code cancels.
        background, color: brightness where alpha is 0 and 1; 0 and 1 in the papers, white and black here.

    Returns:
        (B, 1, M, M), row 0 on top, between ``color`` and ``background``.

    Raises:
        ShapeError, DTypeError, DomainError: an argument is not so.
    """
    check_positive("tau", tau)
    _check_brightness(background=background, color=color)
    return _over(torch.exp(-tau * _rays(grid).sum(-1)), background, color)


def absorption_only(
    grid: Tensor, *, density: float = 20.0, floor: float = 1e-5, background: float = 1.0, color: float = 0.0
) -> Tensor:
    """Return what light from behind is absorbed to: ``alpha = 1 - prod(1 - density v / M)`` over a ray's M voxels.

    Args:
        grid: as in `visual_hull`.
        density: absorption per edge of the grid, 20 in PlatonicGAN's code (Henzler et al. 2019, absorption only);
            IG-GAN gives none. With it a grid that only embeds the shape with room around it should be denser: 40 for
            a cube of 64 in one of 128.
        floor: the least that a voxel lets through, 1e-5 in that code; the product is a sum of logarithms.
        background, color: as in `visual_hull`.

    Returns:
        (B, 1, M, M), as `visual_hull`.

    Raises:
        ShapeError, DTypeError, DomainError: an argument is not so.
    """
    check_positive("density", density)
    check_between("floor", floor, 0, 1)
    _check_brightness(background=background, color=color)
    rays = _rays(grid)
    return _over((1 - rays * (density / rays.shape[-1])).clamp_min(floor).log().sum(-1).exp(), background, color)


def emission_absorption(
    grid: Tensor,
    emission: Tensor | float = 0.5,
    *,
    density: float = 100.0,
    samples: int = 1024,
    floor: float = 1e-5,
    background: float = 1.0,
) -> Tensor:
    """Return what a glowing fog sends: ``sum T a e + T_end background``, T the transmittance up to a voxel, a its own.

    Each ray has ``samples`` samples of absorption ``density v / samples``, so each of M voxels holds samples / M of
    them and ``a = 1 - (1 - density v / samples)^(samples / M)``.

    Args:
        grid: as in `visual_hull`.
        emission: e, brightness in [0, 1]: of all voxels, or of each, of the grid's shape. The paper's volumes have
            colours; with one brightness for all the picture is absorption with another density.
        density, samples: 100 and 1024 in PlatonicGAN's code (Henzler et al. 2019, emission-absorption).
        floor: the least that a sample lets through.
        background: brightness behind the volume.

    Returns:
        (B, 1, M, M), row 0 on top.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: an argument is not so.
    """
    check_positive("density", density)
    check_positive("samples", samples)
    check_between("floor", floor, 0, 1)
    _check_brightness(background=background)
    rays = _rays(grid)
    if isinstance(emission, Tensor):
        check_device(grid=grid, emission=emission)
        light = _rays(check_tensor("emission", emission, " ".join(map(str, grid.shape))), "emission")
    else:
        _check_brightness(emission=emission)
        light = rays.new_tensor(emission)
    logs = (1 - rays * (density / samples)).clamp_min(floor).log() * (samples / rays.shape[-1])  # of 1 - a
    sums = logs.cumsum(-1)
    passed = torch.exp(sums - logs)  # T: what comes through the voxels in front
    gathered = (passed * -torch.expm1(logs) * light).sum(-1)
    return gathered + sums[..., -1].exp() * background


def _rays(grid: Tensor, name: str = "grid") -> Tensor:
    """(B, 1, M rows downwards, M columns, M voxels from front to back) of a checked grid."""
    check_tensor(name, grid, "B 1 M M M")
    if not grid.shape[-1]:
        raise ShapeError(name, tuple(grid.shape), "a grid with voxels")
    if grid.numel() and not (float(grid.detach().amin()) >= -SLACK and float(grid.detach().amax()) <= 1 + SLACK):
        raise DomainError(name, f"{grid.detach().amin()} to {grid.detach().amax()}", "values in [0, 1]")
    return grid.clamp(0, 1).transpose(2, 3).flip(2, 4)


def _over(transmittance: Tensor, background: float, color: float) -> Tensor:
    """Mix the brightness in front and behind."""
    return color + transmittance * (background - color)


def _check_brightness(**values: float) -> None:
    """Refuse what does not lie in [0, 1]."""
    for name, value in values.items():
        check_between(name, value, 0, 1, with_low=True, with_high=True)
