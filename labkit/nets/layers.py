"""What the networks share: layers without hidden randomness, and the check of their sizes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError, check_device, check_tensor

MAX_WIDTH = 65536
MAX_DEPTH = 64


def blank_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer whose numbers are not set yet: torch's own start would draw them from its global stream."""
    return nn.utils.skip_init(nn.Linear, inputs, outputs)


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
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise DomainError("share", share, "in [0, 1)")
        self.share = share
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, the same shape."""
        if not self.training or not self.share:
            return x
        if self.generator is None:
            raise DomainError("generator", None, "a torch.Generator (`seed_dropout`) to train with dropout")
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
