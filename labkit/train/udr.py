"""UDR: a surface and its appearance out of pictures (Yariv, Atzmon and Lipman).

::

    for event in labkit.train.udr.train(labkit.train.udr.PRESETS["cpu"], "runs/first"):
        print(event)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from labkit.events import Event
from labkit.render.implicit import Tracer
from labkit.train.loop import drive
from labkit.train.udr_config import (
    UDR,
    AppearanceConfig,
    FieldConfig,
    LossConfig,
    SceneConfig,
)
from labkit.train.udr_data import problem
from labkit.train.udr_trainer import UDRTrainer, truth

NAME = "udr"
Config = UDR
PRESETS: Mapping[str, UDR] = MappingProxyType(
    {
        "tiny": UDR(
            steps=8,
            device="cpu",
            save_every=4,
            preview_every=0.0,
            scene=SceneConfig(views=4, unseen=2, size=12),
            field=FieldConfig(width=24, depth=2),
            appearance=AppearanceConfig(width=16, depth=2),
            tracing=Tracer(max_steps=16, secant_steps=4),
            loss=LossConfig(reduction="mean", eikonal_points=32, samples=8),
            views_per_step=4,
            pixels_per_view=16,
            learning_rate=1e-3,
            appearance_rate=3e-3,
        ),
        "cpu": UDR(
            steps=2000,
            save_every=500,
            preview_every=5.0,
            scene=SceneConfig(views=50, unseen=12, size=64, fov=34.0),
            field=FieldConfig(width=128, depth=4, radius=0.6),
            appearance=AppearanceConfig(width=128, depth=4, output="linear"),
            tracing=Tracer(epsilon=1e-4, max_steps=64, secant_steps=4),
            loss=LossConfig(mask=30.0, reduction="mean", eikonal_points=256, samples=32, grazing=0.1),
            views_per_step=50,
            pixels_per_view=14,
            edge_share=0.3,
            learning_rate=3e-4,
            appearance_rate=4e-3,
            decay_every=450,
        ),
        "gpu": UDR(
            steps=3000,
            save_every=500,
            scene=SceneConfig(views=50, unseen=20, size=256, fov=34.0),
            field=FieldConfig(radius=0.6),
            appearance=AppearanceConfig(output="linear"),
            tracing=Tracer(max_steps=64, secant_steps=8),
            loss=LossConfig(mask=30.0, reduction="mean", eikonal_points=4096, samples=64, grazing=0.1),
            views_per_step=50,
            pixels_per_view=160,
            edge_share=0.3,
            learning_rate=2e-4,
            appearance_rate=1e-3,
            decay_every=600,
        ),
        "paper": UDR(steps=10_000, save_every=1000, preview_every=30.0, scene=SceneConfig(size=137)),
    }
)
"""Seconds for tests; minutes on two CPU cores; minutes on a GPU at the paper's widths; the paper's own numbers."""


def train(config: UDR, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """Train, as a stream of events; see `labkit.train.loop.drive` for the run folder, resuming and what is raised."""
    return drive(NAME, config, lambda team: UDRTrainer(config, team), run, resume)


def preview(config: UDR) -> Iterator[Event]:
    """What the run is to become, before it begins: the true surface, and true pictures of unseen views.

    Raises:
        LabError: the scene cannot be made or read.
    """
    yield from truth(problem(replace(config.scene, views=1)))
