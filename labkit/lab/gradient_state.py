"""What the gradient panel remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

from labkit.lab.explorer_mesh import SHAPES
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.state import between, one_of
from labkit.render import DIBR, N3MR, AlgoNet, GenDR, Hard, Rasterizer, SoftRas

OPACITY = 20.0  # of AlgoNet, per unit of depth
SURROGATE = "N3MR (surrogate)"
RENDERERS: MappingProxyType[str, Callable[[float, tuple[int, int]], Rasterizer]] = MappingProxyType(
    {
        "AlgoNet": lambda edge, size: replace(AlgoNet.from_pixels(edge, OPACITY, size), sliver_fade=0.1),
        "SoftRas": SoftRas.from_pixels,
        "GenDR": GenDR.from_pixels,
        "DIB-R": lambda edge, size: DIBR.from_pixels(edge / 2, size),  # all of its edge lies outside
        SURROGATE: lambda edge, size: N3MR(),
        "Hard": lambda edge, size: Hard(),
    }
)
"""The renderers by name, made from the width of their edges in pixels and the size of the picture."""

NONE = "none"
SIZES = (48, 64, 96, 128, 192, 256)
SILHOUETTE, COLORS, PIXEL = "move the silhouette", "match a picture", "one pixel"
SAME = "the same shape"
VERTEX, EVERY, WHOLE = "the chosen vertex", "every vertex", "the whole mesh"
DIRECTIONS = ("right", "up", "towards the eye")


@dataclass(frozen=True)
class GradientState:
    """Everything that decides what the gradient panel shows.

    Attributes:
        mesh, path: a procedural shape, or "own file" for the one at ``path``.
        loss: mean squared difference of the silhouette, or of the colours, from the target; or how far one pixel is
            from white and covered.
        goal: the shape of the target.
        shift_x, shift_y: where the target lies, world units to the right and up in the picture.
        first, second, third: the renderers side by side.
        shown: number of the renderer, from 1, that the 3D view and the question "why" are about.
        edge: width of the soft edges in pixels.
        size: pixels along each side.
        azimuth, elevation, distance: where the eye is, degrees and world units.
        pick: the clicked pixel as (down, across), each in [0, 1] of the picture.
        vertex: number of the chosen vertex; the last one if there are fewer.
        move_x, move_y: how far it was moved from its place, world units to the right and up in the picture.
        moved, along: what is moved on the line through parameter space, and where to.
        free: what a descent moves.
        method: "Adam", or "gradient" for plain gradient descent.
        rate: world units that the fastest vertex moves in the first step.
        steps: how many a run takes.
    """

    mesh: str = one_of("icosphere", *SHAPES, OWN_FILE)
    path: str = ""
    loss: str = one_of(SILHOUETTE, COLORS, PIXEL)
    goal: str = one_of(SAME, *SHAPES)
    shift_x: float = between(0.3, -1.0, 1.0)
    shift_y: float = between(0.15, -1.0, 1.0)
    first: str = one_of("SoftRas", *RENDERERS)
    second: str = one_of("GenDR", *RENDERERS, NONE)
    third: str = one_of(SURROGATE, *RENDERERS, NONE)
    shown: int = between(1, 1, 3)
    edge: float = between(3.0, 0.2, 40.0)
    size: int = between(64, SIZES[0], SIZES[-1])
    azimuth: float = between(30.0, -180.0, 180.0)
    elevation: float = between(15.0, -89.0, 89.0)
    distance: float = between(4.0, 1.2, 10.0)
    pick: tuple[float, float] = between((0.5, 0.82), 0.0, 1.0)
    vertex: int = between(24, 0, 10_000_000)
    move_x: float = between(0.0, -1.0, 1.0)
    move_y: float = between(0.0, -1.0, 1.0)
    moved: str = one_of(WHOLE, VERTEX)
    along: str = one_of(*DIRECTIONS)
    free: str = one_of(EVERY, WHOLE)
    method: str = one_of("Adam", "gradient")
    rate: float = between(0.02, 0.001, 0.2)
    steps: int = between(60, 1, 500)

    @property
    def names(self) -> tuple[str, ...]:
        """The renderers side by side, each once."""
        return tuple(dict.fromkeys(name for name in (self.first, self.second, self.third) if name != NONE))

    @property
    def focus(self) -> str:
        """The renderer of the 3D view."""
        return self.names[min(self.shown, len(self.names)) - 1]

    @property
    def picked(self) -> tuple[int, int]:
        """Row and column of the clicked pixel."""
        return tuple(min(self.size - 1, int(part * self.size)) for part in self.pick)  # type: ignore[return-value]

    @property
    def start(self) -> tuple[object, ...]:
        """All that a descent starts from; when it changes, the descent is dropped."""
        place = (self.vertex, self.move_x, self.move_y) if self.move_x or self.move_y else ()
        return self.mesh, self.path, place, self.free, self.method

    def rasterizer(self, name: str) -> Rasterizer:
        """The renderer of that name, as soft as the state says."""
        return RENDERERS[name](self.edge, (self.size, self.size))
