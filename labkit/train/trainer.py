"""What a recipe must offer the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from labkit.events import Event


class Trainer(Protocol):
    """One recipe, set up to train: its networks and data, and one step of its algorithm.

    Whatever changes from step to step lies in ``modules``, ``optimizers`` and ``generators``: these three are what a
    checkpoint holds.

    Attributes:
        modules: every network, by name. If "dials" are `labkit.train.dials.Dials`, they can be turned on the way.
        optimizers: by name.
        generators: every source of randomness of the steps, by name.
        batch: what the newest step drew, by name, kept for the report if it fails.
        best: which figure of `measure` says how good a checkpoint is; larger is better.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator]
    batch: Mapping[str, Tensor]
    best: str

    def step(self, number: int) -> Mapping[str, Tensor | float]:
        """Train step ``number``, from 1, and return its figures; "gradient" is the norm of the gradients.

        Raises:
            NonFiniteError: before anything has changed.
        """
        ...

    def truth(self) -> Iterable[Event]:
        """What the previews are to become, named "truth..."; nothing where it is not known."""
        ...

    def measure(self, final: bool) -> Mapping[str, float]:
        """Figures of quality, at each checkpoint and more thoroughly at the end; no randomness of the steps is used."""
        ...

    def snapshot(self, number: int) -> Callable[[], Iterable[Event]]:
        """Copy what a preview needs; the result makes the preview's events, on another thread, as training goes on."""
        ...
