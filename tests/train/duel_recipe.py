"""The smallest real recipe of two opponents: a generator of numbers, a discriminator, and a dial between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from labkit.events import Event
from labkit.nets.layers import SeededDropout, seed_dropout
from labkit.train.config import EngineConfig
from labkit.train.dials import Dial, Dials
from labkit.train.distributed import Team
from labkit.train.guard import descend, undone
from labkit.train.loop import drive
from labkit.train.randomness import generators, seeded

NAME = "duel"


@dataclass(frozen=True, kw_only=True)
class Duel(EngineConfig):
    """Numbers around 3 are to be imitated.

    Attributes:
        dropout: in the discriminator.
        poison: the step whose second descent meets a NaN; 0 for none.
    """

    dropout: float = 0.0
    poison: int = 0


Config = Duel
PRESETS = {"tiny": Duel(steps=10, save_every=4, preview_every=0.0, device="cpu")}


class DuelTrainer:
    """One layer or two each, and a buffer that every step changes."""

    best = "closeness"

    def __init__(self, config: Duel, team: Team) -> None:
        self.config, self.team = config, team
        self.generators = generators(config.seed, "draws", "dropout", device=team.device)
        with seeded(config.seed):
            self.maker = nn.Linear(2, 1).double()
            self.judge = nn.Sequential(nn.Linear(1, 8), SeededDropout(config.dropout), nn.Linear(8, 1)).double()
        self.count = nn.Module()
        self.count.register_buffer("total", torch.zeros(1, dtype=torch.float64))
        seed_dropout(self.judge, self.generators["dropout"])
        self.dials = Dials({"pull": Dial(1.0, 0.0, 10.0), "centre": Dial(3.0, -5.0, 5.0)})
        self.modules = {"maker": self.maker, "judge": self.judge, "count": self.count, "dials": self.dials}
        self.optimizers = {
            name: torch.optim.Adam(self.modules[name].parameters(), lr=0.01) for name in ("maker", "judge")
        }
        self.batch: dict[str, Tensor] = {}

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """The judge first, then the maker."""
        stream = self.generators["draws"]
        self.batch = {"z": torch.randn(8, 2, generator=stream), "real": torch.randn(8, 1, generator=stream)}
        z, noise = (self.team.share(value.double()) for value in self.batch.values())
        with undone(self.modules, self.optimizers):
            real = self.dials["centre"] + 0.1 * noise
            self.count.total += self.team.mean(real.mean(0))
            loss = (softplus(-self.judge(real)) + softplus(self.judge(self.maker(z).detach()))).mean()
            judged = self._descend("judge", loss)
            pulled = self.dials["pull"] * softplus(-self.judge(self.maker(z))).mean()
            made = self._descend("maker", pulled * (torch.nan if number == self.config.poison else 1))
        return {"loss": self.team.mean(pulled.detach()), "gradient": (judged**2 + made**2).sqrt()}

    def _descend(self, name: str, loss: Tensor) -> Tensor:
        parameters = dict(self.modules[name].named_parameters())
        return descend(loss, {name: loss}, self.optimizers[name], parameters, self.team, average=True)

    def truth(self) -> Iterable[Event]:
        """Nothing to show."""
        return ()

    def measure(self, final: bool) -> Mapping[str, float]:
        """How close the maker's mean is."""
        return {"closeness": -abs(self.maker.bias.item() - self.dials["centre"])}

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """Nothing to show."""
        return lambda: ()


def train(config: Duel, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """See `labkit.train.loop.drive`."""
    return drive(NAME, config, lambda team: DuelTrainer(config, team), run, resume)
