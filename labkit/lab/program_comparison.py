"""A Python function beside its smooth form: results and derivatives along one of its arguments."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import ipywidgets as W
import numpy as np
import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError
from labkit.lab import program_plots as plots
from labkit.lab.panel import Panel
from labkit.lab.plots import HARD, SOFT
from labkit.lab.program_controls import menu, plot_image, slider, steepness_slider
from labkit.lab.program_plots import Line
from labkit.lab.scheduler import Quality
from labkit.lab.state import between, one_of
from labkit.smooth.smooth_function import SmoothFunction

PLOT = (936, 290)  # CSS pixels
POINTS: dict[Quality, int] = {"coarse": 61, "fine": 201}
REACH = 1e-5  # of a range, to either side: over that way the slope of a hard function is measured


class ProgramComparison(Panel):
    """Hard and smooth side by side, along one argument; the others and the steepness have sliders.

    ::

        @smooth_function
        def f(x, width):
            return 1.0 if abs(x) < width else 0.0

        ProgramComparison(f, x=(-2, 2), width=(0.5, 1.5))

    Args:
        function: the smooth function; it must return one number.
        name: what a re-run replaces; the function's name if not given. By position, as ``function``.
        arguments: for each argument of the function a range (low, high) of numbers, or a value that is kept: a
            list, a tensor, a whole number. At least one must be a range.

    Raises:
        DTypeError: not a smooth function. DomainError: an argument is missing or unknown, or there is no range.
    """

    def __init__(self, function: SmoothFunction, name: str | None = None, /, **arguments: Any) -> None:
        if not isinstance(function, SmoothFunction):
            raise DTypeError("function", type(function).__name__, "a function with the decorator @smooth_function")
        signature = inspect.signature(function.hard)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise DomainError("arguments", error, f"a range or a value for each of {signature}") from error
        self.function = function
        self.ranges = {name: (float(r[0]), float(r[1])) for name, r in arguments.items() if _is_range(r)}
        self.kept = {name: value for name, value in arguments.items() if name not in self.ranges}
        if not self.ranges or not all(low < high for low, high in self.ranges.values()):
            got = self.ranges or "no range"
            raise DomainError("arguments", got, "a pair (low, high), low < high, for at least one argument")
        fields = [("along", str, one_of(*self.ranges)), ("steepness", float, between(10.0, 0.5, 1024.0))]
        fields += [(f"at_{name}", float, between((a + b) / 2, a, b)) for name, (a, b) in self.ranges.items()]
        self.State = dataclasses.make_dataclass("ComparisonState", fields, frozen=True)  # type: ignore[misc]
        super().__init__(name or f"comparison of {function.hard.__name__}")

    def build(self) -> W.Widget:
        """Controls in a row, the plots below."""
        self.plot, self.note = plot_image(*PLOT, "curves"), W.HTML()
        controls = [menu(self, "along", "along", tuple(self.ranges), 300)] if len(self.ranges) > 1 else []
        controls.append(steepness_slider(self, -1, 10))
        if len(self.ranges) > 1:
            controls += [
                slider(self, f"at_{name}", name, low, high, (high - low) / 100, width=300)
                for name, (low, high) in self.ranges.items()
            ]
        row = W.HBox(controls, layout=W.Layout(flex_flow="row wrap", width="940px"))
        return W.VBox([row, self.plot, self.note])

    def render(self, state: Any, quality: Quality) -> tuple[bytes, str]:
        """The plots, and what is to be said about them."""
        low, high = self.ranges[state.along]
        places = torch.linspace(low, high, POINTS[quality], dtype=torch.float64)
        fixed = {name: getattr(state, f"at_{name}") for name in self.ranges if name != state.along}
        hard = hard_line(self.function, self.kept | fixed, state.along, places)
        soft, remaining = soft_line(self.function, self.kept | fixed, state.along, places, state.steepness)
        gap = np.abs(hard.values - soft.values)
        note = f"difference of the results: largest {np.nanmax(gap):.3g}, mean {np.nanmean(gap):.3g}"
        if remaining > 0:
            note += f"; a loop came to its bound of {self.function.max_iterations} turns with {remaining:.3g} left"
        name = f"{self.function.hard.__name__}({', '.join((*self.ranges, *self.kept))})"
        return plots.side_by_side([hard, soft], state.along, name, PLOT), note

    def show(self, result: tuple[bytes, str], quality: Quality) -> None:
        """Hand plots and note to the page."""
        self.plot.value, self.note.value = result

    def png(self) -> bytes | None:
        """The plots."""
        return self.plot.value


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
    )


def soft_line(
    function: SmoothFunction, others: Mapping[str, Any], along: str, places: Tensor, steepness: float
) -> tuple[Line, float]:
    """The smooth function at many places at once, its derivative by autograd, and the largest share left at a bound.

    Args:
        function: what to run.
        others: all arguments but ``along``.
        places: (N,) float64 values of the argument ``along``.
        steepness: s.

    Raises:
        DTypeError: the function does not return one number.
    """
    x = places.clone().requires_grad_()
    value, _, remaining = function.run(**others, **{along: x}, steepness=steepness)
    value = _one_number(value, places)
    slope = torch.autograd.grad(value.sum(), x, allow_unused=True)[0] if value.requires_grad else None
    slope = torch.zeros_like(places) if slope is None else slope
    line = Line("smooth", SOFT, places.numpy(), value.detach().numpy(), slope.numpy())
    return line, float(torch.as_tensor(remaining).detach().max())


def hard_line(function: SmoothFunction, others: Mapping[str, Any], along: str, places: Tensor) -> Line:
    """The Python function at each place, on plain numbers, and its derivative; NaN at the ends, at jumps and kinks.

    The derivative is the difference over a very short way to either side, where the two agree.

    Raises:
        DTypeError: the function does not return one number.
    """
    h = REACH * float(places[-1] - places[0])
    # the ends have no slope: beyond them the function may not be defined
    before, values, after = (
        torch.stack([_one_number(function.hard(**others, **{along: float(x)}), places[0]) for x in at])
        for at in (places[1:-1] - h, places, places[1:-1] + h)
    )
    left, right = (values[1:-1] - before) / h, (after - values[1:-1]) / h
    slopes = torch.full_like(places, torch.nan)
    slopes[1:-1] = torch.where((left - right).abs() < 0.01 * (1 + left.abs()), (left + right) / 2, torch.nan)
    return Line("hard", HARD, places.numpy(), values.numpy(), slopes.numpy())


def _one_number(value: Any, like: Tensor) -> Tensor:
    if not isinstance(value, int | float | Tensor):
        raise DTypeError("function", f"a result of type {type(value).__name__}", "a function that returns one number")
    return torch.as_tensor(value, dtype=like.dtype).expand(like.shape)
