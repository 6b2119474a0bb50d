"""Pictures of the shiny sphere, and of several renderers that learn it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from labkit.lab.plots import DPI, png
from labkit.lab.sorting_plots import quick_figure
from labkit.lab.training_plots import smooth

COLORS: Mapping[str, str] = MappingProxyType(
    {"UDR": "#009e73", "DRnoV": "#cc79a7", "DVR": "#b8860b", "view": "#3a8fc8", "bound": "#222222"}
)
"""Of each renderer, the same in every picture; told apart by the colour-blind, too."""
BOUND, CURVES = (606, 180), (612, 230)  # width and height in pixels
RANGE = 12.0  # decibels below the best that are shown: where a training begins matters little
FULL = 0.5  # difference, mean over the channels, that is drawn brightest
Series = tuple[Sequence[float], Sequence[float]]


def error_picture(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean absolute difference of two pictures (H, W, 3) as colours (H, W, 3), black 0 and pale yellow `FULL`."""
    return colormaps["inferno"](np.abs(first - second).mean(-1) / FULL)[..., :3]


def bound_curve(exponents: Sequence[float], bounds: Sequence[float], exponent: float, bound: float) -> bytes:
    """The bound over the exponent of the highlight, and where the sliders stand.

    Args:
        exponents: n_s.
        bounds: decibels at each of them.
        exponent, bound: now.
    """
    made, axes = quick_figure(BOUND, left=48, bottom=36, right=12, top=8)
    axes.plot(exponents, bounds, color=COLORS["bound"], linestyle="--", linewidth=1.5)
    axes.plot([exponent], [bound], "o", color=COLORS["bound"], markersize=7)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    axes.minorticks_off()
    low, high = min([*bounds, bound]), max([*bounds, bound])
    axes.set_ylim(low - 0.1 * (high - low) - 0.5, high + 0.1 * (high - low) + 0.5)
    axes.set_xlabel("exponent n_s of the highlight", fontsize=8, labelpad=1)
    axes.set_ylabel("bound (dB, sphere)", fontsize=8, labelpad=1)
    return png(made)


def comparison_curves(
    losses: Mapping[str, Series], psnrs: Mapping[str, Series], bound: float | None, total: int, smoothing: float
) -> bytes:
    """Over the steps the loss of each renderer, and the PSNR of unseen views inside the silhouette.

    Args:
        losses, psnrs: under the kind of each renderer steps and values.
        bound: of view-independent renderers on the same pixels, decibels, or None.
        total: where the axes of steps end.
        smoothing: of the losses, see `labkit.lab.training_plots.smooth`.
    """
    made = Figure(figsize=(CURVES[0] / DPI, CURVES[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    left, right = _axes(made, 0.085, total), _axes(made, 0.575, total)
    left.set_yscale("log")
    for kind, (steps, values) in losses.items():
        if len(steps):
            positive = np.where(np.asarray(values) > 0, values, np.nan)
            left.plot(steps, positive, color=COLORS[kind], alpha=0.2, linewidth=0.8)
            left.plot(steps, smooth(positive, smoothing), color=COLORS[kind], linewidth=1.5)
    if not any(len(steps) for steps, _ in losses.values()):
        left.text(0.5, 0.5, "no steps yet", transform=left.transAxes, ha="center", color="#777777", fontsize=9)
    left.set_ylabel("loss (equation 10)", fontsize=8, labelpad=1)
    for kind, (steps, values) in psnrs.items():
        if len(steps):
            right.plot(steps, values, "o-", color=COLORS[kind], linewidth=1.5, markersize=3, label=kind)
    if bound is not None:
        right.axhline(bound, color=COLORS["bound"], linestyle="--", linewidth=1.2)
        right.text(0.0, bound, " bound without v", fontsize=8, va="bottom", color=COLORS["bound"])
    known = [value for _, values in psnrs.values() for value in values] + ([] if bound is None else [bound])
    if known:
        right.set_ylim(max(known) - RANGE, max(known) + 1.5)
    right.set_ylabel("PSNR inside (dB)", fontsize=8, labelpad=1)
    return png(made)


def _axes(made: Figure, left: float, total: int) -> Axes:
    axes = made.add_axes((left, 0.175, 0.395, 0.78))
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlim(0, max(1, total))
    axes.set_xlabel("step", fontsize=8, labelpad=1)
    return axes


def sheet(columns: Sequence[Sequence[np.ndarray | None]], tile: int, gap: int) -> np.ndarray:
    """Pictures in columns, enlarged to whole tiles without blurring, (H, W, 3) in [0, 1]; None stays white.

    Args:
        columns: (H, W, 3) each, in [0, 1].
        tile: side of a tile in pixels.
        gap: between two of them, pixels.
    """
    rows = len(columns[0])
    whole = np.ones((rows * (tile + gap) - gap, len(columns) * (tile + gap) - gap, 3))
    for across, column in enumerate(columns):
        for down, picture in enumerate(column):
            if picture is not None:
                height, width = picture.shape[:2]
                pixels = np.arange(tile)
                top, left = down * (tile + gap), across * (tile + gap)
                enlarged = picture[pixels[:, None] * height // tile, pixels * width // tile]
                whole[top : top + tile, left : left + tile] = enlarged
    return whole
