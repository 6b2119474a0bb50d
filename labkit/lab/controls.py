"""Controls, mesh uploads and exports as most panels have them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as W
import psutil
import torch

from labkit.files import write_bytes
from labkit.geometry.io import SUFFIXES
from labkit.lab.panel import Panel

WIDTH = "350px"
EXPORTS = Path("exports")
SCALE_STYLE = "font-size:11px;line-height:14px;color:#555"


class Controls:
    """Makes the controls of a panel, all of one width, with the CSS class ``labkit-<field>``, bound to its state.

    Args:
        panel: whose state it is.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def slider(self, field: str, text: str, step: float = 0.01, tip: str = "", *, log: bool = False) -> Any:
        """A slider for numbers over the field's range; logarithmic if ``log``, and then ``step`` is not used."""
        low, high = self._range(field)
        if log:  # a hair wider, so that rounding does not shut the ends out
            low, high, step = math.log10(low) - 1e-9, math.log10(high) + 1e-9, 0.001
        kind = W.FloatLogSlider if log else W.FloatSlider
        made = kind(min=low, max=high, value=10**low if log else low, step=step, readout_format=".3g")
        return self._bound(made, field, text, tip)

    def whole(self, field: str, text: str, step: int = 1, tip: str = "") -> Any:
        """A slider for whole numbers over the field's range."""
        low, high = self._range(field)
        return self._bound(W.IntSlider(min=low, max=high, value=low, step=step), field, text, tip)

    def _range(self, field: str) -> tuple[Any, Any]:
        rules = {known.name: known.metadata for known in dataclasses.fields(self._panel.State)}[field]
        return rules["low"], rules["high"]

    def menu(self, field: str, text: str, options: Any, tip: str = "") -> Any:
        """A menu."""
        return self._bound(W.Dropdown(options=options), field, text, tip)

    def switch(self, field: str, text: str, tip: str = "") -> Any:
        """A check box."""
        return self._bound(W.Checkbox(indent=True), field, text, tip)

    def button(self, text: str, tip: str, action: Callable[[], Any]) -> Any:
        """A button."""
        made = W.Button(description=text, tooltip=tip, layout=W.Layout(width="auto"))
        made.on_click(self._panel.guard(lambda _: action()))
        return made

    def _bound(self, widget: Any, field: str, text: str, tip: str) -> Any:
        widget.description, widget.tooltip = text, tip
        dress(widget, field)
        return self._panel.bind(widget, field)


def dress(widget: Any, name: str) -> None:
    """Give a control the common width and its CSS class."""
    widget.style.description_width = "155px"
    widget.layout.width = "342px"
    widget.add_class(f"labkit-{name}")


def mesh_upload(
    panel: Panel, receive: Callable[[list[tuple[str, bytes]]], None], width: int = 180, left: int = 159
) -> W.FileUpload:
    """A button that uploads a mesh with what belongs to it.

    Args:
        panel: guards the callback.
        receive: called as ``receive(files)`` with (name, content) pairs.
        width, left: of the button and of the margin before it, CSS pixels.
    """
    made = W.FileUpload(
        accept=",".join([*SUFFIXES, ".mtl", ".png", ".jpg"]),
        multiple=True,
        description="upload",
        tooltip="At most 10 MB; larger files by their path. With an OBJ, its MTL and textures may come along.",
        layout=W.Layout(width=f"{width}px", margin=f"2px 2px 2px {left}px"),
    )

    def arrived(change: Any) -> None:
        if change["new"]:
            receive([(file["name"], bytes(file["content"])) for file in change["new"]])
            made.value = ()

    made.observe(panel.guard(arrived), "value")
    return made


def column(*parts: W.Widget) -> W.Widget:
    """The controls, one below the other."""
    return W.VBox(parts, layout=W.Layout(width=WIDTH, min_width=WIDTH))


def heading(text: str) -> W.HTML:
    """A line that begins a group of controls."""
    return W.HTML(f'<div style="font-weight:600;border-bottom:1px solid #ccc;margin-top:4px">{text}</div>')


def titled(text: str | W.HTML, view: W.Widget) -> W.Widget:
    """A view under its title."""
    title = W.HTML(f"<b>{text}</b>") if isinstance(text, str) else text
    return W.VBox([title, view], layout=W.Layout(margin="0 6px 0 0"))


def show_if(widget: W.Widget, shown: bool) -> None:
    """Show a control, or take it off the page."""
    widget.layout.display = None if shown else "none"


def device() -> str:
    """HTML: what computes, and how much memory the kernel takes."""
    memory = psutil.Process().memory_info().rss / 2**20
    return f"CPU, {torch.get_num_threads()} threads &middot; kernel process {memory:,.0f} MB"


def export(name: str, data: bytes) -> Path:
    """Write a PNG file into ``exports`` beside the notebook, under a name not taken yet; returns where."""
    EXPORTS.mkdir(exist_ok=True)
    path = next(p for n in range(1, 1_000_000) if not (p := EXPORTS / f"{name}-{n}.png").exists())
    write_bytes(path, data)
    return path
