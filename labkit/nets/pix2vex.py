"""pix2vex: the corners of a mesh out of pictures of it, RAN's reconstructor."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.errors import DomainError, check_positive, check_tensor
from labkit.nets.layers import MAX_WIDTH, blank, check_count, default_generator, start_he
from labkit.nets.pix2pix import CALM, SLOPE, Pix2Pix


class Pix2Vex(nn.Module):
    """A `Pix2Pix` with one output channel, two fully connected layers and a sigmoid (AlgoNet, Appendix D.2).

    The paper writes the two layers as n^2 -> [n^2 + 3v] -> 3v for n x n pixels and v vertices. Literally, at n = 128
    and v = 162, they have 284,614,256 numbers; ``hidden`` is what stands in the middle. LeakyReLU with slope 0.2 comes
    before each of them, which the paper does not say. The sigmoid's unit cube becomes the cube of ``edge`` around
    the origin. The last biases start where they give ``base``, the paper's "uniform sphere as base model", and the
    last weights small.

    Args:
        views: pictures of one object, as channels.
        size: n, pixels along each side of a picture; see `Pix2Pix`.
        vertices: v.
        hidden: numbers between the two layers; None for the literal n^2 + 3v.
        width, skips, downs, dropout: of the `Pix2Pix`.
        base: (v, 3), the mesh that it begins with, inside the cube; without one, all vertices begin at the origin.
        edge: of the cube, world units.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError, ShapeError, DTypeError: a size or choice out of range, or a base outside the cube.
    """

    def __init__(
        self,
        views: int,
        size: int,
        vertices: int = 162,
        hidden: int | None = 512,
        width: int = 64,
        *,
        skips: Literal["sum", "concatenate"] = "sum",
        downs: int | None = None,
        dropout: float = 0.5,
        base: Tensor | None = None,
        edge: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count("vertices", vertices, 1, MAX_WIDTH)
        check_positive("edge", edge, "world units")
        generator = default_generator(generator)
        self.pictures = Pix2Pix(
            views, 1, size, width, skips=skips, downs=downs, dropout=dropout, output="linear", generator=generator
        )
        self.edge = float(edge)
        hidden = size**2 + 3 * vertices if hidden is None else check_count("hidden", hidden, 1, MAX_WIDTH)
        self.first = blank(nn.Linear, size**2, hidden)
        self.last = blank(nn.Linear, hidden, 3 * vertices)
        start_he(self.first, size**2, generator, SLOPE)
        start_he(self.last, hidden, generator, SLOPE)
        with torch.no_grad():
            self.last.weight.mul_(CALM)
            if base is not None:
                inside = check_tensor("base", base, f"{vertices} 3").to(self.last.weight) / self.edge + 0.5
                if not bool(((inside > 0) & (inside < 1)).all()):
                    raise DomainError("base", f"up to {base.abs().max():g}", f"coordinates within +-{self.edge / 2:g}")
                self.last.bias.copy_(inside.logit().flatten())

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return vertices (B, V, 3) inside the cube, world units.

        Args:
            pictures: (B, views, size, size), of the dtype and on the device of the network.

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: not so, or not finite.
        """
        return super().__call__(pictures)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        rows = F.leaky_relu(self.pictures(pictures).flatten(1), SLOPE)  # (B, n^2)
        rows = self.last(F.leaky_relu(self.first(rows), SLOPE))  # (B, 3 V)
        return (torch.sigmoid(rows) - 0.5).unflatten(1, (-1, 3)) * self.edge
