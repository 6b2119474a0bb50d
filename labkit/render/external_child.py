"""A renderer in a process of its own, so that a crash of its driver is an error and not the end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO, cast

import numpy as np

from labkit.errors import BackendError
from labkit.render.external_view import View
from labkit.render.external_worker import ARRAYS, receive, send

PATIENCE = 120.0  # seconds for the start, and for a picture, until the process counts as hanging
TAIL = 2000  # bytes of its log that an error shows
FAREWELL = 5.0  # seconds to end by itself
GONE = (OSError, EOFError, ValueError)  # what talking to a process that is gone, or talks nonsense, raises


class Child:
    """`Driver` whose pictures are drawn by `labkit.render.external_worker`.

    The process ends when it is closed, when nobody refers to the object any more, and with the interpreter.

    Args:
        name: of the renderer.
        patience: seconds for one picture.

    Raises:
        BackendError: the process cannot be started, its package or OpenGL is missing, or it died; with the end of
            what it printed.
    """

    def __init__(self, name: str, patience: float = PATIENCE) -> None:
        self.name, self.patience = name, patience
        self._start()

    def draw(self, view: View) -> np.ndarray:
        """Return the picture, see `Driver.draw`; a process that is gone is replaced once.

        Raises:
            BackendError: the process died, or did not answer in time, twice.
        """
        try:
            return self._ask(view)
        except GONE:
            self._end()
            self._start()
        try:
            return self._ask(view)
        except GONE as error:
            raise self._died(error) from error

    def close(self) -> None:
        """End the process."""
        with suppress(OSError, ValueError):
            self.requests.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(FAREWELL)
        self._end()

    def _ask(self, view: View) -> np.ndarray:
        fields = dict(vars(view))
        arrays = {name: fields.pop(name) for name in ARRAYS}
        with self._watched(self.patience):
            send(self.requests, fields, arrays)
            return receive(self.answers)[1]["picture"]

    def _start(self) -> None:
        search = os.pathsep.join(filter(None, sys.path))
        with ExitStack() as held:
            try:
                self.log = held.enter_context(tempfile.TemporaryFile())
                self.process = held.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-m", "labkit.render.external_worker", self.name],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=self.log,
                        env={"PYOPENGL_PLATFORM": "egl", **os.environ, "PYTHONPATH": search},
                        start_new_session=True,  # Ctrl-C is for the caller alone
                    )
                )
            except OSError as error:
                raise BackendError(self.name, f"no process ({error})", "a system that can start one more") from error
            self._end = weakref.finalize(self, _ended, self.process, held.pop_all())
        self.requests, self.answers = cast(BinaryIO, self.process.stdin), cast(BinaryIO, self.process.stdout)
        try:
            with self._watched(PATIENCE):
                header, _ = receive(self.answers)
        except GONE as error:
            raise self._died(error) from error
        if "error" in header:
            self._end()
            raise BackendError(*header["error"])

    @contextmanager
    def _watched(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes too long, or ends early and so leaves an answer unread."""
        timer = threading.Timer(seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        whole = False
        try:
            yield
            whole = True
        finally:
            timer.cancel()
            if not whole:
                self.process.kill()
                self.process.wait()  # from here on nothing can be sent to it, and so no old answer read

    def _died(self, error: Exception) -> BackendError:
        """Say what is known about the process's death, and end what is left of it."""
        code = self.process.returncode
        self.log.seek(max(0, self.log.seek(0, os.SEEK_END) - TAIL))
        said = self.log.read().decode(errors="replace").strip()
        self._end()
        return BackendError(
            self.name,
            f"a process that ended with {code} ({error}) and printed: {said or 'nothing'}",
            'a renderer that works here, or "hard", which needs no driver',
        )


def _ended(process: subprocess.Popen[bytes], held: ExitStack) -> None:
    """Leave no process and no open file behind."""
    process.kill()
    with suppress(OSError):  # what was to be written to it is lost
        held.close()
