"""Paths into a scene: which of its numbers a fit may change, and where they have to stay."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_positive
from labkit.render.views import Scene

SCALES = frozenset({"distance", "half_height", "shininess", "steepness", "opacity", "sigma", "gamma", "tau", "delta"})
"""Fields that are positive and of unknown magnitude: their logarithm is fitted."""

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "colors": (0.0, 1.0),
        "texture": (0.0, 1.0),
        "color": (0.0, math.inf),
        "fov": (0.01, 179.99),  # degrees
        "specular": (0.0, math.inf),
        "roughness": (0.03, 1.0),  # below, float32 does not resolve the highlight
        "metallic": (0.0, 1.0),
        "reflectance": (0.0, 1.0),
    }
)
"""Fields that are clamped to a range after each step, so that a value on its border can be reached and left again."""


class Parameters:
    """The numbers of a scene that a fit changes, as leaves of the graph.

    Args:
        scene: where the numbers come from; it is not changed.
        rates: a learning rate for each path. A path names fields of records and places in lists, with dots between:
            "mesh.vertices", "camera.azimuth", "lights.0.color", "rasterizer.sigma". What lies there is a floating
            tensor, a number, or a list of numbers.

    Raises:
        DomainError: a path leads nowhere, no path, or a learning rate is not positive.
        DTypeError: what lies there is not made of numbers.
    """

    def __init__(self, scene: Scene, rates: Mapping[str, float]) -> None:
        if not rates:
            raise DomainError("parameters", dict(rates), "at least one path")
        for path, rate in rates.items():
            check_positive(f"learning rate of {path}", rate)
        self.rates = dict(rates)
        self.leaves = {path: _leaf(scene, path) for path in rates}

    def into(self, scene: Scene) -> Scene:
        """The scene with the present values, through which gradients reach the leaves."""
        for path, leaf in self.leaves.items():
            scene = replaced(scene, path, leaf.exp() if _name(path) in SCALES else leaf)
        return scene

    def freeze(self, scene: Scene) -> Scene:
        """The scene, as `into` made it, with copies that later steps do not change."""
        for path in self.leaves:
            scene = replaced(scene, path, value_at(scene, path).detach().clone())
        return scene

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring values that left their range back to its border."""
        for path, leaf in self.leaves.items():
            if _name(path) in RANGES:
                leaf.clamp_(*RANGES[_name(path)])


def value_at(scene: Scene, path: str) -> Any:
    """What lies in a scene at a path.

    Raises:
        DomainError: the path leads nowhere; the message lists what there would have been.
    """
    found: Any = scene
    for step in path.split("."):
        if isinstance(found, tuple | list):
            there = {str(place): item for place, item in enumerate(found)}
        elif dataclasses.is_dataclass(found):
            there = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        else:
            there = {}
        if step not in there:
            raise DomainError("path", path, f"in place of {step!r} one of {', '.join(there) or 'nothing'}")
        found = there[step]
    return found


def replaced(record: Any, path: str, value: Any) -> Any:
    """A copy of a record (or tuple) with another value at a path that exists, see `value_at`."""
    step, _, rest = path.partition(".")
    if isinstance(record, tuple | list):
        place = int(step)
        return (*record[:place], replaced(record[place], rest, value) if rest else value, *record[place + 1 :])
    return dataclasses.replace(record, **{step: replaced(getattr(record, step), rest, value) if rest else value})


def _leaf(scene: Scene, path: str) -> Tensor:
    """A copy of the value at a path that gathers gradients: its logarithm for `SCALES`."""
    value = value_at(scene, path)
    if isinstance(value, bool):
        raise DTypeError(path, value, "a tensor or a number")
    if not isinstance(value, Tensor):
        try:
            value = torch.tensor(value, dtype=scene.mesh.vertices.dtype, device=scene.mesh.vertices.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DTypeError(path, repr(value)[:60], "a tensor or a number") from error
    elif not value.is_floating_point():
        raise DTypeError(path, value.dtype, "a floating type")
    value = value.detach()
    return (value.log() if _name(path) in SCALES else value.clone()).requires_grad_()


def _name(path: str) -> str:
    return path.rpartition(".")[2]
