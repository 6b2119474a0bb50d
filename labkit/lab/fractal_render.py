"""From a fractal's parameters to what is shown of it: pure functions, no widgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.func import functional_call, jvp

from labkit.smooth import fractals
from labkit.smooth.fractals import Choices, IteratedFunctionSystem
from labkit.smooth.splatting import expose, render_points, splat

Rows = tuple[tuple[float, ...], ...]
RANDOM = "random"
PART = 16_384  # points; at 256 x 256 pixels a tenth of a second
SYSTEMS: MappingProxyType[str, Callable[[], IteratedFunctionSystem]] = MappingProxyType(
    {"fern": fractals.fern, "Sierpinski triangle": fractals.sierpinski, "dragon": fractals.dragon}
)
PARAMETERS = MappingProxyType(
    {
        "a1": "shift right",
        "a2": "width less 1",
        "a3": "shear x by y",
        "a4": "shift up",
        "a5": "shear y by x",
        "a6": "height less 1",
    }
)
"""What each parameter of a map does; the order is that of the paper."""
COLORS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#9999ff", "#bbbbbb")
"""One for each map: those of Okabe and Ito, which the colour-blind can tell apart, as they show on black."""


def base(name: str, maps: int, seed: int) -> IteratedFunctionSystem:
    """The built-in system of that name; the number of maps and the seed belong to the random one only."""
    if name == RANDOM:
        return fractals.random(maps, torch.Generator().manual_seed(seed))
    return SYSTEMS[name]()


def with_rows(system: IteratedFunctionSystem, rows: Rows) -> IteratedFunctionSystem:
    """The system with other coefficients, a row a1 to a6 for each map; the system itself if there are no rows.

    Raises:
        ShapeError: not as many rows as the system has maps.
    """
    if not rows:
        return system
    return IteratedFunctionSystem(torch.tensor(rows), system.probabilities, system.window)


def rows_of(system: IteratedFunctionSystem) -> Rows:
    """The coefficients as plain numbers, six digits after the point."""
    return tuple(tuple(round(value, 6) for value in row) for row in system.coefficients.tolist())


class Drawing(nn.Module):
    """A system and how it is looked at: choices to a square picture.

    Args:
        system: what is drawn.
        size: pixels along each side.
        sigma: standard deviation in pixels.
        exposure: see `labkit.smooth.splatting.expose`.
    """

    def __init__(self, system: IteratedFunctionSystem, size: int, sigma: float, exposure: float) -> None:
        super().__init__()
        self.system, self.size, self.sigma, self.exposure = system, size, sigma, exposure

    def forward(self, choices: Choices) -> Tensor:
        """The picture (size, size) in [0, 1]."""
        drawn = self.system.points(choices)
        return render_points(drawn, (self.size, self.size), self.sigma, self.system.window, self.exposure)[0]

    def draw(self, points: int, seed: int, stale: Callable[[], bool] = lambda: False) -> Tensor:
        """The picture (size, size) made of that many points.

        It is made in parts, and after each ``stale`` is asked: once the picture is no longer wanted, what is there
        is returned.
        """
        with torch.no_grad():
            drawn = self.system.points(self._choices(points, seed))
            counts = drawn.new_zeros(self.size, self.size)
            for part in drawn.split(PART):
                counts += splat(part, (self.size, self.size), self.sigma, self.system.window)
                if stale():
                    break
            return expose(counts, points, self.exposure)[0]

    def slope(self, points: int, seed: int, chosen: int, parameter: int) -> tuple[Tensor, Tensor]:
        """The picture, and its derivative with respect to one parameter of one map; both (size, size).

        One pass forward: the derivative is carried along with every point.
        """
        choices = self._choices(points, seed)
        coefficients = self.system.coefficients.detach()
        direction = torch.zeros_like(coefficients)
        direction[chosen, parameter] = 1.0

        def seen(values: Tensor) -> Tensor:
            return functional_call(self, {"system.coefficients": values}, (choices,))

        with torch.no_grad():
            picture, derivative = jvp(seen, (coefficients,), (direction,))[:2]
        return picture, derivative

    def _choices(self, points: int, seed: int) -> Choices:
        return self.system.draw(points, torch.Generator().manual_seed(seed))


def frames(system: IteratedFunctionSystem, side: int) -> np.ndarray:
    """Where each map puts the frame of the window: (n, 4, 2), column and row in a picture of ``side`` pixels.

    The corners go round from the lower left one through the lower right one.
    """
    window = system.window
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * window.size / 2
    corners = corners + torch.tensor([window.x, window.y])  # (4, 2)
    with torch.no_grad():
        matrix, offset = system.to_affine()
        moved = corners @ matrix.transpose(-1, -2) + offset[:, None]  # (n, 4, 2)
        return window.to_pixels(moved, (side, side)).numpy()


def overlay(picture: Tensor, outlines: np.ndarray, chosen: int, side: int) -> np.ndarray:
    """The picture scaled to ``side`` pixels with the maps' frames over it.

    Args:
        picture: (H, W) in [0, 1].
        outlines: from `frames` at the same side; none draws none.
        chosen: number of the map whose frame is drawn strongly.
        side: pixels a side of the result.

    Returns:
        (side, side, 3) uint8. The bottom of a frame is thick and its lower left corner a dot: a turn or a reflection
        shows.
    """
    scale = 2  # drawn larger, then reduced: smooth lines
    grey = Image.fromarray((picture.clamp(0, 1) * 255).byte().numpy()).resize((side, side), Image.Resampling.BICUBIC)
    canvas = grey.convert("RGB")
    if len(outlines):
        canvas = canvas.resize((scale * side, scale * side), Image.Resampling.NEAREST)
        pen = ImageDraw.Draw(canvas)
        for number, corners in enumerate(outlines * scale):
            color, width = COLORS[number % len(COLORS)], 2 * scale if number == chosen else scale
            ring = [(x, y) for x, y in corners.tolist()]
            left, right = ring[:2]
            pen.line([*ring, left], color, width)
            pen.line([left, right], color, 2 * width)
            radius, middle = 2.5 * width, corners.mean(0).tolist()
            pen.ellipse([left[0] - radius, left[1] - radius, left[0] + radius, left[1] + radius], color)
            pen.text(
                middle, str(number + 1), color, anchor="mm", font_size=14 * scale, stroke_width=4, stroke_fill="black"
            )
        canvas = canvas.reduce(scale)
    return np.asarray(canvas)


def frame_at(outlines: np.ndarray, row: int, column: int) -> int | None:
    """The number of the smallest frame, of those from `frames`, that holds the pixel; None outside all of them."""
    edges = outlines[:, [1, 3]] - outlines[:, :1]  # (n, 2, 2): from the lower left corner, along the bottom and up
    areas = np.abs(np.linalg.det(edges))  # (n,)
    hits = []
    for number, (edge, area) in enumerate(zip(edges, areas, strict=True)):
        if area > 1:  # a pixel; a flat frame cannot be hit
            along, up = np.linalg.solve(edge.T, [column + 0.5, row + 0.5] - outlines[number, 0])
            if 0 <= along <= 1 and 0 <= up <= 1:
                hits.append((area, number))
    return min(hits)[1] if hits else None


def blue_red(values: Tensor) -> tuple[np.ndarray, float]:
    """Signed numbers (H, W) as colours (H, W, 3) in [0, 1], and the greatest number that the colours can show.

    Blue is negative, grey nothing, red positive. The greatest is exceeded by one pixel in 200, so that a few bright
    points do not hide the rest.
    """
    limit = max(1e-6, torch.quantile(values.abs().flatten(), 0.995).item())
    return colormaps["coolwarm"]((values / limit * 0.5 + 0.5).numpy())[..., :3], limit


def dimension(areas: Sequence[float]) -> float:
    """The similarity dimension d of maps with those area factors: ``sum_i areas[i] ** (d / 2) = 1`` (Moran, 1946).

    It is the fractal's dimension if every map is a similarity and their images do not overlap; else it is a rough
    guide. NaN unless every area factor is below 1.
    """
    if any(area >= 1 for area in areas):
        return float("nan")
    low, high = 0.0, 2.0
    while _moran(areas, high) > 1:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _moran(areas, middle) > 1 else (low, middle)
    return high


def _moran(areas: Sequence[float], d: float) -> float:
    return sum(area ** (d / 2) for area in areas if area > 0)
