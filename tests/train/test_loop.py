"""The training loop: exact resume, commands, faults; on a real recipe of one neuron."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
import torch
from safetensors.torch import load_file
from train.line_recipe import PRESETS, train

from labkit.errors import FileError, LabError
from labkit.events import Done, Event, Failed, MeshPreview, Phase, Saved, Step, Warned
from labkit.train import journal as journals
from labkit.train.checkpoint import Checkpoints
from labkit.train.commands import send
from labkit.train.event_log import read_events
from labkit.train.journal import Journal
from labkit.train.run_folder import RunFolder

TINY = PRESETS["tiny"]


def losses(events: list[Event]) -> list[float]:
    return [event.values["loss"] for event in events if isinstance(event, Step)]


def of(kind: type, events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def weights(run: Path, number: int | str = "latest") -> dict[str, torch.Tensor]:
    return Checkpoints(run).load(number)[1].tensors["module.net"]


def test_a_run_says_what_it_does(tmp_path: Path) -> None:
    events = list(train(TINY, tmp_path / "run"))
    assert isinstance(events[0], Phase)
    assert [step.number for step in of(Step, events)] == list(range(1, 11))
    assert [saved.number for saved in of(Saved, events)] == [4, 8, 10]
    assert events[-1] == Done(10, False, events[-1].values)
    assert events[-1].values["final"] == 1.0
    assert losses(events)[-1] < losses(events)[0]
    written = list(read_events(tmp_path / "run"))
    assert [type(event) for event in written] == [type(event) for event in events]
    assert losses(written) == losses(events)
    assert Checkpoints(tmp_path / "run").numbers() == [8, 10]  # the last two; the last is the best as well


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(of(Step, list(train(TINY)))) == 10
    assert list(tmp_path.iterdir()) == []


def test_leaving_at_the_last_word_changes_nothing(tmp_path: Path) -> None:
    for event in train(TINY, tmp_path / "run"):
        if isinstance(event, Done):
            break
    assert [event.stopped for event in of(Done, list(read_events(tmp_path / "run")))] == [False]


@pytest.mark.parametrize("left_after", [3, 4, 7])
def test_leaving_and_resuming_is_the_same_bit_for_bit(tmp_path: Path, left_after: int) -> None:
    whole = list(train(TINY, tmp_path / "whole"))
    first: list[Event] = []
    events = train(TINY, tmp_path / "parts")
    for event in events:
        first.append(event)
        if isinstance(event, Step) and event.number == left_after:
            break
    events.close()
    second = list(train(TINY, tmp_path / "parts", resume=True))
    assert losses(first) + losses(second) == losses(whole)
    assert all(
        torch.equal(value, weights(tmp_path / "whole")[name]) for name, value in weights(tmp_path / "parts").items()
    )


def test_twice_k_steps_are_two_k_steps(tmp_path: Path) -> None:
    """``steps`` is the total, and a run saves at its end."""
    whole = list(train(TINY, tmp_path / "whole"))
    first = list(train(replace(TINY, steps=5), tmp_path / "parts"))
    second = list(train(TINY, tmp_path / "parts", resume=True))
    assert losses(first) + losses(second) == losses(whole)
    assert json.loads((tmp_path / "parts" / "config.json").read_text("utf-8")) != {}


def test_a_folder_in_use_and_a_second_start(tmp_path: Path) -> None:
    events = train(replace(TINY, slow=0.01), tmp_path / "run")
    next(events)
    with pytest.raises(LabError):
        next(train(TINY, tmp_path / "run", resume=True))
    events.close()
    with pytest.raises(LabError):
        next(train(TINY, tmp_path / "run"))
    with pytest.raises(LabError, match="run"):
        next(train(TINY, None, resume=True))


def test_resume_refuses_another_config(tmp_path: Path) -> None:
    list(train(TINY, tmp_path / "run"))
    with pytest.raises(LabError, match="rate"):
        next(train(replace(TINY, rate=0.1, steps=20), tmp_path / "run", resume=True))
    assert losses(list(train(replace(TINY, steps=12, save_every=1), tmp_path / "run", resume=True)))


def test_a_batch_is_kept_whatever_its_tensors_share(tmp_path: Path) -> None:
    """One tensor under two names, and parts of one: what a step drew must not hide why it failed."""
    rows = torch.arange(6.0).view(2, 3)
    journal = Journal(RunFolder.create(tmp_path / "run", "line", {}))
    path = journal.save_batch(7, {"x": rows, "again": rows, "turned": rows.T, "part": rows[:, :1]})
    assert path is not None
    torch.testing.assert_close(load_file(path), {"x": rows, "again": rows, "turned": rows.T, "part": rows[:, :1]})


def test_nan_ends_with_report_and_good_checkpoint(tmp_path: Path) -> None:
    """The batch is kept, the checkpoint is that of the step before, and resuming draws the same batch again."""
    events = list(train(replace(TINY, poison=6), tmp_path / "run"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.number == 5
    assert "step 6" in failed.message
    assert "loss term error" in failed.message
    assert failed.checkpoint is not None
    batch = load_file(next((tmp_path / "run" / "failures").iterdir()))
    assert bool(batch["x"].isnan().any())
    sound = list(train(replace(TINY, steps=5), tmp_path / "sound"))
    assert losses(events) == losses(sound)
    assert all(
        torch.equal(value, weights(tmp_path / "sound")[name]) for name, value in weights(tmp_path / "run").items()
    )
    again = list(train(replace(TINY, poison=6), tmp_path / "run", resume=True))
    assert isinstance(again[-1], Failed)
    assert again[-1].number == 5


def drain(events: Iterator[Event], into: list[Event], until: type) -> None:
    for event in events:
        into.append(event)
        if isinstance(event, until):
            return


def test_commands(tmp_path: Path) -> None:
    run, seen = tmp_path / "run", []
    events = train(replace(TINY, steps=1000, slow=0.002), run)
    drain(events, seen, Step)
    send(run, "pause")
    drain(events, seen, Phase)
    assert seen[-1].name == "paused"
    before = len(of(Step, seen))
    send(run, "step")
    drain(events, seen, Phase)
    assert seen[-1].name == "running"
    drain(events, seen, Phase)
    assert seen[-1].name == "paused"
    assert len(of(Step, seen)) == before + 1
    send(run, "save")
    send(run, "resume")
    drain(events, seen, Saved)
    assert seen[-1].number == before + 1
    send(run, "preview")
    drain(events, seen, MeshPreview)
    send(run, "stop")
    drain(events, seen, Done)
    assert seen[-1].stopped
    assert Checkpoints(run).numbers()[-1] == seen[-1].number


def test_commands_to_an_earlier_process_are_dropped(tmp_path: Path) -> None:
    list(train(replace(TINY, steps=5), tmp_path / "run"))
    send(tmp_path / "run", "stop")
    assert not list(train(TINY, tmp_path / "run", resume=True))[-1].stopped


def test_what_cannot_be_saved_pauses_and_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a while: the run waits, says so, and loses nothing."""
    full = [True]
    save = Checkpoints.save

    def refuse(self: Checkpoints, number: int, *rest: object) -> Path:
        if number >= 8 and full[0]:
            raise FileError("checkpoints", "no space left on device", "room")
        return save(self, number, *rest)

    monkeypatch.setattr(journals.Checkpoints, "save", refuse)
    run, seen = tmp_path / "run", []
    events = train(TINY, run)
    drain(events, seen, Warned)
    assert "no space" in seen[-1].message
    drain(events, seen, Phase)
    assert seen[-1].name == "paused"
    assert Checkpoints(run).numbers() == [4]
    full[0] = False
    send(run, "resume")
    drain(events, seen, Done)
    assert losses(seen) == losses(list(train(TINY)))
    assert Checkpoints(run).numbers()[-1] == 10


def test_the_end_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last checkpoint cannot be written at first; the run is not done until it is."""
    save, attempts = Checkpoints.save, []

    def refuse(self: Checkpoints, number: int, *rest: object) -> Path:
        attempts.append(number)
        if attempts.count(10) == 1:
            raise FileError("checkpoints", "no space left on device", "room")
        return save(self, number, *rest)

    monkeypatch.setattr(journals.Checkpoints, "save", refuse)
    run, seen = tmp_path / "run", []
    events = train(TINY, run)
    drain(events, seen, Warned)
    drain(events, seen, Phase)
    send(run, "resume")
    drain(events, seen, Done)
    assert not seen[-1].stopped
    assert Checkpoints(run).numbers()[-1] == 10


def test_no_gradient_is_said_once() -> None:
    warned = of(Warned, list(train(replace(TINY, flat=True, steps=50))))
    assert len(warned) == 1
    assert "no gradient" in warned[0].message
    assert of(Warned, list(train(replace(TINY, steps=50)))) == []
