"""Many processes as one: who is in the team, and the few things that its members tell each other."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from labkit.errors import DomainError

PATIENCE = timedelta(minutes=5)  # after which a member that no longer answers ends all the others


@dataclass(frozen=True)
class Team:
    """The processes that train together. Every member draws the same global batch and works on its own share.

    Attributes:
        device: where this member computes.
        rank: its number, from 0, which alone writes files.
        world: how many there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    def share(self, rows: Tensor) -> Tensor:
        """This member's rows of a global batch, (N, ...) -> (N / world, ...).

        Raises:
            DomainError: the rows cannot be shared out evenly.
        """
        self.check_batch(len(rows))
        return rows[self.rank :: self.world]

    def check_batch(self, rows: int) -> None:
        """Raise `DomainError` unless so many rows of a global batch can be shared out evenly."""
        if rows % self.world:
            raise DomainError("batch", f"{rows} rows", f"a multiple of the {self.world} processes")

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as it must be called in training: its gradients become the mean over the team."""
        if self.world == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, devices, find_unused_parameters=True)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a detached tensor over the team, known to all."""
        if self.world == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.world

    def tell(self, flags: Sequence[bool]) -> list[bool]:
        """What rank 0 says, known to all."""
        if self.world == 1:
            return list(flags)
        told = torch.tensor(flags, dtype=torch.uint8, device=self.device)
        distributed.broadcast(told, 0)
        return [bool(flag) for flag in told.tolist()]

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its mean over the team; one message for all of a dtype.

        Every member passes as many, of the same shapes and dtypes, in the same order.
        """
        if self.world == 1:
            return
        for dtype in dict.fromkeys(value.dtype for value in values):  # a set has another order in every process
            alike = [value for value in values if value.dtype == dtype]
            mean = self.mean(torch.cat([value.detach().flatten() for value in alike]))
            for value, part in zip(alike, mean.split([value.numel() for value in alike]), strict=True):
                value.detach().copy_(part.view_as(value))

    def copy(self, value: Tensor) -> None:
        """Replace a tensor, in place, by that of rank 0."""
        if self.world > 1:
            there = value.to(self.device)
            distributed.broadcast(there, 0)
            value.copy_(there)

    def wait(self) -> None:
        """Wait until all are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """The team that torchrun started this process for, or a team of one.

    Args:
        device: a cuda device without a number becomes this member's own.
    """
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield Team(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        # A wrapped module that outlives the group would free it while holding Python's lock, on which a thread of the
        # group may wait: a deadlock.
        gc.collect()
        distributed.destroy_process_group()
