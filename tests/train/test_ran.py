"""RAN as a recipe: the order of its descents, exact resume, faults, dials, previews, and that it learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("safetensors")
import torch
from tolerances import FLOAT32

from labkit.errors import LabError
from labkit.events import Done, Event, Failed, MeshPreview, Picture, Saved, Step, Tuned
from labkit.train import ran, ran_trainer
from labkit.train.checkpoint import Checkpoints
from labkit.train.commands import send
from labkit.train.config import replace_path
from labkit.train.distributed import Team
from labkit.train.ran_loss import loss_terms
from labkit.train.ran_trainer import COINS, RANTrainer
from labkit.train.train_state import state_of

TINY = ran.PRESETS["tiny"]
TEAM = Team(torch.device("cpu"))


def tiny(**changes: object) -> ran.RAN:
    config = TINY
    for path, value in changes.items():
        config = replace_path(config, path.replace("__", "."), value)
    return config


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def figures(events: list[Event]) -> list[dict[str, float]]:
    return [{name: value for name, value in event.values.items() if name != "seconds"} for event in of(Step, events)]


IN_ORDER = [
    *(("discriminator", loss) for loss in ("random", "1", "2", "3", "4", "5")),
    *(("b2a", loss) for loss in ("2", "3", "4", "5")),
    *(("reconstructor", loss) for loss in ("1", "2", "3", "4")),
    *(("a2b", loss) for loss in ("1", "3", "4", "5")),
]


def test_the_order_of_descents(monkeypatch: pytest.MonkeyPatch) -> None:
    """D, b2a, then R and a2b, each down each of its losses by its own Adam; and no step takes another way."""
    trainer = RANTrainer(TINY, TEAM)
    assert trainer.plan(torch.zeros(4, len(COINS))) == IN_ORDER
    taken: list[tuple[str, str]] = []
    owners = {id(optimizer): name for name, optimizer in trainer.optimizers.items()}
    descend = ran_trainer.descend

    def noted(loss: Any, terms: Any, optimizer: Any, *rest: Any, **options: Any) -> Any:
        games = [name.split()[-1] for name in terms if " of loss " in name]
        taken.append((owners[id(optimizer)], games[0]))
        return descend(loss, terms, optimizer, *rest, **options)

    monkeypatch.setattr(ran_trainer, "descend", noted)
    trainer.step(1)
    assert taken == IN_ORDER
    for name, optimizer in trainer.optimizers.items():
        count = sum(network == name for network, _ in IN_ORDER)
        assert {int(state["step"]) for state in optimizer.state.values()} == {count}


def test_what_is_not_computed() -> None:
    """Coins, dropped losses, dials at zero, and the baseline."""
    trainer = RANTrainer(tiny(loss__probabilities=(1.0, 0.5, 0.25, 1.0, 1.0), loss__use=(1, 2, 3, 5)), TEAM)
    coins = torch.full((4, len(COINS)), 0.3)
    coins[2] = 0.6
    trainer.dials.turn({"alpha_5": 0.0})
    assert trainer.plan(coins) == [
        *(("discriminator", loss) for loss in ("random", "1", "2")),
        ("b2a", "2"),
        ("reconstructor", "1"),
        ("a2b", "1"),
    ]
    share = torch.rand(200, 4, len(COINS), generator=torch.Generator().manual_seed(0))
    found = [one for coins in share for one in trainer.plan(coins)]
    assert found.count(("b2a", "2")) / 200 == pytest.approx(0.5, abs=0.12)
    assert found.count(("a2b", "3")) / 200 == pytest.approx(0.25, abs=0.12)
    assert found.count(("a2b", "1")) == 200
    assert RANTrainer(tiny(mode="direct"), TEAM).plan(torch.zeros(0)) == [("reconstructor", "direct")]


def by_the_book(trainer: RANTrainer) -> None:
    """One step in which every picture of every descent is made anew."""
    trainer.batch = trainer._draw()
    for network, loss in trainer.plan(trainer.batch["coins"]):
        pictures = trainer._pictures()
        terms = loss_terms(loss, network, pictures, trainer.networks.judge, trainer.dials["pixel"])
        total = trainer.dials[f"alpha_{loss}"] * sum(terms.values())
        if network == "reconstructor":
            mesh = ran_trainer.Mesh(pictures["vertices"], trainer.networks.sphere.faces)
            total = total + sum(
                trainer.dials[name] * term(mesh).mean() for name, term in ran_trainer.REGULARIZERS.items()
            )
        optimizer = trainer.optimizers[network]
        parameters = list(trainer.modules[network].parameters())
        for parameter, slope in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
            parameter.grad = slope
        optimizer.step()


def test_kept_pictures_change_nothing() -> None:
    """What a step keeps from one descent to the next is what it would make anew."""
    one, other = (RANTrainer(tiny(nets__dropout=0.0), TEAM) for _ in range(2))
    for number in (1, 2):
        one.step(number)
        by_the_book(other)
    for name, module in one.modules.items():
        for found, wanted in zip(module.parameters(), other.modules[name].parameters(), strict=True):
            torch.testing.assert_close(found, wanted, **FLOAT32)


RUNS = {
    "ran": {},
    "direct": {"mode": "direct"},
    "without L1": {"loss__pixel": 0.0},
    "without 3 to 5, saturating": {"loss__use": (1, 2), "loss__fooling": "saturating"},
    "without 1, by chance, decaying": {
        "loss__use": (2, 3, 4, 5),
        "loss__probabilities": (0.5,) * 5,
        "loss__random_probability": 0.5,
        "decay_every": 2,
    },
}


@pytest.mark.parametrize("run", RUNS)
def test_twice_k_steps_are_two_k_steps_bit_for_bit(run: str, tmp_path: Path) -> None:
    config = tiny(**RUNS[run])
    whole = list(ran.train(config, tmp_path / "whole"))
    first = list(ran.train(replace(config, steps=2), tmp_path / "parts"))
    second = list(ran.train(config, tmp_path / "parts", resume=True))
    assert figures(first) + figures(second) == figures(whole)
    a, b = (Checkpoints(tmp_path / name).load("latest")[1].tensors for name in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[group][name], b[group][name]) for group in a for name in a[group])
    assert whole[-1].values == second[-1].values
    games = {name for values in figures(whole) for name in values if name.startswith("game ")}
    if run == "direct":
        assert games == set()
        assert {name for name in a if name.startswith("module.")} == {"module.reconstructor", "module.dials"}
    else:
        assert games == {"game random", *(f"game {number}" for number in config.loss.use)}
        assert "module.discriminator" in a


@pytest.mark.parametrize("at", [("discriminator", "1"), ("a2b", "5")])
def test_nan_leaves_everything_as_it_was(at: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the second step, after other descents of it have been taken."""
    calls = []

    def poisoned(loss: str, network: Any, *rest: Any) -> Any:
        terms = loss_terms(loss, network, *rest)
        if (network, loss) == at:
            calls.append(at)
            if len(calls) == 2:
                return {name: value * torch.nan for name, value in terms.items()}
        return terms

    monkeypatch.setattr(ran_trainer, "loss_terms", poisoned)
    events = list(ran.train(TINY, tmp_path / "run"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.number == 1
    assert f"of loss {at[1]}" in failed.message
    _, kept = Checkpoints(tmp_path / "run").load("latest")
    sound = RANTrainer(TINY, TEAM)
    sound.step(1)
    state = state_of(sound.modules, sound.optimizers, sound.generators)
    for group, tensors in state.tensors.items():
        for name, value in tensors.items():
            if not name.startswith("default"):  # torch's own streams, from which nothing is drawn
                assert torch.equal(kept.tensors[group][name], value)
    again = list(ran.train(TINY, tmp_path / "run", resume=True))
    assert again[-1].number == TINY.steps  # the same batch again, not poisoned any more


def until(events: Iterator[Event], kind: type) -> Any:
    return next(event for event in events if isinstance(event, kind))


def test_dials_act_and_are_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    events = ran.train(tiny(steps=1000), run)
    tuned = until(events, Tuned)
    assert tuned.values == {
        "steepness": 30.0,
        "opacity": 20.0,
        "alpha_random": 0.5,
        "pixel": TINY.loss.pixel,
        **{f"alpha_{number}": value for number, value in enumerate(TINY.loss.weights, 1)},
        "normal": TINY.loss.normal,
        "edge": TINY.loss.edge,
        "neighbor": TINY.loss.neighbor,
    }
    before = until(events, Step).values
    assert {"game 5", "loss 5", "edge"} <= before.keys()
    send(run, "set", alpha_5=0.0, steepness=80.0, edge=0.0)
    assert until(events, Tuned).values["steepness"] == 80.0
    after = until(events, Step).values
    assert not {"game 5", "loss 5", "edge"} & after.keys()
    events.close()
    nets = ran.load(run)
    assert (nets.dials["alpha_5"], nets.dials["steepness"], nets.dials["edge"]) == (0.0, 80.0, 0.0)
    resumed = ran.train(tiny(steps=1000), run, resume=True)
    assert until(resumed, Tuned).values["alpha_5"] == 0.0
    assert "loss 5" not in until(resumed, Step).values
    resumed.close()
    assert set(RANTrainer(tiny(mode="direct"), TEAM).dials.values) == {
        *("steepness", "opacity", "pixel", "normal", "edge", "neighbor")
    }
    assert "alpha_2" not in RANTrainer(tiny(loss__use=(1, 3)), TEAM).dials.values


@pytest.mark.parametrize("mode", ["ran", "direct"])
def test_previews_truth_and_figures(mode: str, tmp_path: Path) -> None:
    config = replace(tiny(mode=mode), preview_every=0.01)
    events = list(ran.train(config, tmp_path / "run"))
    pictures = {event.name: event.image.shape for event in of(Picture, events)}
    all_six = {"a", "b prime", "b second", "a prime", "a second", "b random"}
    assert pictures.keys() == {"truth a"} | (all_six if mode == "ran" else {"a", "b second"})
    assert set(pictures.values()) == {(1, 32, 32 + 2 + 32)}  # two views and a gap
    assert {event.name for event in of(MeshPreview, events)} == {"prediction", "truth"}
    last = of(MeshPreview, events)[-1]
    assert (last.number, last.vertices.shape, last.faces.shape) == (TINY.steps, (42, 3), (80, 3))
    assert figures(list(ran.train(tiny(mode=mode)))) == figures(events)  # previews draw from no stream of the steps
    measured = {"iou", "render - input"} | ({"b'' - b'", "a' - a", "a'' - a"} if mode == "ran" else set())
    assert of(Saved, events)[0].values.keys() == measured
    assert of(Done, events)[0].values.keys() == measured | {"iou mean shape"}
    assert [event.name for event in ran.preview(config)] == ["truth", "truth a"]


def test_load(tmp_path: Path) -> None:
    list(ran.train(TINY, tmp_path / "run"))
    nets = ran.load(tmp_path / "run")
    assert nets.config == TINY
    assert not any(module.training for module in nets.modules.values())
    assert not any(p.requires_grad for module in nets.modules.values() for p in module.parameters())
    a = torch.rand(3, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    mesh = nets.meshes(a)
    assert mesh.validate().vertices.shape == (3, 42, 3)
    assert torch.equal(mesh.vertices, ran.load(tmp_path / "run", TINY.steps).meshes(a).vertices)
    assert not torch.equal(mesh.vertices, ran.load(tmp_path / "run", 2).meshes(a).vertices)
    list(ran.train(tiny(mode="direct"), tmp_path / "direct"))
    assert ran.load(tmp_path / "direct", "best").modules.keys() == {"reconstructor", "dials"}


@pytest.mark.parametrize("mode", ["ran", "direct"])
def test_it_learns(mode: str) -> None:
    """The renders come nearer to what they are to show."""
    trainer = RANTrainer(tiny(mode=mode, nets__width=8, nets__hidden=32, nets__dropout=0.0), TEAM)
    name = "render - input" if mode == "direct" else "b'' - b'"
    before = trainer.measure(final=True)[name]
    for number in range(1, 16):
        trainer.step(number)
    assert trainer.measure(final=True)[name] < 0.75 * before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mode", "other"),
        ("batch", 0),
        ("loss.use", ()),
        ("loss.use", (1, 1)),
        ("loss.use", (6,)),
        ("loss.weights", (2.0, 1.0, 1.0, 1.0, 1.0)),
        ("loss.probabilities", (0.0, 1.0, 1.0, 1.0, 1.0)),
        ("loss.pixel", -1.0),
        ("data.source", "zappos"),
        ("data.folder", "somewhere"),
        ("data.views", 0),
        ("smooth.steepness", 0.0),
        ("nets.base", 0.0),
    ],
)
def test_bad_configs(path: str, value: Any) -> None:
    with pytest.raises(LabError):
        replace_path(TINY, path, value)
