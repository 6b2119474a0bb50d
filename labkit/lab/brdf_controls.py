"""Controls that both BRDF panels have: the mesh, the sliders of a material, and titled rows of pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as W
import numpy as np
from torch import Tensor

from labkit.lab.brdf_model import PARAMETERS
from labkit.lab.controls import SCALE_STYLE, Controls, dress, mesh_upload, show_if
from labkit.lab.explorer_mesh import SHAPES, receive
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.fractal_render import blue_red
from labkit.lab.image_view import ImageView
from labkit.lab.panel import Panel

UPLOADS = Path("uploads")


class MeshChoice:
    """The menu of meshes, and for a file of one's own its path and an upload.

    Args:
        panel: whose fields ``mesh`` and ``path`` it binds.
        make: of that panel.

    Attributes:
        widget: all of it.
    """

    def __init__(self, panel: Panel, make: Controls) -> None:
        self._panel = panel
        path = W.Text(placeholder="OBJ, PLY, OFF, STL or GLB", description="file", continuous_update=False)
        dress(path, "path")
        self._own = W.VBox([panel.bind(path, "path"), mesh_upload(panel, self.receive)])
        self.widget = W.VBox([make.menu("mesh", "shape", [*SHAPES, OWN_FILE]), self._own])

    def receive(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Keep uploaded files (name, content) in ``uploads`` and show the mesh among them.

        Raises:
            FileError: no mesh, or several, among them.
        """
        self._panel.set(mesh=OWN_FILE, path=os.fspath(receive(files, UPLOADS)))

    def follow(self, mesh: str) -> None:
        """Show the fields of a file only where a file is asked for."""
        show_if(self._own, mesh == OWN_FILE)


def parameter_sliders(make: Controls) -> dict[str, W.Widget]:
    """A slider for each number of `labkit.lab.brdf_model.PARAMETERS`."""
    return {
        name: make.slider(name, parameter.label, tip=parameter.tip, log=parameter.log)
        for name, parameter in PARAMETERS.items()
    }


def preset_buttons(panel: Panel, make: Controls, presets: Mapping[str, Mapping[str, Any]]) -> W.Widget:
    """A button for each preset."""
    wrapped = W.Layout(flex_flow="row wrap")
    return W.HBox(
        [make.button(name, "Preset", partial(panel.set, **values)) for name, values in presets.items()], layout=wrapped
    )


class Strip:
    """Pictures of one size in a row, each under a title and a line with its scale.

    Args:
        own: takes every view, to close it.
        count: how many pictures.
        side: of each, CSS pixels.

    Attributes:
        widget: the row.
        views: the pictures.
    """

    def __init__(self, own: Callable[[ImageView], ImageView], count: int, side: int) -> None:
        self.views = [own(ImageView(side, side)) for _ in range(count)]
        self._titles = [W.HTML() for _ in range(count)]
        self._boxes = [
            W.VBox([title, view.widget], layout=W.Layout(margin="0 6px 0 0", width=f"{side}px", min_width=f"{side}px"))
            for title, view in zip(self._titles, self.views, strict=True)
        ]
        self.widget = W.HBox(self._boxes)

    def show(self, pictures: Mapping[str, tuple[Tensor | np.ndarray, str]]) -> None:
        """Show pictures with their scales by title, at most ``count``; the other places stay empty."""
        for box in self._boxes[len(pictures) :]:
            show_if(box, False)
        for box, title, view, (name, (picture, scale)) in zip(
            self._boxes, self._titles, self.views, pictures.items(), strict=False
        ):
            show_if(box, True)
            title.value = f'<b>{name}</b><div style="{SCALE_STYLE};white-space:nowrap">{scale}</div>'
            view.show(picture)


def signed(values: Tensor) -> tuple[np.ndarray, str]:
    """Signed numbers (H, W) as a picture from blue over grey to red, and what its ends mean."""
    picture, limit = blue_red(values)
    return picture, f"blue &minus;{limit:.2g}, red +{limit:.2g}"
