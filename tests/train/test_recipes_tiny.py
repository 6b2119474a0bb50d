"""Every recipe at its preset "tiny", as a person starts it: to its end, and on from there, bit for bit."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from labkit.cli import main
from labkit.events import Done, MeshPreview, Picture, Step
from labkit.train.checkpoint import Checkpoints
from labkit.train.follow import follow
from labkit.train.recipes import RECIPES, recipe

MORE = 3  # steps after the resume, which is in the middle between two checkpoints


@pytest.mark.parametrize("name", RECIPES)
def test_tiny(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All figures and previews are finite; what was stopped and resumed is what never stopped."""
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    steps = recipe(name).PRESETS["tiny"].steps
    start = ["train", name, "--preset", "tiny", "--preview-every", "1000"]
    assert main([*start, "--run", str(parts)]) == 0
    assert main(["train", name, "--resume", "--steps", str(steps + MORE), "--run", str(parts)]) == 0
    assert f"from step {steps}" in capsys.readouterr().err
    assert main([*start, "--steps", str(steps + MORE), "--run", str(whole)]) == 0

    events = list(follow(parts, previews="all"))
    told = [event for event in events if isinstance(event, Step)]
    assert [event.number for event in told] == list(range(1, steps + MORE + 1))
    ends = [event for event in events if isinstance(event, Done)]
    assert [(end.number, end.stopped) for end in ends] == [(steps, False), (steps + MORE, False)]
    figures = {f"{event.number} {key}": value for event in (*told, *ends) for key, value in event.values.items()}
    assert {key: value for key, value in figures.items() if not math.isfinite(value)} == {}
    assert all(event.values["gradient"] > 0 for event in told)
    pictures = [event for event in events if isinstance(event, Picture)]
    meshes = [event for event in events if isinstance(event, MeshPreview)]
    assert any(event.number == steps + MORE for event in (*pictures, *meshes))
    assert all(0 <= event.image.min() <= event.image.max() <= 1 for event in pictures)
    assert all(event.vertices.isfinite().all() for event in meshes)

    (_, stopped), (_, straight) = (Checkpoints(run).load(steps + MORE) for run in (parts, whole))
    torch.testing.assert_close(stopped.tensors, straight.tensors, rtol=0, atol=0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_has_its_doc(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No option stands bare in the help."""
    assert main(["train", name, "--preset", "tiny", "--help"]) == 0
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert said.count("(default: ") > 10
    assert re.findall(r"(--[a-z.-]+)(?: [A-Z]+| \{\S+\}|, --\S+)* \(default: ", said) == []
