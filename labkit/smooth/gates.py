"""Soft answers to yes-or-no questions: sigmoids, comparisons, logic, choice. All of AlgoNet is built of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from labkit.errors import DomainError, check_positive, check_tensor

Number = float | Tensor


def _bounded(curve: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Cut v where F is 0 or 1 to the last digit, so that v^2 and v^3, met in the derivatives, are finite."""

    def bounded(v: Tensor) -> Tensor:
        bound = torch.finfo(v.dtype).max ** 0.25
        return curve(v.clamp(-bound, bound))

    return bounded


def _laplace(v: Tensor) -> Tensor:
    # each branch sees its own side only, so the one that is not taken cannot overflow
    return torch.where(v < 0, 0.5 * torch.exp(v.clamp(max=0) / 2), 1 - 0.5 * torch.exp(-v.clamp(min=0) / 2))


# The one place where a sigmoid is chosen. Every F has F(0) = 1/2 and slope F'(0) = 1/4, as the logistic function.
FAMILIES: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": torch.sigmoid,  # its derivatives come from its values, so it needs no bound
    "gaussian": _bounded(lambda v: torch.special.ndtr(v * math.sqrt(2 * math.pi) / 4)),
    "cauchy": _bounded(lambda v: torch.atan(v * math.pi / 4) / math.pi + 0.5),
    "laplace": _bounded(_laplace),
    "algebraic": _bounded(lambda v: 0.5 + 0.25 * v / torch.hypot(v / 2, torch.ones_like(v))),
    "uniform": _bounded(lambda v: (0.5 + v / 4).clamp(0, 1)),
}


def family_of(name: str) -> Callable[[Tensor], Tensor]:
    """The sigmoid F of that name, as a function of v = steepness * x, which may be infinite.

    Raises:
        DomainError: there is no such family.
    """
    if name not in FAMILIES:
        raise DomainError("family", repr(name), f"one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def sigmoid(x: Tensor, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "x > 0": ``F(steepness * x)``, from 0 to 1.

    The families agree in the middle, F(0) = 1/2 with slope ``steepness / 4``, and differ in tails and smoothness:

    =========  =====================================  ==================  ==========
    family     F(v)                                   1 - F for large v   smoothness
    =========  =====================================  ==================  ==========
    logistic   1 / (1 + exp(-v))                      exp(-v)             C-infinity
    gaussian   Phi(v sqrt(2 pi) / 4)                  exp(-v^2 pi / 16)   C-infinity
    cauchy     1/2 + atan(v pi / 4) / pi              4 / (pi^2 v)        C-infinity
    laplace    exp(v / 2) / 2 below 0, and mirrored   exp(-v / 2) / 2     C1
    algebraic  1/2 + v / (4 sqrt(1 + v^2 / 4))        1 / v^2             C-infinity
    uniform    1/2 + v / 4, cut to [0, 1]             0 beyond v = 2      C0
    =========  =====================================  ==================  ==========

    Args:
        x: any shape, float.
        steepness: s > 0, one number, per unit of ``x``.
        family: a name of the table.

    Returns:
        The shape of ``x``, in [0, 1].

    Raises:
        DTypeError, DomainError: not finite, not positive, or no such family.

    Source: AlgoNet, section 3.1, equation 1 (logistic). The others, with labkit's common slope, are the cumulative
    distributions that later work on soft renderers and sorting networks uses.
    """
    check_tensor("x", x, "...")
    check_positive("steepness", steepness)
    return family_of(family)(steepness * x)


def smooth_step(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, and ``3 x^2 - 2 x^3`` between: the C1 step of AlgoNet, section 3.1 (misprinted there).

    Args:
        x: any shape, float.

    Raises:
        DTypeError, DomainError: not a finite float tensor.
    """
    t = check_tensor("x", x, "...").clamp(0, 1)
    return t * t * (3 - 2 * t)


def heaviside(x: Tensor) -> Tensor:
    """The hard step: 0 for x < 0, else 1; its gradient is zero everywhere (AlgoNet, equation 2).

    Raises:
        DTypeError, DomainError: not a finite float tensor.
    """
    return (check_tensor("x", x, "...") >= 0).to(x.dtype)


def gt(a: Tensor, b: Number, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "a > b": ``F(s (a - b))``; 1/2 where they are equal (`sigmoid` tells shapes and errors)."""
    return sigmoid(a - b, steepness, family)


def ge(a: Tensor, b: Number, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "a >= b": the same number as `gt`, since a smooth function cannot jump at equality."""
    return gt(a, b, steepness, family)


def lt(a: Tensor, b: Number, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "a < b": ``F(s (b - a))``; 1/2 where they are equal (`sigmoid` tells shapes and errors)."""
    return sigmoid(b - a, steepness, family)


def le(a: Tensor, b: Number, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "a <= b": the same number as `lt`, since a smooth function cannot jump at equality."""
    return lt(a, b, steepness, family)


def eq(a: Tensor, b: Number, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "a == b": ``4 F (1 - F)`` of ``F(s (a - b))``; 1 at equality, 0 far from it.

    For the logistic family it is ``sech^2(s (a - b) / 2)``. It falls to 0.42 at ``|a - b| = 2 / s``.
    """
    return 4 * gt(a, b, steepness, family) * lt(a, b, steepness, family)


def ne(a: Tensor, b: Number, steepness: Number, family: str = "logistic") -> Tensor:
    """The soft form of "a != b": ``1 - eq(a, b)``; 0 at equality."""
    return logical_not(eq(a, b, steepness, family))


def logical_not(p: Tensor) -> Tensor:
    """``1 - p``."""
    return 1 - p


def logical_and(*p: Tensor) -> Tensor:
    """The probability that all of independent events hold: the product of at least one ``p``, each in [0, 1]."""
    return reduce(torch.mul, p)


def logical_or(*p: Tensor) -> Tensor:
    """The probability that one of independent events holds: ``1 - prod(1 - p)`` of at least one ``p`` in [0, 1]."""
    return logical_not(logical_and(*map(logical_not, p)))


def where(p: Tensor, then: Number, otherwise: Number) -> Tensor:
    """Both branches of an "if" at once: ``p then + (1 - p) otherwise``, p in [0, 1] (AlgoNet, section 3.1.1, Eq. 3)."""
    return p * then + (1 - p) * otherwise
