"""The BRDF laboratory: a material and four kinds of light on sliders, its lobe, its picture, and the derivatives."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as W
import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.lab import brdf_plots as plots
from labkit.lab import controls
from labkit.lab.brdf_controls import MeshChoice, Strip, parameter_sliders, preset_buttons, signed
from labkit.lab.brdf_lobe_view import LobeView
from labkit.lab.brdf_model import MATERIALS, PARAMETERS, Lobe, lobe, parameters_of, slice_of
from labkit.lab.brdf_scene import Seen, lamps_of, look
from labkit.lab.brdf_state import HARMONICS, LIGHTS, PRESETS, BrdfState
from labkit.lab.explorer_mesh import Subject, subject
from labkit.lab.explorer_render import Cache
from labkit.lab.explorer_state import OWN_FILE, SIZES
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.orbit import Orbit
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality

SIDE, SMALL = 288, 141  # CSS pixels of the large pictures and of the derivatives
POLAR = (330, 200)  # width and height of the polar plot
COARSE = 192  # pixels a side while a slider moves
TURN = 0.5  # degrees a CSS pixel of dragging


@dataclass(frozen=True, eq=False)
class Shown:
    """What is seen of one state.

    Attributes:
        picture: (3, N, N) in the light of the state; may exceed 1.
        lobe: of the material, for a white surface.
        derivatives: (N, N) by parameter, of the mean of the channels; none while a slider moves.
    """

    state: BrdfState
    picture: Tensor
    lobe: Lobe
    derivatives: dict[str, Tensor]


class BrdfLab(Panel):
    """Turn every knob of a material and its lights; see where the light goes and what each number changes.

    ``BrdfLab(material="Cook-Torrance", mesh="chair")`` starts elsewhere; all fields are those of `BrdfState`. Uploaded
    meshes go to ``uploads``, exports to ``exports``, both beside the notebook.
    """

    State: ClassVar[type] = BrdfState

    def build(self) -> W.Widget:
        """Make controls and views."""
        self._cache = Cache()
        self.view = self.own(ImageView(SIDE, SIDE))
        self.view.widget.add_class("labkit-lit")
        self.view.on_drag = self.guard(self._dragged)
        self.lobe = self.own(LobeView(SIDE, SIDE))
        self.lobe_title, self.energy, self.exported = W.HTML(), W.HTML(), W.HTML()
        self.strip = Strip(self.own, 4, SMALL)
        self.polar = fixed_image(*POLAR)
        self.polar.add_class("labkit-polar")
        column = self._controls()
        large = W.HBox(
            [
                controls.titled("picture (drag to turn)", self.view.widget),
                W.VBox([self.lobe_title, self.lobe.widget]),
            ]
        )
        strip_title = W.HTML("<b>derivative of the picture by each number of the material</b>")
        below = W.HBox([controls.titled("the same lobe in the plane of incidence", self.polar), self.energy])
        views = W.VBox(
            [large, strip_title, self.strip.widget, below], layout=W.Layout(width="600px", margin="0 0 0 6px")
        )
        self.adopted(self.record)
        return W.HBox([column, views], layout=W.Layout(flex_flow="row wrap"))

    def _controls(self) -> W.Widget:
        make = controls.Controls(self)
        self.mesh = MeshChoice(self, make)
        self.numbers = parameter_sliders(make)
        self.lights = {light: self._light_controls(make, light) for light in LIGHTS}
        camera = [
            make.slider("azimuth", "azimuth (°)", 1),
            make.slider("elevation", "elevation (°)", 1),
            make.slider("distance", "distance"),
            make.menu("size", "pixels a side", [size for size in SIZES if size <= 512]),
            self._color("background", "background"),
            make.button("Export PNG", "Write the picture into exports", self.export_png),
            self.exported,
        ]
        folded = W.Accordion([W.VBox(camera)], titles=("Camera and picture",))
        return controls.column(
            controls.heading("Mesh and material"),
            self.mesh.widget,
            make.menu("material", "material", MATERIALS),
            *self.numbers.values(),
            preset_buttons(self, make, PRESETS),
            controls.heading("Lights: all shine, one is on the sliders"),
            make.menu("light", "light", [("spherical harmonics" if x == "harmonics" else x, x) for x in LIGHTS]),
            *self.lights.values(),
            controls.heading("Lobe"),
            make.slider("incidence", "light from (° off normal)", 1, "Angle between the normal and the light"),
            make.switch("rooted", "cube root of the radius", "Keeps weak parts visible beside a strong highlight"),
            folded,
        )

    def _light_controls(self, make: controls.Controls, light: str) -> W.Widget:
        parts = [make.slider(light, "strength (0: off)", tip="1: a white Lambert surface that faces it is white")]
        if light in ("directional", "point"):
            parts += [make.slider(f"{light}_{angle}", f"{angle} (°)", 1) for angle in ("azimuth", "elevation")]
        if light == "point":
            parts.append(make.slider("point_distance", "distance"))
        if light == "harmonics":
            functions = ("1", "y", "z", "x", "xy", "yz", "3z² - 1", "xz", "x² - y²")
            parts += [
                make.slider(name, f"c{n} of {f}") for n, (name, f) in enumerate(zip(HARMONICS, functions, strict=True))
            ]
        else:
            parts.append(self._color(f"{light}_color", "colour"))
        return W.VBox(parts)

    def _color(self, field: str, text: str) -> Any:
        made = W.ColorPicker(description=text)
        controls.dress(made, field)
        return self.bind(made, field)

    def adopted(self, state: BrdfState) -> None:
        """Show what belongs to the state; no torch here."""
        self.mesh.follow(state.mesh)
        for name, slider in self.numbers.items():
            controls.show_if(slider, name in parameters_of(state.material))
        for light, box in self.lights.items():
            controls.show_if(box, light == state.light)

    def caption(self) -> str:
        """Size of the picture, threads, memory."""
        return f"{self.record.size} x {self.record.size} pixels, {controls.device()}"

    # ---- on the worker ---------------------------------------------------------------------------------------------

    def _seen(self, state: BrdfState, quality: Quality) -> Seen:
        """What the pixels see; kept until mesh, camera or size change."""
        name = (state.mesh, state.path if state.mesh == OWN_FILE else "")
        size = state.size if quality == "fine" else min(COARSE, state.size)
        place = (state.azimuth, state.elevation, state.distance)
        found: Subject = self._cache.get("mesh", name, lambda: subject(*name))
        return self._cache.get(quality, (name, place, size), lambda: look(found.mesh, Orbit.around(*place), size))

    def render(self, state: BrdfState, quality: Quality) -> Shown:
        """Picture and lobe; at rest the derivatives as well."""
        seen, lamps = self._seen(state, quality), lamps_of(state)

        with torch.no_grad():
            picture = seen.picture(seen.light(state.material, state.values, lamps), state.rgb("background"))
            found = lobe(state.material, state.values, state.incidence)
        derivatives = {}
        if quality == "fine":
            for name in parameters_of(state.material):
                slope = seen.derivative(state.material, state.values, lamps, name)
                derivatives[name] = seen.picture(slope)[0]
        return Shown(state, picture, found, derivatives)

    def show(self, result: Shown, quality: Quality) -> None:
        """Hand pictures and plots to the page."""
        state = result.state
        self.view.show(result.picture, quality)
        top = float(result.lobe.fraction.max())
        scale = max(1.0, top)
        self.lobe.show(result.lobe, state.incidence, scale, state.rooted)
        self.lobe_title.value = f"<b>lobe</b>, white surface (disc: radius {scale:.3g})"
        if quality == "coarse":
            return
        shown = {f"by {PARAMETERS[name].label}": signed(slope) for name, slope in result.derivatives.items()}
        self.strip.show(shown)
        lines = {state.material: slice_of(state.material, state.values, state.incidence)}
        self.polar.value = plots.polar(lines, state.incidence, POLAR, state.rooted)
        self.energy.value = energy_text(result.lobe, top)

    def png(self) -> bytes | None:
        """The picture, kept in the notebook for readers without a kernel."""
        return self.view.png()

    # ---- callbacks -------------------------------------------------------------------------------------------------

    def _dragged(self, dx: float, dy: float) -> None:
        state = self.record
        turned = Orbit.around(state.azimuth, state.elevation, state.distance).turned(-TURN * dx, TURN * dy)
        self.set(azimuth=round(turned.azimuth, 2), elevation=round(turned.elevation, 2))

    def export_png(self) -> Path:
        """Write the picture into ``exports``; returns where."""
        self.flush()
        data = self.view.png()
        if data is None:
            raise DomainError("picture", "none yet", "a picture that is finished")
        path = controls.export(f"brdf-{self.record.material}", data)
        self.exported.value = f"written: <code>{html.escape(os.fspath(path.resolve()))}</code>"
        return path


def energy_text(found: Lobe, top: float) -> str:
    """HTML: how much of the light leaves again, and how strong the strongest direction is."""
    more = found.reflected > 1.005
    verdict = "<b>more than came in: impossible</b>" if more else "at most what came in: possible"
    return (
        '<div class="labkit-energy" style="width:220px;line-height:18px;margin:24px 0 0 8px">of the light from this '
        f"angle, <b>{100 * found.reflected:.0f}&nbsp;%</b> leaves again (white surface): "
        f'<span style="color:{plots.HARD if more else "#333"}">{verdict}</span>.<br>'
        f"Strongest direction: {top:.3g}, where a white Lambert surface that faces the light has 1.</div>"
    )
