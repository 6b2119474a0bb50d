"""The command line: ``labkit lab | render | train | bench | doctor``; each a frozen dataclass with ``run()``."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from itertools import dropwhile, takewhile
from typing import Protocol

from labkit.errors import BackendError, LabError


class UsageError(Exception):
    """The words after ``labkit`` make no command."""


class Command(Protocol):
    """What every command offers."""

    def run(self) -> int:
        """Do it and return the exit code."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code for the shell.

    Args:
        arguments: the words after ``labkit``; those of the process if None.

    Returns:
        0 on success, 1 where ``doctor`` found something to mend or a run failed, 2 on an error, which is one line on
        stderr that says what to do, and 130 after Ctrl-C.
    """
    try:
        command = parse(arguments)
        return command.run() if command else 0
    except (LabError, UsageError) as error:
        print(f"labkit: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse(arguments: Sequence[str] | None) -> Command | None:
    """Return the command that the words describe, or None where they asked for help, which is then printed.

    Raises:
        UsageError: the words make no command.
        BackendError: tyro is missing.
    """
    try:
        import tyro
    except ImportError as error:
        raise BackendError("tyro", "no such package", 'it installed: pip install "labkit[cli]"') from error
    from labkit.cli.bench import Bench
    from labkit.cli.doctor import Doctor
    from labkit.cli.lab import Lab
    from labkit.cli.render import Render
    from labkit.cli.train import Train, understand

    words = sys.argv[1:] if arguments is None else list(arguments)
    about = "An interactive laboratory for differentiable rendering."
    complaint = io.StringIO()

    def is_text(row: str) -> bool:
        return bool(row.strip("-"))

    try:
        with redirect_stderr(complaint):
            if words[:1] == ["train"]:
                return understand(words[1:])
            return tyro.cli(Lab | Render | Train | Bench | Doctor, prog="labkit", description=about, args=words)
    except SystemExit as stop:
        if not stop.code:
            return None
        # tyro frames its complaint, with dashes where the terminal has no lines: a title, the sentence, a rule, hints.
        rows = [row.strip(" │╭╮╰╯─") for row in complaint.getvalue().splitlines()[1:]]
        sentence = takewhile(is_text, dropwhile(lambda row: not is_text(row), rows))
        page = takewhile(lambda word: not word.startswith("-"), words[:2] if words[:1] == ["train"] else [])
        raise UsageError(f"{' '.join(sentence)} ({' '.join(['labkit', *page])} --help lists what there is)") from stop
