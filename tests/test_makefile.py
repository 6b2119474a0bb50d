"""The commands of the Makefile, run with a stand-in for Python that only writes down how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = """#!/bin/sh
echo "$0 $*" >> "$CALLS"
if [ "$2" = venv ]; then mkdir -p .venv/bin; for name in python ruff mypy; do cp "$0" .venv/bin/$name; done; fi
if [ "$1" = -c ]; then exit "${OLD:-0}"; fi
if [ "$FAIL" ] && echo "$*" | grep -qe "$FAIL"; then exit 1; fi
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


class Checkout:
    """A folder with the Makefile and what it depends on, and a stand-in Python that records its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        self.python = folder / "fake-python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run make; the calls of this run are in `calls` afterwards."""
        log = self.folder / "calls"
        log.write_text("")
        variables = {"PATH": os.environ["PATH"], "CALLS": str(log), **environment}
        command = ["make", f"PYTHON={self.python}", *words]
        done = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=60)
        self.calls = [line.partition(" ")[2] for line in log.read_text().splitlines()]
        return done


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh clone."""
    return Checkout(tmp_path)


EXTRAS = "lab,fast,geometry,cli,train,tensorboard,renderers,dev"
INSTALL = f"-m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[{EXTRAS}]"
WARM_UP = "-c from labkit.render.raster import warm_up; warm_up()"


@pytest.mark.parametrize(
    ("target", "work"),
    [
        ("lab", ["-m labkit lab"]),
        ("bench", ["-m labkit bench"]),
        ("install", []),
        ("test", ["-m pytest -n auto -m not browser", "-m pytest -m browser"]),
        ("lint", ["check .", "format --check .", "", "-m pytest -q tests/test_pairing.py"]),
    ],
)
def test_fresh_clone_installs_first(checkout: Checkout, target: str, work: list[str]) -> None:
    """Each target makes the environment with the constraints and then does its work, and only that the second time."""
    done = checkout.make(target)
    assert done.returncode == 0, done.stderr
    version, *rest = checkout.calls
    assert version.startswith("-c import sys")
    assert rest == ["-m venv .venv", INSTALL, WARM_UP, *work]
    start = time.perf_counter()
    checkout.make(target)
    assert time.perf_counter() - start < 3.0
    assert checkout.calls == work


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_pins_install_again(checkout: Checkout, name: str) -> None:
    """The environment follows the files that describe it."""
    checkout.make("install")
    later = time.time() + 10
    os.utime(checkout.folder / name, (later, later))
    checkout.make("install")
    assert INSTALL in checkout.calls


def test_failed_install_is_tried_again(checkout: Checkout) -> None:
    """An interrupted install leaves no stamp."""
    assert checkout.make("lab", FAIL="pip install").returncode != 0
    assert "-m labkit lab" not in checkout.calls
    assert checkout.make("lab").returncode == 0
    assert checkout.calls[-1] == "-m labkit lab"


def test_old_python_is_one_clear_line(checkout: Checkout) -> None:
    """Python 3.10 is refused before anything is made, with the cure."""
    done = checkout.make("test", OLD="1")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (checkout.folder / ".venv").exists()


def test_failing_tests_fail_make(checkout: Checkout) -> None:
    """The exit code of pytest is the exit code of make."""
    assert checkout.make("test", FAIL="not browser").returncode != 0
    assert checkout.make("test", FAIL="-m browser").returncode != 0


def test_arguments_reach_the_command(checkout: Checkout) -> None:
    """NOTEBOOK= and ARGS= are passed on."""
    checkout.make("lab", "NOTEBOOK=a.ipynb")
    assert checkout.calls[-1] == "-m labkit lab a.ipynb"
    checkout.make("test", "ARGS=-k mesh")
    assert checkout.calls[-1] == "-m pytest -m browser -k mesh"


def test_help_lists_every_target(checkout: Checkout) -> None:
    """`make` alone says what there is and installs nothing."""
    done = checkout.make()
    for target in ("lab", "test", "bench", "lint"):
        assert f"make {target} " in done.stdout
    assert checkout.calls == []


def test_ci_lints_and_tests_with_every_part_required() -> None:
    """The script of continuous integration is valid bash and turns missing parts into failures."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text("utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-2:] == ["make lint", "LABKIT_REQUIRE=browser,gl,numba,triton make test"]
