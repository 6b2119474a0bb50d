"""What a fit refuses, and how it stops: every error names its cause, and the last good scene stays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from train.fit_scenes import SIZE, D, pictures, scene, steps

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.render import Hard
from labkit.render.raster.layers import Layers
from labkit.train import fit


class _NaNGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * torch.nan


@dataclass(frozen=True)
class Broken(Hard):
    """A rasterizer whose gradient is NaN."""

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        return super().reference(triangles, _NaNGradient.apply(attributes), size, perspective)


def test_a_gradient_of_nan_stops_the_fit() -> None:
    start = scene(rasterizer=Broken())
    targets = torch.ones(2, 3, *SIZE, dtype=D)
    work = fit(start, targets, {"material.specular": 0.1, "mesh.colors": 0.1})
    with pytest.raises(DomainError, match=r"material\.specular.*at step 1") as caught:
        steps(work)
    assert caught.value.argument == "material.specular"
    assert torch.equal(work.scene.mesh.colors, start.mesh.colors)


def test_a_loss_that_overflows_stops_the_fit() -> None:
    """The term is named, the step too, and the scene is the last one with a loss."""
    start = scene(torch.float32)
    bright = torch.full((2, 3, *SIZE), 10.0)
    work = fit(start, bright, {"lights.0.color": 1e25}, losses={"l1": 1.0, "l2": 1.0})
    with pytest.raises(DomainError, match="l2: got inf at step 1"):
        steps(work)
    assert work.scene.lights[0].color == pytest.approx(0.2)
    assert work.values["l2"] < 200


def test_a_parameter_without_influence_is_named() -> None:
    start = scene()
    work = fit(start, pictures(start), {"camera.half_height": 0.1, "mesh.colors": 0.1})
    with pytest.raises(DomainError, match=r"camera\.half_height.*no gradient at step 1"):
        steps(work)


def test_a_rotation_matrix_is_no_parameter() -> None:
    """Its entries leave the rotations at once, which is said; poses exist for that."""
    goal = scene()
    start = replace(goal, camera=goal.camera.camera())
    work = fit(start, 0 * pictures(goal), {"camera.rotation": 0.01})
    with pytest.raises(DomainError, match=r"rotation: .*at step 1"):
        steps(work)
    assert torch.equal(work.scene.camera.rotation, start.camera.rotation)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"parameters": {}}, DomainError, "parameters"),
        ({"parameters": {"mesh.verts": 0.1}}, DomainError, "in place of 'verts' one of vertices"),
        ({"parameters": {"lights.3.color": 0.1}}, DomainError, "in place of '3' one of 0, 1, 2"),
        ({"parameters": {"mesh.vertices.0": 0.1}}, DomainError, "nothing"),
        ({"parameters": {"mesh.faces": 0.1}}, DTypeError, "mesh.faces"),
        ({"parameters": {"mesh.normals": 0.1}}, DTypeError, "mesh.normals"),
        ({"parameters": {"rasterizer.depth": 0.1}}, DTypeError, "rasterizer.depth"),
        ({"parameters": {"smooth": 0.1}}, DTypeError, "smooth"),
        ({"parameters": {"mesh": 0.1}}, DTypeError, "mesh"),
        ({"parameters": {"mesh.colors": 0.0}}, DomainError, "learning rate of mesh.colors"),
        ({"parameters": {"mesh.colors": math.nan}}, DomainError, "learning rate of mesh.colors"),
        ({"parameters": {"mesh.colors": "fast"}}, DTypeError, "learning rate of mesh.colors"),
        ({"losses": {}}, DomainError, "losses"),
        ({"losses": {"l3": 1.0}}, DomainError, "l3"),
        ({"losses": {"l1": -1.0}}, DomainError, "l1"),
        ({"losses": {"l1": math.inf}}, DomainError, "l1"),
        ({"losses": {"iou": 1.0}, "targets": torch.zeros(2, 3, *SIZE, dtype=D)}, DomainError, "iou"),
        ({"targets": torch.zeros(1, 4, *SIZE, dtype=D)}, ShapeError, "targets"),
        ({"targets": torch.zeros(2, 2, *SIZE, dtype=D)}, ShapeError, "channels"),
        ({"targets": torch.zeros(2, 4, 12, 11, dtype=D)}, ShapeError, "targets"),
        ({"losses": {"l1": "much"}}, DTypeError, "l1"),
        ({"targets": None}, DTypeError, "targets"),
        ({"targets": torch.zeros(4, *SIZE, dtype=D)}, ShapeError, "targets"),
        ({"targets": torch.zeros(2, 4, *SIZE)}, DTypeError, "targets"),
        ({"targets": torch.full((2, 4, *SIZE), math.nan, dtype=D)}, DomainError, "targets"),
        ({"schedules": {"rasterizer.blur": (1.0, 2.0)}}, DomainError, "blur"),
        ({"schedules": {"rasterizer.opacity": (0.0, 2.0)}}, DomainError, "rasterizer.opacity"),
        ({"schedules": {"rasterizer.opacity": (1.0, 2.0, 3.0)}}, DomainError, "rasterizer.opacity"),
        ({"schedules": {"mesh.colors": (1.0, 2.0)}}, DomainError, "mesh.colors"),
        ({"steps": 0}, DomainError, "steps"),
        ({"steps": 2.5}, DomainError, "steps"),
        ({"picture_every": True}, DomainError, "picture_every"),
        ({"final_rate": 0.0}, DomainError, "final_rate"),
        ({"final_rate": 2.0}, DomainError, "final_rate"),
        ({"betas": (0.9, 1.0)}, DomainError, "betas"),
        ({"betas": (0.9,)}, DomainError, "betas"),
    ],
)
def test_errors_come_at_the_call(change: Mapping[str, Any], error: type[LabError], named: str) -> None:
    good = {"targets": pictures(scene()), "parameters": {"mesh.colors": 0.1}}
    with pytest.raises(error) as caught:
        fit(scene(), **(good | change))
    assert named in str(caught.value)
