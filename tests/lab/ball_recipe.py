"""A recipe that fits two numbers: radius and height of a ball, to random points of the true one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit.events import Event, MeshPreview, Picture
from labkit.geometry import icosphere
from labkit.train.config import EngineConfig
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.loop import drive
from labkit.train.randomness import generators

NAME = "ball"
SIDE = 24  # pixels of a picture


@dataclass(frozen=True, kw_only=True)
class Ball(EngineConfig):
    """The true ball, the step width, what a step takes at least in seconds, and the step whose batch is spoiled."""

    radius: float = 0.7
    height: float = 0.2
    rate: float = 0.05
    seconds: float = 0.0
    spoiled: int = 0


Config = Ball
PRESETS: Mapping[str, Ball] = {
    "tiny": Ball(steps=12, device="cpu", save_every=5, preview_every=0.001),
    "slow": Ball(steps=400, device="cpu", save_every=25, preview_every=0.2, seconds=0.02, rate=0.01),
}


class Model(nn.Module):
    """The ball."""

    def __init__(self) -> None:
        super().__init__()
        self.radius, self.height = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.4))

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Squared distance of points (N, 3) from its surface, and a pull of the height towards 0, each ()."""
        x, y, z = points.unbind(-1)
        distance = (x**2 + (y - self.height) ** 2 + z**2).sqrt() - self.radius
        return {"distance": distance.square().mean(), "pull": 1e-4 * self.height**2}


class BallTrainer:
    """See `labkit.train.trainer.Trainer`."""

    best = "psnr"

    def __init__(self, config: Ball, team: Team) -> None:
        self.config, self.team = config, team
        self.model = Model().to(team.device)
        self.called = team.wrap(self.model)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=config.rate)
        self.modules, self.optimizers = {"ball": self.model}, {"adam": self.adam}
        self.generators = generators(config.seed, "points", device=team.device)
        self.batch: dict[str, Tensor] = {}

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """64 random points of the true ball, and Adam."""
        time.sleep(self.config.seconds)
        points = torch.randn(64, 3, generator=self.generators["points"])
        points = self.config.radius * nn.functional.normalize(points, dim=-1)
        points = points + torch.tensor([0.0, self.config.height, 0.0])
        if number == self.config.spoiled:
            points[3, 1] = float("nan")
        self.batch = {"points": points}
        terms = self.called(self.team.share(points))
        loss = terms["distance"] + terms["pull"]
        norm = descend(loss, terms, self.adam, dict(self.model.named_parameters()), self.team)
        told = {f"loss {name}": value.detach() for name, value in terms.items()}
        return {"loss": loss.detach(), **told, "gradient": norm}

    def measure(self, final: bool) -> Mapping[str, float]:
        """How near the picture is to the true one, decibels."""
        error = (picture(self.model.radius, self.model.height) - truth_picture(self.config)).square().mean()
        return {"psnr": float(-10 * (error + 1e-10).log10())}

    def truth(self) -> Iterable[Event]:
        """See `preview`."""
        return preview(self.config)

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """The ball as a mesh and as a picture."""
        radius, height = float(self.model.radius.detach()), float(self.model.height.detach())

        def make() -> Iterator[Event]:
            yield surface(number, "surface", radius, height)
            yield Picture(number, "view 0", picture(radius, height))

        return make


def surface(number: int, name: str, radius: float, height: float) -> MeshPreview:
    """A ball as an icosphere."""
    ball = icosphere(3)
    return MeshPreview(number, name, ball.vertices * radius + torch.tensor([0.0, height, 0.0]), ball.faces)


def picture(radius: float | Tensor, height: float | Tensor) -> Tensor:
    """The ball from the front, (1, SIDE, SIDE), dark on white."""
    place = (torch.arange(SIDE) + 0.5) / (SIDE / 2) - 1
    y, x = torch.meshgrid(-place, place, indexing="ij")
    return torch.as_tensor((x**2 + (y - height) ** 2).sqrt() > radius).float()[None] * 0.9 + 0.05


def truth_picture(config: Ball) -> Tensor:
    """What the picture should become."""
    return picture(config.radius, config.height)


def preview(config: Ball) -> Iterator[Event]:
    """The true ball."""
    yield surface(0, "truth", config.radius, config.height)
    yield Picture(0, "truth 0", truth_picture(config))


def train(config: Ball, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """See `labkit.train.loop.drive`."""
    return drive(NAME, config, lambda team: BallTrainer(config, team), run, resume)


def uninterrupted(config: Ball, steps: int, run: Path) -> list[Event]:
    """A run without a break, to compare others with."""
    return list(train(replace(config, steps=steps), run))
