"""How far a pixel lies from a face on the screen: what SoftRas, GenDR and DIB-R build their coverage on."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from labkit.render.raster.faces import barycentric_functions, edge_functions, edge_lengths, evaluate

Distance = Literal["linear", "squared", "barycentric"]
TOUCH = 1e-12  # NDC; keeps the slope of the distance to a corner finite at the corner
NOWHERE = 1e12  # barycentric units squared; where a face without area is taken to be


def signed_distance(triangles: Tensor, pixels: Tensor, kind: Distance) -> Tensor:
    """Signed distance from pixels to the outline of faces, positive inside, differentiable in the corners.

    "linear" is the Euclidean distance d to the nearest point of the outline, "squared" is d^2 with the sign of d,
    "barycentric" m |m| for the smallest barycentric coordinate m. A pixel lies inside if no edge disagrees, so that the
    outline, where the distance is 0, belongs to the face. A face without area has no inside: all distances are below
    0, and the barycentric one is far below. Among places equally near, the slope is that of one of them.

    Args:
        triangles: (B, F, 3, 3) NDC x, y and depth; the depth is not used.
        pixels: (P, 2) NDC.
        kind: as above.

    Returns:
        (B, P, F) in NDC units, NDC units squared, or barycentric units squared.
    """
    functions = edge_functions(triangles)  # (B, F, 3, 3)
    area = functions[..., 2].sum(-1)  # (B, F) twice the signed area
    turn = torch.where(area < 0, -1.0, 1.0).to(area)
    if kind == "barycentric":
        smallest = evaluate(barycentric_functions(functions), pixels).min(-1).values
        return torch.where((area != 0)[:, None], smallest * smallest.abs(), -NOWHERE)
    line = evaluate(functions * (turn[..., None] / edge_lengths(functions))[..., None], pixels)  # (B, P, F, 3)
    inside = (line >= 0).all(-1) & (area != 0)[:, None]  # (B, P, F)
    start, end = triangles[..., [1, 2, 0], :2], triangles[..., [2, 0, 1], :2]  # (B, F, 3, 2) ends of edge i
    from_start = pixels[:, None, None] - start[:, None]  # (B, P, F, 3, 2)
    along = (from_start * (end - start)[:, None]).sum(-1) / (functions[..., :2].square().sum(-1) + TOUCH**2)[:, None]
    beside = (along > 0) & (along < 1)  # the foot of the perpendicular lies on the edge
    to_corner = (pixels[:, None, None] - triangles[:, None, ..., :2]).square().sum(-1)
    if kind == "squared":
        inner, to_line = line.square(), line.square()
    else:  # inside, the line itself, which unlike its absolute value has a slope on the outline
        inner, to_line, to_corner = line, line.abs(), (to_corner + TOUCH**2).sqrt()
    outer = torch.cat((torch.where(beside, to_line, torch.inf), to_corner), dim=-1)  # (B, P, F, 6)
    return torch.where(inside, inner.min(-1).values, -outer.min(-1).values - TOUCH**2)
