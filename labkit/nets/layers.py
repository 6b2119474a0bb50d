"""What the networks share: layers without hidden randomness, and the check of their sizes."""

from __future__ import annotations

import math
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from labkit.errors import DeviceError, DomainError, DTypeError, check_device, check_tensor
from labkit.scene.vectors import check_between

MAX_WIDTH = 65536
MAX_DEPTH = 64
Layer = TypeVar("Layer", bound=nn.Module)


def blank(kind: type[Layer], *sizes: int, **fields: Any) -> Layer:
    """Return a layer whose numbers are not set yet: torch's own start would draw them from its global stream.

    It lies on torch's default device, so also on "meta", where it has no numbers.
    """
    return cast(Layer, nn.utils.skip_init(kind, *sizes, device=torch.get_default_device(), **fields))


def start_he(layer: nn.Module, inputs: int, generator: torch.Generator, slope: float = 0.0, gain: float = 1.0) -> None:
    """Draw a layer's weights normal with variance gain^2 2 / ((1 + slope^2) inputs); its biases become 0.

    Signals then keep their size through layers and (leaky) ReLU (He et al. 2015, equation 15).

    Args:
        layer: with a "weight" and perhaps a "bias".
        inputs: numbers that are summed in each output.
        generator: on the CPU.
        slope: of the ReLU below zero.
        gain: by how much the outputs are larger than that.
    """
    for name, parameter in layer.named_parameters():
        if name == "weight":
            nn.init.normal_(parameter, 0, gain * math.sqrt(2 / ((1 + slope**2) * inputs)), generator=generator)
        else:
            nn.init.zeros_(parameter)


def check_count(name: str, value: int, low: int, high: int) -> int:
    """Return ``value`` if it is a whole number in [low, high], else raise `DomainError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DomainError(name, value, f"a whole number from {low} to {high}")
    return value


def linears(stack: nn.ModuleList) -> list[nn.Linear]:
    """Return the stack as what it is: torch's own annotation only knows modules."""
    return cast("list[nn.Linear]", stack)


def check_input(name: str, value: Tensor | None, shape: str, weight: Tensor) -> Tensor:
    """Return ``value`` if it is finite, of that shape (see `check_tensor`), and of the dtype and device of ``weight``.

    Raises:
        ShapeError, DTypeError, DeviceError, DomainError: not so.
    """
    value = check_tensor(name, value, shape)
    check_device(network=weight, **{name: value})
    if value.dtype != weight.dtype:
        raise DTypeError(
            name, str(value.dtype).removeprefix("torch."), f"{weight.dtype} as the network has".removeprefix("torch.")
        )
    return value


class SeededDropout(nn.Module):
    """Dropout that draws from a stream of its own, so that a run can be repeated and resumed.

    Args:
        share: of the numbers that become 0 in training, in [0, 1); the others grow so that the mean stays.

    Attributes:
        generator: on the device of the input; `seed_dropout` sets it.

    Raises:
        DomainError: ``share`` out of range; in training, no generator.
        DeviceError: in training, a generator of another kind of device than the input.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        check_between("share", share, 0, 1, with_low=True)
        self.share = share
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, the same shape."""
        if not self.training or not self.share:
            return x
        if self.generator is None:
            raise DomainError("generator", None, "a torch.Generator (`seed_dropout`) to train with dropout")
        if self.generator.device.type != x.device.type:
            raise DeviceError("generator", self.generator.device, f"{x.device}, where the input lies")
        drawn = torch.rand(x.shape, generator=self.generator, device=x.device)
        return x * (drawn >= self.share) / (1 - self.share)


def seed_dropout(module: nn.Module, generator: torch.Generator) -> None:
    """Let every `SeededDropout` in a module draw from ``generator``."""
    for part in module.modules():
        if isinstance(part, SeededDropout):
            part.generator = generator


def default_generator(generator: torch.Generator | None) -> torch.Generator:
    """Return ``generator``, or a fresh one with seed 0: a network is the same at every start unless asked otherwise."""
    return torch.Generator().manual_seed(0) if generator is None else generator
