"""T-conorms: nine ways to say "at least one of these faces is here" (GenDR, section 4 and Table 2).

Each but the maximum is Archimedean: it has an additive generator g with ``alpha = g^-1(sum_f g(D_f))``, so that faces
can be streamed in any order, and the derivative to one face needs no division by what the other faces did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.render.raster.reference import NOTHING

OVERFLOW = 0.8  # share of the largest exponent that a generator may reach
STRONGEST = 20.0  # |p| of a power; at more, float64 holds no sum of powers, and alpha is the maximum in all but name
POWERS = f"0 < p <= {STRONGEST:g}"
FULL = 700.0  # -log(1 - alpha) at which alpha is 1 in any type
EXTREME = 1e6  # p (or 1 / p) at which Hamacher's and Frank's formulas still keep their digits


@dataclass(frozen=True)
class TConorm:
    """One t-conorm.

    Attributes:
        generator: (log D, log(1 - D), p) -> g(D), from 0 at D = 0 upwards.
        alpha: (sum of g, p) -> the combined coverage in [0, 1].
        domain: what p may be, in words; empty if it has no parameter.
        allows: whether a given finite p is allowed.
    """

    generator: Callable[[Tensor, Tensor, float], Tensor]
    alpha: Callable[[Tensor, float], Tensor]
    domain: str = ""
    allows: Callable[[float], bool] = lambda p: True


def _root(total: Tensor, p: float) -> Tensor:
    """total^(1/p), with slope 0 where the total is 0."""
    return torch.where(total > 0, torch.where(total > 0, total, 1.0) ** (1 / p), 0.0)


def _exp(x: Tensor) -> Tensor:
    """e^x, cut where many of them would overflow."""
    return torch.exp(x.clamp(max=OVERFLOW * math.log(torch.finfo(x.dtype).max)))


def _hamacher(log_d: Tensor, log_c: Tensor, p: float) -> Tensor:
    return _exp(log_d - log_c) if p == 0 else torch.log1p(p * _exp(log_d - log_c))


def _hamacher_alpha(total: Tensor, p: float) -> Tensor:
    return 1 - 1 / (1 + total) if p == 0 else -torch.expm1(-total) / (1 + (p - 1) * torch.exp(-total))


def _dombi_alpha(total: Tensor, p: float) -> Tensor:
    positive = torch.where(total > 0, total, 1.0)
    return torch.where(total > 0, torch.sigmoid(positive.log() / p), 0.0)


def _power(p: float) -> bool:
    return 0 < p <= STRONGEST


# "max" takes the largest D instead of a sum. The order is the code by which kernels know them.
T_CONORMS: dict[str, TConorm] = {
    "max": TConorm(lambda d, c, p: d.exp(), lambda total, p: total),
    "probabilistic": TConorm(lambda d, c, p: -c, lambda total, p: -torch.expm1(-total)),
    "einstein": TConorm(lambda d, c, p: (torch.log1p(d.exp()) - c) / 2, lambda total, p: torch.tanh(total)),
    "hamacher": TConorm(_hamacher, _hamacher_alpha, f"0 <= p <= {EXTREME:g}", lambda p: 0 <= p <= EXTREME),
    "frank": TConorm(
        lambda d, c, p: -torch.log(torch.expm1(c.exp() * math.log(p)) / (p - 1)),
        lambda total, p: 1 - torch.log1p((p - 1) * torch.exp(-total)) / math.log(p),
        f"{1 / EXTREME:g} <= p <= {EXTREME:g}, but not 1",
        lambda p: 1 / EXTREME <= p <= EXTREME and p != 1,
    ),
    "yager": TConorm(lambda d, c, p: torch.exp(p * d), lambda total, p: _root(total.clamp(max=1), p), POWERS, _power),
    "aczel_alsina": TConorm(
        lambda d, c, p: _root(-c, 1 / p),
        lambda total, p: -torch.expm1(-_root(total.clamp(max=FULL**p), p)),
        POWERS,
        _power,
    ),
    "dombi": TConorm(lambda d, c, p: _exp(p * (d - c)), _dombi_alpha, POWERS, _power),
    "schweizer_sklar": TConorm(
        lambda d, c, p: _exp(p * c) - 1,
        lambda total, p: -torch.expm1(torch.log1p(total) / p),
        f"{-STRONGEST:g} <= p < 0",
        lambda p: _power(-p),
    ),
}


def combine(name: str, log_d: Tensor, log_c: Tensor, p: float) -> Tensor:
    """Coverage of all faces together, over the last dimension; in float64, which holds the powers.

    Args:
        name: a key of `T_CONORMS`.
        log_d, log_c: (..., F) log D and log(1 - D), F >= 1; `NOTHING` and 0 for a face that is not there.
        p: the parameter of the t-conorm, if it has one.

    Returns:
        (...,) in [0, 1], in the type of ``log_d``.
    """
    chosen = T_CONORMS[name]
    log_rest = log_c.double().clamp(min=math.log(torch.finfo(torch.float64).tiny))  # so that e to it is not 0
    each = chosen.generator(log_d.double(), log_rest, p).masked_fill(log_d <= NOTHING, 0)
    return chosen.alpha(each.max(-1).values if name == "max" else each.sum(-1), p).to(log_d)
