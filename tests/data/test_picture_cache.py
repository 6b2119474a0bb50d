"""Pictures on disk: made once, never half, and made again when they are spoilt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from labkit.data.image_source import to_bytes
from labkit.data.picture_cache import SHARD, cached_pictures
from labkit.errors import DomainError, FileError, ShapeError

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
    (shards(tmp_path)[0].parent / ".writing-left.npy").write_bytes(b"half a file")
    found, made = cached(tmp_path)
    assert made == [SHARD, 2 * SHARD]
    assert torch.equal(found, EXPECTED)
    assert not list(tmp_path.glob("*/.writing-*"))


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cached_pictures(tmp_path, {}, SHAPE, grey_of, lambda ready, count: told.append((ready, count)))
    assert told == [(SHARD, COUNT), (2 * SHARD, COUNT), (COUNT, COUNT)]


TWO = """
import sys, time
from pathlib import Path
import torch
from labkit.data.picture_cache import SHARD, cached_pictures
calls = 0
def make(numbers):
    global calls
    calls += 1
    time.sleep(0.05)
    return (numbers % 256).float()[:, None, None, None].expand(-1, 1, 2, 3) / 255
print("ready", flush=True)
sys.stdin.readline()
found = cached_pictures(sys.argv[1], {}, (8 * SHARD, 1, 2, 3), make)
print(calls, int(found.long().sum()))
"""


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO, str(tmp_path)]
    pair = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]
    for process in pair:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("go\n", timeout=60)[0].split() for process in pair]
    assert sum(int(calls) for calls, _ in answers) == 8  # no shard twice
    expected = str(6 * sum(n % 256 for n in range(8 * SHARD)))
    assert [total for _, total in answers] == [expected, expected]


def test_errors_are_told(tmp_path: Path) -> None:
    def fails(numbers: Tensor) -> Tensor:
        raise DomainError("number", 1, "another")

    with pytest.raises(DomainError, match="number"):
        cached_pictures(tmp_path, {}, SHAPE, fails)
    with pytest.raises(ShapeError, match="pictures"):
        cached_pictures(tmp_path, {}, (COUNT, 2, 2, 3), grey_of)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileError):
        cached_pictures(tmp_path / "file", {}, SHAPE, grey_of)
