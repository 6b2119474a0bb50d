"""Kernel-rendered pictures in place of a WebGL view."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as W
import numpy as np
from torch import Tensor

from labkit.lab.closing import close_tree
from labkit.lab.hosts import headless
from labkit.lab.image_view import ImageView
from labkit.lab.orbit import Orbit
from labkit.lab.scheduler import NewestWins


class PictureView:
    """What stands in for `MeshView` where WebGL previews are missing: pictures rendered by the kernel.

    The same methods, with ``fallback(orbit) -> image`` drawing the mesh that its owner knows. Dragging turns it.
    """

    def __init__(
        self, fallback: Callable[[Orbit], Tensor | np.ndarray], width: int, height: int, orbit: Orbit | None = None
    ) -> None:
        self.on_camera: Callable[[Orbit], None] = lambda orbit: None
        self._orbit = orbit or Orbit()
        self._picture = ImageView(width, height)
        self._picture.on_drag = self._drag
        self._note = W.HTML("no WebGL preview here: picture from the kernel")
        self.widget = W.VBox([self._picture.widget, self._note])
        self._worker: NewestWins[Orbit, Tensor | np.ndarray] = NewestWins(
            lambda orbit, quality: fallback(orbit), self._picture.show, self._fail, synchronous=headless()
        )

    def update(self, *arrays: object, **named: object) -> None:
        """Draw anew."""
        self._worker.submit(self._orbit)

    def highlight(self, faces: object) -> None:
        """Draw anew; lighting the faces is up to ``fallback``."""
        self._worker.submit(self._orbit)

    @property
    def orbit(self) -> Orbit:
        """Where the eye is."""
        return self._orbit

    def set_camera(self, orbit: Orbit) -> None:
        """Move the eye; `on_camera` is not called for it."""
        self._orbit = orbit
        self._worker.submit(orbit)

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the newest picture is shown."""
        self._worker.flush(timeout)

    def close(self) -> None:
        """Stop the worker and close every widget."""
        self._worker.close()
        self._picture.close()
        close_tree(self.widget)

    def _drag(self, dx: float, dy: float) -> None:
        self.set_camera(self._orbit.turned(-0.5 * dx, 0.5 * dy))
        self.on_camera(self._orbit)

    def _fail(self, error: Exception) -> None:
        self._note.value = f'<span style="color:#b00020">{html.escape(repr(error))}</span>'
