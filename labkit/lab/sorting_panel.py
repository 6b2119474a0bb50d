"""A sorting network with soft exchanges: every wire, the permutation, and the gradient of any output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import ipywidgets as W
import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.lab import sorting_plots as plots
from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality
from labkit.lab.sorting_controls import WIDTH, bound, lines, log_slider
from labkit.lab.state import between, from_dict, one_of
from labkit.smooth.gates import FAMILIES, sigmoid
from labkit.smooth.soft_sort import soft_sort
from labkit.smooth.sorting_network import odd_even_network

MAX_VALUES, MAX_STEPS = 12, 24
NETWORK, SMALL = (612, 330), (304, 250)  # width and height of the pictures
OUTPUTS = ("smallest", "second smallest", "middle", "second largest", "largest", "sum of all")


@dataclass(frozen=True)
class SortingState:
    """What the sorting panel shows.

    Attributes:
        own: input values as text, separated by blanks or commas; empty for drawn ones.
        n: how many values are drawn.
        spread: standard deviation of the drawn values, in their unit.
        seed: which values are drawn.
        steepness: s of the exchanges, per unit of the values.
        steps: steps of the network.
        family: the sigmoid of the exchanges (`labkit.smooth.gates.FAMILIES`).
        output: the output whose gradient is shown; the middle of an even number is the mean of two.

    Raises:
        DomainError: ``own`` is not 2 to 12 numbers.
    """

    own: str = ""
    n: int = between(8, 4, MAX_VALUES)
    spread: float = between(1.0, 0.1, 10.0)
    seed: int = between(3, 0, 10**9)
    steepness: float = between(5.0, 0.1, 1000.0)
    steps: int = between(8, 0, MAX_STEPS)
    family: str = one_of(*FAMILIES)
    output: str = one_of("middle", *OUTPUTS)

    def __post_init__(self) -> None:
        if self.own and not 2 <= len(self.values) <= MAX_VALUES:
            raise DomainError("own", f"{len(self.values)} numbers", f"2 to {MAX_VALUES}")

    @property
    def values(self) -> Tensor:
        """The input values, (n,) float64."""
        if not self.own:
            stream = torch.Generator().manual_seed(self.seed)
            return self.spread * torch.randn(self.n, generator=stream, dtype=torch.float64)
        try:
            values = [float(word) for word in self.own.replace(",", " ").split()]
        except ValueError as error:
            raise DomainError("own", repr(self.own), "numbers such as 3 1 2.5") from error
        if not all(-1e6 <= value <= 1e6 for value in values):
            raise DomainError("own", repr(self.own), "numbers from -1e6 to 1e6")
        return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Sorting:
    """One run of the network.

    Attributes:
        levels: (steps + 1, n), the values on the wires before, between and after the steps.
        network: for each step the upper wires of its exchanges.
        swaps: for each step how much each exchange swaps, 1 - alpha, (pairs,).
        matrix: (n, n), the soft permutation.
        gradient: (n,), of the chosen output with respect to every input.
        hard: (n,), the truly sorted values.
        hard_gradient: (n,), the same gradient through `torch.sort`.
        order: (n,) int64, the input that the hard sort puts at each place.
    """

    levels: Tensor
    network: list[range]
    swaps: list[Tensor]
    matrix: Tensor
    gradient: Tensor
    hard: Tensor
    hard_gradient: Tensor
    order: Tensor

    @property
    def error(self) -> float:
        """The largest difference from the true order, in the unit of the values."""
        return float((self.levels[-1] - self.hard).abs().max())


def weights(output: str, n: int) -> Tensor:
    """The share of each of the n sorted places in the output of that name, (n,) float64."""
    places = {
        "smallest": [0],
        "second smallest": [1],
        "middle": [(n - 1) // 2, n // 2],
        "second largest": [n - 2],
        "largest": [n - 1],
        "sum of all": list(range(n)),
    }[output]
    share = torch.zeros(n, dtype=torch.float64)
    share[places] = 1.0 / len(set(places)) if output == "middle" else 1.0
    return share


def sorting(state: SortingState) -> Sorting:
    """Sort the values of a state softly and hard."""
    values = state.values.requires_grad_()
    s, steps, family = state.steepness, state.steps, state.family
    network = odd_even_network(len(values), steps)
    with torch.no_grad():
        levels = torch.stack([soft_sort(values, s, steps=k, family=family) for k in range(steps + 1)])
        swaps = [
            sigmoid(level[wires.start : -1 : 2] - level[wires.start + 1 :: 2], s, family)
            for level, wires in zip(levels, network, strict=False)
        ]
    softly, matrix = soft_sort(values, s, steps=steps, family=family, permutation=True)
    hard, order = torch.sort(values)
    share = weights(state.output, len(values))
    (gradient,) = torch.autograd.grad(softly @ share, values)
    (hard_gradient,) = torch.autograd.grad(hard @ share, values)
    return Sorting(levels, network, swaps, matrix.detach(), gradient, hard.detach(), hard_gradient, order)


def network_of(found: Sorting) -> bytes:
    """The picture of a run's network, as a PNG file."""
    return plots.network_picture(found.levels, found.network, found.swaps, found.hard, NETWORK)


class SortingPanel(Panel):
    """Drag steepness and steps and see what a network of soft exchanges does to a handful of values.

    ``SortingPanel(steepness=50.0, own="3 1 2")`` starts elsewhere; the fields are those of `SortingState`.
    """

    State: ClassVar[type] = SortingState

    def build(self) -> W.Widget:
        """Make controls and pictures."""
        self.steps = bound(self, W.IntSlider(min=0, max=MAX_STEPS), "steps", "steps", "n steps sort n values")
        self.drawn = W.VBox(
            [
                bound(self, W.IntSlider(min=4, max=MAX_VALUES), "n", "values n"),
                bound(self, log_slider(-1, 1), "spread", "spread (std)"),
            ]
        )
        shuffle = W.Button(description="Shuffle", icon="random", tooltip="Draw other values")
        shuffle.on_click(self.guard(lambda _: self.set(seed=self.record.seed + 1, own="")))
        own = W.Text(placeholder="such as 3 1 2.5", continuous_update=False)
        self.told = W.HTML()
        controls = W.VBox(
            [
                bound(
                    self,
                    log_slider(-1, 3),
                    "steepness",
                    "steepness s (1/unit)",
                    "Higher: sharper exchanges",
                ),
                self.steps,
                bound(self, W.Dropdown(options=list(FAMILIES)), "family", "sigmoid", "Shape of the soft exchange"),
                bound(self, W.Dropdown(options=OUTPUTS), "output", "gradient of"),
                self.drawn,
                shuffle,
                bound(self, own, "own", "own values"),
                self.told,
            ],
            layout=W.Layout(width=WIDTH, min_width=WIDTH),
        )
        self.network, self.matrix, self.bars = fixed_image(*NETWORK), fixed_image(*SMALL), fixed_image(*SMALL)
        self.network.add_class("labkit-network")
        self.bars_title = W.HTML()
        small = W.HBox(
            [
                W.VBox([W.HTML("<b>permutation</b> (frames: hard)"), self.matrix]),
                W.VBox([self.bars_title, self.bars]),
            ]
        )
        self.adopted(self.record)
        views = W.VBox([self.network, small], layout=W.Layout(width=f"{NETWORK[0] + 6}px"))
        box = W.HBox([controls, views], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-sorting")
        return box

    def set(self, **changes: Any) -> None:
        """As `Panel.set`. Another number of values brings the steps that sort them, unless steps are given too."""
        after = from_dict(SortingState, {**self.state, **changes})
        if len(after.values) != len(self.record.values):
            changes = {"steps": len(after.values), **changes}
        super().set(**changes)

    def adopted(self, state: SortingState) -> None:
        """Own values need no sliders to draw them."""
        self.drawn.layout.display = "none" if state.own else None

    def render(self, state: SortingState, quality: Quality) -> tuple[SortingState, Sorting, list[bytes]]:
        """Sort, and draw the network; matrix and gradient wait until the sliders rest."""
        found = sorting(state)
        made = [network_of(found)]
        if quality == "fine":
            names = [plots.short(value) for value in found.levels[0].tolist()]
            made.append(plots.permutation_picture(found.matrix, found.order, names, SMALL))
            made.append(plots.gradient_picture(found.gradient, found.hard_gradient, names, SMALL))
        return state, found, made

    def show(self, result: tuple[SortingState, Sorting, list[bytes]], quality: Quality) -> None:
        """Hand pictures and figures to the page."""
        state, found, made = result
        for view, content in zip((self.network, self.matrix, self.bars), made, strict=False):
            view.value = content
        self.bars_title.value = f"<b>gradient of the {state.output}</b> (marks: hard)"
        self.told.value = lines(
            f"{state.steps} steps for {len(found.hard)} values",
            f"largest difference from the true order: <b>{found.error:.3g}</b>",
            f"range of the values: {float(found.hard[-1] - found.hard[0]):.3g}",
            f"sum before {float(found.levels[0].sum()):.4f}, after {float(found.levels[-1].sum()):.4f}",
            f"sum of the gradient: {float(found.gradient.sum()):.4f}",
        )

    def png(self) -> bytes:
        """The network, kept in the notebook for readers without a kernel."""
        return bytes(self.network.value)
