"""Checkpoints that are complete or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from labkit.errors import DomainError, FileError, LabError, check_positive
from labkit.files import read_bytes, write_bytes
from labkit.train.checkpoint_format import MANIFEST, State, read, written

ASIDE = ".aside-"  # begins the name of a folder that is being written or removed
HIGHEST = 10**12


class Checkpoints:
    """The checkpoints of a run, such as ``checkpoints/000500/``, and the files ``latest`` and ``best``, a number each.

    Only the process that holds the run may save.

    Args:
        run: its folder.
        keep: how many of the newest stay, at least 1; the best stays too.
    """

    def __init__(self, run: str | Path, keep: int = 2) -> None:
        check_positive("keep", keep)
        self.run, self.folder, self.keep = Path(run), Path(run) / "checkpoints", keep

    def numbers(self) -> list[int]:
        """The steps of all complete checkpoints, ascending. What is in them, `load` checks."""
        names = [path.name for path in self.folder.iterdir() if path.is_dir()] if self.folder.is_dir() else []
        return sorted(int(name) for name in names if re.fullmatch(r"[0-9]{6,12}", name) and name == _name(int(name)))

    def leftovers(self) -> list[Path]:
        """What interrupted saves left behind. It is never read, and the next `save` removes it."""
        pointers = self.run.glob(".writing-????????")  # of `labkit.files.replacing`, for a file without a suffix
        return sorted([*self.folder.glob(f"{ASIDE}*"), *pointers])

    def save(self, number: int, state: State, best: bool = False) -> Path:
        """Write a checkpoint, make it the latest, and remove those that need not stay.

        It is written aside, flushed to the disk and renamed; the pointers follow, ``latest`` as the last.

        Args:
            number: steps done, at least 0. Another checkpoint of the same number is replaced; the same one stays.
            state: on any devices.
            best: whether it is the best so far.

        Returns:
            Its folder.

        Raises:
            FileError: it cannot be written, as when the disk is full. The others stand; nothing of it is left.
            DomainError, DTypeError, BackendError: see `labkit.train.checkpoint_format.written`.
        """
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < HIGHEST:
            raise DomainError("number", repr(number), f"a whole number of steps from 0 to {HIGHEST - 1}")
        contents = written(number, state)
        target, aside = self.folder / _name(number), self.folder / f"{ASIDE}{_name(number)}"
        try:
            for path in self.leftovers():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.folder.mkdir(exist_ok=True)
            if not self._holds(number, contents[MANIFEST]):
                try:
                    aside.mkdir()
                    for name, data in contents.items():
                        _write(aside / name, data)
                    _flush(aside)
                    self._remove(number)
                    aside.rename(target)
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
                _flush(self.folder)
            for pointer in ("best", "latest") if best else ("latest",):
                write_bytes(self.run / pointer, f"{number}\n".encode())
            _flush(self.run)
            self._thin(number)
        except FileError:
            raise
        except OSError as error:
            raise FileError(str(target), error.strerror or repr(error), "a folder with room to write into") from error
        return target

    def load(self, number: int | str | None = None) -> tuple[int, State]:
        """Read a checkpoint and check all of it.

        Args:
            number: steps done, "best", or "latest", which None means too. Where the file ``latest`` is missing, or
                names a checkpoint that is not there, the one with most steps is the latest.

        Returns:
            The steps done, and the state on the CPU.

        Raises:
            FileError: no such checkpoint; or it is not what was saved, naming the file at fault and the next older
                checkpoint that is good.
            DomainError: a word that is neither "latest" nor "best".
            BackendError: safetensors is missing.
        """
        found = self._find("latest" if number is None else number)
        try:
            return found, read(self.folder, _name(found))
        except OSError as error:
            fault = error if isinstance(error, FileError) else FileError(str(self.folder), error, "a readable folder")
            raise FileError(fault.argument, fault.got, f"{fault.expected}; {self._cure(found)}") from error

    def _holds(self, number: int, manifest: bytes) -> bool:
        """Whether the very same is there and good, as after an exact resume: then nothing needs to be taken away."""
        try:
            read(self.folder, _name(number))
            return read_bytes(self.folder / _name(number) / MANIFEST) == manifest
        except OSError:
            return False

    def _find(self, wanted: int | str) -> int:
        numbers = self.numbers()
        if wanted in ("latest", "best"):
            pointed = self._pointed(str(wanted))
            found = numbers[-1] if numbers and wanted == "latest" and pointed not in numbers else pointed
        elif isinstance(wanted, str):
            raise DomainError("checkpoint", repr(wanted), 'a number, "latest" or "best"')
        else:
            found = wanted
        if found is None or found not in numbers:
            there = f"one of {', '.join(map(str, numbers))}" if numbers else "a run that was saved"
            raise FileError(f"checkpoint {wanted} of {self.run}", "nothing", there)
        return found

    def _pointed(self, name: str) -> int | None:
        try:
            text = read_bytes(self.run / name, 64).decode("ascii", "replace").strip()
        except FileError:
            return None
        return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None

    def _cure(self, broken: int) -> str:
        for number in reversed(self.numbers()):
            if number < broken:
                try:
                    read(self.folder, _name(number))
                except (LabError, OSError):
                    continue
                return f"the next older checkpoint, {number}, is good"
        return "no older checkpoint is good"

    def _thin(self, newest: int) -> None:
        """Keep the last ones up to the newest, the best, and all that a later save will count."""
        best = self._pointed("best")
        if best is None and (self.run / "best").exists():
            return  # which one must stay is not known
        for number in [number for number in self.numbers() if number <= newest][: -self.keep]:
            if number != best:
                self._remove(number)

    def _remove(self, number: int) -> None:
        path, aside = self.folder / _name(number), self.folder / f"{ASIDE}removed-{_name(number)}"
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            path.rename(aside)  # at once, so that no half of it can be taken for a checkpoint
            shutil.rmtree(aside)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _flush(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _name(number: int) -> str:
    return f"{number:06d}"
