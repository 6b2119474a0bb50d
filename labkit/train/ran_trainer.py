"""One step of RAN: D, then b2a, then R and a2b, each down each of its losses; and what is measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from labkit.events import Event
from labkit.geometry import Mesh
from labkit.geometry.regularizers import edge_loss, neighbor_loss, normal_loss
from labkit.nets.layers import seed_dropout
from labkit.train.distributed import Team
from labkit.train.guard import descend, undone
from labkit.train.ran_config import RAN, SUB_RANS
from labkit.train.ran_data import batch, problem
from labkit.train.ran_loss import ORDER, Network, Pictures, learners, loss_terms
from labkit.train.ran_measure import Yardstick, shown, truth
from labkit.train.ran_networks import Networks
from labkit.train.ran_render import random_shapes
from labkit.train.randomness import generators
from labkit.train.schedules import halved

QUICK = 16  # unseen sets that are measured at each checkpoint
COINS = ("random", *map(str, SUB_RANS))
REGULARIZERS: Mapping[str, Callable[[Mesh], Tensor]] = {
    "normal": normal_loss,
    "edge": edge_loss,
    "neighbor": neighbor_loss,
}


class RANTrainer:
    """The networks, the sets, and one Adam for each network; see `labkit.train.trainer.Trainer`."""

    best = "iou"
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]
    batch: Mapping[str, Tensor]

    def __init__(self, config: RAN, team: Team) -> None:
        team.check_batch(config.batch)
        self.config, self.team = config, team
        init = generators(config.seed, "init", device="cpu")["init"]
        self.generators = {
            **generators(config.seed, "batch", device="cpu"),
            **generators(config.seed, "dropout", device=team.device),
        }
        self.networks = Networks.fresh(config, init, team.device)
        self.modules, self.dials = self.networks.modules, self.networks.dials
        self.problem = problem(config.data)
        self.yardstick = Yardstick(self.problem)
        rates = {"discriminator": config.discriminator_rate, "reconstructor": config.rate}
        self.rates = {name: rates.get(name, config.translator_rate) for name in ORDER if name in self.modules}
        self.parameters: dict[str, dict[str, nn.Parameter]] = {}
        self.optimizers = {}
        for name, rate in self.rates.items():
            module = self.modules[name]
            seed_dropout(module, self.generators["dropout"])
            self.parameters[name] = {f"{name}.{key}": value for key, value in module.named_parameters()}
            self.optimizers[name] = torch.optim.Adam(module.parameters(), rate, betas=(config.beta, 0.999))
        self.batch = {}

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """Draw sets, then take every descent of `plan` in its order; all of them, or none if one fails.

        Figures: "loss i" is what the networks other than D descended in L_i, on average; "loss" the same over all;
        "game i" the cross entropy of D, 1.386 where it cannot tell; "fooling i" and "pixels i" what "loss i" is made
        of, without any weight; and the regularizers, without theirs.
        """
        fallen = halved(number, self.config.decay_every)
        for name, rate in self.rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * fallen
        self.batch = self._draw()
        pictures = self._pictures()
        told: dict[str, list[Tensor]] = {}
        norms = [torch.zeros((), device=self.team.device)]
        with undone(self.modules, self.optimizers):
            for network, loss in self.plan(self.batch["coins"]):
                norms.append(self._descend(network, loss, pictures, told))
        gradient = torch.stack(norms).norm()
        if not told:
            return {"gradient": gradient}
        figures = self.team.mean(torch.stack([torch.stack(values).mean() for values in told.values()]))
        return {**dict(zip(told, figures, strict=True)), "gradient": gradient}

    def plan(self, coins: Tensor) -> list[tuple[Network, str]]:
        """The descents of a step in their order (section 3.3): who learns, and from which loss.

        Args:
            coins: (4, 6) in [0, 1), a row for each network of `ORDER`, a column for each of `COINS`; a loss is left
                out where its coin is not below its probability.
        """
        if self.config.mode == "direct":
            return [("reconstructor", "direct")]
        told = self.config.loss
        odds = dict(zip(COINS, (told.random_probability, *told.probabilities), strict=True))
        used = {"random", *map(str, told.use)}
        return [
            (network, loss)
            for network, row in zip(ORDER, coins.tolist(), strict=True)
            for loss, coin in zip(COINS, row, strict=True)
            if loss in used and network in learners(loss) and self._alpha(loss) > 0 and coin < odds[loss]
        ]

    def measure(self, final: bool) -> Mapping[str, float]:
        """IoU and L1 of unseen sets; at the end of all of them, with the IoU of the mean training shape."""
        found = self.yardstick.measure(self.networks.copied(), None if final else QUICK)
        if final and (floor := self.yardstick.mean_shape_iou()) is not None:
            found["iou mean shape"] = floor
        return found

    def truth(self) -> Iterable[Event]:
        """See `truth`."""
        return truth(self.problem)

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """The pictures of figure 4 for the first unseen set, and its mesh."""
        networks = self.networks.copied()
        return lambda: shown(networks, self.problem, number)

    def _descend(self, network: Network, loss: str, pictures: Pictures, told: dict[str, list[Tensor]]) -> Tensor:
        """One descent; its figures go to ``told``. Returns the gradient's norm."""
        saturating = self.config.loss.fooling == "saturating"
        judge, pixel = self.networks.judge, self.dials["pixel"]
        terms = loss_terms(loss, network, pictures, judge, pixel, saturating)
        if network == "discriminator":
            told.setdefault(f"game {loss}", []).append(terms["game"].detach())
        elif "game" in terms:
            told.setdefault(f"fooling {loss}", []).append(terms["game"].detach())
        if "pixels" in terms:
            told.setdefault(f"pixels {loss}", []).append(terms["pixels"].detach() / pixel)
        terms = {f"{name} of loss {loss}": self._alpha(loss) * value for name, value in terms.items()}
        if terms and network != "discriminator":
            value = torch.stack(list(terms.values())).sum().detach()
            for name in ("loss", f"loss {loss}"):
                told.setdefault(name, []).append(value)
        if network == "reconstructor":
            mesh = Mesh(pictures["vertices"], self.networks.sphere.faces)
            for name, regularizer in REGULARIZERS.items():
                if self.dials[name] > 0:
                    value = regularizer(mesh).mean()
                    told.setdefault(name, []).append(value.detach())
                    terms[name] = self.dials[name] * value
        if not terms:
            return torch.zeros((), device=self.team.device)
        total = torch.stack(list(terms.values())).sum()
        norm = descend(total, terms, self.optimizers[network], self.parameters[network], self.team, average=True)
        pictures.learned(network)
        return norm

    def _alpha(self, loss: str) -> float:
        return 1.0 if loss == "direct" else self.dials[f"alpha_{loss}"]

    def _draw(self) -> dict[str, Tensor]:
        """This step's sets, random shapes and coins, of the whole team."""
        stream, size = self.generators["batch"], self.config.batch
        drawn = {"numbers": torch.randint(self.problem.seen, (size,), generator=stream)}
        if self.config.mode == "direct":
            return {**drawn, "coins": torch.zeros(0)}
        return {
            **drawn,
            "others": torch.randint(self.problem.seen, (size,), generator=stream),
            "random": random_shapes(self.networks.sphere.vertices, size, stream),
            "coins": torch.rand(len(ORDER), len(COINS), generator=stream),
        }

    def _pictures(self) -> Pictures:
        """Those of this member's share of the batch."""
        mine = {name: self.team.share(rows) for name, rows in self.batch.items() if name != "coins"}
        a, azimuths = batch(self.problem.train, mine["numbers"], self.team.device)
        if self.config.mode == "direct":
            return self.networks.pictures(a, azimuths)
        other = batch(self.problem.train, mine["others"], self.team.device).pictures
        return self.networks.pictures(a, azimuths, other=other, random=mine["random"])
