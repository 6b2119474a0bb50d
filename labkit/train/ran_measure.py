"""How good a RAN is: its meshes against the true ones by voxels, beside the mean shape, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from labkit.data.categories import voxels_of
from labkit.events import Event, MeshPreview, Picture
from labkit.geometry import Mesh
from labkit.geometry.metrics import voxel_iou
from labkit.train.ran_data import Problem, batch
from labkit.train.ran_networks import Networks, strip
from labkit.train.ran_render import random_shapes

RESOLUTION = 32  # voxels along the edge of the cube [-0.5, 0.5]^3
MEAN_OF = 200  # shapes of the training set whose mean is taken
LEVELS = 19  # at which the mean is cut, to find the best one
AT_ONCE = 16  # sets that are reconstructed at a time


def occupancy(meshes: Sequence[Mesh]) -> Tensor:
    """The solid voxels of each, (N, R, R, R) bool, in the common cube."""
    grids = [voxels_of(mesh, RESOLUTION).values for mesh in meshes]
    return torch.stack(grids)


def mean_shape(solid: Tensor) -> Tensor:
    """The one grid that agrees best with many: their mean, cut at the level at which its mean IoU with them is highest.

    Args:
        solid: (N, R, R, R) bool.

    Returns:
        (R, R, R) bool.
    """
    share = solid.float().mean(0)
    cuts = [share > (level + 1) / (LEVELS + 1) for level in range(LEVELS)]
    scores = [voxel_iou(cut.expand_as(solid), solid).mean() for cut in cuts]
    return cuts[int(torch.stack(scores).argmax())]


class Yardstick:
    """The true shapes of the unseen sets, and what the mean shape of the training sets scores on them.

    Args:
        problem: of the run. Without true shapes there is no IoU.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.numbers = problem, problem.held_out()
        truths = problem.truths(self.numbers)
        self.solid = occupancy(truths) if truths else None

    def mean_shape_iou(self) -> float | None:
        """IoU of the mean of up to `MEAN_OF` training shapes, on average over the unseen ones."""
        seen = [self.problem.train.mesh(number) for number in range(min(self.problem.seen, MEAN_OF))]
        if self.solid is None:
            return None
        mean = mean_shape(occupancy([mesh for mesh in seen if mesh is not None]))
        return voxel_iou(mean.expand_as(self.solid), self.solid).mean().item()

    @torch.no_grad()
    def measure(self, networks: Networks, limit: int | None = None) -> dict[str, float]:
        """Figures over the unseen sets: "iou" of the reconstructions, and mean L1 between pairs of pictures.

        Args:
            networks: in evaluation mode.
            limit: only of the first so many sets.
        """
        device = networks.sphere.vertices.device
        found: dict[str, list[Tensor]] = {}
        meshes: list[Mesh] = []
        for numbers in self.numbers[:limit].split(AT_ONCE):
            a, azimuths = batch(self.problem.unseen, numbers, device)
            pictures = networks.pictures(a, azimuths)
            meshes += [Mesh(vertices, networks.sphere.faces).to("cpu") for vertices in pictures["vertices"]]
            pairs = {"render - input": ("b second", "a")}
            if networks.config.mode == "ran":
                pairs |= {"b'' - b'": ("b second", "b prime"), "a' - a": ("a prime", "a"), "a'' - a": ("a second", "a")}
            for name, (one, other) in pairs.items():
                found.setdefault(name, []).append((pictures[one] - pictures[other]).abs().mean((1, 2, 3)))
        told = {name: torch.cat(values).mean().item() for name, values in found.items()}
        if self.solid is not None:
            told["iou"] = voxel_iou(occupancy(meshes), self.solid[:limit]).mean().item()
        return told


@torch.no_grad()
def shown(networks: Networks, problem: Problem, number: int) -> Iterator[Event]:
    """The pictures of figure 4 for the first unseen set, views side by side, and the mesh behind them.

    Args:
        networks: in evaluation mode.
        problem: of the run.
        number: steps done.
    """
    device = networks.sphere.vertices.device
    a, azimuths = batch(problem.unseen, problem.held_out(1), device)
    guessed = random_shapes(networks.sphere.vertices, 1, torch.Generator().manual_seed(number))
    pictures = networks.pictures(a, azimuths, random=guessed)
    yield MeshPreview(number, "prediction", pictures["vertices"][0].cpu(), networks.sphere.faces.cpu())
    names = ["a", "b second"]
    if networks.config.mode == "ran":
        names += ["b prime", "a prime", "a second", "b random"]
    for name in names:
        yield Picture(number, name, strip(pictures[name][0]).cpu())


def truth(problem: Problem) -> Iterator[Event]:
    """The true mesh of the set that previews show, where it is known, and its pictures."""
    numbers = problem.held_out(1)
    for mesh in problem.truths(numbers):
        yield MeshPreview(0, "truth", mesh.vertices, mesh.faces)
    yield Picture(0, "truth a", strip(batch(problem.unseen, numbers).pictures[0]))
