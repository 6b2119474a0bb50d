"""Pictures of the shootout: six pictures with their gradient fields, curves of a race, and what a step costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from labkit.lab.image_view import encode
from labkit.lab.plots import DPI, HARD, SOFT, figure, png
from labkit.lab.scheduler import Quality

COLORS = {
    "AlgoNet": SOFT,
    "SoftRas": "#56b4e9",
    "GenDR": "#009e73",
    "DIB-R": "#cc79a7",
    "N3MR (surrogate)": "#b58900",
    "Hard": HARD,
}
DASHES = {"AlgoNet": "-", "SoftRas": "--", "GenDR": "-.", "DIB-R": ":", "N3MR (surrogate)": (0, (6, 2)), "Hard": "-"}
COLUMNS, HEAD = 3, 20  # tiles in a row; pixels above a tile for its text
LONGEST = 0.2  # of the tile's side, what the longest arrow is drawn as
OUTLINE = (0.84, 0.37, 0.0)  # of the target: HARD, since it is a hard picture


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture with arrows.

    Attributes:
        title: the line above it.
        image: (3, H, W) in [0, 1].
        places, arrows: (V, 2) in pixels, column and row; arrows are drawn relative to the longest of the tile.
    """

    title: str
    image: Tensor
    places: Tensor
    arrows: Tensor


def outlined(image: Tensor, alpha: Tensor) -> Tensor:
    """The image (3 or 1, H, W) in RGB, clipped to [0, 1], with the outline of ``alpha`` (1, H, W) drawn into it."""
    inside = alpha[0] > 0.5
    rim = inside.clone()
    rim[1:-1, 1:-1] &= ~(inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:])
    color = image.new_tensor(OUTLINE)[:, None, None]
    return (rim * color + ~rim * image.clamp(0, 1)).expand(3, -1, -1)


def field_picture(tiles: Sequence[Tile], quality: Quality = "fine", side: int = 198) -> bytes:
    """Tiles in rows of three, each ``side`` CSS pixels wide, under its text; all of one size in pixels.

    A PNG file, or JPEG if coarse. One pair of axes carries all of them: six would take three times as long to draw.
    """
    pixels = tiles[0].image.shape[-1]
    gap = HEAD / side * pixels  # in picture pixels, as everything below
    rows = -(-len(tiles) // COLUMNS)
    width, height = COLUMNS * pixels, rows * (pixels + gap)
    made = Figure(figsize=(COLUMNS * side / DPI, rows * (side + HEAD) / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(made)
    axes = made.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    scale = 1.5 * pixels / 96  # a thin line between the tiles
    for number, tile in enumerate(tiles):
        left, top = number % COLUMNS * pixels, number // COLUMNS * (pixels + gap) + gap
        spot = (left + scale, left + pixels - scale, top + pixels - scale, top + scale)
        axes.imshow(tile.image.movedim(0, -1).cpu().numpy(), extent=spot, interpolation="nearest")
        axes.text(left + scale, top - 0.4 * gap, tile.title, fontsize=7, va="center")
        longest = float(tile.arrows.norm(dim=-1).max()) if len(tile.arrows) else 0.0
        if longest > 0:
            x, y = ((tile.places + 0.5).T + tile.places.new_tensor([[left], [top]])).numpy()
            u, v = (tile.arrows * (LONGEST * pixels / longest)).T.numpy()
            drawn = np.hypot(u, v) > 0.01 * pixels * LONGEST
            arrows = (x[drawn], y[drawn], u[drawn], v[drawn])
            thin: dict[str, Any] = {"scale": 1, "width": 0.0035, "headwidth": 4, "edgecolor": "black", "linewidth": 0.4}
            field = axes.quiver(*arrows, color=COLORS["SoftRas"], angles="xy", scale_units="xy", **thin)
            field.set_clip_path(Rectangle((left, top), pixels, pixels, transform=axes.transData))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("auto")
    canvas.draw()
    return encode(np.asarray(canvas.buffer_rgba())[..., :3].copy(), quality)


def race_picture(history: Mapping[str, Sequence[float]], size: tuple[int, int]) -> bytes:
    """Two plots over the steps: what each renderer's own loss is, and what the common referee says."""
    made = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    own, referee = made.subplots(1, 2)
    for axes, what, up in ((own, "loss", "loss in its own picture"), (referee, "missed", "1 - IoU, hard outlines")):
        for name, color in COLORS.items():
            values = history.get(f"{name}, {what}", ())
            axes.plot(range(1, len(values) + 1), values, color=color, linestyle=DASHES[name], label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylabel(up, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    if history:
        made.legend(*own.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=7, frameon=False)
    else:
        own.text(0.5, 0.5, "Press Run.", ha="center", va="center", transform=own.transAxes)
    return png(made)


def cost_picture(costs: Mapping[str, tuple[float, float]], size: tuple[int, int]) -> bytes:
    """Bars: milliseconds and kilobytes of a step by name."""
    made, first = figure(*size)
    first.remove()
    both = made.subplots(1, 2, sharey=True)
    places, colors = range(len(costs)), [COLORS[name] for name in costs]
    for axes, column, text, form in zip(both, (0, 1), ("time (ms)", "kept (kB)"), ("{:.0f}", "{:,.0f}"), strict=True):
        bars = axes.barh(places, [cost[column] for cost in costs.values()], color=colors)
        axes.bar_label(bars, [form.format(cost[column]) for cost in costs.values()], fontsize=7, padding=2)
        axes.set_title(text, fontsize=8)
        axes.set_xticks([])
        axes.margins(x=0.35)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    both[0].set_yticks(places, [name.split(" ")[0] for name in costs], fontsize=8)
    both[0].invert_yaxis()
    return png(made)
