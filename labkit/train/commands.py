"""Commands to a run, from the same process or another one: a file each, in the order of their numbers."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import DomainError, FileError
from labkit.train.run_folder import RunFolder, as_file_error, held, read_json, write_json

COMMANDS = ("pause", "resume", "step", "stop", "save", "preview", "set")
FOLDER = "commands"
FILE = re.compile(r"\d{8,}\.json", re.ASCII)


@dataclass(frozen=True)
class Command:
    """What somebody asks a run to do.

    Attributes:
        name: one of COMMANDS.
        arguments: by name; JSON data.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


def send(run_dir: str | os.PathLike[str], command: str, **arguments: Any) -> Command:
    """Ask a run to do something. It does so before its next step; when nobody works on it, never (see `take`).

    The number in the file's name is one more than the largest there, so that no clock decides the order. A lock gives
    each sender its own; the file appears complete, under its name, or not at all.

    Args:
        run_dir: of the run.
        command: one of COMMANDS.
        arguments: JSON data; of "set", the dials' new values by name.

    Raises:
        DomainError, DTypeError: no such command, or arguments that are no JSON data.
        FileError: no run there, or its folder cannot be written.
        HeldError: others send without a break.
        BackendError: filelock is missing.
    """
    if command not in COMMANDS:
        raise DomainError("command", repr(command), f"one of {', '.join(COMMANDS)}")
    folder = RunFolder.open(run_dir).path / FOLDER
    with held(folder / "lock"):
        number = max((int(file.stem) for file in _files(folder)), default=0) + 1
        write_json(folder / f"{number:08d}.json", {"command": command, "arguments": arguments})
    return Command(command, arguments)


def take(run_dir: str | os.PathLike[str]) -> list[Command]:
    """Remove the commands that wait and return them in the order in which they were sent.

    The process that holds the run calls this before every step, and once when it starts, then passing over what it
    gets: those commands were meant for an earlier process. A file that is no command is removed with a warning.

    Raises:
        FileError: the folder is missing or cannot be written.
    """
    taken = []
    for file in sorted(_files(Path(run_dir) / FOLDER), key=lambda file: int(file.stem)):
        try:
            data = read_json(file)
            if data.get("command") in COMMANDS and isinstance(data.get("arguments"), dict):
                taken.append(Command(data["command"], data["arguments"]))
            else:
                warnings.warn(f"{file} is no command and was passed over", stacklevel=2)
        except FileError as error:
            warnings.warn(f"a command was passed over: {error}", stacklevel=2)
        try:
            file.unlink()
        except OSError as error:
            raise as_file_error(file, error) from error
    return taken


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if FILE.fullmatch(name)]
    except OSError as error:
        raise as_file_error(folder, error) from error
