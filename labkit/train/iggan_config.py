"""What an IG-GAN run is told: one typed record; baselines and ablations are values of its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labkit.errors import DomainError, check_positive
from labkit.train.config import EngineConfig, check_fraction, check_non_negative

Method = Literal["iggan", "visual-hull", "absorption-only", "emission-absorption", "dcgan"]
Source = Literal["chair", "couch", "bathtub", "table", "car", "airplane", "lamp", "bench", "folder", "chanterelle"]
Norm = Literal["batch", "instance", "none"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The pictures that the discriminator takes for real (IG-GAN, section 4.2).

    Baselines that generate shapes see pictures made by their own renderer out of the same shapes and views, as in
    section 4.3.

    Attributes:
        source: a procedural category, a folder of pictures, or the folder of the Chanterelle data set.
        path: of the folder; empty for categories.
        amount: "500" pictures of as many shapes; "one-per-model", four of a bathtub; or "unlimited" views.
        models: shapes that there are for the latter two; the paper's classes have 6777 chairs, 3173 couches and 856
            bathtubs.
        views: the paper's range of angles for the class, "class", which for a folder is that of couches; or the limited
            one of section 4.2, "lvp". Generated shapes are seen from the same range.
        wall: of a bathtub, voxels of a grid of 64; 0 to draw it with the other sizes. From 4 on its silhouette, even a
            soft one, does not tell a hollow tub from a filled one, and its shading does.
        seed: of the shapes and views.
        cache: folder in which rendered pictures are kept for other runs; empty to keep them in memory.
    """

    source: Source = "bathtub"
    path: str = ""
    amount: Literal["500", "one-per-model", "unlimited"] = "one-per-model"
    models: int = 856
    views: Literal["class", "lvp"] = "class"
    wall: int = 0
    seed: int = 0
    cache: str = ""

    def __post_init__(self) -> None:
        check_positive("data.models", self.models)
        check_non_negative("data.wall", self.wall)
        if bool(self.path) != (self.source in ("folder", "chanterelle")):
            raise DomainError("data.path", repr(self.path), f"a path for a folder, and none for {self.source!r}")


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """The off-the-shelf renderer R_d, which also makes the pictures of procedural data out of voxels.

    Attributes:
        name: see `labkit.render.external`; pyrender is the paper's.
        surface: voxels as "cubes", or as the "marching" cubes' surface.
        background: grey level in [0, 1], of every picture.
        processes: that share the pictures of a step; their number changes no picture.
    """

    name: Literal["pyvista", "pyrender", "mitsuba", "hard"] = "pyvista"
    surface: Literal["cubes", "marching"] = "marching"
    background: float = 1.0
    processes: int = 1

    def __post_init__(self) -> None:
        check_positive("off_the_shelf.processes", self.processes)
        check_fraction("off_the_shelf.background", self.background)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """G, see `labkit.nets.voxel_generator`; of "dcgan" the one of pictures, see `labkit.nets.dcgan`.

    Attributes:
        latent: numbers in z.
        prior: of each number in z, "normal" N(0, 1) or "uniform" U(-1, 1). The paper names none. The 3D-GAN that it
            builds on has U(0, 1), others of the time U(-1, 1), later ones N(0, 1).
        width: channels of the first layer, a power of two; each further layer has half of the one before.
        norm: between the layers; "batch" as 3D-GAN and DCGAN. Where few shapes make a batch, "instance".
        learning_rate: of Adam.
    """

    latent: int = 200
    prior: Literal["normal", "uniform"] = "normal"
    width: int = 512
    norm: Norm = "batch"
    learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        for name in ("latent", "width", "learning_rate"):
            check_positive(f"generator.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """D, see `labkit.nets.dcgan`.

    Attributes:
        width: channels of its first layer.
        sees: pictures of generated shapes "off-the-shelf", or "neural" ones, the ablation of Table 2.
        learning_rate: of Adam.
    """

    width: int = 64
    sees: Literal["off-the-shelf", "neural"] = "off-the-shelf"
    learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        for name in ("width", "learning_rate"):
            check_positive(f"discriminator.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class NeuralConfig:
    """The neural renderer R_phi, see `labkit.nets.rendernet`, its pre-training and its loss, equation 9.

    Attributes:
        width: channels of its 3D part, even; 16 as RenderNet. Those of the 2D part are that many for each of the N / 2
            layers of depth that are left.
        pretrain_steps: of the run's steps, the first ones, in which it alone learns, by equation 5.
        pretrain_on: shapes for these; "table" in the paper, the other two for Table 3.
        pretrain_rate: learning rate of these.
        training: "retrained" goes on learning beside the others; "fixed" is the ablation of Tables 2 and 3.
        dom: lambda; 0 for the ablation without discriminator output matching.
        reduction: over the pixels in equation 5, see `labkit.train.iggan_loss.render_loss`.
        clip: bound of log D, see `labkit.train.iggan_loss.log_discriminator`; 0, as the paper, for none.
        learning_rate: of Adam.
    """

    width: int = 16
    pretrain_steps: int = 5000
    pretrain_on: Literal["table", "chair", "cubes"] = "table"
    pretrain_rate: float = 2e-5
    training: Literal["retrained", "fixed"] = "retrained"
    dom: float = 100.0
    reduction: Literal["sum", "mean"] = "sum"
    clip: float = 0.0
    learning_rate: float = 2e-5

    def __post_init__(self) -> None:
        for name in ("width", "pretrain_rate", "learning_rate"):
            check_positive(f"neural.{name}", getattr(self, name))
        for name in ("pretrain_steps", "dom", "clip"):
            check_non_negative(f"neural.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What is measured at checkpoints.

    Attributes:
        shapes: generated ones, binarised at 0.5, for the cavity and the discriminator's outputs.
        thresholds: of each of them, by which the expected output of D is estimated.
        pictures: N of FID and KID; all methods are compared by the same shaded renderer.
        features: folder of a run of the recipe "features", whose network these distances need; empty for neither.
    """

    shapes: int = 16
    thresholds: int = 16
    pictures: int = 500
    features: str = ""

    def __post_init__(self) -> None:
        for name in ("shapes", "thresholds", "pictures"):
            check_positive(f"measured.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class IGGAN(EngineConfig):
    """A run of IG-GAN or of a baseline (IG-GAN, sections 3 and 4). The defaults are the paper's where it names any.

    Attributes:
        method: "iggan"; a baseline that generates shapes and sees them as "visual-hull", "absorption-only" or
            "emission-absorption" (`labkit.render.volume_grid`); or "dcgan", which generates pictures.
        resolution: N; shapes have N^3 voxels, are turned inside (2 N)^3 and seen as (2 N)^2 pixels; a power of two
            from 16 to 128.
        batch: shapes, and pictures of the data, of a step; the paper names no number. The sum of a renderer's loss is
            over pixels, its mean over these.
        beta1: of Adam, for all networks.
        density: of the baselines' fog, per edge of the grid in which a shape is turned, so that its pictures hardly
            depend on the resolution; 0 for 128, 40 and 200 in the order of ``method``. These are what published code
            has at the paper's resolution: a tau of 1 per voxel; 20 and 100 for a grid that the shape fills, and which
            so has half the edge.
    """

    method: Method = "iggan"
    resolution: int = 64
    batch: int = 32
    beta1: float = 0.5
    density: float = 0.0
    data: DataConfig = DataConfig()
    off_the_shelf: RenderConfig = RenderConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    neural: NeuralConfig = NeuralConfig()
    measured: MeasureConfig = MeasureConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resolution not in (16, 32, 64, 128):
            raise DomainError("resolution", self.resolution, "16, 32, 64 or 128")
        check_positive("batch", self.batch)
        check_non_negative("density", self.density)
        if not 0 <= self.beta1 < 1:
            raise DomainError("beta1", self.beta1, "in [0, 1)")
        if self.method not in ("iggan", "dcgan") and self.data.path:
            raise DomainError("method", self.method, "data of a category, which alone can be seen by its own renderer")

    @property
    def volume(self) -> dict[str, float]:
        """Settings of the method's own renderer, see `labkit.render.volume_grid`."""
        density = self.density or {"visual-hull": 128.0, "absorption-only": 40.0}.get(self.method, 200.0)
        return {"tau": density / self.size} if self.method == "visual-hull" else {"density": density}

    @property
    def size(self) -> int:
        """Pixels of a picture's side, and voxels of the grid in which a shape is turned."""
        return 2 * self.resolution
