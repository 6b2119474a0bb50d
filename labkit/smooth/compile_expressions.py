"""Expressions of a smooth function: every node of the syntax tree becomes a closure ``(frame, state) -> value``."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DTypeError, LabError
from labkit.smooth.compile_scope import MISSING, Scope, admit, program_of, refuse
from labkit.smooth.program_state import Frame, State, split
from labkit.smooth.soft_functions import CURVES, FUNCTIONS, SoftRange
from labkit.smooth.soft_values import (
    Value,
    arithmetic,
    blend,
    compare,
    entries,
    get_item,
    number,
    truth,
    truth_value,
)

Expression = Callable[[Frame, State], Value]
Target = Callable[[Frame, State, Value], None]

OPERATIONS: dict[type[ast.operator], Callable[..., Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[..., Value]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_INSTEAD: dict[str, str] = {
    "Attribute": "plain names, or a constant or function of math or torch",
    "Constant": "numbers, True or False",
    "Dict": "lists",
    "DictComp": "a list comprehension",
    "In": "a loop with ==",
    "NotIn": "a loop with !=",
    "Is": "== or !=",
    "IsNot": "== or !=",
    "JoinedStr": "numbers",
    "Lambda": "a smooth function with a name",
    "NamedExpr": "an assignment on a line of its own",
    "Set": "lists",
    "SetComp": "a list comprehension",
    "Slice": "a list comprehension over range",
    "Starred": "each entry by name",
}


class ExpressionCompiler(ast.NodeVisitor):
    """Turns expressions into closures and refuses, in the same pass, what lies outside of the language."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def generic_visit(self, node: ast.AST) -> Any:
        """Refuse what no other method takes."""
        kind = type(node).__name__
        raise refuse(node, _INSTEAD.get(kind, "a statement or expression that a smooth function knows"))

    def visit_Constant(self, node: ast.Constant) -> Expression:
        """A number, True or False."""
        if not isinstance(node.value, int | float):
            self.generic_visit(node)
        return lambda frame, state: node.value

    def visit_Name(self, node: ast.Name) -> Expression:
        """A variable, or a constant around the function."""
        name = node.id
        if name in self.scope.own:
            return lambda frame, state: _variable(state, name)
        return lambda frame, state: self._outer(name)

    def _outer(self, name: str) -> Value:
        value = self.scope.find(name)
        if value is MISSING:
            raise LabError(name, "a name that does not exist", "a variable, or a constant outside of the function")
        return admit(name, value)

    def visit_Attribute(self, node: ast.Attribute) -> Expression:
        """A constant of a module such as math.pi."""
        value = self._of_module(node)
        if not isinstance(value, int | float):
            self.generic_visit(node)
        return lambda frame, state: value

    def _of_module(self, node: ast.Attribute) -> Any:
        """What an attribute of math or torch is; MISSING for every other attribute."""
        base = node.value
        module = self.scope.find(base.id) if isinstance(base, ast.Name) and base.id not in self.scope.own else None
        return getattr(module, node.attr, MISSING) if module is math or module is torch else MISSING

    def visit_BinOp(self, node: ast.BinOp) -> Expression:
        """Arithmetic."""
        operation = OPERATIONS.get(type(node.op))
        if operation is None:
            raise refuse(node, "+ - * / // % or **")
        return self.operation(operation, self.visit(node.left), self.visit(node.right))

    def operation(self, operation: Callable[..., Value], left: Expression, right: Expression) -> Expression:
        """The closure of an arithmetic operation; what could be divided by or raised to a power is kept alive."""
        guarded = operation in (operator.truediv, operator.floordiv, operator.mod)

        def run(frame: Frame, state: State) -> Value:
            a, b = left(frame, state), right(frame, state)
            a, b = (state.living(a) if operation is operator.pow else a), (state.living(b) if guarded else b)
            return arithmetic(operation, a, b, frame.settings.softness)

        return run

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Expression:
        """Minus, plus, not."""
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):

            def negate(frame: Frame, state: State) -> Value:
                p = truth(operand(frame, state), frame.settings.softness)
                return truth_value(1 - p if isinstance(p, Tensor) else not p)

            return negate
        if isinstance(node.op, ast.Invert):
            raise refuse(node, "not")
        sign = operator.neg if isinstance(node.op, ast.USub) else operator.pos
        return lambda frame, state: sign(number(operand(frame, state)))

    def visit_Compare(self, node: ast.Compare) -> Expression:
        """Comparisons; a chain is the conjunction of its links."""
        for comparison in node.ops:
            if type(comparison) not in _COMPARISONS:
                raise refuse(node, _INSTEAD[type(comparison).__name__])
        first, *others = (self.visit(operand) for operand in (node.left, *node.comparators))
        links = list(zip((_COMPARISONS[type(op)] for op in node.ops), others, strict=True))

        def run(frame: Frame, state: State) -> Value:
            p: bool | Tensor = True
            left = first(frame, state)
            for operation, operand in links:
                right = operand(frame, state)
                p = _both(p, compare(operation, left, right, frame.settings.softness))
                if p is False:
                    return False
                left = right
            return truth_value(p)

        return run

    def visit_BoolOp(self, node: ast.BoolOp) -> Expression:
        """And, or: the product of the probabilities, and 1 - prod(1 - p); what is certain ends the evaluation."""
        operands = [self.visit(value) for value in node.values]
        stop = isinstance(node.op, ast.Or)

        def run(frame: Frame, state: State) -> Value:
            p: bool | Tensor = True  # of "all so far", for "or" of "none so far"
            for operand in operands:
                t = truth(operand(frame, state), frame.settings.softness)
                p = _both(p, _not(t) if stop else t)
                if p is False:
                    return stop
            return truth_value(_not(p) if stop else p)

        return run

    def visit_IfExp(self, node: ast.IfExp) -> Expression:
        """A conditional expression: both values, blended by the probability of the condition."""
        test, then, otherwise = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)

        def run(frame: Frame, state: State) -> Value:
            condition = truth(test(frame, state), frame.settings.softness)
            yes, no = split(state, condition)
            if yes is None or no is None:
                return then(frame, yes) if yes is not None else otherwise(frame, state)
            return blend(torch.as_tensor(condition), then(frame, yes), otherwise(frame, no))

        return run

    def visit_List(self, node: ast.List) -> Expression:
        """A list; ``*values`` puts all entries of another one in."""
        return self._sequence(node.elts)

    def visit_Tuple(self, node: ast.Tuple) -> Expression:
        """Several values."""
        parts = self._sequence(node.elts)
        return lambda frame, state: tuple(parts(frame, state))

    def _sequence(self, nodes: list[ast.expr]) -> Expression:
        starred = [isinstance(node, ast.Starred) for node in nodes]
        parts = [self.visit(node.value if isinstance(node, ast.Starred) else node) for node in nodes]

        def run(frame: Frame, state: State) -> Value:
            result: list[Value] = []
            for part, several in zip(parts, starred, strict=True):
                value = part(frame, state)
                result += entries(value) if several else [value]
            return result

        return run

    def visit_Subscript(self, node: ast.Subscript) -> Expression:
        """An entry of a list or of a tensor's first dimension."""
        if isinstance(node.slice, ast.Tuple):
            raise refuse(node, "one index in each pair of brackets, such as a[i][j]")
        values, index = self.visit(node.value), self.visit(node.slice)

        def run(frame: Frame, state: State) -> Value:
            certain = not isinstance(state.mass, Tensor)
            return get_item(values(frame, state), index(frame, state), frame.settings.softness, not certain)

        return run

    def visit_ListComp(self, node: ast.ListComp) -> Expression:
        """A list comprehension over lists and plain ranges."""
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> Expression:
        """The same without brackets, inside sum, min or max."""
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> Expression:
        clauses = []
        shadowed = {n.id for c in node.generators for n in ast.walk(c.target) if isinstance(n, ast.Name)}
        inner = type(self)(Scope(self.scope.function, self.scope.own | shadowed))
        for clause in node.generators:
            tests = [inner.visit(test) for test in clause.ifs]
            clauses.append((inner.target(clause.target), inner.visit(clause.iter), tests))
        value = inner.visit(node.elt)

        def turns(frame: Frame, state: State, depth: int) -> list[Value]:
            if depth == len(clauses):
                return [value(frame, state)]
            target, iterable, tests = clauses[depth]
            result = []
            for entry in plain_turns(iterable(frame, state)):
                target(frame, state, entry)
                if all(_certain(test(frame, state)) for test in tests):
                    result += turns(frame, state, depth + 1)
            return result

        return lambda frame, state: turns(frame, State(state.mass, dict(state.variables)), 0)

    def target(self, node: ast.expr) -> Target:
        """The closure that assigns to a name, an entry of a list, or several of these."""
        raise refuse(node, "a plain name")

    def visit_Call(self, node: ast.Call) -> Expression:
        """A call of a known function or of a smooth one."""
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            raise refuse(node, "each argument by itself")
        find = self._callee(node)
        positional = [self.visit(argument) for argument in node.args]
        named = {str(k.arg): self.visit(k.value) for k in node.keywords}

        def run(frame: Frame, state: State) -> Value:
            function = find()
            given = [argument(frame, state) for argument in positional]
            by_name = {name: argument(frame, state) for name, argument in named.items()}
            if (program := program_of(function)) is not None:
                bound = program.signature.bind(*given, **by_name)
                bound.apply_defaults()
                return program.call(frame.settings, state.mass, bound.arguments, frame.callers)
            soft = FUNCTIONS.get(function) if isinstance(function, Hashable) else None
            if soft is None:
                raise LabError(ast.unparse(node.func), "not a smooth function", "one decorated with @smooth_function")
            if function in CURVES:
                given = [state.living(x) for x in given]
            return soft(frame.settings.softness, *given)

        return run

    def _callee(self, node: ast.Call) -> Callable[[], Any]:
        """How to find what is called, refusing at once what can never be."""
        function = node.func
        if isinstance(function, ast.Attribute):
            known = self._of_module(function)
            if known is MISSING:
                raise refuse(node, "a function, not a method; of modules, only math and torch")
        elif not isinstance(function, ast.Name) or function.id in self.scope.own:
            raise refuse(node, "the name of a function")
        elif function.id == self.scope.function.__name__:
            raise refuse(node, "a loop: a smooth function cannot call itself")
        else:
            known = self.scope.find(function.id)
        if known is not MISSING and program_of(known) is None:  # a missing one may be defined before the call
            if not isinstance(known, Hashable) or known not in FUNCTIONS:
                raise refuse(node, "a function decorated with @smooth_function, or a known one such as math.sqrt")
            if node.keywords:
                raise refuse(node, "arguments without names")
        return lambda: known if isinstance(function, ast.Attribute) else self.scope.find(function.id)


def plain_turns(iterable: Value) -> Any:
    """The entries of a list or plain range.

    Raises:
        DTypeError: a soft range, whose number of entries is not certain.
    """
    if isinstance(iterable, SoftRange):
        raise DTypeError("range", "a soft bound", "a plain one, or a for statement")
    return entries(iterable)


def _variable(state: State, name: str) -> Value:
    if name not in state.variables:
        raise LabError(name, "a variable without a value", "an assignment before it is used")
    return state.variables[name]


def _not(p: bool | Tensor) -> bool | Tensor:
    return 1 - p if isinstance(p, Tensor) else not p


def _both(p: bool | Tensor, q: bool | Tensor) -> bool | Tensor:
    if isinstance(p, Tensor) and isinstance(q, Tensor):
        return p * q
    return False if p is False or q is False else q if p is True else p


def _certain(value: Value) -> bool:
    if isinstance(number(value), Tensor):
        raise DTypeError("if of a list", "a soft condition", "one on plain numbers, since a list has a fixed length")
    return bool(value)
