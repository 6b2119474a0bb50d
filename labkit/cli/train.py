"""``labkit train``: a recipe in a run folder, shown on the terminal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.conf import Positional, arg

from labkit.cli import UsageError
from labkit.cli.progress import Progress
from labkit.errors import DomainError, LabError, check_positive
from labkit.events import Event, Failed, Phase
from labkit.train.checkpoint import Checkpoints
from labkit.train.commands import send
from labkit.train.config import EngineConfig, from_json
from labkit.train.event_log import LogReader
from labkit.train.follow import follow
from labkit.train.launch import start, stop_hard
from labkit.train.recipes import RECIPES, Recipe, recipe
from labkit.train.run_folder import CONFIG, new_path, read_json
from labkit.train.tensorboard import TensorBoardSink

PRESET = "cpu"
C = TypeVar("C", bound=EngineConfig)


@dataclass(frozen=True)
class Train:
    """Train a recipe in a run folder."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """The recipe, before its options; a name with a dot is the import path of a module that is one."""

    def run(self) -> int:
        """Never called: words with a recipe make a `Training`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is said about a run beside its recipe's own fields."""

    preset: Annotated[str | None, arg(metavar="NAME")] = None
    """Where the fields below start from; cpu if not given."""
    like: Annotated[Path | None, arg(metavar="FILE")] = None
    """The config.json of another run, to start from instead of a preset."""
    folder: Annotated[Path | None, arg(name="run", metavar="FOLDER")] = None
    """The run folder; a new one in runs/ if not given."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the newest checkpoint of --run, with its config.json and the fields that are given."""
    processes: int = 1
    """How many train together, as if they were one; they outlive this terminal."""
    tensorboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also write figures and pictures for TensorBoard into the run folder."""

    def __post_init__(self) -> None:
        check_positive("--processes", self.processes)


@dataclass(frozen=True, kw_only=True)
class Training(Options, Generic[C]):
    """One run, as the words describe it.

    Attributes:
        recipe: its name or import path.
        config: the recipe's own fields.
    """

    recipe: tyro.conf.Suppress[str]
    config: Annotated[C, arg(name="")]

    def run(self) -> int:
        """Train and show it; return 0 at the end or where it was stopped, 1 where it failed.

        The first Ctrl-C, or SIGTERM, lets it finish the step and save; the second ends it at once.

        Raises:
            LabError: the folder, the config or the checkpoint does not fit.
            KeyboardInterrupt: it was ended at once.
        """
        chosen = recipe(self.recipe)
        path = self.folder or new_path(chosen.NAME)
        steps = self.config.steps
        if self.resume and (done := max(Checkpoints(path).numbers(), default=0)) >= steps:
            print(f"{path}: all {steps} steps are done (it has {done}); --steps asks for more")
            return 0
        if int(os.environ.get("RANK", 0)):  # rank 0 speaks for all
            with _stoppable(path, lambda text: None):
                return _watch(chosen.train(self.config, path, self.resume), lambda event: None)
        print(f"{path}: {chosen.NAME}, {steps} steps", flush=True)
        with Progress.open() as progress, ExitStack() as stack:
            if self.processes > 1:
                return self._detached(path, progress)
            sink = stack.enter_context(TensorBoardSink.open(path)) if self.tensorboard else None

            def tell(event: Event) -> None:
                progress.show(event)
                if sink:
                    sink.add(event)

            with _stoppable(path, progress.line):
                return _watch(chosen.train(self.config, path, self.resume), tell)

    def _detached(self, path: Path, progress: Progress) -> int:
        """The same by processes of their own."""
        earlier = sum(_starts(event) for event in LogReader(path).new())
        told = self.recipe, path, self.config
        pid = start(*told, resume=self.resume, processes=self.processes, tensorboard=self.tensorboard)
        try:
            with _stoppable(path, progress.line):
                return _watch(_after(follow(path, previews="none"), earlier), progress.show)
        except KeyboardInterrupt:
            stop_hard(pid)
            raise


def understand(words: Sequence[str]) -> Any:
    """The command that the words after ``labkit train`` describe, by tyro.

    The preset, or the run that is resumed, is looked for first: the recipe's fields start from it.

    Raises:
        UsageError, LabError: they describe none.
        SystemExit: they describe none or ask for help; tyro has said more.
    """
    if not words or words[0].startswith("-"):
        listed = "\n".join(f"{name}: presets {', '.join(recipe(name).PRESETS)}" for name in RECIPES)
        about = f"Train a recipe in a run folder. labkit train RECIPE --help lists its options.\n\n{listed}"
        return tyro.cli(Train, prog="labkit train", description=about, args=words)
    name, *rest = words
    chosen = recipe(name)
    options, _ = tyro.cli(Options, args=rest, return_unknown_args=True, add_help=False)
    usual: Any = Training(recipe=name, config=_base(chosen, options))
    prog, about = f"labkit train {name}", f"Train {chosen.NAME} in a run folder."
    return tyro.cli(Training[chosen.Config], default=usual, prog=prog, description=about, args=rest)  # type: ignore[name-defined]


def _base(chosen: Recipe, options: Options) -> EngineConfig:
    """Where the recipe's fields start from."""
    if options.resume and not options.folder:
        raise UsageError("--resume needs --run, the folder of the run to go on with")
    if options.preset and (options.like or options.resume):
        raise UsageError("--preset goes neither with --like nor with --resume")
    file = options.like or (options.folder / CONFIG if options.resume and options.folder else None)
    if file:
        return from_json(chosen.Config, read_json(file).get("config"))
    preset = options.preset or PRESET
    if preset not in chosen.PRESETS:
        raise DomainError("--preset", preset, f"one of {', '.join(chosen.PRESETS)}")
    return chosen.PRESETS[preset]


def _watch(events: Iterator[Event], tell: Callable[[Event], None]) -> int:
    """The exit code of a run, every event of which is told."""
    code = 0
    for event in events:
        tell(event)
        code = 1 if isinstance(event, Failed) else code
    return code


def _starts(event: object) -> bool:
    return isinstance(event, Phase) and event.name == "started"


def _after(events: Iterator[Event], starts: int) -> Iterator[Event]:
    """The events of the processes after that many."""
    for event in events:
        starts -= _starts(event)
        if starts < 0:
            yield event


@contextmanager
def _stoppable(run: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Within it the first SIGINT or SIGTERM sends "stop" to the run, and the next raises KeyboardInterrupt."""
    asked = threading.Event()

    def ask() -> None:
        try:
            send(run, "stop")
            say("stopping after this step; Ctrl-C again ends it at once, and the newest checkpoint stands")
        except LabError as error:
            say(f"it cannot be asked to stop ({error}); Ctrl-C again ends it at once")

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set() or not (run / CONFIG).exists():
            raise KeyboardInterrupt
        asked.set()
        # A thread of its own: the signal may have come in the middle of anything, also of writing or locking.
        threading.Thread(target=ask, name="labkit-stop", daemon=True).start()

    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)
