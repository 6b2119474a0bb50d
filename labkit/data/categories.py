"""Procedural categories of shapes: thousands of millions of samples each, by number, split into train and test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from labkit.errors import DomainError, DTypeError
from labkit.geometry import furniture, household, vehicles
from labkit.geometry.mesh import Mesh
from labkit.geometry.shapes import box_union
from labkit.geometry.voxels import VoxelGrid, mesh_to_voxels

Split = Literal["train", "test"]
EXTENT = 0.95
"""Longest edge of a shape's bounding box, in the cube of edge 1 that it lies in."""

ORIGIN = (-0.5, -0.5, -0.5)
"""Corner of that cube."""

COUNT = 1 << 31
"""Samples of a category and split."""

_FAMILIES: dict[str, tuple[Any, Callable[..., Mesh]]] = {
    "chair": (furniture.ChairShape, furniture.chair),
    "couch": (furniture.CouchShape, furniture.couch),
    "bathtub": (furniture.BathtubShape, furniture.bathtub),
    "table": (household.TableShape, household.table),
    "car": (vehicles.CarShape, vehicles.car),
    "airplane": (vehicles.AirplaneShape, vehicles.airplane),
    "lamp": (household.LampShape, household.lamp),
    "bench": (household.BenchShape, household.bench),
}
CATEGORIES = tuple(_FAMILIES)

_SOLID: dict[str, dict[str, tuple[float, float]]] = {  # ranges of what would be lost between the voxels of a 32 grid
    "chair": {"seat_thickness": (0.042, 0.09), "leg_thickness": (0.042, 0.07), "back_thickness": (0.042, 0.07)},
    "couch": {"foot_height": (0.08, 0.15), "foot_thickness": (0.08, 0.13)},
    "bathtub": {"wall": (0.065, 0.1), "floor": (0.065, 0.1)},
}


@dataclass(frozen=True)
class Category:
    """Shapes of one kind, each a function of its number alone.

    Sizes are drawn uniformly from the ranges that the family's record states (see `labkit.geometry`), except that what
    is thinner than a voxel of a 32 grid is drawn thicker, so that no grid of 32 or more loses a part. The number and
    the split together are the seed of the sample's own random stream, a permutation of all 2^32 that there are: no two
    samples of a category, and none of train and test, also under another ``seed``, share a stream.

    Args:
        name: one of `CATEGORIES`.
        split: "train" or "test".
        seed: reorders the samples of each split.
        wall: None, or for a bathtub the thickness of its walls and its floor, in voxels of a 64 grid, in [1, 8]; its
            walls are then upright, so that they are as thick everywhere.

    Raises:
        DomainError, DTypeError: an argument out of range or of the wrong type.
    """

    name: str
    split: Split = "train"
    seed: int = 0
    wall: int | None = None

    def __post_init__(self) -> None:
        if self.name not in CATEGORIES:
            raise DomainError("name", repr(self.name), " or ".join(CATEGORIES))
        stream(self.name, self.split, self.seed, 0)
        if self.wall is None:
            return
        if self.name != "bathtub":
            raise DomainError("wall", self.wall, f"None: only bathtubs have such walls, not a {self.name}")
        if not 1 <= check_whole("wall", self.wall) <= 8:
            raise DomainError("wall", self.wall, "1 to 8 voxels of a 64 grid")

    def sizes(self, index: int) -> Any:
        """The record of sizes of a sample, in metres: a `ChairShape`, `CouchShape` and so on.

        Args:
            index: 0 to 2^31 - 1.

        Raises:
            DomainError, DTypeError: ``index`` out of range or not a whole number.
        """
        generator = stream(self.name, self.split, self.seed, index)
        sizes = _FAMILIES[self.name][0].sample(generator)
        for name, (low, high) in _SOLID.get(self.name, {}).items():
            share = torch.rand((), generator=generator, dtype=torch.float64).item()
            sizes = replace(sizes, **{name: low + share * (high - low)})
        if self.wall is not None:
            thickness = self.wall / 64 * sizes.length / EXTENT
            sizes = replace(sizes, wall=thickness, floor=thickness, taper=1.0)
        return sizes

    def mesh(self, index: int) -> Mesh:
        """The float32 mesh of a sample: its bounding box around the origin, the longest edge 0.95, front towards +z.

        Args:
            index: see `sizes`, which also says what is raised.
        """
        return framed(_FAMILIES[self.name][1](self.sizes(index), dtype=torch.float64)).to(dtype=torch.float32)

    def voxels(self, index: int, resolution: int = 64) -> VoxelGrid:
        """The solid voxels of a sample's mesh in the cube [-0.5, 0.5]^3: (R, R, R) bool.

        Args:
            index: see `sizes`.
            resolution: R, voxels per axis, 1 to 512.

        Raises:
            DomainError, DTypeError: an argument out of range or not a whole number.
        """
        return voxels_of(self.mesh(index), resolution)


@dataclass(frozen=True)
class Cubes:
    """A heap of boxes: ``low`` and ``high`` are their smallest and largest corners, in a cube of edge 1."""

    low: tuple[tuple[float, float, float], ...]
    high: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class RandomCubes:
    """Unions of 3 to 8 random boxes, to train a renderer on shapes that mean nothing; methods as of `Category`.

    Edges are drawn uniformly from 0.1 to 0.5, places within a cube of edge 1; the union is then scaled as any shape is.

    Args:
        seed: reorders the samples.

    Raises:
        DTypeError: ``seed`` is not a whole number.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        stream("cubes", "train", self.seed, 0)

    def sizes(self, index: int) -> Cubes:
        """The boxes of a sample, see `Category.sizes`."""
        generator = stream("cubes", "train", self.seed, index)
        count = int(torch.randint(3, 9, (), generator=generator))
        edge, place = torch.rand(2, count, 3, generator=generator, dtype=torch.float64)
        edge = 0.1 + 0.4 * edge
        low = place * (1 - edge)
        return Cubes(*(tuple(map(tuple, corner.tolist())) for corner in (low, low + edge)))

    def mesh(self, index: int) -> Mesh:
        """The outer surface of a sample, see `Category.mesh`; boxes that touch nothing stand apart."""
        cubes = self.sizes(index)
        corners = (torch.tensor(corner, dtype=torch.float64) for corner in (cubes.low, cubes.high))
        return framed(box_union(*corners)).to(dtype=torch.float32)

    def voxels(self, index: int, resolution: int = 64) -> VoxelGrid:
        """See `Category.voxels`."""
        return voxels_of(self.mesh(index), resolution)


def framed(mesh: Mesh, name: str = "mesh") -> Mesh:
    """The mesh moved and scaled into the common frame: its bounding box around the origin, the longest edge 0.95.

    Raises:
        DomainError: no extent.
    """
    if not len(mesh.faces):
        raise DomainError(name, "no faces", "a mesh with a size")
    vertices = mesh.vertices.double()  # which holds all differences and quotients of float32
    used = vertices[mesh.faces.flatten()]  # a vertex that no face uses has no place in the picture
    low, high = used.amin(0), used.amax(0)
    extent = (high - low).max()
    if not float(extent) > 0:
        raise DomainError(name, "all faces at one point", "a mesh with a size")
    return mesh.replace(vertices=((vertices - (low + high) / 2) * (EXTENT / extent)).to(mesh.vertices))


def check_whole(name: str, value: object) -> int:
    """Return ``value`` if it is a whole number, else raise `DTypeError`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DTypeError(name, type(value).__name__, "a whole number")
    return value


def stream(name: str, split: str, seed: int, index: int) -> torch.Generator:
    """The random stream of a sample. A generator tells 32 bits of seeds apart: 31 for the index, one for the split."""
    if split not in ("train", "test"):
        raise DomainError("split", repr(split), "'train' or 'test'")
    if not 0 <= check_whole("index", index) < COUNT:
        raise DomainError("index", index, f"0 to {COUNT - 1}")
    digest = hashlib.sha256(f"{name} {check_whole('seed', seed)}".encode()).digest()
    number = index ^ int.from_bytes(digest[:4], "little") % COUNT
    return torch.Generator().manual_seed(number + COUNT * (split == "test"))


def voxels_of(mesh: Mesh, resolution: int) -> VoxelGrid:
    """The solid voxels of a mesh in the cube [-0.5, 0.5]^3, see `Category.voxels`."""
    pitch = 1 / max(check_whole("resolution", resolution), 1)  # what is below 1 is refused by name
    return mesh_to_voxels(mesh, resolution, origin=ORIGIN, pitch=pitch)
