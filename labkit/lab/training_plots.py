"""Pictures of a run: loss curves, rendered views beside the truth, and a table of figures."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

import numpy as np

from labkit.events import Picture
from labkit.lab.image_view import to_bytes
from labkit.lab.plots import HARD, SOFT, png
from labkit.lab.sorting_plots import quick_figure
from labkit.lab.training_history import TRUTH

TOTAL = "loss"
OTHERS = (HARD, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555")  # told apart by the colour-blind, too
ACROSS = 4  # pictures a row of a sheet
Lines = Mapping[str, tuple[Sequence[int], Sequence[float]]]


def smooth(values: Sequence[float] | np.ndarray, amount: float) -> np.ndarray:
    """The exponential moving average of values (N,), without a pull towards the start.

    Args:
        values: (N,); what is not finite is passed over.
        amount: in [0, 1), the weight of the past; 0 changes nothing.
    """
    made, mean, weight = np.empty(len(values)), 0.0, 0.0
    for place, value in enumerate(values):
        if np.isfinite(value):
            mean, weight = amount * mean + (1 - amount) * value, amount * weight + (1 - amount)
        made[place] = mean / weight if weight else np.nan
    return made


def loss_curves(lines: Lines, shown: int | None, smoothing: float, log: bool, size: tuple[int, int]) -> bytes:
    """The loss and its terms over the steps: as they were, pale, and smoothed.

    Args:
        lines: under each name steps and values; names that do not begin with `TOTAL` are left out.
        shown: the step whose previews are shown, a thin line; None for no line.
        smoothing: see `smooth`.
        log: whether the axis of values is logarithmic; what is not positive is then left out.
        size: width and height in pixels.
    """
    made, axes = quick_figure(size, left=58, bottom=38, right=20, top=26)
    lines = {name: line for name, line in lines.items() if name.startswith(TOTAL) and line[0]}
    if log:
        axes.set_yscale("log")
    if shown is not None:
        axes.axvline(shown, color="#bbbbbb", linewidth=1)
    colors = iter(OTHERS)
    for name in sorted(lines, key=lambda name: name != TOTAL):
        steps, values = lines[name][0], np.asarray(lines[name][1])
        color = SOFT if name == TOTAL else next(colors, "#999999")
        for drawn, strength in ((values, 0.25), (smooth(values, smoothing), 1.0)) if smoothing else ((values, 1.0),):
            drawn = np.where(drawn > 0, drawn, np.nan) if log else drawn
            width, mark = (2.0 if name == TOTAL else 1.2), ("o" if np.isfinite(drawn).sum() == 1 else None)
            label = (name.removeprefix(TOTAL).strip() or TOTAL) if strength == 1.0 else None
            axes.plot(steps, drawn, color=color, alpha=strength, linewidth=width, marker=mark, label=label)
    axes.set_xlim(0, max((steps[-1] for steps, _ in lines.values()), default=1))
    axes.set_xlabel("step", fontsize=8, labelpad=1)
    axes.set_ylabel("loss and its terms", fontsize=8, labelpad=1)
    if lines:
        axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.97), ncol=5, columnspacing=1.2)
    else:
        axes.text(0.5, 0.5, "no steps yet", transform=axes.transAxes, ha="center", color="#777777", fontsize=9)
        axes.set_yticks([])
    return png(made)


def sheet(pictures: Mapping[str, Picture]) -> np.ndarray | None:
    """Pictures in pairs, each "view N" beside its "truth N", two pairs a row; others stand alone. White between them.

    Args:
        pictures: by name.

    Returns:
        (H, W, 3) uint8, or None without pictures.
    """
    groups: dict[str, list[np.ndarray]] = {}
    for name in sorted(pictures, key=lambda name: (name.startswith(TRUTH), _natural(name))):
        found = re.fullmatch(rf"(?:view|{TRUTH}) (\d+)", name)
        groups.setdefault(found[1] if found else name, []).append(to_bytes(pictures[name].image))
    if not groups:
        return None
    height, width = np.max([picture.shape[:2] for group in groups.values() for picture in group], axis=0)
    longest, gap = max(map(len, groups.values())), max(1, width // 24)
    across = min(len(groups), max(1, ACROSS // longest))
    rows = -(-len(groups) // across)
    tile = longest * (width + gap) + 2 * gap
    whole = np.full((rows * (height + gap) - gap, across * tile - 3 * gap, 3), 255, np.uint8)
    for number, group in enumerate(groups.values()):
        for place, picture in enumerate(group):
            top, left = number // across * (height + gap), number % across * tile + place * (width + gap)
            whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that puts "view 10" after "view 9"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def table(newest: Mapping[str, float], best: Mapping[str, tuple[float, int]]) -> str:
    """HTML: a row for each figure with its newest and its best value."""
    cell = '<td style="padding-right:14px;text-align:right">'
    rows = ""
    for name, value in newest.items():
        top = best.get(name)
        figures = (
            f"{value + 0.0:.4g}",
            "" if top is None else f"{top[0] + 0.0:.4g}",
            "" if top is None else f"{top[1]:,}",
        )
        told = "".join(f"{cell}{figure}</td>" for figure in figures)
        rows += f'<tr><td style="padding-right:14px">{html.escape(name)}</td>{told}</tr>'
    heads = "".join(
        f'<th style="padding-right:14px;text-align:right">{name}</th>' for name in ("newest", "best", "at step")
    )
    style = "line-height:16px;font-size:12px"
    return f'<table style="{style}"><tr><th style="text-align:left">figure</th>{heads}</tr>{rows}</table>'
