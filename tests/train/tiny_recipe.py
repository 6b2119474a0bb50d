"""The smallest honest recipe: an MLP learns a smooth function from random points, through the engine's own loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from labkit.events import Event, Picture
from labkit.train.config import EngineConfig
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.loop import drive
from labkit.train.randomness import generators, seeded

NAME = "tiny"


@dataclass(frozen=True, kw_only=True)
class NetConfig:
    """The network.

    Attributes:
        width: neurons of its hidden layer.
    """

    width: int = 16


@dataclass(frozen=True, kw_only=True)
class Config(EngineConfig):
    """A fit of sin(3 x) + y.

    Attributes:
        rows: points of a step, shared by all processes.
        learning_rate: of Adam.
        reduction: of the squared errors of a step.
        double: whether it computes in float64.
        wait: seconds that a step rests, so that tests can interrupt it.
        poison: the step whose points are NaN; 0 for none.
    """

    net: NetConfig = NetConfig()
    rows: int = 32
    learning_rate: float = 1e-2
    reduction: Literal["sum", "mean"] = "mean"
    double: bool = False
    wait: float = 0.0
    poison: int = 0


PRESETS = {
    "tiny": Config(steps=6, save_every=4, preview_every=0.0, device="cpu"),
    "cpu": Config(steps=40, save_every=10, preview_every=0.0, device="cpu"),
}


def train(config: Config, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """Train, see `drive`."""
    return drive(NAME, config, lambda team: Tiny(config, team), run, resume)


class Loss(nn.Module):
    """Squared error, reduced over the whole team's rows once the gradients are averaged."""

    def __init__(self, net: nn.Module, reduction: str, world: int) -> None:
        super().__init__()
        self.net, self.reduction, self.world = net, reduction, world

    def forward(self, points: Tensor) -> Tensor:
        """() of points (N, 2)."""
        target = torch.sin(3 * points[:, 0]) + points[:, 1]
        error = (self.net(points)[:, 0] - target).square()  # (N,)
        return self.world * error.sum() if self.reduction == "sum" else error.mean()


class Tiny:
    """The trainer."""

    best = "score"

    def __init__(self, config: Config, team: Team) -> None:
        self.config, self.team = config, team
        dtype = torch.float64 if config.double else torch.float32
        with seeded(config.seed):
            net = nn.Sequential(nn.Linear(2, config.net.width), nn.Tanh(), nn.Linear(config.net.width, 1)).to(dtype)
        self.modules: Mapping[str, nn.Module] = {"net": net}
        self.optimizers = {"adam": torch.optim.Adam(net.parameters(), lr=config.learning_rate)}
        self.generators = generators(config.seed, "points")
        self.batch: dict[str, Tensor] = {}
        self.loss = team.wrap(Loss(net, config.reduction, team.world))

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """One step."""
        time.sleep(self.config.wait)
        net = self.modules["net"]
        dtype = next(net.parameters()).dtype
        points = 2 * torch.rand(self.config.rows, 2, generator=self.generators["points"], dtype=dtype) - 1
        if number == self.config.poison:
            points = points * math.nan
        self.batch = {"points": points}
        loss = self.loss(self.team.share(points))
        norm = descend(loss, {"loss": loss}, self.optimizers["adam"], dict(net.named_parameters()), self.team)
        return {"loss": self.team.mean(loss.detach()), "gradient": norm}

    def truth(self) -> Iterable[Event]:
        """No picture of it is made."""
        return ()

    def measure(self, final: bool) -> Mapping[str, float]:
        """Minus the mean squared error on a grid."""
        return {"score": -float(Loss(self.modules["net"], "mean", 1)(self.grid()).detach())}

    def grid(self) -> Tensor:
        """(256, 2)."""
        dtype = next(self.modules["net"].parameters()).dtype
        line = torch.linspace(-1, 1, 16, dtype=dtype)
        return torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)

    @torch.no_grad()
    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """The function as a picture."""
        values = self.modules["net"](self.grid()).reshape(1, 16, 16).sigmoid().float()
        return lambda: [Picture(number, "function", values)]
