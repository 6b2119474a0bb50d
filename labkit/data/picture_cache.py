"""Pictures on disk, so that what takes minutes to make is made once: by any of several processes, and never half."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labkit.data.image_source import to_bytes
from labkit.errors import BackendError, FileError, ShapeError
from labkit.files import read_bytes, write_bytes

SHARD = 64  # pictures a file: what is lost when a process is stopped, and what processes take turns at
FORMAT = 1
FACTS = "facts.json"
DIGEST = 32  # hexadecimal digits in a name


def cached_pictures(
    folder: str | Path | None,
    facts: Mapping[str, Any],
    shape: tuple[int, int, int, int],
    make: Callable[[Tensor], Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return N pictures, (N, C, H, W) uint8, from the files of an earlier call or else from ``make``.

    The pictures lie in ``folder/<hash of facts and shape>``, `SHARD` of them a file, as NumPy arrays of bytes that
    nothing but bytes can be in. The name of a file holds the hash of its content and its place: one that is damaged,
    cut short or exchanged is noticed and made again. A file is complete as soon as it has its name, so a process that
    is stopped loses only the shard that it was making. Processes that want the same pictures at the same time take
    turns at making the shards.

    Args:
        folder: of all caches, made if it is missing; None keeps the pictures in memory only.
        facts: everything that makes the pictures what they are, as JSON knows it; readable in ``facts.json``.
        shape: (N, C, H, W).
        make: pictures (B, C, H, W) in [0, 1] of numbers (B,) int64, a pure function.
        progress: called with the number of pictures that are ready and N, from time to time.

    Raises:
        ShapeError: ``make`` returns other pictures than asked for.
        FileError: the folder cannot be read or written.
        BackendError: a folder, and no filelock.
        LabError: whatever ``make`` raises.
    """
    count = shape[0]
    pictures = torch.empty(shape, dtype=torch.uint8)
    home = None if folder is None else _home(Path(folder), {**facts, "shape": shape, "format": FORMAT})
    for first in range(0, count, SHARD):
        target = pictures[first : first + SHARD]
        if home is None:
            target.copy_(_made(make, first, target))
        else:
            target.copy_(_shard(home, make, first, target))
        if progress is not None:
            progress(min(first + SHARD, count), count)
    return pictures


def _shard(home: Path, make: Callable[[Tensor], Tensor], first: int, target: Tensor) -> Tensor:
    found = _stored(home, first, target)
    if found is not None:
        return found
    with _locked(home):
        found = _stored(home, first, target)  # another process may have made it by now
        if found is None:
            found = _made(make, first, target)
            stream = io.BytesIO()
            np.save(stream, found.numpy(), allow_pickle=False)
            with _writing(home):
                for spoilt in (*home.glob(f"{first:09d}-*.npy"), *home.glob(".writing-*.npy")):
                    spoilt.unlink(missing_ok=True)
                write_bytes(home / _name(home, first, stream.getvalue()), stream.getvalue())
    return found


def _stored(home: Path, first: int, target: Tensor) -> Tensor | None:
    """The pictures from ``first`` on if a sound file of theirs is there."""
    for path in home.glob(f"{first:09d}-*.npy"):
        try:
            content = read_bytes(path)
        except FileError:  # empty, or just taken away by a process that makes it again
            continue
        if path.name != _name(home, first, content):
            continue
        try:
            array: NDArray[np.uint8] = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError, OSError):  # the name vouches for something that is no array
            continue
        if array.dtype == np.uint8 and array.shape == tuple(target.shape):
            return torch.from_numpy(array)
    return None


def _made(make: Callable[[Tensor], Tensor], first: int, target: Tensor) -> Tensor:
    made = to_bytes(make(torch.arange(first, first + len(target))))
    if made.shape != target.shape:
        raise ShapeError("pictures", tuple(made.shape), f"{tuple(target.shape)}, those that were asked for")
    return made.contiguous()


def _home(folder: Path, facts: Mapping[str, Any]) -> Path:
    """The folder of these pictures, made if it is missing."""
    text = json.dumps(facts, sort_keys=True, indent=1, allow_nan=False)
    home = folder / _digest(text.encode())
    with _writing(home):
        home.mkdir(parents=True, exist_ok=True)
        if not (home / FACTS).is_file():
            write_bytes(home / FACTS, text.encode())
    return home


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Wait until no other process writes into ``home``; the system lets go of the lock when a process dies."""
    try:
        import filelock
    except ImportError as error:
        raise BackendError("filelock", "no such package", 'it installed: pip install "labkit[train]"') from error
    with _writing(home):
        lock = filelock.FileLock(home.with_suffix(".lock")).acquire(poll_interval=0.05)
    with lock:
        yield


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    """Tell errors of the disk, and no others, as errors of ``home``."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(str(home), error.strerror, "a folder that can be written, with room on its disk") from error


def _name(home: Path, first: int, content: bytes) -> str:
    return f"{first:09d}-{_digest(f'{home.name} {first} '.encode() + content)}.npy"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST]
