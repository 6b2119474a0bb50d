"""Every training run live: start, watch, pause, scrub back, stop, come back after a restart, resume, export."""

from __future__ import annotations

import html
import os
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import ipywidgets as W

from labkit.errors import BackendError, DomainError
from labkit.events import MeshPreview, Picture, Warned
from labkit.lab.closing import close_tree
from labkit.lab.controls import device
from labkit.lab.panel import Panel
from labkit.lab.scheduler import NewestWins, Quality
from labkit.lab.training_controls import TrainingControls, facts_of
from labkit.lab.training_dials import NO_WORDS, TrainingDials, Words
from labkit.lab.training_export import curves_csv, export_bytes, export_mesh, export_run
from labkit.lab.training_history import History, Seen, earlier
from labkit.lab.training_plan import (
    PROCESSES,
    TrainingState,
    config_of,
    dials_of,
    first_look,
    outlook,
    planned,
    word_for,
)
from labkit.lab.training_session import Events, Follower, Work, launched
from labkit.lab.training_views import Frame, TrainingViews
from labkit.train.commands import send
from labkit.train.config import EngineConfig, from_json
from labkit.train.recipes import Recipe
from labkit.train.run_folder import RunFolder, new_path

REDRAW = 1 / 8  # seconds between two redraws at least
REST = 4.0  # and so many times as long as the last one took: at most a fifth of one core draws


class TrainingPanel(Panel):
    """Choose a preset, press *Start*, watch.

    A recipe with more to show has a subclass with its own `Views`, a `State` out of `TrainingState` whose controls
    `options` makes, and `words` for the sliders of its dials, which every recipe with ``dials(config)`` gets.

    A run is shown by its folder alone, whoever works on it: a thread of this kernel, a process of its own, or one that
    was started elsewhere. So after a restart of the kernel the same run is chosen from the menu, or by
    ``TrainingPanel(recipe, run="runs/x")``; it goes on where it is, or from its last checkpoint by *Resume*. To close
    the panel stops a run of this kernel, which saves itself first, and leaves every other one alone. Headless, `start`
    and `resume` return when the run has ended, and raise its error.

    Args:
        recipe: what is trained, such as the module `labkit.train.udr`.
        name: as for `Panel`.
        runs: where run folders are.
        run: one of them, to begin with.
        **changes: fields of `TrainingState`; a preset brings its own number of steps and its seed.

    Attributes:
        path: of the run that is shown, or None.
        seen: that run, as it stands.
        frame: what is shown, or None before the first picture.
    """

    State: ClassVar[type] = TrainingState
    Views: ClassVar[type[TrainingViews]] = TrainingViews
    words: ClassVar[Words] = NO_WORDS  # for the sliders of the recipe's dials, see `TrainingDials`

    def __init__(
        self,
        recipe: Any,
        name: str | None = None,
        runs: str | os.PathLike[str] = "runs",
        run: str | os.PathLike[str] | None = None,
        **changes: Any,
    ) -> None:
        self.recipe: Recipe = recipe
        self.runs, self.path = Path(runs), None if run is None else RunFolder.open(run).path
        self._diary, self.seen = History(), Seen()
        self._work: Work | None = None
        self._follower: Follower | None = None
        self._planned: tuple[Hashable, str, EngineConfig | None] | None = None
        self._look, self._looked_at = Seen(), cast(EngineConfig | None, None)  # before a run, and with which config
        self._loaded: dict[Path, MeshPreview | Picture] = {}  # of an earlier step that is looked at
        self.frame: Frame | None = None
        self._error: Exception | None = None
        preset = changes.pop("preset", "cpu" if "cpu" in recipe.PRESETS else next(iter(recipe.PRESETS)))
        if preset not in recipe.PRESETS:
            raise DomainError("preset", repr(preset), f"one of {', '.join(recipe.PRESETS)}")
        super().__init__(name, **{**self._preset(preset), **changes})
        if run is not None:
            self.attach(run)

    def _preset(self, preset: str) -> dict[str, Any]:
        config = self.recipe.PRESETS[preset]
        return {"preset": preset, "steps": config.steps, "seed": config.seed}

    def set(self, **changes: Any) -> None:
        """Change fields of the state; another preset brings its own number of steps and seed.

        Raises:
            DomainError: as for `Panel.set`.
        """
        if changes.get("preset") in self.recipe.PRESETS:
            changes = {**self._preset(changes["preset"]), **changes}
        super().set(**changes)

    def build(self) -> W.Widget:
        """Make controls and views."""
        self.views = self.own(self.Views(self.fail))
        self.dials = self.own(TrainingDials(self._send, self.guard, self.fail, self.words))
        self.controls = TrainingControls(self)
        self._looking: NewestWins[EngineConfig, Seen] = self.own(
            NewestWins(  # on a thread of its own: some recipes render or read many pictures first
                lambda config, quality: first_look(self.recipe, config),
                self._looked,
                self.fail,
                rest=0.0,
                synchronous=self.headless,
            )
        )
        side = self.controls.column(list(self.recipe.PRESETS), [self.dials.widget, *self.options()])
        right = W.VBox([self.controls.progress, self.views.widget])
        box = W.HBox([side, right], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-train")
        return box

    def options(self) -> list[W.Widget]:
        """Make and bind the controls of what a subclass adds to the state; called once, after the views."""
        return []

    # ---- what a person asks for ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new run with what the controls say.

        Raises:
            LabError: the controls do not fit together, or an earlier run of this panel is still at work.
        """
        self._work_on(new_path(self.recipe.NAME, self.runs), planned(self.recipe, self.record), resume=False)

    def resume(self) -> None:
        """Let the shown run go on from its newest checkpoint, up to as many steps in all as the controls say.

        Raises:
            LabError: no run is shown, it is at work, or it belongs to another recipe.
        """
        if self.path is None:
            raise DomainError("run", "none", "a run: choose one in the menu, or start one")
        folder = RunFolder.open(self.path)
        if folder.recipe != self.recipe.NAME:
            raise DomainError("run", f"one of {folder.recipe!r}", f"a run of {self.recipe.NAME!r}")
        if folder.running:
            raise DomainError("run", "a run at work", "one that has ended; press Stop first")
        config = replace(from_json(self.recipe.Config, folder.config), steps=self.record.steps)
        self._work_on(self.path, config, resume=True)

    def _work_on(self, path: Path, config: EngineConfig, resume: bool) -> None:
        if self._work is not None and self._work.alive:
            raise DomainError("run", f"{self.path or 'one'}, still at work", "one run of a panel at a time; press Stop")
        processes, self._error = PROCESSES[self.record.where], None
        self.set(step=None)
        events = (
            launched(word_for(self.recipe), path, config, resume, processes)
            if processes
            else cast(Events, self.recipe.train(config, run=path, resume=resume))
        )
        self._work = Work(
            path, events, not processes, lambda: self._follow(path), self._warned, self._publish, self._failed
        )
        self._work.run()
        self._publish()
        if self.headless and self.seen.word == "failed":
            raise BackendError("run", self.seen.messages[-1][-1], "a run that ends well")

    def pause(self) -> None:
        """Pause after the step in hand."""
        self._send("pause")

    def go_on(self) -> None:
        """Go on after a pause."""
        self._send("resume")

    def step(self) -> None:
        """One step, then pause."""
        self._send("step")

    def stop(self) -> None:
        """End the run after the step in hand; it is saved and can be resumed."""
        self._send("stop")

    def save_now(self) -> None:
        """Let the run save a checkpoint."""
        self._send("save")

    def preview_now(self) -> None:
        """Let the run make a preview."""
        self._send("preview")

    def _send(self, command: str, **arguments: float) -> None:
        if self.path is None or not RunFolder.open(self.path).running:
            raise DomainError("run", "none at work", f"a run at work, to {command}; press Start or Resume")
        send(self.path, command, **arguments)

    def attach(self, run: str | os.PathLike[str]) -> None:
        """Show a run, at work or not. A run of this kernel that the panel showed before is stopped and saved.

        Raises:
            FileError: no run there.
        """
        folder = RunFolder.open(run)
        if self.path is None or folder.path != self.path.absolute():
            self._end_work()
        steps = folder.config.get("steps")
        self.set(step=None, **({"steps": steps} if isinstance(steps, int) else {}))
        self._follow(Path(run))

    def detach(self) -> None:
        """Show no run. A run of this kernel is stopped and saved."""
        self._end_work()
        self._end_following()
        self.path, self._diary = None, History()
        self._publish()

    def join(self, timeout: float = 60.0) -> None:
        """Wait until the run has ended and all of it is shown.

        Raises:
            BackendError: it has not after ``timeout`` seconds.
            Exception: what the run itself has raised.
        """
        if not (self._work is None or self._work.join(timeout)) or not (
            self._follower is None or self._follower.join(timeout)
        ):
            raise BackendError("join", f"a run still at work after {timeout} s", "one that ends")
        self.flush(timeout)
        if self._error is not None:
            raise self._error

    def export(self, what: str) -> Path:
        """Write the shown surface ("obj", "glb"), the curves ("png", "csv") or the run ("zip") into ``exports``.

        Raises:
            DomainError: there is nothing of the kind yet.
            FileError: it cannot be written.
        """
        frame = self.frame
        if what in ("obj", "glb"):
            if frame is None or frame.surface is None:
                raise DomainError("surface", "none", "a run with a preview of its surface")
            path = export_mesh(frame.surface, f".{what}")
        elif self.path is None:
            raise DomainError("run", "none", "a run: start one, or choose one in the menu")
        elif what == "zip":
            path = export_run(self.path)
        else:
            data = curves_csv(self.path) if what == "csv" else bytes(self.views.curves.value)
            path = export_bytes(f"{self.path.name}-curves", f".{what}", data)
        self.controls.exported.value = f"written: <code>{html.escape(str(path))}</code>"
        return path

    # ---- the run and its folder, on threads of the session -----------------------------------------------------------

    def _follow(self, path: Path) -> None:
        self._end_following()
        if self._closed:
            return
        self.path, self._diary = path, History()
        self._follower = Follower(path, self._diary, self._publish, self._failed)

    def _publish(self) -> float:
        self.seen = self._diary.seen()
        self.scheduler.submit(self.record)
        return max(REDRAW, REST * self.views.seconds)

    def _warned(self, event: Warned) -> None:
        self._diary.receive(event)
        self._publish()

    def _failed(self, error: Exception) -> None:
        self._error = error
        self.fail(error)

    def _end_work(self) -> None:
        if self._work is not None:
            self._work.close()
            self._work = None

    def _end_following(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def close(self) -> None:
        """Stop and save a run of this kernel, stop following any other one, close every widget."""
        if not self._closed:
            self._end_work()
            self._end_following()
        super().close()
        close_tree(self.controls.menu)

    # ---- on the panel's worker ---------------------------------------------------------------------------------------

    def render(self, state: TrainingState, quality: Quality) -> tuple[Frame, str, str]:
        """What is to be seen, what Start would do, and who works."""
        key = (state.preset, state.steps, state.seed, state.overrides)
        if self._planned is None or self._planned[0] != key:
            self._planned = key, *outlook(self.recipe, state)
        _, plan, config = self._planned
        path, seen = self.path, self.seen
        if path is None:
            if config is not None and config != self._looked_at:
                self._looked_at = config
                self._looking.submit(config)
            return Frame(str(id(self._look)), seen, state, self._look.meshes, self._look.pictures, config), plan, ""
        meshes, pictures = seen.meshes, seen.pictures
        if state.step is not None and state.step < seen.newest_preview:
            meshes, pictures = earlier(path, seen, state.step, self._loaded)
        config = config_of(self.recipe, path)
        return Frame(str(path), seen, state, meshes, pictures, config), plan, facts_of(path, seen)

    def show(self, result: tuple[Frame, str, str], quality: Quality) -> None:
        """Hand everything to the views and controls."""
        frame, plan, facts = result
        self.frame = frame
        self.controls.plan.value = plan
        own = self._work is not None and self._work.alive
        self.controls.tell(self.path, frame.seen, frame.number, facts, own)
        self.dials.tell(frame.run, dials_of(self.recipe, frame.config), frame.seen)
        self.views.show(frame)

    def _looked(self, look: Seen, quality: Quality) -> None:
        """There is something to see before the run: show it."""
        self._look = look
        if not self.headless:
            self.scheduler.submit(self.record)

    def caption(self) -> str:
        """What computes here."""
        return device()

    def png(self) -> bytes:
        """The curves, kept in the notebook for readers without a kernel."""
        return bytes(self.views.curves.value)
