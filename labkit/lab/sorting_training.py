"""A small network that answers questions about sets, with and without a sorting layer inside (forward AlgoNet)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from labkit.errors import DomainError
from labkit.events import Step
from labkit.smooth.algorithmic_layer import AlgorithmicLayer
from labkit.smooth.soft_sort import soft_sort

ITEMS, GAUGES, NOISE = 9, (1.0, 0.5, -0.7), 0.1
TASKS = ("median", "second largest", "mean", "first")
RIVALS = ("no sort", "hard sort", "soft sort")
HIDDEN, BATCH, RATE, EVERY = 32, 128, 1e-2, 10  # RATE: of Adam; EVERY: training steps between two validations


def sample(task: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sets of items, and the right answer for each.

    An item has a hidden score, normal with standard deviation 1. Three gauges see it, with gains of 1, 0.5 and -0.7 and
    noise of 0.1.

    Args:
        task: which score of the nine is asked for, a name of `TASKS`.
        count: B, how many sets.
        generator: what they are drawn from.

    Returns:
        What the gauges see, (B, 9, 3), and the answers, (B,).

    Raises:
        DomainError: there is no such task.
    """
    score = torch.randn(count, ITEMS, generator=generator)
    gauges = score[..., None] * torch.tensor(GAUGES)  # (B, 9, 3)
    ordered = score.sort(-1).values
    answers = {
        "median": ordered[:, ITEMS // 2],
        "second largest": ordered[:, -2],
        "mean": score.mean(-1),
        "first": score[:, 0],
    }
    if task not in answers:
        raise DomainError("task", repr(task), f"one of {', '.join(TASKS)}")
    return gauges + NOISE * torch.randn(gauges.shape, generator=generator), answers[task]


class SetNetwork(nn.Module):
    """One small network gives each item a number, an algorithm works on the nine of them, a second network answers.

    Args:
        algorithm: from numbers (B, 9) to (B, 9).
        insertion: as in `labkit.smooth.AlgorithmicLayer`; "skip" doubles what the second network sees.
        generator: what the weights are drawn from, uniform within 1 / sqrt(inputs).

    Source: AlgoNet, section 3.2 and figure 3.
    """

    def __init__(self, algorithm: Callable[[Tensor], Tensor], insertion: str, generator: torch.Generator) -> None:
        super().__init__()
        joined = (2 if insertion == "skip" else 1) * ITEMS
        self.code = nn.Sequential(linear(len(GAUGES), 16, generator), nn.ReLU(), linear(16, 1, generator))
        self.layer = AlgorithmicLayer(algorithm, insertion)
        self.silent = AlgorithmicLayer(torch.zeros_like, insertion)
        self.answer = nn.Sequential(linear(joined, HIDDEN, generator), nn.ReLU(), linear(HIDDEN, 1, generator))

    def forward(self, seen: Tensor, silent: bool = False) -> Tensor:
        """The answers (B,) for sets (B, 9, 3). ``silent`` puts zeros in place of what the algorithm says."""
        numbers = self.code(seen)[..., 0]  # (B, 9)
        return self.answer((self.silent if silent else self.layer)(numbers))[:, 0]


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer whose weights come from the generator, as `torch.nn.Linear` draws them from the global stream."""
    made = skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    return made


def rivals(insertion: str, steepness: float, seed: int) -> dict[str, SetNetwork]:
    """Three networks with the same start weights that differ in the algorithm only: none, a hard sort, a soft sort."""
    algorithms = (lambda x: x, lambda x: x.sort(-1).values, lambda x: soft_sort(x, steepness))
    return {
        name: SetNetwork(algorithm, insertion, torch.Generator().manual_seed(seed))
        for name, algorithm in zip(RIVALS, algorithms, strict=True)
    }


def train(networks: Mapping[str, SetNetwork], task: str, steps: int, seed: int) -> Iterator[Step]:
    """Train all networks side by side on the same new sets at every step, with Adam and the squared error.

    At the first step and at every tenth the values of the event hold, on 1000 sets of their own: under each network's
    name its error as a part of the answers' variance (1 is no better than always saying their mean); under "silent" the
    same for the soft sort with zeros in place of its answer; under "place 1" to "place 9" the sensitivity of what the
    soft sort says, and its sum under "sensitivity"; under "<name>, ms" the milliseconds that a training step of each
    took on average.

    Args:
        networks: as `rivals` makes them; they are trained in place.
        task: a name of `TASKS`.
        steps: training steps.
        seed: which sets are drawn.
    """
    stream = torch.Generator().manual_seed(seed)
    proof, truth = sample(task, 1000, stream)
    optimizers = {name: torch.optim.Adam(network.parameters(), RATE) for name, network in networks.items()}
    spent = dict.fromkeys(networks, 0.0)
    for number in range(1, steps + 1):
        seen, answers = sample(task, BATCH, stream)
        for name, network in networks.items():
            began = time.perf_counter()
            loss = (network(seen) - answers).square().mean()
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            spent[name] += time.perf_counter() - began
        values: dict[str, float] = {}
        if number == 1 or number % EVERY == 0:
            values = validate(networks, proof, truth)
            values |= {f"{name}, ms": 1e3 * seconds / number for name, seconds in spent.items()}
        yield Step(number, steps, values)


def validate(networks: Mapping[str, SetNetwork], seen: Tensor, answers: Tensor) -> dict[str, float]:
    """Errors and sensitivities as `train` tells them, for sets (B, 9, 3) and their answers (B,)."""
    variance = answers.var(correction=0)
    errors = {name: (network(seen) - answers).square().mean() / variance for name, network in networks.items()}
    soft = networks["soft sort"]
    places = soft.layer.sensitivity(errors["soft sort"]).tolist()
    with torch.no_grad():
        silent = (soft(seen, silent=True) - answers).square().mean() / variance
    return {
        **{name: float(error.detach()) for name, error in errors.items()},
        "silent": float(silent),
        **{f"place {number + 1}": place for number, place in enumerate(places)},
        "sensitivity": sum(places),
    }
