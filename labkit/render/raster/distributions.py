"""The eighteen distributions that turn a distance into a coverage (Petersen et al. 2022, GenDR, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LogPair = tuple[Tensor, Tensor]
STEEP = 80.0  # exponents beyond are cut: e^80 is still finite in float32


def _log(x: Tensor) -> Tensor:
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()


def _symmetric(lower: Callable[[Tensor], Tensor]) -> Callable[[Tensor, float], LogPair]:
    """From F, exact for v <= 0, of a distribution with 1 - F(v) = F(-v)."""

    def logs(v: Tensor, shape: float) -> LogPair:
        tail = lower(torch.where(v < 0, v, -v))  # (...) at most 1/2; the absolute value has no slope at 0
        low, high = _log(tail), torch.log1p(-tail)
        return torch.where(v < 0, low, high), torch.where(v < 0, high, low)

    return logs


def _mirrored(logs: Callable[[Tensor, float], LogPair]) -> Callable[[Tensor, float], LogPair]:
    """The reversed distribution, F(v) = 1 - G(-v)."""
    return lambda v, shape: logs(-v, shape)[::-1]


def _positive(pair: Callable[[Tensor, float], LogPair]) -> Callable[[Tensor, float], LogPair]:
    """A distribution on v > 0: F = 0 elsewhere."""

    def logs(v: Tensor, shape: float) -> LogPair:
        low, high = pair(torch.where(v > 0, v, 1.0), shape)
        return torch.where(v > 0, low, math.log(torch.finfo(v.dtype).tiny)), torch.where(v > 0, high, 0.0)

    return logs


def _gumbel_max(v: Tensor, shape: float) -> LogPair:
    rate = torch.exp((-v).clamp(max=STEEP))
    return -rate, _log(-torch.expm1(-rate))


def _heaviside(v: Tensor, shape: float) -> LogPair:
    nothing = math.log(torch.finfo(v.dtype).tiny)
    return torch.where(v >= 0, 0.0, nothing).to(v), torch.where(v >= 0, nothing, 0.0).to(v)


def _unit(v: Tensor) -> Tensor:
    return ((v + 1) / 2).clamp(min=0)  # of v <= 0


def _wigner(v: Tensor) -> Tensor:
    inner = v.clamp(min=-1 + 1e-7)  # the slope of asin is infinite at -1, where the root's is minus infinity
    return torch.where(v > -1 + 1e-7, 0.5 + (inner * (1 - inner.square()).sqrt() + inner.asin()) / math.pi, 0.0)


_exponential = _positive(lambda v, shape: (_log(-torch.expm1(-v)), -v))
_gamma = _positive(
    lambda v, shape: (
        _log(torch.special.gammainc(torch.full_like(v, shape), v)),
        _log(torch.special.gammaincc(torch.full_like(v, shape), v)),
    )
)


def _gaussian(v: Tensor, shape: float) -> LogPair:
    v = v.clamp(-STEEP / 2, STEEP / 2)  # beyond, F is 0 or 1 in any type, and the slope of log_ndtr is inf - inf
    return torch.special.log_ndtr(v), torch.special.log_ndtr(-v)


def _levy_inside(v: Tensor, shape: float) -> LogPair:
    root = (2 * v.clamp(min=1e-4)).rsqrt()  # below, F is 0 in any type
    return _log(torch.erfc(root)), _log(torch.erf(root))


_levy = _positive(_levy_inside)

# name -> (v, shape) -> (log F(v), log(1 - F(v))). The order is the code by which kernels know them.
DISTRIBUTIONS: dict[str, Callable[[Tensor, float], LogPair]] = {
    "heaviside": _heaviside,
    "uniform": _symmetric(_unit),
    "cubic_hermite": _symmetric(lambda v: _unit(v).square() * (3 - 2 * _unit(v))),
    "wigner_semicircle": _symmetric(_wigner),
    "gaussian": _gaussian,
    "laplace": _symmetric(lambda v: torch.exp(v) / 2),
    "logistic": lambda v, shape: (logsigmoid(v), logsigmoid(-v)),
    "gudermannian": _symmetric(lambda v: 2 / math.pi * torch.atan(torch.exp(v))),
    "cauchy": _symmetric(lambda v: torch.atan2(torch.ones_like(v), -v) / math.pi),
    "reciprocal": _symmetric(lambda v: 0.5 / (1 - v)),
    "gumbel_max": _gumbel_max,
    "gumbel_min": _mirrored(_gumbel_max),
    "exponential": _exponential,
    "exponential_rev": _mirrored(_exponential),
    "gamma": _gamma,
    "gamma_rev": _mirrored(_gamma),
    "levy": _levy,
    "levy_rev": _mirrored(_levy),
}


def log_probabilities(name: str, v: Tensor, shape: float = 0.5) -> LogPair:
    """log F(v) and log(1 - F(v)) of a distribution, each exact where it is small; where F or 1 - F is 0, its logarithm
    is that of the smallest positive number.

    Args:
        name: a key of `DISTRIBUTIONS`.
        v: any shape, the signed distance over the scale.
        shape: the shape parameter of gamma and gamma_rev; the others have none.
    """
    return DISTRIBUTIONS[name](v, shape)
