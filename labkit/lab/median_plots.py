"""Pictures of robust averages: where they lie among the data, and how each datum pulls at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from labkit.lab.plots import DPI, HARD, SOFT, png
from labkit.lab.sorting_plots import quick_figure

COLORS = {"mean": "#cc79a7", "hard median": HARD, "soft median, exact": SOFT, "soft median, fast": "#009e73"}
LABEL: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 9}
NEAR = 3.5  # the lower axis shows the good data, from -3.5 to 3.5 standard deviations


def strip_picture(data: Sequence[float], averages: Mapping[str, float], size: tuple[int, int]) -> bytes:
    """The data as ticks and the averages as coloured marks: above all of them, below the good data enlarged.

    Args:
        data: any number of values, in standard deviations of the good ones.
        averages: value by name; the names are those of `COLORS`.
        size: width and height in pixels.
    """
    width, height = size
    made, near = quick_figure(size, left=180, bottom=40, right=14, top=78)
    everything = made.add_axes((180 / width, 1 - 34 / height, 1 - 194 / width, 26 / height))
    _ticks(everything, data, 0.0)
    for name, value in averages.items():
        everything.plot([value], [0], "v", color=COLORS[name], markersize=7, clip_on=False)
    everything.margins(x=0.02)
    everything.set_ylim(-0.5, 0.5)
    everything.text(-0.02, 0.5, "all data", transform=everything.transAxes, **LABEL)
    for row, (name, value) in enumerate(averages.items()):
        color = COLORS[name]
        inside = min(max(value, -NEAR), NEAR)
        near.axhline(row, color="#dddddd", linewidth=0.8, zorder=0)
        far = ">" if value > NEAR else "<" if value < -NEAR else "o"
        near.plot([inside], [row], far, color=color, markersize=9, clip_on=False)
        near.text(-0.02, row, f"{name}  {value:.3f}", transform=near.get_yaxis_transform(), color=color, **LABEL)
    _ticks(near, [value for value in data if abs(value) <= NEAR], len(averages))
    near.text(-0.02, len(averages), "good data", transform=near.get_yaxis_transform(), **LABEL)
    near.set_xlim(-NEAR, NEAR)
    near.set_ylim(len(averages) + 0.5, -0.5)
    near.set_yticks([])
    near.set_xlabel("value (standard deviations of the good data)", fontsize=9, labelpad=2)
    return png(made)


def _ticks(axes: Axes, data: Sequence[float], row: float) -> None:
    axes.vlines(data, row - 0.4, row + 0.4, color="#555555", linewidth=1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(False)
    axes.tick_params(labelsize=8)


def pulls_picture(gradients: Mapping[str, np.ndarray], size: tuple[int, int]) -> bytes:
    """The gradient of every average with respect to the data, which are in rising order, side by side.

    Args:
        gradients: (n,) by name; the names are those of `COLORS`.
        size: width and height in pixels.
    """
    made, axes = quick_figure(size, left=52, bottom=38, right=8, top=24)
    n, low, high = len(gradients["mean"]), 0.0, 0.25
    span = 1.2 * n + 2  # from one average to the next, in data
    bar = 0.8 * (size[0] - 60) * 72 / DPI / (len(gradients) * span)  # points
    for column, (name, gradient) in enumerate(gradients.items()):
        axes.vlines(column * span + np.arange(1, n + 1), 0, gradient, color=COLORS[name], linewidth=bar)
        middle = column * span + (n + 1) / 2
        axes.text(middle, 1.02, name, transform=axes.get_xaxis_transform(), ha="center", color=COLORS[name], fontsize=9)
        low, high = min(low, float(gradient.min())), max(high, float(gradient.max()))
    axes.axhline(0, color="#888888", linewidth=0.8)
    starts = np.arange(len(gradients)) * span
    axes.set_xticks(np.sort([*starts + 1, *starts + n]), ["1", str(n)] * len(gradients))
    axes.set_xlim(-0.5, len(gradients) * span - 0.5)
    axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.set_ylabel("gradient", fontsize=9, labelpad=1)
    axes.set_xlabel("place of the datum, from the smallest to the largest", fontsize=9, labelpad=2)
    return png(made)
