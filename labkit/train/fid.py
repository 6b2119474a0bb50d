"""How far apart two sets of pictures are, judged by the features that a network sees in them: FID and KID."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_device, check_tensor
from labkit.nets.layers import check_count

KERNEL_ROWS = 1024  # of a kernel matrix that are held at once


@dataclass(frozen=True)
class FeatureDistance:
    """A distance, and what it was measured on. Both depend on N: compare distances of the same counts only.

    Attributes:
        name: "FID" or "KID".
        value: FID is at least 0; KID, which is unbiased, is below 0 about every second time for the same distribution.
        counts: N, pictures in the first and in the second set.
        error: standard error of the value, where it is known.

    Raises:
        DomainError: the value is not finite: the features are beyond what float64 can square or cube.
    """

    name: Literal["FID", "KID"]
    value: float
    counts: tuple[int, int]
    error: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise DomainError("features", f"a {self.name} of {self.value}", "features of moderate size")

    def __str__(self) -> str:
        error = "" if self.error is None else f" +- {self.error:.2g}"
        first, second = self.counts
        return f"{self.name} {self.value:.4g}{error} (N = {first}{f' and {second}' if second != first else ''})"


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and spread of features, in float64. Those of a long set are the sum of those of its parts.

    Outer products are summed about the mean of each part, and parts joined exactly (Chan, Golub, LeVeque 1979), since
    plain sums of squares lose the covariance where the mean is large.

    Attributes:
        count: N.
        mean: (D,).
        scatter: (D, D), the sum of the outer products of what differs from the mean.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureStatistics:
        """The statistics of features (N, D), float32 or float64, N at least 1.

        Raises:
            ShapeError, DTypeError, DomainError: not so, or not finite.
        """
        rows = _rows("features", features)
        mean = rows.mean(0)
        centred = rows - mean  # (N, D)
        return cls(len(rows), mean, centred.T @ centred)

    def __add__(self, other: FeatureStatistics) -> FeatureStatistics:
        """The statistics of both sets as one.

        Raises:
            ShapeError, DeviceError: their features differ in number, or lie on two devices.
        """
        _check_same(self.mean, other.mean)
        count = self.count + other.count
        shift = other.mean - self.mean  # (D,)
        between = shift.outer(shift) * (self.count * other.count / count)
        mean = self.mean + shift * (other.count / count)
        return FeatureStatistics(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """(D, D), unbiased: divided by N - 1, at least 1."""
        return self.scatter / max(self.count - 1, 1)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> FeatureDistance:
    """Frechet distance of two normal distributions, the FID if the features are a network's (Heusel et al. 2017).

    |m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)), unbounded, in squared units of the features. It is biased upward
    by about 1 / N. The trace of the root is the sum of the singular values of S_a^(1/2) S_b^(1/2), with symmetric roots
    of eigenvalues clamped at 0: no complex numbers, and no root of a rounding error, which S_a S_b itself would have
    where a covariance has no full rank.

    Raises:
        ShapeError, DeviceError: see `FeatureStatistics.__add__`.
        DomainError: N is not above the number of features, so that the covariance is no more than a guess; or features
            whose squares are beyond float64.
    """
    _check_same(a.mean, b.mean)
    for name, side in (("a", a), ("b", b)):
        if side.count <= len(side.mean):
            raise DomainError(f"{name}.count", side.count, f"more pictures than the {len(side.mean)} features")
        if not bool(side.scatter.isfinite().all()):
            raise DomainError(f"{name}.scatter", "NaN or infinity", "features of moderate size")
    apart = (a.mean - b.mean).square().sum()
    spread = a.covariance.trace() + b.covariance.trace()
    common = torch.linalg.svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    return FeatureDistance("FID", max((apart + spread - 2 * common).item(), 0.0), (a.count, b.count))


def kernel_distance(a: Tensor, b: Tensor, generator: torch.Generator, subsets: int = 10) -> FeatureDistance:
    """Squared maximum mean discrepancy with the kernel (x y / D + 1)^3, the KID (Binkowski et al. 2018), unbiased.

    The value is that of all features, whatever their order. The standard error comes from the values of disjoint random
    subsets, as the deviation of their mean; where the distributions are the same it is larger than the truth.

    Args:
        a, b: (N, D) and (M, D) features, float32 or float64, finite.
        generator: draws the subsets, on the CPU.
        subsets: 2 or more, with two features of each side at least.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: not so.
    """
    a, b = _rows("a", a), _rows("b", b)
    _check_same(a, b)
    check_count("subsets", subsets, 2, min(len(a), len(b)) // 2)
    orders = [torch.randperm(len(rows), generator=generator).to(rows.device) for rows in (a, b)]
    parts = [(a[orders[0][first::subsets]], b[orders[1][first::subsets]]) for first in range(subsets)]
    values = torch.tensor([_discrepancy(*part) for part in parts], dtype=torch.float64)  # (subsets,)
    return FeatureDistance("KID", _discrepancy(a, b), (len(a), len(b)), values.std().item() / math.sqrt(subsets))


def _discrepancy(a: Tensor, b: Tensor) -> float:
    """The unbiased estimate: no feature is compared with itself."""
    between = _kernel_sum(a, b) / (len(a) * len(b))
    return (_within(a) + _within(b) - 2 * between).item()


def _within(rows: Tensor) -> Tensor:
    """The mean kernel of two different rows, ()."""
    itself = _kernel(rows.square().mean(-1)).sum()
    return (_kernel_sum(rows, rows) - itself) / (len(rows) * (len(rows) - 1))


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """The kernel of all pairs, summed, ()."""
    return torch.stack([_kernel(rows @ b.T / b.shape[-1]).sum() for rows in a.split(KERNEL_ROWS)]).sum()


def _kernel(products: Tensor) -> Tensor:
    return (products + 1) ** 3


def _root(covariance: Tensor) -> Tensor:
    """The symmetric positive semidefinite square root, (D, D)."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _rows(name: str, features: Tensor) -> Tensor:
    """Features as float64 (N, D), with at least one row and one column."""
    rows = check_tensor(name, features, "N D").detach().double()
    if not rows.numel():
        raise ShapeError(name, tuple(rows.shape), "at least one feature of at least one picture")
    return rows


def _check_same(a: Tensor, b: Tensor) -> None:
    check_device(a=a, b=b)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError("b", f"{b.shape[-1]} features", f"{a.shape[-1]}, as a has")
