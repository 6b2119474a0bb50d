"""An optional second diary: the figures and pictures of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.errors import BackendError
from labkit.events import Done, Event, Failed, Picture, Saved, Step

FOLDER = "tensorboard"  # in the run's folder


class TensorBoardSink:
    """Writes the events of one process that it is shown to ``run/tensorboard``.

    A step's figures keep their names; those of a checkpoint stand under ``saved/``, those of the end under ``done/``.
    What an earlier process wrote past the step where this one begins is hidden.

    Args:
        run: folder of the run; it need not be there before the first event.

    Raises:
        BackendError: the package tensorboard is missing.
    """

    def __init__(self, run: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            cure = 'it installed: pip install "labkit[tensorboard]"'
            raise BackendError("tensorboard", "no such package", cure) from error
        self._type, self._folder = SummaryWriter, Path(run) / FOLDER
        self._writer: Any = None

    @classmethod
    @contextmanager
    def open(cls, run: str | Path) -> Iterator[TensorBoardSink]:
        """A sink that is closed at the end."""
        sink = cls(run)
        try:
            yield sink
        finally:
            sink.close()

    def add(self, event: Event) -> None:
        """Write what the event holds for TensorBoard; surfaces and messages are passed over."""
        if self._writer is None:
            self._writer = self._type(str(self._folder), purge_step=event.number + 1)
        if isinstance(event, Picture):
            self._writer.add_image(event.name, event.image, event.number)
        elif isinstance(event, Step | Saved | Done):
            prefix = {Step: "", Saved: "saved/", Done: "done/"}[type(event)]
            for name, value in event.values.items():
                self._writer.add_scalar(prefix + name, value, event.number)
        if isinstance(event, Saved | Failed | Done):
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
