"""The methods that IG-GAN is compared with: generators seen through a renderer that is differentiable itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from torch import Tensor

from labkit.train.distributed import Team
from labkit.train.iggan_config import IGGAN
from labkit.train.iggan_scene import camera_of
from labkit.train.iggan_trainer import Game


class BaselineGame(Game):
    """Visual hull, absorption only, emission-absorption, and the 2D-DCGAN, with IG-GAN's D (section 4.3).

    A shape's picture is made of x_c itself, without a threshold, by the method's own renderer, which made the data's
    pictures too; the DCGAN's generator makes pictures like the shaded ones.
    """

    def __init__(self, config: IGGAN, team: Team, stack: ExitStack) -> None:
        self.style = "shaded" if config.method == "dcgan" else config.method
        super().__init__(config, team, stack)

    def play(self, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """D, then G."""
        made = self.networks.generator(drawn["latents"].to(self.team.device))
        if self.config.method != "dcgan":
            made = self.networks.picture(made, camera_of(drawn["views"]).rotation.to(self.team.device))
        return self.judge(drawn["data"], made) | self.fool(made)
