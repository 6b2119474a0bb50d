"""Materials by name, and their lobes: energy by closed forms, directions, and the mesh of a lobe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")

from labkit.errors import DomainError
from labkit.lab import brdf_plots as plots
from labkit.lab.brdf_model import MATERIALS, PARAMETERS, fraction, incoming, lobe, material, parameters_of, slice_of
from labkit.scene import BlinnPhong, CookTorrance, Lambert, Phong

DEFAULTS = {name: parameter.default for name, parameter in PARAMETERS.items()}
FINE = {"rings": 400, "spokes": 256}  # leaves 1e-4 of error in the sums below
ENERGY = {"rel": 1e-3}  # of the midpoint rule


def test_every_material_has_its_numbers() -> None:
    assert parameters_of("Lambert") == ("diffuse",)
    assert parameters_of("Phong") == parameters_of("Blinn-Phong") == ("diffuse", "specular", "shininess")
    assert parameters_of("Cook-Torrance") == ("diffuse", "roughness", "metallic", "reflectance")
    kinds = {"Lambert": Lambert, "Phong": Phong, "Blinn-Phong": BlinnPhong, "Cook-Torrance": CookTorrance}
    for kind in MATERIALS:
        assert type(material(kind, DEFAULTS)) is kinds[kind]
    found = material("Cook-Torrance", {**DEFAULTS, "roughness": 0.7, "metallic": 0.2, "reflectance": 0.1})
    assert isinstance(found, CookTorrance)
    assert (found.roughness, found.metallic, found.reflectance) == (0.7, 0.2, 0.1)
    with pytest.raises(DomainError, match="roughness"):
        material("Cook-Torrance", {**DEFAULTS, "roughness": 0.0})


@pytest.mark.parametrize("degrees", [0.0, 45.0, 80.0])
def test_lambert_sends_back_its_colour(degrees: float) -> None:
    found = lobe("Lambert", {**DEFAULTS, "diffuse": 0.6}, degrees, **FINE)
    assert found.reflected == pytest.approx(0.6, **ENERGY)
    above = found.fraction[found.directions[..., 1] > 0]
    torch.testing.assert_close(above, torch.full_like(above, 0.6 * math.cos(math.radians(degrees))))


@pytest.mark.parametrize("shininess", [1.0, 10.0, 1000.0])
def test_phong_head_on_sends_out_the_closed_form(shininess: float) -> None:
    """The integral of cos^(n + 1) over the hemisphere, over pi, is 2 / (n + 2)."""
    values = {"diffuse": 0.5, "specular": 0.8, "shininess": shininess}
    assert lobe("Phong", values, 0.0, **FINE).reflected == pytest.approx(0.5 + 1.6 / (shininess + 2), **ENERGY)


@pytest.mark.parametrize("degrees", [0.0, 60.0])
@pytest.mark.parametrize("roughness", [0.05, 0.3])
def test_a_sharp_microfacet_lobe_is_resolved(roughness: float, degrees: float) -> None:
    """A perfect mirror's facets lose only what shadowing takes, which for small roughness is next to nothing."""
    values = {**DEFAULTS, "diffuse": 0.0, "roughness": roughness, "reflectance": 1.0}
    share = lobe("Cook-Torrance", values, degrees, **FINE).reflected
    assert 0.97 < share < 1.001
    assert lobe("Cook-Torrance", values, degrees).reflected == pytest.approx(share, rel=0.02)  # the panel's own grid


def test_directions_are_unit_and_above_the_horizon() -> None:
    found = lobe("Phong", DEFAULTS, 70.0)
    length = torch.linalg.vector_norm(found.directions, dim=-1)
    torch.testing.assert_close(length, torch.ones_like(length))
    assert float(found.directions[..., 1].min()) == 0.0
    strongest = found.directions.reshape(-1, 3)[found.fraction.argmax()]
    mirror = incoming(70.0) * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert float(strongest @ mirror) > math.cos(math.radians(1))


def test_the_mesh_of_a_lobe_is_its_fraction() -> None:
    found = lobe("Phong", DEFAULTS, 30.0, rings=12, spokes=16)
    vertices, faces, height = found.triangles(2.0)
    assert vertices.shape == (192, 3)
    assert faces.shape == (2 * 11 * 16, 3)
    torch.testing.assert_close(2 * torch.linalg.vector_norm(vertices, dim=-1), found.fraction.reshape(-1))
    torch.testing.assert_close(2 * height, found.fraction.reshape(-1))
    assert sorted(set(faces.reshape(-1).tolist())) == list(range(192))
    rooted, _, _ = found.triangles(2.0, rooted=True)
    torch.testing.assert_close(2 * torch.linalg.vector_norm(rooted, dim=-1) ** 3, found.fraction.reshape(-1))


def test_the_slice_is_a_cut_of_the_lobe() -> None:
    angles, values = slice_of("Blinn-Phong", DEFAULTS, 40.0)
    assert angles[values.argmax()] == pytest.approx(40.0, abs=1.0)
    at = math.radians(angles[500])
    to_eye = torch.tensor([math.sin(at), math.cos(at), 0.0], dtype=torch.float64)
    assert fraction("Blinn-Phong", DEFAULTS, 40.0, to_eye).item() == pytest.approx(values[500])
    _, lambert = slice_of("Lambert", DEFAULTS, 60.0)
    np.testing.assert_allclose(lambert, 0.5)


def test_a_fraction_has_derivatives(generator: torch.Generator) -> None:
    to_eye = torch.tensor([[0.3, 0.9, 0.1], [0.7, 0.7, 0.0]], dtype=torch.float64)
    to_eye = to_eye / torch.linalg.vector_norm(to_eye, dim=-1, keepdim=True)
    numbers = 0.2 + 0.5 * torch.rand(4, generator=generator, dtype=torch.float64)
    names = parameters_of("Cook-Torrance")

    def light(*values: torch.Tensor) -> torch.Tensor:
        return fraction("Cook-Torrance", dict(zip(names, values, strict=True)), 35.0, to_eye)

    assert torch.autograd.gradcheck(light, tuple(numbers.requires_grad_().unbind()))


def test_plots_are_png_and_differ() -> None:
    slices = {kind: slice_of(kind, DEFAULTS, 45.0) for kind in MATERIALS}
    drawn = [
        plots.polar(slices, 45.0, (400, 240)),
        plots.polar({"Phong": slices["Phong"]}, 45.0, (400, 240)),
        plots.polar({"Phong": slices["Phong"]}, 45.0, (400, 240), rooted=True),
        plots.polar({"nothing": (slices["Phong"][0], np.zeros(721))}, 45.0, (400, 240)),
        plots.loss_curve({"pictures": []}, "error", (300, 200)),
        plots.loss_curve({"one": [1.0, 0.1], "two": [0.5, 0.0]}, "error", (300, 200)),
        plots.trajectories(["shininess"], {"shininess": [5.0, 9.0]}, {"shininess": 8.0}, 10, (300, 200)),
        plots.profile([1.0, 10.0], {"1 light": [0.1, 0.2]}, 5.0, "shininess", (400, 200)),
    ]
    assert all(data.startswith(b"\x89PNG") for data in drawn)
    assert len(set(drawn)) == len(drawn)
