"""Points to a picture: the formula written out densely, laws of shift and mass, derivatives, memory, errors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

from labkit.cli.bench_fractals import rows
from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.smooth import splatting
from labkit.smooth.splatting import Window, blur, expose, render_points, splat

SIZE = (5, 7)
WINDOW = Window(0.3, -0.2, 2.5)  # pixels of 0.5: columns from x = -1.45, rows from y = 1.05 down


def cloud(generator: torch.Generator, *shape: int) -> Tensor:
    """Points around the window, float64."""
    return torch.randn(*shape, 2, generator=generator, dtype=torch.float64)


def probabilities(points: Tensor, sigma: float) -> Tensor:
    """Of each point in each pixel, (N, H, W), pixel by pixel from the error function of the standard library."""

    def share(distance: float) -> float:
        return 0.5 * (math.erf((distance + 0.25) / sigma / 2**0.5) - math.erf((distance - 0.25) / sigma / 2**0.5))

    return torch.tensor(
        [
            [[share(-1.2 + 0.5 * j - x) * share(0.8 - 0.5 * i - y) for j in range(SIZE[1])] for i in range(SIZE[0])]
            for x, y in points.tolist()
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("sigma", [0.05, 0.7, 3.0])
def test_dense_formula(generator: torch.Generator, sigma: float) -> None:
    """The matrix product is the sum over points of the probability of each pixel; sigma is in pixels of half a unit."""
    points = cloud(generator, 9)
    torch.testing.assert_close(splat(points, SIZE, sigma, WINDOW), probabilities(points, sigma / 2).sum(0), **FLOAT64)


def test_orientation() -> None:
    """x goes to the right, y up, row 0 is on top; with a narrow Gaussian one pixel holds the whole point."""
    found = splat(torch.tensor([[0.75, 0.75], [-0.75, -0.25]]), (4, 4), 1e-3)
    assert found.nonzero().tolist() == [[0, 3], [2, 0]]
    torch.testing.assert_close(found.sum(), torch.tensor(2.0), **FLOAT32)


def test_mass() -> None:
    """A point well inside has total probability 1; one on the border's middle has half; one far outside has none."""
    for point, mass in (((0.1, -0.2), 1.0), ((1.0, 0.0), 0.5), ((1e30, 0.0), 0.0)):
        total = splat(torch.tensor([point], dtype=torch.float64), (32, 32), 1.5).sum().item()
        assert total == pytest.approx(mass, abs=1e-9)


def test_shift(generator: torch.Generator) -> None:
    """Points moved by one pixel up and one to the right move the picture by as much."""
    points = cloud(generator, 20)
    before = splat(points, (16, 24), 0.8)
    after = splat(points + 2 / 16, (16, 24), 0.8)
    torch.testing.assert_close(after[:-1, 1:], before[1:, :-1], **FLOAT64)


def test_chunks_and_batches(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 3 give what one gives, gradients too; a batch gives what a loop over it gives; order is nothing."""
    points, weights = cloud(generator, 2, 10).requires_grad_(), torch.randn(SIZE, generator=generator).double()
    whole = splat(points, SIZE, 0.9, WINDOW)
    (gradient,) = torch.autograd.grad((whole * weights).sum(), points)
    monkeypatch.setattr(splatting, "CHUNK", 3)
    pieces = splat(points, SIZE, 0.9, WINDOW)
    torch.testing.assert_close(pieces, whole, **FLOAT64)
    torch.testing.assert_close(torch.autograd.grad((pieces * weights).sum(), points)[0], gradient, **FLOAT64)
    torch.testing.assert_close(torch.stack([splat(p, SIZE, 0.9, WINDOW) for p in points]), whole, **FLOAT64)
    torch.testing.assert_close(splat(points.flip(-2), SIZE, 0.9, WINDOW), whole, **FLOAT64)


def test_float32(generator: torch.Generator) -> None:
    """Single precision is close to double."""
    points = cloud(generator, 50)
    found = splat(points.float(), SIZE, 0.6, WINDOW)
    torch.testing.assert_close(found, splat(points, SIZE, 0.6, WINDOW).float(), **FLOAT32)


def test_derivatives(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """First and second derivatives in points and sigma, over several chunks."""
    monkeypatch.setattr(splatting, "CHUNK", 2)
    points = cloud(generator, 3).requires_grad_()
    sigma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def picture(points: Tensor, sigma: Tensor) -> Tensor:
        return render_points(points, (3, 2), sigma, WINDOW)

    assert torch.autograd.gradcheck(picture, (points, sigma))
    assert torch.autograd.gradgradcheck(picture, (points, sigma))


def test_far_points_have_finite_gradients() -> None:
    """No NaN comes from points far outside or from a Gaussian far narrower than a pixel."""
    points = torch.tensor([[1e6, -1e6], [0.0, 0.0]], requires_grad=True)
    sigma = torch.tensor(1e-6, requires_grad=True)
    gradients = torch.autograd.grad(splat(points, SIZE, sigma).square().sum(), (points, sigma))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_nothing_of_points_times_pixels_is_kept(generator: torch.Generator) -> None:
    """What forward keeps for backward is far below points times (height + width), let alone times pixels."""
    points, kept = cloud(generator, 20_000).float().requires_grad_(), 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        splat(points, (64, 64), 1.0)
    assert 0 < kept < 10 * points.numel() < points.shape[0] * (64 + 64)


def test_peak_memory() -> None:
    """A process that splats 10,000 points to 256 x 256 with gradients stays far below the 2,621 MB of all pairs."""
    found = re.search(r"peak +([\d.]+) MB", list(rows(quick=True))[-1])
    if not found:
        pytest.skip("peak memory is measured on Linux only")
    assert 1 < float(found[1]) < 250  # measured: 76


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_poisson_bound(generator: torch.Generator, sigma: float) -> None:
    """The Poisson form is below 1 - prod(1 - p) by no more than half the sum of the squares, and nowhere above it."""
    p = probabilities(0.7 * cloud(generator, 12), sigma)
    dense = 1 - (1 - p).prod(0)
    found = expose(p.sum(0), 12, exposure=12 / math.prod(SIZE))[0]
    assert bool((found <= dense + 1e-12).all())
    assert bool((dense - found <= p.square().sum(0) / 2 + 1e-12).all())
    assert (dense - found).max() > 0.003  # the two differ here, so the bound says something


def test_exposure() -> None:
    """An even spread has brightness 1 - 1/e at exposure 1, whatever the size and the number of points."""
    for size, points in (((4, 6), 48), ((10, 10), 7)):
        even = torch.full(size, points / math.prod(size))
        torch.testing.assert_close(expose(even, points), torch.full((1, *size), 1 - math.exp(-1)), **FLOAT32)


def test_blur_adds_variances(generator: torch.Generator) -> None:
    """Counts blurred by the missing variance, less that of a pixel, are close to counts at the larger sigma."""
    points = 0.15 * cloud(generator, 300)  # well inside: nothing is lost at the border
    wide = splat(points, (48, 48), 5.0)
    found = blur(splat(points, (48, 48), 1.0), math.sqrt(25 - 1 - 1 / 12))
    assert ((found - wide).norm() / wide.norm()).item() < 1e-3  # the fold samples at pixels, which is not exact


def test_window_around() -> None:
    """The window is the square around the points; equal points get one of size 1."""
    found = Window.around(torch.tensor([[0.0, 1.0], [4.0, 3.0], [2.0, 2.0]]), margin=0.25)
    assert (found.x, found.y, found.size) == (2.0, 2.0, 6.0)
    assert Window.around(torch.ones(3, 2), margin=0.0) == Window(1.0, 1.0, 1.0)


P = torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("call", "error", "argument"),
    [
        (lambda: splat(P, SIZE, 0.0), DomainError, "sigma"),
        (lambda: splat(P, SIZE, float("nan")), DomainError, "sigma"),
        (lambda: splat(P, SIZE, torch.ones(2)), ShapeError, "sigma"),
        (lambda: splat(P[:0], SIZE, 1.0), ShapeError, "points"),
        (lambda: splat(torch.zeros(3), SIZE, 1.0), ShapeError, "points"),
        (lambda: splat(torch.zeros(3, 3), SIZE, 1.0), ShapeError, "points"),
        (lambda: splat(P * float("nan"), SIZE, 1.0), DomainError, "points"),
        (lambda: splat(P.long(), SIZE, 1.0), DTypeError, "points"),
        (lambda: splat(P, (0, 4), 1.0), DomainError, "size"),
        (lambda: expose(torch.zeros(4), 1), ShapeError, "counts"),
        (lambda: expose(torch.zeros(2, 2), 0), DomainError, "points"),
        (lambda: render_points(P, SIZE, 1.0, exposure=-1.0), DomainError, "exposure"),
        (lambda: blur(torch.zeros(4), 1.0), ShapeError, "image"),
        (lambda: blur(torch.zeros(4, 4), 0.0), DomainError, "sigma"),
        (lambda: Window(size=0.0), DomainError, "size"),
        (lambda: Window(x=float("inf")), DomainError, "x"),
        (lambda: Window(y="0"), DTypeError, "y"),  # type: ignore[arg-type]
        (lambda: Window.around(P[:0]), ShapeError, "points"),
        (lambda: Window.around(P, margin=-1.0), DomainError, "margin"),
    ],
)
def test_errors(call: Callable[[], object], error: type[LabError], argument: str) -> None:
    """Each bad argument is named."""
    with pytest.raises(error) as caught:
        call()
    assert caught.value.argument == argument
