"""The figures that IG-GAN runs have measured at their checkpoints, and which runs may be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from labkit.events import Done, Phase, Saved
from labkit.lab.training_plan import config_of, runs_below
from labkit.train import iggan
from labkit.train.event_log import LogReader
from labkit.train.iggan_config import IGGAN
from labkit.train.recipes import Recipe

Curve = tuple[tuple[int, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Figures:
    """What one run has measured.

    Attributes:
        method: in words, see `method_of`.
        curves: under the name of each figure the steps of its checkpoints and its values.
    """

    method: str
    curves: Mapping[str, Curve]

    @classmethod
    def of(cls, run: Path, config: IGGAN) -> Figures:
        """Read them from the run's diary.

        Raises:
            FileError: it is unreadable.
        """
        found: dict[int, Mapping[str, float]] = {}
        for entry in LogReader(run).new():
            match entry:
                case Phase(name="started"):  # what a resumed run does again counts anew
                    found = {number: values for number, values in found.items() if number <= entry.number}
                case Saved() | Done() if entry.values:
                    found[entry.number] = entry.values
        names = dict.fromkeys(name for values in found.values() for name in values)
        points = {name: [(step, found[step][name]) for step in sorted(found) if name in found[step]] for name in names}
        return cls(
            method_of(config), {name: (tuple(s for s, _ in p), tuple(v for _, v in p)) for name, p in points.items()}
        )


def method_of(config: IGGAN) -> str:
    """The method of a run in words: a baseline's own name, or "IG-GAN" with what it lacks."""
    if config.method != "iggan":
        return config.method
    lacks = {
        "no DOM": config.neural.dom == 0,
        "fixed renderer": config.neural.training == "fixed",
        "D sees neural": config.discriminator.sees == "neural",
    }
    return ", ".join(["IG-GAN", *(words for words, true in lacks.items() if true)])


def comparable(run: Path, config: IGGAN) -> list[Figures]:
    """The newest run of each other method in the same folder that has the same shapes, views and measures.

    Raises:
        FileError: a diary is unreadable.
    """

    def told(other: IGGAN) -> tuple[object, ...]:
        return other.resolution, other.data, other.measured, other.off_the_shelf.background

    found: dict[str, Figures] = {}
    for _, path in runs_below(run.parent, iggan.NAME):  # the newest first
        other = config_of(cast(Recipe, iggan), Path(path))
        if isinstance(other, IGGAN) and told(other) == told(config):
            method = method_of(other)
            if method != method_of(config) and method not in found:
                found[method] = Figures.of(Path(path), other)
    return list(found.values())
