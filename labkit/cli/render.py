"""``labkit render``: one mesh, one picture."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from tyro.conf import Positional, arg

from labkit.errors import BackendError, DomainError, FileError, LabError, check_size
from labkit.files import replacing
from labkit.geometry.furniture import bathtub, chair, couch
from labkit.geometry.io import load_mesh
from labkit.geometry.mesh import Mesh
from labkit.geometry.shapes import icosphere, torus
from labkit.render import AlgoNet, Hard, render, warm_up
from labkit.scene import BlinnPhong, Camera, CookTorrance, Lambert, Phong

SHAPES: Mapping[str, Callable[[], Mesh]] = {
    "icosphere": lambda: icosphere(4),
    "torus": torus,
    "chair": chair,
    "couch": couch,
    "bathtub": bathtub,
}
RASTERIZERS: Mapping[str, type[Any]] = {"algonet": AlgoNet, "hard": Hard}
MATERIALS: Mapping[str, type[Any]] = {
    "lambert": Lambert,
    "phong": Phong,
    "blinn-phong": BlinnPhong,
    "cook-torrance": CookTorrance,
}
# A picture for people: edges of about a pixel, and no needles. The class itself starts with the paper's formula.
DEFAULTS: Mapping[str, Mapping[str, float]] = {"algonet": {"steepness": 300.0, "sliver_fade": 0.1}}
Number = Annotated[float | None, arg(metavar="FLOAT")]


@dataclass(frozen=True)
class Render:
    """Render a mesh to a PNG."""

    mesh: Positional[str]
    """A mesh file (OBJ, PLY, OFF, STL, GLB), or one of icosphere, torus, chair, couch, bathtub."""
    out: Annotated[Path, arg(aliases=["-o"])]
    """The PNG to write."""
    rasterizer: Literal["algonet", "hard"] = "algonet"
    """How faces become pixels."""
    steepness: Number = None
    """Of algonet: how sharp edges are, per NDC unit; 300 if not given."""
    opacity: Number = None
    """Of algonet: how sharply nearer faces hide farther ones, per unit of depth."""
    sliver_fade: Number = None
    """Of algonet: fades the needles that fine meshes shoot out at silhouettes; 0.1 if not given, 0 as in the paper."""
    material: Literal["lambert", "phong", "blinn-phong", "cook-torrance"] = "lambert"
    """How the surface reflects light."""
    specular: Number = None
    """Of phong and blinn-phong: strength of the highlight."""
    shininess: Number = None
    """Of phong and blinn-phong: exponent of the highlight."""
    roughness: Number = None
    """Of cook-torrance: in (0, 1]."""
    metallic: Number = None
    """Of cook-torrance: in [0, 1]."""
    reflectance: Number = None
    """Of cook-torrance: mirror reflectance at normal incidence, in [0, 1]."""
    shading: Literal["flat", "gouraud", "phong"] = "flat"
    """Light each face once, or its corners and interpolate, or (hard only) each pixel, with the texture in full."""
    azimuth: float = 30.0
    """Degrees around the y axis; 0 looks from +z, 90 from +x."""
    elevation: float = 20.0
    """Degrees above the horizon."""
    distance: float = 2.8
    """From the eye to the middle of the mesh, which is scaled into the unit sphere."""
    fov: float = 50.0
    """Field of view in degrees, across the shorter side of the picture."""
    size: str = "256"
    """Pixels: one number for a square, or WIDTHxHEIGHT."""
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Red, green and blue, each in [0, 1]."""
    backend: Literal["auto", "reference", "kernel"] = "auto"
    """Dense torch, the fast kernel, or the kernel wherever numba is installed."""

    def run(self) -> int:
        """Write the picture and print one line about it; return 0.

        Raises:
            LabError: an option is out of range or does not belong to the chosen rasterizer or material, the mesh or
                the output cannot be used, or Pillow is missing.
        """
        try:
            from PIL import Image
        except ImportError as error:
            raise BackendError("pillow", "no such package", 'it installed: pip install "labkit[cli]"') from error
        if self.out.suffix.lower() != ".png":
            raise FileError(str(self.out), f"the suffix {self.out.suffix!r}", ".png")
        if not all(0 <= value <= 1 for value in self.background):
            raise DomainError("--background", self.background, "three numbers in [0, 1]")
        size = self._size()
        rasterizer = self._build(RASTERIZERS, self.rasterizer, "steepness", "opacity", "sliver_fade")
        material = self._build(
            MATERIALS, self.material, "specular", "shininess", "roughness", "metallic", "reflectance"
        )
        camera = Camera.orbit(self.azimuth, self.elevation, self.distance, fov=self.fov)
        if self.shading == "gouraud" and isinstance(rasterizer, AlgoNet):
            rasterizer = replace(rasterizer, color="barycentric")  # the paper's own averages the corners
        fast: Literal["kernel", "reference"] = "kernel" if importlib.util.find_spec("numba") else "reference"
        backend = fast if self.backend == "auto" else self.backend
        with replacing(self.out) as temporary:
            mesh = (SHAPES[self.mesh]() if self.mesh in SHAPES else load_mesh(self.mesh)).normalized()
            background = torch.tensor(self.background, dtype=mesh.vertices.dtype)
            draw = partial(
                render,
                mesh,
                camera,
                rasterizer=rasterizer,
                material=material,
                background=background,
                shading=self.shading,
                backend=backend,
            )
            if backend == "kernel":
                warm_up()  # compiling or loading it is no part of the time below
            start = time.perf_counter()
            picture = draw(size=size)
            milliseconds = 1000 * (time.perf_counter() - start)
            pixels = (picture.color[0].clamp(0, 1) * 255).round().to(torch.uint8)  # (3, H, W)
            Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(temporary, format="PNG")
        print(
            f"{self.out}: {mesh.faces.shape[0]:,} faces, {size[1]}x{size[0]} pixels, {milliseconds:.0f} ms, "
            f"backend {backend}"
        )
        return 0

    def _size(self) -> tuple[int, int]:
        """(height, width) of ``--size``."""
        found = re.fullmatch(r"(-?\d+)(?:x(-?\d+))?", self.size)
        if not found:
            raise DomainError("--size", self.size, "one number of pixels, or WIDTHxHEIGHT")
        return check_size("--size", (int(found[2] or found[1]), int(found[1])))

    def _build(self, table: Mapping[str, type[Any]], choice: str, *options: str) -> Any:
        """The chosen rasterizer or material with the options that were given; one that it lacks is an error."""
        given: dict[str, Any] = {name: getattr(self, name) for name in options if getattr(self, name) is not None}
        own = [field.name for field in fields(table[choice])]
        for name in given:
            if name not in own:
                raise LabError(
                    f"--{name.replace('_', '-')}",
                    given[name],
                    f"only options of {choice}: {', '.join(own) or 'it has none'}",
                )
        return table[choice](**{**DEFAULTS.get(choice, {}), **given})
