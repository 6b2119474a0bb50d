"""Run folders: what is written, what is refused, and who holds one."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from train.run_tools import Nursery, full_disk, read_only, readable_folder

from labkit.errors import BackendError, DomainError, DTypeError, FileError, LabError
from labkit.train import run_folder
from labkit.train.run_folder import HeldError, RunFolder, new_path

CONFIG = {"steps": 2000, "rate": 1e-4, "name": "Größe", "size": [64, 64], "net": {"width": 256}, "seed": None}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A new run in a folder with a name that shell scripts fear."""
    return RunFolder.create(tmp_path / "läuft 1" / "the run", "udr", CONFIG)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    """Processes to kill."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who starts does not wait long for the lock."""
    monkeypatch.setattr(run_folder, "PATIENCE", 0.1)


def test_create_and_open(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run can be opened by any path to it, and stays the same after the working folder has changed."""
    assert RunFolder.open(folder) == folder
    assert (folder.recipe, folder.config) == ("udr", CONFIG)
    assert sorted(os.listdir(folder)) == ["checkpoints", "commands", "config.json", "lock", "previews"]
    assert json.loads((folder.path / "config.json").read_text("utf-8"))["version"] == 1
    monkeypatch.chdir(folder.path.parent)
    relative = RunFolder.open("the run")
    monkeypatch.chdir(tmp_path)
    assert relative == folder
    assert relative.running is None


def test_create_takes_an_empty_folder_only(tmp_path: Path) -> None:
    """Nothing that lies somewhere is ever overwritten."""
    RunFolder.create(tmp_path / "a", "udr", {})
    (tmp_path / "b").mkdir()
    RunFolder.create(tmp_path / "b", "udr", {})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").write_text("x")
    (tmp_path / "d").write_text("x")
    for name in "abcd":
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(FileError):
            RunFolder.create(tmp_path / name, "udr", {"other": 1})
        assert sorted(path for path in tmp_path.rglob("*") if path.name != "lock") == [
            path for path in before if path.name != "lock"
        ]
    assert RunFolder.open(tmp_path / "a").config == {}


def test_one_of_many_creates(tmp_path: Path) -> None:
    """Of eight that make one folder at one moment, one succeeds, and its config is there."""
    made: list[int] = []
    refused: list[LabError] = []

    def make(number: int) -> None:
        try:
            made.append(RunFolder.create(tmp_path / "run", "udr", {"number": number}).config["number"])
        except LabError as error:
            refused.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(refused) == 7
    assert RunFolder.open(tmp_path / "run").config == {"number": made[0]}


def test_amended(folder: RunFolder) -> None:
    """Another config takes the place of the first; one that JSON cannot say, or that finds no room, does not."""
    assert folder.amended({"steps": 3000}) == RunFolder.open(folder)
    with pytest.raises(DTypeError, match="config"):
        folder.amended({"steps": object()})
    with full_disk(20), pytest.raises(FileError, match="too large"):
        folder.amended({"steps": 4000})
    assert (RunFolder.open(folder).recipe, RunFolder.open(folder).config) == ("udr", {"steps": 3000})


@pytest.mark.parametrize("recipe", ["", "../udr", "a/b", "a b", "-x", "x" * 65, "udr\n"])
def test_recipe_is_a_file_name(tmp_path: Path, recipe: str) -> None:
    """A recipe's name cannot lead anywhere."""
    with pytest.raises(DomainError, match="recipe"):
        RunFolder.create(tmp_path / "run", recipe, {})
    with pytest.raises(DomainError, match="recipe"):
        new_path(recipe)
    assert not (tmp_path / "run").exists()


def test_config_is_json(tmp_path: Path) -> None:
    """What JSON cannot say is refused before anything is made."""
    with pytest.raises(DTypeError, match="config"):
        RunFolder.create(tmp_path / "run", "udr", {"device": object()})
    with pytest.raises(DomainError, match="config"):
        RunFolder.create(tmp_path / "run", "udr", {"rate": float("nan")})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "empty"),
        ('{"version": 1, "rec', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "list"),
        ('{"version": 2, "recipe": "udr", "config": {}}', "version 2.*expected version 1"),
        ('{"recipe": "udr", "config": {}}', "version None"),
        ('{"version": 1, "config": {}}', "no recipe"),
        ('{"version": 1, "recipe": "udr", "config": []}', "no config"),
    ],
)
def test_open_refuses(folder: RunFolder, text: str | None, said: str) -> None:
    """A folder that is no run, or one of another version, is refused with its reason."""
    file = folder.path / "config.json"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(FileError, match=said):
        RunFolder.open(folder)


def test_full_disk_makes_no_run(tmp_path: Path) -> None:
    """Where config.json finds no room no run is left behind."""
    with full_disk(20), pytest.raises(FileError, match="too large"):
        RunFolder.create(tmp_path / "run", "udr", CONFIG)
    assert not (tmp_path / "run" / "config.json").exists()


def test_read_only() -> None:
    """A run on a read-only disk can be looked at, and neither made nor held."""
    with readable_folder() as place:
        folder = RunFolder.create(place / "run", "udr", CONFIG)
        with read_only(place):
            assert RunFolder.open(folder).config == CONFIG
            assert folder.running is None
            with pytest.raises(FileError, match="denied"):
                RunFolder.create(place / "other", "udr", {})
            with pytest.raises(FileError, match="denied"), folder.locked():
                pytest.fail("held")


@pytest.mark.usefixtures("impatient")
def test_held_once(folder: RunFolder) -> None:
    """A second run in the same process, on any thread, is told who holds the folder."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "device": "cuda:0", "world_size": 2}
    again = RunFolder.open(folder)
    said: list[str] = []

    def other() -> None:
        try:
            with again.locked():
                said.append("held")
        except HeldError as error:
            said.append(str(error))

    with folder.locked("cuda:0", 2):
        assert folder.running == again.running == owner
        with pytest.raises(HeldError, match=f"process {os.getpid()} on {re.escape(socket.gethostname())}"):
            again.locked().__enter__()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert folder.running == owner
    assert "process" in said[0]
    assert folder.running is None
    assert folder.owner == {}
    other()
    assert said[1] == "held"


def test_freed_after_an_error_and_on_another_thread(folder: RunFolder) -> None:
    """However the body ends, and wherever, the folder is free."""
    with pytest.raises(ZeroDivisionError), folder.locked():
        print(1 // 0)
    assert folder.running is None
    holding = folder.locked()
    holding.__enter__()
    thread = threading.Thread(target=holding.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert folder.running is None


def test_owner_without_room(folder: RunFolder) -> None:
    """A full disk at the start ends the start, and the folder is free again."""
    with full_disk(0), pytest.raises(FileError, match="too large"), folder.locked():
        pytest.fail("held")
    assert folder.running is None


def test_killed_process_lets_go(folder: RunFolder, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process is named while it lives; after kill -9 the folder is free, and owner.json tells who it was."""
    child = nursery.start(folder.path)
    while folder.running is None:
        time.sleep(0.01)
    monkeypatch.setattr(run_folder, "PATIENCE", 0.1)
    with pytest.raises(HeldError, match=f"process {child} on"):
        folder.locked().__enter__()
    nursery.kill()
    assert folder.running is None
    assert folder.owner["pid"] == child
    with folder.locked():
        assert folder.owner["pid"] == os.getpid()


def test_looks_do_not_disturb_a_start(folder: RunFolder) -> None:
    """However many look, whoever starts gets the folder."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            folder.running  # noqa: B018  a look is what disturbs

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            with folder.locked():
                assert folder.running == folder.owner != {}
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_filelock_is_missing(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package nothing is held, and the cure is named."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(BackendError, match=r"labkit\[train\]"), folder.locked():
        pytest.fail("held")


def test_new_path(tmp_path: Path) -> None:
    """A path says recipe, date and time, and is never one that exists."""
    paths = [new_path("udr", tmp_path) for _ in range(2)]
    assert re.fullmatch(r"udr-\d{8}-\d{4}", paths[0].name)
    assert not paths[0].exists()
    for _ in range(3):
        path = new_path("udr", tmp_path)
        assert path not in paths[2:]
        paths.append(RunFolder.create(path, "udr", {}).path)
    assert re.fullmatch(r"udr-\d{8}-\d{4}-\d", paths[-1].name) or paths[-1].name > paths[-2].name
