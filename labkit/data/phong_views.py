"""Pictures of distance fields under the Phong model, exact, and the best that a view-independent renderer can do.

The shiny sphere of UDR, section 4.1: ``phong_views(SphereField(0.5), PhongScene(), random_views(...))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.data.multiview import MultiView, decibels
from labkit.data.phong_scene import PhongScene
from labkit.errors import DomainError, DTypeError, check_positive
from labkit.geometry.sdf import value_and_gradient
from labkit.render.implicit import Field, Tracer, sphere_trace
from labkit.scene.camera import Camera
from labkit.scene.rays import Views
from labkit.scene.vectors import dot, unit

EXACT = Tracer(epsilon=1e-6, max_steps=256, secant_steps=8)
"""How ground truth is traced: to a millionth of a world unit."""

OCCLUSION = 2e-2
"""World units by which a point may lie behind what its camera sees and still count as seen: grazing rays stop early."""

CHUNK = 1 << 18
"""Rays that are tested for occlusion at a time."""


class Seen(NamedTuple):
    """What the pixels of pictures see of a surface; pixels that see nothing are left out.

    Attributes:
        view, pixel: which pixel, (N,) int64 each, as in `labkit.data.multiview.Pixels`.
        points: (N, 3), world units.
        normals: (N, 3), of length 1.
        directions: (N, 3), of length 1, from the eye.
    """

    view: Tensor
    pixel: Tensor
    points: Tensor
    normals: Tensor
    directions: Tensor

    def colors(self, scene: PhongScene) -> Tensor:
        """What the pixels show, (N, 3), clipped to [0, 1]."""
        return scene.radiance(self.points, self.normals, self.directions).clamp(0, 1)


class Bound(NamedTuple):
    """The best PSNR, decibels, that any view-independent renderer can expect on the true surface.

    Attributes:
        psnr: over the pixels that see the surface.
        psnr_full: over all pixels, those of the background taken to be exact.
        coverage: share of the pixels that see the surface, in (0, 1].
    """

    psnr: float
    psnr_full: float
    coverage: float


@torch.no_grad()
def seen_surface(field: Field, views: Views, tracer: Tracer = EXACT) -> Seen:
    """Trace every pixel of ``views`` to the surface f = 0.

    Args:
        field: f, (N, 3) -> (N,), negative inside, in the views' dtype and on their device.
        views: the cameras.
        tracer: how; its sphere must hold the surface.

    Raises:
        DomainError: no pixel sees the surface, or as `sphere_trace`.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    height, width = views.validate().size
    pixel = torch.arange(height * width, device=views.rotation.device)
    found = []
    for number in range(len(views)):
        view = torch.full_like(pixel, number)
        origins, directions = views.rays(view, pixel)
        trace = sphere_trace(field, origins, directions, tracer)
        hit = trace.hit
        found.append((view[hit], pixel[hit], trace.points[hit], directions[hit]))
    view, where, points, towards = (torch.cat(parts) for parts in zip(*found, strict=True))
    if not len(view):
        raise DomainError("views", "no pixel that sees the surface", "cameras that look at it")
    _, gradient = value_and_gradient(field, points)
    return Seen(view, where, points, unit(gradient), towards)


def phong_views(field: Field, scene: PhongScene, views: Views, tracer: Tracer = EXACT) -> MultiView:
    """Pictures of the surface f = 0, one ray through the centre of each pixel.

    Args:
        field, views, tracer: as in `seen_surface`.
        scene: material and light.

    Returns:
        The radiance clipped to [0, 1] where a ray meets the surface (mask 1), else white (mask 0); in the dtype and on
        the device of the views.

    Raises:
        DomainError, ShapeError, DTypeError, DeviceError: as `seen_surface`.

    Source: UDR, section 4.1.
    """
    seen = seen_surface(field, views, tracer)
    height, width = views.size
    images = seen.points.new_ones(len(views), height * width, 3)
    masks = seen.points.new_zeros(len(views), 1, height * width)
    images[seen.view, seen.pixel] = seen.colors(scene)
    masks[seen.view, 0, seen.pixel] = 1
    return MultiView(images.mT.unflatten(-1, views.size), masks.unflatten(-1, views.size), views)


def random_views(count: int, size: tuple[int, int], distance: float, fov: float, generator: torch.Generator) -> Views:
    """Cameras in random directions, uniform over the sphere, aimed at the origin with +y upwards.

    Args:
        count: how many, at least 1.
        size: (H, W) in pixels.
        distance: from the origin, world units, greater than 0.
        fov: full angle of view across the shorter side, degrees in (0, 180).
        generator: on the CPU; decides.

    Raises:
        DomainError, DTypeError: a number out of range or of the wrong type.
    """
    _check_count(count)
    turn, height = torch.rand(2, count, generator=generator, dtype=torch.float64)
    elevation = torch.rad2deg(torch.asin(2 * height - 1))  # uniform height, as Archimedes found, is a uniform sphere
    return Views.of(Camera.orbit(360 * turn, elevation, distance, fov=fov), size).to(torch.float32)


def orbit_views(count: int, size: tuple[int, int], distance: float, fov: float, elevation: float = 30.0) -> Views:
    """Cameras evenly spaced on a circle around the y axis, the first on the side of +z, aimed at the origin.

    Args:
        count, size, distance, fov: as in `random_views`.
        elevation: degrees above the plane y = 0.

    Raises:
        DomainError, DTypeError: a number out of range or of the wrong type.
    """
    _check_count(count)
    azimuth = torch.arange(count, dtype=torch.float64) * (360 / count)
    return Views.of(Camera.orbit(azimuth, elevation, distance, fov=fov), size).to(torch.float32)


@dataclass(frozen=True, eq=False)
class Sightings:
    """How often cameras see the surface points that the pixels of some pictures show; independent of the light.

    Args:
        seen: the points, N.
        pixels: number of all pixels of the pictures.
        eyes: where the cameras are, (V, 3).
        weights: pixels that camera v spends on a unit of area at point n, (V, N); 0 where it does not see the point.
        own: the same of the camera whose pixel shows the point, (N,).
    """

    seen: Seen
    pixels: int
    eyes: Tensor
    weights: Tensor
    own: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, field: Field, views: Views, cameras: Views, tracer: Tracer = EXACT) -> Sightings:
        """Trace the pixels of ``views``, and from each of ``cameras`` what it sees of their points.

        Args:
            field, views, tracer: as in `seen_surface`.
            cameras: V views from the distribution of views, converted to the dtype and device of ``views``.

        Raises:
            DomainError, ShapeError, DTypeError, DeviceError: as `seen_surface`.
        """
        seen, cameras = seen_surface(field, views, tracer), cameras.validate().to(views.rotation)
        weights = _weights(field, cameras, seen.points, seen.normals, tracer)
        eyes, rotation, intrinsics = (t[seen.view] for t in (views.eyes, views.rotation, views.intrinsics))
        own = _density(intrinsics, rotation, eyes, seen.points, seen.normals)
        own = own.clamp_min(torch.finfo(own.dtype).eps)  # it is seen, even if rounding makes it edge-on
        return cls(seen, len(views) * views.size[0] * views.size[1], cameras.eyes, weights, own)

    @torch.no_grad()
    def best(self, scene: PhongScene) -> Tensor:
        """M*(x), the colours of the best view-independent function at the points, (N, 3).

        Args:
            scene: material and light.

        See `view_independent_bound`.
        """
        points, normals = self.seen.points, self.seen.normals
        total, summed = self.own.clone(), self.own[:, None] * self.seen.colors(scene)
        for eye, weight in zip(self.eyes, self.weights, strict=True):
            rows = weight.nonzero().squeeze(-1)
            x = points[rows]
            color = scene.radiance(x, normals[rows], unit(x - eye)).clamp(0, 1)
            summed.index_add_(0, rows, weight[rows, None] * color)
            total.index_add_(0, rows, weight[rows])
        return summed / total[:, None]

    def bound(self, scene: PhongScene) -> Bound:
        """The bound under this light and material, see `view_independent_bound`."""
        error = (self.best(scene) - self.seen.colors(scene)).square().mean(-1).double()  # (N,)
        count = len(error)
        surface, full = decibels(error.mean()), decibels(error.sum() / self.pixels)
        return Bound(surface.item(), full.item(), count / self.pixels)


def view_independent_bound(
    field: Field, scene: PhongScene, views: Views, cameras: Views, tracer: Tracer = EXACT
) -> Bound:
    """What PSNR any renderer M(x) or M(x, n) can expect at most on ``views``, given the true surface.

    At a surface point the squared error over all views is smallest for one colour: the mean of what the views show
    there, each weighted with the number of its pixels on a unit of area, cos(theta) / (d^2 cos^3(phi)) times the focal
    lengths, and 0 if the point is hidden, turned away or out of the picture. M* has this colour at each point, and the
    bound is its PSNR at the very pixels of ``views``. The mean is taken over ``cameras``, drawn from the distribution
    that the views come from: so M* knows the distribution, which is more than any training views tell. It also counts
    each measured pixel's own colour, which makes the bound err upwards, by the order of 4.3 dB over the number of
    cameras that see a point. (Only the expectation over unseen views is bounded: some M is lucky on a finite set.
    ``cameras=views`` gives the oracle that has seen the measured pictures themselves, the highest of them.)

    The bound presupposes the true surface: a wrong one can carry a highlight through parallax, and is then off in
    Chamfer distance. n is a function of x on one surface, so that M(x, n) can do no more than M(x).

    Args:
        field, views, tracer: as in `seen_surface`; the views that are measured on.
        scene: material and light, the same at all points.
        cameras: many views from the same distribution, such as 256 of `random_views`.

    Raises:
        DomainError, ShapeError, DTypeError, DeviceError: as `seen_surface`.
    """
    return Sightings.of(field, views, cameras, tracer).bound(scene)


def _weights(field: Field, cameras: Views, points: Tensor, normals: Tensor, tracer: Tracer) -> Tensor:
    """`Sightings.weights` of V cameras and N points, (V, N)."""
    rows = []
    for number, eye in enumerate(cameras.eyes):
        camera = cameras[number]
        local = points @ camera.rotation[0].mT + camera.translation[0]  # (N, 3)
        image = local @ camera.intrinsics[0].mT  # (N, 3) homogeneous
        place, size = image[:, :2] / image[:, 2:], image.new_tensor(camera.size[::-1])  # (N, 2) and (2,): x, y
        inside = ((place >= 0) & (place < size)).all(-1)
        rows.append(_density(camera.intrinsics, camera.rotation, eye, points, normals) * inside)
    weights = torch.stack(rows)
    coarse = Tracer(epsilon=1e-4, radius=tracer.radius)
    for camera, point in (pair.unbind(-1) for pair in weights.nonzero().split(CHUNK)):
        offset = points[point] - cameras.eyes[camera]
        distance = torch.linalg.vector_norm(offset, dim=-1)
        trace = sphere_trace(field, cameras.eyes[camera], offset / distance[:, None], coarse)
        weights[camera, point] *= trace.depth > distance - OCCLUSION
    return weights


def _density(intrinsics: Tensor, rotation: Tensor, eyes: Tensor, points: Tensor, normals: Tensor) -> Tensor:
    """Pixels on a unit of area at points with normals (N, 3): (N,), 0 where turned away; cameras (1 or N, ...)."""
    offset = points - eyes
    distance = torch.linalg.vector_norm(offset, dim=-1)
    facing = -dot(normals, offset)[:, 0] / distance  # cos(theta), at the surface
    ahead = dot(rotation[:, 2], offset)[:, 0] / distance  # cos(phi), at the eye
    focal = intrinsics[:, 0, 0] * intrinsics[:, 1, 1]
    return torch.where((facing > 0) & (ahead > 0), focal * facing / (distance**2 * ahead**3), 0.0)


def _check_count(count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise DTypeError("count", type(count).__name__, "a whole number of cameras")
    check_positive("count", count)
