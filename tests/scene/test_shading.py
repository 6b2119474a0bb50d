"""Shading: sums of lights by hand, invariances, both sides, derivatives through everything, every error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.geometry.conversions import quaternion_to_rotation_matrix

from labkit.errors import DeviceError, DomainError, DTypeError, LabError, ShapeError
from labkit.scene import Ambient, BlinnPhong, CookTorrance, Directional, Lambert, Material, Phong, Point, shade
from tests.tolerances import FLOAT64

D = torch.float64
MATERIALS = [Lambert(), Phong(0.4, 7.5), BlinnPhong(0.4, 20.3), CookTorrance(0.4, 0.3)]
ALBEDO = torch.tensor([0.8, 0.4, 0.2], dtype=D)
ORIGIN, UP, EYE = (torch.tensor(v, dtype=D) for v in ((0.0, 0, 0), (0.0, 0, 1), (0.0, 0, 4)))


def name(material: Material) -> str:
    return type(material).__name__


def scene(generator: torch.Generator, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, count, 3, dtype=D, generator=generator).unbind()


def test_the_sum_of_three_lights_by_hand() -> None:
    lights = [Ambient((0.1, 0.2, 0.3)), Directional((0.0, math.sqrt(3), 1.0), 0.5), Point((0.0, 0.0, 1000.0), 2e6)]
    made = shade(ORIGIN, 5 * UP, EYE, ALBEDO, Lambert(), lights)
    expected = ALBEDO * (torch.tensor([0.1, 0.2, 0.3], dtype=D) + 0.5 * 0.5 + 2)
    torch.testing.assert_close(made, expected, **FLOAT64)
    assert shade(ORIGIN, UP, EYE, ALBEDO, Lambert(), []).tolist() == [0, 0, 0]


def test_the_eye_decides_the_highlight() -> None:
    lamp = [Directional((1.0, 0.0, 1.0))]
    black = torch.zeros(3, dtype=D)
    mirrored = shade(ORIGIN, UP, torch.tensor([-3.0, 0, 3], dtype=D), black, Phong(0.5, 10.0), lamp)
    torch.testing.assert_close(mirrored, torch.full((3,), 0.5, dtype=D), **FLOAT64)
    straight = shade(ORIGIN, UP, EYE, black, Phong(0.5, 10.0), lamp)
    torch.testing.assert_close(straight, torch.full((3,), 0.5 * 2**-5, dtype=D), **FLOAT64)


def test_phong_as_in_dib_r_and_in_full() -> None:
    """Equation 9, I_c k_d (L.N) + k_s (R.V)^alpha; in full each light has a colour, and ambient light is added."""
    sun, eye = torch.tensor([0.6, 0.0, 0.8], dtype=D), torch.tensor([0.0, 3.0, 4.0], dtype=D)
    k_d, k_s, alpha = 0.7, 0.5, 3.0
    paper = k_d * ALBEDO * 0.8 + k_s * 0.64**3  # R = (-0.6, 0, 0.8) and V = (0, 0.6, 0.8)
    made = shade(ORIGIN, UP, eye, k_d * ALBEDO, Phong(k_s, alpha), [Directional(sun)])
    torch.testing.assert_close(made, paper, **FLOAT64)
    lambert = shade(ORIGIN, UP, eye, k_d * ALBEDO, Lambert(), [Directional(sun)])
    torch.testing.assert_close(lambert, k_d * ALBEDO * 0.8, **FLOAT64)
    red, grey = torch.tensor([2.0, 0.5, 0.0], dtype=D), torch.tensor([0.1, 0.2, 0.3], dtype=D)
    full = shade(ORIGIN, UP, eye, k_d * ALBEDO, Phong(k_s, alpha), [Ambient(grey), Directional(sun, red)])
    torch.testing.assert_close(full, k_d * ALBEDO * grey + red * paper, **FLOAT64)


def test_two_sided_turns_the_normal_to_the_eye() -> None:
    lights = [Directional((0.0, 1.0, 1.0))]
    front = shade(ORIGIN, UP, EYE, ALBEDO, Phong(), lights)
    assert shade(ORIGIN, -UP, EYE, ALBEDO, Phong(), lights).tolist() == [0, 0, 0]
    torch.testing.assert_close(shade(ORIGIN, -UP, EYE, ALBEDO, Phong(), lights, two_sided=True), front, **FLOAT64)
    torch.testing.assert_close(shade(ORIGIN, UP, EYE, ALBEDO, Phong(), lights, two_sided=True), front, **FLOAT64)
    soft = [
        shade(ORIGIN, n, EYE, ALBEDO, Phong(), lights, smooth=True, two_sided=True, sharpness=100.0) for n in (UP, -UP)
    ]
    torch.testing.assert_close(soft[0], soft[1], **FLOAT64)
    torch.testing.assert_close(soft[0], front, **FLOAT64)


def test_edge_on_light_and_eye() -> None:
    lights, edge_on = [Directional((0.0, 1.0, 0.0))], torch.tensor([4.0, 0, 0], dtype=D)
    usual = shade(ORIGIN, UP, EYE, ALBEDO, Lambert(), lights)
    assert usual.tolist() == [0, 0, 0]
    soft = shade(ORIGIN, UP, EYE, ALBEDO, Lambert(), lights, smooth=True, sharpness=20.0)
    torch.testing.assert_close(soft, ALBEDO * math.log(2) / 20, **FLOAT64)
    above = [Directional((0.0, 0.0, 1.0))]
    seen = shade(ORIGIN, UP, edge_on, ALBEDO, Lambert(), above, two_sided=True)
    torch.testing.assert_close(seen, ALBEDO, **FLOAT64)  # a normal edge-on to the eye is left as it is


@pytest.mark.parametrize("material", MATERIALS, ids=name)
@pytest.mark.parametrize("smooth", [False, True])
@settings(max_examples=15)
@given(q=st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 0.01))
def test_turning_the_whole_world_changes_nothing(material: Material, smooth: bool, q: list[float]) -> None:
    points, normals = scene(torch.Generator().manual_seed(3))
    turn = quaternion_to_rotation_matrix(torch.tensor(q, dtype=D)).mT
    sun, lamp = torch.tensor([1.0, 2, 3], dtype=D), torch.tensor([0.0, 3, 1], dtype=D)
    still = shade(points, normals, EYE, ALBEDO, material, [Directional(sun), Point(lamp)], smooth, two_sided=True)
    turned_lights = [Directional(sun @ turn), Point(lamp @ turn)]
    turned = shade(points @ turn, normals @ turn, EYE @ turn, ALBEDO, material, turned_lights, smooth, two_sided=True)
    torch.testing.assert_close(turned, still, **FLOAT64)


@given(scale=st.floats(0.1, 10), shift=st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_normals_of_any_length_and_a_shifted_world_change_nothing(scale: float, shift: list[float]) -> None:
    points, normals = scene(torch.Generator().manual_seed(4))
    move, lamp = torch.tensor(shift, dtype=D), torch.tensor([0.0, 3, 1], dtype=D)
    still = shade(points, normals, EYE, ALBEDO, CookTorrance(), [Point(lamp)])
    moved = shade(points + move, scale * normals, EYE + move, ALBEDO, CookTorrance(), [Point(lamp + move)])
    torch.testing.assert_close(moved, still, **FLOAT64)


@pytest.mark.parametrize("material", MATERIALS, ids=name)
def test_the_smooth_picture_tends_to_the_usual_one(material: Material, generator: torch.Generator) -> None:
    points, normals = scene(generator, 50)
    lights = [Directional((1.0, 2.0, 3.0)), Ambient(0.1)]
    usual = shade(points, normals, EYE, ALBEDO, material, lights, two_sided=True)
    gaps = [
        float(
            (shade(points, normals, EYE, ALBEDO, material, lights, True, two_sided=True, sharpness=s) - usual)
            .abs()
            .mean()
        )
        for s in (10.0, 100.0, 1000.0)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[0] > 10 * gaps[2]


@pytest.mark.parametrize("kind", [Lambert, Phong, BlinnPhong, CookTorrance])
@pytest.mark.parametrize("smooth", [False, True])
def test_derivatives_through_everything(kind, smooth: bool, generator: torch.Generator) -> None:
    points, normals = scene(generator, 2)
    values = {Lambert: (), Phong: (0.4, 3.5), BlinnPhong: (0.4, 9.3), CookTorrance: (0.5, 0.3, 0.06)}[kind]

    def picture(points, normals, eye, albedo, sun, lamp, color, *fields):
        lights = [Ambient(color), Directional(sun, color), Point(lamp, color)]
        return shade(points, normals, eye, albedo, kind(*fields), lights, smooth, two_sided=True, sharpness=8.0)

    places = ((0.3, -0.4, 4.0), (0.8, 0.4, 0.2), (1.0, 2.0, 3.0), (0.5, 3.0, 1.0), (0.3, 0.6, 0.9))
    inputs = [points, normals, *(torch.tensor(p, dtype=D) for p in places), *(torch.tensor(v, dtype=D) for v in values)]
    inputs = [value.clone().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(picture, inputs)
    if smooth:
        assert torch.autograd.gradgradcheck(picture, inputs)


def test_a_batch_is_its_scenes_one_by_one(generator: torch.Generator) -> None:
    points, normals = torch.randn(2, 3, 4, 5, 3, dtype=D, generator=generator).unbind()
    eyes = torch.randn(3, 3, dtype=D, generator=generator) * 4
    made = shade(points, normals, eyes, ALBEDO, CookTorrance(), [Point(eyes + 1)])
    assert made.shape == (3, 4, 5, 3)
    for row in range(3):
        one = shade(points[row], normals[row], eyes[row], ALBEDO, CookTorrance(), [Point(eyes[row] + 1)])
        torch.testing.assert_close(made[row], one, **FLOAT64)
    shared = shade(points[:1], normals[:1], eyes, ALBEDO, CookTorrance(), [Point(eyes + 1)])
    torch.testing.assert_close(shared[0], made[0], **FLOAT64)
    assert shared.shape == (3, 4, 5, 3)


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("material", MATERIALS, ids=name)
@pytest.mark.parametrize("smooth", [False, True])
def test_zero_normals_and_points_at_the_eye_or_lamp_are_finite(material, smooth: bool, dtype: torch.dtype) -> None:
    points = torch.stack([EYE, EYE / 2, ORIGIN]).to(dtype).requires_grad_()
    normals = torch.stack([UP, UP, ORIGIN]).to(dtype).requires_grad_()
    lights = [Ambient(0.5), Point((0.0, 0.0, 2.0))]
    made = shade(points, normals, EYE.to(dtype), ALBEDO.to(dtype), material, lights, smooth, two_sided=True)
    assert made.dtype == dtype
    assert all(bool(s.isfinite().all()) for s in torch.autograd.grad(made.sum(), (points, normals)))
    if not smooth:
        torch.testing.assert_close(made[2], 0.5 * ALBEDO.to(dtype))  # the zero normal: ambient light alone


GOOD = {"points": ORIGIN, "normals": UP, "eye": EYE, "albedo": ALBEDO, "material": Lambert(), "lights": []}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"points": torch.tensor([0.0, math.nan, 0.0], dtype=D)}, DomainError),
        ({"normals": torch.zeros(4, dtype=D)}, ShapeError),
        ({"normals": torch.zeros(2, 3, dtype=D), "points": torch.zeros(5, 3, dtype=D)}, ShapeError),
        ({"albedo": torch.zeros(3, dtype=torch.int64)}, DTypeError),
        ({"albedo": [0.1, 0.2, 0.3]}, DTypeError),
        ({"eye": torch.zeros(2, 3, dtype=D)}, ShapeError),
        ({"eye": torch.zeros(2, 3, dtype=D), "points": torch.zeros(5, 4, 3, dtype=D)}, ShapeError),
        ({"eye": torch.zeros(0, 3, device="meta")}, DeviceError),
        ({"material": Lambert}, DTypeError),
        ({"material": "shiny"}, DTypeError),
        ({"lights": Ambient()}, DTypeError),
        ({"lights": ["lamp"]}, DTypeError),
        ({"sharpness": 0.0}, DomainError),
        ({"sharpness": math.nan}, DomainError),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, object], error: type[LabError]) -> None:
    with pytest.raises(error) as caught:
        shade(**{**GOOD, **changes})
    assert caught.value.argument.split(",")[0] in {*changes, "points"}
