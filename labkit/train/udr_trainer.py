"""One step of UDR: rays, loss, descent; and what is measured and shown on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from labkit.data.multiview import Pixels
from labkit.events import Event, MeshPreview, Picture
from labkit.nets.appearance import Appearance
from labkit.nets.sdf import SDFNet
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.randomness import generators
from labkit.train.schedules import halved
from labkit.train.udr_cameras import CameraOffsets
from labkit.train.udr_config import UDR
from labkit.train.udr_data import Problem, problem
from labkit.train.udr_loss import SurfaceLoss
from labkit.train.udr_measure import face_on_colors, mesh_of, patient, picture, surface_quality, view_quality
from labkit.train.udr_volume import VolumeLoss

PREVIEW_RESOLUTION = 48  # of the grid of a live surface
QUICK_VIEWS = 2  # unseen views that are measured at each checkpoint
SHOWN_VIEWS = 2  # unseen views that are shown beside the truth


class UDRTrainer:
    """The networks f and M, the pictures, and one Adam; see `labkit.train.trainer.Trainer`."""

    best = "psnr unseen"
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]
    batch: Mapping[str, Tensor]

    def __init__(self, config: UDR, team: Team) -> None:
        self.config, self.team = config, team
        init = generators(config.seed, "init", device="cpu")["init"]
        self.generators = generators(config.seed, "rays", device=team.device)
        net, look = config.field, config.appearance
        self.field = SDFNet(
            net.width, net.depth, radius=net.radius, encoding=net.encoding, features=net.features, generator=init
        ).to(team.device)
        self.appearance = Appearance(
            look.kind,
            look.width,
            look.depth,
            features=net.features,
            view_encoding=look.encoding,
            output=look.output,
            generator=init,
        ).to(team.device)
        self.problem = problem(config.scene)
        self.pictures = self.problem.train.to(team.device)
        self.edges = _near_edges(self.pictures.masks)
        self.tracer = patient(config.tracing)
        self.cameras = CameraOffsets(self.pictures.views).to(team.device)
        if config.volume.on:
            self.loss: nn.Module = VolumeLoss(
                self.field, self.appearance, self.cameras, config.volume, config.loss, config.tracing.radius, team.world
            )
        else:
            self.loss = SurfaceLoss(self.field, self.appearance, self.cameras, config.tracing, config.loss, team.world)
        if not config.camera_rate:
            self.cameras.requires_grad_(False)
        self.called = team.wrap(self.loss)
        self.parameters = {name: value for name, value in self.loss.named_parameters() if value.requires_grad}
        rates = {"field.": config.learning_rate, "appearance.": config.appearance_rate, "cameras.": config.camera_rate}
        rates["log_beta"] = config.learning_rate  # of volume rendering
        groups: list[dict[str, Any]] = [
            {"params": [value for name, value in self.parameters.items() if name.startswith(part)], "lr": rate}
            for part, rate in rates.items()
        ]
        groups = [group for group in groups if group["params"]]
        self.rates = [group["lr"] for group in groups]
        self.adam = torch.optim.Adam(groups)
        self.modules, self.optimizers = {"loss": self.loss}, {"adam": self.adam}
        self.batch = {}

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """Random pixels of random views (UDR, section 6.2), equation 10, Adam."""
        config = self.config
        fallen = halved(number, config.decay_every)
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * fallen
        self.batch = self._draw()
        terms = self.called(*self._of_this_member(), number)
        loss = torch.stack(list(terms.values())).sum()
        norm = descend(loss, terms, self.adam, self.parameters, self.team)
        figures = torch.stack([loss.detach(), *(term.detach() for term in terms.values())])
        names = ["loss", *(f"loss {name}" for name in terms)]
        return {**dict(zip(names, self.team.mean(figures), strict=True)), "gradient": norm}

    def measure(self, final: bool) -> Mapping[str, float]:
        """PSNR of unseen views; at the end of all of them, with the bound, and the Chamfer distance."""
        count = len(self.problem.unseen) if final else QUICK_VIEWS
        found = view_quality(self.field, self.appearance, self.problem, self.tracer, count)
        if final:
            found |= surface_quality(self.field, self.problem, self.config.seed)
            bound = self.problem.bound()
            if bound is not None:
                found["psnr bound"] = bound
        return found

    def truth(self) -> Iterable[Event]:
        """See `truth`."""
        return truth(self.problem)

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """The surface coloured face on, and unseen views beside the truth."""
        field, appearance = copy.deepcopy(self.field), copy.deepcopy(self.appearance)
        unseen = self.problem.unseen

        def make() -> Iterator[Event]:
            mesh = mesh_of(field, PREVIEW_RESOLUTION, self.tracer.radius)
            yield MeshPreview(
                number, "surface", mesh.vertices, mesh.faces, face_on_colors(field, appearance, mesh.vertices)
            )
            for view in range(min(SHOWN_VIEWS, len(unseen))):
                shown = picture(field, appearance, unseen.views[view].to(self.team.device), self.tracer)
                yield Picture(number, f"view {view}", shown.color.clamp(0, 1).cpu())

        return make

    def _draw(self) -> dict[str, Tensor]:
        """This step's pixels, points for the eikonal equation and fractions of rays, of the whole team."""
        config, stream = self.config, self.generators["rays"]
        height, width = self.pictures.size
        count = min(config.views_per_step, len(self.pictures))
        views = torch.randperm(len(self.pictures), generator=stream, device=stream.device)[:count]
        pixels = torch.randint(height * width, (count, config.pixels_per_view), generator=stream, device=stream.device)
        numbers = (views[:, None] * height * width + pixels).flatten()  # (views * pixels_per_view,)
        if len(self.edges):
            chosen = torch.randint(len(self.edges), (len(numbers),), generator=stream, device=stream.device)
            near = torch.arange(len(numbers), device=stream.device) < config.edge_share * len(numbers)
            numbers = torch.where(near, self.edges[chosen], numbers)
        points = torch.rand(config.loss.eikonal_points, 3, generator=stream, device=stream.device)
        fractions = torch.rand(config.loss.samples, generator=stream, device=stream.device)
        return {
            "pixels": numbers,
            "points": (2 * points - 1) * self.tracer.radius,  # (P, 3)
            "fractions": fractions,  # (S,)
        }

    def _of_this_member(self) -> tuple[Pixels, Tensor, Tensor]:
        pixels = self.pictures.pixels(self.team.share(self.batch["pixels"]))
        return pixels, self.team.share(self.batch["points"]), self.batch["fractions"]


def _near_edges(masks: Tensor) -> Tensor:
    """Numbers of the pixels (E,) around which, two pixels each way, masks (B, 1, H, W) are not all 0 or all 1."""
    highest, lowest = (torch.nn.functional.max_pool2d(sign * masks, 5, 1, 2) for sign in (1, -1))
    return (highest + lowest > 0).flatten().nonzero()[:, 0]


def truth(problem: Problem) -> Iterator[Event]:
    """What the previews are to become: the true surface where it is known, and the unseen pictures."""
    if problem.mesh is not None:
        yield MeshPreview(0, "truth", problem.mesh.vertices, problem.mesh.faces)
    for view in range(min(SHOWN_VIEWS, len(problem.unseen))):
        yield Picture(0, f"truth {view}", problem.unseen.images[view])
