"""The scan-line surrogate: values by hand, the published rule pixel by pixel, symmetries, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from render.published_n3mr import by_the_book
from render.scenes import Scene, scenes, uniform
from tolerances import FLOAT32, FLOAT64, KERNEL_GRADIENT_RTOL
from torch import Tensor

from labkit.errors import BackendError, DomainError, DTypeError
from labkit.geometry import load_mesh
from labkit.render import render
from labkit.render.raster import Hard, rasterize
from labkit.render.raster.n3mr import N3MR
from labkit.scene import Camera

BACKENDS = ("reference", "kernel")

# A picture of one row and five pixels with centres at x = -4, -2, 0, 2, 4 and y = 0, 2 NDC apart. The edge from A to B
# crosses the row at x = 1: the last pixel inside is at 0, the first one outside at 2. A motion of A moves the crossing
# by (3 - 0) / 4 of it, a motion of B by 1 / 4. C is far outside the picture, where edges do not count.
A, B, C = [1.0, -1.0, 1.0], [1.0, 3.0, 1.0], [-9.0, 0.0, 1.0]
ROW, EPS = (1, 5), 0.5


def surrogate(
    triangles: list | Tensor,
    to_picture: list | Tensor,
    size: tuple[int, int] = ROW,
    *,
    values: list | Tensor | None = None,
    to_alpha: Tensor | None = None,
    background: Tensor | None = None,
    backend: str = "reference",
    eps: float = EPS,
) -> Tensor:
    """The gradient (F, 3, 3) of the corners in one picture of one channel, which is 5 on the faces if not said."""
    leaf = torch.as_tensor(triangles)[None].clone().requires_grad_()
    values = torch.full((*leaf.shape[:3], 1), 5.0) if values is None else torch.as_tensor(values)[None]
    color, alpha = rasterize(leaf, values.to(leaf), size, N3MR(eps), background, backend=backend)
    incoming = torch.as_tensor(to_picture).to(leaf).reshape(color.shape)
    to_alpha = torch.zeros_like(alpha) if to_alpha is None else to_alpha.to(leaf).reshape(alpha.shape)
    return torch.autograd.grad((color, alpha), leaf, (incoming, to_alpha))[0][0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_events_by_hand(backend: str) -> None:
    """The picture is 5 5 5 0 0, its gradient 1 -2 3 -4 5.

    Out: pixel 3 would turn from 0 to 5: diff = (0 - 5) * -4 = 20, at 1 NDC from the edge. Pixel 4: (0 - 5) * 5 < 0.
    In: pixel 0 would turn from 5 to 0: diff = 5 * 1 at 5 NDC. Pixel 1: 5 * -2 < 0. Pixel 2: 5 * 3 = 15 at 1 NDC.
    A must move 4 / 3 as far as the crossing, B 4 times as far. Out pulls to the right, against the gradient.
    """
    to_picture = [1.0, -2.0, 3.0, -4.0, 5.0]
    a = -20 / (4 / 3 + EPS) + 5 / (20 / 3 + EPS) + 15 / (4 / 3 + EPS)
    b = -20 / (4 + EPS) + 5 / (20 + EPS) + 15 / (4 + EPS)
    expected = torch.tensor([[[a, 0, 0], [b, 0, 0], [0, 0, 0]]])
    torch.testing.assert_close(surrogate([[A, B, C]], to_picture, backend=backend), expected)
    for order in ([1, 2, 0], [0, 2, 1], [2, 1, 0]):  # also in the other winding
        turned = surrogate([[[A, B, C][k] for k in order]], to_picture, backend=backend)
        torch.testing.assert_close(turned, expected[:, order])
    # The same picture standing upright, x and y exchanged. Row 0 is on top, where y = 4.
    upright = [[[y, x, z] for x, y, z in (A, B, C)]]
    found = surrogate(upright, to_picture[::-1], (5, 1), backend=backend)
    torch.testing.assert_close(found, expected[..., [1, 0, 2]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_alpha_and_background_by_hand(backend: str) -> None:
    to_alpha = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
    # alpha 1 1 1 0 0 is a picture of height 1 instead of 5
    whole = surrogate([[A, B, C]], 5 * to_alpha, backend=backend)
    torch.testing.assert_close(surrogate([[A, B, C]], [0.0] * 5, to_alpha=25 * to_alpha, backend=backend), whole)
    # Over a background 1 2 3 4 7, pixel 2 would uncover its own 3: diff = (5 - 3) * 2 = 4, and pixel 4 would exchange
    # its 7 for 5: diff = (7 - 5) * 6 = 12, at 3 NDC. Pixel 3 would rise from 4 to 5, against its gradient.
    background = torch.tensor([1.0, 2.0, 3.0, 4.0, 7.0]).reshape(1, 1, *ROW)
    found = surrogate([[A, B, C]], [0.0, 0.0, 2.0, 1.0, 6.0], background=background, backend=backend)
    a, b = 4 / (4 / 3 + EPS) - 12 / (4 + EPS), 4 / (4 + EPS) - 12 / (12 + EPS)
    torch.testing.assert_close(found, torch.tensor([[[a, 0, 0], [b, 0, 0], [0, 0, 0]]]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pixel_on_the_edge_and_an_end_on_the_line(backend: str) -> None:
    """The edge passes through the centre of pixel 2, with B on the row. So only B moves it, and by as much."""
    corners = [[0.0, -2.0, 1.0], [0.0, 0.0, 1.0], [-9.0, 2.0, 1.0]]
    to_picture = torch.tensor([0.0, 0.0, 3.0, 0.0, 0.0])
    # diff = 5 * 3 at distance 0. The edge from B to C leaves the row at B, too, so that B is pulled twice.
    expected = torch.tensor([[0.0, 0, 0], [2 * 15 / EPS, 0, 0], [0, 0, 0]])[None]
    torch.testing.assert_close(surrogate([corners], to_picture, backend=backend), expected)
    mirrored = (torch.tensor(corners) * torch.tensor([-1.0, 1, 1]))[None]
    torch.testing.assert_close(surrogate(mirrored, to_picture, backend=backend), -expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_occlusion_by_hand(backend: str) -> None:
    """A nearer face, worth 2, hides pixels 2 and 3: the picture is 5 5 2 2 0."""
    near = [[-1.0, -1.0, 0.5], [3.0, -1.0, 0.5], [1.0, 2.0, 0.5]]  # crosses y = 0 at x = -1 / 3 and 7 / 3
    values = [[[5.0]] * 3, [[2.0]] * 3]
    # The edge of the far face is hidden at pixel 2, so it does not grow over pixel 3 or 4. It may shrink: pixel 1, at
    # 3 NDC, would look like pixel 3: diff = (5 - 2) * 1.
    far_gradient = surrogate([[A, B, C], near], [0.0, 1.0, 0.0, -1.0, -1.0], values=values, backend=backend)[0]
    expected = torch.tensor([[3 / (4 + EPS), 0, 0], [3 / (12 + EPS), 0, 0], [0, 0, 0]])
    torch.testing.assert_close(far_gradient, expected)
    # Behind a face that fills the picture it gets nothing.
    front = [[-50.0, -50.0, 0.5], [50.0, -50.0, 0.5], [0.0, 80.0, 0.5]]
    assert (surrogate([[A, B, C], front], [1.0, -2.0, 3.0, -4.0, 5.0], values=values, backend=backend) == 0).all()


def soup(generator: torch.Generator, batch: int, faces: int, reach: float = 1.3) -> Tensor:
    """Random triangles (B, F, 3, 3) in float64, of both windings, some of them partly outside the picture."""
    xy = uniform(generator, batch, faces, 3, 2, low=-reach, high=reach)
    return torch.cat((xy, 1 + uniform(generator, batch, faces, 3, 1)), dim=-1).double()


@pytest.mark.parametrize("seed", range(4))
def test_the_published_rule(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size, eps = (13, 13), 0.03
    triangles, attributes = soup(generator, 2, 6), uniform(generator, 2, 6, 3, 2).double()
    incoming = [torch.randn(2, channels, *size, generator=generator).double() for channels in (2, 1)]
    leaf = triangles.clone().requires_grad_()
    images = rasterize(leaf, attributes, size, N3MR(eps))
    (found,) = torch.autograd.grad(images, leaf, incoming)
    names = torch.arange(6.0).double()[None, :, None, None].expand(2, 6, 3, 1)
    seen, alpha = rasterize(triangles, names, size, Hard())
    seen = torch.where(alpha > 0, seen.round(), -1)
    visible = 0
    for index in range(2):
        picture, change, owner = (
            torch.cat(layers, dim=1)[index].flip(1).permute(1, 2, 0).detach().numpy()
            for layers in (images, incoming, [seen])
        )
        expected = by_the_book(triangles[index, ..., :2].numpy(), owner[..., 0], picture, change, eps)
        assert expected.abs().max() > 1
        torch.testing.assert_close(found[index, ..., :2], expected, **FLOAT64)
        visible += int((expected != 0).any(-1).any(-1).sum())
    assert 6 < visible <= 12
    assert (found[..., 2] == 0).all()


def gradients(scene: Scene, backend: str, dtype: torch.dtype) -> list[Tensor]:
    """Colour, alpha, and the gradients of triangles, attributes and background by one random cotangent."""
    leaves = [t.to(dtype).clone().requires_grad_() for t in (scene.triangles, scene.attributes, scene.background)]
    images = rasterize(*leaves[:2], scene.size, N3MR(), leaves[2], backend=backend, perspective=scene.perspective)
    generator = torch.Generator().manual_seed(7)
    incoming = [torch.randn(image.shape, generator=generator).to(image) for image in images]
    return [image.detach() for image in images] + list(torch.autograd.grad(images, leaves, incoming))


def test_kernel_agrees_with_the_reference_on_random_scenes() -> None:
    moved = []

    @settings(max_examples=120)
    @given(scenes())
    def check(scene: Scene) -> None:
        kernel, dense = (gradients(scene, backend, torch.float32) for backend in BACKENDS)
        for found, expected in zip(kernel[:2], dense[:2], strict=True):
            assert torch.equal(found, expected)
        for found, expected in zip(kernel[2:], dense[2:], strict=True):
            assert found.isfinite().all()
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(1 + expected.abs().max()))
        assert (kernel[2][..., 2] == 0).all()
        moved.append(bool(kernel[2].any()))

    check()
    assert len(moved) >= 100
    assert sum(moved) > 0.6 * len(moved)  # a picture one pixel high or wide has lines in one direction only


@pytest.mark.parametrize("size", [(24, 24), (17, 33), (40, 23)])
def test_float32_kernel_against_float64_reference(size: tuple[int, int], generator: torch.Generator) -> None:
    triangles, attributes = soup(generator, 2, 12).float(), uniform(generator, 2, 12, 3, 3)
    scene = Scene(triangles, attributes, uniform(generator, 2, 3, *size), size, 1.0, 1.0)
    pairs = zip(gradients(scene, "kernel", torch.float32), gradients(scene, "reference", torch.float64), strict=True)
    for found, expected in pairs:
        assert expected.any()
        assert (found - expected).norm() < KERNEL_GRADIENT_RTOL * expected.norm()


@pytest.mark.parametrize("backend", BACKENDS)
def test_everything_but_the_corners_is_that_of_hard(backend: str, generator: torch.Generator) -> None:
    size, dtype = (19, 28), torch.float32 if backend == "kernel" else torch.float64
    triangles = soup(generator, 2, 10).to(dtype)
    attributes, background = (uniform(generator, *shape).to(dtype) for shape in ((2, 10, 3, 3), (3,)))
    weight = uniform(generator, 2, 3, *size).to(dtype)
    found = []
    for rasterizer in (N3MR(), Hard()):
        leaves = [tensor.clone().requires_grad_() for tensor in (triangles, attributes, background)]
        color, alpha = rasterize(*leaves[:2], size, rasterizer, leaves[2], backend=backend)
        found.append([color, alpha, *torch.autograd.grad((color * weight).square().sum(), leaves[1:])])
    for ours, hard in zip(*found, strict=True):
        assert torch.equal(ours, hard)
    assert N3MR().edge_width_px((64, 64)) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_single_colour_without_edges_in_sight_moves_nothing(backend: str) -> None:
    wide = [[[-50.0, -50.0, 1.0], [50.0, -50.0, 2.0], [0.0, 80.0, 3.0]]]
    values = [[[1.0], [2.0], [3.0]]]
    assert (surrogate(wide, torch.ones(12, 12), (12, 12), values=values, backend=backend) == 0).all()
    assert (surrogate([[A, B, C]], torch.ones(5), background=torch.tensor([5.0]), backend=backend) == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_permuting_faces_changes_nothing(backend: str, generator: torch.Generator) -> None:
    size, dtype = (21, 16), torch.float32 if backend == "kernel" else torch.float64
    triangles, values = soup(generator, 1, 14)[0].to(dtype), uniform(generator, 14, 3, 1).to(dtype)
    incoming = torch.randn(*size, generator=generator)
    order = torch.randperm(14, generator=generator)
    found = surrogate(triangles, incoming, size, values=values, backend=backend)
    permuted = surrogate(triangles[order], incoming, size, values=values[order], backend=backend)
    assert found.any()
    assert torch.equal(permuted, found[order])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(16, 16), (8, 16), (16, 8)])
def test_mirror_images(backend: str, size: tuple[int, int], generator: torch.Generator) -> None:
    """Corners on pixel centres and slopes of 1/2, 1 and 2, so that all of it is exact and many pixels lie on edges."""
    pitch, count = 2 / min(size), 7
    legs = torch.tensor([-4.0, -2, 2, 4])[torch.randint(4, (count, 2), generator=generator)] * pitch
    cells = torch.stack([torch.randint(side, (count,), generator=generator) for side in size[::-1]], dim=-1)
    start = (2.0 * cells + 1 - torch.tensor(size[::-1])) * (pitch / 2)
    offsets = torch.stack((torch.zeros(count, 2), legs * torch.tensor([1, 0]), legs * torch.tensor([0, 1])), dim=1)
    depth = 1 + torch.arange(count)[:, None, None].expand(count, 3, 1) / 8
    triangles = torch.cat((start[:, None] + offsets, depth), dim=-1)
    values, incoming = uniform(generator, count, 3, 1), torch.randn(*size, generator=generator)
    found = surrogate(triangles, incoming, size, values=values, backend=backend)
    assert found.any()
    for axis, mirror in ((1, [-1.0, 1, 1]), (0, [1, -1.0, 1])):
        flip = torch.tensor(mirror)
        seen = surrogate(triangles * flip, incoming.flip(axis), size, values=values, backend=backend)
        torch.testing.assert_close(seen * flip, found, **FLOAT32)
    swap = [1, 0, 2]  # x and y exchanged: rows become columns, and both run the other way
    turned = surrogate(triangles[..., swap], incoming.flip(0).mT.flip(0), size[::-1], values=values, backend=backend)
    torch.testing.assert_close(turned[..., swap], found, **FLOAT32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_square_finds_its_target(backend: str) -> None:
    """Plain gradient descent on the silhouette; neither position nor size is right at first."""
    size = (32, 32)
    square = torch.tensor([[-0.3, -0.3], [0.3, -0.3], [0.3, 0.3], [-0.3, 0.3]])
    faces = torch.tensor([[0, 1, 2], [2, 3, 0]])

    def silhouette(corners: Tensor) -> Tensor:
        triangles = torch.cat((corners, torch.ones(4, 1)), dim=-1)[faces][None]
        return rasterize(triangles, torch.ones(1, 2, 3, 1), size, N3MR(), backend=backend)[1]

    goal = square * 1.3 + torch.tensor([0.15, -0.1])
    target = silhouette(goal)
    corners = square.clone().requires_grad_()
    losses = []
    for _ in range(60):
        loss = (silhouette(corners) - target).square().sum()
        (gradient,) = torch.autograd.grad(loss, corners)
        corners = (corners - 1e-5 * gradient).detach().requires_grad_()
        losses.append(float(loss.detach()))
    assert losses[0] > 50  # pixels
    assert losses[-1] < 0.05 * losses[0]
    assert (corners - goal).detach().abs().max() < 2 / 32  # a pixel


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives_are_refused(backend: str) -> None:
    triangles = torch.tensor([[[A, B, C]]], requires_grad=True)
    attributes = torch.ones(1, 1, 3, 1, requires_grad=True)
    color, _ = rasterize(triangles, attributes, ROW, N3MR(), backend=backend)
    with pytest.raises(BackendError, match="N3MR"):
        torch.autograd.grad(color.square().sum(), triangles, create_graph=True)
    # Those of the attributes alone exist: here color_p = sum_k w_pk a_k, so that the sum over all entries of the
    # Hessian 2 w^T w of the squares is 2 for each of the three covered pixels.
    color, _ = rasterize(triangles.detach(), attributes, ROW, N3MR(), backend=backend)
    (first,) = torch.autograd.grad(color.square().sum(), attributes, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), attributes)
    assert float(second.sum()) == pytest.approx(6, rel=1e-5)


@pytest.mark.parametrize("eps", [0.0, -1e-3, math.nan, math.inf])
def test_bad_eps(eps: float) -> None:
    with pytest.raises(DomainError, match="eps"):
        N3MR(eps)
    with pytest.raises(DTypeError, match="eps"):
        N3MR("1e-3")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_see(backend: str) -> None:
    empty = torch.zeros(2, 0, 3, 3, requires_grad=True)
    color, alpha = rasterize(empty, torch.zeros(2, 0, 3, 4), (2, 3), N3MR(), torch.full((4,), 2.0), backend=backend)
    assert (tuple(color.shape), float(color.detach().min()), float(alpha.detach().max())) == ((2, 4, 2, 3), 2.0, 0.0)
    (gradient,) = torch.autograd.grad(color.sum() + alpha.sum(), empty)
    assert gradient.shape == empty.shape
    unseen = [
        [[5.0, 5.0, 1.0], [6.0, 5.0, 1.0], [5.0, 6.0, 1.0]],  # beside the picture
        [[-1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]],  # a line
        [[-5.0, -5.0, 1.0], [5.0, -5.0, 1.0], [0.0, 5.0, 0.0]],  # reaches the camera
    ]
    assert (surrogate(unseen, torch.ones(3, 4), (3, 4), backend=backend) == 0).all()


def test_a_real_mesh(shared_mesh: Callable[[str], Path]) -> None:
    mesh = load_mesh(shared_mesh("spot_triangulated.obj"))
    vertices = mesh.vertices.float().requires_grad_()
    camera = Camera.orbit(30.0, 20.0, 3.0)
    image = render(mesh.replace(vertices=vertices), camera, (64, 64), rasterizer=N3MR())
    assert 0.05 < float(image.alpha.detach().mean()) < 0.9
    target = image.alpha.detach().roll(5, dims=-1)  # five pixels further to the right
    (gradient,) = torch.autograd.grad((image.alpha - target).square().sum(), vertices)
    assert gradient.isfinite().all()
    to_camera = gradient.reshape(-1, 3) @ camera.rotation.reshape(3, 3).to(gradient).mT  # x to the right, y up
    assert (to_camera != 0).any(-1).float().mean() > 0.05
    assert to_camera[:, 0].sum() < 0  # descent moves it to the right
