"""What a UDR training panel can be pointed at with one click: shapes, a mesh of one's own, and what makes it fail."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import ipywidgets as W

from labkit.errors import DomainError
from labkit.lab import controls
from labkit.lab.explorer_mesh import receive
from labkit.lab.panel import Panel

UPLOADS = Path("uploads")
VOLUME = "volume.on = true\nvolume.samples = 32\npixels_per_view = 3"  # a step about as long as without a volume
TRIALS: Mapping[str, str] = MappingProxyType(
    {
        "torus": "scene.source = torus",
        "box": "scene.source = box",
        "couch": "scene.source = couch",
        "chair: thin legs": "scene.source = chair",
        "3 views": "scene.source = couch\nscene.views = 3",
        "no masks": "scene.source = couch\nloss.mask = 0\nedge_share = 0",
        "no masks, as a volume": f"scene.source = couch\n{VOLUME}\nedge_share = 0",
    }
)
"""Lines for the field *change fields* of a training panel."""


def trials(panel: Panel) -> W.Widget:
    """Buttons that write into *change fields* what `TRIALS` say, a field for the path of a mesh, and an upload.

    Args:
        panel: a `labkit.lab.training_panel.TrainingPanel` of `labkit.train.udr`.
    """
    made = controls.Controls(panel)
    buttons = [
        made.button(name, lines.replace("\n", ", "), partial(choose, panel, name)) for name, lines in TRIALS.items()
    ]
    path = W.Text(placeholder="path of an OBJ, PLY, OFF, STL or GLB", layout=W.Layout(width="300px"))
    upload = controls.mesh_upload(panel, lambda files: use(panel, receive(files, UPLOADS)), left=6)
    path.observe(panel.guard(lambda change: use(panel, change["new"])), "value")
    path.continuous_update = False
    row = W.Layout(flex_flow="row wrap", align_items="center")
    box = W.VBox(
        [W.HBox(buttons, layout=row), W.HBox([W.HTML("your own mesh: "), path, upload], layout=row)],
        layout=W.Layout(margin="0 0 6px 0"),
    )
    box.add_class("labkit-trials")
    return box


def choose(panel: Panel, name: str) -> None:
    """Let the next run of a training panel be one of the `TRIALS`.

    Raises:
        DomainError: there is no such trial.
    """
    if name not in TRIALS:
        raise DomainError("name", repr(name), f"one of {', '.join(TRIALS)}")
    panel.set(overrides=TRIALS[name])


def use(panel: Panel, path: str | os.PathLike[str]) -> None:
    """Let the next run of a training panel learn the mesh of a file."""
    panel.set(overrides=f"scene.source = mesh\nscene.path = {os.fspath(path)}")
