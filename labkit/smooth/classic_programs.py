"""Twelve classic programs as smooth functions, each with an input: examples to read, to run, and to plot.

They show how to keep ties apart: a threshold lies between the numbers that occur, never on one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from labkit.smooth.smooth_function import SmoothFunction, smooth_function


@smooth_function
def bubble_sort(values: Any) -> Any:
    """The values (n numbers) in ascending order."""
    values = list(values)
    for last in range(len(values) - 1, 0, -1):
        for i in range(last):
            if values[i] > values[i + 1]:
                values[i], values[i + 1] = values[i + 1], values[i]
    return values


@smooth_function
def binary_search(values: Any, key: Any) -> Any:
    """How many of the ascending ``values`` are less than ``key``."""
    low = 0
    high = len(values)
    while high - low > 0.5:
        middle = math.floor((low + high) / 2 + 0.25)  # the quarter: halves of whole numbers are .0 or .5
        if values[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@smooth_function
def euclid(a: Any, b: Any) -> Any:
    """The greatest common divisor of two positive whole numbers, by subtraction."""
    while a != b:
        if a > b:
            a = a - b
        else:
            b = b - a
    return a


@smooth_function
def collatz_steps(n: Any) -> Any:
    """How many steps of "half of an even number, 3 n + 1 of an odd one" lead from n to 1."""
    steps = 0
    while n > 1.5:
        n = n / 2 if (n + 0.5) % 2 < 1 else 3 * n + 1
        steps += 1
    return steps


@smooth_function
def newton_root(a: Any) -> Any:
    """The square root of a > 0: Newton's steps until the square is within 0.1 of it."""
    x = a
    while abs(x * x - a) > 0.1:
        x = (x + a / x) / 2
    return x


@smooth_function
def levenshtein(first: Any, second: Any) -> Any:
    """The edit distance of two lists of letters, which are numbers and equal when less than 1/2 apart."""
    previous = list(range(len(second) + 1))
    for i in range(len(first)):
        current = [i + 1]
        for j in range(len(second)):
            replace = previous[j] if abs(first[i] - second[j]) < 0.5 else previous[j] + 1
            current = [*current, min(previous[j + 1] + 1, current[j] + 1, replace)]
        previous = current
    return previous[len(second)]


@smooth_function
def shortest_path(nodes: Any, edges: Any, lengths: Any) -> Any:
    """The distances of all nodes from node 0 (Bellman-Ford); ``edges`` are pairs of nodes with these lengths."""
    distance = [math.inf] * nodes
    distance[0] = 0
    for _ in range(nodes - 1):
        for i, (start, stop) in enumerate(edges):
            if distance[start] + lengths[i] < distance[stop]:
                distance[stop] = distance[start] + lengths[i]
    return distance


@smooth_function
def knapsack(values: Any, weights: Any, capacity: Any) -> Any:
    """The largest total value of items whose whole-number weights sum to at most ``capacity``."""
    best = [0.0] * (capacity + 1)
    for item, weight in enumerate(weights):
        for room in range(capacity, weight - 1, -1):
            best[room] = max(best[room], best[room - weight] + values[item])
    return best[capacity]


@smooth_function
def clamp(x: Any, low: Any, high: Any) -> Any:
    """The number between ``low`` and ``high`` that is nearest to x."""
    if x < low:
        return low
    if x > high:
        return high
    return x


@smooth_function
def fizz_buzz(n: Any) -> Any:
    """3 for multiples of 15, 2 of 5, 1 of 3, and 0 for other whole numbers."""
    fizz = (n + 0.5) % 3 < 1
    buzz = (n + 0.5) % 5 < 1
    if fizz and buzz:
        word = 3
    elif buzz:
        word = 2
    elif fizz:
        word = 1
    else:
        word = 0
    return word


@smooth_function
def longest_run(values: Any) -> Any:
    """The length of the longest run of neighbours that are less than 1/2 apart."""
    longest = run = 1
    for i in range(1, len(values)):
        if abs(values[i] - values[i - 1]) < 0.5:
            run += 1
        else:
            run = 1
        if run > longest + 0.5:
            longest = run
    return longest


@smooth_function
def bisection(c: Any) -> Any:
    """A root of x^3 + x = c between 0 and 2, to within 0.05."""
    low = 0.0
    high = 2.0
    while high - low > 0.1:
        middle = (low + high) / 2
        if middle**3 + middle < c:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True)
class ClassicProgram:
    """A program with an input.

    Attributes:
        function: the smooth function.
        arguments: what ``function.hard`` takes; floats are data and may be softened, ints are structure.
        steepness: values over which the smooth result approaches the hard one, ascending.
    """

    function: SmoothFunction
    arguments: tuple[Any, ...]
    steepness: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0, 64.0)

    def tensors(self, dtype: torch.dtype = torch.float64) -> tuple[Any, ...]:
        """The arguments with a tensor () in place of every float."""
        return tuple(_soft(argument, dtype) for argument in self.arguments)


def _soft(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_soft(entry, dtype) for entry in value)
    return torch.tensor(value, dtype=dtype) if isinstance(value, float) else value


_EDGES = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4), (2, 4)]

PROGRAMS: dict[str, ClassicProgram] = {
    "bubble sort": ClassicProgram(bubble_sort, ([2.1, 0.4, 3.3, 1.2, 2.7],)),
    "binary search": ClassicProgram(binary_search, ([0.3, 1.1, 2.6, 3.2, 4.9, 6.0, 7.4], 4.1)),
    "Euclid": ClassicProgram(euclid, (48.0, 18.0), (0.5, 1.0, 2.0, 3.0, 4.0)),
    "Collatz steps": ClassicProgram(collatz_steps, (7.0,), (24.0, 28.0, 32.0, 40.0, 48.0)),
    "Newton's root": ClassicProgram(newton_root, (7.0,), (16.0, 32.0, 64.0, 128.0, 256.0)),
    "Levenshtein distance": ClassicProgram(levenshtein, ([11.0, 9.1, 20.0, 20.1, 5.0, 14.0], [19.0, 9.0, 20.0, 5.1])),
    "shortest path": ClassicProgram(shortest_path, (5, _EDGES, [4.1, 1.0, 2.2, 5.3, 8.1, 3.2, 9.7])),
    "0/1 knapsack": ClassicProgram(knapsack, ([6.1, 10.3, 12.2, 3.7], [1, 2, 3, 2], 5), (1.0, 2.0, 4.0, 8.0, 16.0)),
    "clamp": ClassicProgram(clamp, (1.3, 0.0, 1.0)),
    "fizz buzz": ClassicProgram(fizz_buzz, (10.0,), (40.0, 50.0, 60.0, 70.0, 80.0)),
    "longest run": ClassicProgram(longest_run, ([1.0, 1.2, 3.0, 3.1, 2.9, 5.0],)),
    "bisection": ClassicProgram(bisection, (3.7,), (32.0, 64.0, 128.0, 256.0, 512.0)),
}
