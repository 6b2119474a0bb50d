"""The WHILE language of AlgoNet, section 3.1.1: its tokens, its syntax tree, its parser, its error messages.

The grammar, with separators (a line end or ``;``) between statements and keywords in any case::

    program   = statement { separator statement }
    statement = WHILE variable != 0 DO program END
              | variable := variable [ (+ | -) 1 ]
    variable  = x0 | x1 | x2 | ...

A comment runs from ``#`` or ``//`` to the end of the line. The two variables of an assignment may be the same or not:
``x3 := x1 + 1`` is short for ``x3 := x1; x3 := x3 + 1``, in the smooth program as well. Neither a program nor the body
of a loop may be empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.errors import DTypeError, LabError

MAX_DEPTH = 50  # loops inside loops, far from Python's own limit of recursion
VARIABLE = re.compile(r"x(0|[1-9][0-9]*)")
_TOKEN = re.compile(
    r"(?P<blank>[^\S\n]+|(?:#|//)[^\n]*)|(?P<separator>[;\n])|(?P<word>[A-Za-z_0-9]+)|(?P<symbol>:=|!=|.)"
)


class WhileSyntaxError(LabError, ValueError):
    """A text is no WHILE program.

    Args:
        source: the whole text.
        line: where, from 1.
        column: where in that line, from 1.
        got: what stands there.
        expected: what should.
    """

    def __init__(self, source: str, line: int, column: int, got: str, expected: str) -> None:
        super().__init__(f"line {line}, column {column}", got, expected)
        self.source, self.line, self.column = source, line, column

    def __str__(self) -> str:
        excerpt = self.source.split("\n")[self.line - 1].replace("\t", " ")
        return f"{self.args[0]}\n    {excerpt}\n    {'^':>{self.column}}"

    def __reduce__(self) -> tuple[type[WhileSyntaxError], tuple[str, int, int, str, str]]:  # type: ignore[override]
        return type(self), (self.source, self.line, self.column, self.got, self.expected)


@dataclass(frozen=True)
class Assign:
    """``target := source + change``.

    Attributes:
        target, source: names of variables.
        change: -1, 0 or 1.
        number: which assignment of the program this is, from 0, in the order of the text.
        line: from 1.
        text: as written, without what surrounds it.
    """

    target: str
    source: str
    change: int
    number: int
    line: int
    text: str


@dataclass(frozen=True)
class While:
    """``WHILE variable != 0 DO body END``; `line` and `text` are those of its head."""

    variable: str
    body: tuple[Statement, ...]
    line: int
    text: str


Statement = Assign | While


@dataclass(frozen=True)
class _Token:
    text: str
    line: int
    column: int


def parse(source: str) -> tuple[Statement, ...]:
    """The statements of a WHILE program.

    Args:
        source: the text, in the grammar at the head of this file.

    Raises:
        DTypeError: not a string.
        WhileSyntaxError: not a program; the message names line and column and shows the place.
    """
    if not isinstance(source, str):
        raise DTypeError("source", type(source).__name__, "the text of a WHILE program")
    return _Parser(source).block(None, 0)


def _tokens(source: str) -> list[_Token]:
    """All tokens but blanks, keywords in capitals, a separator as a line end, then an empty one for the end."""
    tokens, line, start = [], 1, 0
    for match in _TOKEN.finditer(source):
        text = match[0].upper() if match[0].upper() in ("WHILE", "DO", "END") else match[0]
        if match.lastgroup != "blank":
            text = "\n" if match.lastgroup == "separator" else text
            tokens.append(_Token(text, line, match.start() - start + 1))
        if match[0] == "\n":
            line, start = line + 1, match.end()
    return [*tokens, _Token("", line, len(source) - start + 1)]


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, source: str) -> None:
        self.source, self.tokens, self.position, self.assignments = source, _tokens(source), 0, 0

    @property
    def ahead(self) -> _Token:
        return self.tokens[self.position]

    def error(self, token: _Token, expected: str) -> WhileSyntaxError:
        got = {"": "the end of the program", "\n": "the end of the statement"}.get(token.text, repr(token.text))
        return WhileSyntaxError(self.source, token.line, token.column, got, expected)

    def take(self, accepted: bool, expected: str) -> _Token:
        if not accepted:
            raise self.error(self.ahead, expected)
        self.position += 1
        return self.tokens[self.position - 1]

    def symbol(self, text: str, expected: str) -> _Token:
        return self.take(self.ahead.text == text, expected)

    def variable(self, expected: str = "a variable: x0, x1, x2, ...") -> str:
        return self.take(VARIABLE.fullmatch(self.ahead.text) is not None, expected).text

    def text(self, start: _Token) -> str:
        """The text from a token to the one last taken, which stands in the same line."""
        last = self.tokens[self.position - 1]
        line = self.source.split("\n")[start.line - 1]
        return line[start.column - 1 : last.column - 1 + len(last.text)]

    def block(self, opened: _Token | None, depth: int) -> tuple[Statement, ...]:
        """Statements up to the END of the loop that ``opened`` began, or to the end of the program."""
        statements: list[Statement] = []
        while True:
            while self.ahead.text == "\n":
                self.position += 1
            if self.ahead.text in ("END", ""):
                break
            statements.append(self.loop(depth) if self.ahead.text == "WHILE" else self.assignment())
            if self.ahead.text not in ("\n", "END", ""):
                raise self.error(self.ahead, "a new line or ';' after the statement")
        if self.ahead.text == "END" and opened is None:
            raise self.error(self.ahead, "a WHILE before it")
        if self.ahead.text == "" and opened is not None:
            raise self.error(opened, "an END after it")
        if not statements:
            raise self.error(self.ahead, "at least one statement")
        return tuple(statements)

    def loop(self, depth: int) -> While:
        start = self.take(depth < MAX_DEPTH, f"at most {MAX_DEPTH} loops inside each other")
        variable = self.variable()
        self.symbol("!=", "'!=', the only comparison")
        self.symbol("0", "0, the only number to compare with")
        self.symbol("DO", "DO")
        text = self.text(start)
        body = self.block(start, depth + 1)
        self.symbol("END", "END")
        return While(variable, body, start.line, text)

    def assignment(self) -> Assign:
        start = self.ahead
        target = self.variable("a statement: WHILE, or a variable x0, x1, x2, ... and ':='")
        self.symbol(":=", "':='")
        source = self.variable("a variable x0, x1, x2, ... (one that is never set is 0)")
        change = 0
        if self.ahead.text in ("+", "-"):
            change = 1 if self.ahead.text == "+" else -1
            self.position += 1
            self.symbol("1", "1; repeat the statement for more, or use a loop to add a variable")
        self.assignments += 1
        return Assign(target, source, change, self.assignments - 1, start.line, self.text(start))
