"""Parametric families of furniture: watertight, in metres, on the floor y = 0, centred, with the front towards +z."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from labkit.errors import DomainError
from labkit.geometry.box_parts import four_legs, of_boxes
from labkit.geometry.loft import loft
from labkit.geometry.mesh import Mesh
from labkit.geometry.sizes import Sizes, size


@dataclass(frozen=True)
class ChairShape(Sizes):
    """A chair: four square legs at the corners of the seat, and a panel as wide as the seat along its rear edge.

    Sizes in metres, with the range of ``sample``: seat_width 0.38 to 0.55, seat_depth 0.38 to 0.55, seat_thickness
    0.02 to 0.08, leg_height (floor to seat) 0.3 to 0.5, leg_thickness 0.025 to 0.06, back_height (above the seat) 0.3
    to 0.65, back_thickness 0.02 to 0.06.

    Raises:
        DomainError: a size is not positive, the legs meet, or the back covers the seat.
    """

    seat_width: float = size(0.45, 0.38, 0.55)
    seat_depth: float = size(0.45, 0.38, 0.55)
    seat_thickness: float = size(0.04, 0.02, 0.08)
    leg_height: float = size(0.42, 0.3, 0.5)
    leg_thickness: float = size(0.04, 0.025, 0.06)
    back_height: float = size(0.48, 0.3, 0.65)
    back_thickness: float = size(0.03, 0.02, 0.06)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.below("leg_thickness", min(self.seat_width, self.seat_depth) / 2, "half the shorter side of the seat")
        self.below("back_thickness", self.seat_depth, "seat_depth")


@dataclass(frozen=True)
class CouchShape(Sizes):
    """A couch: a block to sit on, two arms, a back as wide as the whole, four square feet under the corners.

    Sizes in metres, with the range of ``sample``: width 1.4 to 2.4 and depth 0.75 to 1.05 (over all), foot_height 0.05
    to 0.15, foot_thickness 0.04 to 0.08, seat_height 0.35 to 0.48, arm_height 0.55 to 0.68 and back_height 0.72 to 1
    (all three from the floor), arm_width 0.1 to 0.25, back_thickness 0.15 to 0.3.

    Raises:
        DomainError: a size is not positive, feet or arms meet, or the heights (foot, seat, arm, back) do not rise.
    """

    width: float = size(1.9, 1.4, 2.4)
    depth: float = size(0.9, 0.75, 1.05)
    foot_height: float = size(0.1, 0.05, 0.15)
    foot_thickness: float = size(0.06, 0.04, 0.08)
    seat_height: float = size(0.42, 0.35, 0.48)
    arm_height: float = size(0.6, 0.55, 0.68)
    back_height: float = size(0.85, 0.72, 1.0)
    arm_width: float = size(0.18, 0.1, 0.25)
    back_thickness: float = size(0.22, 0.15, 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.below("foot_thickness", min(self.width, self.depth) / 2, "half the shorter side")
        self.below("arm_width", self.width / 2, "half the width")
        self.below("back_thickness", self.depth, "depth")
        self.below("foot_height", self.seat_height, "seat_height")
        self.below("seat_height", self.arm_height, "arm_height")
        self.below("arm_height", self.back_height, "back_height")


@dataclass(frozen=True)
class BathtubShape(Sizes):
    """A hollow bathtub, open on top: superellipses |x / a|^n + |z / b|^n = 1 that shrink towards the floor.

    Sizes in metres, with the range of ``sample``: length (along x) 1.4 to 1.9 and width 0.65 to 0.9 (both of the flat
    rim, outside), height 0.45 to 0.65, wall (width of the rim along x and z) 0.03 to 0.08, floor (thickness) 0.03 to
    0.08. Without unit: taper, the size of the outer outline at the floor relative to the rim, at most 1, 0.7 to 1 (the
    inner outline shrinks with height alike, so the wall thins in proportion); roundness, the exponent n, at least 1,
    2 to 6 (2 is an ellipse, large is a box). ``segments``, a multiple of 4, is the number of points of each outline.

    Raises:
        DomainError: a size is not positive or out of the ranges above, or the walls or the floor fill the tub.
    """

    length: float = size(1.7, 1.4, 1.9)
    width: float = size(0.75, 0.65, 0.9)
    height: float = size(0.55, 0.45, 0.65)
    wall: float = size(0.05, 0.03, 0.08)
    floor: float = size(0.05, 0.03, 0.08)
    taper: float = size(0.85, 0.7, 1.0)
    roundness: float = size(3.0, 2.0, 6.0)
    segments: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.below("wall", min(self.length, self.width) / 2, "half the shorter side")
        self.below("floor", self.height, "height")
        if self.taper > 1:
            raise DomainError("taper", self.taper, "at most 1")
        if self.roundness < 1:
            raise DomainError("roundness", self.roundness, "at least 1 (below, the outline is not convex)")
        if not isinstance(self.segments, int) or self.segments % 4:
            raise DomainError("segments", self.segments, "a multiple of 4")


def chair(shape: ChairShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `ChairShape` (the default one if None): closed, genus 0, all edges axis-aligned or diagonals."""
    s = shape or ChairShape()
    x, z = s.seat_width / 2, s.seat_depth / 2
    top = s.leg_height + s.seat_thickness
    seat = ((-x, s.leg_height, -z), (x, top, z))
    back = ((-x, top, -z), (x, top + s.back_height, -z + s.back_thickness))
    return of_boxes([seat, back, *four_legs(x, z, s.leg_height, s.leg_thickness)], dtype)


def couch(shape: CouchShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `CouchShape` (the default one if None): closed, genus 0, all edges axis-aligned or diagonals."""
    s = shape or CouchShape()
    x, z = s.width / 2, s.depth / 2
    seat = ((-x, s.foot_height, -z), (x, s.seat_height, z))
    left = ((-x, s.seat_height, -z), (-x + s.arm_width, s.arm_height, z))
    right = ((x - s.arm_width, s.seat_height, -z), (x, s.arm_height, z))
    back = ((-x, s.seat_height, -z), (x, s.back_height, -z + s.back_thickness))
    return of_boxes([seat, left, right, back, *four_legs(x, z, s.foot_height, s.foot_thickness)], dtype)


def bathtub(shape: BathtubShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `BathtubShape` (the default one if None): closed, genus 0, 4 n + 2 vertices and 8 n faces."""
    s = shape or BathtubShape()
    at_floor = s.taper + (1 - s.taper) * s.floor / s.height
    x, z = s.length / 2, s.width / 2
    sections = [  # from the middle of the underside outwards, over the rim and inwards
        (0.0, 0.0, 0.0, z * s.taper, x * s.taper),
        (s.height, 0.0, 0.0, z, x),
        (s.height, 0.0, 0.0, z - s.wall, x - s.wall),
        (s.floor, 0.0, 0.0, (z - s.wall) * at_floor, (x - s.wall) * at_floor),
    ]
    tub = loft(1, sections, s.roundness, s.segments)
    return Mesh(tub.vertices.to(dtype), tub.faces)
