"""What a RAN run looks at: sets of pictures to train on, and sets that are only measured on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from labkit.data.categories import Split
from labkit.data.view_sets import ViewSets, rendered_view_sets
from labkit.data.zappos import read
from labkit.errors import DomainError
from labkit.geometry import Mesh
from labkit.train.ran_config import DataConfig


class Batch(NamedTuple):
    """Some sets.

    Attributes:
        pictures: (B, K, H, W), grey, in [0, 1].
        azimuths: (B, K), degrees, relative to the first.
    """

    pictures: Tensor
    azimuths: Tensor


class Problem(NamedTuple):
    """Which sets there are.

    Attributes:
        train, unseen: where they come from; one and the same for photographs.
        seen: the sets 0 to seen - 1 of ``train`` are trained on.
        first: the sets from this one on of ``unseen`` are measured on.
    """

    train: ViewSets
    unseen: ViewSets
    seen: int
    first: int

    def held_out(self, limit: int | None = None) -> Tensor:
        """Numbers of the sets to measure on, the first so many."""
        return torch.arange(self.first, self.unseen.count)[:limit]

    def truths(self, numbers: Tensor) -> list[Mesh]:
        """Their true meshes; none for photographs."""
        found = [self.unseen.mesh(number) for number in numbers.tolist()]
        return [mesh for mesh in found if mesh is not None]


def problem(config: DataConfig) -> Problem:
    """Render or read the sets.

    Raises:
        LabError: as the renderer or reader say; or too few photographs.
    """
    cache = config.cache or None
    if config.source == "zappos":
        limit = config.count + config.unseen if config.count else None
        sets = read(config.folder, config.size, limit=limit, cache=cache)
        if sets.count <= config.unseen:
            raise DomainError("data.unseen", config.unseen, f"fewer than the {sets.count} pictures of the folder")
        seen = sets.count - config.unseen
        return Problem(sets, sets, seen, seen)

    def rendered(split: Split, count: int) -> ViewSets:
        return rendered_view_sets(
            config.categories,
            count,
            views=config.views,
            size=config.size,
            elevation=config.elevation,
            azimuth_noise=config.azimuth_noise,
            random_light=config.random_light,
            random_azimuths=config.random_azimuths,
            seed=config.seed,
            split=split,
            renderer=config.renderer,
            background=config.background,
            cache=cache,
            isolated=config.isolated,
        )

    return Problem(rendered("train", config.count), rendered("test", config.unseen), config.count, 0)


def batch(sets: ViewSets, numbers: Tensor, device: torch.device | str = "cpu") -> Batch:
    """The sets with these numbers, (B,) int64, on a device."""
    return Batch(sets.images(numbers).to(device), sets.azimuths(numbers).to(device, torch.float32))
