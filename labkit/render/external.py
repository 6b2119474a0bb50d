"""Off-the-shelf renderers: grey pictures of meshes and voxels without gradients, the same from four programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from types import TracebackType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_size
from labkit.geometry import Mesh, VoxelGrid
from labkit.geometry.voxel_surface import cubes_mesh
from labkit.render.external_child import Child
from labkit.render.external_view import Driver, views_of
from labkit.render.external_worker import DRIVERS
from labkit.scene import Camera, Light
from labkit.scene.vectors import check_between

RENDERERS = tuple(DRIVERS)
SURFACES = ("cubes", "marching")
LARGEST = 8192  # pixels along a side

Shape = Mesh | VoxelGrid


@dataclass(frozen=True, eq=False)
class ExternalPicture:
    """Pictures without gradients.

    Attributes:
        color: (B, 3, H, W) float32 in [0, 1] over the background; linear, no gamma.
        alpha: (B, 1, H, W) float32 in [0, 1]: the part of each pixel that the shape covers.
    """

    color: Tensor
    alpha: Tensor


class ExternalRenderer:
    """A renderer that is open; `open_renderer` makes it. A context manager; calls from several threads take turns.

    Args:
        driver: what draws.
        albedo: of every surface, in [0, 1].
        surface: how voxels become a mesh, one of SURFACES.
    """

    def __init__(self, driver: Driver, albedo: float, surface: str) -> None:
        self._driver: Driver | None = driver
        self._albedo, self._surface, self._turn, self._process = albedo, surface, Lock(), os.getpid()

    def __call__(
        self,
        shapes: Sequence[Shape],
        camera: Camera,
        lights: Sequence[Light],
        size: tuple[int, int] = (128, 128),
        background: float = 1.0,
    ) -> ExternalPicture:
        """Draw each shape once.

        A matt grey surface sends ``albedo * (ambient + sum_i color_i * max(n . direction_i, 0))``, cut off at 1, with
        the flat normal n of that side of a face that is seen, be it the outer or the inner one. Nothing casts a
        shadow. Each pixel is the mean of 4 samples on a square grid, with pyrender where the OpenGL driver puts them;
        OpenGL rounds to 8 bits. Colours and textures of a mesh are not used.

        Args:
            shapes: B meshes (V, 3) or voxel grids, whose inside is where the values exceed 0.5; empty ones, and those
                behind the camera, give the background.
            camera: one camera, or a batch of B.
            lights: `Ambient` and at most 4 `Directional`, for all pictures or batched (B, 3); none gives black.
            size: (H, W) in pixels, each in 1 to 8192.
            background: grey level in [0, 1].

        Raises:
            DomainError: the renderer is closed or of another process (a fork's parent), NaN or infinity in a shape,
                or a value out of range.
            ShapeError, DTypeError: as the names say. Nothing has been drawn after any of these.
            BackendError: the renderer's process died, or did not answer, twice in one picture.
        """
        if os.getpid() != self._process:  # both would talk to one child, and each might get the other's pictures
            raise DomainError(
                "renderer", "one of the process that this one was forked from", "one opened in this process"
            )
        if not isinstance(shapes, Sequence):
            raise DTypeError("shapes", type(shapes).__name__, "a list of meshes and voxel grids")
        if not isinstance(lights, Sequence):
            raise DTypeError("lights", type(lights).__name__, "a list of lights")
        size = check_size("size", size, LARGEST)
        check_between("background", background, 0, 1, with_low=True, with_high=True)
        meshes = [self._mesh(shape) for shape in shapes]
        views = views_of(meshes, camera, lights, self._albedo, size)
        pictures = np.zeros((len(views), *size, 4), dtype=np.float32)
        with self._turn:
            if self._driver is None:
                raise DomainError("renderer", "closed", "an open renderer, see labkit.render.external.open_renderer")
            for number, view in enumerate(views):
                if view is not None:
                    pictures[number] = self._driver.draw(view)
        layers = torch.from_numpy(pictures).movedim(-1, 1)  # (B, 4, H, W)
        color, alpha = layers[:, :3], layers[:, 3:]
        return ExternalPicture((color + (1 - alpha) * background).clamp(0, 1), alpha.contiguous())

    def close(self) -> None:
        """Give the renderer's context, and its process, back. More than once is allowed."""
        with self._turn:
            if self._driver is not None:
                self._driver.close()
            self._driver = None

    def __enter__(self) -> ExternalRenderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mesh(self, shape: Shape) -> Mesh:
        """The shape's surface."""
        if not isinstance(shape, VoxelGrid):
            return shape
        solid = replace(shape, values=shape.values.detach() > 0.5)
        return cubes_mesh(solid) if self._surface == "cubes" else solid.to_mesh()


def open_renderer(
    name: str = "pyvista",
    *,
    albedo: float = 0.8,
    surface: Literal["cubes", "marching"] = "cubes",
    isolated: bool = True,
) -> ExternalRenderer:
    """Return a renderer with one context, made now and used for every picture.

    Args:
        name: "pyvista" (VTK's OpenGL), "pyrender" (OpenGL, with a fragment shader of Lambert's law in place of its
            own, which adds highlights and a gamma), "mitsuba" (ray tracing by `scalar_rgb`) or "hard" (labkit's own,
            which needs nothing). The first two need EGL, no display.
        albedo: of every surface, in [0, 1].
        surface: voxels become meshes by "cubes" (their outer faces) or "marching" cubes of the binary grid.
        isolated: whether the renderer lives in a process of its own, which takes some seconds to start. If it dies,
            the picture is drawn by a new one, and only if that dies too the call raises. False saves a millisecond or
            two a picture; then a crash of the driver takes the caller down, OpenGL works only in the thread that opened
            it, and pyrender needs PYOPENGL_PLATFORM=egl before it is first imported. "hard" is never isolated.

    Raises:
        DomainError, DTypeError: an argument is wrong.
        BackendError: the renderer's package, or the OpenGL that it needs, is missing, or its process died.
    """
    if name not in RENDERERS:
        raise DomainError("name", repr(name), " or ".join(map(repr, RENDERERS)))
    if surface not in SURFACES:
        raise DomainError("surface", repr(surface), " or ".join(map(repr, SURFACES)))
    check_between("albedo", albedo, 0, 1, with_low=True, with_high=True)
    driver: Driver = Child(name) if isolated and name != "hard" else DRIVERS[name]()
    return ExternalRenderer(driver, float(albedo), surface)
