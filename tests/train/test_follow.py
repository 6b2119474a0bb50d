"""Following a run: what was, what comes, and how it ended, also when nobody was left to say so."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from train.run_tools import Nursery, read_only, readable_folder

from labkit.errors import DomainError, FileError
from labkit.events import Done, Event, Failed, MeshPreview, Phase, Picture, Saved, Step, Warned
from labkit.train.event_log import EventLog, read_events
from labkit.train.follow import follow
from labkit.train.preview_files import previews
from labkit.train.run_folder import RunFolder

POLL = 0.005
STARTED = Phase(0, "started", 10)
GREY = torch.zeros(1, 2, 2)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A new run."""
    return RunFolder.create(tmp_path / "läuft 1", "udr", {})


@pytest.fixture
def watch() -> Iterator[Callable[..., queue.Queue[Event | None]]]:
    """A function that follows a run on another thread: the events come in a queue, None at the end."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(folder: RunFolder, **options: Any) -> queue.Queue[Event | None]:
        events: queue.Queue[Event | None] = queue.Queue()

        def work() -> None:
            for event in follow(folder, poll=POLL, stop=stop, **options):
                events.put(event)
            events.put(None)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return events

    yield start
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def write(folder: RunFolder, *events: Event) -> None:
    """One process's work on the run."""
    with folder.locked():
        log = EventLog(folder)
        for event in events:
            log.append(event)


def pictures(*numbers: int, name: str = "view") -> list[Event]:
    """Previews at these steps."""
    return [Picture(number, name, GREY) for number in numbers]


def shown(events: list[Event]) -> list[tuple[int, str]]:
    """Step and name of the previews among the events."""
    return [(event.number, event.name) for event in events if isinstance(event, Picture | MeshPreview)]


def test_finished_run(folder: RunFolder) -> None:
    """A run that has ended is told from its start to its last word."""
    events = [STARTED, Step(1, 10, {"loss": 1.0}), Saved(1, "checkpoints/000001"), Done(1, True)]
    write(folder, *events)
    assert list(follow(folder)) == events
    assert list(follow(str(folder.path), from_start=False)) == []


def test_previews_of_the_past(folder: RunFolder) -> None:
    """All, the newest of each name and kind, or none; thinned ones are passed over, broken ones told."""
    surface = MeshPreview(2, "view", torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    write(folder, *pictures(1, 2), surface, *pictures(3), *pictures(1, name="other"), Done(3))
    assert shown(list(follow(folder, previews="all"))) == [
        *[(1, "view"), (2, "view"), (2, "view"), (3, "view")],
        (1, "other"),
    ]
    assert shown(list(follow(folder))) == [(2, "view"), (3, "view"), (1, "other")]
    assert list(follow(folder, previews="none")) == [Done(3)]
    files = previews(folder)
    files[0].path.unlink()
    files[-1].path.write_bytes(b"no picture")
    events = list(follow(folder, previews="all"))
    assert shown(events) == [(1, "view"), (2, "view"), (2, "view")]
    assert [event.number for event in events if isinstance(event, Warned)] == [3]


@pytest.mark.parametrize("from_start", [True, False])
@pytest.mark.parametrize("kept", ["all", "newest", "none"])
def test_nothing_falls_between_past_and_present(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, from_start: bool, kept: str
) -> None:
    """What is written after the past was looked through, and before the first event is told, is new."""
    write(folder, *pictures(1, 2), Step(2, 10, {}))
    late = [*pictures(3, 4), Step(4, 10, {}), Done(4)]

    def running(self: RunFolder) -> None:
        while late:
            EventLog(folder).append(late.pop(0))

    monkeypatch.setattr(RunFolder, "running", property(running))
    events = list(follow(folder, poll=POLL, from_start=from_start, previews=kept))
    past = [1, 2] if kept == "all" else [2] if kept == "newest" else []
    assert [number for number, _ in shown(events)] == [*(past if from_start else []), 3, 4]
    assert [event for event in events if isinstance(event, Step | Done)][-2:] == [Step(4, 10, {}), Done(4)]


def test_what_comes(folder: RunFolder, watch: Callable[..., queue.Queue[Event | None]]) -> None:
    """A run that nobody has begun is waited for; its events come as they are written, previews among them."""
    events, later = watch(folder), watch(folder, from_start=False)
    time.sleep(5 * POLL)
    assert events.empty()
    with folder.locked():
        log = EventLog(folder)
        for event in (STARTED, Step(1, 10, {"loss": 1.0}), *pictures(1, 2)):
            log.append(event)
            told = events.get(timeout=30)
            assert told == event if isinstance(event, Phase | Step) else shown([told]) == shown([event])
            assert type(later.get(timeout=30)) is type(event)
        log.append(Phase(1, "paused", 10))
        assert events.get(timeout=30) == Phase(1, "paused", 10)
        time.sleep(10 * POLL)  # a run that waits is alive
        assert events.empty()
        log.append(Done(1, True))
        assert events.get(timeout=30) == Done(1, True)
        time.sleep(5 * POLL)
        assert events.empty()  # the process is still there and may say more
    assert events.get(timeout=30) is None


def test_half_line_waits(folder: RunFolder, watch: Callable[..., queue.Queue[Event | None]]) -> None:
    """A line is told when it is complete, once, whatever the pieces in which it came."""
    write(folder, Step(1, 10, {"loss": 1.0}))
    path = folder.path / "events.jsonl"
    line = path.read_bytes()
    path.write_bytes(b"")
    with folder.locked():
        events = watch(folder)
        for cut in (1, 20, len(line) - 1):
            with path.open("ab") as stream:
                stream.write(line[path.stat().st_size : cut])
            time.sleep(4 * POLL)
            assert events.empty()
        with path.open("ab") as stream:
            stream.write(b"\n")
        assert events.get(timeout=30) == Step(1, 10, {"loss": 1.0})
        time.sleep(4 * POLL)
        assert events.empty()


def test_process_gone(folder: RunFolder) -> None:
    """A run that ended without a word has failed, and the message says from where it can go on."""
    write(folder, STARTED, Step(1, 10, {}), Saved(1, "checkpoints/000001"), Step(2, 10, {}), Warned(2, "slow"))
    *_, last = follow(folder)
    assert isinstance(last, Failed)
    assert (last.number, last.checkpoint) == (2, "checkpoints/000001")
    assert "gone" in last.message
    assert "after step 1" in last.message
    assert list(follow(folder, from_start=False)) == [last]
    assert last not in list(read_events(folder))
    write(folder, *pictures(1))  # of a step long done
    *_, last = follow(folder)
    assert last.number == 2


def test_killed_while_writing(tmp_path: Path) -> None:
    """Killed at any instant while it writes lines and previews: nothing whole is lost, and the run goes on."""
    nursery = Nursery()
    try:
        folder = RunFolder.create(tmp_path / "über all", "udr", {})
        chance = random.Random(5)
        whole = b""
        for life in range(1, 7):
            child = nursery.start(folder.path)
            while (folder.running or {}).get("pid") != child:
                time.sleep(POLL)
            events = follow(folder, poll=POLL, previews="all")
            told = [*_until(events, lambda event, life=life: isinstance(event, Picture) and _lives(folder) == life)]
            killer = threading.Timer(0.1 * chance.random(), nursery.kill)
            killer.start()
            told += events
            killer.join()
            last = told[-1]
            assert isinstance(last, Failed)
            assert f"process {child} on" in last.message
            assert last.checkpoint == "checkpoints/000000"
            assert sum(isinstance(event, Phase) for event in told) == life
            assert not any(isinstance(event, Warned) for event in told)
            begun = max(index for index, event in enumerate(told) if isinstance(event, Phase))
            steps = [event.number for event in told[begun:] if isinstance(event, Step)]
            assert steps == list(range(1, len(steps) + 1))
            assert shown(told)
            log = (folder.path / "events.jsonl").read_bytes()
            assert log.startswith(whole)
            whole = log[: log.rfind(b"\n") + 1]
        write(folder, Phase(5, "started", 10), Done(10))
        assert list(follow(folder, previews="none"))[-2:] == [Phase(5, "started", 10), Done(10)]
        assert not any(path.name.startswith(".") for path in (folder.path / "previews").iterdir())
    finally:
        nursery.close()


def _until(events: Iterator[Event], found: Callable[[Event], bool]) -> Iterator[Event]:
    for event in events:
        yield event
        if found(event):
            return


def _lives(folder: RunFolder) -> int:
    return (folder.path / "events.jsonl").read_bytes().count(b'"started"')


def test_across_a_resume(folder: RunFolder, watch: Callable[..., queue.Queue[Event | None]]) -> None:
    """One who follows while the run ends and another process goes on hears both; so does one who comes later."""
    first = [STARTED, Step(1, 10, {}), Done(1, True)]
    second = [Phase(1, "started", 10), Step(2, 10, {}), Done(2)]
    write(folder, *first)
    with folder.locked():
        events = watch(folder)
        assert [events.get(timeout=30) for _ in first] == first
        log = EventLog(folder)
        for event in second:
            log.append(event)
    assert [events.get(timeout=30) for _ in second] == second
    assert events.get(timeout=30) is None
    assert list(follow(folder)) == first + second


def test_stop(folder: RunFolder) -> None:
    """Who follows can leave: while nothing comes, and between two events."""
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    assert list(follow(folder, poll=60, stop=stop)) == []
    timer.join()
    stop.clear()
    write(folder, STARTED, Step(1, 10, {}), Done(1))
    events = follow(folder, stop=stop)
    assert next(events) == STARTED
    stop.set()
    assert list(events) == []


def test_refused(folder: RunFolder, tmp_path: Path) -> None:
    """What cannot be followed is refused at the call, before the first event is asked for."""
    with pytest.raises(FileError, match=r"config\.json"):
        follow(tmp_path / "nowhere")
    with pytest.raises(DomainError, match="poll"):
        follow(folder, poll=0)
    with pytest.raises(DomainError, match="previews"):
        follow(folder, previews="some")


def test_garbage_and_a_lost_log(folder: RunFolder) -> None:
    """A broken line is told and passed over; a log that vanishes is an error and not silence."""
    write(folder, STARTED)
    with (folder.path / "events.jsonl").open("ab") as stream:
        stream.write(b"\0\0\0\n")
    with folder.locked():
        EventLog(folder).append(Step(1, 10, {}))
        events = follow(folder, poll=POLL)
        assert next(events) == STARTED
        assert isinstance(next(events), Warned)
        assert next(events) == Step(1, 10, {})
        (folder.path / "events.jsonl").unlink()
        with pytest.raises(FileError, match="No such file"):
            next(events)


def test_read_only() -> None:
    """A finished run can be followed where nothing can be written."""
    with readable_folder() as place:
        folder = RunFolder.create(place / "run", "udr", {})
        write(folder, STARTED, *pictures(1), Done(1))
        with read_only(place):
            events = list(follow(folder))
    assert (events[0], shown(events), events[-1]) == (STARTED, [(1, "view")], Done(1))
