"""Equation 10 of UDR: colours where the traced ray and the mask agree, the field where they do not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.data.multiview import Pixels
from labkit.geometry.sdf import value_and_gradient
from labkit.nets.appearance import Appearance
from labkit.nets.sdf import SDFNet
from labkit.render.implicit import Tracer, minimum_point, sphere_span, sphere_trace
from labkit.render.surface_point import surface_point
from labkit.train.udr_cameras import CameraOffsets
from labkit.train.udr_config import LossConfig


class SurfaceLoss(nn.Module):
    """The loss of sphere-traced pictures (UDR, equation 10), one module so that its gradients can be averaged at once.

    Args:
        field: f.
        appearance: M.
        cameras: where the rays come from.
        tracer, config: see there.
        world: processes that share a step's rays; a sum over all rays is then this member's, that many times.
    """

    def __init__(
        self,
        field: SDFNet,
        appearance: Appearance,
        cameras: CameraOffsets,
        tracer: Tracer,
        config: LossConfig,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.field, self.appearance, self.cameras = field, appearance, cameras
        self.tracer, self.config, self.world = tracer, config, world

    def forward(self, pixels: Pixels, points: Tensor, fractions: Tensor, step: int) -> dict[str, Tensor]:
        """The terms, weighted, each (); their sum is the loss.

        Args:
            pixels: of this step, N.
            points: where the eikonal equation is asked for, (P, 3).
            fractions: where on a ray its smallest f is sought, (S,) in [0, 1].
            step: from 1, for what changes over time.
        """
        origins, directions = self.cameras.rays(pixels.view, pixels.pixel)  # (N, 3) each
        colors, alpha = pixels.color, pixels.alpha
        with torch.no_grad():
            trace = sphere_trace(self.field, origins, directions, self.tracer)
            near, far, _ = sphere_span(origins, directions, self.tracer.radius)
            met = near < far
        scale = self.world if self.config.reduction == "sum" else 1 / len(alpha)
        seen = trace.hit & (alpha > 0)
        found = origins[seen] + trace.depth[seen, None] * directions[seen]  # (M, 3), differentiable in the camera
        place = surface_point(self.field, found, directions[seen], self.config.grazing)
        _, normals, features = self.field.full(place)
        shown = self.appearance(place, normals, directions[seen], features)  # (M, 3)
        terms = {"color": scale * (alpha[seen] * (shown - colors[seen]).abs().sum(-1)).sum()}

        # The smallest f is sought behind the surface where the ray hit one, and on the whole ray where it did not.
        from_here = torch.where(trace.hit, trace.depth, near)
        if self.config.mask_loss == "linear":
            wrong = met & torch.where(trace.hit, alpha < 1, alpha > 0)
            lowest = self._lowest(origins[wrong], directions[wrong], from_here[wrong], far[wrong], fractions)
            value, hit, opaque = self.field(lowest), trace.hit[wrong], alpha[wrong]
            terms["false hit"] = -scale * self.config.mask * ((1 - opaque) * value)[hit].sum()
            terms["false miss"] = scale * self.config.mask * (opaque * value)[~hit].sum()
        else:
            open_rays = met & ~(trace.hit & (alpha == 1))
            lowest = self._lowest(origins[open_rays], directions[open_rays], near[open_rays], far[open_rays], fractions)
            sharpness = self.config.sharpness * 2.0 ** (step // self.config.sharpen_every)
            logits = -sharpness * self.field(lowest)
            entropy = nn.functional.binary_cross_entropy_with_logits(logits, alpha[open_rays], reduction="sum")
            terms["mask"] = scale * self.config.mask * entropy / sharpness
        terms["eikonal"] = self.config.eikonal * eikonal(self.field, points)
        if self.config.eikonal_surface:
            terms["eikonal"] += self.config.eikonal * (normals.norm(dim=-1) - 1).square().sum() / len(alpha)
        return terms

    def _lowest(self, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, fractions: Tensor) -> Tensor:
        return minimum_point(self.field, origins.detach(), directions.detach(), near, far, fractions[None])


def eikonal(field: SDFNet, points: Tensor) -> Tensor:
    """How far f is from a distance: the mean of (|grad f| - 1)^2 over points (N, 3) (UDR, equation 7), ()."""
    return (value_and_gradient(field, points)[1].norm(dim=-1) - 1).square().mean()
