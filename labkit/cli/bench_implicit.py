"""The rows of ``labkit bench`` for implicit surfaces: the network's gradient, sphere tracing, and a step of UDR."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from labkit.errors import check_device, check_tensor
from labkit.geometry.sdf import Field, value_and_gradient
from labkit.nets.appearance import Appearance
from labkit.nets.layers import check_input
from labkit.nets.sdf import SDFNet
from labkit.render.field_rays import check_rays, check_values
from labkit.render.implicit import Tracer, minimum_point, sphere_trace
from labkit.train.distributed import Team
from labkit.train.udr import PRESETS
from labkit.train.udr_config import AppearanceConfig, FieldConfig
from labkit.train.udr_loss import SurfaceLoss
from labkit.train.udr_trainer import UDRTrainer

SIZES = ((128, 256), (512, 1024))  # width and points: where UDR asks for the gradient, at preset cpu and in the paper
REPEATS = 9
WARM_UP = 100  # steps, after which the field is no sphere any more
STEPS = 20  # of UDR, each way
PROFILED = 2  # steps: reading a profile takes longer than to make it

CALLS: Mapping[str, tuple[Callable[..., Any], ...]] = {
    "networks, the rest": (SDFNet.forward, SDFNet.full, Appearance.forward),
    "tracing, the rest": (sphere_trace, minimum_point),
    "validation": (check_tensor, check_device, check_input, check_rays, check_values),
}
"""What is marked for the profiler. Its operations belong to the nearest mark or operation of `PARTS` around them."""
ACTIVATIONS = ("softplus", "softplus_backward", "relu", "threshold_backward", "sigmoid", "sigmoid_", "sigmoid_backward")
PARTS = {
    **dict.fromkeys(("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"), "matrix products"),
    **dict.fromkeys((f"aten::{name}" for name in ACTIVATIONS), "activations"),
    **{title: title for title in CALLS},
}
STARTS = {"Optimizer.": "Adam", "autograd::engine::": "backward, the rest"}


def rows(quick: bool) -> Iterator[str]:
    """Four small tables; ``quick``: fewer steps, and the narrow network only."""
    yield (
        f"Implicit surfaces on {torch.get_num_threads()} CPU threads, torch {torch.__version__}, float32, medians of "
        "runs that take turns"
    )
    yield "f and its gradient, and the derivative of both in the weights, 8 layers"
    for width, points in SIZES[:1] if quick else SIZES:
        yield gradient_row(width, points)
    config = PRESETS["cpu"]
    trainer = UDRTrainer(replace(config, scene=replace(config.scene, unseen=1)), Team(torch.device("cpu")))
    for number in range(WARM_UP // 5 if quick else WARM_UP):
        trainer.step(number + 1)
    yield from tracing_rows(trainer)
    yield from step_rows(trainer, STEPS // 4 if quick else STEPS)
    if not quick:
        wide = replace(config, field=FieldConfig(), appearance=AppearanceConfig())
        step = partial(UDRTrainer(wide, Team(torch.device("cpu"))).step, 1)
        step()
        yield f"  matrix products at the paper's widths {shares(step)['matrix products']:5.1%}"


def alternate(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each of these, run in turns so that a busy machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in seconds.items()}


def gradient_row(width: int, points: int) -> str:
    """The network's own pass against autograd, differentiated twice."""
    net = SDFNet(width)
    x = torch.rand(points, 3, generator=torch.Generator().manual_seed(0)) - 0.5

    def descend(field: Field) -> None:
        f, g = value_and_gradient(field, x)
        (f.sum() + (g.norm(dim=-1) - 1).square().sum()).backward()
        net.zero_grad()

    found = alternate({"own": partial(descend, net), "twice": partial(descend, net.forward)}, REPEATS)
    return (
        f"  width {width:3}, {points:5,} points: own {1e3 * found['own']:6.1f} ms,"
        f" autograd twice {1e3 * found['twice']:6.1f} ms, {found['twice'] / found['own']:.2f}x as fast"
    )


class Counted:
    """A field that knows at how many points it was evaluated."""

    def __init__(self, field: Field) -> None:
        self.field, self.points = field, 0

    def __call__(self, x: Tensor) -> Tensor:
        """f (N,) at points x (N, 3)."""
        self.points += len(x)
        return self.field(x)


def tracing_rows(trainer: UDRTrainer) -> Iterator[str]:
    """The rays of a step through the field of a run: those still on their way only, against all of them."""
    pixels = trainer.pictures.pixels(trainer.batch["pixels"])
    origins, directions = trainer.cameras.views().rays(pixels.view, pixels.pixel)
    tracers = ways(trainer)
    evaluated = {}
    for name, tracer in tracers.items():
        field = Counted(trainer.field)
        sphere_trace(field, origins, directions, tracer)
        evaluated[name] = field.points
    found = alternate(
        {name: partial(sphere_trace, trainer.field, origins, directions, tracer) for name, tracer in tracers.items()},
        REPEATS,
    )
    yield f"sphere tracing of {len(origins):,} rays, the field of preset cpu after some steps"
    for name, seconds in found.items():
        yield (
            f"  {name:<9} {evaluated[name]:7,} evaluations {1e3 * seconds:7.1f} ms"
            f" {found['masked'] / seconds:5.2f}x as fast as masked"
        )


def step_rows(trainer: UDRTrainer, steps: int) -> Iterator[str]:
    """Whole steps of UDR both ways, and where the time of the compact ones goes."""
    loss = cast(SurfaceLoss, trainer.loss)
    tracers = ways(trainer)

    def step(tracer: Tracer) -> None:
        loss.tracer = tracer
        trainer.step(1)

    found = alternate({name: partial(step, tracer) for name, tracer in tracers.items()}, steps)
    yield f"UDR, preset cpu, {len(trainer.batch['pixels']):,} rays a step"
    for name, seconds in found.items():
        yield f"  {name:<9} {1 / seconds:6.1f} steps/s {found['masked'] / seconds:5.2f}x as fast as masked"
    yield "where the time of a compact step goes; what the profiler itself costs is part of the others"
    for name, share in shares(partial(step, tracers["compact"])).most_common():
        yield f"  {name:<32} {share:5.1%}"


def ways(trainer: UDRTrainer) -> dict[str, Tracer]:
    """The tracer of training, following only the rays on their way or all of them."""
    tracer = cast(SurfaceLoss, trainer.loss).tracer
    return {"compact": replace(tracer, compact=True), "masked": replace(tracer, compact=False)}


def shares(work: Callable[[], object]) -> Counter[str]:
    """The shares of the parts of some work in its time, as a profiler sees them."""
    with marked(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED):
            with record_function("the rest"):
                work()
    times: Counter[str] = Counter()
    for event in profiler.events():
        around = event
        while part(around.name) is None and around.cpu_parent is not None:
            around = around.cpu_parent
        times[part(around.name) or "the rest"] += event.self_cpu_time_total
    total = sum(times.values())
    return Counter({name: found / total for name, found in times.items()})


def part(name: str) -> str | None:
    """Which part of a step the operation or mark of this name is, None for those that belong to what is around them."""
    return PARTS.get(name) or next((title for start, title in STARTS.items() if name.startswith(start)), None)


@contextmanager
def marked() -> Iterator[None]:
    """Mark the `CALLS` for the profiler, wherever labkit has imported the functions."""
    titles = {call: title for title, calls in CALLS.items() for call in calls}
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("labkit.")]
    found = [
        (place, name, value)
        for place in (*modules, SDFNet, Appearance)
        for name, value in vars(place).items()
        if isinstance(value, FunctionType) and value in titles
    ]
    for place, name, value in found:
        setattr(place, name, record_function(titles[value])(value))
    try:
        yield
    finally:
        for place, name, value in found:
            setattr(place, name, value)
