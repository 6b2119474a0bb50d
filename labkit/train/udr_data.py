"""What a UDR run looks at: pictures to train on, pictures to measure on, and the truth where it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.data.choy import read as read_choy
from labkit.data.idr_cameras import read as read_idr
from labkit.data.mesh_views import in_unit_sphere, mesh_views
from labkit.data.multiview import MultiView
from labkit.data.phong_views import PhongScene, phong_views, random_views, view_independent_bound
from labkit.data.transforms_json import read as read_transforms
from labkit.errors import DomainError
from labkit.geometry import Mesh, bathtub, chair, couch, load_mesh
from labkit.geometry.field_mesh import field_mesh
from labkit.geometry.metrics import sample_surface
from labkit.geometry.sdf import BoxField, CapsuleField, SphereField, TorusField, value_and_gradient
from labkit.render.implicit import Field
from labkit.scene.rays import Views
from labkit.train.udr_config import SceneConfig

FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "sphere": SphereField(0.5),
        "box": BoxField((0.4, 0.3, 0.35)),
        "torus": TorusField(0.45, 0.18),
        "capsule": CapsuleField((-0.3, 0.0, 0.0), (0.3, 0.0, 0.0), 0.25),
    }
)
MESHES: Mapping[str, Callable[[], Mesh]] = MappingProxyType({"chair": chair, "couch": couch, "bathtub": bathtub})
READERS: Mapping[str, Callable[[Path], MultiView]] = MappingProxyType(
    {"choy": read_choy, "idr": read_idr, "transforms": read_transforms}
)
RESOLUTION = 96  # of the grid by which the surface of an exact field is sampled, and drawn
MESH_RADIUS = 0.7  # of the sphere that a mesh is fitted into, world units: the presets' cameras see all of it
BOUND_CAMERAS = 64  # from which the view-independent bound takes its means


class Problem(NamedTuple):
    """Pictures and truth.

    Attributes:
        train, unseen: pictures to train on and to measure on.
        mesh: the true surface, None for photographs.
        field: its exact distance, None where only the mesh is known.
        phong: its light and material, None for photographs.
        cameras: many views from the distribution of the others, None for photographs.
    """

    train: MultiView
    unseen: MultiView
    mesh: Mesh | None = None
    field: Field | None = None
    phong: PhongScene | None = None
    cameras: Views | None = None

    def bound(self) -> float | None:
        """PSNR, decibels, that no view-independent renderer can exceed on the unseen views in expectation, over the
        pixels that see the surface; None where the exact field is not known."""
        if self.field is None or self.phong is None or self.cameras is None:
            return None
        return view_independent_bound(self.field, self.phong, self.unseen.views, self.cameras).psnr

    def surface(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Random points of the true surface, (count, 3), or None."""
        if self.mesh is None:
            return None
        points = sample_surface(self.mesh, count, generator).points
        if self.field is not None:  # from the grid's surface to the exact one
            value, gradient = value_and_gradient(self.field, points)
            points = points - value[:, None] * gradient
        return points


def problem(config: SceneConfig) -> Problem:
    """Make or read what a run needs; on the CPU, deterministic by ``config.seed``.

    Raises:
        LabError: a folder or file that is missing, broken, or holds too few pictures.
    """
    if config.source in READERS:
        read = READERS[config.source](_existing(config.path))
        if len(read) < 2:
            raise DomainError("scene.path", f"{len(read)} pictures", "at least 2, one of them to measure on")
        train, unseen = read.split(min(config.unseen, len(read) - 1))
        return Problem(train.select(torch.arange(min(config.views, len(train)))), unseen)
    phong = PhongScene(config.kd, config.ks, config.ambient, light=config.light, shininess=config.shininess)
    stream = torch.Generator().manual_seed(config.seed)
    # The views to train on come last, so that the others do not depend on how many these are.
    unseen_views, cameras, train_views = (
        random_views(count, (config.size, config.size), config.distance, config.fov, stream)
        for count in (config.unseen, BOUND_CAMERAS, config.views)
    )
    if config.source in FIELDS:
        field = FIELDS[config.source]
        train, unseen = (phong_views(field, phong, views) for views in (train_views, unseen_views))
        return Problem(train, unseen, field_mesh(field, RESOLUTION), field, phong, cameras)
    mesh = MESHES[config.source]() if config.source in MESHES else load_mesh(_existing(config.path))
    mesh = in_unit_sphere(mesh, MESH_RADIUS)
    train, unseen = (mesh_views(mesh, views, phong) for views in (train_views, unseen_views))
    return Problem(train, unseen, mesh, None, phong, cameras)


def _existing(path: str) -> Path:
    if not path:
        raise DomainError("scene.path", "nothing", "the path that this source needs")
    return Path(path)
