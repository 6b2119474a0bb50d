"""Plots of an IG-GAN run: what D says by threshold and by renderer, and its figures beside those of the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from labkit.lab.iggan_figures import Figures
from labkit.lab.iggan_probe import Levels
from labkit.lab.image_view import encode, to_bytes
from labkit.lab.plots import DPI, HARD, SOFT, png
from labkit.lab.sorting_plots import quick_figure

LEVELS, MATCH, MEASURED = (590, 200), (440, 400), (590, 250)  # width and height in pixels
COLORS: Mapping[str, str] = MappingProxyType(
    {
        "IG-GAN": "#222222",
        "visual-hull": "#009e73",
        "absorption-only": "#cc79a7",
        "emission-absorption": "#b8860b",
        "dcgan": "#56b4e9",
    }
)
"""Of each method, told apart by the colour-blind; ablations of IG-GAN share its colour and are dashed."""


def levels(found: Levels, neural: float, threshold: float) -> bytes:
    """log D of one shape by its threshold t, beside log D of what the neural renderer shows of all of it.

    Args:
        found: the shape at several t.
        neural: log D(R_phi(x_c)).
        threshold: t now, a thin line.
    """
    made, axes = quick_figure(LEVELS, left=56, bottom=38, right=190, top=10)
    mean = found.outputs.mean().item()
    axes.axvline(threshold, color="#999999", linewidth=1, clip_on=False)
    axes.plot(found.thresholds, found.outputs, "o-", color=HARD, markersize=4, linewidth=1.4)
    axes.axhline(mean, color=HARD, linestyle="--", linewidth=1.2)
    axes.axhline(neural, color=SOFT, linewidth=1.6)
    lines = (
        (f"neural, all of $x_c$: {neural:.2f}", SOFT),
        (f"off the shelf, mean: {mean:.2f}", HARD),
        (f"the gap that DOM closes: {abs(neural - mean):.2f}", "#222222"),
    )
    for row, (text, color) in enumerate(lines):
        axes.text(1.03, 0.95 - 0.13 * row, text, color=color, fontsize=8, transform=axes.transAxes, va="top")
    axes.set_xlim(0, 1)
    axes.set_xlabel("threshold t (line: the slider)", fontsize=8, labelpad=1)
    axes.set_ylabel("log D", fontsize=8, labelpad=1)
    return png(made)


def match(neural: Tensor, expected: Tensor) -> bytes:
    """What D says of each shape through both renderers; on the diagonal they agree.

    Args:
        neural: log D(R_phi(x_c)), (B,).
        expected: the mean of log D(R_d(x_d)) over the thresholds, (B,).
    """
    made, axes = quick_figure(MATCH, left=56, bottom=42, right=12, top=34)
    x, y = expected.numpy(), neural.numpy()
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    edge = 0.06 * max(high - low, 1e-3)
    ends = (low - edge, high + edge)
    axes.plot(ends, ends, color="#999999", linewidth=1)
    axes.plot(x, y, "o", color=SOFT, markersize=5, alpha=0.8)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    told = f"mean squared difference {np.square(x - y).mean():.3g}"
    if len(x) > 1 and x.std() > 0 and y.std() > 0:
        told += f", correlation {np.corrcoef(x, y)[0, 1]:.2f}"
    axes.set_title(told, fontsize=9, loc="left")
    axes.set_xlabel(r"off the shelf: mean over t of $\log D(R_d(x_d))$", fontsize=8)
    axes.set_ylabel(r"neural: $\log D(R_\phi(x_c))$", fontsize=8, labelpad=1)
    return png(made)


def measured(own: Figures, others: list[Figures]) -> bytes:
    """FID and cavity occupancy over the steps, the newest comparable run of each other method beside.

    Args:
        own: of the run that is shown, drawn thick.
        others: runs of other methods, drawn thin.
    """
    made = Figure(figsize=(MEASURED[0] / DPI, MEASURED[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    counted = next((name for name in own.curves if name.startswith("fid")), "fid")
    plots = ((counted, f"{counted.upper()}: smaller is better"), ("cavity", "filled share of the cavity"))
    for place, (name, title) in enumerate(plots):
        axes = made.add_axes((0.075 + 0.5 * place, 0.16, 0.40, 0.57))
        _curves(axes, name, [*others, own], own)
        if place and (data := own.curves.get("cavity data")):
            axes.axhline(data[1][-1], color="#777777", linestyle=":", linewidth=1.4)
            axes.annotate(
                "unseen shapes",
                (1, data[1][-1]),
                (-2, 2),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                fontsize=7,
                color="#555555",
            )
            axes.set_ylim(-0.03, 1.03)
        axes.set_title(title, fontsize=9, loc="left", pad=4)
    lines = {str(line.get_label()): line for axes in made.axes for line in axes.get_lines()}
    named = {name: line for name, line in lines.items() if not name.startswith("_")}
    if named:
        made.legend(list(named.values()), list(named), fontsize=8, frameon=False, loc="upper left", ncol=4)
    return png(made)


def _curves(axes: Axes, name: str, runs: list[Figures], own: Figures) -> None:
    axes.tick_params(labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("step", fontsize=8, labelpad=1)
    last = 1
    for run in runs:
        if name in run.curves:
            steps, values = run.curves[name]
            last = max(last, steps[-1])
            style = "-" if run.method in COLORS else "--"
            color, width = COLORS.get(run.method, COLORS["IG-GAN"]), 2.2 if run is own else 1.2
            axes.plot(steps, values, style, color=color, linewidth=width, marker=".", label=run.method)
    axes.set_xlim(0, 1.04 * last)
    if name not in own.curves:
        why = (
            "no FID in this run:\nset measured.features to a run\nof the recipe features"
            if name[:3] == "fid"
            else ("no cavity in what this run makes")
        )
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="#777777", fontsize=8)
        if not axes.get_lines():
            axes.set_yticks([])


def strip(pictures: Tensor, size: tuple[int, int]) -> bytes:
    """A row of pictures (1, H, W') without smoothing, enlarged by a whole number if it is smaller than ``size``."""
    times = max(1, size[0] // pictures.shape[-1])
    return encode(to_bytes(pictures.repeat_interleave(times, 1).repeat_interleave(times, 2)), "fine")
