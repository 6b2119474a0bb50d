"""Two processes of one team, told what torchrun would tell them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_pair(program: str, folder: Path, timeout: float) -> None:
    """Run a program as ranks 0 and 1, its argument the folder; both must end well within so many seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    told["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            env={**os.environ, **told, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=timeout)[1] for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert [process.returncode for process in pair] == [0, 0], "\n".join(said)
