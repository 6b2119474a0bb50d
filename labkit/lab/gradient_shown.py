"""What the gradient panel shows of one state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from labkit.lab import gradient_field as field
from labkit.lab.gradient_field import Flow, Line, Problem
from labkit.lab.gradient_state import GradientState
from labkit.render.diagnose import Diagnosis, influence, why_zero


@dataclass(frozen=True, eq=False)
class Details:
    """What is found out at rest only.

    Attributes:
        footprints: for each renderer (H, W), how much a pixel changes for one pixel that the chosen vertex moves.
        lines: for each renderer the loss along the line.
        diagnosis: why the gradient of the chosen vertex is zero, in the renderer of the 3D view.
        seen: (V,) the vertices of the visible faces.
    """

    footprints: dict[str, Tensor]
    lines: dict[str, Line]
    diagnosis: Diagnosis
    seen: np.ndarray


@dataclass(frozen=True, eq=False)
class Shown:
    """Everything about one state.

    Attributes:
        state: what it was made from.
        problem: its problem.
        flows: for each renderer the way of the gradient; none while a descent draws.
        lit: the faces of the clicked pixel.
        details: None while dragging.
    """

    state: GradientState
    problem: Problem
    flows: dict[str, Flow]
    lit: list[int]
    details: Details | None


def find_details(state: GradientState, problem: Problem, flows: dict[str, Flow], count: int) -> Details:
    """Footprints, lines of ``count`` places, and the answer to why a gradient is zero."""
    vertex, added = field.chosen(state, problem.mesh), field.direction(state, problem)
    footprints, lines = {}, {}
    for name, flow in flows.items():
        mesh, soft = problem.mesh.replace(vertices=flow.vertices), state.rasterizer(name)
        moved = influence(mesh, problem.camera, problem.size, soft, vertex)  # (2, 4, H, W)
        footprints[name] = moved.square().sum((0, 1)).sqrt()
        lines[name] = field.along(problem, soft, flow.vertices, added, count)
    focus, soft = flows[state.focus], state.rasterizer(state.focus)
    mesh = problem.mesh.replace(vertices=focus.vertices)
    answer = why_zero(mesh, problem.camera, problem.size, soft, vertex, focus.gradient, focus.adjoint)
    return Details(footprints, lines, answer, field.visible(problem, focus.vertices))
