"""DIB-R's table of what has a gradient in which renderer, measured: each gradient against finite differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from labkit.events import Event, Step
from labkit.geometry import Mesh, icosphere
from labkit.lab.shootout_scene import NAMES, contenders
from labkit.render import Rasterizer, render
from labkit.scene import Ambient, Camera, Directional, Phong

Verdict = Literal["right", "jumps", "wrong", "absent"]
Row = tuple[str, str]

SIDE = 20  # pixels of the tiny picture
DIRECTIONS = 6  # in which a gradient is compared
NEAR = 1e-6  # of a direction: small enough that no pixel changes its face
EXACT = 1e-4  # relative error up to which a gradient is right
ALIKE = 0.95  # cosine from which a gradient also foretells a visible move
TINY = 1e-14  # a gradient or a change below it is none
CAMERA = (25.0, 20.0, 3.0, 45.0)  # azimuth, elevation, field of view in degrees; distance in world units
CAMERA_UNITS = (6.0, 6.0, 0.35, 5.0)  # each moves the outline by about a pixel

ROWS: tuple[Row, ...] = (
    ("vertex positions", "silhouette"),
    ("vertex positions", "colours"),
    ("vertex colours", "colours"),
    ("texture", "colours"),
    ("texture coordinates", "colours"),
    ("light", "colours"),
    ("material", "colours"),
    ("camera", "silhouette"),
    ("camera", "colours"),
)
"""What is changed, and which part of the picture answers."""

VISIBLE: Mapping[str, float] = MappingProxyType(
    {
        "vertex positions": 0.06,  # world units: half a pixel
        "vertex colours": 0.1,
        "texture": 0.1,
        "texture coordinates": 0.02,
        "light": 0.1,
        "material": 0.1,
        "camera": 0.5,
    }
)
"""How far each entry goes in a move that one can see."""

CLAIMED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "N3MR (surrogate)": frozenset({"vertex positions", "texture", "light"}),
        "SoftRas": frozenset({"vertex positions", "texture"}),
        "DIB-R": frozenset({"vertex positions", "vertex colours", "texture", "texture coordinates", "light"}),
    }
)
"""The ticks of DIB-R's Table 1 for its rivals' code of 2019 (SoftRas is its row SoftRas-Colour)."""


@dataclass(frozen=True)
class Check:
    """One gradient against differences.

    Attributes:
        error: |derivatives - differences| / |differences| over some directions, at an infinitesimal step; infinite
            where the gradient is not 0 and the differences are.
        agreement: cosine between the derivatives and the differences of a move that one can see.
        verdict: "right"; "jumps": right between the jumps of the picture, but blind to them; "wrong"; "absent": no
            gradient at all, though the picture does change.
    """

    error: float
    agreement: float
    verdict: Verdict


def parts(seed: int) -> dict[str, Tensor]:
    """The numbers of a tiny scene (float64) by what they are; light: direction, colour; material: specular, shininess
    over 10; camera: see `CAMERA_UNITS`."""
    stream = torch.Generator().manual_seed(seed)
    ball = icosphere(0, torch.float64).vertices

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=stream, dtype=torch.float64)

    return {
        "vertex positions": 0.9 * ball + 0.1 * random(*ball.shape),
        "vertex colours": 0.2 + 0.6 * random(len(ball), 3),
        "texture": 0.2 + 0.6 * random(3, 6, 6),
        "texture coordinates": 0.1 + 0.8 * random(len(ball), 2),
        "light": torch.tensor([0.5, 0.7, 0.8, 0.3, 0.25, 0.2], dtype=torch.float64),
        "material": torch.tensor([0.4, 0.8], dtype=torch.float64),
        "camera": torch.zeros(4, dtype=torch.float64),
    }


def answer(row: Row, value: Tensor, scene: Mapping[str, Tensor], rasterizer: Rasterizer) -> Tensor:
    """One number of the picture, a fixed smoothly weighted mean of its pixels, with ``value`` put in for the row."""
    part, seen = row
    numbers = {**scene, part: value}
    textured = part in ("texture", "texture coordinates")
    mesh = Mesh(
        numbers["vertex positions"],
        icosphere(0).faces,
        uv=numbers["texture coordinates"] if textured else None,
        texture=numbers["texture"] if textured else None,
        colors=None if textured else numbers["vertex colours"],
    )
    view = value.new_tensor(CAMERA) + value.new_tensor(CAMERA_UNITS) * numbers["camera"]
    azimuth, elevation, distance, fov = view.unbind()
    picture = render(
        mesh,
        Camera.orbit(azimuth, elevation, distance, fov=fov),
        (SIDE, SIDE),
        rasterizer,
        Phong(numbers["material"][0], 10 * numbers["material"][1]),
        [Ambient(0.7), Directional(numbers["light"][:3], numbers["light"][3:])],
        shading="phong" if rasterizer.deferrable else "gouraud",
        backend="reference",
    )
    found = picture.alpha if seen == "silhouette" else picture.color
    knots = torch.rand(1, found.shape[1], 4, 4, generator=torch.Generator().manual_seed(1), dtype=found.dtype)
    return (found * interpolate(knots, (SIDE, SIDE), mode="bilinear")).mean()


def check(row: Row, scene: Mapping[str, Tensor], rasterizer: Rasterizer, stream: torch.Generator) -> Check:
    """Measure one gradient in random directions, all entries moving by +-1 times the step."""
    start = scene[row[0]]
    ways = torch.rand(DIRECTIONS, *start.shape, generator=stream, dtype=start.dtype).sub(0.5).sign()

    def differences(step: float) -> Tensor:
        with torch.no_grad():
            ends = [[answer(row, start + sign * step * way, scene, rasterizer) for sign in (1, -1)] for way in ways]
        return torch.stack([(above - below) / (2 * step) for above, below in ends])  # (DIRECTIONS,)

    free = start.clone().requires_grad_()
    result = answer(row, free, scene, rasterizer)
    gradient = torch.autograd.grad(result, free)[0] if result.requires_grad else torch.zeros_like(start)
    derivatives = (gradient * ways).flatten(1).sum(1)
    near, far = differences(NEAR), differences(VISIBLE[row[0]])
    error = float((derivatives - near).norm() / near.norm()) if float(near.norm()) > TINY else float("inf")
    agreement = float(torch.cosine_similarity(derivatives, far, dim=0, eps=1e-30))
    if not bool(gradient.abs().max() > TINY):
        return Check(error, agreement, "absent" if float(far.norm()) > TINY else "right")
    if not error < EXACT:
        return Check(error, agreement, "wrong")
    return Check(error, agreement, "right" if agreement > ALIKE else "jumps")


@dataclass(eq=False)
class Table:
    """All checks, filled row by row.

    Args:
        width: of the soft edges, pixels.
        seed: of the scene and the directions.

    Attributes:
        found: the checks so far, by row and name of the renderer.
    """

    width: float = 3.0
    seed: int = 0
    found: dict[tuple[Row, str], Check] = field(default_factory=dict)

    def run(self) -> Iterator[Event]:
        """Measure; one `Step` a check, with its error and its agreement."""
        scene, rasterizers = parts(self.seed), contenders(self.width, (SIDE, SIDE))
        total = len(ROWS) * len(NAMES)
        for number, (row, name) in enumerate(((row, name) for row in ROWS for name in NAMES), 1):
            stream = torch.Generator().manual_seed(self.seed)
            one = self.found[row, name] = check(row, scene, rasterizers[name], stream)
            yield Step(number, total, {"error": one.error, "agreement": one.agreement})
