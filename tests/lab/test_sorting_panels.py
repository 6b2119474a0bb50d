"""The sorting and the median panel, without a browser: what they compute, and what they do with bad input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from ipywidgets import Button, widgets

from labkit.errors import DomainError
from labkit.lab.median_panel import MedianPanel, MedianState, averages
from labkit.lab.sorting_panel import OUTPUTS, SortingPanel, SortingState, sorting
from labkit.smooth import soft_sort
from tests.tolerances import FLOAT64

LIVE = widgets.widget._instances
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HEADLESS", "1")


@pytest.fixture
def panel() -> Iterator[SortingPanel]:
    made = SortingPanel()
    yield made
    made.close()


@pytest.fixture
def median() -> Iterator[MedianPanel]:
    made = MedianPanel()
    yield made
    made.close()


def press(text: str) -> None:
    """Click the only live button of that text."""
    (button,) = [w for w in LIVE.values() if isinstance(w, Button) and w.description == text]
    button.click()


def test_every_step_is_the_library_s() -> None:
    """Exchanging by hand, bar by bar, leads along the wires that are drawn, with the swaps that are drawn."""
    state = SortingState(n=7, steps=9, steepness=3.0)
    found = sorting(state)
    wires = state.values.tolist()
    for step, (pairs, swaps) in enumerate(zip(found.network, found.swaps, strict=True)):
        for i, swap in zip(pairs, swaps.tolist(), strict=True):
            a, b = wires[i], wires[i + 1]
            alpha = 1 / (1 + torch.tensor(-3.0 * (b - a), dtype=torch.float64).exp().item())
            assert swap == pytest.approx(1 - alpha, **pytest_tolerance())
            wires[i], wires[i + 1] = alpha * a + (1 - alpha) * b, alpha * b + (1 - alpha) * a
        assert found.levels[step + 1].tolist() == pytest.approx(wires, **pytest_tolerance())
    torch.testing.assert_close(found.matrix @ state.values, found.levels[-1], **FLOAT64)
    torch.testing.assert_close(found.hard, state.values.sort().values, **FLOAT64)
    assert found.error == pytest.approx(float((found.levels[-1] - found.hard).abs().max()), **pytest_tolerance())


def pytest_tolerance() -> dict[str, float]:
    """FLOAT64 by the names of `pytest.approx`."""
    return {"rel": FLOAT64["rtol"], "abs": FLOAT64["atol"]}


@pytest.mark.parametrize("output", OUTPUTS)
def test_gradients_are_finite_differences(output: str) -> None:
    state = SortingState(own="0.3 -1 0.4 2 0.1 1", steps=6, steepness=2.0, output=output)
    places = {
        "smallest": [0],
        "second smallest": [1],
        "middle": [2, 3],
        "second largest": [4],
        "largest": [5],
        "sum of all": [0, 1, 2, 3, 4, 5],
    }[output]

    def chosen(x: torch.Tensor) -> float:
        picked = soft_sort(x, 2.0)[places]
        return float(picked.mean() if output == "middle" else picked.sum())

    h = 1e-5
    step = h * torch.eye(6, dtype=torch.float64)
    expected = [(chosen(state.values + one) - chosen(state.values - one)) / (2 * h) for one in step]
    found = sorting(state)
    # central differences with h = 1e-5 are good to h^2 and to rounding / h
    assert found.gradient.tolist() == pytest.approx(expected, abs=1e-8)
    assert float(found.gradient.sum()) == pytest.approx(6.0 if output == "sum of all" else 1.0)
    assert sorted(set(found.hard_gradient.tolist())) in ([0.0, 1.0], [0.0, 0.5], [1.0])


def test_a_steep_sort_is_the_hard_one_for_every_order() -> None:
    for order in permutations((0.0, 1.0, 2.0, 3.0)):
        found = sorting(SortingState(own=" ".join(map(str, order)), steps=4, steepness=1000.0))
        assert found.error == 0.0
        assert found.matrix.argmax(-1).tolist() == found.order.tolist()
        assert torch.equal(found.gradient, found.hard_gradient)


def test_pictures_are_there_and_follow(panel: SortingPanel) -> None:
    views = (panel.network, panel.matrix, panel.bars)
    before = [view.value for view in views]
    assert all(bytes(picture).startswith(PNG) for picture in before)
    assert panel.png() == before[0]
    for change in ({"steepness": 50.0}, {"steps": 0}, {"spread": 3.0}, {"family": "cauchy"}):
        panel.set(**change)
        assert panel.network.value != before[0]
        assert panel.bars.value != before[2]
        panel.reset()
        assert panel.network.value == before[0]
    panel.set(output="largest")
    assert (panel.network.value, panel.matrix.value) == tuple(before[:2])
    assert panel.bars.value != before[2]
    assert "gradient of the largest" in panel.bars_title.value


def test_another_number_of_values_brings_its_steps(panel: SortingPanel) -> None:
    panel.set(n=12)
    assert panel.state["steps"] == 12
    panel.set(n=5, steps=2)
    assert panel.state["steps"] == 2
    panel.set(own="3, 1 2.5")
    assert panel.record.values.tolist() == [3.0, 1.0, 2.5]
    assert panel.state["steps"] == 3
    assert panel.drawn.layout.display == "none"
    assert "3 steps for 3 values" in panel.told.value
    panel.set(own="3, 1 2.6", steps=1)
    panel.set(own="3, 1 2.7")
    assert panel.state["steps"] == 1


def test_shuffle_draws_other_values_of_the_same_spread(panel: SortingPanel) -> None:
    panel.set(own="1 2")
    press("Shuffle")
    assert panel.state["own"] == ""
    first = panel.record.values
    press("Shuffle")
    assert not torch.equal(panel.record.values, first)
    panel.set(spread=2.0)
    once = panel.record.values
    panel.set(spread=4.0)
    torch.testing.assert_close(panel.record.values, 2 * once, **FLOAT64)


@pytest.mark.parametrize("own", ["1", "a b", "1 nan", "1 inf", "1e9 1", " ".join("1" * 13)])
def test_bad_values_are_refused_and_nothing_changes(panel: SortingPanel, own: str) -> None:
    before = panel.record
    with pytest.raises(DomainError, match="own"):
        panel.set(own=own)
    assert panel.record == before


def test_limits_of_the_controls_can_be_drawn(panel: SortingPanel) -> None:
    for change in ({"n": 12, "steps": 24}, {"own": "5 5"}, {"own": "1 1 1", "steepness": 0.1}, {"steepness": 1000.0}):
        panel.set(**change)
        assert panel.status.value == ""


def test_outliers_move_the_mean_and_not_the_median() -> None:
    """10 % outliers of size 100 on one side: within 0.05 standard deviations of the median, the mean off by over 5."""
    for seed in range(20):
        found = averages(MedianState(n=50, size=100.0, steepness=100.0, seed=seed)).values
        assert abs(found["soft median, exact"] - found["hard median"]) < 0.05
        assert abs(found["mean"] - found["hard median"]) > 5


def test_the_fast_median_removes_one_outlier_a_side() -> None:
    """Two outliers on both sides go with few rounds; on the same side more is left."""
    off = {}
    for sides in ("both sides", "same side"):
        found = averages(MedianState(n=20, share=0.1, size=60.0, sides=sides)).values
        off[sides] = abs(found["soft median, fast"] - found["hard median"])
    assert 3 * off["both sides"] < off["same side"]


def test_who_listens_to_whom() -> None:
    found = averages(MedianState(n=21, steepness=50.0, sides="both sides"))
    assert found.data.tolist() == sorted(found.data.tolist())
    torch.testing.assert_close(found.gradients["mean"], torch.full((21,), 1 / 21, dtype=torch.float64), **FLOAT64)
    assert found.gradients["hard median"].nonzero().tolist() == [[10]]
    for name, gradient in found.gradients.items():
        assert float(gradient.sum()) == pytest.approx(1.0), name
    exact = found.gradients["soft median, exact"]
    assert float(exact[7:14].sum()) > 0.95
    assert float(exact[[0, -1]].abs().max()) < 1e-6


@pytest.mark.parametrize(("n", "share", "outliers"), [(20, 0.1, 2), (5, 0.0, 0), (60, 0.45, 27)])
def test_as_many_outliers_as_asked_for(n: int, share: float, outliers: int) -> None:
    for sides, above in (("same side", outliers), ("both sides", (outliers + 1) // 2)):
        data = MedianState(n=n, share=share, size=100.0, sides=sides).data
        assert len(data) == n
        assert int((data > 50).sum()) == above
        assert int((data.abs() > 50).sum()) == outliers


def test_median_pictures_follow(median: MedianPanel) -> None:
    before = (median.strip.value, median.pulls.value)
    assert all(bytes(picture).startswith(PNG) for picture in before)
    for change in ({"size": 50.0}, {"degree": 12}, {"sides": "both sides"}):
        median.set(**change)
        assert (median.strip.value, median.pulls.value) != before
        median.reset()
    assert (median.strip.value, median.pulls.value) == before
    assert "2 outliers of 20" in median.told.value
    press("Shuffle")
    assert median.strip.value != before[0]
    assert median.png() == median.strip.value
