"""Real faults for the tests of run folders: another account, a full disk, and processes to kill."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534

# A process that has imported everything: for every folder named on stdin a child works there until it is killed.
NURSERY = """
import os, sys, torch
from labkit.events import MeshPreview, Phase, Picture, Saved, Step
from labkit.train.event_log import EventLog
from labkit.train.run_folder import RunFolder

def work(path):
    folder = RunFolder.open(path)
    image, vertices, faces = torch.rand(3, 64, 64), torch.rand(500, 3), torch.randint(0, 500, (900, 3))
    with folder.locked():
        log = EventLog(folder)
        log.append(Phase(0, "started", 10**9))
        log.append(Saved(0, "checkpoints/000000"))
        number = 0
        while True:
            number += 1
            log.append(Step(number, 10**9, {"loss": 1 / number}))
            if number % 4 == 0:
                log.append(Picture(number, "view", image))
                log.append(MeshPreview(number, "surface", vertices, faces))

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        work(line.rstrip("\\n"))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


class Nursery:
    """Starts processes that work on a run, and kills them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
            cwd=Path(__file__).resolve().parents[2],
        )
        self.child = 0

    def start(self, path: Path) -> int:
        """Let a new process work on the run; return its id."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        self.child = int(self.process.stdout.readline())
        return self.child

    def kill(self) -> None:
        """End the newest process as a power cut would, and wait until it is gone."""
        os.kill(self.child, signal.SIGKILL)
        self.process.stdout.readline()
        self.child = 0

    def close(self) -> None:
        """End everything."""
        if self.child:
            os.kill(self.child, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that every account can enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be written; root, whom no mode stops, is somebody else meanwhile."""
    paths = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    root = os.geteuid() == 0
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """No file of this process can grow beyond ``free`` bytes; a write stops there, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
