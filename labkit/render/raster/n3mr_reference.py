"""The scan-line rule of the Neural 3D Mesh Renderer, dense in torch: every seen face with every pixel of the picture.

It is the specification (the rule in words stands in `n3mr.N3MR`); `kernel_cpu_n3mr.py` is tested against it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.render.raster.reference import PAIRS_AT_ONCE


def scan_lines(corners: Tensor, seen: Tensor, values: Tensor, incoming: Tensor, pitch: float, eps: float) -> Tensor:
    """Surrogate gradient of one picture by the first coordinate of the corners, from its R lines of N pixels.

    For the second coordinate pass everything transposed; a reflection turns the winding, and with it all signs.
    Time and memory grow with F R N.

    Args:
        corners: (F, 3, 2) float64, pixel units: position on the line and number of the line.
        seen: (R, N) int64 index of the face that the pixel sees, -1 for none.
        values: (R, N, C) float64, the picture I.
        incoming: (R, N, C) float64, dL/dI.
        pitch: width of a pixel in NDC.
        eps: NDC, added to distances.

    Returns:
        (F, 3) float64, per NDC.
    """
    gradient = torch.zeros_like(corners[..., 0])
    names = seen.unique()
    for faces in names[names >= 0].split(max(1, PAIRS_AT_ONCE // (3 * seen.numel()))):
        to_start, to_end = _pull(corners[faces], faces, seen, values, incoming, pitch, eps)
        gradient[faces] = to_start + to_end.roll(1, dims=1)  # edge i runs from corner i to corner i + 1
    return gradient


def _pull(
    start: Tensor, faces: Tensor, seen: Tensor, values: Tensor, incoming: Tensor, pitch: float, eps: float
) -> tuple[Tensor, Tensor]:
    """Gradients of the starts and of the ends of the edges, (F, 3) each, of some ``faces`` with corners ``start``."""
    rows, length = seen.shape
    line = torch.arange(rows, device=seen.device)
    place = torch.arange(length, device=seen.device)
    end = start.roll(-1, dims=1)
    across, up = (end - start)[..., None].unbind(-2)  # (F, 3, 1) the edge
    area = (across * up.roll(-1, dims=1) - up * across.roll(-1, dims=1))[:, :1]  # (F, 1, 1) twice, signed
    direction = area.sign() * up.sign()  # (F, 3, 1) outwards on the line
    run = torch.where(up == 0, 1.0, up)

    # Where each line (R) crosses each edge, and the pixels on both sides of it: (F, 3, R)
    low, high = torch.minimum(start[..., 1:], end[..., 1:]), torch.maximum(start[..., 1:], end[..., 1:])
    cross = across / run * (line - start[..., 1:]) + start[..., :1]
    inner = torch.where(direction > 0, cross.floor(), cross.ceil())
    outer = inner + direction
    crossed = (low <= line) & (line <= high) & (direction != 0)
    crossed &= (torch.minimum(inner, outer) >= 0) & (torch.maximum(inner, outer) < length)
    inner, outer = (pixel.where(crossed, 0.0).long() for pixel in (inner, outer))

    # What each pixel (N) of the line would gain by looking like the pixel on the other side: (F, 3, R, N)
    outside = (place - inner[..., None]) * direction[..., None] > 0
    own = seen == faces[:, None, None, None]  # (F, 1, R, N)
    owned = seen[line, inner] == faces[:, None, None]  # (F, 3, R)
    covered, uncovered = (torch.einsum("firc,rnc->firn", values[line, pixel], incoming) for pixel in (inner, outer))
    gain = (values * incoming).sum(-1) - torch.where(outside, covered, uncovered)
    counts = crossed[..., None] & torch.where(outside, owned[..., None], own)
    gain = gain.clamp(min=0).where(counts, 0.0)

    # Distance that the edge moves on this line, and how much of a motion of either end arrives there
    signed = gain * torch.where(outside, -direction[..., None], direction[..., None])
    distance = pitch * (place - cross[..., None]).abs()
    shares = (end[..., 1:] - line) / run, (line - start[..., 1:]) / run  # (F, 3, R)
    to_start, to_end = (
        (signed / (distance / share.where(share > 0, 1.0)[..., None] + eps)).where(share[..., None] > 0, 0.0)
        for share in shares
    )
    return to_start.sum((-2, -1)), to_end.sum((-2, -1))
