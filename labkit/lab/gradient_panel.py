"""Gradient flow: a loss, up to three renderers, and the way of the gradient from the picture to the vertices."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np
import pythreejs as p3
import torch
from torch import Tensor
from torch.nn.functional import normalize

from labkit.events import Event
from labkit.lab import controls
from labkit.lab import gradient_field as field
from labkit.lab import gradient_plots as plots
from labkit.lab.explorer_mesh import receive
from labkit.lab.explorer_render import FOV, Cache, preview
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.fractal_render import blue_red
from labkit.lab.gradient_controls import column
from labkit.lab.gradient_descent import Descent, race
from labkit.lab.gradient_field import Flow, Problem
from labkit.lab.gradient_shown import Shown, find_details
from labkit.lab.gradient_state import PIXEL, WHOLE, GradientState
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.render.diagnose import pixel_of

SIDE, VIEW = 192, 300  # CSS pixels of the pictures and of the 3D view
SCALE, CURVES, LINES = (300, 52), (286, 190), (594, 250)  # width and height of the plots
PLACES = (5, 25)  # fewest and most places along the line
PATIENCE = 1.5  # seconds that the line may take
PLOT_EVERY = 1.0  # seconds between two drawings of the loss curves during a run
BUDGET = 0.08  # seconds that the flows may take while dragging
UPLOADS = Path("uploads")


class GradientPanel(Panel):
    """Watch a gradient flow: choose a loss, click a vertex, drag it, let the mesh descend.

    ``GradientPanel(first="AlgoNet", edge=8.0)`` starts elsewhere; all fields are those of `GradientState`. Uploaded
    meshes go to ``uploads`` beside the notebook.
    """

    State: ClassVar[type] = GradientState
    rest: ClassVar[float] = 0.4

    def build(self) -> W.Widget:
        """Make controls, runner and views."""
        self._cache, self._computing = Cache(), threading.RLock()  # the panel's worker and the runner's both render
        self._descents: dict[str, Descent] = {}
        self._start = self.record.start
        self._lit: list[int] = []
        self._newest: Shown | None = None
        self._places, self._seen = np.zeros((0, 3)), np.zeros(0, bool)
        self._dragged, self._cost, self._plotted = False, 0.0, 0.0
        self.slots = [{kind: self.own(ImageView(SIDE, SIDE)) for kind in ROWS} for _ in range(3)]
        self.titles = [{kind: W.HTML() for kind in ROWS} for _ in range(3)]
        for number, slot in enumerate(self.slots):
            slot["picture"].widget.add_class(f"labkit-picture-{number + 1}")
            for view in slot.values():
                view.widget.add_class("labkit-dragged")
                view.on_click, view.on_hover = self.guard(self._clicked), self._released
                view.on_drag = self.guard(self._drag)
        self._arrows = p3.BufferAttribute(np.zeros((2, 3), np.float32), normalized=False)
        lines = p3.LineSegments(
            p3.BufferGeometry(attributes={"position": self._arrows}),
            p3.LineBasicMaterial(color="#111111"),
            frustumCulled=False,
        )
        self.view = self.own(open_view(self._preview, VIEW, VIEW, FOV, self._orbit(self.record), [lines]))
        self.view.on_camera = self.guard(self._turned)
        self.scale, self.curves, self.line = (fixed_image(*size) for size in (SCALE, CURVES, LINES))
        self.view_title, self.line_title = W.HTML(), W.HTML()
        self.scale.value = plots.legend(SCALE)
        self.why = W.HTML(layout=W.Layout(width="286px"))
        self.why.add_class("labkit-why")
        self.runner = self.own(Runner(self._events, lambda event: None, self._refresh, self.fail))
        again = W.Button(description="Start again", tooltip="Put every vertex back", icon="undo")
        again.on_click(self.guard(lambda _: self.start_again()))
        self.runner_row = W.HBox([self.runner.widget, again])
        self._own, side = column(self, self._upload)
        self.adopted(self.record)
        return W.HBox([side, self._views()], layout=W.Layout(flex_flow="row wrap"))

    def _views(self) -> W.Widget:
        self._columns = {
            kind: [controls.titled(title[kind], slot[kind].widget) for title, slot in self._pairs()] for kind in ROWS
        }
        solid = W.VBox([self.view_title, self.view.widget, self.scale])
        asked = W.VBox([self.curves, W.HTML("<b>Why is this gradient zero?</b>"), self.why])
        parts = [
            W.HTML(STYLE, layout=W.Layout(height="0", margin="0")),
            self.runner_row,
            W.HBox(self._columns["picture"]),
            W.HBox([solid, asked]),
        ]
        parts += [W.HBox(self._columns[kind]) for kind in ("adjoint", "footprint")]
        return W.VBox([*parts, self.line_title, self.line], layout=W.Layout(width="606px", margin="0 0 0 6px"))

    def _pairs(self) -> Any:
        return zip(self.titles, self.slots, strict=True)

    # ---- state -----------------------------------------------------------------------------------------------------

    def adopted(self, state: GradientState) -> None:
        """Let controls and 3D view follow, and drop a descent that began elsewhere; no torch here."""
        controls.show_if(self._own, state.mesh == OWN_FILE)
        self.view.set_camera(self._orbit(state))
        if self._start != state.start:
            self._start, self._descents = state.start, {}
            self.runner.stop()

    def start_again(self) -> None:
        """Put every vertex back to the start."""
        self.runner.stop()
        self._descents = {}
        self.scheduler.submit(self.record)

    @staticmethod
    def _orbit(state: GradientState) -> Orbit:
        return Orbit.around(state.azimuth, state.elevation, state.distance)

    def caption(self) -> str:
        """Size of the pictures, threads, memory."""
        return f"{self.record.size} x {self.record.size} pixels, {controls.device()}"

    # ---- on the panel's worker: what is seen at rest -------------------------------------------------------------

    def render(self, state: GradientState, quality: Quality) -> Shown:
        """Flows while dragging, everything at rest; only the faces of the clicked pixel while a descent draws."""
        with self._computing:
            if quality == "coarse" and self._cost > BUDGET:  # half of the pixels a side, and edges as wide as before
                state = replace(state, size=max(32, state.size // 2), edge=max(0.2, state.edge / 2))
            problem = field.pose(state, self._cache)
            focus = self._vertices(state.focus, problem)
            if self.runner.state == "running":
                lit = field.faces_of_pixel(problem, state.rasterizer(state.focus), focus)
                return Shown(state, problem, {}, lit, None)
            began = time.monotonic()
            flows = {
                name: field.flow(problem, state.rasterizer(name), self._vertices(name, problem)) for name in state.names
            }
            if quality == "coarse":
                return Shown(state, problem, flows, self._lit, None)
            self._cost = time.monotonic() - began
            lit = field.faces_of_pixel(problem, state.rasterizer(state.focus), focus)
            return Shown(state, problem, flows, lit, find_details(state, problem, flows, self._count()))

    def _count(self) -> int:
        """How many places along the line: an odd number, so that the middle is one."""
        return PLACES[0] if self.headless else int(np.clip(PATIENCE / max(self._cost, 1e-3), *PLACES)) // 2 * 2 + 1

    def _vertices(self, name: str, problem: Problem) -> Tensor:
        """Where the descent of that renderer is, or the start."""
        descent = self._descents.get(name)
        return problem.mesh.vertices if descent is None else descent.vertices.clone()

    def show(self, result: Shown, quality: Quality) -> None:
        """Hand pictures, arrows and plots to the page."""
        self._lit = result.lit
        if not result.flows:
            self.view.highlight(self._lit)
            return
        self._newest = result
        self._draw(result.state, result.problem, result.flows, quality)
        details = result.details
        if details is None:
            return
        self._plot(result.flows)
        self._seen = details.seen
        for slot, title, name in zip(self.slots, self.titles, result.state.names, strict=False):
            slot["footprint"].show(plots.heat(details.footprints[name], result.flows[name].picture[3]))
            most = float(details.footprints[name].max())
            title["footprint"].value = scaled("footprint of the vertex", f"yellow: {most:.2g} per pixel moved")
        vertex = field.chosen(result.state, result.problem.mesh)
        gradient = result.flows[result.state.focus].gradient[vertex].norm()
        self.why.value = (
            f'<div style="line-height:17px;font-size:12px">Vertex {vertex}, {result.state.focus}: |gradient| = '
            f"{gradient:.3g}. {details.diagnosis.text}</div>"
        )
        moved = f"{result.state.moved} is moved {result.state.along}"
        self.line_title.value = scaled(f"loss when {moved}", "black strokes: slope by autodiff")
        self.line.value = plots.lines(details.lines, "moved by (world units)", LINES)

    def _draw(self, state: GradientState, problem: Problem, flows: dict[str, Flow], quality: Quality) -> None:
        """Pictures, adjoints and the 3D view."""
        names = tuple(flows)
        outline = None if problem.loss == PIXEL else problem.target[3]
        for number in range(3):
            for kind in ROWS:
                controls.show_if(self._columns[kind][number], number < len(names))
        for slot, title, name in zip(self.slots, self.titles, names, strict=False):
            flow = flows[name]
            vertex = pixel_of(problem.camera, flow.vertices[field.chosen(state, problem.mesh)], problem.size)
            slot["picture"].marked = vertex
            slot["adjoint"].marked = problem.pixel if problem.loss == PIXEL else None
            slot["picture"].show(plots.outlined(flow.picture[:3], outline), quality)
            change, limit = blue_red(flow.adjoint.sum(0))
            slot["adjoint"].show(change, quality)
            title["picture"].value = scaled(name, f"loss {flow.loss:.5f}")
            title["adjoint"].value = scaled("d loss / d picture", f"blue &minus;{limit:.1e}, red +{limit:.1e}")
        flow = flows[state.focus]
        if quality == "fine":
            self._places = field.screen(problem, flow.vertices)
        self._arrows.array = field_arrows(flow, problem)
        towards = problem.camera.eye - flow.vertices
        facing = problem.mesh.replace(vertices=flow.vertices).vertex_normals() + 2 * normalize(towards, dim=-1)
        colors = plots.magnitude_colors(flow.gradient)  # lit almost evenly, so that they can be read off the scale
        self.view.update(flow.vertices, problem.mesh.faces, colors, normalize(facing, dim=-1))
        self.view.highlight(self._lit)
        greatest = float(flow.gradient.norm(dim=-1).max())
        self.view_title.value = scaled(
            f"&minus;gradient of every vertex: {state.focus}", f"greatest {greatest:.2e}; orange: the clicked faces"
        )

    def _plot(self, flows: dict[str, Flow]) -> None:
        """The loss curves: too slow for every picture."""
        past = {name: descent.losses for name, descent in self._descents.items()}
        self.curves.value = plots.losses(past, {name: flow.loss for name, flow in flows.items()}, CURVES)
        self._plotted = time.monotonic()

    def _preview(self, orbit: Orbit) -> Tensor:
        """What is shown in place of the 3D view where there is no WebGL."""
        if self._newest is None:
            return torch.ones(3, VIEW, VIEW)
        flow = self._newest.flows[self._newest.state.focus]
        colors = torch.from_numpy(plots.magnitude_colors(flow.gradient)).to(flow.vertices)
        with self._computing:
            mesh = self._newest.problem.mesh.replace(vertices=flow.vertices, colors=colors)
            return preview(mesh, orbit, tuple(self._lit), VIEW)

    # ---- on the runner's worker: the descents --------------------------------------------------------------------

    def _events(self) -> Iterator[Event]:
        """Go on from where the vertices are."""
        return race(self._racers, self._flow_of, lambda: self.record.rate, self.record.steps)

    def _racers(self) -> dict[str, Descent]:
        state: GradientState = self.record
        missing = [name for name in state.names if name not in self._descents]
        if missing:
            with self._computing:
                start = field.pose(state, self._cache).mesh.vertices
            self._descents.update({name: Descent(start, state.method, state.free == WHOLE) for name in missing})
        return {name: self._descents[name] for name in state.names}

    def _flow_of(self, name: str, vertices: Tensor) -> Flow:
        with self._computing:
            state: GradientState = self.record
            return field.flow(field.pose(state, self._cache), state.rasterizer(name), vertices)

    def _refresh(self) -> None:
        """Draw the descents; at a pause or the end, everything."""
        if self.runner.state != "running":
            self.scheduler.submit(self.record)
            return
        state: GradientState = self.record
        flows = {name: one.flow for name in state.names if (one := self._descents.get(name)) and one.flow}
        if self.headless or len(flows) < len(state.names):  # nobody watches, or a renderer has only just joined
            return
        with self._computing:
            problem = field.pose(state, self._cache)
        self._draw(state, problem, flows, "fine")
        if time.monotonic() - self._plotted > PLOT_EVERY:
            self._plot(flows)

    # ---- callbacks -------------------------------------------------------------------------------------------------

    def _clicked(self, row: int, column: int) -> None:
        if self._dragged:  # the browser ends a drag with a click
            self._dragged = False
            return
        size = self.record.size
        pick = ((row + 0.5) / size, (column + 0.5) / size)
        if not len(self._places):
            return
        vertex = field.nearest_vertex(self._places, (row, column), self._seen)
        self.set(pick=pick, vertex=vertex, **({"move_x": 0.0, "move_y": 0.0} if vertex != self.record.vertex else {}))

    def _released(self, row: int, column: int) -> None:
        self._dragged = False

    def _drag(self, dx: float, dy: float) -> None:
        """Move the chosen vertex with the pointer."""
        if not len(self._places):
            return
        self._dragged = True
        state: GradientState = self.record
        depth = self._places[min(state.vertex, len(self._places) - 1), 2]
        unit = 2 / SIDE * float(depth) * float(np.tan(np.radians(FOV / 2)))  # world units of a CSS pixel
        self.set(
            move_x=round(float(np.clip(state.move_x + unit * dx, -1, 1)), 4),
            move_y=round(float(np.clip(state.move_y - unit * dy, -1, 1)), 4),
        )

    def _turned(self, orbit: Orbit) -> None:
        self.set(
            azimuth=round(orbit.azimuth, 3),
            elevation=round(float(np.clip(orbit.elevation, -89, 89)), 3),
            distance=round(float(np.clip(orbit.distance, 1.2, 10)), 3),
        )
        self.view.set_camera(self._orbit(self.record))  # panning would part view and pictures

    def _upload(self, files: list[tuple[str, bytes]]) -> None:
        self.set(mesh=OWN_FILE, path=os.fspath(receive(files, UPLOADS)))

    def png(self) -> bytes | None:
        """The loss along the line, kept in the notebook for readers without a kernel."""
        return bytes(self.line.value)


ROWS = ("picture", "adjoint", "footprint")
STYLE = "<style>.labkit-dragged img{-webkit-user-drag:none}</style>"  # else the browser drags the picture itself


def scaled(title: str, scale: str) -> str:
    """HTML: a title, and below it what its colours mean."""
    return f'<b>{title}</b><div style="{controls.SCALE_STYLE}">{scale}</div>'


def field_arrows(flow: Flow, problem: Problem) -> np.ndarray:
    """The arrows of a flow as the points (2 N, 3) of line segments; one point twice if there are none."""
    found = plots.arrows(flow.vertices, flow.gradient, problem.camera.eye).reshape(-1, 3)
    return found if len(found) else np.zeros((2, 3), np.float32)
