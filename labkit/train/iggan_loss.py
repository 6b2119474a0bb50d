"""The losses of IG-GAN, one function for each equation; each is minimised, and a scalar.

D's outputs come as logits l (B,), so that log D = -softplus(-l) and log(1 - D) = -softplus(l) are exact and finite
however sure D is.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import softplus

from labkit.errors import DomainError, check_tensor

Reduction = Literal["sum", "mean"]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Equation 2, negated: ``-mean log D(y) - mean log(1 - D(R_d(x_d)))``.

    Args:
        real: logits of pictures of the data, (B,).
        fake: logits of generated shapes, rendered off the shelf, (B',).

    Raises:
        ShapeError, DTypeError, DomainError: not such tensors, or none in them.
    """
    return softplus(-_logits("real", real)).mean() + softplus(_logits("fake", fake)).mean()


def generator_loss(logits: Tensor) -> Tensor:
    """Equations 3 and 7, negated: ``-mean log D``, the generator's loss that does not saturate.

    Args:
        logits: (B,), of R_d(x_d) in equation 3, which has no gradient; of R_phi(x_c) in its approximation, equation 7.

    Raises:
        ShapeError, DTypeError, DomainError: as `discriminator_loss`.
    """
    return softplus(-_logits("logits", logits)).mean()


def render_loss(neural: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Equation 5, L_2: ``mean ||R_phi(x_d) - R_d(x_d)||^2`` over the shapes.

    Args:
        neural: R_phi(x_d), (B, 1, H, W).
        target: R_d(x_d), (B, 1, H, W).
        reduction: over the pixels of a picture. "sum" is the norm that is written. With "mean" it is H W times
            smaller, and lambda = 100 means what 100 / (H W), 100 / 16384 at the paper's size, would mean there.

    Raises:
        ShapeError, DTypeError, DomainError: not pictures of one size, or none.
    """
    check_tensor("neural", neural, "B 1 H W", finite=False)
    check_tensor("target", target, " ".join(map(str, neural.shape)), finite=False)
    if not neural.numel():
        raise DomainError("neural", "no pictures", "at least one")
    error = (neural - target).square()
    return error.mean() if reduction == "mean" else error.sum() / len(error)


def dom_loss(off_the_shelf: Tensor, neural: Tensor, clip: float = 0.0) -> Tensor:
    """Equation 8, discriminator output matching: ``mean (F(R_d(x_d)) - F(R_phi(x_c)))^2``, F = log D.

    Args:
        off_the_shelf: logits of R_d(x_d), (B,).
        neural: logits of R_phi(x_c), (B,).
        clip: see `log_discriminator`.

    Raises:
        ShapeError, DTypeError, DomainError: as `discriminator_loss`.
    """
    check_tensor("neural", neural, str(len(_logits("off_the_shelf", off_the_shelf))), finite=False)
    return (log_discriminator(off_the_shelf, clip) - log_discriminator(neural, clip)).square().mean()


def renderer_loss(l2: Tensor, dom: Tensor, weight: float = 100.0) -> Tensor:
    """Equation 9: ``L_2 + lambda L_DOM``.

    Args:
        l2: see `render_loss`, ().
        dom: see `dom_loss`, ().
        weight: lambda; 100 in the paper, which found training stable against other values.
    """
    return l2 + weight * dom


def log_discriminator(logits: Tensor, clip: float = 0.0) -> Tensor:
    """F = log D of equation 8, (B,) of logits (B,).

    Args:
        logits: of D.
        clip: F has no lower bound, so that one picture that D is sure of can outweigh a batch. Logits below ``-clip``
            count as that, without a gradient; 0, as the paper, for no such bound. 10 is a sensible one.
    """
    return -softplus(-(logits.clamp_min(-clip) if clip else logits))


def _logits(name: str, value: Tensor) -> Tensor:
    """NaN is left to `labkit.train.guard.descend`, which tells the terms apart."""
    check_tensor(name, value, "B", finite=False)
    if not len(value):
        raise DomainError(name, "no logits", "at least one")
    return value
