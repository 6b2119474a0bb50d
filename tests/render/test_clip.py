"""Cutting faces at the near plane."""

from __future__ import annotations

import itertools

import pytest
import torch
from render.scenes import uniform
from tolerances import FLOAT64
from torch import Tensor

from labkit.geometry import Mesh, icosphere
from labkit.render import AlgoNet, Hard, render
from labkit.render.clip import clip_near
from labkit.scene import Camera

NEAR = 0.5


def area(corners: Tensor) -> Tensor:
    """Area (...,) of triangles (..., 3, 3)."""
    a, b, c = corners.unbind(-2)
    return torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2


def normal(corners: Tensor) -> Tensor:
    """Normal (..., 3), not of unit length."""
    a, b, c = corners.unbind(-2)
    return torch.linalg.cross(b - a, c - a)


@pytest.mark.parametrize("sides", list(itertools.product((True, False), repeat=3)))
def test_all_eight_configurations(sides: tuple[bool, bool, bool]) -> None:
    generator = torch.Generator().manual_seed(1)
    corners = torch.cat((uniform(generator, 3, 2, low=-2.0), uniform(generator, 3, 1)), -1).double()
    corners[:, 2] = torch.tensor([-NEAR - 0.3 - k / 3 if front else 0.4 - k / 7 for k, front in enumerate(sides)])
    slope, shift = uniform(generator, 3, 4).double(), uniform(generator, 4).double()
    attributes = corners @ slope + shift  # linear in space
    pieces, values, hidden, index = clip_near(corners[None, None], attributes[None, None], NEAR)
    count = sum(sides)
    shown = ~hidden[0]
    assert int(shown.sum()) == {0: 0, 1: 1, 2: 2, 3: 1}[count]
    assert bool(shown[0]) == (count == 3)
    assert (index == 0).all()
    if count in (0, 3):
        assert pieces.shape[1] == 1
        assert torch.equal(pieces[0, 0], corners)
        assert torch.equal(values[0, 0], attributes)
        return
    visible = pieces[0, shown]
    depth = -visible[..., 2]
    assert (depth > NEAR - 1e-12).all()
    assert int(((depth - NEAR).abs() < 1e-12).sum()) == {1: 2, 2: 3}[count]  # both cuts, one of them in both pieces
    torch.testing.assert_close(values[0, shown], visible @ slope + shift, **FLOAT64)
    facing = torch.nn.functional.cosine_similarity(normal(visible), normal(corners)[None], dim=-1)
    torch.testing.assert_close(facing, torch.ones_like(facing), **FLOAT64)  # in the plane of the face, wound as it is
    # The corner on its own side spans a triangle that is smaller than the face by both shares of the edges.
    lone = sides.index(count == 1)
    to_plane = -corners[:, 2] - NEAR
    shares = [to_plane[lone] / (to_plane[lone] - to_plane[k]) for k in range(3) if k != lone]
    corner_area = area(corners) * shares[0] * shares[1]
    expected = corner_area if count == 1 else area(corners) - corner_area
    torch.testing.assert_close(area(visible).sum(), expected, **FLOAT64)


def test_exactly_on_the_plane_is_in_front() -> None:
    touching = torch.tensor([[[[0.0, 0.0, -NEAR], [1.0, 0.0, -NEAR], [0.0, 1.0, -NEAR]]]])
    pieces, _, hidden, _ = clip_near(touching, torch.zeros_like(touching), NEAR)
    assert not hidden.any()
    assert torch.equal(pieces, touching)
    standing = torch.tensor([[[[0.0, 0.0, -NEAR], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]]])
    pieces, _, hidden, _ = clip_near(standing, torch.zeros_like(standing), NEAR)
    assert pieces.isfinite().all()
    assert area(pieces[~hidden]).abs().max() == 0  # it touches the plane in one point


def test_a_batch_is_a_loop() -> None:
    generator = torch.Generator().manual_seed(2)
    corners = uniform(generator, 5, 7, 3, 3, low=-2.0, high=1.0).double()
    corners[3, ..., 2] = -2.0  # an image where nothing crosses
    attributes = uniform(generator, 5, 7, 3, 2).double()
    together = clip_near(corners, attributes, NEAR)
    for image in range(5):
        alone = clip_near(corners[image : image + 1], attributes[image : image + 1], NEAR)
        shown = [~result[2][index] for result, index in ((together, image), (alone, 0))]
        for part in (0, 1, 3):
            assert torch.equal(together[part][image, shown[0]], alone[part][0, shown[1]])
    shown, index = ~together[2], together[3]
    assert shown[3].sum() == 7
    # every piece lies inside the face that it names
    faces = corners.gather(1, index[..., None, None].expand(-1, -1, 3, 3))
    assert (area(together[0])[shown] <= area(faces)[shown] + 1e-12).all()
    across = torch.nn.functional.cosine_similarity(normal(together[0]), normal(faces), dim=-1)[shown]
    torch.testing.assert_close(across, torch.ones_like(across), **FLOAT64)


def test_no_faces() -> None:
    pieces, values, hidden, index = clip_near(torch.zeros(2, 0, 3, 3), torch.zeros(2, 0, 3, 4), NEAR)
    assert [tuple(t.shape) for t in (pieces, values, hidden, index)] == [(2, 0, 3, 3), (2, 0, 3, 4), (2, 0), (2, 0)]


def test_derivatives() -> None:
    corners = torch.tensor(
        [[[[0.1, 0.2, -1.0], [1.0, 0.3, 0.2], [0.4, 1.1, 0.1]], [[0.0, 0.0, -1.0], [1.0, 0.0, -2.0], [0.0, 1.0, 0.3]]]],
        dtype=torch.float64,
        requires_grad=True,
    )
    attributes = torch.rand(
        1, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    ).requires_grad_()

    def visible(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        pieces, values, hidden, _ = clip_near(*inputs, NEAR)
        return pieces[~hidden], values[~hidden]

    assert len(visible(corners, attributes)[0]) == 3
    assert torch.autograd.gradcheck(visible, (corners, attributes), fast_mode=False)
    assert torch.autograd.gradgradcheck(visible, (corners, attributes), fast_mode=False)


@pytest.mark.parametrize("rasterizer", [Hard(), AlgoNet(40.0, 20.0), AlgoNet(40.0, 20.0, "pixel", "barycentric")])
@pytest.mark.parametrize("eye", [(0.1, 0.05, 0.0), (0.0, 0.0, 0.97), (0.3, 0.2, 1.02)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mesh_around_the_camera(
    rasterizer: Hard | AlgoNet, eye: tuple[float, float, float], dtype: torch.dtype
) -> None:
    ball = icosphere(2).to(dtype=dtype)
    ball = ball.replace(vertices=ball.vertices.clone().requires_grad_())
    camera = Camera.look_at(torch.tensor(eye, dtype=dtype), (0.0, 0.0, -3.0))
    picture = render(ball, camera, (24, 24), rasterizer, shading="gouraud", layers=True)
    for image in (picture.color, picture.alpha, picture.normal, picture.depth):
        assert image is not None
        assert image.isfinite().all()
    assert picture.alpha.mean() > 0.5
    assert picture.depth is not None
    (gradient,) = torch.autograd.grad((picture.color.sum() + picture.depth.sum()), ball.vertices)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("rasterizer", [Hard(), AlgoNet(200.0, 20.0)])
def test_a_floor_through_the_near_plane(rasterizer: Hard | AlgoNet) -> None:
    """A floor that reaches behind the camera looks like the floor cut by hand at the near plane."""
    camera = Camera.look_at((0.0, 1.0, 0.0), (0.0, 1.0, -1.0), near=0.25)
    options = {"size": (32, 32), "rasterizer": rasterizer}

    def floor(back: float) -> Mesh:
        corners = [[-4.0, 0.0, -9.0], [4.0, 0.0, -9.0], [4.0, 0.0, back], [-4.0, 0.0, back]]
        return Mesh(torch.tensor(corners, dtype=torch.float64), torch.tensor([[0, 2, 1], [0, 3, 2]]))

    crossing, cut = (render(floor(back), camera, **options) for back in (6.0, -0.25))
    assert 0.2 < crossing.alpha.mean() < 0.6
    if isinstance(rasterizer, Hard):
        torch.testing.assert_close(crossing.alpha, cut.alpha)
        torch.testing.assert_close(crossing.color, cut.color)
        assert (crossing.alpha[..., :16, :] == 0).all()  # nothing is mirrored above the horizon
    else:  # cut into other triangles, whose inner edges show as they do in any soft picture
        assert (crossing.alpha - cut.alpha).abs().mean() < 0.05
        assert crossing.alpha[..., :8, :].max() < 0.05
