"""Questions to the newest checkpoint of an IG-GAN run: one shape as both renderers show it, and what D says of many."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from labkit.data.contact_sheet import contact_sheet
from labkit.lab.state import between
from labkit.lab.training_plan import TrainingState
from labkit.train.config import resolve_device
from labkit.train.iggan import load
from labkit.train.iggan_config import GeneratorConfig, RenderConfig
from labkit.train.iggan_loss import log_discriminator
from labkit.train.iggan_measure import matched
from labkit.train.iggan_networks import Look, Networks, binarized, latents
from labkit.train.iggan_scene import OffTheShelf, camera_of, rule_of, views
from labkit.train.randomness import generators

LEVELS = 9  # thresholds t of the strip and the curve
CHUNK = 4  # shapes that are seen at once: those of a fine grid take much memory


@dataclass(frozen=True)
class IGGANState(TrainingState):
    """What the controls say.

    Attributes:
        first, second: numbers of the latents that the walk begins and ends with.
        walk: how far, from 0 to 1.
        threshold: t; x_d is where x_c exceeds it.
        azimuth, elevation: of the camera, degrees.
    """

    first: int = between(1, 0, 9999)
    second: int = between(2, 0, 9999)
    walk: float = between(0.0, 0.0, 1.0)
    threshold: float = between(0.5, 0.0, 1.0)
    azimuth: float = between(30.0, -180.0, 180.0)
    elevation: float = between(35.0, -60.0, 85.0)


@dataclass(frozen=True)
class Levels:
    """One shape x_c, binarised at several t and rendered off the shelf (IG-GAN, figure 7).

    Attributes:
        thresholds: t, (T,), in the middle of equal parts of [0, 1].
        pictures: R_d(x_c > t) beside each other, (1, H, W').
        outputs: log D of them, (T,).
    """

    thresholds: Tensor
    pictures: Tensor
    outputs: Tensor


class Probe:
    """The networks of one checkpoint at a time, and R_d, which is opened once and stays; any thread may ask.

    Raises, whatever is asked:
        LabError: the checkpoint or the renderer is not there.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: tuple[tuple[Path, int], Networks] | None = None
        self._opened: dict[tuple[RenderConfig, int], OffTheShelf] = {}
        self._stack = ExitStack()

    def look(self, run: Path, number: int, state: IGGANState) -> Look:
        """One shape on the walk from one latent to the other, B = 1.

        Args:
            run: its folder; not one of the method "dcgan".
            number: of steps in its newest checkpoint.
            state: the controls.
        """
        networks, off_the_shelf = self._ready(run, number)
        camera = camera_of(torch.tensor([[state.azimuth, state.elevation]]))
        latent = walked(networks.config.generator, state.first, state.second, state.walk)
        return networks.look(latent, camera, state.threshold, off_the_shelf)

    def levels(self, run: Path, number: int, state: IGGANState, shape: Tensor) -> Levels:
        """The shape x_c (1, 1, N, N, N) of a look at `LEVELS` thresholds, from the same camera."""
        networks, off_the_shelf = self._ready(run, number)
        thresholds = (torch.arange(LEVELS) + 0.5) / LEVELS
        solid = binarized(shape.expand(LEVELS, -1, -1, -1, -1), thresholds)
        angles = torch.tensor([[state.azimuth, state.elevation]]).expand(LEVELS, 2)
        pictures = off_the_shelf(solid, camera_of(angles))
        with torch.no_grad():
            logits = networks.discriminator(pictures.to(networks.device))
        outputs = log_discriminator(logits, networks.config.neural.clip).cpu()
        return Levels(thresholds, contact_sheet(pictures, columns=LEVELS), outputs)

    def matched(self, run: Path, number: int) -> tuple[Tensor, Tensor]:
        """log D(R_phi(x_c)) and the mean of log D(R_d(x_d)) over t, (B,) each, of IG-GAN itself.

        The shapes, views and thresholds are those of the figure "DOM error".
        """
        networks, off_the_shelf = self._ready(run, number)
        config, stream = networks.config, generators(networks.config.seed, "measured")["measured"]
        drawn = latents(config.generator, config.measured.shapes, stream)
        angles = views(rule_of(config.data), config.measured.shapes, stream)
        pairs = [
            matched(networks, drawn[some], angles[some], config.measured.thresholds, off_the_shelf)
            for some in torch.arange(len(drawn)).split(CHUNK)
        ]
        neural, expected = (torch.cat(values).cpu() for values in zip(*pairs, strict=True))
        return neural, expected

    def close(self) -> None:
        """Give the renderers back; nothing may be asked any more."""
        self._stack.close()

    def _ready(self, run: Path, number: int) -> tuple[Networks, OffTheShelf]:
        with self._lock:
            if self._loaded is None or self._loaded[0] != (run, number):
                self._loaded = (run, number), load(run, device=resolve_device("auto"))
            networks = self._loaded[1]
            told = replace(networks.config.off_the_shelf, processes=1)
            key = told, networks.config.size
            if key not in self._opened:
                self._opened[key] = self._stack.enter_context(OffTheShelf(*key))
            return networks, self._opened[key]


def walked(config: GeneratorConfig, first: int, second: int, walk: float) -> Tensor:
    """The latent at ``walk`` in [0, 1] between two that are drawn by their numbers, (1, latent).

    Of a normal prior along the great circle (Shoemake 1985): in the middle of the straight line it would be shorter
    than any that the generator has seen. Of a uniform prior along the line, which stays in the cube.
    """
    a, b = (latents(config, 1, torch.Generator().manual_seed(number)) for number in (first, second))
    cosine = torch.nn.functional.cosine_similarity(a, b).clamp(-1, 1)
    angle = cosine.arccos()
    if config.prior == "uniform" or angle.sin() < 1e-4:
        return torch.lerp(a, b, walk)
    return (((1 - walk) * angle).sin() * a + (walk * angle).sin() * b) / angle.sin()
