"""The networks of an IG-GAN run, how they show shapes, and the same out of a checkpoint."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from labkit.data.rendered_source import VOLUMES
from labkit.errors import DomainError
from labkit.geometry import Mesh
from labkit.geometry.rigid_grid import embed
from labkit.nets.dcgan import ImageDiscriminator, ImageGenerator, doublings
from labkit.nets.rendernet import RenderNet
from labkit.nets.voxel_generator import VoxelGenerator
from labkit.scene import Camera
from labkit.train.checkpoint import Checkpoints
from labkit.train.config import from_json
from labkit.train.iggan_config import IGGAN, GeneratorConfig
from labkit.train.iggan_loss import log_discriminator
from labkit.train.iggan_scene import OffTheShelf, grid_of
from labkit.train.run_folder import RunFolder
from labkit.train.train_state import restore_module


class Look(NamedTuple):
    """Generated shapes as everyone sees them.

    Attributes:
        shapes: x_c, (B, 1, N, N, N) in (0, 1).
        meshes: the surfaces of x_d, B of them; empty where nothing exceeds the threshold.
        neural: R_phi(x_c), of a baseline its own picture, (B, 1, 2N, 2N).
        off_the_shelf: R_d(x_d), (B, 1, 2N, 2N).
        neural_output: F = log D of ``neural``, (B,).
        off_the_shelf_output: F of ``off_the_shelf``, (B,); equation 8 brings the two together.
    """

    shapes: Tensor
    meshes: list[Mesh]
    neural: Tensor
    off_the_shelf: Tensor
    neural_output: Tensor
    off_the_shelf_output: Tensor


@dataclass(frozen=True, eq=False)
class Networks:
    """G, D and, of IG-GAN itself, R_phi.

    Attributes:
        config: of the run.
        generator: z (B, latent) to shapes (B, 1, N, N, N); of "dcgan" to pictures (B, 1, 2N, 2N); all in (0, 1).
        discriminator: pictures (B, 1, 2N, 2N) to logits (B,).
        neural: turned shapes (B, 1, 2N, 2N, 2N) to pictures; None for baselines.
    """

    config: IGGAN
    generator: nn.Module
    discriminator: nn.Module
    neural: nn.Module | None

    @classmethod
    def fresh(cls, config: IGGAN, stream: torch.Generator) -> Self:
        """New ones, drawn from ``stream``, on the CPU.

        Raises:
            DomainError: a width that a network cannot have.
        """
        net = config.generator
        if config.method == "dcgan":
            width = net.width >> (doublings("size", config.size, 1024) - 1)  # of the last hidden layer
            generator: nn.Module = ImageGenerator(config.size, net.latent, width, norm=net.norm, generator=stream)
        else:
            generator = VoxelGenerator(net.latent, config.resolution, net.width, net.norm, generator=stream)
        discriminator = ImageDiscriminator(config.size, config.discriminator.width, generator=stream)
        neural = RenderNet.iggan(config.size, config.neural.width, generator=stream)
        # Most of a picture is background. From grey it would rush there and on, and stay where the sigmoid is flat.
        start = torch.tensor(config.off_the_shelf.background).clamp(0.1, 0.9).logit()
        nn.init.constant_(neural.picture[-1].get_parameter("conv.bias"), start.item())
        return cls(config, generator, discriminator, neural if config.method == "iggan" else None)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Those that there are, by name."""
        named = {"generator": self.generator, "discriminator": self.discriminator, "neural": self.neural}
        return {name: module for name, module in named.items() if module is not None}

    def frozen(self) -> Self:
        """A copy as it is now, in evaluation mode and without gradients of its own."""
        copied = copy.deepcopy(self)
        for module in copied.modules.values():
            module.eval().requires_grad_(False)
        return copied

    @property
    def device(self) -> torch.device:
        """Where they compute."""
        return next(self.discriminator.parameters()).device

    def picture(self, shapes: Tensor, rotation: Tensor) -> Tensor:
        """What the differentiable renderer of the method shows: R_phi, or a baseline's own; differentiable in both.

        Args:
            shapes: (B, 1, N, N, N) in [0, 1].
            rotation: world to camera, (B, 3, 3).

        Returns:
            (B, 1, 2N, 2N).

        Raises:
            DomainError: "dcgan", which has no shapes.
        """
        if self.config.method == "dcgan":
            raise DomainError("method", "dcgan", "a method that generates shapes")
        turned = embed(shapes, rotation, self.config.size)  # (B, 1, 2N, 2N, 2N)
        if self.neural is not None:
            seen: Tensor = self.neural(turned)
            return seen
        background = self.config.off_the_shelf.background
        return VOLUMES[self.config.method](turned, background=background, **self.config.volume)

    @torch.no_grad()
    def look(self, latents: Tensor, camera: Camera, threshold: float | Tensor, off_the_shelf: OffTheShelf) -> Look:
        """See what the networks make of latents.

        Args:
            latents: z, (B, latent).
            camera: of `labkit.train.iggan_scene.camera`, B of them.
            threshold: t, a number or (B,) in [0, 1]: x_d is where x_c exceeds it.
            off_the_shelf: R_d.

        Raises:
            LabError: "dcgan", which has no shapes; or wrong arguments.
        """
        shapes: Tensor = self.generator(latents.to(self.device))
        neural = self.picture(shapes, camera.rotation.to(self.device))
        solid = binarized(shapes, threshold)
        seen = off_the_shelf(solid, camera).to(self.device)
        outputs = [log_discriminator(self.discriminator(images), self.config.neural.clip) for images in (neural, seen)]
        return Look(shapes, [grid_of(shape).to_mesh() for shape in solid], neural, seen, *outputs)


def binarized(shapes: Tensor, threshold: float | Tensor = 0.5) -> Tensor:
    """x_d: where x_c exceeds t, one t for all or for each shape (B,); (B, 1, N, N, N) bool."""
    if isinstance(threshold, Tensor):
        threshold = threshold.to(shapes).view(-1, 1, 1, 1, 1)
    return shapes > threshold


def latents(config: GeneratorConfig, count: int, stream: torch.Generator) -> Tensor:
    """Draw z from its prior, (count, latent), on the stream's device."""
    shape = (count, config.latent)
    if config.prior == "normal":
        return torch.randn(shape, generator=stream, device=stream.device)
    return 2 * torch.rand(shape, generator=stream, device=stream.device) - 1


def load(run_dir: str | Path, number: int | str = "latest", device: torch.device | str = "cpu") -> Networks:
    """The networks of a checkpoint, in evaluation mode and without gradients of their own, with their config.

    Args:
        run_dir: folder of a run of this recipe.
        number: steps done, "latest" or "best".
        device: where they are to compute.

    Raises:
        DomainError: a run of another recipe.
        LabError: a folder or checkpoint that is missing, broken, or does not fit.
    """
    folder = RunFolder.open(run_dir)
    if folder.recipe != "iggan":
        raise DomainError("run_dir", f"a run of {folder.recipe}", "a run of iggan")
    networks = Networks.fresh(from_json(IGGAN, folder.config), torch.Generator())
    _, state = Checkpoints(run_dir).load(number)
    for name, module in networks.modules.items():
        restore_module(state, name, module)
        module.to(device).eval().requires_grad_(False)
    return networks
