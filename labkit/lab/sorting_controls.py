"""Controls as all panels of the sorting notebook have them."""

from __future__ import annotations

from typing import Any

import ipywidgets as W

from labkit.lab.panel import Panel

WIDTH = "330px"


def bound(panel: Panel, control: Any, field: str, text: str, tip: str = "") -> Any:
    """Name a control, give it the common width and the CSS class ``labkit-<field>``, and tie it to the state's field.

    Args:
        panel: whose state it belongs to.
        control: any control with a value and a description.
        field: the state's field.
        text: its name, with the unit.
        tip: more about it, shown under the pointer.
    """
    control.description, control.tooltip = text, tip
    control.style.description_width = "140px"
    control.layout.width = "322px"
    if isinstance(control, W.FloatLogSlider | W.FloatSlider):
        control.readout_format = ".3g"
    control.add_class(f"labkit-{field}")
    return panel.bind(control, field)


def log_slider(low: float, high: float) -> W.FloatLogSlider:
    """A slider from 10^low to 10^high, fine enough that its steps do not show in three digits."""
    return W.FloatLogSlider(min=low, max=high, value=10**low, step=0.001)


def lines(*text: str) -> str:
    """HTML: one line below the other, closer than a widget's own."""
    return f'<div style="line-height:18px">{"<br>".join(text)}</div>'
