"""Pictures on disk: made once, never half, and made again when they are spoilt."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from labkit.data import picture_cache
from labkit.data.image_source import to_bytes
from labkit.data.picture_cache import SHARD, cached_pictures
from labkit.errors import DomainError, FileError, ShapeError
from labkit.files import write_bytes

ROOT = Path(__file__).resolve().parents[2]
COUNT = 2 * SHARD + 5
SHAPE = (COUNT, 1, 2, 3)


def grey_of(numbers: Tensor) -> Tensor:
    """Pictures (B, 1, 2, 3) that differ in every number."""
    return torch.stack([numbers % 256, numbers // 256, numbers * 7 % 256] * 2, -1).view(-1, 1, 2, 3) / 255


EXPECTED = to_bytes(grey_of(torch.arange(COUNT)))


class Counter:
    """`grey_of` that remembers the first number of each call."""

    def __init__(self) -> None:
        self.firsts: list[int] = []

    def __call__(self, numbers: Tensor) -> Tensor:
        self.firsts.append(int(numbers[0]))
        return grey_of(numbers)


def cached(folder: Path | None, facts: dict[str, Any] | None = None) -> tuple[Tensor, list[int]]:
    """The pictures, and the shards that had to be made."""
    counter = Counter()
    return cached_pictures(folder, facts or {"kind": "test"}, SHAPE, counter), counter.firsts


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.npy"))


def test_memory_and_disk_give_the_same_pictures(tmp_path: Path) -> None:
    for folder in (None, tmp_path, tmp_path):
        assert torch.equal(cached(folder)[0], EXPECTED)
    assert len(shards(tmp_path)) == 3


def test_pictures_are_made_once(tmp_path: Path) -> None:
    assert cached(tmp_path)[1] == [0, SHARD, 2 * SHARD]
    assert cached(tmp_path)[1] == []


def test_other_facts_are_other_pictures(tmp_path: Path) -> None:
    cached(tmp_path)
    assert cached(tmp_path, {"kind": "other"})[1] == [0, SHARD, 2 * SHARD]
    counter = Counter()
    cached_pictures(tmp_path, {"kind": "test"}, (COUNT - 1, 1, 2, 3), counter)
    assert counter.firsts == [0, SHARD, 2 * SHARD]
    kinds = {json.loads(path.read_text())["kind"] for path in tmp_path.glob("*/facts.json")}
    assert kinds == {"test", "other"}


@pytest.mark.parametrize("harm", ["cut", "empty", "bit", "gone", "object", "exchanged"])
def test_spoilt_files_are_made_again(tmp_path: Path, harm: str) -> None:
    cached(tmp_path)
    second = shards(tmp_path)[1]
    content = second.read_bytes()
    if harm == "cut":
        second.write_bytes(content[:-1])
    elif harm == "empty":
        second.write_bytes(b"")
    elif harm == "bit":
        second.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif harm == "gone":
        second.unlink()
    elif harm == "object":
        np.save(second, np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    else:  # the first, a sound file of the same shape, under the second's number
        first = shards(tmp_path)[0]
        second.unlink()
        second.with_name(second.name[:10] + first.name[10:]).write_bytes(first.read_bytes())
    found, made = cached(tmp_path)
    assert torch.equal(found, EXPECTED)
    assert made == [SHARD]
    assert len(shards(tmp_path)) == 3
    assert cached(tmp_path)[1] == []


def test_what_a_stopped_process_had_finished_stays(tmp_path: Path) -> None:
    def stops(numbers: Tensor) -> Tensor:
        if int(numbers[0]) == SHARD:
            raise KeyboardInterrupt
        return grey_of(numbers)

    with pytest.raises(KeyboardInterrupt):
        cached_pictures(tmp_path, {"kind": "test"}, SHAPE, stops)
    home = shards(tmp_path)[0].parent
    (home / ".writing-left.npy").write_bytes(b"half a file")
    (home / ".writing-other.json").write_bytes(b"facts that another process is about to put in their place")
    found, made = cached(tmp_path)
    assert made == [SHARD, 2 * SHARD]
    assert torch.equal(found, EXPECTED)
    assert [path.name for path in home.glob(".writing-*")] == [".writing-other.json"]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cached_pictures(tmp_path, {}, SHAPE, grey_of, lambda ready, count: told.append((ready, count)))
    assert told == [(SHARD, COUNT), (2 * SHARD, COUNT), (COUNT, COUNT)]


OTHER = """
import sys
from tests.data.test_picture_cache import share
print("ready", flush=True)
sys.stdin.readline()
print(*share(sys.argv[1]))
"""


def share(folder: str | Path) -> tuple[int, int]:
    """How many of eight shards this process makes, slowly, and the sum of all pictures."""
    calls = []

    def make(numbers: Tensor) -> Tensor:
        calls.append(int(numbers[0]))
        time.sleep(0.05)
        return (numbers % 256).float()[:, None, None, None].expand(-1, 1, 2, 3) / 255

    found = cached_pictures(folder, {}, (8 * SHARD, 1, 2, 3), make)
    return len(calls), int(found.long().sum())


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=ROOT) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        mine = share(tmp_path)
        theirs = tuple(map(int, other.communicate(timeout=60)[0].split()))
    assert mine[0] + theirs[0] == 8  # no shard twice
    assert mine[1] == theirs[1] == 6 * sum(n % 256 for n in range(8 * SHARD))


def test_errors_are_told(tmp_path: Path) -> None:
    def fails(numbers: Tensor) -> Tensor:
        raise DomainError("number", 1, "another")

    with pytest.raises(DomainError, match="number"):
        cached_pictures(tmp_path, {}, SHAPE, fails)
    with pytest.raises(ShapeError, match="pictures"):
        cached_pictures(tmp_path, {}, (COUNT, 2, 2, 3), grey_of)

    def breaks(numbers: Tensor) -> Tensor:
        raise OSError(errno.EPIPE, "a renderer's pipe")

    with pytest.raises(BrokenPipeError, match="renderer"):
        cached_pictures(tmp_path, {}, SHAPE, breaks)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileError):
        cached_pictures(tmp_path / "file", {}, SHAPE, grey_of)


@pytest.mark.parametrize("part", ["facts", "pictures"])
def test_a_full_disk_is_told_and_leaves_nothing_half(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        if (path.suffix == ".json") == (part == "facts"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(picture_cache, "write_bytes", full)
        with pytest.raises(FileError, match="No space left"):
            cached(tmp_path)
    assert shards(tmp_path) == []
    assert torch.equal(cached(tmp_path)[0], EXPECTED)
