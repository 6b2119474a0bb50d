"""One generated shape in detail: as a surface, through both renderers, and at all thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ipywidgets as W
import numpy as np
import torch

from labkit.geometry import Mesh
from labkit.lab import iggan_plots as plots
from labkit.lab.controls import show_if, titled
from labkit.lab.explorer_render import preview
from labkit.lab.hosts import headless
from labkit.lab.iggan_probe import IGGANState, Levels, Probe
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit
from labkit.lab.scheduler import NewestWins, Quality
from labkit.train.iggan_networks import Look

SIDE, FOV, DISTANCE = 190, 30.0, 2.6  # CSS pixels, degrees, and of the eye from the shape
STRIP = (590, 64)  # width and height of the row of thresholds


class Asked(NamedTuple):
    """What is to be shown: a shape of a run's newest checkpoint, and what its own renderer is called."""

    run: Path
    number: int
    state: IGGANState
    renderer: str


class ShapeView:
    """Shows the newest shape that was asked for; while a slider moves, without its other thresholds.

    Args:
        probe: answers; whoever made it closes it.
        fail: called with what goes wrong; must not raise itself.

    Attributes:
        widget: what is shown in the page.
        sliders: a place for controls above the pictures.
        solid: the 3D view.
        look, levels: what is shown, or None.
    """

    def __init__(self, probe: Probe, fail: Callable[[Exception], None]) -> None:
        self._probe = probe
        self.look: Look | None = None
        self.levels: Levels | None = None
        self._worker: NewestWins[Asked, tuple[Asked, Look, Levels | None]] = NewestWins(
            self._ask, self._show, fail, synchronous=headless()
        )
        self.solid = open_view(self._preview, SIDE, SIDE, FOV, Orbit.around(30.0, 35.0, DISTANCE))
        self.seen, self.neural = ImageView(SIDE, SIDE), ImageView(SIDE, SIDE)
        self.strip, self.opinion = fixed_image(*STRIP), fixed_image(*plots.LEVELS)
        for view, name in ((self.solid.widget, "solid"), (self.seen.widget, "seen"), (self.neural.widget, "neural")):
            view.add_class(f"labkit-{name}")
        self.opinion.add_class("labkit-levels")
        self.sliders, self.told = W.VBox(), W.HTML()
        self._titles = [W.HTML() for _ in range(3)]
        views = (self.solid.widget, self.seen.widget, self.neural.widget)
        shown = W.HBox([titled(title, view) for title, view in zip(self._titles, views, strict=True)])
        row = W.HTML("<b>off the shelf: the same shape, with t from small to large</b>")
        self._answer = W.VBox([shown, row, self.strip, self.opinion])
        self.widget = W.VBox([self.sliders, self.told, self._answer])

    def ask(self, asked: Asked) -> None:
        """Show a shape."""
        self._worker.submit(asked)

    def forget(self, why: str) -> None:
        """Show none, and say why."""
        self.told.value = why
        show_if(self._answer, False)

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until what was asked for last is shown."""
        self._worker.flush(timeout)

    def close(self) -> None:
        """Stop the worker and close the views; the widget belongs to the panel."""
        self._worker.close()
        for view in (self.solid, self.seen, self.neural):
            view.close()

    def _ask(self, asked: Asked, quality: Quality) -> tuple[Asked, Look, Levels | None]:
        question = asked.run, asked.number, asked.state
        look = self._probe.look(*question)
        return asked, look, self._probe.levels(*question, look.shapes) if quality == "fine" else None

    def _show(self, found: tuple[Asked, Look, Levels | None], quality: Quality) -> None:
        asked, look, levels = found
        self.look, mesh, threshold = look, look.meshes[0], asked.state.threshold
        self.solid.update(mesh.vertices, mesh.faces)
        self.seen.show(look.off_the_shelf[0], quality)
        self.neural.show(look.neural[0], quality)
        empty = "" if len(mesh.faces) else ": nothing"
        words = (
            f"x<sub>c</sub> &gt; {threshold:.2f}{empty}",
            f"off the shelf, x<sub>c</sub> &gt; {threshold:.2f}",
            f"{asked.renderer}, all of x<sub>c</sub>",
        )
        for title, text in zip(self._titles, words, strict=True):
            title.value = f"<b>{text}</b>"
        self.told.value = f"checkpoint of step {asked.number:,}"
        show_if(self._answer, True)
        if levels is not None:
            self.levels = levels
            self.strip.value = plots.strip(levels.pictures, STRIP)
            judged = asked.renderer == "neural"  # D of a baseline has seen its own renderer's pictures only
            show_if(self.opinion, judged)
            if judged:
                self.opinion.value = plots.levels(levels, look.neural_output.item(), threshold)

    def _preview(self, orbit: Orbit) -> torch.Tensor | np.ndarray:
        """In place of the 3D view."""
        if self.look is None or not len(self.look.meshes[0].faces):
            return np.full((SIDE, SIDE, 3), 255, np.uint8)
        mesh = self.look.meshes[0]
        return preview(Mesh(mesh.vertices.cpu(), mesh.faces.cpu()), orbit, (), SIDE)
