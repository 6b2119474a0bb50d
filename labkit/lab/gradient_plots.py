"""Plots and arrows of the gradient panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from labkit.lab.gradient_field import Line
from labkit.lab.gradient_state import SURROGATE
from labkit.lab.plots import DPI, HARD, SOFT, figure, png

COLORS: MappingProxyType[str, str] = MappingProxyType(
    {
        "AlgoNet": SOFT,
        "SoftRas": "#009e73",
        "GenDR": "#cc79a7",
        "DIB-R": "#56b4e9",
        SURROGATE: "#e69f00",
        "Hard": HARD,
    }
)
"""One colour for each renderer, distinguishable by the colour-blind."""
DECADES = 4  # of the colour scale of magnitudes
NOTHING = 0.78  # the grey of a vertex without a gradient
LONGEST = 0.45  # world units of the longest arrow
SHORTEST = 0.02  # of the longest: shorter arrows are left out


def magnitude_colors(gradient: Tensor) -> np.ndarray:
    """Colours (V, 3) in [0, 1] of the lengths of (V, 3): logarithmic, the greatest yellow; grey for none at all."""
    lengths = gradient.norm(dim=-1).numpy()
    greatest = lengths.max(initial=0.0)
    if not greatest:
        return np.full((len(lengths), 3), NOTHING)
    part = 1 + np.log10(np.maximum(lengths / greatest, 1e-30)) / DECADES
    return np.where(lengths[:, None] > 0, colormaps["viridis"](part.clip(0, 1))[:, :3], NOTHING)


def arrows(vertices: Tensor, gradient: Tensor, eye: Tensor) -> np.ndarray:
    """Line segments (N, 2, 3) float32: from each vertex down the gradient, with heads that face the ``eye`` (3,).

    The longest has a fixed length in the world, the others are in proportion.
    """
    start, pull = vertices.numpy(), -gradient.numpy()
    lengths = np.linalg.norm(pull, axis=-1)
    keep = lengths > SHORTEST * lengths.max(initial=0.0)
    start, pull = start[keep], LONGEST * pull[keep] / lengths.max(initial=1e-30)
    end = start + pull
    across = np.cross(pull, eye.numpy() - end)
    across *= np.linalg.norm(pull, axis=-1, keepdims=True) / np.maximum(
        np.linalg.norm(across, axis=-1, keepdims=True), 1e-12
    )
    heads = [end - 0.25 * pull + side * 0.12 * across for side in (1, -1)]
    return np.stack([np.stack(pair, 1) for pair in ((start, end), (end, heads[0]), (end, heads[1]))], 1).reshape(
        -1, 2, 3
    ).astype(np.float32)  # fmt: skip


def outlined(picture: Tensor, target: Tensor | None) -> np.ndarray:
    """A picture (3, H, W) as (H, W, 3), and in it, in white, the outline of a silhouette (H, W)."""
    image = picture.clamp(0, 1).permute(1, 2, 0).numpy().copy()
    if target is not None:
        mask = np.pad(target.numpy() > 0.5, 1)
        inner = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        image[mask[1:-1, 1:-1] & ~inner] = 1.0
    return image


def heat(values: Tensor, alpha: Tensor) -> np.ndarray:
    """Values (H, W), none below 0, as colours (H, W, 3), the greatest yellow; in dark grey the silhouette (H, W)."""
    colors = colormaps["inferno"]((values / values.max().clamp_min(1e-30)).numpy())[..., :3]
    return np.maximum(colors, 0.2 * alpha[..., None].numpy())


def legend(size: tuple[int, int]) -> bytes:
    """The scale of `magnitude_colors`: a PNG of (width, height) pixels."""
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    bar = made.colorbar(
        ScalarMappable(LogNorm(10.0**-DECADES, 1), "viridis"), cax=made.add_subplot(), orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=8)
    bar.set_label("|gradient|, as a part of the greatest; grey: exactly 0", fontsize=7)
    return png(made)


def losses(curves: Mapping[str, Sequence[float]], now: Mapping[str, float], size: tuple[int, int]) -> bytes:
    """The loss of each renderer over the steps; before the first step its present value as a dot."""
    made, axes = figure(*size)
    for name, loss in now.items():
        values = [*curves.get(name, ()), loss]
        axes.plot(range(len(values)), values, color=COLORS[name], label=name, marker="o" if len(values) == 1 else "")
    axes.set_xlabel("steps", fontsize=8)
    axes.set_ylabel("loss", fontsize=8)
    axes.set_ylim(0, 1.1 * max(*(max([*curves.get(name, ()), loss]) for name, loss in now.items()), 1e-9))
    axes.set_xlim(-0.3, max(10, *(len(curves.get(name, ())) for name in now)))
    axes.legend(fontsize=7, frameon=False)
    return png(made)


def lines(found: Mapping[str, Line], across: str, size: tuple[int, int]) -> bytes:
    """For each renderer the loss along a line with its tangents, and below its slopes.

    Args:
        found: by the name of the renderer.
        across: what the horizontal axis means.
        size: width and height in pixels.
    """
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    made.subplots_adjust(left=0.09, right=0.99, top=0.92, bottom=0.16, wspace=0.3, hspace=0.15)  # "constrained" is slow
    grid = made.subplots(2, len(found), sharex=True, squeeze=False)
    low, high = (edge(loss for line in found.values() for loss in line.losses) for edge in (min, max))
    margin = 0.1 * (high - low) or 0.1
    for (name, line), (upper, lower) in zip(found.items(), grid.T, strict=True):
        places, values, slopes = (np.array(part) for part in (line.places, line.losses, line.slopes))
        half = 0.35 * (places[1] - places[0])
        upper.plot(places, values, color=COLORS[name], linewidth=1)
        upper.plot(
            places[:, None].T + half * np.array([[-1], [1]]),
            values[None] + half * np.array([[-1], [1]]) * slopes,
            color="black",
            linewidth=1.5,
        )
        upper.set_title(name, fontsize=8)
        upper.set_ylim(low - margin, high + margin)  # the same for all; a surrogate's strokes may leave it
        lower.plot(places, slopes, color="black", linewidth=1.2, label="autodiff")
        lower.plot(*line.differences, "o", color=COLORS[name], markersize=3, label="finite differences")
        lower.set_xlabel(across, fontsize=8)
        lower.legend(fontsize=6, frameon=False)
        for axes in (upper, lower):
            axes.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
            axes.tick_params(labelsize=7)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
    for axes, text in zip(grid[:, 0], ("loss", "slope"), strict=True):
        axes.set_ylabel(text, fontsize=8)
    return png(made)
