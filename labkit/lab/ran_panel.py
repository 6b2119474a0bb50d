"""A RAN training live: figure 4 of AlgoNet with its six pictures as they are now, its games, and its dials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import ipywidgets as W

from labkit.lab.ran_diagram import LOSS_NAMES
from labkit.lab.ran_views import ALL, RanViews
from labkit.lab.state import one_of
from labkit.lab.training_dials import Words
from labkit.lab.training_panel import TrainingPanel
from labkit.lab.training_plan import TrainingState
from labkit.train import ran

WORDS: Words = {
    "steepness": ("steepness s", "How sharp the edges of the smooth renderer are, per unit of the picture's half"),
    "opacity": ("opacity o", "How strictly near faces hide far ones, per unit of depth"),
    "pixel": ("pixels (L1)", "Weight of the compared pictures against fooling D"),
    "normal": ("even normals", "Weight of: neighbouring faces look the same way"),
    "edge": ("even edges", "Weight of: all edges are equally long"),
    "neighbor": ("even corners", "Weight of: each corner lies amid its neighbours"),
    "alpha_random": ("α random shapes", "How much D learns from renders of random shapes"),
    **{f"alpha_{n}": (f"α{n}, sub-RAN {n}", f"Weight of loss {n}") for n in range(1, 6)},
}


@dataclass(frozen=True)
class RanState(TrainingState):
    """What the controls say.

    Attributes:
        loss: whose part of the diagram is marked.
    """

    loss: str = one_of(ALL, *LOSS_NAMES)


class RanPanel(TrainingPanel):
    """A `TrainingPanel` of `labkit.train.ran`, whose buttons above the diagram mark the part of one loss.

    Args:
        name: as for `Panel`.
        **options: ``runs``, ``run`` and fields of `RanState`, as for `TrainingPanel`.
    """

    State: ClassVar[type] = RanState
    Views = RanViews
    words = WORDS
    views: RanViews

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(ran, name, **options)

    def options(self) -> list[W.Widget]:
        """The buttons stand above the diagram."""
        words = {ALL: "all", **{name: name for name in LOSS_NAMES}, "random": "random shapes"}
        choice = W.ToggleButtons(
            options=[(word, name) for name, word in words.items()],
            tooltips=["the whole RAN", *(f"what loss {name} has to do with" for name in LOSS_NAMES)],
        )
        choice.style.button_width = "auto"
        choice.add_class("labkit-ran-loss")
        self.views.above.children = (W.HTML("<b>mark one loss:</b>&nbsp;"), self.bind(choice, "loss"))
        return []
