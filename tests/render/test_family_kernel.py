"""The streaming kernel of the distance family in float32 against the dense reference in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from render.family_scenes import LEAVES, Case, Model, cases, small_case
from render.scenes import mismatch, wide
from tolerances import KERNEL_IMAGE_ATOL

import labkit
from labkit.render.raster import rasterize
from labkit.render.raster.dibr import DIBR
from labkit.render.raster.distributions import DISTRIBUTIONS
from labkit.render.raster.gendr import GenDR
from labkit.render.raster.softras import SoftRas
from labkit.render.raster.t_conorms import T_CONORMS
from labkit.render.scene import triangulate

pytest.importorskip("numba")

MODELS: dict[str, Model] = {
    "SoftRas": SoftRas(3e-3, 1e-2),
    "SoftRas official": SoftRas(3e-3, 1e-3, compat="official"),
    "SoftRas barycentric sum": SoftRas(1e-2, 1e-2, "barycentric", alpha="sum"),
    "SoftRas hard colour": SoftRas(3e-3, color="hard"),
    "SoftRas hard alpha": SoftRas(3e-3, 1e-2, alpha="hard"),
    "SoftRas hard distance": SoftRas(3e-3, 1e-2, "hard"),
    "GenDR": GenDR("uniform", 0.1, gamma=1e-2),
    "GenDR Cauchy": GenDR("cauchy", 0.03, t_conorm="yager", p=2.0, cutoff=0.0, gamma=1e-2),
    "GenDR Levy": GenDR("levy_rev", 1e-3, squared=True, t_conorm="max", cutoff=0.0, gamma=1e-2),
    "DIB-R": DIBR(3e-3),
    "DIB-R official": DIBR(3e-3, "official"),
}


def compare(case: Case, cotangents: int = 3) -> float:
    """Assert that kernel and reference agree on picture and gradients; return the largest alpha."""
    images, found = case.gradients("kernel", torch.float32, cotangents)
    wanted_images, wanted = case.gradients("reference", torch.float64, cotangents)
    for name, image, expected in zip(("color", "alpha"), images, wanted_images, strict=True):
        assert image.isfinite().all(), name
        assert float((image - expected).abs().max()) < KERNEL_IMAGE_ATOL, name
    if case.hard_color:  # interpolated in float32, which slivers blow up
        for gradient in (found["xy"], wanted["xy"]):
            assert gradient.isfinite().all()
            gradient[:, ~wide(case)] = 0
    for name in LEAVES:
        assert not (wrong := mismatch(found[name], wanted[name], case.floor())), f"{name}: {wrong}"
    return float(wanted_images[1].max())


def test_kernel_agrees_with_the_reference_on_random_scenes() -> None:
    seen = []

    @settings(max_examples=220, suppress_health_check=[HealthCheck.too_slow])
    @given(cases())
    def check(case: Case) -> None:
        note(str(case.model))
        seen.append(compare(case) > 0.05)

    check()
    assert len(seen) >= 200
    assert sum(seen) > 0.8 * len(seen)  # not a test of empty pictures


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_distribution(distribution: str, squared: bool) -> None:
    model = GenDR(distribution, 0.01 if squared else 0.1, squared, gamma=1e-2)
    compare(small_case(model, 1, size=(8, 11)))


@pytest.mark.parametrize(
    ("conorm", "p"), [(n, p) for n in T_CONORMS for p in (0.0, 0.5, 2.0, 20.0, -0.5, -20.0) if T_CONORMS[n].allows(p)]
)
def test_every_t_conorm(conorm: str, p: float) -> None:
    """Also deep inside, where 1 - D is nothing."""
    for tau in (0.2, 1e-3):
        assert compare(small_case(GenDR("logistic", tau, t_conorm=conorm, p=p, gamma=1e-2), 2, size=(8, 11))) > 0.7


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_no_face_on_the_screen(model: Model) -> None:
    """None at all, behind the eye, far outside, without area: the background, and gradients of the right shape."""
    faces = {
        "none": torch.zeros(2, 0, 3, 3),
        "behind": torch.tensor([[-1.0, -1, -2], [1, -1, -2], [0, 1, 3]]).expand(2, 1, 3, 3),
        "outside": torch.tensor([[1e4, 1e4, 2.0], [1.1e4, 1e4, 2], [1e4, 1.1e4, 2]]).expand(2, 1, 3, 3),
        "a point": torch.tensor([[0.013, 0.017, 2.0]] * 3).expand(2, 1, 3, 3),
    }
    for name, triangles in faces.items():
        if name in ("a point", "outside") and isinstance(model, GenDR) and model.cutoff == 0:
            continue  # soft dots, and tails without end
        case = Case(model, triangles, torch.rand(*triangles.shape[:3], 2), torch.rand(2), (10, 7))
        images, found = case.gradients("kernel", torch.float32)
        wanted, gradients = case.gradients("reference", torch.float64)
        for key in LEAVES:
            assert found[key].shape == gradients[key].shape
            assert found[key].isfinite().all()
        if name != "a point":
            assert float((images[0] - case.background.double()[:, None, None]).abs().max()) < 1e-6
            assert float(images[1].abs().max()) < 1e-6
        for image, expected in zip(images, wanted, strict=True):
            torch.testing.assert_close(image, expected, rtol=0, atol=KERNEL_IMAGE_ATOL)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("GenDR Cauchy", "GenDR Levy")])
def test_a_face_out_of_reach_changes_nothing(name: str) -> None:
    """The two left out have tails without an end."""
    model = MODELS[name]
    case = small_case(model, 3)
    far = case.triangles[:, :1] + torch.tensor([30.0, 0, 0])
    more = replace(
        case,
        triangles=torch.cat((far, case.triangles), 1),
        attributes=torch.cat((case.attributes[:, :1], case.attributes), 1),
    )
    before, without = case.gradients("kernel", torch.float32)
    after, along = more.gradients("kernel", torch.float32)
    if isinstance(model, SoftRas) and model.alpha == "sum":  # a mean over all faces
        after[1] = after[1] * (6 + 1) / 6
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    assert not along["xy"][:, :, 0].any()
    if not (isinstance(model, SoftRas) and model.alpha == "sum"):
        torch.testing.assert_close(along["xy"][:, :, 1:], without["xy"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SoftRas", "SoftRas hard colour", "SoftRas hard distance", "GenDR", "DIB-R"])
def test_second_derivatives_go_through_the_reference(name: str) -> None:
    case = small_case(MODELS[name], 4, faces=3, size=(5, 6))
    results = []
    for backend, dtype in (("kernel", torch.float32), ("reference", torch.float64)):
        leaves = case.leaves(dtype)
        color, alpha = case.draw(leaves, backend)
        loss = color.square().sum() + alpha.square().sum()
        first = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        again = sum(gradient.double().square().sum() for gradient in first)
        second = torch.autograd.grad(again, leaves, allow_unused=True, materialize_grads=True)
        results.append([gradient.double() for gradient in second])
    assert float(results[1][0].norm()) > 1e-3
    for leaf, found, expected in zip(LEAVES, *results, strict=True):
        assert not (wrong := mismatch(found, expected, 1e-5 * float(results[1][0].norm()))), f"{leaf}: {wrong}"


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_pixels_exactly_on_corners_and_edges(model: Model) -> None:
    """A fan of faces whose corners and edges lie on pixel centres, some shared by several faces."""
    grid = [(x / 3, y / 3) for x, y in ((-2, -2), (2, -2), (2, 2), (-2, 2), (0, 0))]
    corners = [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]
    xy = torch.tensor([[grid[i] for i in face] for face in corners])[None]  # (1, 4, 3, 2)
    depth = torch.tensor([[[2.0, 2, 2], [2, 2, 2], [2, 2, 2], [3, 3, 3]]])
    # the centres of 3 x 3 and 9 x 9 pixels lie at even ninths, those of 6 x 6 beside all edges but the diagonals
    generator = torch.Generator().manual_seed(0)
    attributes = torch.rand(1, 4, 3, 2, generator=generator)
    for size in ((3, 3), (9, 9), (6, 6)):
        case = Case(model, torch.cat((xy, depth[..., None]), -1), attributes, torch.rand(2, generator=generator), size)
        compare(case)


@pytest.mark.parametrize("name", ["SoftRas", "GenDR", "DIB-R"])
def test_a_real_mesh(shared_mesh: Callable[[str], Path], name: str) -> None:
    mesh = labkit.load_mesh(shared_mesh("spot_triangulated.obj"))
    camera = labkit.Camera.orbit(30.0, 20.0, 3.0)
    model, size = MODELS[name], (48, 48)
    scene = triangulate(mesh, camera, size)
    triangles, attributes = scene.triangles[:, ::8].detach(), scene.attributes[:, ::8, :, :3].detach()  # 732 faces
    assert compare(Case(model, triangles, attributes, torch.zeros(3), size), cotangents=1) > 0.99


def test_no_images() -> None:
    triangles = torch.zeros(0, 4, 3, 3, requires_grad=True)
    color, alpha = rasterize(triangles, torch.zeros(0, 4, 3, 2), (5, 6), SoftRas(), backend="kernel")
    assert (tuple(color.shape), tuple(alpha.shape)) == ((0, 2, 5, 6), (0, 1, 5, 6))
    assert torch.autograd.grad(color.sum() + alpha.sum(), triangles)[0].shape == triangles.shape


def test_the_threads_do_not_change_the_picture() -> None:
    case = small_case(SoftRas(3e-3, 1e-2), 6, faces=20, size=(70, 50))
    before = torch.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(case.gradients("kernel", torch.float32))
    finally:
        torch.set_num_threads(before)
    (alone, slopes), (together, others) = results
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)
    for name in LEAVES:
        assert not mismatch(others[name], slopes[name], 1e-6)
