"""Statements of a smooth function: each becomes a closure that takes a state in and returns what falls out of its end.

``return`` hands its state to the result, ``break`` and ``continue`` to their loop; then nothing falls out (None).
"""

from __future__ import annotations

import ast
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from labkit.errors import LabError, ShapeError
from labkit.smooth.compile_expressions import OPERATIONS, ExpressionCompiler, Target, plain_turns, refuse
from labkit.smooth.program_state import Frame, Loop, State, join, merge, soften, split
from labkit.smooth.soft_functions import SoftRange
from labkit.smooth.soft_values import Value, compare, entries, set_item, truth

Statement = Callable[[Frame, State], State | None]
Test = Callable[[Frame, State], bool | Tensor]

_INSTEAD: dict[str, str] = {
    "AsyncFor": "for",
    "Assert": "a test outside of the function",
    "AsyncFunctionDef": "a smooth function at the top of the file",
    "ClassDef": "variables and lists",
    "Delete": "nothing: a variable may stay",
    "FunctionDef": "a smooth function at the top of the file",
    "Global": "a variable of the function, returned at its end",
    "Import": "an import at the top of the file",
    "ImportFrom": "an import at the top of the file",
    "Match": "if and elif",
    "Nonlocal": "a variable of the function, returned at its end",
    "Raise": "nothing: a smooth function takes all paths",
    "Try": "if, before what could fail",
    "TryStar": "if, before what could fail",
    "With": "plain statements",
    "AsyncWith": "plain statements",
}


class StatementCompiler(ExpressionCompiler, ast.NodeVisitor):
    """Turns statements into closures and refuses, in the same pass, what lies outside of the language."""

    def generic_visit(self, node: ast.AST) -> Any:
        """Refuse what no other method takes."""
        if type(node).__name__ in _INSTEAD:
            raise refuse(node, _INSTEAD[type(node).__name__])
        return super().generic_visit(node)

    def block(self, body: list[ast.stmt]) -> Statement:
        """Statements one after another, as far as anything falls through; errors name the line."""
        lines = [(node.lineno, ast.unparse(node).split("\n")[0], self.visit(node)) for node in body]

        def run(frame: Frame, state: State) -> State | None:
            for line, text, statement in lines:
                try:
                    after = statement(frame, state)
                except LabError as error:
                    raise frame.locate(error, line, text) from error
                except (ArithmeticError, IndexError, TypeError, ValueError, RuntimeError) as error:
                    unfit = LabError("values", error, "values that this statement can work with")
                    raise frame.locate(unfit, line, text) from error
                if after is None:
                    return None
                state = after
            return state

        return run

    def visit_Pass(self, node: ast.Pass) -> Statement:
        """Nothing."""
        return lambda frame, state: state

    def visit_Expr(self, node: ast.Expr) -> Statement:
        """A docstring."""
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            raise refuse(node, "an assignment, since the value is not used")
        return lambda frame, state: state

    def visit_Assign(self, node: ast.Assign) -> Statement:
        """``a = b = value``."""
        value, targets = self.visit(node.value), [self.target(target) for target in node.targets]

        def run(frame: Frame, state: State) -> State:
            result = value(frame, state)
            for target in targets:
                target(frame, state, result)
            return state

        return run

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Statement:
        """``a: float = value``."""
        if node.value is None:
            return lambda frame, state: state
        return self.visit_Assign(ast.Assign([node.target], node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> Statement:
        """``a += value``."""
        operation = OPERATIONS.get(type(node.op))
        if operation is None:
            raise refuse(node, "+= -= *= /= //= %= or **=")
        target = self.target(node.target)
        total = self.operation(operation, self.visit(node.target), self.visit(node.value))

        def run(frame: Frame, state: State) -> State:
            target(frame, state, total(frame, state))
            return state

        return run

    def target(self, node: ast.expr) -> Target:
        """The closure that assigns to a name, an entry of a list, or several of these."""
        if isinstance(node, ast.Name):
            name = node.id
            return lambda frame, state, value: state.assign(name, value)
        if isinstance(node, ast.Tuple | ast.List):
            targets = [self.target(part) for part in node.elts]

            def unpack(frame: Frame, state: State, value: Value) -> None:
                parts = entries(value)
                if len(parts) != len(targets):
                    raise ShapeError("assignment", f"{len(parts)} values", f"{len(targets)}, one for each name")
                for target, part in zip(targets, parts, strict=True):
                    target(frame, state, part)

            return unpack
        return self._entry(node)

    def _entry(self, node: ast.expr) -> Target:
        """The closure that assigns to ``name[i][j]...``."""
        path: list[ast.expr] = []
        base = node
        while isinstance(base, ast.Subscript):
            path.insert(0, base.slice)
            base = base.value
        if not path or not isinstance(base, ast.Name) or base.id not in self.scope.own:
            raise refuse(node, "a variable or an entry of a list, such as a or a[i]")
        if any(isinstance(index, ast.Tuple) for index in path):
            raise refuse(node, "one index in each pair of brackets, such as a[i][j]")
        values, indices = self.visit(base), [self.visit(index) for index in path]

        def run(frame: Frame, state: State, value: Value) -> None:
            state.check_finite(ast.unparse(node), value)
            certain = not isinstance(state.mass, Tensor)
            where = [index(frame, state) for index in indices]
            set_item(values(frame, state), where, value, frame.settings.softness, not certain, state.dead)

        return run

    def visit_If(self, node: ast.If) -> Statement:
        """Both branches, each with its share of the mass, from the same variables."""
        test, then, otherwise = self._test(node.test), self.block(node.body), self.block(node.orelse)
        leaves = _leaves(node, ast.Return, ast.Break, ast.Continue)

        def run(frame: Frame, state: State) -> State | None:
            condition = test(frame, state)
            yes, no = split(state, condition)
            yes, no = yes and then(frame, yes), no and otherwise(frame, no)
            if yes is None or no is None or leaves:
                return join(yes, no)
            return merge(torch.as_tensor(condition), yes, no, state.mass)

        return run

    def _test(self, node: ast.expr) -> Test:
        value = self.visit(node)
        return lambda frame, state: truth(value(frame, state), frame.settings.softness)

    def visit_While(self, node: ast.While) -> Statement:
        """Turns as long as the mass for which the condition holds is more than epsilon."""
        test = self._test(node.test)
        return self._loop(node, lambda frame, state: itertools.repeat((None, test)))

    def visit_For(self, node: ast.For) -> Statement:
        """Turns over a list, or over a range whose end may be soft."""
        iterable = self.visit(node.iter)

        def turns(frame: Frame, state: State) -> Iterable[tuple[Value, Test | None]]:
            values = iterable(frame, state)
            if isinstance(values, SoftRange):
                return _soft_turns(values, frame)
            return [(value, None) for value in plain_turns(values)]

        return self._loop(node, turns, self.target(node.target))

    def _loop(
        self,
        node: ast.While | ast.For,
        turns: Callable[[Frame, State], Iterable[tuple[Value, Test | None]]],
        target: Target | None = None,
    ) -> Statement:
        """A loop: ``turns`` gives the value of each turn and the test (None: certain) of whether it is taken."""
        if node.orelse:
            raise refuse(node, "statements after the loop instead of else")
        body = self.block(node.body)
        returns = _leaves(node, ast.Return)
        names = _changed(node)

        def run(frame: Frame, state: State) -> State | None:
            current: State | None = state
            left: State | None = None
            like: Tensor | None = None  # set once there are several probable ways out
            taken = 0
            for value, test in turns(frame, state):
                if current is None:
                    break
                inside: State | None = current
                if test is not None:
                    condition = test(frame, current)
                    like = condition if isinstance(condition, Tensor) else like
                    inside, outside = _enter(current, condition, frame.settings.epsilon)
                    if inside is not None and taken == frame.settings.max_iterations:
                        frame.settings.remaining = frame.settings.remaining + inside.mass
                        inside, outside = None, current
                    taken += inside is not None
                    frame.settings.iterations += inside is not None
                    left = join(left, outside)
                current = None
                if inside is None:
                    break
                if target is not None:
                    target(frame, inside, value)
                frame.loops.append(Loop())
                after = body(frame, inside)
                loop = frame.loops.pop()
                if loop.broken is not None and loop.broken.mass is not inside.mass:
                    like = torch.as_tensor(loop.broken.mass)
                current, left = join(after, loop.continued), join(left, loop.broken)
            left = join(left, current)
            if left is None:
                return None
            if like is not None:
                soften(left.variables, names & left.variables.keys(), like)
            return left if returns else State(state.mass, left.variables)

        return run

    def visit_Break(self, node: ast.Break) -> Statement:
        """The state leaves the loop."""

        def run(frame: Frame, state: State) -> None:
            frame.loops[-1].broken = join(frame.loops[-1].broken, state)

        return run

    def visit_Continue(self, node: ast.Continue) -> Statement:
        """The state waits for the next turn."""

        def run(frame: Frame, state: State) -> None:
            frame.loops[-1].continued = join(frame.loops[-1].continued, state)

        return run

    def visit_Return(self, node: ast.Return) -> Statement:
        """The value joins the result with the mass of the state."""
        if node.value is None:
            raise refuse(node, "return with a value")
        value = self.visit(node.value)

        def run(frame: Frame, state: State) -> None:
            result = value(frame, state)
            state.check_finite("result", result)
            frame.returned = join(frame.returned, State(state.mass, {"return": result}))

        return run


def _enter(state: State, condition: bool | Tensor, epsilon: float) -> tuple[State | None, State | None]:
    """The part of a state that takes another turn and the part that leaves, with all mass up to epsilon."""
    if isinstance(condition, bool):
        # a path without any mass has nothing to wait for
        alive = not isinstance(state.mass, Tensor) or bool((state.mass > 0).any())
        return split(state, condition and alive)
    # giving up changes the condition, not the masses, so that all mass goes somewhere
    stays = condition * state.mass > epsilon
    return split(state, torch.where(stays, condition, 0) if bool(stays.any()) else False)


def _soft_turns(values: SoftRange, frame: Frame) -> Iterator[tuple[Value, Test]]:
    """The turns of a soft range: turn k with the probability that its value lies 1/2 or more before the end."""
    before: Tensor | None = None
    for k in itertools.count():
        value = values.start + k * values.step
        margin = 0.5 if values.step > 0 else -0.5
        comparison = operator.lt if values.step > 0 else operator.gt
        p = compare(comparison, value + margin, values.stop, frame.settings.softness)
        reached = torch.as_tensor(p)
        # given that the turn before was reached
        share = reached if before is None else reached / torch.where(before > 0, before, 1)
        yield value, lambda frame, state, share=share: share  # type: ignore[misc]
        before = reached


def _leaves(node: ast.AST, *kinds: type[ast.stmt]) -> bool:
    """Whether a path may leave the statement by one of these kinds, other than out of a loop inside of it."""
    if isinstance(node, ast.While | ast.For):
        kinds = tuple(kind for kind in kinds if kind is ast.Return)
    return isinstance(node, kinds) or any(_leaves(inner, *kinds) for inner in ast.iter_child_nodes(node))


def _changed(node: ast.stmt) -> set[str]:
    """The names that the statement may assign to, or to an entry of."""
    changed = set()
    for inner in ast.walk(node):
        stored = isinstance(getattr(inner, "ctx", None), ast.Store)
        while isinstance(inner, ast.Subscript):
            inner = inner.value
        if stored and isinstance(inner, ast.Name):
            changed.add(inner.id)
    return changed


def always_returns(body: list[ast.stmt]) -> bool:
    """Whether every path through the statements ends in a return (or in a loop without an end)."""
    for node in body:
        if isinstance(node, ast.Return):
            return True
        if isinstance(node, ast.If) and always_returns(node.body) and always_returns(node.orelse):
            return True
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
        if endless and not any(_leaves(inner, ast.Break) for inner in ast.iter_child_nodes(node)):
            return True
    return False
