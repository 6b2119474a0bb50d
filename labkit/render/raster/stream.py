"""The streaming kernel as a differentiable operator on prepared faces."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.render.raster import reference
from labkit.render.raster.faces import Faces
from labkit.render.raster.kernel_cpu import stream
from labkit.render.raster.kernel_cpu_lanes import DETAIL_SLOTS, VALUE_SLOT

OPAQUE = 2.0**-30  # where prod(1 - V) is less, alpha is 1 and its gradient nothing


def rasterize(faces: Faces, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mean attribute (B, C, H, W) and alpha (B, 1, H, W), both float32, as `reference.rasterize` in float64.

    Differentiable in every tensor of ``faces``. A second derivative goes through the dense reference.
    """
    mean, alpha = _Stream.apply(size, faces.valid, *_inputs(faces))
    return mean, alpha


def _inputs(faces: Faces) -> list[Tensor]:
    """What the kernel differentiates: edges, logit, log presence, values and, if interpolated, three more."""
    presence = torch.zeros_like(faces.logit) if faces.log_presence is None else faces.log_presence
    if (detail := faces.detailed()) is None:
        return [faces.edges, faces.logit, presence, faces.values]
    return [faces.edges, faces.logit, presence, faces.values.expand(-1, -1, 3, -1), *detail]


def measure(faces: Faces, size: tuple[int, int], repeats: int) -> tuple[int, float]:
    """How many pixel-face pairs the kernel evaluates for the first picture, and its fewest seconds for that alone."""
    inputs = [tensor[0].detach() for tensor in _inputs(faces)]
    image, seconds = _Image(size, faces.valid[0], inputs), []
    for _ in range(repeats):
        start = time.perf_counter()
        image.run([torch.empty(channels, *size) for channels in (faces.values.shape[-1], 1, 1, 1)])
        seconds.append(time.perf_counter() - start)
    return image.pairs, min(seconds)


class _Stream(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, size: tuple[int, int], valid: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        values = inputs[3]
        images = [torch.empty(len(values), n, *size) for n in (values.shape[-1], 1, 1, 1)]  # mean, top, total, clear
        for index in range(len(values)):
            _Image(size, valid[index], [tensor[index] for tensor in inputs]).run([image[index] for image in images])
        ctx.size = size
        ctx.save_for_backward(valid, *inputs, *images)
        return images[0], 1 - images[3]

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_alpha: Tensor) -> tuple[Tensor | None, ...]:
        valid, *saved = ctx.saved_tensors
        inputs, images = saved[:-4], saved[-4:]
        if torch.is_grad_enabled():  # a derivative of this derivative is wanted
            return None, None, *_reference_gradients(ctx.size, valid, inputs, to_mean, to_alpha)
        mean, clear = images[0], images[3]
        # The kernel sees gradients of order 1, which keeps its products clear of slow denormal numbers.
        scale = torch.stack((to_mean.abs().amax(), to_alpha.abs().amax())).amax().clamp(min=1e-30)
        to_mean, to_alpha = to_mean / scale, to_alpha / scale
        incoming = (
            to_mean.float().contiguous(),
            (to_mean * mean).sum(1, keepdim=True).float(),  # (B, 1, H, W)
            torch.where(clear > OPAQUE, -to_alpha * clear, 0).float(),  # (B, 1, H, W)
        )
        grads = [torch.zeros_like(tensor) for tensor in inputs]
        for index in range(len(valid)):
            image = _Image(ctx.size, valid[index], [tensor[index] for tensor in inputs])
            found = image.run([each[index] for each in images], [each[index] for each in incoming])
            for grad, part in zip(grads, found, strict=True):
                grad[index] = part * scale
        return None, None, *grads


class _Image:
    """The faces of one image of the batch as the kernel wants them: valid ones only, oriented, nearest first."""

    def __init__(self, size: tuple[int, int], valid: Tensor, inputs: list[Tensor]) -> None:
        edges, logit, presence, values, *detail = (tensor.detach() for tensor in inputs)
        # (F,) indices of the valid faces by falling logit; stable, so that equal depths keep their order
        self.order = valid.nonzero().squeeze(1)
        self.order = self.order[logit[self.order].argsort(descending=True, stable=True)]
        edges, logit, presence, values = (tensor[self.order] for tensor in (edges, logit, presence, values))
        total = edges[..., 2].sum(-1)  # (F,) S, twice the scaled area
        self.turn = torch.where(total < 0, -1.0, 1.0).to(edges)[:, None, None]
        logit = logit - (logit[0] if len(logit) else 0)  # nearest at 0: only differences count, float32 keeps them
        none, k = edges[:0], torch.exp(-total.abs())
        slope = detail[2][self.order] if detail else torch.zeros_like(edges[..., 0])
        lowest = (logit + slope.amin(-1)).amin() if len(logit) else 0.0
        self.faces = (
            (edges * self.turn).contiguous().numpy(),
            (torch.log1p(k) + presence).numpy(),
            logit.numpy(),
            (logit + slope.amax(-1)).numpy(),
            float(lowest),
            torch.stack((k, presence.exp()), -1).float().numpy(),
            values.float().contiguous().numpy(),
        )
        self.detail = (
            detail[0][self.order].contiguous().numpy() if detail else none.numpy(),
            detail[1][self.order].float().contiguous().numpy() if detail else none[..., 0].float().numpy(),
            slope.float().contiguous().numpy() if detail else none[..., 0].float().numpy(),
        )
        self.shapes = [tensor.shape for tensor in inputs]
        self.slots = VALUE_SLOT + values.shape[1] * values.shape[2] + (DETAIL_SLOTS if detail else 0)
        self.limit = -24 * math.log(2) - math.log(max(len(edges), 1))

    def run(self, images: list[Tensor], gradients: list[Tensor] | None = None) -> list[Tensor]:
        """Write ``images`` (mean, top, total, clear), or with gradients return those of the inputs."""
        height, width = images[1].shape[-2:]
        backward = gradients is not None
        mean, *sums = (image.detach().numpy() for image in images)
        none = np.empty((0, height, width), np.float32)
        incoming = [each.numpy() for each in gradients] if gradients else [none, none, none]
        threads = torch.get_num_threads()
        found = np.zeros((threads if backward else 1, len(self.order), self.slots))
        arrays = (mean, *(each[0] for each in sums))
        grads = (incoming[0], incoming[1][0] if backward else arrays[1], incoming[2][0] if backward else arrays[1])

        def work(thread: int) -> int:
            return stream(
                thread, threads, self.faces, self.detail, self.limit, arrays, grads, found[thread if backward else 0]
            )

        with ThreadPoolExecutor(threads) as pool:
            self.pairs = sum(pool.map(work, range(threads)))
        return self._unpack(torch.from_numpy(found.sum(0))) if backward else []

    def _unpack(self, sums: Tensor) -> list[Tensor]:
        """Split the kernel's sums (F, slots) into gradients of the inputs, in the order and size of the inputs."""
        count, values = len(sums), self.slots - VALUE_SLOT - (DETAIL_SLOTS if len(self.shapes) > 4 else 0)
        edges, logit, presence, found, rest = sums.split((9, 1, 1, values, self.slots - VALUE_SLOT - values), dim=1)
        parts = [edges.reshape(count, 3, 3) * self.turn, logit, presence, found]
        if rest.shape[1]:
            parts += rest.split((9, 3, 3), dim=1)
        grads = []
        for part, shape in zip(parts, self.shapes, strict=True):
            grads.append(sums.new_zeros(shape))
            grads[-1][self.order] = part.reshape(count, *shape[1:])
        return grads


def _reference_gradients(
    size: tuple[int, int], valid: Tensor, inputs: list[Tensor], to_mean: Tensor, to_alpha: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the inputs as differentiable functions of inputs and incoming gradients."""
    with torch.enable_grad():
        inputs = [tensor if tensor.requires_grad else tensor.detach().requires_grad_() for tensor in inputs]
        edges, logit, presence, values, *detail = inputs
        faded = presence if bool(presence.any()) else None
        mean, alpha = reference.rasterize(Faces(edges, logit, values, valid, faded, *detail), size)
        return torch.autograd.grad(
            (mean, alpha),
            inputs,
            (to_mean.to(mean), to_alpha.to(alpha)),
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
