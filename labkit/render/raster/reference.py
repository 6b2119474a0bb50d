"""The reference of the soft rasterizers: dense torch over all pixel-face pairs, any dtype, any order of derivative.

It is the specification. The kernels are tested against it, and notebooks show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from labkit.render.raster.faces import Faces, evaluate
from labkit.render.raster.pixels import pixel_centers, to_image

PAIRS_AT_ONCE = 1 << 22  # pixel-face pairs held in memory; more are computed piecewise and recomputed in backward
CLAMP_WIDTH = 0.01  # barycentric units over which interpolation bends at an edge instead of breaking off
NOTHING = -1e30  # log weight of a face that contributes nothing; finite, so that no inf - inf can arise


@dataclass(frozen=True)
class Fragments:
    """All that meets in the pixels: one row per pixel, one column per face.

    Attributes:
        log_coverage: (B, P, F) log V.
        log_uncovered: (B, P, F) log(1 - V), exact also where V rounds to 1.
        log_weight: (B, P, F) log of V exp(-o z).
        weight: (B, P, F) the smooth z-buffer Z: ``log_weight`` under a softmax over the faces.
        values: (B, P or 1, F, C) attributes of each face at each pixel.
    """

    log_coverage: Tensor
    log_uncovered: Tensor
    log_weight: Tensor
    weight: Tensor
    values: Tensor


def visibility(distance: Tensor) -> tuple[Tensor, Tensor]:
    """AlgoNet's visibility V of faces in pixels, in the log domain.

    V = prod_i sigma(x_i) + prod_i sigma(-x_i): the product over the edges plus the same with the sign turned, so that
    the winding does not matter (Appendix A.2). Of the eight products that pick sigma(x_i) or sigma(-x_i) for each
    edge, and that sum to 1, V is the two unanimous ones; 1 - V is the six mixed ones, added up without cancellation.

    Args:
        distance: (..., 3) x_i = s det_i / m for the three edges.

    Returns:
        log V and log(1 - V), each (...,).
    """
    inside, outside = logsigmoid(distance), logsigmoid(-distance)  # (..., 3)
    mixed = [
        one.roll(turn, -1)[..., 0] + other.roll(turn, -1)[..., 1:].sum(-1)  # one edge disagrees with the other two
        for one, other in ((inside, outside), (outside, inside))
        for turn in range(3)
    ]
    return torch.logaddexp(inside.sum(-1), outside.sum(-1)), torch.stack(mixed, dim=-1).logsumexp(-1)


def smooth_clamp(barycentric: Tensor) -> Tensor:
    """A C-infinity stand-in for max(b, 0): (b + sqrt(b^2 + w^2)) / 2 with w = `CLAMP_WIDTH`; any shape."""
    return (barycentric + (barycentric.square() + CLAMP_WIDTH**2).sqrt()) / 2


def fragments(faces: Faces, pixels: Tensor) -> Fragments:
    """Everything that the faces contribute to the pixels (P, 2) given in NDC; memory grows with P times F."""
    log_coverage, log_uncovered = visibility(evaluate(faces.edges, pixels))  # (B, P, F) each
    if faces.log_presence is not None:
        log_presence = faces.log_presence[:, None]  # (B, 1, F)
        log_uncovered = ((log_presence + log_uncovered).exp() - torch.expm1(log_presence)).log()  # 1 - w V
        log_coverage = log_coverage + log_presence
    logit, values = faces.logit[:, None], faces.values.mean(2)[:, None]  # (B, 1, F), (B, 1, F, C)
    if (detail := faces.detailed()) is not None:
        barycentric, inverse_depth, logit_slope = detail
        corner = smooth_clamp(evaluate(barycentric, pixels)) * inverse_depth[:, None]  # (B, P, F, 3)
        corner = corner / corner.sum(-1, keepdim=True)
        logit = logit + (corner * logit_slope[:, None]).sum(-1)  # (B, P, F)
        values = torch.einsum("bpfk,bfkc->bpfc", corner, faces.values.expand(-1, -1, 3, -1))
    hidden = ~faces.valid[:, None]  # (B, 1, F)
    log_coverage = log_coverage.masked_fill(hidden, NOTHING)
    log_weight = log_coverage + logit.masked_fill(hidden, 0)
    return Fragments(log_coverage, log_uncovered.masked_fill(hidden, 0), log_weight, log_weight.softmax(dim=-1), values)


def aggregate(faces: Faces, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean attribute sum_f Z_f c_f (B, P, C) and alpha = 1 - prod_f (1 - V_f) (B, P, 1) at the pixels (P, 2)."""
    found = fragments(faces, pixels)
    mean = torch.einsum("bpf,bpfc->bpc", found.weight, found.values.expand(-1, len(pixels), -1, -1))
    return mean, -torch.expm1(found.log_uncovered.sum(-1, keepdim=True))


def rasterize(faces: Faces, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """`aggregate` for every pixel of an image: mean attribute (B, C, H, W) and alpha (B, 1, H, W)."""
    pixels = pixel_centers(size, faces.edges.dtype, faces.edges.device)
    parts = [
        aggregate(faces, chunk)
        if len(chunk) == len(pixels)
        else checkpoint(aggregate, faces, chunk, use_reentrant=False)
        for chunk in pixel_chunks(pixels, faces.edges[..., 0, 0].numel())
    ]
    mean, alpha = (torch.cat(images, dim=1) for images in zip(*parts, strict=True))
    return to_image(mean, size), to_image(alpha, size)


def pixel_chunks(pixels: Tensor, faces: int) -> Iterator[Tensor]:
    """Split pixels (P, 2) so that a chunk meets ``faces`` faces in at most `PAIRS_AT_ONCE` pairs."""
    yield from pixels.split(max(1, PAIRS_AT_ONCE // max(faces, 1)))
