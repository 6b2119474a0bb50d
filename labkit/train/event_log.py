"""The log of a run, events.jsonl: one event a line, only ever longer, readable while it is written.

A line is a JSON object: "event" is the kind, "time" the wall clock in seconds since 1970 (for people; nothing depends
on it), the rest are the event's fields. Figures that are not finite, for which JSON has no numbers, are the texts
"NaN", "Infinity" and "-Infinity". A picture or a surface is a file of its own in previews/, which the line names as
"file".
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, BinaryIO, get_args

from labkit.errors import DTypeError, FileError
from labkit.events import Done, Event, Failed, MeshPreview, Phase, Picture, Saved, Warned
from labkit.files import inside
from labkit.train.preview_files import FOLDER, PreviewFile, load_preview, preview_file, save_preview
from labkit.train.run_folder import as_file_error

LOG = "events.jsonl"
MAX_LINE = 1 << 20  # bytes; longer lines are broken ones
BLOCK = 1 << 16
WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
KINDS = {kind.__name__: kind for kind in get_args(Event)}
TYPES: dict[str, tuple[type, ...]] = {  # of a field in JSON, the same in every event
    "number": (int,),
    "total": (int,),
    "name": (str,),
    "path": (str,),
    "message": (str,),
    "values": (dict,),
    "best": (bool,),
    "stopped": (bool,),
    "checkpoint": (str, type(None)),
}


class EventLog:
    """Writes the log of the run that this process holds (`RunFolder.locked`): one writer at a time.

    To open it cuts off the half line that a killed process has left, and unfinished previews.

    Args:
        run_dir: of the run.

    Raises:
        FileError: the folder cannot be written.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.path = Path(run_dir).absolute() / LOG
        try:
            self.path.touch()
            with self.path.open("r+b", buffering=0) as stream:
                _cut_half_line(stream)
            for unfinished in (self.path.parent / FOLDER).glob(".writing-*"):
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise as_file_error(self.path, error) from error

    def append(self, event: Event) -> None:
        """Write one event; a reader sees it as soon as this returns. What ends or saves a run is also synced to disk.

        After an error the log holds no part of the event, which can be appended again (after a failed sync it may then
        stand there twice).

        Raises:
            FileError: it cannot be written.
            LabError: the event is no event, or its picture or surface is not one (see `save_preview`).
        """
        data = _to_json(event)
        if isinstance(event, Picture | MeshPreview):
            data["file"] = f"{FOLDER}/{save_preview(self.path.parent, event).path.name}"
        line = json.dumps(data, allow_nan=False).encode() + b"\n"
        try:
            with self.path.open("r+b", buffering=0) as stream:
                end = _cut_half_line(stream) + len(line)
                try:
                    rest = memoryview(line)
                    while rest:
                        rest = rest[stream.write(rest) :]
                finally:
                    if stream.seek(0, os.SEEK_END) < end:
                        _cut_half_line(stream)
                if isinstance(event, Phase | Saved | Failed | Done):
                    os.fsync(stream.fileno())
        except OSError as error:
            raise as_file_error(self.path, error) from error


class LogReader:
    """Reads a log from its beginning, and later what has come since.

    Args:
        run_dir: of the run.

    Attributes:
        offset: bytes read so far.
        number: steps done by the event that was read last.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.run = Path(run_dir).absolute()
        self.offset = self.number = 0

    def new(self) -> Iterator[Event | PreviewFile]:
        """The events of the `lines` that were not read yet; previews as files, not opened. A broken line is a `Warned`.

        Raises:
            FileError: see `lines`.
        """
        for line in self.lines():
            entry = parse(line, self.run, self.number)
            self.number = entry.number
            yield entry

    def lines(self) -> Iterator[bytes]:
        """The complete lines that were not read yet; the half one that is being written stays for the next time.

        Raises:
            FileError: unreadable, or shorter than before.
        """
        path = self.run / LOG
        try:
            if not self.offset and not path.exists():  # the run has not begun
                return
            with path.open("rb") as stream:
                if stream.seek(0, os.SEEK_END) < self.offset:
                    raise FileError(str(path), "a log shorter than before", "the same run; follow it anew")
                stream.seek(self.offset)
                while line := stream.readline(MAX_LINE):
                    if not line.endswith(b"\n") and len(line) < MAX_LINE:
                        return
                    self.offset += len(line)
                    yield line
        except OSError as error:
            raise as_file_error(path, error) from error


def read_events(run_dir: str | os.PathLike[str]) -> Iterator[Event]:
    """All events of a run so far, with those previews that are still there. Broken lines and previews are `Warned`.

    Raises:
        FileError: the log is unreadable.
    """
    for entry in LogReader(run_dir).new():
        event = loaded(entry)
        if event is not None:
            yield event


def loaded(entry: Event | PreviewFile) -> Event | None:
    """The event, a preview's file being read: None if it was thinned away, `Warned` if it is broken."""
    if not isinstance(entry, PreviewFile):
        return entry
    try:
        return load_preview(entry.path)
    except FileError as error:
        return Warned(entry.number, f"a preview cannot be read ({error})") if entry.path.exists() else None


def parse(line: bytes, run_dir: str | os.PathLike[str], number: int = 0) -> Event | PreviewFile:
    """The event that a line of the log of ``run_dir`` tells; a `Warned` with ``number`` if the line is broken."""
    try:
        data = json.loads(line)
        kind = KINDS[data["event"]]
        if kind in (Picture, MeshPreview):
            return preview_file(inside(Path(run_dir) / FOLDER, data["file"].removeprefix(f"{FOLDER}/")))
        given = {f.name: data[f.name] for f in fields(kind) if _required(f) or f.name in data}
        if wrong := [name for name, value in given.items() if type(value) not in TYPES[name]]:
            raise DTypeError(wrong[0], type(given[wrong[0]]).__name__, TYPES[wrong[0]][0].__name__)
        if "values" in given:
            given["values"] = {name: float(value) for name, value in given["values"].items()}
        return kind(**given)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, OverflowError, RecursionError) as error:
        return Warned(number, f"a line of {LOG} is broken and was passed over ({error!r}): {line[:80]!r}")


def _required(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _to_json(event: Event) -> dict[str, Any]:
    if not isinstance(event, get_args(Event)):
        raise DTypeError("event", type(event).__name__, f"one of {', '.join(KINDS)}")
    data = {f.name: getattr(event, f.name) for f in fields(event) if f.name in TYPES}
    if "values" in data:
        data["values"] = _figures(data["values"])
    if wrong := [name for name, value in data.items() if type(value) not in TYPES[name]]:
        raise DTypeError(wrong[0], repr(data[wrong[0]]), TYPES[wrong[0]][0].__name__)
    return {"event": type(event).__name__, "time": round(time.time(), 3), **data}


def _figures(values: Mapping[str, float]) -> dict[str, float | str]:
    try:
        numbers = {name: float(value) for name, value in values.items()}
    except (ValueError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise DTypeError("values", error, "numbers by name") from error
    return {name: value if math.isfinite(value) else WORDS[str(value)] for name, value in numbers.items()}


def _cut_half_line(stream: BinaryIO) -> int:
    """Cut what stands behind the last line end; go there and return its place in bytes."""
    end = size = stream.seek(0, os.SEEK_END)
    block = 1  # nearly always the last byte is a line end
    while end:
        start = stream.seek(max(0, end - block))
        if (found := stream.read(end - start).rfind(b"\n")) >= 0:
            end = start + found + 1
            break
        end, block = start, BLOCK
    if end < size:
        stream.truncate(end)
    return stream.seek(end)
