"""Sliders for the shiny sphere: its picture, the best that M(x) can make of it, and the bound between them."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, NamedTuple

import ipywidgets as W
import numpy as np

from labkit.data.multiview import CEILING
from labkit.data.phong_views import Bound
from labkit.lab import controls
from labkit.lab import udr_plots as plots
from labkit.lab.image_view import ImageView, fixed_image
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality
from labkit.lab.udr_bound import EXPONENTS, BestPicture, BoundState, ShinySphere

PICTURES = (606, 198)  # width and height in CSS pixels of the three pictures
LOOKS: dict[str, dict[str, Any]] = {
    "matt": {"specular": 0.0},
    "satin": {"specular": 0.6, "shininess": 8.0},
    "the paper's sphere": {"diffuse": 0.5, "specular": 0.6, "shininess": 20.0, "ambient": 0.2},
    "polished": {"specular": 0.9, "shininess": 100.0},
}


class Answer(NamedTuple):
    """What `BoundPanel.render` makes: the pictures, and at rest the bound over all exponents."""

    found: BestPicture
    curve: bytes | None


class BoundPanel(Panel):
    """Change the material and watch how much of the picture no M(x) can follow.

    ``BoundPanel(specular=0.9)`` starts elsewhere; all fields are those of `BoundState`.

    Attributes:
        answer: what is shown.
    """

    State: ClassVar[type] = BoundState

    def build(self) -> W.Widget:
        """Make controls and views."""
        self.sphere = ShinySphere()
        self.answer: Answer | None = None
        make = controls.Controls(self)
        looks = [make.button(name, "", partial(self.set, **changes)) for name, changes in LOOKS.items()]
        column = controls.column(
            controls.heading("Material (equation 3)"),
            make.slider("diffuse", "diffuse k_d"),
            make.slider("specular", "specular k_s", tip="How strong the highlight is"),
            make.slider("shininess", "exponent n_s", log=True, tip="How narrow the highlight is"),
            make.slider("ambient", "ambient I_a"),
            W.HBox(looks, layout=W.Layout(flex_flow="row wrap")),
            controls.heading("Light"),
            make.slider("azimuth", "azimuth (°)", 1.0, "Around the sphere; 0 is towards +z"),
            make.slider("elevation", "elevation (°)", 1.0),
            controls.heading("Cameras"),
            make.slider("view", "this picture from (°)", 1.0, "Walk around: the highlight moves, M* does not"),
            make.whole("cameras", "M* knows cameras", tip="M* is the mean over what so many cameras see"),
        )
        self.pictures = ImageView(*PICTURES)
        self.pictures.widget.add_class("labkit-spheres")
        self.told = W.HTML()
        self.told.add_class("labkit-bound")
        self.curve = fixed_image(*plots.BOUND)
        self.curve.add_class("labkit-bound-curve")
        cell = '<div style="width:202px;text-align:center;font-size:12px;line-height:15px"><b>{}</b><br>{}</div>'
        titles = (
            ("what the camera sees", "R"),
            ("best without v", "M*(x)"),
            ("their difference", "black 0, yellow half the range"),
        )
        heads = W.HTML('<div style="display:flex">' + "".join(cell.format(*title) for title in titles) + "</div>")
        views = W.VBox([heads, self.pictures.widget, self.told, self.curve], layout=W.Layout(margin="0 0 0 6px"))
        return W.HBox([column, views], layout=W.Layout(flex_flow="row wrap"))

    def render(self, state: BoundState, quality: Quality) -> Answer:
        """The pictures and the bound; the curve waits until the sliders rest."""
        found = self.sphere.picture(state, quality)
        if quality == "coarse":
            return Answer(found, None)
        return Answer(found, plots.bound_curve(EXPONENTS, self.sphere.curve(state), state.shininess, found.bound.psnr))

    def show(self, result: Answer, quality: Quality) -> None:
        """Hand everything to the page."""
        self.answer, found = result, result.found
        apart = plots.error_picture(found.truth.numpy(), found.best.numpy())
        self.pictures.show(np.concatenate([found.truth.numpy(), found.best.numpy(), apart], 1), quality)
        self.told.value = described(found.bound)
        if result.curve is not None:
            self.curve.value = result.curve

    def png(self) -> bytes | None:
        """The three pictures, kept in the notebook for readers without a kernel."""
        return self.pictures.png()


def described(bound: Bound) -> str:
    """HTML: the bound, and over which pixels."""
    if bound.psnr > CEILING - 1e-6:
        return "<b>no highlight:</b> the colour does not depend on v, and M(x) can be exact"
    row = '<div style="line-height:20px"><b style="font-size:{}px">{:.1f} dB</b> {}</div>'
    of_sphere = "over the pixels that show the sphere: no M(x) and no M(x, n) can expect more on unseen views"
    share = f"over all pixels, if the white background is exact (the sphere covers {bound.coverage:.0%})"
    return row.format(18, bound.psnr, of_sphere) + row.format(13, bound.psnr_full, share)
