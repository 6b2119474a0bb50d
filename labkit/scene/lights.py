"""Lights. A colour is the brightness of a white Lambert surface that faces the light (the factor pi is inside)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DTypeError, check_tensor
from labkit.scene.vectors import check_between, dot, spread, unit

Colour = float | Tensor | Sequence[float]
"""A grey level, or red, green and blue: a number, three numbers, or a tensor (), (3,) or (B, 3); each >= 0."""

BULB = 1e-3
"""Radius in world units that keeps a point light finite at its own position."""


@dataclass(frozen=True, eq=False)
class Ambient:
    """Light that reaches every point equally from everywhere; a surface sends back ``albedo * color``.

    Args:
        color: `Colour`, each part finite and at least 0.

    Raises:
        DomainError, ShapeError, DTypeError: as the names say.
    """

    color: Colour = 1.0

    def __post_init__(self) -> None:
        _check_colour(self.color)

    def radiance(self, points: Tensor) -> Tensor:
        """Return the light at ``points`` (..., 3) as a tensor that broadcasts against them."""
        return spread("color", self.color, points)


@dataclass(frozen=True, eq=False)
class Directional:
    """Light from infinitely far away.

    Args:
        direction: from the surface towards the light, in the world, (3,) or (B, 3), of any length in (1e-12, 1e12).
        color: `Colour`, each part finite and at least 0.

    Raises:
        DomainError, ShapeError, DTypeError: as the names say.
    """

    direction: Tensor | Sequence[float]
    color: Colour = 1.0

    def __post_init__(self) -> None:
        direction = _check_vector("direction", self.direction)
        check_between("length of direction", torch.linalg.vector_norm(direction, dim=-1), 1e-12, 1e12)
        _check_colour(self.color)

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors to the light and its radiance at ``points`` (..., 3), both broadcasting."""
        direction = spread("direction", self.direction, points)
        # The length is known not to be 0, so a plain norm is smooth here.
        to_light = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        return to_light, spread("color", self.color, points)


@dataclass(frozen=True, eq=False)
class Point:
    """A lamp at a point, whose light falls off with the inverse square of the distance.

    The radiance at distance d is ``color / (d^2 + BULB^2)``: ``color`` at distance 1, finite at distance 0.

    Args:
        position: in the world, (3,) or (B, 3).
        color: `Colour`, each part finite and at least 0.

    Raises:
        DomainError, ShapeError, DTypeError: as the names say.
    """

    position: Tensor | Sequence[float]
    color: Colour = 1.0

    def __post_init__(self) -> None:
        _check_vector("position", self.position)
        _check_colour(self.color)

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors to the light and its radiance at ``points`` (..., 3), both broadcasting."""
        offset = spread("position", self.position, points) - points
        return unit(offset), spread("color", self.color, points) / (dot(offset, offset) + BULB**2)


def _check_vector(name: str, value: Tensor | Sequence[float]) -> Tensor:
    """Return ``value`` as a detached float tensor if it is a finite (3,) or (B, 3), else raise."""
    vector = value.detach() if isinstance(value, Tensor) else _numbers(name, value)
    return check_tensor(name, vector, "B 3" if vector.ndim > 1 else "3")


def _check_colour(color: Colour) -> None:
    """Raise unless ``color`` is as `Colour` says."""
    colour = color.detach() if isinstance(color, Tensor) else _numbers("color", color)
    if colour.ndim:
        _check_vector("color", colour)
    check_between("color", colour, 0, torch.inf, with_low=True)


def _numbers(name: str, value: float | Sequence[float]) -> Tensor:
    """Return ``value`` as a float64 tensor, or raise `DTypeError`."""
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise DTypeError(name, repr(value), "numbers or a tensor") from error
