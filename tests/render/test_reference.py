"""The dense reference: values known by hand, an independent loop over Appendix A.2, symmetries, limits, derivatives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from render.scenes import Scene, scenes, uniform
from tolerances import FLOAT64
from torch import Tensor

from labkit.render.raster import AlgoNet, Hard, rasterize, reference
from labkit.render.raster.pixels import pixel_centers

OPTIONS = list(itertools.product(("mean", "pixel"), ("flat", "barycentric")))


def visibility(corners: list[tuple[float, float]], point: tuple[float, float], steepness: float) -> float:
    """V of one triangle at any point."""
    triangle = torch.tensor([[[(*corner, 1.0) for corner in corners]]], dtype=torch.float64)
    faces = AlgoNet(steepness).prepare(triangle, torch.ones_like(triangle), True)
    found = reference.fragments(faces, torch.tensor([point], dtype=torch.float64))
    return float(found.log_coverage.exp())


def equilateral(inradius: float) -> list[tuple[float, float]]:
    """An equilateral triangle around the origin."""
    turns = [math.radians(90 + 120 * k) for k in range(3)]
    return [(2 * inradius * math.cos(turn), 2 * inradius * math.sin(turn)) for turn in turns]


def test_a_quarter_at_a_corner_and_a_half_on_an_edge() -> None:
    corners = equilateral(0.5)
    for corner in corners:  # two edges pass through the corner, 0.5 each; the third is far
        assert visibility(corners, corner, 200.0) == pytest.approx(0.25, abs=1e-9)
    for (x0, y0), (x1, y1) in itertools.combinations(corners, 2):
        assert visibility(corners, ((x0 + x1) / 2, (y0 + y1) / 2), 200.0) == pytest.approx(0.5, abs=1e-9)
    assert visibility(corners, (0, 0), 200.0) == pytest.approx(1, abs=1e-9)
    assert visibility(corners, (3, 3), 200.0) < 1e-9


@pytest.mark.parametrize(
    ("steepness", "row"),
    [
        (10, (0.255, 0.268, 0.319, 0.481, 0.790)),
        (50, (0.354, 0.570, 0.879, 0.994, 1.000)),
        (100, (0.570, 0.879, 0.994, 1.000, 1.000)),
    ],
)
def test_small_triangles_fade_to_a_quarter(steepness: float, row: tuple[float, ...]) -> None:
    """V at the centroid of an equilateral triangle with an inradius of 1/2 to 8 pixels at 64 x 64."""
    for pixels, expected in zip((0.5, 1, 2, 4, 8), row, strict=True):
        found = visibility(equilateral(pixels * 2 / 64), (0, 0), steepness)
        assert found == pytest.approx(expected, abs=6e-4)  # the table has three digits
        x = steepness * pixels * 2 / 64  # all three edges are one inradius away
        assert found == pytest.approx((1 + math.exp(-x)) ** -3 + (1 + math.exp(x)) ** -3, rel=1e-6)


def test_slivers_leak_past_their_tips() -> None:
    tip, along, steepness = np.zeros(2), np.array([1.0, 0.025]) / math.hypot(1, 0.025), 100.0
    lines = [((0.0, 0.0), (1.0, 0.0)), ((1.0, 0.0), (1.0, 0.05)), ((1.0, 0.05), (0.0, 0.0))]
    for distance, expected in ((0.05, 0.220), (0.1, 0.192), (0.2, 0.143), (0.4, 0.072)):
        point = tip - distance * along
        signed = []
        for start, end in lines:
            (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
            signed.append((dx * (point[1] - y) - dy * (point[0] - x)) / math.hypot(dx, dy))
        log_v, log_rest = reference.visibility(torch.tensor(signed, dtype=torch.float64) * steepness)
        assert float(log_v.exp()) == pytest.approx(expected, abs=6e-4)
        assert float(log_v.exp() + log_rest.exp()) == pytest.approx(1, abs=1e-12)


def test_a_shared_edge_reaches_three_quarters() -> None:
    a, b, c, d = (-0.9, -0.9, 1.0), (0.9, -0.9, 1.0), (0.9, 0.9, 1.0), (-0.9, 0.9, 1.0)
    triangles = torch.tensor([[[a, b, c], [a, c, d]]], dtype=torch.float64)
    _, alpha = rasterize(triangles, torch.ones_like(triangles), (33, 33), AlgoNet(300.0))
    assert float(alpha[0, 0, 16, 16]) == pytest.approx(0.75, abs=1e-6)  # the diagonal passes through the centre
    assert float(alpha[0, 0, 24, 10]) > 0.999


def test_far_outside_the_logarithm_does_not_underflow() -> None:
    log_v, log_rest = reference.visibility(torch.tensor([[-1e4, 2e4, 3e4], [2e4, 2e4, 3e4]], dtype=torch.float64))
    torch.testing.assert_close(log_v, torch.tensor([-1e4, 0.0], dtype=torch.float64))
    torch.testing.assert_close(log_rest, torch.tensor([0.0, math.log(2) - 2e4], dtype=torch.float64))


def loop(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Appendix A in plain loops: no code and no formula shared with the package."""
    height, width = scene.size
    channels = scene.attributes.shape[-1]
    pictures = np.zeros((len(scene.triangles), channels, height, width))
    alphas = np.zeros((len(scene.triangles), 1, height, width))
    for image, (faces, values) in enumerate(zip(scene.triangles.double(), scene.attributes.double(), strict=True)):
        behind = scene.background if scene.background.ndim == 1 else scene.background[image]
        behind = behind.double().numpy().reshape(channels, -1)
        for row, column in itertools.product(range(height), range(width)):
            shorter = min(height, width)
            p = np.array([(2 * column + 1 - width) / shorter, (height - 1 - 2 * row) / shorter])
            clear, weights, colors = 1.0, [], []
            for corners, value in zip(faces.numpy(), values.numpy(), strict=True):
                if (corners[:, 2] <= 0).any() or (corners[:, :2] == corners[0, :2]).all():
                    continue
                lengths, dets = [], []
                for k in range(3):
                    v1, v2 = corners[k, :2], corners[(k + 1) % 3, :2]
                    lengths.append(math.sqrt(float((v2 - v1) @ (v2 - v1)) + 1e-12))
                    dets.append(np.linalg.det(np.stack((v2 - v1, v1 - p), axis=1)))
                m = sum(math.exp(-n) * n for n in lengths) / sum(math.exp(-n) for n in lengths)
                x = np.clip([scene.steepness * det / m for det in dets], -600, 600)
                v = np.prod(1 / (1 + np.exp(-x))) + np.prod(1 / (1 + np.exp(x)))
                if scene.sliver_fade:
                    q = 4 * math.sqrt(3) * abs(sum(dets)) / 2 / sum(n * n for n in lengths)
                    q2, r2 = q * q, scene.sliver_fade**2
                    v *= (q2 + 1e-4 * r2) / (q2 + 1.0001 * r2)
                share = np.full(3, 1 / 3)
                if scene.depth == "pixel" or scene.color == "barycentric":
                    b = np.linalg.solve(np.vstack((corners[:, :2].T, np.ones(3))), np.array([*p, 1.0]))
                    b = b / (1 + (2e-3 * sum(n * n for n in lengths) / sum(dets)) ** 2)  # damped as it becomes a needle
                    b = (b + np.sqrt(b * b + 1e-4)) / 2
                    share = b / corners[:, 2] if scene.perspective else b
                    share = share / share.sum()
                depth = share @ corners[:, 2] if scene.depth == "pixel" else corners[:, 2].mean()
                colors.append(share @ value if scene.color == "barycentric" else value.mean(0))
                weights.append(math.exp(-scene.opacity * depth) * v)
                clear *= 1 - v
            mean = np.average(colors, axis=0, weights=weights) if sum(weights) > 0 else np.zeros(channels)
            where = row * width + column if behind.shape[1] > 1 or scene.background.ndim == 4 else 0
            alphas[image, 0, row, column] = 1 - clear
            pictures[image, :, row, column] = (1 - clear) * mean + clear * behind[:, where]
    return pictures, alphas


def small_scene(seed: int, faces: int = 5, batch: int = 1, size: tuple[int, int] = (6, 5), **changes: object) -> Scene:
    """Some well-shaped faces in float32."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.tensor(equilateral(0.35))
    xy = uniform(generator, batch, faces, 1, 2, low=-0.6, high=0.6) + corner
    xy = xy + 0.2 * uniform(generator, batch, faces, 3, 2, low=-1.0)
    depth = 1 + uniform(generator, batch, faces, 3)
    settings = {"steepness": 12.0, "opacity": 3.0, **changes}
    return Scene(
        torch.cat((xy, depth[..., None]), dim=-1),
        uniform(generator, batch, faces, 3, 3),
        uniform(generator, 3),
        size,
        **settings,
    )


@pytest.mark.parametrize(("depth", "color"), OPTIONS)
@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("sliver_fade", [0.0, 0.3])
def test_reference_agrees_with_loops(depth: str, color: str, perspective: bool, sliver_fade: float) -> None:
    choices = {"depth": depth, "color": color, "perspective": perspective, "sliver_fade": sliver_fade}
    for steepness, opacity in ((5.0, 0.5), (60.0, 30.0)):
        scene = small_scene(1, batch=2, steepness=steepness, opacity=opacity, **choices)
        color_found, alpha_found = scene.draw(scene.leaves(torch.float64), "reference")
        picture, alpha = loop(scene)
        assert alpha.max() > 0.8
        torch.testing.assert_close(color_found.detach(), torch.from_numpy(picture), rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(alpha_found.detach(), torch.from_numpy(alpha), rtol=1e-7, atol=1e-9)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(scenes(max_faces=6).filter(lambda scene: math.prod(scene.size) <= 256 and scene.triangles.numel() <= 60))
def test_reference_agrees_with_loops_on_random_scenes(scene: Scene) -> None:
    if scene.depth == "pixel" or scene.color == "barycentric":
        return  # the loop solves for barycentric coordinates, which faces without area do not have
    found, alpha_found = (image.detach() for image in scene.draw(scene.leaves(torch.float64), "reference"))
    picture, alpha = (torch.from_numpy(image) for image in loop(scene))
    torch.testing.assert_close(alpha_found, alpha, rtol=1e-6, atol=1e-9)
    # Where nothing reaches, the loop's weights underflow; alpha below 1e-9 hides the difference.
    torch.testing.assert_close(found, picture, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("depth", "color"), OPTIONS)
def test_symmetries(depth: str, color: str) -> None:
    scene = small_scene(2, faces=7, batch=3, depth=depth, color=color)
    triangles, attributes, background = (
        t.double() for t in (scene.triangles, scene.attributes, scene.background.expand(3, 3))
    )
    behind = background[0]
    soft = AlgoNet(scene.steepness, scene.opacity, depth, color, sliver_fade=0.1)

    def draw(corners: Tensor, values: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        return rasterize(corners, values, scene.size, soft, background)

    picture, alpha = draw(triangles, attributes, behind)
    assert alpha.max() > 0.8
    same = {
        "winding": draw(triangles[:, :, [0, 2, 1]], attributes[:, :, [0, 2, 1]], behind),
        "first corner": draw(triangles.roll(1, 2), attributes.roll(1, 2), behind),
        "order of faces": draw(triangles.flip(1), attributes.flip(1), behind),
    }
    for name, (other, other_alpha) in same.items():
        torch.testing.assert_close(other, picture, **FLOAT64, msg=name)
        torch.testing.assert_close(other_alpha, alpha, **FLOAT64, msg=name)
    for index in range(3):
        alone, _ = draw(triangles[index : index + 1], attributes[index : index + 1], behind)
        torch.testing.assert_close(alone[0], picture[index], **FLOAT64)
    brighter, _ = draw(triangles, attributes + 0.5, behind + 0.5)  # weights sum to 1
    torch.testing.assert_close(brighter, picture + 0.5, **FLOAT64)
    as_image, _ = draw(triangles, attributes, behind[:, None, None].expand(3, 3, *scene.size).contiguous())
    torch.testing.assert_close(as_image, picture, **FLOAT64)
    if depth == "mean" and color == "flat":  # only differences of depth count
        further, _ = draw(triangles + torch.tensor([0.0, 0.0, 5.0]), attributes, behind)
        torch.testing.assert_close(further, picture, **FLOAT64)


def test_the_picture_becomes_hard() -> None:
    scene = small_scene(3, faces=6, size=(48, 40))
    triangles, attributes = scene.triangles.double(), scene.attributes.double()
    hard, hard_alpha = rasterize(triangles, attributes, scene.size, Hard())
    pixels = pixel_centers(scene.size, torch.float64, "cpu")
    clear, depths = torch.ones(len(pixels), dtype=torch.bool), []
    for face in triangles[0]:
        ones = torch.ones(3, 1, dtype=torch.float64)
        b = torch.linalg.solve(torch.cat((face[:, :2], ones), 1).T, torch.cat((pixels, pixels[:, :1] * 0 + 1), 1).T)
        clear &= b.abs().amin(0) > 0.04  # away from the lines of the edges
        depth = 1 / (b / face[:, 2:]).sum(0)
        depths.append(torch.where((b > 0).all(0), depth, torch.inf))
    nearest = torch.stack(depths).sort(0).values
    clear &= ~(nearest[1] - nearest[0] < 0.03)  # away from where faces meet; NaN where there is one or none
    clear = clear.view(scene.size)
    assert clear.sum() > 400
    assert (hard_alpha[0, 0, clear].mean() - 0.5).abs() < 0.4  # both inside and outside
    errors = []
    for strength in (10.0, 30.0, 100.0):
        # Steepness must outgrow opacity: a near face of tiny V is brighter by exp(o times the depth difference).
        soft = AlgoNet(20 * strength**2, 5 * strength, depth="pixel", color="barycentric")
        picture, alpha = rasterize(triangles, attributes, scene.size, soft)
        errors.append(float((picture - hard)[..., clear].abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 5e-3  # what the smooth clamp of the interpolation leaves, at 0.04 from an edge
    assert (alpha - hard_alpha)[..., clear].abs().max() < 1e-6


@pytest.mark.parametrize(("depth", "color"), OPTIONS)
@pytest.mark.parametrize("sliver_fade", [0.0, 0.3])
def test_first_and_second_derivatives(depth: str, color: str, sliver_fade: float) -> None:
    scene = small_scene(
        4, faces=2, size=(3, 2), steepness=4.0, opacity=2.0, depth=depth, color=color, sliver_fade=sliver_fade
    )
    scene.triangles[:, 1, :, :2] = scene.triangles[:, 0, :, :2] + 0.1  # one partly in front of the other
    leaves = scene.leaves(torch.float64)

    def draw(*inputs: Tensor) -> tuple[Tensor, ...]:
        return scene.draw(list(inputs), "reference")

    _, alpha = draw(*leaves)
    assert alpha.max() > 0.5  # not a test of empty pictures
    assert torch.autograd.gradcheck(draw, leaves, fast_mode=False)
    assert torch.autograd.gradgradcheck(draw, leaves, fast_mode=False)


@pytest.mark.parametrize(("depth", "color"), OPTIONS)
def test_pieces_make_the_same_picture(monkeypatch: pytest.MonkeyPatch, depth: str, color: str) -> None:
    scene = small_scene(5, batch=2, depth=depth, color=color, size=(7, 9))

    def everything() -> list[Tensor]:
        leaves = scene.leaves(torch.float64)
        picture, alpha = scene.draw(leaves, "reference")
        first = torch.autograd.grad(picture.square().sum() + alpha.square().sum(), leaves, create_graph=True)
        return [picture, alpha, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves)]

    whole = everything()
    monkeypatch.setattr(reference, "PAIRS_AT_ONCE", 50)  # 10 faces: 5 pixels at a time
    assert len(list(reference.pixel_chunks(torch.zeros(63, 2), 10))) == 13
    for piecewise, at_once in zip(everything(), whole, strict=True):
        torch.testing.assert_close(piecewise, at_once, **FLOAT64)


def test_only_differences_of_depth_cost_digits() -> None:
    """A thousand units away, at a high opacity, float32 still draws what float64 draws."""
    scene = small_scene(6)
    triangles = scene.triangles + torch.tensor([0.0, 0.0, 1023.0])
    soft = AlgoNet(20.0, 50.0)
    exact, _ = rasterize(triangles.double(), scene.attributes.double(), scene.size, soft)
    for backend, tolerance in (("reference", 5e-3), ("kernel", 1e-5)):  # o times the 6e-5 that mean depth rounds away
        found, _ = rasterize(triangles, scene.attributes, scene.size, soft, backend=backend)
        assert (found.double() - exact).abs().max() < tolerance, backend
