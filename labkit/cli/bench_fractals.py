"""The rows of ``labkit bench`` for fractals: time and memory of splatting points into a picture, with gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from labkit.cli.bench import timed
from labkit.smooth.fractals import Choices, IteratedFunctionSystem, fern
from labkit.smooth.splatting import render_points

SIDE = 256
SIGMA = 1.0
REPEATS = 3


def rows(quick: bool) -> Iterator[str]:
    """One row of text per number of points, after two that say what was measured; ``quick``: 10,000 points only."""
    yield (
        f"Fractal (fern) to {SIDE} x {SIDE} px on {torch.get_num_threads()} CPU threads, torch {torch.__version__}, "
        f"float32, sigma {SIGMA} px, median of {REPEATS}"
    )
    yield "peak: memory of forward and backward beyond the inputs, in a process of its own (dense: 4 bytes a pair)"
    for points in (10_000,) if quick else (10_000, 100_000):
        system = fern()
        choices = system.draw(points, torch.Generator().manual_seed(0))
        forward, both = timed(partial(render, system, choices), REPEATS)
        yield (
            f"{points:7,} points: forward {1e3 * forward:7.1f} ms, with gradients {1e3 * both:7.1f} ms, "
            f"peak {peak(points)}  (dense {4e-6 * points * SIDE**2:7,.0f} MB)"
        )


def render(system: IteratedFunctionSystem, choices: Choices, side: int = SIDE) -> tuple[Tensor]:
    """The orbits and their picture."""
    return (render_points(system.points(choices), (side, side), SIGMA, system.window),)


def peak(points: int) -> str:
    """Peak memory in MB, as text, on Linux; elsewhere "not measured"."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return "not measured (Linux only)"
    found = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY, str(points)], capture_output=True, text=True, check=True
    )
    return f"{float(found.stdout):6.1f} MB"


# A child process, whose peak is set back to its present size once a small picture has loaded everything.
MEASURE_MEMORY = """
import pathlib, re, sys, torch
from labkit.cli.bench_fractals import SIDE, fern, render
def status():
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
def work(choices, side):
    render(system, choices, side)[0].sum().backward()
system, generator = fern(), torch.Generator().manual_seed(0)
choices = system.draw(int(sys.argv[1]), generator)
work(system.draw(100, generator), 8)
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = status()
work(choices, SIDE)
print((status() - before) / 1024)
"""
