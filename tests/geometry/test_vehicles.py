"""Cars and airplanes: closed parts in one piece, of the stated sizes, with the right things in the right places."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from labkit.errors import DomainError, DTypeError
from labkit.geometry import AirplaneShape, CarShape, Mesh, VoxelGrid, airplane, car, mesh_to_voxels

FAMILIES = [(CarShape, car, 6), (AirplaneShape, airplane, 6)]
each_family = pytest.mark.parametrize(("shape", "build", "parts"), FAMILIES, ids=["car", "airplane"])


def check(mesh: Mesh, parts: int) -> None:
    mesh.validate()
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    bodies = solid.split(only_watertight=False)
    assert len(bodies) == parts
    assert all(body.is_watertight and body.euler_number == 2 and body.volume > 0 for body in bodies)
    assert solid.bounds[0, 1] == pytest.approx(0, abs=1e-5)
    assert solid.bounds[:, 0].sum() == pytest.approx(0, abs=1e-4)


@each_family
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), extreme=st.booleans())
def test_every_sample_is_closed_and_one_piece(
    shape: Any, build: Callable[..., Mesh], parts: int, seed: int, extreme: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sample = shape.sample(generator)
    ranges = {f.name: f.metadata["range"] for f in dataclasses.fields(sample) if "range" in f.metadata}
    if extreme:  # the corners of the ranges
        ends = torch.randint(2, (len(ranges),), generator=generator).tolist()
        sample = shape(**{name: pair[end] for (name, pair), end in zip(ranges.items(), ends, strict=True)})
    check(build(sample), parts)
    check(build(sample, dtype=torch.float64), parts)
    grid = mesh_to_voxels(build(sample), 64).values.numpy()
    assert ndimage.label(grid)[1] == 1


@each_family
def test_default_types_and_sizes_must_be_positive_numbers(shape: Any, build: Callable[..., Mesh], parts: int) -> None:
    assert build().vertices.dtype == torch.float32
    assert torch.equal(build().vertices, build(shape()).vertices)
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
        (CarShape, {"belt_height": 1.48}, "belt_height"),
        (CarShape, {"clearance": 0.8}, "clearance"),
        (CarShape, {"wheel_width": 0.9}, "wheel_width"),
        (CarShape, {"wheel_radius": 0.5}, "wheel_radius"),
        (CarShape, {"boot": 0.75}, "boot"),
        (CarShape, {"bonnet": 1.0}, "boot"),
        (CarShape, {"wheelbase": 1.0}, "wheelbase"),
        (CarShape, {"roof": 1.0}, "roof"),
        (CarShape, {"roof_width": 1.1}, "roof_width"),
        (CarShape, {"nose": 1.0}, "nose"),
        (AirplaneShape, {"radius": 6.0}, "radius"),
        (AirplaneShape, {"thickness": 4.0}, "thickness"),
        (AirplaneShape, {"sweep": 60.0}, "sweep"),
        (AirplaneShape, {"dihedral": 60.0}, "dihedral"),
        (AirplaneShape, {"wing_place": 1.0}, "wing_place"),
        (AirplaneShape, {"engine_place": 1.0}, "engine_place"),
        (AirplaneShape, {"span": 4.0}, "span"),
        (AirplaneShape, {"tail_span": 4.0}, "tail_span"),
        (AirplaneShape, {"engine_place": 0.18}, "engine_place"),
    ],
)
def test_impossible_sizes_are_refused(shape: Any, sizes: dict[str, float], name: str) -> None:
    with pytest.raises(DomainError) as caught:
        shape(**sizes)
    assert caught.value.argument == name


def at(grid: VoxelGrid, x: float, y: float, z: float) -> bool:
    index = [int((c - o) // grid.pitch) for c, o in zip((x, y, z), grid.origin, strict=True)]
    return bool(grid.values[tuple(index)])


def test_a_car_has_a_cabin_a_bonnet_and_wheels() -> None:
    s = CarShape()
    grid = mesh_to_voxels(car(), 128)
    low, high = (t.tolist() for t in (car().vertices.amin(0), car().vertices.amax(0)))
    assert (low[1], high[1]) == pytest.approx((0, s.height), abs=1e-5)
    assert (low[2], high[2]) == pytest.approx((-s.length / 2, s.length / 2))
    middle = (s.belt_height + s.height) / 2
    assert at(grid, 0, middle, -0.3)  # in the cabin
    assert not at(grid, 0, middle, s.length * 0.35)  # above the bonnet, in front
    assert at(grid, 0, s.belt_height * 0.7, s.length * 0.35)  # in the bonnet
    axle, side = s.wheelbase * s.length / 2, s.width / 2 - 0.05
    for x in (-side, side):
        assert all(at(grid, x, 0.06, z) for z in (-axle, axle))
        assert not at(grid, x, 0.06, 0)
    assert not at(grid, 0, 0.06, axle)  # between the wheels


def test_an_airplane_has_swept_wings_a_tail_and_engines() -> None:
    s = AirplaneShape()
    mesh = airplane()
    grid = mesh_to_voxels(mesh, 128)
    solid = grid.values.numpy()
    centres = grid.centers().numpy()
    low, high = (t.tolist() for t in (mesh.vertices.amin(0), mesh.vertices.amax(0)))
    assert (low[0], high[0]) == pytest.approx((-s.span / 2, s.span / 2), rel=1e-5)
    assert high[2] == pytest.approx(s.length / 2, rel=1e-5)
    assert low[2] == pytest.approx(-s.length / 2, abs=0.5)  # the fin's tip may reach beyond
    beam = np.abs(centres[..., 0])
    tips, roots = (centres[..., 2][solid & (beam > d) & (beam < d + 1)] for d in (0.45 * s.span, 1.5 * s.radius))
    wings = roots[roots > -s.length / 4]  # without the tailplane
    assert tips.mean() < wings.mean() - 0.8 * math.tan(math.radians(s.sweep)) * (0.45 * s.span - 1.5 * s.radius)
    top = centres[..., 2][solid & (centres[..., 1] > high[1] - 2)]
    assert top.max() < -s.length / 4  # the highest part is the fin, at the rear
    bottom = beam[solid & (centres[..., 1] < low[1] + 0.6)]
    assert bottom.mean() == pytest.approx(s.engine_place * s.span / 2, abs=0.5)  # the lowest are the engines
