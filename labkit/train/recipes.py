"""Which recipes there are, by the names that the command line and the lab know them by."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

from labkit.errors import DomainError
from labkit.events import Event
from labkit.train.config import EngineConfig

RECIPES: Mapping[str, str] = {  # modules, imported when they are asked for
    "udr": "labkit.train.udr",
    "ran": "labkit.train.ran",
    "iggan": "labkit.train.iggan",
    "features": "labkit.train.features",
}


class Recipe(Protocol):
    """A module that trains.

    Attributes:
        NAME: letters, digits, _ and -: the first part of its run folders' names.
        Config: its record of options.
        PRESETS: ready options by name.
    """

    NAME: str
    Config: type[EngineConfig]
    PRESETS: Mapping[str, EngineConfig]

    def train(self, config: EngineConfig, run: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
        """Train, as a stream of events; see `labkit.train.loop.drive`."""
        ...


def recipe(name: str) -> Recipe:
    """The recipe of a name in `RECIPES`; a name with a dot is the import path of a module that is one.

    Raises:
        DomainError: no such recipe, or a module that is none.
    """
    known = f"{', '.join(RECIPES)}, or the import path of a module, with a dot"
    if name not in RECIPES and "." not in name:
        raise DomainError("recipe", name, known)
    path = RECIPES.get(name, name)
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        raise DomainError("recipe", f"{name} ({error})", known) from error
    if lacks := [part for part in ("NAME", "Config", "PRESETS", "train") if not hasattr(module, part)]:
        raise DomainError("recipe", f"{path} without {', '.join(lacks)}", "a module with NAME, Config, PRESETS, train")
    return cast(Recipe, module)
