"""The same f seen as a cloud around its surface: colours alone, without masks, can then carve a shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.data.multiview import Pixels
from labkit.nets.appearance import Appearance
from labkit.nets.sdf import SDFNet
from labkit.render.volume_sdf import render_rays
from labkit.train.udr_cameras import CameraOffsets
from labkit.train.udr_config import LossConfig, VolumeConfig
from labkit.train.udr_loss import eikonal

ROUNDS = 2  # in which the finer samples are placed


class VolumeLoss(nn.Module):
    """L1 of volume-rendered colours over white, and the eikonal term (VolSDF, Yariv et al. 2021, equation 15).

    Args:
        field, appearance: f and M.
        cameras: where the rays come from.
        volume, config, radius: see `labkit.train.udr_config`; ``radius`` of the sphere that is looked into.
        world: processes that share a step's rays.
    """

    def __init__(
        self,
        field: SDFNet,
        appearance: Appearance,
        cameras: CameraOffsets,
        volume: VolumeConfig,
        config: LossConfig,
        radius: float,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.field, self.appearance, self.cameras = field, appearance, cameras
        self.volume, self.config, self.radius, self.world = volume, config, radius, world
        self.log_beta = nn.Parameter(torch.tensor(volume.beta).log())

    def forward(self, pixels: Pixels, points: Tensor, fractions: Tensor, step: int) -> dict[str, Tensor]:
        """The terms, weighted, each (); arguments as of `labkit.train.udr_loss.SurfaceLoss`, of which masks,
        ``fractions`` and ``step`` play no part."""
        origins, directions = self.cameras.rays(pixels.view, pixels.pixel)
        fine = self.volume.samples // (2 * ROUNDS)
        seen = render_rays(
            self.field,
            self._shade,
            origins,
            directions,
            self.log_beta.exp(),
            None,  # samples in the middle of their shares: the same for one process as for many
            radius=self.radius,
            coarse=self.volume.samples - ROUNDS * fine,
            fine=fine,
            rounds=ROUNDS,
        )
        error = (seen.color + (1 - seen.alpha)[:, None] - pixels.color).abs().sum(-1)  # (N,)
        scale = self.world if self.config.reduction == "sum" else 1 / len(error)
        return {"color": scale * error.sum(), "eikonal": self.config.eikonal * eikonal(self.field, points)}

    def _shade(self, points: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
        features = self.field.full(points)[2] if self.appearance.features else None
        return self.appearance(points, normals, directions, features)
