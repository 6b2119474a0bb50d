"""AlgoNet's figures 1 and 2, live: the gate of a loop, and the multiplication program as surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import ipywidgets as W
import torch
from torch import Tensor

from labkit.lab import program_plots as plots
from labkit.lab.orbit import Orbit
from labkit.lab.panel import Panel
from labkit.lab.program_controls import menu, plot_image, slider, steepness_slider, title
from labkit.lab.scheduler import Quality
from labkit.lab.state import between, one_of
from labkit.lab.surface_view import Surface, SurfaceView
from labkit.smooth.while_examples import MULTIPLICATION
from labkit.smooth.while_program import WhileProgram

PHI, MAPS, SIDE = (620, 210), (936, 250), 308  # CSS pixels
KINDS = ("x1 * x2", "C-infinity", "C0")
COLORINGS = {"d/dx1": "df / dx1", "d/dx2": "df / dx2", "norm": "length of the gradient"}
# points a side, epsilon, turns of the loops: while dragging a picture must come within a tenth of a second
EFFORT: dict[Quality, tuple[int, float, int]] = {"coarse": (21, 1e-2, 100), "fine": (41, 1e-6, 400)}


@dataclass(frozen=True)
class PhiState:
    """The steepness of phi_infinity."""

    steepness: float = between(2.0, 0.5, 16.0)


class PhiPanel(Panel):
    """AlgoNet's figure 1 with a slider: phi_0 and phi_infinity, which say to what extent a loop goes on."""

    State: ClassVar[type] = PhiState

    def build(self) -> W.Widget:
        """One slider, one plot."""
        self.plot = plot_image(*PHI, "phi")
        return W.VBox([steepness_slider(self, -1, 4), self.plot])

    def render(self, state: PhiState, quality: Quality) -> bytes:
        """The plot."""
        return plots.phi_plot(state.steepness, PHI)

    def show(self, result: bytes, quality: Quality) -> None:
        """Hand it to the page."""
        self.plot.value = result

    def png(self) -> bytes | None:
        """The plot."""
        return self.plot.value


@dataclass(frozen=True)
class SurfacesState:
    """What the three surfaces show.

    Attributes:
        steepness: s of the C-infinity program.
        top: the square is [0, top]^2.
        coloring: what the colour means, a key of `COLORINGS`.
        azimuth, elevation, distance: where the eye is, degrees and halves of the box's width.
    """

    steepness: float = between(2.0, 1.0, 8.0)
    top: int = between(7, 2, 7)
    coloring: str = one_of("norm", "d/dx1", "d/dx2")
    azimuth: float = between(-28.0, -180.0, 180.0)
    elevation: float = between(22.0, -89.0, 89.0)
    distance: float = between(4.4, 1.5, 12.0)


@dataclass(frozen=True, eq=False)
class Sampled:
    """One of the three functions.

    Attributes:
        surface: over the grid, with the whole numbers as marks.
        error: the largest on the whole numbers.
        ended: fraction of the grid's points at which the program came to its end.
    """

    surface: Surface
    error: float
    ended: float


_PROGRAM = WhileProgram.parse(MULTIPLICATION)


def sample(kind: str, state: SurfacesState, quality: Quality) -> Sampled:
    """Run the multiplication, or the program for it, over the grid and over the whole numbers in it.

    Args:
        kind: one of `KINDS`.
        state: steepness, size and colouring.
        quality: the fineness of the grid, and how long the program may run.
    """
    side, epsilon, turns = EFFORT[quality]
    # float64: on the way out of a loop P shrinks by many small factors
    even = torch.linspace(0, state.top, side, dtype=torch.float64)
    whole = torch.arange(state.top + 1, dtype=torch.float64)
    pairs = torch.cat([torch.cartesian_prod(even, even), torch.cartesian_prod(whole, whole)])  # (side^2 + K, 2)
    x1, x2 = pairs.T.clone().requires_grad_().unbind()
    value, open_end = x1 * x2, torch.zeros_like(x1)
    if kind != KINDS[0]:
        smoothness = "c0" if kind == "C0" else "cinf"
        run = _PROGRAM(
            {"x1": x1, "x2": x2}, smoothness, steepness=state.steepness, epsilon=epsilon, max_iterations=turns
        )
        value, open_end = run.outputs["x0"], run.remaining
    by_x1, by_x2 = torch.autograd.grad(value.sum(), (x1, x2))
    color = {"d/dx1": by_x1, "d/dx2": by_x2, "norm": torch.hypot(by_x1, by_x2)}[state.coloring]
    height = torch.where(open_end > 0, torch.nan, value.detach())
    count = side * side

    def grid(tensor: Tensor) -> Any:
        return tensor[:count].view(side, side).numpy()

    marks = torch.cat([pairs[count:], value.detach()[count:, None]], 1)  # (K, 3)
    error = (marks[:, 0] * marks[:, 1] - marks[:, 2]).abs().max()
    ended = (open_end[:count] == 0).double().mean()
    return Sampled(Surface(state.top, grid(height), grid(color), marks.numpy()), float(error), float(ended))


class SurfacesPanel(Panel):
    """AlgoNet's figure 2: x1 * x2 and the two smooth programs for it; height is the result, colour its gradient.

    The three surfaces share scales and camera. While the steepness is dragged only the C-infinity surface is made
    anew, on a coarser grid.
    """

    State: ClassVar[type] = SurfacesState
    rest: ClassVar[float] = 0.3

    def build(self) -> W.Widget:
        """Controls above, three surfaces, and the same three from above."""
        orbit = self._orbit(self.record)
        self.views = {kind: self.own(SurfaceView(SIDE, SIDE - 30, orbit)) for kind in KINDS}
        for kind, view in self.views.items():
            view.on_camera = self.guard(self._turned)
            view.widget.add_class(f"labkit-surface-{KINDS.index(kind)}")
        self.titles = {kind: title(kind, SIDE) for kind in KINDS}
        self.maps = plot_image(*MAPS, "maps")
        self._kept: dict[str, tuple[Any, Sampled]] = {}
        self._in_view: dict[str, Sampled] = {}
        self._mapped: dict[str, Sampled] = {}
        controls = W.HBox(
            [
                steepness_slider(self, 0, 3, 330),
                slider(self, "top", "x1, x2 from 0 to", 2, 7, 1, width=280),
                menu(self, "coloring", "colour", [(text, key) for key, text in COLORINGS.items()], 300),
            ],
            layout=W.Layout(flex_flow="row wrap"),
        )
        columns = [W.VBox([self.titles[kind], self.views[kind].widget]) for kind in KINDS]
        return W.VBox([controls, W.HBox(columns), title("from above: same colours, lines of equal height"), self.maps])

    def adopted(self, state: SurfacesState) -> None:
        """All three cameras follow."""
        for view in self.views.values():
            view.set_camera(self._orbit(state))

    def caption(self) -> str:
        """Points of the newest grid."""
        sides = {len(sampled.surface.height) for _, sampled in self._kept.values()}
        return f"up to {max(sides)} x {max(sides)} points, CPU" if sides else ""

    def render(self, state: SurfacesState, quality: Quality) -> tuple[dict[str, Sampled], float, bytes | None]:
        """Sample what has changed, which a turned camera is not; draw the maps at rest only."""
        for kind in KINDS:
            asked = (state.top, state.coloring, state.steepness if kind == "C-infinity" else None)
            effort: Quality = quality if kind == "C-infinity" else "fine"
            if kind not in self._kept or self._kept[kind][0] not in {(asked, "fine"), (asked, effort)}:
                self._kept[kind] = ((asked, effort), sample(kind, state, effort))
        found = {kind: self._kept[kind][1] for kind in KINDS}
        limit = state.top * (2**0.5 if state.coloring == "norm" else 1.0)  # the largest value of the exact product
        if quality == "coarse" or self._mapped == found:
            return found, limit, None
        self._mapped = found
        tops = {kind: one.surface for kind, one in found.items()}
        return found, limit, plots.heat_maps(tops, limit, COLORINGS[state.coloring], MAPS)

    def show(self, result: tuple[dict[str, Sampled], float, bytes | None], quality: Quality) -> None:
        """Hand surfaces, headings and maps to the page."""
        found, limit, maps = result
        for kind, one in found.items():
            if self._in_view.get(kind) is not one:
                self._in_view[kind] = one
                self.views[kind].show(one.surface, one.surface.top**2, limit)
                self.titles[kind].value = self._heading(kind, one)
        if maps is not None:
            self.maps.value = maps

    def png(self) -> bytes | None:
        """The maps."""
        return self.maps.value

    @staticmethod
    def _heading(kind: str, one: Sampled) -> str:
        holes = "" if one.ended == 1 else f"; no end at {1 - one.ended:.0%}"
        error = f"largest error at whole numbers: {one.error:.3g}"
        return f'<div style="line-height:17px"><b>{kind}</b>{holes}<br>{error}</div>'

    def _turned(self, orbit: Orbit) -> None:
        self.set(
            azimuth=round(orbit.azimuth, 2),
            elevation=max(-89.0, min(89.0, round(orbit.elevation, 2))),
            distance=max(1.5, min(12.0, round(orbit.distance, 3))),
        )

    @staticmethod
    def _orbit(state: SurfacesState) -> Orbit:
        return Orbit.around(state.azimuth, state.elevation, state.distance)
