"""Curves of an optimization: each figure as a share of what it was at the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from labkit.lab.plots import HARD, SOFT, png
from labkit.lab.sorting_plots import quick_figure

GOAL = 0.1  # an error below this share of the start's counts as solved
COLORS = (SOFT, "#009e73", "#cc79a7", "#555555")  # tell apart by the colour-blind


def share_curves(
    steps: Sequence[int],
    figures: Mapping[str, Sequence[float]],
    total: int,
    shown: int,
    size: tuple[int, int],
    goal: float | None = None,
) -> bytes:
    """Figures over the steps, on a logarithmic axis, each as a share of its value at the start.

    Args:
        steps: (N,) where they were measured.
        figures: under each name N values; one that began at 0 is left out.
        total: where the axis of steps ends.
        shown: the step whose pictures are shown: a thin line.
        size: width and height in pixels.
        goal: the share, if any, at which a dashed line is drawn.
    """
    made, axes = quick_figure(size, left=58, bottom=38, right=12, top=24)
    axes.set_yscale("log")
    axes.axvline(shown, color="#bbbbbb", linewidth=1)
    lowest = 0.05
    for (name, values), color in zip(figures.items(), COLORS, strict=False):
        if values[0] > 0:
            shares = np.maximum(np.asarray(values) / values[0], 1e-6)
            axes.plot(steps, shares, "o-", color=color, markersize=2.5, linewidth=1.5, label=name)
            lowest = min(lowest, 0.7 * float(shares.min()))
    if goal is not None:
        axes.axhline(goal, color=HARD, linestyle="--", linewidth=1, label=f"{goal:.0%} of the start")
    axes.set_xlim(0, total)
    axes.set_ylim(lowest, None)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("step", fontsize=8, labelpad=1)
    axes.set_ylabel("share of the start", fontsize=8, labelpad=1)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.97), ncol=3, columnspacing=1.2)
    return png(made)
