"""Tables, benches and lamps: watertight, in metres, on the floor y = 0, centred, with the front towards +z."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from labkit.errors import DomainError
from labkit.geometry.box_parts import four_legs, of_boxes
from labkit.geometry.loft import Station, loft
from labkit.geometry.mesh import Mesh
from labkit.geometry.sizes import Sizes, size


@dataclass(frozen=True)
class TableShape(Sizes):
    """A table: a top, four square legs, and between them under the top a frame as thick as the legs.

    Sizes in metres, with the range of ``sample``: width (along x) 1 to 1.6, depth 0.65 to 1, height 0.5 to 0.85,
    top_thickness 0.055 to 0.09, leg_thickness 0.055 to 0.1, frame_height 0.04 to 0.12, overhang (of the top over the
    frame, on each side) 0.01 to 0.12.

    Raises:
        DomainError: a size is not positive, the legs meet, or top and frame reach the floor.
    """

    width: float = size(1.4, 1.0, 1.6)
    depth: float = size(0.8, 0.65, 1.0)
    height: float = size(0.72, 0.5, 0.85)
    top_thickness: float = size(0.06, 0.055, 0.09)
    leg_thickness: float = size(0.07, 0.055, 0.1)
    frame_height: float = size(0.08, 0.04, 0.12)
    overhang: float = size(0.05, 0.01, 0.12)

    def __post_init__(self) -> None:
        super().__post_init__()
        free = min(self.width, self.depth) / 2 - self.overhang
        self.below("leg_thickness", free, "half the shorter side within the overhang")
        self.below("frame_height", self.height - self.top_thickness, "the height under the top")


@dataclass(frozen=True)
class BenchShape(Sizes):
    """A park bench: a seat on two panels, and behind it two posts that carry two rails, with gaps below and between.

    Sizes in metres, with the range of ``sample``: width (along x) 1.1 to 1.6, depth 0.4 to 0.6, seat_height (upper
    side, from the floor) 0.38 to 0.5, seat_thickness 0.055 to 0.08, panel_thickness 0.055 to 0.1, panel_inset (from the
    ends of the seat) 0.02 to 0.25, back_height (above the seat) 0.35 to 0.55, post_thickness 0.055 to 0.08, rail_height
    0.08 to 0.11.

    Raises:
        DomainError: a size is not positive, panels meet, seat or posts leave no room, or the rails fill the back.
    """

    width: float = size(1.4, 1.1, 1.6)
    depth: float = size(0.5, 0.4, 0.6)
    seat_height: float = size(0.45, 0.38, 0.5)
    seat_thickness: float = size(0.06, 0.055, 0.08)
    panel_thickness: float = size(0.07, 0.055, 0.1)
    panel_inset: float = size(0.1, 0.02, 0.25)
    back_height: float = size(0.45, 0.35, 0.55)
    post_thickness: float = size(0.06, 0.055, 0.08)
    rail_height: float = size(0.1, 0.08, 0.11)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.below("panel_thickness", self.width / 2 - self.panel_inset, "half the width within the inset")
        self.below("seat_thickness", self.seat_height, "seat_height")
        self.below("post_thickness", self.depth, "depth")
        self.below("rail_height", self.back_height / 2, "half of back_height")


@dataclass(frozen=True)
class LampShape(Sizes):
    """A table lamp: a round foot, a stem with a belly, and a conical shade, open above and below, on a round plate.

    Sizes in metres, with the range of ``sample``: height 0.45 to 0.8, foot_radius 0.09 to 0.16, foot_height 0.03 to
    0.05, stem_radius 0.022 to 0.035, belly (radius that the stem gains in the middle between foot and shade) 0.005 to
    0.06, shade_height 0.16 to 0.28, shade_radius (below, outside) 0.14 to 0.24, wall (of the shade along x, and the
    height of the plate in its middle) 0.028 to 0.04. Without unit: taper, the shade's radius above relative to below,
    at most 1, 0.55 to 0.95. ``segments``, a multiple of 4, is the number of points of each outline.

    Raises:
        DomainError: a size is not positive or out of range, foot and shade meet, the stem is wider than the foot, or
            the stem or the walls fill the shade.
    """

    height: float = size(0.6, 0.45, 0.8)
    foot_radius: float = size(0.12, 0.09, 0.16)
    foot_height: float = size(0.04, 0.03, 0.05)
    stem_radius: float = size(0.025, 0.022, 0.035)
    belly: float = size(0.03, 0.005, 0.06)
    shade_height: float = size(0.22, 0.16, 0.28)
    shade_radius: float = size(0.18, 0.14, 0.24)
    wall: float = size(0.03, 0.028, 0.04)
    taper: float = size(0.7, 0.55, 0.95)
    segments: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.taper > 1:
            raise DomainError("taper", self.taper, "at most 1")
        self.below("foot_height", self.height - self.shade_height, "the height under the shade")
        self.below("stem_radius", self.foot_radius, "foot_radius")
        self.below("wall", self.shade_height, "shade_height")
        self.below("wall", self.shade_radius * self.taper, "the shade's radius above")
        plate = self.shade_radius * (1 + self.taper) / 2 - self.wall
        self.below("stem_radius", plate, "the plate's radius")
        if not isinstance(self.segments, int) or self.segments % 4:
            raise DomainError("segments", self.segments, "a multiple of 4")


def table(shape: TableShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `TableShape` (the default one if None): closed, genus 0, all edges axis-aligned or diagonals."""
    s = shape or TableShape()
    under = s.height - s.top_thickness
    x, z, t = s.width / 2 - s.overhang, s.depth / 2 - s.overhang, s.leg_thickness
    top = ((-s.width / 2, under, -s.depth / 2), (s.width / 2, s.height, s.depth / 2))
    sides = (((-x, -z), (x, t - z)), ((-x, z - t), (x, z)), ((-x, -z), (t - x, z)), ((x - t, -z), (x, z)))
    frame = [((low[0], under - s.frame_height, low[1]), (high[0], under, high[1])) for low, high in sides]
    return of_boxes([top, *frame, *four_legs(x, z, under, t)], dtype)


def bench(shape: BenchShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `BenchShape` (the default one if None): closed, genus 2, all edges axis-aligned or diagonals."""
    s = shape or BenchShape()
    x, z, p = s.width / 2, s.depth / 2, s.panel_inset
    boxes = [((-x, s.seat_height - s.seat_thickness, -z), (x, s.seat_height, z))]
    top = s.seat_height + s.back_height
    front = s.post_thickness - z
    for left in (p - x, x - p - s.panel_thickness):
        right = left + s.panel_thickness
        boxes += [((left, 0.0, -z), (right, s.seat_height, z)), ((left, s.seat_height, -z), (right, top, front))]
    gap = (s.back_height - 2 * s.rail_height) / 2  # below the lower rail, and between the two
    for low in (s.seat_height + gap, top - s.rail_height):
        boxes.append(((-x, low, -z), (x, low + s.rail_height, front)))
    return of_boxes(boxes, dtype)


def lamp(shape: LampShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `LampShape` (the default one if None): one closed surface of revolution around y, genus 0."""
    s = shape or LampShape()
    under = s.height - s.shade_height  # the lower rim of the shade
    plate = s.height - s.shade_height / 2  # the middle of its plate

    def inside(y: float) -> float:
        return s.shade_radius * (1 - (1 - s.taper) * (y - under) / s.shade_height) - s.wall

    stem = [
        (s.foot_height + t * (under - s.foot_height), s.stem_radius + s.belly * math.sin(math.pi * t) ** 2)
        for t in (i / 12 for i in range(13))
    ]
    low, high = plate - s.wall / 2, plate + s.wall / 2
    profile = [
        (0.0, s.foot_radius),
        (s.foot_height / 2, s.foot_radius),
        (s.foot_height, 0.8 * s.foot_radius + 0.2 * s.stem_radius),
        *stem,
        (low, s.stem_radius),
        (low, inside(low)),
        (under, inside(under)),
        (under, s.shade_radius),
        (s.height, s.taper * s.shade_radius),
        (s.height, inside(s.height)),
        (high, inside(high)),
    ]
    stations: list[Station] = [(y, 0.0, 0.0, radius, radius) for y, radius in profile]
    return loft(1, stations, points=s.segments).to(dtype=dtype).validate()
