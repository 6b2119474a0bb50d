"""The equations of IG-GAN by hand: stubs whose outputs are known, and what each loss may change."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.train.iggan_loss import (
    discriminator_loss,
    dom_loss,
    generator_loss,
    log_discriminator,
    render_loss,
    renderer_loss,
)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def logits(*probabilities: float) -> Tensor:
    return torch.tensor([logit(p) for p in probabilities], dtype=torch.float64)


def test_a_worked_example() -> None:
    """D says .8 and .5 of two pictures of the data, .25 and .1 of R_d(x_d), .5 and .2 of R_phi(x_c).

    Equation 2: -(ln .8 + ln .5) / 2 - (ln .75 + ln .9) / 2 = .4581454 + .1965213.
    Equation 3: -(ln .25 + ln .1) / 2 = 1.8444397. Equation 7: -(ln .5 + ln .2) / 2 = 1.1512925.
    Equation 8: ((ln .25 - ln .5)^2 + (ln .1 - ln .2)^2) / 2 = (ln 2)^2 = .4804530.
    Equation 5: pictures of 2 pixels, (.5, .1) against (.4, .3) and (1, 0) against (1, .2): (.05 + .04) / 2 = .045.
    Equation 9: .045 + 100 x .4804530 = 48.0903014.
    """
    data, off, neural = logits(0.8, 0.5), logits(0.25, 0.1), logits(0.5, 0.2)
    seven = {"rtol": 0, "atol": 1e-7}  # the digits written above
    assert_close(discriminator_loss(data, off), 0.4581454 + 0.1965213, seven)
    assert_close(generator_loss(off), 1.8444397, seven)
    assert_close(generator_loss(neural), 1.1512925, seven)
    dom = dom_loss(off, neural)
    assert_close(dom, 0.4804530, seven)
    shown = torch.tensor([[0.5, 0.1], [1.0, 0.0]], dtype=torch.float64).view(2, 1, 1, 2)
    target = torch.tensor([[0.4, 0.3], [1.0, 0.2]], dtype=torch.float64).view(2, 1, 1, 2)
    assert_close(render_loss(shown, target), 0.045, seven)
    assert_close(render_loss(shown, target, "mean"), 0.0225, seven)
    assert_close(renderer_loss(render_loss(shown, target), dom), 48.0903014, {"rtol": 0, "atol": 1e-5})


def assert_close(found: Tensor, wanted: float, tolerance: dict[str, float]) -> None:
    assert found.shape == ()
    torch.testing.assert_close(found.item(), wanted, **tolerance)


def test_the_ratio_that_lambda_weighs_is_the_same_for_both_reductions(generator: torch.Generator) -> None:
    """A mean with 100 / 16384 is the sum with 100, as a whole divided by 16384."""
    shown, target = torch.rand(2, 3, 1, 128, 128, generator=generator, dtype=torch.float64)
    dom = torch.tensor(0.3, dtype=torch.float64)
    summed = renderer_loss(render_loss(shown, target), dom, 100.0)
    meant = renderer_loss(render_loss(shown, target, "mean"), dom, 100.0 / 16384)
    torch.testing.assert_close(meant * 16384, summed, **FLOAT64)


def test_sure_discriminators_give_finite_losses_and_gradients() -> None:
    sure = torch.tensor([-1e4, 1e4, 0.0], requires_grad=True)
    for loss in (discriminator_loss(sure, sure), generator_loss(sure), dom_loss(sure, sure.flip(0))):
        (slope,) = torch.autograd.grad(loss, sure)
        assert loss.isfinite()
        assert slope.isfinite().all()


def test_the_clip_bounds_f_from_below_only() -> None:
    found = log_discriminator(torch.tensor([-50.0, -10.0, 0.0, 50.0], dtype=torch.float64), 10.0)
    lowest = -math.log1p(math.exp(10.0))
    torch.testing.assert_close(found, found.new_tensor([lowest, lowest, -math.log(2), 0.0]), **FLOAT64)
    far = torch.tensor([-50.0, -3.0], requires_grad=True)
    (slope,) = torch.autograd.grad(dom_loss(torch.zeros(2), far, 10.0), far)
    assert slope[0] == 0
    assert slope[1] != 0


def test_the_generator_still_learns_where_the_discriminator_is_sure() -> None:
    """-log D has slope -1 where D = 0; log(1 - D), which saturates, has none."""
    lost = torch.tensor([-30.0], requires_grad=True)
    (slope,) = torch.autograd.grad(generator_loss(lost), lost)
    torch.testing.assert_close(slope, torch.tensor([-1.0]))


@given(st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), min_size=1, max_size=6))
def test_laws(pairs: list[tuple[float, float]]) -> None:
    """A batch is the mean of its rows, in either order; no loss is negative; DOM is 0 only where the outputs agree."""
    a, b = torch.tensor(pairs, dtype=torch.float64).T
    for loss in (discriminator_loss, dom_loss):
        rows = torch.stack([loss(a[i : i + 1], b[i : i + 1]) for i in range(len(a))])
        torch.testing.assert_close(loss(a, b), rows.mean(), **FLOAT64)
        torch.testing.assert_close(loss(a.flip(0), b.flip(0)), loss(a, b), **FLOAT64)
        assert loss(a, b) >= 0
    assert dom_loss(a, a) == 0
    torch.testing.assert_close(dom_loss(a, b), dom_loss(b, a), **FLOAT64)


def test_derivatives(generator: torch.Generator) -> None:
    a, b = torch.randn(2, 4, generator=generator, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(discriminator_loss, (a, b))
    assert torch.autograd.gradcheck(dom_loss, (a, b))
    assert torch.autograd.gradcheck(generator_loss, (a,))
    shown, target = torch.rand(2, 2, 1, 2, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: render_loss(x, target), (shown.requires_grad_(),))


def test_what_is_refused() -> None:
    two, pictures = torch.zeros(2), torch.zeros(2, 1, 4, 4)
    with pytest.raises(ShapeError, match="real"):
        discriminator_loss(torch.zeros(2, 1), two)
    with pytest.raises(DomainError, match="fake"):
        discriminator_loss(two, torch.zeros(0))
    with pytest.raises(DTypeError, match="logits"):
        generator_loss(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ShapeError, match="neural"):
        dom_loss(two, torch.zeros(3))
    with pytest.raises(ShapeError, match="target"):
        render_loss(pictures, torch.zeros(2, 1, 4, 5))
    with pytest.raises(LabError, match="neural"):
        render_loss(torch.zeros(0, 1, 4, 4), torch.zeros(0, 1, 4, 4))
