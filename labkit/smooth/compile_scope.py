"""What the compiler of smooth functions knows around a function: its names, and how it refuses."""

from __future__ import annotations

import ast
import builtins
import math
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from torch import Tensor

from labkit.errors import DTypeError, LabError, check_tensor
from labkit.smooth.program_state import Program
from labkit.smooth.soft_values import Value

MISSING = object()


class SmoothSyntaxError(LabError):
    """Something that a smooth function cannot contain.

    Args:
        line: in the user's file.
        got: the offending text.
        expected: what to write instead.
    """

    def __init__(self, line: int, got: str, expected: str) -> None:
        self.line = line
        super().__init__(f"line {line}", f"`{got}`", expected)

    def __reduce__(self) -> tuple[type[LabError], tuple[Any, ...]]:
        return type(self), (self.line, self.got.strip("`"), self.expected)


def refuse(node: ast.AST, instead: str) -> SmoothSyntaxError:
    """The error for a node, with the first line of its text."""
    return SmoothSyntaxError(getattr(node, "lineno", 0), ast.unparse(node).strip().split("\n")[0], instead)


def admit(name: str, value: Any) -> Value:
    """A value from outside, if it is a number, a finite float tensor, or a list of these; a copy of a list.

    Raises:
        DTypeError, DomainError: something else.
    """
    if isinstance(value, list | tuple):
        return type(value)(admit(name, entry) for entry in value)
    if isinstance(value, Tensor):
        return check_tensor(name, value, "...")
    if not isinstance(value, int | float) or math.isnan(value):
        raise DTypeError(name, repr(value), "a number, a float tensor, or a list of these")
    return value


@dataclass
class Scope:
    """The names of a function: its own, and those that it finds around it, looked up when it is called."""

    function: FunctionType
    own: set[str]

    def find(self, name: str) -> Any:
        """What a name around the function means now, or MISSING."""
        cells = dict(zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True))
        if name in cells:
            try:
                return cells[name].cell_contents
            except ValueError:  # not bound yet
                return MISSING
        return self.function.__globals__.get(name, getattr(builtins, name, MISSING))


def program_of(value: Any) -> Program | None:
    """The program of a smooth function, or None for everything else."""
    program = getattr(value, "program", None)
    return program if isinstance(program, Program) else None
