"""SoftRas, GenDR and DIB-R in closed form on one triangle and one pixel; their laws, limits and derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from render.family_scenes import Case, Model, small_case
from tolerances import FLOAT64
from torch import Tensor

from labkit.render.raster import Hard, rasterize
from labkit.render.raster.dibr import DIBR
from labkit.render.raster.distances import signed_distance
from labkit.render.raster.distributions import DISTRIBUTIONS
from labkit.render.raster.gendr import GenDR
from labkit.render.raster.pixels import pixel_centers
from labkit.render.raster.softras import SoftRas

# Three faces around a picture of one pixel, whose centre is the origin. The distance d of the pixel:
INSIDE = [(-0.3, -1.0), (-0.3, 1.0), (2.0, 0.0)]  # 0.3 inside the edge x = -0.3; the other two are 0.797 away
BESIDE = [(0.3, -1.0), (0.3, 1.0), (2.6, 0.0)]  # 0.3 outside the edge x = 0.3
BEYOND = [(0.3, 0.4), (2.0, 0.5), (1.0, 2.0)]  # 0.5 beyond the corner (0.3, 0.4); both its edges lead away
DISTANCES = [(INSIDE, 0.3), (BESIDE, -0.3), (BEYOND, -0.5)]


def faces(*corners: list[tuple[float, float]], depths: tuple[float, ...] = (90.0,) * 3) -> Tensor:
    """(1, F, 3, 3) in float64, all with the same depths at their corners."""
    rows = [[(*xy, z) for xy, z in zip(face, depths, strict=True)] for face in corners]
    return torch.tensor([rows], dtype=torch.float64)


def pixel(
    model: Model | Hard, triangles: Tensor, values: Tensor | None = None, background: float = 0.0, **options: bool
) -> tuple[float, float]:
    """Colour and alpha of a picture of one pixel."""
    attributes = torch.ones_like(triangles[..., :1]) if values is None else values
    behind = torch.tensor([background], dtype=torch.float64)
    color, alpha = rasterize(triangles, attributes, (1, 1), model, behind, **options)
    return float(color), float(alpha)


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(("face", "d"), DISTANCES)
def test_softras_alpha(face: list[tuple[float, float]], d: float) -> None:
    """One face: 1 - (1 - D) = D = sigmoid(sign d^2 / sigma). Two: 1 - (1 - D)^2. "sum" is their mean."""
    coverage = sigmoid(d * abs(d) / 0.05)
    assert pixel(SoftRas(0.05), faces(face))[1] == pytest.approx(coverage, rel=1e-12)
    assert pixel(SoftRas(0.05), faces(face, face))[1] == pytest.approx(1 - (1 - coverage) ** 2, rel=1e-12)
    mean = (coverage + sigmoid(0.09 / 0.05)) / 2
    assert pixel(SoftRas(0.05, alpha="sum"), faces(face, INSIDE))[1] == pytest.approx(mean, rel=1e-12)
    assert pixel(SoftRas(0.05, alpha="hard"), faces(face))[1] == float(d > 0)
    assert pixel(SoftRas(0.05, distance="hard"), faces(face))[1] == float(d > 0)


def test_softras_barycentric_distance() -> None:
    """INSIDE: 0 = -0.3 (1 - w) + 2 w gives w = 0.3 / 2.3 for the tip, the smallest of the three coordinates."""
    assert pixel(SoftRas(0.05, distance="barycentric"), faces(INSIDE))[1] == pytest.approx(
        sigmoid((0.3 / 2.3) ** 2 / 0.05), rel=1e-12
    )
    # BESIDE: 0 = 0.3 (1 - w) + 2.6 w gives w = -0.3 / 2.3
    assert pixel(SoftRas(0.05, distance="barycentric"), faces(BESIDE))[1] == pytest.approx(
        sigmoid(-((0.3 / 2.3) ** 2) / 0.05), rel=1e-12
    )


def test_softras_cutoff() -> None:
    """D falls to the cutoff 1e-4 where d^2 = sigma ln(1 / 1e-4 - 1) = 9.2102 sigma, and from there to 0."""
    edge = 0.09 / math.log(1 / 1e-4 - 1)
    color, alpha = pixel(SoftRas(edge * 1.001), faces(BESIDE))
    assert alpha == pytest.approx(1e-4, rel=1e-2)
    assert color > 1e-4
    assert pixel(SoftRas(edge * 0.999), faces(BESIDE)) == (0, 0)
    assert pixel(SoftRas(edge * 0.999, cutoff=0.0), faces(BESIDE))[1] == pytest.approx(1e-4, rel=1e-2)


@pytest.mark.parametrize(("face", "d"), DISTANCES)
def test_softras_color(face: list[tuple[float, float]], d: float) -> None:
    """Softmax of the face's D exp(c / gamma), c = (100 - 90) / 99, and the background's exp(1e-3 / gamma)."""
    model = SoftRas(0.05, 0.1)
    front, behind = sigmoid(d * abs(d) / 0.05) * math.exp(10 / 99 / 0.1), math.exp(1e-3 / 0.1)
    expected = (front * 0.7 + behind * 0.2) / (front + behind)
    values = torch.full((1, 1, 3, 1), 0.7, dtype=torch.float64)
    assert pixel(model, faces(face), values, 0.2)[0] == pytest.approx(expected, rel=1e-9)


def test_softras_two_faces_in_depth() -> None:
    """D1 exp(c1 / gamma) against D2 exp(c2 / gamma) and the background."""
    triangles = torch.cat((faces(INSIDE, depths=(90.0,) * 3), faces(BESIDE, depths=(80.0,) * 3)), dim=1)
    values = torch.tensor([0.1, 0.9], dtype=torch.float64)[None, :, None, None].expand(1, 2, 3, 1)
    weights = [sigmoid(1.8) * math.exp(10 / 9.9), sigmoid(-1.8) * math.exp(20 / 9.9), math.exp(0.01)]
    expected = (weights[0] * 0.1 + weights[1] * 0.9 + weights[2] * 0.5) / sum(weights)
    assert pixel(SoftRas(0.05, 0.1), triangles, values, 0.5)[0] == pytest.approx(expected, rel=1e-9)


def test_softras_interpolates_in_perspective() -> None:
    """INSIDE: the pixel's affine weights are b = (1, 1, 0.3) / 2.3; with depths 1, 2, 4 they become
    b / z over their sum: (1, 0.5, 0.075) / 1.575, and the depth 1 / sum(b / z) = 2.3 / 1.575."""
    triangles = faces(INSIDE, depths=(1.0, 2.0, 4.0))
    values = torch.tensor([[[[0.1], [0.6], [0.9]]]], dtype=torch.float64)
    for perspective, weights, depth in (
        (True, [1 / 1.575, 0.5 / 1.575, 0.075 / 1.575], 2.3 / 1.575),
        (False, [1 / 2.3, 1 / 2.3, 0.3 / 2.3], (1 + 2 + 1.2) / 2.3),
    ):
        own = sum(w * u for w, u in zip(weights, (0.1, 0.6, 0.9), strict=True))
        front, behind = sigmoid(0.09 / 0.05) * math.exp((100 - depth) / 99 / 0.5), math.exp(1e-3 / 0.5)
        color, _ = pixel(SoftRas(0.05, 0.5), triangles, values, 0.3, perspective=perspective)
        assert color == pytest.approx((front * own + behind * 0.3) / (front + behind), rel=1e-9)


def test_softras_official_doubles_the_background() -> None:
    """Known numbers: D = 1/2 (a pixel on the edge), c = 2e-3, gamma = 1e-3. The background's share is
    e^1 / (e^1 + e^2 / 2) = 0.4239 by the paper and e^2 / (e^2 + e^2 / 2) = 2 / 3 by the code."""
    on_edge = [(0.0, -1.0), (0.0, 1.0), (2.0, 0.0)]
    triangles = faces(on_edge, depths=(100 - 99 * 2e-3,) * 3)
    zero = torch.zeros(1, 1, 3, 1, dtype=torch.float64)
    assert pixel(SoftRas(1e-2, 1e-3), triangles, zero, 1.0)[0] == pytest.approx(0.4239, abs=5e-5)
    assert pixel(SoftRas(1e-2, 1e-3, compat="official"), triangles, zero, 1.0)[0] == pytest.approx(2 / 3, abs=1e-9)


@pytest.mark.parametrize(("face", "d"), DISTANCES)
def test_gendr_alpha(face: list[tuple[float, float]], d: float) -> None:
    """D = F(d / tau): uniform (1 + v) / 2, Cauchy 1/2 + atan(v) / pi, logistic of the squared distance."""
    uniform, cauchy = (1 + d / 0.8) / 2, 0.5 + math.atan(d / 0.8) / math.pi
    squared = sigmoid(d * abs(d) / 0.8)
    assert pixel(GenDR("uniform", 0.8), faces(face))[1] == pytest.approx(uniform, rel=1e-9)
    assert pixel(GenDR("cauchy", 0.8), faces(face))[1] == pytest.approx(cauchy, rel=1e-9)
    assert pixel(GenDR("logistic", 0.8, squared=True), faces(face))[1] == pytest.approx(squared, rel=1e-9)
    both = faces(face, face)
    assert pixel(GenDR("uniform", 0.8, t_conorm="max"), both)[1] == pytest.approx(uniform, rel=1e-9)
    einstein = 2 * uniform / (1 + uniform**2)
    assert pixel(GenDR("uniform", 0.8, t_conorm="einstein"), both)[1] == pytest.approx(einstein, rel=1e-9)
    yager = min(1.0, math.sqrt(2) * uniform)
    assert pixel(GenDR("uniform", 0.8, t_conorm="yager", p=2.0), both)[1] == pytest.approx(yager, rel=1e-9)


def test_gendr_without_a_cutoff_leaves_nothing_where_there_is_nothing() -> None:
    """F = 0 is no coverage, however near the face and sharp the depth: the colour is the background's."""
    assert pixel(GenDR("uniform", 0.1, cutoff=0.0, gamma=1e-4), faces(BESIDE), background=0.25) == (0.25, 0)


def test_dibr_background_pixel() -> None:
    """Equations 5 and 6: 1 - (1 - exp(-0.09 / delta)) (1 - exp(-0.25 / delta)); the colour is the background's."""
    color, alpha = pixel(DIBR(0.2), faces(BESIDE, BEYOND), background=0.25)
    assert alpha == pytest.approx(1 - (1 - math.exp(-0.45)) * (1 - math.exp(-1.25)), rel=1e-12)
    assert color == 0.25


def test_dibr_one_pixel_outside() -> None:
    """A = exp(-7000 (2 / n)^2) one pixel away: the original's delta is a setting for 64 pixels."""
    for n, known in ((64, 0.0011), (128, 0.181), (256, 0.652), (512, 0.899)):
        face = [(2 / n, -1.0), (2 / n, 1.0), (2.0, 0.0)]
        assert pixel(DIBR(), faces(face))[1] == pytest.approx(known, abs=6e-4)


def test_dibr_foreground_pixel() -> None:
    """Equations 1 to 3: alpha 1, the nearest face's barycentric interpolation, slopes w_k to the attributes."""
    triangles = torch.cat((faces(INSIDE, depths=(5.0,) * 3), faces(INSIDE, BESIDE, depths=(1.0, 2.0, 4.0))), dim=1)
    triangles.requires_grad_()
    values = torch.rand(1, 3, 3, 1, dtype=torch.float64, requires_grad=True)
    for perspective, compat, weights in (
        (True, None, [1 / 1.575, 0.5 / 1.575, 0.075 / 1.575]),  # as of SoftRas above
        (True, "official", [1 / 2.3, 1 / 2.3, 0.3 / 2.3]),
        (False, None, [1 / 2.3, 1 / 2.3, 0.3 / 2.3]),
    ):
        color, alpha = rasterize(triangles, values, (1, 1), DIBR(0.2, compat), perspective=perspective)
        to_values, to_triangles = torch.autograd.grad(color.sum(), (values, triangles), retain_graph=True)
        expected = torch.zeros_like(values)
        expected[0, 1, :, 0] = torch.tensor(weights)
        torch.testing.assert_close(to_values, expected, rtol=1e-6, atol=1e-7)
        assert float(alpha.detach()) == 1
        assert to_triangles[0, 1].abs().sum() > 0
        assert not to_triangles[0, [0, 2]].any()
        assert not torch.autograd.grad(alpha.sum(), triangles)[0].any()  # inside, alpha moves nothing


def test_dibr_official_takes_the_first_thirty_in_the_box() -> None:
    """Faces 0.015 away count, the first 30 of them; faces 0.021 away do not, nor do they use up the thirty. A corner
    at (0.018, 0.018) lies in the box, though it is 0.0255 away."""
    near = [(0.015, -1.0), (0.015, 1.0), (2.0, 0.0)]
    far = [(0.021, -1.0), (0.021, 1.0), (2.0, 0.0)]
    corner = [(0.018, 0.018), (2.0, 0.5), (0.5, 2.0)]
    single = math.exp(-(0.015**2) / 1e-3)
    crowd = faces(*[far] * 5, *[near] * 40)
    assert pixel(DIBR(1e-3, "official"), crowd)[1] == pytest.approx(1 - (1 - single) ** 30, rel=1e-12)
    beyond = 1 - math.exp(-(0.021**2) / 1e-3)
    assert pixel(DIBR(1e-3), crowd)[1] == pytest.approx(1 - beyond**5 * (1 - single) ** 40, rel=1e-12)
    assert pixel(DIBR(1e-3, "official"), faces(corner))[1] == pytest.approx(math.exp(-2 * 0.018**2 / 1e-3))
    # the thirty are counted by the box alone: faces too faint to matter use them up as well
    assert pixel(DIBR(1e-6, "official"), faces(*[corner] * 30, [(1e-3, -1.0), (1e-3, 1.0), (2.0, 0.0)]))[1] < 1e-12


MODELS: list[Model] = [
    SoftRas(0.05, 0.05, cutoff=0.0),
    SoftRas(0.05, 0.05, "barycentric", alpha="sum", cutoff=0.0, compat="official"),
    SoftRas(0.05, 0.05, color="hard", cutoff=0.0),
    GenDR("gaussian", 0.3, t_conorm="hamacher", p=0.5, gamma=0.05, cutoff=0.0),
    GenDR("cauchy", 0.3, squared=True, t_conorm="dombi", p=1.5, gamma=0.05, cutoff=0.0),
    GenDR("gumbel_min", 0.3, t_conorm="aczel_alsina", p=1.5, gamma=0.05, cutoff=0.0),
    DIBR(0.1),
    DIBR(0.1, "official"),
]


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_derivatives(model: Model, perspective: bool) -> None:
    """First and second, by differences, to corners, attributes, background, scale and gamma, where faces are seen."""
    whole = small_case(model, 5, faces=2, size=(2, 3))
    case = Case(model, whole.triangles, whole.attributes[..., :1], whole.background[:1], whole.size, perspective)
    leaves = case.leaves(torch.float64)
    color, alpha = case.draw(leaves, "reference")
    assert float(alpha.detach().max()) > 0.2
    assert float(color.detach().std()) > 0.01

    def draw(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return case.draw(list(leaves), "reference")

    assert torch.autograd.gradcheck(draw, leaves)
    assert torch.autograd.gradgradcheck(draw, leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [1e-4, 1e-5, 1e-7])
@pytest.mark.parametrize("compat", [None, "official"])
def test_any_gamma_stays_finite(gamma: float, compat: str | None, dtype: torch.dtype) -> None:
    """The original overflows at 1.13e-5, in every pixel."""
    case = small_case(SoftRas(1e-3, gamma, compat=compat), 6)
    images, slopes = case.gradients("reference", dtype)
    assert all(image.isfinite().all() for image in images)
    assert all(slope.isfinite().all() for slope in slopes.values())
    assert ((images[0] >= 0) & (images[0] <= 1)).all()


@pytest.mark.parametrize("model", MODELS[:-1], ids=str)  # the official DIB-R depends on the order, by its definition
def test_order_and_batches_of_faces(model: Model) -> None:
    case = small_case(model, 7, faces=5, batch=2)
    triangles, attributes = case.triangles.double(), case.attributes.double()
    both = rasterize(triangles, attributes, case.size, model, case.background)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = rasterize(triangles[:, order], attributes[:, order], case.size, model, case.background)
    single = [rasterize(triangles[i : i + 1], attributes[i : i + 1], case.size, model, case.background) for i in (0, 1)]
    for image, other, *alone in zip(both, turned, *single, strict=True):
        torch.testing.assert_close(other, image, **FLOAT64)
        torch.testing.assert_close(torch.cat(alone), image, **FLOAT64)


SHARP: list[Model] = [
    SoftRas(1e-9, 1e-6),
    SoftRas(1e-9, 1e-6, "barycentric"),
    SoftRas(1e-9, 1e-6, "hard"),
    SoftRas(1e-9, color="hard"),
    DIBR(1e-8),
    DIBR(1e-8, "official"),
    *(GenDR(name, 1e-18, gamma=1e-6) for name in DISTRIBUTIONS),
    *(GenDR(name, 1e-18, squared=True, t_conorm="yager", p=2.0, gamma=1e-6) for name in DISTRIBUTIONS),
]


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("model", SHARP, ids=str)
def test_the_sharp_limit_is_hard(model: Model, perspective: bool) -> None:
    """At all pixels that keep a little away from all edges."""
    case = small_case(model, 8, faces=6, size=(12, 10))
    affine = isinstance(model, DIBR) and model.compat == "official"
    triangles, attributes = case.triangles.double(), case.attributes.double()
    found = rasterize(triangles, attributes, case.size, model, case.background, perspective=perspective)
    expected = rasterize(
        triangles, attributes, case.size, Hard(), case.background, perspective=perspective and not affine
    )
    pixels = pixel_centers(case.size, torch.float64, "cpu")
    away = (signed_distance(triangles, pixels, "linear").abs() > 0.005).all(-1).view(1, 1, *case.size)
    assert away.float().mean() > 0.8
    assert 0.2 < float(expected[1].mean()) < 0.98
    for image, other in zip(found, expected, strict=True):
        assert float(((image - other) * away).abs().max()) < 1e-5
