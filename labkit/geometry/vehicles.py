"""Cars and airplanes: closed parts that overlap, in metres, on the floor y = 0, with the front towards +z.

Each part is a closed `loft`; where parts overlap their surfaces run on inside. So every point inside has a winding
number of 1 or more, solid voxelisation unites the parts, and a renderer shows the outer surface.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from labkit.errors import DomainError
from labkit.geometry.loft import Station, join, loft
from labkit.geometry.mesh import Mesh
from labkit.geometry.sizes import Sizes, size

WING = 1.7  # exponent of the sections of wings: between a lens with sharp edges and an ellipse


@dataclass(frozen=True)
class CarShape(Sizes):
    """A car: a rounded body with a bonnet that slopes to the nose, a cabin that narrows to the roof, four wheels.

    Sizes in metres, with the range of ``sample``: length 3.7 to 4.9, width (of the body) 1.65 to 1.95, height 1.35 to
    1.8, belt_height (where the cabin begins, from the floor) 0.85 to 1, clearance (under the body) 0.16 to 0.26,
    wheel_radius 0.3 to 0.38, wheel_width 0.18 to 0.26. As shares of the length: wheelbase (from axle to axle) 0.56 to
    0.66, bonnet (before the cabin, at the belt) 0.18 to 0.32, boot (behind it) 0.02 to 0.2. Without unit: roof, the
    roof's length over that of the cabin at the belt, 0.45 to 0.75; roof_width over the body's, 0.64 to 0.82; nose, the
    height of the nose over belt_height, 0.7 to 0.92.

    Raises:
        DomainError: a size is not positive, a ratio is not less than 1, heights do not rise, or bonnet and boot meet.
    """

    length: float = size(4.3, 3.7, 4.9)
    width: float = size(1.8, 1.65, 1.95)
    height: float = size(1.48, 1.35, 1.8)
    belt_height: float = size(0.92, 0.85, 1.0)
    clearance: float = size(0.2, 0.16, 0.26)
    wheel_radius: float = size(0.33, 0.3, 0.38)
    wheel_width: float = size(0.22, 0.18, 0.26)
    wheelbase: float = size(0.6, 0.56, 0.66)
    bonnet: float = size(0.26, 0.18, 0.32)
    boot: float = size(0.1, 0.02, 0.2)
    roof: float = size(0.58, 0.45, 0.75)
    roof_width: float = size(0.74, 0.64, 0.82)
    nose: float = size(0.82, 0.7, 0.92)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.below("belt_height", self.height, "height")
        self.below("clearance", self.nose * self.belt_height, "the height of the nose")
        self.below("wheel_width", self.width / 2, "half the width")
        self.below("wheel_radius", self.belt_height / 2, "half of belt_height")
        self.below("boot", 1 - self.bonnet, "what the bonnet leaves")
        for name in ("wheelbase", "roof", "roof_width", "nose"):
            self.below(name, 1.0, "the whole")


@dataclass(frozen=True)
class AirplaneShape(Sizes):
    """An airliner: a fuselage, swept wings with two engines below, a tailplane, a fin that leans back by 27 degrees.

    Sizes in metres, with the range of ``sample``: length 30 to 40 and radius 1.7 to 2.5 (of the fuselage), span (of the
    wings) 28 to 40, chord (of the wing in its middle) 7 to 10.5, tip_chord 3.2 to 4.6, thickness (of wings and tail)
    1.7 to 2.1, tail_span 11 to 16, tail_chord 4.5 to 6.5, fin_height (above the fuselage) 4.5 to 7, engine_radius 1.1
    to 1.6, engine_length 4 to 6. In degrees: sweep (of the middle line of wings and tailplane; the fin's if it is more)
    12 to 32, dihedral 1 to 5. Without unit: wing_place, where the wing's middle meets the fuselage, from the nose over
    the length, 0.4 to 0.5; engine_place, from the fuselage's middle over half the span, 0.32 to 0.44.

    Raises:
        DomainError: a size is not positive, an angle is not less than 60 or a ratio not less than 1, the fuselage is
            wider than long, or the fuselage hides the wings, the tail or the engines.
    """

    length: float = size(36.0, 30.0, 40.0)
    radius: float = size(2.0, 1.7, 2.5)
    span: float = size(35.0, 28.0, 40.0)
    chord: float = size(8.5, 7.0, 10.5)
    tip_chord: float = size(3.6, 3.2, 4.6)
    thickness: float = size(1.8, 1.7, 2.1)
    tail_span: float = size(13.0, 11.0, 16.0)
    tail_chord: float = size(5.5, 4.5, 6.5)
    fin_height: float = size(5.5, 4.5, 7.0)
    engine_radius: float = size(1.3, 1.1, 1.6)
    engine_length: float = size(5.0, 4.0, 6.0)
    sweep: float = size(24.0, 12.0, 32.0)
    dihedral: float = size(3.0, 1.0, 5.0)
    wing_place: float = size(0.45, 0.4, 0.5)
    engine_place: float = size(0.36, 0.32, 0.44)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.below("radius", self.length / 6, "a sixth of the length")
        self.below("thickness", 2 * self.radius, "the fuselage's diameter")
        for name in ("sweep", "dihedral"):
            self.below(name, 60.0, "60 degrees")
        for name in ("wing_place", "engine_place"):
            self.below(name, 1.0, "the whole")
        for name, half in (("span", self.span / 2), ("tail_span", self.tail_span / 2)):
            if half <= self.radius:
                raise DomainError(name, getattr(self, name), f"more than the fuselage's diameter = {2 * self.radius:g}")
        reach = self.engine_place * self.span / 2
        if reach <= self.radius + self.engine_radius:
            raise DomainError("engine_place", self.engine_place, "an engine clear of the fuselage")


def car(shape: CarShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of a `CarShape` (the default one if None): six closed parts."""
    s = shape or CarShape()
    half, belt, nose = s.length / 2, s.belt_height, s.nose * s.belt_height
    front = 1 - 2 * s.bonnet  # where cabin and bonnet meet, in half lengths
    outline = (  # along z in half lengths; half width over the body's; lower and upper side
        (-1.0, 0.80, s.clearance + 0.16 * belt, 0.86 * belt),
        (-0.97, 0.90, s.clearance + 0.06 * belt, 0.94 * belt),
        (-0.85, 0.97, s.clearance, belt),
        (-0.4, 1.0, s.clearance, belt),
        (front, 1.0, s.clearance, belt),
        ((front + 0.9) / 2, 0.985, s.clearance, 0.45 * belt + 0.55 * nose),
        (0.9, 0.94, s.clearance, nose),
        (0.975, 0.84, s.clearance + 0.05 * belt, 0.92 * nose),
        (1.0, 0.70, s.clearance + 0.14 * belt, 0.8 * nose),
    )
    body: list[Station] = [
        (z * half, 0.0, (low + high) / 2, wide * s.width / 2, (high - low) / 2) for z, wide, low, high in outline
    ]
    rear, fore = -half + s.boot * s.length, half - s.bonnet * s.length
    long, middle = (fore - rear) / 2, (fore + rear) / 2
    setback = 0.35 * (1 - s.roof) * long  # the windscreen leans more than the rear window
    cabin: list[Station] = []
    for height, share in ((-0.3, 0.0), (0.0, 0.0), (0.9, 0.9), (1.0, 1.15)):  # 0 at the belt, 1 at the roof
        narrow = 0.94 + (s.roof_width - 0.94) * share
        length = long * (1 + (s.roof - 1) * share)
        cabin.append((belt + height * (s.height - belt), middle - setback * share, 0.0, length, narrow * s.width / 2))
    parts = [loft(2, body, exponent=5.0, points=40), loft(1, cabin, exponent=5.0, points=40)]
    for side in (-1, 1):
        ends = sorted(side * (s.width / 2 + x) for x in (0.03 * s.width - s.wheel_width, 0.03 * s.width))
        for z in (-s.wheelbase * half, s.wheelbase * half):
            r = s.wheel_radius
            parts.append(loft(0, [(x, r, z, r, r) for x in ends], points=24))
    return join(parts).to(dtype=dtype).validate()


def airplane(shape: AirplaneShape | None = None, dtype: torch.dtype = torch.float32) -> Mesh:
    """The mesh of an `AirplaneShape` (the default one if None): six closed parts."""
    s = shape or AirplaneShape()
    half, r, t = s.length / 2, s.radius, s.thickness / 2
    back, rise = math.tan(math.radians(s.sweep)), math.tan(math.radians(s.dihedral))
    outline = (  # along z in half lengths; radius and height of the middle line in fuselage radii
        (-1.0, 0.14, 0.75),
        (-0.9, 0.34, 0.6),
        (-0.7, 0.72, 0.26),
        (-0.5, 0.97, 0.03),
        (-0.4, 1.0, 0.0),
        (0.74, 1.0, 0.0),
        (0.86, 0.88, -0.06),
        (0.94, 0.64, -0.16),
        (0.985, 0.35, -0.25),
        (1.0, 0.12, -0.28),
    )
    fuselage: list[Station] = [(z * half, 0.0, y * r, wide * r, wide * r) for z, wide, y in outline]
    root = half - s.wing_place * s.length
    low = -0.45 * r  # the wings start below the middle of the fuselage

    def across(span: float, y: float, z: float, chord: float, tip: float, lift: float) -> Mesh:
        """A wing from tip to tip, with its tips set back and lifted; its middle line passes (0, y, z)."""
        wide = span / 2
        stations: list[Station] = [
            (x, y + abs(x) * lift, z - abs(x) * back, t, (chord + (tip - chord) * abs(x) / wide) / 2)
            for x in (-wide, -wide / 2, 0.0, wide / 2, wide)
        ]
        return loft(0, stations, exponent=WING, points=24)

    tail = -half + s.tail_span / 2 * back + 0.275 * s.tail_chord  # its tips end where the fuselage does
    top = 0.6 * r  # inside the fuselage, where the fin starts
    fin: list[Station] = [
        (y, tail + s.tail_chord * 0.3 - (y - top) * max(back, 0.5), 0.0, chord / 2, t)
        for y, chord in ((top, 1.3 * s.tail_chord), (r + s.fin_height, 0.6 * s.tail_chord))
    ]
    reach = s.engine_place * s.span / 2
    height, place = low + reach * rise - t - 0.7 * s.engine_radius, root - reach * back + 0.35 * s.engine_length
    engine = ((-0.5, 0.55), (-0.2, 0.9), (0.2, 1.0), (0.45, 0.95), (0.5, 0.8))
    parts = [
        loft(2, fuselage, points=32),
        across(s.span, low, root, s.chord, s.tip_chord, rise),
        across(s.tail_span, 0.6 * r, tail, s.tail_chord, 0.55 * s.tail_chord, rise),
        loft(1, fin, exponent=WING, points=24),
    ]
    for x in (-reach, reach):
        tube = [(place + z * s.engine_length, x, height, w * s.engine_radius, w * s.engine_radius) for z, w in engine]
        parts.append(loft(2, tube, points=20))
    mesh = join(parts)
    floor = torch.tensor([0.0, mesh.vertices[:, 1].min().item(), 0.0], dtype=torch.float64)
    return mesh.replace(vertices=mesh.vertices - floor).to(dtype=dtype).validate()
