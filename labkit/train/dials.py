"""Numbers that can be turned while a run goes on, and that a checkpoint keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError


@dataclass(frozen=True)
class Dial:
    """One number and its range.

    Attributes:
        value: at the start.
        low, high: the smallest and the largest value that it may take, both finite.

    Raises:
        DomainError: a value outside its range, or a range without an end.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.value <= self.high < math.inf:
            raise DomainError("value", self.value, f"{self.low:g} to {self.high:g}, both finite")


class Dials(nn.Module):
    """Dials by name, ``dials["steepness"] -> float``.

    A trainer that has one as its module "dials" obeys the command "set" (`labkit.train.commands.send`). The numbers
    stay on the CPU, so that to read one never waits for a GPU. Those of a state that is loaded must be in their ranges
    too.

    Args:
        dials: by name.
    """

    vector: Tensor  # (N,) float64, in the order of `dials`

    def __init__(self, dials: Mapping[str, Dial]) -> None:
        super().__init__()
        self.dials = dict(dials)
        self.register_buffer("vector", torch.tensor([dial.value for dial in dials.values()], dtype=torch.float64))
        self.register_load_state_dict_post_hook(lambda module, _: module.turn(module.values))

    def __getitem__(self, name: str) -> float:
        """The value of one.

        Raises:
            DomainError: no such dial.
        """
        self._check(name)
        return self.values[name]

    @property
    def values(self) -> dict[str, float]:
        """All of them as they stand."""
        return dict(zip(self.dials, self.vector.tolist(), strict=True))

    def turn(self, values: Mapping[str, object]) -> None:
        """Set some of them, or none if one of the values cannot be.

        Raises:
            DomainError, DTypeError: no such dial, no number, or out of its range.
        """
        for name, value in values.items():
            self._check(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DTypeError(name, repr(value), "a number")
            dial = self.dials[name]
            if not dial.low <= value <= dial.high:
                raise DomainError(name, value, f"{dial.low:g} to {dial.high:g}")
        now = {**self.values, **values}
        self.vector.copy_(torch.tensor(list(now.values()), dtype=torch.float64))

    def _check(self, name: str) -> None:
        if name not in self.dials:
            raise DomainError("dial", name, f"one of {', '.join(self.dials)}")

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]  # as in torch
        """Stay on the CPU and in float64, whatever the modules beside it do."""
        return self
