"""Pictures of shapes from random views: the synthetic data sets of IG-GAN (Lunz et al. 2020), section 4.2."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence, Sized
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labkit.data.categories import ORIGIN, Category, Split, check_whole, voxels_of
from labkit.data.image_source import ImageSource, StoredImages, StreamedImages
from labkit.data.painter import Painter
from labkit.data.picture_cache import cached_pictures
from labkit.data.view_rules import VIEW_RULES, ViewRule
from labkit.errors import DomainError, DTypeError, LabError
from labkit.geometry import Mesh, VoxelGrid
from labkit.geometry.rigid_grid import embed
from labkit.geometry.voxels import MAX_RESOLUTION
from labkit.render.volume_grid import absorption_only, emission_absorption, visual_hull
from labkit.scene.beams import beam_lights
from labkit.scene.camera import Camera
from labkit.scene.shading import Light

AMOUNTS = ("500", "one-per-model", "unlimited")
VOLUMES: dict[str, Callable[..., Tensor]] = {
    "visual-hull": visual_hull,
    "absorption-only": absorption_only,
    "emission-absorption": emission_absorption,
}
STYLES = ("shaded", *VOLUMES)
PICTURES = 3000  # of a finite set unless something else is said: the paper's sets of one per model have about as many
DISTANCE = 2.0  # world units from the eye to the origin; without a meaning for parallel rays, but behind every shape
MEMORY = 1 << 28  # bytes that voxels of models are kept in
PROBES = 4  # shapes whose geometry takes part in the cache's key


class Models(Protocol):
    """Shapes by number. `len` tells how many there are; without it every number from 0 has one."""

    def mesh(self, index: int) -> Mesh:
        """One mesh in the cube [-0.5, 0.5]^3, y up, front towards +z."""


def orthographic(azimuth: Tensor, elevation: Tensor) -> Camera:
    """IG-GAN's cameras, which see the cube [-1, 1]^3 by parallel rays; angles (B,) in degrees as in `Camera.orbit`."""
    return Camera.orbit(azimuth, elevation, DISTANCE, projection="orthographic", half_height=1.0)


def rendered_source(
    shapes: str | Models | Sequence[str | Models],
    rule: ViewRule | None = None,
    amount: str = "one-per-model",
    *,
    renderer: str = "pyvista",
    size: int = 128,
    resolution: int = 64,
    models: int | None = None,
    views: int | None = None,
    seed: int = 0,
    split: Split = "train",
    cache: str | Path | None = None,
    style: str = "shaded",
    volume: Mapping[str, float] | None = None,
    from_voxels: bool = False,
    surface: Literal["cubes", "marching"] = "cubes",
    background: float = 1.0,
    isolated: bool = True,
    workers: int = 0,
    device: torch.device | str = "cpu",
    ahead: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSource:
    """Return pictures of shapes, each from a view of its own, lit by IG-GAN's two beams (section 4.2).

    Picture n shows model n modulo ``models`` from a view that is drawn from ``rule`` by (``seed``, n) alone. Finite
    sets are made now, or read from the cache; "unlimited" is rendered while it is used (`StreamedImages`), and model
    by model: numbers that go up walk through all models before one comes again, from another view.

    Args:
        shapes: a category's name, anything with ``mesh(index)`` (`Category`, `ShapeNet`, `MeshFiles`, ...), or
            several of these that take turns.
        rule: range of the views; if None that of the category, which all categories must share.
        amount: "500" (500 models, one view each), "one-per-model" (each of ``models`` from ``views`` views), or
            "unlimited" (each of ``models`` from any number of views).
        renderer: one of `labkit.render.external.RENDERERS`.
        size: pixels along each side.
        resolution: voxels along each side, where voxels are drawn.
        models: how many. If None all that ``shapes`` has, and of what has no end as many as make 3000 pictures.
        views: of each model in a finite set; if None 4 for the bathtub's "one-per-model", as in the paper, else 1.
        seed: of the views.
        split: "train" or "test", for categories given by name.
        cache: folder for finite sets, see `cached_pictures`; None keeps them in memory only.
        style: "shaded"; or "visual-hull", "absorption-only", "emission-absorption": pictures of the voxels by the
            renderers of the baselines (section 4.3), for which ``size`` is twice ``resolution``.
        volume: their settings (``density``, ``tau``, ...), see `labkit.render.volume_grid`.
        from_voxels: show the voxels of the shapes as ``renderer`` shows voxels, as the generator's shapes are shown,
            instead of the meshes themselves.
        surface: how voxels become meshes, "cubes" or "marching".
        background: grey level in [0, 1].
        isolated: whether the renderer lives in a process of its own, where a crash does no harm.
        workers: renderers at work at the same time, see `Painter`; 0 for half of the cores.
        device: where pictures of volumes are computed; tens of times faster on a GPU.
        ahead: batches rendered beforehand if unlimited.
        progress: called with pictures that are ready and their number, while a finite set is made.

    Raises:
        DomainError: a value out of range, fewer models than asked for, or categories without a common rule.
        DTypeError: no shapes, shapes that cannot say what they are (``facts()``) and a cache, or a setting in
            ``volume`` that the style does not have.
        LabError: whatever the shapes, the renderer or the cache raise.
    """
    parts = models_of(shapes, split)
    rule = rule or _common_rule(parts)
    if amount not in AMOUNTS:
        raise DomainError("amount", repr(amount), " or ".join(map(repr, AMOUNTS)))
    if style not in STYLES:
        raise DomainError("style", repr(style), " or ".join(map(repr, STYLES)))
    if style in VOLUMES and size != 2 * resolution:
        raise DomainError("size", size, f"{2 * resolution}: twice the resolution, for style {style!r}")
    if not 0 < resolution <= MAX_RESOLUTION:
        raise DomainError("resolution", resolution, f"1 to {MAX_RESOLUTION} voxels")
    if views is None:
        views = 4 if amount == "one-per-model" and _names(parts) == ["bathtub"] else 1
    number, settings = _models(parts, amount, models, views), dict(volume or {})
    _check_volume(style, background, settings)
    painter = Painter(renderer, (size, size), surface, background, isolated, workers)

    def mesh(n: int) -> Mesh:
        return parts[n % len(parts)].mesh(n // len(parts))

    @lru_cache(MEMORY * 8 // resolution**3)
    def packed(n: int) -> NDArray[np.uint8]:
        """Eight voxels a byte: what takes longest is done once for each model that memory has room for."""
        return np.packbits(voxels_of(mesh(n), resolution).values.numpy())

    def voxels(n: int) -> VoxelGrid:
        bits = np.unpackbits(packed(n), count=resolution**3).astype(bool)
        return VoxelGrid(torch.from_numpy(bits).view(3 * (resolution,)), ORIGIN, 1 / resolution)

    def draw(numbers: Tensor) -> Tensor:
        camera = _cameras(rule, seed, numbers)
        shown = (numbers % number).tolist()
        if style == "shaded":
            return painter([(voxels if from_voxels else mesh)(n) for n in shown], camera, beam_lights(camera))
        grids = (voxels(n).values.to(device, torch.float32)[None, None] for n in shown)  # (1, 1, N, N, N) each
        turns = camera.rotation.to(device)[:, None]  # (B, 1, 3, 3)
        fogs = (embed(grid, turn, size) for grid, turn in zip(grids, turns, strict=True))  # one at a time fits memory
        return torch.cat([VOLUMES[style](fog, background=background, **settings) for fog in fogs])

    def make(numbers: Tensor) -> Tensor:
        return painter.spread(draw, numbers)

    if amount == "unlimited":
        return StreamedImages(make, (size, size), ahead=ahead, release=painter.close)
    try:
        facts: dict[str, Any] = {}
        if cache is not None:
            facts = {
                "shapes": [describe(part) for part in parts],
                "views": {"rule": dataclasses.asdict(rule), "seed": seed, "models": number},
                "picture": {
                    **painter.facts(),
                    "style": style,
                    "from_voxels": from_voxels,
                    "resolution": resolution,
                    "volume": settings,
                },
                "print": fingerprint(parts, _cameras(rule, seed, torch.arange(PROBES)), beam_lights),
            }
        return StoredImages(cached_pictures(cache, facts, (number * views, 1, size, size), make, progress))
    finally:
        painter.close()


def models_of(shapes: str | Models | Sequence[str | Models], split: Split = "train") -> list[Models]:
    """One or several sets of shapes, each given as such or by the name of its category.

    Raises:
        DomainError: there is no such category.
        DTypeError: nothing that has shapes.
    """
    several = [shapes] if isinstance(shapes, str) or not isinstance(shapes, Sequence) else list(shapes)
    if not several or not all(isinstance(part, str) or hasattr(part, "mesh") for part in several):
        raise DTypeError("shapes", repr(shapes)[:80], "names of categories, or objects with mesh(index)")
    return [Category(part, split) if isinstance(part, str) else part for part in several]


def describe(part: Models) -> dict[str, Any]:
    """What a set of shapes consists of, for the key of a cache: its ``facts()``, or the fields of a dataclass.

    Raises:
        DTypeError: it has neither.
    """
    facts = getattr(part, "facts", None)
    if callable(facts):
        return {"type": type(part).__qualname__, **facts()}
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return {"type": type(part).__qualname__, **dataclasses.asdict(part)}
    raise DTypeError(
        "shapes", type(part).__name__, "a dataclass, or facts() that tell what it consists of, or no cache"
    )


def fingerprint(parts: Sequence[Models], camera: Camera, lights: Callable[[Camera], Sequence[Light]]) -> str:
    """A hash of the first few shapes, cameras and lights themselves: changes when the code that makes them does."""
    print_ = hashlib.sha256()
    for part in parts:
        for index in range(min(PROBES, len(part)) if isinstance(part, Sized) else PROBES):
            mesh = part.mesh(index)
            print_.update(mesh.vertices.numpy().tobytes() + mesh.faces.numpy().tobytes())
    print_.update(camera.rotation.numpy().tobytes() + repr(camera).encode() + repr(lights(camera)).encode())
    return print_.hexdigest()


def drawn_from(seed: int, number: int) -> torch.Generator:
    """The random stream of picture or set ``number``: the same on every machine, unrelated to that of any other.

    Raises:
        DTypeError: ``seed`` is not a whole number.
    """
    words = hashlib.sha256(f"{check_whole('seed', seed)} {number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(words[:8], "little", signed=True))


def _cameras(rule: ViewRule, seed: int, numbers: Tensor) -> Camera:
    shares = torch.stack([torch.rand(2, generator=drawn_from(seed, n)) for n in numbers.tolist()])  # (B, 2)
    return orthographic(*rule.at(shares))


def _check_volume(style: str, background: float, settings: Mapping[str, float]) -> None:
    """Refuse what the renderer of a style would refuse, before anything is drawn."""
    try:
        if style in VOLUMES:
            VOLUMES[style](torch.zeros(1, 1, 1, 1, 1), background=background, **settings)
    except LabError:
        raise
    except TypeError as error:
        raise DTypeError("volume", settings, f"settings of {style!r} ({error})") from error
    if style not in VOLUMES and settings:
        raise DomainError("volume", settings, f"none for style {style!r}")


def _names(parts: Sequence[Models]) -> list[str]:
    return [getattr(part, "name", "") for part in parts]


def _common_rule(parts: Sequence[Models]) -> ViewRule:
    rules = [VIEW_RULES.get(name) for name in _names(parts)]
    if rules[0] is None or any(rule != rules[0] for rule in rules):
        raise DomainError("rule", f"none for {_names(parts)}", "a ViewRule, unless the categories have one in common")
    return rules[0]


def _models(parts: Sequence[Models], amount: str, models: int | None, views: int) -> int:
    """How many models are shown."""
    check_whole("views", views)
    there = min((len(part) for part in parts if isinstance(part, Sized)), default=None)  # of each part
    there = None if there is None else there * len(parts)
    usual = 500 if amount == "500" else there or max(PICTURES // max(views, 1), 1)
    wanted = usual if models is None else check_whole("models", models)
    if amount == "500" and (wanted, views) != (500, 1):
        raise DomainError("models", f"{wanted} models, {views} views", "500 models of one view for the amount '500'")
    if wanted < 1 or views < 1 or (there is not None and wanted > there):
        got = f"{wanted} models, {views} views"
        raise DomainError("models", got, f"1 or more of each, and at most {there} models" if there else "1 or more")
    return wanted
