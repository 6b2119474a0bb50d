"""Plots of smooth programs, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from labkit.lab.plots import DPI, HARD, SOFT, figure, png
from labkit.lab.surface_view import COLORS, Surface
from labkit.smooth.while_program import phi_c0, phi_cinf

C0 = "#cc79a7"  # the C0 program, in every plot; like the other two colours, told apart by the colour-blind
DEPTHS = ("#08306b", "#2f7fbc", "#8fc1de", "#c9dfef")  # loops inside loops, from the outermost


def phi_plot(steepness: float, size: tuple[int, int]) -> bytes:
    """phi_0 and phi_infinity over [-2, 2] (AlgoNet, figure 1), and where phi_infinity takes more than there is.

    Args:
        steepness: s of phi_infinity.
        size: width and height in pixels.
    """
    made, axes = figure(*size)
    x = torch.linspace(-2, 2, 401)
    line, soft, hull = x.numpy(), phi_cinf(x, steepness).numpy(), x.abs().numpy()
    axes.fill_between(line, hull, soft, where=soft > hull, color=HARD, alpha=0.5, linewidth=0, label="more than |x|")
    axes.plot(line, phi_c0(x).numpy(), color=C0, label="$\\phi_0$ = min(1, |x|)")
    axes.plot(line, soft, color=SOFT, label=f"$\\phi_\\infty$ = 1 - sech(s x), s = {steepness:.3g}")
    axes.plot(0, 0, "o", color=HARD, markersize=5, label="hard: 1, and 0 at x = 0", clip_on=False, zorder=3)
    axes.plot([-2, 2], [1, 1], color=HARD, linewidth=1, linestyle=":")
    axes.set(xlim=(-2, 2), ylim=(0, 1.05), xlabel="variable x of WHILE x != 0", ylabel="$\\phi$(x)")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png(made)


def heat_maps(surfaces: Mapping[str, Surface], limit: float, meaning: str, size: tuple[int, int]) -> bytes:
    """Seen from above: colour as in 3D, lines of equal height, holes grey, the whole numbers as dots.

    Args:
        surfaces: under their titles.
        limit: the value that has the last colour.
        meaning: what the colour shows.
        size: width and height in pixels.
    """
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    row = made.subplots(1, len(surfaces), sharey=True, squeeze=False)[0]
    scale = ScalarMappable(Normalize(0.0, limit), COLORS)
    for axes, (title, surface) in zip(row, surfaces.items(), strict=True):
        reach = (0.0, surface.top, 0.0, surface.top)
        seen = np.where(np.isfinite(surface.height), surface.color, np.nan)
        axes.set_facecolor("#bbbbbb")
        axes.imshow(seen.T, norm=scale.norm, cmap=COLORS, origin="lower", extent=reach, interpolation="nearest")
        if np.isfinite(surface.height).all():
            levels = surface.top**2 * np.arange(0.1, 1.0, 0.1)
            axes.contour(surface.height.T, levels, colors="white", linewidths=0.7, extent=reach)
        axes.plot(*surface.marks[:, :2].T, ".", color="black", markersize=3, clip_on=False)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("x1", fontsize=8)
        axes.tick_params(labelsize=8)
    row[0].set_ylabel("x2", fontsize=8)
    bar = made.colorbar(scale, ax=row, extend="both", aspect=12)
    bar.set_label(meaning, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return png(made)


def probability_chart(depths: Sequence[int], probabilities: Sequence[float], now: int, size: tuple[int, int]) -> bytes:
    """P at every executed statement, darker for outer loops; a line at the statement in hand.

    Args:
        depths: how many loops are around each statement (a test of a loop counts as inside it), from 0.
        probabilities: P of each.
        now: number of the statement in hand, from 1; 0 before the first.
        size: width and height in pixels.
    """
    made, axes = figure(*size)
    width = max(0.5, 0.75 * (size[0] - 190) * 72 / DPI / max(4, len(depths)))  # points; a gap between them
    depth, p, place = np.asarray(depths), np.asarray(probabilities), np.arange(1, len(depths) + 1)
    for level in sorted(set(depths)):
        here = depth == level
        name = "outside of loops" if level == 0 else f"loop {level}" + (", the outermost" if level == 1 else "")
        # lines, since thousands of bars take seconds
        axes.vlines(place[here], 0, p[here], DEPTHS[min(level, len(DEPTHS) - 1)], linewidth=width, label=name)
    axes.axvline(now, color=HARD, linewidth=1.5)
    axes.set(xlim=(0, max(2, len(depths) + 1)), ylim=(0, 1.03))
    axes.set_xlabel("executed statements, in their order", fontsize=8)
    axes.set_ylabel("P", fontsize=8)
    legend = axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for sample in legend.get_lines():
        sample.set_linewidth(4)
    return png(made)


@dataclass(frozen=True, eq=False)
class Line:
    """One program along one of its inputs.

    Attributes:
        name: for the legend.
        color: of the line.
        places: (N,) the input.
        values: (N,) the results; NaN where there is none.
        slopes: (N,) the derivatives of the results by the input.
        dots: whether to draw dots, since there is nothing between them.
    """

    name: str
    color: str
    places: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    dots: bool = False


def side_by_side(lines: Sequence[Line], across: str, up: str, size: tuple[int, int]) -> bytes:
    """Values on the left, derivatives on the right; what runs out of the picture by far is cut.

    Args:
        lines: what to draw, the last one on top; the first one tells how far the axis goes.
        across: the input's name.
        up: the result's name.
        size: width and height in pixels.
    """
    made, left, right = _pair(size, legend=100)
    for line in lines:
        style = {"marker": "o", "linestyle": "none", "markersize": 4} if line.dots else {"linewidth": 1.6}
        left.plot(line.places, line.values, color=line.color, label=line.name, **style)
        right.plot(line.places, line.slopes, color=line.color, label=line.name, **style)
    for axes, text, values in (
        (left, up, [line.values for line in lines]),
        (right, f"d {up} / d {across}", [line.slopes for line in lines]),
    ):
        _tidy(axes, across, text)
        low, high = lines[0].places[0], lines[0].places[-1]
        axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
        _limit(axes, np.concatenate(values))
    right.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return png(made)


def _pair(size: tuple[int, int], legend: int) -> tuple[Figure, Axes, Axes]:
    """Two plots, with so many pixels for a legend; margins are fixed, since to fit them takes as long as to draw."""
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    width, height = size
    left, right = made.subplots(1, 2)
    made.subplots_adjust(60 / width, 45 / height, 1 - (legend + 12) / width, 1 - 10 / height, wspace=0.25)
    return made, left, right


def _tidy(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _limit(axes: Axes, values: np.ndarray) -> None:
    """Leave spikes out: show all but the outermost 1 % on either side, with a margin, if the rest is far away."""
    values = values[np.isfinite(values)]
    if values.size:
        low, high = np.percentile(values, [1, 99])
        margin = 0.25 * max(high - low, 0.5)
        axes.set_ylim(max(values.min(), low - margin) - 0.1 * margin, min(values.max(), high + margin) + 0.1 * margin)


def convergence_plot(errors: Mapping[str, Sequence[tuple[float, float]]], columns: int, size: tuple[int, int]) -> bytes:
    """Largest error against steepness, one small plot for each program, on logarithmic scales.

    Args:
        errors: for each program by name pairs (steepness, error); errors below 1e-6 are drawn at the foot.
        columns: plots in a row.
        size: width and height in pixels.
    """
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    rows = -(-len(errors) // columns)
    places = made.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).reshape(-1)
    for axes in places[len(errors) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(places, errors.items(), strict=False):
        steepness, found = zip(*values, strict=True)
        axes.loglog(steepness, np.maximum(found, FOOT), "o-", color=SOFT, markersize=3, linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(color="#dddddd", linewidth=0.5)
    made.supxlabel("steepness s", fontsize=9)
    made.supylabel("largest error against the hard twin", fontsize=9)
    return png(made)


FOOT = 1e-6  # the smallest error that a logarithmic plot shows


def training_plot(
    exact: np.ndarray, before: np.ndarray, after: np.ndarray, errors: Sequence[float], size: tuple[int, int]
) -> bytes:
    """On the left results against exact ones, on the right the largest error over the steps of the fit.

    Args:
        exact, before, after: (N,) what is right, and what comes out without and with the fitted weights.
        errors: the largest before each step done.
        size: width and height in pixels.
    """
    made, left, right = _pair(size, legend=0)
    left.plot([0, exact.max()], [0, exact.max()], color=HARD, linewidth=1, label="hard program")
    left.plot(exact, before, "o", color="#999999", markersize=3, label="smooth, plain")
    left.plot(exact, after, "o", color=SOFT, markersize=3, label="smooth, fitted")
    left.legend(fontsize=8, frameon=False)
    _tidy(left, "x1 * x2", "x0")
    right.plot(range(len(errors)), errors, color=SOFT)
    right.set_xlim(0, max(10, len(errors)))
    right.set_ylim(0, max(errors, default=1.0) * 1.05)
    _tidy(right, "step", "largest error")
    return png(made)
