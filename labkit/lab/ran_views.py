"""What a training of RAN shows: its data paths with their pictures, the shape from two sides, each sub-RAN's losses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial

import ipywidgets as W
import numpy as np

from labkit.data.view_sets import perspective
from labkit.events import Picture
from labkit.geometry import Mesh
from labkit.lab import ran_plots as plots
from labkit.lab.controls import show_if, titled
from labkit.lab.explorer_render import preview
from labkit.lab.image_view import to_bytes
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit
from labkit.lab.ran_diagram import TILE, TILES, WIDTH, diagram
from labkit.lab.training_history import TRUTH, Seen
from labkit.lab.training_views import Frame, TrainingViews
from labkit.train.ran_config import RAN

GAP = 2  # pixels between the views of a preview
ALL = "all"  # of the losses
BACK = Orbit.around(140.0, 25.0, 2.3)  # where no camera of the paper's stands
NEAR = Orbit.around(140.0, 25.0, 1.6)  # the same for `preview`, whose angle is wider


class RanViews(TrainingViews):
    """The views of a RAN training panel; a `Frame` of it has a state with ``loss``, see `diagram`.

    Attributes:
        above: a place for controls of the diagram.
        paths: the diagram, HTML.
        seen_side: the prediction from where the first picture of its set was taken.
    """

    width = WIDTH + 4
    side = 230
    fov = 30.0  # as `perspective` has it
    eye = BACK

    def parts(self) -> list[W.Widget]:
        """Diagram, shapes, curves, figures."""
        self.above, self.paths = W.HBox(), W.HTML()
        self.paths.add_class("labkit-ran-paths")
        self.paths.layout.min_height = "480px"
        self.seen_side = open_view(partial(self.picture, "surface"), self.side, self.side, self.fov, first_camera(0.0))
        self.seen_side.widget.add_class("labkit-ran-seen-side")
        self._seen_side = titled("as the first camera sees it", self.seen_side.widget)
        show_if(self._seen_side, False)
        shapes = W.HBox([self._seen_side, self._left, self._right])
        self.curves.layout.width, self.curves.layout.min_width = (f"{plots.CURVES[0]}px",) * 2
        self.curves.layout.height = f"{plots.CURVES[1]}px"
        return [self.messages, self.above, self.paths, shapes, self.curves, self.table]

    def draw(self, frame: Frame) -> None:
        """Bring everything up to date."""
        super().draw(frame)
        files: Hashable = tuple((name, picture.number) for name, picture in frame.pictures.items())
        surface = frame.surface
        mesh = surface and (frame.run, surface.name, surface.number)
        self.once("paths", (frame.run, files, mesh, shown_loss(frame)), self._show_paths, frame)
        if isinstance(frame.config, RAN):
            elevation = frame.config.data.elevation
            self.once("camera", (frame.run, elevation), self.seen_side.set_camera, first_camera(elevation))
        if surface is not None:
            self.once("seen side", mesh, self.seen_side.update, surface.vertices, surface.faces, surface.colors)
        show_if(self._seen_side, surface is not None)

    def _show_pictures(self, pictures: Mapping[str, Picture]) -> None:
        """They stand in the diagram."""

    def _show_curves(self, frame: Frame, shown: int | None) -> None:
        state = frame.state
        self.curves.value = plots.loss_curves(frame.seen.curves, shown, state.smoothing, state.log)

    def _show_texts(self, seen: Seen) -> None:
        super()._show_texts(seen)
        self.table.value = plots.tables(seen.newest, seen.best) if seen.newest else ""

    def _show_paths(self, frame: Frame) -> None:
        found = {name: two_by_two(to_bytes(one.image)) for name, one in frame.pictures.items() if name in TILES}
        if "a" not in found and f"{TRUTH} a" in frame.pictures:  # before the first step
            found["a"] = two_by_two(to_bytes(frame.pictures[f"{TRUTH} a"].image))
        if frame.surface is not None:
            mesh = Mesh(frame.surface.vertices, frame.surface.faces)
            found["prediction"] = to_bytes(preview(mesh, NEAR, (), 2 * TILE))
        self.paths.value = diagram(found, shown_loss(frame))

    def close(self) -> None:
        """Close every widget."""
        super().close()
        self.seen_side.close()


def shown_loss(frame: Frame) -> str | None:
    """The loss whose part of the diagram is marked; None for all of them."""
    if isinstance(frame.config, RAN) and frame.config.mode == "direct":
        return "direct"
    chosen = getattr(frame.state, "loss", ALL)
    return None if chosen == ALL else chosen


def first_camera(elevation: float) -> Orbit:
    """Where the first picture of a set was taken."""
    x, y, z = perspective(0.0, elevation).eye.flatten().tolist()
    return Orbit((x, y, z))


def two_by_two(strip: np.ndarray) -> np.ndarray:
    """A preview's views, squares side by side (H, W, 3), as two rows if they are four; others stay as they are."""
    side = strip.shape[0]
    if strip.shape[1] != 4 * side + 3 * GAP:
        return strip
    wide = 2 * side + GAP
    between = np.full((GAP, wide, 3), 255, np.uint8)
    return np.concatenate([strip[:, :wide], between, strip[:, -wide:]])
