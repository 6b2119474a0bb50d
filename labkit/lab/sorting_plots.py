"""Pictures of soft sorting: the network with its exchanges, the permutation, gradients, and values against steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from labkit.lab.plots import DPI, HARD, SOFT, png

WIRES = colormaps["viridis"]
MARGINS = {"left": 52.0, "bottom": 40.0, "right": 106.0, "top": 24.0}  # around the wires, in pixels


def quick_figure(size: tuple[int, int], left: float, bottom: float, right: float, top: float) -> tuple[Figure, Axes]:
    """A figure with margins in pixels: less than half the time to draw of one that finds its own."""
    width, height = size
    made = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    axes = made.add_axes(box)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return made, axes


def short(value: float) -> str:
    """A number as the pictures write it."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.3g}"


def network_picture(
    levels: Tensor, network: Sequence[Sequence[int]], swaps: Sequence[Tensor], hard: Tensor, size: tuple[int, int]
) -> bytes:
    """The sorting network: wires from left to right, coloured by the value they carry, and a bar for each exchange.

    Args:
        levels: (K + 1, n), the values on the wires before, between and after the K steps.
        network: for each of the K steps the upper wires of its exchanges.
        swaps: for each step how much each of its exchanges swaps, 1 - alpha, (pairs,) in [0, 1].
        hard: (n,), the truly sorted values.
        size: width and height in pixels.
    """
    carried, n, steps = levels.detach().cpu().numpy(), levels.shape[1], len(network)
    made, axes = quick_figure(size, **MARGINS)
    ends = [(k, k + 1) for k in range(steps + 1)]
    axes.add_collection(
        LineCollection(
            [[(start, wire), (end, wire)] for start, end in ends for wire in range(n)],
            array=carried.ravel(),
            cmap=WIRES,
            linewidth=3.5,
            capstyle="butt",
        )
    )
    bars = [(step + 1, wire) for step, wires in enumerate(network) for wire in wires]
    if bars:
        amount = np.concatenate([swap.detach().cpu().numpy() for swap in swaps])
        axes.add_collection(
            LineCollection(
                [[(x, wire), (x, wire + 1)] for x, wire in bars],
                linewidths=0.8 + 6 * amount,
                colors=[(0.1, 0.1, 0.1, 0.35 + 0.65 * a) for a in amount],
                capstyle="projecting",
                zorder=3,
            )
        )
    columns = (("input", carried[0], -6, "black"), ("soft", carried[-1], 44, SOFT), ("hard", hard.tolist(), 100, HARD))
    for title, values, offset, color in columns:  # offset in pixels from the wires' ends
        x = offset / (size[0] - MARGINS["left"] - MARGINS["right"]) + (offset > 0)
        axes.text(x, 1.02, title, transform=axes.transAxes, color=color, ha="right", fontsize=9)
        for wire, value in enumerate(values):
            axes.text(x, wire, short(value), transform=axes.get_yaxis_transform(), color=color, ha="right", va="center")
    axes.set_xlim(0, steps + 1)
    axes.set_ylim(n - 0.6, -0.4)
    axes.set_yticks([])
    axes.set_xticks(range(1, steps + 1))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("step; bar: thin keeps, thick swaps; wire: dark small, bright large", fontsize=9, labelpad=2)
    return png(made)


def permutation_picture(matrix: Tensor, order: Tensor, names: Sequence[str], size: tuple[int, int]) -> bytes:
    """The soft permutation matrix in blue; the hard one as orange frames.

    Args:
        matrix: (n, n) in [0, 1], one row for each output, one column for each input.
        order: (n,) int64, the input that the hard sort puts at each place.
        names: what the inputs are called.
        size: width and height in pixels.
    """
    n = len(matrix)
    made, axes = quick_figure(size, left=52, bottom=58, right=8, top=8)
    axes.imshow(matrix.detach().cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.plot(order.tolist(), range(n), "s", markersize=110 / n, markerfacecolor="none", markeredgecolor=HARD)
    axes.set_xticks(range(n), names, rotation=90 if n > 6 else 0)
    axes.set_yticks(range(n), [str(place + 1) for place in range(n)])
    axes.tick_params(length=0)
    axes.set_xlabel("input", fontsize=9, labelpad=1)
    axes.set_ylabel("output (1 = smallest)", fontsize=9)
    return png(made)


def gradient_picture(soft: Tensor, hard: Tensor, names: Sequence[str], size: tuple[int, int]) -> bytes:
    """A gradient with one number for each input: bars for the soft one, orange marks for the hard one.

    Args:
        soft, hard: (n,) each, without unit.
        names: what the inputs are called.
        size: width and height in pixels.
    """
    n = len(soft)
    made, axes = quick_figure(size, left=44, bottom=58, right=8, top=8)
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.bar(range(n), soft.tolist(), color=SOFT, width=0.7)
    axes.plot(range(n), hard.tolist(), "_", color=HARD, markersize=150 / n, markeredgewidth=2.5)
    axes.set_xticks(range(n), names, rotation=90 if n > 6 else 0)
    low, high = min(-0.1, float(soft.min())), max(1.0, float(soft.max()))
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xlabel("input", fontsize=9, labelpad=1)
    axes.set_ylabel("gradient", fontsize=9, labelpad=1)
    return png(made)
