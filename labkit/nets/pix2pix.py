"""pix2pix as RAN has it: halve the picture again and again, double it again, and keep what was there on the way."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.errors import DomainError
from labkit.nets.layers import (
    MAX_WIDTH,
    SeededDropout,
    blank,
    check_count,
    check_input,
    default_generator,
    start_he,
)

SLOPE = 0.2
"""Of LeakyReLU below zero (AlgoNet, Appendix D.2)."""
WIDTHS = (1, 2, 4, 8, 8, 8, 8)
"""Filters of the seven halving layers, in units of the first: C64-C128-C256-C512-C512-C512-C512."""
FIRST_DROPOUT = 5
"""The halving layer, from 1, from which on there is dropout."""
BORDER = 1e-2
"""How near to 0 and 1 a picture may come before its logit is taken."""
CALM = 0.03
"""By how much the last weights start smaller than He's where an untrained network is to change nothing yet."""


class Pix2Pix(nn.Module):
    """The symmetric residual network of AlgoNet, Appendix D.2: pictures to pictures of the same size.

    The first half are layers Ck: a convolution with k filters of 4 x 4 at stride 2, then LeakyReLU with slope 0.2,
    from the fifth on with dropout. The second half mirrors it with transposed convolutions. Without a residual of the
    last block, its last layer has no LeakyReLU.

    The paper does not say how the halves meet. "sum" reads "residual" as a sum: what comes back from a deeper block is
    added to what went in. "concatenate" is the published pix2pix (Isola et al. 2017), whose mirrored layers have twice
    the inputs. Dropout is mirrored too, as there. Normalisation is not mentioned, and not here: weights that start as
    `start_he` keep the size of signals without it.

    Args:
        inputs, outputs: channels.
        size: pixels along each side; ``2^downs`` divides it.
        width: filters of the first layer; 64 in the paper, of which the others are multiples.
        skips: how the halves meet.
        downs: halving layers, 1 to 7; by default as many as the size allows. The paper cuts the translators to "the
            first two or more".
        dropout: share of the activations, in [0, 1).
        output: "sigmoid" gives pictures in (0, 1), "linear" anything.
        residual: also close the outermost block: the logit of the input, kept within [0.01, 0.99], is added before the
            sigmoid, and the last layer starts small, so that an untrained network hands its input on. Needs as many
            outputs as inputs, and "sigmoid".
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size or choice out of range.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        width: int = 64,
        *,
        skips: Literal["sum", "concatenate"] = "sum",
        downs: int | None = None,
        dropout: float = 0.5,
        output: Literal["sigmoid", "linear"] = "sigmoid",
        residual: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, count in (("inputs", inputs), ("outputs", outputs), ("size", size), ("width", width)):
            check_count(name, count, 1, MAX_WIDTH)
        if skips not in ("sum", "concatenate"):
            raise DomainError("skips", repr(skips), "sum or concatenate")
        if output not in ("sigmoid", "linear"):
            raise DomainError("output", repr(output), "sigmoid or linear")
        if residual and (output != "sigmoid" or inputs != outputs):
            raise DomainError("residual", f"{inputs} to {outputs} channels, {output}", "as many outputs, and sigmoid")
        halvings = (size & -size).bit_length() - 1
        downs = check_count("downs", min(halvings, len(WIDTHS)) if downs is None else downs, 1, len(WIDTHS))
        if downs > halvings:
            raise DomainError("size", size, f"a multiple of {2**downs}, to be halved {downs} times")
        self.inputs, self.size, self.skips, self.output, self.residual = inputs, size, skips, output, residual
        filters = [inputs, *(width * times for times in WIDTHS[:downs])]
        coming = [count * (2 if skips == "concatenate" and level < downs else 1) for level, count in enumerate(filters)]
        going = [outputs, *filters[1:]]
        halving = [blank(nn.Conv2d, filters[level], filters[level + 1], 4, 2, 1) for level in range(downs)]
        doubling = [blank(nn.ConvTranspose2d, coming[level + 1], going[level], 4, 2, 1) for level in range(downs)]
        self.drop = SeededDropout(dropout)  # one for all places: it has no numbers of its own
        generator = default_generator(generator)
        for down in halving:
            start_he(down, 16 * down.in_channels, generator, SLOPE)
        for up in doubling:
            start_he(up, 4 * up.in_channels, generator, SLOPE)  # of its 16 weights 4 meet in each pixel
        if residual:
            with torch.no_grad():
                doubling[0].weight.mul_(CALM)
        self.halving, self.doubling = nn.ModuleList(halving), nn.ModuleList(doubling)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return (B, outputs, size, size).

        Args:
            pictures: (B, inputs, size, size), of the dtype and on the device of the network; in [0, 1] if ``residual``.

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: not so, or not finite.
        """
        return super().__call__(pictures)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        check_input("pictures", pictures, f"B {self.inputs} {self.size} {self.size}", next(self.parameters()))
        kept, now = [], pictures
        for level, layer in enumerate(self.halving, 1):
            now = F.leaky_relu(layer(now), SLOPE)
            now = self.drop(now) if level >= FIRST_DROPOUT else now
            kept.append(now)
        kept.pop()
        for level in range(len(self.doubling) - 1, 0, -1):
            now = F.leaky_relu(self.doubling[level](now), SLOPE)
            now = self.drop(now) if level + 1 >= FIRST_DROPOUT else now
            now = now + kept.pop() if self.skips == "sum" else torch.cat([now, kept.pop()], 1)
        now = self.doubling[0](now)
        if self.residual:
            now = now + pictures.clamp(BORDER, 1 - BORDER).logit()
        return torch.sigmoid(now) if self.output == "sigmoid" else now
