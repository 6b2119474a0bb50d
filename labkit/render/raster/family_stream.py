"""The streaming kernel of the distance family as a differentiable operator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.render.raster import family as reference
from labkit.render.raster.distributions import DISTRIBUTIONS, log_probabilities
from labkit.render.raster.faces import barycentric_functions, edge_functions, edge_lengths, in_front
from labkit.render.raster.family import EVEN, LEAST, Family, one_number
from labkit.render.raster.kernel_cpu_coverage import HARD, SUM, TINY
from labkit.render.raster.kernel_cpu_family import GAMMA, SCALE, VALUES, stream
from labkit.render.raster.kernel_cpu_texture import TINTED
from labkit.render.raster.layers import Layers
from labkit.render.raster.t_conorms import T_CONORMS
from labkit.scene.textures import Texture, Wrap

DISTANCES = ("linear", "squared", "barycentric")
FAINT = 2.0**-24  # what all faces that are left out may change alpha by


def rasterize(
    family: Family,
    triangles: Tensor,
    attributes: Tensor,
    size: tuple[int, int],
    perspective: bool,
    texture: Texture | None = None,
) -> Layers:
    """The layers (float32) that `family.rasterize` computes in float64; arguments as there.

    Differentiable in triangles, attributes, scale, gamma and texture. A second derivative goes through the dense
    reference.
    """
    wrap = None if texture is None else texture.wrap
    image = triangles.new_empty(TINTED, 0, 0) if texture is None else texture.image
    exact = triangles.new_empty(0, dtype=torch.float64)
    scale, gamma = (one_number(number, exact) for number in (family.scale, family.gamma))
    return Layers(*_Stream.apply(family, size, perspective, wrap, triangles, attributes, scale, gamma, image))


class _Stream(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        family: Family,
        size: tuple[int, int],
        perspective: bool,
        wrap: Wrap | None,
        triangles: Tensor,
        attributes: Tensor,
        scale: Tensor,
        gamma: Tensor,
        texture: Tensor,
    ) -> tuple[Tensor, ...]:
        faces = _prepare(triangles.double(), attributes.double())
        model = _model(family, scale, gamma, perspective, wrap, faces)
        batch, channels = len(triangles), attributes.shape[-1] - (0 if wrap is None else 2)
        images = [torch.empty(batch, n, *size, dtype=torch.float64) for n in (channels, 1, 1, 1)]
        for index in range(batch):
            _run(faces, texture, index, model, images)
        ctx.arguments = (family, size, perspective, wrap, model)
        ctx.save_for_backward(triangles, attributes, scale, gamma, texture, *images)
        alpha = _alpha(family, images[3], triangles.shape[1])
        return images[0].float(), images[1].float(), alpha.float()

    @staticmethod
    def backward(ctx: Any, to_color: Tensor, to_share: Tensor, to_alpha: Tensor) -> tuple[Tensor | None, ...]:
        family, _, _, _, model = ctx.arguments
        triangles, attributes, scale, gamma, texture, *images = ctx.saved_tensors
        inputs = (triangles, attributes, scale, gamma, texture)
        if torch.is_grad_enabled():  # a derivative of this derivative is wanted
            return None, None, None, None, *_reference_gradients(ctx.arguments, inputs, (to_color, to_share, to_alpha))
        color, share, _, total = images
        to_color, to_share = to_color.double(), to_share.double()
        to_dot = (to_color * color).sum(1, keepdim=True) + to_share * share  # (B, 1, H, W)
        with torch.enable_grad():
            corners, values = (tensor.double().detach().requires_grad_() for tensor in inputs[:2])
            faces = _prepare(corners, values)
            summed = total.detach().requires_grad_()
            alpha = _alpha(family, summed, triangles.shape[1])
        to_total = torch.zeros_like(total)  # of a hard alpha
        if alpha.requires_grad:
            (to_total,) = torch.autograd.grad(alpha, summed, to_alpha.double())
        gradients = [to_color.contiguous(), to_dot, to_total]
        slots = VALUES + 3 * attributes.shape[-1]
        found = triangles.new_zeros(*triangles.shape[:2], slots, dtype=torch.float64)
        to_texture = torch.zeros_like(texture, dtype=torch.float64)
        for index in range(len(triangles)):
            found[index], part = _run(faces, texture, index, model, images, gradients)
            to_texture += part
        to_scale = -found[..., SCALE].sum() / model.scale
        to_behind = share * (to_share - to_dot) if attributes.shape[-1] else share.new_zeros(())
        to_gamma = -(found[..., GAMMA].sum() + family.behind * to_behind.sum()) / model.gamma**2
        parts = found.split((9, 9, 6, 3, 1, 1, found.shape[-1] - VALUES), dim=-1)  # LINES to VALUES
        outputs = (faces.lines, faces.barycentric, faces.corners, faces.depths, faces.values)
        to_outputs = [parts[k].reshape(output.shape) for k, output in zip((0, 1, 2, 3, 6), outputs, strict=True)]
        to_corners, to_values = torch.autograd.grad(
            outputs, (corners, values), to_outputs, allow_unused=True, materialize_grads=True
        )
        grads = zip((to_corners, to_values, to_scale, to_gamma, to_texture), inputs, strict=True)
        return None, None, None, None, *(grad.to(one) for grad, one in grads)


@dataclass(frozen=True)
class _Faces:
    """What the kernel reads of the faces, float64 and differentiable in the triangles (see its docstring)."""

    lines: Tensor
    barycentric: Tensor
    corners: Tensor
    depths: Tensor
    values: Tensor
    flat: Tensor
    valid: Tensor


def _prepare(triangles: Tensor, attributes: Tensor) -> _Faces:
    """From triangles (B, F, 3, 3) and attributes (B, F, 3, C)."""
    functions = edge_functions(triangles)
    area = functions[..., 2].sum(-1)  # (B, F)
    turn = torch.where(area < 0, -1.0, 1.0).to(area)
    return _Faces(
        lines=functions * (turn[..., None] / edge_lengths(functions))[..., None],
        barycentric=barycentric_functions(functions),
        corners=triangles[..., :2],
        depths=triangles[..., 2],
        values=attributes,
        flat=area == 0,
        valid=in_front(triangles),
    )


@dataclass(frozen=True)
class _Model:
    """The settings of the kernel as plain numbers."""

    codes: tuple[int, int, int]  # distance, distribution, t-conorm
    family: Family
    scale: float
    gamma: float
    lowest: float
    affine: bool
    repeats: bool

    def numbers(self) -> tuple[Any, ...]:
        """As the kernel takes them."""
        distance, distribution, conorm = self.codes
        f = self.family
        box, count = float("inf") if f.box is None else f.box, 1 << 62 if f.count is None else f.count
        return (
            *(distance, distribution, float(f.shape), conorm, float(f.p), float(f.cutoff), self.scale, self.gamma),
            *(float(f.near), float(f.far), float(f.behind), self.lowest, float(box), count, self.affine, self.repeats),
        )


def _model(family: Family, scale: Tensor, gamma: Tensor, perspective: bool, wrap: Wrap | None, faces: _Faces) -> _Model:
    faint = LEAST * TINY
    if family.alpha == "probabilistic" and not faces.values.shape[-1]:
        faint = FAINT / max(1, faces.flat.shape[1])  # alpha = 1 - prod(1 - D) changes by less than the D of a face
    family = replace(family, cutoff=max(family.cutoff, faint))
    conorm = {"sum": SUM, "hard": HARD}.get(family.alpha)
    codes = (
        DISTANCES.index(family.distance),
        list(DISTRIBUTIONS).index(family.distribution),
        list(T_CONORMS).index(family.alpha) if conorm is None else conorm,
    )
    lowest = _lowest(family) if family.count is None else -float("inf")  # all in the box count, however faint
    return _Model(codes, family, float(scale), float(gamma), lowest, not perspective, wrap == "repeat")


def _lowest(family: Family) -> float:
    """A v <= 0 below which F(v) does not exceed the cutoff; minus infinity if there is none down to -1e18."""
    v = -torch.logspace(-6, 18, 4801, dtype=torch.float64)
    counts = log_probabilities(family.distribution, v, family.shape)[0].exp() > family.cutoff
    if not bool(counts.any()):
        return float(v[0])
    last = int(counts.nonzero()[-1])
    return float(v[last + 1]) if last + 1 < len(v) else -float("inf")


def _alpha(family: Family, total: Tensor, faces: int) -> Tensor:
    """Alpha from the kernel's sums of the generator, any shape."""
    if family.alpha == "hard":
        return (total > 0.5 + EVEN / 4).to(total)
    if family.alpha == "sum":
        return total / max(1, faces)
    return T_CONORMS[family.alpha].alpha(total, family.p)


def _run(
    faces: _Faces,
    texture: Tensor,
    index: int,
    model: _Model,
    images: list[Tensor],
    gradients: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Fill one image of the batch; or with gradients return those of the faces, (F, slots), and of the texture."""
    kept = faces.valid[index].nonzero().squeeze(1)
    fields = (faces.lines, faces.barycentric, faces.corners, faces.depths, faces.values, faces.flat)
    arrays = tuple(field.detach()[index, kept].contiguous().numpy() for field in fields)
    arrays += (texture.detach().double().contiguous().numpy(),)
    picture, *rest = (image[index].numpy() for image in images)
    planes = (picture, *(plane[0] for plane in rest))
    none = np.empty((0, 0))
    incoming: tuple[Any, ...] = (picture[:0], none, none)
    if gradients is not None:
        incoming = (gradients[0][index].numpy(), *(gradient[index, 0].numpy() for gradient in gradients[1:]))
    threads = torch.get_num_threads()
    slots = VALUES + 3 * faces.values.shape[-1]
    copies = threads if gradients else 1
    found, tinted = np.zeros((copies, len(kept), slots)), np.zeros((copies, *texture.shape))

    def work(thread: int) -> int:
        own = thread if gradients else 0
        return stream(thread, threads, arrays, model.numbers(), planes, incoming, (found[own], tinted[own]))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    sums = faces.depths.new_zeros(faces.depths.shape[1], slots)
    sums[kept] = torch.from_numpy(found.sum(0))
    return sums, torch.from_numpy(tinted.sum(0))


def _reference_gradients(
    arguments: tuple[Any, ...], inputs: tuple[Tensor, ...], to_layers: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients of the inputs as differentiable functions of inputs and incoming gradients."""
    family, size, perspective, wrap, _ = arguments
    with torch.enable_grad():
        held = [tensor if tensor.requires_grad else tensor.detach().requires_grad_() for tensor in inputs]
        chosen = replace(family, scale=held[2], gamma=held[3])
        texture = None if wrap is None else Texture(held[4].double(), wrap)
        layers = reference.rasterize(chosen, held[0].double(), held[1].double(), size, perspective, texture)
        nothing = 0 * held[0].sum()  # has a graph also where no layer has
        pairs = [(layer, to.to(layer)) for layer, to in zip(layers, to_layers, strict=True) if layer.requires_grad]
        return torch.autograd.grad(
            [nothing, *(layer for layer, _ in pairs)],
            held,
            [torch.zeros_like(nothing), *(to for _, to in pairs)],
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
