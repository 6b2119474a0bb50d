"""The one training loop: steps, commands, previews, checkpoints, and what happens when something goes wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from labkit.errors import DomainError, FileError, LabError
from labkit.events import Done, Event, Failed, Phase, Saved, Step, Tuned, Warned
from labkit.train.config import EngineConfig, resolve_device
from labkit.train.dials import Dials
from labkit.train.distributed import Team, team
from labkit.train.journal import Journal
from labkit.train.previews import Previewer
from labkit.train.randomness import deterministic
from labkit.train.resume import opened, restored
from labkit.train.train_state import state_of
from labkit.train.trainer import Trainer

POLL = 0.05  # seconds between two looks at the commands while paused
IDLE = 20  # steps without any gradient after which it is said


def drive(
    name: str,
    config: EngineConfig,
    make: Callable[[Team], Trainer],
    run: str | Path | None = None,
    resume: bool = False,
) -> Iterator[Event]:
    """Train, as a stream of events. Every recipe's ``train`` is this with its own ``make``.

    Whoever iterates sets the pace and may stop at any event; the run is then saved. With a run folder the same events
    are written there, checkpoints too, and `labkit.train.commands.send` pauses, steps or stops it from anywhere.
    Under torchrun every process calls this; rank 0 writes, and its events are those to show.

    Args:
        name: of the recipe.
        config: what to do; ``config.steps`` is the total, those of earlier processes included.
        make: sets the recipe up for this process.
        run: run folder; a new one unless ``resume``. None: nothing is written.
        resume: go on from the newest checkpoint of ``run``; on the CPU with the same processes bit for bit as if it
            had never stopped.

    Returns:
        An iterator of events. It ends with `Done`, or with `Failed` where a loss or gradient is not finite.

    Raises:
        LabError: at the first event, before any work: the folder is in use, there already, or holds something that
            does not fit; later whatever a step raises, after it is noted as `Failed`.
    """
    with team(resolve_device(config.device)) as members, deterministic(config.deterministic):
        yield from _session(name, config, make, run, resume, members)


def _session(
    name: str,
    config: EngineConfig,
    make: Callable[[Team], Trainer],
    run: str | Path | None,
    resume: bool,
    members: Team,
) -> Iterator[Event]:
    """One member's work; a function of its own so that the trainer is gone before the team is dissolved."""
    folder = opened(name, config, run, resume) if members.rank == 0 else None
    with Journal.open(folder, config, members) as journal:
        members.wait()  # until the folder is there
        trainer = make(members)
        number, best, warning = restored(trainer, members, run) if resume else (0, -math.inf, "")
        yield from _Loop(config, trainer, journal, members, number, best).run(warning)


class _Loop:
    def __init__(
        self, config: EngineConfig, trainer: Trainer, journal: Journal, members: Team, number: int, best: float
    ) -> None:
        self.config, self.trainer, self.journal, self.team = config, trainer, journal, members
        self.number, self.best = number, best
        self.saved = number or None  # the step of the newest checkpoint
        self.checkpoint = f"checkpoints/{number:06d}" if number else None
        self.paused = self.told_paused = self.stopped = self.single = self.save_asked = self.over = False
        dials = trainer.modules.get("dials")
        self.dials, self.turned = dials if isinstance(dials, Dials) else None, False
        self.previewer = Previewer(config.preview_every if members.rank == 0 else 0.0)
        self.unwritten: list[Event] = []
        self.idle = 0

    def run(self, warning: str) -> Iterator[Event]:
        """Train to the end, whatever the end is."""
        try:
            yield from self.say(Phase(self.number, "started", self.config.steps))
            if self.dials:
                yield from self.say(Tuned(self.number, self.dials.values))
            if warning:
                yield from self.say(Warned(self.number, warning))
            yield from self.train()
        except GeneratorExit:  # whoever iterates has left
            if not self.over:
                for _ in self.save():
                    pass
                self.close(Done(self.number, stopped=True))
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                told = "interrupted in the middle of a step"
            elif self.team.world > 1 and isinstance(error, RuntimeError) and not isinstance(error, LabError):
                told = f"another process of the team is gone, or this one failed ({error!r})"
            else:
                told = repr(error)
            self.close(Failed(self.number, f"{told}; resume from the last checkpoint", self.checkpoint))
            raise

    def train(self) -> Iterator[Event]:
        """The loop itself."""
        if self.number == 0 and self.config.preview_every > 0 and self.team.rank == 0:
            for event in self.trainer.truth():
                yield from self.say(event)
        yield from self.previews()
        while self.number < self.config.steps:
            yield from self.obey()
            if self.stopped:
                break
            streams = {name: stream.get_state() for name, stream in self.trainer.generators.items()}
            began = time.perf_counter()
            try:
                figures = self.trainer.step(self.number + 1)
            except LabError as error:
                for name, state in streams.items():
                    self.trainer.generators[name].set_state(state)
                yield from self.fail(error)
                return
            self.number += 1
            self.paused, self.single = self.paused or self.single, False
            if self.number % self.config.log_every == 0 or self.number == self.config.steps:
                values = {name: float(value) for name, value in figures.items()}
                values["seconds"] = time.perf_counter() - began
                yield from self.say(Step(self.number, self.config.steps, values))
                yield from self.watch(values)
            yield from self.previews()
            if self.number % self.config.save_every == 0:
                yield from self.save()
        yield from self.save()
        while self.saved != self.number and self.journal.writes and not self.stopped:  # the disk is full
            yield from self.obey()
            yield from self.save()
        yield from self.previews(last=True)
        values = {} if self.stopped or self.team.rank else dict(self.trainer.measure(final=True))
        self.over = True
        yield from self.say(Done(self.number, self.stopped, values))

    def say(self, event: Event) -> Iterator[Event]:
        """Write an event and hand it on. What cannot be written is kept, and the run pauses."""
        self.unwritten.append(event)
        warning = None
        while self.unwritten and not warning:
            try:
                self.journal.append(self.unwritten[0])
            except FileError as error:
                self.paused = True
                warning = f"paused, since the run folder cannot be written ({error}); make room and resume"
                break
            except LabError as error:  # a preview that is not finite, say
                warning = f"an event was not written: {error}"
            self.unwritten.pop(0)
        yield event
        if warning:
            yield Warned(self.number, warning)

    def close(self, last: Event) -> None:
        """Write the last words where that is possible; the error or the end that they tell of comes first."""
        with suppress(FileError):
            for event in [*self.unwritten, last]:
                self.journal.append(event)

    def obey(self) -> Iterator[Event]:
        """Do what rank 0 was told; come back when the next step may begin, or never again."""
        while True:
            for command in self.journal.commands():
                match command.name:
                    case "pause":
                        self.paused = True
                    case "resume" | "step":
                        self.paused, self.single = False, command.name == "step"
                    case "stop":
                        self.stopped = True
                    case "set":
                        yield from self.turn(command.arguments)
                    case "save":
                        self.save_asked = True
                    case "preview":
                        self.previewer.ask()
            told = self.team.tell([self.paused, self.stopped, self.save_asked, self.turned])
            self.paused, self.stopped, self.save_asked, self.turned = told
            if self.turned and self.dials:
                self.turned = False
                self.team.copy(self.dials.vector)
                self.saved = None  # the checkpoint of this step, if there is one, does not have it
                yield from self.say(Tuned(self.number, self.dials.values))
            if self.save_asked:
                self.save_asked = False
                yield from self.save()
            if self.paused != self.told_paused:
                self.told_paused = self.paused
                yield from self.say(Phase(self.number, "paused" if self.paused else "running", self.config.steps))
            if self.stopped or not self.paused:
                return
            yield from self.previews()
            time.sleep(POLL)

    def turn(self, values: Mapping[str, object]) -> Iterator[Event]:
        """Turn dials, on rank 0; what cannot be is said."""
        try:
            if self.dials is None:
                raise DomainError("command", "set", "a recipe with dials")
            self.dials.turn(values)
            self.turned = True
        except LabError as error:
            yield from self.say(Warned(self.number, f"not set: {error}"))

    def previews(self, last: bool = False) -> Iterator[Event]:
        """Hand on finished previews and begin one when it is due; the last one is waited for."""
        for event in self.previewer.ready(wait=last):
            yield from self.say(event)
        if self.previewer.due or (last and self.config.preview_every > 0 and self.team.rank == 0):
            self.previewer.start(self.number, self.trainer.snapshot(self.number))
            for event in self.previewer.ready(wait=last):
                yield from self.say(event)

    def save(self) -> Iterator[Event]:
        """Save a checkpoint unless this step has one; where that fails the run pauses."""
        if self.saved == self.number or not self.journal.writes:
            return
        figures: dict[str, float] = {}
        try:
            figures.update(self.trainer.measure(final=False))
        except LabError as error:  # networks that are about to fail, say: what they are is saved all the same
            yield from self.say(Warned(self.number, f"not measured: {error}"))
        score = figures.get(self.trainer.best, -math.inf)
        state = state_of(self.trainer.modules, self.trainer.optimizers, self.trainer.generators)
        top = max(score, self.best)
        facts = {"best": top if math.isfinite(top) else None, "world": self.team.world, "device": self.team.device.type}
        try:
            path = self.journal.save(self.number, replace(state, facts={**state.facts, **facts}), score > self.best)
        except FileError as error:
            self.paused = True
            yield Warned(self.number, f"paused, since the checkpoint cannot be written ({error}); make room and resume")
            return
        self.saved, self.checkpoint = self.number, path
        best, self.best = score > self.best, top
        yield from self.say(Saved(self.number, path, best, figures))

    def fail(self, error: LabError) -> Iterator[Event]:
        """Keep the batch and the state before the failed step."""
        told = f"step {self.number + 1}: {error}"
        with suppress(FileError):
            batch = self.journal.save_batch(self.number + 1, self.trainer.batch)
            told += f"; its batch is in {batch}" if batch else ""
        yield from self.save()
        self.over = True
        yield from self.say(Failed(self.number, told, self.checkpoint))

    def watch(self, values: dict[str, float]) -> Iterator[Event]:
        """Say once when nothing moves any more."""
        self.idle = self.idle + 1 if values.get("gradient") == 0 else 0
        if self.idle == IDLE:
            told = f"no gradient for {IDLE} steps: nothing that is fitted is seen in any picture"
            yield from self.say(Warned(self.number, told))
            self.previewer.ask()
