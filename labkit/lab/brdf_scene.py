"""Pictures of the BRDF laboratory: what each pixel sees is found once, and then only the light is computed anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError
from labkit.geometry import Mesh
from labkit.lab.brdf_model import Values, material
from labkit.lab.brdf_state import HARMONICS, BrdfState
from labkit.lab.explorer_render import FOV
from labkit.lab.orbit import Orbit
from labkit.render import Hard, rasterize, triangulate
from labkit.scene import Ambient, Camera, Directional, Light, Point, SphericalHarmonics, shade

Lamps = Sequence[Light]


@dataclass(frozen=True, eq=False)
class Seen:
    """The surface points in the pixels of a picture: the first pass of deferred shading (DIB-R, section 3.3).

    Attributes:
        mask: (H, W) which pixels see the mesh; P of them do.
        points, normals, albedo: (P, 3) each, row by row of the picture.
        eye: (3,) where it is seen from.
    """

    mask: Tensor
    points: Tensor
    normals: Tensor
    albedo: Tensor
    eye: Tensor

    def light(self, kind: str, values: Values, lamps: Lamps, albedo: Tensor | None = None) -> Tensor:
        """Colours (P, 3) of the points, differentiable in everything given.

        Args:
            kind, values: the material, see `labkit.lab.brdf_model.material`.
            lamps: the lights.
            albedo: (P, 3) in place of the mesh's own.
        """
        base = (self.albedo if albedo is None else albedo) * values["diffuse"]
        return shade(self.points, self.normals, self.eye, base, material(kind, values), lamps)

    def derivative(self, kind: str, values: Values, lamps: Lamps, name: str) -> Tensor:
        """Derivative (P, 1) of the mean of the channels by one number of the material.

        Each point gets its own copy of the number and depends on no other's, so that one pass backwards finds all. (The
        forward mode would as well, but one thread at a time may use it.)

        Args:
            kind, values, lamps: as of `light`.
            name: of the number.
        """
        copies = self.points.new_full((len(self.points), 1), float(values[name])).requires_grad_()
        total = self.light(kind, {**values, name: copies}, lamps).mean(-1).sum()
        if not total.requires_grad:  # another material's number, or no light
            return torch.zeros_like(copies)
        return torch.autograd.grad(total, copies)[0]

    def picture(self, colors: Tensor, background: Sequence[float] = (0.0,)) -> Tensor:
        """Numbers (P, C) of the points as a picture (C, H, W) over a background of C numbers, or of one."""
        behind = torch.as_tensor(background, dtype=colors.dtype)
        canvas = behind.expand(colors.shape[1])[:, None, None].repeat(1, *self.mask.shape)  # (C, H, W)
        canvas[:, self.mask] = colors.detach().T
        return canvas


def look(mesh: Mesh, orbit: Orbit, size: int) -> Seen:
    """What the pixels of a picture of ``size`` pixels a side see of the mesh, normals interpolated.

    Raises:
        DomainError: no pixel sees the mesh.
    """
    camera = Camera.look_at(orbit.eye, orbit.target, fov=FOV)
    scene = triangulate(mesh, camera, shading="phong")
    with torch.no_grad():
        found = rasterize(scene.triangles, scene.attributes, (size, size), Hard())[0][0]  # (10, H, W)
    albedo, normals, depth, points = found.split((3, 3, 1, 3))
    mask = depth[0] > 0
    if not bool(mask.any()):
        raise DomainError("mesh", "no pixel that sees it", "a mesh in the picture")
    return Seen(mask, points[:, mask].T, normals[:, mask].T, albedo[:, mask].T, camera.eye)


def lamps_of(state: BrdfState) -> list[Light]:
    """The lights of the state that are not off."""

    def color(light: str) -> Tensor:
        return getattr(state, light) * torch.tensor(state.rgb(f"{light}_color"))

    sun = Orbit.around(state.directional_azimuth, state.directional_elevation, 1.0).eye
    bulb = Orbit.around(state.point_azimuth, state.point_elevation, state.point_distance).eye
    sky = state.harmonics * torch.tensor([getattr(state, name) for name in HARMONICS])
    all_four: dict[str, Callable[[], Light]] = {
        "directional": lambda: Directional(sun, color("directional")),
        "point": lambda: Point(bulb, color("point")),
        "ambient": lambda: Ambient(color("ambient")),
        "harmonics": lambda: SphericalHarmonics(sky),
    }
    return [make() for name, make in all_four.items() if getattr(state, name) > 0]
