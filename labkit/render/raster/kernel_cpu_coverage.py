"""Distributions and t-conorm generators for one pixel and one face: the scalar twins of `distributions.py` and
`t_conorms.py`, in float64 with exact tails. Codes are positions in DISTRIBUTIONS and T_CONORMS."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

PLAIN: dict[str, Any] = {"error_model": "numpy"}
TINY = 2.2250738585072014e-308
SATURATED = 1e-40  # 1 - D at which D no longer moves alpha; slopes of generators, up to 1 / c^21, would overflow
LARGEST_EXPONENT = 0.8 * 709.782712893384
PROBABILISTIC = 1
SUM, HARD = 9, 10  # codes beyond those of T_CONORMS: mean of D, and whether any D > 1/2


@njit(**PLAIN)
def _lower(code: int, v: float) -> tuple[float, float]:
    """F(v) and its density for v <= 0, of the distributions with 1 - F(v) = F(-v)."""
    if code == 1:  # uniform
        return (max(0.0, (v + 1) / 2), 0.5) if v > -1 else (0.0, 0.0)
    if code == 2:  # cubic Hermite
        y = max(0.0, (v + 1) / 2)
        return y * y * (3 - 2 * y), 3 * y * (1 - y)
    if code == 3:  # Wigner's semicircle
        if v <= -1 + 1e-7:
            return 0.0, 0.0
        root = math.sqrt(1 - v * v)
        return 0.5 + (v * root + math.asin(v)) / math.pi, 2 * root / math.pi
    if code == 4:  # Gaussian
        return 0.5 * math.erfc(-v / math.sqrt(2.0)), math.exp(-v * v / 2) / math.sqrt(2 * math.pi)
    if code == 5:  # Laplace
        half = 0.5 * math.exp(v)
        return half, half
    if code == 6:  # logistic
        e = math.exp(v)
        return e / (1 + e), e / ((1 + e) * (1 + e))
    if code == 7:  # Gudermannian
        e = math.exp(v)
        return 2 / math.pi * math.atan(e), 2 / math.pi * e / (1 + e * e)
    if code == 8:  # Cauchy
        return math.atan2(1.0, -v) / math.pi, 1 / (math.pi * (1 + v * v))
    return 0.5 / (1 - v), 0.5 / ((1 - v) * (1 - v))  # reciprocal


@njit(**PLAIN)
def _incomplete_gamma(a: float, x: float) -> tuple[float, float]:
    """Regularised lower and upper incomplete gamma function, x > 0: series below a + 1, continued fraction above."""
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > 1e-17 * total:
            n += 1
            term *= x / n
            total += term
        return front * total, 1 - front * total
    b = x + 1 - a
    c, d = 1e300, 1 / b
    h, i = d, 0
    step = 0.0
    while abs(step - 1) > 1e-16 and i < 500:
        i += 1
        b += 2
        d = 1 / (b - i * (i - a) * d)
        c = b - i * (i - a) / c
        step = c * d
        h *= step
    return 1 - front * h, front * h


@njit(**PLAIN)
def _positive(code: int, v: float, shape: float) -> tuple[float, float, float]:
    """F(v), 1 - F(v) and the density of the distributions that are not symmetric."""
    if code == 10:  # Gumbel, maximum
        rate = math.exp(min(-v, 80.0))
        return math.exp(-rate), -math.expm1(-rate), rate * math.exp(-rate)
    if v <= 0:
        return 0.0, 1.0, 0.0
    if code == 12:  # exponential
        return -math.expm1(-v), math.exp(-v), math.exp(-v)
    if code == 14:  # gamma
        low, high = _incomplete_gamma(shape, v)
        return low, high, math.exp((shape - 1) * math.log(v) - v - math.lgamma(shape))
    root = math.sqrt(0.5 / v)  # Levy
    return math.erfc(root), math.erf(root), math.exp(-0.5 / v) / (v * math.sqrt(2 * math.pi * v))


@njit(**PLAIN)
def coverage(code: int, v: float, shape: float) -> tuple[float, float, float]:
    """D = F(v), 1 - D and dD / dv."""
    if code == 0:
        return (1.0, 0.0, 0.0) if v >= 0 else (0.0, 1.0, 0.0)
    if code < 10:
        tail, density = _lower(code, -abs(v))
        return (tail, 1 - tail, density) if v < 0 else (1 - tail, tail, density)
    if code % 2:  # a reversed distribution
        d, c, density = _positive(code - 1, -v, shape)
        return c, d, density
    return _positive(code, v, shape)


@njit(**PLAIN)
def generator(code: int, d: float, c: float, p: float) -> tuple[float, float]:
    """g(D) of a t-conorm and its derivative to D, for D > 0."""
    if code == 0 or code >= SUM:
        return d, 1.0
    flat = c <= SATURATED
    c = max(c, TINY)  # as in the reference
    steep = 0.0 if flat else 1 / c
    loss = -math.log1p(-d) if d < 0.5 else -math.log(c)
    if code == PROBABILISTIC:
        return loss, steep
    if code == 2:  # Einstein
        return 0.5 * (math.log1p(d) + loss), 0.5 * (1 / (1 + d) + steep)
    if code == 4:  # Frank
        rate = math.log(p)
        rise = math.expm1(c * rate)
        return -math.log(rise / (p - 1)), 0.0 if flat else rate * math.exp(c * rate) / rise
    if code == 5:  # Yager
        return d**p, p * d ** (p - 1)
    if code == 6:  # Aczel and Alsina
        return loss**p, p * loss ** (p - 1) * steep
    if code == 8:  # Schweizer and Sklar
        exponent = -p * loss
        if exponent >= LARGEST_EXPONENT:
            return math.exp(LARGEST_EXPONENT), 0.0
        return math.expm1(exponent), -p * math.exp(exponent) * steep
    power = p if code == 7 else 1.0  # Dombi; Hamacher is built on the same with p = 1
    exponent = power * (math.log(d) + loss)
    capped = exponent >= LARGEST_EXPONENT
    odds = math.exp(min(exponent, LARGEST_EXPONENT))
    slope = 0.0 if capped else power * odds / d * steep
    if code == 3 and p > 0:  # Hamacher
        return math.log1p(p * odds), p * slope / (1 + p * odds)
    return odds, slope
