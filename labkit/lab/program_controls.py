"""Controls that the panels about programs share, each bound to its field of the panel's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as W

from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel


def plot_image(width: int, height: int, name: str) -> W.Image:
    """A place of fixed size, in CSS pixels, for a PNG file; ``labkit-name`` is its class in the page."""
    made = fixed_image(width, height)
    made.add_class(f"labkit-{name}")
    return made


def title(text: str, width: int | None = None) -> W.HTML:
    """A bold line over a picture, ``width`` CSS pixels wide; HTML is allowed."""
    return W.HTML(f"<b>{text}</b>", layout=W.Layout(width=None if width is None else f"{width}px"))


def slider(
    panel: Panel, field: str, text: str, low: float, high: float, step: float, tip: str = "", width: int = 400
) -> Any:
    """A slider bound to the number ``field``: of whole numbers where ``step`` is one, else of floats."""
    whole = isinstance(step, int)
    kind = W.IntSlider if whole else W.FloatSlider
    made = kind(min=low, max=high, value=low, step=step, description=text, tooltip=tip)
    made.readout_format = "d" if whole else ".2f"
    return _bound(panel, made, field, width)


def steepness_slider(panel: Panel, low: float, high: float, width: int = 400) -> Any:
    """A logarithmic slider bound to the field ``steepness``; it runs from 2^low to 2^high."""
    made = W.FloatLogSlider(base=2, min=low, max=high, value=2**low, step=0.05, description="steepness s")
    made.tooltip, made.readout_format = "Higher: closer to the hard program", ".3g"
    return _bound(panel, made, "steepness", width)


def menu(panel: Panel, field: str, text: str, options: Sequence[Any], width: int = 400) -> Any:
    """A menu bound to ``field``; options are values or pairs of text and value."""
    return _bound(panel, W.Dropdown(options=list(options), description=text), field, width)


def _bound(panel: Panel, widget: Any, field: str, width: int) -> Any:
    widget.style.description_width = "110px"
    widget.layout.width = f"{width}px"
    widget.add_class(f"labkit-{field}")
    return panel.bind(widget, field)
