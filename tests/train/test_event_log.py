"""The log of a run: what is written comes back, and no fault leaves half a line."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train.run_tools import full_disk, read_only, readable_folder

from labkit.errors import DomainError, DTypeError, FileError, LabError, ShapeError
from labkit.events import Done, Event, Failed, MeshPreview, Phase, Picture, Saved, Step, Warned
from labkit.train import event_log
from labkit.train.event_log import MAX_LINE, EventLog, LogReader, parse, read_events
from labkit.train.run_folder import RunFolder

STEP = Step(7, 100, {"loss": 0.25, "psnr": 21.5})
TOLD: list[Event] = [
    Phase(0, "started", 100),
    STEP,
    Warned(7, 'zwei\nZeilen, "quoted" \udcff'),
    Saved(7, "checkpoints/000007", True, {"psnr": 21.5}),
    Saved(7, "checkpoints/000007"),
    Failed(8, "step 8: the loss is NaN", "checkpoints/000007"),
    Failed(8, "no checkpoint"),
    Done(100, True, {"chamfer": 1e-3}),
    Done(100),
]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A new run."""
    return RunFolder.create(tmp_path / "läuft 1", "udr", {})


def lines(folder: RunFolder) -> list[bytes]:
    """The log, line by line."""
    return (folder.path / "events.jsonl").read_bytes().splitlines(keepends=True)


def strict(text: bytes) -> dict[str, Any]:
    """Read JSON as any reader in any language does: NaN is no number there."""

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_round_trip(folder: RunFolder) -> None:
    """Every event comes back as it was, in its order, and a later log goes on behind an earlier one."""
    for event in TOLD[:4]:
        EventLog(folder).append(event)
    log = EventLog(folder)
    for event in TOLD[4:]:
        log.append(event)
    assert list(read_events(folder)) == TOLD
    assert [strict(line)["event"] for line in lines(folder)] == [type(event).__name__ for event in TOLD]


@given(st.dictionaries(st.text(max_size=8), st.floats(), max_size=5), st.integers(0, 10**12))
def test_figures_are_exact(values: dict[str, float], number: int) -> None:
    """Every float comes back bit for bit, also those that JSON does not know, and any JSON reader can read the line."""
    with tempfile.TemporaryDirectory() as place:
        log = EventLog(place)
        log.append(Step(number, number, values))
        line = log.path.read_bytes()
    strict(line)
    read = parse(line, place)
    assert isinstance(read, Step)
    assert read.number == number
    assert list(read.values) == list(values)
    for name, value in values.items():
        same = math.isnan(value) and math.isnan(read.values[name])
        assert same or (read.values[name] == value and math.copysign(1, value) == math.copysign(1, read.values[name]))


def test_nan_is_a_text(folder: RunFolder) -> None:
    """The three words are those that the module promises; a tensor counts as its number."""
    EventLog(folder).append(Step(1, 2, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": torch.tensor(0.5)}))
    assert strict(lines(folder)[0])["values"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 0.5}


@pytest.mark.parametrize("length", [1, 50, 65_536, 200_000])
def test_half_line_is_cut(folder: RunFolder, length: int) -> None:
    """What a killed process left of a line is cut when the next one opens, and no whole line is."""
    log = EventLog(folder)
    log.append(STEP)
    whole = lines(folder)
    with log.path.open("ab") as stream:
        stream.write(b"x" * length)
    assert list(read_events(folder)) == [STEP]
    EventLog(folder)
    assert lines(folder) == whole
    log.path.write_bytes(b"x" * length)  # a log of nothing else
    EventLog(folder).append(STEP)
    assert list(read_events(folder)) == [STEP]


@pytest.mark.parametrize("room", [0, 1, 30])
def test_full_disk(folder: RunFolder, room: int) -> None:
    """Where a line does not fit it leaves nothing, and the same event can be appended once there is room."""
    log = EventLog(folder)
    log.append(TOLD[0])
    before = lines(folder)
    with full_disk(log.path.stat().st_size + room):
        for event in TOLD[1:4]:
            with pytest.raises(FileError, match=r"events\.jsonl.*too large"):
                log.append(event)
    assert lines(folder) == before
    for event in TOLD[1:4]:
        log.append(event)
    assert list(read_events(folder)) == TOLD[:4]


def test_half_written_line_on_a_full_disk(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cut the full disk of these tests does leave half a line: they can fail."""
    log = EventLog(folder)
    log.append(TOLD[0])
    size = log.path.stat().st_size
    monkeypatch.setattr(event_log, "_cut_half_line", lambda stream: stream.seek(0, 2))
    with full_disk(size + 30), pytest.raises(FileError):
        log.append(STEP)
    assert log.path.stat().st_size == size + 30


def test_preview_on_a_full_disk(folder: RunFolder) -> None:
    """A preview that does not fit leaves no file and no line."""
    log = EventLog(folder)
    surface = MeshPreview(3, "surface", torch.rand(100, 3), torch.zeros(1, 3, dtype=torch.int64))
    with full_disk(500):
        for event in (Picture(3, "view", torch.rand(3, 64, 64)), surface):
            with pytest.raises(FileError, match=r"previews.*too large"):
                log.append(event)
    assert list((folder.path / "previews").iterdir()) == []
    assert lines(folder) == []
    log.append(surface)
    assert len(list(read_events(folder))) == 1


def test_read_only() -> None:
    """On a read-only disk nothing is appended, and everything can be read."""
    with readable_folder() as place:
        folder = RunFolder.create(place / "run", "udr", {})
        log = EventLog(folder)
        log.append(STEP)
        with read_only(place):
            for event in (STEP, Picture(8, "view", torch.zeros(1, 2, 2))):
                with pytest.raises(FileError, match="denied"):
                    log.append(event)
            with pytest.raises(FileError, match="denied"):
                EventLog(folder)
            assert list(read_events(folder)) == [STEP]
        log.append(STEP)
    with pytest.raises(FileError, match="No such file"):
        log.append(STEP)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xfe{",
        b"null",
        b"[1, 2]",
        b"[" * 100_000,
        b'"Step"',
        b"{}",
        b'{"event": "Step"}',
        b'{"event": "Quit", "number": 1}',
        b'{"event": ["Step"], "number": 1}',
        b'{"event": "Step", "number": 1, "total": 2, "values": {"loss": 0.5}',
        b'{"event": "Step", "number": 1.5, "total": 2, "values": {}}',
        b'{"event": "Step", "number": true, "total": 2, "values": {}}',
        b'{"event": "Step", "number": 1, "total": 2, "values": [1]}',
        b'{"event": "Step", "number": 1, "total": 2, "values": {"loss": null}}',
        b'{"event": "Step", "number": 1, "total": 2, "values": {"loss": 1' + b"0" * 400 + b"}}",
        b'{"event": "Step", "number": 1' + b"0" * 5000 + b', "total": 2, "values": {}}',
        b'{"event": "Saved", "number": 1, "path": 3}',
        b'{"event": "Picture", "number": 1}',
        b'{"event": "Picture", "number": 1, "file": 3}',
        b'{"event": "Picture", "number": 1, "file": "../../00000001-view.png"}',
        b'{"event": "Picture", "number": 1, "file": "/etc/00000001-view.png"}',
        b'{"event": "Picture", "number": 1, "file": "previews/notes.txt"}',
        b'{"event": "MeshPreview", "number": 1, "file": "https://x.org/00000001-a.safetensors"}',
        b"x" * (2 * MAX_LINE + 5),
    ],
    ids=lambda garbage: str(garbage[:40]),
)
def test_garbage_in_the_middle(folder: RunFolder, garbage: bytes) -> None:
    """A broken line is a warning at the step where it stands; the lines around it are read."""
    log = EventLog(folder)
    log.append(STEP)
    with log.path.open("ab") as stream:
        stream.write(garbage + b"\n")
    log.append(TOLD[-1])
    first, *warned, last = read_events(folder)
    assert (first, last) == (STEP, TOLD[-1])
    assert warned
    assert all(isinstance(event, Warned) and event.number == STEP.number for event in warned)
    assert all("broken" in event.message and len(event.message) < 600 for event in warned)


def test_older_and_newer_lines() -> None:
    """A field that an older labkit did not write takes its default; one that a newer one adds is passed over."""
    assert parse(b'{"event": "Saved", "number": 3, "path": "a"}', ".") == Saved(3, "a")
    assert parse(b'{"event": "Done", "number": 3, "mood": "good"}', ".") == Done(3)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("Step", DTypeError),
        (Step(1.5, 2, {}), DTypeError),
        (Step(1, 2, {"loss": "low"}), DTypeError),
        (Step(1, 2, {"loss": None}), DTypeError),
        (Step(1, 2, {"loss": torch.zeros(2)}), DTypeError),
        (Step(1, 2, [0.5]), DTypeError),
        (Warned(1, ValueError("x")), DTypeError),
        (Picture(1, "view", torch.full((3, 2, 2), math.nan)), DomainError),
        (Picture(1, "view", torch.zeros(2, 2, 2)), ShapeError),
        (Picture(1, "view", torch.zeros(4, 4)), ShapeError),
        (Picture(1, "view", torch.zeros(3, 0, 4)), DomainError),
        (Picture(1, "view", torch.zeros(3, 2, 2, dtype=torch.uint8)), DTypeError),
        (Picture(1, "", torch.zeros(3, 2, 2)), DomainError),
        (Picture(1, "x" * 200, torch.zeros(3, 2, 2)), DomainError),
        (Picture(-1, "view", torch.zeros(3, 2, 2)), DomainError),
        (MeshPreview(1, "s", torch.zeros(2, 3), torch.tensor([[0, 1, 2]])), DomainError),
        (MeshPreview(1, "s", torch.zeros(2, 3), torch.tensor([[0, 1, -1]])), DomainError),
        (MeshPreview(1, "s", torch.zeros(3, 3), torch.tensor([[0.0, 1, 2]])), DTypeError),
        (MeshPreview(1, "s", torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), torch.zeros(2, 3)), ShapeError),
        (MeshPreview(1, "s", torch.full((3, 3), math.inf), torch.tensor([[0, 1, 2]])), DomainError),
    ],
)
def test_refused_events(folder: RunFolder, event: Any, error: type[LabError]) -> None:
    """What is no event, or shows nothing, is refused and leaves nothing."""
    log = EventLog(folder)
    with pytest.raises(error):
        log.append(event)
    assert lines(folder) == []
    assert list((folder.path / "previews").iterdir()) == []


def test_unfinished_previews_are_removed(folder: RunFolder) -> None:
    """What a killed process was writing is cleared away when the next one opens."""
    left = folder.path / "previews" / ".writing-abc.png"
    left.write_bytes(b"half")
    EventLog(folder)
    assert not left.exists()


def test_clock_goes_backwards(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is that of the lines, whatever the clock says."""
    times = iter([2e9, 1e9, 0.0])
    monkeypatch.setattr(event_log.time, "time", lambda: next(times))
    log = EventLog(folder)
    for event in TOLD[:3]:
        log.append(event)
    assert list(read_events(folder)) == TOLD[:3]
    assert [strict(line)["time"] for line in lines(folder)] == [2e9, 1e9, 0.0]


def test_reader_reads_only_what_is_new(folder: RunFolder) -> None:
    """What was read is not read again; a log that has become shorter is refused."""
    reader = LogReader(folder)
    assert list(reader.new()) == []  # nobody has begun
    log = EventLog(folder)
    log.append(STEP)
    assert list(reader.new()) == [STEP]
    log.path.write_bytes(b"x" * (reader.offset - 1) + b"\n")
    log.append(TOLD[-1])
    assert list(reader.new()) == [TOLD[-1]]
    assert list(reader.new()) == []
    log.path.write_bytes(b"")
    with pytest.raises(FileError, match="shorter"):
        list(reader.new())
    log.path.unlink()
    with pytest.raises(FileError, match="No such file"):
        list(reader.new())
