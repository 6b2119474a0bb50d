"""Several UDR runs that differ in one thing, what M sees, trained in turn: one step of each after the other."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from labkit.errors import DomainError
from labkit.events import Done, Event, Failed, Phase, Picture, Step, Warned
from labkit.lab.training_history import History, Seen
from labkit.lab.udr_target import KINDS, SHOWN, Target, target
from labkit.train import udr
from labkit.train.config import from_json
from labkit.train.event_log import read_events
from labkit.train.run_folder import RunFolder, new_path
from labkit.train.udr_config import UDR, Kind

RACE = "comparison"  # the first word of their folders
VIEWS = [f"view {number}" for number in range(SHOWN)]  # names of the pictures that are measured


class Lane:
    """One run of a race.

    Attributes:
        config: what it is told.
        path: of its run folder, which its first event makes.
        number: steps done.
        over: whether it has ended well, all steps done.
        at_work: whether this kernel trains it now.
    """

    def __init__(self, path: Path, config: UDR, target: Target) -> None:
        self.path, self.config, self._target = path, config, target
        self.number, self.over, self.at_work = 0, False, False
        self._history, self._lock = History(), threading.Lock()
        self._quality: list[tuple[int, float]] = []
        self._pictures: dict[str, Picture] = {}
        self._closing: dict[str, float] = {}
        if self.begun:
            for event in read_events(path):
                self.receive(event)

    @property
    def begun(self) -> bool:
        """Whether there is a run folder."""
        return (self.path / "config.json").exists()

    def train(self) -> Generator[Event, None, None]:
        """Begin, or go on from the newest checkpoint."""
        return cast(Generator[Event, None, None], udr.train(self.config, self.path, resume=self.begun))

    def receive(self, event: Event) -> None:
        """Note what an event says."""
        self._history.receive(event)
        with self._lock:
            match event:
                case Phase(name="started"):
                    self.number = event.number
                    self._quality = [pair for pair in self._quality if pair[0] <= event.number]
                case Step():
                    self.number = event.number
                case Picture() if event.name in VIEWS:
                    self._pictures[event.name] = event
                    found = [self._pictures[name] for name in VIEWS if name in self._pictures]
                    if [one.number for one in found] == [event.number] * SHOWN:
                        self._quality.append((event.number, self._target.psnr(torch.stack([p.image for p in found]))))
                case Done():
                    self.over, self._closing = not event.stopped, dict(event.values)

    @property
    def seen(self) -> Seen:
        """The run as it stands."""
        return self._history.seen()

    @property
    def quality(self) -> tuple[list[int], list[float]]:
        """Steps of the pictures of unseen views, and their PSNR at inner pixels, see `Target.psnr`."""
        with self._lock:
            return [step for step, _ in self._quality], [value for _, value in self._quality]

    @property
    def closing(self) -> dict[str, float]:
        """The figures of a finished run, of all unseen views; else empty."""
        with self._lock:
            return dict(self._closing) if self.over else {}

    @property
    def seconds(self) -> float:
        """Spent in steps, without setting up, previews and checkpoints."""
        _, values = self.seen.curves.get("seconds", ((), ()))
        return self.number * sum(values) / len(values) if values else 0.0


class Race:
    """Runs below one folder, each in a folder with the name of its kind.

    Args:
        path: the folder.
        lanes: under the kind of each its run.
        target: the truth.

    Use `begin` or `open`.
    """

    def __init__(self, path: Path, lanes: Mapping[str, Lane], target: Target) -> None:
        self.path, self.lanes, self.target = path, lanes, target

    @classmethod
    def begin(cls, config: UDR, kinds: Sequence[Kind], root: Path) -> Race:
        """A new race; nothing is written before `events`."""
        path, truth = new_path(RACE, root), target(config.scene)
        looks = {kind: replace(config, appearance=replace(config.appearance, kind=kind)) for kind in kinds}
        return cls(path, {kind: Lane(path / kind, look, truth) for kind, look in looks.items()}, truth)

    @classmethod
    def open(cls, path: Path) -> Race:
        """A race that was begun before, finished or not.

        Raises:
            DomainError: there is none.
            LabError: a run folder is broken.
        """
        folders = {kind: path / kind for kind in KINDS if (path / kind / "config.json").exists()}
        if not folders:
            raise DomainError("run", str(path), "a folder of a comparison, with one run at least")
        configs = {kind: from_json(UDR, RunFolder.open(folder).config) for kind, folder in folders.items()}
        truth = target(next(iter(configs.values())).scene)
        return cls(path, {kind: Lane(folder, configs[kind], truth) for kind, folder in folders.items()}, truth)

    @property
    def config(self) -> UDR:
        """Of the first run."""
        return next(iter(self.lanes.values())).config

    @property
    def over(self) -> bool:
        """Whether all steps of all runs are done."""
        return all(lane.over for lane in self.lanes.values())

    def events(self) -> Iterator[Event]:
        """Train what is not over. Each event is noted by its run; one `Step` comes when all have done that step.

        A run that is behind catches up first. To close the iterator saves every run.
        """
        works = {kind: lane.train() for kind, lane in self.lanes.items() if not lane.over}
        try:
            yield from self._in_turn(works)
        finally:
            self._end(list(works.items()))

    def _in_turn(self, works: dict[str, Generator[Event, None, None]]) -> Iterator[Event]:
        for kind, work in works.items():  # a resumed run says where it goes on
            yield self._note(kind, next(work))
        racing = dict(works)
        while racing:
            behind = min(self.lanes[kind].number for kind in racing)
            for kind in [kind for kind in racing if self.lanes[kind].number == behind]:
                for event in racing[kind]:
                    self._note(kind, event)
                    if isinstance(event, Step):
                        break
                    if isinstance(event, Failed | Warned):
                        yield event
                else:
                    del racing[kind]
            if racing:
                yield Step(behind + 1, self.config.steps, {})

    def _note(self, kind: str, event: Event) -> Event:
        self.lanes[kind].at_work = not isinstance(event, Done | Failed)
        self.lanes[kind].receive(event)
        return event

    def _end(self, works: list[tuple[str, Any]]) -> None:
        """Close the runs one by one, each of them even if another one cannot be saved."""
        if works:
            kind, work = works[0]
            try:
                work.close()
            finally:
                if self.lanes[kind].at_work:
                    self._note(kind, Done(self.lanes[kind].number, stopped=True))
                self._end(works[1:])


def races_below(root: Path) -> list[Path]:
    """The folders of races in ``root``, newest first."""
    found = [path for path in root.glob(f"{RACE}-*") if any((path / kind).is_dir() for kind in KINDS)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
