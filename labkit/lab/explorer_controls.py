"""The explorer's controls, each bound to its field of the state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as W

from labkit.lab.controls import heading, mesh_upload, show_if
from labkit.lab.explorer_mesh import SHAPES
from labkit.lab.explorer_state import MATERIALS, OWN_FILE, PRESETS, SIZES, ExplorerState
from labkit.lab.panel import Panel

WIDTH = "360px"
EDGE_STYLE = 'class="labkit-edge" style="padding-left:149px;white-space:nowrap;line-height:18px"'
SHOWN_WITH = {
    "specular": ("Phong", "Blinn-Phong"),
    "shininess": ("Phong", "Blinn-Phong"),
    "roughness": ("Cook-Torrance",),
    "metallic": ("Cook-Torrance",),
    "reflectance": ("Cook-Torrance",),
}
Action = Callable[[], Any]


class Controls:
    """All controls of the explorer, in one column.

    Args:
        panel: whose state they are bound to.
        upload: called as ``upload(files)`` with (name, content) pairs.
        export_png, export_obj: called by the two export buttons.

    Attributes:
        widget: the column.
        edge: where the edge width is told.
        exported: where the export says what it has written.
    """

    def __init__(self, panel: Panel, upload: Callable[[Any], None], export_png: Action, export_obj: Action) -> None:
        self._panel = panel
        self.edge, self.exported = W.HTML(), W.HTML()
        self._own = W.VBox([self._path(), mesh_upload(panel, upload, 195, 149)])
        self._smooth = W.VBox(
            [
                self._slider("steepness", "steepness s (1/NDC)", 0.5, 3.5, log=True, tip="Higher: sharper edges"),
                self.edge,
                self._slider("opacity", "opacity o (1/depth)", -1, 3, log=True, tip="Higher: near faces hide far ones"),
                self._slider(
                    "sliver_fade", "sliver fade r", 0, 0.5, 0.01, "Fades needle-shaped faces; 0 is the paper's formula"
                ),
                self._presets(),
            ]
        )
        self._looks = {
            "specular": self._slider("specular", "specular", 0, 1),
            "shininess": self._slider("shininess", "shininess", 0, 3, log=True),
            "roughness": self._slider("roughness", "roughness", 0.05, 1),
            "metallic": self._slider("metallic", "metallic", 0, 1),
            "reflectance": self._slider("reflectance", "reflectance", 0, 1),
        }
        buttons = [("PNG", export_png, "Write the picture"), ("OBJ", export_obj, "Write the mesh")]
        export = W.HBox([W.HTML("export"), *(self._button(text, action, tip) for text, action, tip in buttons)])
        self.widget = W.VBox(
            [
                heading("Mesh"),
                self._menu("mesh", "shape", [*SHAPES, OWN_FILE]),
                self._own,
                heading("Rasterizer"),
                self._menu("rasterizer", "rasterizer", ["AlgoNet", "Hard"]),
                self._smooth,
                heading("Material and light"),
                self._menu("material", "material", MATERIALS),
                *self._looks.values(),
                self._slider("light_azimuth", "light azimuth (°)", -180, 180, 1),
                self._slider("light_elevation", "light elevation (°)", -90, 90, 1),
                heading("Camera (or drag the 3D view)"),
                self._slider("azimuth", "azimuth (°)", -180, 180, 0.1),
                self._slider("elevation", "elevation (°)", -89, 89, 0.1),
                self._slider("distance", "distance", 1.2, 10, 0.01),
                heading("Picture"),
                self._menu("size", "pixels a side", SIZES),
                self._bind(W.ColorPicker(description="background"), "background"),
                self._slider("patience", "patience (s)", 0.5, 60, 0.5, "Longest wait for the sharp picture"),
                export,
                self.exported,
            ],
            layout=W.Layout(width=WIDTH, min_width=WIDTH),
        )

    def follow(self, state: ExplorerState) -> None:
        """Show what belongs to the state: its file field, its material's sliders, its edge width in pixels."""
        show_if(self._own, state.mesh == OWN_FILE)
        show_if(self._smooth, state.rasterizer == "AlgoNet")
        for name, slider in self._looks.items():
            show_if(slider, state.material in SHOWN_WITH[name])
        self.edge.value = f"<div {EDGE_STYLE}>edge 2/s = <b>{state.edge_px:.3g} px</b> of {state.size}</div>"

    def _bind(self, widget: Any, field: str) -> Any:
        widget.style.description_width = "145px"
        widget.layout.width = "350px"
        widget.add_class(f"labkit-{field}")
        return self._panel.bind(widget, field)

    def _slider(
        self, field: str, text: str, low: float, high: float, step: float = 0.01, tip: str = "", *, log: bool = False
    ) -> Any:
        kind = W.FloatLogSlider if log else W.FloatSlider
        shape = ".3g" if log else ".0f" if step >= 1 else ".2f"
        made = kind(min=low, max=high, value=10**low if log else low, step=step, description=text, tooltip=tip)
        made.readout_format = shape
        return self._bind(made, field)

    def _menu(self, field: str, text: str, options: Any) -> Any:
        return self._bind(W.Dropdown(options=options, description=text), field)

    def _path(self) -> Any:
        hint = "path of an OBJ, PLY, OFF, STL or GLB"
        return self._bind(W.Text(placeholder=hint, description="file", continuous_update=False), "path")

    def _presets(self) -> Any:
        buttons = [
            self._button(name, partial(self._panel.set, **values), "AlgoNet, figure 9", "168px")
            for name, values in PRESETS.items()
        ]
        return W.VBox([W.HTML("presets: the corners of AlgoNet's figure 9"), W.HBox(buttons[:2]), W.HBox(buttons[2:])])

    def _button(self, text: str, action: Action, tip: str, width: str = "auto") -> Any:
        made = W.Button(description=text, tooltip=tip, layout=W.Layout(width=width))
        made.on_click(self._panel.guard(lambda _: action()))
        return made
