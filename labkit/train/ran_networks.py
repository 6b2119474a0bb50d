"""The networks of a RAN run with the smooth renderer between them, and the same out of a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from labkit.data.contact_sheet import contact_sheet
from labkit.errors import DomainError
from labkit.geometry import Mesh, icosphere
from labkit.nets.pair_discriminator import PairDiscriminator
from labkit.nets.pix2pix import Pix2Pix
from labkit.nets.pix2vex import Pix2Vex
from labkit.train.checkpoint import Checkpoints
from labkit.train.config import from_json
from labkit.train.dials import Dial, Dials
from labkit.train.ran_config import RAN
from labkit.train.ran_loss import Pictures
from labkit.train.ran_render import SmoothInverse
from labkit.train.run_folder import RunFolder
from labkit.train.train_state import restore_module


@dataclass(frozen=True, eq=False)
class Networks:
    """R, a2b, b2a and D (figure 4); of the direct baseline R alone.

    Attributes:
        config: of the run.
        modules: "reconstructor", "a2b", "b2a", "discriminator", and "dials", which hold s, o and the loss weights.
        inverse: Inv.
        sphere: the mesh that is deformed, with radius 1.
    """

    config: RAN
    modules: Mapping[str, nn.Module]
    inverse: SmoothInverse
    sphere: Mesh

    @classmethod
    def fresh(cls, config: RAN, generator: torch.Generator, device: torch.device | str = "cpu") -> Self:
        """Untrained ones, whose weights come from ``generator``, on the CPU.

        Raises:
            DomainError: sizes that do not fit together.
        """
        data, nets = config.data, config.nets
        sphere = icosphere(nets.subdivisions)
        modules: dict[str, nn.Module] = {
            "reconstructor": Pix2Vex(
                data.views,
                data.size,
                len(sphere.vertices),
                nets.hidden or None,
                nets.width,
                skips=nets.skips,
                downs=nets.downs or None,
                dropout=nets.dropout,
                base=nets.base * sphere.vertices,
                generator=generator,
            )
        }
        if config.mode == "ran":
            for name in ("a2b", "b2a"):
                modules[name] = Pix2Pix(
                    data.views,
                    data.views,
                    data.size,
                    nets.translator_width,
                    skips=nets.skips,
                    downs=nets.translator_downs,
                    residual=nets.residual,
                    generator=generator,
                )
            modules["discriminator"] = PairDiscriminator(
                data.views, data.views, data.size, nets.discriminator_width, generator=generator
            )
        modules["dials"] = dials_of(config)
        inverse = SmoothInverse(sphere.faces.to(device), data.size, data.elevation, data.background, config.smooth)
        return cls(config, {name: module.to(device) for name, module in modules.items()}, inverse, sphere.to(device))

    @property
    def dials(self) -> Dials:
        """What can be turned on the way."""
        return cast(Dials, self.modules["dials"])

    def vertices(self, a: Tensor) -> Tensor:
        """R(a): sets of pictures (B, K, H, W) to vertices (B, V, 3), world units."""
        found: Tensor = self.modules["reconstructor"](a)
        return found

    def meshes(self, a: Tensor) -> Mesh:
        """The reconstructions of sets of pictures, a batch of B meshes."""
        return Mesh(self.vertices(a), self.sphere.faces)

    def render(self, vertices: Tensor, azimuths: Tensor) -> Tensor:
        """Inv with s and o as the dials have them: (B, V, 3) and (B, K) degrees to (B, K, H, W)."""
        return self.inverse(vertices, azimuths, self.dials["steepness"], self.dials["opacity"])

    def judge(self, a: Tensor, b: Tensor) -> Tensor:
        """D's logits (B,) of pairs of pictures."""
        logits: Tensor = self.modules["discriminator"](a, b)
        return logits

    def pictures(self, a: Tensor, azimuths: Tensor, **given: Tensor) -> Pictures:
        """The six pictures of figure 4, each made when it is asked for, as well as the vertices behind b''.

        Args:
            a: (B, K, H, W).
            azimuths: of its pictures, (B, K), degrees.
            **given: "other", unrelated sets of A, and "random", vertices (B, V, 3) of random shapes.
        """
        known = {"a": a, **({"a other": given["other"]} if "other" in given else {})}
        return Pictures(
            known,
            {
                "vertices": lambda _: self.vertices(a),
                "b prime": lambda _: self.modules["a2b"](a),
                "b second": lambda made: self.render(made["vertices"], azimuths),
                "a prime": lambda made: self.modules["b2a"](made["b prime"]),
                "a second": lambda made: self.modules["b2a"](made["b second"]),
                "b random": lambda _: self.render(given["random"], azimuths),
            },
        )

    def copied(self) -> Self:
        """As they are now, in evaluation mode, for another thread."""
        modules = {name: copy.deepcopy(module).eval() for name, module in self.modules.items()}
        return type(self)(self.config, modules, self.inverse, self.sphere)


def dials_of(config: RAN) -> Dials:
    """s, o and the weights that take part, at their values of the start."""
    told, smooth = config.loss, config.smooth
    dials = {
        "steepness": Dial(smooth.steepness, min(5.0, smooth.steepness), max(500.0, smooth.steepness)),
        "opacity": Dial(smooth.opacity, min(1.0, smooth.opacity), max(200.0, smooth.opacity)),
    }
    if config.mode == "ran":
        dials |= {f"alpha_{number}": Dial(told.weights[number - 1], 0.0, 1.0) for number in sorted(told.use)}
        dials["alpha_random"] = Dial(told.random, 0.0, 1.0)
    for name, top in (("pixel", 100.0), ("normal", 10.0), ("edge", 10.0), ("neighbor", 10.0)):
        value = getattr(told, name)
        dials[name] = Dial(value, 0.0, max(top, value))
    return Dials(dials)


def strip(pictures: Tensor) -> Tensor:
    """The K views (K, H, W) of one set side by side, (1, H, W')."""
    return contact_sheet(pictures[:, None].clamp(0, 1), columns=len(pictures))


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
    if folder.recipe != "ran":
        raise DomainError("run_dir", f"a run of {folder.recipe}", "a run of ran")
    networks = Networks.fresh(from_json(RAN, folder.config), torch.Generator(), device)
    _, state = Checkpoints(run_dir).load(number)
    for name, module in networks.modules.items():
        restore_module(state, name, module)
        module.eval().requires_grad_(False)
    return networks
