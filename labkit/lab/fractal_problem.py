"""The inverse problem of fractals as the fit panel poses it: a target, and where to begin."""

from __future__ import annotations

import io
import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from labkit.errors import DomainError, FileError
from labkit.files import read_bytes
from labkit.lab.fractal_render import RANDOM, SYSTEMS, Drawing, base, with_rows
from labkit.lab.state import between, one_of
from labkit.smooth.fractal_fit import exposure_of
from labkit.smooth.fractals import IteratedFunctionSystem

OWN_PICTURE = "my picture"
MAX_BYTES, MAX_PIXELS = 10 << 20, 40_000_000  # of an uploaded picture
TARGET_POINTS, TARGET_SEED = 100_000, 4711  # of a built-in target: not the points that any fit draws
STRETCH = 0.95  # the most that a map of the start may stretch, so that its orbits stay near


@dataclass(frozen=True)
class FractalFitState:
    """Everything that decides a fit, and what it has found.

    Attributes:
        target: a built-in system, or "my picture" for the file at ``path``.
        path: PNG or JPEG file, relative to the notebook's folder or absolute.
        invert: take the picture's dark parts for the fractal.
        start: "perturbed": the target's own system, each parameter changed at random; or "random".
        perturbation: the largest change, percent of each parameter.
        maps: how many maps the random start has.
        seed: of the start, and of the points.
        size: pixels along each side.
        points: points of each step's picture.
        first_sigma, last_sigma: standard deviation in pixels of the first and of the last level.
        levels: how many levels; their sigmas fall by equal factors.
        steps: steps at each level.
        rate: learning rate of Adam at the start.
        resume: begin with ``fitted`` if there is any.
        fitted: a row a1 to a6 for each map: where the newest fit ended; none before.
    """

    target: str = one_of(*SYSTEMS, OWN_PICTURE)
    path: str = ""
    invert: bool = True
    start: str = one_of("perturbed", RANDOM)
    perturbation: float = between(20.0, 0.0, 100.0)
    maps: int = between(4, 1, 8)
    seed: int = between(0, 0, 20)
    size: int = between(64, 16, 128)
    points: int = between(5000, 100, 20_000)
    first_sigma: float = between(8.0, 1.0, 16.0)
    last_sigma: float = between(1.0, 0.5, 8.0)
    levels: int = between(4, 1, 8)
    steps: int = between(60, 1, 200)
    rate: float = between(0.01, 0.001, 0.1)
    resume: bool = False
    fitted: tuple[tuple[float, ...], ...] = between((), -1000.0, 1000.0)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The standard deviation of each level; the last one alone if the first is not larger."""
        if self.levels == 1 or self.first_sigma <= self.last_sigma:
            return (self.last_sigma,)
        return tuple(round(value, 6) for value in np.geomspace(self.first_sigma, self.last_sigma, self.levels).tolist())

    @property
    def target_key(self) -> Hashable:
        """All that the target depends on."""
        own = (self.path, self.invert) if self.target == OWN_PICTURE else self.last_sigma
        return self.target, own, self.size

    @property
    def start_key(self) -> Hashable:
        """All that the start depends on."""
        how = self.maps if self.start == RANDOM else (self.perturbation, self.target)
        return self.start, how, self.seed


@dataclass(frozen=True, eq=False)
class Problem:
    """A target and a start.

    Attributes:
        target: (size, size) in [0, 1], bright where the fractal is.
        exposure: at which fractals are compared with it.
        start: the system at the start; never changed.
        truth: the system that the target was made with, if the start is a perturbed one of it.
    """

    target: Tensor
    exposure: float
    start: IteratedFunctionSystem
    truth: IteratedFunctionSystem | None


def pose(state: FractalFitState) -> Problem:
    """The problem of a state.

    Raises:
        DomainError: a perturbed start for a picture whose maps nobody knows.
        FileError: the picture cannot be read (see `load_picture`).
    """
    truth = None
    if state.target == OWN_PICTURE:
        if state.start != RANDOM:
            raise DomainError("start", state.start, "random: nobody knows the maps of your picture")
        target = load_picture(state.path, state.size, state.invert)
        exposure = exposure_of(target)
    else:
        maker = base(state.target, 0, 0)
        target = Drawing(maker, state.size, state.last_sigma, 1.0).draw(TARGET_POINTS, TARGET_SEED)
        exposure = 1.0
        truth = maker if state.start != RANDOM else None
    if truth is None:
        start = base(RANDOM, state.maps, state.seed)
    else:
        start = truth.perturbed(state.perturbation / 100, torch.Generator().manual_seed(state.seed))
        start.shrink(STRETCH)
    return Problem(target, exposure, start, truth)


def present(problem: Problem, state: FractalFitState) -> IteratedFunctionSystem:
    """The fitted system, or the start before any fit."""
    return with_rows(problem.start, state.fitted)


def load_picture(path: str, side: int, invert: bool) -> Tensor:
    """A PNG or JPEG file as a grey picture (side, side) in [0, 1], whole and centred, with black beside it.

    Transparent parts count as white. With ``invert``, dark becomes bright.

    Raises:
        FileError: no path; missing, larger than 10 MB or 40 million pixels, broken, not PNG or JPEG, or of one
            brightness throughout, so that there is nothing to fit.
    """
    if not path.strip():
        raise FileError("picture", "no file", "a PNG or JPEG: upload one, or type its path")
    data = read_bytes(Path(path.strip()).expanduser(), MAX_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise FileError(path, f"{image.width} x {image.height} pixels", f"at most {MAX_PIXELS:,} pixels")
                layers = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(path, "content that is no whole picture", "a PNG or JPEG file") from error
    white = Image.new("RGBA", layers.size, "white")
    grey = Image.alpha_composite(white, layers).convert("L")
    grey = ImageOps.invert(grey) if invert else grey
    low, high = grey.getextrema()
    if low == high:
        raise FileError(path, "one brightness throughout", "a picture with bright and dark parts")
    fitted = ImageOps.pad(grey, (side, side), Image.Resampling.BOX, color=0)
    return torch.from_numpy(np.array(fitted)).float() / 255  # (side, side)


def error(picture: Tensor, target: Tensor) -> float:
    """The L2 distance of two pictures, relative to the target's norm: 1 for a black picture."""
    return ((picture - target).norm() / target.norm()).item()
