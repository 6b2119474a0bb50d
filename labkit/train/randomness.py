"""Randomness that is named, seeded and saved: streams, their states as tensors, and deterministic mode."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from labkit.errors import BackendError, DomainError

DEFAULT = "default "  # begins the names of torch's own streams, which layers such as dropout draw from
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def stream_seed(seed: int, name: str) -> int:
    """A seed from 0 to 2^63 - 1 that is the same everywhere for the same arguments, and unrelated for others."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big") >> 1


def generators(seed: int, *names: str, device: torch.device | str = "cpu") -> dict[str, torch.Generator]:
    """Independent random streams by name: what one draws does not depend on the others.

    Args:
        seed: of the run.
        names: each at most once.
        device: where they draw.

    Raises:
        DomainError: a name twice, or one of torch's own.
        BackendError: no such device.
    """
    for place, name in enumerate(names):
        if name in names[:place] or name.startswith(DEFAULT):
            raise DomainError("names", repr(name), f"each name once, and none that begins with {DEFAULT!r}")
    try:
        return {name: torch.Generator(device).manual_seed(stream_seed(seed, name)) for name in names}
    except (RuntimeError, AssertionError) as error:  # torch built without cuda asserts
        raise BackendError("device", device, "a device that torch sees here") from error


def default_streams() -> dict[str, torch.Generator]:
    """The streams that torch itself draws from, by name: the CPU's, and those of cuda devices in use."""
    streams = {f"{DEFAULT}cpu": torch.default_generator}
    if torch.cuda.is_initialized():
        streams |= {f"{DEFAULT}cuda:{index}": stream for index, stream in enumerate(torch.cuda.default_generators)}
    return streams


def states_of(streams: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """The states of the streams and of `default_streams`, each (bytes,) uint8 on the CPU."""
    return {name: stream.get_state() for name, stream in {**streams, **default_streams()}.items()}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's own streams start from ``seed``; after it they go on as if nothing had been drawn.

    For code that takes no generator, such as the initialization of layers.
    """
    kept = {stream: stream.get_state() for stream in default_streams().values()}
    try:
        for stream in kept:
            stream.manual_seed(seed)
        yield
    finally:
        for stream, state in kept.items():
            stream.set_state(state)


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Within it torch computes the same bits from the same input on the same device, or raises where it cannot.

    Afterwards all of torch's switches are as before. On cuda it has to be entered before the first matrix product of
    the process, which fixes the workspace that such products need.

    Args:
        on: or the opposite, torch's usual way.
    """
    kept = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn, workspace = torch.backends.cudnn, os.environ.get(WORKSPACE)
    switches = cudnn.deterministic, cudnn.benchmark
    try:
        torch.use_deterministic_algorithms(on)
        cudnn.deterministic, cudnn.benchmark = on, cudnn.benchmark and not on
        if on:
            os.environ.setdefault(WORKSPACE, ":4096:8")
        yield
    finally:
        torch.use_deterministic_algorithms(kept[0], warn_only=kept[1])
        cudnn.deterministic, cudnn.benchmark = switches
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
