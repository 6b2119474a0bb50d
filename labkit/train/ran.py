"""RAN: meshes out of pictures, without a mesh to learn from (AlgoNet, Petersen, Borgelt and Deussen).

::

    for event in labkit.train.ran.train(labkit.train.ran.PRESETS["cpu"], "runs/first"):
        print(event)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from labkit.events import Event
from labkit.train.dials import Dial
from labkit.train.loop import drive
from labkit.train.ran_config import RAN, DataConfig, LossConfig, NetConfig, SmoothConfig
from labkit.train.ran_data import problem
from labkit.train.ran_measure import truth
from labkit.train.ran_networks import dials_of
from labkit.train.ran_networks import load as load
from labkit.train.ran_trainer import RANTrainer

NAME = "ran"
Config = RAN
PRESETS: Mapping[str, RAN] = MappingProxyType(
    {
        "tiny": RAN(
            steps=4,
            device="cpu",
            save_every=2,
            preview_every=0.0,
            data=DataConfig(count=6, unseen=3, size=32, views=2, renderer="hard", isolated=False),
            nets=NetConfig(subdivisions=1, width=4, hidden=16, translator_width=4, discriminator_width=4),
            smooth=SmoothConfig(steepness=30.0),
            batch=2,
            rate=1e-3,
        ),
        "cpu": RAN(
            steps=500,
            save_every=50,
            data=DataConfig(count=400, size=64, elevation=20.0),
            nets=NetConfig(width=16, hidden=256, translator_width=16, discriminator_width=16),
            loss=LossConfig(random_probability=0.5),
            rate=3e-4,
            translator_rate=1e-3,
            discriminator_rate=3e-4,
            decay_every=150,
        ),
        "gpu": RAN(
            steps=400,
            save_every=50,
            data=DataConfig(elevation=20.0),
            smooth=SmoothConfig(steepness=200.0),
            loss=LossConfig(random_probability=0.5),
            translator_rate=5e-4,
            decay_every=150,
        ),
        "paper": RAN(
            steps=500_000,
            save_every=5000,
            preview_every=60.0,
            nets=NetConfig(hidden=0),
            smooth=SmoothConfig(steepness=200.0, sliver_fade=0.0),
        ),
    }
)
"""Seconds for tests; ten minutes or so on two CPU cores, and on a GPU with the paper's widths; the paper's literal
sizes, with which it trained for weeks. Numbers on which the paper is silent are this laboratory's."""


def train(config: RAN, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """Train, as a stream of events; see `labkit.train.loop.drive` for the run folder, resuming and what is raised."""
    return drive(NAME, config, lambda team: RANTrainer(config, team), run, resume)


def dials(config: RAN) -> Mapping[str, Dial]:
    """What can be turned while a run with this config goes on: s, o, and the weights of the losses that take part."""
    return dials_of(config).dials


def preview(config: RAN) -> Iterator[Event]:
    """What the run is to become, before it begins: the true mesh of an unseen set, and its pictures.

    Raises:
        LabError: the pictures cannot be made or read.
    """
    yield from truth(problem(replace(config.data, count=1, unseen=1)))
