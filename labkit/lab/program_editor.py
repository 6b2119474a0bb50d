"""An editor for WHILE programs: the text on the left, its hard and smooth results and derivatives below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W
import numpy as np
import torch

from labkit.lab import program_plots as plots
from labkit.lab.panel import Panel
from labkit.lab.plots import HARD, SOFT
from labkit.lab.program_controls import plot_image, slider, steepness_slider
from labkit.lab.program_plots import Line
from labkit.lab.scheduler import Quality
from labkit.lab.state import between
from labkit.smooth.while_examples import EXAMPLES
from labkit.smooth.while_program import WhileProgram

PLOT = (936, 290)  # CSS pixels
EXAMPLE = EXAMPLES["subtraction"]
CHOOSE = "put one here ..."
POINTS: dict[Quality, int] = {"coarse": 41, "fine": 141}
# the caret of a parse error stands under its place only in a monospaced font
STYLE = (
    "<style>.labkit-source textarea{font:13px/17px monospace;tab-size:4}"
    ".labkit-editor .labkit-error b{white-space:pre-wrap;font-family:monospace}</style>"
)


@dataclass(frozen=True)
class EditorState:
    """The program and where it is run.

    Attributes:
        source: the text; it is parsed as a WHILE program and never run as Python.
        span: from where to where x1 goes.
        x2, x3: other start values; the hard program is shown where all are whole.
        steepness: s of the C-infinity program.
        turns: bound on the turns of all loops.
    """

    source: str = EXAMPLE
    span: tuple[float, float] = between((0.0, 7.0), 0.0, 12.0)
    x2: float = between(3.0, 0.0, 12.0)
    x3: float = between(0.0, 0.0, 12.0)
    steepness: float = between(2.0, 0.5, 16.0)
    turns: int = between(300, 10, 2000)


def along_x1(state: EditorState, smoothness: str, places: torch.Tensor) -> tuple[Line, int]:
    """The program at many x1 at once.

    Args:
        state: the program and its other inputs.
        smoothness: "hard", "c0" or "cinf".
        places: (N,) the values of x1.

    Returns:
        Results and derivatives, NaN where the program came to its bound, and at how many places it did.

    Raises:
        WhileSyntaxError: the text is no program. DomainError: a result overflowed.
    """
    x1 = places.clone().requires_grad_()
    inputs = {"x1": x1} | {name: torch.tensor(getattr(state, name), dtype=x1.dtype) for name in ("x2", "x3")}
    run = WhileProgram.parse(state.source)(
        inputs, smoothness=smoothness, steepness=state.steepness, max_iterations=state.turns
    )
    value = run.outputs["x0"]
    slope = torch.autograd.grad(value.sum(), x1, allow_unused=True)[0] if value.requires_grad else None
    slope = torch.zeros_like(places) if slope is None else slope
    open_end = run.remaining > 0

    def shown(tensor: torch.Tensor) -> np.ndarray:
        return torch.where(open_end, torch.nan, tensor.detach()).numpy()

    name, color = {"hard": ("hard", HARD), "c0": ("C0", plots.C0), "cinf": ("C-infinity", SOFT)}[smoothness]
    return Line(name, color, places.numpy(), shown(value), shown(slope), smoothness == "hard"), int(open_end.sum())


class EditorPanel(Panel):
    """Write a WHILE program; see x0 over x1, and its derivative, of the hard and of both smooth programs."""

    State: ClassVar[type] = EditorState
    rest: ClassVar[float] = 0.3

    def build(self) -> W.Widget:
        """Text and controls side by side, the plots below."""
        self.plot, self.note = plot_image(*PLOT, "curves"), W.HTML()
        self.status.add_class("labkit-editor")
        self.text = W.Textarea(rows=12, layout=W.Layout(width="480px"))
        self.text.add_class("labkit-source")
        self.bind(self.text, "source")
        self.example = W.Dropdown(options=[CHOOSE, *EXAMPLES], description="examples", layout=W.Layout(width="400px"))
        self.example.style.description_width = "110px"
        self.example.observe(self.guard(self._chosen), "value")
        span = W.FloatRangeSlider(min=0, max=12, step=0.5, description="x1 from, to", readout_format=".1f")
        span.style.description_width, span.layout.width = "110px", "400px"
        self.bind(span, "span", to_widget=tuple)
        controls = W.VBox(
            [
                self.example,
                span,
                slider(self, "x2", "x2", 0, 12, 0.1),
                slider(self, "x3", "x3", 0, 12, 0.1),
                steepness_slider(self, -1, 4),
                slider(self, "turns", "turns at most", 10, 2000, 10, "All loops together; then the program is ended"),
                self.note,
            ]
        )
        return W.VBox([W.HTML(STYLE), W.HBox([self.text, controls]), self.plot])

    def _chosen(self, change: dict[str, str]) -> None:
        if change["new"] != CHOOSE:
            self.set(source=EXAMPLES[change["new"]])
            self.example.value = CHOOSE

    def render(self, state: EditorState, quality: Quality) -> tuple[bytes, str]:
        """The plots, and what is to be said about them."""
        low, high = state.span
        even = torch.linspace(low, high, POINTS[quality], dtype=torch.float64)
        whole = torch.arange(np.ceil(low), np.floor(high) + 1, dtype=torch.float64)
        runs = [along_x1(state, "c0", even), along_x1(state, "cinf", even)]
        if len(whole) and state.x2 == round(state.x2) and state.x3 == round(state.x3):
            runs.append(along_x1(state, "hard", whole))
        notes = [
            f"{line.name}: no end after {state.turns} turns at {count} of {len(line.places)} places"
            for line, count in runs
            if count
        ]
        if len(runs) == 2:
            notes.append("hard: not shown, since x2 and x3 must be whole for it")
        return plots.side_by_side([line for line, _ in runs], "x1", "x0", PLOT), "<br>".join(notes)

    def show(self, result: tuple[bytes, str], quality: Quality) -> None:
        """Hand plots and note to the page."""
        self.plot.value, note = result
        self.note.value = f'<div style="line-height:17px;padding-left:20px">{note}</div>'

    def png(self) -> bytes | None:
        """The plots."""
        return self.plot.value
