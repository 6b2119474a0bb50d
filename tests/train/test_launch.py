"""Runs in processes of their own: they outlive who started them, and tell how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from labkit.errors import DomainError, DTypeError, FileError
from labkit.events import Done, Event, Failed, Phase, Step
from labkit.train import udr_config
from labkit.train.checkpoint import Checkpoints
from labkit.train.commands import send
from labkit.train.follow import follow
from labkit.train.launch import CONSOLE, LaunchError, failure_text, start, stop_hard
from labkit.train.run_folder import HeldError, RunFolder
from tests.train import tiny_recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "tests.train.tiny_recipe"
TINY = tiny_recipe.PRESETS["tiny"]
LONG = replace(TINY, steps=100_000, wait=0.02, save_every=1000)
LIMIT = 60.0  # seconds: gone long before on a machine that does nothing else


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Processes to be ended with the test, however it ends."""
    processes: list[int] = []
    yield processes
    for process in processes:
        stop_hard(process)


def wait_gone(processes: list[psutil.Process]) -> None:
    """Fail unless all of them are gone within the limit."""
    _, left = psutil.wait_procs(processes, timeout=LIMIT)
    assert left == []


def first_step(run: Path) -> Event:
    """Wait for it."""
    return next(event for event in follow(run) if isinstance(event, Step))


@pytest.mark.slow
def test_the_life_of_a_run(tmp_path: Path, started: list[int]) -> None:
    """It outlives who started it, is held once, is stopped, goes on elsewhere, and refuses a broken checkpoint."""
    run = tmp_path / "a run"
    program = f"""
import os, signal
from dataclasses import replace
from labkit.train.launch import start
from tests.train.tiny_recipe import PRESETS
print(start({RECIPE!r}, {str(run)!r}, replace(PRESETS["tiny"], steps=100_000, wait=0.02, save_every=1000)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    started.append(int(done.stdout))
    assert list(tmp_path.iterdir()) == [run]
    with pytest.raises(HeldError, match=f"held by process {started[0]}"):
        start(RECIPE, run, resume=True)
    first_step(run)
    send(run, "stop")
    first, *_, end = follow(run)
    assert first == Phase(0, "started", LONG.steps)
    assert isinstance(end, Done)
    assert end.stopped

    started.append(start(RECIPE, run, replace(LONG, steps=end.number + 3), resume=True))
    *_, last = follow(run)
    assert last == Done(end.number + 3, values=last.values)
    assert Checkpoints(run).numbers() == [end.number, end.number + 3]
    said = (run / CONSOLE).read_text()
    assert said.startswith(f"$ labkit train {RECIPE} --run '{run}'")
    assert said.count("$ labkit train") == 2
    assert f"done after {end.number + 3} steps" in said

    file = run / "checkpoints" / f"{end.number + 3:06d}" / "optimizer.adam.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(LaunchError, match=r"code 2 \(.*optimizer\.adam\.safetensors"):
        start(RECIPE, run, replace(LONG, steps=end.number + 9), resume=True)
    assert "optimizer.adam.safetensors" in failure_text(run)


def test_one_that_does_not_begin_in_time_is_ended(tmp_path: Path) -> None:
    """Patience has an end, and nothing stays behind."""
    before = psutil.Process().children()
    with pytest.raises(LaunchError, match="has not begun for 0"):
        start(RECIPE, tmp_path / "run", LONG, patience=0.0)
    wait_gone([child for child in psutil.Process().children() if child not in before])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_one_of_two_is_killed(tmp_path: Path, started: list[int]) -> None:
    """The others end too within seconds, the run says so, and the launcher knows which one it was."""
    run = tmp_path / "run"
    started.append(start(RECIPE, run, LONG, processes=2))
    first_step(run)
    launcher = psutil.Process(started[0])
    workers = {process.environ()["RANK"]: process for process in launcher.children()}
    share = str(max(1, (os.cpu_count() or 1) // 2))
    threads = os.environ.get("OMP_NUM_THREADS", share)
    assert {process.environ()["OMP_NUM_THREADS"] for process in workers.values()} == {threads}
    assert RunFolder.open(run).owner["pid"] == workers["0"].pid
    workers["1"].kill()
    *_, last = follow(run)
    assert isinstance(last, Failed)
    wait_gone([launcher, *workers.values()])
    assert failure_text(run) == "process 1 of the team was killed by signal 9"


def test_stop_hard_spares_strangers() -> None:
    """A process id that has gone to another program is left alone."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stop_hard(stranger.pid)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    stop_hard(stranger.pid)  # nobody has it


def test_wrong_arguments(tmp_path: Path) -> None:
    """Each is refused before a process is started."""
    with pytest.raises(DomainError, match="recipe: got nix, expected udr"):
        start("nix", tmp_path / "run", TINY)
    with pytest.raises(DTypeError, match="config: got UDR, expected a Config"):
        start(RECIPE, tmp_path / "run", udr_config.UDR())
    with pytest.raises(DTypeError, match="config: got NoneType"):
        start(RECIPE, tmp_path / "run")
    with pytest.raises(DomainError, match="processes"):
        start(RECIPE, tmp_path / "run", TINY, processes=0)
    with pytest.raises(FileError, match=r"config\.json"):
        start(RECIPE, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="not empty"):
        start(RECIPE, tmp_path, TINY)
    with pytest.raises(FileError, match="file"):
        start(RECIPE, tmp_path / "file" / "run", TINY)


TRACEBACK = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
    import nix
ModuleNotFoundError: No module named 'nix'
"""
TORCHRUN = """E1121 api.py:1002] failed (exitcode: -9) local_rank: 1 (pid: 12045) of binary: python
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("$ labkit train udr\nfrom the start\nlabkit: device: got cuda\n", "device: got cuda"),
        (TRACEBACK, "ModuleNotFoundError: No module named 'nix'"),
        (
            "\n".join(f"[rank0]: {line}" for line in TRACEBACK.splitlines()),
            "ModuleNotFoundError: No module named 'nix'",
        ),
        (TORCHRUN.replace("-9", "1"), "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:"),
        (f"[rank0]: {TRACEBACK}{TORCHRUN}", "process 1 of the team was killed by signal 9"),
        ("$ labkit train udr\nlabkit: old\n$ labkit train udr --resume\nKilled\n", "Killed"),
        ("x" * 70_000 + "\nlast words", "last words"),
        ("", ""),
    ],
)
def test_failure_text(said: str, told: str, tmp_path: Path) -> None:
    """The reason is found in what processes print."""
    assert failure_text(tmp_path) == ""
    (tmp_path / CONSOLE).write_text(said)
    assert failure_text(tmp_path) == told
