"""Two processes that train IG-GAN together equal one with the same global batch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
import torch

from labkit.train import iggan
from labkit.train.checkpoint import Checkpoints, State
from labkit.train.distributed import Team
from labkit.train.iggan_config import IGGAN, NeuralConfig
from labkit.train.train_state import state_of
from tests.train.pair import run_pair

STEPS = 3
TINY = replace(iggan.PRESETS["tiny"], neural=NeuralConfig(width=4, pretrain_steps=1))
CASES: dict[str, IGGAN] = {
    "iggan": TINY,
    "fixed-neural": replace(
        TINY,
        neural=replace(TINY.neural, training="fixed"),
        discriminator=replace(TINY.discriminator, sees="neural"),
    ),
    "absorption-only": replace(TINY, method="absorption-only"),
    "dcgan": replace(TINY, method="dcgan"),
    "batch-norm": replace(TINY, generator=replace(TINY.generator, norm="batch")),
}
# Sums in another order: Adam divides by the gradients' size, so that tiny gradients' rounding becomes visible.
CLOSE = 2e-4
PROGRAM = """
import os, sys
from pathlib import Path
import torch
from labkit.train.distributed import team
from tests.train.test_iggan_team import CASES, run

with team(torch.device("cpu")) as members:
    for name in CASES:
        run(name, members, Path(sys.argv[1]))
    members.wait()
    os._exit(0)
"""


def run(name: str, team: Team, folder: Path) -> None:
    """Train some steps; every member keeps the state after the last, and its figures."""
    with ExitStack() as stack:
        game = iggan.game(CASES[name], team, stack)
        figures = [game.step(number) for number in range(1, STEPS + 1)]
        state = state_of(game.modules, game.optimizers, game.generators)
    target = folder / f"{name}-{team.rank}-of-{team.world}"
    target.mkdir(parents=True)
    told = {key: float(value) for key, value in figures[-1].items()}
    Checkpoints(target).save(STEPS, State(state.tensors, told))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, by two processes and by one."""
    folder = tmp_path_factory.mktemp("team")
    run_pair(PROGRAM, folder, 180)
    for name in CASES:
        run(name, Team(torch.device("cpu")), folder)
    return folder


def loaded(runs: Path, name: str) -> State:
    return Checkpoints(runs / name).load(STEPS)[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_members_agree(name: str, runs: Path) -> None:
    """Bit for bit, the averaged buffers of batch norm included."""
    a, b = (loaded(runs, f"{name}-{rank}-of-2") for rank in (0, 1))
    for group, tensors in a.tensors.items():
        if group != "generators":  # torch's own streams are each process's own
            assert all(torch.equal(value, b.tensors[group][key]) for key, value in tensors.items()), group


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "batch-norm"])
def test_two_equal_one(name: str, runs: Path) -> None:
    """Batch norm sees a member's share only, and is left out."""
    pair, one = loaded(runs, f"{name}-0-of-2"), loaded(runs, f"{name}-0-of-1")
    assert pair.tensors.keys() == one.tensors.keys()
    for group, tensors in one.tensors.items():
        for key, value in tensors.items():
            if value.is_floating_point() and value.any():
                error = (pair.tensors[group][key] - value).abs().max() / value.abs().max()
                assert error < CLOSE, f"{group}, {key}"
    assert pair.facts == pytest.approx(one.facts, rel=CLOSE, abs=1e-5)
