"""From the explorer's state to its pictures: pure functions, no widgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor
from torch.nn.functional import interpolate

from labkit.geometry import Mesh
from labkit.lab.explorer_mesh import Subject, subject
from labkit.lab.explorer_state import OWN_FILE, ExplorerState
from labkit.lab.orbit import Orbit
from labkit.render import AlgoNet, Contribution, Hard, Rasterizer, Triangles, probe, rasterize, render, triangulate
from labkit.scene import Ambient, BlinnPhong, Camera, CookTorrance, Directional, Lambert, Material, Phong

FOV = 45.0  # degrees; the unit sphere at distance 3 fills the picture
SMALLEST = 32  # pixels a side below which nothing can be recognized
LIT = (1.0, 0.48, 0.0)  # the orange of `labkit.lab.mesh_view`
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Sharp:
    """All that is shown at rest, for one state.

    Attributes:
        state: what it was made from.
        size: pixels along each side of the pictures, which may be fewer than the state asks for.
        picture, hard: (3, N, N) in [0, 1], by the state's rasterizer and by `Hard`.
        alpha, depth: (N, N); depth is NaN where alpha is below 0.02.
        normal: (3, N, N) world normals of length up to 1.
        found: the faces that make the picked pixel, greatest weight first; none if no pixel is picked.
        lit: their numbers in the mesh.
        pixel_alpha: alpha of the picked pixel.
    """

    state: ExplorerState
    subject: Subject
    size: int
    picture: Tensor
    hard: Tensor
    alpha: Tensor
    depth: Tensor
    normal: Tensor
    found: tuple[Contribution, ...]
    lit: tuple[int, ...]
    pixel_alpha: float


class Cache:
    """The newest value of each kind, remade only when its key changes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """The kept value of that kind if its key is still the same, else a new one."""
        if kind not in self._kept or self._kept[kind][0] != key:
            self._kept[kind] = (key, make())
        return self._kept[kind][1]


class Pace:
    """How many pixels fit into a time, learned from the pictures made so far.

    A picture of n x n pixels is taken to cost a constant times (overhead + n^2). The constant comes from the newest
    picture, the overhead, in pixels, from the two newest of different sizes.
    """

    def __init__(self) -> None:
        self._newest: tuple[int, float] | None = None
        self._overhead = 0.0

    @property
    def started(self) -> bool:
        """Whether it has learned anything."""
        return self._newest is not None

    def learn(self, size: int, seconds: float) -> None:
        """A picture of ``size`` pixels a side has taken that long."""
        if self._newest is not None:
            earlier, took = self._newest
            if (size - earlier) * (seconds - took) > 0:  # else noise: a larger picture was not slower
                found = (took * size**2 - seconds * earlier**2) / (seconds - took)
                self._overhead = min(1e5, max(0.0, found))
        self._newest = (size, seconds)

    def seconds(self, size: int) -> float:
        """What a picture of ``size`` pixels a side should take; 0 before anything is learned."""
        if self._newest is None:
            return 0.0
        earlier, took = self._newest
        return took * (self._overhead + size**2) / (self._overhead + earlier**2)

    def fit(self, seconds: float, largest: int) -> int:
        """Pixels a side, at most ``largest``, that should take that long; a multiple of 16, the kernel's tile.

        At most half as many again as the newest picture had, so that one wrong guess costs little.
        """
        if self._newest is None:
            return min(largest, 64)
        per_pixel = self.seconds(0) / self._overhead if self._overhead else self.seconds(1)
        side = int(max(0.0, seconds / max(per_pixel, 1e-12) - self._overhead) ** 0.5)
        side = min(side, max(SMALLEST, self._newest[0] * 3 // 2)) // 16 * 16
        return min(largest, max(SMALLEST, side))


def camera(state: ExplorerState) -> Camera:
    """The camera, looking at the origin."""
    return Camera.orbit(state.azimuth, state.elevation, state.distance, fov=FOV)


def rasterizer(state: ExplorerState) -> AlgoNet | Hard:
    """The rasterizer with its parameters."""
    if state.rasterizer == "Hard":
        return Hard()
    return AlgoNet(state.steepness, state.opacity, sliver_fade=state.sliver_fade)


def material(state: ExplorerState) -> Material:
    """The material with its parameters."""
    if state.material == "Phong":
        return Phong(state.specular, state.shininess)
    if state.material == "Blinn-Phong":
        return BlinnPhong(state.specular, state.shininess)
    if state.material == "Cook-Torrance":
        return CookTorrance(state.roughness, state.metallic, state.reflectance)
    return Lambert()


def lights(state: ExplorerState) -> list[Ambient | Directional]:
    """Ambient light of 0.3 and a directional one of 0.7."""
    return [Ambient(0.3), Directional(Orbit.around(state.light_azimuth, state.light_elevation, 1.0).eye, 0.7)]


def shape_key(state: ExplorerState) -> tuple[str, str]:
    """What `subject` is asked for."""
    return state.mesh, state.path if state.mesh == OWN_FILE else ""


def scene_key(state: ExplorerState) -> Hashable:
    """All that the triangles depend on: mesh, material, light and camera."""
    looks = (state.material, state.specular, state.shininess, state.roughness, state.metallic, state.reflectance)
    place = (state.light_azimuth, state.light_elevation, state.azimuth, state.elevation, state.distance)
    return shape_key(state), looks, place


def scene(state: ExplorerState, cache: Cache) -> tuple[Subject, Triangles]:
    """What is rasterized, remade only when `scene_key` changes."""
    found: Subject = cache.get("mesh", shape_key(state), lambda: subject(*shape_key(state)))

    def make() -> Triangles:
        return triangulate(found.mesh, camera(state), material=material(state), lights=lights(state))

    return found, cache.get("scene", scene_key(state), make)


def coarse(state: ExplorerState, cache: Cache, pace: Pace, budget: float) -> tuple[Tensor, int]:
    """The soft picture (3, size, size) made with as many pixels as fit ``budget`` seconds, scaled up smoothly.

    Returns:
        The picture, and the pixels a side that it was made with.
    """
    _, triangles = scene(state, cache)
    if not pace.started:  # the first picture waits for the kernel's compilation and says nothing about speed
        _draw(triangles, rasterizer(state), SMALLEST, state)
    side = pace.fit(budget, state.size)
    started = time.perf_counter()
    picture, _ = _draw(triangles, rasterizer(state), side, state)
    pace.learn(side, time.perf_counter() - started)
    if side < state.size:
        picture = interpolate(picture[None], (state.size, state.size), mode="bilinear", align_corners=False)[0]
    return picture, side


def sharp(state: ExplorerState, cache: Cache, pace: Pace | None = None, count: int = 8) -> Sharp:
    """Everything that is shown at rest.

    Args:
        pace: if given, pictures that would take longer than ``state.patience`` get fewer pixels.
        count: most faces to name at the picked pixel.
    """
    found, triangles = scene(state, cache)
    soft = rasterizer(state)
    size = state.size if pace is None else _affordable(triangles, soft, state, pace)
    started = time.perf_counter()
    picture, layers = _draw(triangles, soft, size, state, layers=True)
    if pace is not None:
        pace.learn(size, time.perf_counter() - started)
    alpha = layers[0]
    solid = alpha > 0.02
    depth = torch.where(solid, layers[4] / alpha.clamp(min=1e-6), torch.nan)
    normal = torch.where(solid, layers[1:4] / alpha.clamp(min=1e-6), 0.0)
    hard = picture
    if not isinstance(soft, Hard):
        key = (scene_key(state), size, state.background)
        hard = cache.get("hard", key, lambda: _draw(triangles, Hard(), size, state)[0])
    pixel = state.picked(size)
    contributions = () if pixel is None else tuple(contributors(triangles, soft, size, pixel, count))
    lit = tuple(int(triangles.face[0, one.face]) for one in contributions)
    at = 0.0 if pixel is None else float(alpha[pixel])
    return Sharp(state, found, size, picture, hard, alpha, depth, normal, contributions, lit, at)


def _affordable(triangles: Triangles, soft: Rasterizer, state: ExplorerState, pace: Pace) -> int:
    """Pixels a side that the state's patience allows, after larger and larger trials if they seem too many."""
    size = 0
    while pace.seconds(state.size) > state.patience and pace.fit(state.patience / 4, state.size) > size:
        size = pace.fit(state.patience / 4, state.size)
        started = time.perf_counter()
        _draw(triangles, soft, size, state)
        pace.learn(size, time.perf_counter() - started)
    return state.size if pace.seconds(state.size) <= state.patience else pace.fit(state.patience, state.size)


def contributors(
    triangles: Triangles, soft: AlgoNet | Hard, size: int, pixel: tuple[int, int], count: int
) -> list[Contribution]:
    """The faces that make a pixel: those of `labkit.probe`, or under `Hard` the one that is seen there."""
    colors = triangles.attributes[..., :3]  # (1, F, 3, 3)
    if isinstance(soft, AlgoNet):
        return probe(triangles.triangles, colors, (size, size), pixel, soft, count)
    number = torch.arange(colors.shape[1], dtype=colors.dtype)[None, :, None, None].expand(-1, -1, 3, 1)
    seen, alpha = rasterize(triangles.triangles, torch.cat((colors, number), -1), (size, size), soft)
    row, column = pixel
    if not alpha[0, 0, row, column]:
        return []
    *color, index = seen[0, :, row, column].tolist()
    face = round(index)
    return [Contribution(face, 1.0, float(triangles.triangles[0, face, :, 2].mean()), 1.0, tuple(color))]


def preview(mesh: Mesh, orbit: Orbit, lit: tuple[int, ...], size: int) -> Tensor:
    """The mesh as a plain picture (3, size, size) with some faces in orange, for where there is no WebGL."""
    corners = mesh.face_vertices()  # (F, 3, 3)
    colors = mesh.colors[mesh.faces] if mesh.colors is not None else torch.full_like(corners, 0.8)
    if lit:
        colors = colors.index_put((torch.tensor(lit),), torch.tensor(LIT))
    soup = Mesh(corners.reshape(-1, 3), torch.arange(corners[..., 0].numel()).view(-1, 3), colors=colors.reshape(-1, 3))
    eye = Camera.look_at(orbit.eye, orbit.target, fov=FOV)
    lamp: list[Ambient | Directional] = [Ambient(0.4), Directional(orbit.eye, 0.6)]
    return render(soup, eye, (size, size), Hard(), lights=lamp, background=torch.full((3,), 0.957)).color[0]


def difference_image(found: Sharp) -> tuple[np.ndarray, float]:
    """Soft minus hard, mean of the channels, as (N, N, 3) in [0, 1], and the greatest difference it can show.

    Blue is darker than hard, red brighter, and grey equal; the scale is symmetric.
    """
    difference = (found.picture - found.hard).mean(0)  # (N, N)
    limit = max(0.05, float(difference.abs().max()))
    return colormaps["coolwarm"]((difference / limit * 0.5 + 0.5).numpy())[..., :3], limit


def depth_image(found: Sharp) -> tuple[np.ndarray, float, float]:
    """Depth as (N, N, 3) in [0, 1], yellow is near, empty is white; and the nearest and the farthest value shown."""
    depth = found.depth.numpy()
    seen = np.isfinite(depth)
    if not seen.any():
        return np.ones((*depth.shape, 3)), 0.0, 0.0
    near, far = float(depth[seen].min()), float(depth[seen].max())
    picture = colormaps["viridis_r"](np.nan_to_num(depth - near) / max(far - near, 1e-6))[..., :3]
    return np.where(seen[..., None], picture, 1.0), near, far


def normal_image(found: Sharp) -> Tensor:
    """World normals as colours (3, N, N): red is x, green y, blue z, each from -1 to 1; empty is white."""
    return torch.where(found.alpha > 0.02, found.normal * 0.5 + 0.5, 1.0)


def _draw(
    triangles: Triangles, soft: Rasterizer, size: int, state: ExplorerState, layers: bool = False
) -> tuple[Tensor, Tensor]:
    """The picture over the background (3, N, N); and alpha with, if asked for, normal and depth times alpha
    (1 or 5, N, N), from the same pass."""
    with torch.no_grad():
        color, alpha = rasterize(
            triangles.triangles, triangles.attributes[..., : 7 if layers else 3], (size, size), soft
        )
        behind = torch.tensor(state.background_rgb)[:, None, None]
        return color[0, :3] + (1 - alpha[0]) * behind, torch.cat((alpha[0], color[0, 3:]))
