"""The Soft Rasterizer (Liu et al. 2019): logistic coverage of the squared distance, softmax over inverse depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, check_positive
from labkit.render.raster import family
from labkit.render.raster.family import Family
from labkit.render.raster.gendr import check_cutoff, check_depths
from labkit.render.raster.hard import Hard
from labkit.render.raster.layers import Layers
from labkit.render.raster.pixels import pixel_pitch
from labkit.scene.textures import Texture

EPS = 1e-3  # normalised depth of the background
ALPHAS = {"prod": "probabilistic", "sum": "sum", "hard": "hard"}


@dataclass(frozen=True)
class SoftRas:
    """The Soft Rasterizer.

    Coverage is ``D = sigmoid(v / sigma)`` with v the squared distance to the face, negative outside. Alpha is
    ``1 - prod(1 - D)``. Colours are interpolated on each face and weighted by ``D exp(c / gamma)``,
    c = (far - z) / (far - near), in a softmax with the background, whose weight is ``exp(1e-3 / gamma)``.

    Since d^2 is flat at the outline, D has no slope exactly there. Everything is differentiated: the original passes
    no gradient from the colours to the geometry and keeps barycentric weights fixed in the depth.

    Attributes:
        sigma: > 0, in NDC units squared (barycentric units squared for "barycentric"). Number or one-element tensor.
        gamma: > 0, temperature of the depth softmax. Number or one-element tensor.
        distance: "squared" (Euclidean, the paper's), "barycentric" (square of the smallest barycentric coordinate) or
            "hard" (inside or outside).
        color: "softmax" (the paper's) or "hard": the nearest face that contains the pixel.
        alpha: "prod" (the paper's), "sum" (mean of D over all faces) or "hard" (whether any D > 1/2).
        cutoff: faces with D up to this do not count, in colour as in alpha. It is part of the model: without it the
            sharp depth softmax gives the whole picture to the nearest face.
        near, far: view depths between which depth is normalised; nothing is cut there.
        compat: "official" doubles the background's logit, as the original's code does; it overflows there for
            gamma < 1.13e-5, here it does not.

    Raises:
        DomainError: a parameter is not positive or not finite, or an unknown choice.

    Source: Soft Rasterizer, section 3; defaults of its public code.
    """

    sigma: float | Tensor = 1e-4
    gamma: float | Tensor = 1e-4
    distance: Literal["squared", "barycentric", "hard"] = "squared"
    color: Literal["softmax", "hard"] = "softmax"
    alpha: Literal["prod", "sum", "hard"] = "prod"
    cutoff: float = 1e-4
    near: float = 1.0
    far: float = 100.0
    compat: Literal["official"] | None = None

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma, "NDC units squared")
        check_positive("gamma", self.gamma)
        if self.distance not in ("squared", "barycentric", "hard"):
            raise DomainError("distance", repr(self.distance), "'squared', 'barycentric' or 'hard'")
        if self.color not in ("softmax", "hard"):
            raise DomainError("color", repr(self.color), "'softmax' or 'hard'")
        if self.alpha not in ALPHAS:
            raise DomainError("alpha", repr(self.alpha), "'prod', 'sum' or 'hard'")
        if self.compat not in (None, "official"):
            raise DomainError("compat", repr(self.compat), "None or 'official'")
        check_depths(self.near, self.far)
        check_cutoff(self.cutoff)

    @property
    def deferrable(self) -> bool:
        """Whether pixels may be shaded after the interpolation: only with hard colours."""
        return self.color == "hard"

    @property
    def textured(self) -> bool:
        """Whether a texture can be looked up for each pixel and face: unless colours are hard."""
        return self.color == "softmax"

    @property
    def family(self) -> Family:
        """The same as a member of the distance family."""
        return Family(
            "squared" if self.distance == "hard" else self.distance,
            "heaviside" if self.distance == "hard" else "logistic",
            self.sigma,
            alpha=ALPHAS[self.alpha],
            cutoff=self.cutoff,
            gamma=self.gamma,
            near=self.near,
            far=self.far,
            behind=2 * EPS if self.compat == "official" else EPS,
        )

    @classmethod
    def from_pixels(cls, edge_width: float, size: tuple[int, int], gamma: float | Tensor = 1e-4) -> SoftRas:
        """Build from the edge width in pixels (see `edge_width_px`) instead of sigma."""
        check_positive("edge_width", edge_width, "pixels")
        return cls((edge_width * pixel_pitch(size) / 2) ** 2, gamma)

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Width 2 sqrt(sigma) of the soft edge, where D runs from 0.27 to 0.73, in pixels of an (H, W) image."""
        return 2 * float(torch.as_tensor(self.sigma).detach()) ** 0.5 / pixel_pitch(size)

    def reference(
        self,
        triangles: Tensor,
        attributes: Tensor,
        size: tuple[int, int],
        perspective: bool,
        texture: Texture | None = None,
    ) -> Layers:
        """The layers by dense torch."""
        if self.color == "softmax":
            return family.rasterize(self.family, triangles, attributes, size, perspective, texture)
        alpha = family.rasterize(self.family, triangles, attributes[..., :0], size, perspective).alpha
        return Hard().reference(triangles, attributes, size, perspective)._replace(alpha=alpha)

    def kernel(
        self,
        triangles: Tensor,
        attributes: Tensor,
        size: tuple[int, int],
        perspective: bool,
        texture: Texture | None = None,
    ) -> Layers:
        """The same by the streaming CPU kernel."""
        from labkit.render.raster import family_stream

        if self.color == "softmax":
            return family_stream.rasterize(self.family, triangles, attributes, size, perspective, texture)
        alpha = family_stream.rasterize(self.family, triangles, attributes[..., :0], size, perspective).alpha
        return Hard().kernel(triangles, attributes, size, perspective)._replace(alpha=alpha)
