"""The typed state record: every field checked, every problem named."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import DomainError, DTypeError
from labkit.lab.state import between, from_dict, from_json, one_of, to_dict, to_json


@dataclass(frozen=True)
class Everything:
    steepness: float = between(60.0, 1.0, 1000.0)
    size: int = between(128, 1, 512)
    shaded: bool = True
    kind: str = one_of("soft", "hard", "soft")
    light: tuple[float, float, float] = between((0.0, 0.0, 1.0), -1.0, 1.0)
    picked: tuple[int, ...] = ()
    note: str | None = None


GOOD = to_dict(Everything())


def test_the_defaults_are_plain_values() -> None:
    assert GOOD == {
        "steepness": 60.0,
        "size": 128,
        "shaded": True,
        "kind": "soft",
        "light": [0.0, 0.0, 1.0],
        "picked": [],
        "note": None,
    }


@given(
    st.builds(
        Everything,
        st.floats(1, 1000),
        st.integers(1, 512),
        st.booleans(),
        st.sampled_from(["soft", "hard"]),
        st.tuples(*[st.floats(-1, 1)] * 3),
        st.lists(st.integers(-5, 5), max_size=4).map(tuple),
        st.none() | st.text(max_size=5),
    )
)
def test_json_round_trip_is_exact(state: Everything) -> None:
    assert from_json(Everything, to_json(state)) == state
    assert from_dict(Everything, to_dict(state)) == state


def test_whole_numbers_become_floats() -> None:
    made = from_dict(Everything, {**GOOD, "steepness": 7, "light": [0, 1, 0]})
    assert isinstance(made.steepness, float)
    assert made.light == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steepness": 0.5}, r"steepness = 0\.5 \(expected 1\.0 to 1000\.0\)"),
        ({"steepness": float("nan")}, "steepness = nan"),
        ({"steepness": float("inf")}, "steepness = inf"),
        ({"steepness": True}, "steepness = True"),
        ({"steepness": "60"}, "steepness = '60'"),
        ({"steepness": None}, "steepness = None"),
        ({"size": 1.5}, r"size = 1\.5 \(expected int\)"),
        ({"size": True}, "size = True"),
        ({"size": 513}, "size = 513"),
        ({"shaded": 1}, "shaded = 1"),
        ({"kind": "medium"}, r"kind = 'medium' \(expected one of soft, hard\)"),
        ({"light": [0.0, 1.0]}, "light = .*list of 3 values"),
        ({"light": [0.0, 1.0, 2.0]}, r"light = .*expected -1\.0 to 1\.0"),
        ({"light": 1.0}, "light = 1.0"),
        ({"picked": 3}, "picked = 3"),
        ({"picked": [0.5]}, "picked"),
        ({"note": 3}, "note = 3"),
        ({"wrong": 1}, "unknown field 'wrong'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(DomainError, match=named):
        from_dict(Everything, {**GOOD, **change})


def test_all_problems_are_named_at_once() -> None:
    values = {**GOOD, "size": 0, "kind": "x", "extra": 1}
    del values["note"]
    with pytest.raises(DomainError) as caught:
        from_dict(Everything, values)
    for part in ("size = 0", "kind = 'x'", "unknown field 'extra'", "missing field 'note'"):
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "nonsense"])
def test_text_that_is_not_json(text: str) -> None:
    with pytest.raises(DomainError, match="not JSON"):
        from_json(Everything, text)


@pytest.mark.parametrize("text", ["3", "[]", "null", json.dumps("x")])
def test_json_that_is_not_a_record(text: str) -> None:
    with pytest.raises(DTypeError, match="dict of field names"):
        from_json(Everything, text)
