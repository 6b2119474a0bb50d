"""What a pixel needs to know of a face: functions that are linear in the pixel position, prepared once per face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LENGTH_GUARD = 1e-6  # NDC; below any pixel, so that zero-length edges keep finite values and gradients
AREA_GUARD = 1e-15  # NDC squared; only keeps 0 / 0 away
FAINTEST = 1e-4  # presence of a face without area, which keeps its logarithm finite and its slope moderate


@dataclass(frozen=True)
class Faces:
    """Faces ready for the pixel loop of a soft rasterizer (reference and kernels read the same record).

    A linear function of the pixel is a triple (a, b, c), worth a * x + b * y + c at NDC x, y.

    Attributes:
        edges: (B, F, 3, 3) the scaled directed distances to the three edges, s det_i / m in AlgoNet's symbols.
        logit: (B, F) what depth adds to the log weight, -o z for the face's mean depth z.
        values: (B, F, K, C) attributes: K = 1, constant over the face, or K = 3, at its corners.
        valid: (B, F) False for faces that contribute nothing.
        log_presence: (B, F) log of a factor w in (0, 1) on the coverage of each face, or None for w = 1.
        barycentric: (B, F, 3, 3) barycentric coordinates of the three corners as linear functions.
        inverse_depth: (B, F, 3) 1 / z of the corners, ones where interpolation is affine.
        logit_slope: (B, F, 3) what each corner adds to ``logit`` when its interpolation weight is 1.

    The last three are None if everything is constant over the face.
    """

    edges: Tensor
    logit: Tensor
    values: Tensor
    valid: Tensor
    log_presence: Tensor | None = None
    barycentric: Tensor | None = None
    inverse_depth: Tensor | None = None
    logit_slope: Tensor | None = None

    def detailed(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """The three fields of per-pixel interpolation, or None."""
        if self.barycentric is None or self.inverse_depth is None or self.logit_slope is None:
            return None
        return self.barycentric, self.inverse_depth, self.logit_slope


def edge_functions(triangles: Tensor) -> Tensor:
    """Determinants of the three edges as linear functions of the pixel: edge length times signed distance.

    For the edge from v1 to v2, det = (v2x - v1x)(v1y - py) - (v2y - v1y)(v1x - px) (AlgoNet, Appendix A.2).
    Edge i lies opposite to corner i, so that det_i / sum(det) is the barycentric coordinate of corner i.

    Args:
        triangles: (..., 3, 3) NDC x, y and depth of the corners.

    Returns:
        (..., 3, 3) the triples (a, b, c) of the three edges.
    """
    start, end = triangles[..., [1, 2, 0], :2], triangles[..., [2, 0, 1], :2]  # (..., 3, 2) ends of edge i
    dx, dy = (end - start).unbind(-1)
    x, y = start.unbind(-1)
    return torch.stack((dy, -dx, dx * y - dy * x), dim=-1)


def edge_lengths(edges: Tensor) -> Tensor:
    """Guarded lengths (..., 3) in NDC of the edges given as `edge_functions` (..., 3, 3)."""
    return (edges[..., :2].square().sum(-1) + LENGTH_GUARD**2).sqrt()


def barycentric_functions(edges: Tensor, damping: float = 0.0) -> Tensor:
    """Barycentric coordinates of the three corners as linear functions, finite for faces without area.

    Args:
        edges: (..., 3, 3) from `edge_functions`.
        damping: area over the sum of the squared edge lengths at which the coordinates reach half of their value, so
            that they and their gradients stay moderate as a face becomes a needle; 0 for none.

    Returns:
        (..., 3, 3); without damping they sum to 1 where there is an area.
    """
    area = edges[..., 2].sum(-1)[..., None, None]  # (..., 1, 1) twice the signed area: sum of the determinants
    if not damping:  # where there is no area the coordinates are 0, and their slope, 1 / AREA_GUARD^2, says nothing
        area = torch.where(area == 0, 0.0, area)
    size = edge_lengths(edges).square().sum(-1)[..., None, None]
    return edges * area / (area.square() + (2 * damping * size).square() + AREA_GUARD**2)


def log_presence(edges: Tensor, sliver_fade: float) -> Tensor:
    """Log of w = q^2 / (q^2 + r^2), which fades needle-shaped faces; C-infinity, and independent of size.

    Args:
        edges: (..., 3, 3) from `edge_functions`.
        sliver_fade: r > 0, the shape at which a face is half present.

    Returns:
        (...,), where the shape q = 4 sqrt(3) area / (sum of the squared edge lengths) is 1 for an equilateral
        triangle and 0 for a needle.
    """
    area = edges[..., 2].sum(-1) / 2
    shape = 48 * area.square() / edge_lengths(edges).square().sum(-1).square()  # (...,) q^2
    return torch.log((shape + FAINTEST * sliver_fade**2) / (shape + (1 + FAINTEST) * sliver_fade**2))


def in_front(triangles: Tensor) -> Tensor:
    """(...,) True where all three corners of triangles (..., 3, 3) have a depth greater than zero."""
    return (triangles[..., 2] > 0).all(-1)


def evaluate(functions: Tensor, pixels: Tensor) -> Tensor:
    """Evaluate linear functions (B, F, 3, 3) at pixels (P, 2), giving (B, P, F, 3).

    Written out, not as a matrix product, so that every backend rounds alike.
    """
    a, b, c = functions[:, None].unbind(-1)  # (B, 1, F, 3) each
    x, y = pixels[None, :, None, None].unbind(-1)  # (1, P, 1, 1) each
    return a * x + b * y + c
