"""GenDR's distributions by t-conorms as a contact sheet: 162 small silhouettes of one shape."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import ipywidgets as W
import torch
from torch import Tensor

from labkit.events import Event, Step
from labkit.lab.controls import Controls, column, device, heading, titled
from labkit.lab.image_view import ImageView
from labkit.lab.panel import Panel
from labkit.lab.runner import Runner
from labkit.lab.scheduler import Quality
from labkit.lab.shootout_scene import DISTANCE, FOV, SHAPES
from labkit.lab.state import between, one_of
from labkit.render import GenDR, render
from labkit.render.raster.distributions import DISTRIBUTIONS
from labkit.render.raster.t_conorms import T_CONORMS
from labkit.scene import Camera

TILE, GAP, LARGE = 44, 2, 200  # pixels of a small picture, between two, and of the large one
MARGIN = 112  # pixels left of the sheet, for the names of its rows
GREY = 0.35
PARAMETERS: Mapping[str, float] = MappingProxyType(
    {"hamacher": 0.0, "frank": 2.0, "yager": 2.0, "aczel_alsina": 0.5, "dombi": 2.0, "schweizer_sklar": -2.0}
)
"""p of the t-conorms that have one; at other values several of them become others of the nine."""


@dataclass(frozen=True)
class SheetState:
    """What is drawn on every picture of the sheet.

    Attributes:
        shape: a built-in shape.
        width: 2 tau in pixels of a small picture (of 2 sqrt(tau) if ``squared``).
        squared: measure the squared distance.
        distribution, t_conorm: of the large picture.
    """

    shape: str = one_of(*SHAPES)
    width: float = between(6.0, 0.5, 20.0)
    squared: bool = False
    distribution: str = one_of("logistic", *DISTRIBUTIONS)
    t_conorm: str = one_of("probabilistic", *T_CONORMS)

    @property
    def key(self) -> tuple[str, float, bool]:
        """What the small pictures depend on."""
        return self.shape, self.width, self.squared


def silhouette(state: SheetState, distribution: str, t_conorm: str, side: int) -> Tensor:
    """Alpha (side, side) of the shape; as soft as in a small picture, relative to its size."""
    size = (side, side)
    soft = GenDR.from_pixels(
        state.width * side / TILE,
        size,
        distribution=distribution,
        t_conorm=t_conorm,
        p=PARAMETERS.get(t_conorm, 1.0),
        squared=state.squared,
    )
    with torch.no_grad():
        return render(SHAPES[state.shape](), Camera.orbit(30.0, 20.0, DISTANCE, fov=FOV), size, soft).alpha[0, 0]


@dataclass(eq=False)
class Sheet:
    """The small pictures, filled one by one.

    Attributes:
        state: what they show.
        image: (H, W) all of them: a row for each t-conorm, a column for each distribution, grey where none is yet.
    """

    state: SheetState
    image: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.image = torch.full([len(names) * (TILE + GAP) - GAP for names in (T_CONORMS, DISTRIBUTIONS)], GREY)

    def run(self) -> Iterator[Event]:
        """Draw; one `Step` a picture, with its mean coverage."""
        total, number = len(T_CONORMS) * len(DISTRIBUTIONS), 0
        for down, t_conorm in enumerate(T_CONORMS):
            for across, distribution in enumerate(DISTRIBUTIONS):
                tile = silhouette(self.state, distribution, t_conorm, TILE)
                top, left = down * (TILE + GAP), across * (TILE + GAP)
                self.image[top : top + TILE, left : left + TILE] = tile
                number += 1
                yield Step(number, total, {"coverage": float(tile.mean())})


def name_at(row: int, column: int) -> tuple[str, str] | None:
    """Distribution and t-conorm of a pixel of the sheet, or None between two pictures."""
    if max(row % (TILE + GAP), column % (TILE + GAP)) >= TILE:
        return None
    return tuple(DISTRIBUTIONS)[column // (TILE + GAP)], tuple(T_CONORMS)[row // (TILE + GAP)]


class SheetPanel(Panel):
    """All of GenDR at one glance: point at a picture for its name, click it to enlarge it.

    ``SheetPanel(shape="chair", width=10.0)`` starts elsewhere; the fields are those of `SheetState`.
    """

    State: ClassVar[type] = SheetState

    def build(self) -> W.Widget:
        """Make controls, runner, sheet and large picture."""
        self.sheet = Sheet(self.record)
        self._drawing = threading.Lock()
        height, width = self.sheet.image.shape
        self.view, self.large = self.own(ImageView(width, height)), self.own(ImageView(LARGE, LARGE))
        self.view.widget.add_class("labkit-sheet")
        self.large.widget.add_class("labkit-large")
        self.view.on_click, self.view.on_hover = self.guard(self.pick), self.guard(self.point)
        self.runner = self.own(Runner(self._begin, lambda event: None, self._refresh, self.fail))
        self.pointed, self.title = W.HTML("Point at a picture."), W.HTML()
        make = Controls(self)
        controls = column(
            heading("Every picture"),
            make.menu("shape", "shape", list(SHAPES)),
            make.slider("width", "width of edges (px of 44)", log=True, tip="2 tau: d / tau runs from -1 to 1"),
            make.switch("squared", "squared distance"),
            self.runner.widget,
            heading("The large picture"),
            make.menu("distribution", "distribution", list(DISTRIBUTIONS)),
            make.menu("t_conorm", "t-conorm", list(T_CONORMS)),
        )
        top = W.HBox([controls, titled(self.title, self.large.widget)], layout=W.Layout(flex_flow="row wrap"))
        box = W.VBox([top, self.pointed, W.HTML(_column_names()), W.HBox([W.HTML(_row_names()), self.view.widget])])
        box.add_class("labkit-contact")
        return box

    def adopted(self, state: SheetState) -> None:
        """Small pictures of other settings end."""
        if state.key != self.sheet.state.key:
            self.runner.stop()

    def pick(self, row: int, column: int) -> None:
        """Enlarge the picture at a pixel of the sheet."""
        found = name_at(row, column)
        if found:
            self.set(distribution=found[0], t_conorm=found[1])

    def point(self, row: int, column: int) -> None:
        """Say what the picture at a pixel of the sheet is."""
        found = name_at(row, column)
        if found:
            self.pointed.value = f"<b>{found[0]}</b> distribution, <b>{found[1]}</b> t-conorm"

    def render(self, state: SheetState, quality: Quality) -> tuple[SheetState, Tensor]:
        """The large picture."""
        side = LARGE if quality == "fine" else LARGE // 2
        return state, silhouette(state, state.distribution, state.t_conorm, side)

    def show(self, result: tuple[SheetState, Tensor], quality: Quality) -> None:
        """Show it; small pictures of other settings go."""
        state, image = result
        self.large.show(image, quality)
        p = PARAMETERS.get(state.t_conorm)
        with_p = "" if p is None else f", p = {p:g}"
        self.title.value = f"<b>{state.distribution}</b>, <b>{state.t_conorm}</b>{with_p}"
        if state.key != self.sheet.state.key:
            self.sheet = Sheet(state)
        self._refresh()

    def run(self) -> None:
        """Draw the small pictures."""
        self.runner.run()

    def _begin(self) -> Iterator[Event]:
        self.sheet = Sheet(self.record)
        return self.sheet.run()

    def _refresh(self) -> None:
        with self._drawing:
            self.view.show(self.sheet.image)

    def caption(self) -> str:
        """Threads, memory."""
        return device()

    def png(self) -> bytes | None:
        """The sheet, kept in the notebook for readers without a kernel."""
        return self.view.png()


def _row_names() -> str:
    style = f"height:{TILE + GAP}px;line-height:{TILE + GAP}px;width:{MARGIN}px;text-align:right;padding-right:6px"
    return "".join(f'<div style="{style};box-sizing:border-box">{name}</div>' for name in T_CONORMS)


def _column_names() -> str:
    style = f"display:inline-block;width:{TILE + GAP}px;writing-mode:vertical-rl;transform:rotate(180deg)"
    style += f";line-height:{TILE + GAP}px"
    names = "".join(f'<span style="{style}">{name}</span>' for name in DISTRIBUTIONS)
    return f'<div style="padding-left:{MARGIN}px;white-space:nowrap">{names}</div>'
