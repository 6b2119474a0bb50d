"""Hostile input to smooth functions: refused before the run, or ended with the line at fault."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth.smooth_function import smooth_function

TABLE = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)


@smooth_function
def choose(x: Any) -> Any:
    y = 100.0
    if x < 1:  # noqa: SIM108
        y = 1.0
    else:
        y = 2.0
    return y


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((torch.tensor(math.nan),), DomainError),
        ((torch.tensor(math.inf),), DomainError),
        ((math.nan,), DTypeError),
        ((torch.tensor(1),), DTypeError),
        ((torch.tensor(True),), DTypeError),
        (("text",), DTypeError),
        ((None,), DTypeError),
        (([1.0, None],), DTypeError),
        (([torch.tensor(1.0), torch.tensor(1.0, dtype=torch.float64)],), DTypeError),
        ((), DTypeError),
        ((1.0, 2.0), DTypeError),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[LabError]) -> None:
    """Bad arguments are refused before the run."""
    with pytest.raises(error):
        choose(*arguments)


@pytest.mark.parametrize("steepness", [0.0, -1.0, math.nan, "steep", torch.tensor([1.0, 2.0])])
def test_wrong_steepness(steepness: Any) -> None:
    """The steepness is one positive number."""
    with pytest.raises(LabError, match="steepness"):
        choose(1.0, steepness=steepness)


@smooth_function
def empty_min(x: Any) -> Any:
    return min([])


@smooth_function
def empty_index(x: Any) -> Any:
    return [][x]


@smooth_function
def unknown(x: Any) -> Any:
    return nowhere + x  # noqa: F821


@smooth_function
def unknown_call(x: Any) -> Any:
    return nowhere(x)  # noqa: F821


@smooth_function
def unbound(x: Any) -> Any:
    if 2 < 1:
        y = x
    return y


@smooth_function
def divide(x: Any) -> Any:
    return 1 / (x - x)


@smooth_function
def lengths(x: Any) -> Any:
    a = [1.0]
    if x > 0:
        a = [1.0, 2.0]
    return a


@smooth_function
def kinds(x: Any) -> Any:
    a = 1.0
    if x > 0:
        a = [1.0, 2.0]
    return a


@smooth_function
def unpack(x: Any) -> Any:
    a, b = [x, x, x]
    return a + b


@smooth_function
def infinite(x: Any) -> Any:
    return math.inf if x > 0 else 1.0


@smooth_function
def into_tensor(x: Any) -> Any:
    y = x * TABLE
    y[0] = 1.0
    return y


@smooth_function
def ping(x: Any) -> Any:
    return pong(x)


@smooth_function
def pong(x: Any) -> Any:
    return ping(x)


@smooth_function
def filtered(x: Any) -> Any:
    return [v for v in [x, x] if v > 0]


@smooth_function
def strange_index(x: Any) -> Any:
    i = 1 / 2
    return [1, 2][i] + x


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (empty_min, LabError, "min"),
        (empty_index, DomainError, "empty list"),
        (unknown, LabError, "nowhere"),
        (unknown_call, LabError, "nowhere"),
        (unbound, LabError, "without a value"),
        (divide, DomainError, "inf"),
        (lengths, ShapeError, "1 and 2|2 and 1"),
        (kinds, DTypeError, "list"),
        (unpack, ShapeError, "3 values"),
        (infinite, DomainError, "large number"),
        (into_tensor, DTypeError, "list\\(values\\)"),
        (ping, LabError, "calls itself"),
        (filtered, DTypeError, "fixed length"),
        (strange_index, LabError, "float"),
    ],
)
def test_failures_name_the_line(function: Any, error: type[LabError], message: str) -> None:
    """What goes wrong during a run is a LabError that names the function, the line and its text."""
    with pytest.raises(error, match=message) as caught:
        function(torch.tensor(1.0, dtype=torch.float64))
    first = function.hard.__code__.co_firstlineno
    assert str(caught.value).startswith(f"{function.hard.__name__}, line ")
    assert first < int(str(caught.value).split("line ")[1].split(",")[0]) <= first + 6
