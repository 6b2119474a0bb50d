"""The errors of labkit: each names the argument, what came, and what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class LabError(Exception):
    """Base of every error that labkit raises on purpose.

    Args:
        argument: name of the argument (or file, field, backend) at fault.
        got: what came, as text.
        expected: what would have been right, or the cure.
    """

    def __init__(self, argument: str, got: object, expected: str) -> None:
        self.argument, self.got, self.expected = argument, str(got), expected
        super().__init__(f"{argument}: got {got}, expected {expected}")

    def __reduce__(self) -> tuple[type[LabError], tuple[str, str, str]]:
        return type(self), (self.argument, self.got, self.expected)


class ShapeError(LabError, ValueError):
    """A tensor has the wrong number of dimensions or the wrong sizes."""


class DomainError(LabError, ValueError):
    """A value lies outside the range where the computation is defined (NaN and infinity included)."""


class DTypeError(LabError, TypeError):
    """A tensor has the wrong element type, or an argument the wrong Python type."""


class DeviceError(LabError, ValueError):
    """Tensors that must share a device do not."""


class FileError(LabError, OSError):
    """A file is missing, broken, too large, or points outside its folder."""

    def __str__(self) -> str:
        return self.args[0]


class BackendError(LabError, RuntimeError):
    """A backend or optional package that was asked for is not available."""


def check_tensor(name: str, value: object, shape: str, *, integer: bool = False, finite: bool = True) -> Tensor:
    """Return ``value`` if it is a tensor of the given shape, else raise.

    Args:
        name: argument name, used in the message.
        value: the thing to check.
        shape: sizes separated by blanks; a number must match, a name matches any size (the same size wherever
            it is repeated), a leading ``...`` allows any number of leading dimensions.
        integer: expect int64 instead of float32 or float64.
        finite: refuse NaN and infinity, naming the first bad index.

    Raises:
        DTypeError, ShapeError, DomainError: as the names say.
    """
    if not isinstance(value, Tensor):
        raise DTypeError(name, type(value).__name__, f"a torch.Tensor of shape ({shape})")
    wanted = "int64" if integer else "float32 or float64"
    allowed = (torch.int64,) if integer else (torch.float32, torch.float64)
    if value.dtype not in allowed:
        raise DTypeError(name, str(value.dtype).removeprefix("torch."), wanted)
    sizes = shape.split()
    trailing = sizes[1:] if sizes and sizes[0] == "..." else sizes
    actual = list(value.shape)[len(value.shape) - len(trailing) :] if trailing is not sizes else list(value.shape)
    bound: dict[str, int] = {}
    fits = len(actual) == len(trailing) and all(
        size == (int(want) if want.isdigit() else bound.setdefault(want, size))
        for want, size in zip(trailing, actual, strict=True)
    )
    if not fits:
        raise ShapeError(name, tuple(value.shape), f"shape ({', '.join(sizes)})")
    # A sum is finite only if its terms are, and costs one pass; where it overflows, the terms decide.
    suspect = finite and not integer and bool(value.numel()) and not math.isfinite(value.detach().sum().item())
    if suspect and not bool(value.isfinite().all()):
        index = tuple((~torch.isfinite(value)).nonzero()[0].tolist())
        raise DomainError(name, f"{value[index].item()} at index {index}", "finite numbers only")
    return value


def check_positive(name: str, value: float | Tensor, unit: str = "") -> None:
    """Raise `DomainError` unless ``value`` (a number or a one-element tensor) is finite and greater than zero."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ShapeError(name, tuple(value.shape), "one number")
    if isinstance(value, bool) or not isinstance(value, (int, float, Tensor)):
        raise DTypeError(name, type(value).__name__, "a number or a one-element tensor")
    number = float(value.detach()) if isinstance(value, Tensor) else float(value)
    if not (math.isfinite(number) and number > 0):
        raise DomainError(name, number, f"a finite number greater than 0{' ' + unit if unit else ''}")


def check_size(name: str, size: Sequence[int], limit: int = 16384) -> tuple[int, int]:
    """Return ``(height, width)`` in pixels if both are whole numbers in [1, limit], else raise `DomainError`."""
    if len(size) != 2 or any(isinstance(n, bool) or not isinstance(n, int) for n in size):
        raise DTypeError(name, size, "(height, width), two whole numbers of pixels")
    if not all(1 <= n <= limit for n in size):
        raise DomainError(name, tuple(size), f"height and width between 1 and {limit} pixels")
    return size[0], size[1]


def check_device(**tensors: Tensor | None) -> None:
    """Raise `DeviceError`, naming both, unless all given tensors lie on one device."""
    present = {name: t.device for name, t in tensors.items() if t is not None}
    for name, device in present.items():
        first, home = next(iter(present.items()))
        if device != home:
            raise DeviceError(name, device, f"{home}, where {first} lies")
