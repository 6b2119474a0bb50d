"""The shootout live: one scene, one loss, six pictures with their gradient fields, and a race of six descents."""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W
from torch import Tensor

from labkit.events import Event, Step
from labkit.lab import shootout_plots as plots
from labkit.lab.controls import Controls, column, device, heading, titled
from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.shootout_scene import FREEDOMS, LOSSES, SHAPES, Measured, Problem, Race, contenders, pose
from labkit.lab.state import between, one_of

SIDE, COARSE = 64, 40  # pixels of the pictures, at rest and while a slider moves
FIELDS, CURVES, COSTS = (594, 436), (350, 220), (240, 220)  # width and height of the three views


@dataclass(frozen=True)
class ShootoutState:
    """What is compared.

    Attributes:
        shape: a built-in shape.
        loss: what is compared with the target, the hard picture of the moved copy.
        width: of all soft edges, in pixels of a picture of 64.
        azimuth: of the camera, degrees.
        right, up: how far the target is moved, in pixels.
        freedom: what a descent may move.
        rate: learning rate of Adam, pixels a step.
        steps: of a race.
    """

    shape: str = one_of(*SHAPES)
    loss: str = one_of(*LOSSES)
    width: float = between(3.0, 0.5, 16.0)
    azimuth: float = between(30.0, -180.0, 180.0)
    right: float = between(8.0, -30.0, 30.0)
    up: float = between(4.0, -30.0, 30.0)
    freedom: str = one_of(*FREEDOMS)
    rate: float = between(0.5, 0.05, 3.0)
    steps: int = between(40, 2, 300)

    def problem(self, side: int = SIDE) -> Problem:
        """The problem in a picture of ``side`` pixels."""
        scale = side / SIDE
        return pose(self.shape, side, self.azimuth, (scale * self.right, scale * self.up), self.loss)


class ShootoutPanel(Panel):
    """See where each renderer wants every vertex to go, and let six descents race.

    ``ShootoutPanel(shape="sphere", loss="colours")`` starts elsewhere; the fields are those of `ShootoutState`. A
    change of anything ends a race: the next begins anew.
    """

    State: ClassVar[type] = ShootoutState

    def build(self) -> W.Widget:
        """Make controls, runner and views."""
        self.history: dict[str, list[float]] = defaultdict(list)
        self.race: Race | None = None
        self._raced: ShootoutState | None = None  # what the history belongs to
        self._fine: bytes | None = None
        self._drawing = threading.Lock()  # the panel's worker and the runner's both draw
        self.runner = self.own(Runner(self._begin, self._receive, self._refresh, self.fail))
        self.fields, self.curves, self.costs = (fixed_image(*size) for size in (FIELDS, CURVES, COSTS))
        for view, name in ((self.fields, "fields"), (self.curves, "curves"), (self.costs, "costs")):
            view.add_class(f"labkit-{name}")
        make = Controls(self)
        controls = column(
            heading("Scene"),
            make.menu("shape", "shape", list(SHAPES)),
            make.slider("azimuth", "camera azimuth (°)", 1),
            make.slider("right", "target to the right (px)", 0.5),
            make.slider("up", "target upwards (px)", 0.5),
            heading("Loss and softness"),
            make.menu("loss", "compare", list(LOSSES), "Mean squared difference from the hard picture of the target"),
            make.slider("width", "width of soft edges (px)", log=True, tip="The same for all four soft renderers"),
            heading("Race: Adam, own gradient each"),
            make.menu("freedom", "what may move", list(FREEDOMS)),
            make.slider("rate", "learning rate (px/step)", 0.05),
            make.whole("steps", "steps"),
            self.runner.widget,
        )
        text = (
            "Arrows: minus the gradient at each vertex, so the way down. <i>arrow</i>: length of the longest, which "
            "each picture draws alike (loss per world unit). Orange: outline of the target."
        )
        below = W.HBox([titled("race", self.curves), titled("one step costs", self.costs)])
        views = W.VBox([self.fields, W.HTML(text), below], layout=W.Layout(width="600px", margin="0 0 0 6px"))
        box = W.HBox([controls, views], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-shootout")
        return box

    def adopted(self, state: ShootoutState) -> None:
        """What was raced no longer belongs to the controls, so the race ends."""
        self.runner.stop()

    # ---- on the panel's worker ---------------------------------------------------------------------------------------

    def render(self, state: ShootoutState, quality: Quality) -> tuple[ShootoutState, Problem, dict[str, Measured]]:
        """All pictures and gradients of the start."""
        problem = state.problem(SIDE if quality == "fine" else COARSE)
        width = state.width * problem.size[0] / SIDE
        rasterizers = contenders(width, problem.size)
        start = problem.mesh.vertices
        return state, problem, {name: problem.measure(start, each) for name, each in rasterizers.items()}

    def show(self, result: tuple[ShootoutState, Problem, dict[str, Measured]], quality: Quality) -> None:
        """Draw them; the curves of another state go."""
        state, problem, found = result
        if self.runner.state == "running" and state == self._raced:
            return
        with self._drawing:
            self._show_fields(problem, dict.fromkeys(found, problem.mesh.vertices), found, quality)
            if quality == "coarse":
                return
            if state != self._raced:
                self.history, self._raced = defaultdict(list), None
                self.curves.value = plots.race_picture(self.history, CURVES)
            self.costs.value = plots.cost_picture(
                {name: (1e3 * one.seconds, one.kept / 1e3) for name, one in found.items()}, COSTS
            )

    def _show_fields(
        self, problem: Problem, vertices: dict[str, Tensor], found: dict[str, Measured], quality: Quality = "fine"
    ) -> None:
        tiles = []
        for name, one in found.items():
            image = one.picture.alpha[0] if problem.loss == LOSSES[0] else one.picture.color[0]
            places, arrows = problem.on_screen(vertices[name], -one.gradient)
            longest = float(arrows.norm(dim=-1).max()) if len(arrows) else 0.0
            told = f"arrow {longest:.2g}" if longest else "no gradient"
            image = plots.outlined(image, problem.target.alpha[0])
            tiles.append(plots.Tile(f"{name}: loss {one.loss:.3f}, {told}", image, places, arrows))
        picture = plots.field_picture(tiles, quality)
        with self.fields.hold_sync():
            self.fields.format = "jpeg" if quality == "coarse" else "png"
            self.fields.value = picture
        if quality == "fine":
            self._fine = picture

    # ---- on the runner's worker --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Race from the start."""
        self.runner.run()

    def _begin(self) -> Iterator[Event]:
        state: ShootoutState = self.record
        problem = state.problem()
        self.history, self._raced = defaultdict(list), state
        self.race = Race(problem, contenders(state.width, problem.size), state.freedom, state.rate)
        return self.race.run(state.steps)

    def _receive(self, event: Event) -> None:
        if isinstance(event, Step) and self.runner.state != "stopped":
            for name, value in event.values.items():
                self.history[name].append(value)

    def _refresh(self) -> None:
        race, history = self.race, {name: list(values) for name, values in self.history.items()}
        if race is None or self._raced != self.record:
            return
        with self._drawing:
            found = {name: race.problem.measure(race.vertices[name], each) for name, each in race.rasterizers.items()}
            self._show_fields(race.problem, race.vertices, found)
            self.curves.value = plots.race_picture(history, CURVES)
            if history:
                medians = (
                    {name: statistics.median(history[f"{name}, {what}"]) for name in found} for what in ("ms", "kB")
                )
                times, sizes = medians
                self.costs.value = plots.cost_picture({name: (times[name], sizes[name]) for name in found}, COSTS)

    def caption(self) -> str:
        """Size of the pictures, threads, memory."""
        return f"{SIDE} x {SIDE} pixels, {device()}"

    def png(self) -> bytes | None:
        """The six pictures, kept in the notebook for readers without a kernel."""
        return self._fine
