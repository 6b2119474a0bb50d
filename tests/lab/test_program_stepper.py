"""Stepping through WHILE programs, without a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("ipywidgets")

from ipywidgets import widgets

from labkit.errors import DomainError
from labkit.lab.program_stepper import LONGEST, StepperPanel, StepperState, listing, record, variable_table
from labkit.smooth.while_examples import EXAMPLES

LIVE = widgets.widget._instances


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def panel() -> Iterator[StepperPanel]:
    made = StepperPanel(smoothness="hard", step=0)
    yield made
    made.close()


def test_the_hard_multiplication_in_full() -> None:
    """2 * 1: one turn of the outer loop, two of the inner, by hand."""
    found = record(StepperState(x1=2.0, x2=1.0, smoothness="hard"))
    assert [step.line for step in found.steps] == [2, 3, 4, 5, 6, 4, 5, 6, 4, 8, 2]
    assert [float(step.probability) for step in found.steps] == [1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0]
    assert found.depths == {2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 8: 1}
    assert found.start == {"x0": 0, "x1": 2, "x2": 1, "x3": 0}
    assert found.variables(0) == found.start
    assert found.variables(11) == {"x0": 2, "x1": 2, "x2": 0, "x3": 0}
    assert not found.cut


def test_a_smooth_statement_by_hand() -> None:
    """x1 = 2.5, x2 = 0.5, C0: P is 0.5 after the first test, so x3 becomes 0.5 * 2.5."""
    found = record(StepperState(x1=2.5, x2=0.5, smoothness="C0"))
    assert found.variables(2)["x3"] == 1.25
    text = listing(found, 2)
    assert text.count("0.5000</td>") == 2
    assert text.count("labkit-now") == 1
    assert "x3 := x1" in text.split("labkit-now")[1].split("</tr>")[0]
    assert "<b>1.25000</b>" in variable_table(found, 2)
    assert variable_table(found, 2).count("<b>") == 1
    assert "<b>" not in variable_table(found, 0)


def test_moves_stay_inside_of_the_run(panel: StepperPanel) -> None:
    total = len(record(panel.record).steps)
    panel.move(-1)
    assert panel.record.step == 0
    panel.move(1)
    assert (panel.record.step, panel.bar.value, panel.player.value) == (1, 1, 1)
    assert f"statement 1 of {total}" in panel.note.value
    panel.move(LONGEST)
    assert panel.record.step == panel.bar.max == total
    panel.bar.value = 5  # as from the browser
    assert panel.record.step == 5


def test_a_shorter_run_keeps_the_place_as_far_as_it_can(panel: StepperPanel) -> None:
    panel.move(LONGEST)
    far = panel.record.step
    panel.set(x2=0.0)
    assert panel.bar.max == panel.bar.value == 1
    assert "statement 1 of 1" in panel.note.value
    assert panel.record.step == far
    panel.set(x2=3.0)
    assert panel.bar.value == far
    panel.set(x2=0.0)
    panel.move(-1)
    assert panel.record.step == 0


def test_every_example_can_be_stepped(panel: StepperPanel) -> None:
    for name in EXAMPLES:
        panel.set(program=name, x1=3.0, x2=2.0, step=30)
        assert panel.listing.value.count("labkit-now") == 1
    assert panel.png()


def test_a_long_run_is_cut_and_says_so(panel: StepperPanel) -> None:
    panel.set(program="power", x1=4.0, x2=5.0)
    assert "the run goes on" in panel.note.value
    assert panel.bar.max == LONGEST


def test_hard_needs_whole_numbers(panel: StepperPanel) -> None:
    with pytest.raises(DomainError, match="whole"):
        panel.set(x1=2.5)
    assert "whole" in panel.status.value
    panel.set(smoothness="C0")
    assert panel.status.value == ""


def test_the_chart_shows_the_place(panel: StepperPanel) -> None:
    before = panel.png()
    panel.move(7)
    assert panel.png() != before


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    StepperPanel("brief").close()
    assert len(LIVE) == before
