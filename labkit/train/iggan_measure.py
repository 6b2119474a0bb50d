"""How good an IG-GAN run is: cavities, the discriminator's outputs that DOM matches, FID and KID."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from labkit.data.cavity import cavity_occupancy
from labkit.errors import DomainError
from labkit.nets.feature_net import FeatureNet
from labkit.train import features
from labkit.train.features import image_features
from labkit.train.fid import FeatureStatistics, frechet_distance, kernel_distance
from labkit.train.iggan_config import IGGAN
from labkit.train.iggan_loss import log_discriminator
from labkit.train.iggan_networks import Networks, binarized, latents
from labkit.train.iggan_scene import OffTheShelf, camera_of, category, data, rule_of, views
from labkit.train.randomness import generators

HOLLOW = ("bathtub", "couch")  # categories with a cavity


class Measures:
    """The figures of a run, of the same latents and views each time.

    Args:
        config: of the run.
        off_the_shelf: R_d, by which the shapes of all methods are compared.

    Raises:
        LabError: the features' run is missing, or sees pictures of another size.
    """

    def __init__(self, config: IGGAN, off_the_shelf: OffTheShelf) -> None:
        self.config, self.off_the_shelf, self.rule = config, off_the_shelf, rule_of(config.data)
        self.counted = f"(N={config.measured.pictures})"
        self.best = f"minus fid {self.counted}"
        self.features: FeatureNet | None = None
        if config.measured.features:
            self.features = features.load(config.measured.features)
            if self.features.size != config.size:
                got = f"features of pictures of {self.features.size} pixels"
                raise DomainError("measured.features", got, f"{config.size} pixels, as this run has")

    @torch.no_grad()
    def __call__(self, networks: Networks) -> dict[str, float]:
        """Figures of networks in evaluation mode.

        Returns:
            Of shapes: "occupied", the share of voxels above 0.5; "undecided", the mean of 4 x_c (1 - x_c), 0 for binary
            shapes; of bathtubs and couches "cavity", the mean of `labkit.data.cavity`, beside "cavity data", that of
            unseen shapes. Of IG-GAN "DOM error" and "DOM correlation", the mean squared difference of what `matched`
            gives, and its correlation. With features "fid (N=...)", "kid (N=...)", and the first with its sign turned.
        """
        told, found = self.config.measured, dict[str, float]()
        stream = generators(self.config.seed, "measured")["measured"]
        drawn = latents(self.config.generator, told.shapes, stream)
        angles = views(self.rule, told.shapes, stream)
        if self.config.method != "dcgan":
            shapes = networks.generator(drawn.to(networks.device))
            found["occupied"] = binarized(shapes).float().mean().item()
            found["undecided"] = (4 * shapes * (1 - shapes)).mean().item()
            if self.config.data.source in HOLLOW:
                found |= _cavity("cavity", shapes) | self.cavity_of_data
        if networks.neural is not None:
            neural, expected = matched(networks, drawn, angles, told.thresholds, self.off_the_shelf)
            found["DOM error"] = (neural - expected).square().mean().item()
            if len(neural) > 1 and min(neural.std().item(), expected.std().item()) > 0:
                found["DOM correlation"] = torch.corrcoef(torch.stack([neural, expected]))[0, 1].item()
        if self.features is not None:
            seen = image_features(self.features, self.pictures(networks, stream))
            fid = frechet_distance(FeatureStatistics.of(seen), FeatureStatistics.of(self.unseen))
            kid = kernel_distance(seen, self.unseen, stream)
            found |= {f"fid {self.counted}": fid.value, f"kid {self.counted}": kid.value, self.best: -fid.value}
        return found

    def pictures(self, networks: Networks, stream: torch.Generator) -> Tensor:
        """Samples in random views, (N, 1, H, W): shapes binarised at 0.5 and shaded by R_d; of "dcgan" as they are."""
        made = []
        for some in torch.arange(self.config.measured.pictures).split(self.config.batch):
            drawn = latents(self.config.generator, len(some), stream).to(networks.device)
            angles, result = views(self.rule, len(some), stream), networks.generator(drawn)
            shaded = self.config.method != "dcgan"
            made.append(self.off_the_shelf(binarized(result), camera_of(angles)) if shaded else result.cpu())
        return torch.cat(made)

    @cached_property
    def unseen(self) -> Tensor:
        """Features of shaded pictures of unseen shapes, (N, D); of a folder of its first N pictures."""
        source, count = data(self.config, unseen=self.config.measured.pictures), self.config.measured.pictures
        if source.count is None or source.count < count or self.features is None:
            raise DomainError("measured.pictures", count, f"at most {source.count}, as many as the folder holds")
        return image_features(self.features, source.images(torch.arange(count)))

    @cached_property
    def cavity_of_data(self) -> dict[str, float]:
        """ "cavity data": the mean over unseen shapes."""
        unseen = category(self.config.data, "test")
        if unseen is None:
            return {}
        grids = [unseen.voxels(n, self.config.resolution).values for n in range(self.config.measured.shapes)]
        return _cavity("cavity data", torch.stack(grids)[:, None].float())


def _cavity(name: str, shapes: Tensor) -> dict[str, float]:
    """The mean cavity occupancy of shapes (B, 1, N, N, N); nothing where none has a region for it."""
    occupancy = cavity_occupancy(shapes).occupancy
    return {name: occupancy.mean().item()} if len(occupancy) else {}


@torch.no_grad()
def matched(
    networks: Networks, drawn: Tensor, angles: Tensor, thresholds: int, off_the_shelf: OffTheShelf
) -> tuple[Tensor, Tensor]:
    """What discriminator output matching is to bring together (IG-GAN, section 3, below equation 8).

    Args:
        networks: of IG-GAN, in evaluation mode.
        drawn: z, (B, latent).
        angles: of the views, (B, 2).
        thresholds: T of them, in the middle of as many equal parts of [0, 1].
        off_the_shelf: R_d.

    Returns:
        F(R_phi(x_c)) and the mean of F(R_d(x_d)) over the thresholds, (B,) each.
    """
    camera, clip = camera_of(angles), networks.config.neural.clip
    shapes = networks.generator(drawn.to(networks.device))
    neural = log_discriminator(networks.discriminator(networks.picture(shapes, camera.rotation.to(shapes))), clip)
    levels = (torch.arange(thresholds) + 0.5) / thresholds
    seen = [off_the_shelf(binarized(shapes, level.item()), camera).to(shapes) for level in levels]
    outputs = [log_discriminator(networks.discriminator(pictures), clip) for pictures in seen]
    return neural, torch.stack(outputs).mean(0)
