"""Checkpoints: what is written comes back exactly, whatever happened while it was written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from train.saving_process import state

from labkit.errors import BackendError, DomainError, DTypeError, FileError, LabError
from labkit.train import checkpoint_format
from labkit.train.checkpoint import Checkpoints, State

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two checkpoints, 100 and 200, the first of them the best."""
    for number in (100, 200):
        Checkpoints(tmp_path).save(number, state(number), best=number == 100)
    return tmp_path


def test_round_trip(tmp_path: Path) -> None:
    """Every type, shape and layout comes back with the same bits, in a folder named by the steps."""
    big = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        **{
            str(t): torch.tensor([[0.1, -3.0], [7, 1e-3]]).to(t) for t in (torch.float64, torch.float16, torch.bfloat16)
        },
        **{
            str(t): torch.tensor([0, 1, 127]).to(t)
            for t in (torch.int64, torch.int32, torch.uint8, torch.int8, torch.bool)
        },
        "complex": torch.tensor([1 + 2j, -0.5j], dtype=torch.complex64),
        "turned": big.permute(2, 0, 1),
        "spread": torch.tensor([1.0, 2.0]).expand(3, 2),
        "shared": big,
        "shared too": big[0],
        "none at all": torch.empty(0, 3),
        "number": torch.tensor(-0.0),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "größe/∇.weight": torch.ones(1),
    }
    facts = {"a": [1, 1.0, 0.1 + 0.2, True, None, "ü"], "b": {"c": -(2**80)}}
    path = Checkpoints(tmp_path).save(12, State({"all": tensors, "empty": {}}, facts))
    assert path == tmp_path / "checkpoints" / "000012"
    assert sorted(p.name for p in path.iterdir()) == [
        "all.safetensors",
        "empty.safetensors",
        "facts.json",
        "manifest.json",
    ]
    number, loaded = Checkpoints(tmp_path).load()
    assert number == 12
    assert json.dumps(loaded.facts) == json.dumps(facts)
    assert loaded.tensors["empty"] == {}
    assert loaded.tensors["all"].keys() == tensors.keys()
    for name, tensor in tensors.items():
        found = loaded.tensors["all"][name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found, tensor), name
    assert loaded.tensors["all"]["number"].signbit()
    manifest = json.loads((path / "manifest.json").read_text())
    data = (path / "all.safetensors").read_bytes()
    assert manifest["files"]["all.safetensors"] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert manifest["tensors"]["all"]["turned"] == {"dtype": "float32", "shape": [4, 2, 3]}


def test_a_header_that_begins_as_a_pickle_does(tmp_path: Path) -> None:
    """Safetensors begins with the length of its header, whose bytes can be those of a pickle or an archive."""
    beginnings = set()
    for length in range(0, 256, 8):
        path = Checkpoints(tmp_path).save(1, State({"g": {"n" * length: torch.ones(1)}}))
        beginnings.add((path / "g.safetensors").read_bytes()[:1])
        assert Checkpoints(tmp_path).load()[0] == 1
    assert b"\x80" in beginnings


def test_last_two_and_the_best_stay(tmp_path: Path) -> None:
    points = Checkpoints(tmp_path)
    assert points.numbers() == []
    with pytest.raises(FileError, match=r"latest.*got nothing, expected a run that was saved"):
        points.load()
    seen = []
    for number in (1, 2, 3, 4, 5, 6):
        points.save(number, state(number), best=number in (2, 5))
        seen.append(points.numbers())
    assert seen == [[1], [1, 2], [2, 3], [2, 3, 4], [4, 5], [5, 6]]
    assert ((tmp_path / "latest").read_text(), (tmp_path / "best").read_text()) == ("6\n", "5\n")
    assert [points.load(wanted)[0] for wanted in ("latest", "best", None, 5)] == [6, 5, 6, 5]
    with pytest.raises(FileError, match=r"checkpoint 4 .*expected one of 5, 6"):
        points.load(4)
    with pytest.raises(DomainError, match="newest"):
        points.load("newest")


def test_keep(tmp_path: Path) -> None:
    for number in range(5):
        Checkpoints(tmp_path, keep=1).save(number, state(number))
    assert Checkpoints(tmp_path).numbers() == [4]
    with pytest.raises(DomainError, match="keep"):
        Checkpoints(tmp_path, keep=0)


def test_the_same_again_stays(run: Path) -> None:
    """After an exact resume nothing has to be taken away first; what is damaged is written anew."""
    file = run / "checkpoints" / "000200" / "facts.json"
    before = file.stat().st_ino
    Checkpoints(run).save(200, state(200), best=True)
    assert file.stat().st_ino == before
    assert Checkpoints(run).load("best")[0] == 200
    file.write_bytes(b"{}")
    Checkpoints(run).save(200, state(200))
    assert Checkpoints(run).load()[1].facts == {"number": 200}


def test_going_back_and_on(run: Path) -> None:
    """Training that goes on from an earlier checkpoint makes its own the latest and replaces the others."""
    points = Checkpoints(run)
    points.save(150, state(7))
    assert points.numbers() == [100, 150, 200]
    assert points.load()[0] == 150
    points.save(200, state(9))
    assert points.load()[1].facts == {"number": 9}
    assert points.leftovers() == []


@pytest.mark.parametrize("content", [None, b"", b"999", b"\xff\xfe", b"-1", b"../100", b"9" * 100])
def test_latest_without_its_pointer(run: Path, content: bytes | None) -> None:
    """The one with most steps; a best that is unknown is an error, and then nothing is removed."""
    for name in ("latest", "best"):
        (run / name).unlink() if content is None else (run / name).write_bytes(content)
    points = Checkpoints(run)
    assert points.load()[0] == 200
    with pytest.raises(FileError, match="best"):
        points.load("best")
    for number in (300, 400):
        points.save(number, state(number))
    assert (100 in points.numbers()) == (content is not None and content != b"999")


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (State({"g": {"w": torch.tensor([1.0, torch.nan])}}), DomainError, "g w: got NaN or infinity"),
        (State({"g": {"w": torch.tensor(-torch.inf)}}), DomainError, "g w: got NaN or infinity"),
        (State({"g": {"w": torch.eye(2).to_sparse()}}), DTypeError, "g w: got torch.sparse_coo"),
        (State({"g": {"w": torch.ones(2, dtype=torch.complex128)}}), DTypeError, "g w: .*complex128"),
        (State({"g": {"w": [1.0]}}), DTypeError, "g w: got list"),  # type: ignore[dict-item]
        (State({"../g": {}}), DomainError, "group"),
        (State({"": {}}), DomainError, "group"),
        (State({"a/b": {}}), DomainError, "group"),
        (State({"g": {}, "G": {}}), DomainError, "differ in more than case"),
        (State({}, {"loss": float("nan")}), DTypeError, "facts"),
        (State({}, {"loss": torch.ones(1)}), DTypeError, "facts"),
    ],
)
def test_states_that_cannot_be_saved(run: Path, bad: State, error: type[LabError], message: str) -> None:
    with pytest.raises(error, match=message):
        Checkpoints(run).save(300, bad)
    assert (Checkpoints(run).numbers(), Checkpoints(run).leftovers()) == ([100, 200], [])


@pytest.mark.parametrize("number", [-1, 1.0, True, "5", 10**12])
def test_numbers_that_cannot_be_saved(run: Path, number: Any) -> None:
    with pytest.raises(DomainError, match="number"):
        Checkpoints(run).save(number, state(1))


def test_what_could_not_be_loaded_is_not_saved(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_format, "MAX_TOTAL", 100)
    with pytest.raises(DomainError, match="at most 100 bytes"):
        Checkpoints(run).save(300, state(1))
    with pytest.raises(FileError, match="at most 100 in all files"):
        Checkpoints(run).load(200)


def test_safetensors_is_missing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(BackendError, match=r"pip install .labkit\[train\]"):
        Checkpoints(run).save(300, state(1))
    with pytest.raises(BackendError, match=r"pip install .labkit\[train\]"):
        Checkpoints(run).load()


def test_no_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing.checkpoints.000001: got No such file"):
        Checkpoints(tmp_path / "missing").save(1, state(1))
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(FileError, match=r"000001"):
        Checkpoints(tmp_path).save(1, state(1))


def test_odd_names(tmp_path: Path) -> None:
    """Spaces, other alphabets, long paths; what is no checkpoint is not counted."""
    run = tmp_path / "läufe vom 1. 日" / ("x" * 200)
    run.mkdir(parents=True)
    Checkpoints(run).save(1_234_567, state(1))
    for name in ("12", "0000012", "000009.old", "۰۰۰۰۰۵", "notes"):
        (run / "checkpoints" / name).mkdir()
    (run / "checkpoints" / "000007").write_text("a file")
    assert Checkpoints(run).numbers() == [1_234_567]
    assert Checkpoints(run).load()[0] == 1_234_567


def test_leftovers_are_named_and_removed(run: Path) -> None:
    """And nothing else is: other files of the run are not of this module's making."""
    aside, pointer, other = run / "checkpoints" / ".aside-000300", run / ".writing-ab12cd_x", run / ".writing-a.json"
    aside.mkdir()
    for path in (aside / "facts.json", pointer, other):
        path.write_bytes(b"half")
    points = Checkpoints(run)
    assert points.leftovers() == [pointer, aside]
    assert points.load()[0] == 200
    points.save(300, state(3))
    assert points.leftovers() == []
    assert other.exists()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tests/train/saving_process.py tells; its own assertions fail here too."""
    program, folder = ROOT / "tests" / "train" / "saving_process.py", tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, program, folder], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kill_9_at_random_moments(report: dict[str, Any]) -> None:
    """Nothing is ever lost, though many kills came in the middle of a save."""
    assert report["random"]["rounds"] >= 25
    assert report["random"]["interrupted"] >= 5


@pytest.mark.parametrize("which", ["new", "again"])
def test_killed_at_each_call(report: dict[str, Any], which: str) -> None:
    """Of a new number, and of one that is there already."""
    assert report[which]["calls"] > 20
    assert report[which]["interrupted"] > 10


def test_no_room_on_the_disk(report: dict[str, Any]) -> None:
    assert "000002: got File too large" in report["room"]["error"]
    assert (report["room"]["left"], report["room"]["latest"]) == ("000001 checkpoints latest", "1")
