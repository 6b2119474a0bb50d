"""What a UDR run is told: one typed record, and presets from seconds to the paper's own numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from labkit.errors import check_positive
from labkit.render.implicit import Tracer
from labkit.train.config import EngineConfig, check_fraction, check_non_negative

Source = Literal["sphere", "box", "torus", "capsule", "chair", "couch", "bathtub", "mesh", "choy", "idr", "transforms"]
Kind = Literal["UDR", "DRnoV", "DVR", "view"]


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Which pictures are given, and which are kept unseen.

    Attributes:
        source: what is seen: an exact distance field, a procedural mesh, a mesh file, or a folder of pictures.
        path: of the mesh file or folder; empty for the others.
        views: pictures to train on.
        unseen: pictures that are only measured on.
        size: of the pictures, pixels; what a folder holds is taken as it is.
        distance: of the cameras from the centre, world units; the object lies in the unit sphere.
        fov: full angle of view, degrees.
        kd: k_d of equation 3, how much is reflected diffusely.
        ks: k_s of equation 3, how much is reflected as a highlight.
        ambient: I_a, ambient light.
        shininess: n_s, the exponent of the highlight.
        light: position of the point light, world units.
        seed: of the cameras.
    """

    source: Source = "sphere"
    path: str = ""
    views: int = 24
    unseen: int = 12
    size: int = 64
    distance: float = 2.5
    fov: float = 49.0
    kd: float = 0.5
    ks: float = 0.6
    ambient: float = 0.2
    shininess: float = 20.0
    light: tuple[float, float, float] = (2.0, 2.0, 2.0)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("views", "unseen", "size", "shininess"):
            check_positive(f"scene.{name}", getattr(self, name))
        for name in ("kd", "ks", "ambient"):
            check_non_negative(f"scene.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """The network f, see `labkit.nets.SDFNet`.

    Attributes:
        width: neurons of a layer.
        depth: hidden layers.
        radius: of the sphere that it begins as, world units.
        encoding: frequencies of the positional encoding of x; 0, as the paper, for none.
        features: numbers that f hands to M besides x, n and v; 0 as the paper.
    """

    width: int = 512
    depth: int = 8
    radius: float = 0.5
    encoding: int = 0
    features: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "radius"):
            check_positive(f"field.{name}", getattr(self, name))
        for name in ("encoding", "features"):
            check_non_negative(f"field.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class AppearanceConfig:
    """The network M, see `labkit.nets.Appearance`.

    Attributes:
        kind: what it sees: "UDR" x, n, v; "DRnoV" x, n; "DVR" x; "view" x, v.
        width: neurons of a layer.
        depth: hidden layers.
        encoding: frequencies of the positional encoding of v; 0 as the paper.
        output: what keeps colours in range.
    """

    kind: Kind = "UDR"
    width: int = 512
    depth: int = 4
    encoding: int = 0
    output: Literal["sigmoid", "linear"] = "sigmoid"

    def __post_init__(self) -> None:
        for name in ("width", "depth"):
            check_positive(f"appearance.{name}", getattr(self, name))
        check_non_negative("appearance.encoding", self.encoding)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Equation 10.

    Attributes:
        eikonal: lambda.
        mask: tau.
        reduction: "sum" over the rays of a step, as the paper, or "mean" over them.
        mask_loss: "linear" in f, as the paper, or "bce": binary cross entropy of sigmoid(-a f), as its successor.
        sharpness: a of "bce" at the start, 1 / world units; doubled every ``sharpen_every`` steps.
        sharpen_every: steps.
        eikonal_points: random points of the bounding box a step.
        eikonal_surface: whether the surface points take part too, by their share of the rays, as in the successor.
        samples: points on a ray among which the smallest f is sought.
        grazing: least |grad f . v| that equation 8 divides by. Rays that graze the surface have gradients without
            bound, which drown all others; see `labkit.render.surface_point`.
    """

    eikonal: float = 0.1
    mask: float = 5.0
    reduction: Literal["sum", "mean"] = "sum"
    mask_loss: Literal["linear", "bce"] = "linear"
    sharpness: float = 50.0
    sharpen_every: int = 10_000
    eikonal_points: int = 1024
    eikonal_surface: bool = False
    samples: int = 100
    grazing: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("eikonal", "mask"):
            check_non_negative(f"loss.{name}", getattr(self, name))
        for name in ("sharpness", "sharpen_every", "eikonal_points", "samples", "grazing"):
            check_positive(f"loss.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class VolumeConfig:
    """Volume rendering of the same f (VolSDF), which trains without masks.

    Attributes:
        on: instead of sphere tracing.
        beta: width of the layer around the surface at the start, world units; learned.
        samples: points on a ray, half of them placed where the first half found the surface.
    """

    on: bool = False
    beta: float = 0.1
    samples: int = 64

    def __post_init__(self) -> None:
        for name in ("beta", "samples"):
            check_positive(f"volume.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class UDR(EngineConfig):
    """A UDR run (UDR, sections 3 and 6.2). The defaults are the paper's.

    Attributes:
        views_per_step: views that a step takes rays of; 24 in the paper.
        pixels_per_view: rays of each of them; 1,024 in the paper.
        edge_share: share of them drawn, from all views, where a silhouette is near: the few pixels that the mask terms
            can learn from; 0, as the paper, for none.
        learning_rate: of Adam, for f.
        appearance_rate: of Adam, for M; in the paper the same.
        decay_every: steps after which both halve, again and again; 0, as the paper, for never.
        camera_rate: learning rate of the cameras, which are then fitted too; 0, as the paper, for fixed ones.
    """

    scene: SceneConfig = SceneConfig()
    field: FieldConfig = FieldConfig()
    appearance: AppearanceConfig = AppearanceConfig()
    tracing: Tracer = dataclasses.field(default_factory=Tracer)
    loss: LossConfig = LossConfig()
    volume: VolumeConfig = VolumeConfig()
    views_per_step: int = 24
    pixels_per_view: int = 1024
    edge_share: float = 0.0
    learning_rate: float = 1e-4
    appearance_rate: float = 1e-4
    decay_every: int = 0
    camera_rate: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("views_per_step", "pixels_per_view", "learning_rate", "appearance_rate"):
            check_positive(name, getattr(self, name))
        for name in ("decay_every", "camera_rate"):
            check_non_negative(name, getattr(self, name))
        check_fraction("edge_share", self.edge_share)
