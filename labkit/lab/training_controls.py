"""The controls of a training panel: what to train, what to do with the run, and how far it is."""

from __future__ import annotations

import html
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as W
import psutil
import torch

from labkit.lab import controls
from labkit.lab.training_history import Seen
from labkit.lab.training_plan import PROCESSES, runs_below
from labkit.train.run_folder import RunFolder

if TYPE_CHECKING:
    from labkit.lab.training_panel import TrainingPanel

WORDS = {"ready": "not started", "running": "running", "paused": "paused", "done": "done", "stopped": "stopped"}
NEW = ("a new run (press Start)", "")


class TrainingControls:
    """Makes the controls and keeps them in step with the run.

    Args:
        panel: what they belong to; its methods are called guarded.

    Attributes:
        progress: buttons, bar, and the slider over saved previews.
        plan: HTML: what *Start* would do.
        exported: HTML: where the last export went.
    """

    def __init__(self, panel: TrainingPanel) -> None:
        self._panel = panel
        self._telling = threading.RLock()  # so that no callback takes what is set here for a person's wish
        self._quiet = False
        self._listed: tuple[str, str] | None = None
        self.start = self._button("Start", "play", "Begin a new run with the controls on the left", panel.start)
        self.toggle = self._button("Pause", "pause", "Pause after the step in hand, and go on", self._toggled)
        self.one = self._button("Step", "step-forward", "One step, then pause", panel.step)
        self.halt = self._button("Stop", "stop", "End the run; it is saved and can be resumed", panel.stop)
        self.resume = self._button("Resume", "forward", "Go on from the last checkpoint, up to the steps", panel.resume)
        self.save = self._button("Save now", "save", "Write a checkpoint", panel.save_now)
        self.preview = self._button("Preview now", "eye", "Make a preview", panel.preview_now)
        self.bar = W.FloatProgress(min=0.0, max=1.0, layout=W.Layout(width="200px"))
        self.text, self.facts = W.HTML(), W.HTML()
        self.text.add_class("labkit-progress")
        self.slider = W.IntSlider(
            max=0, description="previews: step", continuous_update=True, layout=W.Layout(width="420px")
        )
        self.slider.style.description_width = "105px"
        self.slider.tooltip = "Drag back to see earlier previews; at the right end it follows the newest"
        self.slider.add_class("labkit-scrub")
        self.slider.observe(panel.guard(self._scrubbed), "value")
        buttons = [self.start, self.toggle, self.one, self.halt, self.resume, self.save, self.preview]
        row = W.Layout(flex_flow="row wrap")
        self.progress = W.VBox(
            [W.HBox(buttons, layout=row), W.HBox([self.bar, self.text], layout=row), self.facts, self.slider],
            layout=W.Layout(width="630px"),
        )
        self.progress.add_class("labkit-run")
        self.plan, self.exported = W.HTML(), W.HTML()
        self.menu = W.Dropdown(description="show", options=[NEW], tooltip="Runs that are at work are marked")
        controls.dress(self.menu, "runs")
        self.menu.observe(panel.guard(self._chosen), "value")

    def column(self, presets: Sequence[str], more: Sequence[W.Widget]) -> W.Widget:
        """The column on the left; ``more`` stands below what is to be trained."""
        panel, make = self._panel, controls.Controls(self._panel)
        steps, seed = W.BoundedIntText(min=1, max=10**9), W.BoundedIntText(min=0, max=2**31)
        overrides = W.Textarea(rows=2, placeholder="any field, such as\nsave_every = 100", continuous_update=False)
        for widget, field, text in ((steps, "steps", "steps in all"), (seed, "seed", "seed")):
            widget.description = text
            controls.dress(widget, field)
            panel.bind(widget, field)
        overrides.description = "change fields"
        controls.dress(overrides, "overrides")
        panel.bind(overrides, "overrides")
        exports = [
            self._button(text, "download", tip, partial(panel.export, what))
            for text, what, tip in (
                ("OBJ", "obj", "The surface that is shown, as OBJ"),
                ("GLB", "glb", "The surface that is shown, as GLB"),
                ("curves PNG", "png", "The loss curves as they are shown"),
                ("curves CSV", "csv", "Every figure of every reported step"),
                ("run as ZIP", "zip", "The whole run folder: config, diary, previews, checkpoints"),
            )
        ]
        again = self._button("Refresh", "refresh", "Look for runs again", self.list_runs)
        return controls.column(
            controls.heading("What to train"),
            make.menu("preset", "preset", presets, "Sizes and numbers that fit together"),
            steps,
            seed,
            make.menu("where", "runs in", list(PROCESSES), "A process of its own outlives this kernel"),
            overrides,
            self.plan,
            *more,
            controls.heading("Runs"),
            self.menu,
            again,
            controls.heading("Curves"),
            make.switch("log", "logarithmic", "What is not positive is left out"),
            make.slider("smoothing", "smoothing", 0.02, "Weight of the past in the moving average"),
            controls.heading("Take along"),
            W.HBox(exports, layout=W.Layout(flex_flow="row wrap")),
            self.exported,
        )

    def tell(self, run: Path | None, seen: Seen, shown: int, facts: str, own: bool) -> None:
        """Bring everything up to date.

        Args:
            run: that is shown.
            seen: how it stands.
            shown: the step whose previews are shown.
            facts: HTML about the process that holds it.
            own: whether a thread of this panel works.
        """
        with self._telling:
            self._quiet = True
            try:
                self.slider.max = seen.newest_preview
                self.slider.value = shown
            finally:
                self._quiet = False
        controls.show_if(self.slider, seen.newest_preview > 0)
        paused = seen.word == "paused"
        self.toggle.description, self.toggle.icon = ("Go on", "play") if paused else ("Pause", "pause")
        for button in (self.toggle, self.one, self.halt, self.save, self.preview):
            button.disabled = not seen.active
        self.start.disabled = own
        self.resume.disabled = run is None or own or seen.active
        self.bar.value = seen.number / seen.total if seen.total else 0.0
        self.bar.bar_style = {"failed": "danger", "done": "success"}.get(seen.word, "")
        self.text.value = f"<b>{_progress(run, seen)}</b>"
        self.facts.value = f'<div style="{controls.SCALE_STYLE}">{facts}</div>'
        if self._listed != (str(run), seen.word):
            self.list_runs()
            self._listed = (str(run), seen.word)

    def list_runs(self) -> None:
        """Look for runs, and let the menu show the present one."""
        run = self._panel.path
        options = [NEW, *runs_below(self._panel.runs, self._panel.recipe.NAME)]
        if run is not None and str(run) not in [path for _, path in options]:
            options.append((run.name, str(run)))
        with self._telling:
            self._quiet = True
            try:
                self.menu.options = options
                self.menu.value = "" if run is None else str(run)
            finally:
                self._quiet = False

    def _button(self, text: str, icon: str, tip: str, action: Callable[[], Any]) -> W.Button:
        made = W.Button(description=text, icon=icon, tooltip=tip, layout=W.Layout(width="auto"))
        made.on_click(self._panel.guard(lambda _: action()))
        made.add_class(f"labkit-do-{icon}")
        return made

    def _toggled(self) -> None:
        if self.toggle.description == "Pause":
            self._panel.pause()
        else:
            self._panel.go_on()

    def _scrubbed(self, change: Any) -> None:
        with self._telling:
            if not self._quiet:
                at_end = change["new"] >= self.slider.max
                self._panel.set(step=None if at_end else change["new"])

    def _chosen(self, change: Any) -> None:
        with self._telling:
            if self._quiet:
                return
        if change["new"]:
            self._panel.attach(change["new"])
        else:
            self._panel.detach()


def _progress(run: Path | None, seen: Seen) -> str:
    """How far a run is, in words."""
    if run is None:
        return "Press Start."
    if seen.word == "ready":
        return "starting"
    told = [WORDS.get(seen.word, seen.word), f"step {seen.number:,} of {seen.total:,}"]
    if seen.rate is not None:
        told.append(f"{seen.rate:.3g} steps/s")
    if seen.active and seen.seconds_left is not None:
        told.append(f"{duration(seen.seconds_left)} left")
    return html.escape(" · ".join(told))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def facts_of(path: Path, seen: Seen) -> str:
    """HTML: where the run is, who works on it and with how much memory, and what is saved."""
    told = [f"<code>{html.escape(str(path))}</code>"]
    owner = RunFolder.open(path).owner if seen.active else {}
    if owner:
        told.append(f"{owner.get('device')}{f', {count} processes' if (count := owner.get('world_size')) != 1 else ''}")
        told.append(f"process {owner.get('pid')} on {html.escape(str(owner.get('host')))}")
        if owner.get("host") == socket.gethostname():
            with suppress(psutil.Error):
                told.append(f"{psutil.Process(owner['pid']).memory_info().rss / 2**20:,.0f} MB")
        if str(owner.get("device")).startswith("cuda") and torch.cuda.is_initialized():
            free, total = torch.cuda.mem_get_info(owner["device"])
            told.append(f"GPU {(total - free) / 2**30:.1f} of {total / 2**30:.0f} GB in use")
    told.append("no checkpoint yet" if seen.checkpoint is None else f"checkpoint of step {seen.checkpoint:,}")
    return " &middot; ".join(told)
