"""The z-buffer: known values, one truth in both backends, rays as an independent oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from render.scenes import Scene, scenes, uniform
from tolerances import FLOAT64
from torch import Tensor

from labkit.render.raster import Hard, rasterize
from labkit.render.raster.pixels import pixel_centers

BACKENDS = ("reference", "kernel")


def draw(triangles: list, values: list, size: tuple[int, int], **options: object) -> tuple[Tensor, Tensor]:
    return rasterize(torch.tensor([triangles]), torch.tensor([values]), size, Hard(), **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_known_pictures(backend: str) -> None:
    lower_left = [[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]
    color, alpha = draw([lower_left], [[[7.0]] * 3], (4, 4), background=torch.tensor([2.0]), backend=backend)
    # pixel centres at -0.75, -0.25, 0.25, 0.75; those on the diagonal x + y = 0 belong to the face
    expected = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    assert torch.equal(alpha[0, 0], expected)
    assert torch.equal(color[0, 0], 2 + 5 * expected)
    flipped, _ = draw([lower_left[::-1]], [[[7.0]] * 3], (4, 4), background=torch.tensor([2.0]), backend=backend)
    assert torch.equal(flipped, color)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("perspective", [True, False])
def test_the_nearest_face_wins_and_ties_go_to_the_first(backend: str, perspective: bool) -> None:
    near, far = ([[-5.0, -5.0, z], [5.0, -5.0, z], [0.0, 5.0, z]] for z in (1.0, 2.0))
    options = {"backend": backend, "perspective": perspective}
    for order in ([near, far], [far, near]):
        values = [[[1.0 if face is near else 2.0]] * 3 for face in order]
        assert (draw(order, values, (3, 5), **options)[0] == 1).all()
    assert (draw([near, near, far], [[[1.0]] * 3, [[2.0]] * 3, [[3.0]] * 3], (3, 5), **options)[0] == 1).all()
    assert (draw([far, far], [[[1.0]] * 3, [[2.0]] * 3], (3, 5), **options)[0] == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_faces_that_are_not_seen(backend: str) -> None:
    line = [[-1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]
    point = [[0.0, 0.0, 1.0]] * 3
    behind = [[-5.0, -5.0, 1.0], [5.0, -5.0, 1.0], [0.0, 5.0, 0.0]]
    color, alpha = draw([line, point, behind], [[[1.0]] * 3] * 3, (3, 3), backend=backend)
    assert (alpha == 0).all()
    assert (color == 0).all()
    color, alpha = rasterize(torch.zeros(2, 0, 3, 3), torch.zeros(2, 0, 3, 4), (2, 3), Hard(), backend=backend)
    assert (tuple(color.shape), float(alpha.sum())) == ((2, 4, 2, 3), 0.0)


def test_kernel_and_reference_see_the_same_faces() -> None:
    covered = []

    @settings(max_examples=120)
    @given(scenes())
    def check(scene: Scene) -> None:
        count = scene.triangles.shape[1]
        names = torch.arange(1.0, count + 1).expand(len(scene.triangles), 3, -1).mT[..., None]
        seen = []
        for backend in BACKENDS:
            images = [
                rasterize(scene.triangles, values, scene.size, Hard(), backend=backend, perspective=scene.perspective)
                for values in (names, scene.attributes)
            ]
            seen.append([*images[0], *images[1]])
        for kernel, dense in zip(*seen, strict=True):
            assert torch.equal(kernel, dense)
        alpha = seen[0][1]
        assert ((alpha == 0) | (alpha == 1)).all()
        covered.append(bool(alpha.any()))

    check()
    assert len(covered) >= 100
    assert sum(covered) > 0.7 * len(covered)  # a single pixel may miss the face


def cast(corners: np.ndarray, origin: np.ndarray, ray: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Distance along the ray and barycentric coordinates where it meets a triangle (3, 3) in space, or None."""
    matrix = np.column_stack((ray, corners[0] - corners[1], corners[0] - corners[2]))
    distance, u, v = np.linalg.solve(matrix, corners[0] - origin)
    weights = np.array([1 - u - v, u, v])
    return (float(distance), weights) if (weights >= 0).all() and distance > 0 else None


@pytest.mark.parametrize("perspective", [True, False])
def test_rays_through_the_pixels_see_the_same(perspective: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    xy, depth = uniform(generator, 1, 8, 3, 2, low=-1.2, high=1.2), 1 + 3 * uniform(generator, 1, 8, 3, 1)
    triangles = torch.cat((xy, depth), dim=-1).double()
    attributes = uniform(generator, 1, 8, 3, 3).double()
    size = (23, 31)
    color, alpha = rasterize(triangles, attributes, size, Hard(), perspective=perspective)
    space = triangles[0].numpy().copy()  # a camera of 90 degrees: NDC = x / z
    if perspective:
        space[..., :2] *= space[..., 2:]
    expected, hit = np.zeros((3, *size)), np.zeros(size)
    for index, (x, y) in enumerate(pixel_centers(size, torch.float64, "cpu").numpy()):
        origin, ray = (
            (np.zeros(3), np.array([x, y, 1.0])) if perspective else (np.array([x, y, 0]), np.array([0, 0, 1]))
        )
        found = [(*at, face) for face, corners in enumerate(space) if (at := cast(corners, origin, ray))]
        if found:
            _, weights, face = min(found, key=lambda at: at[0])
            expected[:, index // size[1], index % size[1]] = weights @ attributes[0, face].numpy()
            hit[index // size[1], index % size[1]] = 1
    assert 0.2 < hit.mean() < 1
    torch.testing.assert_close(alpha[0, 0], torch.from_numpy(hit))
    torch.testing.assert_close(color[0], torch.from_numpy(expected), **FLOAT64)


@pytest.mark.parametrize("perspective", [True, False])
def test_derivatives_of_the_interpolation(perspective: bool) -> None:
    triangles = torch.tensor(
        [
            [
                [[-4.0, -3.0, 1.0], [4.0, -3.5, 2.0], [0.3, 5.0, 3.0]],
                [[-0.4, -0.3, 0.5], [0.6, -0.4, 0.7], [0.0, 0.7, 0.6]],
            ]
        ],
        dtype=torch.float64,
        requires_grad=True,
    )
    attributes = torch.rand(
        1, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    background = torch.rand(2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()

    def picture(*inputs: Tensor) -> Tensor:
        return rasterize(inputs[0], inputs[1], (4, 5), Hard(), inputs[2], perspective=perspective)[0]

    names = torch.tensor([1.0, 2.0], dtype=torch.float64)[None, :, None, None].expand(1, 2, 3, 1)
    seen, _ = rasterize(triangles, names, (4, 5), Hard(), perspective=perspective)
    assert sorted(seen.detach().round().unique().tolist()) == [1.0, 2.0]  # both faces are in the picture
    assert torch.autograd.gradcheck(picture, (triangles, attributes, background), fast_mode=False)
    assert torch.autograd.gradgradcheck(picture, (triangles, attributes, background), fast_mode=False)


def test_gradients_of_both_backends_agree_and_silhouettes_have_none() -> None:
    generator = torch.Generator().manual_seed(2)
    triangles = torch.cat((uniform(generator, 2, 9, 3, 2, low=-1.0), 1 + uniform(generator, 2, 9, 3, 1)), dim=-1)
    attributes = uniform(generator, 2, 9, 3, 3)
    weight = uniform(generator, 2, 3, 20, 24)
    found = []
    for backend in BACKENDS:
        leaves = [triangles.clone().requires_grad_(), attributes.clone().requires_grad_()]
        color, alpha = rasterize(*leaves, (20, 24), Hard(), backend=backend)
        assert not alpha.requires_grad
        found.append(torch.autograd.grad((color * weight).sum(), leaves))
    for kernel, dense in zip(*found, strict=True):
        assert dense.abs().max() > 0
        torch.testing.assert_close(kernel, dense)
    flat = torch.ones_like(attributes)  # one colour everywhere: only silhouettes could move, and they do not
    leaf = triangles.clone().requires_grad_()
    color, _ = rasterize(leaf, flat, (20, 24), Hard())
    (gradient,) = torch.autograd.grad(color.sum(), leaf)
    assert gradient.abs().max() < 1e-3
    assert Hard().edge_width_px((64, 64)) == 0
