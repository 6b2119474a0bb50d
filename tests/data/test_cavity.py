"""The cavity: hand-made boxes, a loop over voxels, and the categories."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from labkit.data.categories import Category
from labkit.data.cavity import cavity_occupancy, fill_layers
from labkit.errors import DomainError, DTypeError, LabError, ShapeError


def box(wall: int = 2, size: int = 16) -> Tensor:
    """An open box of outer size 12 x 10 x 12 with walls and floor of that thickness, (S, S, S) bool."""
    solid = torch.zeros(size, size, size, dtype=torch.bool)
    solid[2:14, 3:13, 2:14] = True
    solid[2 + wall : 14 - wall, 3 + wall :, 2 + wall : 14 - wall] = False
    return solid


def batch(*solids: Tensor) -> Tensor:
    """(B, 1, S, S, S) occupancies, not quite 0 and 1."""
    return torch.stack(solids)[:, None] * 0.6 + 0.2


def slow(solid: Tensor, floor: float, margin: int) -> tuple[int, int]:
    """Region and filled voxels, one at a time."""
    size = len(solid)
    front, side, top = solid.any(2), solid.any(0), solid.any(1)  # (x, y), (y, z), (x, z)
    heights = [y for y in range(size) if bool(solid[:, y].any())]
    if not heights:
        return 0, 0
    start = heights[0] + floor * (heights[-1] + 1 - heights[0])

    def hull(x: int, y: int, z: int) -> bool:
        return min(x, z) >= 0 and max(x, z) < size and bool(front[x, y] & side[y, z] & top[x, z])

    near = range(-margin, margin + 1)
    inside = [
        (x, y, z)
        for x in range(size)
        for y in range(size)
        for z in range(size)
        if y >= start and all(hull(x + a, y, z + b) for a in near for b in near)
    ]
    return len(inside), sum(bool(solid[at]) for at in inside)


def test_open_box_by_hand() -> None:
    """Of 10 layers the upper 5, of 12 x 12 voxels the inner 8 x 8: empty in the box, full in the block."""
    full = fill_layers(box())
    half = box()
    half[4:14, 3:13, 2:8] = True  # one end filled: 8 x 4 of the 8 x 8
    found = cavity_occupancy(batch(box(), full, half))
    assert found.region.tolist() == [320, 320, 320]
    assert found.filled.tolist() == [0, 320, 160]
    assert found.occupancy.tolist() == [0, 1, 0.5]
    assert found.occupancy.dtype == torch.float64
    deep = cavity_occupancy(batch(box()), floor=0.1)  # the layers from 4 on: one of floor, 8 of hollow
    assert (deep.region.tolist(), deep.filled.tolist()) == ([576], [64])
    thick = cavity_occupancy(batch(box(3)))  # a ring of walls of 1 voxel inside the margin
    assert thick.filled.tolist() == [(64 - 36) * 5]
    assert cavity_occupancy(batch(box(3)), margin=3).filled.tolist() == [0]


def test_couch_by_hand() -> None:
    """Between the arms, above the seat, in front of the back; the open front does not matter."""
    couch = torch.zeros(16, 16, 16, dtype=torch.bool)
    couch[1:15, 0:4, 2:14] = True  # seat
    couch[1:3, 4:8, 2:14] = couch[13:15, 4:8, 2:14] = True  # arms
    couch[1:15, 4:8, 2:4] = True  # back, no higher than the arms
    found = cavity_occupancy(batch(couch, couch | couch.any(1, keepdim=True) & couch.any(0).any(1)[None, :, None]))
    assert found.region.tolist() == [4 * 10 * 8] * 2
    assert found.occupancy.tolist() == [0, 1]


@pytest.mark.parametrize(("floor", "margin"), [(0.0, 0), (0.5, 1), (0.3, 2), (0.75, 0)])
def test_against_a_loop_over_voxels(floor: float, margin: int, generator: torch.Generator) -> None:
    """Blobs that have no shape at all, an empty and a full grid."""
    blobs = [torch.rand(7, 7, 7, generator=generator) > share for share in (0.99, 0.9, 0.6, -1.0, 2.0)]
    found = cavity_occupancy(batch(*blobs), floor=floor, margin=margin)
    wanted = [slow(blob, floor, margin) for blob in blobs]
    assert list(zip(found.region.tolist(), found.filled.tolist(), strict=True)) == wanted
    assert len(found.occupancy) == sum(region > 0 for region, _ in wanted)


@pytest.mark.parametrize("resolution", [32, 64])
def test_categories(resolution: int) -> None:
    """Real tubs are hollow, filled ones are full; couches are between the two only by their arms and backs."""
    tubs = [Category("bathtub").voxels(n, resolution).values for n in range(4)]
    assert cavity_occupancy(batch(*tubs)).occupancy.tolist() == [0] * 4
    assert cavity_occupancy(batch(*map(fill_layers, tubs))).occupancy.tolist() == [1] * 4
    couches = batch(*(Category("couch").voxels(n, resolution).values for n in range(4)))
    assert float(cavity_occupancy(couches).occupancy.mean()) < 0.3


def test_fill_layers() -> None:
    """What a layer encloses is filled, what leads out by a side step is not, and nothing is taken away."""
    ring = torch.zeros(6, 1, 6, dtype=torch.bool)
    ring[1:5, 0, 1:5] = True
    ring[2:4, 0, 2:4] = False
    filled = ring.clone()
    filled[2:4, 0, 2:4] = True
    assert torch.equal(fill_layers(ring), filled)
    ring[1, 0, 2] = False  # a gate
    assert torch.equal(fill_layers(ring), ring)
    corner = torch.ones(3, 1, 3, dtype=torch.bool)
    corner[1, 0, 1] = corner[0, 0, 0] = False  # the hole touches the way out by an edge only
    assert bool(fill_layers(corner)[1, 0, 1])
    spiral = torch.ones(7, 2, 7, dtype=torch.bool)
    spiral[0:6, 0, 5] = spiral[5, 0, 1:6] = spiral[1:6, 0, 1] = spiral[1, 0, 1:4] = spiral[1:4, 0, 3] = False
    assert torch.equal(fill_layers(spiral), spiral)
    tall = torch.zeros(4, 3, 4, dtype=torch.bool)
    assert torch.equal(fill_layers(tall), tall)


def test_silhouettes_stay() -> None:
    """From the three axes a filled box looks like the open one."""
    solid, filled = box(), fill_layers(box())
    assert int(filled.sum()) == 12 * 10 * 12
    for axis in range(3):
        assert torch.equal(solid.any(axis), filled.any(axis))


@pytest.mark.parametrize(
    ("grids", "fields", "error"),
    [
        (torch.zeros(1, 4, 4, 4), {}, ShapeError),
        (torch.zeros(1, 1, 4, 4, 5), {}, ShapeError),
        (torch.zeros(1, 1, 0, 0, 0), {}, ShapeError),
        (torch.zeros(1, 1, 4, 4, 4).bool(), {}, DTypeError),
        (torch.full((1, 1, 4, 4, 4), torch.nan), {}, DomainError),
        (torch.zeros(1, 1, 4, 4, 4), {"level": 1.0}, DomainError),
        (torch.zeros(1, 1, 4, 4, 4), {"floor": -0.1}, DomainError),
        (torch.zeros(1, 1, 4, 4, 4), {"margin": -1}, DomainError),
        (torch.zeros(1, 1, 4, 4, 4), {"margin": 5}, DomainError),
    ],
)
def test_errors(grids: Tensor, fields: dict[str, Any], error: type[LabError]) -> None:
    """Nothing that is no batch of occupancies is measured."""
    with pytest.raises(error):
        cavity_occupancy(grids, **fields)


def test_errors_of_fill_layers() -> None:
    """Occupancies and batches are refused."""
    for wrong in (torch.zeros(4, 4, 4), torch.zeros(1, 4, 4, 4, dtype=torch.bool)):
        with pytest.raises(ShapeError):
            fill_layers(wrong)
