"""Random scenes for SoftRas, GenDR and DIB-R: every option, good faces and bad ones, and faces on pixel centres."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from render.scenes import KINDS, SKIPPED, face, uniform
from torch import Tensor

from labkit.render.raster import rasterize
from labkit.render.raster.dibr import DIBR
from labkit.render.raster.distributions import DISTRIBUTIONS
from labkit.render.raster.gendr import GenDR
from labkit.render.raster.softras import SoftRas
from labkit.render.raster.t_conorms import T_CONORMS

Model = SoftRas | GenDR | DIBR
LEAVES = ("xy", "depth", "attributes", "background", "scale", "gamma")
PARAMETERS = {"hamacher": (0.0, 0.5, 3.0), "frank": (0.1, 4.0), "schweizer_sklar": (-0.5, -3.0, -15.0)}
SIZES = ((1, 1), (1, 7), (5, 1), (16, 16), (17, 33), (24, 18), (20, 23), (33, 17))


def scale_name(model: Model) -> str:
    """What the model calls the scale of its coverage."""
    return {SoftRas: "sigma", GenDR: "tau", DIBR: "delta"}[type(model)]


@dataclass(frozen=True)
class Case:
    """Arguments of `rasterize`, in float32 (which float64 holds exactly)."""

    model: Model
    triangles: Tensor
    attributes: Tensor
    background: Tensor
    size: tuple[int, int]
    perspective: bool = True

    @property
    def hard_color(self) -> bool:
        """Whether the nearest face alone gives the colour."""
        return isinstance(self.model, DIBR) or (isinstance(self.model, SoftRas) and self.model.color == "hard")

    def leaves(self, dtype: torch.dtype) -> list[Tensor]:
        """Fresh copies of everything differentiable, in the order of `LEAVES`."""
        parts = (self.triangles[..., :2], self.triangles[..., 2], self.attributes, self.background)
        numbers = (getattr(self.model, scale_name(self.model)), getattr(self.model, "gamma", 1.0))
        single = [torch.tensor(number, dtype=torch.float32).to(dtype).requires_grad_() for number in numbers]
        return [*(part.to(dtype).clone().requires_grad_() for part in parts), *single]

    def draw(self, leaves: list[Tensor], backend: str) -> tuple[Tensor, Tensor]:
        """Colour and alpha with the differentiable parts replaced by ``leaves``."""
        xy, depth, attributes, background, scale, gamma = leaves
        numbers = {scale_name(self.model): scale} | ({} if isinstance(self.model, DIBR) else {"gamma": gamma})
        return rasterize(
            torch.cat((xy, depth[..., None]), dim=-1),
            attributes,
            self.size,
            replace(self.model, **numbers),
            background=background,
            backend=backend,
            perspective=self.perspective,
        )

    def gradients(
        self, backend: str, dtype: torch.dtype, cotangents: int = 3
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Picture (colour, alpha) and, per leaf, its gradients for several random cotangents, in float64."""
        leaves = self.leaves(dtype)
        images = self.draw(leaves, backend)
        generator = torch.Generator().manual_seed(7)
        rows = []
        for _ in range(cotangents):
            loss = sum((image * torch.randn(image.shape, generator=generator).to(image)).sum() for image in images)
            rows.append(torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True))
        stacked = [torch.stack(parts).double() for parts in zip(*rows, strict=True)]
        return [image.detach().double() for image in images], dict(zip(LEAVES, stacked, strict=True))

    def floor(self) -> float:
        """The size of gradient that says nothing: what a kernel without colours may leave out, 2^-24 of a pixel, times
        the slope of a coverage there, d ln D / dd = 2 d / scale with d^2 = 20 scale."""
        pixels = len(self.triangles) * self.size[0] * self.size[1]
        scale = float(getattr(self.model, scale_name(self.model)))
        return 4 * SKIPPED * math.sqrt(pixels) * (10 / min(math.sqrt(scale), 1) if self.hard_color else 1)


def small_case(model: Model, seed: int, faces: int = 6, batch: int = 1, size: tuple[int, int] = (9, 7)) -> Case:
    """Some well-shaped faces over one another."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.arange(3) * 2 * math.pi / 3 + uniform(generator, batch, faces, 1, high=6.0)
    xy = uniform(generator, batch, faces, 1, 2, low=-0.6, high=0.6) + 0.6 * torch.stack((turn.cos(), turn.sin()), -1)
    depth = 1 + 3 * uniform(generator, batch, faces, 1, 1) + uniform(generator, batch, faces, 3, 1)
    triangles = torch.cat((xy, depth), dim=-1)
    return Case(model, triangles, uniform(generator, batch, faces, 3, 2), uniform(generator, 2), size)


@st.composite
def models(draw: st.DrawFn, pitch: float) -> Model:
    """All options of the three; the edge is between a tenth of a pixel and some pixels wide."""
    width = pitch * math.exp(draw(st.floats(math.log(0.1), math.log(6.0))))
    gamma = math.exp(draw(st.floats(math.log(1e-4), 0.0)))
    cutoff = draw(st.sampled_from((0.0, 1e-6, 1e-4, 0.1)))
    compat = draw(st.sampled_from((None, None, "official")))
    kind = draw(st.sampled_from((SoftRas, GenDR, GenDR, DIBR)))
    if kind is DIBR:
        return DIBR(width**2, compat)
    if kind is SoftRas:
        distance = draw(st.sampled_from(("squared", "squared", "barycentric", "hard")))
        color = draw(st.sampled_from(("softmax", "softmax", "hard")))
        alpha = draw(st.sampled_from(("prod", "sum", "hard")))
        return SoftRas(width**2, gamma, distance, color, alpha, cutoff, compat=compat)
    conorm = draw(st.sampled_from(list(T_CONORMS)))
    p = draw(st.sampled_from(PARAMETERS.get(conorm, (0.5, 1.0, 2.0, 5.0))))
    squared = draw(st.booleans())
    shape = draw(st.sampled_from((0.5, 1.0, 3.0)))
    name = draw(st.sampled_from(list(DISTRIBUTIONS)))
    return GenDR(name, width**2 if squared else width, squared, conorm, p, gamma, shape, cutoff=cutoff)


@st.composite
def cases(draw: st.DrawFn, max_faces: int = 9) -> Case:
    """Scenes of mixed faces over all models, sizes and cameras."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = draw(st.sampled_from(SIZES))
    pitch = 2.0 / min(size)
    batch = draw(st.sampled_from((1, 1, 2)))
    model = draw(models(pitch))
    # Edges of two faces that meet in a pixel are equally near but for rounding: either may have the slope of a maximum.
    ties = isinstance(model, GenDR) and model.t_conorm == "max"
    pool = KINDS if ties else (*KINDS, "aligned")
    kinds = ["broad", *(draw(st.sampled_from(pool)) for _ in range(draw(st.integers(0, max_faces - 1))))]
    images = []
    for _ in range(batch):
        row: list[Tensor] = []
        for kind in kinds:
            one = row[-1].clone() if kind == "twin" and row else face(kind, generator, pitch, 2.5)
            if kind == "aligned":  # corners on pixel centres, edges through others
                spot = torch.randint(0, min(size), (3, 2), generator=generator)
                one[:, :2] = (2 * spot + 1 - torch.tensor([size[1], size[0]])) / min(size)
            row.append(one)
        images.append(torch.stack(row))
    channels = draw(st.sampled_from((1, 3)))
    return Case(
        model,
        torch.stack(images),
        uniform(generator, batch, len(kinds), 3, channels),
        uniform(generator, channels),
        size,
        draw(st.booleans()),
    )
