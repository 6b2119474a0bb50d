"""Equation 3, exact pictures of distance fields, and the view-independent bound."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit.data.multiview import CEILING, psnr
from labkit.data.phong_scene import PhongScene
from labkit.data.phong_views import (
    Bound,
    Sightings,
    orbit_views,
    phong_views,
    random_views,
    seen_surface,
    view_independent_bound,
)
from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.geometry.sdf import BoxField, Moved, SphereField, Union
from labkit.scene import Ambient, Camera, Phong, Point, shade
from labkit.scene.lights import BULB
from labkit.scene.rays import Views
from tests.tolerances import FLOAT32, FLOAT64

SPHERE = SphereField(0.5)
DISTANCE, FOV = 2.5, 49.0


def unit_vectors(count: int, seed: int) -> Tensor:
    """Random directions (count, 3), float64."""
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm(dim=-1, keepdim=True)


def cameras(count: int, size: int, seed: int) -> Views:
    """Random cameras of the shiny sphere."""
    return random_views(count, (size, size), DISTANCE, FOV, torch.Generator().manual_seed(seed))


@given(st.integers(0, 2**31), st.floats(1, 100))
def test_radiance_is_equation_3(seed: int, shininess: float) -> None:
    """Against the equation written with its matrix, one point at a time, in numpy."""
    x, n, v = unit_vectors(4, seed), unit_vectors(4, seed + 1), unit_vectors(4, seed + 2)
    i_a, i_d, o_d, o_s = unit_vectors(4, seed + 3).abs().numpy()
    light = 3 * unit_vectors(1, seed + 4)[0]
    scene = PhongScene(0.7, 0.4, tuple(i_a), tuple(i_d), light, shininess, tuple(o_d), tuple(o_s))
    expected = []
    for point, normal, direction in zip(x.numpy(), n.numpy(), v.numpy(), strict=True):
        w_o = -direction
        to_light = (light.numpy() - point) / np.linalg.norm(light.numpy() - point)
        r = -(np.eye(3) - 2 * np.outer(normal, normal)) @ w_o
        diffuse = 0.7 * o_d * i_a + 0.7 * o_d * i_d * max(normal @ to_light, 0)
        expected.append(diffuse + 0.4 * o_s * i_d * max(r @ to_light, 0) ** shininess)
    torch.testing.assert_close(scene.radiance(x, n, v), torch.tensor(np.array(expected)), **FLOAT64)


def test_radiance_head_on_and_from_behind() -> None:
    """Light and eye along the normal: everything; light on the other side: ambient light only."""
    up = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    front, back = PhongScene(light=(0, 0, 5)), PhongScene(light=(0, 0, -5))
    torch.testing.assert_close(front.radiance(0 * up, up, -up), torch.full_like(up, 0.5 * 0.2 + 0.5 + 0.6), **FLOAT64)
    torch.testing.assert_close(back.radiance(0 * up, up, -up), torch.full_like(up, 0.5 * 0.2), **FLOAT64)


def test_radiance_agrees_with_the_material_where_both_hold() -> None:
    """`Phong` under a point light whose fall-off is undone, at points that face the light."""
    x, n, eye = 0.3 * unit_vectors(64, 0), unit_vectors(64, 1), torch.tensor([0.3, 0.2, 2.0], dtype=torch.float64)
    scene = PhongScene()
    offset = torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64) - x
    directions = (x - eye) / (x - eye).norm(dim=-1, keepdim=True)
    lit = (n * offset).sum(-1) > 0
    found = scene.radiance(x, n, directions)[lit]
    for i, color in zip(lit.nonzero()[:, 0].tolist(), found, strict=True):
        lamp = Point((2.0, 2.0, 2.0), (offset[i].square().sum() + BULB**2).item())
        albedo = torch.full((3,), 0.5, dtype=torch.float64)
        expected = shade(x[i], n[i], eye, albedo, Phong(0.6, 20.0), [Ambient(0.2), lamp])
        # the material keeps its power away from 0 by 1e-8
        torch.testing.assert_close(color, expected, rtol=1e-6, atol=1e-7)


def test_radiance_has_gradients() -> None:
    """In points, normals, directions and parameters."""
    x, n, v = (unit_vectors(5, seed).requires_grad_() for seed in range(3))
    numbers = torch.tensor([0.5, 0.6, 0.2, 7.5], dtype=torch.float64, requires_grad=True)
    light = torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64, requires_grad=True)

    def radiance(x: Tensor, n: Tensor, v: Tensor, numbers: Tensor, light: Tensor) -> Tensor:
        kd, ks, ambient, shininess = numbers
        return PhongScene(kd, ks, ambient, light=light, shininess=shininess).radiance(x, n, v)

    assert torch.autograd.gradcheck(radiance, (x, n, v, numbers, light))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"kd": -0.1}, DomainError),
        ({"ks": math.nan}, DomainError),
        ({"ambient": (0.1, -0.1, 0.1)}, DomainError),
        ({"shininess": 0.5}, DomainError),
        ({"shininess": math.inf}, DomainError),
        ({"light": (1.0, 2.0)}, ShapeError),
        ({"light": (1.0, 2.0, math.inf)}, DomainError),
        ({"diffuse_color": "red"}, DTypeError),
        ({"kd": True}, DTypeError),
    ],
)
def test_scenes_that_are_refused(fields: dict[str, object], error: type[LabError]) -> None:
    """Each parameter has its range."""
    with pytest.raises(error, match=next(iter(fields))):
        PhongScene(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pictures_of_a_sphere_are_exact(dtype: torch.dtype) -> None:
    """Against the intersection by the quadratic formula, pixel by pixel."""
    views, scene = cameras(3, 24, 1).to(dtype), PhongScene(diffuse_color=(0.9, 0.5, 0.3))
    data = phong_views(SPHERE, scene, views)
    pixels = torch.arange(24 * 24)
    for b in range(3):
        origins, v = views.rays(torch.full_like(pixels, b), pixels)
        half = (origins * v).sum(-1)
        under = half**2 - origins.square().sum(-1) + 0.25
        hit = under > 0
        x = (origins + (-half - under.clamp_min(0).sqrt())[:, None] * v)[hit]
        expected = torch.ones(576, 3, dtype=dtype)
        expected[hit] = scene.radiance(x, x / 0.5, v[hit]).clamp(0, 1)
        # where a ray grazes the sphere the intersection is ill-conditioned
        sure = ~hit | (under > 1e-3)
        assert torch.equal(data.masks[b, 0].flatten()[sure], hit[sure].to(dtype))
        found = data.images[b].flatten(1).T
        # a ray ends 1e-6 before the surface; near the silhouette that is more along the ray
        torch.testing.assert_close(found[sure], expected[sure], rtol=0, atol=1e-4)
    assert data.images.dtype == dtype
    assert data.masks.mean().item() == pytest.approx(0.158, abs=0.01)  # a disc of that radius, in the square


def test_pictures_are_white_outside_and_never_above_1() -> None:
    """A light far too bright is clipped; behind the object there is white, with mask 0."""
    data = phong_views(SPHERE, PhongScene(light_color=50.0), cameras(2, 16, 2))
    assert data.images.max() == 1
    assert torch.equal(data.images * (1 - data.masks), (1 - data.masks).expand_as(data.images))


def test_a_camera_that_sees_nothing() -> None:
    """At least one pixel must show the surface."""
    away = Views.of(Camera.look_at((0.0, 0.0, 2.5), target=(0.0, 0.0, 5.0)), (8, 8))
    with pytest.raises(DomainError, match="no pixel"):
        phong_views(SPHERE, PhongScene(), away)


def test_random_views_are_uniform_and_aimed_at_the_centre(generator: torch.Generator) -> None:
    """First and second moments of the directions; the origin falls onto the middle of each picture; +y is upwards."""
    views = random_views(4000, (20, 30), 2.5, FOV, generator)
    eyes = views.eyes / 2.5
    torch.testing.assert_close(eyes.norm(dim=-1), torch.ones(4000), **FLOAT32)
    # standard errors: 1 / sqrt(3 N) = 0.009 and sqrt(4 / 45 / N) = 0.005; four of them
    assert eyes.mean(0).abs().max() < 0.04
    assert (eyes.mT @ eyes / 4000 - torch.eye(3) / 3).abs().max() < 0.02
    torch.testing.assert_close(views.translation, torch.tensor([0.0, 0.0, 2.5]).expand(4000, 3), **FLOAT32)
    assert (views.rotation[:, 1, 1] < 1e-6).all()  # the picture's downward axis has no upward part
    focal = 10 / math.tan(math.radians(FOV / 2))
    torch.testing.assert_close(
        views.intrinsics[0], torch.tensor([[focal, 0, 15], [0, focal, 10], [0, 0, 1]]), **FLOAT32
    )


def test_random_views_follow_the_generator() -> None:
    """The same stream, the same cameras; the next ones differ."""
    stream = torch.Generator().manual_seed(3)
    first, second = (random_views(5, (8, 8), 2.0, 40.0, stream).rotation for _ in range(2))
    again = random_views(5, (8, 8), 2.0, 40.0, torch.Generator().manual_seed(3)).rotation
    assert torch.equal(first, again)
    assert not torch.allclose(first, second, atol=1e-2)


def test_orbit_views_go_round() -> None:
    """Four cameras: +z, +x, -z, -x, raised by the elevation."""
    eyes = orbit_views(4, (8, 8), 2.0, 40.0, elevation=30.0).eyes
    far, high = 2 * math.cos(math.pi / 6), 1.0
    expected = [[0, high, far], [far, high, 0], [0, high, -far], [-far, high, 0]]
    torch.testing.assert_close(eyes, torch.tensor(expected), **FLOAT32)


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_wrong_numbers_of_cameras(count: object, generator: torch.Generator) -> None:
    """Whole numbers from 1."""
    with pytest.raises(LabError, match="count"):
        random_views(count, (8, 8), 2.0, 40.0, generator)  # type: ignore[arg-type]
    with pytest.raises(LabError, match="count"):
        orbit_views(count, (8, 8), 2.0, 40.0)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sightings() -> Sightings:
    """12 measured pictures of the shiny sphere, and 128 cameras of the oracle."""
    return Sightings.of(SPHERE, cameras(12, 32, 5), cameras(128, 32, 6))


@pytest.mark.parametrize(
    ("ks", "shininess", "decibels"),
    [(0.3, 10, 28.5), (0.6, 10, 22.8), (0.6, 20, 25.3), (0.6, 50, 28.95), (0.9, 20, 22.8), (0.9, 100, 29.3)],
)
def test_bound_of_the_shiny_sphere(sightings: Sightings, ks: float, shininess: float, decibels: float) -> None:
    """Values found independently, by a plain mean over views; 12 views of a few hundred pixels scatter by 0.5 dB."""
    bound = sightings.bound(PhongScene(ks=ks, shininess=shininess))
    assert bound.psnr == pytest.approx(decibels, abs=1.0)
    assert bound.psnr_full == pytest.approx(bound.psnr - 10 * math.log10(bound.coverage), abs=1e-6)
    assert bound.coverage == pytest.approx(0.158, abs=0.01)


def test_bound_of_a_matt_sphere_is_none(sightings: Sightings) -> None:
    """Without a highlight every view shows the same colour."""
    assert sightings.bound(PhongScene(ks=0)) == Bound(CEILING, CEILING, pytest.approx(0.158, abs=0.01))


def test_bound_in_one_call(sightings: Sightings) -> None:
    """The same as in two."""
    bound = view_independent_bound(SPHERE, PhongScene(), cameras(12, 32, 5), cameras(128, 32, 6))
    assert bound == sightings.bound(PhongScene())


def test_a_fitted_view_independent_function_stays_below_the_bound(sightings: Sightings) -> None:
    """Least squares in polynomials of x up to degree 10 on 100 training pictures, measured on the unseen 12.

    It comes near to the bound, which shows that the bound is tight, and not above it.
    """
    scene = PhongScene()
    train = seen_surface(SPHERE, cameras(100, 32, 7))

    def features(points: Tensor) -> Tensor:
        powers = (2 * points.double()[:, :, None]) ** torch.arange(11)  # (N, 3, 11)
        degrees = [(i, j, k) for i in range(11) for j in range(11 - i) for k in (0, 1) if i + j + k <= 10]
        return torch.stack([powers[:, 0, i] * powers[:, 1, j] * powers[:, 2, k] for i, j, k in degrees], -1)

    fit = torch.linalg.lstsq(features(train.points), train.colors(scene).double(), driver="gels").solution
    shown, truth = features(sightings.seen.points) @ fit, sightings.seen.colors(scene).double()
    reached = psnr(shown.clamp(0, 1).T[..., None], truth.T[..., None]).item()
    bound = sightings.bound(scene).psnr
    assert bound - 1 < reached < bound


def test_no_other_colours_are_better_on_the_cameras(sightings: Sightings) -> None:
    """M* minimizes the weighted squared error over the views that see a point: its gradient vanishes."""
    scene, chosen = PhongScene(), slice(0, 200)
    seen = sightings.seen
    best = sightings.best(scene)[chosen].double()
    pull = sightings.own[chosen, None].double() * (best - seen.colors(scene)[chosen])
    for eye, weight in zip(sightings.eyes, sightings.weights[:, chosen], strict=True):
        offset = seen.points[chosen] - eye
        shown = scene.radiance(seen.points[chosen], seen.normals[chosen], offset / offset.norm(dim=-1, keepdim=True))
        pull += weight[:, None].double() * (best - shown.clamp(0, 1))
    total = sightings.own[chosen].double() + sightings.weights[:, chosen].sum(0).double()
    torch.testing.assert_close(pull / total[:, None], torch.zeros_like(pull), **FLOAT32)


def test_weights_count_pixels(sightings: Sightings) -> None:
    """Area of the sphere that a camera sees, 2 pi R^2 (1 - R / d), is the sum of its pixels' areas 1 / weight."""
    found = Sightings.of(SPHERE, cameras(2, 256, 8), cameras(1, 8, 9))
    area = (1 / found.own).sum().item() / 2
    # the outermost pixels of the silhouette cover the most area and are the fewest
    assert area == pytest.approx(2 * math.pi * 0.25 * (1 - 0.5 / DISTANCE), rel=0.02)
    assert (sightings.weights > 0).float().mean().item() == pytest.approx(0.4, abs=0.03)  # (1 - R / d) / 2


def test_hidden_points_are_not_seen() -> None:
    """Of two spheres in a line, the camera on that line sees nothing of the second but its rim."""
    pair = Union(SphereField(0.3, (0.0, 0.0, 0.5)), SphereField(0.3, (0.0, 0.0, -0.5)))
    side = Views.of(Camera.look_at((2.0, 0.0, 1.5), fov=FOV), (48, 48))
    ahead = Views.of(Camera.look_at((0.0, 0.0, 2.5), fov=FOV), (48, 48))
    found = Sightings.of(pair, side, ahead)
    x, weight = found.seen.points, found.weights[0]
    to_eye = torch.tensor([0.0, 0.0, 2.5]) - x
    turned = (found.seen.normals * to_eye).sum(-1) / to_eye.norm(dim=-1)
    # the cone from (0, 0, 2.5) that touches the first sphere: sine 0.3 / 2
    angle = torch.atan2(x[:, :2].norm(dim=-1), 2.5 - x[:, 2])
    shadow = math.asin(0.15)
    first, second = x[:, 2] > 0, x[:, 2] < 0
    assert (weight[first & (turned > 0.05)] > 0).all()
    assert (weight[turned < 0] == 0).all()
    hidden, open_ = (
        second & (turned > 0.05) & (angle < shadow - 0.01),
        second & (turned > 0.05) & (angle > shadow + 0.01),
    )
    assert hidden.sum() > 50
    assert (weight[hidden] == 0).all()
    assert (weight[open_] > 0).all()


def test_points_outside_the_picture_are_not_seen() -> None:
    """A narrow camera sees the middle of a box only."""
    box = BoxField((0.5, 0.5, 0.5))
    wide, narrow = (Views.of(Camera.look_at((0.0, 0.0, 2.5), fov=fov), (32, 32)) for fov in (FOV, 10.0))
    found = Sightings.of(box, wide, narrow)
    middle = found.seen.points[:, :2].abs().amax(-1) < 2.0 * math.tan(math.radians(5))
    assert middle.any()
    assert torch.equal(found.weights[0] > 0, middle)


def test_a_moved_scene_has_the_same_bound() -> None:
    """Turning object, cameras and light together changes nothing."""
    turn = Camera.posed(torch.tensor([0.3, -0.5, 0.7, 0.2]), eye=(0.0, 0.0, 0.0)).rotation
    box, light = BoxField((0.3, 0.4, 0.2)), torch.tensor([2.0, 2.0, 2.0])
    views, many = cameras(3, 16, 10), cameras(40, 16, 11)
    turned = [replace(part, rotation=part.rotation @ turn.mT) for part in (views, many)]
    here = view_independent_bound(box, PhongScene(light=light), views, many)
    there = view_independent_bound(Moved(box, turn, (0.0, 0.0, 0.0)), PhongScene(light=turn @ light), *turned)
    # a ray at an edge may fall to the other side
    assert there.psnr == pytest.approx(here.psnr, abs=0.1)
