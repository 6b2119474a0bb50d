"""Python functions that can be differentiated: the high-level smooth language that AlgoNet leaves to the future."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, check_device, check_positive
from labkit.smooth.compile_scope import Scope, SmoothSyntaxError, admit, refuse
from labkit.smooth.compile_statements import StatementCompiler, always_returns
from labkit.smooth.gates import Number, family_of
from labkit.smooth.program_state import Program, Settings
from labkit.smooth.soft_values import Softness, Value, number

__all__ = ["SmoothFunction", "SmoothRun", "SmoothSyntaxError", "UnfinishedWarning", "smooth_function"]


class UnfinishedWarning(UserWarning):
    """A loop was ended by its bound while the condition still held to some extent."""


class SmoothRun(NamedTuple):
    """What a run gave.

    Attributes:
        value: the result: a number, a tensor (*batch), or a list or tuple of these.
        iterations: turns of "while" and of soft ranges, over the whole run.
        remaining: the mass (*batch) for which a loop was not over at its bound; plain 0.0 if all ended.
    """

    value: Any
    iterations: int
    remaining: float | Tensor


class SmoothFunction:
    """A function with its smooth execution; made by `smooth_function`, where the language is told.

    Attributes:
        hard: the untouched Python function.
        source: its text.
        program: its compiled form.
        steepness, family, epsilon, max_iterations: as given to `smooth_function`.
    """

    def __init__(
        self, function: Callable[..., Any], steepness: Number, family: str, epsilon: float, max_iterations: int
    ) -> None:
        check_positive("steepness", steepness)
        family_of(family)
        if not 0 <= epsilon < 1:
            raise DomainError("epsilon", epsilon, "a number in [0, 1)")
        if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
            raise DomainError("max_iterations", max_iterations, "a whole number of at least 1")
        self.hard, self.steepness, self.family = function, steepness, family
        self.epsilon, self.max_iterations = epsilon, max_iterations
        self.source, self.program = _compiled(function)
        update_wrapper(self, function)

    def __call__(self, *args: Any, steepness: Number | None = None, **kwargs: Any) -> Any:
        """The smooth value of the function.

        Args:
            *args, **kwargs: as the function takes them.
            steepness: s > 0 instead of the function's own; may be a tensor with gradient.

        Warns:
            UnfinishedWarning: a loop was ended by its bound.

        Raises:
            DTypeError, DomainError, ShapeError, DeviceError, LabError: naming the argument or the line.
        """
        value, _, remaining = self.run(*args, steepness=steepness, **kwargs)
        if (most := float(torch.as_tensor(remaining).detach().max())) > 0:
            warnings.warn(
                f"{self.program.name}: a loop ended at {self.max_iterations} turns with mass {most:.3g} left",
                UnfinishedWarning,
                stacklevel=2,
            )
        return value

    def run(self, *args: Any, steepness: Number | None = None, **kwargs: Any) -> SmoothRun:
        """The smooth value with the record of the run; arguments and errors as for a call."""
        try:
            bound = self.program.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise DTypeError(self.program.name, error, f"arguments {self.program.signature}") from error
        bound.apply_defaults()
        arguments = {name: admit(name, value) for name, value in bound.arguments.items()}
        softness = Softness(_fitting(self.steepness if steepness is None else steepness, arguments), self.family)
        settings = Settings(softness, self.epsilon, self.max_iterations)
        value = self.program.call(settings, 1.0, arguments, ())
        return SmoothRun(_plain(value), settings.iterations, settings.remaining)

    def __repr__(self) -> str:
        return f"<smooth function {self.program.name}{self.program.signature}>"


@overload
def smooth_function(function: Callable[..., Any]) -> SmoothFunction:
    """As a plain decorator."""


@overload
def smooth_function(
    *, steepness: Number = 10.0, family: str = "logistic", epsilon: float = 1e-6, max_iterations: int = 1000
) -> Callable[[Callable[..., Any]], SmoothFunction]:
    """With settings, which gives the decorator."""


def smooth_function(
    function: Callable[..., Any] | None = None,
    *,
    steepness: Number = 10.0,
    family: str = "logistic",
    epsilon: float = 1e-6,
    max_iterations: int = 1000,
) -> SmoothFunction | Callable[[Callable[..., Any]], SmoothFunction]:
    """Compile a plain Python function into its smooth execution, as ``@smooth_function`` or with settings.

    ::

        @smooth_function(steepness=20.0)
        def clamp(x, low, high):
            if x < low:
                return low
            if x > high:
                return high
            return x

        clamp(torch.tensor([-1.0, 0.5], requires_grad=True), 0.0, 1.0)  # differentiable
        clamp(x, 0.0, 1.0, steepness=100.0)  # sharper
        clamp.hard(0.5, 0.0, 1.0)  # the Python function itself

    **Meaning.** Plain Python numbers are certain and behave as always. A comparison that a tensor takes part in holds
    with a probability (`labkit.smooth.gates`), and every path that has some is taken: an "if" executes both branches
    from the same variables and blends what they left, ``P then + (1 - P) otherwise`` (AlgoNet, Eq. 3); each turn of a
    loop lets out the share for which the condition fails; ``return``, ``break`` and ``continue`` take their share
    along. Variables and results are means over the paths, weighted by these shares, so a result lies among the values
    that are returned. A loop ends when the share that is still inside is at most ``epsilon``, or after
    ``max_iterations`` turns. As the steepness grows, the smooth value tends to the hard one wherever no comparison
    is a tie and no soft floor is at a jump.

    **What becomes soft.** ``< <= > >= == !=``, ``and or not`` (of independent events); ``a[i]`` with a tensor ``i``
    (weights ``softmax_j(-s (i - j)^2)``; past the ends it reads the end); ``min``, ``max``, ``argmin``, ``argmax``
    (softmax weights); ``abs``; ``math.floor``, ``math.ceil``, ``round``, ``//`` and ``%`` (soft floor, whose tails are
    long); ``range(n)`` with a tensor n. A tie is half of both: keep thresholds between the numbers that occur, such as
    ``high - low > 0.5`` for whole numbers, or ``(n + 0.5) % 2 < 1`` for "n is even". ``and``, ``or``, ``not`` give
    truth values, not one of their operands. ``math.inf`` compares with certainty, but cannot be blended.

    **The language.** Assignments to names and list entries, unpacking, ``+ - * / // % **``, conditional expressions,
    if, while, for over ranges and lists, break, continue, return; lists and list comprehensions; ``len sum list
    enumerate zip`` and the curves of ``math``; calls of other smooth functions, which run at the steepness of the
    caller; constants from outside. Anything else is refused when the function is defined. Lists given as arguments
    are copied; the entries of a tensor are changed after ``values = list(values)``.

    **Shapes.** Batch dimensions (*batch) come last, as indexing leaves them: an array of n numbers is a list, or a
    tensor (n, *batch). All elements of a batch take their own paths: the result is that of each one alone.

    Args:
        steepness: s > 0, per unit of what is compared.
        family: the sigmoid of the comparisons, as in `labkit.smooth.gates.sigmoid`.
        epsilon: the share of the run at which a loop is left, in [0, 1).
        max_iterations: turns of one execution of a loop, at least 1.

    Raises:
        SmoothSyntaxError: something outside of the language, with its line.
        LabError: no source text. DomainError, DTypeError: a setting out of its range.

    Source: AlgoNet, sections 3.1.1 and 5 (where it is future work). Statements of one path run in full and are blended
    where paths meet, instead of one by one as in the paper's WHILE programs: for a single statement that is the same,
    but with several, an "else" would see what "then" left, and an old value would survive two assignments.
    """
    if function is None:
        return lambda function: SmoothFunction(function, steepness, family, epsilon, max_iterations)
    return SmoothFunction(function, steepness, family, epsilon, max_iterations)


def _compiled(function: Callable[..., Any]) -> tuple[str, Program]:
    """The text of a function and the program of it."""
    if not isinstance(function, FunctionType):
        raise DTypeError("function", type(function).__name__, "a plain Python function")
    try:
        lines, first = inspect.getsourcelines(function)
        source = textwrap.dedent("".join(lines))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError) as error:
        raise LabError("function", f"no source text ({error})", "a function in a file or a notebook cell") from error
    ast.increment_lineno(tree, first - 1)
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise refuse(node, "a function that is defined with def")
    given = node.args
    if given.vararg or given.kwarg:
        raise refuse(given.vararg or given.kwarg or node, "a fixed number of arguments")
    own = {argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    if "steepness" in own:
        raise SmoothSyntaxError(node.lineno, "steepness", "another name: a call takes the steepness by this one")
    own |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    body = StatementCompiler(Scope(function, own)).block(node.body)
    if not always_returns(node.body):
        raise SmoothSyntaxError(
            node.body[-1].lineno, f"def {node.name}", "a return with a value at the end of every path"
        )
    return source, Program(node.name, inspect.signature(function), body)


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, list | tuple):
        return [tensor for value in values for tensor in _tensors(value)]
    return [values] if isinstance(values, Tensor) else []


def _fitting(steepness: Number, arguments: dict[str, Value]) -> Number:
    """The steepness in the one element type and on the one device of the arguments, which are checked."""
    check_positive("steepness", steepness)
    like: Tensor | None = None
    for name, value in arguments.items():
        for tensor in _tensors(value):
            like = tensor if like is None else like
            if tensor.dtype != like.dtype:
                raise DTypeError(name, str(tensor.dtype).removeprefix("torch."), f"{like.dtype} as the other arguments")
            check_device(**{"first argument": like, name: tensor})
    if like is None or not isinstance(steepness, Tensor):
        return steepness
    return steepness.to(like).reshape(())


def _plain(value: Value) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_plain(entry) for entry in value)
    return number(value)
