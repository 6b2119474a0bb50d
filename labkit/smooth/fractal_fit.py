"""The inverse problem of fractals: change the maps until the fractal looks like a given picture, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_device, check_positive, check_tensor
from labkit.events import Event, Picture, Step
from labkit.smooth.fractals import IteratedFunctionSystem
from labkit.smooth.splatting import blur, render_points

BRIGHTEST = 1 - 1 / 512  # half a step of an 8-bit picture below 1, where the optical depth would be infinite
STRETCH = 0.98  # the most that a fitted map may stretch: below 1, so that no orbit runs away
FINAL_RATE = 0.02  # of the learning rate


def fit(
    system: IteratedFunctionSystem,
    target: Tensor,
    *,
    generator: torch.Generator,
    points: int = 5000,
    sigmas: Sequence[float] = (8.0, 4.0, 2.0, 1.0),
    steps_per_level: int = 60,
    learning_rate: float = 0.01,
    exposure: float = 1.0,
    picture_every: int = 10,
) -> Iterator[Event]:
    """Fit a fractal to a picture with Adam, from the coarsest standard deviation to the finest.

    At each level the fractal is rendered with that level's sigma and compared with the target at the same sigma: the
    target is taken to be a picture made with the finest sigma, is turned into optical depth, which adds up as counts
    do, blurred by what is missing to the level's sigma, and turned into brightness again (`smoothed`). So a perfect
    fractal has zero loss at every level, up to the randomness of the points and to saturated pixels. The loss is the
    mean squared difference over the mean square of the target, 1 for a black picture. Each step draws new choices,
    so the fit cannot adapt to one set of points. The learning rate falls along a cosine over the whole fit.

    Args:
        system: changed in place: its coefficients always hold the fit so far, wherever the iteration is stopped. Maps
            that stretch more than 0.98 times are shrunk to that after each step, so that no orbit runs away.
        target: (H, W) or (1, H, W) in [0, 1], of the system's dtype, seen through the system's window; bright where
            the fractal is.
        generator: the source of the choices.
        points: points of each rendering.
        sigmas: standard deviations in pixels, falling; the last is that of the target.
        steps_per_level: steps at each sigma.
        learning_rate: of Adam, at the start.
        exposure: see `expose`; for a picture of unknown origin take `exposure_of` it.
        picture_every: steps between two pictures.

    Yields:
        After each step, `Step` with ``loss`` and ``sigma``; at the start of each level, `Picture` "target", what the
        level aims at; every so many steps and at the end of a level, `Picture` "fractal", the rendering that the
        step's loss was taken of.

    Raises:
        DTypeError, ShapeError, DomainError, DeviceError: at the call, for arguments out of their range or an empty
            target; later `DomainError` if the orbits of the given system run away.

    Source: AlgoNet, section 4.5.
    """
    image = _checked(target)
    check_device(coefficients=system.coefficients, target=image)
    if image.dtype != system.coefficients.dtype:
        raise DTypeError("target", image.dtype, str(system.coefficients.dtype))
    for value in sigmas:
        check_positive("sigmas", value, "pixels")
    if not sigmas or any(coarse <= fine for coarse, fine in pairwise(sigmas)):
        raise DomainError("sigmas", tuple(sigmas), "at least one number of pixels, each smaller than the one before")
    for name, count in (("points", points), ("steps_per_level", steps_per_level), ("picture_every", picture_every)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DomainError(name, count, "a whole number of at least 1")
    check_positive("learning_rate", learning_rate)
    check_positive("exposure", exposure)

    def events() -> Iterator[Event]:
        total = len(sigmas) * steps_per_level
        adam = torch.optim.Adam(system.parameters(), learning_rate, betas=(0.9, 0.99))
        for step in range(total):
            level, since = divmod(step, steps_per_level)
            if since == 0:
                goal = smoothed(image, sigmas[-1], sigmas[level])
                yield Picture(step, "target", goal)
            fall = 0.5 + 0.5 * math.cos(math.pi * step / total)
            adam.param_groups[0]["lr"] = learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * fall)
            drawn = system.points(system.draw(points, generator))
            picture = render_points(drawn, (image.shape[-2], image.shape[-1]), sigmas[level], system.window, exposure)
            loss = (picture - goal).square().mean() / goal.square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            system.shrink(STRETCH)
            yield Step(step + 1, total, {"loss": loss.item(), "sigma": float(sigmas[level])})
            if (step + 1) % picture_every == 0 or since == steps_per_level - 1:
                yield Picture(step + 1, "fractal", picture.detach())

    return events()


def smoothed(target: Tensor, fine: float, coarse: float) -> Tensor:
    """The picture (1, H, W) that a fractal seen as ``target`` at sigma ``fine`` shows at sigma ``coarse``, in pixels.

    Optical depth, ``-log(1 - brightness)``, is blurred; brightness 1 counts as half a step of an 8-bit picture less.

    Raises:
        DTypeError, ShapeError, DomainError: not (H, W) or (1, H, W), not in [0, 1], empty, or a bad sigma.
    """
    image = _checked(target)
    check_positive("fine", fine, "pixels")
    check_positive("coarse", coarse, "pixels")
    # two pictures are folded: the target's pixels have a width already, which adds the variance of a unit interval
    missing = coarse**2 - fine**2 - 1 / 12
    return -torch.expm1(-(blur(_depth(image), math.sqrt(missing)) if missing > 0 else _depth(image)))


def exposure_of(target: Tensor) -> float:
    """The exposure at which a fractal wholly inside the window has the target's mean optical depth.

    Args:
        target: (H, W) or (1, H, W) in [0, 1], not empty.

    Raises:
        DTypeError, ShapeError, DomainError: as the line above.
    """
    return _depth(_checked(target)).mean().item()


def _depth(image: Tensor) -> Tensor:
    return -torch.log1p(-image.clamp(max=BRIGHTEST))


def _checked(target: Tensor) -> Tensor:
    """The target as (1, H, W), detached."""
    check_tensor("target", target, "1 H W" if isinstance(target, Tensor) and target.ndim == 3 else "H W")
    if not (target.numel() and bool(((target >= 0) & (target <= 1)).all())):
        raise DomainError("target", "a pixel outside the range, or none", "brightness in [0, 1]")
    if not bool(target.any()):
        raise DomainError("target", "a picture that is 0 everywhere", "something to fit, bright on dark")
    return target.detach().reshape(1, *target.shape[-2:])
