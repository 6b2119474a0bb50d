"""Sliders over the cue test: does a picture tell a hollow tub from a solid one?"""

from __future__ import annotations

from typing import ClassVar

import ipywidgets as W
from torch import Tensor

from labkit.data.contact_sheet import contact_sheet
from labkit.data.cue_test import RESOLUTION
from labkit.lab import controls
from labkit.lab.controls import titled
from labkit.lab.iggan_cue import COARSE, COLORS, WAYS, CuePictures, CueState, cue_view, tubs
from labkit.lab.image_view import ImageView
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality

SIDE = 150  # CSS pixels of a picture
MARGIN = 0.15  # of each side of a picture, where no tub ever is
ROWS = ("hollow", "filled", "dark where they differ")


class CuePanel(Panel):
    """Two tubs with the same silhouette, seen in three ways; the fields are those of `CueState`."""

    State: ClassVar[type] = CueState
    rest = 0.8  # a slider that pauses shortly should not wait for the fine picture, the work of half a second

    def build(self) -> W.Widget:
        """Sliders, and a column of pictures for each way."""
        self._tubs: dict[int, tuple[tuple[int, int], Tensor]] = {}  # of each resolution the newest
        make = controls.Controls(self)
        self.told = W.HTML()
        left = controls.column(
            make.whole("wall", "wall (voxels of 64)", tip="Thickness of walls and floor"),
            make.slider("elevation", "elevation (°)", 1.0, "0 looks from the side, 85 almost from above"),
            make.slider("azimuth", "azimuth (°)", 1.0, "Around the tub"),
            make.whole("number", "tub number", tip="Every number is another tub"),
            self.told,
        )
        self.views = {way: self.own(ImageView(SIDE, 3 * SIDE + 4)) for way in WAYS}
        self.heads = {way: W.HTML() for way in WAYS}
        for way, view in self.views.items():
            view.widget.add_class(f"labkit-cue-{way.split()[0]}")
        names = [
            W.HTML(f'<div style="text-align:right;width:80px;line-height:16px">{row}</div>', layout={"height": "150px"})
            for row in ROWS
        ]
        words = W.VBox([W.HTML(layout={"height": "36px"}), *names])
        columns = [titled(self.heads[way], self.views[way].widget) for way in WAYS]
        box = W.HBox([left, W.HBox([words, *columns])], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-cue")
        return box

    def render(self, state: CueState, quality: Quality) -> CuePictures:
        """On a coarse grid while a slider moves."""
        resolution, which = COARSE if quality == "coarse" else RESOLUTION, (state.wall, state.number)
        if resolution not in self._tubs or self._tubs[resolution][0] != which:
            self._tubs[resolution] = which, tubs(*which, resolution)
        return cue_view(self._tubs[resolution][1], state.azimuth, state.elevation)

    def show(self, result: CuePictures, quality: Quality) -> None:
        """Each way's pictures and its figure; without the figures of a coarse grid."""
        for way, color in zip(WAYS, COLORS, strict=True):
            hollow, filled = result.pictures[way]
            edge = round(MARGIN * len(hollow))
            stack = [picture[None, edge:-edge, edge:-edge] for picture in (hollow, filled, 1 - (hollow - filled).abs())]
            self.views[way].show(contact_sheet(stack, columns=1), quality)
            told = f"{result.differences[way]:.3f}" if quality == "fine" else "..."
            self.heads[way].value = f'<div style="line-height:17px"><b style="color:{color}">{way}</b><br>{told}</div>'
        if quality == "fine":
            same = "have the same silhouette" if result.same else "differ in silhouette, too"
            self.told.value = (
                '<div style="line-height:17px">The numbers: mean difference of the two pictures inside the silhouette, '
                f"on a scale from 0 (black) to 1 (white). From here both tubs {same}.</div>"
            )

    def png(self) -> bytes | None:
        """The shaded pictures, kept in the notebook for readers without a kernel."""
        return self.views["shaded"].png()
