"""The smallest real recipe: a network of one neuron learns a line, with everything that the loop asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit.events import Event, MeshPreview
from labkit.train.config import EngineConfig
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.loop import drive
from labkit.train.randomness import generators

NAME = "line"


@dataclass(frozen=True, kw_only=True)
class Line(EngineConfig):
    """What is learned, y = slope x, and where it goes wrong.

    Attributes:
        slope: of the line.
        rate: of Adam.
        poison: the step whose batch holds a NaN; 0 for none.
        slow: seconds that a step waits.
        flat: whether the loss ignores the network, so that no gradient is left.
    """

    slope: float = 2.0
    rate: float = 0.05
    poison: int = 0
    slow: float = 0.0
    flat: bool = False


Config = Line
PRESETS = {"tiny": Line(steps=10, save_every=4, preview_every=0.0, log_every=1, device="cpu")}


class LineTrainer:
    """One neuron, Adam, and a stream of random points."""

    best = "closeness"

    def __init__(self, config: Line, team: Team) -> None:
        self.config, self.team = config, team
        self.generators = generators(config.seed, "points", device=team.device)
        self.net = nn.Linear(1, 1, dtype=torch.float64)
        with torch.no_grad():
            self.net.weight.fill_(0.0)
            self.net.bias.fill_(1.0)
        self.modules = {"net": self.net}
        self.called = team.wrap(self.net)
        self.optimizers = {"adam": torch.optim.Adam(self.net.parameters(), lr=config.rate)}
        self.batch: dict[str, Tensor] = {}

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """Eight new points."""
        time.sleep(self.config.slow)
        x = torch.rand(8, 1, generator=self.generators["points"], dtype=torch.float64)
        if number == self.config.poison:
            x[3] = torch.nan
        self.batch = {"x": x}
        x = self.team.share(x)
        loss = (self.called(x) - self.config.slope * x).square().mean() * (0 if self.config.flat else 1)
        norm = descend(loss, {"error": loss}, self.optimizers["adam"], dict(self.net.named_parameters()), self.team)
        return {"loss": loss.detach(), "gradient": norm}

    def truth(self) -> Iterable[Event]:
        """The line itself."""
        return ()

    def measure(self, final: bool) -> Mapping[str, float]:
        """How close the slope is."""
        return {"closeness": -abs(self.net.weight.item() - self.config.slope), **({"final": 1.0} if final else {})}

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """A triangle as steep as the line."""
        steepness = self.net.weight.item()

        def make() -> Iterable[Event]:
            vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, steepness, 0]])
            yield MeshPreview(number, "line", vertices, torch.tensor([[0, 1, 2]]))

        return make


def train(config: Line, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """See `labkit.train.loop.drive`."""
    return drive(NAME, config, lambda team: LineTrainer(config, team), run, resume)
