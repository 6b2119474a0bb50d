"""Commands to a run: in order, whole, once, and never to something that is no run."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from train.run_tools import full_disk, read_only, readable_folder

from labkit.errors import BackendError, DomainError, DTypeError, FileError
from labkit.train import run_folder
from labkit.train.commands import COMMANDS, Command, send, take
from labkit.train.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A new run."""
    return RunFolder.create(tmp_path / "läuft 1", "udr", {})


def files(folder: RunFolder) -> list[str]:
    """The commands that wait."""
    return sorted(path.name for path in (folder.path / "commands").glob("*.json"))


def test_each_command_once_and_in_order(folder: RunFolder) -> None:
    """What was sent is taken in the same order with its arguments, and then it is gone."""
    sent = [send(folder, name) for name in COMMANDS] + [send(str(folder.path), "preview", size=[64, 64], name="größe")]
    assert sent[-1] == Command("preview", {"size": [64, 64], "name": "größe"})
    assert take(folder) == sent
    assert take(folder) == []
    sent = [send(folder, "pause")]
    assert take(folder) == sent


def test_numbers_decide_the_order(folder: RunFolder) -> None:
    """The next number follows the largest, also beyond eight digits, where the order of names is another."""
    (folder.path / "commands" / "99999998.json").write_text('{"command": "pause", "arguments": {}}')
    for name in ("resume", "save", "stop"):
        send(folder, name)
    assert "100000001.json" in files(folder)
    assert [command.name for command in take(folder)] == ["pause", "resume", "save", "stop"]


def test_many_senders_and_a_taker(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of four senders at one moment, taken meanwhile: each comes once, each sender's in its order."""
    monkeypatch.setattr(run_folder, "PATIENCE", 60.0)  # the lock is not fair, and this machine may be busy
    taken: list[Command] = []

    def work(sender: int) -> None:
        for count in range(25):
            send(folder, "preview", sender=sender, count=count)

    threads = [threading.Thread(target=work, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += take(folder)
    taken += take(folder)
    for sender in range(4):
        assert [c.arguments["count"] for c in taken if c.arguments["sender"] == sender] == list(range(25))
    assert len(taken) == 100


def test_refused(folder: RunFolder, tmp_path: Path) -> None:
    """An unknown command, arguments that JSON cannot say, and a folder that is no run leave nothing."""
    with pytest.raises(DomainError, match="'quit', expected one of pause, resume"):
        send(folder, "quit")
    with pytest.raises(DTypeError):
        send(folder, "save", path=object())
    with pytest.raises(DomainError):
        send(folder, "save", rate=float("inf"))
    assert files(folder) == []
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileError, match=r"config\.json"):
            send(place, "stop")
    with pytest.raises(FileError, match="commands"):
        take(tmp_path)
    assert not (tmp_path / "commands").exists()


def test_half_written_commands_are_not_seen(folder: RunFolder) -> None:
    """A file that is still being written has another name; one that finds no room on the disk leaves none."""
    waiting = folder.path / "commands" / ".writing-x.json"
    waiting.write_text('{"command": "st')
    with full_disk(10), pytest.raises(FileError, match="too large"):
        send(folder, "stop")
    assert take(folder) == []
    assert waiting.exists()
    assert files(folder) == [waiting.name]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"command": "quit", "arguments": {}}', '{"command": "stop"}', "{}"])
def test_broken_commands_are_passed_over(folder: RunFolder, text: str) -> None:
    """A file that is no command is removed with a warning; the others count."""
    send(folder, "pause")
    (folder.path / "commands" / "00000002.json").write_text(text)
    send(folder, "stop")
    with pytest.warns(UserWarning, match=r"00000002\.json.*passed over|passed over.*00000002\.json"):
        assert [command.name for command in take(folder)] == ["pause", "stop"]
    assert files(folder) == []


def test_read_only() -> None:
    """On a read-only disk nothing is sent, and what cannot be removed is not taken again and again."""
    with readable_folder() as place:
        folder = RunFolder.create(place / "run", "udr", {})
        send(folder, "pause")
        with read_only(place):
            with pytest.raises(FileError, match="denied"):
                send(folder, "stop")
            with pytest.raises(FileError, match="denied"):
                take(folder)
        assert take(folder) == [Command("pause")]


def test_filelock_is_missing(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package nothing is sent, and the cure is named."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(BackendError, match=r"labkit\[train\]"):
        send(folder, "stop")
