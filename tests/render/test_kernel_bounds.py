"""What the kernel may skip: less than 2^-24 of any finished pixel, and no face that owns one."""

from __future__ import annotations

import math

import pytest
import torch
from render.scenes import SKIPPED, face, uniform
from torch import Tensor

from labkit.render.raster import AlgoNet, rasterize, reference
from labkit.render.raster.pixels import pixel_centers

pytest.importorskip("numba")
from labkit.render.raster import stream

ROUNDING = 2.0**-20  # sixty factors 1 - V rounded to float32, and sums that refer to another running maximum


def picture(
    triangles: Tensor, attributes: Tensor, size: tuple[int, int], soft: AlgoNet, limit: float | None = None
) -> tuple[Tensor, Tensor, int]:
    """Mean attribute and alpha of one image, and the number of pairs that were evaluated."""
    faces = soft.prepare(triangles.double(), attributes.double(), True)
    values = faces.values if faces.detailed() is None else faces.values.expand(-1, -1, 3, -1)
    presence = torch.zeros_like(faces.logit) if faces.log_presence is None else faces.log_presence
    inputs = [faces.edges, faces.logit, presence, values, *(faces.detailed() or ())]
    image = stream._Image(size, faces.valid[0], [tensor[0] for tensor in inputs])
    if limit is not None:
        image.limit = limit
    images = [torch.empty(n, *size) for n in (values.shape[-1], 1, 1, 1)]  # mean, top, total, clear
    image.run(images)
    return images[0], 1 - images[3], image.pairs


def many(kind: str, count: int, depth_range: float, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Faces of one kind (1, F, 3, 3) and their attributes (1, F, 3, 3)."""
    generator = torch.Generator().manual_seed(3)
    faces = [face(kind, generator, 2 / min(size), depth_range) for _ in range(count)]
    return torch.stack(faces)[None], uniform(generator, 1, count, 3, 3)


@pytest.mark.parametrize("kind", ["sliver", "subpixel", "plain", "collinear", "outside"])
@pytest.mark.parametrize("depth_range", [0.1, 3.0])
@pytest.mark.parametrize(("steepness", "opacity"), [(20.0, 100.0), (150.0, 1.0), (150.0, 100.0)])
def test_skipping_does_not_show(kind: str, depth_range: float, steepness: float, opacity: float) -> None:
    size = (70, 90)
    triangles, attributes = many(kind, 60, depth_range, size)
    for options in ({}, {"depth": "pixel", "color": "barycentric"}, {"sliver_fade": 0.1}):
        soft = AlgoNet(steepness, opacity, **options)
        mean, alpha, pairs = picture(triangles, attributes, size, soft)
        full_mean, full_alpha, all_pairs = picture(triangles, attributes, size, soft, limit=-1e30)
        valid = int(soft.prepare(triangles, attributes, True).valid.sum())
        # every pixel of the picture meets every face; rows are computed to the end of their tile
        assert all_pairs == valid * size[0] * (-(-size[1] // 16) * 16)
        assert pairs <= all_pairs
        assert (alpha - full_alpha).abs().max() <= SKIPPED + ROUNDING
        assert (alpha * mean - full_alpha * full_mean).abs().max() <= SKIPPED + ROUNDING


def test_skipping_pays() -> None:
    triangles, attributes = many("subpixel", 400, 0.1, (128, 128))
    *_, pairs = picture(triangles, attributes, (128, 128), AlgoNet(200.0, 1.0))
    assert pairs < 0.5 * 400 * 128 * 128


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_near_face_of_tiny_coverage_owns_its_pixels(side: float) -> None:
    """At opacity 100 and a depth difference of 2, V = 1e-40 outweighs V = 1 by exp(200) 1e-40 = 7e46."""
    size, steepness = (32, 32), 100.0
    far = [[-9.0, -9.0, 3.0], [9.0, -9.0, 3.0], [0.0, 9.0, 3.0]]
    near = [[side * 0.99, -0.5, 1.0], [side * 1.99, 0.0, 1.0], [side * 0.99, 0.5, 1.0]]
    triangles = torch.tensor([[far, near]])
    attributes = torch.tensor([[[[0.0]] * 3, [[1.0]] * 3]])
    soft = AlgoNet(steepness, 100.0)
    faces = soft.prepare(triangles.double(), attributes.double(), True)
    log_v = reference.fragments(faces, pixel_centers(size, torch.float64, "cpu")).log_coverage[0, :, 1]
    tiny = (log_v < math.log(1e-40)).view(size)
    assert tiny.sum() > 100
    color, alpha = rasterize(triangles, attributes, size, soft, backend="kernel")
    exact, _ = rasterize(triangles.double(), attributes.double(), size, soft)
    assert (exact[0, 0][tiny] > 0.999).sum() > 100  # of those pixels most belong to the near face
    assert (color.double() - exact).abs().max() < 1e-5
    assert alpha.min() > 0.99
    drawn = log_v.view(size)[exact[0, 0] > 0.999]
    assert drawn.min() < math.log(1e-60)


def test_every_pair_that_counts_is_evaluated() -> None:
    """Each face paints a channel of its own: where it is worth 2^-24 in the exact picture, the kernel has drawn it."""
    size, soft = (20, 20), AlgoNet(30.0, 40.0)
    triangles, _ = many("sliver", 12, 2.0, size)
    names = torch.eye(12)[None, :, None].expand(1, 12, 3, 12).contiguous()
    mean, alpha, _ = picture(triangles, names, size, soft)
    shares, _ = rasterize(triangles.double(), names.double(), size, soft)
    assert (shares[0] >= SKIPPED).sum() > 500
    assert (mean[shares[0] >= SKIPPED] > 0).all()
    assert (alpha * mean - shares[0]).abs().max() < 1e-5


def test_no_face_is_dropped() -> None:
    """3,000 tiny faces in one tile: each shows, in its own amount."""
    generator = torch.Generator().manual_seed(0)
    count, size = 3000, (16, 16)
    center = uniform(generator, 1, count, 1, 2, low=-0.9, high=0.9)
    xy = center + 0.02 * uniform(generator, 1, count, 3, 2, low=-1.0)
    triangles = torch.cat((xy, torch.full((1, count, 3, 1), 2.0)), dim=-1)
    attributes = torch.ones(1, count, 3, 1, requires_grad=True)
    soft = AlgoNet(20.0, 1.0)
    color, alpha = rasterize(triangles, attributes, size, soft, backend="kernel")
    (share,) = torch.autograd.grad(color.sum(), attributes)  # how much each face adds to the picture
    exact_attributes = attributes.detach().double().requires_grad_()
    exact, exact_alpha = rasterize(triangles.double(), exact_attributes, size, soft)
    (exact_share,) = torch.autograd.grad(exact.sum(), exact_attributes)
    assert (share > 0).all()
    torch.testing.assert_close(share.double(), exact_share, rtol=1e-4, atol=0)
    assert (color.double() - exact).abs().max() < 1e-5
    assert (alpha.double() - exact_alpha).abs().max() < 1e-5
    assert float(share.sum()) == pytest.approx(float(alpha.detach().sum()), rel=1e-4)
