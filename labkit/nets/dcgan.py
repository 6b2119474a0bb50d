"""DCGAN: transposed convolutions up to a picture or a volume, convolutions down to a logit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from labkit.errors import DomainError
from labkit.nets.layers import MAX_WIDTH, blank, check_count, check_input, default_generator, start_he

NORMS = ("batch", "instance", "none")
MAX_LATENT = 4096


def doublings(name: str, size: int, limit: int) -> int:
    """Return how often 4 has to be doubled to give ``size``: 3 for 32. Raises `DomainError` unless 1 or more times."""
    check_count(name, size, 8, limit)
    if size & (size - 1):
        raise DomainError(name, size, f"a power of two from 8 to {limit}")
    return size.bit_length() - 3


def start_normal(layer: Any, generator: torch.Generator, middle: float = 0.0) -> None:
    """Draw the weights of a convolution from N(0, 0.02^2), with ``middle`` 1 the scales of a norm; biases become 0.

    Source: DCGAN (Radford et al. 2016), section 4, and its code for the norms.
    """
    nn.init.normal_(layer.weight, middle, 0.02, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def normalize_spectrum(layer: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return the layer with its weight divided by its largest singular value (Miyato et al. 2018, algorithm 1).

    In training mode every pass runs one power iteration, which changes the buffers; in evaluation mode none does. Torch
    draws the start vectors from its global stream: here a number of ``generator`` seeds it, and it is put back.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return spectral_norm(layer)


class Upward(nn.Module):
    """DCGAN's generator: a latent vector grows to 4, 8, 16, ... along each axis by transposed 4-wide convolutions.

    The first has stride 1, the others double; between them norm and ReLU, at the end a sigmoid.

    Args:
        dimensions: 2 for pictures, 3 for volumes.
        widths: channels at 4, 8, ... and, last, of the result.
        latent: length of the latent vector.
        norm: "batch", "instance" or "none"; with none the weights start as `start_he`.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size out of range, or no such norm.
    """

    def __init__(
        self, dimensions: int, widths: Sequence[int], latent: int, norm: str, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise DomainError("norm", repr(norm), f"one of {', '.join(NORMS)}")
        self.latent, self.dimensions = check_count("latent", latent, 1, MAX_LATENT), dimensions
        generator = default_generator(generator)
        conv: type[Any] = (nn.ConvTranspose2d, nn.ConvTranspose3d)[dimensions - 2]
        norms: dict[str, type[Any]] = {
            "batch": (nn.BatchNorm2d, nn.BatchNorm3d)[dimensions - 2],
            "instance": (nn.InstanceNorm2d, nn.InstanceNorm3d)[dimensions - 2],
        }
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise([latent, *widths])):
            last, first = index == len(widths) - 1, index == 0
            stride, padding, bias = 1 if first else 2, 0 if first else 1, last or norm == "none"
            layer = blank(conv, inputs, outputs, 4, stride=stride, padding=padding, bias=bias)
            if norm == "none":
                # 2 of 4 taps along each axis meet a number of the result, in the first layer one.
                start_he(layer, inputs if first else inputs * 2**dimensions, generator)
            else:
                start_normal(layer, generator)
            layers.append(layer)
            if not last:
                if norm != "none":
                    layers.append(norms[norm](outputs, affine=True))
                    start_normal(layers[-1], generator, 1.0)
                layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)

    def logits(self, z: Tensor) -> Tensor:
        """The result before the sigmoid, shapes and errors as `__call__`."""
        z = check_input("z", z, f"B {self.latent}", next(self.parameters()))
        rows: Tensor = self.layers(z.reshape(len(z), self.latent, *[1] * self.dimensions))
        return rows

    def __call__(self, z: Tensor) -> Tensor:
        """Return (B, channels, size, size[, size]) in (0, 1).

        Args:
            z: (B, latent), from any distribution; 3D-GAN's is U(0, 1), others use N(0, 1) or U(-1, 1).

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: z is not so, or not finite.
        """
        return super().__call__(z)

    def forward(self, z: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        return torch.sigmoid(self.logits(z))


class ImageGenerator(Upward):
    """DCGAN's generator of pictures (B, channels, size, size) in (0, 1) (Radford et al. 2016, figure 1).

    At 64 the widths are 512, 256, 128, 64 (with 128 instead of 64, the figure's); each doubling of the size adds one in
    front. The sigmoid stands for DCGAN's tanh, as pictures are in [0, 1].

    Args:
        size: pixels of an edge, a power of two, 8 to 1024.
        latent: length of z; 100 in DCGAN.
        width: channels before the last layer.
        channels: of the picture.
        norm, generator: as in `Upward`.

    Raises:
        DomainError: a size out of range, or no such norm.
    """

    def __init__(
        self,
        size: int = 128,
        latent: int = 100,
        width: int = 64,
        channels: int = 1,
        *,
        norm: str = "batch",
        generator: torch.Generator | None = None,
    ) -> None:
        steps = doublings("size", size, 1024)
        check_count("width", width, 1, MAX_WIDTH >> steps)
        check_count("channels", channels, 1, MAX_WIDTH)
        super().__init__(2, [*(width << n for n in reversed(range(steps))), channels], latent, norm, generator)


class ImageDiscriminator(nn.Module):
    """DCGAN's discriminator with spectral norm: 4x4 convolutions of stride 2 down to 4x4, and one to the logit.

    IG-GAN (section 4.1) adds spectral norm to DCGAN's and does not say whether the batch norm stays; SN-GAN drops it,
    so it is off by default. Leaky ReLU with slope 0.2. In training mode each pass moves the buffers of the spectral
    norm: put it into evaluation mode where its output is only looked at.

    Args:
        size: pixels of an edge, a power of two, 8 to 1024.
        width: channels after the first convolution; each further one doubles them.
        channels: of the picture.
        spectral: divide each weight by its largest singular value.
        batch_norm: after each convolution but the first and the last, as DCGAN.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError: a size out of range.
    """

    def __init__(
        self,
        size: int = 128,
        width: int = 64,
        channels: int = 1,
        *,
        spectral: bool = True,
        batch_norm: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        steps = doublings("size", size, 1024)
        check_count("width", width, 1, MAX_WIDTH >> steps)
        self.size, self.channels = size, check_count("channels", channels, 1, MAX_WIDTH)
        generator = default_generator(generator)
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise([channels, *(width << n for n in range(steps)), 1])):
            last, normed = index == steps, batch_norm and 0 < index < steps
            stride, padding = (1, 0) if last else (2, 1)
            layer = blank(nn.Conv2d, inputs, outputs, 4, stride, padding, bias=not normed)
            start_normal(layer, generator)
            layers.append(normalize_spectrum(layer, generator) if spectral else layer)
            if normed:
                layers.append(nn.BatchNorm2d(outputs))
                start_normal(layers[-1], generator, 1.0)
            if not last:
                layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits (B,): D = sigmoid(logit) is the probability that a picture is of the data.

        Args:
            images: (B, channels, size, size), in [0, 1].

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: the pictures are not so, or not finite.
        """
        return super().__call__(images)

    def forward(self, images: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        # Any parameter tells type and device; asking a normalised layer for its weight would run a power iteration.
        images = check_input("images", images, f"B {self.channels} {self.size} {self.size}", next(self.parameters()))
        rows: Tensor = self.layers(images * 2 - 1)  # centred, as DCGAN's pictures in [-1, 1]
        return rows.flatten()
