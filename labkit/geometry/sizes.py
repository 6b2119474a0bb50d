"""Records of sizes from which procedural shapes are made, checked and drawn at random."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import torch

from labkit.errors import DomainError, check_positive


def size(default: float, low: float, high: float) -> Any:
    """A field of `Sizes`, with the range from which ``sample`` draws it."""
    return dataclasses.field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class Sizes:
    """Sizes that are all greater than zero, each with the range from which ``sample`` draws it."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_positive(field.name, getattr(self, field.name))

    @classmethod
    def sample(cls, generator: torch.Generator) -> Self:
        """Sizes drawn uniformly and independently from the ranges that the class states."""
        ranges = {f.name: f.metadata["range"] for f in dataclasses.fields(cls) if "range" in f.metadata}
        draws = torch.rand(len(ranges), generator=generator, device=generator.device, dtype=torch.float64).tolist()
        drawn = zip(ranges.items(), draws, strict=True)
        return cls(**{name: low + t * (high - low) for (name, (low, high)), t in drawn})

    def below(self, name: str, limit: float, meaning: str) -> None:
        """Raise `DomainError` unless a field is less than a limit, whose meaning goes into the message."""
        if getattr(self, name) >= limit:
            raise DomainError(name, getattr(self, name), f"less than {meaning} = {limit:g}")
