"""Pictures of the BRDF laboratory: the same as the renderer's, with derivatives checked in two other ways."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

pytest.importorskip("ipywidgets")

from labkit.errors import DomainError
from labkit.geometry import Mesh
from labkit.lab.brdf_model import MATERIALS, PARAMETERS, material, parameters_of
from labkit.lab.brdf_scene import Seen, lamps_of, look
from labkit.lab.brdf_state import HARMONICS, BrdfState
from labkit.lab.explorer_mesh import subject
from labkit.lab.explorer_render import FOV
from labkit.lab.orbit import Orbit
from labkit.render import Hard, render
from labkit.scene import Ambient, Camera, Directional, Point, SphericalHarmonics
from tests.tolerances import FLOAT32, FLOAT64

PLACE = (25.0, 40.0, 3.0)
ALL_LIGHTS = BrdfState(directional=0.7, point=2.0, ambient=0.2, harmonics=0.5)


@pytest.fixture(scope="module")
def seen() -> Seen:
    return look(subject("torus").mesh, Orbit.around(*PLACE), 40)


@pytest.mark.parametrize("kind", MATERIALS)
def test_a_picture_is_that_of_the_renderer(kind: str, seen: Seen) -> None:
    state = BrdfState(material=kind)
    lamps = lamps_of(ALL_LIGHTS)
    camera = Camera.orbit(*PLACE, fov=FOV)
    background = torch.tensor([0.1, 0.2, 0.3])
    made = material(kind, state.values)
    mesh = subject("torus").mesh
    wanted = render(mesh, camera, (40, 40), Hard(), made, lamps, background, "phong").color[0]
    got = seen.picture(seen.light(kind, state.values, lamps), background.tolist())
    torch.testing.assert_close(got, wanted, **FLOAT32)


def test_diffuse_is_a_factor_of_the_colour(seen: Seen) -> None:
    lamps, values = lamps_of(ALL_LIGHTS), BrdfState().values
    half = seen.light("Lambert", {**values, "diffuse": 0.5}, lamps)
    torch.testing.assert_close(half, 0.5 * seen.light("Lambert", {**values, "diffuse": 1.0}, lamps))
    own = seen.light("Lambert", values, lamps, albedo=0.25 * seen.albedo)
    torch.testing.assert_close(2 * own, half)


def test_lights_are_those_of_the_state() -> None:
    assert lamps_of(BrdfState(directional=0.0, ambient=0.0)) == []
    sun, bulb, ambient, sky = lamps_of(ALL_LIGHTS)
    assert isinstance(sun, Directional)
    assert isinstance(bulb, Point)
    assert isinstance(ambient, Ambient)
    assert isinstance(sky, SphericalHarmonics)
    assert torch.as_tensor(bulb.color).tolist() == pytest.approx([2.0, 2.0 * 0xD9 / 255, 2.0 * 0xA0 / 255])
    assert torch.as_tensor(bulb.position).norm().item() == pytest.approx(ALL_LIGHTS.point_distance)
    assert sky.coefficients.tolist() == pytest.approx([0.5 * getattr(ALL_LIGHTS, name) for name in HARMONICS])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in MATERIALS for name in parameters_of(kind)])
def test_a_derivative_is_that_of_differences_and_of_the_forward_mode(kind: str, name: str, seen: Seen) -> None:
    exact = Seen(seen.mask, *(t.double() for t in (seen.points, seen.normals, seen.albedo, seen.eye)))
    values = {**BrdfState().values, "metallic": 0.3}
    values[name] = 0.5 if PARAMETERS[name].high == 1 else 20.0
    lamps = lamps_of(ALL_LIGHTS)

    def light(number: float | Tensor) -> Tensor:
        return exact.light(kind, {**values, name: number}, lamps).mean(-1, keepdim=True)

    slope = exact.derivative(kind, values, lamps, name)
    step = 1e-5 * values[name]
    apart = (light(values[name] + step) - light(values[name] - step)) / (2 * step)
    torch.testing.assert_close(slope, apart, rtol=1e-5, atol=1e-8)  # what central differences leave
    with forward_ad.dual_level():
        number = torch.tensor(values[name], dtype=torch.float64)
        forward = forward_ad.unpack_dual(light(forward_ad.make_dual(number, torch.ones_like(number)))).tangent
    torch.testing.assert_close(slope, forward, **FLOAT64)


def test_a_number_that_does_not_matter_has_derivative_zero(seen: Seen) -> None:
    lamps, values = lamps_of(BrdfState()), {**BrdfState().values, "metallic": 1.0}
    assert not seen.derivative("Lambert", values, lamps, "roughness").any()
    assert not seen.derivative("Cook-Torrance", values, lamps, "reflectance").any()
    assert not seen.derivative("Phong", values, [], "shininess").any()
    assert seen.derivative("Cook-Torrance", values, lamps, "roughness").any()


def test_a_mesh_out_of_the_picture_is_told() -> None:
    far = subject("torus").mesh.vertices + torch.tensor([50.0, 0.0, 0.0])
    with pytest.raises(DomainError, match="in the picture"):
        look(Mesh(far, subject("torus").mesh.faces), Orbit.around(*PLACE), 32)


def test_a_colour_must_be_one() -> None:
    assert BrdfState(point_color="#ff8000").rgb("point_color") == pytest.approx((1.0, 128 / 255, 0.0))
    with pytest.raises(DomainError, match="point_color"):
        BrdfState(point_color="orange")
