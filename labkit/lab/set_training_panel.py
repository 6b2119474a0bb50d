"""Three networks trained live on sets: without a sort, with a hard one, with a soft one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W

from labkit.events import Event, Step
from labkit.lab import set_training_plots as plots
from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.sorting_controls import WIDTH, bound, lines, log_slider
from labkit.lab.sorting_training import RIVALS, TASKS, rivals, train
from labkit.lab.state import between, one_of
from labkit.smooth.algorithmic_layer import INSERTIONS

LOSSES, SENSITIVITY = (612, 290), (612, 210)  # width and height of the pictures


@dataclass(frozen=True)
class SetTrainingState:
    """What is trained.

    Attributes:
        task: the question (`labkit.lab.sorting_training.sample`).
        insertion: how the sort is put in (`labkit.smooth.AlgorithmicLayer`).
        steepness: s of the soft sort, per unit of the codes, which the network scales as it likes.
        steps: training steps.
        seed: start weights and sets.
    """

    task: str = one_of(*TASKS)
    insertion: str = one_of(*INSERTIONS)
    steepness: float = between(8.0, 0.1, 1000.0)
    steps: int = between(500, 10, 2000)
    seed: int = between(0, 0, 10**6)


class SetTrainingPanel(Panel):
    """Choose a question about sets, run, and see which of three networks learns to answer it.

    ``SetTrainingPanel(task="median score", steps=200)`` starts elsewhere; the fields are those of `SetTrainingState`.
    Any change ends a run: the next one begins anew.
    """

    State: ClassVar[type] = SetTrainingState

    def build(self) -> W.Widget:
        """Make controls and pictures."""
        self.history: dict[str, list[float]] = defaultdict(list)
        self.trained: SetTrainingState | None = None  # what the history belongs to
        self.runner = self.own(Runner(self._begin, self._receive, self._draw, self.fail))
        self.count, self.told = W.HTML(), W.HTML()
        controls = W.VBox(
            [
                bound(self, W.Dropdown(options=TASKS), "task", "question"),
                bound(self, W.Dropdown(options=INSERTIONS), "insertion", "sort put in"),
                bound(self, log_slider(-1, 3), "steepness", "steepness s (1/unit)"),
                bound(self, W.IntSlider(min=10, max=2000, step=10), "steps", "training steps"),
                bound(self, W.BoundedIntText(min=0, max=10**6), "seed", "seed"),
                self.runner.widget,
                self.count,
                self.told,
            ],
            layout=W.Layout(width=WIDTH, min_width=WIDTH),
        )
        self.losses, self.sensitivity = fixed_image(*LOSSES), fixed_image(*SENSITIVITY)
        self.losses.add_class("labkit-losses")
        views = W.VBox([self.losses, W.HTML("<b>sensitivity of the soft sort</b>"), self.sensitivity])
        box = W.HBox([controls, views], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-training")
        return box

    def adopted(self, state: SetTrainingState) -> None:
        """What is shown no longer belongs to the controls, so the run ends."""
        self.runner.stop()

    def render(self, state: SetTrainingState, quality: Quality) -> tuple[SetTrainingState, int]:
        """Count the parameters of one network; all three have the same."""
        network = rivals(state.insertion, state.steepness, state.seed)["soft sort"]
        return state, sum(parameter.numel() for parameter in network.parameters())

    def show(self, result: tuple[SetTrainingState, int], quality: Quality) -> None:
        """Say how large the networks are; what belongs to another state goes."""
        state, parameters = result
        self.count.value = f"Each network has {parameters} parameters."
        if state != self.trained:
            self.history = defaultdict(list)
            self._draw()

    def run(self) -> None:
        """Train from the start."""
        self.runner.run()

    def _begin(self) -> Iterator[Event]:
        self.history = defaultdict(list)
        self.trained = state = self.record
        return train(rivals(state.insertion, state.steepness, state.seed), state.task, state.steps, state.seed)

    def _receive(self, event: Event) -> None:
        if isinstance(event, Step) and event.values and self.runner.state != "stopped":
            self.history["step"].append(event.number)
            for name, value in event.values.items():
                self.history[name].append(value)

    def _draw(self) -> None:
        history = {name: list(values) for name, values in self.history.items()}
        self.losses.value = plots.losses_picture(history, LOSSES)
        self.sensitivity.value = plots.sensitivity_picture(history, SENSITIVITY)
        rows = "".join(
            f'<tr><td style="color:{plots.COLORS[name]};padding-right:10px">{name}</td>'
            f'<td style="padding-right:10px">{history[name][-1]:.4f}</td>'
            f"<td>{history[f'{name}, ms'][-1]:.1f} ms</td></tr>"
            for name in RIVALS
            if name in history
        )
        head = "<tr><th></th><th>error</th><th>a step</th></tr>"
        self.told.value = lines(f'<table style="line-height:16px">{head}{rows}</table>') if rows else ""

    def png(self) -> bytes:
        """The losses, kept in the notebook for readers without a kernel."""
        return bytes(self.losses.value)
