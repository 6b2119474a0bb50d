"""Faces at the near plane: what lies behind is hidden, what crosses is cut, nothing is mirrored or NaN."""

from __future__ import annotations

import torch
from torch import Tensor

HIDDEN_DEPTH = -1.0  # the rasterizers skip faces with a depth of zero or less


def clip_near(corners: Tensor, attributes: Tensor, near: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cut faces at the plane of depth ``near`` in front of the camera.

    Faces behind the plane are marked hidden, faces that cross it are hidden and replaced by one or two pieces that are
    appended, with attributes interpolated linearly in space. The number of faces grows only if something crosses.
    Differentiable, except that whether a corner lies in front of the plane has no derivative.

    Args:
        corners: (B, F, 3, 3) in camera space (the camera looks along -z).
        attributes: (B, F, 3, C) at the corners.
        near: depth of the plane, greater than 0.

    Returns:
        corners (B, F', 3, 3), attributes (B, F', 3, C), hidden (B, F') and the index (B, F') of the face that each
        piece stems from.
    """
    depth = -corners[..., 2]  # (B, F, 3)
    front = depth >= near
    count = front.sum(-1)  # (B, F) corners in front
    index = torch.arange(corners.shape[1], device=corners.device).expand(len(corners), -1)
    hidden = count < 3
    batch, face = ((count == 1) | (count == 2)).nonzero().unbind(-1)  # (N,) faces that cross
    if not len(batch):
        return corners, attributes, hidden, index
    both = torch.cat((corners, attributes), dim=-1)[batch, face]  # (N, 3, 3 + C)
    one_in_front = count[batch, face] == 1
    lone = (front[batch, face] == one_in_front[:, None]).int().argmax(-1)  # the corner on its own side of the plane
    turned = (lone[:, None] + torch.arange(3, device=lone.device)) % 3  # keeps the winding
    a, b, c = both.gather(1, turned[..., None].expand_as(both)).unbind(1)  # (N, 3 + C), a is the lone corner
    to_b, to_c = (cut(a, other, near) for other in (b, c))
    single = one_in_front[:, None, None]
    pieces = torch.stack(
        (
            torch.where(single, torch.stack((a, to_b, to_c), 1), torch.stack((to_b, b, c), 1)),
            torch.stack((to_b, c, to_c), 1),
        ),
        dim=1,
    )  # (N, 2, 3, 3 + C)
    rank = torch.arange(len(batch), device=batch.device) - torch.searchsorted(batch, batch)  # within its batch entry
    extra = 2 * (int(rank.max()) + 1)
    slots = 2 * rank[:, None] + torch.arange(2, device=rank.device)  # (N, 2)
    added = both.new_zeros(len(corners), extra, *both.shape[1:]).index_put((batch[:, None], slots), pieces)
    added_hidden = torch.ones_like(hidden[:, :1]).repeat(1, extra)
    added_hidden[batch[:, None], slots] = torch.stack((torch.zeros_like(one_in_front), one_in_front), -1)
    added_index = index.new_zeros(len(corners), extra)
    added_index[batch[:, None], slots] = face[:, None].expand(-1, 2)
    return (
        torch.cat((corners, added[..., :3]), dim=1),
        torch.cat((attributes, added[..., 3:]), dim=1),
        torch.cat((hidden, added_hidden), dim=1),
        torch.cat((index, added_index), dim=1),
    )


def cut(start: Tensor, end: Tensor, near: float) -> Tensor:
    """The points (N, 3 + C) where the segments from ``start`` to ``end``, on either side, meet the near plane."""
    part = (near + start[:, 2]) / (start[:, 2] - end[:, 2])
    return torch.lerp(start, end, part[:, None])
