"""The one operator of labkit: triangles in, picture out."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from labkit.errors import BackendError, DomainError, ShapeError, check_device, check_size, check_tensor
from labkit.render.raster.algonet import AlgoNet
from labkit.render.raster.hard import Hard
from labkit.render.raster.layers import Layers
from labkit.render.raster.n3mr import N3MR
from labkit.render.raster.softras import SoftRas
from labkit.scene.textures import Texture, sample_texture

Backend = Literal["auto", "reference", "kernel"]


class Rasterizer(Protocol):
    """What `rasterize` asks of a rasterizer: one picture, two executions, and the width of its edges."""

    def reference(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """Color, the background's share, and alpha by dense torch, in the dtype of the triangles."""
        ...

    def kernel(self, triangles: Tensor, attributes: Tensor, size: tuple[int, int], perspective: bool) -> Layers:
        """The same by the fast kernel, in float32."""
        ...

    def edge_width_px(self, size: tuple[int, int]) -> float:
        """Width of the soft edge in pixels."""
        ...

    @property
    def deferrable(self) -> bool:
        """Whether pixels may be shaded after the interpolation, because each shows one face."""
        ...

    @property
    def textured(self) -> bool:
        """Whether ``reference`` and ``kernel`` take a texture, to be looked up for each pixel and face."""
        ...


def rasterize(
    triangles: Tensor,
    attributes: Tensor,
    size: tuple[int, int],
    rasterizer: Rasterizer | None = None,
    background: Tensor | None = None,
    backend: Backend = "auto",
    perspective: bool = True,
    texture: Texture | None = None,
) -> tuple[Tensor, Tensor]:
    """Rasterize triangles; differentiable in every tensor, the rasterizer's own parameters included.

    The picture is what the faces contribute plus the background times its share, which is 1 - alpha unless the
    rasterizer says otherwise.

    Args:
        triangles: (B, F, 3, 3) NDC x, y and view depth of each corner. A face with a corner at a depth of zero or
            less contributes nothing (`labkit.render` clips such faces first); zero faces give the background.
        attributes: (B, F, 3, C) values at the corners, C >= 1.
        size: (H, W) in pixels; the shorter side spans [-1, 1], row 0 is on top.
        rasterizer: `Hard` (the default), `AlgoNet`, `SoftRas`, `GenDR`, `DIBR` or `N3MR`, whose gradient of the corners
            is a surrogate.
        background: (C,) or (B, C, H, W); zeros if None.
        backend: "reference" is dense torch, the specification, in the dtype of the input; "kernel" the fast kernel,
            for float32 on the CPU; "auto" takes the kernel for float32 on the CPU and the reference otherwise.
        perspective: interpolate perspective-correctly; False for orthographic cameras, where depth is linear on the
            screen.
        texture: looked up at u and v, then the last two of the attributes and no part of the picture, for each pixel
            and face; it multiplies the first three. For `GenDR` and `SoftRas` with soft colours.

    Returns:
        color (B, C, H, W) and alpha (B, 1, H, W), both in the dtype of the triangles.

    Raises:
        ShapeError, DTypeError, DomainError, DeviceError: the arguments do not fit or hold NaN or infinity.
        BackendError: the kernel was asked for and cannot run.
    """
    rasterizer = Hard() if rasterizer is None else rasterizer
    size = check_size("size", size)
    check_tensor("triangles", triangles, "B F 3 3")
    check_tensor("attributes", attributes, "B F 3 C")
    if triangles.shape[:2] != attributes.shape[:2] or not attributes.shape[-1]:
        raise ShapeError("attributes", tuple(attributes.shape), f"{(*triangles.shape[:3], 'C')} with C of at least 1")
    if triangles.dtype != attributes.dtype:
        attributes = attributes.to(triangles.dtype)
    channels = attributes.shape[-1]
    if texture is not None:
        if not rasterizer.textured:
            raise DomainError("texture", f"one for {rasterizer}", "GenDR, or SoftRas with soft colours")
        if channels < 5:
            raise ShapeError(
                "attributes", tuple(attributes.shape), "at least 3 to be multiplied by the texture, u and v"
            )
        sample_texture(texture.image, attributes[:, :0, :, -2:], texture.wrap)  # for its checks
        channels -= 2
    if background is not None:
        full = (len(triangles), channels, *size)
        check_tensor("background", background, "C" if background.ndim == 1 else "B C H W")
        if background.shape not in ((channels,), full):
            raise ShapeError("background", tuple(background.shape), f"({channels},) or {full}")
    check_device(triangles=triangles, attributes=attributes, background=background)
    run: Callable[..., Layers] = rasterizer.kernel if _wants_kernel(backend, triangles) else rasterizer.reference
    layers = run(triangles, attributes, size, perspective, *(() if texture is None else (texture,)))
    return (layers.color if background is None else layers.over(background)), layers.alpha


def _wants_kernel(backend: Backend, triangles: Tensor) -> bool:
    """Decide between kernel and reference; asked for and missing is an error."""
    if backend not in ("auto", "reference", "kernel"):
        raise DomainError("backend", backend, "'auto', 'reference' or 'kernel'")
    fits = triangles.dtype == torch.float32 and triangles.device.type == "cpu"
    missing = "" if importlib.util.find_spec("numba") else 'numba, which is not installed: pip install "labkit[fast]"'
    if backend == "kernel":
        if not fits:
            raise BackendError("backend", f"'kernel' for {triangles.dtype} on {triangles.device}", "float32 on the CPU")
        if missing:
            raise BackendError("backend", "'kernel'", missing)
    if backend == "auto" and fits and missing:
        warnings.warn(f"labkit renders with the slow reference: {missing}", stacklevel=3)
    return backend != "reference" and fits and not missing


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache on disk, so that no picture has to wait for it later.

    The first call after an installation or a change takes some ten seconds, later ones well under a second.

    Raises:
        BackendError: numba is missing.
    """
    triangle = torch.tensor([[[[-0.5, -0.5, 1.0], [0.5, -0.5, 1.0], [0.0, 0.5, 1.0]]]], requires_grad=True)
    for rasterizer in (AlgoNet(), Hard(), N3MR(), SoftRas()):
        color, alpha = rasterize(triangle, triangle, (8, 8), rasterizer, backend="kernel")
        (color.sum() + alpha.sum()).backward()
