"""The soft medians: against the full soft sort, the hard median, the recursion by hand, and outliers."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.soft_median import soft_median
from labkit.smooth.soft_sort import soft_sort
from labkit.smooth.sorting_network import odd_even_network, reaching

NEAR = 0.05  # standard deviations of the good values


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Numbers from N(0, 1)."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def bell(n: int) -> Tensor:
    """n numbers that stand for N(0, 1) without chance: its quantiles."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)


def middle(ordered: Tensor) -> Tensor:
    """The middle value along the last dimension, or the mean of both."""
    n = ordered.shape[-1]
    return ordered[..., (n - 1) // 2 : n // 2 + 1].mean(-1)


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("dim", [0, -1])
def test_exact_is_the_middle_of_the_soft_sort(n: int, dim: int, generator: torch.Generator) -> None:
    """No comparator that matters is missing, whatever the steepness."""
    x = normal(generator, 3, 2, n).movedim(-1, dim)
    for steepness in (0.5, 5.0):
        full = soft_sort(x, steepness, dim=dim).movedim(dim, -1)
        assert_close(soft_median(x, steepness, dim), middle(full), **FLOAT64)
    assert_close(soft_median(x, 1e9, dim), middle(x.sort(dim).values.movedim(dim, -1)), **FLOAT64)


def test_exact_leaves_out_a_quarter_of_the_comparators() -> None:
    """The cone that ends in the middle, counted: of 10 comparators for 5 values one does not matter."""
    counts = {}
    for n in (5, 100):
        network = odd_even_network(n)
        kept = reaching(network, range((n - 1) // 2, n // 2 + 1))
        counts[n] = sum(map(len, kept)), sum(map(len, network))
    assert counts[5] == (9, 10)
    assert counts[100][1] == 100 * 99 // 2
    assert counts[100][0] / counts[100][1] == pytest.approx(0.75, abs=0.02)  # the limit for long lists


def test_exact_with_a_tenth_of_outliers_on_one_side(generator: torch.Generator) -> None:
    """Outliers of size 100 move the mean by about 10 and the soft median by next to nothing, in each of 50 lists."""
    good = normal(generator, 50, 90)
    x = torch.cat((good, 100 + normal(generator, 50, 10)), -1)
    median = middle(x.sort(-1).values)
    assert bool(((x.mean(-1) - good.mean(-1)).abs() > 5).all())
    assert bool(((soft_median(x, 200.0) - median).abs() < NEAR).all())


@pytest.mark.parametrize(
    ("good", "outliers", "steepness", "degree"),
    [
        (18, [100.0, -60.0], 1.0, 5),
        (18, [100.0, 90.0], 0.2, 20),
        (18, [100.0, 100.0], 0.2, 20),
        (90, [100.0] * 10, 0.2, 60),
    ],
)
def test_fast_with_a_tenth_of_outliers(good: int, outliers: list[float], steepness: float, degree: int) -> None:
    """One outlier at each end needs the degree 5; all on one side need more rounds and a low steepness."""
    x = torch.cat((bell(good), torch.tensor(outliers, dtype=torch.float64)))
    moved = abs(sum(outliers)) / len(x)
    assert x.mean().item() == pytest.approx(moved)
    assert moved > (5 if min(outliers) > 0 else 1)
    assert abs(soft_median(x, steepness, method="fast", degree=degree) - middle(x.sort().values)) < NEAR


def test_limits_of_the_fast_form() -> None:
    """Same-side outliers at the degree and steepness for one at each end, and skewed data, where exact is right."""
    same_side = torch.cat((bell(18), torch.tensor([100.0, 90.0], dtype=torch.float64)))
    skewed = -torch.log(1 - (torch.arange(20, dtype=torch.float64) + 0.5) / 20)  # exponential
    for x, steepness in ((same_side, 1.0), (skewed, 0.2)):
        median = middle(x.sort().values)
        assert abs(soft_median(x, steepness, method="fast") - median) > 2 * NEAR
        assert abs(soft_median(x, 200.0) - median) < NEAR


def test_fast_by_hand() -> None:
    """The recursion with plain numbers: two rounds for three values."""
    x, s = [0.0, 1.0, 5.0], 0.7

    def softmax(logits: list[float], weights: list[float]) -> list[float]:
        parts = [w * math.exp(z) for z, w in zip(logits, weights, strict=True)]
        return [part / sum(parts) for part in parts]

    w = [1 / 3] * 3
    for _ in range(2):
        low, high = softmax([-s * v for v in x], w), softmax([s * v for v in x], w)
        w = softmax([-(a + b) for a, b in zip(low, high, strict=True)], w)
    wanted = sum(a * b for a, b in zip(w, x, strict=True))
    found = soft_median(torch.tensor(x, dtype=torch.float64), s, method="fast", degree=2)
    assert found.item() == pytest.approx(wanted, rel=FLOAT64["rtol"])


def test_fast_of_degree_zero_is_the_mean(generator: torch.Generator) -> None:
    """Equal weights."""
    x = normal(generator, 3, 7)
    assert_close(soft_median(x, 1.0, method="fast", degree=0), x.mean(-1), **FLOAT64)


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_shift_and_batch(method: str, generator: torch.Generator) -> None:
    """Values with an offset give the offset more; lists do not see each other; every dimension can be reduced."""
    x = normal(generator, 3, 6, 2)
    found = soft_median(x, 2.0, 1, method)
    assert found.shape == (3, 2)
    assert_close(soft_median(x + 7, 2.0, 1, method), found + 7, **FLOAT64)
    for i in range(3):
        for j in range(2):
            assert_close(found[i, j], soft_median(x[i, :, j], 2.0, method=method), **FLOAT64)


@pytest.mark.parametrize("method", ["exact", "fast"])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_gradients(method: str, n: int, generator: torch.Generator) -> None:
    """First and second derivatives by values and steepness."""
    x = normal(generator, 2, n).requires_grad_()
    steepness = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def median(x: Tensor, steepness: Tensor) -> Tensor:
        return soft_median(x, steepness, method=method, degree=3)

    assert gradcheck(median, (x, steepness))
    assert gradgradcheck(median, (x, steepness))


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_gradients_are_finite_with_outliers(method: str) -> None:
    """In float32, where the weights of outliers vanish."""
    x = torch.cat((bell(18).float(), torch.tensor([1e6, -1e6]))).requires_grad_()
    soft_median(x, 10.0, method=method, degree=300).backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())
    assert x.grad.sum().item() == pytest.approx(1, abs=1e-4)  # a shift moves the median as much; 300 rounds in float32


GOOD = torch.tensor([1.0, 3.0, 2.0])


@pytest.mark.parametrize("method", ["exact", "fast"])
@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"values": [1.0, 2.0]}, DTypeError, "values"),
        ({"values": GOOD * torch.nan}, DomainError, "values"),
        ({"values": GOOD[:0]}, ShapeError, "values"),
        ({"values": torch.tensor([-3e38, 3e38])}, DomainError, "spread"),
        ({"steepness": 0.0}, DomainError, "steepness"),
        ({"dim": 1}, DomainError, "dim"),
        ({"degree": -1}, DomainError, "degree"),
        ({"degree": 2.0}, DTypeError, "degree"),
        ({"family": "normal"}, DomainError, "family"),
        ({"method": "quick"}, DomainError, "method"),
    ],
    ids=str,
)
def test_errors(method: str, arguments: dict, error: type[LabError], told: str) -> None:
    """Bad input is refused with the name of what is wrong, also where the method does not use it."""
    with pytest.raises(error, match=told):
        soft_median(**{"values": GOOD, "steepness": 1.0, "method": method, **arguments})
