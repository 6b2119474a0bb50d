"""What a RAN run is told: one typed record, and the variations of AlgoNet's appendix C as its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labkit.errors import DomainError, check_positive
from labkit.train.config import EngineConfig, check_fraction, check_non_negative

SUB_RANS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which pictures of domain A are given. Variations (a) to (e) are those of AlgoNet, appendix C, figure 14.

    Attributes:
        source: "rendered" from shapes whose meshes only measure, or "zappos": UT-Zappos50K, shoes and their mirror
            images as the view from the other side.
        folder: of "zappos"; empty for rendered ones.
        categories: shapes; several take turns (variation c).
        count: sets of pictures to train on; the first so many for "zappos", 0 for all.
        unseen: sets that are only measured on.
        views: pictures of a set, 90 degrees apart, all of which the reconstructor sees: 4, or 2 (d), or 1 (e).
        size: pixels along each side, a multiple of 32.
        elevation: of all cameras, degrees.
        azimuth_noise: standard deviation of what the azimuths are off by, degrees; 5 in (a).
        random_light: whether each set has a light of its own (b).
        random_azimuths: whether the azimuths are random multiples of 90 degrees, and told (d, e).
        renderer: that draws domain A, see `labkit.render.external`.
        isolated: whether that renderer lives in a process of its own.
        background: of all pictures, in [0, 1].
        cache: folder that keeps the rendered pictures; empty for none.
        seed: of the sets.
    """

    source: Literal["rendered", "zappos"] = "rendered"
    folder: str = ""
    categories: tuple[str, ...] = ("car", "couch")
    count: int = 1000
    unseen: int = 64
    views: int = 4
    size: int = 128
    elevation: float = 0.0
    azimuth_noise: float = 0.0
    random_light: bool = False
    random_azimuths: bool = False
    renderer: str = "pyvista"
    isolated: bool = True
    background: float = 1.0
    cache: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("unseen", "views", "size", *(["count"] if self.source == "rendered" else [])):
            check_positive(f"data.{name}", getattr(self, name))
        check_non_negative("data.count", self.count)
        check_non_negative("data.azimuth_noise", self.azimuth_noise)
        check_fraction("data.background", self.background)
        if (self.source == "zappos") != bool(self.folder):
            raise DomainError("data.folder", repr(self.folder), "the folder of zappos, and of nothing else")
        if self.source == "zappos" and self.views != 2:
            raise DomainError("data.views", self.views, "2: each shoe and its mirror image")


@dataclass(frozen=True, kw_only=True)
class NetConfig:
    """Sizes of the networks; the defaults are the paper's (appendix D.2) but for ``hidden``.

    Attributes:
        subdivisions: of the icosahedron that is deformed: 1, 2, 3 for 42, 162 (the paper's), 642 vertices.
        width: filters of the reconstructor's first layer.
        downs: halving layers of the reconstructor; 0 for as many as the size allows, at most 7.
        hidden: numbers between its two fully connected layers; 0 for the literal n^2 + 3v, 284 million in all.
        dropout: of the reconstructor, from its fifth layer on.
        skips: how halving and doubling layers meet, see `labkit.nets.pix2pix`.
        translator_width: filters of the first layer of a2b and b2a.
        translator_downs: their halving layers, "the first two or more".
        residual: whether a2b and b2a begin by handing their pictures on; the paper does not say.
        discriminator_width: filters of the first layer of D.
        base: radius of the sphere that every shape begins as, world units, below 0.5.
    """

    subdivisions: int = 2
    width: int = 64
    downs: int = 0
    hidden: int = 1024
    dropout: float = 0.5
    skips: Literal["sum", "concatenate"] = "sum"
    translator_width: int = 64
    translator_downs: int = 2
    residual: bool = True
    discriminator_width: int = 64
    base: float = 0.3

    def __post_init__(self) -> None:
        for name in ("subdivisions", "width", "translator_width", "translator_downs", "discriminator_width", "base"):
            check_positive(f"nets.{name}", getattr(self, name))
        for name in ("downs", "hidden", "dropout"):
            check_non_negative(f"nets.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class SmoothConfig:
    """Inv, the smooth renderer of domain B. All numbers are choices: the paper states none.

    Attributes:
        steepness: s at the start, per NDC unit; a dial.
        opacity: o at the start, per world unit of depth; a dial.
        sliver_fade: of `labkit.AlgoNet`, which keeps needle-shaped faces from being drawn far beyond their tips; 0 is
            the paper's formula.
        light: direction to the light in camera space: x right, y up, z towards the camera.
        ambient: brightness of the ambient light.
        diffuse: brightness of that light.
        specular: strength of Blinn's highlight.
        shininess: its exponent.
    """

    steepness: float = 150.0
    opacity: float = 20.0
    sliver_fade: float = 0.1
    light: tuple[float, float, float] = (-0.4, 0.5, 1.0)
    ambient: float = 0.3
    diffuse: float = 0.7
    specular: float = 0.15
    shininess: float = 16.0

    def __post_init__(self) -> None:
        for name in ("steepness", "opacity", "shininess"):
            check_positive(f"smooth.{name}", getattr(self, name))
        for name in ("sliver_fade", "ambient", "diffuse", "specular"):
            check_non_negative(f"smooth.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The losses of section 3.3 and appendix D.1. All numbers are choices: the paper states none.

    Attributes:
        use: which of the five sub-RANs of figure 11 take part.
        weights: alpha_1 to alpha_5 in [0, 1] at the start, dials; the paper has (a) above (e).
        random: weight of the renders of random shapes that D is shown, in [0, 1] at the start; a dial.
        pixel: weight of the L1 terms, means over pixels, against the adversarial ones; a dial, 0 to drop them.
        probabilities: with which each of the five is computed in each of a step's phases, in (0, 1].
        random_probability: the same for the random shapes.
        fooling: "non-saturating": who is to fool D maximises log D of the fake and log (1 - D) of the real pair, as
            far as they depend on it; "saturating" minimises L_i itself, as printed, of which no gradient is left
            once D is sure.
        normal: weight of `labkit.geometry.normal_loss` of the mesh, a dial.
        edge: weight of `labkit.geometry.edge_loss` of the mesh, a dial.
        neighbor: weight of `labkit.geometry.neighbor_loss` of the mesh, a dial.
    """

    use: tuple[int, ...] = SUB_RANS
    weights: tuple[float, float, float, float, float] = (1.0, 0.8, 0.6, 0.6, 0.4)
    random: float = 0.5
    pixel: float = 30.0
    probabilities: tuple[float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0)
    random_probability: float = 1.0
    fooling: Literal["non-saturating", "saturating"] = "non-saturating"
    normal: float = 0.5
    edge: float = 2.0
    neighbor: float = 2.0

    def __post_init__(self) -> None:
        if len(set(self.use)) != len(self.use) or not set(self.use) <= set(SUB_RANS):
            raise DomainError("loss.use", self.use, "some of 1, 2, 3, 4, 5, each once")
        for value in (*self.weights, self.random):
            check_fraction("loss.weights", value)
        for value in (*self.probabilities, self.random_probability):
            check_fraction("loss.probabilities", value)
            check_positive("loss.probabilities", value)
        for name in ("pixel", "normal", "edge", "neighbor"):
            check_non_negative(f"loss.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class RAN(EngineConfig):
    """A run of RAN (AlgoNet, section 3.3 and appendices B to D), or of the baseline without translation.

    With several processes each one's dropout is its own, so only without dropout do two equal one.

    Attributes:
        mode: "ran", or "direct": the same reconstructor trained by the L1 distance of its smooth renders to A itself.
        batch: sets of a step.
        rate: learning rate of the reconstructor's Adam.
        translator_rate: of those of a2b and b2a.
        discriminator_rate: of that of D.
        beta: beta_1 of all four; 0.5 as in pix2pix.
        decay_every: steps after which all rates halve, again and again; 0 for never.
    """

    data: DataConfig = DataConfig()
    nets: NetConfig = NetConfig()
    smooth: SmoothConfig = SmoothConfig()
    loss: LossConfig = LossConfig()
    mode: Literal["ran", "direct"] = "ran"
    batch: int = 8
    rate: float = 1e-4
    translator_rate: float = 1e-4
    discriminator_rate: float = 1e-4
    beta: float = 0.5
    decay_every: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "rate", "translator_rate", "discriminator_rate"):
            check_positive(name, getattr(self, name))
        check_non_negative("decay_every", self.decay_every)
        check_fraction("beta", self.beta)
        if self.mode == "ran" and not self.loss.use:
            raise DomainError("loss.use", self.loss.use, "at least one sub-RAN, or mode direct")
