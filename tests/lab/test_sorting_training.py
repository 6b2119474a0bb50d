"""Networks with a sorting layer: the questions, the rivals, their training, and the panel that runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from labkit.errors import DomainError
from labkit.lab.set_training_panel import SetTrainingPanel
from labkit.lab.sorting_training import GAUGES, RIVALS, TASKS, rivals, sample, train, validate
from labkit.smooth.algorithmic_layer import INSERTIONS
from tests.tolerances import FLOAT32


def score(seen: torch.Tensor) -> torch.Tensor:
    """The best guess of the scores (B, 9) from the gauges (B, 9, 3)."""
    gains = torch.tensor(GAUGES)
    return seen @ gains / gains.square().sum()


@pytest.mark.parametrize("task", TASKS)
def test_the_answers_are_right(task: str, generator: torch.Generator) -> None:
    seen, answers = sample(task, 500, generator)
    guess = score(seen)
    expected = {
        "median": guess.quantile(0.5, -1),
        "second largest": guess.kthvalue(8, -1).values,
        "mean": guess.mean(-1),
        "first": guess[:, 0],
    }[task]
    # the gauges' noise of 0.1 leaves 0.076 in a guess
    assert float((expected - answers).square().mean().sqrt()) < 0.1
    assert float(answers.std()) > 0.2


def test_unknown_questions_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(DomainError, match="task"):
        sample("mode", 1, generator)


@pytest.mark.parametrize("insertion", INSERTIONS)
def test_rivals_start_alike_and_differ_in_the_algorithm(insertion: str, generator: torch.Generator) -> None:
    networks = rivals(insertion, 1000.0, 0)
    assert tuple(networks) == RIVALS
    states = [network.state_dict() for network in networks.values()]
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], states[0][name]) for name in state)
    seen, _ = sample("median", 50, generator)
    none, hard, soft = (network(seen) for network in networks.values())
    assert none.shape == (50,)
    assert float((none - hard).detach().abs().max()) > 1e-3
    # so steep a sort differs from the hard one only where two numbers are within 0.01 of each other
    assert float((soft - hard).detach().abs().median()) < 0.01
    shuffled = seen[:, torch.randperm(9, generator=generator)]
    same = torch.allclose(networks["hard sort"](shuffled), hard, **FLOAT32)
    assert same is (insertion == "between")


def test_the_global_stream_is_left_alone(generator: torch.Generator) -> None:
    before = torch.get_rng_state()
    list(train(rivals("skip", 8.0, 0), "median", 2, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_sensitivity_is_a_derivative_and_silence_is_a_zero(generator: torch.Generator) -> None:
    networks = rivals("residual", 8.0, 1)
    seen, answers = sample("median", 200, generator)
    found = validate(networks, seen, answers)
    soft = networks["soft sort"]
    numbers = soft.code(seen)[..., 0].detach()

    def error(weight: float) -> float:
        joined = numbers + weight * soft.layer.algorithm(numbers)
        with torch.no_grad():
            return float((soft.answer(joined)[:, 0] - answers).square().mean() / answers.var(correction=0))

    assert found["soft sort"] == pytest.approx(error(1.0), rel=1e-4)
    assert found["silent"] == pytest.approx(error(0.0), rel=1e-4)
    # a difference over 0.02 in float32 is good to about 1e-4
    assert found["sensitivity"] == pytest.approx((error(1.01) - error(0.99)) / 0.02, abs=1e-3)
    assert found["sensitivity"] == pytest.approx(sum(found[f"place {place}"] for place in range(1, 10)))


@pytest.mark.slow
def test_a_sort_helps_for_medians_and_harms_for_the_first() -> None:
    """150 steps: three times less error for a median, several times more for the first item, no matter for a mean."""
    last = {}
    for task in ("median", "first", "mean"):
        events = list(train(rivals("between", 8.0, 0), task, 150, 0))
        assert [event.number for event in events] == list(range(1, 151))
        assert [event.number for event in events if event.values] == [1, *range(10, 151, 10)]
        last[task] = events[-1].values
    assert last["median"]["soft sort"] < last["median"]["no sort"] / 3
    assert last["first"]["soft sort"] > 5 * last["first"]["no sort"]
    assert max(last["mean"][name] for name in RIVALS) < 0.05


def test_training_repeats_itself() -> None:
    runs = [list(train(rivals("between", 8.0, 3), "median", 10, 3))[-1].values for _ in range(2)]
    for name in (*RIVALS, "silent", "sensitivity"):
        assert runs[0][name] == runs[1][name]


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[SetTrainingPanel]:
    monkeypatch.setenv("LABKIT_HEADLESS", "0" if getattr(request, "param", "headless") == "live" else "1")
    made = SetTrainingPanel(steps=20)
    yield made
    made.close()


def test_the_panel_trains_and_draws(panel: SetTrainingPanel) -> None:
    empty = (panel.losses.value, panel.sensitivity.value)
    assert all(bytes(picture).startswith(b"\x89PNG") for picture in empty)
    assert "434 parameters" in panel.count.value
    assert panel.told.value == ""
    panel.run()
    assert panel.runner.state == "done"
    assert panel.history["step"] == [1, 10, 20]
    assert len(panel.history["soft sort"]) == len(panel.history["place 9"]) == 3
    assert panel.losses.value != empty[0]
    assert panel.sensitivity.value != empty[1]
    assert all(name in panel.told.value for name in RIVALS)
    panel.set(insertion="skip")
    assert (panel.losses.value, panel.sensitivity.value) == empty
    assert "722 parameters" in panel.count.value
    panel.run()
    assert panel.history["step"] == [1, 10, 20]
    assert panel.png() == panel.losses.value


@pytest.mark.parametrize("panel", ["live"], indirect=True)
def test_a_change_ends_the_run(panel: SetTrainingPanel) -> None:
    panel.set(steps=2000)
    panel.flush()
    panel.run()
    deadline = time.monotonic() + 30
    while len(panel.history["step"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    panel.runner.pause()
    panel.runner.join()
    assert panel.runner.state == "paused"
    assert panel.history["step"][:2] == [1, 10]
    panel.set(task="mean")
    assert panel.runner.state == "stopped"
    panel.flush()
    assert panel.history["step"] == []
    assert panel.status.value == ""
