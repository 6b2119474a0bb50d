"""What a smooth function may contain, and how it refuses the rest: at definition, with the line."""

from __future__ import annotations

import linecache
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from labkit.errors import DomainError, DTypeError, LabError
from labkit.smooth.smooth_function import SmoothFunction, SmoothSyntaxError, smooth_function

HEAD = "import math\n\nK = [1, 2]\n\n\ndef helper(x):\n    return x\n\n\n"  # nine lines


def define(folder: Path, *body: str, arguments: str = "x, n=2") -> SmoothFunction:
    """The smooth function f of a file, whose ``def`` is line 10 and whose body begins in line 11."""
    path = folder / "program.py"
    path.write_text(HEAD + f"def f({arguments}):\n" + "".join(f"    {line}\n" for line in body), "utf-8")
    linecache.checkcache(str(path))
    names: dict[str, Any] = {}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), names)
    return smooth_function(names["f"])


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("global g", "global g"),
        ("y = lambda z: z", "lambda z: z"),
        ("import os", "import os"),
        ("from os import path", "from os import path"),
        ("del x", "del x"),
        ("assert x > 0", "assert x > 0"),
        ("raise ValueError", "raise ValueError"),
        ("x.append(1)", "x.append(1)"),
        ("y = x.append(1)", "x.append(1)"),
        ("y = x.shape", "x.shape"),
        ("y = math.gamma(x)", "math.gamma(x)"),
        ("y = math", None),
        ("y = f(x)", "f(x)"),
        ("y = helper(x)", "helper(x)"),
        ("y = print(x)", "print(x)"),
        ("y = max(*x)", "max(*x)"),
        ("y = max(x, key=abs)", "max(x, key=abs)"),
        ("y = {1: 2}", "{1: 2}"),
        ("y = {1, 2}", "{1, 2}"),
        ("y = 'text'", "'text'"),
        ("y = f'{x}'", "f'{x}'"),
        ("y = None", "None"),
        ("y = x is n", "x is n"),
        ("y = x in K", "x in K"),
        ("y = x not in K", "x not in K"),
        ("y = x[1:2]", "1:2"),
        ("y = x[1, 2]", "x[1, 2]"),
        ("y = (z := 3)", "(z := 3)"),
        ("y = x @ x", "x @ x"),
        ("y = ~x", "~x"),
        ("x <<= 1", "x <<= 1"),
        ("K[0] = 1", "K[0]"),
        ("a, *b = x", "*b"),
        ("x + 1", "x + 1"),
        ("return", "return"),
        ("y = yield", "(yield)"),
        ("class C: pass", "class C:"),
        ("def g(): return 1", "def g():"),
    ],
)
def test_refused(tmp_path: Path, statement: str, text: str | None) -> None:
    """Each is refused when the function is defined, with its line, its text, and a cure."""
    if text is None:  # a name from outside can change, so it is looked at when the function is called
        with pytest.raises(DTypeError, match="line 12"):
            define(tmp_path, "n = 1", statement, "return n")(1.0)
        return
    with pytest.raises(SmoothSyntaxError) as caught:
        define(tmp_path, "n = 1", statement, "return n")
    assert caught.value.line == 12
    assert caught.value.got == f"`{text}`"
    assert str(caught.value).startswith("line 12: ")
    assert len(caught.value.expected) > 1


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (("try:", "    n = 1", "finally:", "    n = 2", "return n"), 11),
        (("with x:", "    n = 1", "return n"), 11),
        (("while n > 1:", "    n -= 1", "else:", "    n = 3", "return n"), 11),
        (("for i in range(3):", "    n -= 1", "else:", "    n = 3", "return n"), 11),
        (("if x > 1:", "    if x > 2:", "        n = x.y", "return n"), 13),
        (("y = [", "    1,", "    x.y,", "]", "return n"), 13),
        (("match n:", "    case 1:", "        n = 2", "return n"), 11),
        (("if x > 1:", "    return x"), 11),
        (("for i in range(3):", "    return x"), 11),
        (("while True:", "    if x > 1:", "        break"), 11),
        (("pass",), 11),
    ],
)
def test_refused_blocks(tmp_path: Path, body: tuple[str, ...], line: int) -> None:
    """Blocks are refused at their line, and paths that do not return at the last statement."""
    with pytest.raises(SmoothSyntaxError) as caught:
        define(tmp_path, *body)
    assert caught.value.line == line


@pytest.mark.parametrize("arguments", ["*x", "x, **n", "x, steepness"])
def test_refused_arguments(tmp_path: Path, arguments: str) -> None:
    """The arguments are a fixed number, none of them called steepness."""
    with pytest.raises(SmoothSyntaxError, match="line 10"):
        define(tmp_path, "return 1", arguments=arguments)


def test_every_path_returns(tmp_path: Path) -> None:
    """A loop without an end needs no return behind it."""
    f = define(tmp_path, "while True:", "    n = n - 1", "    if n < 0:", "        return n")
    assert f(1.0) == -1
    g = define(tmp_path, "if x > 1:", "    return 1", "else:", "    return 2")
    assert g(3.0) == g.hard(3.0) == 1


def test_notebook_cell() -> None:
    """Source that only Python's line cache knows, as a notebook's, is found, with the cell's own line numbers."""
    name, text = "<cell 1>", "\ndef f(x):\n    return 2 * x\n\ndef g(x):\n    return x.y\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names: dict[str, Any] = {}
    exec(compile(text, name, "exec"), names)
    f = smooth_function(names["f"])
    assert f(torch.tensor(3.0)) == 6
    assert f.source.startswith("def f(x):")
    with pytest.raises(SmoothSyntaxError, match="line 6"):
        smooth_function(names["g"])


def test_no_source() -> None:
    """A function whose text is nowhere, or that is none, is refused."""
    names: dict[str, Any] = {}
    exec("def f(x):\n    return x\n", names)
    with pytest.raises(LabError, match="no source text"):
        smooth_function(names["f"])
    for other in (math.sin, int, 3):
        with pytest.raises(DTypeError):
            smooth_function(other)  # type: ignore[arg-type]
    square = lambda x: x * x  # noqa: E731
    with pytest.raises(LabError):
        smooth_function(square)


def test_settings_are_checked() -> None:
    """Each setting is refused outside of its range."""
    for wrong in ({"steepness": 0.0}, {"family": "none"}, {"epsilon": 1.0}, {"epsilon": -1e-9}, {"max_iterations": 0}):
        with pytest.raises(DomainError):
            smooth_function(**wrong)(test_no_source)  # type: ignore[arg-type]


def test_syntax_error_survives_pickling() -> None:
    """The error can travel between processes."""
    error = pickle.loads(pickle.dumps(SmoothSyntaxError(7, "x.y", "names")))
    assert (error.line, str(error)) == (7, "line 7: got `x.y`, expected names")


def test_local_definition_and_twin() -> None:
    """A function inside of a function sees the values around it as they are when it is called; the twin is itself."""
    factor = 2.0

    def scaled(x: Any) -> Any:
        """Docstring."""
        return factor * x

    f = smooth_function(scaled)
    assert f.hard is scaled
    assert f.__doc__ == "Docstring."
    assert f.__name__ == "scaled"
    assert f(torch.tensor(3.0)) == 6
    factor = 5.0
    assert f(torch.tensor(3.0)) == 15
