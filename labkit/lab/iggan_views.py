"""What an IG-GAN training shows: its shapes and pictures, one shape in detail, what D says, and figures by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import ipywidgets as W

from labkit.events import MeshPreview, Picture
from labkit.lab import iggan_plots as plots
from labkit.lab.controls import show_if, titled
from labkit.lab.hosts import headless
from labkit.lab.iggan_figures import Figures, comparable
from labkit.lab.iggan_probe import IGGANState, Probe
from labkit.lab.iggan_shape_view import Asked, ShapeView
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.mesh_view import MeshView, open_view
from labkit.lab.orbit import Orbit
from labkit.lab.picture_view import PictureView
from labkit.lab.scheduler import NewestWins
from labkit.lab.training_views import LINKED, Frame, TrainingViews
from labkit.train.iggan_config import IGGAN

SHAPES = 4
SHEETS = {  # side by side: of each place the names that pictures have, and what is written above
    "left": {"off-the-shelf": "off the shelf, shown to D"},
    "middle": {
        "neural": "neural, has a gradient",
        "own renderer": "by the method's renderer",
        "generated": "generated pictures",
    },
    "right": {"data": "data"},
}
TABS = ("shapes and pictures", "one shape: z and t", "what D says", "figures by step")
NO_SHAPES = "This method generates pictures, no shapes."
NO_CHECKPOINT = "There is nothing to ask yet: wait for the first checkpoint, or press <i>Save now</i>."
NO_MATCH = "A baseline has no neural renderer: nothing is to be matched."
MATCH = "Each dot is a shape. <i>Discriminator output matching</i> pulls the dots to the line. Checkpoint of step "


class IGGANViews(TrainingViews):
    """The views of an IG-GAN training panel; a `Frame` of it has an `IGGANState`.

    Attributes:
        shapes: 3D views of generated shapes; before the first, of what the data are made of.
        sheets: pictures of the same shapes, see `SHEETS`.
        one: one shape of the newest checkpoint.
        match, measured: plots of `labkit.lab.iggan_plots`.
    """

    side = 147
    fov = 30.0
    eye = Orbit.around(30.0, 35.0, 2.6)

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self.probe = Probe()
        self.one = ShapeView(self.probe, fail)
        self._measuring: NewestWins[tuple[Path, int, IGGAN], tuple[bytes | None, bytes, str]] = NewestWins(
            lambda asked, quality: self._measure(*asked),
            lambda found, quality: self._show_measures(*found),
            fail,
            rest=0.0,
            synchronous=headless(),
        )
        self._turning: NewestWins[Orbit, None] = NewestWins(
            lambda orbit, quality: self._turn(orbit),
            lambda nothing, quality: None,
            fail,
            rest=0.0,
            max_fps=LINKED,
            synchronous=headless(),
        )
        super().__init__(fail)

    def parts(self) -> list[W.Widget]:
        """Messages, and a tab for each question."""
        self.shapes: list[MeshView | PictureView] = [
            self.surface,
            *(
                open_view(partial(self.picture, f"shape {place}"), self.side, self.side, self.fov, self.eye)
                for place in range(1, SHAPES)
            ),
        ]
        for view in self.shapes:
            view.on_camera = self._turning.submit
        self._row = W.VBox([self._title, W.HBox([view.widget for view in self.shapes])])
        self.sheets = {place: ImageView(190, 190) for place in SHEETS}
        self._heads = {place: W.HTML() for place in SHEETS}
        self._places = {place: titled(self._heads[place], sheet.widget) for place, sheet in self.sheets.items()}
        for place, sheet in self.sheets.items():
            sheet.widget.add_class(f"labkit-sheet-{place}")
        for part in (self._row, *self._places.values()):
            show_if(part, False)
        now = W.VBox([self._row, W.HBox(list(self._places.values())), self.curves])
        self.match, self.measured = fixed_image(*plots.MATCH), fixed_image(*plots.MEASURED)
        self.match.add_class("labkit-match")
        self.measured.add_class("labkit-measured")
        self._match_told = W.HTML()
        says = W.VBox([self._match_told, self.match])
        note = W.HTML("Thin lines: the newest run of each other method in the same folder, with equal data.")
        self.tabs = W.Tab([now, self.one.widget, says, W.VBox([self.measured, note, self.table])], titles=TABS)
        self.curves.layout.width = self.curves.layout.min_width = f"{plots.MEASURED[0]}px"
        self.tabs.add_class("labkit-iggan")
        return [self.messages, self.tabs]

    def draw(self, frame: Frame) -> None:
        """Bring everything up to date."""
        super().draw(frame)
        for place, view in enumerate(self.shapes[1:], 1):
            mesh = frame.meshes.get(f"shape {place}", frame.meshes.get(f"truth {place}"))
            key = mesh and (frame.run, mesh.name, mesh.number)
            self.once(f"shape {place}", key, self._show_shape, view, place, mesh)
        config, number, state = frame.config, frame.seen.checkpoint, frame.state
        if not isinstance(config, IGGAN) or not isinstance(state, IGGANState) or number is None:
            self.once("one", NO_CHECKPOINT, self.one.forget, NO_CHECKPOINT)
            self.once("measured", None, self._show_measures, None, b"", NO_CHECKPOINT)
            return
        run = Path(frame.run)
        if config.method == "dcgan":
            self.once("one", NO_SHAPES, self.one.forget, NO_SHAPES)
        else:
            name = "neural" if config.method == "iggan" else config.method
            asked = Asked(run, number, state, name)
            wishes = state.first, state.second, state.walk, state.threshold, state.azimuth, state.elevation
            self.once("one", (run, number, wishes), self.one.ask, asked)
        self.once("measured", (run, number), self._measuring.submit, (run, number, config))

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until everything is shown."""
        self.one.flush(timeout)
        self._measuring.flush(timeout)

    def close(self) -> None:
        """Close every widget, then the renderer."""
        for worker in (self._measuring, self._turning):
            worker.close()
        self.one.close()
        super().close()
        for view in (*self.shapes[1:], *self.sheets.values()):
            view.close()
        self.probe.close()

    def _show_mesh(self, name: str, mesh: MeshPreview | None, view: MeshView | PictureView) -> None:
        """The surface of other trainings is the first of the shapes."""
        super()._show_mesh(name, mesh, view)
        if name == "surface":
            show_if(self._row, mesh is not None)
            made = mesh is not None and mesh.name.startswith("shape")
            told = (
                f"generated after {mesh.number:,} steps, x<sub>c</sub> &gt; 1/2"
                if made and mesh
                else "what the data show"
            )
            self._title.value = f"<b>{told}</b> &middot; drag to turn"

    def _show_shape(self, view: MeshView | PictureView, place: int, mesh: MeshPreview | None) -> None:
        if mesh is not None:
            self._meshes[f"shape {place}"] = mesh
            view.update(mesh.vertices, mesh.faces)

    def _show_pictures(self, pictures: Mapping[str, Picture]) -> None:
        for place, heads in SHEETS.items():
            name = next((name for name in heads if name in pictures), None)
            show_if(self._places[place], name is not None)
            if name is not None:
                self.sheets[place].show(pictures[name].image)
                self._heads[place].value = f"<b>{heads[name]}</b>"

    def _turn(self, orbit: Orbit) -> None:
        for view in self.shapes:
            view.set_camera(orbit)

    def _measure(self, run: Path, number: int, config: IGGAN) -> tuple[bytes | None, bytes, str]:
        curves = plots.measured(Figures.of(run, config), comparable(run, config))
        if config.method != "iggan":
            return None, curves, NO_MATCH
        return plots.match(*self.probe.matched(run, number)), curves, f"{MATCH}{number:,}."

    def _show_measures(self, match: bytes | None, measured: bytes, told: str) -> None:
        show_if(self.match, match is not None)
        show_if(self.measured, bool(measured))
        self.match.value, self.measured.value = match or self.match.value, measured or self.measured.value
        self._match_told.value = told
