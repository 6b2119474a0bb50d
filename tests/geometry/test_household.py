"""Tables, benches and lamps: closed manifolds with the exact box, volume and genus that their sizes say."""

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
from labkit.geometry import BenchShape, LampShape, Mesh, TableShape, bench, lamp, mesh_to_voxels, table


def table_facts(s: TableShape) -> tuple[list[float], float]:
    t, under = s.leg_thickness, s.height - s.top_thickness
    outer = (s.width - 2 * s.overhang) * (s.depth - 2 * s.overhang)
    inner = (s.width - 2 * s.overhang - 2 * t) * (s.depth - 2 * s.overhang - 2 * t)
    frame = (outer - inner - 4 * t**2) * s.frame_height
    return [s.width, s.height, s.depth], s.width * s.depth * s.top_thickness + 4 * t**2 * under + frame


def bench_facts(s: BenchShape) -> tuple[list[float], float]:
    seat = s.width * s.depth * s.seat_thickness
    panels = 2 * s.panel_thickness * s.depth * (s.seat_height - s.seat_thickness)
    posts = 2 * s.panel_thickness * s.post_thickness * s.back_height
    rails = 2 * (s.width - 2 * s.panel_thickness) * s.rail_height * s.post_thickness
    return [s.width, s.seat_height + s.back_height, s.depth], seat + panels + posts + rails


def lamp_facts(s: LampShape) -> tuple[list[float], float]:
    unit = s.segments / 2 * math.sin(2 * math.pi / s.segments)  # area of the outline of radius 1

    def frustum(r: float, q: float, height: float) -> float:
        return unit * height * (r * r + r * q + q * q) / 3

    under, plate = s.height - s.shade_height, s.height - s.shade_height / 2
    rim = 0.8 * s.foot_radius + 0.2 * s.stem_radius
    foot = frustum(s.foot_radius, s.foot_radius, s.foot_height / 2) + frustum(s.foot_radius, rim, s.foot_height / 2)
    radii = [s.stem_radius + s.belly * math.sin(math.pi * i / 12) ** 2 for i in range(13)]
    stem = sum(frustum(r, q, (under - s.foot_height) / 12) for r, q in itertools.pairwise(radii))
    stem += frustum(s.stem_radius, s.stem_radius, plate - s.wall / 2 - under)
    top = s.taper * s.shade_radius
    shade = frustum(s.shade_radius, top, s.shade_height)
    shade -= frustum(s.shade_radius - s.wall, top - s.wall, s.shade_height)
    middle, slope = (s.shade_radius + top) / 2 - s.wall, (s.shade_radius - top) / s.shade_height * s.wall / 2
    radius = max(s.shade_radius, s.foot_radius)
    return [2 * radius, s.height, 2 * radius], foot + stem + shade + frustum(middle + slope, middle - slope, s.wall)


FAMILIES = [(TableShape, table, table_facts, 0), (BenchShape, bench, bench_facts, 2), (LampShape, lamp, lamp_facts, 0)]
each_family = pytest.mark.parametrize(("shape", "build", "facts", "genus"), FAMILIES, ids=["table", "bench", "lamp"])


def check(mesh: Mesh, size: list[float], volume: float, genus: int, rel: float) -> None:
    mesh.validate()
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.euler_number == 2 - 2 * genus
    assert solid.body_count == 1
    assert solid.area_faces.min() > 0
    assert solid.volume == pytest.approx(volume, rel=rel)
    width, height, depth = size
    bounds = [-width / 2, 0, -depth / 2, width / 2, height, depth / 2]
    assert solid.bounds.flatten().tolist() == pytest.approx(bounds, rel=rel, abs=1e-12)


@each_family
def test_default_sizes_and_types(
    shape: type, build: Callable[..., Mesh], facts: Callable[..., Any], genus: int
) -> None:
    assert build().vertices.dtype == torch.float32
    check(build(), *facts(shape()), genus, rel=1e-5)
    check(build(shape(), dtype=torch.float64), *facts(shape()), genus, rel=1e-11)


@each_family
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), extreme=st.booleans())
def test_every_sample_is_closed_and_exact(
    shape: Any, build: Callable[..., Mesh], facts: Callable[..., Any], genus: int, seed: int, extreme: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sample = shape.sample(generator)
    ranges = {f.name: f.metadata["range"] for f in dataclasses.fields(sample) if "range" in f.metadata}
    assert all(low <= getattr(sample, name) <= high for name, (low, high) in ranges.items())
    if extreme:  # the corners of the ranges
        ends = torch.randint(2, (len(ranges),), generator=generator).tolist()
        sample = shape(**{name: pair[end] for (name, pair), end in zip(ranges.items(), ends, strict=True)})
    check(build(sample, dtype=torch.float64), *facts(sample), genus, rel=1e-10)
    check(build(sample), *facts(sample), genus, rel=1e-4)


@each_family
def test_sizes_must_be_positive_numbers(
    shape: Any, build: Callable[..., Mesh], facts: Callable[..., Any], genus: int
) -> None:
    for field in dataclasses.fields(shape):
        for number in (0.0, -0.1, math.nan, math.inf):
            with pytest.raises(DomainError) as caught:
                shape(**{field.name: number})
            assert caught.value.argument == field.name
    with pytest.raises(DTypeError):
        shape(**{dataclasses.fields(shape)[0].name: "wide"})
    with pytest.raises(DTypeError):
        build(dtype=torch.int32)


@pytest.mark.parametrize(
    ("shape", "sizes", "name"),
    [
        (TableShape, {"leg_thickness": 0.36}, "leg_thickness"),
        (TableShape, {"overhang": 0.34}, "leg_thickness"),
        (TableShape, {"frame_height": 0.67}, "frame_height"),
        (BenchShape, {"panel_thickness": 0.61}, "panel_thickness"),
        (BenchShape, {"seat_thickness": 0.45}, "seat_thickness"),
        (BenchShape, {"post_thickness": 0.5}, "post_thickness"),
        (BenchShape, {"rail_height": 0.23}, "rail_height"),
        (LampShape, {"taper": 1.01}, "taper"),
        (LampShape, {"foot_height": 0.38}, "foot_height"),
        (LampShape, {"stem_radius": 0.12}, "stem_radius"),
        (LampShape, {"stem_radius": 0.1, "wall": 0.06}, "stem_radius"),
        (LampShape, {"wall": 0.127}, "wall"),
        (LampShape, {"shade_height": 0.03}, "wall"),
        (LampShape, {"segments": 6}, "segments"),
        (LampShape, {"segments": 8.0}, "segments"),
    ],
)
def test_impossible_sizes_are_refused(shape: Any, sizes: dict[str, float], name: str) -> None:
    with pytest.raises(DomainError) as caught:
        shape(**sizes)
    assert caught.value.argument == name


def occupied(mesh: Mesh, points: list[tuple[float, float, float]]) -> list[bool]:
    """Whether the voxels of 2 cm around the points are solid."""
    grid = mesh_to_voxels(mesh, 100, origin=(-1.0, -0.01, -1.0), pitch=0.02)
    return [bool(grid.values[round((x + 1) / 0.02 - 0.5), round((y + 0.01) / 0.02 - 0.5), round((z + 1) / 0.02 - 0.5)])
            for x, y, z in points]  # fmt: skip


def test_what_is_solid_and_what_is_open() -> None:
    b = BenchShape()
    top, rear, front = b.seat_height + b.back_height, -b.depth / 2 + 0.03, b.depth / 2 - 0.03
    assert occupied(bench(), [(0, top - 0.05, rear), (0, top - 0.05, front), (0, 0.42, front)]) == [True, False, True]
    assert occupied(bench(), [(0, 0.2, 0), (0.57, 0.2, 0), (0, 0.51, rear)]) == [False, True, False]
    t = TableShape()
    corner = (t.width / 2 - t.overhang - 0.035, t.depth / 2 - t.overhang - 0.035)
    legs = [(x, 0.3, z) for x in (-corner[0], corner[0]) for z in (-corner[1], corner[1])]
    assert occupied(table(), [*legs, (0, 0.69, 0), (0, 0.62, 0), (0, 0.62, corner[1])]) == [True] * 5 + [False, True]
    s = LampShape()
    plate = s.height - s.shade_height / 2
    above, below = (0, s.height - 0.03, 0), (0.09, s.height - s.shade_height + 0.03, 0)
    wall = (s.shade_radius - 0.03, s.height - s.shade_height + 0.03, 0)
    assert occupied(lamp(), [(0, 0.2, 0), (0, plate, 0), above, below, wall]) == [True, True, False, False, True]
