"""The editor of WHILE programs and the comparison of Python functions, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tolerances import FLOAT64

pytest.importorskip("ipywidgets")

from ipywidgets import widgets

from labkit.errors import DomainError, DTypeError
from labkit.lab.program_comparison import ProgramComparison, hard_line, soft_line
from labkit.lab.program_editor import EditorPanel, EditorState, along_x1
from labkit.smooth.classic_programs import clamp
from labkit.smooth.smooth_function import smooth_function
from labkit.smooth.while_examples import EXAMPLES, MULTIPLICATION
from labkit.smooth.while_language import WhileSyntaxError

LIVE = widgets.widget._instances
ENDLESS = "WHILE x1 != 0 DO\n    x1 := x1 + 1\nEND"


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def editor() -> Iterator[EditorPanel]:
    panel = EditorPanel()
    yield panel
    panel.close()


def test_lines_of_a_known_program() -> None:
    whole = torch.arange(6.0, dtype=torch.float64)
    state = EditorState(source=MULTIPLICATION, x2=2.0)
    for smoothness in ("hard", "c0"):
        line, open_ends = along_x1(state, smoothness, whole)
        np.testing.assert_array_equal(line.values, 2 * whole.numpy())
        assert open_ends == 0
    assert (along_x1(state, "hard", whole)[0].slopes == 0).all()  # counting has no derivative


def test_slopes_are_those_of_the_values() -> None:
    places = torch.linspace(0.5, 5.5, 2001, dtype=torch.float64)
    line, _ = along_x1(EditorState(source=MULTIPLICATION, x2=2.0), "cinf", places)
    # central differences; the step of 0.0025 squared times the third derivative
    np.testing.assert_allclose(line.slopes[1:-1], np.gradient(line.values, line.places)[1:-1], atol=1e-3)


def test_a_program_without_x1_is_flat() -> None:
    line, _ = along_x1(EditorState(source="x0 := x2 + 1", x2=2.0), "c0", torch.ones(3, dtype=torch.float64))
    np.testing.assert_array_equal(line.values, [3, 3, 3])
    np.testing.assert_array_equal(line.slopes, [0, 0, 0])


def test_an_endless_program_says_so(editor: EditorPanel) -> None:
    editor.set(source=ENDLESS, turns=50)
    assert "hard: no end after 50 turns at 7 of 8 places" in editor.note.value
    line, open_ends = along_x1(EditorState(source=ENDLESS, turns=50), "hard", torch.tensor([0.0, 1.0]))
    assert open_ends == 1
    np.testing.assert_array_equal(np.isnan(line.values), [False, True])


def test_a_mistake_is_told_with_line_and_column(editor: EditorPanel) -> None:
    before = editor.png()
    with pytest.raises(WhileSyntaxError):
        editor.set(source="x0 := x1\nx0 := x0 + 2\n")
    assert "line 2, column 12" in editor.status.value
    assert editor.png() == before
    editor.text.value = "x0 := x1\n"  # as typed in the browser
    assert editor.status.value == ""
    assert editor.png() != before


def test_python_is_not_run(editor: EditorPanel) -> None:
    with pytest.raises(WhileSyntaxError, match="line 1, column 1"):
        editor.set(source="__import__('os').abort()")


def test_examples_are_put_into_the_text(editor: EditorPanel) -> None:
    for name, source in EXAMPLES.items():
        editor.example.value = name
        assert editor.text.value == editor.record.source == source
    assert editor.example.index == 0


def test_the_hard_program_needs_whole_inputs(editor: EditorPanel) -> None:
    assert editor.note.value.count("hard") == 0
    editor.set(x2=1.5)
    assert "hard: not shown" in editor.note.value
    editor.set(x2=1.0, span=(0.25, 0.75))
    assert editor.png()


@smooth_function
def door(x: Any, width: Any) -> Any:
    """1 inside of the width, 0 outside."""
    return 1.0 if abs(x) < width else 0.0


@smooth_function
def twice(x: Any) -> Any:
    """A list, which cannot be plotted."""
    return [x, x]


def test_hard_values_and_slopes_of_clamp() -> None:
    places = torch.linspace(-1, 2, 61, dtype=torch.float64)
    line = hard_line(clamp, {"low": 0.0, "high": 1.0}, "x", places)
    np.testing.assert_array_equal(line.values, places.clamp(0, 1).numpy())
    kinks = np.isin(np.round(line.places, 6), [0.0, 1.0])
    assert np.isnan(line.slopes[kinks]).all()
    assert np.isnan(line.slopes[[0, -1]]).all()
    inner = np.where((line.places > 0) & (line.places < 1), 1.0, 0.0)
    rest = ~kinks
    rest[[0, -1]] = False
    # a difference over 3e-5 of numbers around 1 loses eleven of sixteen digits
    np.testing.assert_allclose(line.slopes[rest], inner[rest], atol=1e-9)


def test_soft_values_and_slopes() -> None:
    places = torch.linspace(-1, 2, 13, dtype=torch.float64)
    line, remaining = soft_line(clamp, {"low": 0.0, "high": 1.0}, "x", places, 20.0)
    assert remaining == 0.0
    expected = [clamp(x, 0.0, 1.0, steepness=20.0) for x in places]
    np.testing.assert_allclose(line.values, torch.stack(expected).numpy(), **FLOAT64)
    h = 1e-6
    ahead, behind = (soft_line(clamp, {"low": 0.0, "high": 1.0}, "x", places + d, 20.0)[0].values for d in (h, -h))
    np.testing.assert_allclose(line.slopes, (ahead - behind) / (2 * h), atol=1e-8)


def test_steeper_is_closer() -> None:
    panel = ProgramComparison(door, x=(-2, 2), width=1.03)
    gaps = []
    for steepness in (2.0, 8.0, 32.0):
        panel.set(steepness=steepness)
        gaps.append(float(panel.note.value.split("mean ")[1]))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert panel.state["along"] == "x"
    panel.close()


def test_any_range_may_be_the_axis() -> None:
    panel = ProgramComparison(clamp, x=(-1, 2), low=(-0.5, 0.5), high=(0.5, 1.5))
    before = panel.png()
    panel.set(along="high", at_x=1.8)
    assert panel.png() != before
    with pytest.raises(DomainError, match="at_low"):
        panel.set(at_low=3.0)
    panel.close()


def test_a_bound_is_told() -> None:
    @smooth_function(max_iterations=5)
    def count(x: Any) -> Any:
        turns = 0
        while x > 0:
            x = x - 1
            turns += 1
        return turns

    panel = ProgramComparison(count, x=(0.0, 9.0))
    assert "came to its bound of 5 turns" in panel.note.value
    panel.close()


def test_bad_arguments() -> None:
    with pytest.raises(DTypeError, match="smooth_function"):
        ProgramComparison(abs, x=(0, 1))  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="missing"):
        ProgramComparison(clamp, x=(0, 1))
    with pytest.raises(DomainError, match="no range"):
        ProgramComparison(clamp, x=1.0, low=0.0, high=1.0)
    with pytest.raises(DomainError, match="low < high"):
        ProgramComparison(clamp, x=(1.0, 0.0), low=0.0, high=1.0)
    with pytest.raises(DTypeError, match="one number"):
        ProgramComparison(twice, x=(0.0, 1.0))


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    EditorPanel("brief").close()
    ProgramComparison(door, "short", x=(-2, 2), width=1.0).close()
    assert len(LIVE) == before
