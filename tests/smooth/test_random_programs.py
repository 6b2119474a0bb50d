"""Random programs: the sharp limit is what Python computes, and a batch is its elements, whatever the syntax."""

from __future__ import annotations

import linecache
import random
from typing import Any

import pytest
import torch

from labkit.smooth.smooth_function import SmoothFunction, smooth_function

NEAR = 1e-4  # two numbers that are compared and lie nearer than this make the input unfit for a sharp limit
STEEP = 1e7


class TieError(Exception):
    """Two numbers were compared that are nearly equal."""


class Watched(float):
    """A number that raises `TieError` when it is compared with one nearby."""

    def _apart(self, other: float) -> float:
        if abs(float(self) - float(other)) < NEAR:
            raise TieError
        return float(other)

    def __lt__(self, other: float) -> bool:
        return float(self) < self._apart(other)

    def __gt__(self, other: float) -> bool:
        return float(self) > self._apart(other)

    def __add__(self, other: float) -> Watched:
        return Watched(float(self) + float(other))

    __radd__ = __add__

    def __sub__(self, other: float) -> Watched:
        return Watched(float(self) - float(other))

    def __rsub__(self, other: float) -> Watched:
        return Watched(float(other) - float(self))

    def __abs__(self) -> Watched:
        return Watched(abs(float(self)))


class Writer:
    """Writes a program with the arguments a, b, c and a list v of three numbers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.loops = 0

    def number(self, depth: int = 0) -> str:
        """An expression."""
        r = self.random
        kind = r.random() if depth < 3 else 0
        if kind < 0.4:
            return r.choice(["a", "b", "c", "v[0]", "v[1]", "v[-1]", "v[k]", f"{r.uniform(-3, 3):.4f}"])
        x, y = self.number(depth + 1), self.number(depth + 1)
        if kind < 0.7:
            return f"({x} {r.choice('+-')} {y})"
        if kind < 0.9:
            return r.choice([f"min({x}, {y})", f"max({x}, {y})", f"abs({x})", "sum(v)", "max(v)"])
        return f"({x} if {self.condition(depth + 1)} else {y})"

    def condition(self, depth: int = 0) -> str:
        """A condition."""
        r = self.random
        kind = r.random() if depth < 3 else 0
        if kind < 0.6:
            return f"{self.number(depth + 1)} {r.choice('<>')} {self.number(depth + 1)}"
        x, y = self.condition(depth + 1), self.condition(depth + 1)
        return r.choice([f"({x} and {y})", f"({x} or {y})", f"not ({x})"])

    def block(self, depth: int = 1, in_loop: bool = False) -> list[str]:
        """Statements, indented by the depth."""
        r = self.random
        lines: list[str] = []
        for _ in range(r.randint(2, 4)):
            kind = r.random() if depth < 4 else 0
            inner = self.block(depth + 1, in_loop or kind >= 0.75) if kind >= 0.5 else []
            if kind < 0.5:
                swap = "v[0], v[1] = v[1], v[0]"
                lines.append(
                    r.choice([f"{r.choice(['a', 'b', 'v[k]', 'v[2]'])} {r.choice(['=', '+='])} {self.number()}", swap])
                )
            elif kind < 0.65:
                leave = r.choice(["break", "continue"]) if in_loop and r.random() < 0.5 else f"return {self.number()}"
                lines += [f"if {self.condition()}:", *inner, f"elif {self.condition()}:", f"    {leave}"]
            elif kind < 0.75:
                lines += [f"if {self.condition()}:", *inner, "else:", f"    c = {self.number()}"]
            else:
                self.loops += 1
                count = f"i{self.loops}"
                plain = [f"for {count} in range(3):", f"    k = {count}"]
                soft = [f"{count} = 0", f"while {count} < 3 and {self.condition()}:", f"    {count} += 1"]
                lines += [*r.choice([plain, soft]), *inner]
        return ["    " + line for line in lines]

    def function(self, name: str) -> SmoothFunction:
        """The program as a smooth function."""
        lines = [
            "def f(a, b, c, v):",
            "    v = list(v)",
            "    k = 0",
            *self.block(),
            "    return a + b - c + v[0] + v[2] - k",
        ]
        text = "\n".join(lines) + "\n"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        names: dict[str, Any] = {}
        exec(compile(text, name, "exec"), names)
        return smooth_function(names["f"])


def test_random_programs() -> None:
    """Of 80 programs on three inputs each, all without a tie agree with Python at high steepness."""
    compared = 0
    for seed in range(80):
        writer = Writer(seed)
        function = writer.function(f"<random program {seed}>")
        data = [[writer.random.uniform(-4, 4) for _ in range(6)] for _ in range(3)]
        for a, b, c, *v in data:
            try:
                hard = function.hard(Watched(a), Watched(b), Watched(c), [Watched(x) for x in v])
            except TieError:
                continue
            a, b, c, *v = (torch.tensor(x, dtype=torch.float64) for x in (a, b, c, *v))
            assert float(function(a, b, c, v, steepness=STEEP)) == pytest.approx(float(hard), rel=1e-4), function.source
            compared += 1
    assert compared > 80


@pytest.mark.parametrize("steepness", [1.0, 100.0])
def test_random_batches(steepness: float) -> None:
    """Three inputs at once give what each gives alone, values and gradients, in 20 programs."""
    for seed in range(20):
        writer = Writer(seed)
        function = writer.function(f"<random program {seed}>")
        data = torch.tensor([[writer.random.uniform(-4, 4) for _ in range(6)] for _ in range(3)], dtype=torch.float64)
        data.requires_grad_()
        results = []
        for inputs in (data, *data):  # (3, 6) and (6,)
            a, b, c, *v = inputs.unbind(-1)
            results.append(torch.as_tensor(function(a, b, c, v, steepness=steepness), dtype=torch.float64))
        together, alone = results[0].expand(3), torch.stack(results[1:])
        torch.testing.assert_close(together, alone, rtol=1e-8, atol=1e-8)  # long sums and products of gates
        if together.requires_grad:
            (g,), (h,) = (torch.autograd.grad(x.sum(), data) for x in (together, alone))
            torch.testing.assert_close(g, h, rtol=1e-6, atol=1e-6)  # slopes as steep as the gates
