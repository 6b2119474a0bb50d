"""Sphere tracing on sliders: the circles of one ray that is dragged, and the steps of all rays of a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.lab import controls
from labkit.lab import implicit_plots as plots
from labkit.lab.explorer_render import Cache
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.implicit_scene import RADIUS, REACH
from labkit.lab.implicit_tracing import (
    ENDING,
    ERROR,
    PICTURE,
    SHAPES,
    Picture,
    TracingState,
    Walk,
    picture,
    true_picture,
    walk,
)
from labkit.lab.panel import Panel
from labkit.lab.plots import HARD, SOFT, png
from labkit.lab.scheduler import Quality
from labkit.lab.sorting_plots import quick_figure
from labkit.render.implicit import REASONS

SIDE = 196  # CSS pixels of the pictures
CURVE = (400, 190)
STRAIGHT = {"shape": "sphere", "aim_x": 0.0, "aim_y": 0.06, "down": 0.5, "epsilon": 1e-3, "alpha": 0.5}
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "exact": ("The state the panel began with", asdict(TracingState())),
    "back-off": ("Steps 1.6 times too long: shortened ones still arrive", {**STRAIGHT, "slope": 1.6}),
    "overshoot": ("Steps 2.4 times too long: a shortened one lands inside", {**STRAIGHT, "slope": 2.4}),
    "too flat": ("Steps too short", {**STRAIGHT, "slope": 0.3}),
    "rough": ("A large epsilon", {**asdict(TracingState()), "epsilon": 0.05}),
}


@dataclass(frozen=True, eq=False)
class Shown:
    """What is seen of one state: the chosen ray and its drawing, the picture of all rays, the plot of the distances."""

    state: TracingState
    walk: Walk
    drawing: np.ndarray
    picture: Picture
    curve: bytes | None


class TracingPanel(Panel):
    """Drag a ray through a signed field and see every step that sphere tracing takes.

    ``TracingPanel(shape="torus", slope=2.0)`` starts elsewhere; all fields are those of `TracingState`.
    """

    State: ClassVar[type] = TracingState

    def build(self) -> W.Widget:
        """Make controls and views."""
        self._cache, self._plane = Cache(), plots.Drawing()
        self._dragged = False
        self.drawing = self.own(ImageView(*plots.SIZE))
        self.drawing.widget.add_class("labkit-drawing")
        self.drawing.on_click, self.drawing.on_hover = self.guard(self._clicked), self._released
        self.drawing.on_drag = self.guard(self._drag)
        self.steps, self.second = (self.own(ImageView(SIDE, SIDE)) for _ in range(2))
        for view, name in ((self.steps, "steps"), (self.second, "second")):
            view.widget.add_class(f"labkit-{name}-picture")
            view.on_click = self.guard(self._picked)
        self.steps_title, self.second_title, self.told = W.HTML(), W.HTML(), W.HTML(layout=W.Layout(width="200px"))
        self.told.add_class("labkit-told")
        self.curve = fixed_image(*CURVE)
        self.curve.add_class("labkit-curve")
        left = [
            controls.titled("one row of the picture, from above: drag the ring", self.drawing.widget),
            controls.titled("what is left after each step", self.curve),
        ]
        right = [self.steps_title, self.steps.widget, self.second_title, self.second.widget, self.told]
        fixed = W.Layout(flex="0 0 auto", width="406px")
        views = W.HBox([W.VBox(left, layout=fixed), W.VBox(right)], layout=W.Layout(width="612px", margin="0 0 0 6px"))
        return W.HBox([self._controls(), views], layout=W.Layout(flex_flow="row wrap"))

    def _controls(self) -> W.Widget:
        make = controls.Controls(self)
        presets = [make.button(name, tip, partial(self.set, **values)) for name, (tip, values) in PRESETS.items()]
        for button in presets:
            button.layout.flex = "0 0 auto"
        return controls.column(
            controls.heading("The field f"),
            make.menu("shape", "surface", [*SHAPES]),
            make.slider("slope", "f is multiplied by", tip="1: distances as they are. More: steps too long", log=True),
            controls.heading("Algorithm 1"),
            make.slider("epsilon", "epsilon (world units)", tip="A ray has arrived where f is not above it", log=True),
            make.slider("alpha", "back-off alpha", tip="A step that would land inside is shortened by it, once"),
            make.whole("max_steps", "evaluations at most", tip="Then the ray is given up"),
            W.HBox(presets, layout=W.Layout(flex_flow="row wrap")),
            controls.heading("The ray: drag it, or click a pixel"),
            make.slider("aim_x", "ring: away (units)"),
            make.slider("aim_y", "ring: left (units)"),
            make.slider("down", "row of the picture", tip="0: upper edge, 1: lower edge"),
            controls.heading("Camera, pictures"),
            make.slider("azimuth", "azimuth (°)", 1),
            make.slider("elevation", "elevation (°)", 1),
            make.menu("second", "second picture", [ENDING, ERROR]),
        )

    def caption(self) -> str:
        """Size of the pictures, threads, memory."""
        return f"{PICTURE[1]} x {PICTURE[1]} rays, float64, {controls.device()}"

    def render(self, state: TracingState, quality: Quality) -> Shown:
        """Trace the chosen ray and all rays; the plot waits for rest."""
        size = PICTURE[quality == "fine"]
        found = walk(state, exact=quality == "fine")
        rays = replace(state, aim_x=0.0, aim_y=0.0, down=0.0)  # the picture does not depend on these
        place = (state.shape, state.azimuth, state.elevation, size)
        kind = f"picture {size}"
        truth = self._cache.get(f"true {kind}", place, lambda: true_picture(*place)) if state.second == ERROR else None
        seen = self._cache.get(kind, rays, lambda: picture(state, size, truth))
        curve = distance_curve(state, found) if quality == "fine" else None
        return Shown(state, found, self._draw(state, found), seen, curve)

    def _draw(self, state: TracingState, found: Walk) -> np.ndarray:
        """The plane with the chosen ray."""

        def ground() -> tuple[Figure, Axes]:
            points = state.section.grid(plots.EXTENT, plots.RASTER)
            offset = float(state.section.origin.norm())
            return plots.section(
                state.field(points).reshape(plots.RASTER).numpy(), max(0.0, RADIUS**2 - offset**2) ** 0.5
            )

        key = (state.shape, state.slope, state.azimuth, state.elevation, state.down)
        return self._plane.drawn(key, ground, lambda axes: overlay(axes, state, found))

    def show(self, result: Shown, quality: Quality) -> None:
        """Hand pictures, plot and figures to the page."""
        state, rays = result.state, result.picture
        self.drawing.show(result.drawing, quality)
        most = max(int(rays.steps.max()), 1)
        row, column = (
            min(PICTURE[1] - 1, int(part * PICTURE[1])) for part in (state.down, state.section.across(state.aim))
        )
        for view in (self.steps, self.second):
            view.marked = (row, column) if column >= 0 else None
        self.steps.show(colormaps["viridis"](np.log1p(rays.steps) / np.log1p(most))[..., :3], quality)
        self.second.show(rays.second, quality)
        hits, misses, lost = (100 * count / rays.steps.size for count in rays.counts)
        self.steps_title.value = scaled(
            "evaluations of f a pixel", f"log: blue 0, yellow {most}; mean {rays.steps.mean():.1f}"
        )
        if state.second == ERROR:
            scale = "blue 1e-7, yellow 0.1 world units,<br>pink: no surface there"
            scale += f"<br>median {rays.error[0]:.1e}, greatest {rays.error[1]:.1e}"
        else:
            scale = f"grey: hit {hits:.0f} %, white: missed {misses:.0f} %,<br>"
            scale += f'<span style="color:{HARD}">orange: given up {lost:.1f} %</span>'
        self.second_title.value = scaled(state.second, scale)
        if result.curve is not None:
            self.curve.value = result.curve
            self.told.value = told(result.walk)

    def png(self) -> bytes | None:
        """The drawing, kept in the notebook for readers without a kernel."""
        return self.drawing.png()

    # ---- callbacks -------------------------------------------------------------------------------------------------

    def _clicked(self, row: int, column: int) -> None:
        if self._dragged:  # the browser ends a drag with a click
            self._dragged = False
            return
        self._aim(*plots.place(row, column))

    def _released(self, row: int, column: int) -> None:
        self._dragged = False

    def _drag(self, dx: float, dy: float) -> None:
        self._dragged = True
        self._aim(self.record.aim_x + dx / plots.SCALE, self.record.aim_y - dy / plots.SCALE)

    def _aim(self, x: float, y: float) -> None:
        self.set(**{name: round(float(np.clip(v, -REACH, REACH)), 4) for name, v in (("aim_x", x), ("aim_y", y))})

    def _picked(self, row: int, column: int) -> None:
        """The ray of a pixel of either picture."""
        size = PICTURE[1]
        self.set(down=(row + 0.5) / size)
        self._aim(*self.record.section.aim_of((column + 0.5) / size))


def overlay(axes: Axes, state: TracingState, found: Walk) -> None:
    """The chosen ray and the circles of its steps, orange those that were too long."""
    plots.add_ray(axes, found.eye, found.end, state.aim)
    plots.add_circles(axes, found.points[~found.tried], np.abs(found.radii[~found.tried]))
    plots.add_circles(axes, found.points[found.tried], found.radii[found.tried], HARD, "--")
    axes.plot(*found.points.T, ".", color="#222222", markersize=4, zorder=3)
    axes.plot(*found.end, "x", color=HARD, markersize=8, markeredgewidth=2, zorder=4)
    if bool(found.better.hit):
        axes.plot(*found.refined, "o", color=SOFT, markersize=5, zorder=4)


def distance_curve(state: TracingState, found: Walk) -> bytes:
    """f and the true way to the surface, after each step."""
    made, axes = quick_figure(CURVE, left=52, bottom=34, right=6, top=8)
    places = np.arange(len(found.radii))
    if np.isfinite(found.left).any():
        axes.semilogy(
            places,
            np.where(found.left > 0, found.left, np.nan),
            ".--",
            color="#777777",
            linewidth=1,
            label="true way to the surface",
        )
    axes.semilogy(places, np.abs(found.radii), "-", color=SOFT, linewidth=1.3, label="|f|, what the algorithm sees")
    behind = found.radii < 0
    axes.semilogy(places[~behind], found.radii[~behind], "o", color=SOFT, markersize=4)
    axes.semilogy(places[behind], -found.radii[behind], "X", color=HARD, markersize=8, label="behind the surface")
    axes.axhline(state.epsilon, color="#222222", linestyle=":", linewidth=1.2, label="epsilon")
    axes.set_xlabel("steps taken", fontsize=8, labelpad=1)
    axes.set_ylabel("world units", fontsize=8)
    low = 0.2 * min(state.epsilon, *np.abs(found.radii[found.radii != 0]), 1)
    axes.set_ylim(max(1e-12, low), 10)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.0e}")  # the usual powers of ten take longer than all the rest
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(fontsize=7, frameon=False, loc="upper right", ncols=2)
    return png(made)


def told(found: Walk) -> str:
    """HTML: how the ray ended, literally and with secant steps."""
    rows = "".join(
        f'<tr><td style="color:{color};padding-right:8px">{name}</td><td>{int(trace.steps)}</td>'
        f'<td style="padding-left:8px">{"" if np.isnan(error) else f"{error:+.1e}"}</td></tr>'
        for name, color, trace, error in (
            ("&times; literal", HARD, found.trace, found.errors[0]),
            ("&bull; + secant", SOFT, found.better, found.errors[1]),
        )
    )
    head = '<tr><td></td><td>f calls</td><td style="padding-left:8px">depth error</td></tr>'
    end, shortened = REASONS[int(found.trace.missed)], int(found.tried.sum())
    return (
        f'<div style="line-height:17px;font-size:12px">This ray: <b>{end}</b>,<br>'
        f"steps shortened: {shortened}<table>{head}{rows}</table></div>"
    )


def scaled(title: str, scale: str) -> str:
    """HTML: a title, and below it what its colours mean."""
    return f'<b>{title}</b><div style="{controls.SCALE_STYLE}">{scale}</div>'
