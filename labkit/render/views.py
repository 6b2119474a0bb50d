"""A scene as one record: what is seen, from where, in which light and by which rasterizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from labkit.geometry import Mesh
from labkit.render.raster.algonet import AlgoNet
from labkit.render.raster.op import Backend, Rasterizer
from labkit.render.scene import Rendering, Shading, default_lights, render
from labkit.scene import Camera, Lambert, Light, Material
from labkit.scene.poses import quaternion_from_rotation
from labkit.scene.textures import Wrap


@runtime_checkable
class Pose(Protocol):
    """Numbers that may change freely and still make a camera, which the entries of a rotation matrix may not."""

    def camera(self) -> Camera:
        """The camera, or batch of cameras, differentiable in the numbers.

        Raises:
            LabError: as its subclasses say, for numbers that make none.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Lens:
    """What a camera has besides its place and direction; fields as in `Camera`."""

    fov: float | Tensor = 60.0
    projection: str = "perspective"
    near: float = 0.05
    half_height: float | Tensor = 1.0

    @property
    def lens(self) -> dict[str, Any]:
        """These fields by name."""
        return {name: getattr(self, name) for name in Lens.__dataclass_fields__}


@dataclass(frozen=True, eq=False)
class OrbitPose(Lens):
    """A camera on a sphere around a target; fields as the arguments of `Camera.orbit`, which checks them."""

    azimuth: float | Tensor = 0.0
    elevation: float | Tensor = 0.0
    distance: float | Tensor = 3.0
    target: Tensor | Sequence[float] = (0.0, 0.0, 0.0)

    def camera(self) -> Camera:
        """See `Pose.camera`."""
        return Camera.orbit(self.azimuth, self.elevation, self.distance, self.target, **self.lens)


@dataclass(frozen=True, eq=False)
class FreePose(Lens):
    """A camera anywhere, turned in any way; fields as the arguments of `Camera.posed`, which checks them.

    Args:
        orientation: a quaternion (4,) or (B, 4), or six numbers (6,) or (B, 6).
        eye: where it stands in the world, (3,) or (B, 3).
    """

    orientation: Tensor
    eye: Tensor | Sequence[float]

    @classmethod
    def of(cls, camera: Camera) -> FreePose:
        """The pose of a camera, with a quaternion."""
        lens = {name: getattr(camera, name) for name in Lens.__dataclass_fields__}
        return cls(quaternion_from_rotation(camera.rotation), camera.eye, **lens)

    def camera(self) -> Camera:
        """See `Pose.camera`."""
        return Camera.posed(self.orientation, eye=self.eye, **self.lens)


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that `labkit.render` needs, in one record; arguments as there.

    Args:
        camera: a camera or a pose that makes one; a batch of B cameras gives B pictures.
    """

    mesh: Mesh
    camera: Camera | Pose
    size: tuple[int, int] = (256, 256)
    rasterizer: Rasterizer = field(default_factory=AlgoNet)
    material: Material = field(default_factory=Lambert)
    lights: Sequence[Light] = field(default_factory=default_lights)
    background: Tensor | None = None
    shading: Shading = "flat"
    smooth: bool = False
    backend: Backend = "auto"
    wrap: Wrap = "repeat"

    def render(self, layers: bool = False) -> Rendering:
        """The picture; differentiable in every floating tensor of the record.

        Args:
            layers: also return normals and depth.

        Raises:
            LabError: as its subclasses say, for a part that is not valid.
        """
        return render(
            self.mesh,
            self.camera.camera() if isinstance(self.camera, Pose) else self.camera,
            self.size,
            self.rasterizer,
            self.material,
            self.lights,
            self.background,
            self.shading,
            self.smooth,
            layers,
            self.backend,
            self.wrap,
        )
