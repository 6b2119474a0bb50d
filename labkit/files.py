"""Files that are never lost: atomic writes, size caps, and paths that stay inside their folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.errors import FileError

MAX_BYTES = 1 << 30  # one gibibyte: no mesh or texture that the lab can show is larger


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and renamed over ``path``.

    If the body raises or the process is killed, the old file stands untouched. The temporary name keeps the suffix,
    since writers choose the format by it.

    Raises:
        FileError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileError(str(path), "a missing folder", "an existing folder to write into")
    try:
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise FileError(str(path), error.strerror, "a folder that can be written") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically (see `replacing`)."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read_bytes(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of ``path``, at most ``limit`` bytes of it being acceptable.

    One byte past the limit is read instead of trusting the declared size.

    Raises:
        FileError: missing, a folder, unreadable, empty, or larger than ``limit``.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise FileError(str(path), error.strerror or type(error).__name__, "a readable file") from error
    if not data:
        raise FileError(str(path), "an empty file", "at least one byte")
    if len(data) > limit:
        raise FileError(str(path), f"more than {limit} bytes", f"at most {limit} bytes")
    return data


def inside(folder: str | Path, name: str) -> Path:
    """Return ``folder / name`` resolved, if it stays inside ``folder``.

    Raises:
        FileError: absolute paths, ``..``, links or URLs that lead out of the folder.
    """
    root = Path(folder).resolve()
    target = (root / name.replace("\\", "/")).resolve()
    if "://" in name or not target.is_relative_to(root):
        raise FileError(name, "a path outside its folder", f"a file inside {root}")
    return target
