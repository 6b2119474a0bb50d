"""The runner: work on a thread that can be paused, stepped, stopped and begun anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("ipywidgets")
from labkit.errors import BackendError
from labkit.events import Event, Step
from labkit.lab.runner import Runner

TOTAL = 20


class Work:
    """Twenty steps; each waits for a permit if ``gated``."""

    def __init__(self, gated: bool = False, breaks_at: int = 0) -> None:
        self.permits = threading.Semaphore(0)
        self.gated, self.breaks_at = gated, breaks_at
        self.received: list[int] = []
        self.threads: set[str] = set()
        self.refreshed_at: list[int] = []
        self.starts = 0
        self.errors: list[Exception] = []
        self.runner = Runner(self.events, self.receive, lambda: self.refreshed_at.append(len(self.received)), self.fail)

    def events(self) -> Iterator[Event]:
        self.starts += 1
        for number in range(1, TOTAL + 1):
            if self.gated:
                self.permits.acquire()
            if number == self.breaks_at:
                raise ValueError("broken")
            yield Step(number, TOTAL, {"loss": 1.0 / number})

    def receive(self, event: Event) -> None:
        self.threads.add(threading.current_thread().name)
        self.received.append(event.number)

    def fail(self, error: Exception) -> None:
        self.errors.append(error)


@pytest.fixture
def work() -> Iterator[Callable[..., Work]]:
    made: list[Work] = []

    def make(**keywords: object) -> Work:
        made.append(Work(**keywords))
        return made[-1]

    yield make
    for one in made:
        one.permits.release(TOTAL + 1)
        one.runner.close()


def test_it_runs_to_the_end_on_its_own_thread(work: Callable[..., Work]) -> None:
    one = work()
    one.runner.run()
    one.runner.join(10)
    assert one.received == list(range(1, TOTAL + 1))
    assert one.threads == {"labkit-runner"}
    assert one.runner.state == "done"
    assert one.refreshed_at[-1] == TOTAL
    assert one.runner._bar.value == 1.0
    assert len(one.refreshed_at) < TOTAL  # twenty fast steps are not twenty drawings


def test_steps_pause_and_go_on_lose_nothing(work: Callable[..., Work]) -> None:
    one = work()
    one.runner._one.click()
    one.runner.join(10)
    assert (one.runner.state, one.received) == ("paused", [1])
    assert "left" in one.runner._text.value
    one.runner.run(steps=3)
    one.runner.join(10)
    assert one.received == [1, 2, 3, 4]
    one.runner._go.click()
    one.runner.join(10)
    assert (one.runner.state, one.starts) == ("done", 1)
    assert one.received == list(range(1, TOTAL + 1))


def test_a_pause_ends_the_step_in_hand_and_draws_it(work: Callable[..., Work]) -> None:
    one = work(gated=True)
    one.runner.run()
    one.permits.release(2)
    while len(one.received) < 2:
        pass
    one.runner._go.click()
    assert one.runner.state == "paused"
    one.permits.release()
    one.runner.join(10)
    assert one.received == [1, 2, 3]
    assert one.refreshed_at[-1] == 3
    assert one.runner._go.description == "Go on"


def test_stop_ends_it_and_run_begins_anew(work: Callable[..., Work]) -> None:
    one = work(gated=True)
    one.runner.run()
    one.permits.release()
    while not one.received:
        pass
    one.runner._halt.click()
    one.permits.release()
    one.runner.join(10)
    assert (one.runner.state, one.received) == ("stopped", [1, 2])
    one.permits.release(TOTAL)
    one.runner.run()
    one.runner.join(10)
    assert (one.runner.state, one.starts) == ("done", 2)
    assert one.received == [1, 2, *range(1, TOTAL + 1)]


def test_an_error_ends_the_work_and_is_told(work: Callable[..., Work]) -> None:
    one = work(breaks_at=3)
    one.runner.run()
    one.runner.join(10)
    assert one.runner.state == "failed"
    assert [str(error) for error in one.errors] == ["broken"]
    assert one.received == [1, 2]


def test_join_does_not_wait_for_ever(work: Callable[..., Work]) -> None:
    one = work(gated=True)
    one.runner.run()
    with pytest.raises(BackendError, match="still running"):
        one.runner.join(0.05)


def test_headless_it_works_in_the_caller(work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")
    one = work()
    one.runner.run(steps=5)
    assert (one.runner.state, one.received) == ("paused", [1, 2, 3, 4, 5])
    one.runner.run()
    assert (one.runner.state, len(one.received)) == ("done", TOTAL)
    assert one.threads == {threading.current_thread().name}
    broken = work(breaks_at=1)
    with pytest.raises(ValueError, match="broken"):
        broken.runner.run()
    assert len(broken.errors) == 1
