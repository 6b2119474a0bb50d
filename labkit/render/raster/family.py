"""The distance family, dense in torch: SoftRas, GenDR and the alpha of DIB-R are settings of the same three formulas.

Coverage is a distribution of the distance, alpha a t-conorm of the coverages, colour a softmax over depth with the
background as one more logit. This is the specification; `kernel_cpu_family.py` is tested against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from labkit.render.raster.distances import Distance, signed_distance
from labkit.render.raster.distributions import log_probabilities
from labkit.render.raster.faces import barycentric_functions, edge_functions, evaluate, in_front
from labkit.render.raster.layers import Layers
from labkit.render.raster.pixels import pixel_centers, to_image
from labkit.render.raster.reference import NOTHING, pixel_chunks
from labkit.render.raster.t_conorms import combine
from labkit.scene.textures import Texture, sample_texture

LEAST = 2.0  # times the smallest positive number: a coverage up to this is none, whatever the cutoff
EVEN = 1e-9  # log odds up to which D counts as 1/2: on an outline, rounding must not decide
SPECK = 1e-12  # barycentric units; a face without area is interpolated at its middle


@dataclass(frozen=True)
class Family:
    """One member of the family, with everything chosen.

    Attributes:
        distance: how the distance to a face is measured.
        distribution: F, a key of `distributions.DISTRIBUTIONS`; coverage is D = F(distance / scale).
        scale: tau or sigma or delta > 0, in the unit of the distance.
        shape: the shape parameter of the gamma distributions.
        alpha: a key of `t_conorms.T_CONORMS`, or "sum" (mean of D over all faces), or "hard" (whether any D > 1/2).
        p: the parameter of the t-conorm.
        cutoff: a face counts only where D exceeds it (if it is 0, where D is not 0).
        gamma: temperature of the colour softmax, > 0, in units of normalised depth.
        near, far: view depths that are normalised to 1 and 0.
        behind: the background's normalised depth: its logit is behind / gamma.
        box: half a box by which the bounding box of a face is grown to find the pixels it may reach, in NDC, or None.
        count: how many faces a pixel takes at most, the first ones by their index whose box it lies in, or None.
    """

    distance: Distance
    distribution: str
    scale: float | Tensor
    shape: float = 0.5
    alpha: str = "probabilistic"
    p: float = 0.0
    cutoff: float = 0.0
    gamma: float | Tensor = 1e-4
    near: float = 1.0
    far: float = 100.0
    behind: float = 1e-3
    box: float | None = None
    count: int | None = None


def rasterize(
    family: Family,
    triangles: Tensor,
    attributes: Tensor,
    size: tuple[int, int],
    perspective: bool,
    texture: Texture | None = None,
) -> Layers:
    """The layers of an image.

    Args:
        triangles: (B, F, 3, 3) NDC x, y and depth.
        attributes: (B, F, 3, C) at the corners; with C = 0 only alpha is computed.
        size: (H, W) in pixels.
        perspective: interpolate perspective-correctly.
        texture: looked up for each pixel and face at the last two attributes, u and v, which are not part of the
            picture then; it multiplies the first three.
    """
    pixels = pixel_centers(size, triangles.dtype, triangles.device)
    arguments = (family, triangles, attributes, perspective)
    parts = [
        aggregate(*arguments, chunk, texture)
        if len(chunk) == len(pixels)
        else checkpoint(aggregate, *arguments, chunk, texture, use_reentrant=False)
        for chunk in pixel_chunks(pixels, triangles[..., 0, 0].numel())
    ]
    return Layers(*(to_image(torch.cat(images, dim=1), size) for images in zip(*parts, strict=True)))


def aggregate(
    family: Family,
    triangles: Tensor,
    attributes: Tensor,
    perspective: bool,
    pixels: Tensor,
    texture: Texture | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The three of `rasterize` at the pixels (P, 2), as (B, P, C or 1)."""
    log_d, log_c = coverage(family, triangles, pixels)  # (B, P, F) each
    alpha = alpha_of(family, log_d, log_c)[..., None]
    if not attributes.shape[-1]:
        return alpha[..., :0], torch.ones_like(alpha), alpha
    gamma = one_number(family.gamma, triangles)
    corners = interpolation(triangles, perspective, pixels)  # (B, P, F, 3)
    depth = (corners * triangles[:, None, :, :, 2]).sum(-1)  # (B, P, F)
    closeness = (family.far - depth) / (family.far - family.near)
    logits = log_d + (closeness / gamma).masked_fill(log_d <= NOTHING, 0)
    behind = (family.behind / gamma).expand_as(alpha)
    logits = torch.cat((logits, behind), dim=-1).log_softmax(dim=-1)  # (B, P, F + 1)
    share = logits[..., :-1].exp()
    if texture is None:
        picture = torch.einsum("bpfk,bfkc->bpc", share[..., None] * corners, attributes)
    else:
        values, uv = torch.einsum("bpfk,bfkc->bpfc", corners, attributes).tensor_split(
            [-2], -1
        )  # (B, P, F, C - 2 and 2)
        tinted = values[..., :3] * sample_texture(texture.image, uv, texture.wrap)
        picture = (share[..., None] * torch.cat((tinted, values[..., 3:]), -1)).sum(2)
    return picture, logits[..., -1:].exp(), alpha


def coverage(family: Family, triangles: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """log D and log(1 - D) of all faces at the pixels (P, 2): (B, P, F) each; D = 0 where the face does not count."""
    distance = signed_distance(triangles, pixels, family.distance)
    log_d, log_c = log_probabilities(family.distribution, distance / one_number(family.scale, distance), family.shape)
    counts = in_front(triangles)[:, None]  # (B, 1, F), in the end (B, P, F)
    if family.box is not None:
        place = pixels[:, None]  # (P, 1, 2)
        low, high = (triangles[:, None, :, :, :2].detach().amin(-2), triangles[:, None, :, :, :2].detach().amax(-2))
        counts = counts & (place >= low - family.box).all(-1) & (place <= high + family.box).all(-1)
    if family.count is not None:
        counts = counts & (counts.cumsum(-1) <= family.count)
    counts = counts & (log_d.detach() > math.log(max(family.cutoff, LEAST * torch.finfo(log_d.dtype).tiny)))
    return log_d.masked_fill(~counts, NOTHING), log_c.masked_fill(~counts, 0)


def one_number(value: float | Tensor, like: Tensor) -> Tensor:
    """A number or one-element tensor as a tensor without dimensions, in the type and place of ``like``."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(())


def alpha_of(family: Family, log_d: Tensor, log_c: Tensor) -> Tensor:
    """How much all faces together cover: (...,) from log D and log(1 - D), (..., F) each."""
    if not log_d.shape[-1]:
        return log_d.sum(-1)
    if family.alpha == "sum":
        return log_d.exp().mean(-1)
    if family.alpha == "hard":
        return (log_d - log_c > EVEN).any(-1).to(log_d)
    return combine(family.alpha, log_d, log_c, family.p)


def interpolation(triangles: Tensor, perspective: bool, pixels: Tensor) -> Tensor:
    """Weights (B, P, F, 3) of the three corners at the pixels (P, 2), clipped to the face; they sum to 1."""
    weight = evaluate(barycentric_functions(edge_functions(triangles)), pixels).clamp(0, 1) + SPECK
    if perspective:
        weight = weight / torch.where(in_front(triangles)[..., None], triangles[..., 2], 1.0)[:, None]
    return weight / weight.sum(-1, keepdim=True)
