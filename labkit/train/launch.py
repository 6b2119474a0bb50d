"""Runs in processes of their own, which go on when the notebook or shell that started them is gone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from itertools import dropwhile, islice
from pathlib import Path

from labkit.errors import BackendError, DTypeError, FileError, LabError, check_positive
from labkit.events import Phase
from labkit.train.config import EngineConfig, to_json
from labkit.train.event_log import LogReader
from labkit.train.recipes import recipe as recipe_of
from labkit.train.run_folder import CONFIG, HeldError, RunFolder, as_file_error, write_json

CONSOLE = "console.log"  # in the run's folder: what its processes printed
PROMPT = "$ "  # begins the line of the console that says what was started
PATIENCE = 600.0  # seconds: reading or making the data is part of the beginning
POLL = 0.05  # seconds
TAIL = 1 << 16  # bytes of the console's end that are looked at
GONE = 10.0  # seconds until a killed process must be gone


class LaunchError(LabError, RuntimeError):
    """A process ended before it began to train."""


def start(
    recipe: str,
    run: str | Path,
    config: EngineConfig | None = None,
    *,
    resume: bool = False,
    processes: int = 1,
    tensorboard: bool = False,
    patience: float = PATIENCE,
) -> int:
    """Start `labkit train` in a session of its own, never by fork, and come back when its training begins.

    With more than one process they are started by torchrun, at a free port of this machine, and share its cores; if
    one dies, it ends the others. What they print goes to ``console.log`` in the run's folder. Watch the run with
    `labkit.train.follow.follow`, steer it with `labkit.train.commands.send`.

    Args:
        recipe: name or import path, see `labkit.train.recipes`.
        run: its folder; a new or empty one unless ``resume``.
        config: None, when resuming, for what the run was told before.
        resume: whether to go on from the newest checkpoint.
        processes: that train together.
        tensorboard: whether to write for TensorBoard too.
        patience: seconds until it must have begun.

    Returns:
        The process id: of torchrun where there are several processes. `stop_hard` takes it.

    Raises:
        LaunchError: it ended before it began, and why, in its own words; or it did not begin in time, and was ended.
        HeldError: another process holds the run.
        LabError: an argument is wrong, or the folder cannot be written.
    """
    check_positive("processes", processes)
    known = recipe_of(recipe)
    if not (isinstance(config, known.Config) or (config is None and resume)):
        raise DTypeError("config", type(config).__name__, f"a {known.Config.__name__}")
    run = Path(run).absolute()
    if not resume and run.is_dir() and any(run.iterdir()):
        raise FileError(str(run), "a folder that is not empty", "a new or an empty one, or to resume")
    there = RunFolder.open(run) if resume else None
    if there and (owner := there.running):
        raise HeldError(str(run), f"held by process {owner['pid']} on {owner['host']}", "a run that nobody holds")
    diary = LogReader(run)
    for _ in diary.new():  # of earlier processes
        pass
    words = ["labkit", "train", recipe, "--run", str(run), *["--resume"] * resume, *["--tensorboard"] * tensorboard]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}
    launcher = ["-m"]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "--"]
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
        # A new run's folder must be empty when the process makes it, so that its console lies beside it at first.
        with tempfile.TemporaryDirectory(prefix=f".{run.name[:64]}-", dir=run.parent) as scratch:
            console = run / CONSOLE if resume else Path(scratch) / CONSOLE
            if config is not None:
                told = Path(scratch) / "config.json"
                write_json(told, {"config": to_json(config)})
                words += ["--like", str(told)]
            with console.open("ab") as stream:
                stream.write(f"{PROMPT}{shlex.join(words)}\n".encode())
                stream.flush()
                process = subprocess.Popen(
                    [sys.executable, *launcher, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            # Somebody must take note of its end, or it stays in the system's table for as long as this process lives.
            threading.Thread(target=process.wait, name="labkit-launch", daemon=True).start()
            try:
                _wait_until_begun(process, diary, run, console, patience)
            finally:
                if not resume and (run / CONFIG).exists():
                    console.replace(run / CONSOLE)
    except OSError as error:
        raise as_file_error(run, error) from error
    return process.pid


def stop_hard(pid: int) -> None:
    """End a started run at once, with all its processes; its newest checkpoint stands. No such run: nothing happens.

    Args:
        pid: from `start`; or of any process of the run: where there are several, torchrun then ends the others.

    Raises:
        LabError: it cannot be ended.
        BackendError: psutil is missing.
    """
    try:
        import psutil
    except ImportError as error:
        raise BackendError("psutil", "no such package", "it installed: pip install psutil") from error
    try:
        root = psutil.Process(pid)
        if not any(Path(word).name == "labkit" for word in root.cmdline()):
            return  # the number has gone to another process since
        family = [root, *root.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise LabError("pid", pid, "a process of this account") from error
    if left := psutil.wait_procs(family, timeout=GONE)[1]:
        raise LabError("pid", f"{left[0].pid}, which does not end", "a process that can be ended")


def failure_text(run: str | Path) -> str:
    """Why the newest process of a run ended, as far as its console tells: for people; empty if it says nothing.

    That is which of several processes was killed; or else labkit's own line about the error; or else the last line of
    the first traceback; or else the last line of all.
    """
    return _failure(Path(run) / CONSOLE)


def _failure(console: Path) -> str:
    try:
        with console.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    _, _, newest = f"\n{text}".rpartition(f"\n{PROMPT}")
    if killed := re.search(r"failed \(exitcode: -(\d+)\) local_rank: (\d+)", newest):  # as torchrun says it
        return f"process {killed[2]} of the team was killed by signal {killed[1]}"
    lines = [re.sub(r"^\[rank\d+\]:\s?", "", line) for line in newest.splitlines() if line.strip()]
    own = [line.removeprefix("labkit: ") for line in lines if line.startswith("labkit: ")]
    traceback = dropwhile(lambda line: not line.startswith("Traceback"), lines)
    raised = [line for line in islice(traceback, 1, None) if not line.startswith(" ")]
    return (own[:1] or raised[:1] or lines[-1:] or [""])[0]


def _wait_until_begun(
    process: subprocess.Popen[bytes], diary: LogReader, run: Path, console: Path, patience: float
) -> None:
    """Come back when the diary tells of a start, or the process has ended well; one that is given up is ended."""
    limit = time.monotonic() + patience
    try:
        while True:
            ended = process.poll() is not None  # asked first: what it wrote before its end is then read below
            if any(isinstance(event, Phase) and event.name == "started" for event in diary.new()):
                return
            if ended:
                break
            if time.monotonic() > limit:
                raise LaunchError(str(run), f"a process that has not begun for {patience:g} s", "one that trains")
            time.sleep(POLL)
    except BaseException:
        process.terminate()
        raise
    if process.returncode:
        told = _failure(console) or "it said nothing"
        raise LaunchError(str(run), f"a process that ended with code {process.returncode} ({told})", "one that trains")
