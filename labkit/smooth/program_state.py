"""What a smooth function knows while it runs: at every point a probability mass and the mean state of it.

A program that may take several paths at once is followed on all of them. The mass P says how much of the run is at a
point, the variables are the mean over that much of the run. Where two paths meet, masses add and variables become
their mean weighted by the masses: for one assignment under an "if" this is AlgoNet's ``x := P e + (1 - P) x`` (Eq. 3).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DomainError, LabError
from labkit.smooth.soft_values import Softness, Truth, Value, blend, keep, number

Mass = float | Tensor  # plain 1.0, or (*batch) in [0, 1]


@dataclass
class State:
    """A point of the program.

    Attributes:
        mass: P, plain 1.0 while the point is reached with certainty, else (*batch).
        variables: the values by name; its lists belong to this state alone.
    """

    mass: Mass
    variables: dict[str, Value]

    @cached_property
    def dead(self) -> Tensor | None:
        """Where a batch has no mass (*batch), or None if it has some everywhere."""
        if not isinstance(self.mass, Tensor):
            return None
        dead = self.mass <= 0
        return dead if bool(dead.any()) else None

    def branch(self, mass: Mass) -> State:
        """A copy with lists of its own and another mass."""
        memo: dict[int, Value] = {}
        return State(mass, {name: copied(value, memo) for name, value in self.variables.items()})

    def assign(self, name: str, value: Value) -> None:
        """Set a variable; where a batch has no mass a tensor keeps its old entries, so nothing can overflow there.

        Raises:
            DomainError: a tensor is not finite where there is mass.
        """
        self.check_finite(name, value)
        if self.dead is not None and name in self.variables:
            value = keep(self.dead, self.variables[name], value)
        self.variables[name] = value

    def living(self, value: Value) -> Value:
        """The value with 1/2 where there is no mass: a number that every division, root and logarithm allows."""
        value = number(value)
        return value if self.dead is None or not isinstance(value, Tensor) else torch.where(self.dead, 0.5, value)

    def check_finite(self, name: str, value: Value) -> None:
        """Raise `DomainError` if a tensor, or one in a list, is not finite where there is mass."""
        if isinstance(value, list | tuple):
            for entry in value:
                self.check_finite(name, entry)
        value = number(value)
        if isinstance(value, float) and value != value:
            raise DomainError(name, value, "a finite number")
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            bad = ~torch.isfinite(value) if self.dead is None else ~torch.isfinite(value) & ~self.dead
            if bool(bad.any()):
                raise DomainError(
                    name,
                    value[bad].flatten()[0].item() if value.shape == bad.shape else "nan or inf",
                    "finite numbers (a branch with little mass is computed too)",
                )


def copied(value: Value, memo: dict[int, Value]) -> Value:
    """The value with new lists; ``memo`` keeps two names of one list together."""
    if isinstance(value, list | tuple):
        if id(value) not in memo:
            memo[id(value)] = type(value)(copied(entry, memo) for entry in value)
        return memo[id(value)]
    return value


def split(state: State, condition: bool | Tensor) -> tuple[State | None, State | None]:
    """The part of a state where the condition holds, with lists of its own, and the rest.

    A path that is only probable is taken even where its probability has come down to 0, so that which values are
    plain numbers and which are soft never depends on the data.
    """
    if isinstance(condition, bool):
        return (state, None) if condition else (None, state)
    return state.branch(condition * state.mass), State((1 - condition) * state.mass, state.variables)


def merge(share: Tensor, new: State, old: State, mass: Mass) -> State:
    """The state with ``share`` (*batch) of ``new`` and the rest of ``old``; a name that only one knows is taken."""
    memo: dict[tuple[int, int], Value] = {}
    variables = {**old.variables, **new.variables}
    for name in old.variables.keys() & new.variables.keys():
        variables[name] = blend(share, new.variables[name], old.variables[name], memo)
    return State(mass, variables)


def join(a: State | None, b: State | None) -> State | None:
    """Two paths that meet: masses add, variables become the mean weighted by the masses."""
    if a is None or b is None:
        return b if a is None else a
    total = torch.as_tensor(a.mass + b.mass)
    share = b.mass / torch.where(total > 0, total, 1)
    return merge(share, b, a, total)


def soften(values: dict[str, Value] | list[Value], keys: Iterable[Any], like: Tensor) -> None:
    """Make the plain numbers under these keys soft, in place, through lists; infinity stays, since it is certain."""
    for key in keys:
        value = values[key]
        if isinstance(value, list):
            soften(value, range(len(value)), like)
        elif isinstance(value, int | float) and not math.isinf(value):
            soft = 0 * like + float(value)  # keeps the graph, with gradient 0
            values[key] = Truth(soft) if isinstance(value, bool) else soft


@dataclass
class Loop:
    """The paths that left the body of a loop by ``break`` or ``continue`` in this turn."""

    broken: State | None = None
    continued: State | None = None


@dataclass
class Settings:
    """What holds for a whole run, with what is counted in it.

    Attributes:
        softness: of all gates.
        epsilon: mass at which a path of a loop is given up.
        max_iterations: turns after which a loop is ended.
        iterations: turns taken so far by loops that are not over a list or a plain range.
        remaining: mass that was cut off by ``max_iterations``.
    """

    softness: Softness
    epsilon: float
    max_iterations: int
    iterations: int = 0
    remaining: Mass = 0.0


@dataclass
class Frame:
    """One call of a program: where its returns and loops collect their paths."""

    settings: Settings
    callers: tuple[Program, ...]
    returned: State | None = None
    loops: list[Loop] = field(default_factory=list)
    located: bool = False

    def locate(self, error: LabError, line: int, text: str) -> LabError:
        """The error with the line and text of the statement that raised it, once for each call."""
        if self.located:
            return error
        self.located = True
        place = f"{self.callers[-1].name}, line {line}, `{text}`: {error.argument}"
        return type(error)(place, error.got, error.expected)


@dataclass
class Program:
    """A compiled function: its name, its signature, and the closure that executes its body."""

    name: str
    signature: inspect.Signature
    body: Callable[[Frame, State], State | None]

    def call(self, settings: Settings, mass: Mass, arguments: dict[str, Value], callers: tuple[Program, ...]) -> Value:
        """The value that the program returns for these arguments, given the mass at the place of the call.

        Raises:
            LabError: it calls itself, or no path came to a return.
        """
        if self in callers:
            raise LabError(self.name, "a function that calls itself", "a loop")
        frame = Frame(settings, (*callers, self))
        memo: dict[int, Value] = {}
        self.body(frame, State(mass, {name: copied(value, memo) for name, value in arguments.items()}))
        if frame.returned is None:
            raise LabError(self.name, f"no return within {settings.max_iterations} turns", "a loop that ends")
        return frame.returned.variables["return"]
