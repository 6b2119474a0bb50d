"""Renderers that see different things learn the same object side by side."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np

from labkit.events import Event, MeshPreview
from labkit.geometry import Mesh
from labkit.lab import controls
from labkit.lab import udr_comparison_frame as frames
from labkit.lab import udr_plots as plots
from labkit.lab.explorer_render import preview
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.udr_comparison_frame import Frame
from labkit.lab.udr_race import Race, races_below
from labkit.lab.udr_target import KINDS, SHOWN, TRUTH, ComparisonState, Target, target
from labkit.train.udr import PRESETS
from labkit.train.udr_config import SceneConfig

SIDE, FOV = 250, 40.0  # CSS pixels and degrees of the 3D view
EYE = Orbit((0.9, 0.7, 1.7))
REDRAW = 0.6  # seconds between two redraws at least
REST = 5.0  # and so many times as long as the last one took: at most a sixth of one core draws
ROWS = (
    "Two unseen views; below the first one's difference from the truth, from black (none) to yellow (half the range). "
    "Decibels, here and in the right plot: of both, where they show the object, without a rim along its silhouette. "
    "The dashed bound counts the same pixels."
)
NEW = ("a new one (press Run)", "")


class SavingRunner(Runner):
    """A `Runner` whose work is told at once that it has been stopped, even if it was paused and nothing runs."""

    def stop(self) -> None:
        """See `Runner.stop`."""
        paused = self.state == "paused"
        super().stop()
        if paused:
            self._wait_for_worker()
            self._refresh()


class UdrComparisonPanel(Panel):
    """Press *Run*: all renderers train in turn, one step of each after the other, in one thread of this kernel.

    *Stop* saves them. What is trained is kept in ``runs/comparison-...``, one run folder a renderer: after a restart of
    the kernel choose it in the menu, or by ``UdrComparisonPanel(run="runs/comparison-...")``, and *Run* goes on from
    the newest checkpoints. Each run can be opened in a `labkit.lab.training_panel.TrainingPanel` as well.

    Args:
        name: as for `Panel`.
        runs: where the folders are.
        run: one of them, to begin with.
        **changes: fields of `ComparisonState`; a preset brings its own numbers of steps and pictures.

    Attributes:
        race: what is shown, or None.
        frame: what was drawn last, or None.
    """

    State: ClassVar[type] = ComparisonState

    def __init__(
        self,
        name: str | None = None,
        runs: str | os.PathLike[str] = "runs",
        run: str | os.PathLike[str] | None = None,
        **changes: Any,
    ) -> None:
        self.runs = Path(runs)
        self.race: Race | None = None if run is None else Race.open(Path(run))
        self.frame: Frame | None = None
        self._events: Iterator[Event] | None = None
        self._target: tuple[SceneConfig, Target] | None = None
        self._drawn: dict[str, Hashable] = {}
        self._drawn_at, self._took = float("-inf"), 0.0
        super().__init__(name, **with_preset(changes))

    def set(self, **changes: Any) -> None:
        """Change fields of the state; another preset brings its own numbers of steps and pictures.

        Raises:
            DomainError: as for `Panel.set`.
        """
        super().set(**with_preset(changes))

    def build(self) -> W.Widget:
        """Make controls and views."""
        self.runner = self.own(SavingRunner(self._make, self._receive, self._refresh, self.fail))
        make = controls.Controls(self)
        steps, seed = W.BoundedIntText(min=1, max=10**6), W.BoundedIntText(min=0, max=2**31)
        for widget, field, text in ((steps, "steps", "steps of each"), (seed, "seed", "seed")):
            widget.description = text
            controls.dress(widget, field)
            self.bind(widget, field)
        self.menu = W.Dropdown(description="show", options=[NEW])
        controls.dress(self.menu, "comparisons")
        self.list_races()
        self.menu.observe(self.guard(self._chosen), "value")
        self.plan = W.HTML()
        column = controls.column(
            controls.heading("The next comparison"),
            make.menu("preset", "preset", list(PRESETS), "Sizes of networks and pictures"),
            make.menu("source", "what is seen", ["sphere", "box", "torus", "capsule"]),
            make.slider("specular", "specular k_s", tip="How strong the highlight is"),
            make.slider("shininess", "exponent n_s", log=True, tip="How narrow the highlight is"),
            make.whole("views", "training pictures"),
            steps,
            seed,
            make.switch("fourth", "M(x, v) too", "A fourth renderer: without the normal"),
            self.plan,
            controls.heading("Earlier comparisons"),
            self.menu,
            make.button("Refresh", "Look for them again", self.list_races),
            controls.heading("Curves"),
            make.slider("smoothing", "smoothing", 0.02, "Weight of the past in the moving average of the losses"),
        )
        self.messages, self.heads, self.table = W.HTML(), W.HTML(), W.HTML()
        self.sheet, self.curves = ImageView(*frames.SHEET), fixed_image(*plots.CURVES)
        self.view = self.own(open_view(self._picture, SIDE, SIDE, FOV, EYE))
        self.chosen = W.Dropdown(options=[*KINDS, TRUTH], description="surface of", layout=W.Layout(width="250px"))
        self.bind(self.chosen, "shown")
        for widget, word in (
            (self.runner.widget, "race"),
            (self.messages, "race-messages"),
            (self.sheet.widget, "race-sheet"),
            (self.curves, "race-curves"),
            (self.table, "race-table"),
            (self.view.widget, "race-surface"),
            (self.chosen, "race-shown"),
        ):
            widget.add_class(f"labkit-{word}")
        below = W.HBox([W.VBox([self.chosen, self.view.widget]), self.table])
        rows = W.HTML(f'<div style="{controls.SCALE_STYLE}">{ROWS}</div>')
        parts = [self.runner.widget, self.messages, self.heads, self.sheet.widget, rows, self.curves, below]
        right = W.VBox(parts, layout=W.Layout(width="640px", margin="0 0 0 6px"))
        return W.HBox([column, right], layout=W.Layout(flex_flow="row wrap"))

    # ---- what a person asks for ------------------------------------------------------------------------------------

    def run(self, steps: float = float("inf")) -> None:
        """Begin a comparison, or go on with the one that is shown; pause after so many steps of each.

        Headless it returns when that is done, and raises what goes wrong.
        """
        self.runner.run(steps)

    def attach(self, run: str | os.PathLike[str] | None) -> None:
        """Show an earlier comparison, or none; what this panel trains is stopped and saved.

        Raises:
            DomainError: there is none.
        """
        race = None if run is None else Race.open(Path(run))
        self.runner.stop()
        self.runner.join()
        self.race = race
        self.scheduler.submit(self.record)

    def list_races(self) -> None:
        """Look for earlier comparisons."""
        found = [(path.name, str(path)) for path in races_below(self.runs)]
        shown = "" if self.race is None else str(self.race.path)
        if shown and shown not in [path for _, path in found]:
            found.insert(0, (Path(shown).name, shown))
        with self._lock:
            self._applying = True
            try:
                self.menu.options, self.menu.value = [NEW, *found], shown
            finally:
                self._applying = False

    def _chosen(self, change: Any) -> None:
        if not self._applying:
            self.attach(change["new"] or None)

    # ---- on the runner's worker --------------------------------------------------------------------------------------

    def _make(self) -> Iterator[Event]:
        if self.race is None or self.race.over:
            self.race = Race.begin(self.record.config, self.record.kinds, self.runs)
        self._events = self.race.events()
        self.scheduler.submit(self.record)
        return self._events

    def _receive(self, event: Event) -> None:
        """Everything is noted by the race already."""

    def _refresh(self) -> None:
        ended = self.runner.state != "running"
        if self.runner.state == "stopped" and self._events is not None:
            self._events.close()  # type: ignore[attr-defined]
        if ended or time.monotonic() - self._drawn_at > max(REDRAW, REST * self._took):
            self._drawn_at = time.monotonic()
            self.scheduler.submit(self.record)

    # ---- on the panel's worker ---------------------------------------------------------------------------------------

    def render(self, state: ComparisonState, quality: Quality) -> Frame:
        """The runs as they stand; the truth is made at rest, since it takes a while."""
        race, scene = self.race, state.config.scene
        if race is not None:
            lanes = dict(race.lanes)
            return Frame(state, race.target, race.path, lanes, {kind: lane.seen for kind, lane in lanes.items()})
        if quality == "fine" and (self._target is None or self._target[0] != scene):
            self._target = scene, target(scene)
        known = self._target is not None and self._target[0] == scene
        return Frame(state, self._target[1] if known and self._target is not None else None, None, {}, {})

    def show(self, frame: Frame, quality: Quality) -> None:
        """Draw what has changed."""
        began, self.frame = time.perf_counter(), frame
        known = None if frame.target is None else id(frame.target)
        versions = tuple((kind, seen.version) for kind, seen in frame.seen.items())
        pictures = tuple(
            (kind, name, one.number) for kind, seen in frame.seen.items() for name, one in seen.pictures.items()
        )
        qualities = tuple(len(lane.quality[0]) for lane in frame.lanes.values())
        self._draw("texts", (frame.path, versions, known), self._show_texts, frame)
        self._draw("sheet", (frame.path, pictures, qualities, known), self._show_sheet, frame)
        self._draw("curves", (frame.path, versions, known, frame.state.smoothing), self._show_curves, frame)
        mesh = frames.surface_of(frame)
        self._draw("mesh", (frame.path, known, mesh and (frame.state.shown, mesh.number)), self._show_mesh, mesh)
        self._show_plan(frame.state)
        if self.menu.value != str(frame.path or ""):
            self.list_races()
        self._took = time.perf_counter() - began

    def _draw(self, name: str, key: Hashable, draw: Any, *arguments: Any) -> None:
        if name not in self._drawn or self._drawn[name] != key:
            draw(*arguments)
            self._drawn[name] = key

    def _show_texts(self, frame: Frame) -> None:
        lines = [
            f"{kind}, step {number:,}: {html.escape(text)}"
            for kind, seen in frame.seen.items()
            for number, _, text in seen.messages
        ]
        told = "".join(f'<div role="alert" style="color:#b00020">&#9888; {line}</div>' for line in lines)
        self.messages.value = f'<div style="line-height:17px;max-height:68px;overflow:auto">{told}</div>'
        self.table.value = frames.table(frame)

    def _show_sheet(self, frame: Frame) -> None:
        edge = 0 if frame.target is None else frames.margin(frame.target)
        truth: list[np.ndarray | None] = [None] * SHOWN
        if frame.target is not None:
            truth = [frames.middle(image, edge) for image in frame.target.images]
        columns: list[list[np.ndarray | None]] = [[*truth, None]]
        heads = [(TRUTH, "", f"{SHOWN} unseen views")]
        for kind, sees in KINDS.items():
            lane, seen = frame.lanes.get(kind), frame.seen.get(kind)
            found = [None if seen is None else seen.pictures.get(f"view {number}") for number in range(SHOWN)]
            shown = [None if one is None else frames.middle(one.image, edge) for one in found]
            apart = None if shown[0] is None or truth[0] is None else plots.error_picture(shown[0], truth[0])
            columns.append([*shown, apart])
            if lane is not None or (frame.path is None and kind in frame.state.kinds):
                values = lane.quality[1] if lane is not None else []
                heads.append((kind, sees, f"{values[-1]:.1f} dB" if values else ""))
        self.sheet.show(plots.sheet(columns, frames.TILE, frames.GAP))
        self.heads.value = frames.headed(heads)

    def _show_curves(self, frame: Frame) -> None:
        losses = {kind: seen.curves.get("loss", ((), ())) for kind, seen in frame.seen.items()}
        psnrs = {kind: lane.quality for kind, lane in frame.lanes.items()}
        total = max((lane.config.steps for lane in frame.lanes.values()), default=frame.state.steps)
        bound = None if frame.target is None else frame.target.bound
        self.curves.value = plots.comparison_curves(losses, psnrs, bound, total, frame.state.smoothing)

    def _show_mesh(self, mesh: MeshPreview | None) -> None:
        if mesh is not None:
            self.view.update(mesh.vertices, mesh.faces, mesh.colors)

    def _show_plan(self, state: ComparisonState) -> None:
        config, race = state.config, self.race
        if race is not None and not race.over:
            scene = race.config.scene
            told = (
                f"<b>Run</b> goes on with {race.path.name}: {scene.source}, k_s {scene.ks:g}, n_s {scene.shininess:.3g}"
            )
            told += ". For a new one choose <i>a new one</i> below."
        else:
            told = (
                f"<b>Run</b> trains {len(state.kinds)} renderers, {state.steps:,} steps each, of {config.scene.size} x "
            )
            told += f"{config.scene.size} pixels. Preset cpu takes minutes on two cores."
        self.plan.value = f'<div style="line-height:16px;font-size:12px">{told}</div>'

    def _picture(self, orbit: Orbit) -> Any:
        """What is shown in place of the 3D view where there is no WebGL."""
        mesh = None if self.frame is None else frames.surface_of(self.frame)
        if mesh is None or not len(mesh.faces):
            return np.full((SIDE, SIDE, 3), 255, np.uint8)
        return preview(Mesh(mesh.vertices, mesh.faces, colors=mesh.colors), orbit, (), SIDE)

    def png(self) -> bytes:
        """The curves, kept in the notebook for readers without a kernel."""
        return bytes(self.curves.value)

    def caption(self) -> str:
        """What computes here."""
        return controls.device()


def with_preset(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, and with a preset its own numbers of steps and pictures unless they name others."""
    preset = PRESETS.get(changes.get("preset", ""))
    return changes if preset is None else {"steps": preset.steps, "views": preset.scene.views, **changes}
