"""Long work in a notebook: a worker thread drives a generator of events, with progress, time left, pause and stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

import ipywidgets as W

from labkit.errors import BackendError
from labkit.events import Event, Step
from labkit.lab.closing import close_tree
from labkit.lab.hosts import headless

State = Literal["ready", "running", "paused", "stopped", "done", "failed"]
REFRESHES = 8.0  # a second: more than a browser can draw beside the work


class Runner:
    """Runs one generator of events at a time, away from the notebook's own thread.

    Each event goes to ``receive`` on the worker, which notes it; ``refresh`` then draws what was noted, at most eight
    times a second and once more whenever the work pauses or ends. `run` after the end begins a new generator.

    Args:
        make: called on the worker at each start; returns the generator.
        receive: ``receive(event)``, on the worker, for every event: cheap, no drawing.
        refresh: ``refresh()``, on the worker: draws.
        fail: ``fail(error)`` for anything that one of the three raises; it must not raise itself.

    Attributes:
        widget: run/pause and step and stop buttons, the progress bar, and the time left.

    Headless there is no worker: `run` returns when the work is done, and raises its error (after ``fail`` saw it).
    """

    def __init__(
        self,
        make: Callable[[], Iterator[Event]],
        receive: Callable[[Event], None],
        refresh: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._make, self._receive, self._refresh, self._fail = make, receive, refresh, fail
        self._lock = threading.RLock()
        self._state: State = "ready"
        self._events: Iterator[Event] | None = None  # outlives a pause, at which the worker ends
        self._allowed: float = 0  # steps until the next pause
        self._worker: threading.Thread | None = None
        self._busy, self._since, self._last = 0.0, 0.0, (0, 0)  # seconds of work, start of this stretch, number/total
        self._go = self._button("Run", "play", "Start, pause, go on", self._toggle)
        self._one = self._button("Step", "step-forward", "One step, then pause", lambda: self.run(steps=1))
        self._halt = self._button("Stop", "stop", "End the work; what is done so far stays", self.stop)
        self._bar = W.FloatProgress(min=0.0, max=1.0, layout=W.Layout(width="150px"))
        self._text = W.HTML()
        parts = [self._go, self._one, self._halt, self._bar, self._text]
        self.widget = W.HBox(parts, layout=W.Layout(flex_flow="row wrap"))
        self.widget.add_class("labkit-runner")
        self._tell()

    @property
    def state(self) -> State:
        """What the work is doing."""
        with self._lock:
            return self._state

    def run(self, steps: float = float("inf")) -> None:
        """Start, or go on after a pause; pause again after that many steps."""
        with self._lock:
            self._allowed = steps
            if self._state == "running":
                return
        self._wait_for_worker()
        with self._lock:
            if self._state != "paused":
                self._events, self._busy, self._last = None, 0.0, (0, 0)
            self._set("running")
            if not headless():
                self._worker = threading.Thread(target=self._work, name="labkit-runner", daemon=True)
                self._worker.start()
                return
        self._work()

    def pause(self) -> None:
        """Pause after the step in hand; nothing happens unless the work is running."""
        with self._lock:
            if self._state == "running":
                self._set("paused")

    def stop(self) -> None:
        """End the work after the step in hand; nothing happens unless it is running or paused."""
        with self._lock:
            if self._state in ("running", "paused"):
                self._set("stopped")

    def join(self, timeout: float = 60.0) -> None:
        """Wait until the work has ended or paused, and is drawn.

        Raises:
            BackendError: it has not after ``timeout`` seconds.
        """
        self._wait_for_worker(timeout)
        if self._worker is not None and self._worker.is_alive():
            raise BackendError("join", f"work still running after {timeout} s", "work that ends")

    def close(self) -> None:
        """Stop the work, wait for the step in hand, close the widgets; safe to call twice."""
        self.stop()
        self._wait_for_worker()
        close_tree(self.widget)

    def _wait_for_worker(self, timeout: float | None = None) -> None:
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join(timeout)

    def _work(self) -> None:
        try:
            drawn = float("-inf")
            if self._events is None:
                self._events = self._make()
            while self.state == "running":
                event = next(self._events, None)
                if event is None:
                    self._set("done")
                    break
                self._receive(event)
                if isinstance(event, Step):
                    self._count(event)
                if time.monotonic() - drawn > 1 / REFRESHES:
                    self._refresh()
                    self._tell()
                    drawn = time.monotonic()
            self._refresh()
        except Exception as error:  # the guarded boundary: nobody else would see an error of this thread
            self._set("failed")
            self._fail(error)
            if headless():
                raise

    def _count(self, step: Step) -> None:
        with self._lock:
            self._last = (step.number, step.total)
            self._allowed -= 1
            if self._allowed <= 0 and self._state == "running":
                self._set("paused")

    def _set(self, state: State) -> None:
        with self._lock:
            now = time.monotonic()
            if self._state == "running":
                self._busy += now - self._since
            self._state, self._since = state, now
            self._tell()

    def _tell(self) -> None:
        """Bring buttons, bar and text up to date."""
        with self._lock:
            state, (number, total) = self._state, self._last
            busy = self._busy + (time.monotonic() - self._since if state == "running" else 0.0)
        face = {"running": ("Pause", "pause"), "paused": ("Go on", "play")}
        self._go.description, self._go.icon = face.get(state, ("Run", "play"))
        self._one.disabled = state == "running"
        self._halt.disabled = state not in ("running", "paused")
        self._bar.value = number / total if total else 0.0
        told: list[str] = [state]
        if number:
            told.append(f"{number} of {total} steps &middot; {busy:.0f} s")
            if state in ("running", "paused"):
                told.append(f"{busy * (total - number) / number:.0f} s left")
        self._text.value = " &middot; ".join(told)

    def _toggle(self) -> None:
        if self.state == "running":
            self.pause()
        else:
            self.run()

    def _button(self, text: str, icon: str, tip: str, action: Callable[[], None]) -> W.Button:
        made = W.Button(description=text, icon=icon, tooltip=tip, layout=W.Layout(width="86px"))
        made.on_click(lambda _: action())
        return made
