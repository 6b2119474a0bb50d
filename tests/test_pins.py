"""pyproject.toml, constraints.txt, environment.yml, the Makefile and the pre-commit hook name the same environment."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def read(name: str) -> str:
    """The text of a file at the top of the repository."""
    return (ROOT / name).read_text("utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = sorted({*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)})
PINS = {canonicalize_name(r.name): r for r in map(Requirement, read("constraints.txt").split())}


def test_every_constraint_is_one_exact_pin() -> None:
    """name==version, each name once."""
    lines = read("constraints.txt").split()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert len(PINS) == len(lines)


@pytest.mark.parametrize("line", DIRECT)
def test_direct_dependency_is_pinned_inside_its_range(line: str) -> None:
    """What pyproject.toml asks for is what constraints.txt gives."""
    wanted = Requirement(line)
    pin = str(PINS[canonicalize_name(wanted.name)].specifier).removeprefix("==")
    assert wanted.specifier.contains(pin), f"{line} against {pin}"


def test_torch() -> None:
    """The version that installs without CUDA on a machine without one."""
    assert str(PINS["torch"]) == "torch==2.13.0"


def test_core_is_four_packages() -> None:
    """`import labkit` needs no more."""
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == {"torch", "numpy", "kornia", "trimesh"}


def test_conda_environment_uses_the_same_constraints_and_extras() -> None:
    """conda brings Python and pip; pip brings the same packages as `make install`."""
    environment = yaml.safe_load(read("environment.yml"))
    *conda, pip = environment["dependencies"]
    made = re.search(r"^EXTRAS := (.+)$", read("Makefile"), re.MULTILINE)
    assert made is not None
    assert set(made[1].split(",")) == set(EXTRAS) - {"bench"}  # torchsort needs a compiler, and torch before it
    assert pip == {"pip": ["-c constraints.txt", f"-e .[{made[1]}]"]}
    python = Requirement(conda[0].replace("=", "==", 1))
    assert python.name == "python"
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(str(python.specifier)[2:])
    assert conda[1:] == ["pip"]


def test_makefile_installs_with_the_constraints() -> None:
    """Every pip install of the Makefile is held by the constraints."""
    installs = [line for line in read("Makefile").splitlines() if "pip install" in line]
    assert installs
    assert [line for line in installs if "-c constraints.txt" not in line] == []


def test_hook_runs_the_pinned_ruff() -> None:
    """The ruff of a commit is the ruff of CI."""
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    (revision,) = [hook["rev"] for hook in hooks if hook["repo"].endswith("ruff-pre-commit")]
    assert str(PINS["ruff"]) == f"ruff=={revision.removeprefix('v')}"


def test_pins_are_what_runs_here() -> None:
    """The tests speak about the pinned versions: each installed direct dependency is the pinned one."""
    from importlib.metadata import PackageNotFoundError, version

    different = {}
    for name in (Requirement(line).name for line in DIRECT):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        pin = str(PINS[canonicalize_name(name)].specifier).removeprefix("==")
        if installed.split("+")[0] != pin:
            different[name] = (installed, pin)
    assert not different
