"""The meaning of smooth functions: every construct against its formula or its hard twin, and hostile input."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.errors import DomainError, LabError
from labkit.smooth.gates import FAMILIES, sigmoid
from labkit.smooth.smooth_function import UnfinishedWarning, smooth_function


def tensor(*values: float) -> Tensor:
    """A float64 tensor, without dimensions if of one value."""
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


@smooth_function
def choose(x: Any) -> Any:
    y = 100.0
    if x < 1:  # noqa: SIM108
        y = 1.0
    else:
        y = 2.0
    return y


@smooth_function
def three_ways(x: Any) -> Any:
    if x < 0:
        return 10.0
    elif x < 1:  # noqa: RET505
        return 20.0
    return 30.0


@smooth_function
def count_down(n: Any) -> Any:
    turns = 0
    while n > 0.5:
        n -= 1
        turns += 1
    return turns


@smooth_function
def count_up(n: Any) -> Any:
    turns = 0
    for i in range(n):
        turns += 1 + 0 * i
    return turns


@smooth_function
def first_above(values: Any, limit: Any) -> Any:
    for i in range(len(values)):
        if values[i] > limit:
            break
    return i


@smooth_function
def sum_of_positive(values: Any) -> Any:
    total = 0.0
    for value in values:
        if value < 0:
            continue
        total += value
    return total


@smooth_function
def insertion_sort(values: Any) -> Any:
    values = list(values)
    for i in range(1, len(values)):
        entry = values[i]
        j = i
        while j > 0 and values[j - 1] > entry:
            values[j] = values[j - 1]
            j -= 1
        values[j] = entry
    return values


@smooth_function
def careful_inverse(x: Any) -> Any:
    if x == 0:  # noqa: SIM108
        y = 7.0
    else:
        y = 1 / x
    return y


def test_both_branches_are_blended() -> None:
    """Whatever was there before, y is P 1 + (1 - P) 2: an old value does not shine through two assignments."""
    x = torch.linspace(0, 2, 21, dtype=torch.float64)
    for steepness in (1.0, 10.0):
        p = sigmoid(1 - x, steepness)
        torch.testing.assert_close(choose(x, steepness=steepness), p + 2 * (1 - p), **FLOAT64)


def test_returns_are_a_convex_combination() -> None:
    """The weights are P, (1 - P) Q and the rest."""
    x = torch.linspace(-2, 3, 21, dtype=torch.float64)
    p, q = sigmoid(-x, 3.0), sigmoid(1 - x, 3.0)
    expected = 10 * p + 20 * (1 - p) * q + 30 * (1 - p) * (1 - q)
    torch.testing.assert_close(three_ways(x, steepness=3.0), expected, **FLOAT64)


def test_while_is_the_mean_over_exits() -> None:
    """The expected number of turns, when each test holds independently with its probability."""
    n, expected, inside = tensor(2.3), tensor(0.0), tensor(1.0)
    for turn in range(12):
        inside = inside * sigmoid(n - turn - 0.5, 4.0)
        expected = expected + inside
    run = count_down.run(n, steepness=4.0)
    torch.testing.assert_close(run.value, expected, rtol=0, atol=1e-5)  # epsilon 1e-6 is cut off
    assert run.remaining == 0.0
    assert 3 <= run.iterations < 12


def test_soft_range_counts() -> None:
    """The turns of range(n) add up to the sum of their gates, nearly n itself away from 0."""
    n = tensor(0.2, 2.0, 3.7, 5.0)
    gates = torch.stack([sigmoid(n - k - 0.5, 5.0) for k in range(12)]).sum(0)
    torch.testing.assert_close(count_up(n, steepness=5.0), gates, rtol=0, atol=1e-5)  # epsilon
    torch.testing.assert_close(gates[1:], n[1:], rtol=0, atol=0.05)  # a sum of steps in place of a line


def test_soft_range_bounds() -> None:
    """A soft start and a negative step are followed as Python follows them."""

    @smooth_function
    def total(start: Any, stop: Any) -> Any:
        result = 0
        for i in range(start, stop, -2):
            result += i
        return result

    assert float(total(tensor(9.0), tensor(2.0), steepness=80.0)) == pytest.approx(total.hard(9, 2))
    assert total.hard(9, 2) == sum(range(9, 2, -2))


@pytest.mark.parametrize("name", ["break", "continue", "insertion"])
def test_jumps_meet_their_twins(name: str) -> None:
    """At high steepness break, continue and writing at a soft index give what Python gives."""
    values = [3.2, -1.4, 5.1, 0.6, 4.4]
    function, arguments = {
        "break": (first_above, (4.0,)),
        "continue": (sum_of_positive, ()),
        "insertion": (insertion_sort, ()),
    }[name]
    smooth = function(tensor(*values), *arguments, steepness=100.0)
    hard = function.hard(values, *arguments)
    found = torch.stack(smooth).tolist() if isinstance(smooth, list) else float(smooth)
    assert found == pytest.approx(hard)


def test_plain_numbers_stay_plain() -> None:
    """Without a tensor everything is Python, types included."""
    for function, arguments in ((choose, (1,)), (three_ways, (0.5,)), (count_down, (4,)), (count_up, (3,))):
        value = function(*arguments)
        assert value == function.hard(*arguments)
        assert type(value) is type(function.hard(*arguments))
    assert insertion_sort([3, 1, 2]) == [1, 2, 3]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_family(family: str) -> None:
    """The sigmoid of the gates is the one that was asked for."""
    x = tensor(0.5, 1.2)
    p = sigmoid(1 - x, 10.0, family)
    torch.testing.assert_close(smooth_function(family=family)(choose.hard)(x), p + 2 * (1 - p), **FLOAT64)


def test_steepness_has_a_gradient() -> None:
    """The steepness may be a tensor, of any float type, with first and second derivatives."""
    x = tensor(0.7)
    s = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: choose(x, steepness=s), (s,))
    assert torch.autograd.gradgradcheck(lambda s: choose(x, steepness=s), (s,))
    single = torch.tensor([3.0], requires_grad=True)
    assert choose(x, steepness=single).dtype == torch.float64
    assert choose(x, steepness=single).shape == ()


@settings(max_examples=30)
@given(st.lists(st.floats(-3, 9), min_size=4, max_size=4), st.sampled_from([2.0, 10.0, 80.0]))
def test_batch_equals_loop(x: list[float], steepness: float) -> None:
    """Elements of a batch do not see one another, whichever way the others go."""
    batch = tensor(*x).requires_grad_()
    for function in (choose, three_ways, count_down, count_up, careful_inverse):
        together = function(batch, steepness=steepness)
        (gradient,) = torch.autograd.grad(together.sum(), batch)
        for k in range(4):
            alone = tensor(x[k]).requires_grad_()
            value = function(alone, steepness=steepness)
            torch.testing.assert_close(together[k], value, **FLOAT64)
            torch.testing.assert_close(gradient[k], torch.autograd.grad(value, alone)[0], **FLOAT64)


def test_path_without_mass_is_harmless() -> None:
    """At x = 0 the branch that divides by x has no mass: value and gradient are those of the other branch."""
    x = tensor(0.0, 0.5).requires_grad_()
    y = careful_inverse(x, steepness=100.0)
    torch.testing.assert_close(y, tensor(7.0, 2.0), **FLOAT64)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, tensor(0.0, -4.0), **FLOAT64)


def test_finished_elements_rest() -> None:
    """An element that is through its loop no longer changes, so it cannot overflow while the others go on."""

    @smooth_function(steepness=50.0)
    def square(x: Any, times: Any) -> Any:
        kept = [x]
        while times > 0.5:
            x = x * x
            kept[0] = kept[0] * kept[0]
            times = times - 1
        return x + kept[0]

    x = tensor(1e100, 1.001).requires_grad_()
    y = square(x, tensor(1.0, 12.0))
    torch.testing.assert_close(y, 2 * x.detach() ** tensor(2.0, 4096.0), rtol=1e-6, atol=0)  # the last gate is soft
    assert bool(torch.isfinite(torch.autograd.grad(y.sum(), x)[0]).all())


def test_path_without_mass_does_not_wait() -> None:
    """A loop that only its own break could end is passed over where no mass comes to it."""

    @smooth_function
    def wait(x: Any) -> Any:
        y = 0 * x
        if x > 0:
            while True:
                y = y + 1
                if y > 3.5:
                    break
        return y

    assert wait.run(tensor(-1e4)) == (0.0, 0, 0.0)
    assert float(wait(tensor(1e4), steepness=50.0)) == pytest.approx(4)


def test_plain_index_past_the_end() -> None:
    """On the small share of a search that runs past the end, a plain index reads the end, as a soft one would."""

    @smooth_function
    def search(values: Any, x: Any) -> Any:
        i = 0
        while values[i] < x:
            i += 1
        return i

    run = search.run([1.0, 2.0, 3.0], tensor(2.5))
    assert run.iterations > 3
    assert float(run.value) == pytest.approx(search.hard([1.0, 2.0, 3.0], 2.5), abs=0.01)
    with pytest.raises(DomainError, match="index"):
        search([1.0, 2.0, 3.0], 5)


def test_lists_keep_their_identity() -> None:
    """Two names of one list stay two names of one list, also after a soft branch."""

    @smooth_function(steepness=50.0)
    def alias(x: Any) -> Any:
        a = [0.0, 0.0]
        b = a
        if x > 0:
            a[0] = 5.0
        b[1] = 7.0
        return a

    assert [float(v) for v in alias(tensor(2.0))] == pytest.approx(alias.hard(2.0))


def test_endless_loop_ends() -> None:
    """A loop that never ends is cut at its bound, which the record and a warning tell."""

    @smooth_function(max_iterations=20)
    def endless(x: Any) -> Any:
        while x > 0:
            x = x + 1
        return x

    run = endless.run(tensor(1.0, -4.0))
    assert run.iterations == 20
    torch.testing.assert_close(run.remaining, tensor(1.0, 0.0), rtol=0, atol=1e-4)  # F(10) at the first test
    with pytest.warns(UnfinishedWarning, match="20 turns"):
        endless(tensor(1.0))
    with pytest.warns(UnfinishedWarning, match="mass 1 left"):
        assert endless(1) == 21
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        endless(tensor(-4.0))

    @smooth_function(max_iterations=5)
    def silent(x: Any) -> Any:
        while True:
            x = x + 1

    with pytest.raises(LabError, match="no return within 5 turns"):
        silent(tensor(1.0))


def test_zero_turns() -> None:
    """A loop that is never entered leaves everything as it was."""
    run = count_down.run(tensor(-50.0))
    assert run[1:] == (0, 0.0)
    assert float(run.value) == 0
    assert sum_of_positive([]) == 0.0
    assert insertion_sort([]) == []


def test_arguments_are_not_changed() -> None:
    """Tensors and lists of the caller stay as they were."""
    values, given_list = tensor(3.0, 1.0, 2.0), [tensor(3.0), tensor(1.0)]
    insertion_sort(values)
    insertion_sort(given_list)
    assert values.tolist() == [3.0, 1.0, 2.0]
    assert [float(v) for v in given_list] == [3.0, 1.0]


def test_float32_stays() -> None:
    """The results have the element type of the arguments."""
    y = count_down(torch.tensor([2.0, 3.0]), steepness=tensor(20.0))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, torch.tensor([2.0, 3.0]), rtol=0, atol=1e-3)
    torch.testing.assert_close(choose(torch.tensor(0.7)).double(), choose(tensor(0.7)), **FLOAT32)
