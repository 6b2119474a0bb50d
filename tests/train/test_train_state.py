"""k steps, saved and restored into fresh networks, then k more: the bits of 2k steps, or a table of what differs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer, RMSprop, SparseAdam

from labkit.errors import DomainError, DTypeError, FileError, LabError
from labkit.train.checkpoint import Checkpoints, State
from labkit.train.config import EngineConfig
from labkit.train.randomness import generators, seeded
from labkit.train.train_state import MismatchError, restore, restore_module, state_of

Make = Callable[[Iterable[Tensor]], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "Adam": lambda p: Adam(p, 1e-2),
    "Adam, amsgrad": lambda p: Adam(p, 1e-2, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.01, amsgrad=True),
    "Adam, rate as a tensor": lambda p: Adam(p, torch.tensor(1e-2)),
    "AdamW": lambda p: AdamW(p, 1e-2),
    "SGD": lambda p: SGD(p, 1e-2),
    "SGD, momentum": lambda p: SGD(p, 1e-2, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: RMSprop(p, 1e-3, momentum=0.5, centered=True),
    "LBFGS": lambda p: LBFGS(p, 0.1, max_iter=4, history_size=3),
    "groups": lambda p: Adam([{"params": [q], "lr": 1e-3 * (i + 1)} for i, q in enumerate(p)]),
}


class Trained:
    """Everything that changes in a small training with dropout, which draws from torch's own stream."""

    def __init__(self, make: Make, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        with seeded(seed):
            first, twice, last = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 1)
        if make is not OPTIMIZERS["LBFGS"]:  # which refuses it
            twice.weight = nn.Parameter(twice.weight.detach().T)  # not contiguous
        # one layer under two names: its tensors are shared
        net = nn.Sequential(first, nn.BatchNorm1d(8), nn.Dropout(0.3), twice, nn.Tanh(), twice, last).to(dtype)
        self.modules = {"net": net}
        self.optimizers = {"all": make(net.parameters())}
        self.generators = generators(seed, "points")
        self.losses: list[float] = []

    def steps(self, count: int) -> Trained:
        """Train."""
        net, (optimizer,) = self.modules["net"], self.optimizers.values()
        for _ in range(count):
            x = torch.rand(16, 3, generator=self.generators["points"]).to(net[0].weight)

            def loss(x: Tensor = x) -> Tensor:
                optimizer.zero_grad()
                error = (net(x)[:, 0] - x.norm(dim=-1)).square().mean()
                error.backward()
                self.losses.append(error.item())
                return error

            optimizer.step(loss)  # type: ignore[arg-type]
        return self

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        """As `state_of` and `restore` take them."""
        return self.modules, self.optimizers, self.generators


def bits(state: State) -> dict[str, bytes]:
    """Every tensor as its bytes."""
    every = {f"{group} {name}": t for group, tensors in state.tensors.items() for name, t in tensors.items()}
    return {name: tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() for name, tensor in every.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_resumed_is_not_to_be_told_apart(make: Make, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(11)
    through = Trained(make, dtype).steps(4)
    Checkpoints(tmp_path).save(4, state_of(*through.parts))
    through.steps(4)
    torch.manual_seed(99)
    resumed = Trained(make, dtype, seed=5).steps(1)
    assert restore(Checkpoints(tmp_path).load()[1], *resumed.parts) == []
    resumed.steps(4)
    assert resumed.losses[-4:] == through.losses[-4:]
    a, b = state_of(*through.parts), state_of(*resumed.parts)
    assert bits(a) == bits(b)
    assert json.dumps(a.facts) == json.dumps(b.facts)
    assert repr(through.optimizers["all"].state_dict()) == repr(resumed.optimizers["all"].state_dict())


def test_without_torchs_own_stream_it_would_be_told_apart(tmp_path: Path) -> None:
    """The proof that the test before can fail: dropout draws other numbers."""
    through = Trained(OPTIMIZERS["Adam"]).steps(2)
    state = state_of(*through.parts)
    through.steps(2)
    resumed = Trained(OPTIMIZERS["Adam"])
    restore(state, *resumed.parts)
    torch.manual_seed(99)
    assert resumed.steps(2).losses != through.losses[-2:]


def test_sparse_adam() -> None:
    """Its gradients are sparse, its state is not."""

    def steps(table: nn.Embedding, optimizer: Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            table(torch.tensor([1, 3])).square().sum().backward()
            optimizer.step()

    with seeded(0):
        tables = [nn.Embedding(5, 2, sparse=True) for _ in range(2)]
    optimizers = [SparseAdam(table.parameters(), 0.1) for table in tables]
    steps(tables[0], optimizers[0], 3)
    restore(state_of({"t": tables[0]}, {"o": optimizers[0]}, {}), {"t": tables[1]}, {"o": optimizers[1]}, {})
    for table, optimizer in zip(tables, optimizers, strict=True):
        steps(table, optimizer, 3)
    assert torch.equal(tables[0].weight, tables[1].weight)


def test_a_state_is_a_copy(tmp_path: Path) -> None:
    """Later steps change neither what was taken nor, after a restore, what was loaded."""
    trained = Trained(OPTIMIZERS["Adam"]).steps(2)
    state = state_of(*trained.parts)
    before = bits(state)
    trained.steps(2)
    assert bits(state) == before
    restore(state, *trained.parts)
    trained.steps(2)
    assert bits(state) == before


def test_nothing_has_happened_yet() -> None:
    """An optimizer without any state, and modules without any tensor."""
    net, empty = nn.Linear(2, 2), nn.ReLU()
    other = nn.Linear(2, 2)
    restore(
        state_of({"n": net, "e": empty}, {"o": Adam(net.parameters())}, {}),
        {"n": other, "e": empty},
        {"o": Adam(other.parameters())},
        {},
    )
    assert torch.equal(net.weight, other.weight)


MISFITS: dict[str, tuple[Callable[[Trained], tuple[Any, Any, Any]], list[str]]] = {
    "width": (
        lambda t: ({"net": nn.Linear(3, 9)}, {}, t.generators),
        ["weight - float32 (9, 3)", "net.0.weight float32 (8, 3) -", "optimizer all present -"],
    ),
    "shape": (
        lambda t: ({"net": grown(t)}, t.optimizers, t.generators),
        ["net.6.weight float32 (1, 8) float32 (2, 8)", "net.6.bias float32 (1,) float32 (2,)"],
    ),
    "dtype": (
        lambda t: ({"net": copy.deepcopy(t.modules["net"]).double()}, t.optimizers, t.generators),
        ["net.0.weight float32 (8, 3) float64 (8, 3)"],
    ),
    "other optimizer": (
        lambda t: (t.modules, {"all": SGD(t.modules["net"].parameters(), 0.1)}, t.generators),
        ["optimizer all kind Adam SGD"],
    ),
    "fewer parameters": (
        lambda t: (t.modules, {"all": Adam(t.modules["net"][0].parameters())}, t.generators),
        ["optimizer all parameter 0.2 float32 (8,) -"],
    ),
    "other groups": (
        lambda t: (t.modules, {"all": OPTIMIZERS["groups"](t.modules["net"].parameters())}, t.generators),
        ["optimizer all parameter 1.0 - float32 (8,)"],
    ),
    "optimizer's name": (
        lambda t: (t.modules, {"every": t.optimizers["all"]}, t.generators),
        ["optimizer every - present", "optimizer all present -"],
    ),
    "another module": (
        lambda t: ({**t.modules, "m": nn.Linear(1, 1)}, t.optimizers, t.generators),
        ["module m - present"],
    ),
    "fewer streams": (lambda t: (t.modules, t.optimizers, {}), ["generator points present -"]),
    "more streams": (lambda t: (*t.parts[:2], generators(0, "points", "views")), ["generator views - present"]),
}


def grown(trained: Trained) -> nn.Module:
    """The network with one output more."""
    net = copy.deepcopy(trained.modules["net"])
    net[6] = nn.Linear(8, 2)
    return net


@pytest.mark.parametrize("case", MISFITS)
def test_misfits_change_nothing(case: str) -> None:
    """Each difference is a line of a table."""
    state = state_of(*Trained(OPTIMIZERS["Adam"]).steps(2).parts)
    here = Trained(OPTIMIZERS["Adam"], seed=5).steps(1)
    change, lines = MISFITS[case]
    parts = change(here)
    before = bits(state_of(*parts))
    with pytest.raises(MismatchError) as caught:
        restore(state, *parts)
    rows = [" ".join(row.split()) for row in str(caught.value).splitlines()]
    assert "name in the checkpoint here" in rows
    assert not [line for line in lines if not any(row.endswith(line) for row in rows)], rows
    assert bits(state_of(*parts)) == before


def test_a_long_table_is_cut() -> None:
    many, few = nn.Sequential(*(nn.Linear(1, 1) for _ in range(30))), nn.Sequential()
    with pytest.raises(MismatchError, match=r"60 differences(.|\n)*and 40 more"):
        restore(state_of({"n": many}, {}, {}), {"n": few}, {}, {})


def test_one_module_of_a_state() -> None:
    trained = Trained(OPTIMIZERS["Adam"]).steps(2)
    state = state_of({**trained.modules, "other": nn.Linear(1, 1)}, *trained.parts[1:])
    fresh = Trained(OPTIMIZERS["Adam"], seed=5).modules["net"]
    restore_module(state, "net", fresh)
    assert all(map(torch.equal, fresh.state_dict().values(), trained.modules["net"].state_dict().values()))
    with pytest.raises(MismatchError, match=r"module nett +- +present"):
        restore_module(state, "nett", fresh)
    with pytest.raises(MismatchError, match=r"other\.weight +float32 \(1, 1\) +float32 \(1, 2\)"):
        restore_module(state, "other", nn.Linear(2, 1))


class Odd(Optimizer):
    """An optimizer with a state of any kind."""

    def __init__(self, parameters: Iterable[Tensor], state: object) -> None:
        super().__init__(parameters, {})
        self.state[self.param_groups[0]["params"][0]] = {"it": state}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -(2**70),
        0.1,
        5e-324,
        (),
        (1, (2.0,)),
        [None, [1]],
        {"a": 1, 2: {"b": (None,)}},
        {"dict": []},
    ],
    ids=repr,
)
def test_plain_values_of_optimizers(value: object, tmp_path: Path) -> None:
    """They come back as they were, types included."""
    net = nn.Linear(1, 1)
    Checkpoints(tmp_path).save(0, state_of({}, {"o": Odd(net.parameters(), value)}, {}))
    other = Odd(net.parameters(), "another")
    restore(Checkpoints(tmp_path).load()[1], {}, {"o": other}, {})
    assert repr(other.state[net.weight]["it"]) == repr(value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), DomainError),
        (float("-inf"), DomainError),
        ({1}, DTypeError),
        (EngineConfig(), DTypeError),
        ({None: 1}, DTypeError),
    ],
    ids=repr,
)
def test_values_that_are_refused(value: object, error: type[LabError]) -> None:
    with pytest.raises(error, match=r"o\.state\.0\.it"):
        state_of({}, {"o": Odd(nn.Linear(1, 1).parameters(), value)}, {})


def test_a_module_with_more_than_tensors() -> None:
    class Extra(nn.Module):
        def get_extra_state(self) -> object:
            return {"a": 1}

    with pytest.raises(DTypeError, match=r"m\._extra_state: got dict"):
        state_of({"m": Extra()}, {}, {})


def test_streams_of_another_device() -> None:
    """A saved state of 16 bytes, as cuda's, cannot be a stream of the CPU: it is named, the rest is restored."""
    trained = Trained(OPTIMIZERS["Adam"]).steps(2)
    state = state_of(*trained.parts)
    there = {
        **state.tensors["generators"],
        "points": torch.zeros(16, dtype=torch.uint8),
        "default cuda:7": torch.zeros(16, dtype=torch.uint8),
    }
    here = Trained(OPTIMIZERS["Adam"], seed=5)
    stream = here.generators["points"].get_state()
    assert restore(replace(state, tensors={**state.tensors, "generators": there}), *here.parts) == ["points"]
    assert torch.equal(here.generators["points"].get_state(), stream)
    assert torch.equal(here.modules["net"][0].weight, trained.modules["net"][0].weight)


def test_torchs_streams_of_cuda_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are restored where they are in use on both sides; here a stream of the CPU stands for that of a device."""
    cpu, cuda = torch.default_generator, torch.Generator().manual_seed(1)
    streams = {"default cpu": cpu, "default cuda:0": cuda}
    net = {"n": nn.Linear(1, 1)}
    without = state_of(net, {}, {})
    monkeypatch.setattr("labkit.train.randomness.default_streams", lambda: streams)
    monkeypatch.setattr("labkit.train.train_state.default_streams", lambda: streams)
    state = state_of(net, {}, {})
    drawn = torch.rand(3, generator=cuda)
    assert restore(state, net, {}, {}) == []
    assert torch.equal(torch.rand(3, generator=cuda), drawn)
    assert restore(without, net, {}, {}) == []
    del streams["default cuda:0"]
    assert restore(state, net, {}, {}) == []


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda f: f.update(state={"dict": [["state", {"tensor": "nothing"}]]}), FileError),
        (lambda f: f.update(state={"eval": "1"}), FileError),
        (lambda f: f.update(state={"dict": [["state", 3]]}), FileError),
        (lambda f: f.update(state=[]), FileError),
        (lambda f: f.update(state={"tensor": "all.state.0.exp_avg", "order": [0, 0]}), FileError),
        (lambda f: f.update(state={"tensor": "all.state.0.exp_avg", "order": [0, "1"]}), FileError),
        (lambda f: f.update(fits=3), MismatchError),
        (lambda f: f.pop("state"), MismatchError),
        (lambda f: f.clear(), MismatchError),
    ],
)
def test_forged_facts(spoil: Callable[[dict[str, Any]], object], error: type[LabError]) -> None:
    """No module is touched."""
    state = state_of(*Trained(OPTIMIZERS["Adam"]).steps(2).parts)
    spoil(state.facts["optimizers"]["all"])
    here = Trained(OPTIMIZERS["Adam"], seed=5)
    before = bits(state_of(here.modules, {}, {}))
    with pytest.raises(error):
        restore(state, *here.parts)
    assert bits(state_of(here.modules, {}, {})) == before
    with pytest.raises(MismatchError):
        restore(replace(state, facts={"optimizers": 3}), *here.parts)
