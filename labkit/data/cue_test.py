"""The cue test: how much of a tub's hollow each way of making pictures shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from labkit.data.categories import ORIGIN, Category
from labkit.data.cavity import fill_layers
from labkit.errors import DomainError, check_positive, check_tensor
from labkit.geometry import VoxelGrid
from labkit.geometry.rigid_grid import embed
from labkit.nets.layers import check_count
from labkit.render.external import open_renderer
from labkit.render.volume_grid import absorption_only, visual_hull
from labkit.scene.beams import beam_lights
from labkit.scene.camera import Camera
from labkit.scene.materials import Lambert
from labkit.scene.shading import shade

RESOLUTION = 64
SIZE = 2 * RESOLUTION  # no turned cube of the resolution is cut off
ABSORPTION = 20.0 * SIZE / RESOLUTION  # PlatonicGAN's 20 per edge of the shape's own grid


@dataclass(frozen=True)
class Cue:
    """What the pictures show of one tub's hollow.

    Attributes:
        wall: thickness of walls and floor, voxels of a 64 grid.
        differences: for each way of making pictures the mean of |picture(hollow) - picture(filled)| over the pixels
            inside the silhouette and over the views; the brightness goes from 0 to 1.
        silhouette: the share of the silhouette's pixels in which the two silhouettes differ; 0 but for rounding.
    """

    wall: int
    differences: dict[str, float]
    silhouette: float


def cue_test(
    wall: int = 4,
    *,
    number: int = 0,
    elevations: Sequence[float] = (15.0, 30.0, 45.0, 60.0),
    azimuths: int = 8,
    sigma: float = 1.0,
    renderer: str | None = "pyvista",
    surface: Literal["cubes", "marching"] = "cubes",
) -> Cue:
    """Compare pictures of a hollow tub with those of the same tub filled to its rim.

    A training set whose pictures hardly change when a tub is filled cannot teach a generator to leave it hollow. Views,
    lights and the pictures "shaded" are those of the published mechanism (IG-GAN, sections 4.2 and 5.2) with normals
    from a blurred grid; a renderer's own pictures have the normals of ``surface``. Brightness 1 is a white surface that
    faces all light, and the background.

    Args:
        wall: thickness of walls and floor, 1 to 12 voxels of a 64 grid.
        number: which tub, as in `Category`.
        elevations: degrees.
        azimuths: how many, spread over 360 degrees.
        sigma: width of the Gaussian blur before normals are taken, in voxels.
        renderer: one of `labkit.render.external.RENDERERS`, or None for none.
        surface: how voxels become the meshes that the renderer draws.

    Returns:
        The differences "visual hull", "absorption only", "shaded", and one named after the renderer.

    Raises:
        DomainError, DTypeError: an argument out of range. BackendError: the renderer is not there.
    """
    check_count("azimuths", azimuths, 1, 360)
    if not elevations:
        raise DomainError("elevations", "none", "one or more")
    cameras = [
        Camera.orbit(360 / azimuths * turn, elevation, 2.0, projection="orthographic", half_height=1.0)
        for elevation in elevations
        for turn in range(azimuths)
    ]
    hollow = Category("bathtub", wall=wall).voxels(number, RESOLUTION).values
    solids = torch.stack([hollow, fill_layers(hollow)])  # (2, R, R, R)
    sharp = solids.float()[:, None]  # (2, 1, R, R, R)
    both = torch.cat([sharp, blurred(sharp, sigma)], 1)[None].flatten(1, 2)  # (1, 4, R, R, R): one pass turns all
    found: dict[str, list[Tensor]] = {"visual hull": [], "absorption only": [], "shaded": []}
    if renderer is not None:
        found[renderer] = []
        shapes = [VoxelGrid(solid, ORIGIN, 1 / RESOLUTION) for solid in solids]
        with open_renderer(renderer, albedo=1.0, surface=surface) as draw:
            for camera in cameras:
                drawn = draw(shapes, camera, beam_lights(camera), (SIZE, SIZE))
                inside = (drawn.alpha[:, 0] > 0.5).all(0)
                found[renderer].append((drawn.color[0, 0] - drawn.color[1, 0]).abs()[inside].mean())
    apart: list[Tensor] = []
    for camera in cameras:
        turned = embed(both, camera.rotation[None], SIZE).clamp(0, 1).unflatten(1, (2, 2))[0]  # (2, 2, S, S, S)
        pictures, seen = cue_pictures(turned, camera)
        inside = seen.all(0)
        apart.append((seen[0] ^ seen[1]).sum() / inside.sum())
        for name, picture in pictures.items():
            found[name].append((picture[0] - picture[1]).abs()[inside].mean())
    differences = {name: float(torch.stack(values).mean()) for name, values in found.items()}
    return Cue(wall, differences, float(torch.stack(apart).mean()))


def cue_pictures(turned: Tensor, camera: Camera) -> tuple[dict[str, Tensor], Tensor]:
    """What one view shows of several shapes, in each of the three ways of making pictures.

    Args:
        turned: (B, 2, S, S, S), each shape and the same `blurred`, in the camera's frame, as `embed` gives them.
        camera: that camera.

    Returns:
        Pictures (B, S, S) by the names "visual hull", "absorption only" and "shaded", and silhouettes (B, S, S) bool,
        all with row 0 on top.
    """
    occupied, smooth = turned[:, :1], turned[:, 1:]
    pictures = {
        "visual hull": visual_hull(occupied),
        "absorption only": absorption_only(occupied, density=ABSORPTION),
        "shaded": blurred_shading(occupied, smooth, camera),
    }
    silhouettes = (occupied[:, 0] > 0.5).any(-1).mT.flip(1)
    return {name: picture[:, 0] for name, picture in pictures.items()}, silhouettes


def blurred_shading(occupied: Tensor, smooth: Tensor, camera: Camera) -> Tensor:
    """Draw white surfaces under IG-GAN's lights with the normals of a blurred grid, which have no steps.

    Along each ray the first voxel above 1/2 is seen; its normal is minus the gradient of the blurred grid there, which
    vanishes in sheets of one voxel.

    Args:
        occupied: (B, 1, S, S, S) occupancies in the camera's frame, as `embed` gives them.
        smooth: (B, 1, S, S, S), the same of the grid after `blurred`.
        camera: the camera, whose rotation takes the normals back to the world.

    Returns:
        (B, 1, S, S), row 0 on top, over white.

    Raises:
        ShapeError, DTypeError, DomainError: the grids are not so, or not finite.
    """
    check_tensor("occupied", occupied, "B 1 S S S")
    check_tensor("smooth", smooth, " ".join(map(str, occupied.shape)))
    solid, size = occupied[:, 0] > 0.5, occupied.shape[-1]
    depth = size - 1 - solid.flip(-1).float().argmax(-1)  # (B, S, S) the voxel in front
    line = torch.arange(size, device=occupied.device)
    number = torch.arange(len(occupied), device=occupied.device)[:, None, None]
    at = (number, line[:, None] + 1, line + 1, depth + 1)
    around = pad(smooth[:, 0], (1,) * 6)
    slopes = [around[_moved(at, axis, 1)] - around[_moved(at, axis, -1)] for axis in (1, 2, 3)]
    normals = -torch.stack(slopes, -1) @ camera.rotation.to(smooth)  # (B, S, S, 3), in the world
    lit = shade(
        torch.zeros_like(normals), normals, camera.eye, torch.ones_like(normals), Lambert(), beam_lights(camera)
    )[..., 0]
    return torch.where(solid.any(-1), lit, 1.0).mT.flip(1)[:, None]


def _moved(at: tuple[Tensor, ...], axis: int, step: int) -> tuple[Tensor, ...]:
    """The indices one step further along an axis."""
    return (*at[:axis], at[axis] + step, *at[axis + 1 :])


def blurred(grids: Tensor, sigma: float = 1.0) -> Tensor:
    """Return grids (B, 1, X, Y, Z) after a Gaussian blur of width ``sigma`` voxels, cut off at 4 sigma; 0 outside.

    Raises:
        ShapeError, DTypeError, DomainError: an argument is not so.
    """
    check_tensor("grids", grids, "B 1 X Y Z")
    check_positive("sigma", sigma, "voxels")
    reach = int(4 * sigma + 0.5)
    steps = torch.arange(-reach, reach + 1, dtype=grids.dtype, device=grids.device)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    for axis in range(3):
        shape = [1, 1, *(len(weights) if n == axis else 1 for n in range(3))]
        grids = conv3d(grids, (weights / weights.sum()).view(shape), padding=[n // 2 for n in shape[2:]])
    return grids
