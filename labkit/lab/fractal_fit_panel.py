"""The inverse problem live: fit a fractal to a picture, coarse to fine."""

from __future__ import annotations

import copy
import html
import os
import threading
import time
import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np
import torch
from torch import Tensor

from labkit.errors import DomainError, FileError
from labkit.events import Event, Picture, Step
from labkit.files import write_bytes
from labkit.lab import controls
from labkit.lab import fractal_plots as plots
from labkit.lab.fractal_problem import MAX_BYTES, OWN_PICTURE, FractalFitState, Problem, error, pose, present
from labkit.lab.fractal_render import RANDOM, SYSTEMS, Drawing, blue_red, rows_of
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.smooth.fractal_fit import fit, smoothed
from labkit.smooth.fractals import IteratedFunctionSystem

SIDE, FINE = 144, 196  # CSS pixels of the four small pictures and of the fine one
PLOTS = ((386, 196), (590, 170))  # width and height of the loss curve and of the parameters
MORE = 10  # times the points of a step are in the fine picture at rest
PLOT_EVERY = 1.0  # seconds between two drawings of the plots while a fit runs: each costs as much as some steps
UPLOADS = Path("uploads")
PROBLEM = {"target", "path", "invert", "start", "perturbation", "maps", "seed"}  # a fit of one says nothing of another


@dataclass(eq=False)
class Fit:
    """A fit as it runs: filled by its worker.

    Attributes:
        key: of the problem it belongs to.
        problem: what is fitted.
        system: changed in place by the fit.
        goal, picture: (H, W), the target and the fractal at the level's sigma; None before the first.
        losses, sigmas: of each step so far.
        plotted: seconds, when the plots were last drawn.
    """

    key: Hashable
    problem: Problem
    system: IteratedFunctionSystem
    goal: Tensor | None = None
    picture: Tensor | None = None
    losses: list[float] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    plotted: float = 0.0


class FractalFitPanel(Panel):
    """Fit a fractal to a built-in one or to your own picture, and watch.

    ``FractalFitPanel(target="dragon", perturbation=40.0)`` starts elsewhere; all fields are those of
    `labkit.lab.fractal_problem.FractalFitState`. The fitted maps are part of the state, so its JSON brings them back
    in another kernel. Uploaded pictures go to ``uploads``, exports to ``exports``, both beside the notebook.
    """

    State: ClassVar[type] = FractalFitState

    def build(self) -> W.Widget:
        """Make controls, runner and views."""
        self._posed: tuple[Hashable, Problem] | None = None
        self._fit: Fit | None = None
        self._drawing = threading.Lock()  # the panel's worker and the runner's both draw
        titles = ("target", "target, blurred", "fractal, blurred", "difference")
        self.views = {name: self.own(ImageView(SIDE, SIDE)) for name in titles}
        self.titles = {name: W.HTML() for name in titles}
        self.fine = self.own(ImageView(FINE, FINE))
        self.fine.widget.add_class("labkit-fitted")
        self.loss, self.dots = (fixed_image(*size) for size in PLOTS)
        self.loss.add_class("labkit-loss")
        self.fine_title, self.verdict, self.schedule, self.exported = W.HTML(), W.HTML(), W.HTML(), W.HTML()
        self.runner = self.own(Runner(self._events, self._receive, self._refresh, self.fail))
        column = self._controls()
        small = W.HBox([controls.titled(self.titles[name], view.widget) for name, view in self.views.items()])
        middle = W.HBox(
            [
                controls.titled(self.fine_title, self.fine.widget),
                controls.titled("loss of each step", self.loss),
            ]
        )
        bottom = controls.titled("parameters of the maps", self.dots)
        views = [self.runner.widget, small, middle, self.verdict, bottom]
        self.adopted(self.record)
        return W.HBox(
            [column, W.VBox(views, layout=W.Layout(width="600px", margin="0 0 0 6px"))],
            layout=W.Layout(flex_flow="row wrap"),
        )

    def _controls(self) -> W.Widget:
        make = controls.Controls(self)
        path = W.Text(placeholder="path of a PNG or JPEG", description="file", continuous_update=False)
        controls.dress(path, "path")
        self._own_picture = W.VBox(
            [self.bind(path, "path"), self._upload(), make.switch("invert", "dark is the fractal")]
        )
        self._perturbation = make.slider("perturbation", "perturbation (± %)", 1)
        self._maps = make.whole("maps", "maps (a guess)")
        return controls.column(
            controls.heading("Target"),
            make.menu("target", "target", [*SYSTEMS, OWN_PICTURE]),
            self._own_picture,
            make.whole("size", "pixels a side", 16),
            controls.heading("Start"),
            make.menu("start", "start", ["perturbed", RANDOM]),
            self._perturbation,
            self._maps,
            make.whole("seed", "seed"),
            make.switch("resume", "begin with fitted maps", "Begin where the newest fit ended"),
            controls.heading("Schedule: coarse to fine"),
            make.slider("first_sigma", "first σ (pixels)", log=True),
            make.slider("last_sigma", "last σ (pixels)", log=True),
            make.whole("levels", "levels"),
            self.schedule,
            make.whole("steps", "steps a level"),
            make.whole("points", "points a step", 100),
            make.slider("rate", "learning rate", log=True),
            W.HBox([make.button("Export PNG", "Write the fine picture into exports", self.export_png)]),
            self.exported,
        )

    def _upload(self) -> W.Widget:
        made = W.FileUpload(
            accept=".png,.jpg,.jpeg",
            description="upload",
            tooltip="PNG or JPEG, at most 10 MB",
            layout=W.Layout(width="180px", margin="2px 2px 2px 159px"),
        )

        def arrived(change: Any) -> None:
            for file in change["new"]:
                self.receive_upload(file["name"], bytes(file["content"]))
            made.value = ()

        made.observe(self.guard(arrived), "value")
        return made

    def receive_upload(self, name: str, content: bytes) -> None:
        """Keep an uploaded picture in ``uploads`` and make it the target, from a random start.

        Raises:
            FileError: larger than 10 MB.
        """
        if len(content) > MAX_BYTES:
            raise FileError(name, f"{len(content)} bytes", f"at most {MAX_BYTES} bytes")
        UPLOADS.mkdir(exist_ok=True)
        plain = Path(name.replace("\\", "/"))
        path = UPLOADS / f"{plain.stem}-{zlib.crc32(content):08x}{plain.suffix}"  # another picture, another name
        write_bytes(path, content)
        self.set(target=OWN_PICTURE, path=os.fspath(path))

    # ---- state -----------------------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> None:
        """Change fields of the state (see `Panel.set`).

        Another problem drops the fitted maps of the earlier one, and a picture of your own asks for a random start.
        """
        if changes.get("target") == OWN_PICTURE:
            changes = {"start": RANDOM, **changes}
        if PROBLEM & changes.keys():
            changes = {"fitted": (), **changes}
        super().set(**changes)

    def adopted(self, state: FractalFitState) -> None:
        """Let the controls follow, and end a fit whose problem is no longer asked; no torch here."""
        controls.show_if(self._own_picture, state.target == OWN_PICTURE)
        controls.show_if(self._perturbation, state.start != RANDOM)
        controls.show_if(self._maps, state.start == RANDOM)
        levels = ", ".join(f"{sigma:.3g}" for sigma in state.sigmas)
        self.schedule.value = f'<div style="padding-left:159px;line-height:18px">&sigma; = {levels} px</div>'
        if self._fit is not None and self._fit.key != (state.target_key, state.start_key):
            self.runner.stop()

    def _problem(self, state: FractalFitState) -> Problem:
        """The problem of the state, posed anew only when it has changed."""
        key = (state.target_key, state.start_key)
        posed = self._posed
        if posed is None or posed[0] != key:
            posed = self._posed = (key, pose(state))
        return posed[1]

    # ---- on the panel's worker: what is seen at rest -------------------------------------------------------------

    def render(self, state: FractalFitState, quality: Quality) -> FractalFitState:
        """Pose the problem; `show` draws."""
        self._problem(state)
        return state

    def show(self, result: FractalFitState, quality: Quality) -> None:
        """Draw target and fractal of the state, unless a fit is drawing; plots at rest only."""
        if self.runner.state == "running":
            return
        problem = self._problem(result)
        fitted = self._fit if self._fit and self._fit.key == (result.target_key, result.start_key) else None
        sigma = result.last_sigma if result.fitted else result.sigmas[0]
        system = present(problem, result)
        with self._drawing:
            picture = Drawing(system, result.size, sigma, problem.exposure).draw(result.points, result.seed)
            self._show_pictures(problem, smoothed(problem.target, result.last_sigma, sigma)[0], picture, sigma)
            if quality == "fine":
                self._show_fine(problem, system, result, MORE * result.points)
                self._show_plots(problem, system, fitted)

    def _show_pictures(self, problem: Problem, goal: Tensor, picture: Tensor, sigma: float) -> None:
        difference, limit = blue_red(picture - goal)
        shown: dict[str, tuple[Tensor | np.ndarray, str]] = {
            "target": (problem.target, "as it is"),
            "target, blurred": (goal, f"&sigma; = {sigma:.3g} px"),
            "fractal, blurred": (picture, f"&sigma; = {sigma:.3g} px"),
            "difference": (difference, f"blue &minus;{limit:.2f}, red +{limit:.2f}"),
        }
        for name, (image, scale) in shown.items():
            self.views[name].show(image)
            self.titles[name].value = f'<b>{name}</b><div style="{controls.SCALE_STYLE}">{scale}</div>'

    def _show_fine(self, problem: Problem, system: IteratedFunctionSystem, state: FractalFitState, points: int) -> None:
        """The fractal at the last sigma, with its distance from the target."""
        picture = Drawing(system, state.size, state.last_sigma, problem.exposure).draw(points, state.seed)
        self.fine.show(picture)
        self.fine_title.value = f"<b>fractal at &sigma; = {state.last_sigma:.3g} px</b>"
        begun = Drawing(problem.start, state.size, state.last_sigma, problem.exposure).draw(points, state.seed)
        before, now = (error(image, problem.target) for image in (begun, picture))
        self.verdict.value = (
            f'<div class="labkit-verdict">distance from the target (relative L2, last &sigma;): start {before:.3f}, '
            f"now <b>{now:.3f}</b>, changed by <b>{100 * (now / before - 1):+.0f} %</b></div>"
        )

    def _show_plots(self, problem: Problem, system: IteratedFunctionSystem, fitted: Fit | None) -> None:
        losses, sigmas = (fitted.losses, fitted.sigmas) if fitted else ([], [])
        self.loss.value = plots.loss_curve(losses, sigmas, PLOTS[0])
        truth = rows_of(problem.truth) if problem.truth is not None else None
        self.dots.value = plots.parameter_dots(rows_of(system), rows_of(problem.start), truth, PLOTS[1])

    # ---- on the runner's worker: a fit ---------------------------------------------------------------------------

    def _events(self) -> Iterator[Event]:
        """A new fit of the present state."""
        state: FractalFitState = self.record
        problem = self._problem(state)
        system = copy.deepcopy(present(problem, state) if state.resume else problem.start)
        self._fit = Fit((state.target_key, state.start_key), problem, system)
        return fit(
            system,
            problem.target,
            generator=torch.Generator().manual_seed(state.seed),
            points=state.points,
            sigmas=state.sigmas,
            steps_per_level=state.steps,
            learning_rate=state.rate,
            exposure=problem.exposure,
            picture_every=5,
        )

    def _receive(self, event: Event) -> None:
        if self._fit is None:
            return
        if isinstance(event, Step):
            self._fit.losses.append(event.values["loss"])
            self._fit.sigmas.append(event.values["sigma"])
        elif isinstance(event, Picture):
            if event.name == "target":
                self._fit.goal = event.image[0]
            else:
                self._fit.picture = event.image[0]

    def _refresh(self) -> None:
        """Draw the fit; at a pause or the end let the state hold its maps instead, which draws them."""
        now = self._fit
        if now is None:
            return
        if self.runner.state != "running":
            with self._lock:
                if now.key == (self.record.target_key, self.record.start_key):
                    self.set(fitted=rows_of(now.system))
            return
        if self.headless:  # nobody watches
            return
        with self._drawing:
            if now.goal is not None and now.picture is not None:
                self._show_pictures(now.problem, now.goal, now.picture, now.sigmas[-1])
            if time.monotonic() - now.plotted > PLOT_EVERY:
                self._show_fine(now.problem, now.system, self.record, self.record.points)
                self._show_plots(now.problem, now.system, now)
                now.plotted = time.monotonic()

    def caption(self) -> str:
        """Size of the pictures, threads, memory."""
        return f"{self.record.size} x {self.record.size} pixels, {controls.device()}"

    # ---- exports ---------------------------------------------------------------------------------------------------

    def export_png(self) -> Path:
        """Write the fine picture into ``exports``; returns where."""
        self.flush()
        data = self.fine.png()
        if data is None:
            raise DomainError("picture", "none yet", "a picture that is finished")
        path = controls.export(f"fit-{self.record.target.replace(' ', '-')}", data)
        self.exported.value = f"written: <code>{html.escape(os.fspath(path.resolve()))}</code>"
        return path

    def png(self) -> bytes | None:
        """The fine picture, kept in the notebook for readers without a kernel."""
        return self.fine.png()
