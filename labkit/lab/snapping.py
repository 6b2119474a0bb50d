"""Sliders in the browser know only their own steps, and may send a value that they were given back rounded to one."""

from __future__ import annotations

import math
from typing import Any

import ipywidgets as W


def is_echo(widget: W.Widget, held: Any, sent: Any) -> bool:
    """Whether ``sent`` by a slider is nothing but the ``held`` value rounded to the slider's nearest step.

    Args:
        widget: any control; only sliders with a ``step`` round.
        held: the value that the state holds.
        sent: the value that came from the browser.
    """
    if not isinstance(widget, W.FloatSlider | W.FloatLogSlider) or not isinstance(held, int | float):
        return False
    logarithmic = isinstance(widget, W.FloatLogSlider)
    distance = math.log(sent / held, widget.base) if logarithmic else sent - held
    return abs(distance) <= 0.501 * widget.step
