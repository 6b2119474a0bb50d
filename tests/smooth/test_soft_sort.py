"""The soft sort against torch.sort, the 0-1 principle, its own matrix and finite differences."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.gates import FAMILIES
from labkit.smooth.soft_sort import soft_sort
from labkit.smooth.sorting_network import odd_even_network, reaching

HARD = 1e9
LISTS = st.lists(st.floats(-3, 3), min_size=1, max_size=9)


def normal(generator: torch.Generator, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers from N(0, 1)."""
    return torch.randn(shape, generator=generator, dtype=dtype)


def by_hand(values: list[float], steepness: float) -> list[float]:
    """The network of plain numbers, one exchange after the other."""
    row = list(values)
    for step in range(len(row)):
        for i in range(step % 2, len(row) - 1, 2):
            a, b = row[i], row[i + 1]
            alpha = 1 / (1 + torch.tensor(steepness * (a - b), dtype=torch.float64).exp().item())
            row[i], row[i + 1] = alpha * a + (1 - alpha) * b, (1 - alpha) * a + alpha * b
    return row


@pytest.mark.parametrize("n", range(1, 11))
def test_n_steps_sort_by_the_zero_one_principle(n: int) -> None:
    """A network that sorts all lists of zeros and ones sorts all lists."""
    every = torch.tensor(list(product((0.0, 1.0), repeat=n)))
    assert torch.equal(soft_sort(every, HARD), every.sort(-1).values)


@pytest.mark.parametrize("n", range(3, 11))
def test_one_step_fewer_does_not_sort(n: int) -> None:
    """The n - 1 steps of the paper for an even n are too few, and so they are for an odd one."""
    every = torch.tensor(list(product((0.0, 1.0), repeat=n)))
    assert not torch.equal(soft_sort(every, HARD, steps=n - 1), every.sort(-1).values)


def test_the_counter_example() -> None:
    """Four values in falling order are not sorted by three steps."""
    values = torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert soft_sort(values, HARD, steps=3).tolist() == [1, 3, 2, 4]
    assert soft_sort(values, HARD).tolist() == [1, 2, 3, 4]


def test_two_values_are_one_exchange() -> None:
    """Both formulas of the exchange, with numbers: alpha = 1 / (1 + e^2)."""
    alpha = 0.11920292202211755
    found = soft_sort(torch.tensor([3.0, 1.0], dtype=torch.float64), 1.0)
    assert found.tolist() == pytest.approx([alpha * 3 + (1 - alpha), (1 - alpha) * 3 + alpha], **approx())


def approx() -> dict[str, float]:
    """The table's tolerance as pytest names it."""
    return {"rel": FLOAT64["rtol"], "abs": FLOAT64["atol"]}


@given(values=LISTS, steepness=st.floats(0.1, 30))
def test_network_by_hand(values: list[float], steepness: float) -> None:
    """Slices of lanes do what single exchanges do."""
    found = soft_sort(torch.tensor(values, dtype=torch.float64), steepness).tolist()
    assert found == pytest.approx(by_hand(values, steepness), **approx())


@given(values=LISTS, steepness=st.floats(0.1, 30), steps=st.integers(0, 12), family=st.sampled_from(sorted(FAMILIES)))
def test_matrix_is_doubly_stochastic(values: list[float], steepness: float, steps: int, family: str) -> None:
    """Rows and columns of P sum to 1, no entry is negative, and P times the values is the result."""
    x = torch.tensor(values, dtype=torch.float64)
    found, matrix = soft_sort(x, steepness, steps=steps, permutation=True, family=family)
    assert bool((matrix >= 0).all())
    for dim in (0, 1):
        assert_close(matrix.sum(dim), torch.ones_like(x), **FLOAT64)
    assert_close(matrix @ x, found, **FLOAT64)
    assert_close(found.sum(), x.sum(), **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_sharp_sort_is_torch_sort(dim: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Along every dimension, odd and even lengths, with companions and the matrix of zeros and ones."""
    x = normal(generator, 4, 7, 6, dtype=dtype)
    features = normal(generator, 4, 7, 6, 3, dtype=dtype)
    found, (same, moved), matrix = soft_sort(x, HARD, (x, features), dim=dim, permutation=True)
    true, order = x.sort(dim)
    assert torch.equal(found, true)
    assert torch.equal(same, true)
    assert torch.equal(moved, features.gather(dim % 3, order.unsqueeze(-1).expand_as(features)))
    assert torch.equal(matrix.argmax(-1), order.movedim(dim, -1))
    assert_close((matrix @ x.movedim(dim, -1).unsqueeze(-1)).squeeze(-1), true.movedim(dim, -1))


def test_outlier_costs_no_digit() -> None:
    """A value of 1e8 in float32, whose steps are 8 there, leaves the others as they are."""
    assert soft_sort(torch.tensor([1e8, 0.25, -1e8, 0.125]), HARD).tolist() == [-1e8, 0.125, 0.25, 1e8]


@given(values=st.lists(st.integers(-9, 9), min_size=2, max_size=7, unique=True), data=st.data())
def test_order_of_the_input_is_nothing_to_a_sharp_sort(values: list[int], data: st.DataObject) -> None:
    """Permuted input, same result."""
    other = data.draw(st.permutations(values))
    assert torch.equal(*(soft_sort(torch.tensor(x, dtype=torch.float64), HARD) for x in (values, other)))


def test_batch_equals_loop(generator: torch.Generator) -> None:
    """Lists do not see each other."""
    x = normal(generator, 3, 4, 5)
    found, matrix = soft_sort(x, 2.0, permutation=True)
    for i, j in product(range(3), range(4)):
        one, its_matrix = soft_sort(x[i, j], 2.0, permutation=True)
        assert_close(found[i, j], one, **FLOAT64)
        assert_close(matrix[i, j], its_matrix, **FLOAT64)


def test_steps_from_none_to_many(generator: torch.Generator) -> None:
    """No step changes nothing, few sort coarsely, and very many of a low steepness give the mean everywhere."""
    x = normal(generator, 64)
    true = x.sort().values
    assert torch.equal(soft_sort(x, 1.0, steps=0), x)
    errors = [(soft_sort(x, 100.0, steps=steps) - true).abs().mean().item() for steps in (4, 8, 16, 32, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 < 0.5 < errors[0]
    short = x[:8]
    assert_close(soft_sort(short, 0.01, steps=1000), short.mean().expand(8), rtol=0, atol=1e-6)  # the last of the decay


def test_companions_take_the_weights_of_the_matrix(generator: torch.Generator) -> None:
    """A feature vector for each learned key: the same as the product with P, and its gradient reaches the key."""
    key, features = normal(generator, 2, 5).requires_grad_(), normal(generator, 2, 5, 3)
    _, moved, matrix = soft_sort(key, 3.0, features, permutation=True)
    assert_close(moved, matrix @ features, **FLOAT64)
    (gradient,) = torch.autograd.grad(moved[:, 0].sum(), key)
    assert bool((gradient != 0).all())
    one = soft_sort(key, 3.0, (features,))
    assert isinstance(one[1], tuple)
    assert_close(one[1][0], moved, **FLOAT64)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"laplace", "uniform"}))
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_gradients(family: str, n: int, generator: torch.Generator) -> None:
    """First and second derivatives by key, companion and steepness, of all three results."""
    key, rider = normal(generator, 2, n).requires_grad_(), normal(generator, 2, n, 2).requires_grad_()
    steepness = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def sort(key: Tensor, rider: Tensor, steepness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return soft_sort(key, steepness, rider, permutation=True, family=family)

    assert gradcheck(sort, (key, rider, steepness))
    assert gradgradcheck(sort, (key, rider, steepness))


def test_gradients_are_finite_far_apart() -> None:
    """Where the sigmoid is flat to the last digit, the gradient is that of the hard sort."""
    x = torch.tensor([1e6, -1e6, 0.0], requires_grad=True)
    (soft_sort(x, 1e6) @ torch.tensor([1.0, 2.0, 3.0])).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3, 1, 2]


def test_arguments_are_left_alone(generator: torch.Generator) -> None:
    """The caller's tensors keep their values; a steepness of another type and shape counts as its number."""
    x = normal(generator, 6, dtype=torch.float32)
    before = x.clone()
    found = soft_sort(x, torch.tensor([2.0], dtype=torch.float64))
    assert torch.equal(x, before)
    assert found.dtype == torch.float32
    assert_close(found, soft_sort(x, 2.0), **FLOAT32)


def test_empty_batch() -> None:
    """No lists are sorted into no lists."""
    found, matrix = soft_sort(torch.empty(0, 3), 1.0, permutation=True)
    assert (found.shape, matrix.shape) == ((0, 3), (0, 3, 3))


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9])
@pytest.mark.parametrize("width", [1, 2])
def test_pruned_network_keeps_every_path(n: int, width: int) -> None:
    """The kept comparators are those from which a search along the wires reaches the wanted ones."""
    network = odd_even_network(n)
    for start in range(n - width + 1):
        alive, kept = set(range(start, start + width)), []
        for step in reversed(network):
            kept.append([i for i in step if {i, i + 1} & alive])
            alive |= {wire for i in kept[-1] for wire in (i, i + 1)}
        assert [list(step) for step in reaching(network, range(start, start + width))] == kept[::-1]


GOOD = torch.tensor([1.0, 3.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"values": [1.0, 2.0]}, DTypeError, "values"),
        ({"values": torch.tensor([1, 2])}, DTypeError, "values"),
        ({"values": torch.tensor([1.0, torch.nan])}, DomainError, "index"),
        ({"values": torch.tensor([1.0, torch.inf])}, DomainError, "index"),
        ({"values": torch.tensor(1.0)}, DomainError, "dim"),
        ({"values": torch.empty(2, 0)}, ShapeError, "at least one"),
        ({"values": torch.tensor([-3e38, 3e38])}, DomainError, "spread"),
        ({"steepness": 1e39}, DomainError, "spread"),
        ({"steepness": 0.0}, DomainError, "steepness"),
        ({"steepness": torch.inf}, DomainError, "steepness"),
        ({"steepness": torch.ones(3)}, ShapeError, "steepness"),
        ({"steepness": "high"}, DTypeError, "steepness"),
        ({"dim": 1}, DomainError, "dim"),
        ({"dim": -2}, DomainError, "dim"),
        ({"dim": 0.0}, DTypeError, "dim"),
        ({"steps": -1}, DomainError, "steps"),
        ({"steps": 2.0}, DTypeError, "steps"),
        ({"family": "normal"}, DomainError, "family"),
        ({"companions": [GOOD]}, DTypeError, "companions"),
        ({"companions": (GOOD, 1.0)}, DTypeError, "companions"),
        ({"companions": GOOD.double()}, DTypeError, "companions"),
        ({"companions": GOOD[:2]}, ShapeError, "companions"),
        ({"companions": GOOD * torch.nan}, DomainError, "companions"),
        ({"values": torch.empty(0, 3), "companions": torch.empty(0, 3, device="meta")}, DeviceError, "companions"),
    ],
    ids=str,
)
def test_errors(arguments: dict, error: type[LabError], told: str) -> None:
    """Bad input is refused with the name of what is wrong."""
    with pytest.raises(error, match=told):
        soft_sort(**{"values": GOOD, "steepness": 1.0, **arguments})
