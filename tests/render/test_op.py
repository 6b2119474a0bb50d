"""The face of `rasterize`: shapes, kinds, defaults, and every error with what it says."""

from __future__ import annotations

import importlib.util
import math
import warnings

import pytest
import torch
from render.scenes import uniform
from torch import Tensor

from labkit.errors import BackendError, DomainError, DTypeError, ShapeError
from labkit.render.raster import AlgoNet, Hard, rasterize

SIZE = (6, 9)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Triangles (2, 4, 3, 3) and attributes (2, 4, 3, 5)."""
    generator = torch.Generator().manual_seed(0)
    triangles = torch.cat((uniform(generator, 2, 4, 3, 2, low=-1.0), 1 + uniform(generator, 2, 4, 3, 1)), dim=-1)
    return triangles.to(dtype), uniform(generator, 2, 4, 3, 5).to(dtype)


@pytest.mark.parametrize("rasterizer", [None, Hard(), AlgoNet()], ids=["default", "hard", "algonet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_shapes_and_types(rasterizer: Hard | AlgoNet | None, dtype: torch.dtype, backend: str) -> None:
    triangles, attributes = inputs(dtype)
    for background in (None, torch.rand(5, dtype=dtype), torch.rand(2, 5, *SIZE, dtype=dtype)):
        color, alpha = rasterize(triangles, attributes, SIZE, rasterizer, background, backend=backend)
        assert (tuple(color.shape), tuple(alpha.shape)) == ((2, 5, *SIZE), (2, 1, *SIZE))
        assert color.dtype == alpha.dtype == dtype
        assert color.isfinite().all()
        rounding = 4 * torch.finfo(dtype).eps  # alpha = 1 - prod(1 - V), from sums of logarithms
        assert ((alpha >= -rounding) & (alpha <= 1)).all()


def test_hard_is_the_default() -> None:
    triangles, attributes = inputs()
    for one, other in zip(
        rasterize(triangles, attributes, SIZE), rasterize(triangles, attributes, SIZE, Hard()), strict=True
    ):
        assert torch.equal(one, other)


def test_attributes_follow_the_triangles_type() -> None:
    triangles, attributes = inputs()
    mixed, _ = rasterize(triangles.double(), attributes, SIZE, AlgoNet(), torch.rand(5))
    assert mixed.dtype == torch.float64
    single, _ = rasterize(triangles, attributes.double(), SIZE, AlgoNet(), torch.rand(5, dtype=torch.float64))
    assert single.dtype == torch.float32


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["triangles", "attributes", "background"])
def test_numbers_that_are_not_finite(bad: float, name: str) -> None:
    triangles, attributes = inputs()
    given = {"triangles": triangles, "attributes": attributes, "background": torch.rand(2, 5, *SIZE)}
    given[name][1, 3, 2, 1] = bad
    with pytest.raises(DomainError, match=rf"{name}: got {bad} at index \(1, 3, 2, 1\), expected finite"):
        rasterize(size=SIZE, rasterizer=AlgoNet(), **given)


@pytest.mark.parametrize(
    ("triangles", "attributes", "message"),
    [
        ((4, 3, 3), (2, 4, 3, 5), r"triangles: got \(4, 3, 3\), expected shape \(B, F, 3, 3\)"),
        ((2, 4, 3, 2), (2, 4, 3, 5), r"triangles: got \(2, 4, 3, 2\), expected shape \(B, F, 3, 3\)"),
        ((2, 4, 3, 3), (2, 4, 5), r"attributes: got \(2, 4, 5\), expected shape \(B, F, 3, C\)"),
        ((2, 4, 3, 3), (2, 5, 3, 5), r"attributes: got \(2, 5, 3, 5\), expected \(2, 4, 3, 'C'\)"),
        ((2, 4, 3, 3), (1, 4, 3, 5), r"attributes: got \(1, 4, 3, 5\), expected \(2, 4, 3, 'C'\)"),
        ((2, 4, 3, 3), (2, 4, 3, 0), r"attributes: got \(2, 4, 3, 0\), expected .*at least 1"),
    ],
)
def test_wrong_shapes(triangles: tuple[int, ...], attributes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        rasterize(torch.ones(triangles), torch.ones(attributes), SIZE)


@pytest.mark.parametrize("shape", [(4,), (1, 5, *SIZE), (2, 5, 9, 6), (2, 4, *SIZE), (5, *SIZE)])
def test_wrong_backgrounds(shape: tuple[int, ...]) -> None:
    triangles, attributes = inputs()
    with pytest.raises(ShapeError, match="background"):
        rasterize(triangles, attributes, SIZE, background=torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.complex64, torch.bool])
def test_wrong_types(dtype: torch.dtype) -> None:
    triangles, attributes = inputs()
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(DTypeError, match=rf"triangles: got {name}, expected float32 or float64"):
        rasterize(triangles.to(dtype), attributes, SIZE)
    with pytest.raises(DTypeError, match=rf"attributes: got {name}"):
        rasterize(triangles, attributes.to(dtype), SIZE)
    with pytest.raises(DTypeError, match=rf"background: got {name}"):
        rasterize(triangles, attributes, SIZE, background=torch.ones(5).to(dtype))
    with pytest.raises(DTypeError, match="triangles: got list"):
        rasterize(triangles.tolist(), attributes, SIZE)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4), (4, -3), (16385, 4), (4, 10**9)])
def test_sizes_out_of_range(size: tuple[int, int]) -> None:
    with pytest.raises(DomainError, match=r"size.*between 1 and 16384 pixels"):
        rasterize(*inputs(), size)


@pytest.mark.parametrize("size", [(4.0, 4), (4,), (4, 4, 3), (True, 4), ("4", 4)])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(DTypeError, match=r"size.*two whole numbers of pixels"):
        rasterize(*inputs(), size)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["steepness", "opacity"])
def test_softness_out_of_range(name: str, value: float) -> None:
    for number in (value, torch.tensor(value), torch.tensor([value], requires_grad=True)):
        with pytest.raises(DomainError, match=rf"{name}: got {value}, expected a finite number greater than 0"):
            AlgoNet(**{name: number})


def test_other_settings_of_algonet() -> None:
    with pytest.raises(DTypeError, match=r"steepness.*str"):
        AlgoNet("sharp")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"opacity: got \(2,\), expected one number"):
        AlgoNet(10.0, torch.ones(2))
    with pytest.raises(DomainError, match=r"depth: got median, expected 'mean' or 'pixel'"):
        AlgoNet(depth="median")  # type: ignore[arg-type]
    with pytest.raises(DomainError, match=r"color: got phong, expected 'flat' or 'barycentric'"):
        AlgoNet(color="phong")  # type: ignore[arg-type]
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(DomainError, match="sliver_fade"):
            AlgoNet(sliver_fade=value)
    with pytest.raises(DomainError, match="edge_width"):
        AlgoNet.from_pixels(0.0, 1.0, SIZE)


def test_edge_width_in_pixels() -> None:
    assert AlgoNet(100.0).edge_width_px((64, 128)) == pytest.approx(2 / 100 / (2 / 64))
    assert AlgoNet(torch.tensor(50.0)).edge_width_px((64, 64)) == pytest.approx(1.28)
    soft = AlgoNet.from_pixels(1.5, 20.0, (64, 128))
    assert (soft.edge_width_px((64, 128)), soft.opacity) == (pytest.approx(1.5), 20.0)
    # sigma falls from 0.73 to 0.27 over that width: across the edge x = 0 of a large face, at half a width either side
    face = torch.tensor([[[[0.0, -50.0, 1.0], [0.0, 50.0, 1.0], [90.0, 0.0, 1.0]]]], dtype=torch.float64)
    lengths = torch.tensor([100.0, math.hypot(90, 50), math.hypot(90, 50)], dtype=torch.float64)
    stretch = 100 / float((torch.softmax(-lengths, 0) * lengths).sum())  # det / m is the distance times this
    _, alpha = rasterize(face, torch.ones_like(face), (2, 4), AlgoNet(2.0 / stretch))
    assert alpha[0, 0, 0].tolist() == pytest.approx(
        [1 / (1 + math.exp(-2 * x)) for x in (-1.5, -0.5, 0.5, 1.5)], abs=1e-6
    )


def test_softness_as_one_element_tensors() -> None:
    triangles, attributes = inputs()
    expected, _ = rasterize(triangles, attributes, SIZE, AlgoNet(30.0, 4.0))
    steepness, opacity = torch.tensor([30.0], requires_grad=True), torch.tensor([[4.0]], dtype=torch.float64)
    found, _ = rasterize(triangles, attributes, SIZE, AlgoNet(steepness, opacity.requires_grad_()))
    assert torch.equal(found, expected)
    for gradient, like in zip(
        torch.autograd.grad(found.sum(), (steepness, opacity)), (steepness, opacity), strict=True
    ):
        assert (gradient.shape, gradient.dtype) == (like.shape, like.dtype)
        assert gradient.abs().sum() > 0


def test_unknown_backend() -> None:
    with pytest.raises(DomainError, match=r"backend: got cuda, expected 'auto', 'reference' or 'kernel'"):
        rasterize(*inputs(), SIZE, backend="cuda")  # type: ignore[arg-type]


@pytest.mark.parametrize("rasterizer", [Hard(), AlgoNet()])
def test_the_kernel_is_for_float32(rasterizer: Hard | AlgoNet) -> None:
    with pytest.raises(
        BackendError, match=r"backend: got 'kernel' for torch.float64 on cpu, expected float32 on the CPU"
    ):
        rasterize(*inputs(torch.float64), SIZE, rasterizer, backend="kernel")


@pytest.mark.parametrize("rasterizer", [Hard(), AlgoNet(20.0, 5.0)])
def test_without_numba(monkeypatch: pytest.MonkeyPatch, rasterizer: Hard | AlgoNet) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "numba" else find(name, *rest))
    with pytest.raises(BackendError, match=r'pip install "labkit\[fast\]"'):
        rasterize(*inputs(), SIZE, rasterizer, backend="kernel")
    with pytest.warns(UserWarning, match=r'slow reference.*pip install "labkit\[fast\]"') as caught:
        found = rasterize(*inputs(), SIZE, rasterizer)
    assert caught[0].filename == __file__  # it points at the caller
    for one, other in zip(found, rasterize(*inputs(), SIZE, rasterizer, backend="reference"), strict=True):
        assert torch.equal(one, other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the reference that float64 takes anyway is no substitute
        rasterize(*inputs(torch.float64), SIZE, rasterizer)
        rasterize(*inputs(), SIZE, rasterizer, backend="reference")


def test_auto_takes_the_kernel() -> None:
    pytest.importorskip("numba")
    found, expected = (rasterize(*inputs(), SIZE, AlgoNet(30.0, 5.0), backend=b) for b in ("auto", "kernel"))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    exact = rasterize(*inputs(torch.float64), SIZE, AlgoNet(30.0, 5.0))
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5)
