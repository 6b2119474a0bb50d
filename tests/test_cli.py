"""The command line: what it writes, what it prints, and one line for everything that goes wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.cli import doctor, main
from labkit.cli.lab import FIRST_NOTEBOOK, server_arguments
from labkit.cli.render import SHAPES
from labkit.geometry.io import save_mesh
from labkit.geometry.shapes import icosphere

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--size", "24", "--backend", "reference"]


def pixels(path: Path) -> np.ndarray:
    """The picture as (H, W, 3) bytes."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize("words", [["--help"], ["render", "--help"], ["lab", "--help"], ["doctor", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help goes to stdout and is a success."""
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "usage: labkit" in out
    assert err == ""


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The first page lists the five commands."""
    main(["--help"])
    listed = re.findall(r"• (\w+)", capsys.readouterr().out)
    assert listed == ["lab", "render", "train", "bench", "doctor"]


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_render_of_a_shape(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each procedural mesh shows in the middle of a picture whose corner is the background."""
    out = tmp_path / "out.png"
    background = ["--background", "0.2", "0.4", "0.6", "--rasterizer", "hard"]
    assert main(["render", name, "-o", str(out), *SMALL, *background]) == 0
    picture = pixels(out)
    assert picture.shape == (24, 24, 3)
    assert picture[0, 0].tolist() == [51, 102, 153]
    assert (picture != picture[0, 0]).any(-1).mean() > 0.1
    assert re.fullmatch(
        rf"{re.escape(str(out))}: [\d,]+ faces, 24x24 pixels, \d+ ms, backend \w+\n", capsys.readouterr().out
    )


def test_render_of_a_file_is_normalized(tmp_path: Path) -> None:
    """A mesh far away and tiny fills the picture as the same mesh at the origin does."""
    mesh = icosphere(2)
    save_mesh(mesh, tmp_path / "near.obj")
    save_mesh(mesh.replace(vertices=mesh.vertices * 0.01 + 5.0), tmp_path / "far.obj")
    pictures = []
    for name in ("near", "far"):
        out = tmp_path / f"{name}.png"
        assert main(["render", str(tmp_path / f"{name}.obj"), "-o", str(out), *SMALL]) == 0
        pictures.append(pixels(out).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 3  # bytes; the file holds six digits
    assert pictures[0].std() > 5


def test_every_option_changes_the_picture(tmp_path: Path) -> None:
    """No option is decoration."""
    phong = ["--material", "phong"]
    cook = ["--material", "cook-torrance"]
    variants: list[list[str]] = [
        [],
        ["--rasterizer", "hard"],
        ["--steepness", "15"],
        ["--opacity", "0.5"],
        phong,
        [*phong, "--specular", "0.9"],
        [*phong, "--shininess", "3"],
        ["--material", "blinn-phong", "--shininess", "3"],
        cook,
        [*cook, "--roughness", "0.2"],
        [*cook, "--metallic", "1"],
        [*cook, "--reflectance", "0.5"],
        ["--shading", "gouraud"],
        ["--rasterizer", "hard", "--shading", "phong"],
        ["--azimuth", "100"],
        ["--elevation", "-30"],
        ["--distance", "4"],
        ["--fov", "70"],
        ["--background", "0", "0", "0"],
    ]
    seen: dict[bytes, list[str]] = {}
    for number, words in enumerate(variants):
        out = tmp_path / f"{number}.png"
        assert main(["render", "torus", "-o", str(out), *SMALL, *words]) == 0
        data = pixels(out).tobytes()
        assert data not in seen, f"{words} looks like {seen.get(data)}"
        seen[data] = words


def test_size_is_width_times_height(tmp_path: Path) -> None:
    """As image tools write it."""
    assert main(["render", "icosphere", "-o", str(tmp_path / "x.png"), *SMALL, "--size", "20x12"]) == 0
    assert pixels(tmp_path / "x.png").shape == (12, 20, 3)


def test_deterministic(tmp_path: Path) -> None:
    """The same words give the same bytes."""
    for name in ("a.png", "b.png"):
        assert main(["render", "chair", "-o", str(tmp_path / name), *SMALL]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_error_leaves_the_old_picture(tmp_path: Path) -> None:
    """A render that fails half-way neither harms the old file nor leaves another."""
    out = tmp_path / "out.png"
    out.write_bytes(b"old")
    (tmp_path / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    assert main(["render", str(tmp_path / "broken.obj"), "-o", str(out), *SMALL]) == 2
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.obj", "out.png"]


RENDER = ["render", "icosphere", "-o", "x.png"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "lab, render, train, bench, doctor"),
        (["rendr"], "rendr"),
        (["render", "icosphere"], "--out"),
        (["render", "missing.obj", "-o", "x.png"], "missing.obj"),
        (["render", "notes.txt", "-o", "x.png"], ".txt"),
        (["render", "icosphere", "-o", "nowhere/x.png"], "nowhere"),
        (["render", "icosphere", "-o", "x.gif"], ".png"),
        ([*RENDER, "--steepness", "0"], "steepness"),
        ([*RENDER, "--steepness", "-3"], "steepness"),
        ([*RENDER, "--steepness", "inf"], "steepness"),
        ([*RENDER, "--steepness", "nan"], "steepness"),
        ([*RENDER, "--steepness", "steep"], "steep"),
        ([*RENDER, "--opacity", "0"], "opacity"),
        ([*RENDER, "--size", "0"], "--size"),
        ([*RENDER, "--size", "64x0"], "--size"),
        ([*RENDER, "--size=-4"], "--size"),
        ([*RENDER, "--size", "big"], "WIDTHxHEIGHT"),
        ([*RENDER, "--size", "100000"], "16384"),
        ([*RENDER, "--material", "velvet"], "cook-torrance"),
        ([*RENDER, "--material", "phong", "--shininess", "0"], "shininess"),
        ([*RENDER, "--material", "cook-torrance", "--roughness", "2"], "roughness"),
        ([*RENDER, "--roughness", "0.5"], "only options of lambert"),
        ([*RENDER, "--rasterizer", "hard", "--steepness", "9"], "only options of hard"),
        ([*RENDER, "--distance", "0"], "distance"),
        ([*RENDER, "--fov", "180"], "fov"),
        ([*RENDER, "--azimuth", "nan"], "azimuth"),
        ([*RENDER, "--background", "2", "0", "0"], "--background"),
        ([*RENDER, "--backend", "abacus"], "abacus"),
        ([*RENDER, "--stepness", "3"], "--stepness"),
        (["lab", "missing.ipynb"], "missing.ipynb"),
        (["bench", "--only", "velvet"], "velvet"),
        (["bench", "--device", "abacus"], "abacus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, one line on stderr that names the fault, nothing on stdout, nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no mesh")
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("labkit: ")
    assert err.count("\n") == 1
    assert told in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_doctor_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Every dependency, the devices and the backends have a line; the end agrees with the exit code."""
    code = main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    names = {line.split("  ")[0].strip() for line in lines}
    assert {"python", "torch", "kornia", "trimesh", "numba", "jupyterlab", "pythreejs", "cpu", "gpu"} <= names
    assert (lines[-1] == "OK") == (code == 0)
    assert code in (0, 1)


def test_doctor_names_the_cure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing dependency is reported with the command that brings it, and fails; one of the tests' own does not."""
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["torch>=1", 'absent>=1; extra == "lab"'])
    assert main(["doctor"]) == 1
    assert '- absent: pip install "labkit[lab]"' in capsys.readouterr().out.splitlines()
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ['absent; extra == "dev"'])
    monkeypatch.setattr(doctor, "LABEXTENSIONS", {})
    main(["doctor"])
    assert "- absent" not in capsys.readouterr().out


def test_doctor_finds_a_missing_labextension(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Widgets that JupyterLab cannot show are the commonest fault, so it has a line and a cure."""
    monkeypatch.setattr(doctor, "LABEXTENSIONS", {"jupyter-nothing": "nothing"})
    assert main(["doctor"]) == 1
    assert "- lab: jupyter-nothing: pip install --force-reinstall --no-deps nothing" in capsys.readouterr().out


def test_lab_is_local_and_behind_its_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server listens on this machine only, with the token, on the notebook; no window where there is no screen."""
    notebook = tmp_path / "deep" / "x.ipynb"
    notebook.parent.mkdir()
    notebook.touch()
    monkeypatch.chdir(tmp_path)
    words = server_arguments(notebook, 9000, "secret", browser=False)
    assert "--ServerApp.ip=127.0.0.1" in words
    assert "--IdentityProvider.token=secret" in words
    assert "--LabApp.default_url=/lab/tree/deep/x.ipynb" in words
    assert f"--ServerApp.root_dir={tmp_path}" in words
    assert "--no-browser" in words
    assert "--no-browser" not in server_arguments(notebook, 9000, "secret", browser=True)
    monkeypatch.chdir(ROOT)
    assert f"--ServerApp.root_dir={notebook.parent}" in server_arguments(notebook, 9000, "secret", browser=False)


def test_subprocess(tmp_path: Path) -> None:
    """`python -m labkit` and the script `labkit` are the same command."""
    out = tmp_path / "x.png"
    module = [sys.executable, "-m", "labkit"]
    script = shutil.which("labkit", path=str(Path(sys.executable).parent))
    done = subprocess.run(
        [*module, "render", "torus", "-o", str(out), *SMALL], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert pixels(out).std() > 5
    assert script is not None
    done = subprocess.run([script, "render", "no.obj", "-o", str(out)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["spot_triangulated.obj", "suzanne.obj", "teapot.obj", "stanford-bunny.obj"])
def test_real_meshes(name: str, shared_mesh: Callable[[str], Path], tmp_path: Path) -> None:
    """The meshes that everyone knows load and show."""
    out = tmp_path / "x.png"
    assert main(["render", str(shared_mesh(name)), "-o", str(out), "--size", "32", "--rasterizer", "hard"]) == 0
    assert pixels(out).std() > 5


def test_complaints_without_line_drawing() -> None:
    """Where the terminal knows ASCII only, the sentence is the same."""
    command = [sys.executable, "-m", "labkit", "render", "torus", "-o", "x.png", "--material", "velvet"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stderr.count("\n") == 1
    assert "invalid choice 'velvet'" in done.stderr


def test_first_notebook_is_the_default() -> None:
    """What `make lab` opens exists."""
    assert (ROOT / FIRST_NOTEBOOK).is_file()
