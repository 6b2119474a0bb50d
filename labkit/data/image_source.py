"""Grey pictures by number: a number always gives the same picture, so a resumed training sees what it would have seen.

Pictures have 8 bits, as picture files and the pictures of graphics cards have: what is stored, what is rendered anew
and what is read from a file differ in nothing that a discriminator could see.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError, check_tensor


class ImageSource(Protocol):
    """Anything that gives pictures by number."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""

    @property
    def count(self) -> int | None:
        """How many pictures there are, or None if any number of 0 or above has one."""

    def images(self, numbers: Tensor) -> Tensor:
        """The pictures with these numbers, (B,) int64 to (B, 1, H, W) float32 in [0, 1], on the CPU.

        Raises:
            DomainError: there is no such number.
            ShapeError, DTypeError: as the names say.
            LabError: whatever a picture could not be made for.
        """

    def close(self) -> None:
        """Let go of threads and renderers; closing twice does no harm."""


class StoredImages:
    """Pictures in memory, one byte a pixel.

    Args:
        pictures: (N, 1, H, W) uint8, N >= 1; held, not copied.

    Raises:
        ShapeError, DTypeError: as the names say.
    """

    def __init__(self, pictures: Tensor) -> None:
        if not isinstance(pictures, Tensor) or pictures.dtype != torch.uint8:
            raise DTypeError("pictures", getattr(pictures, "dtype", type(pictures).__name__), "a uint8 tensor")
        if pictures.ndim != 4 or pictures.shape[1] != 1 or 0 in pictures.shape:
            raise ShapeError("pictures", tuple(pictures.shape), "(N, 1, H, W) with a picture and a pixel")
        self.pictures = pictures.cpu()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.pictures.shape[-2], self.pictures.shape[-1]

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.pictures)

    def images(self, numbers: Tensor) -> Tensor:
        """See `ImageSource.images`."""
        return from_bytes(self.pictures[check_numbers(numbers, self.count)])

    def close(self) -> None:
        """Nothing to let go of."""


class StreamedImages:
    """Pictures that are made when they are asked for, and in a thread beforehand where it can be told what comes next.

    Whoever asks for batches whose numbers all grow by one and the same step, as a training does that walks through the
    numbers, finds the next ``ahead`` batches made or in the making. Any other request is served first and in between;
    only what is asked for is ever returned, and an error in a batch that nobody asks for is nobody's.

    Args:
        make: pictures (B, 1, H, W) in [0, 1] of numbers (B,), a pure function. It is called in one thread, always the
            same one, without gradients.
        size: (H, W) in pixels.
        ahead: batches made beforehand, at least 0.
        release: called once in that thread when the source is closed.

    Raises:
        DomainError: ``ahead`` is negative.
    """

    count = None

    def __init__(
        self,
        make: Callable[[Tensor], Tensor],
        size: tuple[int, int],
        *,
        ahead: int = 3,
        release: Callable[[], None] | None = None,
    ) -> None:
        if ahead < 0:
            raise DomainError("ahead", ahead, "a number of batches, 0 or more")
        self.size, self.ahead = size, ahead
        self._make, self._release = make, release
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._jobs: dict[tuple[int, ...], Future[Tensor]] = {}  # what is made beforehand
        self._last: Tensor | None = None
        self._closed, self._process = False, os.getpid()

    def images(self, numbers: Tensor) -> Tensor:
        """See `ImageSource.images`. Not to be called from several threads at once."""
        check_numbers(numbers, None)
        if not self._usable():
            raise LabError("source", "a source that is closed, or of a fork's parent", "an open one of this process")
        if not len(numbers):
            return torch.empty(0, 1, *self.size)
        asked = tuple(numbers.tolist())
        job, following = self._jobs.pop(asked, None), self._following(numbers)
        if job is None:
            for key in [key for key, waiting in self._jobs.items() if waiting.cancel()]:
                del self._jobs[key]  # what was asked for goes before what was guessed
            job = self._submit(asked)
        for key in self._jobs.keys() - set(following):
            self._jobs.pop(key).cancel()
        for key in following:
            if key not in self._jobs:
                self._jobs[key] = self._submit(key)
        return job.result()

    def close(self) -> None:
        """End the thread, after the batch that it is working on; closing twice does no harm."""
        if not self._usable():
            return
        self._closed = True
        for job in self._jobs.values():
            job.cancel()
        self._jobs.clear()
        released = self._thread.submit(self._release) if self._release else None
        self._thread.shutdown()
        if released:
            released.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _usable(self) -> bool:
        """Whether the thread is there: a process that was forked has none, and would wait for it without end."""
        return not self._closed and os.getpid() == self._process

    def _following(self, numbers: Tensor) -> list[tuple[int, ...]]:
        """The batches to come, if this one lies one step behind the last; else those that were expected before."""
        last, self._last = self._last, numbers.clone()
        if last is None or last.shape != numbers.shape:
            return list(self._jobs)
        step = numbers - last
        if not step[0] or bool((step != step[0]).any()):
            return list(self._jobs)
        guesses = [numbers + (i + 1) * step for i in range(self.ahead)]
        return [tuple(guess.tolist()) for guess in guesses if int(guess.min()) >= 0]

    def _submit(self, key: tuple[int, ...]) -> Future[Tensor]:
        return self._thread.submit(_made, self._make, key)  # no reference to self: a source left behind can end


def _made(make: Callable[[Tensor], Tensor], key: tuple[int, ...]) -> Tensor:
    with torch.no_grad():
        return from_bytes(to_bytes(make(torch.tensor(key, dtype=torch.int64))))


def check_numbers(numbers: Tensor, count: int | None) -> Tensor:
    """Return ``numbers`` on the CPU if they are (B,) int64 in [0, count), or from 0 if ``count`` is None.

    Raises:
        DomainError, ShapeError, DTypeError: as the names say.
    """
    check_tensor("numbers", numbers, "B", integer=True)
    if len(numbers):
        low, high = (value.item() for value in numbers.aminmax())
        if low < 0 or (count is not None and high >= count):
            expected = "numbers of 0 or more" if count is None else f"numbers in [0, {count})"
            raise DomainError("numbers", f"{low} to {high}", expected)
    return numbers.cpu()


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in [0, 1] as uint8, rounded to the nearest of 256 steps, on the CPU; any shape."""
    return (pictures.clamp(0, 1) * 255).round().to("cpu", torch.uint8)


def from_bytes(pictures: Tensor) -> Tensor:
    """Pictures of `to_bytes` as float32 in [0, 1]."""
    return pictures.float() / 255
