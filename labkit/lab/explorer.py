"""The smoothness explorer: a mesh, a soft rasterizer, and everything that happens inside a pixel."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import ClassVar

import ipywidgets as W
import numpy as np
import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.files import write_bytes
from labkit.geometry import save_mesh
from labkit.lab import explorer_render as pictures
from labkit.lab import plots
from labkit.lab.explorer_controls import Controls
from labkit.lab.explorer_mesh import receive
from labkit.lab.explorer_state import OWN_FILE, ExplorerState
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.mesh_view import open_view
from labkit.lab.orbit import Orbit
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality

SIDE, SMALL = 288, 142  # CSS pixels of the large pictures and of the strip's
PLOTS = ((292, 215), (288, 215))  # width and height of the two plots
BUDGET = 0.045  # seconds for a coarse picture; with the page's share it stays below 120 ms
TOY = 0.35  # if no pixel is clicked, figure 7's face moves through two others that far behind and before it
UPLOADS, EXPORTS = Path("uploads"), Path("exports")


class SmoothnessExplorer(Panel):
    """Drag steepness and opacity and see a mesh go soft; click a pixel and see which faces make it.

    ``SmoothnessExplorer(mesh="chair", opacity=3.0)`` starts elsewhere; all fields are those of `ExplorerState`.
    Uploaded meshes go to ``uploads``, exported pictures and meshes to ``exports``, both beside the notebook.
    """

    State: ClassVar[type] = ExplorerState
    rest: ClassVar[float] = 0.4  # a sharp picture can take as long as four coarse ones, so it waits a little

    def build(self) -> W.Widget:
        """Make controls and views."""
        self._cache, self._pace = pictures.Cache(), pictures.Pace()
        self._drawn: tuple[int, bool] = (0, False)  # pixels a side of the newest picture, and whether it is reduced
        self._newest: pictures.Sharp | None = None
        self._in_view: object = None
        self.note = W.HTML("<i>compiling the kernel: once, some seconds, then it is kept on disk ...</i>")
        self.soft = self.own(ImageView(SIDE, SIDE))
        self.strip = {
            name: self.own(ImageView(SMALL, SMALL)) for name in ("soft minus hard", "alpha", "depth", "normal")
        }
        self.titles = {name: W.HTML() for name in self.strip}
        for view in (self.soft, *self.strip.values()):
            view.on_click = self.guard(self._clicked)
        self.soft.widget.add_class("labkit-soft")
        self.view = self.own(open_view(self._preview, SIDE, SIDE, pictures.FOV, self._orbit(self.record)))
        self.view.on_camera = self.guard(self._turned)
        self.curve, self.bars = (fixed_image(*size) for size in PLOTS)
        self.table = W.HTML()
        self.controls = Controls(self, self._upload, self.export_png, self.export_obj)
        self.adopted(self.record)
        return W.HBox([self.controls.widget, self._views()], layout=W.Layout(flex_flow="row wrap"))

    def _views(self) -> W.Widget:
        large = W.HBox(
            [
                W.VBox([_title("soft picture (click a pixel)"), self.soft.widget]),
                W.VBox([_title("the mesh in 3D (drag to turn both)"), self.view.widget]),
            ]
        )
        strip = W.HBox([W.VBox([self.titles[name], view.widget]) for name, view in self.strip.items()])
        plots_row = W.HBox(
            [
                W.VBox([_title("moving one face through the others"), self.curve]),
                W.VBox([_title("faces that make the clicked pixel"), self.bars]),
            ]
        )
        column = [self.note, large, strip, plots_row, self.table]
        return W.VBox(column, layout=W.Layout(width="594px", margin="0 0 0 6px"))

    def adopted(self, state: ExplorerState) -> None:
        """Let controls and 3D view follow; no torch here."""
        self.controls.follow(state)
        self.view.set_camera(self._orbit(state))

    def caption(self) -> str:
        """Pixels of the newest picture and what made it."""
        side, reduced = self._drawn
        threads = torch.get_num_threads()
        return f"{side} x {side} pixels{' (reduced)' if reduced else ''}, CPU kernel, {threads} threads"

    # ---- on the worker ---------------------------------------------------------------------------------------------

    def render(self, state: ExplorerState, quality: Quality) -> Tensor | pictures.Sharp:
        """The soft picture alone while dragging, everything at rest."""
        if quality == "coarse":
            picture, side = pictures.coarse(state, self._cache, self._pace, BUDGET)
            self._drawn = (side, side < state.size)
            return picture
        found = pictures.sharp(state, self._cache, None if self.headless else self._pace)
        self._drawn = (found.size, found.size < state.size)
        return found

    def show(self, result: Tensor | pictures.Sharp, quality: Quality) -> None:
        """Hand pictures, plots and table to the page."""
        if not isinstance(result, pictures.Sharp):
            self.soft.show(result, "coarse")
            return
        self._newest = result
        state = result.state
        self.soft.marked = state.picked(result.size)
        self.soft.show(result.picture)
        self._show_strip(result)
        if self._in_view is not result.subject:
            mesh = result.subject.mesh
            self.view.update(mesh.vertices, mesh.faces, mesh.colors)
            self._in_view = result.subject
        self.view.highlight(list(result.lit))
        self._show_pixel(result)
        self.note.value = (
            f"<i>{state.size} x {state.size} would take longer than the patience of {state.patience:.3g} s: "
            f"shown with {result.size} x {result.size} pixels.</i>"
            if result.size < state.size
            else ""
        )

    def _show_strip(self, found: pictures.Sharp) -> None:
        difference, limit = pictures.difference_image(found)
        depth, near, far = pictures.depth_image(found)
        shown: dict[str, tuple[Tensor | np.ndarray, str]] = {
            "soft minus hard": (difference, f"blue &minus;{limit:.2f}, red +{limit:.2f}"),
            "alpha": (found.alpha, "black 0, white 1"),
            "depth": (depth, f"yellow {near:.2f}, blue {far:.2f}"),
            "normal": (pictures.normal_image(found), "red x, green y, blue z"),
        }
        for name, (picture, scale) in shown.items():
            self.strip[name].show(picture)
            self.titles[name].value = f'<b>{name}</b><div style="{SCALE_STYLE}">{scale}</div>'

    def _show_pixel(self, found: pictures.Sharp) -> None:
        state = found.state
        depths, coverages, moved = [state.distance + shift for shift in (-TOY, TOY, 0.0)], [1.0] * 3, 2
        if found.found:
            depths, coverages, moved = [one.depth for one in found.found], [one.coverage for one in found.found], 0
        self.curve.value = plots.depth_curve(depths, coverages, state.opacity, moved, size=PLOTS[0])
        self.table.value = pixel_table(found)
        self.bars.value = plots.bar_chart(found.lit, found.found, PLOTS[1])

    def _preview(self, orbit: Orbit) -> Tensor:
        """What is shown in place of the 3D view where there is no WebGL."""
        if self._newest is None:
            return torch.ones(3, SIDE, SIDE)
        return pictures.preview(self._newest.subject.mesh, orbit, self._newest.lit, SIDE)

    # ---- callbacks -------------------------------------------------------------------------------------------------

    def _clicked(self, row: int, column: int) -> None:
        size = self._newest.size if self._newest else self.record.size
        self.set(pick=((row + 0.5) / size, (column + 0.5) / size))

    def _turned(self, orbit: Orbit) -> None:
        def fit(value: float, field: str) -> float:
            rules = ExplorerState.__dataclass_fields__[field].metadata
            return min(rules["high"], max(rules["low"], round(value, 3)))

        self.set(
            azimuth=fit(orbit.azimuth, "azimuth"),
            elevation=fit(orbit.elevation, "elevation"),
            distance=fit(orbit.distance, "distance"),
        )
        self.view.set_camera(self._orbit(self.record))  # panning would part the two views

    @staticmethod
    def _orbit(state: ExplorerState) -> Orbit:
        return Orbit.around(state.azimuth, state.elevation, state.distance)

    def _upload(self, files: list[tuple[str, bytes]]) -> None:
        self.set(mesh=OWN_FILE, path=os.fspath(receive(files, UPLOADS)))

    def export_png(self) -> Path:
        """Write the sharp picture into ``exports``; returns where."""
        self.flush()
        data = self.soft.png()
        if data is None:
            raise DomainError("picture", "none yet", "a picture that is finished")
        path = self._free("png")
        write_bytes(path, data)
        return self._exported(path)

    def export_obj(self) -> Path:
        """Write the mesh, in its own units, into ``exports`` as OBJ; returns where."""
        self.flush()
        if self._newest is None:
            raise DomainError("mesh", "none yet", "a mesh that is shown")
        path = self._free("obj")
        save_mesh(self._newest.subject.original, path)
        return self._exported(path)

    def _free(self, suffix: str) -> Path:
        """A path that is not taken yet, such as exports/torus-1.png."""
        EXPORTS.mkdir(exist_ok=True)
        name = self._newest.subject.name if self._newest else "picture"
        return next(p for n in range(1, 1_000_000) if not (p := EXPORTS / f"{name}-{n}.{suffix}").exists())

    def _exported(self, path: Path) -> Path:
        self.controls.exported.value = f"written: <code>{html.escape(os.fspath(path.resolve()))}</code>"
        return path

    def png(self) -> bytes | None:
        """The soft picture, kept in the notebook for readers without a kernel."""
        return self.soft.png()


SCALE_STYLE = "font-size:11px;line-height:14px;color:#555"


def _title(text: str) -> W.HTML:
    return W.HTML(f"<b>{text}</b>")


def pixel_table(found: pictures.Sharp) -> str:
    """HTML: one row for each face that contributes to the picked pixel."""
    pixel = found.state.picked(found.size)
    if pixel is None:
        return "Click a pixel of any picture to see which faces make it."
    row, column = pixel
    share = sum(one.weight for one in found.found)
    head = (
        f"row {row}, column {column}: &alpha; = {found.pixel_alpha:.3f}; {len(found.found)} of "
        f"{len(found.subject.mesh.faces):,} faces have {share:.1%} of the weight"
    )
    cell = '<td style="padding:0 8px 0 0;text-align:right">'
    rows = "".join(
        f"<tr>{cell}{number}</td>{cell}{one.coverage:.3g}</td>{cell}{one.depth:.3f}</td>{cell}{one.weight:.3g}</td>"
        f'<td><span style="display:inline-block;width:36px;height:12px;border:1px solid #888;'
        f'background:{_hex(one.attribute)}"></span></td></tr>'
        for number, one in zip(found.lit, found.found, strict=True)
    )
    names = "".join(f"<th style='padding-right:8px'>{n}</th>" for n in ("face", "V", "depth z", "weight Z", "colour"))
    return f'{head}<table class="labkit-faces" style="line-height:16px;font-size:12px"><tr>{names}</tr>{rows}</table>'


def _hex(color: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, part))):02x}" for part in color[:3])
