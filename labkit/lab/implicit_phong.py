"""One surface point under the Phong light of UDR's equation 3, and what four renderers can know about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from labkit.data.phong_views import PhongScene
from labkit.lab.state import between

RENDERERS: MappingProxyType[str, str] = MappingProxyType(
    {"M(x), called DVR": "", "M(x, n), called DRnoV": "n", "M(x, v)": "v", "M(x, n, v), UDR": "nv"}
)
"""Which of n and v each renderer sees beside x."""
STEPS = 61  # angles along each side of a map
WIDEST = 45.0  # degrees to either side: so the camera never sees the back of the surface
COLOR = (0.9, 0.55, 0.25)  # of the surface, O_d; highlights are white
FAR = 2.0  # world units from the point to the light


@dataclass(frozen=True)
class PhongState:
    """Two situations at the same surface point x: angles in degrees from the vertical, positive to the right.

    Attributes:
        normal, view: where the normal points and where the camera stands.
        first_normal, first_view: the same in situation (a), which the other is compared with.
        light: where the light stands, 2 world units away.
        diffuse, specular: k_d and k_s.
        shininess: n_s.
    """

    normal: float = between(20.0, -WIDEST, WIDEST)
    view: float = between(30.0, -WIDEST, WIDEST)
    first_normal: float = between(0.0, -WIDEST, WIDEST)
    first_view: float = between(30.0, -WIDEST, WIDEST)
    light: float = between(-30.0, -80.0, 80.0)
    diffuse: float = between(0.6, 0.0, 1.0)
    specular: float = between(0.6, 0.0, 1.0)
    shininess: float = between(20.0, 1.0, 200.0)


def compass(degrees: Tensor) -> Tensor:
    """Unit vectors (..., 3) in the plane of the drawing at angles from the vertical."""
    angle = torch.deg2rad(degrees)
    return torch.stack([angle.sin(), angle.cos(), torch.zeros_like(angle)], -1)


def seen(state: PhongState, normal: Tensor, view: Tensor) -> Tensor:
    """The colour (..., 3) that reaches the camera from x, clipped to [0, 1] as in a picture.

    Args:
        state: light and material; its other angles are not used.
        normal, view: angles in degrees that broadcast.
    """
    normals, towards = (compass(angle).reshape(-1, 3) for angle in torch.broadcast_tensors(normal, view))
    scene = PhongScene(
        kd=state.diffuse,
        ks=state.specular,
        light=FAR * compass(normal.new_tensor(state.light)),
        shininess=state.shininess,
        diffuse_color=COLOR,
    )
    color = scene.radiance(torch.zeros_like(normals), normals, -towards).clamp(0, 1)
    return color.reshape(*torch.broadcast_shapes(normal.shape, view.shape), 3)


def known(kind: str, colors: Tensor) -> Tensor:
    """The map that is nearest to ``colors`` (N, V, 3) in the mean square among those the renderer can make.

    Args:
        kind: which of n (rows) and v (columns) it sees, a value of `RENDERERS`.
        colors: over all angles of the normal and of the camera.
    """
    blind = [axis for axis, name in enumerate("nv") if name not in kind]
    return colors.mean(blind, keepdim=True).expand_as(colors) if blind else colors


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one renderer can do about the two situations.

    Attributes:
        changed: which of its arguments differ between them, of "x", "n" and "v"; x never does.
        answers: (2, 3) the colours in (a) and (b): exact if it can tell them apart, else their mean twice.
        error: mean absolute difference of ``answers`` from the truth.
    """

    changed: str
    answers: Tensor
    error: float


def judge(state: PhongState) -> tuple[Tensor, dict[str, Verdict]]:
    """The true colours (2, 3) of the two situations, and the verdict on each renderer."""
    normals, views = (torch.tensor(pair, dtype=torch.float64) for pair in _pairs(state))
    truth = seen(state, normals, views)
    differs = {"n": state.normal != state.first_normal, "v": state.view != state.first_view}
    verdicts = {}
    for name, kind in RENDERERS.items():
        changed = "".join(argument for argument in kind if differs[argument])
        answers = truth if changed else truth.mean(0, keepdim=True).expand(2, 3)
        verdicts[name] = Verdict(changed, answers, float((answers - truth).abs().mean()))
    return truth, verdicts


def maps(state: PhongState) -> dict[str, tuple[Tensor, float]]:
    """The best map (STEPS, STEPS, 3) over normal and camera angles of each renderer, and its root mean square error."""
    angles = torch.linspace(-WIDEST, WIDEST, STEPS, dtype=torch.float64)
    truth = seen(state, angles[:, None], angles)
    found = {name: known(kind, truth) for name, kind in RENDERERS.items()}
    return {name: (best, math.sqrt(float((best - truth).square().mean()))) for name, best in found.items()}


def _pairs(state: PhongState) -> tuple[tuple[float, float], tuple[float, float]]:
    return (state.first_normal, state.normal), (state.first_view, state.view)
