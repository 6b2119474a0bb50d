"""Six renderers on one problem: the same mesh, camera, target and loss for each, and what a step costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from labkit.errors import DomainError, check_positive
from labkit.events import Event, Step
from labkit.geometry import Mesh, icosphere, torus
from labkit.lab.explorer_mesh import subject
from labkit.render import DIBR, N3MR, AlgoNet, GenDR, Hard, Rasterizer, Rendering, SoftRas, render
from labkit.render.raster.op import Backend
from labkit.render.raster.pixels import pixel_pitch
from labkit.scene import Camera

OPACITY = 20.0  # AlgoNet's default
DISTANCE, FOV = 3.0, 55.0  # of the camera: world units from the middle of the mesh, degrees
BETAS = (0.5, 0.9)  # of Adam: a short memory, so that a race does not swing past its goal
LOSSES = ("silhouette", "colours")
FREEDOMS = ("whole shape", "each vertex")


def contenders(width: float, size: tuple[int, int]) -> dict[str, Rasterizer]:
    """The renderers by name, those with soft edges as soft as ``width`` says, in pixels of an (H, W) image.

    `edge_width_px` says of each what that width is; for `N3MR` and `Hard` it is always 0.
    """
    return {
        "AlgoNet": AlgoNet.from_pixels(width, OPACITY, size),
        "SoftRas": SoftRas.from_pixels(width, size),
        "GenDR": GenDR.from_pixels(width, size),
        "DIB-R": DIBR.from_pixels(width, size),
        "N3MR (surrogate)": N3MR(),
        "Hard": Hard(),
    }


NAMES = tuple(contenders(1.0, (1, 1)))


def _coloured(mesh: Mesh) -> Mesh:
    """The mesh in the unit sphere, coloured by position, as the explorer colours its own."""
    shown = mesh.weld().normalized()
    return Mesh(shown.vertices, shown.faces, colors=(0.55 + 0.4 * shown.vertices).clamp(0, 1))


SHAPES: MappingProxyType[str, Callable[[], Mesh]] = MappingProxyType(
    {
        "sphere": lambda: _coloured(icosphere(1)),
        "chair": lambda: subject("chair").mesh,
        "torus": lambda: _coloured(torus(segments=16, sides=8)),
    }
)
"""Small shapes, so that six pictures and six gradients keep up with a slider."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One forward and backward pass.

    Attributes:
        picture: what was rendered, detached.
        loss: its value.
        gradient: (V, 3) of the loss with respect to the vertices; zeros where none passes.
        seconds: wall time of both passes.
        kept: bytes of all tensors that autograd keeps from the forward for the backward pass, each storage once. What
            a kernel allocates and frees inside a pass is not seen.
    """

    picture: Rendering
    loss: float
    gradient: Tensor
    seconds: float
    kept: int


@dataclass(frozen=True, eq=False)
class Problem:
    """A mesh that shall look like its own copy, moved.

    Attributes:
        mesh: the start.
        camera: who looks.
        size: (H, W) in pixels.
        target: the hard picture of the moved copy: no contender's own.
        loss: "silhouette" compares alphas, "colours" compares colours over black; mean squared difference.
    """

    mesh: Mesh
    camera: Camera
    size: tuple[int, int]
    target: Rendering
    loss: str = LOSSES[0]

    @property
    def pixel(self) -> float:
        """World units that one pixel is wide, at the middle of the mesh."""
        return float(self.camera.half_extent(self.mesh.vertices)) * DISTANCE * pixel_pitch(self.size)

    def measure(self, vertices: Tensor, rasterizer: Rasterizer, backend: Backend = "auto") -> Measured:
        """Render ``vertices`` (V, 3) in place of those of the mesh, and differentiate the loss."""
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        begun = time.perf_counter()
        free = vertices.detach().clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            mesh = self.mesh.replace(vertices=free)
            picture = render(mesh, self.camera, self.size, rasterizer, shading="gouraud", backend=backend)
            silhouette = self.loss == "silhouette"
            found, wanted = (each.alpha if silhouette else each.color for each in (picture, self.target))
            loss = (found - wanted).square().mean()
        gradient = torch.zeros_like(free)
        if loss.requires_grad:  # the hard silhouette does not: it is a constant
            (gradient,) = torch.autograd.grad(loss, free)
        seconds = time.perf_counter() - begun
        seen = Rendering(picture.color.detach(), picture.alpha.detach())
        return Measured(seen, float(loss.detach()), gradient, seconds, sum(kept.values()))

    def missed(self, vertices: Tensor) -> float:
        """1 - IoU of the hard silhouettes: one referee for all, 0 where the target is met."""
        with torch.no_grad():
            found = render(self.mesh.replace(vertices=vertices), self.camera, self.size, Hard()).alpha
        either = torch.maximum(found, self.target.alpha).sum()
        return float(1 - torch.minimum(found, self.target.alpha).sum() / either.clamp(min=1))

    def on_screen(self, vertices: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Places (V, 2) of the vertices in pixels, column and row, and how world ``directions`` (V, 3) look there.

        Directions keep their length in world units; only their part across the line of sight is left.
        """
        height, width = self.size
        spot = self.camera.project(vertices)[:, :2] / pixel_pitch(self.size)
        flip = spot.new_tensor([1.0, -1.0])
        middle = spot.new_tensor([(width - 1) / 2, (height - 1) / 2])
        return spot * flip + middle, (directions @ self.camera.rotation.to(directions).mT)[:, :2] * flip


def pose(
    shape: str,
    side: int = 64,
    azimuth: float = 30.0,
    shift: tuple[float, float] = (10.0, 5.0),
    loss: str = LOSSES[0],
) -> Problem:
    """The problem of a built-in shape.

    Args:
        shape: a key of `SHAPES`.
        side: of the square picture, pixels.
        azimuth: of the camera, degrees.
        shift: of the target, to the right and upwards, in pixels at the middle of the mesh.
        loss: one of `LOSSES`.

    Raises:
        DomainError: an unknown shape or loss.
    """
    for name, value, known in (("shape", shape, tuple(SHAPES)), ("loss", loss, LOSSES)):
        if value not in known:
            raise DomainError(name, repr(value), f"one of {', '.join(known)}")
    mesh, camera, size = SHAPES[shape](), Camera.orbit(azimuth, 20.0, DISTANCE, fov=FOV), (side, side)
    empty = torch.zeros(1, 1, *size)
    problem = Problem(mesh, camera, size, Rendering(empty, empty), loss)
    way = mesh.vertices.new_tensor([*shift, 0.0]) * problem.pixel @ camera.rotation  # camera axes in the world
    target = render(mesh.replace(vertices=mesh.vertices + way), camera, size, Hard(), shading="gouraud")
    return Problem(mesh, camera, size, target, loss)


@dataclass(eq=False)
class Race:
    """The same descent by Adam with each renderer's own gradient, one step of each in turn.

    Args:
        problem: what is solved.
        rasterizers: the renderers by name.
        freedom: one of `FREEDOMS`: the shape moves as a whole (three numbers), or each vertex by itself.
        rate: learning rate, about the largest move of a step, in pixels.

    Attributes:
        vertices: (V, 3) by name, as they stand after the newest step.

    Raises:
        DomainError: an unknown freedom, or a rate that is not positive.
    """

    problem: Problem
    rasterizers: dict[str, Rasterizer]
    freedom: str = FREEDOMS[0]
    rate: float = 1.0
    vertices: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        check_positive("rate", self.rate, "pixels")
        if self.freedom not in FREEDOMS:
            raise DomainError("freedom", repr(self.freedom), f"one of {', '.join(FREEDOMS)}")
        self.vertices = dict.fromkeys(self.rasterizers, self.problem.mesh.vertices)

    def run(self, steps: int) -> Iterator[Event]:
        """Descend; after each round one `Step` with "NAME, loss", "NAME, missed", "NAME, ms" and "NAME, kB" of all.

        Loss and what is missed are those before the move of the round.
        """
        start = self.problem.mesh.vertices
        rows = 1 if self.freedom == FREEDOMS[0] else len(start)
        moves = {name: start.new_zeros(rows, 3, requires_grad=True) for name in self.rasterizers}
        rate = self.rate * self.problem.pixel
        optimizers = {name: torch.optim.Adam([move], rate, betas=BETAS) for name, move in moves.items()}
        for number in range(1, steps + 1):
            values: dict[str, float] = {}
            for name, rasterizer in self.rasterizers.items():
                found = self.problem.measure(self.vertices[name], rasterizer)
                values |= figures(name, found, self.problem.missed(self.vertices[name]))
                moves[name].grad = found.gradient.sum(0, keepdim=True) if rows == 1 else found.gradient
                optimizers[name].step()
                self.vertices[name] = start + moves[name].detach()
            yield Step(number, steps, values)


def figures(name: str, found: Measured, missed: float) -> dict[str, float]:
    """What a `Step` of `Race.run` says of one renderer."""
    told: Sequence[tuple[str, float]] = (
        ("loss", found.loss),
        ("missed", missed),
        ("ms", 1e3 * found.seconds),
        ("kB", found.kept / 1e3),
    )
    return {f"{name}, {what}": value for what, value in told}
