"""The generator of 3D-GAN: from a latent vector to a cube of occupancies."""

from __future__ import annotations

import torch

from labkit.nets.dcgan import Upward, doublings
from labkit.nets.layers import MAX_WIDTH, check_count


class VoxelGenerator(Upward):
    """3D-GAN's generator (Wu et al. 2016, section 3.1; IG-GAN, section 4.1): (B, 1, R, R, R) occupancies in (0, 1).

    Transposed convolutions 200 -> 512 -> 256 -> 128 -> 64 -> 1 with kernel 4 give 4, 8, 16, 32, 64; 17.6 million
    numbers. A lower resolution leaves out the last hidden layers.

    Args:
        latent: length of z; 200 in 3D-GAN.
        resolution: voxels of an edge, a power of two, 8 to 256.
        width: channels at 4^3, halved by each further layer.
        norm: "batch" (3D-GAN), "instance" or "none".
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size out of range, or no such norm.
    """

    def __init__(
        self,
        latent: int = 200,
        resolution: int = 64,
        width: int = 512,
        norm: str = "batch",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        steps = doublings("resolution", resolution, 256)
        check_count("width", width, 2**steps, MAX_WIDTH)
        super().__init__(3, [*(width >> n for n in range(steps)), 1], latent, norm, generator)
