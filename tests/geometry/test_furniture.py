"""Chairs, couches and bathtubs: closed manifolds with the exact box and volume that their sizes say."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import DomainError, DTypeError
from labkit.geometry import BathtubShape, ChairShape, CouchShape, Mesh, bathtub, chair, couch


def chair_facts(s: ChairShape) -> tuple[list[float], float]:
    size = [s.seat_width, s.leg_height + s.seat_thickness + s.back_height, s.seat_depth]
    seat = s.seat_width * s.seat_depth * s.seat_thickness
    back = s.seat_width * s.back_height * s.back_thickness
    return size, seat + back + 4 * s.leg_thickness**2 * s.leg_height


def couch_facts(s: CouchShape) -> tuple[list[float], float]:
    seat = s.width * s.depth * (s.seat_height - s.foot_height)
    arms = 2 * s.arm_width * s.depth * (s.arm_height - s.seat_height)
    between = (s.width - 2 * s.arm_width) * s.back_thickness * (s.arm_height - s.seat_height)
    above = s.width * s.back_thickness * (s.back_height - s.arm_height)
    feet = 4 * s.foot_thickness**2 * s.foot_height
    return [s.width, s.back_height, s.depth], seat + arms + between + above + feet


def bathtub_facts(s: BathtubShape) -> tuple[list[float], float]:
    angles = [2 * math.pi * i / s.segments for i in range(s.segments + 1)]
    power = 2 / s.roundness
    # Exact zeros on the axes, which rounding would lift.
    rounded = [(round(math.cos(a), 15), round(math.sin(a), 15)) for a in angles]
    points = [tuple(math.copysign(abs(c) ** power, c) for c in pair) for pair in rounded]
    unit = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise(points)) / 2

    def frustum(a: float, b: float, ratio: float, height: float) -> float:
        return unit * a * b * height * (1 + ratio + ratio**2) / 3

    a, b = s.length / 2, s.width / 2
    at_floor = s.taper + (1 - s.taper) * s.floor / s.height
    hollow = frustum(a - s.wall, b - s.wall, at_floor, s.height - s.floor)
    return [s.length, s.height, s.width], frustum(a, b, s.taper, s.height) - hollow


FAMILIES = [(ChairShape, chair, chair_facts), (CouchShape, couch, couch_facts), (BathtubShape, bathtub, bathtub_facts)]
each_family = pytest.mark.parametrize(("shape", "build", "facts"), FAMILIES, ids=["chair", "couch", "bathtub"])


def solid_of(mesh: Mesh) -> trimesh.Trimesh:
    mesh.validate()
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


def check(solid: trimesh.Trimesh, size: list[float], volume: float, rel: float) -> None:
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.euler_number == 2
    assert solid.body_count == 1
    assert solid.area_faces.min() > 0
    assert solid.volume == pytest.approx(volume, rel=rel)
    width, height, depth = size
    bounds = [-width / 2, 0, -depth / 2, width / 2, height, depth / 2]
    assert solid.bounds.flatten().tolist() == pytest.approx(bounds, rel=rel, abs=1e-12)


@each_family
def test_default_sizes_and_types(shape: type, build: Callable[..., Mesh], facts: Callable[[Any], Any]) -> None:
    single = build()
    assert single.vertices.dtype == torch.float32
    check(solid_of(single), *facts(shape()), rel=1e-5)
    double = build(shape(), dtype=torch.float64)
    assert double.vertices.dtype == torch.float64
    check(solid_of(double), *facts(shape()), rel=1e-11)
    assert len(double.weld().vertices) == len(double.vertices)


@each_family
@settings(max_examples=25)
@given(seed=st.integers(0, 2**40))
def test_every_sample_is_closed_and_exact(
    shape: Any, build: Callable[..., Mesh], facts: Callable[[Any], Any], seed: int
) -> None:
    sample = shape.sample(torch.Generator().manual_seed(seed))
    for field in dataclasses.fields(sample):
        if "range" in field.metadata:
            low, high = field.metadata["range"]
            assert low <= getattr(sample, field.name) <= high
    check(solid_of(build(sample, dtype=torch.float64)), *facts(sample), rel=1e-10)
    check(solid_of(build(sample)), *facts(sample), rel=1e-4)


@each_family
def test_the_corners_of_the_ranges_are_sound(
    shape: Any, build: Callable[..., Mesh], facts: Callable[[Any], Any]
) -> None:
    ranges = {f.name: f.metadata["range"] for f in dataclasses.fields(shape) if "range" in f.metadata}
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        ends = torch.randint(2, (len(ranges),), generator=generator).tolist()
        corner = shape(**{name: pair[end] for (name, pair), end in zip(ranges.items(), ends, strict=True)})
        check(solid_of(build(corner, dtype=torch.float64)), *facts(corner), rel=1e-10)


@each_family
def test_samples_follow_the_seed_and_vary(shape: Any, build: Callable[..., Mesh], facts: Callable[[Any], Any]) -> None:
    first, again = (shape.sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert first == again
    generator = torch.Generator().manual_seed(5)
    several = {shape.sample(generator) for _ in range(10)}
    assert len(several) == 10
    assert torch.equal(build(first).vertices, build(again).vertices)
    assert facts(first) == facts(again)


@each_family
@pytest.mark.parametrize("number", [0.0, -0.1, math.nan, math.inf])
def test_every_size_must_be_positive(
    shape: Any, build: Callable[..., Mesh], facts: Callable[[Any], Any], number: float
) -> None:
    for field in dataclasses.fields(shape):
        with pytest.raises(DomainError) as caught:
            shape(**{field.name: number})
        assert caught.value.argument == field.name
    with pytest.raises(DTypeError):
        shape(**{dataclasses.fields(shape)[0].name: "wide"})


@pytest.mark.parametrize(
    ("shape", "sizes", "name"),
    [
        (ChairShape, {"leg_thickness": 0.225}, "leg_thickness"),
        (ChairShape, {"back_thickness": 0.45}, "back_thickness"),
        (CouchShape, {"arm_width": 0.95}, "arm_width"),
        (CouchShape, {"back_thickness": 0.9}, "back_thickness"),
        (CouchShape, {"foot_thickness": 0.45}, "foot_thickness"),
        (CouchShape, {"foot_height": 0.42}, "foot_height"),
        (CouchShape, {"seat_height": 0.6}, "seat_height"),
        (CouchShape, {"arm_height": 0.85}, "arm_height"),
        (BathtubShape, {"wall": 0.375}, "wall"),
        (BathtubShape, {"floor": 0.55}, "floor"),
        (BathtubShape, {"taper": 1.01}, "taper"),
        (BathtubShape, {"roundness": 0.9}, "roundness"),
        (BathtubShape, {"segments": 6}, "segments"),
        (BathtubShape, {"segments": 8.0}, "segments"),
    ],
)
def test_impossible_sizes_are_refused(shape: Any, sizes: dict[str, float], name: str) -> None:
    with pytest.raises(DomainError) as caught:
        shape(**sizes)
    assert caught.value.argument == name


def test_an_elliptic_bathtub_approaches_the_volume_of_cones() -> None:
    s = BathtubShape(taper=1.0, roundness=2.0, segments=512)
    outer = math.pi * s.length / 2 * s.width / 2 * s.height
    hollow = math.pi * (s.length / 2 - s.wall) * (s.width / 2 - s.wall) * (s.height - s.floor)
    assert solid_of(bathtub(s, dtype=torch.float64)).volume == pytest.approx(outer - hollow, rel=1e-4)


@pytest.mark.parametrize("roundness", [1.0, 3.0, 60.0])
def test_the_outline_of_a_bathtub_is_symmetric(roundness: float) -> None:
    # A power of 2 / 60 would turn a cosine of 6e-17, where 0 is meant, into 0.29.
    corners = bathtub(BathtubShape(roundness=roundness, segments=16), dtype=torch.float64).vertices
    for axis in (0, 2):
        mirrored = corners.clone()
        mirrored[:, axis] *= -1
        distance = (mirrored[:, None] - corners[None]).norm(dim=-1)
        assert distance.amin(1).max() < 1e-12
        assert ((corners[:, axis] == 0) & (corners[:, 2 - axis] != 0)).sum() == 8  # four outlines, two ends each


def inside(mesh: Mesh, points: list[list[float]]) -> list[bool]:
    """By the winding number: the solid angles of all faces seen from a point, over 4 pi (Van Oosterom, Strackee)."""
    corners = mesh.face_vertices() - torch.tensor(points, dtype=torch.float64)[:, None, None]  # (P, F, 3, 3)
    a, b, c = corners.unbind(-2)
    la, lb, lc = (v.norm(dim=-1) for v in (a, b, c))
    above = (a * torch.linalg.cross(b, c)).sum(-1)
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    turns = torch.atan2(above, below).sum(-1) / (2 * math.pi)
    assert (turns - turns.round()).abs().max() < 1e-9
    assert ((turns.round() == 0) | (turns.round() == 1)).all()
    return (turns.round() == 1).tolist()


def test_a_bathtub_is_hollow_and_open_on_top() -> None:
    s = BathtubShape()
    column = [[0, y, 0] for y in (-0.01, s.floor / 2, s.floor * 1.1, s.height * 0.9, s.height * 1.1)]
    assert inside(bathtub(dtype=torch.float64), column) == [False, True, False, False, False]
    rim = [[s.length / 2 - d, s.height * 0.99, 0] for d in (-0.01, s.wall / 2, s.wall + 0.01)]
    assert inside(bathtub(dtype=torch.float64), rim) == [False, True, False]


def test_couch_and_chair_face_forward() -> None:
    s = CouchShape()
    places = [
        [0, s.back_height - 0.05, -s.depth / 2 + 0.1],  # in the back
        [0, s.back_height - 0.05, s.depth / 2 - 0.1],  # where knees would be
        [s.width / 2 - 0.05, s.arm_height - 0.02, s.depth / 2 - 0.01],  # in an arm
        [0, s.arm_height - 0.02, s.depth / 2 - 0.01],  # between the arms
        [0, s.foot_height / 2, 0],  # under the seat
    ]
    assert inside(couch(dtype=torch.float64), places) == [True, False, True, False, False]
    c = ChairShape()
    z = c.seat_depth / 2 - 0.01
    heights = (c.leg_height / 2, c.leg_height + c.seat_thickness / 2, c.leg_height + c.seat_thickness + 0.1)
    assert inside(chair(dtype=torch.float64), [[0, y, -z] for y in heights]) == [False, True, True]
    assert inside(chair(dtype=torch.float64), [[0, y, z] for y in heights]) == [False, True, False]
