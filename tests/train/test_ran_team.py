"""Two processes that train RAN together equal one with the same global batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
import torch

from labkit.errors import LabError
from labkit.train import ran
from labkit.train.checkpoint import Checkpoints, State
from labkit.train.distributed import Team
from labkit.train.ran_config import RAN
from labkit.train.ran_trainer import RANTrainer
from labkit.train.train_state import state_of
from tests.train.pair import run_pair

STEPS = 2
TINY = replace(ran.PRESETS["tiny"], nets=replace(ran.PRESETS["tiny"].nets, dropout=0.0))
CASES: dict[str, RAN] = {
    "ran": TINY,
    "direct": replace(TINY, mode="direct"),
}
CLOSE = 1e-6  # sums in another order; Adam divides by the size of gradients, so that rounding grows in what is small
PROGRAM = """
import os, sys
from pathlib import Path
import torch
from labkit.train.distributed import team
from tests.train.test_ran_team import CASES, run

with team(torch.device("cpu")) as members:
    for name in CASES:
        run(name, members, Path(sys.argv[1]))
    members.wait()
    os._exit(0)
"""


def in_float64(trainer: RANTrainer) -> RANTrainer:
    """The same trainer with double precision, in which members and one process agree to many digits."""
    for module in trainer.modules.values():
        module.double()
    sphere = trainer.networks.sphere.to(dtype=torch.float64)
    trainer.networks = replace(trainer.networks, sphere=sphere)
    source = trainer.problem.train

    class Doubled:
        def images(self, numbers: torch.Tensor) -> torch.Tensor:
            return source.images(numbers).double()

        def azimuths(self, numbers: torch.Tensor) -> torch.Tensor:
            return source.azimuths(numbers)

    trainer.problem = trainer.problem._replace(train=Doubled())
    return trainer


def run(name: str, team: Team, folder: Path) -> None:
    """Train some steps; every member keeps the state after the last, and its figures."""
    trainer = in_float64(RANTrainer(CASES[name], team))
    figures = [trainer.step(number) for number in range(1, STEPS + 1)]
    state = state_of(trainer.modules, trainer.optimizers, trainer.generators)
    target = folder / f"{name}-{team.rank}-of-{team.world}"
    target.mkdir(parents=True)
    told = {key: float(value) for key, value in figures[-1].items()}
    Checkpoints(target).save(STEPS, State(state.tensors, told))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, by two processes and by one."""
    folder = tmp_path_factory.mktemp("team")
    run_pair(PROGRAM, folder, 240)
    for name in CASES:
        run(name, Team(torch.device("cpu")), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_equal_one(name: str, runs: Path) -> None:
    """Both members hold the same bits, and what one process alone has; their figures are the same too."""
    (_, first), (_, second), (_, alone) = (
        Checkpoints(runs / f"{name}-{which}").load(STEPS) for which in ("0-of-2", "1-of-2", "0-of-1")
    )
    assert first.tensors.keys() == alone.tensors.keys() >= {"module.reconstructor", "optimizer.reconstructor"}
    for group, tensors in alone.tensors.items():
        for key, value in tensors.items():
            if not key.startswith("default"):  # torch's own streams are each process's own, and are not drawn from
                assert torch.equal(first.tensors[group][key], second.tensors[group][key]), f"{group}, {key}"
            if value.is_floating_point() and value.any():
                error = (first.tensors[group][key] - value).abs().max() / value.abs().max()
                assert error < CLOSE, f"{group}, {key}"
    assert first.facts == second.facts
    assert first.facts == pytest.approx(alone.facts, rel=CLOSE, abs=1e-9)


def test_a_batch_that_cannot_be_shared() -> None:
    with pytest.raises(LabError, match="batch"):
        RANTrainer(replace(TINY, batch=3), Team(torch.device("cpu"), 0, 2))
