"""The parser of WHILE programs: trees, positions, and every message."""

from __future__ import annotations

import pickle

import pytest

from labkit.errors import DTypeError, LabError
from labkit.smooth.while_language import MAX_DEPTH, Assign, While, WhileSyntaxError, parse


def test_tree() -> None:
    """Nesting, numbering, lines and texts of a program with all kinds of statements and comments."""
    source = "# head\nwhile x2 != 0 Do // loop\n\tx3 := x1;; x3:=x3+1 # two\n  While x3!=0 DO x3 := x3 - 1 END\n\nend\n"
    inner = While("x3", (Assign("x3", "x3", -1, 2, 4, "x3 := x3 - 1"),), 4, "While x3!=0 DO")
    first, second = Assign("x3", "x1", 0, 0, 3, "x3 := x1"), Assign("x3", "x3", 1, 1, 3, "x3:=x3+1")
    assert parse(source) == (While("x2", (first, second, inner), 2, "while x2 != 0 Do"),)


def test_other_source_and_line_ends() -> None:
    """``x3 := x1 + 1`` is allowed, many digits too, and so are the line ends of every system."""
    assert parse("x3 := x12 + 1\r\n") == (Assign("x3", "x12", 1, 0, 1, "x3 := x12 + 1"),)


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("", 1, 1, "at least one statement"),
        ("# nothing\n;\n", 3, 1, "at least one statement"),
        ("WHILE x1 != 0 DO\nEND", 2, 1, "at least one statement"),
        ("x0 := x1\nWHILE x1 != 0 DO\n x1 := x1 - 1\n", 2, 1, "an END after it"),
        ("WHILE x1 != 0 DO\n WHILE x2 != 0 DO\n x1 := x1 - 1\nEND", 1, 1, "an END after it"),
        ("x0 := x1\n  END", 2, 3, "a WHILE before it"),
        ("END", 1, 1, "a WHILE before it"),
        ("x0 = x1", 1, 4, "':='"),
        ("x0 : x1", 1, 4, "':='"),
        ("x0", 1, 3, "':='"),
        ("y := x1", 1, 1, "a variable x0, x1"),
        ("X0 := x1", 1, 1, "a variable x0, x1"),
        ("x01 := x1", 1, 1, "a variable x0, x1"),
        ("x0 := 0", 1, 7, "one that is never set is 0"),
        ("x0 :=\nx1", 1, 6, "the end of the statement"),
        ("x0 := x1 + 2", 1, 12, "repeat the statement"),
        ("x0 := x1 + x2", 1, 12, "use a loop to add a variable"),
        ("x0 := x1 + 1 + 1", 1, 14, "a new line or ';'"),
        ("x0 := x1 x2 := x3", 1, 10, "a new line or ';'"),
        ("x0 := x1 * x2", 1, 10, "'*'"),
        ("x0 := x1 \u2212 1", 1, 10, "\u2212"),
        ("WHILE x1 > 0 DO x1 := x1 - 1 END", 1, 10, "'!='"),
        ("WHILE x1 != 1 DO x1 := x1 - 1 END", 1, 13, "the only number"),
        ("WHILE x1 != 0\nx1 := x1 - 1 END", 1, 14, "DO"),
        ("WHILE 3 != 0 DO x1 := x1 - 1 END", 1, 7, "a variable"),
        ("WHILE x1 != 0 DO x1 := x1 - 1 END x0 := x1", 1, 35, "a new line or ';'"),
        ("@", 1, 1, "'@'"),
    ],
)
def test_errors(source: str, line: int, column: int, words: str) -> None:
    """Each error names its place, what stands there, and the cure; the caret stands below the place."""
    with pytest.raises(WhileSyntaxError) as caught:
        parse(source)
    error = caught.value
    assert isinstance(error, LabError)
    assert isinstance(error, ValueError)
    assert (error.line, error.column) == (line, column)
    message, excerpt, caret = str(error).split("\n")
    assert f"line {line}, column {column}" in message
    assert words in message
    assert excerpt == "    " + source.split("\n")[line - 1]
    assert caret.index("^") == 4 + column - 1


def test_error_survives_pickling_and_tabs() -> None:
    """A worker process can send it; a tab is one column wide, in the excerpt as in the count."""
    with pytest.raises(WhileSyntaxError) as caught:
        parse("\tx0 = x1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert str(again).endswith("\n     x0 = x1\n        ^")


def test_depth() -> None:
    """So many loops inside each other are read, and one more is refused before Python's own limit."""

    def nested(depth: int) -> str:
        return "WHILE x1 != 0 DO " * depth + "x1 := x1 - 1" + " END" * depth

    assert parse(nested(MAX_DEPTH))
    with pytest.raises(WhileSyntaxError, match=f"at most {MAX_DEPTH} loops"):
        parse(nested(MAX_DEPTH + 1))


def test_not_a_text() -> None:
    """Bytes are no program."""
    with pytest.raises(DTypeError, match="bytes"):
        parse(b"x0 := x1")  # type: ignore[arg-type]
