"""Networks, optimizers and random streams as one `State`, and back: bit for bit, or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.errors import DomainError, DTypeError, FileError, LabError
from labkit.train.checkpoint_format import State
from labkit.train.config import ABSENT, table
from labkit.train.randomness import DEFAULT, default_streams, states_of

Row = tuple[str, str, str]
MAX_ROWS = 20  # of a message
STREAMS = "generators"


class MismatchError(LabError, ValueError):
    """A state does not fit what it should be loaded into. The message holds a table; nothing was loaded."""


def state_of(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer], generators: Mapping[str, torch.Generator]
) -> State:
    """A copy on the CPU of everything that training changes, torch's own random streams included.

    Returns:
        A group "module.NAME" for each module, "optimizer.NAME" for each optimizer, and "generators".

    Raises:
        DTypeError: a module or an optimizer holds what is neither a tensor nor a plain Python value.
        DomainError: a number that is not finite.
    """
    groups: dict[str, dict[str, Tensor]] = {STREAMS: states_of(generators)}
    facts: dict[str, Any] = {}
    for name, module in modules.items():
        groups[f"module.{name}"] = {key: _copy(value, f"{name}.{key}") for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        tensors = groups[f"optimizer.{name}"] = {}
        facts[name] = {"fits": _fits(optimizer), "state": _encode(optimizer.state_dict(), name, tensors)}
    return State(groups, {"optimizers": facts})


def restore(
    state: State,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    generators: Mapping[str, torch.Generator],
) -> list[str]:
    """Load a state into freshly built modules, optimizers and random streams, on whatever devices they are.

    Torch's own streams go on from the state too, those of cuda devices where they are in use.

    Returns:
        Names of the streams that keep the state they have, since the saved one is of another kind of device: with any
        of them, what follows is not what would have followed there.

    Raises:
        MismatchError: something is missing, too much, or of another kind, type or shape; nothing was loaded.
        FileError: contents that `state_of` cannot have written; no module was loaded.
    """
    facts, states = state.facts.get("optimizers", {}), state.tensors.get(STREAMS, {})
    streams = {**default_streams(), **generators}
    cuda = {name for name in (*states, *streams) if name.startswith(f"{DEFAULT}cuda")}
    streams = {name: stream for name, stream in streams.items() if name in states or name not in cuda}
    foreign = [n for n, stream in streams.items() if n in states and states[n].shape != stream.get_state().shape]
    _refuse(
        [
            *_groups(state, "module", modules),
            *_groups(state, "optimizer", optimizers),
            *_rows("generator ", _present(n for n in states if n not in cuda), _present(streams.keys() - cuda)),
            *(row for name, module in modules.items() for row in _module_rows(state, name, module)),
            *(row for name, optimizer in optimizers.items() for row in _optimizer_rows(facts, name, optimizer)),
        ]
    )
    try:
        saved = {name: _decode(facts[name]["state"], name, state.tensors[f"optimizer.{name}"]) for name in optimizers}
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(saved[name])
        for name, stream in streams.items():
            if name not in foreign:
                stream.set_state(states[name])
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError("checkpoint", repr(error), "a state that labkit wrote") from error
    for name, module in modules.items():
        module.load_state_dict(state.tensors[f"module.{name}"])
    return foreign


def restore_module(state: State, name: str, module: nn.Module) -> None:
    """Load one module of a state, to look at what was learned.

    Raises:
        MismatchError: it is not there or of another shape; nothing was loaded.
    """
    only = State({group: tensors for group, tensors in state.tensors.items() if group == f"module.{name}"})
    _refuse([*_groups(only, "module", {name: module}), *_module_rows(only, name, module)])
    module.load_state_dict(only.tensors[f"module.{name}"])


def _present(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, "present")


def _rows(what: str, saved: Mapping[str, str], here: Mapping[str, str]) -> Iterator[Row]:
    for name in {**here, **saved}:
        row = saved.get(name, ABSENT), here.get(name, ABSENT)
        if row[0] != row[1]:
            yield f"{what}{name}", *row


def _groups(state: State, kind: str, here: Iterable[str]) -> Iterator[Row]:
    saved = (group.removeprefix(f"{kind}.") for group in state.tensors if group.startswith(f"{kind}."))
    return _rows(f"{kind} ", _present(saved), _present(here))


def _module_rows(state: State, name: str, module: nn.Module) -> Iterator[Row]:
    saved = state.tensors.get(f"module.{name}")
    if saved is None:
        return iter(())  # `_groups` says so
    here = {key: _described(value) for key, value in module.state_dict().items()}
    return _rows(f"{name}.", {key: _described(value) for key, value in saved.items()}, here)


def _optimizer_rows(facts: Any, name: str, optimizer: Optimizer) -> Iterator[Row]:
    fact = facts.get(name) if isinstance(facts, dict) else None
    saved = fact.get("fits") if isinstance(fact, dict) and "state" in fact else None
    return _rows(f"optimizer {name} ", saved if isinstance(saved, dict) else {}, _fits(optimizer))


def _fits(optimizer: Optimizer) -> dict[str, str]:
    """What an optimizer has to have in common with another whose state it takes over."""
    groups = enumerate(optimizer.param_groups)
    shapes = {f"parameter {g}.{i}": _described(p) for g, group in groups for i, p in enumerate(group["params"])}
    return {"kind": type(optimizer).__name__, **shapes}


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _refuse(rows: list[Row]) -> None:
    if rows:
        more = f"\n... and {len(rows) - MAX_ROWS} more" if len(rows) > MAX_ROWS else ""
        text = table(rows[:MAX_ROWS], ("name", "in the checkpoint", "here"))
        raise MismatchError("checkpoint", f"{len(rows)} differences\n{text}{more}\n", "a run of the same configuration")


def _copy(value: Any, path: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise DTypeError(path, type(value).__name__, "a tensor")
    return value.detach().to("cpu", copy=True)


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """A nest of Python values as JSON; its tensors move to ``tensors`` under their paths."""
    if isinstance(value, Tensor):
        tensors[path] = copy = _copy(value, path)
        # the last bits of what an optimizer computes can depend on the order in memory, which safetensors does not keep
        order = sorted(range(copy.dim()), key=copy.stride, reverse=True)
        return {"tensor": path} if copy.is_contiguous() else {"tensor": path, "order": order}
    if isinstance(value, list):
        return [_encode(inner, f"{path}.{place}", tensors) for place, inner in enumerate(value)]
    if isinstance(value, tuple):
        return {"tuple": _encode(list(value), path, tensors)}
    if isinstance(value, dict) and all(type(key) in (int, str) for key in value):
        return {"dict": [[key, _encode(inner, f"{path}.{key}", tensors)] for key, inner in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        raise DomainError(path, value, "a finite number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise DTypeError(path, type(value).__name__, "a tensor, None, bool, int, float, str, or list, tuple, dict of them")


def _decode(code: Any, path: str, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `_encode`."""
    match code:
        case None | bool() | int() | float() | str():
            return code
        case list():
            return [_decode(inner, path, tensors) for inner in code]
        case {"tensor": str(name), **rest} if not rest and name in tensors:
            return tensors[name].clone()
        case {"tensor": str(name), "order": list(order), **rest} if not rest and name in tensors:
            if sorted(order) == list(range(tensors[name].dim())):
                return (
                    tensors[name].permute(order).clone(memory_format=torch.contiguous_format).permute(*_inverse(order))
                )
        case {"tuple": list(inner), **rest} if not rest:
            return tuple(_decode(inner, path, tensors))
        case {"dict": list(items), **rest} if not rest:
            pairs = [item for item in items if isinstance(item, list) and len(item) == 2]
            return {key: _decode(inner, f"{path}.{key}", tensors) for key, inner in pairs}
    raise FileError(f"facts of optimizer {path}", repr(code)[:60], "what this labkit writes")


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)
