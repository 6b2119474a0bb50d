"""AlgoNet's C-infinity smooth renderer: soft edges by steepness, soft depth by opacity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import DomainError, check_positive
from labkit.render.raster import reference
from labkit.render.raster.faces import (
    Faces,
    barycentric_functions,
    edge_functions,
    edge_lengths,
    in_front,
    log_presence,
)
from labkit.render.raster.layers import Layers
from labkit.render.raster.pixels import pixel_pitch

NEEDLE = 1e-3  # area over squared edge lengths below which interpolation across a face fades to its mean


@dataclass(frozen=True)
class AlgoNet:
    """The smooth rasterizer of AlgoNet (Appendix A).

    Coverage V is the product over the edges of sigma(s det / m) plus the same product with the sign turned; m is the
    softmin-weighted mean of the three edge lengths. Colour weights Z are the softmin of o z weighted by V, with z the
    mean depth of the corners. Alpha is 1 - prod(1 - V).

    Known properties, all of the formula itself: V is 0.25 at a corner and 0.5 on an edge; faces smaller than 1/s fade
    to 0.25; slivers leak past their tips; two faces that share an edge reach an alpha of 0.75 on it; a near face of
    tiny V outshines a far one by exp(o times the depth difference), which is seen as a halo.

    Attributes:
        steepness: s > 0, per NDC unit. The edge fades from 0.27 to 0.73 over 2 / s. Number or one-element tensor.
        opacity: o > 0, per unit of depth. Number or one-element tensor.
        depth: "mean" (the paper's: one depth a face) or "pixel" (interpolated at each pixel; faces may intersect).
        color: "flat" (the paper's: mean of the corner attributes) or "barycentric" (interpolated, smoothly clamped
            to the face, see `reference.smooth_clamp`).
        sliver_fade: 0 (the paper's formula), or the shape r > 0 at which a needle-shaped face is faded to half (see
            `faces.log_presence`; 0.1 removes the needles that curved meshes shoot out at their silhouettes). This is
            labkit's own addition, not the paper's.

    Raises:
        DomainError: steepness or opacity zero, negative or not finite; an unknown choice for depth or color.
    """

    steepness: float | Tensor = 100.0
    opacity: float | Tensor = 20.0
    depth: Literal["mean", "pixel"] = "mean"
    color: Literal["flat", "barycentric"] = "flat"
    sliver_fade: float = 0.0
    deferrable = False
    textured = False

    def __post_init__(self) -> None:
        check_positive("steepness", self.steepness, "per NDC unit")
        check_positive("opacity", self.opacity, "per unit of depth")
        if self.depth not in ("mean", "pixel"):
            raise DomainError("depth", self.depth, "'mean' or 'pixel'")
        if self.color not in ("flat", "barycentric"):
            raise DomainError("color", self.color, "'flat' or 'barycentric'")
        if self.sliver_fade:
            check_positive("sliver_fade", self.sliver_fade)

    @classmethod
    def from_pixels(cls, edge_width: float, opacity: float | Tensor, size: tuple[int, int]) -> AlgoNet:
        """Build from the edge width in pixels instead of the steepness (see `edge_width_px`)."""
        check_positive("edge_width", edge_width, "pixels")
        return cls(2.0 / (edge_width * pixel_pitch(size)), opacity)

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Width 2 / s of the soft edge, where sigma runs from 0.27 to 0.73, in pixels of an (H, W) image."""
        return 2.0 / float(torch.as_tensor(self.steepness).detach()) / pixel_pitch(size)

    def prepare(self, triangles: Tensor, attributes: Tensor, perspective: bool) -> Faces:
        """Per-face quantities of Appendix A; differentiable in everything.

        Args:
            triangles: (B, F, 3, 3) NDC x, y and depth.
            attributes: (B, F, 3, C) at the corners.
            perspective: interpolate perspective-correctly (only where something is interpolated).
        """
        functions = edge_functions(triangles)  # (B, F, 3, 3)
        lengths = edge_lengths(functions)  # (B, F, 3)
        scale = (torch.softmax(-lengths, dim=-1) * lengths).sum(-1)  # (B, F) m of Appendix A.2
        steepness = torch.as_tensor(self.steepness).to(triangles).reshape(())
        opacity = torch.as_tensor(self.opacity).to(triangles).reshape(())
        depth = triangles[..., 2]  # (B, F, 3)
        mean_depth = depth.mean(-1)
        # Only differences of depth count; from the nearest face on, they keep their digits.
        nearest = mean_depth.detach().amin(-1, keepdim=True) if mean_depth.shape[1] else 0.0
        point = (functions[..., :2] == 0).all(-1).all(-1)  # three equal corners: no direction, no edge, no area
        faces = Faces(
            edges=functions * (steepness / scale)[..., None, None],
            logit=-opacity * (mean_depth - nearest),
            values=attributes if self.color == "barycentric" else attributes.mean(2, keepdim=True),
            valid=in_front(triangles) & ~point,
            log_presence=log_presence(functions, self.sliver_fade) if self.sliver_fade else None,
        )
        if self.depth == "mean" and self.color == "flat":
            return faces
        slope = -opacity * (depth - mean_depth[..., None])
        return replace(
            faces,
            barycentric=barycentric_functions(functions, NEEDLE),
            inverse_depth=1 / torch.where(faces.valid[..., None], depth, 1.0)
            if perspective
            else torch.ones_like(depth),
            logit_slope=slope if self.depth == "pixel" else torch.zeros_like(slope),
        )

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The layers by dense torch."""
        return _layers(*reference.rasterize(self.prepare(triangles, attributes, perspective), size))

    def kernel(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The same by the streaming CPU kernel; faces are prepared in float64, pixels run in float32."""
        from labkit.render.raster import stream

        return _layers(*stream.rasterize(self.prepare(triangles.double(), attributes.double(), perspective), size))


def _layers(mean: Tensor, alpha: Tensor) -> Layers:
    """From the mean attribute (B, C, H, W) of the faces and alpha (B, 1, H, W)."""
    return Layers(alpha * mean, 1 - alpha, alpha)
