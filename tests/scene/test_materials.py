"""Materials: values by hand, energy, reciprocity, derivatives of every order and at degenerate input, every error."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.errors import DomainError, DTypeError
from labkit.scene import BlinnPhong, CookTorrance, Lambert, Material, Phong
from tests.tolerances import FLOAT64

D = torch.float64
UP = torch.tensor([0.0, 0, 1], dtype=D)
WHITE = torch.ones(3, dtype=D)
ALBEDO = torch.tensor([0.8, 0.4, 0.1], dtype=D)
SHARP = 32.0
GUARD = 1e-7  # relative; the denominator of the microfacet term carries a guard of 1e-8
MATERIALS = [
    Lambert(),
    Phong(0.4, 7.5),
    BlinnPhong(0.4, 20.3),
    CookTorrance(0.4, 0.3),
    CookTorrance(1.0, 1.0),
]


def tilted(degrees: float, turn: float = 0.0) -> torch.Tensor:
    """The unit vector ``degrees`` away from +z, turned about it."""
    t, p = math.radians(degrees), math.radians(turn)
    return torch.tensor([math.sin(t) * math.cos(p), math.sin(t) * math.sin(p), math.cos(t)], dtype=D)


def name(material: Material) -> str:
    return type(material).__name__


def test_lambert_by_hand() -> None:
    torch.testing.assert_close(Lambert().reflect(UP, tilted(60), tilted(10), ALBEDO), ALBEDO / 2, **FLOAT64)
    assert Lambert().reflect(UP, tilted(120), tilted(10), ALBEDO).tolist() == [0, 0, 0]


def test_phong_by_hand() -> None:
    light, eye = tilted(30), tilted(15, 180)  # 15 degrees off the mirror direction
    expected = ALBEDO * math.cos(math.radians(30)) + 0.4 * math.cos(math.radians(15)) ** 5
    torch.testing.assert_close(Phong(0.4, 5.0).reflect(UP, light, eye, ALBEDO), expected, **FLOAT64)
    aside = Phong(0.4, 5.0).reflect(UP, tilted(80), tilted(80), ALBEDO)  # 160 degrees off: no highlight
    torch.testing.assert_close(aside, ALBEDO * math.cos(math.radians(80)), **FLOAT64)


def test_blinn_phong_by_hand() -> None:
    light, eye = tilted(50), tilted(20)  # the half vector is 35 degrees off the normal
    expected = ALBEDO * math.cos(math.radians(50)) + 0.4 * math.cos(math.radians(35)) ** 9
    torch.testing.assert_close(BlinnPhong(0.4, 9.0).reflect(UP, light, eye, ALBEDO), expected, **FLOAT64)


@pytest.mark.parametrize(
    ("material", "eye"),
    [(Phong(1.0, 2.0), tilted(80, 180)), (BlinnPhong(1.0, 0.5), tilted(60))],
    ids=["phong", "blinn"],
)
def test_light_from_behind_makes_no_highlight(material: Material, eye: torch.Tensor) -> None:
    assert material.reflect(UP, tilted(110), eye, ALBEDO).tolist() == [0, 0, 0]
    assert float(material.reflect(UP, tilted(110), eye, ALBEDO, 50.0).max()) < 1e-6
    assert float(material.reflect(UP, tilted(70), eye, 0 * ALBEDO).max()) > 0.5


def test_softplus_stays_one_far_from_zero() -> None:
    # torch's own softplus is linear here, with second derivative 0.
    scale = torch.tensor(0.9, dtype=D, requires_grad=True)
    value = Lambert().reflect(scale * UP, UP, UP, WHITE, SHARP)[0]
    (slope,) = torch.autograd.grad(value, scale, create_graph=True)
    (bend,) = torch.autograd.grad(slope, scale)
    assert float(bend) == pytest.approx(SHARP * math.exp(-SHARP * 0.9), rel=1e-2)  # 1 - sigmoid loses digits


def test_cook_torrance_by_hand() -> None:
    # Light, eye and normal in one line: D = 1 / (pi alpha^2), G = 1, F = F0.
    material = CookTorrance(0.5, 0.0, 0.04)
    expected = 1.05 * 0.96 * ALBEDO + 0.04 / (4 * 0.5**4)
    torch.testing.assert_close(material.reflect(UP, UP, UP, ALBEDO), expected, rtol=GUARD, atol=0)
    metal = CookTorrance(0.5, 1.0).reflect(UP, UP, UP, ALBEDO)
    torch.testing.assert_close(metal, ALBEDO / (4 * 0.5**4), rtol=GUARD, atol=0)


def test_cook_torrance_against_its_textbook_form() -> None:
    roughness, metallic, reflectance = 0.6, 0.25, 0.08
    light, eye = tilted(55, 20), tilted(40, 130)
    half = (light + eye) / (light + eye).norm()
    n_l, n_v, n_h, v_h = (float(a @ b) for a, b in ((UP, light), (UP, eye), (UP, half), (eye, half)))
    alpha = roughness**2
    d = alpha**2 / (math.pi * (n_h**2 * (alpha**2 - 1) + 1) ** 2)

    def lam(cosine: float) -> float:
        return (math.sqrt(1 + alpha**2 * (1 - cosine**2) / cosine**2) - 1) / 2

    g = 1 / (1 + lam(n_l) + lam(n_v))
    f0 = reflectance * (1 - metallic) + ALBEDO * metallic
    f = f0 + (1 - f0) * (1 - v_h) ** 5
    entering = 21 / 20 * (1 - reflectance) * (1 - (1 - n_l) ** 5) * (1 - (1 - n_v) ** 5)
    diffuse = entering * (1 - metallic) * ALBEDO
    expected = math.pi * n_l * (diffuse / math.pi + d * g * f / (4 * n_l * n_v))
    made = CookTorrance(roughness, metallic, reflectance).reflect(UP, light, eye, ALBEDO)
    torch.testing.assert_close(made, expected, rtol=GUARD, atol=0)


def hemisphere(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoint rule over the upper hemisphere: directions and solid angles."""
    theta = (torch.arange(count, dtype=D) + 0.5) * math.pi / 2 / count
    phi = (torch.arange(2 * count, dtype=D) + 0.5) * math.pi / count
    t, p = torch.meshgrid(theta, phi, indexing="ij")
    directions = torch.stack([t.sin() * p.cos(), t.sin() * p.sin(), t.cos()], -1).reshape(-1, 3)
    return directions, (t.sin() * (math.pi / 2 / count) * (math.pi / count)).reshape(-1, 1)


def furnace(material: Material, eye: torch.Tensor) -> float:
    """The fraction of uniform light from everywhere that a white surface sends to the eye."""
    directions, angles = hemisphere(300)
    return float((material.reflect(UP, directions, eye, WHITE) * angles).sum(0)[0] / math.pi)


@pytest.mark.parametrize("roughness", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("view", [0.0, 45.0, 80.0])
def test_cook_torrance_reflects_no_more_than_comes_in(roughness: float, metallic: float, view: float) -> None:
    reflected = furnace(CookTorrance(roughness, metallic), tilted(view))
    assert 0.3 < reflected < 1 + 1e-3  # at most 1.0005, for roughness 0.25 at 45 degrees


def test_a_white_mirror_like_metal_and_white_lambert_reflect_everything() -> None:
    # At roughness 0.25 single scattering loses less than 1 percent straight on.
    assert furnace(CookTorrance(0.25, 1.0), UP) == pytest.approx(1, abs=0.01)
    assert furnace(Lambert(), tilted(70)) == pytest.approx(1, abs=1e-4)


def test_ggx_distribution_covers_the_surface_once() -> None:
    # Integral of D n.h = 1, with D read off at normal incidence: reflect = pi n.l D V F, all known for F0 = 1.
    roughness, metal = 0.45, CookTorrance(0.45, 1.0)
    halves, angles = hemisphere(400)
    cosine = halves[:, 2:]
    lights = 2 * cosine * halves - UP  # the eye along the normal
    made = metal.reflect(UP, lights, UP.expand_as(lights), WHITE)[:, :1]
    n_l, alpha2 = lights[:, 2:], roughness**4
    seen = n_l > 1e-3  # halves further than 45 degrees mirror the eye below the surface
    v = 0.5 / (n_l + (alpha2 + (1 - alpha2) * n_l**2).sqrt())
    inside = torch.where(seen, made / (math.pi * n_l.clamp_min(1e-3) * v) * cosine * angles, 0.0).sum()
    within = 1 - alpha2 * 1.0 / (alpha2 + 1.0)  # share of GGX slopes with tan^2 < 1: 1 / (1 + alpha^2)
    assert float(inside) == pytest.approx(within, rel=5e-3)


@pytest.mark.parametrize("material", [Lambert(), CookTorrance(0.3, 0.4), CookTorrance(0.8, 0.0, 0.1)], ids=name)
def test_reciprocity(material: Material, generator: torch.Generator) -> None:
    light, eye = torch.nn.functional.normalize(torch.randn(2, 200, 3, dtype=D, generator=generator), dim=-1)
    light[:, 2], eye[:, 2] = light[:, 2].abs() + 0.05, eye[:, 2].abs() + 0.05
    light, eye = (torch.nn.functional.normalize(v, dim=-1) for v in (light, eye))
    there = material.reflect(UP, light, eye, ALBEDO) / light[:, 2:]
    back = material.reflect(UP, eye, light, ALBEDO) / eye[:, 2:]
    torch.testing.assert_close(there, back, **FLOAT64)


@pytest.mark.parametrize("material", [Phong(1.0, 3.0), BlinnPhong(1.0, 3.0)], ids=name)
def test_highlights_are_symmetric_in_light_and_eye(material: Material, generator: torch.Generator) -> None:
    light, eye = torch.nn.functional.normalize(torch.rand(2, 50, 3, dtype=D, generator=generator), dim=-1)
    black = torch.zeros(3, dtype=D)
    there, back = material.reflect(UP, light, eye, black), material.reflect(UP, eye, light, black)
    torch.testing.assert_close(there, back, **FLOAT64)
    assert float(there.max()) > 0.1


def test_parameters_may_be_maps() -> None:
    normals = UP.expand(2, 4, 3)
    roughness = torch.linspace(0.2, 1, 8, dtype=D).reshape(2, 4, 1)
    made = CookTorrance(roughness, 0.5).reflect(normals, tilted(20), tilted(30), ALBEDO)
    one = CookTorrance(roughness[1, 2, 0], 0.5).reflect(UP, tilted(20), tilted(30), ALBEDO)
    torch.testing.assert_close(made[1, 2], one, **FLOAT64)
    coloured = Phong(torch.tensor([0.1, 0.2, 0.3], dtype=D), 4.0).reflect(UP, UP, UP, torch.zeros(3, dtype=D))
    torch.testing.assert_close(coloured, torch.tensor([0.1, 0.2, 0.3], dtype=D), **FLOAT64)


VECTORS = (tilted(10, 50), tilted(40, 20), tilted(35, 190))


def parametrised(kind: str):
    """A material of the kind as a function of its parameters, and values for these."""
    makers = {
        "lambert": (lambda: Lambert(), ()),
        "phong": (Phong, (0.4, 7.5)),
        "blinn": (BlinnPhong, (0.4, 20.3)),
        "cook": (CookTorrance, (0.4, 0.3, 0.06)),
    }
    make, values = makers[kind]
    return make, [torch.tensor(v, dtype=D, requires_grad=True) for v in values]


@pytest.mark.parametrize("kind", ["lambert", "phong", "blinn", "cook"])
@pytest.mark.parametrize("sharpness", [None, SHARP])
def test_derivatives_in_every_argument_and_parameter(kind: str, sharpness: float | None) -> None:
    make, parameters = parametrised(kind)

    def reflect(normal, light, eye, albedo, *values):
        return make(*values).reflect(normal, light, eye, albedo, sharpness)

    inputs = [v.clone().requires_grad_() for v in (*VECTORS, ALBEDO)] + parameters
    assert torch.autograd.gradcheck(reflect, inputs)
    if sharpness is not None:
        assert torch.autograd.gradgradcheck(reflect, inputs)


@pytest.mark.parametrize("material", MATERIALS, ids=name)
def test_the_smooth_form_tends_to_the_usual_one(material: Material) -> None:
    lights = torch.stack([tilted(t) for t in (-80, -30, 20, 60, 110, 150)])
    usual = material.reflect(UP, lights, tilted(25), ALBEDO)
    gaps = [
        float((material.reflect(UP, lights, tilted(25), ALBEDO, s) - usual).abs().max()) for s in (8.0, 64.0, 512.0)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[0] > 1e-3
    assert gaps[2] < 1e-6


def derivatives(material: Material, angles: torch.Tensor, sharpness: float | None, order: int) -> list[torch.Tensor]:
    """The first ``order`` derivatives of the green channel by the angle of the light, in radians."""
    angles = angles.clone().requires_grad_()
    light = torch.stack([angles.sin(), torch.zeros_like(angles), angles.cos()], -1)
    value = material.reflect(UP, light, tilted(20, 180), ALBEDO, sharpness)[:, 1]
    found = []
    for _ in range(order):
        (value,) = torch.autograd.grad(value.sum(), angles, create_graph=True)
        found.append(value.detach())
    return found


@pytest.mark.parametrize("material", MATERIALS, ids=name)
def test_third_derivatives_are_continuous_where_the_light_sets(material: Material) -> None:
    step = 1e-6
    horizon = math.pi / 2 + torch.tensor([-step, step], dtype=D)
    for found in derivatives(material, horizon, 8.0, 4)[:3]:
        assert abs(float(found[1] - found[0])) < 1e-3 * (1 + float(found.abs().max()))
    fourth = derivatives(material, horizon, 8.0, 4)[3]
    third = derivatives(material, horizon, 8.0, 3)[2]
    torch.testing.assert_close((third[1] - third[0]) / (2 * step), fourth.mean(), rtol=1e-3, atol=1e-2)
    (slope,) = derivatives(material, horizon, None, 1)
    assert abs(float(slope[1] - slope[0])) > 0.05


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("sharpness", [None, SHARP, 1000.0])
@pytest.mark.parametrize(
    "material",
    [*MATERIALS, Phong(0.4, 0.01), BlinnPhong(0.4, 0.3), BlinnPhong(0.4, 1000.0), CookTorrance(0.03, 1.0)],
    ids=name,
)
def test_values_and_slopes_are_finite_at_degenerate_input(
    material: Material, sharpness: float | None, dtype: torch.dtype
) -> None:
    special = torch.stack(
        [UP, -UP, tilted(90), tilted(90, 180), tilted(45), tilted(90 + 1e-9), torch.zeros(3, dtype=D)]
    )
    count = len(special)
    normal, light, eye = (
        v.reshape(-1, 3).to(dtype).requires_grad_()
        for v in (
            special[:, None, None].expand(count, count, count, 3).clone(),
            special[None, :, None].expand(count, count, count, 3).clone(),
            special[None, None].expand(count, count, count, 3).clone(),
        )
    )
    made = material.reflect(normal, light, eye, ALBEDO.to(dtype), sharpness)
    assert bool(made.isfinite().all())
    assert bool((made >= 0).all())
    inputs = (normal, light) if isinstance(material, Lambert) else (normal, light, eye)
    slopes = torch.autograd.grad(made.sum(), inputs, create_graph=sharpness is not None)
    assert all(bool(slope.isfinite().all()) for slope in slopes)
    if sharpness is not None:
        total = sum(slope.sum() for slope in slopes)
        assert all(bool(s.isfinite().all()) for s in torch.autograd.grad(total, inputs))


@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_a_narrow_highlight_keeps_its_height_in_float32(dtype: torch.dtype) -> None:
    # Half a degree off the mirror direction at roughness 0.1, where 1 - (n.h)^2 is 2e-5.
    light, eye = tilted(30).to(dtype), tilted(30.5, 180).to(dtype)
    made = CookTorrance(0.1, 1.0).reflect(UP.to(dtype), light, eye, WHITE.to(dtype))[0]
    exact = CookTorrance(0.1, 1.0).reflect(UP, tilted(30), tilted(30.5, 180), WHITE)[0]
    # float32 directions themselves are only good to 6e-8 in 4e-3.
    assert float(made) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CookTorrance, {"roughness": 0.0}),
        (CookTorrance, {"roughness": 1.01}),
        (CookTorrance, {"roughness": torch.tensor([0.5, -0.5])}),
        (CookTorrance, {"metallic": -0.01}),
        (CookTorrance, {"metallic": 1.01}),
        (CookTorrance, {"reflectance": math.nan}),
        (Phong, {"shininess": 0.0}),
        (Phong, {"shininess": math.inf}),
        (Phong, {"specular": -0.1}),
        (BlinnPhong, {"shininess": torch.tensor(-1.0)}),
        (BlinnPhong, {"specular": torch.tensor([0.1, 0.2, math.nan])}),
    ],
)
def test_parameters_out_of_range_are_refused(kind, fields: dict[str, object]) -> None:
    with pytest.raises(DomainError) as caught:
        kind(**fields)
    assert caught.value.argument == next(iter(fields))


def test_parameters_of_the_wrong_type_are_refused() -> None:
    for value in ("rough", True, torch.tensor(1)):
        with pytest.raises(DTypeError, match="roughness"):
            CookTorrance(value)
