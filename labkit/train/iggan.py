"""IG-GAN: shapes out of unordered pictures, through any renderer (Lunz, Li, Fitzgibbon and Kushman 2020).

::

    for event in labkit.train.iggan.train(labkit.train.iggan.PRESETS["cpu"], "runs/tubs"):
        print(event)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from labkit.events import Event
from labkit.train.distributed import Team
from labkit.train.iggan_baselines import BaselineGame
from labkit.train.iggan_config import (
    IGGAN,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    MeasureConfig,
    NeuralConfig,
    RenderConfig,
)
from labkit.train.iggan_networks import load
from labkit.train.iggan_trainer import Game, IGGANGame, truth
from labkit.train.iggan_trainer import dials_of as dials
from labkit.train.loop import drive

__all__ = ["NAME", "PRESETS", "Config", "dials", "game", "load", "preview", "train"]

NAME = "iggan"
Config = IGGAN
PRESETS: Mapping[str, IGGAN] = MappingProxyType(
    {
        "tiny": IGGAN(
            steps=8,
            device="cpu",
            save_every=4,
            preview_every=0.0,
            resolution=16,
            batch=4,
            data=DataConfig(models=4, wall=8),
            off_the_shelf=RenderConfig(name="hard"),
            generator=GeneratorConfig(latent=8, width=32, norm="instance"),
            discriminator=DiscriminatorConfig(width=8),
            neural=NeuralConfig(width=4, pretrain_steps=2),
            measured=MeasureConfig(shapes=4, thresholds=2, pictures=8),
        ),
        "cpu": IGGAN(
            steps=2000,
            save_every=200,
            preview_every=15.0,
            resolution=16,
            batch=16,
            data=DataConfig(models=200, wall=8),
            generator=GeneratorConfig(latent=32, width=256),
            discriminator=DiscriminatorConfig(width=32, learning_rate=1e-4),
            # A sum over 32^2 pixels is to lambda = 6.25 what one over 128^2 is to 100. With 30 or more, or a faster
            # rate, R_phi draws what D wants and no longer what there is.
            neural=NeuralConfig(width=8, pretrain_steps=300, pretrain_rate=1e-3, dom=6.25, learning_rate=1e-4),
            measured=MeasureConfig(shapes=32, thresholds=8),
        ),
        "gpu": IGGAN(
            steps=2600,
            save_every=400,
            preview_every=20.0,
            batch=16,
            data=DataConfig(models=250, wall=4),
            off_the_shelf=RenderConfig(surface="cubes", processes=8),
            generator=GeneratorConfig(width=256),
            neural=NeuralConfig(width=8, pretrain_steps=600, pretrain_rate=2e-4, learning_rate=1e-4),
        ),
        "paper": IGGAN(
            steps=105_000, save_every=1000, preview_every=30.0, off_the_shelf=RenderConfig(name="pyrender", processes=8)
        ),
    }
)
"""Seconds for tests; half an hour on two CPU cores; minutes on a GPU; the paper's own numbers where it names any."""


def train(config: IGGAN, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """Train, as a stream of events; see `labkit.train.loop.drive` for the run folder, resuming and what is raised."""
    with ExitStack() as stack:
        yield from drive(NAME, config, lambda team: game(config, team, stack), run, resume)


def game(config: IGGAN, team: Team, stack: ExitStack) -> Game:
    """The trainer of the config's method; ``stack`` closes the renderers and data that it opens."""
    return (IGGANGame if config.method == "iggan" else BaselineGame)(config, team, stack)


def preview(config: IGGAN) -> Iterator[Event]:
    """What the run is to become, before it begins: shapes of the category, which training never sees itself.

    Raises:
        LabError: they cannot be made.
    """
    yield from truth(config)
