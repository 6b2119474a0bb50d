"""The Neural 3D Mesh Renderer (Kato et al. 2018): a z-buffer with a gradient that is defined by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from labkit.errors import BackendError, check_positive
from labkit.render.raster.hard import picture, seen_by_kernel, seen_by_reference
from labkit.render.raster.layers import Layers
from labkit.render.raster.n3mr_reference import scan_lines
from labkit.render.raster.pixels import pixel_pitch

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], Tensor]


@dataclass(frozen=True)
class N3MR:
    """The z-buffer of `Hard` with a **surrogate gradient, not the derivative**, for the positions of the corners.

    The picture is that of `Hard`. So are the gradients of the attributes. Depth gets no gradient, and x and y get
    nothing but the surrogate (not the derivative of the interpolation either): each edge of each seen face is followed
    through the picture, row by row for x and column by column for y. A line that crosses the edge has a last pixel
    inside and a first one outside. Two events could improve the picture at a pixel of that line:

    * out: the edge moves outwards until it covers the pixel, which then looks like the last pixel inside. Counts for
      all pixels from the edge to the border of the picture, if the face is the one seen at the last pixel inside.
    * in: the edge moves inwards and uncovers the pixel, which then looks like the first one outside. Counts for the
      pixels of the line that see the face.

    To first order the loss falls by ``diff = sum_c (I_c[pixel] - I_c[other]) dL/dI_c[pixel]``. Events that do not
    lower it are ignored. For the others, each end of the edge gets ``-diff / (dist + eps)`` towards the pixel, with
    dist how far this end alone has to move. The sum of these is no gradient of any function; its length means little.

    Here I are the color, share and alpha of the rasterizer, so that a covered pixel is compared with the background at
    that same pixel. Both windings are drawn, as by the original's ``fill_back``, and what is outside follows from the
    winding, so every face that some pixel sees takes part, and no other. A line is left out where one of the two
    pixels at the edge lies outside the picture. The original draws at twice the size and averages; this does not.

    Attributes:
        eps: > 0, in NDC units, keeps gradients finite at the edge. The original's is 1e-3 for colours and 1e-4 for
            silhouettes.

    Raises:
        DomainError: eps is not positive or not finite.
        BackendError: in backward, if a second derivative is asked for (``create_graph=True``): there is none.

    Source: Neural 3D Mesh Renderer, section 3, with the details of its public code. There a pixel centre that lies
    exactly on an edge is pushed the wrong way by edges that face left or down; here it is pushed inwards by all.
    """

    eps: float = 1e-3
    deferrable = False  # the surrogate compares finished colours
    textured = False

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, "NDC units")

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Width of the edge in pixels of an (H, W) image: zero."""
        return 0.0

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The layers and their surrogate gradient by dense torch."""
        seen = seen_by_reference(triangles, size, perspective)
        layers = picture(seen, triangles.detach(), attributes, size, perspective)
        return Layers(*_Surrogate.apply(scan_lines, self.eps, seen, triangles, *layers))

    def kernel(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The same by the CPU kernels."""
        from labkit.render.raster import kernel_cpu_n3mr

        seen = seen_by_kernel(triangles, size, perspective)
        layers = picture(seen, triangles.detach(), attributes, size, perspective)
        return Layers(*_Surrogate.apply(kernel_cpu_n3mr.scan_lines, self.eps, seen, triangles, *layers))


class _Surrogate(torch.autograd.Function):
    """Hands the layers through, and in backward gives the triangles their surrogate gradient."""

    @staticmethod
    def forward(
        ctx: Any, scan: Scan, eps: float, seen: Tensor, triangles: Tensor, color: Tensor, share: Tensor, alpha: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.arguments = scan, eps
        ctx.save_for_backward(seen, triangles, color, alpha)
        return color.clone(), share.clone(), alpha.clone()

    @staticmethod
    def backward(ctx: Any, to_color: Tensor, to_share: Tensor, to_alpha: Tensor) -> tuple[Tensor | None, ...]:
        to_triangles = None
        if ctx.needs_input_grad[3]:
            if torch.is_grad_enabled():
                raise BackendError(
                    "rasterizer", "create_graph=True for N3MR", "a rasterizer with a second derivative: it has none"
                )
            scan, eps = ctx.arguments
            seen, triangles, color, alpha = ctx.saved_tensors
            values = torch.cat((color, alpha), dim=1)  # (B, C + 1, H, W)
            incoming = torch.cat((to_color, to_alpha - to_share), dim=1)  # the share is 1 - alpha
            to_triangles = _gradient(scan, eps, seen, triangles, values, incoming)
        return None, None, None, to_triangles, to_color, None, None


def _gradient(scan: Scan, eps: float, seen: Tensor, triangles: Tensor, values: Tensor, incoming: Tensor) -> Tensor:
    """The surrogate gradient (B, F, 3, 3) of pictures with ``values`` and ``incoming`` gradients, (B, C, H, W) each."""
    size = values.shape[-2], values.shape[-1]
    pitch = pixel_pitch(size)
    middle = torch.tensor([size[1] - 1, size[0] - 1], dtype=torch.float64, device=triangles.device) / 2
    corners = triangles[..., :2].double() / pitch + middle  # (B, F, 3, 2) in pixels from the lower left one
    seen = seen.unflatten(1, size).flip(1)  # (B, H, W) from the lowest row upwards
    values, incoming = (tensor.double().flip(2).permute(0, 2, 3, 1) for tensor in (values, incoming))  # (B, H, W, C)
    gradient = torch.zeros_like(triangles)
    for index, points in enumerate(corners):
        rows = seen[index], values[index], incoming[index]
        names, image, change = (tensor.transpose(0, 1) for tensor in rows)
        gradient[index, ..., 0] = scan(points, *rows, pitch, eps)
        gradient[index, ..., 1] = scan(points.flip(-1), names, image, change, pitch, eps)
    return gradient
