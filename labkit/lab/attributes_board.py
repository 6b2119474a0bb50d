"""Several optimizations of one mesh: a sheet of all, a table of results, and a panel for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np

from labkit.geometry import Mesh
from labkit.lab.attributes_history import ERROR, Run, Task
from labkit.lab.attributes_panel import AttributesPanel
from labkit.lab.attributes_plots import GOAL
from labkit.lab.controls import Controls, device, dress, mesh_upload, show_if
from labkit.lab.explorer_mesh import SHAPES, receive, subject
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.image_view import ImageView, to_bytes
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality
from labkit.lab.state import one_of

BENT = "bent torus"
UPLOADS = Path("uploads")
WIDTH = 840  # CSS pixels of the sheet
GAP = 4  # pixels between its pictures
Pose = Callable[[Mesh | None], Mapping[str, Task]]


@dataclass(frozen=True)
class BoardState:
    """What is optimized.

    Attributes:
        mesh: a procedural shape, or "own file" for the one at ``path``.
        path: mesh file, used with "own file" only.
    """

    mesh: str = one_of(BENT, *SHAPES, OWN_FILE)
    path: str = ""


class AttributesBoard(Panel):
    """Choose a mesh, press Run in one of the panels or *Run all*, and compare.

    ``AttributesBoard(pose, mesh="chair")`` starts elsewhere; the fields are those of `BoardState`. Uploaded meshes go
    to ``uploads`` beside the notebook.

    Args:
        pose: makes the tasks for a mesh, always under the same short names; None asks for the default mesh.
        **changes: as for `Panel`.

    Attributes:
        panels: one for each task, under its name.
    """

    State: ClassVar[type] = BoardState

    def __init__(self, pose: Pose, **changes: Any) -> None:
        self._pose = pose
        self._queue: list[str] = []
        self._current: str | None = None  # the panel that "Run all" is at
        super().__init__(None, **changes)

    def build(self) -> W.Widget:
        """Make the sheet, the table and the panels."""
        tasks = self._tasks(self.record)
        self._posed = self.record
        self.panels = {
            name: self.own(AttributesPanel(task, f"attributes {name}", self._panel_changed))
            for name, task in tasks.items()
        }
        size = next(iter(tasks.values())).target.shape[-1] + GAP
        self.sheet = self.own(ImageView(WIDTH, round(3 * WIDTH / len(tasks))))
        self.sheet.widget.add_class("labkit-sheet")
        self.sheet.on_click = self.guard(lambda row, column: self.open(list(self.panels)[column // size]))
        cell = f'<div style="width:{WIDTH / len(tasks)}px;text-align:center">'
        heads = "".join(f"{cell}<b>{name}</b></div>" for name in tasks)
        header = W.HTML(f'<div style="display:flex;width:{WIDTH}px;line-height:18px">{heads}</div>')
        rows = W.HTML(
            f'<div style="height:{3 * WIDTH / len(tasks)}px;display:flex;flex-direction:column;'
            'justify-content:space-around;line-height:18px">'
            "<div>target</div><div>start</div><div>current</div></div>"
        )
        self.table = W.HTML()
        self.table.add_class("labkit-table")
        titles = tuple(f"{name}: {task.title.partition(',')[0]}" for name, task in tasks.items())
        self.tabs = W.Tab([panel.widget for panel in self.panels.values()], titles=titles, selected_index=0)
        sheet = W.HBox([W.VBox([header, self.sheet.widget]), W.VBox([W.HTML("&nbsp;"), rows])])
        controls = W.VBox([*self._mesh_controls(), self._run_all()])
        self.adopted(self.record)
        self._draw()
        return W.VBox([sheet, W.HBox([controls, self.table]), self.tabs])

    def _mesh_controls(self) -> list[W.Widget]:
        make = Controls(self)
        path = W.Text(placeholder="OBJ, PLY, OFF, STL or GLB", continuous_update=False, description="file")
        dress(path, "path")
        self._own = W.VBox([self.bind(path, "path"), mesh_upload(self, self.receive)])
        return [make.menu("mesh", "mesh", [BENT, *SHAPES, OWN_FILE]), self._own]

    def _run_all(self) -> W.Widget:
        def button(text: str, icon: str, action: Callable[[], None]) -> W.Button:
            made = W.Button(description=text, icon=icon, layout=W.Layout(width="110px"))
            made.add_class(f"labkit-{icon}-all")
            made.on_click(self.guard(lambda _: action()))
            return made

        return W.HBox([button("Run all", "play", self.run_all), button("Stop all", "stop", self.stop_all)])

    def receive(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Keep uploaded files (name, content) in ``uploads`` and take the mesh among them.

        Raises:
            FileError: no mesh, or several, among them.
        """
        self.set(mesh=OWN_FILE, path=os.fspath(receive(files, UPLOADS)))

    def open(self, name: str) -> None:
        """Show the panel of that name."""
        self.tabs.selected_index = list(self.panels).index(name)

    def run_all(self) -> None:
        """Run every panel, one after the other; stopping or pausing one ends the row."""
        self.stop_all()
        self._queue = list(self.panels)
        self._next()

    def stop_all(self) -> None:
        """End whatever runs."""
        self._queue, self._current = [], None
        for panel in self.panels.values():
            panel.runner.stop()

    def _next(self) -> None:
        if self._queue:
            self._current = self._queue.pop(0)
            self.open(self._current)
            self.panels[self._current].runner.run()

    def _panel_changed(self) -> None:
        """On a panel's worker: draw; begin the next of a row."""
        self._draw()
        state = "ready" if self._current is None else self.panels[self._current].runner.state
        if state == "done":
            self._next()

    def adopted(self, state: BoardState) -> None:
        """Show the fields of a file only where a file is asked for; another mesh ends what runs."""
        show_if(self._own, state.mesh == OWN_FILE)
        self.stop_all()

    # ---- on the worker ---------------------------------------------------------------------------------------------

    def render(self, state: BoardState, quality: Quality) -> tuple[BoardState, Mapping[str, Task]] | None:
        """The tasks of another mesh; None while it is the same."""
        return None if state == self._posed else (state, self._tasks(state))

    def _tasks(self, state: BoardState) -> Mapping[str, Task]:
        return self._pose(None if state.mesh == BENT else subject(state.mesh, state.path).original)

    def show(self, result: tuple[BoardState, Mapping[str, Task]] | None, quality: Quality) -> None:
        """Give the panels their tasks."""
        if result is not None:
            self._posed, tasks = result
            for name, task in tasks.items():
                self.panels[name].take(task)
            self._draw()

    def _draw(self) -> None:
        runs = {name: panel.run for name, panel in self.panels.items()}
        self.sheet.show(contact_sheet(list(runs.values())))
        self.table.value = table(runs)

    def caption(self) -> str:
        """What computes."""
        return device()

    def png(self) -> bytes | None:
        """The sheet, kept in the notebook for readers without a kernel."""
        return self.sheet.png()


def contact_sheet(runs: Sequence[Run]) -> np.ndarray:
    """The first view of every run, (H, W, 3) uint8: a column each, with target, start and newest picture."""
    height, width = runs[0].task.target.shape[-2:]
    sheet = np.full((3 * (height + GAP), len(runs) * (width + GAP), 3), 255, np.uint8)
    for number, run in enumerate(runs):
        column = number * (width + GAP)
        views = (to_bytes(run.task.target[0]), to_bytes(run.task.start[0]), run.pictures[-1][:height, :width])
        for row, view in enumerate(views):
            top = row * (height + GAP)
            sheet[top : top + height, column : column + width] = view
    return sheet


def table(runs: Mapping[str, Run]) -> str:
    """HTML: a row for each run, with its errors and its time."""
    cell = '<td style="padding:0 10px 0 0;text-align:right">'
    rows = ""
    for name, run in runs.items():
        error = run.figures[ERROR]
        figures = [f"{error[0]:.4f}", "", "", "", ""]
        if run.done:
            solved = " &#10003;" if run.share < GOAL else ""
            figures[1:] = f"{error[-1]:.5f}", f"{run.share:.1%}{solved}", str(run.done), f"{run.seconds:.1f}"
        told = "".join(f"{cell}{figure}</td>" for figure in figures)
        rows += f'<tr><td style="padding-right:10px">{name}: {run.task.title}</td>{told}</tr>'
    names = ("start L1", "end L1", f"ratio (&#10003; below {GOAL:.0%})", "steps", "seconds")
    heads = "".join(f'<th style="padding-right:10px;text-align:right">{name}</th>' for name in names)
    style = "line-height:17px;font-size:12px"
    return f'<table style="{style}"><tr><th style="text-align:left">optimization</th>{heads}</tr>{rows}</table>'
