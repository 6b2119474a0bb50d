"""Grey pictures of many shapes by an off-the-shelf renderer, several at a time."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, check_size
from labkit.geometry import Mesh, VoxelGrid
from labkit.render.external import RENDERERS, ExternalRenderer, open_renderer
from labkit.scene.camera import Camera
from labkit.scene.shading import Light

MOST = 8  # renderers that are opened without being asked for


@dataclass
class Painter:
    """Draws grey pictures in threads of its own, each of which opens a renderer of its own when it first needs one.

    Args:
        renderer: one of `labkit.render.external.RENDERERS`.
        size: (H, W) in pixels.
        surface: how voxels become meshes, "cubes" or "marching".
        background: grey level in [0, 1].
        isolated: whether each renderer lives in a process of its own.
        workers: renderers at work at the same time; 0 for half of the computer's cores, and at most `MOST`. The
            pictures do not depend on it. OpenGL that is not isolated must be left to one.

    Raises:
        DomainError: a value out of range.
    """

    renderer: str = "pyvista"
    size: tuple[int, int] = (128, 128)
    surface: Literal["cubes", "marching"] = "cubes"
    background: float = 1.0
    isolated: bool = True
    workers: int = 1

    def __post_init__(self) -> None:
        if self.renderer not in RENDERERS:
            raise DomainError("renderer", repr(self.renderer), " or ".join(map(repr, RENDERERS)))
        check_size("size", self.size)
        if not 0 <= self.background <= 1:
            raise DomainError("background", self.background, "a grey level in [0, 1]")
        safe = self.isolated or self.renderer == "hard"
        workers = self.workers or (max(1, min(MOST, (os.cpu_count() or 1) // 2)) if safe else 1)
        if workers < 1 or (workers > 1 and not safe):
            raise DomainError("workers", self.workers, "0 or more, and 1 for a renderer that is not isolated")
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="painter")
        self._mine = threading.local()
        self._open: list[ExternalRenderer] = []

    def __call__(self, shapes: Sequence[Mesh | VoxelGrid], camera: Camera, lights: Sequence[Light]) -> Tensor:
        """B shapes by B cameras, (B, 1, H, W) in [0, 1], by this thread's renderer; see `ExternalRenderer`."""
        if not hasattr(self._mine, "renderer"):
            self._mine.renderer = open_renderer(self.renderer, surface=self.surface, isolated=self.isolated)
            self._open.append(self._mine.renderer)
        return self._mine.renderer(shapes, camera, lights, self.size, self.background).color[:, :1]

    def spread(self, draw: Callable[[Tensor], Tensor], numbers: Tensor) -> Tensor:
        """What ``draw``, which may call the painter, makes of all ``numbers`` (B,), B >= 1, in their order.

        Raises:
            LabError: whatever ``draw`` raises.
        """
        shares = numbers.split(math.ceil(len(numbers) / self.workers))
        return torch.cat(list(self._pool.map(draw, shares)))

    def close(self) -> None:
        """Close the renderers and end the threads; closing twice does no harm."""
        if self._open:
            self._pool.submit(self._release).result()  # where there is one thread, a context ends where it began
        self._pool.shutdown()

    def facts(self) -> dict[str, Any]:
        """What its pictures depend on."""
        facts = {name: getattr(self, name) for name in ("renderer", "size", "surface", "background")}
        package = {"pyvista": "vtk", "hard": "labkit"}.get(self.renderer, self.renderer)
        with suppress(metadata.PackageNotFoundError):  # the renderer itself will say what is missing
            facts["version"] = metadata.version(package)
        return facts

    def _release(self) -> None:
        while self._open:
            self._open.pop().close()
