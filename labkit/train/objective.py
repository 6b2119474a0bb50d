"""What a fit makes small: a weighted sum of image losses and mesh regularizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from labkit.errors import DomainError, ShapeError, check_device, check_positive, check_tensor
from labkit.geometry import Mesh, edge_loss, flatness_loss, laplacian_loss, neighbor_loss, normal_loss
from labkit.render.views import Scene
from labkit.train.image_losses import IMAGE_LOSSES

REGULARIZERS: Mapping[str, Callable[[Mesh, Mesh | None], Tensor]] = MappingProxyType(
    {
        "normal": lambda mesh, rest: normal_loss(mesh),
        "flatness": lambda mesh, rest: flatness_loss(mesh),
        "edge": lambda mesh, rest: edge_loss(mesh),
        "neighbor": lambda mesh, rest: neighbor_loss(mesh),
        "laplacian": laplacian_loss,
    }
)
"""Losses of a mesh, and a mesh at rest or None, by name; see `labkit.geometry.regularizers`."""


@dataclass(frozen=True)
class Evaluation:
    """A scene as an objective sees it.

    Attributes:
        pictures: (B, C, H, W) with the channels of the targets.
        loss: scalar, the weighted sum, with its graph.
        terms: value of each term without its weight.
    """

    pictures: Tensor
    loss: Tensor
    terms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a scene: ``sum of weight * term``.

    Args:
        targets: (B, C, H, W), one for each camera of the scene. C is 3 for colour over the scene's background, 1 for
            alpha, or 4 for both; "l1", "l2" and "ssim" compare all of them, "iou" compares alpha.
        weights: weight > 0 by the name of the term: `IMAGE_LOSSES` and `REGULARIZERS`.
        rest: the mesh from whose shape "laplacian" measures, if any.

    Raises:
        DomainError: no term, an unknown one, a bad weight, NaN or infinity in the targets, or "iou" for targets
            without alpha.
        ShapeError, DTypeError: as the names say.
    """

    targets: Tensor
    weights: Mapping[str, float]
    rest: Mesh | None = None

    def __post_init__(self) -> None:
        channels = check_tensor("targets", self.targets, "B C H W").shape[1]
        if channels not in (1, 3, 4):
            raise ShapeError("targets", tuple(self.targets.shape), "1, 3 or 4 channels")
        if not self.weights:
            raise DomainError("losses", dict(self.weights), "at least one term")
        for name, weight in self.weights.items():
            if name not in IMAGE_LOSSES and name not in REGULARIZERS:
                raise DomainError("losses", repr(name), f"one of {', '.join([*IMAGE_LOSSES, *REGULARIZERS])}")
            check_positive(f"losses[{name!r}]", weight)
        if "iou" in self.weights and channels == 3:
            raise DomainError("losses", "'iou' for targets without alpha", "targets of 1 or 4 channels")

    def __call__(self, scene: Scene) -> Evaluation:
        """Render a scene and measure it.

        Raises:
            DomainError: a term is NaN or infinite; the argument named is the term.
            LabError: the scene cannot be rendered, or its pictures are not of the targets' shape.
        """
        check_device(vertices=scene.mesh.vertices, targets=self.targets)
        seen, channels = scene.render(), self.targets.shape[1]
        pictures = seen.color if channels == 3 else torch.cat((seen.color, seen.alpha), 1)[:, -channels:]
        if pictures.shape != self.targets.shape:
            raise ShapeError("targets", tuple(self.targets.shape), f"{tuple(pictures.shape)}, as the scene's pictures")
        terms = {}
        for name in self.weights:
            if name in REGULARIZERS:
                terms[name] = REGULARIZERS[name](scene.mesh, self.rest).mean()
            else:
                shown = slice(-1, None) if name == "iou" else slice(None)
                terms[name] = IMAGE_LOSSES[name](pictures[:, shown], self.targets[:, shown])
        figures = {name: term.item() for name, term in terms.items()}
        for name, figure in figures.items():
            if not math.isfinite(figure):
                raise DomainError(name, figure, "a finite loss")
        loss = sum((self.weights[name] * term for name, term in terms.items()), start=pictures.new_zeros(()))
        return Evaluation(pictures, loss, figures)
