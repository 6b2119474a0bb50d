"""Closing widgets: ipywidgets keeps every one alive until it is closed, so the lab closes whole trees."""

from __future__ import annotations

from typing import Any, Protocol

from ipywidgets import Widget


class Closeable(Protocol):
    """Anything a panel can own: a view, a scheduler, a widget."""

    def close(self) -> None:
        """Let go of everything."""


def close_tree(*roots: Widget) -> None:
    """Close the widgets and all that hang from their traits: children, layouts, styles, geometries, materials."""
    found: dict[int, Widget] = {}
    waiting: list[Any] = list(roots)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, Widget) and id(thing) not in found:
            found[id(thing)] = thing
            waiting.extend(thing._trait_values.get(name) for name in thing.keys)
        elif isinstance(thing, (list, tuple)):
            waiting.extend(thing)
        elif isinstance(thing, dict):
            waiting.extend(thing.values())
    for widget in found.values():
        widget.close()
