"""What a training panel shows of a run: two linked 3D views, rendered pictures, curves, figures, messages."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import ipywidgets as W
import numpy as np
import torch

from labkit.events import MeshPreview, Picture
from labkit.geometry import Mesh
from labkit.lab import training_plots as plots
from labkit.lab.closing import close_tree
from labkit.lab.controls import show_if, titled
from labkit.lab.explorer_render import preview
from labkit.lab.hosts import headless
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.mesh_view import MeshView, open_view
from labkit.lab.orbit import Orbit
from labkit.lab.picture_view import PictureView
from labkit.lab.scheduler import NewestWins
from labkit.lab.training_history import TRUTH, Seen
from labkit.lab.training_plan import TrainingState
from labkit.train.config import EngineConfig

SIDE = 300
SHEET = (612, 156)  # width and height of the rendered pictures
WIDTH = 630  # of everything, with room for scroll bars
CURVES = (612, 240)
FOV = 45.0  # degrees
EYE = Orbit((1.3, 1.0, 2.4))  # of the 3D views at the start
LINKED = 5.0  # times a second that one camera follows the other: to draw both at every move would cost twice


@dataclass(frozen=True)
class Frame:
    """Everything that is shown at one moment.

    Attributes:
        run: what the previews belong to; two frames with the same run, names and steps show the same previews.
        seen: the run.
        state: the controls.
        meshes, pictures: by name, of the step that is looked at.
        config: of the run, or of the one that *Start* would begin; None if it is not known.
    """

    run: str
    seen: Seen
    state: TrainingState
    meshes: Mapping[str, MeshPreview]
    pictures: Mapping[str, Picture]
    config: EngineConfig | None = None

    @property
    def surface(self) -> MeshPreview | None:
        """The newest surface that is not the truth."""
        others = [mesh for name, mesh in self.meshes.items() if name != TRUTH]
        return max(others, key=lambda mesh: mesh.number, default=None)

    @property
    def number(self) -> int:
        """The step whose previews are shown."""
        previews: list[MeshPreview | Picture] = [*self.meshes.values(), *self.pictures.values()]
        return max((one.number for one in previews if not one.name.startswith(TRUTH)), default=0)


class TrainingViews:
    """The views of a training panel.

    A recipe that has more to show has a subclass, named by its panel as ``Views``: `parts` says what stands in which
    order, and `draw` brings it up to date, each part by `once` with a key of what it shows.

    Args:
        fail: called with what goes wrong while one camera follows the other; must not raise itself.

    Attributes:
        widget: what is shown in the page.
        seconds: that the last `show` with anything new took.
    """

    width: ClassVar[int] = WIDTH  # CSS pixels, as all sizes here
    side: ClassVar[int] = SIDE  # of a 3D view
    fov: ClassVar[float] = FOV
    eye: ClassVar[Orbit] = EYE

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._meshes: dict[str, MeshPreview] = {}
        self._drawn: dict[str, Hashable] = {}
        self.seconds = 0.0
        self.surface, self.truth = (
            open_view(partial(self.picture, name), self.side, self.side, self.fov, self.eye)
            for name in ("surface", TRUTH)
        )
        self._linked: NewestWins[tuple[MeshView | PictureView, Orbit], None] = NewestWins(
            lambda move, quality: move[0].set_camera(move[1]),
            lambda nothing, quality: None,
            fail,
            rest=0.0,
            max_fps=LINKED,
            synchronous=headless(),
        )
        self.surface.on_camera = lambda orbit: self._linked.submit((self.truth, orbit))
        self.truth.on_camera = lambda orbit: self._linked.submit((self.surface, orbit))
        self.surface.widget.add_class("labkit-surface")
        self.truth.widget.add_class("labkit-true-surface")
        self._title = W.HTML()
        self._left, self._right = titled(self._title, self.surface.widget), titled("ground truth", self.truth.widget)
        self.pictures = ImageView(*SHEET)
        self.pictures.widget.add_class("labkit-pictures")
        self._sheet = titled("rendered, and beside it the ground truth", self.pictures.widget)
        self.curves = fixed_image(*CURVES)
        self.curves.add_class("labkit-loss-curves")
        self.table = W.HTML()
        self.table.add_class("labkit-figures")
        self.messages = W.HTML()
        self.messages.add_class("labkit-messages")
        for part in (self._left, self._right, self._sheet):
            show_if(part, False)
        self.widget = W.VBox(self.parts(), layout=W.Layout(width=f"{self.width}px"))

    def parts(self) -> list[W.Widget]:
        """Make what a subclass adds, and return all that is shown, from top to bottom; called once."""
        return [self.messages, W.HBox([self._left, self._right]), self._sheet, self.curves, self.table]

    def show(self, frame: Frame) -> None:
        """Bring every view up to date that shows something else."""
        began, drawn = time.perf_counter(), dict(self._drawn)
        self.draw(frame)
        if self._drawn != drawn:
            self.seconds = time.perf_counter() - began

    def draw(self, frame: Frame) -> None:
        """Bring surfaces, pictures, curves and texts up to date."""
        seen, state = frame.seen, frame.state
        for name, mesh, view in (
            ("surface", frame.surface, self.surface),
            (TRUTH, frame.meshes.get(TRUTH), self.truth),
        ):
            self.once(name, mesh and (frame.run, mesh.name, mesh.number), self._show_mesh, name, mesh, view)
        files = tuple((name, picture.number) for name, picture in frame.pictures.items())
        self.once("pictures", (frame.run, files), self._show_pictures, frame.pictures)
        shown = frame.number if frame.meshes or frame.pictures else None
        key = (frame.run, seen.version, state.log, state.smoothing, shown)
        self.once("curves", key, self._show_curves, frame, shown)
        self.once("texts", (frame.run, seen.version), self._show_texts, seen)

    def once(self, name: str, key: Hashable, draw: Callable[..., None], *arguments: Any) -> None:
        """Call ``draw(*arguments)`` unless the part of that name shows what the key says already."""
        if name not in self._drawn or self._drawn[name] != key:
            draw(*arguments)
            self._drawn[name] = key

    def _show_mesh(self, name: str, mesh: MeshPreview | None, view: Any) -> None:
        show_if(self._left if name == "surface" else self._right, mesh is not None)
        if mesh is None:
            return
        self._meshes[name] = mesh
        view.update(mesh.vertices, mesh.faces, mesh.colors)
        if name == "surface":
            told = f"{mesh.name} after {mesh.number:,} steps" if len(mesh.faces) else f"{mesh.name}: empty"
            self._title.value = f"<b>{html.escape(told)}</b>"

    def _show_pictures(self, pictures: Mapping[str, Picture]) -> None:
        found = plots.sheet(pictures)
        show_if(self._sheet, found is not None)
        if found is not None:
            self.pictures.show(found)

    def _show_curves(self, frame: Frame, shown: int | None) -> None:
        seen, state = frame.seen, frame.state
        self.curves.value = plots.loss_curves(seen.curves, shown, state.smoothing, state.log, CURVES)

    def _show_texts(self, seen: Seen) -> None:
        self.table.value = plots.table(seen.newest, seen.best) if seen.newest else ""
        lines = [
            f'<div role="{"alert" if failed else "status"}" style="color:{"#b00020" if failed else "#8a5a00"}">'
            f"&#9888; step {number:,}: {html.escape(text)}</div>"
            for number, failed, text in reversed(seen.messages)
        ]
        self.messages.value = f'<div style="line-height:17px;max-height:85px;overflow:auto">{"".join(lines)}</div>'

    def close(self) -> None:
        """Close every widget."""
        self._linked.close()
        for view in (self.surface, self.truth, self.pictures):
            view.close()
        close_tree(self.widget, self._left, self._right, self._sheet)  # a subclass may leave out some of them

    def picture(self, name: str, orbit: Orbit) -> torch.Tensor | np.ndarray:
        """What is shown in place of a 3D view, of the "surface" or the "truth", where there is no WebGL."""
        mesh = self._meshes.get(name)
        if mesh is None or not len(mesh.faces):
            return np.full((self.side, self.side, 3), 255, np.uint8)
        return preview(Mesh(mesh.vertices, mesh.faces, colors=mesh.colors), orbit, (), self.side)
