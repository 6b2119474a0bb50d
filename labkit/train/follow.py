"""Watching a run from anywhere: what has happened, what happens, and how it ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from labkit.errors import DomainError, check_positive
from labkit.events import Done, Event, Failed, Saved, Warned
from labkit.train.event_log import LogReader, loaded, parse
from labkit.train.preview_files import PreviewFile
from labkit.train.run_folder import RunFolder

Past = Literal["all", "newest", "none"]


def follow(
    run_dir: str | os.PathLike[str],
    *,
    poll: float = 0.1,
    from_start: bool = True,
    previews: Past = "newest",
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """The events of a run, from this process or another one: those that are there, then those that come.

    It ends when nobody holds the run and its last word is `Done` or `Failed`. If the process that held it is gone
    without such a word, a `Failed` that says so is the last event; it is not in the log, and a resumed run goes on
    with the same log. A run that waits paused, or that no process has begun yet, is followed on. Only what is new
    is read. A broken line is a `Warned`; a half line waits until it is complete.

    Args:
        run_dir: of the run.
        poll: seconds between two looks.
        from_start: whether to tell what was there before; else only what comes.
        previews: which previews of the past are loaded: every one that is still there, the newest of each name, or
            none. New ones always are. One that was thinned away meanwhile is passed over.
        stop: ends it when set.

    Raises:
        FileError: no run there, at the call; the log has become unreadable, later.
        DomainError: an argument is out of range.
        BackendError: filelock, Pillow or safetensors is missing.
    """
    check_positive("poll", poll, "seconds")
    if previews not in get_args(Past):
        raise DomainError("previews", repr(previews), f"one of {', '.join(get_args(Past))}")
    return _follow(RunFolder.open(run_dir), poll, from_start, previews, stop or threading.Event())


def _follow(folder: RunFolder, poll: float, from_start: bool, previews: Past, stop: threading.Event) -> Iterator[Event]:
    reader = LogReader(folder)
    past, newest = _past(folder)
    newest = newest if previews == "newest" else set()
    last: Event | PreviewFile | None = None
    saved: Saved | None = None
    number = 0  # steps done; a preview, which is late, does not say
    while not stop.is_set():
        held = folder.running is not None  # asked first: what a process wrote before it let go is then read below
        quiet = True
        for entry in reader.new():
            if stop.is_set():
                return
            quiet = False
            last = last if last and isinstance(entry, Warned) else entry
            saved = entry if isinstance(entry, Saved) else saved
            number = number if isinstance(entry, PreviewFile) else entry.number
            asked = previews == "all" or not isinstance(entry, PreviewFile) or entry.path in newest
            if reader.offset > past or (from_start and asked):
                event = loaded(entry)
                if event is not None:
                    yield event
        begun = last is not None or folder.owner
        if quiet and begun and not held and folder.running is None:  # asked again: one may have begun in between
            if not isinstance(last, Done | Failed):
                yield _gone(folder, number, saved)
            return
        if quiet:
            stop.wait(poll)


def _past(folder: RunFolder) -> tuple[int, set[Path]]:
    """Where the log ends by now, in bytes, and the newest preview of each name and kind until there."""
    scan = LogReader(folder)
    files = (parse(line, folder) for line in scan.lines() if b'"file"' in line)
    newest = {(file.name, file.path.suffix): file.path for file in files if isinstance(file, PreviewFile)}
    return scan.offset, set(newest.values())


def _gone(folder: RunFolder, number: int, saved: Saved | None) -> Failed:
    owner = folder.owner
    who = f"the process {owner.get('pid')} on {owner.get('host')}" if owner else "the process"
    where = f"after step {saved.number}, its last checkpoint" if saved else "at the start, for want of a checkpoint"
    told = f"{who} that held this run is gone without a word; resume the run to go on {where}"
    return Failed(number, told, saved.path if saved else None)
