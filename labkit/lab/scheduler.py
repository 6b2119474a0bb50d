"""Newest wins: one worker, one render in flight, coarse while changes arrive and fine at rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from labkit.errors import BackendError, check_positive

Quality = Literal["coarse", "fine"]
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Counts:
    """What a scheduler has done so far.

    Attributes:
        submitted: calls of `NewestWins.submit`.
        rendered: renders that ended, whether well or with an error.
        shown: results that reached ``show``.
        dropped: results thrown away since newer parameters had come while they were made.
        failed: renders (or shows) that raised.
        latency_ms: milliseconds from the submit (of a fine result: from the start of its render, which waits on
            purpose) until the newest result was shown; 0 before the first.
    """

    submitted: int = 0
    rendered: int = 0
    shown: int = 0
    dropped: int = 0
    failed: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True)
class _Job(Generic[P]):
    params: P
    generation: int
    quality: Quality
    since: float  # monotonic seconds; what the latency is counted from


class NewestWins(Generic[P, R]):
    """Renders the newest parameters, never an old queue of them.

    `submit` may be called from any thread and returns at once. A single worker thread renders the newest parameters
    coarsely, and finely once no change has come for ``rest`` seconds. A coarse result is always shown, so a long
    drag never starves; a fine result that newer parameters have overtaken is dropped. One worker means results come
    in the order of their parameters: an older picture never replaces a newer one. An error goes to ``fail`` and
    the worker lives on.

    Args:
        render: ``render(params, quality) -> result``; runs on the worker only.
        show: ``show(result, quality)``; runs on the worker only.
        fail: ``fail(error)`` for anything that ``render`` or ``show`` raises; it must not raise itself.
        rest: seconds without a change after which the fine result is made; 0 makes fine results only.
        max_fps: results per second at most while changes arrive: more than a browser can show is work for nobody.
        done: ``done(counts)`` after each result shown, on the worker; it must not raise.
        synchronous: no thread: `submit` renders finely in the caller, who gets the error (after ``fail`` has seen it).

    Raises:
        DomainError: ``max_fps`` is not positive.
    """

    def __init__(
        self,
        render: Callable[[P, Quality], R],
        show: Callable[[R, Quality], None],
        fail: Callable[[Exception], None],
        *,
        rest: float = 0.2,
        max_fps: float = 30.0,
        synchronous: bool = False,
        done: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        check_positive("max_fps", max_fps, "(results per second)")
        self._render, self._show, self._fail, self._done = render, show, fail, done
        self._rest, self._gap, self._synchronous = rest, 1.0 / max_fps, synchronous
        self._changed = threading.Condition(threading.RLock())
        self._slot: _Job[P] | None = None  # the newest parameters, never more than one
        self._coarse_done = self._fine_done = self._hurried = 0  # generations; flush() does not wait for rest
        self._started_at = float("-inf")
        self._closed = False
        self._counts = Counts()
        self._worker = threading.Thread(target=self._work, name="labkit-newest-wins", daemon=True)
        if not synchronous:
            self._worker.start()

    @property
    def counts(self) -> Counts:
        """A snapshot of the counters."""
        with self._changed:
            return self._counts

    def submit(self, params: P) -> None:
        """Make ``params`` the newest. After `close` this does nothing, since late browser events are no error."""
        with self._changed:
            if self._closed:
                return
            generation = self._slot.generation + 1 if self._slot else 1
            job = _Job(params, generation, "fine" if self._synchronous else "coarse", time.monotonic())
            self._slot = job
            self._counts = replace(self._counts, submitted=generation)
            self._changed.notify_all()
        if self._synchronous and (error := self._step(job)) is not None:
            raise error

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the newest parameters are rendered finely (at once, without waiting for rest) and shown.

        Raises:
            BackendError: not done after ``timeout`` seconds, or called from the worker, which cannot wait for itself.
        """
        if threading.current_thread() is self._worker:
            raise BackendError("flush", "a call from the worker itself", "a call from another thread")
        with self._changed:
            self._hurried = self._slot.generation if self._slot else 0
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._closed or self._fine_done >= self._hurried, timeout)
        if not done:
            raise BackendError("flush", f"no result after {timeout} s", "a render that ends")

    def close(self) -> None:
        """Stop: the render in flight is the last, its result is not shown. Joins the worker; safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._worker.is_alive() and threading.current_thread() is not self._worker:
            self._worker.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._step(job)

    def _next(self) -> _Job[P] | None:
        """The next thing to render, waiting for it; None after `close`."""
        with self._changed:
            while not self._closed:
                if self._slot is None or self._fine_done == self._slot.generation:
                    self._changed.wait()
                    continue
                newest, now = self._slot, time.monotonic()
                hurry = self._hurried >= newest.generation
                coarse = self._rest > 0 and self._coarse_done < newest.generation and not hurry
                due = newest.since + self._rest if self._rest > 0 and not coarse else self._started_at + self._gap
                if now >= due or hurry:
                    self._started_at = now
                    return (
                        newest if coarse else replace(newest, quality="fine", since=now if self._rest else newest.since)
                    )
                self._changed.wait(due - now)
        return None

    def _step(self, job: _Job[P]) -> Exception | None:
        """Render and show once; the error, if any, is handed to ``fail`` and returned."""
        problem: Exception | None = None
        dropped = False
        try:
            result = self._render(job.params, job.quality)
            with self._changed:
                overtaken = self._slot is not None and job.generation < self._slot.generation
                dropped = self._closed or (overtaken and job.quality == "fine" and self._rest > 0)
            if not dropped:
                self._show(result, job.quality)
        except Exception as error:  # noqa: BLE001 - the guarded boundary: the worker must outlive any render
            problem = error
            self._fail(error)
        shown = not dropped and problem is None
        with self._changed:
            counts = self._counts
            self._counts = Counts(
                counts.submitted,
                counts.rendered + 1,
                counts.shown + shown,
                counts.dropped + dropped,
                counts.failed + (problem is not None),
                1e3 * (time.monotonic() - job.since) if shown else counts.latency_ms,
            )
        if shown:
            self._done(self.counts)
        with self._changed:  # only now, so that flush() returns after ``done``
            self._coarse_done = max(self._coarse_done, job.generation)
            if job.quality == "fine":
                self._fine_done = max(self._fine_done, job.generation)
            self._changed.notify_all()
        return problem
