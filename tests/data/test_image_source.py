"""Pictures by number: what is asked for is what comes, also when it was made beforehand."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit.data.image_source import StoredImages, StreamedImages, from_bytes, to_bytes
from labkit.errors import DomainError, DTypeError, LabError, ShapeError

PATIENCE = 20.0  # seconds until something that never comes fails a test


def grey_of(numbers: Tensor) -> Tensor:
    """Pictures (B, 1, 2, 3) whose grey level is their number."""
    return (numbers % 256).float()[:, None, None, None].expand(-1, 1, 2, 3) / 255


class Recorder:
    """`grey_of` that remembers what it made and in which thread; waits at ``held``, and fails at number 13."""

    def __init__(self, held: int | None = None) -> None:
        self.held, self.holding, self.gate = held, threading.Event(), threading.Event()
        self.made: list[list[int]] = []
        self.threads: set[str] = set()
        self.changed = threading.Condition()

    def __call__(self, numbers: Tensor) -> Tensor:
        if self.held in numbers.tolist():
            self.holding.set()
            assert self.gate.wait(PATIENCE)
        if 13 in numbers.tolist():
            raise DomainError("number", 13, "another")
        with self.changed:
            self.made.append(numbers.tolist())
            self.threads.add(threading.current_thread().name)
            self.changed.notify_all()
        return grey_of(numbers)

    def wait_for(self, count: int) -> None:
        """Until so many batches are made."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.made) >= count, PATIENCE)


def threads() -> int:
    """How many threads make pictures."""
    return sum(thread.name.startswith("pictures") for thread in threading.enumerate())


def batch(first: int, size: int = 4) -> Tensor:
    return torch.arange(first, first + size)


def test_stored_pictures_come_by_number() -> None:
    stored = StoredImages(to_bytes(grey_of(torch.arange(7))))
    assert (stored.count, stored.size) == (7, (2, 3))
    numbers = torch.tensor([6, 0, 6])
    assert torch.equal(stored.images(numbers), grey_of(numbers))
    assert stored.images(numbers[:0]).shape == (0, 1, 2, 3)


@pytest.mark.parametrize("numbers", [[7], [-1], [0, 99]])
def test_unknown_numbers_are_refused(numbers: list[int]) -> None:
    stored = StoredImages(torch.zeros(7, 1, 2, 3, dtype=torch.uint8))
    with pytest.raises(DomainError, match="numbers"):
        stored.images(torch.tensor(numbers))


def test_wrong_types_and_shapes_are_refused() -> None:
    stored = StoredImages(torch.zeros(7, 1, 2, 3, dtype=torch.uint8))
    with pytest.raises(DTypeError):
        stored.images(torch.tensor([1.0]))
    with pytest.raises(ShapeError):
        stored.images(torch.tensor([[1]]))
    with pytest.raises(DTypeError):
        StoredImages(torch.zeros(7, 1, 2, 3))
    with pytest.raises(ShapeError):
        StoredImages(torch.zeros(0, 1, 2, 3, dtype=torch.uint8))


@given(st.lists(st.floats(-1, 2), min_size=1))
def test_bytes_hold_pictures_to_half_a_step(values: list[float]) -> None:
    picture = torch.tensor(values)
    assert (from_bytes(to_bytes(picture)) - picture.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), min_size=1, max_size=12))
def test_streamed_pictures_are_those_asked_for(requests: list[tuple[int, int]]) -> None:
    with StreamedImages(grey_of, (2, 3), ahead=2) as source:
        for first, size in requests:
            assert torch.equal(source.images(batch(first, size)), grey_of(batch(first, size)))


def test_regular_requests_are_rendered_ahead_and_no_more_than_allowed() -> None:
    recorder = Recorder()
    with StreamedImages(recorder, (2, 3), ahead=2) as source:
        source.images(batch(0))
        source.images(batch(8))  # a step of 8, as one of two processes takes
        recorder.wait_for(4)
        assert recorder.made == [batch(n).tolist() for n in (0, 8, 16, 24)]
        source.images(batch(16))
        recorder.wait_for(5)
        assert recorder.made[4] == batch(32).tolist()
    assert len(recorder.threads) == 1
    assert len(recorder.made) == 5


def test_other_requests_do_not_disturb_what_was_rendered_ahead() -> None:
    recorder = Recorder()
    with StreamedImages(recorder, (2, 3), ahead=1) as source:
        source.images(batch(0))
        source.images(batch(4))
        recorder.wait_for(3)
        source.images(batch(100, 7))  # a preview between two steps
        source.images(batch(8))
        assert recorder.made == [batch(0).tolist(), batch(4).tolist(), batch(8).tolist(), batch(100, 7).tolist()]


def test_what_is_asked_for_goes_before_what_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(held=8)
    with StreamedImages(recorder, (2, 3), ahead=3) as source:
        source.images(batch(0))
        source.images(batch(4))
        assert recorder.holding.wait(PATIENCE)  # at 8; 12 and 16 wait behind it
        submit = source._submit

        def opening(key: tuple[int, ...]) -> Future[Tensor]:
            job = submit(key)
            recorder.gate.set()
            return job

        monkeypatch.setattr(source, "_submit", opening)
        assert torch.equal(source.images(batch(200)), grey_of(batch(200)))
        assert [made[0] for made in recorder.made[:4]] == [0, 4, 8, 200]


def test_an_error_meets_who_asked_and_nobody_else() -> None:
    recorder = Recorder()
    with StreamedImages(recorder, (2, 3), ahead=2) as source:
        source.images(batch(4))
        source.images(batch(8))  # 12 to 15 and 16 to 19 are tried beforehand
        recorder.wait_for(3)
        with pytest.raises(DomainError, match="13"):
            source.images(batch(12))
        assert torch.equal(source.images(batch(16)), grey_of(batch(16)))
        with pytest.raises(DomainError, match="13"):
            source.images(batch(12))


def test_closing_leaves_no_thread_and_releases_once_in_the_same_thread() -> None:
    before, released = threads(), []
    recorder = Recorder()
    source = StreamedImages(recorder, (2, 3), ahead=3, release=lambda: released.append(threading.current_thread().name))
    source.images(batch(0))
    source.images(batch(4))
    source.close()
    source.close()
    assert threads() == before
    assert released == list(recorder.threads)
    with pytest.raises(LabError, match="closed"):
        source.images(batch(0))


def test_a_forked_process_is_refused_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads do not come along with a fork, so nobody would ever make its pictures."""
    with StreamedImages(grey_of, (2, 3)) as source:
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: -1)
            with pytest.raises(LabError, match="fork"):
                source.images(batch(0))
            source.close()
        assert torch.equal(source.images(batch(0)), grey_of(batch(0)))  # the parent's goes on


def test_a_source_left_behind_ends_its_thread() -> None:
    before = threads()
    source = StreamedImages(grey_of, (2, 3))
    source.images(batch(0))
    del source
    limit = time.monotonic() + PATIENCE
    while threads() > before:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_streams_refuse_bad_requests() -> None:
    with pytest.raises(DomainError, match="ahead"):
        StreamedImages(grey_of, (2, 3), ahead=-1)
    with StreamedImages(grey_of, (2, 3)) as source:
        assert source.images(batch(0, 0)).shape == (0, 1, 2, 3)
        with pytest.raises(DomainError, match="numbers"):
            source.images(torch.tensor([-1]))
