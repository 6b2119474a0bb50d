"""The losses of RAN's five sub-RANs over the steps: the two sides of each game, and the pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from labkit.lab.plots import DPI, png
from labkit.lab.training_plots import TOTAL, Lines, smooth, table

CURVES = (716, 236)  # width and height in pixels
COLORS: Mapping[str, str] = MappingProxyType(
    {
        "1": "#332288",
        "2": "#56b4e9",
        "3": "#b8860b",
        "4": "#117733",
        "5": "#882255",
        "random": "#888888",
        "direct": "#333333",
    }
)
"""Of each loss, told apart by the colour-blind; none of them is a colour of a domain, of "real" or of "fake"."""
GAMES = ("game", "fooling", "pixels")
"""Beginnings of the figures that are drawn, each followed by the name of a loss."""
TITLES = ("D tells real from fake", "the others fool D", "compared pixels (L1)")
UNDECIDED = {"game": 2 * math.log(2)}  # where D gives both 1/2


def loss_curves(lines: Lines, shown: int | None, smoothing: float, log: bool) -> bytes:
    """Three plots beside each other, a line for each loss in each: D's cross entropy, the others', and the pixels.

    Args:
        lines: under each name steps and values; those of `GAMES` are drawn.
        shown: the step whose previews are shown, a thin line; None for no line.
        smoothing: see `labkit.lab.training_plots.smooth`.
        log: whether the axes of values are logarithmic; what is not positive is then left out.
    """
    made = Figure(figsize=(CURVES[0] / DPI, CURVES[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    last = max((steps[-1] for steps, _ in lines.values() if len(steps)), default=1)
    names: dict[str, Line2D] = {}
    for place, (game, title) in enumerate(zip(GAMES, TITLES, strict=True)):
        axes = made.add_axes((0.055 + 0.33 * place, 0.15, 0.265, 0.64))
        _dress(axes, title, last, log, shown)
        if game in UNDECIDED:
            axes.axhline(UNDECIDED[game], color="#999999", linewidth=1, linestyle=":")
        drawn = 0
        for loss, color in COLORS.items():
            steps, values = lines.get(f"{game} {loss}", ((), ()))
            if len(steps):
                names.setdefault(loss, _curve(axes, steps, np.asarray(values), color, smoothing, log))
                drawn += 1
        if not drawn:
            axes.text(0.5, 0.5, "no steps yet", transform=axes.transAxes, ha="center", color="#777777", fontsize=9)
            axes.set_yticks([])
        elif log:
            _few_ticks(axes)
    if names:
        labels = [f"sub-RAN {loss}" if loss.isdigit() else loss for loss in names]
        made.legend(list(names.values()), labels, fontsize=8, frameon=False, loc="upper center", ncol=len(names))
    return png(made)


def _dress(axes: Axes, title: str, last: int, log: bool, shown: int | None) -> None:
    axes.tick_params(which="both", labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if log:
        axes.set_yscale("log")
    if shown is not None:
        axes.axvline(shown, color="#bbbbbb", linewidth=1)
    axes.set_xlim(0, last)
    axes.set_xlabel("step", fontsize=8, labelpad=1)
    axes.set_title(title, fontsize=9, loc="left", pad=4)


def _few_ticks(axes: Axes) -> None:
    """A few plain numbers on a logarithmic axis, however short it is."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(MaxNLocator(4) if high < 4 * low else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _curve(axes: Axes, steps: Sequence[int], values: np.ndarray, color: str, smoothing: float, log: bool) -> Line2D:
    """As they were, pale, and smoothed; returns the line."""
    for drawn, strength in ((values, 0.2), (smooth(values, smoothing), 1.0)):
        drawn = np.where(drawn > 0, drawn, np.nan) if log else drawn
        mark = "o" if np.isfinite(drawn).sum() == 1 else None
        (line,) = axes.plot(steps, drawn, color=color, alpha=strength, linewidth=1.3, marker=mark, markersize=3)
    return line


def tables(newest: Mapping[str, float], best: Mapping[str, tuple[float, int]]) -> str:
    """HTML: what was measured on unseen objects before all else; beside it the losses, each with its `GAMES`."""
    parts = {f"{game} {loss}": (game, loss) for game in (*GAMES, TOTAL) for loss in COLORS}
    measured = {name: value for name, value in newest.items() if name not in parts}
    first = sorted(measured, key=lambda name: 0 if name.startswith("iou") else 1 if " - " in name else 2)
    losses = [loss for loss in COLORS if any(f"{game} {loss}" in newest for game in (*GAMES, TOTAL))]
    cell = '<td style="padding-right:14px;text-align:right">{}</td>'.format
    heads = "".join(f'<th style="padding-right:14px;text-align:right">{game}</th>' for game in (*GAMES, TOTAL))
    rows = "".join(
        f'<tr><td style="padding-right:14px;color:{COLORS[loss]}">{loss}</td>'
        + "".join(
            cell(f"{newest[name]:.4f}" if (name := f"{game} {loss}") in newest else "") for game in (*GAMES, TOTAL)
        )
        + "</tr>"
        for loss in losses
    )
    style = "line-height:16px;font-size:12px"
    matrix = f'<table style="{style}"><tr><th style="text-align:left">loss</th>{heads}</tr>{rows}</table>'
    whole = table({name: measured[name] for name in first}, best)
    return f'<div style="display:flex;gap:24px;align-items:flex-start">{whole}{matrix if losses else ""}</div>'
