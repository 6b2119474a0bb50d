"""``labkit train``: its options, what it shows, how it is stopped, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from labkit.cli import main
from labkit.events import Done, Event, Failed, Phase, Saved, Step
from labkit.train.checkpoint import Checkpoints
from labkit.train.event_log import read_events
from labkit.train.run_folder import RunFolder
from tests.train import tiny_recipe

RECIPE = "tests.train.tiny_recipe"
TRAIN = ["train", RECIPE]
LIMIT = 120.0  # seconds


def steps_of(run: Path) -> list[int]:
    """The numbers of all steps that the diary tells of."""
    return [event.number for event in read_events(run) if isinstance(event, Step)]


def when(ready: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    """Act beside the test as soon as something is so."""

    def wait() -> None:
        limit = time.monotonic() + LIMIT
        while not ready() and time.monotonic() < limit:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def interrupt(number: int = signal.SIGINT) -> None:
    """Ctrl-C, or another signal, to this process."""
    os.kill(os.getpid(), number)


def page(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """A page of help as one line, without its frames."""
    assert main([*words, "--help"]) == 0
    return " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The recipes with their presets; of a recipe every field with its doc and the preset's value."""
    assert "udr: presets tiny, cpu, gpu, paper" in page(["train"], capsys)
    said = page([*TRAIN, "--preset", "tiny"], capsys)
    for flag in ("--preset NAME", "--like FILE", "--run FOLDER", "--resume", "--processes INT", "--tensorboard"):
        assert re.search(rf"{flag} [A-Z]", said), flag
    assert "--net.width INT neurons of its hidden layer. (default: 16)" in said
    assert re.search(r"--steps INT the total, [^(]* \(default: 6\)", said)


def test_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Preset and fields reach the run; its end is saved; lines tell of it; a total is a total."""
    run = tmp_path / "run"
    assert main([*TRAIN, "--preset", "tiny", "--steps", "9", "--run", str(run), "--net.width", "8"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{run}: tiny, 9 steps\n"
    assert err.splitlines()[0] == "from the start"
    assert re.fullmatch(r"step 9/9, +[\d.]+ steps/s, 00:00 left, loss [\d.]+", err.splitlines()[-3])
    assert re.fullmatch(r"saved checkpoints/000009( \(the best so far\))?, score -[\d.]+", err.splitlines()[-2])
    assert re.fullmatch(r"done after 9 steps, score -[\d.]+", err.splitlines()[-1])
    config = RunFolder.open(run).config
    assert (config["net"], config["steps"], config["save_every"]) == ({"width": 8}, 9, 4)
    assert Checkpoints(run).numbers() == [8, 9]

    before = (run / "events.jsonl").read_bytes()
    assert main([*TRAIN, "--run", str(run), "--resume"]) == 0
    assert "all 9 steps are done" in capsys.readouterr().out
    assert (run / "events.jsonl").read_bytes() == before

    assert main([*TRAIN, "--run", str(run), "--resume", "--steps", "11"]) == 0
    assert "from step 9" in capsys.readouterr().err
    assert steps_of(run) == list(range(1, 12))
    assert RunFolder.open(run).config == {**config, "steps": 11}


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    """To stop and go on leaves the same bits."""
    for words in (["--run", str(tmp_path / "a"), "--steps", "12"], ["--run", str(tmp_path / "b"), "--steps", "5"]):
        assert main([*TRAIN, "--preset", "tiny", *words]) == 0
    assert main([*TRAIN, "--run", str(tmp_path / "b"), "--resume", "--steps", "12"]) == 0
    (_, a), (_, b) = (Checkpoints(tmp_path / name).load(12) for name in "ab")
    torch.testing.assert_close(b.tensors, a.tensors, rtol=0, atol=0)


def test_new_folder_and_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --run a folder of today is made; another run's config can be the start."""
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN, "--preset", "tiny", "--steps", "2", "--rows", "7"]) == 0
    made = capsys.readouterr().out.split(":")[0]
    assert re.fullmatch(r"runs/tiny-\d{8}-\d{4}", made)
    assert main([*TRAIN, "--like", f"{made}/config.json", "--seed", "3", "--run", "again"]) == 0
    assert RunFolder.open("again").config == {**RunFolder.open(made).config, "seed": 3}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train"], r"RECIPE.*\(labkit train --help lists"),
        (["train", "nix"], "recipe: got nix, expected udr"),
        (["train", "nix.nix"], r"recipe: got nix.nix \(No module named .nix.\), expected udr"),
        (["train", "labkit.errors"], "without NAME, Config, PRESETS, train"),
        ([*TRAIN, "--net.widht", "3"], rf"--net.widht.*\(labkit train {RECIPE} --help lists"),
        ([*TRAIN, "--rows", "x"], "--rows"),
        ([*TRAIN, "--reduction", "max"], "sum.*mean"),
        ([*TRAIN, "--steps", "0"], "steps: got 0.0, expected a finite number greater than 0"),
        ([*TRAIN, "--preset", "nix"], "--preset: got nix, expected one of tiny, cpu"),
        ([*TRAIN, "--processes", "0", "--run", "new"], "processes"),
        ([*TRAIN, "--resume"], "--resume needs --run"),
        ([*TRAIN, "--resume", "--run", "nix"], "nix/config.json"),
        ([*TRAIN, "--resume", "--run", "nix", "--preset", "tiny"], "--preset goes neither"),
        ([*TRAIN, "--run", "old"], "old: got a folder with x in it"),
        ([*TRAIN, "--like", "old/x"], "old/x: got an empty file"),
        ([*TRAIN, "--device", "cuda:99", "--run", "new"], "this machine offers"),
    ],
)
def test_errors_are_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x").touch()
    assert main(words) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(rf"labkit: .*{told}.*\n", err), err


def test_a_changed_resume_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What changes the computation is named."""
    run = str(tmp_path / "run")
    assert main([*TRAIN, "--preset", "tiny", "--steps", "1", "--run", run]) == 0
    capsys.readouterr()
    assert main([*TRAIN, "--resume", "--run", run, "--steps", "2", "--rows", "5"]) == 2
    assert "rows 32 5" in capsys.readouterr().err


def test_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN ends the run with exit code 1 and a line that says where the good checkpoint is."""
    run = tmp_path / "run"
    assert main([*TRAIN, "--preset", "tiny", "--poison", "3", "--run", str(run)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("failed after step 2: step 3: loss term loss: got NaN")
    assert last.endswith("last good checkpoint: checkpoints/000002")
    *_, event = read_events(run)
    assert isinstance(event, Failed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_stops_after_the_step(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The step is finished and saved, the exit code is 0, and the process has its own handlers again."""
    run, before = tmp_path / "run", signal.getsignal(number)
    waiter = when(lambda: run.exists() and len(steps_of(run)) > 2, lambda: interrupt(number))
    assert main([*TRAIN, "--steps", "100000", "--wait", "0.02", "--run", str(run)]) == 0
    waiter.join()
    err = capsys.readouterr().err
    assert "stopping after this step" in err
    *_, saved, end = read_events(run)
    assert isinstance(end, Done)
    assert end.stopped
    assert isinstance(saved, Saved)
    assert Checkpoints(run).numbers()[-1] == saved.number == end.number == steps_of(run)[-1]
    assert f"stopped after {end.number} steps" in err
    assert signal.getsignal(number) == before


def test_twice_stops_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the middle of a long step; the earlier checkpoint stands, the exit code is 130, and it can be resumed."""
    run = tmp_path / "run"
    assert main([*TRAIN, "--steps", "2", "--run", str(run)]) == 0
    first = when(lambda: any(isinstance(e, Phase) and e.number == 2 for e in read_events(run)), interrupt)
    second = when(lambda: list((run / "commands").glob("*.json")), interrupt)
    long = RunFolder.open(run).amended({**RunFolder.open(run).config, "wait": LIMIT})
    began = time.monotonic()
    assert main([*TRAIN, "--resume", "--run", str(long.path), "--steps", "4"]) == 130
    assert time.monotonic() - began < LIMIT
    first.join()
    second.join()
    *_, end = read_events(run)
    assert isinstance(end, Failed)
    assert "interrupted" in end.message
    assert Checkpoints(run).numbers() == [2]
    RunFolder.open(run).amended({**RunFolder.open(run).config, "wait": 0.0})
    assert main([*TRAIN, "--resume", "--run", str(run)]) == 0
    assert Checkpoints(run).numbers() == [2, 4]


@pytest.mark.slow
def test_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two that train together are shown as one; after the second Ctrl-C none of them is left."""
    run = tmp_path / "run"
    family: list[psutil.Process] = []

    def kill() -> None:
        family.extend(psutil.Process().children(recursive=True))
        interrupt()
        when(lambda: "stopping" in sys.stderr.getvalue(), interrupt).join()  # type: ignore[attr-defined]

    waiter = when(lambda: run.exists() and len(steps_of(run)) > 2, kill)
    words = ["--preset", "tiny", "--steps", "100000", "--wait", "0.3", "--processes", "2", "--run", str(run)]
    assert main([*TRAIN, *words]) == 130
    waiter.join()
    assert len(family) == 3
    assert psutil.wait_procs(family, timeout=LIMIT)[1] == []
    assert "from the start" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar shows steps, time left and loss; what is said stands on lines of its own."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    words = ["--steps", "30", "--wait", "0.02", "--run", str(tmp_path / "run")]
    assert main([*TRAIN, *words]) == 0
    assert main([*TRAIN, *words, "--resume", "--steps", "40"]) == 0
    shown = terminal.getvalue()
    assert re.search(r"\d+%\|[^\r]*\| \d+/30 \[00:0\d<00:0\d, +[\d.]+step/s, loss [\d.]+\]", shown)
    assert re.search(r"\r *75%\|[^\r]*\| 30/40 \[", shown)
    assert re.search(r"[\r\n]saved checkpoints/000040.*\n", shown)
    assert shown.endswith("\n")


def test_tensorboard(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures, pictures and the quality of checkpoints can be read back; a resumed run goes on with them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    words = ["--preset", "tiny", "--preview-every", "0.001", "--tensorboard", "--run", str(run)]
    assert main([*TRAIN, *words]) == 0
    assert main([*TRAIN, *words[2:], "--resume", "--steps", "8"]) == 0
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    diary: list[Event] = list(read_events(run))
    losses = {scalar.step: scalar.value for scalar in board.Scalars("loss")}
    assert list(losses) == list(range(1, 9))
    assert losses == pytest.approx({event.number: event.values["loss"] for event in diary if isinstance(event, Step)})
    saved = {scalar.step: scalar.value for scalar in board.Scalars("saved/score")}
    assert saved == pytest.approx({event.number: event.values["score"] for event in diary if isinstance(event, Saved)})
    assert [scalar.step for scalar in board.Scalars("done/score")] == [6, 8]
    picture = board.Images("function")[-1]
    assert (picture.width, picture.height) == (16, 16)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*TRAIN, "--tensorboard", "--run", str(tmp_path / "new")]) == 2
    assert 'pip install "labkit[tensorboard]"' in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_config_json_is_the_config(tmp_path: Path) -> None:
    """The file that --like and --resume read is what the docs say it is."""
    run = tmp_path / "run"
    assert main([*TRAIN, "--preset", "tiny", "--run", str(run)]) == 0
    data = json.loads((run / "config.json").read_text())
    assert data["recipe"] == tiny_recipe.NAME
    assert data["config"]["learning_rate"] == tiny_recipe.PRESETS["tiny"].learning_rate
