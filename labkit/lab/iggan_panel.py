"""An IG-GAN training live: shapes, both renderers, D's opinion of them, thresholds, latents, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import ipywidgets as W

from labkit.errors import DomainError
from labkit.lab import controls
from labkit.lab.iggan_probe import IGGANState
from labkit.lab.iggan_views import IGGANViews
from labkit.lab.orbit import Orbit
from labkit.lab.panel import Panel
from labkit.lab.training_dials import Words
from labkit.lab.training_panel import TrainingPanel
from labkit.train import iggan

WORDS: Words = {"dom": ("DOM, weight λ", "How much the neural renderer cares that D says the same of both pictures")}
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "IG-GAN": "",
        "without DOM": "neural.dom = 0",
        "fixed renderer": "neural.training = fixed",
        "visual hull": "method = visual-hull",
        "absorption only": "method = absorption-only",
        "2D-DCGAN": "method = dcgan",
    }
)
"""Lines for the field *change fields* of a training panel."""


class IGGANPanel(TrainingPanel):
    """A `TrainingPanel` of `labkit.train.iggan` whose newest checkpoint can be asked by sliders.

    Args:
        name: as for `Panel`.
        **options: ``runs``, ``run`` and fields of `IGGANState`, as for `TrainingPanel`.
    """

    State: ClassVar[type] = IGGANState
    Views = IGGANViews
    words = WORDS
    views: IGGANViews

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(iggan, name, **options)

    def options(self) -> list[W.Widget]:
        """The sliders stand above the shape that they change."""
        made = controls.Controls(self)
        left = [
            made.slider("walk", "from z to z′", 0.01, "The latent between the two; the shape should change smoothly"),
            made.slider("threshold", "threshold t", 0.01, "A voxel is solid where x exceeds t"),
        ]
        right = [
            made.slider("azimuth", "azimuth (°)", 1.0, "Of the camera; the 3D view turns along, and can be dragged"),
            made.slider("elevation", "elevation (°)", 1.0, "Of the camera"),
        ]
        for field, text in (("first", "number of z"), ("second", "number of z′")):
            number = W.BoundedIntText(min=0, max=9999, description=text, tooltip="Any number draws another latent")
            number.add_class(f"labkit-{field}")
            (left if field == "first" else right).append(self.bind(number, field))
        for control in (*left, *right):
            control.style.description_width, control.layout.width = "95px", "285px"
        one = self.views.one
        one.sliders.children = (W.HBox([W.VBox(left), W.VBox(right)]),)
        one.solid.on_camera = self.guard(self._dragged)
        return []

    def adopted(self, state: IGGANState) -> None:
        """The 3D view looks from the camera."""
        solid = self.views.one.solid
        solid.set_camera(Orbit.around(state.azimuth, state.elevation, solid.orbit.distance))

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the newest state and checkpoint are shown."""
        super().flush(timeout)
        self.views.flush(timeout)

    def _dragged(self, orbit: Orbit) -> None:
        self.set(azimuth=orbit.azimuth, elevation=min(max(orbit.elevation, -60.0), 85.0))


def methods(panel: Panel) -> W.Widget:
    """Buttons that write into *change fields* what `METHODS` say.

    Args:
        panel: an `IGGANPanel`.
    """
    made = controls.Controls(panel)
    buttons = [
        made.button(name, lines or "as the preset has it", partial(choose, panel, name))
        for name, lines in METHODS.items()
    ]
    box = W.HBox([W.HTML("<b>next run:</b>&nbsp;"), *buttons], layout=W.Layout(flex_flow="row wrap"))
    box.add_class("labkit-methods")
    return box


def choose(panel: Panel, name: str) -> None:
    """Let the next run of a panel use one of the `METHODS`.

    Raises:
        DomainError: there is no such method.
    """
    if name not in METHODS:
        raise DomainError("name", repr(name), f"one of {', '.join(METHODS)}")
    panel.set(overrides=METHODS[name])
