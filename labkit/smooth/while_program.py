"""WHILE programs that can be differentiated: every statement runs to the extent of its probability P.

AlgoNet, section 3.1.1. P is 1 at the start. Each test of ``WHILE x != 0``, the first one included, multiplies the P of
that loop by phi(x), which is 0 at x = 0 and grows towards 1. An assignment moves its variable by the fraction P
towards the new value. A loop inside a loop starts from the P of the loop around it, which has its own P back after END.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict, Unpack

import torch
from torch import Tensor
from torch.nn.functional import threshold

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_positive, check_tensor
from labkit.smooth.gates import Number
from labkit.smooth.while_language import VARIABLE, Assign, Statement, While, parse


def phi_c0(x: Tensor) -> Tensor:
    """``min(1, |x|)``, phi_0 of AlgoNet, figure 1. The slope at its kinks: 0 at x = 0, the inner one at ``|x| = 1``.

    So at whole numbers the gradient of a loop that counts down is the derivative from the left.
    """
    return x.abs().clamp(max=1)


def phi_cinf(x: Tensor, steepness: Number) -> Tensor:
    """``1 - sech(s x)``, phi_infinity of AlgoNet, figure 1: about (s x)^2 / 2 near 0, and 1 far from it.

    Computed as ``2 t^2 / (1 + t^2)`` with ``t = tanh(s x / 2)``, which neither cancels at 0 nor overflows far out.
    """
    t2 = torch.tanh(steepness / 2 * x).square()
    return 2 * t2 / (1 + t2)


def phi_hard(x: Tensor) -> Tensor:
    """``x != 0`` as 0 or 1: the discrete program."""
    return (x != 0).to(x.dtype)


class RunOptions(TypedDict, total=False):
    """The options of `WhileProgram.__call__`, where they are explained."""

    smoothness: str
    steepness: Number
    epsilon: float
    max_iterations: int


@dataclass(frozen=True)
class WhileResult:
    """What a run leaves. Every tensor has the shape (...) that the inputs have after broadcasting.

    Attributes:
        outputs: each variable by name, (...) float; ``x0`` is the result by convention.
        iterations: turns of all loops together that each element took, (...) int64.
        remaining: the largest P that a loop still had when ``max_iterations`` ended it, (...) float, without
            gradient; 0 where all loops ended by themselves.
    """

    outputs: dict[str, Tensor]
    iterations: Tensor
    remaining: Tensor

    @property
    def halted(self) -> bool:
        """Whether every loop of every element ended by itself."""
        return not bool(self.remaining.any())


@dataclass(frozen=True)
class TraceStep:
    """One assignment, or one test of a loop, just after it was done. Tensors have the shape (...) of the run.

    Attributes:
        line: where it stands in the source, from 1.
        text: the assignment, or the head of the loop, as written.
        probability: P of the assignment, or P after the test, (...).
        variables: every variable after it.
        before: P before the test; the same as ``probability`` for an assignment.
    """

    line: int
    text: str
    probability: Tensor
    variables: dict[str, Tensor]
    before: Tensor


@dataclass(frozen=True)
class WhileProgram:
    """A program of the WHILE language, to be run hard or smooth; made by `WhileProgram.parse`.

    Attributes:
        source: the text that it was read from.
        statements: its syntax tree.
    """

    source: str
    statements: tuple[Statement, ...]

    @classmethod
    def parse(cls, source: str) -> WhileProgram:
        """Read a program (grammar and errors: `labkit.smooth.while_language`)."""
        return cls(source, parse(source))

    @cached_property
    def flat(self) -> tuple[Statement, ...]:
        """All statements in the order of the text, those of the loops included."""
        return tuple(_flatten(self.statements))

    @cached_property
    def assignments(self) -> tuple[Assign, ...]:
        """All assignments in the order of the text, which is that of `Assign.number`."""
        return tuple(statement for statement in self.flat if isinstance(statement, Assign))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names that the program mentions, and ``x0``, by number."""
        names = {"x0"}
        for statement in self.flat:
            names |= {statement.variable} if isinstance(statement, While) else {statement.target, statement.source}
        return tuple(sorted(names, key=lambda name: int(name[1:])))

    def __repr__(self) -> str:
        loops = len(self.flat) - len(self.assignments)
        return f"WhileProgram({', '.join(self.variables)}; {len(self.assignments)} assignments, {loops} loops)"

    def __call__(
        self,
        inputs: Mapping[str, Tensor],
        smoothness: str = "cinf",
        steepness: Number = 2.0,
        epsilon: float = 1e-6,
        max_iterations: int = 1000,
    ) -> WhileResult:
        """Run the program on a batch. No element depends on what else is in the batch.

        Args:
            inputs: start values by name, float tensors of one type and device whose shapes broadcast; variables that
                are not named start at 0, and names that the program does not mention are kept.
            smoothness: "cinf" for `phi_cinf`, "c0" for `phi_c0`, "hard" for `phi_hard`. On whole numbers "c0" and
                "hard" agree exactly; the gradient of "hard" is that of the copies which were made.
            steepness: s > 0 of "cinf", a number or a one-element tensor, which may require a gradient. A loop that
                counts down from a number that is not whole is sure to end up to s = 2.609, where phi(x) <= |x|.
            epsilon: a loop ends where its P <= epsilon, in [0, 1). There P is set to 0 exactly.
            max_iterations: turns that each element may take in all loops together, at least 0. Where they are used
                up all loops end, and `WhileResult.remaining` tells what P they had.

        Raises:
            DTypeError, ShapeError, DeviceError: the inputs are not such tensors.
            DomainError: an input is no variable or not finite, "hard" got a number that is not whole (the discrete
                program never ends there), an option is out of range, or a result overflowed.

        Source: AlgoNet, section 3.1.1, equations 3 to 5.
        """
        return Execution(self, inputs, smoothness, steepness, epsilon, max_iterations).finish()

    def trace(self, inputs: Mapping[str, Tensor], **options: Unpack[RunOptions]) -> Iterator[TraceStep]:
        """The run of `__call__`, one record for each assignment and each test of a loop, as they are asked for.

        Bad arguments are refused at once, not with the first record.
        """
        execution = Execution(self, inputs, **options)
        return (
            TraceStep(statement.line, statement.text, after, dict(execution.variables), before)
            for statement, before, after in execution.steps()
        )


class Execution:
    """The state of one run, for `WhileProgram` and its trainable form. Arguments and errors: `WhileProgram.__call__`.

    Args:
        program: what to run.
        affine: weights and biases, (number of assignments,) each, or None for 1 and 0.
    """

    def __init__(
        self,
        program: WhileProgram,
        inputs: Mapping[str, Tensor],
        smoothness: str = "cinf",
        steepness: Number = 2.0,
        epsilon: float = 1e-6,
        max_iterations: int = 1000,
        affine: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        check_positive("steepness", steepness)
        phis: dict[str, Callable[[Tensor], Tensor]] = {
            "cinf": lambda x: phi_cinf(x, steepness),
            "c0": phi_c0,
            "hard": phi_hard,
        }
        if smoothness not in phis:
            raise DomainError("smoothness", repr(smoothness), f"one of {', '.join(phis)}")
        if not 0 <= epsilon < 1:
            raise DomainError("epsilon", epsilon, "a number from 0 to less than 1")
        if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 0:
            raise DomainError("max_iterations", max_iterations, "a whole number from 0")
        self.program, self.phi, self.epsilon, self.bound = program, phis[smoothness], epsilon, max_iterations
        given = _checked(inputs, None if affine is None else affine[0], whole=smoothness == "hard")
        self.affine = None if affine is None else tuple(tensor.unbind() for tensor in affine)
        like = next(iter(given.values()), torch.zeros(()) if affine is None else affine[0].new_zeros(())).detach()
        self.variables = dict.fromkeys(program.variables, torch.zeros_like(like)) | given
        self.iterations = torch.zeros_like(like, dtype=torch.int64)
        self.remaining = torch.zeros_like(like)
        self.turns = 0  # of the batch, that is of any element
        if isinstance(steepness, Tensor):
            steepness = steepness.reshape(()).to(like)  # so that it changes neither shape nor type of P

    def steps(self) -> Iterator[tuple[Statement, Tensor, Tensor]]:
        """Run; yield each assignment and each test of a loop after it was done, with P before and after, (...)."""
        yield from self._block(self.program.statements, torch.ones_like(self.remaining))

    def finish(self) -> WhileResult:
        """Run to the end.

        Raises:
            DomainError: a variable is not finite.
        """
        for _ in self.steps():
            pass
        for name, value in self.variables.items():
            if not bool(torch.isfinite(value).all()):
                raise DomainError(name, "an overflow", "a run whose variables stay finite")
        return WhileResult(self.variables, self.iterations, self.remaining)

    def _block(self, statements: tuple[Statement, ...], p: Tensor) -> Iterator[tuple[Statement, Tensor, Tensor]]:
        for statement in statements:
            if isinstance(statement, While):
                yield from self._loop(statement, p)
            else:
                self._assign(statement, p)
                yield statement, p, p

    def _loop(self, loop: While, p: Tensor) -> Iterator[tuple[Statement, Tensor, Tensor]]:
        while True:
            before = p
            # an element at P <= epsilon gets P = 0 and so takes no part in what the others of the batch still do
            p = threshold(p * self.phi(self.variables[loop.variable]), self.epsilon, 0.0)
            if self.turns >= self.bound:  # before that no element can have used up its own turns
                ended = self.iterations >= self.bound
                self.remaining = torch.maximum(self.remaining, p.detach() * ended)
                p = p.masked_fill(ended, 0)
            yield loop, before, p
            taken = p > 0
            if not bool(taken.any()):
                return
            self.turns += 1
            self.iterations = self.iterations + taken
            yield from self._block(loop.body, p)

    def _assign(self, statement: Assign, p: Tensor) -> None:
        """Equations 3 to 5 in one: ``x := P (w (y + change) + b) + (1 - P) x``, with w = 1 and b = 0 if not trained."""
        value = self.variables[statement.source] + statement.change
        if self.affine is not None:
            weight, bias = self.affine
            value = weight[statement.number] * value + bias[statement.number]
        # a lerp is exact at both ends, P = 0 and P = 1
        self.variables[statement.target] = torch.lerp(self.variables[statement.target], value, p)


def _flatten(statements: tuple[Statement, ...]) -> Iterator[Statement]:
    for statement in statements:
        yield statement
        if isinstance(statement, While):
            yield from _flatten(statement.body)


def check_like(name: str, value: Tensor, like: Tensor) -> None:
    """Raise `DeviceError` or `DTypeError`, naming ``value``, unless it lies where ``like`` does and has its type."""
    check_device(**{"the others": like, name: value})
    if value.dtype != like.dtype:
        raise DTypeError(name, str(value.dtype), f"{like.dtype}, as the others")


def _checked(inputs: Mapping[str, Tensor], weight: Tensor | None, *, whole: bool) -> dict[str, Tensor]:
    """The inputs, broadcast to one shape, if they are what a program with these weights can start from."""
    for name, value in inputs.items():
        if not (isinstance(name, str) and VARIABLE.fullmatch(name)):
            raise DomainError("inputs", repr(name), "names of variables: x0, x1, x2, ...")
        check_tensor(name, value, "...", finite=False)
        check_like(name, value, next(iter(inputs.values())) if weight is None else weight)
        check_tensor(name, value, "...")
        if whole and not torch.equal(value, value.round()):
            raise DomainError(name, value[value != value.round()][0].item(), "whole numbers for a hard run")
    try:
        values = torch.broadcast_tensors(*inputs.values()) if inputs else ()
    except RuntimeError as error:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())
        raise ShapeError("inputs", shapes, "shapes that broadcast") from error
    return dict(zip(inputs, values, strict=True))
