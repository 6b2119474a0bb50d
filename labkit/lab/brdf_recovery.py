"""Recovery live: a material hides its numbers, and a fit finds them again from pictures, or does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np
import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.events import Event
from labkit.lab import brdf_plots as plots
from labkit.lab import controls
from labkit.lab.brdf_controls import MeshChoice, Strip, preset_buttons, signed
from labkit.lab.brdf_fit import Problem, Recovery, hide, pose
from labkit.lab.brdf_model import MATERIALS, PARAMETERS
from labkit.lab.explorer_mesh import subject
from labkit.lab.explorer_render import Cache
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.state import between, one_of

SIDE = 145  # CSS pixels of the small pictures
PATHS, LOSS = (594, 175), (300, 180)  # width and height of the plots
ALL, HIGHLIGHT = "all numbers", "size of the highlight"
PLOT_EVERY = 0.7  # seconds between two drawings of the plots while a fit runs: each costs as much as many steps
SIZES = ("shininess", "roughness")  # the number of each material that says how large the highlight is
PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "3 lights": {"hidden": ALL, "texture": False, "views": 1, "lamps": 3, "start": 0.5},
        "texture, 1 light": {"hidden": HIGHLIGHT, "texture": True, "views": 1, "lamps": 1, "start": 0.2},
        "texture, 4 lights": {"hidden": HIGHLIGHT, "texture": True, "views": 1, "lamps": 4, "start": 0.2},
    }
)
"""The second is what DIB-R, section 5.3, did not solve: k_d and k_s are known, texture and shininess are not."""


@dataclass(frozen=True)
class RecoveryState:
    """A problem, and how it is fitted.

    Attributes:
        mesh, path: as of `labkit.lab.explorer_state.ExplorerState`.
        material: name of the model; the fit knows it.
        hidden: which numbers are drawn at random; the others have their defaults, and the fit knows them.
        seed: of the hidden numbers.
        texture: whether the texture is hidden too. "diffuse", a factor of the texture, is then known.
        views, lamps: pictures are taken of each view with each light.
        size: pixels a side of the pictures.
        start: where in its range every fitted number begins.
        steps, rate: as of `labkit.lab.brdf_fit.Recovery`.
        shot: number of the picture that is shown, from 1; beyond the last it counts on from the first.
    """

    mesh: str = one_of("icosphere", "torus", "chair", "couch", "bathtub", OWN_FILE)
    path: str = ""
    material: str = one_of("Phong", *MATERIALS)
    hidden: str = one_of(ALL, HIGHLIGHT)
    seed: int = between(0, 0, 99)
    texture: bool = False
    views: int = between(1, 1, 4)
    lamps: int = between(3, 1, 6)
    size: int = between(64, 32, 128)
    start: float = between(0.5, 0.05, 0.95)
    steps: int = between(150, 5, 1000)
    rate: float = between(0.1, 0.01, 0.5)
    shot: int = between(1, 1, 24)

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers that are hidden."""
        known = {"diffuse"} if self.texture else set()
        return tuple(
            name
            for name, parameter in PARAMETERS.items()
            if self.material in parameter.materials and name not in known and (self.hidden == ALL or name in SIZES)
        )

    @property
    def shape(self) -> tuple[str, str]:
        """What `labkit.lab.explorer_mesh.subject` is asked for."""
        return self.mesh, self.path if self.mesh == OWN_FILE else ""

    @property
    def problem_key(self) -> Hashable:
        """All that the problem depends on."""
        return self.shape, self.material, self.names, self.seed, self.views, self.lamps, self.size

    @property
    def key(self) -> Hashable:
        """All that a fit depends on."""
        return self.problem_key, self.texture, self.start, self.steps, self.rate


class BrdfRecovery(Panel):
    """Hide the numbers of a material, fit them from pictures, and watch each of them find the truth, or miss it.

    ``BrdfRecovery(material="Cook-Torrance", lamps=4)`` starts elsewhere; all fields are those of `RecoveryState`.
    """

    State: ClassVar[type] = RecoveryState

    def build(self) -> W.Widget:
        """Make controls, runner and views."""
        self._cache = Cache()
        self._fit: tuple[Hashable, Recovery] | None = None
        self._plotted = 0.0  # when the plots were last drawn, seconds
        self._drawing = threading.RLock()  # the panel's worker and the runner's both draw
        self.strip = Strip(self.own, 4, SIDE)
        self.strip.widget.add_class("labkit-recovered")
        self.paths, self.loss = fixed_image(*PATHS), fixed_image(*LOSS)
        self.paths.add_class("labkit-paths")
        self.verdict = W.HTML()
        self.runner = self.own(Runner(self._events, self._receive, self._refresh, self.fail))
        column = self._controls()
        self._path_box = controls.titled("each hidden number, and the truth", self.paths)
        bottom = W.HBox([controls.titled("error of the pictures", self.loss), self.verdict])
        views = [self.runner.widget, self.strip.widget, self._path_box, bottom]
        self.adopted(self.record)
        return W.HBox(
            [column, W.VBox(views, layout=W.Layout(width="610px", margin="0 0 0 6px"))],
            layout=W.Layout(flex_flow="row wrap"),
        )

    def _controls(self) -> W.Widget:
        make = controls.Controls(self)
        self.mesh = MeshChoice(self, make)
        return controls.column(
            controls.heading("What is hidden"),
            self.mesh.widget,
            make.menu("material", "material", MATERIALS),
            make.menu("hidden", "hidden", [ALL, HIGHLIGHT], "Drawn at random; the others have their defaults"),
            make.whole("seed", "seed of the numbers"),
            make.switch("texture", "hide the texture too"),
            controls.heading("Pictures"),
            make.whole("views", "views", tip="Evenly around the mesh"),
            make.whole("lamps", "lights", tip="Each view is taken once with each light"),
            make.whole("size", "pixels a side", 16),
            make.whole("shot", "picture shown"),
            controls.heading("Fit"),
            make.slider("start", "start (0 low, 1 high)", 0.01, "Where in its range every number begins"),
            make.whole("steps", "steps", 5),
            make.slider("rate", "learning rate", log=True),
            preset_buttons(self, make, PRESETS),
        )

    def adopted(self, state: RecoveryState) -> None:
        """Let the controls follow, and end a fit of another problem; no torch here."""
        self.mesh.follow(state.mesh)
        if self._fit is not None and self._fit[0] != state.key:
            self.runner.stop()

    def caption(self) -> str:
        """Size of the pictures, threads, memory."""
        return f"{self.record.size} x {self.record.size} pixels, {controls.device()}"

    def _recovery(self, state: RecoveryState) -> Recovery:
        """The fit of the state: the one under way, or a new one at its start."""
        with self._drawing:
            if self._fit is None or self._fit[0] != state.key:
                self._fit = (state.key, self._begin(state))
            return self._fit[1]

    def _begin(self, state: RecoveryState) -> Recovery:
        if not state.names and not state.texture:
            raise DomainError("hidden", "nothing", "a number of this material, or the texture")

        def make() -> Problem:
            drawn = hide(state.material, torch.Generator().manual_seed(state.seed))
            truth = {name: drawn[name] if name in state.names else PARAMETERS[name].default for name in drawn}
            mesh = self._cache.get("mesh", state.shape, lambda: subject(*state.shape).mesh)
            return pose(mesh, state.material, truth, state.views, state.lamps, state.size)

        problem = self._cache.get("problem", state.problem_key, make)
        return Recovery(
            problem, state.names, texture=state.texture, start=state.start, steps=state.steps, rate=state.rate
        )

    # ---- on the panel's worker: what is seen at rest -------------------------------------------------------------

    def render(self, state: RecoveryState, quality: Quality) -> Recovery:
        """Pose the problem; `show` draws."""
        return self._recovery(state)

    def show(self, result: Recovery, quality: Quality) -> None:
        """Draw the fit as it stands, unless it is running and draws itself."""
        if self.runner.state != "running":
            self._draw(result, self.record)

    # ---- on the runner's worker: a fit ---------------------------------------------------------------------------

    def _events(self) -> Iterator[Event]:
        """A new fit of the present state."""
        state: RecoveryState = self.record
        with self._drawing:
            fit = self._begin(state)
            self._fit = (state.key, fit)
            return fit

    def _receive(self, event: Event) -> None:
        """Nothing to note: the fit keeps its own history."""

    def _refresh(self) -> None:
        fit, running = self._fit, self.runner.state == "running"
        if fit is None or fit[0] != self.record.key or (self.headless and running):
            return
        self._draw(fit[1], self.record, plots_too=not running or time.monotonic() - self._plotted > PLOT_EVERY)

    def _draw(self, fit: Recovery, state: RecoveryState, plots_too: bool = True) -> None:
        with self._drawing:
            self._draw_pictures(fit, state)
            self.verdict.value = verdict(fit)
            if plots_too:
                controls.show_if(self._path_box, bool(fit.path))
                if fit.path:
                    self.paths.value = plots.trajectories(
                        list(fit.path), fit.path, fit.problem.truth, state.steps, PATHS
                    )
                self.loss.value = plots.loss_curve({"pictures": fit.losses}, "mean absolute error", LOSS)
                self._plotted = time.monotonic()

    def _draw_pictures(self, fit: Recovery, state: RecoveryState) -> None:
        shots = fit.problem.shots
        index = (state.shot - 1) % len(shots)
        target, now = (shots[index].picture(colors) for colors in (shots[index].target, fit.colors[index]))
        shown: dict[str, tuple[Tensor | np.ndarray, str]] = {
            f"target {index + 1} of {len(shots)}": (target, "by the hidden numbers"),
            "fit": (now, "same view and light"),
            "fit minus target": signed((now - target).mean(0)),
        }
        if state.texture:
            shown["texture of the fit"] = (fit.map.detach(), "grey: unseen")
        self.strip.show(shown)

    def png(self) -> bytes | None:
        """The paths of the numbers, kept in the notebook for readers without a kernel."""
        return bytes(self.paths.value)


def verdict(fit: Recovery) -> str:
    """HTML: each hidden number, its truth, and how far off the fit is; then the texture and the pictures."""
    cell = '<td style="padding:0 10px 0 0;text-align:right">'
    rows = "".join(
        f"<tr><td style='padding-right:10px'>{PARAMETERS[name].label}</td>{cell}{fit.problem.truth[name]:.3g}</td>"
        f"{cell}{path[-1]:.3g}</td>{cell}{round(100 * (path[-1] / fit.problem.truth[name] - 1)):+d} %</td></tr>"
        for name, path in fit.path.items()
    )
    names = "".join(f"<th style='padding-right:10px;text-align:right'>{n}</th>" for n in ("", "truth", "fit", "off by"))
    told = (
        f"<br>Pictures: mean error {fit.losses[-1]:.5f}, {fit.losses[-1] / fit.first:.2%} of the start."
        if fit.losses
        else ""
    )
    return (
        '<div class="labkit-verdict" style="margin:24px 0 0 8px;line-height:18px">'
        f'<table style="line-height:18px"><tr>{names}</tr>{rows}</table>{told}</div>'
    )
