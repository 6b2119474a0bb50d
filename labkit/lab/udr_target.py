"""What the renderers of a comparison are to learn, made before any of them begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from labkit.data.multiview import psnr
from labkit.data.phong_views import PhongScene, Seen, Sightings, random_views
from labkit.errors import DomainError
from labkit.geometry import Mesh
from labkit.geometry.field_mesh import field_mesh
from labkit.lab.state import between, one_of
from labkit.scene.rays import Views
from labkit.train.udr import PRESETS
from labkit.train.udr_config import UDR, Kind, SceneConfig, Source
from labkit.train.udr_data import BOUND_CAMERAS, FIELDS, problem

PRESET = "cpu"  # at the start
TRUTH = "truth"  # the word for what is to be learned
KINDS: Mapping[Kind, str] = MappingProxyType(
    {"UDR": "M(x, n, v)", "DRnoV": "M(x, n)", "DVR": "M(x)", "view": "M(x, v)"}
)
"""What the renderers are called, and what each sees."""
SHOWN = 2  # unseen views; as many as a run makes pictures of
RIM = 1 / 32  # of a picture's side, the distance from the silhouette below which a pixel is not an inner one
SMALL, GRID = 24, 64  # pixels a side of pictures that only tell where cameras stand; cells a side of the true surface
SAVES, LEAST = 12, 10  # checkpoints of a run, and steps between them at least
PREVIEWS = 6.0  # seconds between two previews of a run at least


@dataclass(frozen=True)
class ComparisonState:
    """What the next comparison trains, and how it is shown.

    Attributes:
        preset: sizes of networks and pictures, see `labkit.train.udr.PRESETS`.
        source: what is seen.
        specular, shininess: k_s and n_s of equation 3.
        views: pictures to train on.
        steps, seed: of each run.
        fourth: whether M(x, v) takes part too.
        shown: whose surface the 3D view shows.
        smoothing: of the loss curves.
    """

    preset: str = one_of(PRESET, *PRESETS)
    source: str = one_of("sphere", "box", "torus", "capsule")
    specular: float = between(0.6, 0.0, 1.0)
    shininess: float = between(20.0, 1.0, 200.0)
    views: int = between(PRESETS[PRESET].scene.views, 2, 64)
    steps: int = between(PRESETS[PRESET].steps, 1, 10**6)
    seed: int = between(0, 0, 2**31)
    fourth: bool = False
    shown: str = one_of(*KINDS, TRUTH)
    smoothing: float = between(0.9, 0.0, 0.98)

    @property
    def kinds(self) -> list[Kind]:
        """Who takes part."""
        return [kind for kind in KINDS if self.fourth or kind != "view"]

    @property
    def config(self) -> UDR:
        """Of each run but for what M sees."""
        base = PRESETS[self.preset]
        return replace(
            base,
            steps=self.steps,
            seed=self.seed,
            save_every=max(LEAST, self.steps // SAVES),
            preview_every=PREVIEWS,
            scene=replace(
                base.scene,
                source=cast(Source, self.source),
                ks=self.specular,
                shininess=self.shininess,
                views=self.views,
            ),
        )


class Target(NamedTuple):
    """The truth.

    Attributes:
        mesh: the true surface.
        images: the first unseen pictures, (2, 3, H, W).
        inner: their pixels that show the object and are not near its silhouette, which is the work of masks and not of
            colours, (2, H, W) bool.
        bound: of any M(x) or M(x, n) on these pixels, decibels.
    """

    mesh: Mesh
    images: Tensor
    inner: Tensor
    bound: float

    def psnr(self, pictures: Tensor) -> float:
        """How near pictures (2, 3, H, W) are to the truth at the inner pixels, decibels."""
        return psnr(pictures.to(self.images), self.images, self.inner[:, None].float()).item()


@torch.no_grad()
def target(scene: SceneConfig) -> Target:
    """The truth about a scene whose exact field is known, in a fraction of the time that a run takes to set up.

    Raises:
        DomainError: the field is not known.
    """
    if scene.source not in FIELDS:
        raise DomainError("scene.source", repr(scene.source), f"one of {', '.join(FIELDS)}")
    field, size = FIELDS[scene.source], (scene.size, scene.size)
    small = min(scene.size, SMALL)
    few = problem(replace(scene, size=small)).unseen.views[:SHOWN]  # they stand where those of the large pictures do
    scale = torch.tensor([scene.size / small, scene.size / small, 1.0])[:, None]
    views = Views(few.intrinsics * scale, few.rotation, few.translation, size)
    cameras = random_views(BOUND_CAMERAS, size, scene.distance, scene.fov, torch.Generator().manual_seed(scene.seed))
    sight = Sightings.of(field, views, cameras)
    phong = PhongScene(scene.kd, scene.ks, scene.ambient, light=scene.light, shininess=scene.shininess)
    images, mask = torch.ones(len(views), scene.size**2, 3), torch.zeros(len(views), scene.size**2)
    images[sight.seen.view, sight.seen.pixel] = sight.seen.colors(phong)
    mask[sight.seen.view, sight.seen.pixel] = 1
    rim = max(1, round(RIM * scene.size))
    outside = max_pool2d(1 - mask.unflatten(-1, size), 2 * rim + 1, stride=1, padding=rim)  # (2, H, W)
    inner = outside == 0
    kept = inner.flatten(1)[sight.seen.view, sight.seen.pixel]  # (N,)
    seen = Seen(*(part[kept] for part in sight.seen))
    within = replace(sight, seen=seen, weights=sight.weights[:, kept], own=sight.own[kept])
    truth = field_mesh(field, GRID)
    return Target(truth, images.mT.unflatten(-1, size), inner, within.bound(phong).psnr)
