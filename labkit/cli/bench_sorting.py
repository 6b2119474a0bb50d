"""The rows of ``labkit bench`` for sorting: labkit's soft sort beside diffsort and torchsort, on the same data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from labkit.cli.bench import timed
from labkit.smooth.soft_rank import soft_rank
from labkit.smooth.soft_sort import soft_sort

BATCHES = {8: 32, 16: 32, 32: 32, 64: 32, 128: 8, 256: 2, 512: 1}  # n, and how many lists of n values
QUICK = 64
STEEPNESS = 100.0
REPEATS = 9
SLOW = 1.0  # seconds of diffsort, foretold from the size before as the fourth power of n, from which one run has to do
SECONDS = 120.0  # and from which it is left out
CURES = {
    "diffsort": 'pip install "diffsort>=0.2"',
    "torchsort": 'pip install --no-build-isolation "torchsort>=0.1.9", which needs a C++ compiler',
}


@dataclass(frozen=True)
class Contender:
    """One way to sort (B, n): ``sort`` gives what is timed, sorted values first; ``rank`` gives ranks from 1."""

    name: str
    sort: Callable[[Tensor], tuple[Tensor, ...]]
    rank: Callable[[Tensor], Tensor]


def rows(quick: bool) -> Iterator[str]:
    """Up to five rows of text per n, after what was measured; ``quick``: up to 64 values only."""
    yield (
        f"Soft sort of N(0, 1) values on {torch.get_num_threads()} CPU threads, torch {torch.__version__}, float32, "
        f"median of {REPEATS} runs (diffsort: one run from {SLOW:g} s)."
    )
    yield f"odd-even network, logistic, s = {STEEPNESS:g}; torchsort, which has no network: regularization 1 / s."
    yield "matrix: sorted values and permutation matrix, both with gradients; diffsort computes it in either case."
    yield "error: mean |sorted - torch.sort|, in standard deviations. ranks: soft ranks that round to the true ones."
    absent = [name for name in CURES if not find_spec(name)]
    for name in absent:
        yield f"{name} is not installed: {CURES[name]}"
    yield f"{'n':>3} {'lists':>5} {'':17} | {'forward':>11} {'+backward':>12} {'/ labkit':>9} |   error  ranks"
    foretold, before = 0.0, 0  # seconds of diffsort, and what they are proportional to
    for n, batch in BATCHES.items():
        if quick and n > QUICK:
            break
        values = torch.randn(batch, n, generator=torch.Generator().manual_seed(0)).requires_grad_()
        foretold *= batch * n**4 / before if before else 0.0
        before = batch * n**4
        left_out = set(absent)
        if "diffsort" not in absent and (foretold > SECONDS or diffsort_bytes(n) > memory()):
            left_out.add("diffsort")
            yield f"{n:3} {batch:5} diffsort left out: about {foretold:.0f} s, {diffsort_bytes(n) / 1e9:.1f} GB"
        seconds = {}
        for contender in contenders(n, left_out):
            slow = "diffsort" in contender.name and foretold > SLOW
            forward, both = timed(partial(contender.sort, values), 1 if slow else REPEATS)
            seconds[contender.name] = both
            error, right = accuracy(contender, values.detach())
            ours = seconds["labkit, matrix" if "matrix" in contender.name else "labkit"]
            yield (
                f"{n:3} {batch:5} {contender.name:<17} | {1e3 * forward:8.2f} ms {1e3 * both:9.2f} ms"
                f" {both / ours:8.3g}x | {error:7.5f} {right:6.1%}"
            )
        foretold = seconds.get("diffsort, matrix", foretold)


def contenders(n: int, left_out: set[str]) -> Iterator[Contender]:
    """labkit first, then whatever package of `CURES` is not left out."""
    rank = partial(soft_rank, steepness=STEEPNESS)
    yield Contender("labkit", lambda x: (soft_sort(x, STEEPNESS),), rank)
    if "torchsort" not in left_out:
        import torchsort

        yield Contender(
            "torchsort",
            lambda x: (torchsort.soft_sort(x, regularization_strength=1 / STEEPNESS),),
            lambda x: torchsort.soft_rank(x, regularization_strength=1 / STEEPNESS),
        )
    network = None
    if "diffsort" not in left_out:
        from diffsort import DiffSortNet

        network = DiffSortNet("odd_even", n, steepness=STEEPNESS, distribution="logistic")

        def diffsort_rank(x: Tensor) -> Tensor:
            return network(x)[1] @ torch.arange(1.0, n + 1)  # its matrix is the transposed P

        yield Contender("diffsort", lambda x: network(x)[:1], diffsort_rank)
    yield Contender("labkit, matrix", lambda x: soft_sort(x, STEEPNESS, permutation=True), rank)
    if network is not None:
        yield Contender("diffsort, matrix", network, diffsort_rank)


def accuracy(contender: Contender, values: Tensor) -> tuple[float, float]:
    """Mean absolute error of the sorted values, in standard deviations, and the share of right ranks, from 0 to 1."""
    true, order = values.sort()
    with torch.no_grad():
        error = (contender.sort(values)[0] - true).abs().mean() / values.std()
        right = contender.rank(values).round() == order.argsort() + 1
    return error.item(), right.double().mean().item()


def diffsort_bytes(n: int) -> float:
    """About what diffsort needs for one list: dense matrices of n / 2 by n for each of n steps, built in float64."""
    return 30.0 * n**3


def memory() -> float:
    """Bytes of memory of this machine, where it tells."""
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) if hasattr(os, "sysconf") else float("inf")
