"""The features that FID and KID are measured in: a classifier of rendered categories, trained here.

IG-GAN (Lunz et al. 2020, section 4.4) retrains Inception on pictures of 21 ShapeNet classes, and its weights are not
public. This recipe trains a small network on the procedural categories, with the same renderer, lights and cameras as
the pictures that are to be compared, and no weights are shipped: the same config gives the same ones.

::

    for event in labkit.train.features.train(labkit.train.features.PRESETS["cpu"], "runs/features"):
        print(event)
    net = labkit.train.features.load("runs/features")
    statistics = FeatureStatistics.of(image_features(net, pictures))
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from labkit.data.categories import CATEGORIES
from labkit.data.contact_sheet import contact_sheet
from labkit.data.image_source import ImageSource
from labkit.data.rendered_source import rendered_source
from labkit.data.view_rules import ViewRule
from labkit.errors import DomainError, check_positive
from labkit.events import Event, Picture
from labkit.nets.feature_net import FeatureNet
from labkit.nets.layers import MAX_WIDTH, check_count
from labkit.train.checkpoint import Checkpoints
from labkit.train.config import EngineConfig, check_non_negative, from_json
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.loop import drive
from labkit.train.randomness import generators, stream_seed
from labkit.train.run_folder import RunFolder
from labkit.train.schedules import halved
from labkit.train.train_state import restore_module

NAME = "features"
CHUNK = 256  # pictures whose features are computed at once
SHOWN = 4  # pictures of each category in a preview
CELL = 16  # pixels of a cell of the confusion matrix


@dataclass(frozen=True, kw_only=True)
class Features(EngineConfig):
    """A training of the feature network.

    Attributes:
        resolution: voxels along each side of a shape; its pictures have twice as many pixels, as IG-GAN's.
        shapes: of each category to train on, one picture each.
        unseen: of each category to measure on.
        elevation: lowest and highest view, degrees; the azimuth is any.
        renderer: see `labkit.render.external`.
        surface: voxels as "cubes", or as the "marching" cubes' surface.
        cache: folder in which the pictures are kept for other runs; empty to keep them in memory.
        features: how many; FID needs many more pictures than these.
        width: channels of the first layer.
        batch: pictures of a step, each mirrored or not, shared by all processes.
        learning_rate: of Adam.
        decay_every: steps after which it halves, again and again; 0 for never.
    """

    resolution: int = 64
    shapes: int = 500
    unseen: int = 100
    elevation: tuple[float, float] = (-30.0, 60.0)
    renderer: Literal["pyvista", "pyrender", "mitsuba", "hard"] = "pyvista"
    surface: Literal["cubes", "marching"] = "marching"
    cache: str = ""
    features: int = 64
    width: int = 16
    batch: int = 32
    learning_rate: float = 2e-3
    decay_every: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("resolution", "shapes", "unseen", "features", "width", "batch", "learning_rate"):
            check_positive(name, getattr(self, name))
        check_non_negative("decay_every", self.decay_every)
        ViewRule(elevation=self.elevation)

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return 2 * self.resolution


Config = Features
PRESETS: Mapping[str, Features] = MappingProxyType(
    {
        "tiny": Features(
            steps=8,
            device="cpu",
            save_every=4,
            preview_every=0.0,
            resolution=16,
            shapes=2,
            unseen=1,
            renderer="hard",
            features=8,
            width=4,
            batch=8,
        ),
        "cpu": Features(steps=1500, resolution=32, decay_every=400),
        "gpu": Features(steps=3000, width=32, batch=64, decay_every=750),
        "paper": Features(steps=20_000, save_every=1000, shapes=3000, width=64, batch=64, decay_every=5000),
    }
)
"""Seconds for tests; two minutes on one CPU core; minutes on a GPU, most of them for rendering; as many pictures as
IG-GAN's sets have."""


def train(config: Features, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """Train, as a stream of events; see `labkit.train.loop.drive` for the run folder, resuming and what is raised.

    On the CPU the weights are the same bits for the same config on the same machine with as many threads.
    """
    return drive(NAME, config, lambda team: FeatureTrainer(config, team), run, resume)


def preview(config: Features) -> Iterator[Event]:
    """What is to be told apart: unseen pictures, a row for each category.

    Raises:
        LabError: they cannot be rendered.
    """
    yield _sheet(source(config, "test", SHOWN))


def load(run: str | Path, number: int | str = "latest") -> FeatureNet:
    """The network of a run, on the CPU, in evaluation mode.

    Args:
        run: its folder.
        number: of the checkpoint, "latest" or "best".

    Raises:
        DomainError: a run of another recipe.
        FileError: no such run or checkpoint, or a broken one.
    """
    folder = RunFolder.open(run)
    if folder.recipe != NAME:
        raise DomainError("run", f"a run of {folder.recipe}", f"a run of {NAME}")
    net = network(from_json(Features, folder.config))
    restore_module(Checkpoints(folder.path).load(number)[1], "net", net)
    return net.eval()


def network(config: Features) -> FeatureNet:
    """The network before training, on the CPU."""
    init = generators(config.seed, "init")["init"]
    return FeatureNet(config.size, len(CATEGORIES), config.features, width=config.width, generator=init)


@torch.no_grad()
def image_features(net: FeatureNet, pictures: Tensor, chunk: int = CHUNK) -> Tensor:
    """The features of many pictures, (N, D), on the network's device.

    Args:
        net: of `load`.
        pictures: (N, 1, H, W) in [0, 1], grey, on any device, of the size that the network was trained on: resized
            pictures have other features.
        chunk: how many are worked on at once.

    Raises:
        LabError: see `FeatureNet.features`.
    """
    check_count("chunk", chunk, 1, MAX_WIDTH)
    device = net.classifier.weight.device
    return torch.cat([net.features(part.to(device)) for part in pictures.split(chunk)])


def source(config: Features, split: Literal["train", "test"], shapes: int) -> ImageSource:
    """Rendered pictures of the categories in turn: picture n is of category n modulo their number.

    Args:
        config: what they look like.
        split: "train" or "test".
        shapes: of each category.

    Raises:
        LabError: see `labkit.data.rendered_source.rendered_source`.
    """
    return rendered_source(
        CATEGORIES,
        ViewRule(elevation=config.elevation),
        renderer=config.renderer,
        size=config.size,
        resolution=config.resolution,
        models=len(CATEGORIES) * shapes,
        views=1,
        seed=stream_seed(config.seed, split),  # other views too
        split=split,
        cache=config.cache or None,
        from_voxels=True,  # as generated shapes are seen
        surface=config.surface,
        isolated=config.renderer != "hard",  # which has no driver that could crash
    )


class FeatureTrainer:
    """The network, its pictures and one Adam; see `labkit.train.trainer.Trainer`."""

    best = "accuracy unseen"
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]
    batch: Mapping[str, Tensor]

    def __init__(self, config: Features, team: Team) -> None:
        team.check_batch(config.batch)
        self.config, self.team = config, team
        self.pictures, self.unseen = source(config, "train", config.shapes), source(config, "test", config.unseen)
        self.count = config.shapes * len(CATEGORIES)
        self.net = network(config).to(team.device)
        self.adam = torch.optim.Adam(self.net.parameters(), config.learning_rate)
        self.modules, self.optimizers = {"net": self.net}, {"adam": self.adam}
        self.generators = generators(config.seed, "batches")
        self.batch = {}

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """Cross entropy of random pictures, each mirrored or not; Adam."""
        config, stream = self.config, self.generators["batches"]
        self.adam.param_groups[0]["lr"] = config.learning_rate * halved(number, config.decay_every)
        numbers = torch.randint(self.count, (config.batch,), generator=stream)
        mirrored = torch.rand(config.batch, 1, 1, 1, generator=stream) < 0.5
        images = self.pictures.images(numbers)  # (B, 1, H, W)
        self.batch = {"images": torch.where(mirrored, images.flip(-1), images), "labels": numbers % len(CATEGORIES)}
        images, labels = (self.team.share(rows).to(self.team.device) for rows in self.batch.values())
        loss = cross_entropy(self.net(images), labels)
        terms, parameters = {"cross entropy": loss}, dict(self.net.named_parameters())
        norm = descend(loss, terms, self.adam, parameters, self.team, average=True)
        return {"loss": self.team.mean(loss.detach()), "gradient": norm}

    def measure(self, final: bool) -> Mapping[str, float]:
        """The share of pictures that are told right: of the unseen, their worst category, and those of the training."""
        shares = confusion(self.net, self.unseen).diag()
        found = {"accuracy unseen": shares.mean().item(), "accuracy worst": shares.min().item()}
        if final:
            found["accuracy training"] = confusion(self.net, self.pictures).diag().mean().item()
        return found

    def truth(self) -> Iterable[Event]:
        """See `preview`."""
        yield _sheet(self.unseen)

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """The confusion matrix of the unseen pictures; a perfect one is white on its diagonal and black elsewhere."""
        net = copy.deepcopy(self.net)

        def make() -> Iterator[Event]:
            shares = confusion(net, self.unseen)
            picture = shares.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
            yield Picture(number, "confusion", picture[None])

        return make


@torch.no_grad()
def confusion(net: FeatureNet, pictures: ImageSource) -> Tensor:
    """What pictures of `source` are taken for: shares (C, C) of each category, in rows, for each, in columns."""
    count, classes, device = pictures.count or 0, len(CATEGORIES), net.classifier.weight.device
    chunks = [pictures.images(numbers) for numbers in torch.arange(count).split(CHUNK)]
    said = torch.cat([net(images.to(device)).argmax(-1).cpu() for images in chunks])  # (N,)
    told = one_hot(said, classes).view(-1, classes, classes)  # (N / C, C of the truth, C as told)
    return told.float().mean(0)


def _sheet(pictures: ImageSource) -> Picture:
    """The first pictures of each category, in a row."""
    shapes = min(SHOWN, (pictures.count or 0) // len(CATEGORIES))
    numbers = torch.arange(shapes * len(CATEGORIES)).view(shapes, -1).T.flatten()
    return Picture(0, "truth pictures", contact_sheet(pictures.images(numbers), columns=shapes))
