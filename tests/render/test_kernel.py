"""The streaming CPU kernel in float32 against the dense reference in float64."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from render.scenes import INPUTS, SIZES, Scene, floors, gradients, mismatch, scenes, uniform, wide
from tolerances import KERNEL_IMAGE_ATOL

from labkit.render.raster import AlgoNet, rasterize

pytest.importorskip("numba")


def compare(scene: Scene, thin: bool = False) -> float:
    """Assert that kernel and reference agree on pictures and all gradients; return the largest alpha.

    With interpolation, the xy of faces that are not `wide` count only if ``thin``.
    """
    images, found = gradients(scene, "kernel", torch.float32)
    wanted_images, wanted = gradients(scene, "reference", torch.float64)
    for name, image, expected in zip(("color", "alpha"), images, wanted_images, strict=True):
        assert image.isfinite().all(), name
        assert (image - expected).abs().max() < KERNEL_IMAGE_ATOL, name
    allowed = floors(scene)
    broad = wide(scene)
    if not thin and (scene.depth == "pixel" or scene.color == "barycentric"):
        for gradient in (found[0], wanted[0]):
            assert gradient.isfinite().all()
            gradient[:, ~broad] = 0
    found.append(found[0][:, broad])
    wanted.append(wanted[0][:, broad])
    for name, gradient, expected in zip((*INPUTS, "xy of wide faces"), found, wanted, strict=True):
        assert not (wrong := mismatch(gradient, expected, allowed[name])), f"{name}: {wrong}"
    return float(wanted_images[1].max())


def test_kernel_agrees_with_the_reference_on_random_scenes() -> None:
    covered = []

    @settings(max_examples=240, suppress_health_check=[HealthCheck.too_slow])
    @given(scenes())
    def check(scene: Scene) -> None:
        covered.append(compare(scene) > 0.2)

    check()
    assert len(covered) >= 200
    assert sum(covered) > 0.9 * len(covered)  # not a test of empty pictures


@pytest.mark.parametrize("color", ["flat", "barycentric"])
@pytest.mark.parametrize("depth", ["mean", "pixel"])
def test_gradients_of_interpolation_far_from_a_thin_face(depth: str, color: str) -> None:
    """Where one corner has nearly all the weight, its gradient is small and the sum of cancelling parts."""
    triangles = torch.tensor(
        [
            [
                [[-0.4632, -0.1130, 1.0484], [-0.7982, -0.9616, 1.0493], [-0.6990, -1.3198, 1.0481]],
                [[0.3702, 0.2747, 1.0094], [-0.2946, 0.4864, 1.0151], [0.2955, 0.2985, 1.0149]],
            ]
        ]
    )
    attributes = torch.tensor([[[[0.4369], [0.5191], [0.6159]], [[0.8102], [0.9801], [0.1147]]]])
    scene = Scene(triangles, attributes, torch.tensor([0.3]), (1, 1), 4.0, 1.0, depth, color, perspective=False)
    compare(scene, thin=True)


def big_scene(seed: int, **changes: object) -> Scene:
    """Some hundred small faces, as of a mesh, on a picture of many tiles."""
    generator = torch.Generator().manual_seed(seed)
    count = 100
    center = uniform(generator, 1, count, 1, 2, low=-1.0)
    xy = center + 0.3 * uniform(generator, 1, count, 3, 2, low=-1.0)
    depth = 1 + 2.2 * uniform(generator, 1, count, 1) + 0.1 * uniform(generator, 1, count, 3)
    scene = Scene(
        torch.cat((xy, depth[..., None]), dim=-1),
        uniform(generator, 1, count, 3, 3),
        uniform(generator, 3),
        (60, 72),
        steepness=100.0,
        opacity=20.0,
    )
    return replace(scene, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"steepness": 5.0, "opacity": 0.1},
        {"steepness": 5.0, "opacity": 100.0},
        {"steepness": 240.0, "opacity": 0.1},
        {"steepness": 240.0, "opacity": 100.0},
        {"depth": "pixel", "opacity": 100.0},
        {"color": "barycentric"},
        {"depth": "pixel", "color": "barycentric", "perspective": False},
        {"sliver_fade": 0.2, "opacity": 50.0},
        {"sliver_fade": 0.2, "depth": "pixel", "color": "barycentric", "opacity": 2.0},
    ],
    ids=str,
)
def test_kernel_agrees_with_the_reference_across_tiles(changes: dict[str, object]) -> None:
    assert compare(big_scene(1, **changes)) > 0.9


def test_kernel_agrees_at_a_thousand_per_unit() -> None:
    few = big_scene(2, steepness=1000.0, size=(250, 300))
    few = replace(few, triangles=few.triangles[:, :12], attributes=few.attributes[:, :12])
    assert compare(few) > 0.9


@pytest.mark.parametrize("size", SIZES)
def test_zero_faces_give_the_background(size: tuple[int, int]) -> None:
    background = torch.rand(2, 3, *size, requires_grad=True)
    triangles = torch.zeros(2, 0, 3, 3, requires_grad=True)
    attributes = torch.zeros(2, 0, 3, 3, requires_grad=True)
    color, alpha = rasterize(triangles, attributes, size, AlgoNet(), background, backend="kernel")
    torch.testing.assert_close(color, background)
    assert (alpha == 0).all()
    gradient, *nothing = torch.autograd.grad(color.sum(), (background, triangles, attributes))
    torch.testing.assert_close(gradient, torch.ones_like(background))
    assert [tuple(g.shape) for g in nothing] == [(2, 0, 3, 3), (2, 0, 3, 3)]


def test_zero_images() -> None:
    color, alpha = rasterize(torch.zeros(0, 4, 3, 3), torch.zeros(0, 4, 3, 2), (5, 6), AlgoNet(), backend="kernel")
    assert (tuple(color.shape), tuple(alpha.shape)) == ((0, 2, 5, 6), (0, 1, 5, 6))


def _draw(scene: Scene) -> list[torch.Tensor]:
    leaves = scene.leaves(torch.float32)
    images = scene.draw(leaves, "kernel")
    return [*images, *torch.autograd.grad(images[0].square().sum() + images[1].sum(), leaves)]


@pytest.fixture
def threads():
    """`torch.set_num_threads`, undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_same_threads_same_bits(threads, count: int) -> None:
    threads(count)
    scene = big_scene(3, depth="pixel", color="barycentric")
    for first, second in zip(_draw(scene), _draw(scene), strict=True):
        assert torch.equal(first, second)


def test_the_picture_does_not_depend_on_the_threads(threads) -> None:
    scene = big_scene(4)
    threads(1)
    alone = _draw(scene)
    threads(2)
    together = _draw(scene)
    for first, second in zip(alone[:2], together[:2], strict=True):
        assert torch.equal(first, second)
    for first, second in zip(alone[2:], together[2:], strict=True):  # sums of gradients in another order
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6 * float(first.abs().max()))


def test_two_python_threads_at_once() -> None:
    many = [big_scene(seed, opacity=3.0 + seed) for seed in range(4)]
    alone = [_draw(scene) for scene in many]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(_draw, many * 2))
    for found, expected in zip(together, alone * 2, strict=True):
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)


def test_layout_of_the_inputs_does_not_matter() -> None:
    scene = big_scene(5, color="barycentric")
    rasterizer = AlgoNet(scene.steepness, scene.opacity, color="barycentric")
    expected = rasterize(scene.triangles, scene.attributes, scene.size, rasterizer, backend="kernel")
    turned = scene.triangles.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    every_second = torch.stack((scene.attributes, torch.rand_like(scene.attributes)), -1)[..., 0]
    assert not turned.is_contiguous()
    assert not every_second.is_contiguous()
    found = rasterize(turned, every_second, scene.size, rasterizer, backend="kernel")
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_expanded_inputs_and_gradients() -> None:
    scene = big_scene(6)
    triangles = scene.triangles.clone().requires_grad_()
    color = uniform(torch.Generator().manual_seed(0), 1, 1, 1, 3).requires_grad_()

    def gradient(copy: bool) -> list[torch.Tensor]:
        many, colors = triangles.expand(2, -1, -1, -1), color.expand(2, triangles.shape[1], 3, -1)
        if copy:
            many, colors = many.contiguous(), colors.contiguous()
        picture, alpha = rasterize(many, colors, scene.size, AlgoNet(50.0, 5.0), backend="kernel")
        # The gradient of a sum is an expanded tensor, one number in memory.
        return [picture, alpha, *torch.autograd.grad(picture.sum() + alpha.sum(), (triangles, color))]

    for found, expected in zip(gradient(False), gradient(True), strict=True):
        assert torch.equal(found, expected)


def test_nothing_requires_a_gradient() -> None:
    scene = big_scene(7)
    color, alpha = rasterize(scene.triangles, scene.attributes, scene.size, AlgoNet(), backend="kernel")
    assert not color.requires_grad
    assert not alpha.requires_grad
    assert alpha.max() > 0.9


@pytest.mark.parametrize("needed", range(len(INPUTS)))
def test_only_one_input_requires_a_gradient(needed: int) -> None:
    scene = big_scene(8, depth="pixel")
    leaves = scene.leaves(torch.float32)
    images = scene.draw(leaves, "kernel")
    expected = torch.autograd.grad(images[0].sum(), leaves)[needed]
    leaves = [leaf.detach().requires_grad_(index == needed) for index, leaf in enumerate(leaves)]
    (found,) = torch.autograd.grad(scene.draw(leaves, "kernel")[0].sum(), leaves[needed])
    assert torch.equal(found, expected)


@pytest.mark.parametrize("output", [0, 1], ids=["color", "alpha"])
def test_backward_through_one_output_only(output: int) -> None:
    scene = big_scene(9, opacity=4.0)
    leaves, exact = scene.leaves(torch.float32), scene.leaves(torch.float64)
    used = (0, 1, 2, 4, 5) if output == 0 else (0, 4)  # alpha does not depend on depth, colours and opacity
    found = torch.autograd.grad(scene.draw(leaves, "kernel")[output].sum(), [leaves[i] for i in used])
    expected = torch.autograd.grad(scene.draw(exact, "reference")[output].sum(), [exact[i] for i in used])
    for index, one, other in zip(used, found, expected, strict=True):
        assert not (wrong := mismatch(one.double(), other)), f"{INPUTS[index]}: {wrong}"


def test_second_derivatives_come_from_the_reference() -> None:
    scene = replace(big_scene(10, opacity=4.0, steepness=20.0), size=(20, 24))

    def second(dtype: torch.dtype, backend: str) -> list[torch.Tensor]:
        leaves = scene.leaves(dtype)
        color, alpha = scene.draw(leaves, backend)
        weight = torch.linspace(0, 1, color.numel(), dtype=dtype).reshape(color.shape)
        first = torch.autograd.grad((color * weight).sum() + alpha.square().sum(), leaves, create_graph=True)
        return [g.double() for g in torch.autograd.grad(sum(g.square().sum() for g in first), leaves)]

    found, expected = second(torch.float32, "kernel"), second(torch.float64, "reference")
    for name, one, other in zip(INPUTS, found, expected, strict=True):
        assert other.norm() > 0, name
        assert not (wrong := mismatch(one, other)), f"{name}: {wrong}"
