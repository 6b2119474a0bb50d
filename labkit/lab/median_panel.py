"""Median against mean: what outliers do to each, and which data each of them listens to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as W
import torch
from torch import Tensor

from labkit.lab import median_plots as plots
from labkit.lab.image_view import fixed_image
from labkit.lab.panel import Panel
from labkit.lab.scheduler import Quality
from labkit.lab.sorting_controls import WIDTH, bound, lines, log_slider
from labkit.lab.state import between, one_of
from labkit.smooth.soft_median import soft_median

STRIP, PULLS = (612, 250), (612, 220)  # width and height of the pictures


@dataclass(frozen=True)
class MedianState:
    """What the median panel shows.

    Attributes:
        n: how many data there are.
        share: which part of them are outliers.
        size: how far the outliers lie out, in standard deviations of the good data.
        sides: where they lie: all above, or above and below by turns.
        steepness: s of the exact soft median, per standard deviation of the good data.
        fast_steepness: the same of the fast one.
        degree: rounds of the fast one.
        seed: which data are drawn.
    """

    n: int = between(20, 5, 60)
    share: float = between(0.1, 0.0, 0.45)
    size: float = between(20.0, 0.0, 100.0)
    sides: str = one_of("same side", "both sides")
    steepness: float = between(10.0, 0.1, 1000.0)
    fast_steepness: float = between(1.0, 0.1, 100.0)
    degree: int = between(5, 0, 20)
    seed: int = between(0, 0, 10**9)

    @property
    def outliers(self) -> int:
        """How many of the data are outliers."""
        return round(self.share * self.n)

    @property
    def data(self) -> Tensor:
        """The data, (n,) float64; the good ones are normal with standard deviation 1."""
        stream = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.n, generator=stream, dtype=torch.float64)
        sign = torch.ones(self.outliers, dtype=torch.float64)
        if self.sides == "both sides":
            sign[1::2] = -1
        far = sign * self.size + 0.1 * noise[: self.outliers]
        return torch.cat([far, noise[self.outliers :]])[torch.randperm(self.n, generator=stream)]


@dataclass(frozen=True)
class Averages:
    """Four averages of the same data.

    Attributes:
        data: (n,), in rising order.
        values: each average by name, in standard deviations of the good data.
        gradients: its derivatives with respect to the data, (n,) in the same order, by name.
    """

    data: Tensor
    values: dict[str, float]
    gradients: dict[str, Tensor]


def averages(state: MedianState) -> Averages:
    """Mean, median and both soft medians of the data of a state, with their gradients."""
    data = state.data.requires_grad_()
    found = {
        "mean": data.mean(),
        "hard median": torch.quantile(data, 0.5),
        "soft median, exact": soft_median(data, state.steepness),
        "soft median, fast": soft_median(data, state.fast_steepness, method="fast", degree=state.degree),
    }
    ordered, order = data.detach().sort()
    gradients = {name: torch.autograd.grad(one, data)[0][order] for name, one in found.items()}
    return Averages(ordered, {name: float(one.detach()) for name, one in found.items()}, gradients)


class MedianPanel(Panel):
    """Throw outliers at a mean, a median and two soft medians, and see who moves and who listens to whom.

    ``MedianPanel(share=0.3, sides="both sides")`` starts elsewhere; the fields are those of `MedianState`.
    """

    State: ClassVar[type] = MedianState

    def build(self) -> W.Widget:
        """Make controls and pictures."""
        shuffle = W.Button(description="Shuffle", icon="random", tooltip="Draw other data")
        shuffle.on_click(self.guard(lambda _: self.set(seed=self.record.seed + 1)))
        self.told = W.HTML()
        controls = W.VBox(
            [
                bound(self, W.IntSlider(min=5, max=60), "n", "data n"),
                bound(self, W.FloatSlider(min=0, max=0.45, step=0.05), "share", "outliers (part of n)"),
                bound(self, W.FloatSlider(min=0, max=100, step=0.5), "size", "outlier size (std)"),
                bound(self, W.Dropdown(options=["same side", "both sides"]), "sides", "outliers on"),
                bound(self, log_slider(-1, 3), "steepness", "exact: s (1/std)"),
                bound(self, log_slider(-1, 2), "fast_steepness", "fast: s (1/std)"),
                bound(self, W.IntSlider(min=0, max=20), "degree", "fast: degree", "Rounds; 0 is the mean"),
                shuffle,
                self.told,
            ],
            layout=W.Layout(width=WIDTH, min_width=WIDTH),
        )
        self.strip, self.pulls = fixed_image(*STRIP), fixed_image(*PULLS)
        self.strip.add_class("labkit-strip")
        views = W.VBox([self.strip, W.HTML("<b>which datum pulls at which average</b>"), self.pulls])
        box = W.HBox([controls, views], layout=W.Layout(flex_flow="row wrap"))
        box.add_class("labkit-median")
        return box

    def render(self, state: MedianState, quality: Quality) -> tuple[MedianState, Averages, list[bytes]]:
        """Average, and draw; the gradients wait until the sliders rest."""
        found = averages(state)
        made = [plots.strip_picture(found.data.tolist(), found.values, STRIP)]
        if quality == "fine":
            made.append(plots.pulls_picture({name: one.numpy() for name, one in found.gradients.items()}, PULLS))
        return state, found, made

    def show(self, result: tuple[MedianState, Averages, list[bytes]], quality: Quality) -> None:
        """Hand pictures and figures to the page."""
        state, found, made = result
        for view, content in zip((self.strip, self.pulls), made, strict=False):
            view.value = content
        median = found.values["hard median"]
        rows = "".join(
            f'<tr><td style="color:{plots.COLORS[name]};padding-right:12px">{name}</td>'
            f"<td>{value - median:+.3f}</td></tr>"
            for name, value in found.values.items()
            if name != "hard median"
        )
        self.told.value = lines(
            f"{state.outliers} outliers of {state.n}; distance from the median (std):",
            f'<table style="line-height:16px">{rows}</table>',
        )

    def png(self) -> bytes:
        """The strip, kept in the notebook for readers without a kernel."""
        return bytes(self.strip.value)
