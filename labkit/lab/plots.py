"""Plots as PNG files by matplotlib's objects: no pyplot, so they may be made on any thread."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from labkit.render import Contribution

SOFT, HARD = "#0072b2", "#d55e00"  # the same two colours in every plot, distinguishable by the colour-blind
DPI = 100


def figure(width: int, height: int) -> tuple[Figure, Axes]:
    """An empty figure of that many pixels, and its axes."""
    made = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return made, axes


def png(made: Figure) -> bytes:
    """The figure as a PNG file."""
    stream = io.BytesIO()
    made.savefig(stream, format="png")
    return stream.getvalue()


def bar_chart(names: Sequence[int], found: Sequence[Contribution], size: tuple[int, int]) -> bytes:
    """The faces of a pixel: a bar for the weight Z of each in its own colour, and a dot for its coverage V.

    Args:
        names: what the faces are called.
        found: the faces; without any, the chart says what to do.
        size: width and height in pixels.
    """
    made, axes = figure(*size)
    if not found:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "Click a pixel of any picture\nto see which faces make it.", ha="center", va="center")
        return png(made)
    places = np.arange(len(found))
    colors = [np.clip(one.attribute[:3], 0, 1) for one in found]
    axes.barh(places, [one.weight for one in found], color=colors, edgecolor="#444444", linewidth=0.8)
    axes.plot([one.coverage for one in found], places, "o", color=SOFT, markersize=5, clip_on=False)
    axes.set_yticks(places, [str(name) for name in names])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("bar: weight Z, in the face's colour; dot: coverage V", fontsize=8)
    axes.set_ylabel("face", fontsize=8)
    return png(made)


def depth_curve(
    depths: Sequence[float],
    coverages: Sequence[float],
    opacity: float,
    moved: int,
    size: tuple[int, int],
    reach: float = 1.0,
) -> bytes:
    """One face moved through others in depth: its weight Z, soft and hard (AlgoNet, figure 7).

    Args:
        depths: view depth of each face, world units.
        coverages: V of each face, in [0, 1].
        opacity: o, per unit of depth.
        moved: number of the face that is moved.
        size: width and height in pixels.
        reach: how far to move it at least, to either side of the middle of the others, world units.
    """
    others = [depth for number, depth in enumerate(depths) if number != moved]
    middle = float(np.mean(others)) if others else depths[moved]
    reach = max(reach, 1.1 * abs(depths[moved] - middle))
    places = np.linspace(middle - reach, middle + reach, 401)
    made, axes = figure(*size)
    for depth in others:
        axes.axvline(depth, color="#bbbbbb", linewidth=1)
    axes.plot(
        places, soft_weight(places, depths, coverages, opacity, moved), color=SOFT, label=f"soft, o = {opacity:.3g}"
    )
    nearest = min(others, default=np.inf)
    axes.plot(places, np.where(places < nearest, 1.0, 0.0), color=HARD, linestyle="--", label="hard")
    now = float(soft_weight(np.array([depths[moved]]), depths, coverages, opacity, moved)[0])
    axes.plot([depths[moved]], [now], "o", color=SOFT, clip_on=False)
    axes.set_xlim(places[0], places[-1])
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("depth of the moved face (grey: the other faces)", fontsize=8)
    axes.set_ylabel("its weight Z", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    return png(made)


def soft_weight(
    places: np.ndarray, depths: Sequence[float], coverages: Sequence[float], opacity: float, moved: int
) -> np.ndarray:
    """Z of the moved face at each of the depths ``places`` (N,): the softmin of o z with weights V over all faces."""
    z = np.repeat(np.asarray(depths, float)[None], len(places), 0)  # (N, F)
    z[:, moved] = places
    logit = np.log(np.maximum(coverages, 1e-300)) - opacity * z
    share = np.exp(logit - logit.max(1, keepdims=True))
    return share[:, moved] / share.sum(1)


def pictures(images: Sequence[Tensor], titles: Sequence[str], side: int = 170) -> bytes:
    """Images side by side under their titles.

    Args:
        images: (3, H, W) or (H, W) each, shown from 0 (black) to 1 (white).
        titles: one for each.
        side: height of each in pixels, about.
    """
    made = Figure(figsize=(len(images) * side / DPI, (side + 24) / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    for axes, image, title in zip(made.subplots(1, len(images), squeeze=False)[0], images, titles, strict=True):
        array = image.detach().cpu().numpy()
        axes.imshow(np.clip(np.moveaxis(array, 0, -1) if array.ndim == 3 else array, 0, 1), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()
    return png(made)


def curves(
    places: Sequence[float], lines: Mapping[str, tuple[Sequence[float], str, float]], across: str, up: str
) -> bytes:
    """Lines over the same places.

    Args:
        places: (N,) along the horizontal axis.
        lines: under its name for each line its N values, its colour, and how strong it is drawn, in [0, 1].
        across, up: what the axes mean, with units.
    """
    made, axes = figure(520, 260)
    for name, (values, color, strength) in lines.items():
        axes.plot(places, values, color=color, alpha=0.3 + 0.7 * strength, label=name)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    return png(made)
