"""Soft ranks and the soft k largest, against the matrix of the soft sort and the hard order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT64
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.gates import FAMILIES
from labkit.smooth.soft_rank import soft_rank, soft_top_k
from labkit.smooth.soft_sort import soft_sort

HARD = 1e9


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Numbers from N(0, 1)."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_ranks_of_two_values() -> None:
    """The larger of 3 and 1 is second with the probability F(2)."""
    found = soft_rank(torch.tensor([3.0, 1.0], dtype=torch.float64), 1.0)
    assert_close(found, 1 + torch.tensor([2.0, -2.0], dtype=torch.float64).sigmoid(), **FLOAT64)


def test_equal_values_share_their_ranks() -> None:
    """Two of them, far from the others."""
    assert soft_rank(torch.tensor([5.0, 0.0, 5.0, 9.0]), HARD).tolist() == [2.5, 1, 2.5, 4]


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_ranks_are_those_of_the_matrix(n: int, generator: torch.Generator) -> None:
    """P^T (1, ..., n), though the matrix is never built."""
    x = normal(generator, 3, n)
    _, matrix = soft_sort(x, 2.0, permutation=True)
    assert_close(soft_rank(x, 2.0), torch.arange(1.0, n + 1, dtype=x.dtype) @ matrix, **FLOAT64)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sharp_ranks(dim: int, generator: torch.Generator) -> None:
    """The order of the order, from 1."""
    x = normal(generator, 5, 6, 7)
    assert torch.equal(soft_rank(x, HARD, dim), x.argsort(dim).argsort(dim).double() + 1)


@given(
    values=st.lists(st.floats(-3, 3), min_size=1, max_size=9),
    steepness=st.floats(0.1, 30),
    family=st.sampled_from(sorted(FAMILIES)),
)
def test_ranks_stay_in_range_and_keep_their_sum(values: list[float], steepness: float, family: str) -> None:
    """From 1 to n, n (n + 1) / 2 together."""
    n = len(values)
    ranks = soft_rank(torch.tensor(values, dtype=torch.float64), steepness, family=family)
    assert 1 - FLOAT64["atol"] <= ranks.min() <= ranks.max() <= n + FLOAT64["atol"]
    assert ranks.sum().item() == pytest.approx(n * (n + 1) / 2, rel=FLOAT64["rtol"])


@pytest.mark.parametrize("k", range(1, 7))
def test_top_k_is_the_end_of_the_soft_sort(k: int, generator: torch.Generator) -> None:
    """Values and rows of the matrix from the bottom up, by fewer comparators."""
    x = normal(generator, 4, 6, 2)
    ordered, matrix = soft_sort(x, 2.0, dim=1, permutation=True)
    top, weights = soft_top_k(x, k, 2.0, dim=1, weights=True)
    assert_close(top, ordered.flip(1)[:, :k], **FLOAT64)
    assert_close(weights, matrix.flip(-2)[..., :k, :], **FLOAT64)
    assert_close(soft_top_k(x, k, 2.0, dim=1), top, **FLOAT64)


def test_sharp_top_k(generator: torch.Generator) -> None:
    """torch.topk, its indices as the places of the ones."""
    x = normal(generator, 5, 8)
    top, weights = soft_top_k(x, 3, HARD, weights=True)
    values, indices = x.topk(3)
    assert torch.equal(top, values)
    assert torch.equal(weights.argmax(-1), indices)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_gradients(n: int, generator: torch.Generator) -> None:
    """First and second derivatives by values and steepness."""
    x = normal(generator, 2, n).requires_grad_()
    steepness = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def top(x: Tensor, steepness: Tensor) -> tuple[Tensor, Tensor]:
        return soft_top_k(x, (n + 1) // 2, steepness, weights=True)

    for check in (gradcheck, gradgradcheck):
        assert check(soft_rank, (x, steepness))
        assert check(top, (x, steepness))


GOOD = torch.tensor([1.0, 3.0, 2.0])


@pytest.mark.parametrize("function", [soft_rank, lambda values, *rest: soft_top_k(values, 1, *rest)])
@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (([1.0, 2.0], 1.0), DTypeError, "values"),
        ((GOOD * torch.nan, 1.0), DomainError, "values"),
        ((GOOD[:0], 1.0), ShapeError, "values"),
        ((GOOD, -1.0), DomainError, "steepness"),
        ((GOOD, 1.0, 1), DomainError, "dim"),
        ((GOOD, 1.0, -1, "normal"), DomainError, "family"),
    ],
    ids=str,
)
def test_errors(function: object, arguments: tuple, error: type[LabError], told: str) -> None:
    """Bad input is refused with the name of what is wrong."""
    assert callable(function)
    with pytest.raises(error, match=told):
        function(*arguments)


@pytest.mark.parametrize(("k", "error"), [(0, DomainError), (4, DomainError), (1.0, DTypeError), (True, DTypeError)])
def test_bad_k(k: int, error: type[LabError]) -> None:
    """A whole number from 1 to n."""
    with pytest.raises(error, match="k:"):
        soft_top_k(GOOD, k, 1.0)
