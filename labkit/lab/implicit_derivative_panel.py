"""The derivative of a surface point by equation 8 beside the finite difference of tracing again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.lab import controls
from labkit.lab import implicit_plots as plots
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.implicit_derivative import (
    FAN,
    PARAMETERS,
    SHOWN,
    DerivativeState,
    Miss,
    Slopes,
    missing,
    plane,
    silhouette,
    slopes,
)
from labkit.lab.implicit_scene import RADIUS, REACH
from labkit.lab.panel import Panel
from labkit.lab.plots import HARD, SOFT, png
from labkit.lab.scheduler import Quality
from labkit.lab.sorting_plots import quick_figure

WIDE = (606, 180)
STEEPEST = 6.0  # d depth / d theta at the ends of the plot
APART = 0.03  # world units between the two arrows, so that both are seen
PURPLE = "#cc79a7"


@dataclass(frozen=True, eq=False)
class Shown:
    """What is seen of one state: the chosen ray's derivatives, what it sees if it misses, and the pictures."""

    state: DerivativeState
    slopes: Slopes
    miss: Miss | None
    drawing: np.ndarray
    plots: list[bytes]


class DerivativePanel(Panel):
    """Change one number of a surface and see how the point that a ray sees moves: predicted, and traced again.

    ``DerivativePanel(shape="torus: minor radius", theta=0.2)`` starts elsewhere; the fields are `DerivativeState`'s.
    """

    State: ClassVar[type] = DerivativeState

    def build(self) -> W.Widget:
        """Make controls and views."""
        self._section, self._plane, self._dragged = plane(), plots.Drawing(), False
        self.drawing = self.own(ImageView(*plots.SIZE))
        self.drawing.widget.add_class("labkit-drawing")
        self.drawing.on_click, self.drawing.on_hover = self.guard(self._clicked), self._released
        self.drawing.on_drag = self.guard(self._drag)
        self.across, self.grazing = fixed_image(*WIDE), fixed_image(*WIDE)
        self.across.add_class("labkit-across")
        self.grazing.add_class("labkit-grazing")
        self.told = W.HTML(layout=W.Layout(width="200px"))
        self.told.add_class("labkit-told")
        views = [
            W.HBox([controls.titled("the plane y = 0, from above: drag the ring", self.drawing.widget), self.told]),
            controls.titled("all rays of this row of the picture", self.across),
            controls.titled("closer and closer to the nearest silhouette", self.grazing),
        ]
        box = W.VBox(views, layout=W.Layout(width="612px", margin="0 0 0 6px"))
        return W.HBox([self._controls(), box], layout=W.Layout(flex_flow="row wrap"))

    def _controls(self) -> W.Widget:
        make = controls.Controls(self)
        aims = {
            "facing": ("Nearly head-on", (-0.1, 0.1)),
            "grazing": ("Just inside the silhouette of the sphere", (-0.0406, 0.3475)),
            "missing": ("Just outside", (-0.04, 0.37)),
        }
        first = next(iter(PARAMETERS))
        rays = [
            make.button(name, tip, partial(self.set, shape=first, theta=0.35, **_named(aim)))
            for name, (tip, aim) in aims.items()
        ]
        return controls.column(
            controls.heading("The surface and one of its numbers"),
            make.menu("shape", "theta is", [*PARAMETERS]),
            make.slider("theta", "theta (world units)", 0.001),
            controls.heading("The ray: drag it"),
            make.slider("aim_x", "ring: away (units)", 0.0001),
            make.slider("aim_y", "ring: left (units)", 0.0001),
            W.HBox([W.HTML("sphere:"), *rays]),
            controls.heading("The two derivatives"),
            make.slider("limit", "equation 8: clamp", tip="Least |grad f . v| to divide by", log=True),
            make.slider("step", "difference: step", tip="Of theta. Too small: rounding. Too large: bent", log=True),
        )

    def caption(self) -> str:
        """Precision, threads, memory."""
        return f"float64, {controls.device()}"

    def render(self, state: DerivativeState, quality: Quality) -> Shown:
        """The chosen ray; at rest all rays of the row as well."""
        section = self._section
        origins, directions = section.eye[None], section.through(state.aim)[None]
        found = slopes(state, origins, directions)
        miss = None if bool(found.trace.hit) else missing(state, origins, directions)
        drawing = self._draw(state, found, miss)
        if quality == "coarse":
            return Shown(state, found, miss, drawing, [])
        chosen = section.across(state.aim)
        across = torch.linspace(0, 1, FAN, dtype=torch.float64)
        row = slopes(state, *section.rays(across))
        nearing = silhouette(state, section, across, row.trace.hit, chosen)
        close = None if nearing is None else slopes(state, *section.rays(nearing))
        made = [across_plot(across, row, chosen), grazing_plot(state.limit, close, found)]
        return Shown(state, found, miss, drawing, made)

    def _draw(self, state: DerivativeState, found: Slopes, miss: Miss | None) -> np.ndarray:
        section = self._section

        def ground() -> tuple[Figure, Axes]:
            points = section.grid(plots.EXTENT, plots.RASTER)
            now, changed = (state.field(change)(points).reshape(plots.RASTER).numpy() for change in (0.0, SHOWN))
            made, axes = plots.section(now, RADIUS)
            if changed.min() < 0 < changed.max():
                dashed: Any = {"colors": "#222222", "linewidths": 1, "linestyles": "--"}
                axes.contour(changed, [0.0], extent=plots.EXTENT, origin="upper", **dashed)
            return made, axes

        def overlay(axes: Axes) -> None:
            point = section.flat(found.trace.points[0]).numpy()
            plots.add_ray(axes, section.flat(section.eye).numpy(), point, state.aim)
            if miss is not None:
                self._draw_miss(axes, section.flat(miss.point[0]).numpy())
                return
            along = section.axes.numpy() @ section.through(state.aim).numpy()
            aside = APART * np.array([-along[1], along[0]])
            axes.plot(*point, "o", color="#222222", markersize=5, zorder=4)
            for slope, color, side in ((found.implicit, SOFT, 1), (found.traced, HARD, -1)):
                length = float(slope[0]) * SHOWN
                if math.isfinite(length) and abs(length) > 1e-4:
                    plots.add_arrow(axes, point + side * aside, float(np.clip(length, -1, 1)) * along, color)

        return self._plane.drawn((state.shape, state.theta), ground, overlay)

    @staticmethod
    def _draw_miss(axes: Axes, nearest: np.ndarray) -> None:
        axes.plot(*nearest, "D", color=PURPLE, markersize=7, zorder=4)
        axes.annotate(
            "z: f is least here",
            (nearest[0], nearest[1]),
            (8, 8),
            textcoords="offset points",
            fontsize=8,
            color="#8a3f6c",
        )

    def show(self, result: Shown, quality: Quality) -> None:
        """Hand drawing, plots and figures to the page."""
        self.drawing.show(result.drawing, quality)
        self.told.value = told(result)
        for view, content in zip((self.across, self.grazing), result.plots, strict=False):
            view.value = content

    def png(self) -> bytes | None:
        """The drawing, kept in the notebook for readers without a kernel."""
        return self.drawing.png()

    # ---- callbacks -------------------------------------------------------------------------------------------------

    def _clicked(self, row: int, column: int) -> None:
        if self._dragged:  # the browser ends a drag with a click
            self._dragged = False
            return
        self.set(**_named(plots.place(row, column)))

    def _released(self, row: int, column: int) -> None:
        self._dragged = False

    def _drag(self, dx: float, dy: float) -> None:
        self._dragged = True
        self.set(**_named((self.record.aim_x + dx / plots.SCALE, self.record.aim_y - dy / plots.SCALE)))


def _named(aim: tuple[float, float]) -> dict[str, float]:
    return {
        name: round(float(np.clip(value, -REACH, REACH)), 4)
        for name, value in zip(("aim_x", "aim_y"), aim, strict=True)
    }


def told(shown: Shown) -> str:
    """HTML: both derivatives of the chosen ray and how far they are apart, or why there is none."""
    style = '<div style="line-height:18px;font-size:12px;margin:22px 0 0 8px">'
    arrows = f"Dashed: the surface for theta + {SHOWN:g}. Arrows: what d x / d theta says of that change."
    if shown.miss is not None:
        return (
            f"{style}<b>This ray misses.</b> There is no point x and so no derivative: the colour of the pixel says "
            "nothing about theta.<br><br>Only the mask loss (equation 10) pulls: at z, where the ray is nearest, "
            f'<span style="color:#8a3f6c">f = {shown.miss.value:.3f}, d f / d theta = {shown.miss.slope:+.3f}</span>.'
            "</div>"
        )
    implicit, traced = float(shown.slopes.implicit), float(shown.slopes.traced)
    cosine = float(shown.slopes.cosine)
    error = abs(implicit - traced) / max(abs(traced), 1e-12)
    clamped = "<br><b>The clamp cuts here.</b>" if abs(cosine) < shown.state.limit else ""
    if math.isnan(traced):
        verdict = "With theta a step smaller or larger, the ray meets another part or nothing: <b>no difference</b>."
    elif abs(implicit) < 1e-9 and abs(traced) < 1e-6:
        verdict = "Both are zero: theta does not move this point."
    else:
        color = "#222222" if error < 1e-3 else HARD
        verdict = f'relative error <b class="labkit-error-of-8" style="color:{color}">{error:.1e}</b>'
    return (
        f"{style}d depth / d theta<br>"
        f'<span style="color:{SOFT}">&rarr; equation 8: <b>{implicit:+.6f}</b></span><br>'
        f'<span style="color:{HARD}">&rarr; traced again: <b>{traced:+.6f}</b></span><br>{verdict}<br><br>'
        f"grad f &middot; v = {cosine:+.4f}{clamped}<br><br>{arrows}</div>"
    )


def across_plot(across: torch.Tensor, row: Slopes, chosen: float) -> bytes:
    """d depth / d theta for every ray of the row; grey where rays miss."""
    made, axes = quick_figure(WIDE, left=62, bottom=40, right=10, top=8)
    places = across.numpy()
    missed = ~row.trace.hit.numpy()
    axes.fill_between(places, -STEEPEST, STEEPEST, where=missed, step="mid", color="#e8e8e8", linewidth=0)
    shown = np.clip(row.implicit.numpy(), -STEEPEST, STEEPEST)
    axes.plot(places, shown, color=SOFT, linewidth=1.8, label="equation 8")
    axes.plot(places, row.traced.numpy(), "o", color=HARD, markersize=3, label="traced again")
    axes.axvline(chosen, color=PURPLE, linewidth=1.5, label="chosen ray")
    axes.plot([], [], "s", color="#e0e0e0", markersize=8, label="misses: no derivative")
    axes.set(xlim=(0, 1), ylim=(-STEEPEST, STEEPEST), yticks=(-6, -3, 0, 3, 6))
    axes.set_xlabel("ray: 0 left edge of the picture, 1 right edge", fontsize=8, labelpad=1)
    axes.set_ylabel("d depth / d theta", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="upper right", ncols=4)
    return png(made)


def grazing_plot(limit: float, nearing: Slopes | None, found: Slopes) -> bytes:
    """The absolute derivatives over |grad f . v|, for rays closer and closer to the silhouette."""
    made, axes = quick_figure(WIDE, left=62, bottom=40, right=10, top=8)
    if nearing is None or not bool(nearing.trace.hit.any()):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no silhouette in this row", ha="center", va="center")
        return png(made)
    hit = nearing.trace.hit
    places = nearing.cosine[hit].abs().numpy()
    order = places.argsort()
    for values, color, style, text in (
        (nearing.free, "#222222", ":", "equation 8 without clamp"),
        (nearing.implicit, SOFT, "-", "equation 8"),
    ):
        axes.loglog(places[order], values[hit].abs().numpy()[order], style, color=color, linewidth=1.8, label=text)
    axes.loglog(places, nearing.traced[hit].abs().numpy(), "o", color=HARD, markersize=3.5, label="traced again")
    axes.axvline(limit, color="#777777", linestyle="--", linewidth=1, label="clamp")
    if bool(found.trace.hit):
        axes.axvline(abs(float(found.cosine)), color=PURPLE, linewidth=1.5, label="chosen ray")
    axes.invert_xaxis()
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")  # the usual powers of ten take longer than all the rest
    axes.set_xlabel("|grad f . v|: head-on on the left, grazing on the right", fontsize=8, labelpad=1)
    axes.set_ylabel("|d depth / d theta|", fontsize=7.5)
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)
    return png(made)
