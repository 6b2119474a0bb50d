"""RAN's discriminator: does a picture of one domain belong to a picture of the other, and is each of its kind?"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.errors import DomainError
from labkit.nets.layers import MAX_WIDTH, blank, check_count, check_input, default_generator, start_he
from labkit.nets.pix2pix import SLOPE

LEVELS = (1, 2, 4, 8)
"""Filters of the layers before the last, in units of the first: C64-C128-C256-C512, then C1."""


class PairDiscriminator(nn.Module):
    """D(a, b): C64-C128-C256-C512-C1 on both pictures at once (AlgoNet, Appendix D.2), without its sigmoid.

    Both pictures are concatenated along the channels, as in pix2pix; the paper does not say. All five convolutions
    are 4 x 4 at stride 2, LeakyReLU follows all but the last, so a picture of n pixels a side gives a map of n / 32 a
    side. The paper does not say either how it becomes one answer: here the logits are averaged.
    `torch.sigmoid` of them is the paper's D. Weights start as those of `Pix2Pix`.

    Args:
        a_channels, b_channels: of the two pictures.
        size: pixels along each side, a multiple of 32.
        width: filters of the first layer, 64 in the paper, of which the others are multiples.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size out of range.
    """

    def __init__(
        self,
        a_channels: int,
        b_channels: int,
        size: int,
        width: int = 64,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"a_channels": a_channels, "b_channels": b_channels, "size": size, "width": width}
        for name, count in sizes.items():
            check_count(name, count, 1, MAX_WIDTH)
        if size % 32:
            raise DomainError("size", size, "a multiple of 32, to be halved five times")
        self.channels, self.size = (a_channels, b_channels), size
        filters = [a_channels + b_channels, *(width * times for times in LEVELS), 1]
        layers = [blank(nn.Conv2d, *pair, 4, 2, 1) for pair in pairwise(filters)]
        generator = default_generator(generator)
        for layer in layers:
            start_he(layer, 16 * layer.in_channels, generator, SLOPE)
        self.layers = nn.ModuleList(layers)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Return one logit for each pair, (B,); large where the pair looks real.

        Args:
            a: (B, a_channels, size, size), of the dtype and on the device of the network.
            b: (B, b_channels, size, size), likewise.

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: not so, or not finite.
        """
        return super().__call__(a, b)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        return self.map(a, b).mean((1, 2))

    def map(self, a: Tensor, b: Tensor) -> Tensor:
        """The logits of the parts of the pictures, (B, size / 32, size / 32); arguments and errors as `__call__`."""
        weight, (of_a, of_b) = next(self.parameters()), self.channels
        check_input("a", a, f"B {of_a} {self.size} {self.size}", weight)
        check_input("b", b, f"{len(a)} {of_b} {self.size} {self.size}", weight)
        now = torch.cat([a, b], 1)
        for layer in self.layers[:-1]:
            now = F.leaky_relu(layer(now), SLOPE)
        logits: Tensor = self.layers[-1](now)
        return logits[:, 0]
