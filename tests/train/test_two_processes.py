"""Two processes that train together equal one with the same global batch: gradients, parameters, and Adam's moments."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from labkit.train import udr
from labkit.train.checkpoint import Checkpoints, State
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.train_state import state_of
from labkit.train.udr_trainer import UDRTrainer
from tests.tolerances import FLOAT32, FLOAT64
from tests.train import duel_recipe, tiny_recipe
from tests.train.pair import run_pair

STEPS = 4
TINY = replace(tiny_recipe.PRESETS["tiny"], double=True)
UDR = udr.PRESETS["tiny"]
CASES: dict[str, tuple[Any, Any]] = {
    "tiny-mean": (tiny_recipe.Tiny, TINY),
    "tiny-sum": (tiny_recipe.Tiny, replace(TINY, reduction="sum")),
    "duel": (duel_recipe.DuelTrainer, duel_recipe.PRESETS["tiny"]),
    "udr-mean": (UDRTrainer, UDR),
    "udr-sum": (UDRTrainer, replace(UDR, loss=replace(UDR.loss, reduction="sum"))),
}
PROGRAM = """
import os, sys
from pathlib import Path
import torch
from labkit.train.distributed import team
from tests.train.test_two_processes import CASES, lopsided, run

with team(torch.device("cpu")) as members:
    lopsided(members)
    for name in CASES:
        run(name, members, Path(sys.argv[1]) / name)
    members.wait()
    os._exit(0)
"""


def run(name: str, team: Team, folder: Path) -> None:
    """Train some steps; rank 0 keeps after each the state, the gradients and the figures."""
    make, config = CASES[name]
    trainer = make(config, team)
    if team.rank == 0:
        folder.mkdir()
    for number in range(1, STEPS + 1):
        figures = trainer.step(number)
        if team.rank == 0:
            state = state_of(trainer.modules, trainer.optimizers, trainer.generators)
            module = next(iter(trainer.modules.values()))
            slopes = {key: value.grad for key, value in module.named_parameters() if value.grad is not None}
            told = {key: float(value) for key, value in figures.items()}
            Checkpoints(folder, keep=STEPS).save(number, State({**state.tensors, "gradients": slopes}, told))


def lopsided(team: Team) -> None:
    """Gradients of two dtypes, one of which only this or that member has, and one that nobody has.

    Raises:
        AssertionError: they are not the mean over the team, or the members disagree.
    """
    parameters = {
        "shared": nn.Parameter(torch.ones(2)),
        "double": nn.Parameter(torch.ones(3, dtype=torch.float64)),
        "first": nn.Parameter(torch.ones(4)),
        "second": nn.Parameter(torch.ones(5)),
        "nobody": nn.Parameter(torch.ones(6)),
    }
    adam = torch.optim.SGD(parameters.values(), 1.0)
    mine = parameters["second" if team.rank else "first"]
    loss = (1 + team.rank) * parameters["shared"].sum() + parameters["double"].sum().float() + mine.sum()
    norm = descend(loss, {}, adam, parameters, team, average=True)
    wanted = {"shared": 1.5, "double": 1.0, "first": 0.5, "second": 0.5}
    for name, parameter in parameters.items():
        if name == "nobody":
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, torch.full_like(parameter, wanted[name]))
            torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, 1 - wanted[name]))
    assert float(norm) == pytest.approx(math.sqrt(2 * 2.25 + 3 + 9 * 0.25))


@pytest.fixture(scope="module")
def team_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, each trained by the same two processes, which are told what torchrun would tell them."""
    folder = tmp_path_factory.mktemp("team")
    run_pair(PROGRAM, folder, 120)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_equal_one(name: str, team_runs: Path, tmp_path: Path) -> None:
    """After the first step and after the last."""
    alone = tmp_path / name
    run(name, Team(torch.device("cpu")), alone)
    for number in (1, STEPS):
        (_, found), (_, wanted) = (Checkpoints(folder).load(number) for folder in (team_runs / name, alone))
        assert found.tensors.keys() == wanted.tensors.keys() >= {"gradients"}
        assert any(bool(slope.any()) for slope in wanted.tensors["gradients"].values())
        for group, tensors in wanted.tensors.items():
            for key, value in tensors.items():
                if value.is_floating_point() and value.any():
                    tolerance = (FLOAT64 if value.dtype == torch.float64 else FLOAT32)["rtol"]
                    error = (found.tensors[group][key] - value).abs().max() / value.abs().max()
                    assert error < tolerance, f"step {number}, {group}, {key}"
        assert found.facts == pytest.approx(wanted.facts, rel=1e-5, abs=1e-5)
