"""The folder of one run: what was asked for, and the lock of the process that works on it."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from labkit.errors import BackendError, DomainError, DTypeError, FileError, LabError
from labkit.files import read_bytes, write_bytes

VERSION = 1  # of config.json
CONFIG, OWNER, LOCK = "config.json", "owner.json", "lock"
FOLDERS = ("checkpoints", "commands", "previews")
PATIENCE = 2.0  # seconds a starting process waits for the lock: a look at it takes microseconds
LOOKS = 4  # attempts of a look, so that two looks at one moment do not take each other for a run
PAUSE = 0.001  # seconds between them
MAX_JSON = 1 << 24  # bytes


class HeldError(LabError, RuntimeError):
    """Another process, or another run in this one, works in the folder."""


@dataclass(frozen=True)
class RunFolder(os.PathLike[str]):
    """A run on disk; made by `create` or `open`. It can be given wherever a path can.

    Attributes:
        path: absolute.
        recipe: its name, such as "udr".
        config: what the run was asked to do, as JSON data.
    """

    path: Path
    recipe: str
    config: dict[str, Any]

    def __fspath__(self) -> str:
        return str(self.path)

    @classmethod
    def create(cls, path: str | os.PathLike[str], recipe: str, config: Mapping[str, Any]) -> RunFolder:
        """Make the folder, its parents too. Of two processes that make the same one, one succeeds.

        Raises:
            FileError: the folder holds something already, or cannot be written.
            DomainError, DTypeError: the recipe's name is no file name, or the config is no JSON data.
        """
        _check_name(recipe)
        target = Path(path).absolute()
        data = to_json({"version": VERSION, "recipe": recipe, "config": dict(config)}, CONFIG)
        try:
            target.mkdir(parents=True, exist_ok=True)
            with held(target / LOCK):
                if found := sorted(set(os.listdir(target)) - {LOCK}):
                    raise FileError(str(target), f"a folder with {found[0]} in it", "a new or an empty folder")
                for name in FOLDERS:
                    (target / name).mkdir()
                write_bytes(target / CONFIG, data)
        except OSError as error:
            raise as_file_error(target, error) from error
        return cls.open(target)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Read the folder of an earlier run, finished or not. Nothing is locked.

        Raises:
            FileError: no such folder, or its config.json is missing, broken or of another version.
        """
        target = Path(path).absolute()
        file = target / CONFIG
        data = read_json(file)
        if data.get("version") != VERSION:
            cure = f"version {VERSION}; open it with the labkit that wrote it"
            raise FileError(str(file), f"version {data.get('version')!r}", cure)
        recipe, config = data.get("recipe"), data.get("config")
        if not isinstance(recipe, str) or not isinstance(config, dict):
            raise FileError(str(file), "no recipe or no config", 'a text "recipe" and an object "config"')
        return cls(target, recipe, config)

    def amended(self, config: Mapping[str, Any]) -> RunFolder:
        """Write another config over the first, such as one with more steps; return the folder with it.

        Raises:
            FileError: it cannot be written.
            DomainError, DTypeError: the config is no JSON data.
        """
        write_json(self.path / CONFIG, {"version": VERSION, "recipe": self.recipe, "config": dict(config)})
        return RunFolder.open(self.path)

    @contextmanager
    def locked(self, device: str = "cpu", world_size: int = 1) -> Iterator[RunFolder]:
        """Hold the run: nobody else can, in this process or another one, until the body ends or the process dies.

        The operating system frees the lock with the process, however that ends. owner.json says who holds it; one that
        is left behind tells who was killed.

        Args:
            device: that the run computes on, for people.
            world_size: number of processes that work together.

        Raises:
            HeldError: somebody else holds it; names the process and its host.
            FileError: the folder cannot be written.
            BackendError: filelock is missing.
        """
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "device": device, "world_size": world_size}
        with held(self.path / LOCK):
            write_json(self.path / OWNER, owner)
            try:
                yield self
            finally:
                with suppress(OSError):  # the lock speaks for itself
                    (self.path / OWNER).unlink()

    @property
    def owner(self) -> dict[str, Any]:
        """What owner.json says of the process that holds the run or held it when it was killed; else empty."""
        return _owner(self.path)

    @property
    def running(self) -> dict[str, Any] | None:
        """The `owner` if a living process holds the run, else None.

        Where this account may not open the lock, owner.json alone is believed.
        """
        filelock = _filelock()
        lock = filelock.FileLock(self.path / LOCK, thread_local=False)
        for look in range(LOOKS):
            time.sleep(PAUSE if look else 0)
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                continue
            except OSError:
                return self.owner or None
            else:
                lock.release()
                return None
        return self.owner or {"pid": None, "host": None, "device": None, "world_size": None}


def new_path(recipe: str, root: str | os.PathLike[str] = "runs") -> Path:
    """Return ``root/recipe-date-time``, with a number behind it if that is there already. Nothing is made.

    Raises:
        DomainError: the recipe's name is no file name.
    """
    first = Path(root) / f"{_check_name(recipe)}-{datetime.now():%Y%m%d-%H%M}"
    path, number = first, 1
    while path.exists():
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    return path


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``.

    Raises:
        HeldError: somebody else does, for longer than PATIENCE; names the owner where owner.json lies beside it.
        FileError: it cannot be written.
        BackendError: filelock is missing.
    """
    filelock = _filelock()
    lock = filelock.FileLock(path, thread_local=False)  # a run may end on another thread than it began on
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=0.02)
    except filelock.Timeout as error:
        owner = _owner(path.parent)
        who = f"process {owner.get('pid')} on {owner.get('host')}" if owner else "another process"
        cure = "a folder that nobody holds: follow or stop that run, or take a new folder"
        raise HeldError(str(path.parent), f"a folder that {who} holds", cure) from error
    except OSError as error:
        raise as_file_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def to_json(data: Mapping[str, Any], name: str) -> bytes:
    """Strict JSON.

    Raises:
        DTypeError, DomainError: not JSON data, or a number that is not finite; ``name`` says where.
    """
    try:
        return json.dumps(data, indent=1, allow_nan=False).encode()
    except TypeError as error:
        raise DTypeError(name, error, "texts, numbers, booleans, None, lists, and dicts of them") from error
    except (ValueError, RecursionError) as error:
        raise DomainError(name, error, "finite numbers, and no loops") from error


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write strict JSON atomically.

    Raises:
        FileError: it cannot be written.
        DTypeError, DomainError: see `to_json`.
    """
    content = to_json(data, path.name)
    try:
        write_bytes(path, content)
    except OSError as error:
        raise as_file_error(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileError: missing, unreadable, larger than MAX_JSON bytes, or not a JSON object.
    """
    data = read_bytes(path, MAX_JSON)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileError(str(path), f"no JSON ({error})", "a JSON object") from error
    if not isinstance(value, dict):
        raise FileError(str(path), type(value).__name__, "a JSON object")
    return value


def as_file_error(path: str | os.PathLike[str], error: OSError) -> LabError:
    """The error itself if it is labkit's, else a `FileError` that says the same of ``path``."""
    if isinstance(error, LabError):
        return error
    return FileError(str(path), error.strerror or type(error).__name__, "a place that can be read and written")


def _check_name(recipe: str) -> str:
    if not re.fullmatch(r"\w[\w-]{0,63}", recipe):
        raise DomainError("recipe", repr(recipe), "up to 64 letters, digits, _ and -")
    return recipe


def _owner(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / OWNER)
    except FileError:
        return {}


def _filelock() -> ModuleType:
    try:
        import filelock
    except ImportError as error:
        raise BackendError("filelock", "no such package", 'it installed: pip install "labkit[train]"') from error
    return filelock
