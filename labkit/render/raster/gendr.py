"""GenDR (Petersen et al. 2022): any distribution for the coverage, any t-conorm for the silhouette."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, check_positive
from labkit.render.raster import family
from labkit.render.raster.distributions import DISTRIBUTIONS
from labkit.render.raster.family import Family
from labkit.render.raster.layers import Layers
from labkit.render.raster.pixels import pixel_pitch
from labkit.render.raster.t_conorms import T_CONORMS
from labkit.scene.textures import Texture


@dataclass(frozen=True)
class GenDR:
    """The generalised differentiable renderer.

    Coverage is D = F(d / tau), for a distribution F and the signed distance d to the face (or d^2 with its sign);
    alpha combines the D by a t-conorm. Colours are interpolated on each face and weighted by
    ``D exp(c / gamma)``, c = (far - z) / (far - near), the background by ``exp(1e-3 / gamma)`` (as SoftRas).

    Attributes:
        distribution: one of the 18 names in `distributions.DISTRIBUTIONS`.
        tau: > 0, in NDC units, or NDC units squared if ``squared``. Number or one-element tensor.
        squared: measure the squared distance.
        t_conorm: one of the 9 names in `t_conorms.T_CONORMS`.
        p: the parameter of the t-conorm, where it has one; `t_conorms.T_CONORMS` knows its domain.
        gamma: > 0, temperature of the depth softmax. Number or one-element tensor.
        shape: > 0, the shape of the gamma distributions.
        near, far: view depths between which depth is normalised; nothing is cut there.
        cutoff: faces with D up to this do not count (1e-6 in the paper's code).

    Raises:
        DomainError: a parameter is not positive or not finite, no such distribution or t-conorm, or p outside the
            domain of the t-conorm.
        DTypeError: a parameter is not a number.

    Source: GenDR, sections 3 and 4; defaults of its public code.
    """

    distribution: str = "uniform"
    tau: float | Tensor = 1e-2
    squared: bool = False
    t_conorm: str = "probabilistic"
    p: float = 1.0
    gamma: float | Tensor = 1e-3
    shape: float = 0.5
    near: float = 1.0
    far: float = 100.0
    cutoff: float = 1e-6
    deferrable = False
    textured = True

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise DomainError("distribution", repr(self.distribution), f"one of {', '.join(DISTRIBUTIONS)}")
        if self.t_conorm not in T_CONORMS:
            raise DomainError("t_conorm", repr(self.t_conorm), f"one of {', '.join(T_CONORMS)}")
        check_number("p", self.p)
        if not T_CONORMS[self.t_conorm].allows(self.p):
            raise DomainError("p", self.p, f"{T_CONORMS[self.t_conorm].domain} for the t-conorm {self.t_conorm}")
        check_positive("tau", self.tau, "NDC units (squared)" if self.squared else "NDC units")
        check_positive("gamma", self.gamma)
        check_positive("shape", self.shape)
        check_depths(self.near, self.far)
        check_cutoff(self.cutoff)

    @property
    def family(self) -> Family:
        """The same as a member of the distance family."""
        return Family(
            "squared" if self.squared else "linear",
            self.distribution,
            self.tau,
            self.shape,
            self.t_conorm,
            self.p,
            self.cutoff,
            self.gamma,
            self.near,
            self.far,
        )

    @classmethod
    def from_pixels(cls, edge_width: float, size: tuple[int, int], **others: object) -> GenDR:
        """Build from the edge width in pixels (see `edge_width_px`) instead of tau."""
        check_positive("edge_width", edge_width, "pixels")
        half = edge_width * pixel_pitch(size) / 2
        return cls(tau=half**2 if others.get("squared") else half, **others)  # type: ignore[arg-type]

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Pixels of an (H, W) image over which d / tau runs from -1 to 1."""
        tau = float(torch.as_tensor(self.tau).detach())
        return 2 * (tau**0.5 if self.squared else tau) / pixel_pitch(size)

    def reference(
        self,
        triangles: Tensor,
        attributes: Tensor,
        size: tuple[int, int],
        perspective: bool,
        texture: Texture | None = None,
    ) -> Layers:
        """The layers by dense torch."""
        return family.rasterize(self.family, triangles, attributes, size, perspective, texture)

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

        return family_stream.rasterize(self.family, triangles, attributes, size, perspective, texture)


def check_depths(near: float, far: float) -> None:
    """Raise `DomainError` unless 0 < near < far."""
    check_positive("near", near, "world units")
    check_positive("far", far, "world units")
    if far <= near:
        raise DomainError("far", far, f"more than near = {near}")


def check_number(name: str, value: float) -> None:
    """Raise `DTypeError` unless ``value`` is a plain number, `DomainError` unless it is finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DTypeError(name, type(value).__name__, "a number")
    if not math.isfinite(value):
        raise DomainError(name, value, "a finite number")


def check_cutoff(cutoff: float) -> None:
    """Raise `DomainError` unless 0 <= cutoff < 1."""
    check_number("cutoff", cutoff)
    if not 0 <= cutoff < 1:
        raise DomainError("cutoff", cutoff, "a coverage from 0 to below 1")
