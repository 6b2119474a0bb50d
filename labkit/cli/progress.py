"""How a run is shown on a terminal, or in a file that takes its place."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from labkit.errors import BackendError
from labkit.events import Done, Event, Failed, Phase, Saved, Step, Tuned, Warned

EVERY = 5.0  # seconds between two lines about steps where there is no terminal
LINE = "step {n_fmt}/{total_fmt}, {rate_noinv_fmt}, {remaining} left{postfix}"


class Progress:
    """Shows events on stderr: on a terminal as a bar with the time left, else as a line every few seconds.

    Raises:
        BackendError: tqdm is missing.
    """

    def __init__(self) -> None:
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise BackendError("tqdm", "no such package", 'it installed: pip install "labkit[train]"') from error
        self._tqdm, self._stream = tqdm, sys.stderr
        self._bar: Any = None  # where there is a terminal
        self._first, self._began, self._shown = 0, 0.0, 0.0

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Progress]:
        """One whose bar is taken from the terminal at the end."""
        progress = cls()
        try:
            yield progress
        finally:
            progress._close()

    def show(self, event: Event) -> None:
        """Show an event; pictures and surfaces are passed over."""
        match event:
            case Phase(number, "started", total):
                self._close()
                self._first, self._began = number, time.monotonic()
                self._shown = self._began
                if self._stream.isatty():
                    options = {"unit": "step", "dynamic_ncols": True, "file": self._stream}
                    self._bar = self._tqdm(total=total, initial=number, **options)
                self.line(f"from step {number}" if number else "from the start")
            case Phase(number, name, _):
                self.line(f"{name} at step {number}")
            case Step(number, total, values):
                self._step(number, total, f"loss {values['loss']:.4g}" if "loss" in values else None)
            case Saved(number, path, best, values):
                self.line(f"saved {path}{' (the best so far)' * best}{_figures(values)}")
            case Tuned(number, values):
                self.line(f"dials at step {number}{_figures(values)}")
            case Warned(number, message):
                self.line(f"warning at step {number}: {message}")
            case Failed(number, message, checkpoint):
                self._close()
                self.line(f"failed after step {number}: {message}; last good checkpoint: {checkpoint or 'none'}")
            case Done(number, stopped, values):
                self._close()
                self.line(f"{'stopped' if stopped else 'done'} after {number} steps{_figures(values)}")

    def line(self, text: str) -> None:
        """Show a line of text, above the bar."""
        if self._bar is None:
            print(text, file=self._stream, flush=True)
        else:
            self._tqdm.write(text, file=self._stream)

    def _step(self, number: int, total: int, figure: str | None) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(figure or "", refresh=False)
            self._bar.update(number - self._bar.n)
            return
        now = time.monotonic()
        if now - self._shown >= EVERY or number == total:
            self._shown = now
            told = {"unit": " steps", "bar_format": LINE, "initial": self._first, "postfix": figure}
            self.line(self._tqdm.format_meter(number, total, now - self._began, **told))

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _figures(values: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.4g}" for name, value in values.items())
