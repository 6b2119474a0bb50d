"""Random streams: independent, the same everywhere, restored; and switches that go back to where they were."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from labkit.errors import BackendError, DomainError
from labkit.train.randomness import (
    WORKSPACE,
    default_streams,
    deterministic,
    generators,
    seeded,
    states_of,
    stream_seed,
)


def test_streams_are_told_apart_by_name_and_seed() -> None:
    streams = {**generators(0, "rays", "views"), **{f"{n}1": g for n, g in generators(1, "rays", "views").items()}}
    drawn = {name: torch.rand(1000, generator=stream, dtype=torch.float64) for name, stream in streams.items()}
    for first in drawn:
        for second in drawn:
            correlation = torch.corrcoef(torch.stack((drawn[first], drawn[second])))[0, 1]
            assert (correlation > 0.99) if first == second else (correlation.abs() < 0.15)  # 4.7 sigma
    alone = torch.rand(1000, generator=generators(0, "views")["views"], dtype=torch.float64)
    assert torch.equal(alone, drawn["views"])  # whatever other streams there are


def test_seeds_are_the_same_everywhere() -> None:
    """A known value, half of the first eight bytes that the command sha256sum prints of "0 rays"."""
    assert stream_seed(0, "rays") == 0x7A38D66C2EEC4ABE // 2
    assert stream_seed(0, "größe") != stream_seed(0, "grosse")
    assert all(0 <= stream_seed(seed, "x") < 2**63 for seed in range(1000))
    assert len({stream_seed(seed, name) for seed in range(100) for name in "abcd"}) == 400


def test_names_and_devices_that_are_refused() -> None:
    assert generators(0) == {}
    for names in (("a", "a"), ("default cpu",)):
        with pytest.raises(DomainError, match="names"):
            generators(0, *names)
    for device in ("no such device", "cuda:99"):
        with pytest.raises(BackendError, match="device"):
            generators(0, "a", device=device)


def test_states_bring_streams_back() -> None:
    streams = generators(3, "a", "b")
    torch.rand(5, generator=streams["a"])
    states = states_of(streams)
    assert states.keys() >= {"a", "b", "default cpu"}
    drawn = [torch.rand(9, generator=streams["a"]), torch.rand(9)]
    fresh = {**default_streams(), **generators(4, "a")}
    for name in ("a", "default cpu"):
        fresh[name].set_state(states[name])
    assert torch.equal(drawn[0], torch.rand(9, generator=fresh["a"]))
    assert torch.equal(drawn[1], torch.rand(9))


def test_seeded_only_within() -> None:
    """Torch's own stream starts from the seed, and later goes on as if nothing had been drawn, also after an error."""
    torch.manual_seed(5)
    whole = torch.rand(4)
    torch.manual_seed(5)
    first = torch.rand(2)
    with seeded(1):
        inside = torch.rand(3)
    with seeded(1):
        assert torch.equal(inside, torch.rand(3))
    with pytest.raises(RuntimeError), seeded(1):
        torch.rand(-1)
    assert torch.equal(whole, torch.cat((first, torch.rand(2))))


@pytest.fixture
def switches() -> Iterator[None]:
    """Torch's switches go back after the test, whatever it does."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False


def seen() -> tuple[object, ...]:
    """All switches that are touched."""
    cudnn = torch.backends.cudnn
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    on = torch.are_deterministic_algorithms_enabled()
    return on, warn, cudnn.deterministic, cudnn.benchmark, os.environ.get(WORKSPACE)


@pytest.mark.parametrize("workspace", [None, ":16:8"])
@pytest.mark.parametrize(("before", "warn"), [(False, False), (True, False), (True, True)])
def test_deterministic_goes_back(
    before: bool, warn: bool, workspace: str | None, switches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)
    if workspace:
        monkeypatch.setenv(WORKSPACE, workspace)
    torch.use_deterministic_algorithms(before, warn_only=warn)
    torch.backends.cudnn.benchmark = True
    was = seen()
    with deterministic(True):
        assert seen() == (True, False, True, False, workspace or ":4096:8")
        with deterministic(False):
            assert seen()[:3] == (False, False, False)
        assert seen() == (True, False, True, False, workspace or ":4096:8")
    assert seen() == was
    with pytest.raises(ZeroDivisionError), deterministic(True):
        raise ZeroDivisionError
    assert seen() == was


def test_deterministic_refuses_what_is_not(switches: None) -> None:
    """Torch raises where an operation has no deterministic form; here one that has none on any device."""
    x = torch.zeros(3)
    with deterministic(True), pytest.raises(RuntimeError, match="deterministic"):
        x.put_(torch.tensor([0, 0]), torch.ones(2))
    x.put_(torch.tensor([0, 1]), torch.ones(2))
    assert x.tolist() == [1, 1, 0]
