"""The state of a panel: a frozen dataclass of plain values, checked field by field, to and from JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from labkit.errors import DomainError, DTypeError

S = TypeVar("S")


def between(default: Any, low: float, high: float) -> Any:
    """A dataclass field holding a number, or a tuple of numbers, each in [low, high]."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def one_of(default: str, *choices: str) -> Any:
    """A dataclass field holding one of the given words; ``default`` counts among them."""
    return dataclasses.field(default=default, metadata={"choices": tuple(dict.fromkeys((default, *choices)))})


def to_dict(state: Any) -> dict[str, Any]:
    """The state as plain values: numbers, words, booleans, None, and lists of them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in ((f.name, getattr(state, f.name)) for f in dataclasses.fields(state))
    }


def to_json(state: Any) -> str:
    """The state as JSON text, one field a line."""
    return json.dumps(to_dict(state), indent=1)


def from_dict(kind: type[S], values: Mapping[str, Any]) -> S:
    """A new state of the given dataclass from plain values.

    Whole numbers are accepted where floats are declared and lists where tuples are. Nothing is guessed: every field
    must be there and fit, and every problem is named.

    Raises:
        DTypeError: ``values`` is not a mapping.
        DomainError: a field is unknown, missing, of the wrong type, not finite or out of its range.
    """
    if not isinstance(values, Mapping):
        raise DTypeError("state", type(values).__name__, "a dict of field names and values")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    problems = [f"unknown field {name!r}" for name in values if name not in fields]
    problems += [f"missing field {name!r}" for name in fields if name not in values]
    clean: dict[str, Any] = {}
    for name in fields.keys() & values.keys():
        try:
            clean[name] = _fit(values[name], hints[name], fields[name].metadata)
        except ValueError as problem:
            problems.append(f"{name} = {values[name]!r} ({problem})")
    if problems:
        raise DomainError(
            "state", "; ".join(sorted(problems)), f"exactly the fields {', '.join(fields)}, each in range"
        )
    return kind(**clean)


def from_json(kind: type[S], text: str) -> S:
    """A new state from JSON text (see `from_dict`).

    Raises:
        DomainError: the text is not JSON, or its content does not fit.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DomainError("state", f"text that is not JSON ({error})", "the JSON text of a state") from error
    return from_dict(kind, values)


def _fit(value: Any, hint: Any, rules: Mapping[str, Any]) -> Any:
    """``value`` as the declared type, or ValueError saying what was wanted."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return None
        return _fit(value, next(kind for kind in inner if kind is not type(None)), rules)
    if origin is tuple:
        kinds = (inner[0],) * len(value) if inner[-1] is Ellipsis and isinstance(value, (list, tuple)) else inner
        if not isinstance(value, (list, tuple)) or len(value) != len(kinds):
            raise ValueError("expected a list" if inner[-1] is Ellipsis else f"expected a list of {len(inner)} values")
        return tuple(_fit(item, kind, rules) for item, kind in zip(value, kinds, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise ValueError(f"expected {hint.__name__}")
    if hint is float and not math.isfinite(value):
        raise ValueError("expected a finite number")
    if "low" in rules and not rules["low"] <= value <= rules["high"]:
        raise ValueError(f"expected {rules['low']} to {rules['high']}")
    if "choices" in rules and value not in rules["choices"]:
        raise ValueError(f"expected one of {', '.join(rules['choices'])}")
    return value
