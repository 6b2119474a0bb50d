"""Configurations: there and back exactly, every fault named by its path, and the same record on the command line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch
import tyro
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BackendError, DomainError, DTypeError, LabError
from labkit.train.config import (
    EngineConfig,
    check_fraction,
    check_non_negative,
    check_one_of,
    check_positive,
    differences,
    from_json,
    replace_path,
    resolve_device,
    table,
    to_json,
)


@dataclass(frozen=True, kw_only=True)
class Field:
    """A part of a configuration."""

    width: int = 512
    beta: float = 100.0
    kind: Literal["UDR", "DRnoV", 3] = "UDR"


@dataclass(frozen=True, kw_only=True)
class Recipe(EngineConfig):
    """A configuration with a field of every type."""

    rate: float
    field: Field = Field()
    light: tuple[float, float, float] = (2.0, 2.0, 2.0)
    sizes: tuple[int, ...] = ()
    path: str | None = None
    weights: dict[str, float] | None = None
    inner: Field | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rate", self.rate)


SMALL = Recipe(rate=1e-4)
FIELD = to_json(Field())
numbers = st.floats(allow_nan=False, allow_infinity=False)
fields = st.builds(Field, width=st.integers(), beta=numbers, kind=st.sampled_from(["UDR", "DRnoV", 3]))
recipes = st.builds(
    Recipe,
    rate=st.floats(min_value=1e-300, max_value=1e300),
    seed=st.integers(0, 2**63 - 1),
    deterministic=st.booleans(),
    field=fields,
    light=st.tuples(numbers, numbers, numbers),
    sizes=st.lists(st.integers()).map(tuple),
    path=st.none() | st.text(),
    weights=st.none() | st.dictionaries(st.text(), numbers),
    inner=st.none() | fields,
)


@given(recipes)
def test_there_and_back(config: Recipe) -> None:
    """Through the text, with every bit and type."""
    back = from_json(Recipe, json.loads(json.dumps(to_json(config), allow_nan=False)))
    assert back == config
    assert repr(back) == repr(config)
    assert differences(config, to_json(back)) == []


def test_an_int_does_for_a_float() -> None:
    config = from_json(Recipe, {"rate": 1, "light": [0, 1, 2]}, partial=True)
    assert repr((config.rate, config.light)) == "(1.0, (0.0, 1.0, 2.0))"
    assert config == Recipe(rate=1.0, light=(0.0, 1.0, 2.0))


def changed(**values: Any) -> dict[str, Any]:
    """The JSON of SMALL with other values."""
    return {**to_json(SMALL), **values}


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (changed(field={**FIELD, "width": "wide"}), DTypeError, 'recipe.field.width: got "wide", expected int'),
        (changed(rate="1e-4"), DTypeError, 'recipe.rate: got "1e-4", expected float'),
        (changed(rate=True), DTypeError, "recipe.rate: got true, expected float"),
        (changed(rate=math.nan), DomainError, "recipe.rate: got nan, expected a finite number"),
        (changed(rate=math.inf), DomainError, "recipe.rate: got inf"),
        (changed(rate=10**400), DomainError, "recipe.rate: got 1000"),
        (changed(rate=None), DTypeError, "recipe.rate: got null, expected float"),
        (changed(rate=-1.0), DomainError, "rate: got -1.0, expected a finite number greater than 0"),
        (changed(steps=True), DTypeError, "recipe.steps: got true, expected int"),
        (changed(steps=2.0), DTypeError, "recipe.steps: got 2.0, expected int"),
        (changed(deterministic=1), DTypeError, "recipe.deterministic: got 1, expected bool"),
        (changed(path=3), DTypeError, "recipe.path: got 3, expected str"),
        (changed(light=[1.0, 2.0]), DTypeError, "recipe.light: got [1.0, 2.0], expected 3 values"),
        (changed(light=[1.0, 2.0, "3"]), DTypeError, 'recipe.light.2: got "3", expected float'),
        (changed(light="123"), DTypeError, 'recipe.light: got "123", expected tuple'),
        (changed(sizes=[1, 2.5]), DTypeError, "recipe.sizes.1: got 2.5, expected int"),
        (changed(weights={"l1": "x"}), DTypeError, 'recipe.weights.l1: got "x", expected float'),
        (changed(weights={1: 1.0}), DTypeError, "recipe.weights: got 1, expected str"),
        (changed(field=[512]), DTypeError, "recipe.field: got [512], expected fields by name"),
        (changed(field={**FIELD, "kind": "UDRR"}), DomainError, "one of UDR, DRnoV, 3; did you mean UDR?"),
        (changed(field={**FIELD, "kind": 3.0}), DomainError, "recipe.field.kind: got 3.0"),
        (changed(field={**FIELD, "widht": 1}), DomainError, "recipe.field.widht: got an unknown name, expected one of"),
        (changed(field={**FIELD, "widht": 1}), DomainError, "one of width, beta, kind; did you mean width?"),
        (changed(feild={}), DomainError, "did you mean field?"),
        (changed(zzz=1), DomainError, "recipe.zzz: got an unknown name"),
        (changed(inner={"width": 1}), DomainError, "recipe.inner: got no beta, kind"),
        ({"rate": 1.0, "light": [1.0, 2.0, 3.0]}, DomainError, "recipe: got no steps, seed, device"),
        ([1], DTypeError, "recipe: got [1], expected fields by name"),
        ("x" * 1000, DTypeError, "xxx..., expected"),
    ],
)
def test_faults_are_named(data: object, error: type[LabError], message: str) -> None:
    with pytest.raises(error) as caught:
        from_json(Recipe, data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_missing_fields() -> None:
    """They take their defaults only where that is asked for, and only those that have one."""
    found = from_json(Recipe, {"rate": 1e-4, "field": {"width": 8}}, partial=True)
    assert found == replace(SMALL, field=Field(width=8))
    with pytest.raises(DomainError, match="recipe: got no rate, expected"):
        from_json(Recipe, {"steps": 3}, partial=True)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"steps": 0}, DomainError, "steps: got 0"),
        ({"steps": 1.5}, DTypeError, "steps: got 1.5, expected int"),
        ({"save_every": 0}, DomainError, "save_every"),
        ({"log_every": -1}, DomainError, "log_every"),
        ({"preview_every": -0.1}, DomainError, "preview_every"),
        ({"preview_every": math.nan}, DomainError, "preview_every"),
        ({"seed": -1}, DomainError, "seed"),
        ({"seed": 2**63}, DomainError, "seed"),
        ({"device": "gpu"}, DomainError, 'device: got "gpu"'),
        ({"device": "cuda:x"}, DomainError, "device"),
        ({"device": "meta"}, DomainError, "device"),
        ({"field": Field(width=1.5)}, DTypeError, "field.width: got 1.5, expected int"),
        ({"field": {"width": 3}}, DomainError, "field: got no beta, kind"),
        ({"light": (1.0, 2.0)}, DTypeError, "light"),
        ({"path": 3}, DTypeError, "path: got 3, expected str"),
    ],
)
def test_what_a_configuration_refuses(values: dict[str, Any], error: type[LabError], message: str) -> None:
    """Also when it is built in Python, fields of recipes and records in it included."""
    with pytest.raises(error, match=message):
        Recipe(**{"rate": 1.0, **values})


def test_replace_path() -> None:
    assert replace_path(SMALL, "field.width", 64) == replace(SMALL, field=Field(width=64))
    assert replace_path(SMALL, "rate", 1).rate == 1.0
    assert replace_path(SMALL, "field", Field(width=3)).field.width == 3
    assert replace_path(SMALL, "inner", Field()).inner == Field()
    assert replace_path(SMALL, "light", (1, 2, 3)).light == (1.0, 2.0, 3.0)
    assert SMALL.field.width == 512
    for path, value, message in [
        ("field.widht", 64, "did you mean width"),
        ("feild.width", 64, "did you mean field"),
        ("field.width", "64", 'recipe.field.width: got "64", expected int'),
        ("rate.x", 1, "expected a path of fields; rate has none"),
        ("inner.width", 1, "expected a path of fields; inner has none"),
        ("steps", 0, "steps: got 0"),
        ("", 0, "unknown name"),
    ]:
        with pytest.raises(LabError) as caught:
            replace_path(SMALL, path, value)
        assert message in str(caught.value)


def test_to_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(DomainError, match=r"field\.beta: got inf"):
        to_json(Field(beta=math.inf))
    with pytest.raises(DTypeError, match=r"field\.beta: got .*tensor"):
        to_json(Field(beta=torch.ones(1)))  # type: ignore[arg-type]


def test_differences_as_a_table() -> None:
    other = replace(SMALL, seed=12, field=Field(width=64), light=(1.0, 2.0, 3.0), inner=Field())
    rows = differences(SMALL, other)
    assert rows == [
        ("seed", 0, 12),
        ("field.width", 512, 64),
        ("light", [2.0, 2.0, 2.0], [1.0, 2.0, 3.0]),
        ("inner", None, "-"),
        ("inner.width", "-", 512),
        ("inner.beta", "-", 100.0),
        ("inner.kind", "-", "UDR"),
    ]
    assert differences({"a": 1}, {"b": 1}) == [("a", 1, "-"), ("b", "-", 1)]
    assert table(rows[:2], ("field", "saved", "asked for")) == (
        "field        saved  asked for\nseed         0      12\nfield.width  512    64"
    )
    assert table([], ("a", "b")) == "a  b"


def test_checks() -> None:
    check_non_negative("x", 0)
    check_fraction("x", 1)
    check_one_of("x", "b", ("a", "b"))
    for check, value, message in [
        (check_non_negative, -1e-9, "x: got -1e-09, expected at least 0"),
        (check_non_negative, math.inf, "x: got inf"),
        (check_non_negative, True, "x: got true, expected float"),
        (check_fraction, 1.01, "x: got 1.01, expected a number from 0 to 1"),
        (check_fraction, "0.5", 'x: got "0.5", expected float'),
    ]:
        with pytest.raises(LabError) as caught:
            check("x", value)
        assert message in str(caught.value)
    with pytest.raises(DomainError, match=r'x: got "alhpa", expected one of alpha, beta; did you mean alpha\?'):
        check_one_of("x", "alhpa", ("alpha", "beta"))


def test_the_command_line_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    preset = replace(SMALL, field=Field(width=8, kind="DRnoV"))
    assert tyro.cli(Recipe, args=[], default=preset) == preset
    words = ["--field.width", "64", "--light", "1", "2", "3", "--path", "x.obj", "--sizes", "1", "2", "--deterministic"]
    given = {"field": Field(width=64, kind="DRnoV"), "light": (1.0, 2.0, 3.0), "path": "x.obj", "sizes": (1, 2)}
    assert tyro.cli(Recipe, args=words, default=preset) == replace(preset, **given, deterministic=True)
    for words, message in ((["--steps", "0"], "steps: got 0"), (["--field.widht", "64"], "--field.width")):
        with pytest.raises(SystemExit):
            tyro.cli(Recipe, args=words, default=preset)
        assert message in capsys.readouterr().err


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for, or an error; only "auto" chooses."""
    assert resolve_device("cpu") == torch.device("cpu")
    for there in (0, 2):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=there: there)
        assert resolve_device("auto") == torch.device("cuda" if there else "cpu")
        with pytest.raises(BackendError, match=r"device: got cuda:2, expected .auto. or .cpu."):
            resolve_device("cuda:2")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match=r"device: got cuda, .*no cuda devices"):
        resolve_device("cuda")
