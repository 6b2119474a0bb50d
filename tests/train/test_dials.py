"""Recipes of several opponents: dials turned on the way, dropout that resumes, steps that fail as a whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train.duel_recipe import PRESETS, Duel, DuelTrainer, train

from labkit.errors import DeviceError, DomainError, DTypeError
from labkit.events import Done, Event, Failed, Saved, Step, Tuned, Warned
from labkit.nets.layers import SeededDropout, seed_dropout
from labkit.train.checkpoint import Checkpoints
from labkit.train.commands import send
from labkit.train.dials import Dial, Dials
from labkit.train.distributed import Team
from labkit.train.event_log import read_events
from labkit.train.guard import undone
from labkit.train.train_state import state_of
from tests.train import line_recipe

TINY: Duel = PRESETS["tiny"]


def same(run: Path, other: Path) -> bool:
    """Whether the newest checkpoints hold the same bits."""
    (number, one), (also, two) = (Checkpoints(path).load("latest") for path in (run, other))
    return number == also and all(
        torch.equal(value, two.tensors[group][name])
        for group, tensors in one.tensors.items()
        for name, value in tensors.items()
        if not name.startswith("torch")  # torch's own streams, which nobody here draws from
    )


def until(events: Iterator[Event], kind: type) -> Event:
    return next(event for event in events if isinstance(event, kind))


def test_dials_keep_their_ranges() -> None:
    dials = Dials({"a": Dial(1.0, 0.0, 2.0), "b": Dial(3.0, 3.0, 4.0)})
    dials.turn({"a": 2, "b": 3.5})
    assert (dials["a"], dials["b"]) == (2.0, 3.5)
    with pytest.raises(DomainError, match="3 to 4"):
        dials.turn({"a": 0.5, "b": 5.0})
    with pytest.raises(DTypeError, match="number"):
        dials.turn({"a": "high"})
    with pytest.raises(DomainError, match="one of a, b"):
        dials.turn({"c": 1.0})
    with pytest.raises(DomainError):
        dials.turn({"a": float("nan")})
    with pytest.raises(DomainError, match="one of a, b"):
        dials["c"]
    for value, low, high in ((2.0, 0.0, 1.0), (0.5, 0.0, float("inf")), (0.5, float("nan"), 1.0)):
        with pytest.raises(DomainError, match="both finite"):
            Dial(value, low, high)
    assert dials.values == {"a": 2.0, "b": 3.5}
    assert dials.half().vector.dtype == torch.float64


@pytest.mark.parametrize("value", [2.5, float("nan")])
def test_a_state_beyond_the_range_is_refused(value: float) -> None:
    """As that of a run whose dial had another range, or a damaged one; also where the dials are copied or nested."""
    dials = copy.deepcopy(Dials({"a": Dial(1.0, 0.0, 2.0)}))
    dials.load_state_dict({"vector": torch.tensor([2.0], dtype=torch.float64)})
    assert dials["a"] == 2.0
    for module, name in ((dials, "vector"), (torch.nn.ModuleDict({"inner": dials}), "inner.vector")):
        with pytest.raises(DomainError, match=r"a: got .*0 to 2"):
            module.load_state_dict({name: torch.tensor([value], dtype=torch.float64)})


def test_a_dial_turned_on_the_way_acts_and_is_kept(tmp_path: Path) -> None:
    """What the trainer computes changes with the step after the command, and a resumed run knows of it."""
    run = tmp_path / "run"
    events = train(replace(TINY, steps=6), run)
    assert until(events, Tuned).values == {"pull": 1.0, "centre": 3.0}
    before = until(events, Step).values["loss"]
    send(run, "set", pull=5.0)
    tuned = until(events, Tuned)
    assert (tuned.number, tuned.values["pull"]) == (1, 5.0)
    assert until(events, Step).values["loss"] > 3 * before
    events.close()
    again = train(replace(TINY, steps=6), run, resume=True)
    assert until(again, Tuned).values == {"pull": 5.0, "centre": 3.0}
    assert isinstance(list(again)[-1], Done)
    assert [event.values["pull"] for event in read_events(run) if isinstance(event, Tuned)] == [1, 5, 5]


@pytest.mark.parametrize("left", ["stop", "close"])
def test_a_dial_turned_after_the_checkpoint_of_its_step_is_kept(tmp_path: Path, left: str) -> None:
    """While the run is paused, so that no further step brings another checkpoint."""
    run = tmp_path / "run"
    events = train(TINY, run)
    assert until(events, Step)
    send(run, "pause")
    send(run, "save")
    assert until(events, Saved).number == 1
    send(run, "set", pull=7.5)
    assert until(events, Tuned).values["pull"] == 7.5
    if left == "stop":
        send(run, "stop")
        assert until(events, Done).stopped
    events.close()
    again = train(TINY, run, resume=True)
    assert until(again, Tuned).values["pull"] == 7.5
    again.close()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"push": 1}, "one of pull, centre"),
        ({"pull": 99.0}, "0 to 10"),
        ({"pull": 10**400, "centre": 0}, "0 to 10"),
        ({"pull": "1"}, "a number"),
        ({"pull": None}, "a number"),
    ],
)
def test_what_cannot_be_set_is_said(tmp_path: Path, told: dict, said: str) -> None:
    events = train(TINY, tmp_path / "run")
    until(events, Step)
    send(tmp_path / "run", "set", **told)
    assert said in until(events, Warned).message
    assert not any(isinstance(event, Tuned) for event in read_events(tmp_path / "run") if event.number)
    assert isinstance(list(events)[-1], Done)


def test_a_recipe_without_dials_says_so(tmp_path: Path) -> None:
    events = line_recipe.train(line_recipe.PRESETS["tiny"], tmp_path / "run")
    until(events, Step)
    send(tmp_path / "run", "set", slope=1.0)
    assert "dials" in until(events, Warned).message


def test_dropout_resumes_bit_for_bit(tmp_path: Path) -> None:
    config = replace(TINY, dropout=0.5)
    list(train(config, tmp_path / "whole"))
    list(train(replace(config, steps=5), tmp_path / "parts"))
    torch.rand(3)  # torch's own stream has nothing to do with it
    list(train(config, tmp_path / "parts", resume=True))
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_a_step_fails_as_a_whole(tmp_path: Path) -> None:
    """The judge has already moved when the maker's loss is NaN; both, and the buffers, are put back."""
    list(train(replace(TINY, steps=3), tmp_path / "good"))
    events = list(train(replace(TINY, poison=4), tmp_path / "bad"))
    assert isinstance(events[-1], Failed)
    assert "loss term maker" in events[-1].message
    assert until(iter(reversed(events)), Saved).number == 3
    assert same(tmp_path / "good", tmp_path / "bad")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DomainError("x", 1, "2")])
@pytest.mark.parametrize("steps", [0, 2])
def test_undone(error: BaseException, steps: int) -> None:
    """Parameters, buffers, moments and rates are as before; an optimizer without a state has none again."""
    trainer = DuelTrainer(TINY, Team(torch.device("cpu")))
    for number in range(steps):
        trainer.step(number + 1)
    before, kept = state_of(trainer.modules, trainer.optimizers, {}), list(trainer.maker.parameters())

    def fail() -> None:
        with undone(trainer.modules, trainer.optimizers):
            trainer.step(steps + 1)
            trainer.optimizers["judge"].param_groups[0]["lr"] = 9.0
            trainer.dials.turn({"pull": 2.0})
            raise error

    with pytest.raises(type(error)):
        fail()
    after = state_of(trainer.modules, trainer.optimizers, {})
    assert after.facts == before.facts
    for group, tensors in before.tensors.items():
        if group != "generators":
            assert tensors.keys() == after.tensors[group].keys()
            assert all(torch.equal(value, after.tensors[group][key]) for key, value in tensors.items())
    assert all(one is other for one, other in zip(kept, trainer.maker.parameters(), strict=True))
    assert bool(trainer.optimizers["judge"].state) == bool(steps)


def test_a_descent_touches_its_own_parameters_only() -> None:
    trainer = DuelTrainer(TINY, Team(torch.device("cpu")))
    before = state_of(trainer.modules, {}, {})
    trainer._descend("maker", trainer.judge(trainer.maker(torch.ones(4, 2).double())).mean())
    after = state_of(trainer.modules, {}, {})
    assert all(value.grad is None for value in trainer.judge.parameters())
    moved = {
        group
        for group, tensors in before.tensors.items()
        for k, v in tensors.items()
        if group.startswith("module") and not torch.equal(v, after.tensors[group][k])
    }
    assert moved == {"module.maker"}


def test_seeded_dropout() -> None:
    dropout, x = SeededDropout(0.25), torch.ones(100_000)
    with pytest.raises(DomainError, match="generator"):
        dropout(x)
    dropout.generator = torch.Generator().manual_seed(1)
    first = dropout(x)
    assert first.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert first.mean().item() == pytest.approx(1.0, abs=0.01)
    dropout.generator.manual_seed(1)
    assert torch.equal(first, dropout(x))
    assert torch.equal(dropout.eval()(x), x)
    with pytest.raises(DomainError, match=r"\[0, 1\)"):
        SeededDropout(1.0)
    with pytest.raises(DeviceError, match="generator"):
        dropout.train()(torch.empty(3, device="meta"))
    assert dropout(x.double()).dtype == torch.float64


def test_a_copy_for_previews_leaves_the_stream_alone() -> None:
    """It is evaluated, and even if it were trained it would draw from a stream of its own."""
    dropout = SeededDropout(0.5)
    seed_dropout(dropout, torch.Generator().manual_seed(1))
    assert dropout.generator is not None
    before, twin = dropout.generator.get_state(), copy.deepcopy(dropout)
    twin.eval()(torch.ones(5))
    twin.train()(torch.ones(5))
    assert torch.equal(dropout.generator.get_state(), before)


def test_a_state_that_cannot_be_measured_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: DuelTrainer, final: bool) -> dict[str, float]:
        raise DomainError("picture", "NaN", "finite numbers")

    monkeypatch.setattr(DuelTrainer, "measure", broken)
    events = list(train(replace(TINY, poison=4), tmp_path / "run"))
    assert isinstance(events[-1], Failed)
    assert events[-1].checkpoint == "checkpoints/000003"
    assert any(isinstance(event, Warned) and "not measured: picture" in event.message for event in events)
