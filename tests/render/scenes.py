"""Random scenes for the rasterizers, and the comparison of a kernel's gradients with those of the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from tolerances import KERNEL_GRADIENT_COSINE, KERNEL_GRADIENT_RTOL
from torch import Tensor

from labkit.render.raster import AlgoNet, rasterize

SKIPPED = 2.0**-24  # what the kernel may leave out of a finished pixel
INPUTS = ("xy", "depth", "attributes", "background", "steepness", "opacity")
KINDS = ("plain", "broad", "sliver", "collinear", "pair", "point", "subpixel", "outside", "behind", "huge", "twin")
SIZES = ((1, 1), (1, 7), (5, 1), (16, 16), (17, 33), (24, 24), (40, 23), (48, 48), (31, 64))


@dataclass(frozen=True)
class Scene:
    """Arguments of `rasterize`, in float32 (which float64 holds exactly)."""

    triangles: Tensor
    attributes: Tensor
    background: Tensor
    size: tuple[int, int]
    steepness: float
    opacity: float
    depth: str = "mean"
    color: str = "flat"
    perspective: bool = True
    sliver_fade: float = 0.0

    def leaves(self, dtype: torch.dtype) -> list[Tensor]:
        """Fresh copies of everything differentiable, in the order of `INPUTS`."""
        parts = (self.triangles[..., :2], self.triangles[..., 2], self.attributes, self.background)
        numbers = (torch.tensor(number, dtype=torch.float32) for number in (self.steepness, self.opacity))
        return [part.to(dtype).clone().requires_grad_() for part in (*parts, *numbers)]

    def draw(self, leaves: list[Tensor], backend: str) -> tuple[Tensor, Tensor]:
        """Colour and alpha of the scene with its differentiable parts replaced by ``leaves``."""
        xy, depth, attributes, background, steepness, opacity = leaves
        return rasterize(
            torch.cat((xy, depth[..., None]), dim=-1),
            attributes,
            self.size,
            AlgoNet(steepness, opacity, self.depth, self.color, self.sliver_fade),
            background=background,
            backend=backend,
            perspective=self.perspective,
        )


def uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Random numbers in [low, high), float32."""
    return low + (high - low) * torch.rand(*shape, generator=generator)


def face(kind: str, generator: torch.Generator, pitch: float, depth_range: float) -> Tensor:
    """One triangle (3, 3) of the given kind."""

    def around(center: Tensor, radius: float) -> Tensor:
        return center + uniform(generator, 3, 2, low=-radius, high=radius)

    depth = 1 + depth_range * uniform(generator, 1) + 0.2 * depth_range * uniform(generator, 3)
    center = uniform(generator, 1, 2, low=-0.9, high=0.9)
    xy = around(center, float(uniform(generator, 1, low=0.2, high=0.9)))
    if kind == "broad":
        turn = torch.arange(3) * 2 * math.pi / 3 + uniform(generator, 3, low=-0.5, high=0.5)
        xy = center / 3 + uniform(generator, 1, low=0.5, high=1.5) * torch.stack((turn.cos(), turn.sin()), dim=-1)
    elif kind == "sliver":
        xy[2] = torch.lerp(xy[0], xy[1], uniform(generator, 1)) + 10 ** uniform(generator, 1, low=-5.0, high=-2.0)
    elif kind == "collinear":
        step = torch.round(uniform(generator, 2, low=-4, high=4)) / 16  # small whole numbers: exactly on a line
        start = torch.round(center[0] * 8) / 8
        xy = torch.stack((start, start + step, start + 3 * step))
    elif kind == "pair":
        xy[2] = xy[0]
    elif kind == "point":
        xy = center.expand(3, 2).clone()
    elif kind == "subpixel":
        xy = around(center, pitch * float(10 ** uniform(generator, 1, low=-2.0, high=-0.3)))
    elif kind == "outside":
        xy = xy + 2.5 * torch.where(center > 0, 1, -1)
    elif kind == "huge":
        xy = around(center, 20.0)
    elif kind == "behind":
        depth = depth - torch.tensor([[9.0, 9.0, 9.0], [9.0, 0.0, 0.0], depth.tolist()])[int(3 * uniform(generator, 1))]
    return torch.cat((xy, depth[:, None]), dim=-1)


@st.composite
def scenes(draw: st.DrawFn, max_faces: int = 14) -> Scene:
    """Scenes of mixed faces, good and bad, over steepness, opacity, depth range, picture size and options.

    The edge is never narrower than a quarter of a pixel: below that pictures are those of `Hard` in all but name.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    others = draw(st.integers(0, max_faces - 1))
    kinds = ["broad", *(KINDS[int(len(KINDS) * uniform(generator, 1))] for _ in range(others))]
    batch = draw(st.sampled_from((1, 1, 2, 3)))
    size = draw(st.sampled_from(SIZES))
    pitch = 2.0 / min(size)
    finest = min(1000.0, 2 / (0.25 * pitch))
    steepness = math.exp(draw(st.floats(math.log(min(5.0, finest)), math.log(finest))))
    opacity = math.exp(draw(st.floats(math.log(0.1), math.log(100.0))))
    depth_range = draw(st.sampled_from((0.05, 0.5, 2.5)))
    faces = []
    for _ in range(batch):
        row: list[Tensor] = []
        for kind in kinds:
            row.append(row[-1].clone() if kind == "twin" and row else face(kind, generator, pitch, depth_range))
        faces.append(torch.stack(row) if row else torch.zeros(0, 3, 3))
    channels = draw(st.sampled_from((1, 3, 4)))
    flat = draw(st.booleans())
    return Scene(
        torch.stack(faces),
        uniform(generator, batch, len(kinds), 3, channels),
        uniform(generator, *((channels,) if flat else (batch, channels, *size))),
        size,
        steepness,
        opacity,
        draw(st.sampled_from(("mean", "pixel"))),
        draw(st.sampled_from(("flat", "barycentric"))),
        draw(st.booleans()),
        draw(st.sampled_from((0.0, 0.0, 0.1))),
    )


def gradients(scene: Scene, backend: str, dtype: torch.dtype, cotangents: int = 4) -> tuple[list[Tensor], list[Tensor]]:
    """Picture (colour, alpha) and, per input, its gradients for several random cotangents, stacked, in float64.

    Steepness and opacity have a single number as their gradient, a sum over all pixels that one random cotangent can
    cancel to almost nothing, whereupon its relative error says nothing. A few cotangents together do not cancel.
    """
    leaves = scene.leaves(dtype)
    images = scene.draw(leaves, backend)
    generator = torch.Generator().manual_seed(7)
    rows = []
    for _ in range(cotangents):
        incoming = [torch.randn(image.shape, generator=generator).to(image) for image in images]
        found = torch.autograd.grad(images, leaves, incoming, retain_graph=True, allow_unused=True)
        rows.append([torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)])
    stacked = [torch.stack(parts).double() for parts in zip(*rows, strict=True)]
    return [image.detach().double() for image in images], stacked


def wide(scene: Scene) -> Tensor:
    """(B, F) faces that are no slivers: the smallest altitude is above a thousandth of the picture.

    Barycentric coordinates have no derivative where a face has no area: there the guarded formula's slope is finite
    but so steep that it blows up the rounding of float32, and a norm over all faces says nothing about the others.
    """
    corners = scene.triangles[..., :2].double()
    sides = corners.roll(-1, 2) - corners  # (B, F, 3, 2)
    area = (sides[..., 0, 0] * sides[..., 1, 1] - sides[..., 0, 1] * sides[..., 1, 0]).abs()
    return area > 1e-3 * sides.norm(dim=-1).amax(-1).clamp_min(1e-9)


def floors(scene: Scene, cotangents: int = 4) -> dict[str, float]:
    """For each input, and for the xy of `wide` faces, the size of gradient that float32 cannot tell from zero.

    The kernel leaves out up to 2^-24 of each finished pixel, which is also what float32 rounds away. Times a cotangent
    and the derivative of the logits by the input (s for a position, o for a depth, a depth difference for o), this is
    noise of random sign, so that over the pixels it grows with the L2 norm of the cotangents. Only gradients that
    cancel to almost nothing are as small. The factor 8 was measured to be twice the worst case of 600 scenes.
    """
    batch, channels, pixels = len(scene.triangles), scene.attributes.shape[-1], scene.size[0] * scene.size[1]
    noise = 8 * SKIPPED * math.sqrt(cotangents * batch * (channels + 1) * pixels)
    depth = scene.triangles[..., 2]
    spread = float(depth.max() - depth.min()) if depth.numel() else 0.0
    return {
        "xy": noise * max(scene.steepness, 100 / scene.sliver_fade if scene.sliver_fade else 0),
        "xy of wide faces": noise * scene.steepness,
        "depth": noise * scene.opacity,
        "attributes": noise,
        "background": noise,
        "steepness": noise,
        "opacity": noise * max(spread, 1.0),
    }


def mismatch(found: Tensor, expected: Tensor, floor: float = 0.0) -> str:
    """What is wrong with a gradient, or nothing: relative L2 and cosine; differences up to ``floor`` are allowed."""
    if not bool(found.isfinite().all()):
        return "not finite"
    error, scale = float((found - expected).norm()), float(expected.norm())
    if error <= floor:
        return ""
    if error > KERNEL_GRADIENT_RTOL * scale + floor:
        return f"relative L2 {error / max(scale, 1e-300):.2e} (norm {scale:.2e}, floor {floor:.1e})"
    cosine = float((found * expected).sum() / (found.norm() * expected.norm()))
    return "" if cosine > KERNEL_GRADIENT_COSINE else f"cosine {cosine:.7f}"
