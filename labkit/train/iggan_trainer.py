"""One step of the game between generator and discriminator, whatever shows the one to the other; and of IG-GAN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from labkit.data.contact_sheet import contact_sheet
from labkit.events import Event, MeshPreview, Picture
from labkit.geometry.rigid_grid import embed
from labkit.train.dials import Dial, Dials
from labkit.train.distributed import Team
from labkit.train.guard import descend, undone
from labkit.train.iggan_config import IGGAN
from labkit.train.iggan_loss import discriminator_loss, dom_loss, generator_loss, render_loss, renderer_loss
from labkit.train.iggan_measure import Measures
from labkit.train.iggan_networks import Networks, binarized, latents
from labkit.train.iggan_scene import KnownShapes, OffTheShelf, camera_of, category, data, rule_of, views
from labkit.train.randomness import generators

PREVIEWS = 4  # shapes shown as surfaces
SHEET = 8  # samples on a contact sheet
MAX_DOM = 1e4  # that the dial of lambda goes up to


class Game(ABC):
    """Data, G and D, and what every method does with them; see `labkit.train.trainer.Trainer`.

    Args:
        config: what to do.
        team: the processes that train together.
        stack: closes what is opened here.
    """

    style = "shaded"  # of the data's pictures
    batch: Mapping[str, Tensor]
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]

    def __init__(self, config: IGGAN, team: Team, stack: ExitStack) -> None:
        team.check_batch(config.batch)
        self.config, self.team, self.rule = config, team, rule_of(config.data)
        self.generators = generators(config.seed, "latents", "views", "thresholds", "data", "pre-training")
        self.networks = Networks.fresh(config, generators(config.seed, "init")["init"])
        self.modules = {name: module.to(team.device) for name, module in self.networks.modules.items()}
        rates = {name: getattr(config, name).learning_rate for name in self.modules}
        betas = (config.beta1, 0.999)
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), lr=rates[name], betas=betas)
            for name, module in self.modules.items()
        }
        self.off_the_shelf = stack.enter_context(OffTheShelf(config.off_the_shelf, config.size))
        self.source = data(config, self.style, device=team.device)
        stack.callback(self.source.close)
        self.shown = self.source.images(torch.arange(SHEET) % (self.source.count or SHEET))  # previews of the data
        self.measures = Measures(config, self.off_the_shelf)
        self.best = self.measures.best
        self.batch = {}

    @abstractmethod
    def play(self, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One update of each network, from this member's share of what `draw` drew; figures, each ()."""

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """One update of each network, all or none."""
        self.batch = self.draw(number)
        drawn = {name: self.team.share(rows) for name, rows in self.batch.items()}
        with undone(self.modules, self.optimizers):
            figures = self.play(drawn)
            norms = {name: figures.pop(name) for name in list(figures) if name.startswith("gradient")}
            buffers = [value for module in self.networks.modules.values() for value in module.buffers()]
            self.team.average([value for value in buffers if value.is_floating_point()])  # of batch norm
        told = self.team.mean(torch.stack([value.detach() for value in figures.values()]))
        norm = torch.stack(list(norms.values())).square().sum().sqrt()
        return {**dict(zip(figures, told, strict=True)), **norms, "gradient": norm}

    def draw(self, number: int) -> dict[str, Tensor]:
        """This step's z, angles and numbers of pictures, of the whole team; on the CPU, the same on every device."""
        count, streams = self.config.batch, self.generators
        if self.source.count is None:
            numbers = torch.arange(count) + (number - 1) * count  # one after the other, so that they are made ahead
        else:
            numbers = torch.randint(self.source.count, (count,), generator=streams["data"])
        return {
            "latents": latents(self.config.generator, count, streams["latents"]),
            "views": views(self.rule, count, streams["views"]),
            "data": numbers,
        }

    def judge(self, numbers: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Update D: the data are real, pictures ``fake`` (B, 1, H, W), without their gradients, are not."""
        real = self.source.images(numbers).to(self.team.device)
        discriminator = self.networks.discriminator.train()
        outputs = discriminator(torch.cat([real, fake.detach()])).chunk(2)
        loss = discriminator_loss(*outputs)
        norm = self.descend("discriminator", loss)
        discriminator.eval()  # from here on it is looked at, and its spectral norm stands still
        certainty = {name: out.sigmoid().mean() for name, out in zip(("D data", "D generated"), outputs, strict=True)}
        return {"loss discriminator": loss, **certainty, "gradient discriminator": norm}

    def fool(self, pictures: Tensor) -> dict[str, Tensor]:
        """Update G so that D takes its pictures (B, 1, H, W), with their gradients, for real."""
        loss = generator_loss(self.networks.discriminator(pictures))
        return {"loss generator": loss, "gradient generator": self.descend("generator", loss)}

    def descend(self, name: str, loss: Tensor, terms: Mapping[str, Tensor] | None = None) -> Tensor:
        """Update one network down its loss; the norm of its gradient. No other network has any of it."""
        parameters = dict(self.modules[name].named_parameters(name))
        return descend(loss, terms or {name: loss}, self.optimizers[name], parameters, self.team, average=True)

    def measure(self, final: bool) -> Mapping[str, float]:
        """See `labkit.train.iggan_measure.Measures`."""
        return self.measures(self.networks.frozen())

    def truth(self) -> Iterable[Event]:
        """See `truth`."""
        return truth(self.config)

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """The same latents in the same views at all times, beside pictures of the data."""
        networks, stream = self.networks.frozen(), generators(self.config.seed, "previews")["previews"]
        drawn, angles = latents(self.config.generator, SHEET, stream), views(self.rule, SHEET, stream)

        def make() -> Iterator[Event]:
            yield from seen(number, networks, drawn, angles, self.off_the_shelf)
            yield Picture(number, "data", contact_sheet(self.shown))

        return make


class IGGANGame(Game):
    """IG-GAN with its ablations: R_d shows D what is generated, R_phi shows G what D makes of it."""

    def __init__(self, config: IGGAN, team: Team, stack: ExitStack) -> None:
        super().__init__(config, team, stack)
        self.dials = Dials(dials_of(config))
        self.modules = {**self.modules, "dials": self.dials}
        self.neural = self.modules["neural"]
        self.known = KnownShapes(config.neural.pretrain_on, config.resolution, config.data.seed)

    def draw(self, number: int) -> dict[str, Tensor]:
        """With a threshold for each shape (section 4.1); while R_phi learns alone, known shapes and views only."""
        count, streams = self.config.batch, self.generators
        if number <= self.config.neural.pretrain_steps:
            shapes = torch.randint(len(self.known), (count,), generator=streams["pre-training"])
            return {"shapes": shapes, "views": views(self.rule, count, streams["views"])}
        later = super().draw(number - self.config.neural.pretrain_steps)
        return {**later, "thresholds": torch.rand(count, generator=streams["thresholds"])}

    def play(self, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """While R_phi learns alone, equation 5; later D, then R_phi, then G, all by the same shapes and views."""
        told, device, camera = self.config.neural, self.team.device, camera_of(drawn["views"])
        rotation = camera.rotation.to(device)
        if "shapes" in drawn:
            solid = self.known(drawn["shapes"]).to(device)
            seen = self.off_the_shelf(solid, camera).to(device)
            return self.render(self.turn(solid, rotation), seen, None, told.pretrain_rate)
        shapes = self.networks.generator(drawn["latents"].to(device))  # x_c, (B, 1, N, N, N)
        solid = binarized(shapes.detach(), drawn["thresholds"])  # x_d
        seen = self.off_the_shelf(solid, camera).to(device)  # (B, 1, 2N, 2N)
        turned = self.turn(shapes, rotation)
        if self.config.discriminator.sees == "off-the-shelf":
            figures = self.judge(drawn["data"], seen)
        else:
            with torch.no_grad():
                shown = self.neural(turned)
            figures = self.judge(drawn["data"], shown)
        if told.training == "retrained":
            figures |= self.render(self.turn(solid, rotation), seen, turned.detach(), told.learning_rate)
        return figures | self.fool(self.neural(turned))

    def render(self, solid: Tensor, seen: Tensor, turned: Tensor | None, rate: float) -> dict[str, Tensor]:
        """Update R_phi by equation 9, or 5 where lambda is 0 or there are no generated shapes.

        Args:
            solid: x_d, turned, (B, 1, 2N, 2N, 2N).
            seen: R_d(x_d), (B, 1, 2N, 2N).
            turned: x_c, turned, without gradients, (B, 1, 2N, 2N, 2N).
            rate: learning rate.
        """
        told, weight = self.config.neural, self.dials["dom"]
        l2 = render_loss(self.neural(solid), seen, told.reduction)
        losses = {"loss render": l2}
        if turned is not None and weight:
            with torch.no_grad():
                wanted = self.networks.discriminator(seen)
            losses["loss DOM"] = dom_loss(wanted, self.networks.discriminator(self.neural(turned)), told.clip)
        loss = renderer_loss(l2, losses["loss DOM"], weight) if "loss DOM" in losses else l2
        for group in self.optimizers["neural"].param_groups:
            group["lr"] = rate
        return {**losses, "gradient neural": self.descend("neural", loss, losses)}

    def turn(self, shapes: Tensor, rotation: Tensor) -> Tensor:
        """Shapes (B, 1, N, N, N) as the camera sees them, (B, 1, 2N, 2N, 2N)."""
        return embed(shapes.float(), rotation, self.config.size)


def dials_of(config: IGGAN) -> dict[str, Dial]:
    """What can be turned while a run goes on: lambda of equation 9; nothing in baselines."""
    weight = config.neural.dom
    return {"dom": Dial(weight, 0.0, max(MAX_DOM, weight))} if config.method == "iggan" else {}


def seen(number: int, networks: Networks, drawn: Tensor, angles: Tensor, off_the_shelf: OffTheShelf) -> Iterator[Event]:
    """Previews: the first shapes as surfaces, and all samples as both renderers show them.

    Args:
        number: steps done.
        networks: of that moment.
        drawn: z, (S, latent).
        angles: of the views, (S, 2).
        off_the_shelf: R_d.
    """
    if networks.config.method == "dcgan":
        with torch.no_grad():
            pictures = networks.generator(drawn.to(networks.device)).cpu()
        yield Picture(number, "generated", contact_sheet(pictures))
        return
    look = networks.look(drawn, camera_of(angles), 0.5, off_the_shelf)
    for place, mesh in enumerate(look.meshes[:PREVIEWS]):
        yield MeshPreview(number, f"shape {place}", mesh.vertices, mesh.faces)
    yield Picture(number, "off-the-shelf", contact_sheet(look.off_the_shelf.cpu()))
    own = "neural" if networks.neural is not None else "own renderer"
    yield Picture(number, own, contact_sheet(look.neural.cpu().clamp(0, 1)))


def truth(config: IGGAN) -> Iterator[Event]:
    """What generated shapes are to become: some of the category's; nothing for folders."""
    shapes = category(config.data)
    if shapes is not None:
        for index in range(PREVIEWS):
            mesh = shapes.voxels(index, config.resolution).to_mesh()
            yield MeshPreview(0, f"truth {index}", mesh.vertices, mesh.faces)
