"""The live fit of the multiplication program, without a browser."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from ipywidgets import widgets

from labkit.lab import program_plots as plots
from labkit.lab.program_training import ProgramTrainingPanel

LIVE = widgets.widget._instances


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


def test_a_fit_makes_the_largest_error_smaller() -> None:
    panel = ProgramTrainingPanel(steps=10)
    assert "not fitted yet" in panel.table.value
    assert "plain: <b>3.24</b>" in panel.table.value  # known: 3.24 at s = 2
    assert "fitted: <b>3.24</b>" in panel.table.value
    before = panel.png()
    panel.runner.run()
    assert panel.runner.state == "done"
    assert len(panel.errors) == 10
    assert panel.errors[0] == pytest.approx(3.24, abs=0.005)
    assert "fitted at s = 2" in panel.table.value
    after = np.abs(panel.results(panel._fitted, 2.0) - panel.targets.numpy()).max()
    assert after < 3.0
    assert f"fitted: <b>{float(after):.3g}</b>" in panel.table.value
    assert panel.png() != before
    panel.close()


def test_the_table_has_every_assignment_and_a_new_run_begins_anew() -> None:
    panel = ProgramTrainingPanel(steps=5)
    panel.runner.run()
    text = panel.table.value
    assert all(line in text for line in ("x3 := x1", "x0 := x0 + 1", "x3 := x3 - 1", "x2 := x2 - 1"))
    first = panel.errors
    panel.runner.run()
    assert panel.errors == first
    assert panel.errors is not first
    panel.close()


def test_convergence_plot_takes_zero_errors() -> None:
    data = {"one": [(1.0, 0.1), (2.0, 0.0)], "two": [(1.0, 1.0), (2.0, 0.5)], "three": [(1.0, 1.0)]}
    assert plots.convergence_plot(data, 2, (300, 200))[:4] == b"\x89PNG"


def test_closing_closes_every_widget() -> None:
    before = len(LIVE)
    ProgramTrainingPanel("brief", steps=5).close()
    assert len(LIVE) == before
