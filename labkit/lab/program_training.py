"""A weight and a bias for each assignment of the smooth multiplication, fitted live to the discrete program."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W
import numpy as np
import torch

from labkit.events import Event, Step
from labkit.lab import program_plots as plots
from labkit.lab.panel import Panel
from labkit.lab.program_controls import plot_image, slider, steepness_slider
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.state import between
from labkit.smooth.while_examples import MULTIPLICATION
from labkit.smooth.while_program import WhileProgram
from labkit.smooth.while_training import TrainableWhileProgram

PLOT = (700, 290)  # CSS pixels
DRAWN_EVERY = 0.5  # seconds; one drawing takes as long as several steps
LARGEST = 7  # the pairs are all whole numbers from 0 to this


@dataclass(frozen=True)
class ProgramTrainingState:
    """How the program is fitted.

    Attributes:
        steepness: s of the C-infinity program.
        steps: of Adam.
    """

    steepness: float = between(2.0, 1.0, 8.0)
    steps: int = between(100, 5, 500)


class ProgramTrainingPanel(Panel):
    """Fit the multiplication program to the products of all whole numbers from 0 to 7 (AlgoNet, section 3.2)."""

    State: ClassVar[type] = ProgramTrainingState

    def build(self) -> W.Widget:
        """Sliders, buttons of the work, results before and after, and the table of weights."""
        whole = torch.arange(LARGEST + 1.0, dtype=torch.float64)
        x1, x2 = torch.cartesian_prod(whole, whole).unbind(1)
        self.inputs, self.targets = {"x1": x1, "x2": x2}, x1 * x2  # (64,) each
        self.program = WhileProgram.parse(MULTIPLICATION)
        self.errors: list[float] = []
        self._model = self._fitted = TrainableWhileProgram(self.program, torch.float64)
        self._fitted_at: float | None = None
        self._drawn = float("-inf")
        self.plot, self.table = plot_image(*PLOT, "training"), W.HTML()
        self.runner = self.own(Runner(self._begin, self._receive, self._refresh, self.fail))
        controls = W.HBox([steepness_slider(self, 0, 3), slider(self, "steps", "steps", 5, 500, 5)])
        return W.VBox([controls, self.runner.widget, W.HBox([self.plot, self.table])])

    def _begin(self) -> Iterator[Event]:
        self.errors = []
        self._model = TrainableWhileProgram(self.program, torch.float64)
        self._fitted_at = self.record.steepness
        return self._model.fit(
            self.inputs, self.targets, steps=self.record.steps, smoothness="cinf", steepness=self._fitted_at
        )

    def _receive(self, event: Event) -> None:
        if isinstance(event, Step):
            self.errors.append(event.values["largest_error"])

    def _refresh(self) -> None:
        now = time.monotonic()
        if self.runner.state == "running" and now - self._drawn < DRAWN_EVERY:
            return
        self._drawn = now
        # on the worker of the fit, between its steps, so that no half-made step is copied
        self._fitted = copy.deepcopy(self._model)
        self.scheduler.submit(self.record)

    def render(self, state: ProgramTrainingState, quality: Quality) -> tuple[bytes, str]:
        """The plots and the table."""
        exact, fitted = self.targets.numpy(), self._fitted
        before, after = (self.results(program, state.steepness) for program in (self.program, fitted))
        plot = plots.training_plot(exact, before, after, self.errors, PLOT)
        largest = [float(np.abs(found - exact).max()) for found in (before, after)]
        return plot, weights_table(fitted, largest, self._fitted_at)

    @torch.no_grad()
    def results(self, program: WhileProgram | TrainableWhileProgram, steepness: float) -> np.ndarray:
        """x0 of all pairs, (64,)."""
        return program(self.inputs, smoothness="cinf", steepness=steepness).outputs["x0"].numpy()

    def show(self, result: tuple[bytes, str], quality: Quality) -> None:
        """Hand plots and table to the page."""
        self.plot.value, self.table.value = result

    def png(self) -> bytes | None:
        """The plots."""
        return self.plot.value


def weights_table(model: TrainableWhileProgram, errors: list[float], fitted_at: float | None) -> str:
    """HTML: largest error before and after, and weight and bias of each assignment.

    Args:
        model: the fitted program.
        errors: largest error of the plain and of the fitted program.
        fitted_at: the steepness of the fit, or None before any.
    """
    cell = '<td style="text-align:right;padding-left:14px">'
    rows = "".join(
        f"<tr><td>{statement.text}</td>{cell}{float(w):.4f}</td>{cell}{float(b):.4f}</td></tr>"
        for statement, w, b in zip(model.program.assignments, model.weight.detach(), model.bias.detach(), strict=True)
    )
    fit = "not fitted yet: press Run" if fitted_at is None else f"fitted at s = {fitted_at:.3g}"
    return (
        f'<div class="labkit-weights" style="line-height:20px">largest error, plain: <b>{errors[0]:.3g}</b><br>'
        f"largest error, fitted: <b>{errors[1]:.3g}</b><br>({fit})"
        f'<table style="font:12px/19px monospace"><tr><th>assignment</th><th>weight</th><th>bias</th></tr>'
        f"{rows}</table></div>"
    )
