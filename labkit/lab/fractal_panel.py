"""The fractal explorer: an iterated function system, a slider for each parameter, and what each does to the picture."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as W
import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.lab import controls
from labkit.lab.fractal_render import (
    COLORS,
    PARAMETERS,
    RANDOM,
    SYSTEMS,
    Drawing,
    Rows,
    base,
    blue_red,
    dimension,
    frame_at,
    frames,
    overlay,
    rows_of,
    with_rows,
)
from labkit.lab.fractal_state import PRESETS, FractalState
from labkit.lab.image_view import ImageView
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality
from labkit.lab.snapping import is_echo
from labkit.smooth.fractals import IteratedFunctionSystem

SIDE, SMALL = 448, 200  # CSS pixels of the picture and of its derivative
COARSE, COARSE_POINTS = 80, 2500  # pixels a side and points while dragging: below 120 ms on one core
SLOPE, SLOPE_POINTS = 100, 12_000  # the same for the derivative at rest, which costs as much as several pictures
NAMES = tuple(PARAMETERS)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was made of one state: the system, its picture (H, W), and the derivative (H, W) if it was made."""

    state: FractalState
    system: IteratedFunctionSystem
    picture: Tensor
    slope: Tensor | None

    @property
    def chosen(self) -> int:
        """The chosen map from 0, the last one where there are fewer."""
        return min(self.state.chosen, len(self.system.coefficients)) - 1


class FractalExplorer(Panel):
    """Move one parameter of one map and see the whole fractal follow, and where the picture changes.

    ``FractalExplorer(system="dragon", sigma=4.0)`` starts elsewhere; all fields are those of `FractalState`. Setting
    another system drops the coefficients of the earlier one. Exports go to ``exports`` beside the notebook.
    """

    State: ClassVar[type] = FractalState
    rest: ClassVar[float] = 0.4  # the picture at rest takes as long as ten coarse ones, so it waits a little

    def build(self) -> W.Widget:
        """Make controls and views."""
        self._base = (self.record.key, base(self.record.system, self.record.maps, self.record.system_seed))
        self._following = False
        self._newest: Seen | None = None
        self._drawn = (0, 0)  # pixels a side and points of the newest picture
        self.soft, self.slope = self.own(ImageView(SIDE, SIDE)), self.own(ImageView(SMALL, SMALL))
        self.soft.on_click = self.guard(self._clicked)
        self.soft.widget.add_class("labkit-fractal")
        self.slope.widget.add_class("labkit-slope")
        self.scale, self.facts, self.exported = W.HTML(), W.HTML(), W.HTML()
        self.chooser = W.ToggleButtons(options=["1"], style=W.ToggleButtonsStyle(button_width="34px"))
        self.chooser.observe(self.guard(self._chosen), "index")
        self.sliders = [self._parameter(number) for number in range(len(NAMES))]
        side = W.VBox([controls.titled(self.scale, self.slope.widget), self.facts])
        title = "the fractal, and where each map puts the frame (click one)"
        views = W.HBox([controls.titled(title, self.soft.widget), side], layout=W.Layout(margin="0 0 0 6px"))
        column = self._controls()
        self.adopted(self.record)
        return W.HBox([column, views], layout=W.Layout(flex_flow="row wrap"))

    def _controls(self) -> W.Widget:
        make = controls.Controls(self)
        self.random = W.VBox([make.whole("maps", "maps"), make.whole("system_seed", "seed of the system")])
        built_in = partial(self.set, coefficients=())
        presets = [make.button(name, "A preset", partial(self.set, **values)) for name, values in PRESETS.items()]
        return controls.column(
            controls.heading("System"),
            make.menu("system", "system", [*SYSTEMS, RANDOM]),
            self.random,
            W.HBox(presets),
            controls.heading("One map"),
            W.HTML(f'<div style="{controls.SCALE_STYLE}">f(x, y) = (x + a1 + a2 x + a3 y, y + a4 + a5 x + a6 y)</div>'),
            W.HBox([W.HTML("map"), self.chooser]),
            *self.sliders,
            controls.heading("Picture"),
            make.menu("parameter", "derivative by", [(f"{n}: {text}", n) for n, text in PARAMETERS.items()]),
            make.slider("sigma", "blur σ (pixels)", log=True, tip="Standard deviation of a point"),
            make.slider("exposure", "exposure", log=True, tip="Brightness of the same number of points"),
            make.whole("points", "points", 500),
            make.whole("seed", "seed of the points", tip="The choices of maps, drawn in advance"),
            make.whole("size", "pixels a side", 16),
            make.switch("frames", "show the maps"),
            W.HBox(
                [
                    make.button("Maps as built in", "Drop all changes of the parameters", built_in),
                    make.button("Export PNG", "Write the picture into exports", self.export_png),
                ]
            ),
            self.exported,
        )

    def _parameter(self, number: int) -> W.FloatSlider:
        """The slider of one parameter of the chosen map; it holds one number of the state's table."""
        name = NAMES[number]
        made = W.FloatSlider(description=f"{name} {PARAMETERS[name]}", step=0.01, readout_format=".3f")
        controls.dress(made, name)
        made.observe(self.guard(lambda change: self._moved(number, change["new"])), "value")
        return made

    # ---- state and controls ----------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> None:
        """Change fields of the state (see `Panel.set`); another system begins as it is built in."""
        if {"system", "maps", "system_seed"} & changes.keys():
            changes = {"coefficients": (), **changes}
        super().set(**changes)

    def adopted(self, state: FractalState) -> None:
        """Let the sliders show the chosen map; no torch here."""
        controls.show_if(self.random, state.system == RANDOM)
        self._follow()

    def _rows(self) -> Rows | None:
        """The table of the present state, or None while the worker still makes a new random system."""
        key, system = self._base
        return self.record.coefficients or (rows_of(system) if key == self.record.key else None)

    def _follow(self) -> None:
        with self._lock:
            rows = self._rows()
            if rows is None or self._closed:
                return
            self._following = True
            try:
                options = [str(number + 1) for number in range(len(rows))]
                if list(self.chooser.options) != options:
                    self.chooser.options = options
                self.chooser.index = min(self.record.chosen, len(rows)) - 1
                reach = self._base[1].window.size
                for name, slider, value in zip(NAMES, self.sliders, rows[self.chooser.index], strict=True):
                    low, high = {"a1": (-reach, reach), "a2": (-2, 0), "a4": (-reach, reach), "a6": (-2, 0)}.get(
                        name, (-1, 1)
                    )
                    low, high = min(low, value), max(high, value)
                    slider.min, slider.max = min(low, slider.max), high
                    slider.min, slider.value = low, value
            finally:
                self._following = False

    def _moved(self, number: int, value: float) -> None:
        with self._lock:
            rows = self._rows()
            if self._following or rows is None:
                return
            chosen = self.chooser.index
            if not is_echo(self.sliders[number], rows[chosen][number], value):
                table = [list(row) for row in rows]
                table[chosen][number] = value
                self.set(coefficients=table, parameter=NAMES[number])

    def _chosen(self, change: Any) -> None:
        if not self._following and change["new"] is not None:
            self.set(chosen=change["new"] + 1)

    def _clicked(self, row: int, column: int) -> None:
        """Choose the smallest frame under the pixel; nothing happens outside all of them."""
        if self._newest is None or not self.record.frames:
            return
        hit = frame_at(frames(self._newest.system, SIDE), row, column)
        if hit is not None:
            self.set(chosen=hit + 1)

    # ---- on the worker ---------------------------------------------------------------------------------------------

    def render(self, state: FractalState, quality: Quality) -> Seen:
        """The picture and its derivative: small ones in one pass while dragging, larger ones at rest."""
        if self._base[0] != state.key:
            self._base = (state.key, base(state.system, state.maps, state.system_seed))
        system = with_rows(self._base[1], state.coefficients)
        chosen = min(state.chosen, len(system.coefficients)) - 1
        coarse = quality == "coarse"
        size = min(state.size, COARSE if coarse else SLOPE)
        few = min(state.points, COARSE_POINTS if coarse else SLOPE_POINTS)
        drawing = Drawing(system, size, state.sigma * size / state.size, state.exposure)
        self._drawn = (size, few)
        if coarse and self._newest is None:  # a picture at once; torch takes seconds to load what the first slope needs
            return Seen(state, system, drawing.draw(few, state.seed), None)
        picture, slope = drawing.slope(few, state.seed, chosen, NAMES.index(state.parameter))
        if not coarse:
            large = Drawing(system, state.size, state.sigma, state.exposure)
            picture = large.draw(state.points, state.seed, stale=lambda: self.record != state)
            self._drawn = (state.size, state.points)
        return Seen(state, system, picture, slope)

    def show(self, result: Seen, quality: Quality) -> None:
        """Hand pictures and figures to the page."""
        self._newest = result
        self._follow()
        state = result.state
        outlines = frames(result.system, SIDE)
        self.soft.show(overlay(result.picture, outlines[: len(outlines) * state.frames], result.chosen, SIDE), quality)
        if result.slope is not None:
            slope, limit = blue_red(result.slope)
            self.slope.show(slope, quality)
            self.scale.value = (
                f"<b>&part; picture / &part; {state.parameter} of map {result.chosen + 1}</b>"
                f'<div style="{controls.SCALE_STYLE}">blue &minus;{limit:.3g}: darker, red +{limit:.3g}: brighter</div>'
            )
        self.facts.value = facts(result)

    def caption(self) -> str:
        """Size of the newest picture, threads, memory."""
        size, points = self._drawn
        return f"{size} x {size} pixels, {points:,} points, {controls.device()}"

    def export_png(self) -> Path:
        """Write the picture at rest, as it is shown, into ``exports``; returns where."""
        self.flush()
        data = self.soft.png()
        if data is None:
            raise DomainError("picture", "none yet", "a picture that is finished")
        path = controls.export(self.record.system.replace(" ", "-"), data)
        self.exported.value = f"written: <code>{html.escape(os.fspath(path.resolve()))}</code>"
        return path

    def png(self) -> bytes | None:
        """The picture, kept in the notebook for readers without a kernel."""
        return self.soft.png()


def facts(seen: Seen) -> str:
    """HTML: one row for each map, with how often it is chosen, its area factor and its largest stretch."""
    with torch.no_grad():
        areas = torch.linalg.det(seen.system.to_affine()[0]).abs().tolist()
    chances, stretches = seen.system.probabilities.tolist(), seen.system.contraction.tolist()
    cell = '<td style="padding:0 6px 0 0;text-align:right">'
    rows = "".join(
        f'<tr style="font-weight:{600 if number == seen.chosen else 400}">'
        f'<td><span style="display:inline-block;width:12px;height:12px;background:{COLORS[number]}"></span> '
        f"{number + 1}</td>{cell}{chance:.2f}</td>{cell}{area:.3f}</td>{cell}{stretch:.2f}</td></tr>"
        for number, (chance, area, stretch) in enumerate(zip(chances, areas, stretches, strict=True))
    )
    names = "".join(f"<th style='padding-right:6px'>{n}</th>" for n in ("map", "chance", "area", "stretch"))
    dense = seen.state.points * seen.state.size**2 * 4 / 1e9
    return (
        f'<table class="labkit-maps" style="line-height:16px;font-size:12px"><tr>{names}</tr>{rows}</table>'
        f'<div style="{controls.SCALE_STYLE};width:{SMALL}px">similarity dimension {dimension(areas):.3f}<br>'
        f"a matrix of all points by all pixels would take {dense:,.2g} GB; it is never made</div>"
    )
