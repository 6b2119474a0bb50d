"""A hollow tub beside the same tub filled to its rim, as three ways of making pictures show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labkit.data.categories import Category
from labkit.data.cavity import fill_layers
from labkit.data.cue_test import RESOLUTION, Cue, blurred, cue_pictures
from labkit.data.rendered_source import orthographic
from labkit.geometry.rigid_grid import embed
from labkit.lab.plots import figure, png
from labkit.lab.state import between

COARSE = RESOLUTION // 2  # voxels along each side while a slider moves
WAYS = ("visual hull", "absorption only", "shaded")
COLORS = ("#009e73", "#cc79a7", "#222222")  # of the ways, as in `labkit.lab.iggan_plots`


@dataclass(frozen=True)
class CueState:
    """Which tub is seen, and from where.

    Attributes:
        wall: thickness of walls and floor, voxels of a 64 grid.
        azimuth, elevation: of the camera, degrees.
        number: which tub.
    """

    wall: int = between(4, 1, 12)
    azimuth: float = between(30.0, -180.0, 180.0)
    elevation: float = between(35.0, 0.0, 85.0)
    number: int = between(0, 0, 9999)


@dataclass(frozen=True)
class CuePictures:
    """One view of both tubs.

    Attributes:
        pictures: of each of the `WAYS` those of the hollow and of the filled tub, (2, H, W).
        differences: of each the mean of |hollow - filled| inside the silhouette.
        same: whether both have the same silhouette.
    """

    pictures: Mapping[str, Tensor]
    differences: Mapping[str, float]
    same: bool


def tubs(wall: int, number: int, resolution: int = RESOLUTION) -> Tensor:
    """A hollow tub and the same filled, as they are and blurred, (2, 2, R, R, R): [tub, blurred].

    Raises:
        LabError: there is no such tub.
    """
    hollow = Category("bathtub", wall=wall).voxels(number, resolution).values
    sharp = torch.stack([hollow, fill_layers(hollow)]).float()[:, None]  # (2, 1, R, R, R)
    return torch.cat([sharp, blurred(sharp, resolution / RESOLUTION)], 1)


def cue_view(both: Tensor, azimuth: float, elevation: float) -> CuePictures:
    """See `tubs` (2, 2, R, R, R) as `labkit.data.cue_test.cue_test` does, from one side, degrees."""
    camera = orthographic(torch.tensor(azimuth), torch.tensor(elevation))
    turned = embed(both.flatten(0, 1)[None], camera.rotation[None], 2 * both.shape[-1])  # (1, 4, S, S, S)
    turned = turned.clamp(0, 1).unflatten(1, (2, 2))[0]  # (2, 2, S, S, S)
    pictures, seen = cue_pictures(turned, camera)
    differences = {way: (two[0] - two[1]).abs()[seen.all(0)].mean().item() for way, two in pictures.items()}
    return CuePictures(pictures, differences, torch.equal(*seen))


def cue_chart(cues: Sequence[Cue]) -> bytes:
    """Bars: how much pictures change when a tub is filled, by wall and way.

    Args:
        cues: results of `labkit.data.cue_test.cue_test`, one for each wall.
    """
    made, axes = figure(620, 250)
    for place, (way, color) in enumerate(zip(WAYS, COLORS, strict=True)):
        values = [cue.differences[way] for cue in cues]
        across = np.arange(len(cues)) + 0.27 * (place - 1)
        axes.bar(across, values, 0.25, color=color, label=way)
        for x, value in zip(across, values, strict=True):
            axes.annotate(f"{value:.3f}", (x, value), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(range(len(cues)), [f"wall {cue.wall} voxels" for cue in cues], fontsize=9)
    axes.set_ylabel("mean |hollow − filled|, 0 to 1", fontsize=8)
    axes.margins(y=0.25)
    axes.legend(fontsize=8, frameon=False, loc="upper right", ncol=3)
    return png(made)


def cue_table(cues: Sequence[Cue]) -> str:
    """HTML: the same numbers, and whether silhouettes differ."""
    cell = '<td style="padding:0 14px;text-align:right">'
    head = "".join(f'<th style="padding:0 14px;text-align:right">{way}</th>' for way in ("wall", *WAYS, "silhouette"))
    rows = ""
    for cue in cues:
        values = [f"{cue.wall}", *(f"{cue.differences[way]:.3f}" for way in WAYS), f"{cue.silhouette:.3f}"]
        rows += f"<tr>{''.join(f'{cell}{value}</td>' for value in values)}</tr>"
    return f"<table><tr>{head}</tr>{rows}</table>"
