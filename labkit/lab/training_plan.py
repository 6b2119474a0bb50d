"""From the controls of a training panel to the config of a run, and back to plain words."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labkit.errors import DomainError, FileError, LabError
from labkit.lab.state import between, one_of
from labkit.lab.training_history import History, Seen
from labkit.train.config import EngineConfig, from_json, replace_path, resolve_device, to_json
from labkit.train.dials import Dial
from labkit.train.recipes import RECIPES, Recipe
from labkit.train.run_folder import RunFolder

HERE = "this kernel"
PROCESSES = {HERE: 0, "own process": 1, "2 processes": 2, "4 processes": 4}
RUNS = 50  # in the menu, the newest


@dataclass(frozen=True)
class TrainingState:
    """What the controls say.

    Attributes:
        preset: which of the recipe's.
        steps: of the whole run.
        seed: of all its random numbers.
        where: it runs: as a thread here, or as processes that outlive this kernel.
        overrides: any fields of the config, a line "path = value" each.
        log: whether the curves' axis is logarithmic.
        smoothing: of the curves, weight of the past in [0, 1).
        step: whose previews are shown; None follows the newest.
    """

    preset: str = ""
    steps: int = between(100, 1, 10**9)
    seed: int = between(0, 0, 2**31)
    where: str = one_of(*PROCESSES)
    overrides: str = ""
    log: bool = True
    smoothing: float = between(0.5, 0.0, 0.98)
    step: int | None = None


def planned(recipe: Recipe, state: TrainingState) -> EngineConfig:
    """The config that a run with these controls gets.

    Raises:
        LabError: an override is no line "path = value", names no field, or does not fit.
    """
    config = replace(recipe.PRESETS[state.preset], steps=state.steps, seed=state.seed)
    for line in filter(None, map(str.strip, state.overrides.splitlines())):
        path, mark, text = (part.strip() for part in line.partition("="))
        if not mark:
            raise DomainError("overrides", repr(line), "lines such as loss.mask = 2")
        config = replace_path(config, path, _value(text))
    return config


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'\"")


def config_of(recipe: Recipe, run: Path) -> EngineConfig | None:
    """The config of a run; None for one of another recipe or another version, which can be watched all the same."""
    folder = RunFolder.open(run)
    try:
        return from_json(recipe.Config, folder.config) if folder.recipe == recipe.NAME else None
    except LabError:
        return None


def dials_of(recipe: Recipe, config: EngineConfig | None) -> Mapping[str, Dial]:
    """What can be turned while a run with this config goes on: the recipe's ``dials(config)``; nothing without it."""
    offered: Callable[[EngineConfig], Mapping[str, Dial]] | None = getattr(recipe, "dials", None)
    return {} if offered is None or config is None else offered(config)


def described(recipe: Recipe, config: EngineConfig) -> str:
    """HTML: what a run does, in words, and every field of its config folded away.

    Raises:
        BackendError: its device is not there.
    """

    def rows(data: Mapping[str, Any], before: str = "") -> Iterator[str]:
        for name, value in data.items():
            if isinstance(value, dict):
                yield from rows(value, f"{before}{name}.")
            else:
                yield f"{before}{name} = {json.dumps(value)}"

    first = (recipe.__doc__ or recipe.NAME).strip().partition("\n")[0]
    told = f"{first} {config.steps:,} steps on {resolve_device(config.device)}, saved every {config.save_every:,} steps"
    if config.preview_every > 0:
        told += f", a preview every {config.preview_every:g} s at most"
    fields = html.escape("\n".join(rows(to_json(config))))
    return (
        f'<div class="labkit-plan" style="line-height:16px;font-size:12px">{html.escape(told)}.'
        f"<details><summary>all fields</summary><pre>{fields}</pre></details></div>"
    )


def outlook(recipe: Recipe, state: TrainingState) -> tuple[str, EngineConfig | None]:
    """HTML: what *Start* would do with these controls, and the config of that run; or why it would not, and None."""
    try:
        config = planned(recipe, state)
        return described(recipe, config), config
    except LabError as error:
        style = "color:#b00020;line-height:16px"
        return f'<div role="alert" style="{style}">&#9888; {html.escape(str(error))}</div>', None


def runs_below(root: Path, recipe: str) -> list[tuple[str, str]]:
    """The newest runs of a recipe in a folder, newest first: what the menu says, ▶ first if at work, and the path."""
    found = sorted(root.glob("*/config.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    options = []
    for file in found:
        try:
            folder = RunFolder.open(file.parent)
        except FileError:  # not a run, or one of another version
            continue
        if folder.recipe == recipe:
            options.append((f"{'▶ ' if folder.running else ''}{file.parent.name}", str(file.parent)))
        if len(options) == RUNS:
            break
    return options


def first_look(recipe: Recipe, config: EngineConfig) -> Seen:
    """What there is to see before the first step: the recipe's ``preview(config)``; nothing if it has none."""
    history = History()
    for event in getattr(recipe, "preview", lambda config: ())(config):
        history.receive(event)
    return history.seen()


def word_for(recipe: Recipe) -> str:
    """What another process knows a recipe's module by."""
    module: str = getattr(recipe, "__name__", recipe.NAME)
    return recipe.NAME if RECIPES.get(recipe.NAME) == module else module
