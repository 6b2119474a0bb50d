"""FID and KID: closed forms, independent implementations, laws, and numbers that are hard on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from tolerances import FLOAT64
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.train.fid import KERNEL_ROWS, FeatureDistance, FeatureStatistics, frechet_distance, kernel_distance


def draw(generator: torch.Generator, count: int = 100, features: int = 5, rank: int | None = None) -> Tensor:
    """Correlated normal features (count, features) about a random mean, float64, whose covariance has that rank."""
    inner = features if rank is None else rank
    sizes = ((count, inner), (inner, features), (1, features))
    noise, mix, mean = (torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes)
    return noise @ mix + mean


def exact(mean: list[float], covariance: Tensor, count: int = 1001) -> FeatureStatistics:
    """The statistics of a normal distribution, as if a sample had met them exactly."""
    return FeatureStatistics(count, torch.tensor(mean, dtype=torch.float64), covariance.double() * (count - 1))


def fid(a: Tensor, b: Tensor) -> float:
    """The FID of two sets of features."""
    return frechet_distance(FeatureStatistics.of(a), FeatureStatistics.of(b)).value


def kid(a: Tensor, b: Tensor, subsets: int = 10) -> FeatureDistance:
    """The KID of two sets of features."""
    return kernel_distance(a, b, torch.Generator().manual_seed(0), subsets)


class Flat(nn.Module):
    """Takes pictures (N, D, 1, 1) for the features that they are."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, images: Tensor) -> Tensor:
        """(N, D)."""
        return images.flatten(1)


def test_closed_forms() -> None:
    """A shifted normal, two spreads on a line, and covariances that commute."""
    eye = torch.eye(3)
    assert frechet_distance(exact([0, 0, 0], eye), exact([1, -2, 3], eye)).value == pytest.approx(14, rel=1e-12)
    narrow, wide = exact([5], torch.tensor([[0.3**2]])), exact([5], torch.tensor([[1.7**2]]))
    assert frechet_distance(narrow, wide).value == pytest.approx((1.7 - 0.3) ** 2, rel=1e-6)  # 0.3 is a float32 here
    a, b = torch.tensor([1.0, 4, 9]), torch.tensor([16.0, 1, 0])
    turn = torch.linalg.qr(torch.arange(9.0).reshape(3, 3).cos().double()).Q
    pair = (exact([0, 0, 0], turn @ values.double().diag() @ turn.T) for values in (a, b))
    assert frechet_distance(*pair).value == pytest.approx(9 + 1 + 9, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_are_numpy_s(dtype: torch.dtype, generator: torch.Generator) -> None:
    """Mean and unbiased covariance, of float32 features too in float64."""
    rows = draw(generator).to(dtype)
    found = FeatureStatistics.of(rows)
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    np.testing.assert_allclose(found.mean, rows.numpy().mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows.double().numpy(), rowvar=False), rtol=1e-12)


def test_far_from_the_origin(generator: torch.Generator) -> None:
    """A covariance of 1 around a mean of 10^8 survives, in parts too: a sum of squares would lose all its digits."""
    rows = torch.randn(400, 4, generator=generator, dtype=torch.float64) + 1e8
    parts = sum((FeatureStatistics.of(part) for part in rows[100:].split(37)), FeatureStatistics.of(rows[:100]))
    np.testing.assert_allclose(parts.covariance, np.cov(rows.numpy(), rowvar=False), rtol=1e-6, atol=1e-7)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 59), max_size=5, unique=True))
def test_order_and_parts_do_not_matter(seed: int, cuts: list[int]) -> None:
    """A set may be split and shuffled in any way."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (draw(generator, 60, 4) for _ in range(2))
    whole, other = FeatureStatistics.of(a), FeatureStatistics.of(b)
    shuffled = a[torch.randperm(60, generator=generator)]
    first, *rest = (FeatureStatistics.of(part) for part in shuffled.tensor_split(sorted(cuts)))
    joined = sum(rest, first)
    assert joined.count == 60
    torch.testing.assert_close((joined.mean, joined.scatter), (whole.mean, whole.scatter), **FLOAT64)
    assert frechet_distance(joined, other).value == pytest.approx(frechet_distance(whole, other).value, rel=1e-9)
    assert kid(shuffled, b).value == pytest.approx(kid(a, b).value, rel=1e-9)


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-8, 1.0, 1e8]), rank=st.sampled_from([1, 3, 6]))
def test_laws(seed: int, scale: float, rank: int) -> None:
    """Symmetric, squared in the units, 0 for a set and itself, and never below 0; whatever the rank and the scale."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (draw(generator, 50, 6, rank) for _ in range(2))
    forth = fid(scale * a, scale * b)
    assert forth == pytest.approx(fid(scale * b, scale * a), rel=1e-9)
    assert forth == pytest.approx(scale**2 * fid(a, b), rel=1e-9)
    assert 0 <= fid(scale * a, scale * a.flip(0)) <= 1e-12 * scale**2


@pytest.mark.parametrize("rank", [40, 3])
def test_against_scipy(rank: int, generator: torch.Generator) -> None:
    """The formula with scipy's matrix root, whose rounding errors are the larger ones where the rank is low."""
    a, b = (draw(generator, 300, 40, rank) for _ in range(2))
    sigmas = [np.cov(rows.numpy(), rowvar=False) for rows in (a, b)]
    root = sqrtm(sigmas[0] @ sigmas[1])
    spread = np.trace(sigmas[0] + sigmas[1] - 2 * root.real)
    expected = float((a.mean(0) - b.mean(0)).square().sum()) + float(spread)
    assert fid(a, b) == pytest.approx(expected, rel=1e-9 if rank == 40 else 1e-5)


def test_against_torchmetrics(generator: torch.Generator) -> None:
    """Its FID, and its KID of one subset that is everything."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    a, b = (draw(generator, 200, 16) for _ in range(2))
    frechet = FrechetInceptionDistance(feature=Flat(16), normalize=True).set_dtype(torch.float64)
    kernel = KernelInceptionDistance(feature=Flat(16), subsets=1, subset_size=200, normalize=True)
    for rows, real in ((a, True), (b, False)):
        for metric in (frechet, kernel):
            metric.update(rows[:, :, None, None], real=real)
    assert fid(a, b) == pytest.approx(frechet.compute().item(), rel=1e-9)
    assert kid(a, b).value == pytest.approx(kernel.compute()[0].item(), rel=1e-9)


def test_kid_by_hand(generator: torch.Generator) -> None:
    """A loop over all pairs, without those of a feature and itself; more rows than are held at once give the same."""
    a, b = draw(generator, 7, 3), draw(generator, 5, 3)

    def mean(x: Tensor, y: Tensor) -> float:
        terms = [(float(p @ q) / 3 + 1) ** 3 for i, p in enumerate(x) for j, q in enumerate(y) if x is not y or i != j]
        return sum(terms) / len(terms)

    assert kid(a, b, 2).value == pytest.approx(mean(a, a) + mean(b, b) - 2 * mean(a, b), rel=1e-12)
    many = draw(generator, KERNEL_ROWS + 3, 2)
    gram = (many @ many.T / 2 + 1) ** 3
    same = (gram.sum() - gram.trace()) / len(many) / (len(many) - 1)
    assert kid(many, many).value == pytest.approx(2 * float(same - gram.mean()), rel=1e-9)


def test_kid_is_unbiased_and_knows_its_error(generator: torch.Generator) -> None:
    """On a line it is the squared difference of moments, 3 (m1 - n1)^2 + 3 (m2 - n2)^2 + (m3 - n3)^2."""
    found = []
    for _ in range(200):
        a, b = (torch.randn(100, 1, generator=generator) for _ in range(2))
        found.append(kernel_distance(a, 0.5 + 1.5 * b, generator))
    values = torch.tensor([each.value for each in found])
    errors = torch.tensor([each.error for each in found])
    moments = 0.5, 0.5**2 + 1.5**2, 0.5**3 + 3 * 0.5 * 1.5**2
    expected = 3 * moments[0] ** 2 + 3 * (moments[1] - 1) ** 2 + moments[2] ** 2
    assert values.mean().item() == pytest.approx(expected, abs=4 * values.std().item() / math.sqrt(200))
    assert errors.square().mean().sqrt().item() == pytest.approx(values.std().item(), rel=0.4)  # an error of an error
    same = [kernel_distance(*torch.randn(2, 100, 1, generator=generator), generator).value for _ in range(50)]
    assert 10 < sum(value < 0 for value in same) < 45


def test_identical_pictures(generator: torch.Generator) -> None:
    """All features alike: no spread at all is no trouble, nor are float32 zeros."""
    a, b = torch.full((20, 3), 2.0), torch.zeros(20, 3)
    assert (fid(a, a), fid(a, b)) == (0, 12)
    spread = draw(generator, 20, 3)
    assert fid(a, spread) == pytest.approx(
        float((spread.mean(0) - 2).square().sum()) + float(np.trace(np.cov(spread.numpy(), rowvar=False))), rel=1e-9
    )
    assert kid(a, a).value == kid(a, a).error == 0
    assert kid(a, b).value == pytest.approx((12 / 3 + 1) ** 3 + 1 - 2, rel=1e-12)


def test_the_counts_are_told(generator: torch.Generator) -> None:
    """With the value and the error."""
    a, b = draw(generator, 30), draw(generator, 20)
    found = frechet_distance(FeatureStatistics.of(a), FeatureStatistics.of(b))
    assert (found.counts, found.error) == ((30, 20), None)
    assert str(FeatureDistance("FID", 12.3456, (30, 20))) == "FID 12.35 (N = 30 and 20)"
    assert str(FeatureDistance("KID", 0.5, (30, 30), 0.0123)) == "KID 0.5 +- 0.012 (N = 30)"
    assert kid(a, b).counts == (30, 20)


def test_refused(generator: torch.Generator) -> None:
    """Too few pictures, features that do not fit, and numbers that no result can be made of."""
    five, six = FeatureStatistics.of(draw(generator, 6)), FeatureStatistics.of(draw(generator, 6, 6))
    assert frechet_distance(five, five).value < 1e-9
    with pytest.raises(DomainError, match=r"b.count: got 5, expected more pictures than the 5 features"):
        frechet_distance(five, FeatureStatistics.of(draw(generator, 5)))
    for call in (lambda: five + six, lambda: frechet_distance(five, six), lambda: kid(five.scatter, six.scatter)):
        with pytest.raises(ShapeError, match="features"):
            call()
    cases: list[tuple[Tensor, type[LabError]]] = [
        (torch.zeros(3), ShapeError),
        (torch.zeros(0, 3), ShapeError),
        (torch.zeros(3, 0), ShapeError),
        (torch.zeros(3, 3, dtype=torch.int64), DTypeError),
        (torch.full((3, 3), math.nan), DomainError),
    ]
    for rows, error in cases:
        with pytest.raises(error, match="features"):
            FeatureStatistics.of(rows)
        with pytest.raises(error, match="a: "):
            kid(rows, torch.zeros(3, 3))
    with pytest.raises(DomainError, match="subsets"):
        kid(torch.zeros(9, 3), torch.zeros(20, 3), 5)
    huge = torch.full((20, 3), 1e150, dtype=torch.float64)
    with pytest.raises(DomainError, match="KID of"):
        kid(huge, huge)
    with pytest.raises(DomainError, match="FID of"):
        fid(huge * 1e10, -huge * 1e10)
    wide = huge * torch.randn(20, 3, generator=generator, dtype=torch.float64) * 1e10
    with pytest.raises(DomainError, match=r"b\.scatter"):
        fid(huge, wide)
