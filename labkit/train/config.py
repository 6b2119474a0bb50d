"""What a run is told: frozen records of typed fields that become JSON and come back exactly, or with a named fault.

A field is an int, float, bool, str, Literal, tuple, ``dict[str, ...]``, another such record, or one of these or None.
The same records make command lines with tyro.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch

from labkit.errors import BackendError, DomainError, DTypeError, check_positive

Record = TypeVar("Record")
ABSENT = "-"  # stands in `differences` and `table` for what one side does not have
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What every run is told; recipes inherit. All fields, those of recipes too, are checked against their types.

    Attributes:
        steps: the total, those before a resume included; at least 1.
        seed: of every random stream; 0 to 2^63 - 1.
        device: "cpu", "cuda", "cuda:1" and so on, or "auto": cuda where there is one, else the CPU.
        deterministic: the same bits for the same seed on one GPU too, at some cost; refuses what cannot offer it.
        save_every: steps between checkpoints, at least 1; the end is always saved.
        preview_every: seconds between previews at least; 0 for none.
        log_every: steps between two `Step` events, at least 1.

    Raises:
        DTypeError, DomainError: naming the field.
    """

    steps: int = 2000
    seed: int = 0
    device: str = "auto"
    deterministic: bool = False
    save_every: int = 500
    preview_every: float = 10.0
    log_every: int = 1

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            _read(kind, getattr(self, name), name, False)
        for name in ("steps", "save_every", "log_every"):
            check_positive(name, getattr(self, name), "steps")
        check_non_negative("preview_every", self.preview_every)
        if not 0 <= self.seed <= MAX_SEED:
            raise DomainError("seed", self.seed, "0 to 2^63 - 1")
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", self.device):
            raise DomainError("device", _shown(self.device), 'one of "auto", "cpu", "cuda", "cuda:0", "cuda:1", ...')


def resolve_device(name: str) -> torch.device:
    """The device of that name, see `EngineConfig`.

    Raises:
        BackendError: a cuda device that is not there was asked for; the CPU never takes its place silently.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if there else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= there:
        raise BackendError(
            "device", name, f'"auto" or "cpu": this machine offers {there or "no"} cuda devices to torch'
        )
    return device


def check_non_negative(name: str, value: float) -> None:
    """Raise `DTypeError` or `DomainError` unless the value is a finite number of at least 0."""
    _read(float, value, name, False)
    if value < 0:
        raise DomainError(name, value, "at least 0")


def check_fraction(name: str, value: float) -> None:
    """Raise `DTypeError` or `DomainError` unless the value is a number from 0 to 1."""
    _read(float, value, name, False)
    if not 0 <= value <= 1:
        raise DomainError(name, value, "a number from 0 to 1")


def check_one_of(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise `DomainError`, with the nearest choice, unless the value is one of the choices."""
    _read(Literal[tuple(choices)], value, name, False)


def to_json(config: Any) -> dict[str, Any]:
    """A record as JSON's own types: dict, list, str, int, float, bool, None.

    Raises:
        DTypeError, DomainError: a field holds something else, NaN or infinity.
    """
    return {
        field.name: _write(getattr(config, field.name), f"{_root(type(config))}.{field.name}")
        for field in dataclasses.fields(config)
    }


def from_json(cls: type[Record], data: object, *, partial: bool = False) -> Record:
    """The inverse of `to_json`. An int does for a float; nothing else is converted.

    Args:
        cls: class of the record.
        data: what json.loads made of the text.
        partial: whether missing fields take their defaults.

    Raises:
        DTypeError: a value of the wrong type, with its path, such as ``udr.field.width: got "wide", expected int``.
        DomainError: a field that does not exist, with the nearest name; a missing one; NaN; or what the record refuses.
    """
    return _read(cls, data, _root(cls), partial)


def replace_path(config: Record, path: str, value: object) -> Record:
    """A copy with another value at a path such as "field.width".

    Raises:
        DTypeError, DomainError: as `from_json`.
    """
    data = inner = to_json(config)
    *records, name = path.split(".")
    for record in records:
        inner = inner.setdefault(record, {})
        if not isinstance(inner, dict):
            raise DomainError("path", path, f"a path of fields; {record} has none")
    inner[name] = value
    return from_json(type(config), data)


def differences(a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """Where two records, or what `to_json` made of them, differ.

    Returns:
        (path, value in a, value in b) in the order of the fields; `ABSENT` where a side has no such field.
    """
    left, right = (dict(_leaves(to_json(side) if dataclasses.is_dataclass(side) else side)) for side in (a, b))
    rows = ((path, left.get(path, ABSENT), right.get(path, ABSENT)) for path in {**left, **right})
    return [row for row in rows if row[1] != row[2]]


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> str:
    """Rows as plain text in aligned columns, under their head."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _read(kind: Any, value: Any, path: str, partial: bool) -> Any:
    """The value as the type says, or the error that names its path."""
    origin, choices = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        (kind,) = (choice for choice in choices if choice is not type(None))
        return _read(kind, value, path, partial)
    if origin is Literal:
        # True == 1, so the type is compared too
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise DomainError(path, _shown(value), _nearest(value, choices))
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [choices[0]] * len(value) if choices[1:] == (...,) else choices
        if len(kinds) != len(value):
            raise DTypeError(path, _shown(value), f"{len(kinds)} values")
        return tuple(_read(k, v, f"{path}.{i}", partial) for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict and isinstance(value, dict):
        return {_read(str, k, path, partial): _read(choices[1], v, f"{path}.{k}", partial) for k, v in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, kind):
            for name, inner in get_type_hints(kind).items():
                _read(inner, getattr(value, name), f"{path}.{name}", partial)
            return value
        if isinstance(value, Mapping):
            return _read_record(kind, value, path, partial)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # false for NaN, infinity, and an int that no float holds
            raise DomainError(path, value, "a finite number")
        return float(value)
    if kind in (int, str, bool) and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise DTypeError(path, _shown(value), _named(kind))


def _read_record(kind: Any, data: Mapping[str, Any], path: str, partial: bool) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise DomainError(f"{path}.{name}", "an unknown name", _nearest(name, fields))
    bare = (dataclasses.MISSING, dataclasses.MISSING)
    required = (n for n, field in fields.items() if not partial or (field.default, field.default_factory) == bare)
    if missing := [name for name in required if name not in data]:
        raise DomainError(path, f"no {', '.join(missing)}", "every field that has to be given")
    kinds = get_type_hints(kind)
    return kind(**{name: _read(kinds[name], value, f"{path}.{name}", partial) for name, value in data.items()})


def _write(value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {_read(str, key, path, False): _write(inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_write(inner, f"{path}.{place}") for place, inner in enumerate(value)]
    if value is None or isinstance(value, str | int):
        return value
    return _read(float, value, path, False)


def _leaves(data: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _root(cls: type) -> str:
    return cls.__name__.lower()


def _named(kind: Any) -> str:
    origin = get_origin(kind) or kind
    return "fields by name" if dataclasses.is_dataclass(kind) else getattr(origin, "__name__", str(kind))


def _nearest(value: object, names: Iterable[object]) -> str:
    near = difflib.get_close_matches(str(value), map(str, names), 1, 0.5)
    return f"one of {', '.join(map(str, names))}" + (f"; did you mean {near[0]}?" if near else "")


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
