"""Texture lookup: texel centres, borders, orientation, torch's own lookup as an oracle, derivatives, errors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import grid_sample

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.scene import sample_texture
from tests.tolerances import FLOAT32, FLOAT64

D = torch.float64
WRAPS = ["repeat", "clamp"]


def picture(height: int = 3, width: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, dtype=D, generator=torch.Generator().manual_seed(seed))


def at(texture: Tensor, u: float, v: float, wrap: str) -> Tensor:
    return sample_texture(texture, torch.tensor([u, v], dtype=D), wrap)


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("size", [(3, 4), (1, 5), (4, 1), (1, 1)])
def test_texel_centres_show_the_texels(wrap: str, size: tuple[int, int]) -> None:
    texture = picture(*size)
    for row in range(size[0]):
        for column in range(size[1]):
            found = at(texture, (column + 0.5) / size[1], 1 - (row + 0.5) / size[0], wrap)
            torch.testing.assert_close(found, texture[:, row, column], **FLOAT64)


def test_between_texels_and_at_the_borders() -> None:
    texture = picture()  # 3 rows, 4 columns
    a, b, c, d = texture[:, 1, 1], texture[:, 1, 2], texture[:, 2, 1], texture[:, 2, 2]
    quarter = at(texture, 1.75 / 4, 1 - 2.0 / 3, "clamp")  # a quarter from column 1 to 2, half-way from row 1 to 2
    torch.testing.assert_close(quarter, 0.5 * (0.75 * a + 0.25 * b + 0.75 * c + 0.25 * d), **FLOAT64)
    middle = 1 - 1.5 / 3  # of row 1
    for u, column in ((0.0, 0), (-7.3, 0), (1.0, 3), (20.0, 3)):
        torch.testing.assert_close(at(texture, u, middle, "clamp"), texture[:, 1, column], **FLOAT64)
    seam = (texture[:, 1, 0] + texture[:, 1, 3]) / 2
    for u in (0.0, 1.0, -2.0):
        torch.testing.assert_close(at(texture, u, middle, "repeat"), seam, **FLOAT64)
    top_and_bottom = (texture[:, 0, 1] + texture[:, 2, 1]) / 2
    for v in (0.0, 1.0):
        torch.testing.assert_close(at(texture, 1.5 / 4, v, "repeat"), top_and_bottom, **FLOAT64)
    torch.testing.assert_close(at(texture, 1.5 / 4, 1.0, "clamp"), texture[:, 0, 1], **FLOAT64)  # v = 1 is on top


@given(u=st.floats(-1, 2), v=st.floats(-1, 2))
def test_clamp_is_torchs_lookup_and_repeat_is_that_of_a_tiled_texture(u: float, v: float) -> None:
    texture = picture()

    def oracle(image: Tensor, u: float, v: float) -> Tensor:
        grid = torch.tensor([[[[2 * u - 1, 1 - 2 * v]]]], dtype=D)
        return grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0, :, 0, 0]

    torch.testing.assert_close(at(texture, u, v, "clamp"), oracle(texture, u, v), **FLOAT64)
    tiled = texture.repeat(1, 5, 5)  # u and v in [-2, 3]
    torch.testing.assert_close(at(texture, u, v, "repeat"), oracle(tiled, (u + 2) / 5, (v + 2) / 5), **FLOAT64)


@pytest.mark.parametrize("wrap", WRAPS)
def test_shapes_batches_and_types(wrap: str, generator: torch.Generator) -> None:
    textures = torch.rand(2, 3, 3, 4, dtype=D, generator=generator)
    uv = 3 * torch.rand(2, 5, 6, 2, dtype=D, generator=generator) - 1
    together = sample_texture(textures, uv, wrap)
    assert together.shape == (2, 5, 6, 3)
    for row in range(2):
        alone = sample_texture(textures[row], uv[row], wrap)
        torch.testing.assert_close(together[row], alone, **FLOAT64)
        torch.testing.assert_close(alone[4, 5], sample_texture(textures[row], uv[row, 4, 5], wrap), **FLOAT64)
    single = sample_texture(textures, uv.float(), wrap)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), together, **FLOAT32)
    assert sample_texture(textures[0], uv[0, :0], wrap).shape == (0, 6, 3)
    far = torch.tensor([[1e30, -1e30], [-1e-12, 1e-12]])
    assert sample_texture(textures[0].float(), far, wrap).isfinite().all()


@pytest.mark.parametrize("wrap", WRAPS)
def test_derivatives_in_texture_and_uv(wrap: str) -> None:
    """Away from texel centres, where the slope jumps; across the border too."""
    texels = torch.stack((picture(2, 3), picture(2, 3, 1))).requires_grad_()
    uv = torch.tensor([[[0.3, 0.4], [0.05, 0.9], [-0.6, 1.7]]] * 2, dtype=D).requires_grad_()
    slopes = torch.autograd.grad(sample_texture(texels, uv, wrap).square().sum(), (texels, uv))
    assert all(float(slope.abs().max()) > 1e-3 for slope in slopes)
    assert torch.autograd.gradcheck(lambda t, x: sample_texture(t, x, wrap), (texels, uv))
    assert torch.autograd.gradgradcheck(lambda t, x: sample_texture(t, x, wrap), (texels, uv))


@pytest.mark.parametrize(
    ("texture", "uv", "error", "argument"),
    [
        (torch.full((3, 2, 2), math.nan), torch.zeros(1, 2), DomainError, "texture"),
        (torch.zeros(3, 0, 2), torch.zeros(1, 2), ShapeError, "texture"),
        (torch.zeros(3, 2, 0), torch.zeros(1, 2), ShapeError, "texture"),
        (torch.zeros(4, 2, 2), torch.zeros(1, 2), ShapeError, "texture"),
        (torch.zeros(2, 2), torch.zeros(1, 2), ShapeError, "texture"),
        (None, torch.zeros(1, 2), DTypeError, "texture"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), torch.zeros(1, 2), DTypeError, "texture"),
        (torch.zeros(3, 2, 2), torch.tensor([math.inf, 0.0]), DomainError, "uv"),
        (torch.zeros(3, 2, 2), torch.zeros(1, 3), ShapeError, "uv"),
        (torch.zeros(3, 2, 2), None, DTypeError, "uv"),
        (torch.zeros(2, 3, 2, 2), torch.zeros(2), ShapeError, "uv"),
        (torch.zeros(2, 3, 2, 2), torch.zeros(3, 2), ShapeError, "uv"),
        (torch.zeros(3, 2, 2), torch.zeros(0, 2, device="meta"), DeviceError, "uv"),
    ],
)
def test_bad_arguments_are_refused(texture: object, uv: object, error: type[LabError], argument: str) -> None:
    with pytest.raises(error) as caught:
        sample_texture(texture, uv)
    assert caught.value.argument == argument


def test_an_unknown_wrap_is_refused() -> None:
    with pytest.raises(DomainError, match="wrap: got 'mirror', expected 'repeat' or 'clamp'"):
        sample_texture(picture(), torch.zeros(2, dtype=D), "mirror")
