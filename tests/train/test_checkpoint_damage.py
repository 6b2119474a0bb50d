"""Damaged, foreign and forged checkpoints: refused by the name of the file at fault; nothing of them is run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from train.saving_process import state

from labkit.errors import FileError
from labkit.train import checkpoint_format
from labkit.train.checkpoint import Checkpoints


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two checkpoints, 100 and 200, the first of them the best."""
    for number in (100, 200):
        Checkpoints(tmp_path).save(number, state(number), best=number == 100)
    return tmp_path


def refused(run: Path, number: int) -> str:
    """The message with which the checkpoint is refused, while the other is still good."""
    with pytest.raises(FileError) as caught:
        Checkpoints(run).load(number)
    assert Checkpoints(run).load(100)[1].facts == {"number": 100}
    return str(caught.value)


def forge(home: Path, name: str, data: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (home / name).write_bytes(data)
    manifest = json.loads((home / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (home / "manifest.json").write_text(json.dumps(manifest))


def tamper(home: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the manifest says."""
    manifest = json.loads((home / "manifest.json").read_text())
    change(manifest)
    (home / "manifest.json").write_text(json.dumps(manifest))


def archive() -> bytes:
    """What torch itself would have written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02.")
    return stream.getvalue()


def linked(path: Path) -> None:
    """The same content, but somewhere else."""
    outside = path.parents[1] / f"outside-{path.name}"
    shutil.move(path, outside)
    path.symlink_to(outside)


def swapped(home: Path, name: str) -> None:
    """The file of this checkpoint and that of the other change places."""
    shutil.copy(home.parent / "000100" / name, home / name)


def huge(home: Path) -> None:
    """A file that is as large as the manifest promises, though not on the disk."""
    os.truncate(home / F, 10**12)
    tamper(home, lambda m: m["files"][F].update(bytes=10**12))


F = "module.f.safetensors"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda h: os.truncate(h / F, 50), f"{F}: got 50 bytes"),
    "longer": (lambda h: (h / F).open("ab").write(b" "), f"{F}: got .* bytes, expected"),
    "swapped": (lambda h: swapped(h, F), f"{F}: got another sha256"),
    "swapped facts": (lambda h: swapped(h, "facts.json"), r"facts\.json: got another sha256"),
    "swapped manifest": (lambda h: swapped(h, "manifest.json"), r"manifest\.json: got the manifest of checkpoint 100"),
    "renamed": (lambda h: (h / F).rename(h / "g.safetensors"), r"g\.safetensors: got a file"),
    "missing": (lambda h: (h / F).unlink(), f"{F}: got no file"),
    "no facts": (lambda h: (h / "facts.json").unlink(), r"facts\.json: got no file"),
    "no manifest": (lambda h: (h / "manifest.json").unlink(), r"manifest\.json: got No such file"),
    "extra": (lambda h: (h / "x.pt").write_bytes(b"x"), r"x\.pt: got a file"),
    "empty manifest": (lambda h: (h / "manifest.json").write_bytes(b""), r"manifest\.json: got an empty file"),
    "no JSON": (lambda h: (h / "manifest.json").write_bytes(b"\x80\x02."), r"manifest\.json.*expected JSON"),
    "deep JSON": (lambda h: (h / "manifest.json").write_bytes(b"[" * 10**6), r"manifest\.json.*expected JSON"),
    "a list": (lambda h: (h / "manifest.json").write_text("[1]"), r"manifest\.json: got version None"),
    "version": (lambda h: tamper(h, lambda m: m.update(version=2)), r"got version 2, expected version 1"),
    "promise": (lambda h: tamper(h, lambda m: m["files"][F].update(bytes=10**12)), r"promise of 1000000000\d+ bytes"),
    "huge": (huge, "promise of 1000000000.* bytes"),
    "less than nothing": (
        lambda h: tamper(h, lambda m: m["files"][F].update(bytes=-1)),
        r"manifest\.json: got a promise",
    ),
    "words for bytes": (lambda h: tamper(h, lambda m: m["files"][F].update(bytes="2")), 'safetensors.bytes: got "2"'),
    "unknown": (lambda h: tamper(h, lambda m: m.update(run="x.py")), r"manifest\.run: got an unknown name"),
    "shape": (
        lambda h: tamper(h, lambda m: m["tensors"]["module.f"]["w"].update(shape=[3, 2])),
        f"{F}: got other names",
    ),
    "climbing": (lambda h: tamper(h, lambda m: m["tensors"].update({"../../x": {}})), "x.safetensors: got no file"),
    "pickle": (lambda h: forge(h, F, b"\x80\x04cos\nsystem\n."), f"{F}: got a pickle or an archive"),
    "archive": (lambda h: forge(h, F, archive()), f"{F}: got a pickle or an archive"),
    "no safetensors": (lambda h: forge(h, F, b"cos\nsystem\n(S'x'\ntR."), f"{F}: .*expected safetensors"),
    "huge header": (lambda h: forge(h, F, (10**12).to_bytes(8, "little") + b"{}"), f"{F}: .*expected safetensors"),
    "NaN": (
        lambda h: forge(h, F, safetensors.torch.save({"w": torch.full((8,), torch.nan), "b": torch.ones(3)})),
        f"{F}: w: got NaN or infinity",
    ),
    "facts": (lambda h: forge(h, "facts.json", b"3"), r"facts\.json: got int"),
    "link": (lambda h: linked(h / F), f"{F}: got a path outside its folder"),
    "linked manifest": (lambda h: linked(h / "manifest.json"), r"manifest\.json: got a path outside"),
    "linked folder": (linked, "000200: got a path outside its folder"),
    "pipe": (lambda h: ((h / F).unlink(), os.mkfifo(h / F)), f"{F}: got something else"),
    "folder": (lambda h: ((h / F).unlink(), (h / F).mkdir()), f"{F}: got something else"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused(run: Path, case: str) -> None:
    """By the name of the file and with the older checkpoint that is good; the next save of that number mends it."""
    harm, message = DAMAGE[case]
    harm(run / "checkpoints" / "000200")
    told = refused(run, 200)
    assert re.search(message, told), told
    assert told.endswith("; the next older checkpoint, 100, is good")
    Checkpoints(run).save(200, state(5))
    assert Checkpoints(run).load()[1].facts == {"number": 5}


def test_all_are_damaged(run: Path) -> None:
    for number in ("000100", "000200"):
        (run / "checkpoints" / number / F).write_bytes(b"x")
    with pytest.raises(FileError, match="no older checkpoint is good"):
        Checkpoints(run).load()


def test_renamed_checkpoint(run: Path) -> None:
    """A folder under another number is not that checkpoint."""
    (run / "checkpoints" / "000200").rename(run / "checkpoints" / "000300")
    assert "manifest of checkpoint 200, expected that of 300" in refused(run, 300)


def test_any_flipped_bit_is_found(run: Path) -> None:
    """One bit of every byte of every file."""
    chance = random.Random(3)
    for path in sorted((run / "checkpoints" / "000200").iterdir()):
        good = path.read_bytes()
        for place in range(len(good)):
            bad = bytearray(good)
            bad[place] ^= 1 << chance.randrange(8)
            path.write_bytes(bad)
            with pytest.raises(FileError):
                checkpoint_format.read(run / "checkpoints", "000200")
        path.write_bytes(good)
    assert Checkpoints(run).load()[0] == 200
