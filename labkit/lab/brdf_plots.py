"""Plots of lobes and of fits, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from labkit.lab.brdf_model import PARAMETERS
from labkit.lab.plots import DPI, HARD, SOFT, figure, png

Size = tuple[int, int]  # width and height in pixels
LIGHT = "#e69f00"  # the incoming light, in the plot and in 3D
CYCLE = (SOFT, HARD, "#009e73", "#cc79a7")  # distinguishable by the colour-blind


def polar(
    lobes: Mapping[str, tuple[np.ndarray, np.ndarray]], incidence: float, size: Size, rooted: bool = False
) -> bytes:
    """Lobes in the plane of incidence: the farther from the middle, the more light goes that way.

    Args:
        lobes: by name, angles from the normal in degrees (N,) and the reflected fraction there (N,).
        incidence: of the light, degrees, drawn on the left.
        size: of the plot.
        rooted: draw the cube root of the fraction; the rings keep the fraction's own numbers.
    """
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    bottom = -0.22 if len(lobes) == 1 else -0.1  # the legend stands there
    axes: Any = made.add_axes((0.04, bottom, 0.92, 1.08 - bottom), projection="polar")  # only the upper half shows
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_thetamin(-90)
    axes.set_thetamax(90)
    power = 1 / 3 if rooted else 1.0
    top = max(float(values.max()) for _, values in lobes.values()) ** power or 1.0
    for color, (name, (angles, values)) in zip(CYCLE, lobes.items(), strict=False):
        axes.plot(np.radians(angles), values**power, color=color, linewidth=1.6, label=name)
    light = -np.radians(incidence)
    style = {"arrowstyle": "-|>", "color": LIGHT, "linewidth": 1.8}
    axes.annotate("", xy=(0, 0), xytext=(light, top), arrowprops=style)
    axes.text(light, 1.14 * top, "light", color="#8a6000", fontsize=8, ha="center", va="center")
    axes.set_rmax(1.05 * top)
    rings = [top / 2, top]
    axes.set_rticks(rings, [f"{ring ** (1 / power):.2g}" for ring in rings], fontsize=7)
    axes.set_rlabel_position(90)
    axes.tick_params(labelsize=7)
    degrees = range(-90, 91, 30)
    axes.set_xticks(np.radians(degrees), [f"{abs(angle)}°" for angle in degrees], fontsize=7)
    axes.grid(color="#dddddd")
    if len(lobes) > 1:
        made.legend(fontsize=8, frameon=False, loc="lower center", ncols=len(lobes))
    return png(made)


def trajectories(
    names: Sequence[str], paths: Mapping[str, Sequence[float]], truth: Mapping[str, float], steps: int, size: Size
) -> bytes:
    """Each parameter over the steps of a fit, beside the value that made the pictures.

    Args:
        names: which parameters of `labkit.lab.brdf_model.PARAMETERS`.
        paths: values by name, from the start on.
        truth: the hidden value by name.
        steps: how many there will be.
        size: of the plot.
    """
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    for axes, name in zip(made.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        parameter = PARAMETERS[name]
        if parameter.log:
            axes.set_yscale("log")
        axes.axhline(truth[name], color=HARD, linestyle="--", linewidth=1.2, label="truth")
        axes.plot(range(len(paths[name])), paths[name], color=SOFT, linewidth=1.5, label="fit")
        axes.plot([len(paths[name]) - 1], [paths[name][-1]], "o", color=SOFT, markersize=4, clip_on=False)
        margin = 0 if parameter.log else 0.03 * (parameter.high - parameter.low)
        axes.set(xlim=(0, steps), ylim=(parameter.low - margin, parameter.high + margin))
        axes.set_title(parameter.label, fontsize=8)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    return png(made)


def loss_curve(lines: Mapping[str, Sequence[float]], up: str, size: Size) -> bytes:
    """Errors over the steps on a logarithmic axis.

    Args:
        lines: by name; without any number the plot says what to do.
        up: what they are, with units.
        size: of the plot.
    """
    made, axes = figure(*size)
    if not any(len(values) for values in lines.values()):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "Press Run:\nthe error of each step appears here.", ha="center", va="center")
        return png(made)
    for color, (name, values) in zip(CYCLE, lines.items(), strict=False):
        axes.semilogy(range(1, len(values) + 1), np.maximum(values, 1e-9), color=color, linewidth=1.4, label=name)
    axes.margins(x=0.08)
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel(up, fontsize=8)
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)
    return png(made)


def profile(
    places: Sequence[float], lines: Mapping[str, Sequence[float]], truth: float, across: str, size: Size
) -> bytes:
    """The least error of the pictures for assumed values of one number, both axes logarithmic.

    Args:
        places: (N,) the assumed values.
        lines: N errors by name.
        truth: the value that made the pictures.
        across: what the number is.
        size: of the plot.
    """
    made, axes = figure(*size)
    axes.axvline(truth, color="#777777", linestyle="--", linewidth=1.2)
    axes.text(truth, 1.02, "truth", transform=axes.get_xaxis_transform(), ha="center", fontsize=8, color="#555555")
    axes.axhline(1 / 255, color="#bbbbbb", linewidth=1)
    axes.text(places[0], 0.75 / 255, "one grey level of 255", fontsize=7, color="#777777")
    for color, (name, values) in zip(CYCLE, lines.items(), strict=False):
        axes.loglog(places, values, "o-", color=color, linewidth=1.5, markersize=4, label=name)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel("mean absolute error", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png(made)
