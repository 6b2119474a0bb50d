"""The five sub-RANs of figure 11 as a table, and the loss that each gives to each network.

As printed, L_3 and L_5 of AlgoNet, section 3.3, contradict figure 11 and appendix B: primes were lost. The fakes of
sub-RANs 2 and 3 (b, c of the figure) went through R, Inv and b2a, those of 4 and 5 (d, e) through a2b and b2a; D sees
b'' in 2 and 4, b' in 3 and 5. The table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Network = Literal["discriminator", "b2a", "reconstructor", "a2b"]
Pair = tuple[str, str]
ORDER: tuple[Network, ...] = ("discriminator", "b2a", "reconstructor", "a2b")
"""In which the networks are trained in each step (section 3.3): who is next to D goes before who is next to the input.
R and a2b share the third place; R has it first."""


@dataclass(frozen=True)
class SubRAN:
    """What one loss compares.

    Attributes:
        real, fake: the pairs (a, b) between which D decides, or None where there is no game.
        equal: pairs of pictures whose mean absolute difference is added.
    """

    real: Pair | None = None
    fake: Pair | None = None
    equal: tuple[Pair, ...] = ()


LOSSES: Mapping[str, SubRAN] = MappingProxyType(
    {
        "1": SubRAN(("a", "b second"), ("a", "b prime"), (("b second", "b prime"),)),
        "2": SubRAN(("a", "b second"), ("a second", "b second"), (("a second", "a"),)),
        "3": SubRAN(("a", "b prime"), ("a second", "b prime"), (("a second", "a"), ("b second", "b prime"))),
        "4": SubRAN(("a", "b second"), ("a prime", "b second"), (("a prime", "a"), ("b second", "b prime"))),
        "5": SubRAN(("a", "b prime"), ("a prime", "b prime"), (("a prime", "a"),)),
        "random": SubRAN(("a other", "b random"), ("a other", "b prime")),
        "direct": SubRAN(equal=(("b second", "a"),)),
    }
)
"""L_1 to L_5; for D alone, renders of random shapes against a2b's pictures, both beside pictures of A that have nothing
to do with them, so that the style of B is all that tells them apart; and the baseline that knows no translation."""

MADE_BY: Mapping[str, tuple[Network, ...]] = MappingProxyType(
    {
        "b prime": ("a2b",),
        "vertices": ("reconstructor",),
        "b second": ("reconstructor",),
        "a prime": ("a2b", "b2a"),
        "a second": ("reconstructor", "b2a"),
    }
)
"""Which networks a picture depends on, and the vertices R(a), which are kept beside them. All others are given."""


def learners(loss: str) -> tuple[Network, ...]:
    """Networks that a loss trains, in the order of `ORDER`: D where there is a game, and all that made a picture."""
    terms = LOSSES[loss]
    made = {network for pair in (terms.real, terms.fake, *terms.equal) for network in _makers(pair)}
    if loss == "random":
        made = set()
    return tuple(network for network in ORDER if network in made or (network == "discriminator" and terms.real))


class Pictures:
    """The pictures of one batch (figure 4), each made when it is first asked for and kept until a maker has learned.

    Args:
        given: pictures that are there, each (B, K, H, W).
        make: how to make each of the others.
    """

    def __init__(self, given: Mapping[str, Tensor], make: Mapping[str, Callable[[Pictures], Tensor]]) -> None:
        self._kept, self._make = dict(given), make

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._kept:
            self._kept[name] = self._make[name](self)
        return self._kept[name]

    def learned(self, network: Network) -> None:
        """Forget what the network had a part in."""
        for name, makers in MADE_BY.items():
            if network in makers:
                self._kept.pop(name, None)


def loss_terms(
    loss: str,
    network: Network,
    pictures: Pictures,
    judge: Callable[[Tensor, Tensor], Tensor],
    pixel: float,
    saturating: bool = False,
) -> dict[str, Tensor]:
    """What ``network`` descends in a loss, without alpha: a game and pixels, each () and only where it plays a part.

    For D the game is its binary cross entropy, ``-log D(real) - log(1 - D(fake))``. For the others it is, of the pairs
    that depend on them, the printed ``log D(real) + log(1 - D(fake))`` if ``saturating``, else
    ``-log(1 - D(real)) - log D(fake)``, which has the same fixed points and its gradient where D is right. Means over
    the batch; logarithms of probabilities come from the logits, so none is infinite.

    Args:
        loss: a key of `LOSSES`.
        network: who learns; one of ``learners(loss)``.
        pictures: of the batch.
        judge: D, logits (B,) of pairs.
        pixel: weight of the L1 terms, means over pixels; with 0 they are left out.
        saturating: see above.
    """
    terms = LOSSES[loss]
    found: dict[str, Tensor] = {}
    for sign, pair in ((1, terms.real), (-1, terms.fake)):
        if pair is None or (network != "discriminator" and network not in _makers(pair)):
            continue
        logits = sign * judge(pictures[pair[0]], pictures[pair[1]])  # large where D is right
        if network == "discriminator":
            value = F.softplus(-logits)
        else:
            value = -F.softplus(-logits) if saturating else F.softplus(logits)
        found["game"] = found.get("game", 0) + value.mean()
    for one, other in terms.equal if pixel and network != "discriminator" else ():
        if network in _makers((one, other)):
            found["pixels"] = found.get("pixels", 0) + pixel * (pictures[one] - pictures[other]).abs().mean()
    return found


def _makers(pair: Pair | None) -> set[Network]:
    return {network for name in pair or () for network in MADE_BY.get(name, ())}
