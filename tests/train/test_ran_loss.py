"""RAN's losses by hand, whom each of them trains, and the cache of pictures against doing everything anew."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.train import ran
from labkit.train.distributed import Team
from labkit.train.guard import descend
from labkit.train.ran_loss import LOSSES, ORDER, Network, Pictures, learners, loss_terms
from labkit.train.ran_networks import Networks
from labkit.train.ran_render import random_shapes

TINY = ran.PRESETS["tiny"]
TEAM = Team(torch.device("cpu"))
EVERYONE = {"discriminator", "b2a", "reconstructor", "a2b"}
TRAINED = {  # section 3.3 and figure 11: L_1 has no b2a, L_2 no a2b, L_5 no R
    "1": EVERYONE - {"b2a"},
    "2": EVERYONE - {"a2b"},
    "3": EVERYONE,
    "4": EVERYONE,
    "5": EVERYONE - {"reconstructor"},
    "random": {"discriminator"},
    "direct": {"reconstructor"},
}


def flat(value: float) -> Tensor:
    return torch.full((2, 1, 4, 4), value, dtype=torch.float64)


def stubs() -> Pictures:
    """a = 0.2, b' = 0.5, b'' = 0.9, and b2a halves: a' = 0.25, a'' = 0.45."""
    return Pictures(
        {"a": flat(0.2), "a other": flat(0.3), "b random": flat(0.6)},
        {
            "b prime": lambda _: flat(0.5),
            "b second": lambda _: flat(0.9),
            "a prime": lambda made: made["b prime"] / 2,
            "a second": lambda made: made["b second"] / 2,
        },
    )


def judge(a: Tensor, b: Tensor) -> Tensor:
    """logit D(a, b) = 2 a - b."""
    return (2 * a - b).mean((1, 2, 3))


# Logits of the real and the fake pair, and the L1 terms, all worked out by hand from the numbers above.
BY_HAND = {
    "1": (-0.5, -0.1, 0.4),  # D(a, b''), D(a, b'), |b'' - b'|
    "2": (-0.5, 0.0, 0.25),  # D(a, b''), D(a'', b''), |a'' - a|
    "3": (-0.1, 0.4, 0.65),  # D(a, b'), D(a'', b'), |a'' - a| + |b'' - b'|
    "4": (-0.5, -0.4, 0.45),  # D(a, b''), D(a', b''), |a' - a| + |b'' - b'|
    "5": (-0.1, 0.0, 0.05),  # D(a, b'), D(a', b'), |a' - a|
    "random": (0.0, 0.1, 0.0),
}
PLAYED_BY: dict[tuple[str, str], str] = {  # of the real and the fake pair, those that a network has a part in
    ("1", "reconstructor"): "real",
    ("1", "a2b"): "fake",
    ("2", "b2a"): "fake",
    ("2", "reconstructor"): "both",
    ("3", "b2a"): "fake",
    ("3", "reconstructor"): "fake",
    ("3", "a2b"): "both",
    ("4", "b2a"): "fake",
    ("4", "reconstructor"): "both",
    ("4", "a2b"): "fake",
    ("5", "b2a"): "fake",
    ("5", "a2b"): "both",
}
PIXELS = {  # the L1 terms likewise
    **{("1", name): 0.4 for name in ("reconstructor", "a2b")},
    **{("2", name): 0.25 for name in ("b2a", "reconstructor")},
    ("3", "b2a"): 0.25,
    ("3", "reconstructor"): 0.65,
    ("3", "a2b"): 0.4,
    ("4", "b2a"): 0.05,
    ("4", "reconstructor"): 0.4,
    ("4", "a2b"): 0.45,
    **{("5", name): 0.05 for name in ("b2a", "a2b")},
}


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.mark.parametrize("loss", BY_HAND)
def test_the_discriminators_loss_by_hand(loss: str) -> None:
    real, fake, _ = BY_HAND[loss]
    terms = loss_terms(loss, "discriminator", stubs(), judge, 10.0)
    expected = -math.log(probability(real)) - math.log(1 - probability(fake))
    assert terms.keys() == {"game"}
    assert terms["game"].item() == pytest.approx(expected, rel=FLOAT64["rtol"])


@pytest.mark.parametrize(("loss", "network"), PLAYED_BY)
@pytest.mark.parametrize("saturating", [False, True])
def test_the_others_losses_by_hand(loss: str, network: Network, saturating: bool) -> None:
    real, fake, _ = BY_HAND[loss]
    side = PLAYED_BY[loss, network]
    expected = 0.0
    if side != "fake":
        d = probability(real)
        expected += math.log(d) if saturating else -math.log(1 - d)
    if side != "real":
        d = probability(fake)
        expected += math.log(1 - d) if saturating else -math.log(d)
    terms = loss_terms(loss, network, stubs(), judge, 10.0, saturating)
    assert terms["game"].item() == pytest.approx(expected, rel=FLOAT64["rtol"])
    assert terms["pixels"].item() == pytest.approx(10 * PIXELS[loss, network], rel=FLOAT64["rtol"])
    assert loss_terms(loss, network, stubs(), judge, 0.0, saturating).keys() == {"game"}


@pytest.mark.parametrize("loss", ["1", "2", "3", "4", "5"])
def test_the_whole_loss_is_the_corrected_one(loss: str) -> None:
    """Every term of the table, whoever it trains: log D(real) + log (1 - D(fake)) + L1."""
    real, fake, pixels = BY_HAND[loss]
    pictures, terms = stubs(), LOSSES[loss]
    (a, b), (c, d) = terms.real, terms.fake
    assert judge(pictures[a], pictures[b])[0].item() == pytest.approx(real, abs=FLOAT64["atol"])
    assert judge(pictures[c], pictures[d])[0].item() == pytest.approx(fake, abs=FLOAT64["atol"])
    total = sum((pictures[one] - pictures[other]).abs().mean() for one, other in terms.equal)
    assert total.item() == pytest.approx(pixels, rel=FLOAT64["rtol"])
    saturated = loss_terms(loss, "discriminator", pictures, judge, 1.0)["game"]
    assert (total - saturated).item() == pytest.approx(
        math.log(probability(real)) + math.log(1 - probability(fake)) + pixels
    )


def test_the_baseline_by_hand() -> None:
    terms = loss_terms("direct", "reconstructor", stubs(), judge, 10.0)
    assert {name: value.item() for name, value in terms.items()} == {"pixels": pytest.approx(7.0)}


def networks(generator: torch.Generator) -> Networks:
    return Networks.fresh(replace(TINY, nets=replace(TINY.nets, dropout=0.0)), generator)


def drawn(nets: Networks, generator: torch.Generator) -> Pictures:
    a, other = torch.rand(2, 2, 2, 32, 32, generator=generator)
    guessed = random_shapes(nets.sphere.vertices, 2, generator)
    return nets.pictures(a, torch.tensor([[0.0, 90.0], [0.0, 90.0]]), other=other, random=guessed)


@pytest.mark.parametrize("loss", LOSSES)
def test_whom_each_loss_reaches(loss: str, generator: torch.Generator) -> None:
    """All of a loss, with nothing held constant: its gradient arrives in the listed networks, and in no others."""
    nets = networks(generator)
    pictures, terms = drawn(nets, generator), LOSSES[loss]
    total = torch.zeros(())
    if loss == "random":  # it is D's alone: a2b learns nothing from pictures of other objects
        total = loss_terms(loss, "discriminator", pictures, nets.judge, 1.0)["game"]
        pictures = drawn(nets, generator)
    else:
        for pair in filter(None, (terms.real, terms.fake)):
            total = total + nets.judge(pictures[pair[0]], pictures[pair[1]]).square().sum()
        total = total + sum((pictures[one] - pictures[other]).square().sum() for one, other in terms.equal)
    names = [name for name in nets.modules if name != "dials"]
    total.backward()
    reached = {
        name
        for name in names
        if any(p.grad is not None and bool(p.grad.any()) for p in nets.modules[name].parameters())
    }
    if loss == "random":
        reached -= {"a2b"}
    assert reached == TRAINED[loss] == set(learners(loss))


@pytest.mark.parametrize(("loss", "network"), [(loss, name) for loss in LOSSES for name in sorted(TRAINED[loss])])
def test_a_descent_moves_one_network_only(loss: str, network: Network, generator: torch.Generator) -> None:
    nets = networks(generator)
    parameters = dict(nets.modules[network].named_parameters())
    before = {name: [p.clone() for p in module.parameters()] for name, module in nets.modules.items()}
    terms = loss_terms(loss, network, drawn(nets, generator), nets.judge, 10.0)
    total = torch.stack(list(terms.values())).sum()
    adam = torch.optim.Adam(parameters.values(), 1e-3)
    norm = descend(total, terms, adam, parameters, TEAM, average=True)
    assert norm > 0
    for name, module in nets.modules.items():
        moved = [not torch.equal(p, old) for p, old in zip(module.parameters(), before[name], strict=True)]
        assert all(moved) if name == network else not any(moved), name
        assert name == network or all(p.grad is None for p in module.parameters())


def test_learners_come_in_order() -> None:
    assert all(list(learners(loss)) == [name for name in ORDER if name in TRAINED[loss]] for loss in LOSSES)


def test_pictures_are_made_once_until_a_maker_learns() -> None:
    calls: list[str] = []

    def made(name: str, *needs: str):  # type: ignore[no-untyped-def]
        def make(pictures: Pictures) -> Tensor:
            for need in needs:
                pictures[need]
            calls.append(name)
            return flat(0.5)

        return make

    pictures = Pictures(
        {"a": flat(0.0)},
        {
            "vertices": made("vertices"),
            "b prime": made("b prime"),
            "b second": made("b second", "vertices"),
            "a prime": made("a prime", "b prime"),
            "a second": made("a second", "b second"),
        },
    )

    def ask() -> set[str]:
        calls.clear()
        for name in ("a", "a second", "b prime", "a prime", "b second", "a second"):
            pictures[name]
        assert len(calls) == len(set(calls))
        return set(calls)

    assert ask() == {"vertices", "b prime", "b second", "a prime", "a second"}
    assert ask() == set()
    for network, remade in (
        ("discriminator", set()),
        ("b2a", {"a prime", "a second"}),
        ("reconstructor", {"vertices", "b second", "a second"}),
        ("a2b", {"b prime", "a prime"}),
    ):
        pictures.learned(network)  # type: ignore[arg-type]
        assert ask() == remade


def test_gradients_are_those_of_finite_differences(generator: torch.Generator) -> None:
    """Of L_3 and R, through b2a, Inv and D, along a random direction in R's last layer, in float64."""
    nets = networks(generator)
    for name in EVERYONE:
        nets.modules[name].double()
    a = torch.rand(1, 2, 32, 32, generator=generator, dtype=torch.float64)
    pictures = nets.pictures(a, torch.tensor([[0.0, 90.0]]))
    weight = nets.modules["reconstructor"].last.bias
    way = torch.randn(weight.shape, generator=generator, dtype=torch.float64)

    def value() -> Tensor:
        pictures.learned("reconstructor")
        return sum(loss_terms("3", "reconstructor", pictures, nets.judge, 1.0).values())

    (slope,) = torch.autograd.grad(value(), weight)
    ends = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight += step * way
            ends.append(value().item())
            weight -= step * way
    # L1 has a kink in each pixel
    assert (slope * way).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)
