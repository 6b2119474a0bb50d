"""A run and whoever watches it: the thread that trains, and the threads that follow its folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

from labkit.errors import LabError
from labkit.events import Event, Phase, Warned
from labkit.lab.hosts import headless
from labkit.lab.training_history import History
from labkit.train.commands import send
from labkit.train.config import EngineConfig
from labkit.train.follow import follow
from labkit.train.launch import start

LEAVING = 60.0  # seconds that a step in hand may take when its panel is closed
Events = Generator[Event, None, None]


def launched(recipe: str, path: Path, config: EngineConfig, resume: bool, processes: int) -> Events:
    """Start processes of their own and say that they have begun; see `labkit.train.launch.start`."""
    start(recipe, path, config, resume=resume, processes=processes)
    yield Phase(0, "started", config.steps)


class Work:
    """A thread of this kernel that trains, or that starts processes which do; headless, the caller's own.

    What is shown of a run is read from its folder, so of the events here only the first and the warnings matter.

    Args:
        path: of the run folder.
        events: not begun yet.
        ends: whether `close` ends the run: not one of other processes.
        begun: called on the thread at the first event, when the folder is there; headless, when all is over.
        warned: called on the thread with each warning: some cannot be written to the folder.
        ended: called on the thread when it has nothing left to do.
        fail: called on the thread with what the run raises; must not raise itself. Headless it is raised, too.
    """

    def __init__(
        self,
        path: Path,
        events: Events,
        ends: bool,
        begun: Callable[[], None],
        warned: Callable[[Warned], None],
        ended: Callable[[], object],
        fail: Callable[[Exception], None],
    ) -> None:
        self._path, self._events, self._ends = path, events, ends
        self._begun, self._warned, self._ended, self._fail = begun, warned, ended, fail
        self._leave, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="labkit-train", daemon=True)

    def run(self) -> None:
        """Begin."""
        if headless():
            self._work()
        else:
            self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self._over.is_set()

    def join(self, timeout: float) -> bool:
        """Wait until it has ended; returns whether it has."""
        return self._over.wait(timeout)

    def close(self) -> None:
        """Let the run save itself after the step in hand, and end; safe to call twice."""
        self._leave.set()
        if self.alive and self._ends:
            with suppress(LabError):  # a folder that is not there yet, or cannot be written: the flag is seen anyway
                send(self._path, "stop")
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(LEAVING)

    def _work(self) -> None:
        first = not headless()
        try:
            for event in self._events:
                if first:
                    first = False
                    self._begun()
                if isinstance(event, Warned):
                    self._warned(event)
                if self._leave.is_set():
                    self._events.close()  # which saves what was done
            if headless():
                self._begun()
        except Exception as error:  # the guarded boundary: nobody else would see an error of this thread
            self._fail(error)
            if headless():
                raise
        finally:
            self._over.set()
            self._ended()


class Follower:
    """Follows one run folder and says when there is news, with a rest after each time.

    Headless, it has followed the run to its end when it is made, and what it raises reaches the caller.

    Args:
        path: of the run folder.
        history: takes the events.
        publish: called on a thread of its own after news; returns the seconds to rest until the next time.
        fail: called with what following raises; must not raise itself.
    """

    def __init__(
        self, path: Path, history: History, publish: Callable[[], float], fail: Callable[[Exception], None]
    ) -> None:
        self._path, self._history, self._publish, self._fail = path, history, publish, fail
        self._stop, self._news, self._over = (threading.Event() for _ in range(3))
        self._threads: list[threading.Thread] = []
        if headless():
            self._follow()
            self._publish()
            return
        for work, name in ((self._follow, "labkit-follow"), (self._redraw, "labkit-redraw")):
            self._threads.append(threading.Thread(target=work, name=name, daemon=True))
            self._threads[-1].start()

    def join(self, timeout: float) -> bool:
        """Wait until the run has ended and its last news are published; returns whether they are."""
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Stop following; the run goes on."""
        self._stop.set()
        self._over.set()
        self._news.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _follow(self) -> None:
        try:
            for event in follow(self._path, stop=self._stop):
                self._history.receive(event)
                self._news.set()
        except Exception as error:  # the guarded boundary of a thread
            self._fail(error)
            if headless():
                raise
        finally:
            self._over.set()
            self._news.set()

    def _redraw(self) -> None:
        while not self._over.is_set():
            self._news.wait()
            self._news.clear()
            self._over.wait(self._publish())
        if not self._stop.is_set():
            self._publish()
