"""Sets of K pictures of one object from azimuths whose differences are known: the data of RAN, appendix C."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from labkit.data.categories import Split, check_whole
from labkit.data.image_source import ImageSource, StoredImages, check_numbers
from labkit.data.painter import Painter
from labkit.data.picture_cache import cached_pictures
from labkit.data.rendered_source import Models, describe, drawn_from, fingerprint, models_of
from labkit.errors import DomainError, ShapeError, check_tensor
from labkit.geometry import Mesh
from labkit.scene.camera import Camera
from labkit.scene.lights import Ambient, Directional
from labkit.scene.shading import Light

QUARTER = 90.0  # degrees between neighbouring views
LIGHT = (0.5, 1.0, 0.2)
"""World direction to the light: from above, unlike the smooth renderer's, so that its shading teaches nothing."""


@dataclass(frozen=True)
class ViewSets:
    """N sets of K grey pictures, in the frame in which the first picture of each set has azimuth 0.

    Args:
        source: of N * K pictures; those of set n are the K from n * K on.
        angles: azimuths that the pictures are said to have, degrees, (N, K), the first 0.
        elevation: of all cameras, degrees.
        truth: the mesh of a set, for measuring only, or None.

    Raises:
        ShapeError: there are not N * K pictures.
        DTypeError, DomainError: as the names say.
    """

    source: ImageSource
    angles: Tensor
    elevation: float = 0.0
    truth: Callable[[int], Mesh] | None = None

    def __post_init__(self) -> None:
        check_tensor("angles", self.angles, "N K")
        if self.source.count != self.angles.numel() or not self.angles.numel():
            raise ShapeError("angles", tuple(self.angles.shape), f"an angle for each of {self.source.count} pictures")
        if bool(self.angles[:, 0].any()):
            raise DomainError("angles", self.angles[:, 0].tolist()[:8], "0 for the first picture of each set")

    @property
    def count(self) -> int:
        """N."""
        return len(self.angles)

    @property
    def views(self) -> int:
        """K."""
        return self.angles.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.source.size

    def images(self, numbers: Tensor) -> Tensor:
        """The sets with these numbers, (B,) int64 to (B, K, H, W) float32 in [0, 1], on the CPU.

        Raises:
            DomainError: there is no such set.
            ShapeError, DTypeError: as the names say.
        """
        first = check_numbers(numbers, self.count) * self.views
        pictures = self.source.images((first[:, None] + torch.arange(self.views)).flatten())
        return pictures.view(len(numbers), self.views, *self.size)

    def azimuths(self, numbers: Tensor) -> Tensor:
        """Azimuths of their pictures relative to the first, degrees, (B, K); raises as `images`."""
        return self.angles[check_numbers(numbers, self.count)]

    def mesh(self, number: int) -> Mesh | None:
        """The true shape of a set, for measuring only; None where it is not known.

        Raises:
            DomainError: there is no such set.
        """
        if not 0 <= number < self.count:
            raise DomainError("number", number, f"a number in [0, {self.count})")
        return None if self.truth is None else self.truth(number)


def perspective(azimuth: float | Tensor, elevation: float | Tensor) -> Camera:
    """The cameras of rendered sets, angles in degrees as in `Camera.orbit`; RAN's own renderer is to use them too.

    Seen from distance 3.2 with 30 degrees, shapes of the common frame stay inside the picture up to elevation 30.
    """
    return Camera.orbit(azimuth, elevation, 3.2, fov=30.0)


def rendered_view_sets(
    categories: str | Models | Sequence[str | Models],
    count: int = 1000,
    *,
    views: int = 4,
    size: int = 128,
    elevation: float = 0.0,
    start: float | None = 0.0,
    azimuth_noise: float = 0.0,
    random_light: bool = False,
    random_azimuths: bool = False,
    seed: int = 0,
    split: Split = "train",
    renderer: str = "pyvista",
    background: float = 1.0,
    cache: str | Path | None = None,
    isolated: bool = True,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ViewSets:
    """Return sets of pictures of shapes, rendered with another light than RAN's renderer has (appendix C).

    Everything random in set n is drawn by (``seed``, n) alone, and the same options give the same sets.

    Args:
        categories: one name or `Models`, or several that take turns (variation c).
        count: N, each with a shape of its own.
        views: K pictures a set, neighbours 90 degrees apart; 4, 2 (variation d) or 1 (variation e) in the paper.
        size: pixels along each side.
        elevation: of all cameras, degrees; the paper's cars are seen from 0.
        start: azimuth of the first picture in the shape's own frame, degrees, or None: drawn uniformly for each set.
            What a set says of azimuths, and its true mesh, are relative to it.
        azimuth_noise: standard deviation of what is added to each azimuth and not told, degrees; 5 in variation a.
        random_light: draw the light's direction for each set (variation b), uniformly from the upper half.
        random_azimuths: draw each azimuth but the first from the multiples of 90 degrees, with repetition, and tell
            it (variations d and e): a set with equal ones has in effect fewer pictures.
        seed: of everything that is drawn.
        split: "train" or "test", for categories given by name.
        renderer, background, cache, isolated, workers, progress: as in `rendered_source`.

    Raises:
        DomainError, DTypeError: a value out of range or of the wrong type.
        LabError: whatever the shapes, the renderer or the cache raise.
    """
    parts = models_of(categories, split)
    if check_whole("count", count) < 1 or check_whole("views", views) < 1:
        raise DomainError("count, views", (count, views), "1 or more of each")
    if not 0 <= azimuth_noise < math.inf:
        raise DomainError("azimuth_noise", azimuth_noise, "a standard deviation of 0 or more, degrees")
    painter = Painter(renderer, (size, size), background=background, isolated=isolated, workers=workers)
    drawn = [_Draw.of(seed, n, views, start, azimuth_noise, random_light, random_azimuths) for n in range(count)]

    def shape(n: int) -> Mesh:
        return parts[n % len(parts)].mesh(n // len(parts))

    def draw(numbers: Tensor) -> Tensor:
        sets, which = (numbers // views).tolist(), (numbers % views).tolist()
        seen = torch.tensor([drawn[n].seen[k] for n, k in zip(sets, which, strict=True)])
        meshes = {n: shape(n) for n in set(sets)}
        light = torch.tensor([drawn[n].light for n in sets])
        camera = perspective(seen, torch.full_like(seen, elevation))
        return painter([meshes[n] for n in sets], camera, lights(light))

    def make(numbers: Tensor) -> Tensor:
        return painter.spread(draw, numbers)

    facts: dict[str, object] = {}
    if cache is not None:
        camera = perspective(torch.arange(0.0, 360.0, QUARTER), elevation)
        facts = {
            "shapes": [describe(part) for part in parts],
            "sets": {"seed": seed, "count": count, "views": views, "start": start, "azimuth_noise": azimuth_noise}
            | {"random_light": random_light, "random_azimuths": random_azimuths},
            "drawn": hashlib.sha256(repr(drawn).encode()).hexdigest(),
            "picture": {**painter.facts(), "elevation": elevation},
            "print": fingerprint(parts, camera, lambda _: lights(torch.tensor([LIGHT]))),
        }
    try:
        pictures = cached_pictures(cache, facts, (count * views, 1, size, size), make, progress)
    finally:
        painter.close()
    angles = torch.tensor([each.told for each in drawn])
    return ViewSets(StoredImages(pictures), angles, elevation, lambda n: turned(shape(n), -drawn[n].start))


def lights(direction: Tensor) -> list[Light]:
    """Ambient light, and one beam from ``direction``, (B, 3) in the world."""
    return [Ambient(0.35), Directional(direction, 0.65)]


def turned(mesh: Mesh, azimuth: float) -> Mesh:
    """The mesh turned about y: what was seen from azimuth a is seen from a + ``azimuth``, degrees."""
    sine, cosine = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
    turn = mesh.vertices.new_tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    normals = None if mesh.normals is None else mesh.normals @ turn.T
    return mesh.replace(vertices=mesh.vertices @ turn.T, normals=normals)


@dataclass(frozen=True)
class _Draw:
    """What was drawn for one set: azimuths of the first view, of all as seen and as told, degrees, and the light."""

    start: float
    seen: list[float]
    told: list[float]
    light: list[float]

    @classmethod
    def of(
        cls, seed: int, number: int, views: int, start: float | None, noise: float, light: bool, azimuths: bool
    ) -> _Draw:
        """Draw set ``number``; every option has random numbers of its own, so that one does not change another's."""
        stream = drawn_from(seed, number)
        turn = torch.rand(1, generator=stream).item() * 360
        jitter = torch.randn(views, generator=stream)
        quarters = torch.randint(4, (views,), generator=stream)
        upper = torch.randn(3, generator=stream) * torch.tensor([1.0, 0.0, 1.0])
        height = torch.rand(1, generator=stream).item()  # equal areas of a sphere have equal heights
        first = turn if start is None else start
        told = quarters * QUARTER if azimuths else torch.arange(views) * QUARTER
        told[0] = 0
        ring = math.sqrt(1 - height**2) / max(float(upper.norm()), 1e-9)
        direction = [float(upper[0]) * ring, height, float(upper[2]) * ring] if light else list(LIGHT)
        return cls(first, (first + told + noise * jitter).tolist(), told.tolist(), direction)
