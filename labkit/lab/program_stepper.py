"""A WHILE program run statement by statement: where it is, how probable that is, and what the variables hold."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import ipywidgets as W
import torch

from labkit.lab import program_plots as plots
from labkit.lab.panel import Panel
from labkit.lab.plots import HARD, SOFT
from labkit.lab.program_controls import menu, plot_image, slider, steepness_slider, title
from labkit.lab.scheduler import Quality
from labkit.lab.state import between, one_of
from labkit.smooth.while_examples import EXAMPLES
from labkit.smooth.while_language import Statement, While
from labkit.smooth.while_program import TraceStep, WhileProgram

CHART = (936, 190)  # CSS pixels
LONGEST = 2000  # statements that are recorded, at most
SMOOTHNESS = {"C-infinity": "cinf", "C0": "c0", "hard": "hard"}


@dataclass(frozen=True)
class StepperState:
    """What is run, and how far.

    Attributes:
        program: a key of `EXAMPLES`.
        x1, x2: start values; "hard" takes whole numbers only.
        smoothness: a key of `SMOOTHNESS`.
        steepness: s of "C-infinity".
        step: statements done so far; of a shorter run, all of them.
    """

    program: str = one_of(*EXAMPLES)
    x1: float = between(2.0, 0.0, 7.0)
    x2: float = between(3.0, 0.0, 7.0)
    smoothness: str = one_of(*SMOOTHNESS)
    steepness: float = between(2.0, 0.5, 16.0)
    step: int = between(12, 0, LONGEST)


@dataclass(frozen=True, eq=False)
class Recording:
    """A run.

    Attributes:
        program: what ran.
        depths: how many loops are around each line that has a statement; the head of a loop counts as inside it.
        steps: assignments and tests of loops, in the order of the run, `LONGEST` at most.
        start: the variables before the first.
    """

    program: WhileProgram
    depths: dict[int, int]
    steps: tuple[TraceStep, ...]
    start: dict[str, float]

    @property
    def cut(self) -> bool:
        """Whether the run goes on after the recording."""
        return len(self.steps) == LONGEST

    def variables(self, step: int) -> dict[str, float]:
        """The values after that many statements."""
        if step == 0:
            return self.start
        return {name: float(value) for name, value in self.steps[step - 1].variables.items()}


def record(state: StepperState) -> Recording:
    """Run the state's program and keep every statement (errors: `WhileProgram.trace`)."""
    program = WhileProgram.parse(EXAMPLES[state.program])
    inputs = {name: torch.tensor(value, dtype=torch.float64) for name, value in (("x1", state.x1), ("x2", state.x2))}
    inputs = {name: value for name, value in inputs.items() if name in program.variables}
    trace = program.trace(inputs, smoothness=SMOOTHNESS[state.smoothness], steepness=state.steepness)
    start = {name: float(inputs.get(name, 0.0)) for name in program.variables}
    with torch.no_grad():
        return Recording(program, dict(_depths(program.statements, 0)), tuple(islice(trace, LONGEST)), start)


def _depths(statements: Iterable[Statement], depth: int) -> Iterable[tuple[int, int]]:
    for statement in statements:
        loop = isinstance(statement, While)
        yield statement.line, depth + loop
        if isinstance(statement, While):
            yield from _depths(statement.body, depth + 1)


class StepperPanel(Panel):
    """Step through a WHILE program. Buttons and slider move through a recording of the whole run."""

    State: ClassVar[type] = StepperState

    def build(self) -> W.Widget:
        """Controls, listing beside variables, chart of P."""
        self._kept: tuple[StepperState, Recording] | None = None
        self.listing, self.table, self.note = W.HTML(), W.HTML(), W.HTML()
        self.chart = plot_image(*CHART, "chart")
        self.player = W.Play(min=0, max=LONGEST, interval=250, show_repeat=False)
        self.bar = W.IntSlider(min=0, max=LONGEST, description="statement", layout=W.Layout(width="520px"))
        self.bar.add_class("labkit-step")
        for widget in (self.player, self.bar):
            self.bind(widget, "step", to_widget=lambda step: min(step, self.bar.max))
        moves = [
            ("Back", "step-backward", lambda: self.move(-1)),
            ("Next", "step-forward", lambda: self.move(1)),
            ("End", "fast-forward", lambda: self.move(LONGEST)),
        ]
        buttons = [self._button(*move) for move in moves]
        setting = W.HBox(
            [
                menu(self, "program", "program", tuple(EXAMPLES), 320),
                menu(self, "smoothness", "smoothness", tuple(SMOOTHNESS), 250),
                steepness_slider(self, -1, 4, 330),
                slider(self, "x1", "x1", 0, 7, 0.1, width=320),
                slider(self, "x2", "x2", 0, 7, 0.1, width=320),
            ],
            layout=W.Layout(flex_flow="row wrap", width="940px"),
        )
        run = W.HBox([self.player, *buttons, self.bar], layout=W.Layout(align_items="center"))
        middle = W.HBox([self.listing, W.VBox([self.table, self.note])])
        head = title("P at every statement of the run; the orange line is where you are", CHART[0])
        return W.VBox([setting, run, middle, head, self.chart])

    def move(self, by: int) -> None:
        """Go on by that many statements, or back; the ends of the run are the limits."""
        now = min(self.record.step, self.bar.max)
        self.set(step=max(0, min(self.bar.max, now + by)))

    def render(self, state: StepperState, quality: Quality) -> tuple[Recording, int, bytes]:
        """Record the run, if it is another one, and draw its chart."""
        key = replace(state, step=0)
        if self._kept is None or self._kept[0] != key:
            self._kept = key, record(state)
        found = self._kept[1]
        step = min(state.step, len(found.steps))
        depths = [found.depths[one.line] for one in found.steps]
        return (
            found,
            step,
            plots.probability_chart(depths, [float(one.probability) for one in found.steps], step, CHART),
        )

    def show(self, result: tuple[Recording, int, bytes], quality: Quality) -> None:
        """Hand listing, variables and chart to the page."""
        found, step, chart = result
        self.listing.value, self.table.value = listing(found, step), variable_table(found, step)
        cut = f"the run goes on: only its first {LONGEST} statements are kept"
        place = cut if found.cut else f"statement {step} of {len(found.steps)}"
        self.note.value = f'<div style="padding-left:24px">{place}</div>'
        self.chart.value = chart
        if self.bar.max != len(found.steps):
            self._stretch(len(found.steps))

    def _stretch(self, steps: int) -> None:
        """Fit slider and player to the length of the run."""
        with self._lock:
            self._applying = True  # they would clip the step of the state otherwise
            try:
                self.bar.max = self.player.max = steps
            finally:
                self._applying = False
            self._update_controls(self.record)

    def png(self) -> bytes | None:
        """The chart."""
        return self.chart.value

    def _button(self, text: str, icon: str, action: Callable[[], None]) -> W.Button:
        made = W.Button(description=text, icon=icon, layout=W.Layout(width="80px"))
        made.on_click(self.guard(lambda _: action()))
        return made


def listing(found: Recording, step: int) -> str:
    """HTML: the source, the line in hand marked, and at each line the P that it had when it last ran."""
    now = found.steps[step - 1].line if step else None
    newest = {one.line: float(one.probability) for one in found.steps[:step]}
    rows = []
    for number, line in enumerate(found.program.source.rstrip().split("\n"), 1):
        back = f"background:#fff0b3;box-shadow:inset 4px 0 {HARD}" if number == now else ""
        p = newest.get(number)
        gauge = "" if p is None else f'{_gauge(p)}<td style="text-align:right">{p:.4f}</td>'
        rows.append(
            f'<tr class="{"labkit-now" if number == now else ""}" style="{back}">'
            f'<td style="color:#888;text-align:right;padding:0 8px">{number}</td>'
            f'<td style="white-space:pre;padding-right:24px">{html.escape(line)}</td>{gauge}</tr>'
        )
    head = '<tr><th></th><th style="text-align:left">program</th><th colspan="2" style="text-align:left">P</th></tr>'
    style = "font:13px/17px monospace;border-collapse:collapse;min-width:560px"
    return f'<table class="labkit-listing" style="{style}">{head}{"".join(rows)}</table>'


def _gauge(p: float) -> str:
    bar = f'<div style="width:{80 * p:.1f}px;height:11px;background:{SOFT}"></div>'
    return f'<td style="width:88px"><div style="width:80px;height:11px;background:#e4e4e4">{bar}</div></td>'


def variable_table(found: Recording, step: int) -> str:
    """HTML: every variable, bold where the last statement has changed it."""
    now, before = found.variables(step), found.variables(max(0, step - 1))
    rows = "".join(
        f'<tr><td style="padding:0 16px 0 24px">{name}</td><td style="text-align:right">'
        f"{f'<b>{value:.5f}</b>' if value != before[name] else f'{value:.5f}'}</td></tr>"
        for name, value in now.items()
    )
    head = '<tr><th style="padding-left:24px;text-align:left">variable</th><th>value</th></tr>'
    return f'<table class="labkit-variables" style="font:13px/18px monospace">{head}{rows}</table>'
