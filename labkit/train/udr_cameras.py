"""Cameras that may be a little off: a turn and a shift for each picture, learned with everything else."""

from __future__ import annotations

import torch
from kornia.geometry.conversions import axis_angle_to_rotation_matrix
from torch import Tensor, nn

from labkit.scene.rays import Views


class CameraOffsets(nn.Module):
    """The rays of given views, each turned and shifted by parameters that begin at zero.

    Args:
        views: B cameras as they were given.

    Attributes:
        turns: (B, 3), axis times angle in radians, in camera space.
        shifts: (B, 3), world units, in camera space.
    """

    def __init__(self, views: Views) -> None:
        super().__init__()
        self._views = views
        self.turns = nn.Parameter(torch.zeros_like(views.translation))
        self.shifts = nn.Parameter(torch.zeros_like(views.translation))

    def views(self) -> Views:
        """The views as they are now, differentiable in the parameters."""
        if not self.turns.requires_grad:
            return self._views
        turn = axis_angle_to_rotation_matrix(self.turns)  # (B, 3, 3)
        given = self._views
        moved = (turn @ given.translation[..., None])[..., 0] + self.shifts
        return Views(given.intrinsics, turn @ given.rotation, moved, given.size)

    def rays(self, view: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """See `Views.rays`."""
        return self.views().rays(view, pixel)
