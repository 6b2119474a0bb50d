"""Where a run begins: in a new folder, or where an earlier process left one."""

from __future__ import annotations

import math
from pathlib import Path

from labkit.errors import DomainError
from labkit.train.checkpoint import Checkpoints
from labkit.train.config import EngineConfig, differences, table, to_json
from labkit.train.distributed import Team
from labkit.train.run_folder import RunFolder
from labkit.train.train_state import restore
from labkit.train.trainer import Trainer

FREE = ("steps", "device", "save_every", "preview_every", "log_every")
"""What may change at a resume: nothing of it changes what a step computes."""


def opened(name: str, config: EngineConfig, run: str | Path | None, resume: bool) -> RunFolder | None:
    """The folder of a run, new or, to ``resume``, there already; None without ``run``.

    Raises:
        DomainError: to resume without a run, or one of another recipe or config; the message is a table of both.
        FileError: the folder is there already, or is none, or cannot be written.
    """
    if run is None:
        if resume:
            raise DomainError("run", None, "the folder of the run to resume")
        return None
    if not resume:
        return RunFolder.create(run, name, to_json(config))
    folder = RunFolder.open(run)
    if folder.recipe != name:
        raise DomainError("run", f"a run of {folder.recipe}", f"a run of {name}")
    changed = [row for row in differences(folder.config, config) if row[0] not in FREE]
    if changed:
        shown = table(changed, ("field", "in the run", "asked for"))
        raise DomainError("config", f"another one than the run's\n{shown}\n", "the run's own, or a new run")
    return folder


def restored(trainer: Trainer, team: Team, run: str | Path | None) -> tuple[int, float, str]:
    """Load the newest checkpoint of a run, if it has one.

    Returns:
        The steps done, the best figure so far, and why the run is not exactly what it would have been without the
        break, or nothing.

    Raises:
        LabError: the checkpoint is broken, or does not fit; the message names what is wrong and what else there is.
    """
    checkpoints = Checkpoints(run or "")
    if not checkpoints.numbers():
        return 0, -math.inf, ""
    number, state = checkpoints.load("latest")
    foreign = restore(state, trainer.modules, trainer.optimizers, trainer.generators)
    reasons = []
    if foreign:
        reasons.append(f"random streams that belong to another device ({', '.join(foreign)}) begin anew")
    if state.facts["device"] != team.device.type:
        reasons.append(f"it was computed on {state.facts['device']}, now on {team.device.type}")
    if state.facts["world"] != team.world:
        reasons.append(f"it was computed by {state.facts['world']} processes, now by {team.world}")
    warning = f"not bit for bit what it would have been without the break: {'; '.join(reasons)}" if reasons else ""
    best = state.facts["best"]
    return number, -math.inf if best is None else float(best), warning
