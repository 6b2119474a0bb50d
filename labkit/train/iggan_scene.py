"""What IG-GAN looks at: views, the off-the-shelf renderer, pictures of the data, and true shapes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from labkit.data.categories import ORIGIN, Category, RandomCubes, Split
from labkit.data.chanterelle import read as read_chanterelle
from labkit.data.image_folder import folder_source
from labkit.data.image_source import ImageSource, from_bytes, to_bytes
from labkit.data.rendered_source import orthographic, rendered_source
from labkit.data.view_rules import LVP, VIEW_RULES, ViewRule
from labkit.geometry import VoxelGrid
from labkit.render.external import ExternalRenderer, open_renderer
from labkit.scene import Camera
from labkit.scene.beams import beam_lights
from labkit.train.iggan_config import IGGAN, DataConfig, RenderConfig


class OffTheShelf:
    """R_d: pictures of binary shapes, lit by the two beams, without gradients. A context manager; threads take turns.

    Args:
        config: which renderer, and how many of them; they are opened now.
        size: pixels along each side.

    Raises:
        BackendError: it is not available here.
    """

    def __init__(self, config: RenderConfig, size: int) -> None:
        self._size, self._background = (size, size), config.background
        with ExitStack() as opened:
            self._threads = opened.enter_context(ThreadPoolExecutor(config.processes, "off-the-shelf"))
            openings = [
                self._threads.submit(open_renderer, config.name, surface=config.surface)
                for _ in range(config.processes)
            ]
            self._renderers = [opened.enter_context(opening.result()) for opening in openings]
            self._opened = opened.pop_all()

    def __call__(self, solid: Tensor, camera: Camera) -> Tensor:
        """R_d(x_d), (B, 1, H, W) in [0, 1], on the CPU.

        Args:
            solid: x_d, (B, 1, N, N, N) bool; empty ones give the background.
            camera: of `camera_of`, B of them.

        Raises:
            LabError: see `labkit.render.external.ExternalRenderer`.
        """
        shapes = [grid_of(shape) for shape in solid.cpu()]

        def draw(renderer: ExternalRenderer, some: Tensor) -> Tensor:
            eyes = replace(camera, rotation=camera.rotation[some], translation=camera.translation[some])
            drawn = [shapes[place] for place in some.tolist()]
            return renderer(drawn, eyes, beam_lights(eyes), self._size, self._background).color[:, :1]

        shares = torch.arange(len(shapes)).tensor_split(len(self._renderers))
        pictures = torch.cat(list(self._threads.map(draw, self._renderers, shares)))
        return from_bytes(to_bytes(pictures))  # as the data, or D could tell them by their rounding

    def close(self) -> None:
        """Give the renderers back."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def grid_of(shape: Tensor) -> VoxelGrid:
    """A shape (1, N, N, N), bool or occupancies, as the grid that fills the cube [-0.5, 0.5]^3."""
    return VoxelGrid(shape[0], ORIGIN, 1 / shape.shape[-1])


def rule_of(config: DataConfig) -> ViewRule:
    """The range of views of the data, and so of generated shapes (section 4.2)."""
    return LVP if config.views == "lvp" else VIEW_RULES.get(config.source, VIEW_RULES["couch"])


def views(rule: ViewRule, count: int, stream: torch.Generator) -> Tensor:
    """Draw azimuths and elevations, (count, 2) degrees."""
    return torch.stack(rule.draw(stream, count), -1)


def camera_of(angles: Tensor) -> Camera:
    """The cameras of `views`."""
    return orthographic(*angles.unbind(-1))


def category(config: DataConfig, split: Split = "train") -> Category | None:
    """The procedural category of the data; None for folders."""
    if config.path:
        return None
    return Category(config.source, split, config.seed, wall=config.wall or None)


def data(config: IGGAN, style: str = "shaded", unseen: int = 0, device: torch.device | str = "cpu") -> ImageSource:
    """Pictures of the data; close them at the end.

    Args:
        config: of the run.
        style: whose pictures, see `labkit.data.rendered_source.rendered_source`.
        unseen: how many pictures of as many unseen shapes, instead of the run's; folders have none but their own.
        device: where pictures of another style than "shaded" are computed.

    Raises:
        LabError: a folder that is missing or holds no pictures, or a renderer that is not there.
    """
    told, shown, cache = config.data, config.off_the_shelf, config.data.cache or None
    shapes = category(told, "test" if unseen else "train")
    if told.source == "chanterelle":
        return read_chanterelle(told.path, config.size, background=shown.background, cache=cache)
    if shapes is None:
        return folder_source(told.path, config.size, cache=cache)
    amount = "one-per-model" if unseen else told.amount
    return rendered_source(
        shapes,
        rule_of(told),
        amount,
        renderer=shown.name,
        size=config.size,
        resolution=config.resolution,
        models=None if amount == "500" else unseen or told.models,
        views=1 if unseen else None,
        seed=told.seed,
        cache=cache,
        style=style,
        volume=config.volume if style != "shaded" else None,
        device=device,
        from_voxels=True,  # as generated shapes are seen, or D would tell them by their steps alone
        surface=shown.surface,
        background=shown.background,
    )


class KnownShapes:
    """Shapes that the neural renderer is pre-trained on, by number; those that were made are kept.

    Args:
        name: a category, or "cubes".
        resolution: N.
        seed: of the shapes.
    """

    def __init__(self, name: str, resolution: int, seed: int) -> None:
        self._shapes = RandomCubes(seed) if name == "cubes" else Category(name, "train", seed)
        self._resolution, self._made = resolution, dict[int, Tensor]()

    def __len__(self) -> int:
        return 1024

    def __call__(self, numbers: Tensor) -> Tensor:
        """(B,) to (B, 1, N, N, N) bool, on the CPU."""
        for number in numbers.tolist():
            if number not in self._made:
                self._made[number] = self._shapes.voxels(number, self._resolution).values
        return torch.stack([self._made[number] for number in numbers.tolist()])[:, None]
