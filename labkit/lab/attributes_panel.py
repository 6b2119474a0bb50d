"""One optimization live: target, start, current, difference, and its history to play and scrub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W
import numpy as np

from labkit.events import Event
from labkit.lab.attributes_history import ERROR, Run, Task, difference, mosaic
from labkit.lab.attributes_plots import GOAL, share_curves
from labkit.lab.controls import SCALE_STYLE, device, titled
from labkit.lab.image_view import ImageView, fixed_image, to_bytes
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.state import between

SIDE = 200  # CSS pixels of a picture
PLOT = (412, 190)  # width and height of a plot
LONGEST = 10_000  # steps
Frame = tuple[Run, int, np.ndarray]  # a run, a step that has a picture, and that picture


@dataclass(frozen=True)
class AttributesState:
    """What is looked at.

    Attributes:
        step: of the history; where that has no picture, the one before it is shown.
    """

    step: int = between(0, 0, LONGEST)


class AttributesPanel(Panel):
    """Press Run and watch an optimization; then play or scrub its history.

    Args:
        task: what is run; see `take` for another one.
        name: as for `Panel`; one for each panel of a page.
        changed: called on the worker when there is a new picture, and when the work has paused or ended.

    Attributes:
        run: what is known of the present task: the newest run, or one that has only its start.
    """

    State: ClassVar[type] = AttributesState

    def __init__(self, task: Task, name: str | None = None, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._set_task(task)
        super().__init__(name)

    def _set_task(self, task: Task) -> None:
        self.run = Run(task)
        self._target = mosaic([to_bytes(image) for image in task.target])
        apart = np.abs(self.run.pictures[0].astype(np.float32) - self._target).mean(-1)
        self._most = max(1.0, float(apart.max()))  # of 255

    def build(self) -> W.Widget:
        """Make runner, history controls and views."""
        self.runner = self.own(Runner(self._begin, self._receive, self._refresh, self.fail))
        self.views = {name: self.own(ImageView(SIDE, SIDE)) for name in ("target", "start", "current", "difference")}
        self.scales = {name: W.HTML() for name in self.views}
        for name, view in self.views.items():
            view.widget.add_class(f"labkit-{name}")
        self.curve, self.distances = fixed_image(*PLOT), fixed_image(*PLOT)
        self.curve.add_class("labkit-error-curve")
        self.title, self.told = W.HTML(), W.HTML()
        self._slider = W.IntSlider(description="step", max=LONGEST, layout=W.Layout(width="420px"))
        self._slider.add_class("labkit-step")
        self._play = W.Play(max=LONGEST, interval=100, tooltip="Play the history")
        self.bind(self._slider, "step")
        self.own(W.jslink((self._play, "value"), (self._slider, "value")))
        self._fit_controls()
        apart = W.Layout(margin="0 8px 0 0")
        pictures = W.HBox(
            [W.VBox([titled(name, view.widget), self.scales[name]], layout=apart) for name, view in self.views.items()]
        )
        plots = W.HBox([titled("error", self.curve), titled("distance from the truth", self.distances)])
        history = W.HBox([W.HTML("history"), self._play, self._slider])
        return W.VBox([self.title, self.runner.widget, history, pictures, self.told, plots])

    def _fit_controls(self) -> None:
        """Let the history controls and the title follow the task."""
        task = self.run.task
        self._slider.max = self._play.max = task.steps
        self._play.step = max(1, task.steps // 50)
        self.title.value = f"<b>{task.title}</b>"
        self._show_still(self.views["target"], "target", self._target)
        self._show_still(self.views["start"], "start", self.run.pictures[0])

    def _show_still(self, view: ImageView, name: str, picture: np.ndarray) -> None:
        view.show(picture)
        self.scales[name].value = _scale(f"{len(self.run.task.target)} views")

    def take(self, task: Task) -> None:
        """Show another task from its start; a run of the earlier one ends."""
        self.runner.stop()
        self.runner.join()
        self.set(step=0)
        self._set_task(task)
        self._fit_controls()
        self.scheduler.submit(self.record)

    # ---- on the panel's worker -------------------------------------------------------------------------------------

    def render(self, state: AttributesState, quality: Quality) -> Frame:
        """Look the picture up."""
        run = self.run
        return run, *run.picture(state.step)

    def show(self, result: Frame, quality: Quality) -> None:
        """The picture and its difference at once, the plots at rest."""
        run, step, picture = result
        self.views["current"].show(picture)
        self.views["difference"].show(difference(picture, self._target, self._most))
        self.scales["current"].value = _scale(f"step {step}")
        self.scales["difference"].value = _scale(f"black: none, white: {self._most / 255:.2g} or more")
        if quality == "fine":
            self._show_figures(run, step)

    def _show_figures(self, run: Run, step: int) -> None:
        now = run.at(step)
        first = run.task.figures
        told = [f"step {step} of {run.task.steps}"]
        told += [f"{name} {first[name]:.3g} &rarr; <b>{value:.3g}</b>" for name, value in now.items()]
        told.append(f"error now <b>{now[ERROR] / first[ERROR]:.1%}</b> of the start")
        self.told.value = f'<div class="labkit-told" style="line-height:18px">{" &middot; ".join(told)}</div>'
        count = len(run.measured)
        lines = {name: values[:count] for name, values in run.figures.items()}
        error = {ERROR: lines.pop(ERROR)}
        self.curve.value = share_curves(run.measured[:count], error, run.task.steps, step, PLOT, GOAL)
        self.distances.value = share_curves(run.measured[:count], lines, run.task.steps, step, PLOT)

    # ---- on the runner's worker ------------------------------------------------------------------------------------

    def _begin(self) -> Iterator[Event]:
        """A new run; its history begins at the start."""
        self.run = Run(self.run.task)
        return self.run.events()

    def _receive(self, event: Event) -> None:
        self.run.receive(event)

    def _refresh(self) -> None:
        """Show the newest picture, and tell whoever listens."""
        if self.runner.state == "running" and self.headless:  # nobody watches
            return
        newest = self.run.steps[-1]
        if newest != self.record.step or self.runner.state != "running":
            self.set(step=newest)
            self._changed()

    def caption(self) -> str:
        """Size of the pictures, seconds of work, and what computes."""
        height, width = self.run.task.target.shape[-2:]
        return f"{width} x {height} pixels a view &middot; {self.run.seconds:.1f} s of work &middot; {device()}"

    def png(self) -> bytes | None:
        """The current pictures, kept in the notebook for readers without a kernel."""
        return self.views["current"].png()


def _scale(text: str) -> str:
    return f'<div style="{SCALE_STYLE}">{text}</div>'
