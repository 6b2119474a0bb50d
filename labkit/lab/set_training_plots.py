"""Pictures of a training: errors side by side, and the sensitivity of the sorting layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.lab.plots import HARD, SOFT, png
from labkit.lab.sorting_plots import quick_figure

COLORS = {"no sort": "#555555", "hard sort": HARD, "soft sort": SOFT}
SILENT = "soft sort, its answer left out"


def losses_picture(history: Mapping[str, Sequence[float]], size: tuple[int, int]) -> bytes:
    """The validation error of every network over the training steps.

    Args:
        history: under "step" the training steps; under the names of `COLORS` and "silent" the errors then. Empty: the
            picture says what to do.
        size: width and height in pixels.
    """
    made, axes = quick_figure(size, left=60, bottom=40, right=12, top=26)
    steps = history.get("step", [])
    for name, color in COLORS.items():
        axes.semilogy(steps, history.get(name, []), color=color, label=name, linewidth=1.8)
    axes.semilogy(steps, history.get("silent", []), color=SOFT, linestyle=":", label=SILENT)
    axes.axhline(1.0, color="#bbbbbb", linewidth=0.8)
    if not steps:
        axes.set_xlim(0, 1)
        axes.set_ylim(0.005, 2)
        axes.text(0.5, 0.5, "press Run", transform=axes.transAxes, ha="center", fontsize=12)
    axes.set_xlabel("training step", fontsize=9, labelpad=2)
    axes.set_ylabel("validation error (1: says the mean)", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98), ncol=4)
    return png(made)


def sensitivity_picture(history: Mapping[str, Sequence[float]], size: tuple[int, int]) -> bytes:
    """The derivative of the validation error with respect to a weight of one on what the sort says.

    Args:
        history: under "step" the training steps; under "place 1", "place 2", ... the sensitivity of each sorted place
            then, drawn faintly, and under "sensitivity" their sum.
        size: width and height in pixels.
    """
    made, axes = quick_figure(size, left=60, bottom=40, right=12, top=26)
    steps = history.get("step", [])
    for name in history:
        if name.startswith("place "):
            axes.plot(steps, history[name], color=SOFT, alpha=0.25, linewidth=1)
    axes.plot(steps, history.get("sensitivity", []), color=SOFT, linewidth=2, label="sum (faint: each sorted place)")
    axes.axhline(0.0, color="#888888", linewidth=0.8)
    axes.set_xlabel("training step", fontsize=9, labelpad=2)
    axes.set_ylabel("sensitivity (error)", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98))
    return png(made)
