"""Why a renderer needs normal and view direction: UDR's Figure 2, with every angle on a slider."""

from __future__ import annotations

from typing import Any, ClassVar

import ipywidgets as W
from torch import Tensor

from labkit.lab import controls
from labkit.lab import implicit_phong_plots as plots
from labkit.lab.image_view import fixed_image
from labkit.lab.implicit_phong import PhongState, Verdict, judge, maps
from labkit.lab.implicit_plots import patch
from labkit.lab.panel import Panel
from labkit.lab.plots import HARD
from labkit.lab.scheduler import Quality

Shown = tuple[Tensor, dict[str, Verdict], list[bytes]]


class PhongPanel(Panel):
    """Turn the surface at one point, or walk around it, and see which renderer has to be wrong.

    ``PhongPanel(normal=0.0, view=-30.0)`` starts elsewhere; all fields are those of `PhongState`.
    """

    State: ClassVar[type] = PhongState

    def build(self) -> W.Widget:
        """Make controls and views."""
        make = controls.Controls(self)
        buttons = W.HBox(
            [
                make.button("(b) turn n", "The camera of (a), the surface turned", lambda: self._go("n")),
                make.button("(c) move v", "The normal of (a), the camera elsewhere", lambda: self._go("v")),
                make.button("keep as (a)", "What is on the sliders becomes (a)", self.keep),
            ]
        )
        column = controls.column(
            controls.heading("The point x stays. What changes?"),
            make.slider("normal", "normal n (°)", 0.5, "From the vertical, to the right"),
            make.slider("view", "camera (°)", 0.5, "Where the camera stands: v points from there to x"),
            buttons,
            controls.heading("Light and material (equation 3)"),
            make.slider("light", "light (°)", 0.5),
            make.slider("diffuse", "diffuse k_d"),
            make.slider("specular", "specular k_s"),
            make.slider("shininess", "exponent n_s", log=True),
        )
        self.pair, self.map = fixed_image(*plots.SITUATIONS), fixed_image(*plots.MAPS)
        self.pair.add_class("labkit-situations")
        self.map.add_class("labkit-maps")
        self.table = W.HTML()
        self.table.add_class("labkit-table")
        views = [
            controls.titled("the same point twice; in the camera the colour that arrives", self.pair),
            self.table,
            controls.titled("the best that each can do over all angles (root mean square error)", self.map),
        ]
        box = W.VBox(views, layout=W.Layout(width="612px", margin="0 0 0 6px"))
        return W.HBox([column, box], layout=W.Layout(flex_flow="row wrap"))

    def _go(self, other: str) -> None:
        """Figure 2 (b) or (c): only the normal, or only the camera, differs from (a)."""
        state: PhongState = self.record
        normal = state.first_normal + (20.0 if state.first_normal <= 25 else -20.0)
        view = state.first_view - (25.0 if state.first_view >= -20 else -25.0)
        self.set(normal=normal if other == "n" else state.first_normal, view=view if other == "v" else state.first_view)

    def keep(self) -> None:
        """Compare with what is on the sliders from now on."""
        self.set(first_normal=self.record.normal, first_view=self.record.view)

    def render(self, state: PhongState, quality: Quality) -> Shown:
        """Light both situations; the maps wait until the sliders rest."""
        truth, verdicts = judge(state)
        pictures = [plots.situations(state, truth)]
        if quality == "fine":
            pictures.append(plots.knowledge(state, maps(state)))
        return truth, verdicts, pictures

    def show(self, result: Shown, quality: Quality) -> None:
        """Hand pictures and table to the page."""
        truth, verdicts, pictures = result
        for view, content in zip((self.pair, self.map), pictures, strict=False):
            view.value = content
        self.table.value = table(truth, verdicts)

    def png(self) -> bytes:
        """Both situations, kept in the notebook for readers without a kernel."""
        return bytes(self.pair.value)


def table(truth: Tensor, verdicts: dict[str, Verdict]) -> str:
    """HTML: what each renderer is given, and the colours that it can answer with."""
    rows = [_row("what arrives", "", truth, "")]
    for name, verdict in verdicts.items():
        changed = ", ".join(verdict.changed) or "none: one answer for both"
        word = "0" if verdict.error < 5e-4 else f'<b style="color:{HARD}">{verdict.error:.3f}</b>'
        rows.append(_row(name, changed, verdict.answers, word))
    heads = ("renderer", "arguments that changed", "in (a)", "now", "least mean error")
    head = "".join(f'<th style="text-align:left;padding-right:14px;white-space:nowrap">{text}</th>' for text in heads)
    return f'<table style="line-height:19px;font-size:12px"><tr>{head}</tr>{"".join(rows)}</table>'


def _row(name: str, changed: str, colors: Tensor, error: str) -> str:
    cells: list[Any] = [name, changed, *(patch(color) for color in colors.tolist()), error]
    return (
        "<tr>" + "".join(f'<td style="padding-right:14px;white-space:nowrap">{cell}</td>' for cell in cells) + "</tr>"
    )
