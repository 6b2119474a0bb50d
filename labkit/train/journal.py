"""What one process writes of its run: events, checkpoints, failures; and the commands that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from labkit.errors import FileError
from labkit.events import Event
from labkit.train.checkpoint import Checkpoints, State
from labkit.train.commands import Command, take
from labkit.train.config import EngineConfig, to_json
from labkit.train.distributed import Team
from labkit.train.event_log import EventLog
from labkit.train.run_folder import RunFolder


class Journal:
    """The run folder as the loop sees it. Without a folder nothing is written and nobody commands.

    Args:
        folder: locked by this process, or None.
    """

    def __init__(self, folder: RunFolder | None) -> None:
        self._folder = folder
        self._log = EventLog(folder) if folder else None

    @classmethod
    @contextmanager
    def open(cls, folder: RunFolder | None, config: EngineConfig, team: Team) -> Iterator[Journal]:
        """The journal of a folder, which is locked for as long; commands to an earlier process are dropped.

        Args:
            folder: of the run, or None.
            config: as it is now; a resumed run may have more steps than before.
            team: that works on it.

        Raises:
            LabError: another process holds the folder.
        """
        if folder is None:
            yield cls(None)
            return
        with folder.locked(str(team.device), team.world):
            take(folder.path)
            yield cls(folder.amended(to_json(config)))

    @property
    def writes(self) -> bool:
        """Whether there is a folder."""
        return self._folder is not None

    def append(self, event: Event) -> None:
        """Write an event.

        Raises:
            FileError: it cannot be written; no part of it is.
        """
        if self._log:
            self._log.append(event)

    def commands(self) -> list[Command]:
        """The commands that came since the last call, in their order."""
        return take(self._folder.path) if self._folder else []

    def save(self, number: int, state: State, best: bool) -> str:
        """Save a checkpoint; return its folder relative to the run's.

        Raises:
            FileError: it cannot be written; the earlier ones stand.
        """
        if self._folder is None:
            raise FileError("run", None, "a run folder to save in")
        path = Checkpoints(self._folder.path).save(number, state, best)
        return str(path.relative_to(self._folder.path))

    def save_batch(self, number: int, batch: Mapping[str, Tensor]) -> Path | None:
        """Keep the batch of a failed step; return its file.

        Raises:
            FileError: it cannot be written.
        """
        if self._folder is None:
            return None
        from safetensors.torch import save

        from labkit.files import write_bytes

        path = self._folder.path / "failures" / f"{number:06d}-batch.safetensors"
        path.parent.mkdir(exist_ok=True)
        # Copies, since safetensors refuses one tensor under two names.
        rows = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in batch.items()}
        write_bytes(path, save(rows))
        return path
