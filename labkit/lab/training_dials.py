"""Sliders for the dials of a training: what they say, the run at work does from its next step on."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import ipywidgets as W

from labkit.lab import controls
from labkit.lab.closing import close_tree
from labkit.lab.hosts import headless
from labkit.lab.scheduler import NewestWins
from labkit.lab.snapping import is_echo
from labkit.lab.training_history import Seen
from labkit.train.dials import Dial

RATE = 4.0  # commands a second at most
PATIENCE = 30.0  # seconds that a moved slider waits for its run, which turns dials between two steps
WIDE = 50.0  # a range from low to at least so many times low is shown logarithmically
Words = Mapping[str, tuple[str, str]]
NO_WORDS: Words = MappingProxyType({})


class TrainingDials:
    """One slider for each dial of the run that is shown. They are locked unless it is at work.

    A slider that was moved stays where the person has left it until the run says that it has turned the dial; all
    others stand where the run's newest `labkit.events.Tuned` says, whoever turned them.

    Args:
        send: called as ``send("set", **values)`` on a thread of its own, at most `RATE` times a second.
        guard: wraps every callback, see `labkit.lab.panel.Panel.guard`.
        fail: called with what ``send`` raises; must not raise itself.
        words: for dials by name, what is written beside the slider, and its tooltip; the name itself otherwise.

    Attributes:
        widget: what is shown in the page; nothing for a recipe without dials.
        sliders: by the name of their dial.
    """

    def __init__(
        self,
        send: Callable[..., None],
        guard: Callable[[Callable[..., Any]], Callable[..., None]],
        fail: Callable[[Exception], None],
        words: Words = NO_WORDS,
    ) -> None:
        self._command, self._guard, self._words = send, guard, words
        self._lock = threading.RLock()  # so that no callback takes what is set here for a person's wish
        self._quiet = False
        self._shown: tuple[object, Mapping[str, Dial]] = None, {}
        self._asked: dict[str, tuple[float, float]] = {}  # moved, and not yet said to be turned: value, time
        self._unsent: dict[str, float] = {}
        self._held: dict[str, float] = {}  # where the kernel has set the sliders
        self._sender: NewestWins[None, None] = NewestWins(
            lambda nothing, quality: self._send(),
            lambda nothing, quality: None,
            fail,
            rest=0.0,
            max_fps=RATE,
            synchronous=headless(),
        )
        self.sliders: dict[str, Any] = {}
        self.note = W.HTML()
        self._rows = W.VBox()
        aligned = W.Layout(width="110px", margin="2px 2px 6px 159px")
        self._back = W.Button(description="start values", tooltip="Turn all dials back", layout=aligned)
        self._back.on_click(guard(lambda _: self.reset()))
        self.widget = W.VBox([controls.heading("While it runs"), self.note, self._rows, self._back])
        self.widget.add_class("labkit-dials")

    def tell(self, run: object, dials: Mapping[str, Dial], seen: Seen) -> None:
        """Bring every slider up to date.

        Args:
            run: what the dials belong to; a wish for another run is forgotten.
            dials: of the run, by name.
            seen: the run as it stands.
        """
        with self._lock:
            if self._shown != (run, dials):
                self._asked.clear()
                self._unsent.clear()
                if self._shown[1] != dials:
                    self._make(dials)
                self._shown = run, dials
            late = time.monotonic() - PATIENCE
            self._asked = {
                name: (value, since)
                for name, (value, since) in self._asked.items()
                if seen.active and since > late and (name in self._unsent or seen.dials.get(name) != value)
            }
            for name, slider in self.sliders.items():
                if name not in self._asked:
                    self._set(name, seen.dials.get(name, dials[name].value))
                slider.disabled = not seen.active
            self._back.disabled = not seen.active
        controls.show_if(self.widget, bool(dials))
        told = "These act on the run at its next step." if seen.active else "Locked: these act on a run at work."
        self.note.value = f'<div style="{controls.SCALE_STYLE}">{told}</div>'

    def reset(self) -> None:
        """Turn all dials back to where a new run begins."""
        for name, dial in self._shown[1].items():
            self.turn(name, dial.value)

    def turn(self, name: str, value: float) -> None:
        """Do what a person does who moves a slider."""
        with self._lock:
            dial = self._shown[1][name]
            wish = min(max(value, dial.low), dial.high)  # a logarithmic slider ends a hair beyond
            self._asked[name], self._unsent[name] = (wish, time.monotonic()), wish
            self._set(name, wish)
        self._sender.submit(None)

    def close(self) -> None:
        """Send nothing any more; the widgets belong to the panel."""
        self._sender.close()

    def _send(self) -> None:
        with self._lock:
            values, self._unsent = self._unsent, {}
        if values:
            self._command("set", **values)

    def _make(self, dials: Mapping[str, Dial]) -> None:
        """New sliders; the old ones are closed."""
        old, self.sliders, self._held = self._rows.children, {}, {}
        for name, dial in dials.items():
            slider = _slider(dial)
            text, tip = self._words.get(name, (name, f"from {dial.low:g} to {dial.high:g}"))
            slider.description, slider.tooltip = text, tip
            controls.dress(slider, f"dial-{name.replace(' ', '-')}")
            slider.observe(self._guard(partial(self._moved, name)), "value")
            self.sliders[name] = slider
        self._rows.children = tuple(self.sliders.values())
        close_tree(*old)

    def _set(self, name: str, value: float) -> None:
        self._quiet = True
        try:
            self.sliders[name].value = self._held[name] = value
        finally:
            self._quiet = False

    def _moved(self, name: str, change: Any) -> None:
        with self._lock:
            if self._quiet or change["owner"].disabled or is_echo(change["owner"], self._held[name], change["new"]):
                return
        self.turn(name, change["new"])


def _slider(dial: Dial) -> Any:
    """Over the range of a dial, standing where a new run begins."""
    if dial.low > 0 and dial.high >= WIDE * dial.low:  # a hair wider, so that rounding does not shut the ends out
        low, high = math.log10(dial.low) - 1e-9, math.log10(dial.high) + 1e-9
        return W.FloatLogSlider(min=low, max=high, step=0.001, value=dial.value, readout_format=".3g")
    step = (dial.high - dial.low) / 200 or 1.0
    return W.FloatSlider(min=dial.low, max=dial.high, step=step, value=dial.value, readout_format=".3g")
