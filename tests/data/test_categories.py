"""Categories: by number and nothing else, millions of different samples, closed, in one piece, tubs hollow."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from labkit.data.categories import CATEGORIES, COUNT, Category, RandomCubes, stream
from labkit.errors import DomainError, DTypeError

PINNED = {  # first size and number of voxels of 32 of sample 12345 with seed 3, the same in every process
    "chair": (0.5309774998796102, 2058),
    "couch": (1.872112721534787, 3536),
    "bathtub": (1.4194927743375623, 1832),
    "table": (1.0635477082036648, 2048),
    "car": (3.8939687092434285, 2960),
    "airplane": (31.395243376566107, 633),
    "lamp": (0.7021660824033611, 1492),
    "bench": (1.5192526085202547, 760),
}
each_category = pytest.mark.parametrize("name", CATEGORIES)
SOURCES: list[Any] = [*map(Category, CATEGORIES), Category("bathtub", wall=3), RandomCubes()]
each_source = pytest.mark.parametrize("source", SOURCES, ids=[*CATEGORIES, "wall", "cubes"])


@each_category
def test_samples_depend_on_their_number_alone(name: str) -> None:
    category = Category(name, seed=3)
    first, voxels = PINNED[name]
    category.sizes(1)
    assert dataclasses.astuple(category.sizes(12345))[0] == pytest.approx(first, rel=1e-12)
    # A centre on the surface may fall to either side where another machine rounds otherwise.
    assert int(category.voxels(12345, 32).values.sum()) == pytest.approx(voxels, rel=0.005)
    assert torch.equal(category.mesh(12345).vertices, Category(name, "train", 3).mesh(12345).vertices)


def test_cubes_depend_on_their_number_alone() -> None:
    place = (0.625502447237142, 0.05001032710437784, 0.6604593696115619)
    assert RandomCubes(3).sizes(12345).low[0] == pytest.approx(place, rel=1e-12)
    assert int(RandomCubes(3).voxels(12345, 32).values.sum()) == pytest.approx(5504, rel=0.005)
    counts = [len(RandomCubes().sizes(index).low) for index in range(300)]
    assert set(counts) == set(range(3, 9))


@each_source
def test_ten_thousand_samples_differ(source: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    indices = {*torch.randint(COUNT, (10_000,), generator=generator).tolist(), 0, COUNT - 1}
    assert len({source.sizes(index) for index in indices}) == len(indices)


@each_category
def test_train_and_test_share_nothing(name: str) -> None:
    def first_thousand(split: Any, seed: int) -> set[Any]:
        category = Category(name, split, seed)
        return {category.sizes(index) for index in range(1000)}

    sets = [first_thousand(split, seed) for seed in (0, 1) for split in ("train", "test")]
    assert len(set.union(*sets)) == 4000


@settings(max_examples=50)
@given(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1), st.integers(-(2**40), 2**40), st.integers(0, 2**40))
def test_no_train_stream_is_a_teststream(one: int, other: int, seed: int, other_seed: int) -> None:
    train = [stream("chair", "train", seed, index).initial_seed() for index in (one, other)]
    test = [stream("chair", "test", other_seed, index).initial_seed() for index in (one, other)]
    assert (train[0] == train[1]) == (one == other)
    assert max(train) < COUNT <= min(test) <= max(test) < 2**32  # a generator's whole seed


@each_source
def test_meshes_are_closed_and_in_the_common_frame(source: Any) -> None:
    for index in range(0, 40, 4):
        mesh = source.mesh(index).validate()
        assert mesh.vertices.dtype == torch.float32
        solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
        if not isinstance(source, RandomCubes):  # boxes may touch in an edge, where four faces meet
            assert solid.is_watertight
        assert solid.is_winding_consistent
        assert solid.volume > 0
        assert solid.bounds.sum(0) == pytest.approx(0, abs=1e-6)
        assert (solid.bounds[1] - solid.bounds[0]).max() == pytest.approx(0.95, rel=1e-6)


@each_category
@pytest.mark.parametrize("resolution", [32, 64])
def test_voxels_are_in_one_piece(name: str, resolution: int) -> None:
    for index in range(0, COUNT, COUNT // 8):
        grid = Category(name, "test").voxels(index, resolution)
        assert grid.values.dtype == torch.bool
        assert grid.values.shape == (resolution,) * 3
        assert (grid.origin, grid.pitch) == ((-0.5, -0.5, -0.5), 1 / resolution)
        assert ndimage.label(grid.values.numpy())[1] == 1
        occupied = grid.values.nonzero()
        extent = (occupied.amax(0) - occupied.amin(0) + 1).max()
        assert extent == pytest.approx(0.95 * resolution, abs=1.5)


@each_category
def test_voxels_follow_the_mesh(name: str) -> None:
    category = Category(name)
    solid = trimesh.Trimesh(category.mesh(5).vertices.numpy(), category.mesh(5).faces.numpy(), process=False)
    volume = sum(body.volume for body in solid.split())  # counts overlaps of parts twice
    shares = {"car": 0.93, "airplane": 0.93}
    grid = category.voxels(5, 128)
    assert float(grid.volume()) == pytest.approx(shares.get(name, 1.0) * volume, rel=0.07 if name in shares else 0.03)


@pytest.mark.parametrize("wall", [2, 3, 4])
@pytest.mark.parametrize("index", [0, 17, 2**30])
def test_walls_of_tubs_are_as_thick_as_told(wall: int, index: int) -> None:
    solid = Category("bathtub", wall=wall).voxels(index).values
    height = solid.any(0).any(-1).nonzero().squeeze(-1)  # occupied layers
    bottom, top = int(height.min()), int(height.max())
    for y in range(bottom + wall, top + 1):
        for middle in (31, 32):
            for line in (solid[:, y, middle], solid[middle, y, :]):  # along x and along z, through the middle
                changes = line.int().diff(prepend=torch.zeros(1, dtype=torch.int32)).nonzero().squeeze(-1)
                thick = changes.diff()[::2].tolist()
                assert thick == [wall, wall]
        outside = ndimage.label(~solid[:, y].numpy())[1]
        assert outside == 2  # around the tub, and the hollow inside
    assert solid[32, bottom : bottom + wall, 32].all()
    assert not solid[32, bottom + wall :, 32].any()


def test_a_tub_without_a_wall_is_hollow_too() -> None:
    for index in range(5):
        solid = Category("bathtub").voxels(index).values
        layers = solid.any(0).any(-1).nonzero().squeeze(-1)
        middle = int(layers.float().mean())
        assert ndimage.label(~solid[:, middle].numpy())[1] == 2


@each_category
def test_sizes_stay_within_their_family(name: str) -> None:
    record = Category(name).sizes(0)
    for field in dataclasses.fields(record):
        if "range" in field.metadata:
            values = torch.tensor([getattr(Category(name).sizes(index), field.name) for index in range(200)])
            low, high = values.min().item(), values.max().item()
            family_low, family_high = field.metadata["range"]
            assert family_low <= low < high
            assert high <= family_high * 1.7  # thin things are drawn thicker, never thinner
            assert high - low > 0.3 * (family_high - family_low)


def test_errors() -> None:
    with pytest.raises(DomainError, match="name"):
        Category("boat")
    with pytest.raises(DomainError, match="split"):
        Category("chair", "validation")  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="seed"):
        Category("chair", seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="seed"):
        RandomCubes(True)
    with pytest.raises(DomainError, match="wall"):
        Category("chair", wall=2)
    for wall in (0, 9):
        with pytest.raises(DomainError, match="wall"):
            Category("bathtub", wall=wall)
    with pytest.raises(DTypeError, match="wall"):
        Category("bathtub", wall=2.0)  # type: ignore[arg-type]
    for source in (Category("lamp"), RandomCubes()):
        for index in (-1, COUNT):
            with pytest.raises(DomainError, match="index"):
                source.mesh(index)
        for wrong in (1.0, math.nan, True, "1"):
            with pytest.raises(DTypeError, match="index"):
                source.sizes(wrong)  # type: ignore[arg-type]
        for resolution in (0, 513):
            with pytest.raises(DomainError, match="resolution"):
                source.voxels(0, resolution)
        with pytest.raises(DTypeError, match="resolution"):
            source.voxels(0, 32.0)  # type: ignore[arg-type]
