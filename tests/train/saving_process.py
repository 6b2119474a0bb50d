"""A process that dies while it saves, again and again; tests run it as a program and read its report.

Children are forked, since a fork ends as a killed process does: no ``finally`` runs, no buffer is written.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from labkit.errors import FileError
from labkit.train.checkpoint import Checkpoints, State

LARGE = 250_000  # numbers of a tensor: a megabyte, so that a kill can meet a file half written
FILE_CALLS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree")


def state(number: int, size: int = 8) -> State:
    """Every number in it tells which checkpoint it belongs to."""
    large = torch.full((size,), float(number))
    return State({"module.f": {"w": large, "b": large[:3]}, "generators": {"x": large[:5].byte()}}, {"number": number})


def points_to(run: Path) -> int:
    """The latest checkpoint, after all that there are were read and found to be what was saved."""
    points = Checkpoints(run)
    for number in points.numbers():
        found, loaded = points.load(number)
        assert found == number == loaded.facts["number"]
        assert all(bool((t == number % 256).all()) for t in loaded.tensors["generators"].values())
        assert all(bool((t == number).all()) for t in loaded.tensors["module.f"].values())
    if (run / "best").exists():
        points.load("best")
    return points.load("latest")[0]


def child(work: Callable[[], None]) -> int:
    """Fork, let the child do the work, and return its process id."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def killed_at_random(run: Path) -> dict[str, int]:
    """Kill -9 a process that does nothing but save, 25 times and until both ways to end have been met often."""
    report = {"rounds": 0, "interrupted": 0, "saved": 0}
    chance = random.Random(1)
    began = time.perf_counter()
    Checkpoints(run).save(1, state(1, LARGE))
    once = time.perf_counter() - began

    def save_on() -> None:
        points, number = Checkpoints(run), points_to(run)
        while True:
            number += 1
            points.save(number, state(number, LARGE), best=number % 3 == 0)

    while report["rounds"] < 25 or min(report.values()) < 5:
        before = points_to(run)
        pid = child(save_on)
        time.sleep(chance.uniform(0, 3 * once))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert points_to(run) >= before, "an older checkpoint than before is the latest"
        report["rounds"] += 1
        report["saved"] += points_to(run) - before
        once *= 1.0 if points_to(run) > before else 1.1  # the machine is slower than it was
        report["interrupted"] += bool(Checkpoints(run).leftovers())
    last = points_to(run) + 1
    Checkpoints(run).save(last, state(last))
    assert (Checkpoints(run).leftovers(), points_to(run)) == ([], last)
    return report


def killed_at_each_call(folder: Path, number: int) -> dict[str, int]:
    """End a process without a word before its first, second, ... call that changes files, until it gets through."""
    report = {"calls": 0, "interrupted": 0}
    start = folder / "start"
    start.mkdir()
    for earlier in (1, 2, 3):
        Checkpoints(start).save(earlier, state(earlier, 9), best=earlier == 1)  # of another size: 3 is another too

    def save_until(run: Path, last: int) -> None:
        calls = 0

        def count(event: str, _: object) -> None:
            nonlocal calls
            calls += event in FILE_CALLS
            if calls == last:
                os._exit(1)

        sys.addaudithook(count)
        Checkpoints(run).save(number, state(number), best=True)

    status = 1
    while status:
        report["calls"] += 1
        run = Path(shutil.copytree(start, folder / f"{report['calls']}"))
        points = Checkpoints(run)
        _, status = os.waitpid(child(partial(save_until, run, report["calls"])), 0)
        assert points_to(run) >= number - 1
        assert number - 1 in points.numbers()
        report["interrupted"] += bool(points.leftovers())
        points.save(number, state(number), best=True)
        assert (points.numbers(), points.leftovers(), points_to(run)) == ([number - 1, number], [], number)
    return report


def no_room(run: Path) -> dict[str, str]:
    """Save where no file may grow beyond 64 KiB, which fails in the middle of a write as a full disk does."""
    Checkpoints(run).save(1, state(1))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    try:
        Checkpoints(run).save(2, state(2, LARGE))
    except FileError as error:
        left = sorted(path.name for path in (*run.iterdir(), *(run / "checkpoints").iterdir()))
        return {"error": str(error), "left": " ".join(left), "latest": str(points_to(run))}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    return {}


def main(folder: Path) -> dict[str, dict[str, int] | dict[str, str]]:
    """Everything, each in a run of its own."""
    runs = {name: folder / name for name in ("random", "new", "again", "room")}
    for run in runs.values():
        run.mkdir()
    return {
        "random": killed_at_random(runs["random"]),
        "new": killed_at_each_call(runs["new"], 4),
        "again": killed_at_each_call(runs["again"], 3),
        "room": no_room(runs["room"]),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
