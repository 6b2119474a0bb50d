"""The nine t-conorms against their textbook formulas of two numbers, and the laws that make them t-conorms."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labkit.render.raster.reference import NOTHING
from labkit.render.raster.t_conorms import STRONGEST, T_CONORMS, combine

# (a, b, p) -> "a or b", as in the tables of the literature; a and b in (0, 1)
PAIRS: dict[str, Callable[[float, float, float], float]] = {
    "max": lambda a, b, p: max(a, b),
    "probabilistic": lambda a, b, p: a + b - a * b,
    "einstein": lambda a, b, p: (a + b) / (1 + a * b),
    "hamacher": lambda a, b, p: (a + b + (p - 2) * a * b) / (1 + (p - 1) * a * b),
    "frank": lambda a, b, p: 1 - math.log(1 + (p ** (1 - a) - 1) * (p ** (1 - b) - 1) / (p - 1), p),
    "yager": lambda a, b, p: min(1.0, (a**p + b**p) ** (1 / p)),
    "aczel_alsina": lambda a, b, p: 1 - math.exp(-(((-math.log(1 - a)) ** p + (-math.log(1 - b)) ** p) ** (1 / p))),
    "dombi": lambda a, b, p: 1 / (1 + ((1 / a - 1) ** -p + (1 / b - 1) ** -p) ** (-1 / p)),
    "schweizer_sklar": lambda a, b, p: 1 - ((1 - a) ** p + (1 - b) ** p - 1) ** (1 / p),
}
PARAMETERS = {
    "hamacher": (0.0, 0.3, 1.0, 2.0, 50.0),
    "frank": (0.01, 0.5, 2.0, 100.0),
    "yager": (0.5, 1.0, 2.0, 8.0),
    "aczel_alsina": (0.5, 1.0, 2.0, 8.0),
    "dombi": (0.5, 1.0, 2.0, 8.0),
    "schweizer_sklar": (-0.5, -1.0, -2.0, -8.0),
}
CASES = [(name, p) for name in T_CONORMS for p in PARAMETERS.get(name, (0.0,))]


def together(name: str, p: float, coverages: list[float] | Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """The t-conorm of a list of coverages; NOTHING where one is 0, and the logarithm's floor where it is 1."""
    d = torch.as_tensor(coverages, dtype=torch.float64)
    tiny = torch.finfo(dtype).tiny
    log_d = torch.where(d > 0, d.clamp(min=tiny).log(), NOTHING)
    log_c = torch.where(d < 1, torch.log1p(-d.clamp(max=1 - 1e-16)), math.log(tiny))
    return combine(name, log_d.to(dtype), log_c.to(dtype), p)


coverage = st.floats(1e-6, 1 - 1e-6)
several = st.lists(coverage, min_size=2, max_size=7)


def test_there_are_nine() -> None:
    assert len(T_CONORMS) == 9
    assert set(PAIRS) == set(T_CONORMS)


@pytest.mark.parametrize(("name", "p"), CASES)
def test_against_the_formula_of_two_one_after_the_other(name: str, p: float) -> None:
    @settings(max_examples=40)
    @given(several)
    def check(coverages: list[float]) -> None:
        expected = reduce(lambda a, b: min(PAIRS[name](a, b, p), 1 - 1e-16), coverages)
        # The formula of two loses digits when a result near 1 goes into the next round.
        assert float(together(name, p, coverages)) == pytest.approx(expected, rel=1e-7, abs=1e-7)

    check()


@pytest.mark.parametrize(("name", "p"), CASES)
def test_laws(name: str, p: float) -> None:
    @settings(max_examples=40)
    @given(several, st.randoms(use_true_random=False))
    def check(coverages: list[float], random: object) -> None:
        alpha = float(together(name, p, coverages))
        shuffled = list(coverages)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert float(together(name, p, shuffled)) == pytest.approx(alpha, abs=1e-12)  # commutative
        nested = float(together(name, p, [float(together(name, p, coverages[:2])), *coverages[2:]]))
        assert nested == pytest.approx(alpha, abs=1e-6)  # associative; near 1 the inner result has lost digits
        assert max(coverages) - 1e-9 <= alpha <= 1
        assert float(together(name, p, [*coverages, 0.0, 0.0])) == pytest.approx(alpha, abs=1e-15)  # 0 is neutral
        assert float(together(name, p, [*coverages, 1.0])) == pytest.approx(1, abs=1e-9)  # 1 absorbs
        assert float(together(name, p, coverages[:1])) == pytest.approx(coverages[0], rel=1e-9)
        more = [min(c * 1.1, 1 - 1e-7) for c in coverages]
        assert float(together(name, p, more)) >= alpha - 1e-12 or max(coverages) > 1 - 1e-6

    check()


NO_MORE_THAN_THE_SUM = [
    *[(name, 0.0) for name in ("max", "probabilistic", "einstein")],
    *[("hamacher", 1.0), ("hamacher", 2.0), ("frank", 0.5), ("frank", 100.0)],
    *[("yager", 1.0), ("yager", 3.0), ("aczel_alsina", 1.0), ("aczel_alsina", 3.0), ("dombi", 1.0), ("dombi", 3.0)],
]


@pytest.mark.parametrize(("name", "p"), NO_MORE_THAN_THE_SUM)
def test_no_more_than_the_sum(name: str, p: float) -> None:
    """Those that lie below the bounded sum; Yager's, for one, lies above it with p < 1."""

    @settings(max_examples=40)
    @given(several)
    def check(coverages: list[float]) -> None:
        assert float(together(name, p, coverages)) <= min(1.0, sum(coverages)) + 1e-9

    check()


def test_relatives() -> None:
    """The families meet at known places."""
    coverages = [0.1, 0.35, 0.6]
    probabilistic, einstein = (float(together(name, 0.0, coverages)) for name in ("probabilistic", "einstein"))
    assert probabilistic == pytest.approx(1 - 0.9 * 0.65 * 0.4, abs=1e-15)
    for name, p in (("hamacher", 1.0), ("aczel_alsina", 1.0)):
        assert float(together(name, p, coverages)) == pytest.approx(probabilistic, abs=1e-12)
    assert float(together("frank", 1 + 1e-6, coverages)) == pytest.approx(probabilistic, abs=1e-6)
    assert float(together("schweizer_sklar", -1e-6, coverages)) == pytest.approx(probabilistic, abs=1e-5)
    assert float(together("hamacher", 2.0, coverages)) == pytest.approx(einstein, abs=1e-12)
    assert float(together("dombi", 1.0, coverages)) == pytest.approx(float(together("hamacher", 0.0, coverages)))
    assert float(together("schweizer_sklar", -1.0, coverages)) == pytest.approx(
        float(together("hamacher", 0.0, coverages))
    )
    assert float(together("yager", 1.0, [0.2, 0.5])) == pytest.approx(0.7)
    for name in ("yager", "aczel_alsina", "dombi"):
        assert float(together(name, STRONGEST, coverages)) == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "p"), [*CASES, ("yager", 20.0), ("dombi", 20.0), ("schweizer_sklar", -20.0)])
def test_ends(name: str, p: float, dtype: torch.dtype) -> None:
    """Nothing at all, everything at once, and thousands of faces: exact values, finite slopes."""
    assert float(together(name, p, [0.0] * 5000, dtype)) == pytest.approx(0, abs=1e-12)
    assert float(together(name, p, [1.0, 0.3, 0.0], dtype)) == pytest.approx(1, abs=1e-7)
    assert float(together(name, p, [1.0] * 5000, dtype)) == pytest.approx(1, abs=1e-7)
    rows = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1e-30, 1e-30], [1e-6, 0.0], [1 - 1e-7, 0.5], [0.5, 0.5]])
    d = rows.double().repeat(1, 2000)
    tiny = torch.finfo(dtype).tiny
    log_d = torch.where(d > 0, d.clamp(min=tiny).log(), NOTHING).to(dtype).requires_grad_()
    log_c = torch.where(d < 1, torch.log1p(-d.clamp(max=1 - 1e-16)), math.log(tiny)).to(dtype).requires_grad_()
    alpha = combine(name, log_d, log_c, p)
    assert alpha.dtype == dtype
    assert ((alpha > -1e-12) & (alpha <= 1)).all()
    for gradient in torch.autograd.grad(alpha.sum(), (log_d, log_c), allow_unused=True, materialize_grads=True):
        assert gradient.isfinite().all()


@pytest.mark.parametrize(("name", "p"), CASES)
def test_float32_gives_float64s_answer(name: str, p: float) -> None:
    generator = torch.Generator().manual_seed(3)
    coverages = torch.rand(50, 6, generator=generator) ** 4
    found, exact = together(name, p, coverages, torch.float32), together(name, p, coverages.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "p"), CASES)
def test_slopes(name: str, p: float) -> None:
    """By differences, to the coverages themselves, with log D and log(1 - D) tied together."""
    d = torch.tensor([[0.02, 0.3, 0.1], [0.4, 0.2, 0.45], [1e-3, 0.9, 2e-3]], dtype=torch.float64, requires_grad=True)

    def alpha(d: Tensor) -> Tensor:
        return combine(name, d.log(), torch.log1p(-d), p)

    assert torch.autograd.gradcheck(alpha, d)
    assert torch.autograd.gradgradcheck(alpha, d)


@pytest.mark.parametrize(("name", "p"), CASES)
def test_deep_inside(name: str, p: float) -> None:
    """A coverage of which 1 - D is e^-1e6, as of logistic faces many scales away from their outline."""
    log_c = torch.tensor([-1e6, -800.0, -0.7], dtype=torch.float64, requires_grad=True)
    alpha = combine(name, torch.tensor([0.0, 0.0, -0.7], dtype=torch.float64), log_c, p)
    assert float(alpha.detach()) == pytest.approx(1, abs=1e-12)
    if alpha.requires_grad:
        assert torch.autograd.grad(alpha, log_c)[0].isfinite().all()


def test_the_maximum_moves_one_face_only() -> None:
    log_d = torch.tensor([0.3, 0.7, 0.7]).log().requires_grad_()
    (gradient,) = torch.autograd.grad(combine("max", log_d, torch.zeros(3), 0.0), log_d)
    assert gradient.tolist() == pytest.approx([0, 0.7, 0])


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("max", (-3.0, 0.0, 5.0), ()),
        ("hamacher", (0.0, 1.0, 1e6), (-1e-9, -1.0, 1e7)),
        ("frank", (1e-6, 0.5, 1e6), (0.0, 1.0, -2.0, 1e7, 1e-7)),
        ("yager", (1e-3, 1.0, 20.0), (0.0, -1.0, 20.1)),
        ("aczel_alsina", (1e-3, 1.0, 20.0), (0.0, -1.0, 20.1)),
        ("dombi", (1e-3, 1.0, 20.0), (0.0, -1.0, 20.1)),
        ("schweizer_sklar", (-20.0, -1.0, -1e-3), (0.0, 1.0, -20.1)),
    ],
)
def test_domains(name: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    chosen = T_CONORMS[name]
    assert all(chosen.allows(p) for p in inside)
    assert not any(chosen.allows(p) for p in (*outside, *([math.nan] if outside else [])))
    for p in inside:
        for coverages in ([0.2, 0.3], [0.999, 1e-6], [1e-6] * 3000, [0.999] * 3000):
            assert max(coverages) - 1e-9 <= float(together(name, p, coverages)) <= 1


@pytest.mark.parametrize(("name", "p"), CASES)
def test_the_kernels_scalar_twins(name: str, p: float) -> None:
    pytest.importorskip("numba")
    from labkit.render.raster.kernel_cpu_coverage import generator

    code = list(T_CONORMS).index(name)
    for value in (1e-12, 1e-6, 0.02, 0.3, 0.5, 0.7, 0.999, 1 - 1e-9):
        d = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        expected = T_CONORMS[name].generator(d.log(), torch.log1p(-d), p)
        g, steep = generator(code, value, 1 - value, p)
        assert g == pytest.approx(float(expected.detach()), rel=1e-6, abs=1e-14)
        assert steep == pytest.approx(float(torch.autograd.grad(expected, d)[0]), rel=1e-5)
    for d, c in ((1.0, 0.0), (1.0, 1e-300), (1.0, 1e-41), (1.0, 1e-39), (1e-300, 1.0)):
        assert all(math.isfinite(number) and number >= -1e-15 for number in generator(code, d, c, p))
