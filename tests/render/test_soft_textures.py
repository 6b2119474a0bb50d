"""Textures looked up for each pixel and face: SoftRas and GenDR."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import need
from tolerances import FLOAT64, KERNEL_GRADIENT_RTOL, KERNEL_IMAGE_ATOL
from torch import Tensor

from labkit import DIBR, AlgoNet, Camera, GenDR, Hard, LabError, Phong, SoftRas, icosphere, load_mesh, rasterize, render
from labkit.errors import DomainError, ShapeError
from labkit.scene.textures import Texture, sample_texture

SOFT = [
    SoftRas(1e-3, 1e-2),
    GenDR("logistic", 3e-2, gamma=1e-2),
    GenDR("gaussian", 2e-2, t_conorm="einstein", gamma=1e-2),
]


def scene(faces: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Triangles (2, F, 3, 3), four values and u, v at their corners (2, F, 3, 6), and a texture (3, 5, 7)."""
    middle = torch.rand(2, faces, 1, 2, generator=generator) * 1.6 - 0.8
    around = middle + 0.4 * torch.randn(2, faces, 3, 2, generator=generator)
    depth = 1.5 + 2 * torch.rand(2, faces, 3, 1, generator=generator)
    attributes = torch.rand(2, faces, 3, 6, generator=generator)
    attributes[..., 4:] = 2 * attributes[..., 4:] - 0.5
    image = torch.rand(3, 5, 7, generator=generator)
    return torch.cat((around, depth), -1).to(dtype), attributes.to(dtype), image.to(dtype)


@pytest.mark.parametrize("wrap", ["repeat", "clamp"])
@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("rasterizer", SOFT, ids=str)
def test_kernel_equals_reference(
    rasterizer: SoftRas | GenDR, perspective: bool, wrap: str, generator: torch.Generator
) -> None:
    need("numba", importlib.util.find_spec("numba") is not None, 'pip install "labkit[fast]"')
    given = scene(12, generator)
    weights = torch.randn(2, 4, 19, 23, generator=generator, dtype=torch.float64)
    found = []
    for backend, dtype in (("reference", torch.float64), ("kernel", torch.float32)):
        triangles, attributes, image = (one.to(dtype).requires_grad_() for one in given)
        color, alpha = rasterize(
            triangles, attributes, (19, 23), rasterizer, None, backend, perspective, Texture(image, wrap)
        )
        grads = torch.autograd.grad((color * weights).sum() + alpha.sum(), (triangles, attributes, image))
        found.append((color.double(), grads))
    (color, grads), (fast, fast_grads) = found
    assert color.shape == (2, 4, 19, 23)
    torch.testing.assert_close(fast, color, rtol=0, atol=KERNEL_IMAGE_ATOL)
    for exact, grad in zip(grads, fast_grads, strict=True):
        assert (exact - grad).norm() <= KERNEL_GRADIENT_RTOL * exact.norm()
        assert exact.norm() > 0


def test_derivatives_of_the_reference(generator: torch.Generator) -> None:
    triangles, attributes, image = scene(3, generator)
    attributes[..., 4:] = 0.3 + 0.1 * attributes[..., 4:]  # between texel centres, where the lookup has a slope

    def picture(*inputs: Tensor) -> Tensor:
        return rasterize(*inputs[:2], (5, 6), SOFT[0], texture=Texture(inputs[2]))[0]

    inputs = [one[:1].clone().requires_grad_() for one in (triangles, attributes)] + [image.clone().requires_grad_()]
    assert float(picture(*inputs).detach().max()) > 0.1
    assert torch.autograd.gradcheck(picture, inputs)
    assert torch.autograd.gradgradcheck(picture, inputs)


def test_one_face_shows_its_texture_in_perspective(generator: torch.Generator) -> None:
    """Deep inside a single opaque face the picture is value * texture(uv), uv by perspective-correct interpolation."""
    triangle = torch.tensor([[[[-9.0, -9.0, 2.0], [9.0, -9.0, 2.0], [0.0, 9.0, 5.0]]]], dtype=torch.float64)
    uv = torch.tensor([[0.1, 0.2], [0.8, 0.3], [0.4, 0.9]], dtype=torch.float64)
    attributes = torch.cat((torch.full((3, 3), 0.5, dtype=torch.float64), uv), -1)[None, None]
    image = torch.rand(3, 4, 4, generator=generator, dtype=torch.float64)
    near = replace(SOFT[0], gamma=1e-6, near=1.0, far=10.0)
    color, _ = rasterize(triangle, attributes, (1, 1), near, texture=Texture(image))
    # at the middle of the picture b = (1/4, 1/4, 1/2); divided by z, (1/8, 1/8, 1/10), which sum to 7/20
    weights = torch.tensor([5 / 14, 5 / 14, 4 / 14], dtype=torch.float64)
    torch.testing.assert_close(color[0, :, 0, 0], 0.5 * sample_texture(image, weights @ uv), **FLOAT64)


def test_a_sharp_soft_picture_is_that_of_the_nearest_faces(shared_mesh: Callable[[str], Path]) -> None:
    mesh = load_mesh(shared_mesh("spot_triangulated.obj")).normalized()
    camera = Camera.orbit(200.0, 15.0, 2.6)
    settings = {"material": Phong(), "background": torch.tensor([0.2, 0.5, 0.8])}
    soft = render(mesh, camera, (96, 96), SoftRas(1e-8, 1e-5), shading="gouraud", **settings).color
    at_vertices = render(mesh, camera, (96, 96), Hard(), shading="gouraud", **settings).color
    pixelwise = render(mesh, camera, (96, 96), DIBR(), shading="phong", **settings).color
    off = (soft - pixelwise).abs().amax(1).flatten()
    assert off.median() < 1e-3  # lit at the vertices instead of the pixels
    assert (off > 0.05).float().mean() < 0.02  # a pixel on an outline shows one or the other
    assert off.mean() < 0.6 * (at_vertices - pixelwise).abs().amax(1).mean()  # texture at the vertices is coarser


def test_a_white_texture_changes_nothing() -> None:
    ball = icosphere(1)
    uv = ball.vertices[:, :2] / 2 + 0.5
    camera = Camera.orbit(20.0, 30.0, 3.0)
    white = ball.replace(colors=None, uv=uv, texture=torch.ones(3, 2, 2))
    colored = ball.replace(colors=torch.ones_like(ball.vertices), uv=None, texture=None)
    for shading in ("flat", "gouraud"):
        pictures = [
            render(mesh, camera, (24, 24), SOFT[1], Phong(), shading=shading, layers=True) for mesh in (white, colored)
        ]
        for name in ("color", "alpha", "normal", "depth"):
            one, other = (getattr(picture, name) for picture in pictures)
            torch.testing.assert_close(one, other, rtol=0, atol=KERNEL_IMAGE_ATOL)


def test_what_does_not_fit_is_refused(generator: torch.Generator) -> None:
    triangles, attributes, image = scene(2, generator)
    good = Texture(image)
    for rasterizer in (AlgoNet(), Hard(), DIBR(), SoftRas(color="hard")):
        with pytest.raises(DomainError, match="texture"):
            rasterize(triangles, attributes, (4, 4), rasterizer, texture=good)
    with pytest.raises(ShapeError, match="attributes"):
        rasterize(triangles, attributes[..., :4], (4, 4), SOFT[0], texture=good)
    bad: list[Texture] = [
        Texture(image[:2]),
        Texture(image[:, :0]),
        Texture(image * torch.nan),
        Texture(image, "mirror"),
    ]
    for texture in bad:
        with pytest.raises(LabError, match=r"texture|wrap"):
            rasterize(triangles, attributes, (4, 4), SOFT[0], texture=texture)
