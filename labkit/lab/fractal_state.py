"""What the fractal explorer remembers: one frozen record, its ranges, and presets."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from labkit.lab.fractal_render import PARAMETERS, RANDOM, SYSTEMS, Rows
from labkit.lab.state import between, one_of

FERN: Rows = (
    (0.0, -1.0, 0.0, 0.0, 0.0, -0.84),
    (0.0, -0.15, 0.04, 1.6, -0.04, -0.15),
    (0.0, -0.8, -0.26, 1.6, 0.23, -0.78),
    (0.0, -1.15, 0.28, 0.44, 0.26, -0.76),
)
PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "fern": {"system": "fern", "chosen": 2, "parameter": "a3", "sigma": 1.0},
        "in the wind": {
            "system": "fern",
            "coefficients": (FERN[0], (0.0, -0.15, 0.12, 1.6, -0.1, -0.15), *FERN[2:]),
            "chosen": 2,
            "parameter": "a3",
            "sigma": 1.0,
        },
        "curled": {
            "system": "fern",
            "coefficients": (FERN[0], (0.0, -0.2, 0.22, 1.6, -0.22, -0.2), *FERN[2:]),
            "chosen": 2,
            "parameter": "a5",
            "sigma": 1.0,
        },
        "out of focus": {"system": "fern", "chosen": 2, "parameter": "a3", "sigma": 8.0},
    }
)


@dataclass(frozen=True)
class FractalState:
    """Everything that decides what the fractal explorer shows.

    Attributes:
        system: a built-in system, or "random".
        maps, system_seed: how many maps the random system has, and its seed.
        coefficients: a row a1 to a6 for each map; none means as built in.
        chosen: number of the map that the sliders move, from 1.
        parameter: whose derivative is shown.
        sigma: standard deviation in pixels of the picture at rest.
        exposure: see `labkit.smooth.splatting.expose`.
        points, seed: how many points, and the seed of their choices.
        size: pixels along each side of the picture at rest.
        frames: whether the maps are drawn.
    """

    system: str = one_of(*SYSTEMS, RANDOM)
    maps: int = between(3, 2, 6)
    system_seed: int = between(1, 0, 50)
    coefficients: tuple[tuple[float, ...], ...] = between((), -1000.0, 1000.0)
    chosen: int = between(2, 1, 6)
    parameter: str = one_of("a3", *PARAMETERS)
    sigma: float = between(1.0, 0.5, 16.0)
    exposure: float = between(1.0, 0.1, 10.0)
    points: int = between(100_000, 500, 300_000)
    seed: int = between(0, 0, 20)
    size: int = between(256, 32, 512)
    frames: bool = True

    @property
    def key(self) -> tuple[str, int, int]:
        """Which system it is, coefficients aside."""
        return (self.system, self.maps, self.system_seed) if self.system == RANDOM else (self.system, 0, 0)
