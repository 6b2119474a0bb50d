"""Previews beside the training: made on a thread of their own, one at a time, never slowing it by much."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from labkit.events import Event, Warned

REST = 4.0  # a preview rests so many times as long as it took: at most a fifth of one core


class Previewer:
    """Makes previews in the background; the newest wins, since none begins while another is being made.

    Args:
        every: seconds between two previews at least; 0 means none.
    """

    def __init__(self, every: float) -> None:
        self._every, self._next = every, 0.0
        self._worker: threading.Thread | None = None
        self._made: list[Event] = []
        self._asked = False

    def ask(self) -> None:
        """Let the next one be due at once, also where there are none otherwise."""
        self._asked = True

    @property
    def due(self) -> bool:
        """Whether one should begin now."""
        if self._worker is not None:
            return False
        return self._asked or (self._every > 0 and time.monotonic() >= self._next)

    def start(self, number: int, make: Callable[[], Iterable[Event]]) -> None:
        """Begin one, of the state after ``number`` steps."""
        self._asked = False
        self._worker = threading.Thread(target=self._work, args=(number, make), name="labkit-preview", daemon=True)
        self._worker.start()

    def ready(self, wait: bool = False) -> list[Event]:
        """The events of a preview that is finished, once; a failed one is a warning.

        Args:
            wait: until the preview under way is finished.
        """
        if self._worker is None or (self._worker.is_alive() and not wait):
            return []
        self._worker.join()
        self._worker, made, self._made = None, self._made, []
        return made

    def _work(self, number: int, make: Callable[[], Iterable[Event]]) -> None:
        began = time.monotonic()
        try:
            self._made = list(make())
        except Exception as error:  # noqa: BLE001  the boundary of a thread: training must go on, and say it
            self._made = [Warned(number, f"the preview failed: {error!r}")]
        took = time.monotonic() - began
        self._next = time.monotonic() + max(self._every, REST * took)
