"""The newest-wins scheduler with fakes: few renders, the last one shown, errors survived."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import BackendError, DomainError
from labkit.lab.scheduler import NewestWins, Quality


class Screen:
    """Records what was shown; render takes ``seconds`` and fails for negative parameters."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.shown: list[tuple[int, Quality]] = []
        self.errors: list[Exception] = []
        self.threads: set[str] = set()
        self.in_flight = self.most_in_flight = 0

    def render(self, params: int, quality: Quality) -> int:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        self.in_flight -= 1
        if params < 0:
            raise ValueError(f"negative {params}")
        return params

    def show(self, result: int, quality: Quality) -> None:
        self.shown.append((result, quality))

    def scheduler(self, **options: float) -> NewestWins[int, int]:
        return NewestWins(self.render, self.show, self.errors.append, **options)


def test_a_thousand_submits_give_few_renders_and_the_last_is_shown_finely() -> None:
    screen = Screen(seconds=0.005)
    scheduler = screen.scheduler(max_fps=1000.0)
    started = time.monotonic()
    for value in range(1000):
        scheduler.submit(value)
        time.sleep(0.0002)
    most = (time.monotonic() - started) / 0.005 + 2
    scheduler.flush()
    scheduler.close()
    assert screen.shown[-1] == (999, "fine")
    assert 3 <= scheduler.counts.rendered <= most < 1000
    values = [value for value, _ in screen.shown]
    assert values == sorted(values)
    assert screen.most_in_flight == 1
    assert screen.threads == {"labkit-newest-wins"}


def test_submits_from_many_threads_lose_nothing_newest() -> None:
    screen = Screen(seconds=0.001)
    scheduler = screen.scheduler()
    threads = [threading.Thread(target=lambda k=k: [scheduler.submit(k) for _ in range(200)]) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.submit(77)
    scheduler.flush()
    assert scheduler.counts.submitted == 1001
    assert screen.shown[-1] == (77, "fine")
    assert screen.most_in_flight == 1
    scheduler.close()


def test_coarse_at_once_and_fine_at_rest() -> None:
    screen = Screen()
    scheduler = screen.scheduler(rest=0.2)
    started = time.monotonic()
    scheduler.submit(1)
    while not screen.shown:
        time.sleep(0.001)
    assert time.monotonic() - started < 0.15
    assert screen.shown == [(1, "coarse")]
    while len(screen.shown) < 2:
        time.sleep(0.001)
    assert time.monotonic() - started >= 0.2
    assert screen.shown == [(1, "coarse"), (1, "fine")]
    scheduler.close()


def test_a_fine_result_that_newer_parameters_overtook_is_dropped() -> None:
    entered, release = threading.Event(), threading.Event()
    shown: list[tuple[int, Quality]] = []

    def render(params: int, quality: Quality) -> int:
        if (params, quality) == (1, "fine"):
            entered.set()
            release.wait(10)
        return params

    scheduler: NewestWins[int, int] = NewestWins(render, lambda r, q: shown.append((r, q)), [].append, rest=0.01)
    scheduler.submit(1)
    assert entered.wait(10)
    scheduler.submit(2)
    release.set()
    scheduler.flush()
    scheduler.close()
    assert (1, "fine") not in shown
    assert shown[-1] == (2, "fine")
    assert scheduler.counts.dropped == 1


def test_frame_cap_holds_while_changes_arrive() -> None:
    screen = Screen()
    scheduler = screen.scheduler(max_fps=20.0, rest=10.0)
    started = time.monotonic()
    while time.monotonic() - started < 0.5:
        scheduler.submit(1)
        time.sleep(0.002)
    assert 2 <= scheduler.counts.rendered <= 0.5 * 20 + 2
    scheduler.close()


def test_without_rest_every_result_is_fine_and_a_long_drag_does_not_starve() -> None:
    screen = Screen(seconds=0.01)
    scheduler = screen.scheduler(rest=0.0, max_fps=1000.0)
    for value in range(100):
        scheduler.submit(value)
        time.sleep(0.002)
    scheduler.flush()
    scheduler.close()
    assert {quality for _, quality in screen.shown} == {"fine"}
    assert len(screen.shown) > 5
    assert screen.shown[-1][0] == 99


def test_an_error_reaches_fail_and_the_worker_lives_on() -> None:
    screen = Screen()
    scheduler = screen.scheduler(rest=0.01)
    scheduler.submit(-3)
    scheduler.flush()
    assert [str(error) for error in screen.errors][-1] == "negative -3"
    assert scheduler.counts.failed == len(screen.errors)
    scheduler.submit(4)
    scheduler.flush()
    assert screen.shown[-1] == (4, "fine")
    scheduler.close()


def test_an_error_in_show_is_caught_as_well() -> None:
    errors: list[Exception] = []

    def show(result: int, quality: Quality) -> None:
        raise OSError("the screen is gone")

    scheduler: NewestWins[int, int] = NewestWins(lambda p, q: p, show, errors.append, rest=0.01)
    scheduler.submit(1)
    scheduler.flush()
    scheduler.close()
    assert str(errors[0]) == "the screen is gone"
    assert scheduler.counts.shown == 0


def test_synchronous_renders_in_the_caller_and_raises() -> None:
    screen = Screen()
    scheduler = screen.scheduler(synchronous=True)
    scheduler.submit(5)
    assert screen.shown == [(5, "fine")]
    assert screen.threads == {threading.current_thread().name}
    with pytest.raises(ValueError, match="negative -1"):
        scheduler.submit(-1)
    assert len(screen.errors) == 1
    scheduler.flush(timeout=1.0)
    scheduler.close()
    scheduler.submit(6)
    assert screen.shown == [(5, "fine")]


def test_close_joins_and_later_submits_do_nothing() -> None:
    screen = Screen(seconds=0.05)
    before = threading.active_count()
    scheduler = screen.scheduler()
    scheduler.submit(1)
    time.sleep(0.01)
    scheduler.close()
    scheduler.close()
    assert threading.active_count() == before
    scheduler.submit(2)
    assert screen.shown == []
    assert scheduler.counts.submitted == 1


def test_flush_says_when_it_waits_in_vain() -> None:
    screen = Screen(seconds=0.3)
    scheduler = screen.scheduler()
    scheduler.submit(1)
    with pytest.raises(BackendError, match=r"no result after 0\.05 s"):
        scheduler.flush(timeout=0.05)
    scheduler.close()


def test_flush_from_the_worker_is_refused() -> None:
    errors: list[Exception] = []
    scheduler: NewestWins[int, int] = NewestWins(
        lambda p, q: p, lambda r, q: scheduler.flush(), errors.append, rest=0.0
    )
    scheduler.submit(1)
    scheduler.flush()
    scheduler.close()
    assert isinstance(errors[0], BackendError)


def test_latency_is_measured_from_the_submit() -> None:
    screen = Screen(seconds=0.05)
    scheduler = screen.scheduler(rest=0.0)
    scheduler.submit(1)
    scheduler.flush()
    scheduler.close()
    assert 50.0 <= scheduler.counts.latency_ms < 1000.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_frame_rate_is_refused(rate: float) -> None:
    with pytest.raises(DomainError, match="max_fps"):
        Screen().scheduler(max_fps=rate)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(-2, 9), st.sampled_from([0.0, 0.001, 0.004])), min_size=1, max_size=30))
def test_laws(script: list[tuple[int, float]]) -> None:
    screen = Screen(seconds=0.001)
    scheduler = screen.scheduler(rest=0.003, max_fps=1000.0)
    for value, pause in script:
        scheduler.submit(value)
        time.sleep(pause)
    scheduler.flush()
    scheduler.close()
    counts = scheduler.counts
    assert counts.submitted == len(script)
    assert counts.rendered == counts.shown + counts.dropped + counts.failed <= 2 * len(script)
    assert counts.shown == len(screen.shown)
    last = script[-1][0]
    if last >= 0:
        assert screen.shown[-1] == (last, "fine")
    else:
        assert str(screen.errors[-1]) == f"negative {last}"
