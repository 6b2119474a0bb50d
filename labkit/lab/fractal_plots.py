"""Plots of fitting fractals, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import LogLocator

from labkit.lab.fractal_render import COLORS, PARAMETERS, Rows
from labkit.lab.plots import HARD, SOFT, figure, png

BLUES = colormaps["Blues"]
Size = tuple[int, int]  # width and height in pixels


def loss_curve(losses: Sequence[float], sigmas: Sequence[float], size: Size) -> bytes:
    """The loss of each step on a logarithmic axis; a line with its sigma where a level begins.

    Args:
        losses: one for each step so far; without any, the plot says what to do.
        sigmas: standard deviation in pixels of each step.
        size: of the plot.
    """
    made, axes = figure(*size)
    if not losses:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "Press Run:\nthe loss of each step appears here.", ha="center", va="center")
        return png(made)
    axes.semilogy(range(1, len(losses) + 1), losses, color=SOFT, linewidth=1.2)
    starts = [step for step, sigma in enumerate(sigmas) if step == 0 or sigma != sigmas[step - 1]]
    for step in starts:
        axes.axvline(step + 0.5, color="#999999", linewidth=0.8, linestyle=":")
        label = f" $\\sigma$ = {sigmas[step]:.3g} px"
        axes.text(step + 0.5, 1.02, label, transform=axes.get_xaxis_transform(), fontsize=7)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=7)
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("loss (1: black picture)", fontsize=8)
    return png(made)


def parameter_dots(now: Rows, start: Rows, truth: Rows | None, size: Size) -> bytes:
    """The parameters of every map: where they began, where they are, and the truth if it is known.

    Args:
        now, start, truth: a row a1 to a6 for each map.
        size: of the plot.
    """
    made, axes = figure(*size)
    width = len(PARAMETERS)
    places = np.concatenate([np.arange(width) + number * (width + 1) for number in range(len(now))])
    axes.axhline(0.0, color="#dddddd", linewidth=0.8, zorder=0)
    axes.plot(places, np.ravel(start), "x", color="#888888", markersize=4, label="start")
    if truth is not None:
        axes.plot(places, np.ravel(truth), "o", color=HARD, markersize=7, fillstyle="none", label="truth")
    axes.plot(places, np.ravel(now), "o", color=SOFT, markersize=3.5, label="now")
    for number in range(len(now)):
        first = number * (width + 1)
        axes.axvspan(first - 0.5, first + width - 0.5, color=COLORS[number % len(COLORS)], alpha=0.12, linewidth=0)
        middle = first + (width - 1) / 2
        axes.text(middle, 1.02, f"map {number + 1}", transform=axes.get_xaxis_transform(), fontsize=7, ha="center")
    names = [name[1:] for name in PARAMETERS] if len(now) > 4 else list(PARAMETERS)
    axes.set_xticks(places, names * len(now), fontsize=7)
    axes.set_xlim(-1, places[-1] + 1)
    axes.set_ylabel("value", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return png(made)


def valleys(
    places: Sequence[float],
    losses: Mapping[float, Sequence[float]],
    slopes: Mapping[float, Sequence[float]],
    truth: float,
    across: str,
) -> bytes:
    """The loss along one parameter for several standard deviations, with its gradient as short tangents.

    Args:
        places: (N,) values of the parameter.
        losses: under each sigma the N losses; the largest sigma is drawn palest.
        slopes: under each sigma the N derivatives of the loss.
        truth: the value at which the target was made.
        across: what the parameter is.
    """
    made, axes = figure(640, 300)
    axes.axvline(truth, color=HARD, linewidth=1, linestyle="--", label="truth")
    reach = (places[-1] - places[0]) / 60
    for number, (sigma, values) in enumerate(sorted(losses.items())):
        color = BLUES(0.95 - 0.6 * number / max(1, len(losses) - 1))
        axes.plot(places, values, color=color, linewidth=1.3, label=f"$\\sigma$ = {sigma:g} px")
        for x, y, slope in list(zip(places, values, slopes[sigma], strict=True))[:: max(1, len(places) // 12)]:
            axes.plot([x - reach, x + reach], [y - reach * slope, y + reach * slope], color="black", linewidth=2.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel("loss", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png(made)
