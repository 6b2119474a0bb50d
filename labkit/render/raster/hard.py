"""The hard rasterizer: the limit that every soft one approaches, and the reason why they exist."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.render.raster.faces import barycentric_functions, edge_functions, evaluate, in_front
from labkit.render.raster.layers import Layers
from labkit.render.raster.pixels import pixel_centers, to_image
from labkit.render.raster.reference import pixel_chunks


@dataclass(frozen=True)
class Hard:
    """A z-buffer: each pixel belongs to the nearest face that contains its centre, in either winding.

    Colours are interpolated at the pixel (perspective-correctly under a perspective camera). Alpha is 0 or 1. Gradients
    reach the attributes, and the corners through the interpolation; none passes through visibility: silhouettes and
    occlusions have no derivative here, which is what the soft rasterizers repair.

    A face without area contains no pixel. Among faces of equal depth the one with the lowest index is seen.
    """

    deferrable = True
    textured = False

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Width of the edge in pixels of an (H, W) image: zero."""
        return 0.0

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The layers, finding faces by dense torch."""
        seen = seen_by_reference(triangles, size, perspective)
        return picture(seen, triangles, attributes, size, perspective)

    def kernel(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The same, finding faces by the CPU kernel; exactly the same faces as the reference finds."""
        seen = seen_by_kernel(triangles, size, perspective)
        return picture(seen, triangles, attributes, size, perspective)


def seen_by_reference(triangles: Tensor, size: tuple[int, int], perspective: bool) -> Tensor:
    """Index (B, H * W) of the face that each pixel sees, -1 for none, by dense torch."""
    edges, nearness, candidates = _candidates(triangles, perspective)
    pixels = pixel_centers(size, edges.dtype, edges.device)
    parts = []
    for chunk in pixel_chunks(pixels, max(1, candidates.numel())):
        if not candidates.shape[1]:
            parts.append(torch.full((len(edges), len(chunk)), -1, device=edges.device))
            continue
        signed = evaluate(edges, chunk)  # (B, P, F, 3)
        inside = ((signed >= 0).all(-1) | (signed <= 0).all(-1)) & candidates[:, None]  # (B, P, F)
        near = evaluate(nearness[:, :, None], chunk).squeeze(-1)  # (B, P, F)
        best, seen = near.masked_fill(~inside, -torch.inf).max(dim=-1)
        parts.append(seen.masked_fill(best == -torch.inf, -1))
    return torch.cat(parts, dim=1)


def seen_by_kernel(triangles: Tensor, size: tuple[int, int], perspective: bool) -> Tensor:
    """The same by the CPU kernel."""
    from labkit.render.raster.kernel_cpu_hard import nearest_faces

    return nearest_faces(*_candidates(triangles, perspective), size)


def _candidates(triangles: Tensor, perspective: bool) -> tuple[Tensor, Tensor, Tensor]:
    """In float64: edge functions (B, F, 3, 3), nearness (B, F, 3) as a linear function, faces that can be seen (B, F).

    Nearness grows towards the camera: 1 / z, which is linear on the screen under perspective, or else -z.
    """
    triangles = triangles.detach().double()
    edges, depth = edge_functions(triangles), triangles[..., 2]
    candidates = in_front(triangles) & (edges[..., 2].sum(-1) != 0)
    corners = 1 / torch.where(candidates[..., None], depth, 1.0) if perspective else -depth  # (B, F, 3)
    nearness = (barycentric_functions(edges) * corners[..., None]).sum(-2)
    return edges, nearness, candidates


def picture(seen: Tensor, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
    """Interpolate the attributes of the ``seen`` faces (B, H * W), -1 for none; differentiable."""
    pixels = pixel_centers(size, triangles.dtype, triangles.device)
    covered = seen >= 0
    if not triangles.shape[1]:
        mean = attributes.sum((1, 2))[:, None].expand(-1, len(pixels), -1)  # (B, P, C) zeros that keep the graph
    else:
        index = seen.clamp(min=0)
        rows = torch.arange(len(seen), device=seen.device)[:, None]
        corners = triangles[rows, index]  # (B, P, 3, 3)
        a, b, c = barycentric_functions(edge_functions(corners)).unbind(-1)  # (B, P, 3)
        weight = a * pixels[:, :1] + b * pixels[:, 1:] + c
        if perspective:
            weight = weight / torch.where(covered[..., None], corners[..., 2], 1.0)
            weight = weight / torch.where(covered[..., None], weight.sum(-1, keepdim=True), 1.0)
        mean = torch.einsum("bpk,bpkc->bpc", weight, attributes[rows, index])
        mean = torch.where(covered[..., None], mean, 0.0)
    alpha = to_image(covered[..., None].to(mean), size)
    return Layers(to_image(mean, size), 1 - alpha, alpha)
