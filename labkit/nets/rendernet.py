"""RenderNet: a network that learns to render a volume, and its smaller form in IG-GAN."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from labkit.errors import DomainError
from labkit.nets.layers import (
    MAX_DEPTH,
    MAX_WIDTH,
    SeededDropout,
    blank,
    check_count,
    check_input,
    default_generator,
    start_he,
)

SHORTEST = 16  # the smallest grid that the two halvings leave something of
NARROWEST = 8  # channels of the 2D part; the paper's never come near
SLOPE = 0.25  # PReLU's start (He et al. 2015)


class SameConv(nn.Module):
    """A convolution of stride 1 that keeps the size: an even kernel is padded with one more behind than in front."""

    def __init__(self, conv: nn.Module, kernel: int) -> None:
        super().__init__()
        self.conv, self.pad = conv, ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C', ...)."""
        padded: Tensor = self.conv(nn.functional.pad(x, self.pad * (x.ndim - 2)))
        return padded


class ResidualBlock(nn.Module):
    """conv 3, PReLU, conv 3, plus the input (RenderNet, section 2), in 2 or 3 dimensions."""

    def __init__(self, dimensions: int, channels: int, weights: _Weights, depth: int) -> None:
        super().__init__()
        self.first = weights.conv(dimensions, channels, channels, 3, padding=1)
        self.active = nn.PReLU(channels, SLOPE)
        # Each block of a stack adds its share to what passes through; so the sum keeps its scale at the start.
        self.second = weights.conv(dimensions, channels, channels, 3, padding=1, gain=1 / math.sqrt(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...), the same shape."""
        passed: Tensor = x + self.second(self.active(self.first(x)))
        return passed


class _Weights:
    """Makes convolutions for PReLU that start as `start_he`, drawn from one generator.

    RenderNet's code has Glorot's start; as the network has no norms, 1 % of the signal's scale would then be left at
    its end.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def conv(
        self, dimensions: int, inputs: int, outputs: int, kernel: int, *, gain: float = 1, **fields: Any
    ) -> nn.Module:
        kind = (nn.Conv2d, nn.Conv3d)[dimensions - 2]
        layer: nn.Module = blank(kind, inputs, outputs, kernel, **fields)
        start_he(layer, inputs * kernel**dimensions, self.generator, SLOPE, gain)
        return layer

    def doubling(self, inputs: int, outputs: int) -> nn.Module:
        layer = blank(nn.ConvTranspose2d, inputs, outputs, 4, stride=2, padding=1)
        start_he(layer, inputs * 4, self.generator, SLOPE)  # 2 of 4 taps along each axis meet a number of the result
        return layer


class RenderNet(nn.Module):
    """RenderNet (Nguyen-Phuoc et al. 2018, supplement 2.1): a volume in the camera's frame to a picture of its size.

    1. 3D convolutions, channels {w/2, w, w}, kernels {5, 3, 3}, strides {2, 2, 1}, and 3D residual blocks.
    2. Projection: depth and channels become one axis of size/4 * w, mixed by a 1x1 convolution of as many channels f.
    3. 2D residual blocks, a 4x4 convolution to f/2, and 2D residual blocks again.
    4. 4x4 convolutions, channels {f/4, f/8, f/16, f/32, 1}, strides {1, 2, 2, 1, 1}, those of stride 2 transposed;
       at the end a sigmoid. The paper lists five channels and four kernels and strides; the fifth is read as 4 and 1.
       Where f is small, no layer is narrower than 8.

    With the paper's w = 16 a cube of 128 gives f = 32 * 16 = 512 and a picture of 128. (The authors' code halves the
    depth once more and the picture's axes once less and so gives 512 pixels; that is not what the paper says.)
    PReLU, one slope per channel, after every convolution but those at the ends of blocks and of the network; dropout
    after the same ones, outside the blocks.

    Args:
        size: voxels of an edge and pixels of an edge, a multiple of 4, 16 to 256; 128 in the paper.
        width: w, channels of the 3D part, even; 16 in the paper.
        features: f, channels of the 2D part; by default size / 4 * w as in the paper.
        blocks_3d, blocks_2d, blocks_late: residual blocks of steps 1 and 3; the paper's 10, 10 and 5 are 56.3 million
            numbers.
        channels: of the picture.
        dropout: share set to 0 in training; then `seed_dropout` has to give a generator.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size out of range.
    """

    def __init__(
        self,
        size: int = 128,
        width: int = 16,
        *,
        features: int | None = None,
        blocks_3d: int = 10,
        blocks_2d: int = 10,
        blocks_late: int = 5,
        channels: int = 1,
        dropout: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count("size", size, SHORTEST, 256)
        check_count("width", width, 2, 1024)
        if size % 4 or width % 2:
            raise DomainError("size, width", (size, width), "a multiple of 4 and an even number")
        rays = size // 4 * width
        f = check_count("features", rays if features is None else features, NARROWEST, MAX_WIDTH)
        for name, count in (("blocks_3d", blocks_3d), ("blocks_2d", blocks_2d), ("blocks_late", blocks_late)):
            check_count(name, count, 0, MAX_DEPTH)
        self.size, self.channels = size, check_count("channels", channels, 1, MAX_WIDTH)
        weights = _Weights(default_generator(generator))

        def then(conv: nn.Module, outputs: int) -> list[nn.Module]:
            return [conv, nn.PReLU(outputs, SLOPE), SeededDropout(dropout)]

        def even(inputs: int, outputs: int) -> nn.Module:
            return SameConv(weights.conv(2, inputs, outputs, 4), 4)

        self.volume = nn.Sequential(
            *then(weights.conv(3, 1, width // 2, 5, stride=2, padding=2), width // 2),
            *then(weights.conv(3, width // 2, width, 3, stride=2, padding=1), width),
            *then(weights.conv(3, width, width, 3, padding=1), width),
            *(ResidualBlock(3, width, weights, blocks_3d) for _ in range(blocks_3d)),
        )
        self.projection = nn.Sequential(*then(weights.conv(2, rays, f, 1), f))
        narrowing = [max(f // 2**n, NARROWEST) for n in range(1, 6)]  # f/2, f/4, ... f/32
        shapes = (even, weights.doubling, weights.doubling, even)
        self.picture = nn.Sequential(
            *(ResidualBlock(2, f, weights, blocks_2d) for _ in range(blocks_2d)),
            *then(even(f, narrowing[0]), narrowing[0]),
            *(ResidualBlock(2, narrowing[0], weights, blocks_late) for _ in range(blocks_late)),
            *(
                part
                for conv, (inputs, outputs) in zip(shapes, pairwise(narrowing), strict=True)
                for part in then(conv(inputs, outputs), outputs)
            ),
            even(narrowing[-1], channels),
        )

    @classmethod
    def iggan(
        cls, size: int = 128, width: int = 16, *, generator: torch.Generator | None = None, **fields: Any
    ) -> RenderNet:
        """Return IG-GAN's form (section 4.1): "2 residual blocks in 3D and 4 residual blocks in 2D only".

        22.0 million numbers at the paper's size and width. No dropout unless ``fields`` name it: IG-GAN does not say,
        and RenderNet's published configuration trains without.
        """
        fields = {"blocks_3d": 2, "blocks_2d": 4, "blocks_late": 0, "dropout": 0.0} | fields
        return cls(size, width, generator=generator, **fields)

    def __call__(self, grid: Tensor) -> Tensor:
        """Return pictures (B, channels, size, size) in (0, 1), row 0 on top.

        Args:
            grid: (B, 1, size, size, size) occupancies in [0, 1] in the camera's frame: x right, y up, z to the camera.

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: the grid is not so, or not finite.
        """
        return super().__call__(grid)

    def forward(self, grid: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        grid = check_input("grid", grid, f"B 1 {self.size} {self.size} {self.size}", next(self.parameters()))
        rows = grid.transpose(2, 3).flip(2)  # (B, 1, rows downwards, columns, depth)
        deep: Tensor = self.volume(rows)  # (B, w, S/4, S/4, S/4)
        flat = deep.permute(0, 4, 1, 2, 3).flatten(1, 2)  # (B, S/4 * w, S/4, S/4)
        return torch.sigmoid(self.picture(self.projection(flat)))
