"""``labkit bench``: speed tables, each against what there is to compare with, side by side in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import BackendError, DomainError
from labkit.geometry import icosphere
from labkit.render.raster import AlgoNet, rasterize, warm_up
from labkit.render.raster.pixels import pixel_centers
from labkit.render.raster.reference import aggregate
from labkit.scene import Camera

FACES = (320, 1_280, 5_120, 20_480, 69_451)
SIZES = (128, 256)
STEEPNESS = (60.0, 300.0)
OPACITY = (2.0, 50.0)
REFERENCE_PAIRS = 1 << 21  # the dense reference is timed on as many pixels as make this many pairs, then scaled
REPEATS = 3
CHANNELS = 3


@dataclass(frozen=True)
class Bench:
    """Print the speed tables, each row measured side by side with what it is compared with in this run."""

    device: str = "cpu"
    """Where the kernels run; cpu is the only one so far."""
    quick: bool = False
    """Small sizes only: less than a minute instead of many."""
    only: Literal["all", "raster", "renderers", "sorting", "fractals", "implicit", "adversarial"] = "all"
    """The table to print: AlgoNet in many settings, all rasterizers, soft sorting, fractals, implicit surfaces, or the
    parts of the adversarial recipes."""
    mesh: Path | None = None
    """A mesh file on which two rasterizers are also timed at 1,024 pixels."""

    def run(self) -> int:
        """Print the rows as they are measured; return 0."""
        from labkit.cli import (
            bench_adversarial,
            bench_fractals,
            bench_implicit,
            bench_renderers,
            bench_sorting,
        )  # they use the clock of this file

        if self.device != "cpu":
            raise BackendError("device", repr(self.device), "'cpu', the only device with a streaming kernel so far")
        tables: dict[str, Callable[[bool], Iterator[str]]] = {
            "raster": rows,
            "renderers": partial(bench_renderers.rows, mesh=self.mesh),
            "sorting": bench_sorting.rows,
            "fractals": bench_fractals.rows,
            "implicit": bench_implicit.rows,
            "adversarial": bench_adversarial.rows,
        }
        for line in chain.from_iterable(tables[name](self.quick) for name in tables if self.only in ("all", name)):
            print(line, flush=True)
        return 0


def rows(quick: bool) -> Iterator[str]:
    """The table of the rasterizer: kernel against reference, then memory; ``quick``: up to 1,280 faces."""
    warm_up()
    counts = FACES[:2] if quick else FACES
    yield from chain(header(), speed(counts), memory(counts[:2] if quick else (5_120, 20_480)))


def header() -> Iterator[str]:
    """What was measured, where."""
    yield (
        f"AlgoNet on {torch.get_num_threads()} CPU threads, torch {torch.__version__}, float32, median of {REPEATS}. "
        "A sphere fills the picture."
    )
    yield "pairs: pixel-face pairs that the kernel evaluates forward. M/s: of them by the kernel alone, at best."
    yield f"reference: the dense torch renderer on pixels that make {REFERENCE_PAIRS:,} pairs, scaled to the picture."
    yield (
        f"{'faces':>7} {'px':>4} {'s':>4} {'o':>3} | {'forward':>10} {'+backward':>10} {'pairs':>8} {'M/s':>6}"
        f" {'of dense':>8} | {'reference':>10} {'+backward':>10} | {'faster':>7} {'+backward':>9}"
    )


def speed(counts: tuple[int, ...]) -> Iterator[str]:
    """One row per number of faces, picture size, steepness and opacity."""
    for count in counts:
        triangles = sphere(count)
        attributes = torch.rand(1, count, 3, CHANNELS, generator=torch.Generator().manual_seed(0))
        for side in SIZES:
            for steepness in STEEPNESS:
                for opacity in OPACITY:
                    yield row(triangles, attributes, side, AlgoNet(steepness, opacity))


def row(triangles: Tensor, attributes: Tensor, side: int, rasterizer: AlgoNet) -> str:
    """Measure one setting."""
    from labkit.render.raster.stream import measure  # needs numba, which other commands do not

    count, size = triangles.shape[1], (side, side)
    forward, both = timed(lambda: rasterize(triangles, attributes, size, rasterizer, backend="kernel"), REPEATS)
    with torch.no_grad():
        faces = rasterizer.prepare(triangles.double(), attributes.double(), True)
    pairs, kernel = measure(faces, size, repeats=10 if forward < 0.1 else REPEATS)
    chosen = max(1, min(side * side, REFERENCE_PAIRS // count))
    pixels = pixel_centers(size, triangles.dtype, triangles.device)
    pixels = pixels[torch.linspace(0, side * side - 1, chosen).long()]
    scale = side * side / chosen
    dense, dense_both = (
        scale * seconds
        for seconds in timed(lambda: aggregate(rasterizer.prepare(triangles, attributes, True), pixels), 1)
    )
    return (
        f"{count:7,} {side:4} {rasterizer.steepness:4.0f} {rasterizer.opacity:3.0f} |"
        f" {1e3 * forward:7.1f} ms {1e3 * both:7.1f} ms {pairs / 1e6:6.1f} M {pairs / kernel / 1e6:6.0f}"
        f" {pairs / count / side**2:8.1%} | {dense:8.2f} s {dense_both:8.2f} s |"
        f" {dense / forward:6.0f}x {dense_both / both:8.0f}x"
    )


def timed(work: Callable[[], Sequence[Tensor]], repeats: int) -> tuple[float, float]:
    """Median seconds of some work, such as a picture, and of the work with the gradients of all its results."""
    forward, both = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        results = work()
        forward.append(time.perf_counter() - start)
        torch.stack([result.sum() for result in results]).sum().backward()
        both.append(time.perf_counter() - start)
    return median(forward), median(both)


def sphere(count: int) -> Tensor:
    """The first ``count`` faces of the smallest icosphere that has them, as a camera sees them: (1, F, 3, 3)."""
    levels = [level for level in range(8) if 20 * 4**level >= count]
    if not levels:
        raise DomainError("count", count, "at most 327,680 faces")
    mesh = icosphere(levels[0])
    camera = Camera.orbit(30.0, 20.0, 2.8, fov=50.0)
    return camera.project(mesh.vertices)[mesh.faces[:count]][None].requires_grad_()


def memory(counts: tuple[int, ...]) -> Iterator[str]:
    """Peak memory of forward and backward, each in a process of its own, for some face counts and picture sizes."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        yield "peak memory is measured on Linux only"
        return
    yield "peak memory of kernel forward and backward beyond the inputs, s = 300, o = 2 (dense: 4 bytes a pair)"
    for count in counts:
        for side in (512, 1024):
            found = subprocess.run(
                [sys.executable, "-c", MEASURE_MEMORY, str(count), str(side)],
                capture_output=True,
                text=True,
                check=True,
            )
            dense = 4e-6 * count * side**2
            yield f"{count:7,} faces {side:4} px: {float(found.stdout):6.1f} MB  (dense {dense:9,.0f} MB)"


# A child process, whose peak is set back to its present size once everything is loaded.
MEASURE_MEMORY = """
import pathlib, re, sys, torch
from labkit.cli.bench import CHANNELS, sphere
from labkit.render.raster import AlgoNet, rasterize, warm_up
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
count, side = map(int, sys.argv[1:])
warm_up()
triangles, attributes = sphere(count), torch.ones(1, count, 3, CHANNELS)
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = peak()
color, alpha = rasterize(triangles, attributes, (side, side), AlgoNet(300.0, 2.0), backend="kernel")
(color.sum() + alpha.sum()).backward()
print((peak() - before) / 1024)
"""
