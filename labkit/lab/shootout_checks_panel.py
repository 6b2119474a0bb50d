"""DIB-R's table of gradients as live checks that turn green by being measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W

from labkit.events import Event
from labkit.lab.controls import Controls, column, device, heading
from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel
from labkit.lab.plots import figure, png
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.shootout_checks import CLAIMED, DIRECTIONS, ROWS, SIDE, Check, Row, Table
from labkit.lab.shootout_scene import NAMES
from labkit.lab.state import between

TABLE = (640, 400)  # width and height of the picture
LOOKS = {"right": ("✓", "#bfe6cf"), "jumps": ("~", "#fbe7a8"), "wrong": ("✗", "#f2b8b5"), "absent": ("✗ 0", "#f2b8b5")}
LEGEND = """
<div style="line-height:17px">
<b>&#10003; right</b>: autodiff is the difference quotient, and foretells a visible move.<br>
<b>~ jumps</b>: exact, but only until a pixel changes its face: a visible move does something else.<br>
<b>&#10007; wrong</b>: not the derivative. <b>&#10007; 0 absent</b>: no gradient, though the picture changes.<br>
First number: relative error. Second: cosine with the differences of a visible move.<br>
Bold frame: a tick in the paper's Table 1, which speaks of the programs of 2019.</div>
"""


@dataclass(frozen=True)
class ChecksState:
    """What is checked.

    Attributes:
        width: of the soft edges, pixels.
        seed: of the scene and of the directions.
    """

    width: float = between(3.0, 1.0, 6.0)
    seed: int = between(0, 0, 99)


def table_picture(found: Mapping[tuple[Row, str], Check], size: tuple[int, int]) -> bytes:
    """The table: a row for each attribute, a column for each renderer; grey where nothing is measured yet."""
    made, axes = figure(*size)
    for down, row in enumerate(ROWS):
        for across, name in enumerate(NAMES):
            one = found.get((row, name))
            mark, color = ("", "#eeeeee") if one is None else LOOKS[one.verdict]
            axes.barh(down, 0.94, 0.9, across - 0.47, color=color)
            if row[0] in CLAIMED.get(name, ()):
                axes.barh(down, 0.92, 0.86, across - 0.46, fill=False, edgecolor="#222222", linewidth=1.4)
            if one is not None:
                axes.text(across - 0.3, down, mark, fontsize=11, ha="center", va="center")
                error = "none" if one.verdict == "absent" else f"{one.error:.0e}"
                axes.text(across + 0.14, down, f"{error}\n{one.agreement:.2f}", fontsize=7, ha="center", va="center")
    axes.set_xticks(range(len(NAMES)), [name.replace(" (", "\n(") for name in NAMES], fontsize=8)
    axes.set_yticks(range(len(ROWS)), [f"{part}\n→ {seen}" for part, seen in ROWS], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.5, len(NAMES) - 0.5)
    axes.set_ylim(len(ROWS) - 0.5, -0.5)
    return png(made)


class ChecksPanel(Panel):
    """Measure 54 gradients and see which are right.

    ``ChecksPanel(seed=3)`` starts elsewhere; the fields are those of `ChecksState`.
    """

    State: ClassVar[type] = ChecksState

    def build(self) -> W.Widget:
        """Make controls, runner and table."""
        self.table = Table()
        self._drawing = threading.Lock()
        self.picture = fixed_image(*TABLE)
        self.picture.add_class("labkit-table")
        self.runner = self.own(Runner(self._begin, lambda event: None, self._refresh, self.fail))
        make = Controls(self)
        controls = column(
            heading("Tiny scene, in double precision"),
            make.slider("width", "width of soft edges (px)", 0.1),
            make.whole("seed", "seed of the scene"),
            self.runner.widget,
            W.HTML(LEGEND),
        )
        box = W.HBox([controls, self.picture], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-checks")
        return box

    def adopted(self, state: ChecksState) -> None:
        """What is measured no longer belongs to the controls."""
        self.runner.stop()

    def render(self, state: ChecksState, quality: Quality) -> ChecksState:
        """Nothing: measuring is the runner's work."""
        return state

    def show(self, result: ChecksState, quality: Quality) -> None:
        """Draw the table; checks of another state go."""
        if (self.table.width, self.table.seed) != (result.width, result.seed):
            self.table = Table(result.width, result.seed)
        self._refresh()

    def run(self) -> None:
        """Measure all."""
        self.runner.run()

    def _begin(self) -> Iterator[Event]:
        self.table = Table(self.record.width, self.record.seed)
        return self.table.run()

    def _refresh(self) -> None:
        with self._drawing:
            self.picture.value = table_picture(dict(self.table.found), TABLE)

    def caption(self) -> str:
        """Size of the picture, directions, threads, memory."""
        return f"{SIDE} x {SIDE} pixels, {DIRECTIONS} directions a check, {device()}"

    def png(self) -> bytes:
        """The table, kept in the notebook for readers without a kernel."""
        return bytes(self.picture.value)
