"""The recipe of the feature network: its pictures, its steps, what it learns, and that everybody gets the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tolerances import FLOAT32
from torch import Tensor

from labkit.data.categories import CATEGORIES
from labkit.data.rendered_source import rendered_source
from labkit.data.view_rules import ViewRule
from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.events import Done, Event, Picture, Saved, Step
from labkit.train.distributed import Team
from labkit.train.features import (
    PRESETS,
    Features,
    FeatureTrainer,
    confusion,
    image_features,
    load,
    network,
    preview,
    source,
    train,
)
from labkit.train.fid import FeatureStatistics, frechet_distance
from labkit.train.run_folder import RunFolder
from labkit.train.train_state import state_of

TINY = PRESETS["tiny"]
ONE = Team(torch.device("cpu"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for the pictures of all tests here."""
    return str(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def trained(cache: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Features, Path, list[Event]]:
    """A run that takes seconds and learns."""
    config = replace(TINY, steps=160, save_every=80, preview_every=1e3, shapes=12, unseen=4, features=16, width=8)
    config = replace(config, batch=32, learning_rate=4e-3, cache=cache)
    run = tmp_path_factory.mktemp("runs") / "features"
    return config, run, list(train(config, run))


def state(config: Features, steps: int) -> dict[str, dict[str, Tensor]]:
    """Everything that a checkpoint would hold after some steps."""
    trainer = FeatureTrainer(config, ONE)
    for number in range(1, steps + 1):
        trainer.step(number)
    return state_of(trainer.modules, trainer.optimizers, trainer.generators).tensors


def test_it_learns(trained: tuple[Features, Path, list[Event]]) -> None:
    """On its few shapes it comes to know most; of unseen ones far more than the 1 in 8 of a guess."""
    _, _, events = trained
    done = events[-1]
    assert isinstance(done, Done)
    assert done.values["accuracy training"] > 0.8
    assert done.values["accuracy unseen"] > 0.4
    assert 0 <= done.values["accuracy worst"] <= done.values["accuracy unseen"] <= 1
    losses = [event.values["loss"] for event in events if isinstance(event, Step)]
    assert sum(losses[-8:]) < sum(losses[:8]) / 2
    assert [event.number for event in events if isinstance(event, Saved)] == [80, 160]


def test_pictures_of_a_run(trained: tuple[Features, Path, list[Event]]) -> None:
    """The categories in rows, and the confusion matrix, whose diagonal is the accuracy."""
    config, _, events = trained
    pictures = [event for event in events if isinstance(event, Picture)]
    side = config.size * 4 + 2 * 3, config.size * 8 + 2 * 7
    assert (pictures[0].name, pictures[0].image.shape) == ("truth pictures", (1, side[1], side[0]))
    last = pictures[-1]
    assert (last.name, last.number, last.image.shape) == ("confusion", 160, (1, 128, 128))
    shares = last.image[0, ::16, ::16]
    torch.testing.assert_close(shares.sum(1), torch.ones(8), **FLOAT32)
    done = events[-1]
    assert isinstance(done, Done)
    assert shares.diag().mean().item() == pytest.approx(done.values["accuracy unseen"])
    (before,) = preview(replace(config, cache=""))
    assert isinstance(before, Picture)
    assert torch.equal(before.image, pictures[0].image)


def test_pictures_of_a_category(cache: str) -> None:
    """Picture n is of category n modulo 8; no training picture is unseen; its number tells all of it."""
    config = replace(TINY, cache=cache)
    seen, unseen = source(config, "train", 2), source(config, "test", 2)
    assert (seen.count, seen.size) == (16, (32, 32))
    assert not (seen.images(torch.arange(16)) == unseen.images(torch.arange(16))).flatten(1).all(1).any()
    more = source(config, "train", 3).images(torch.arange(16))
    assert torch.equal(more, seen.images(torch.arange(16)))
    level = replace(config, elevation=(15.0, 15.0), cache="")
    options = {"renderer": "hard", "size": 32, "resolution": 16, "from_voxels": True, "surface": "marching"}
    alone = rendered_source("lamp", ViewRule((0, 0), (15, 15)), models=1, **options).images(torch.arange(1))
    ink = 1 - source(level, "train", 1).images(torch.arange(8))
    places = ink.sum((1, 2, 3))
    assert places[CATEGORIES.index("lamp")].item() == pytest.approx((1 - alone).sum().item(), rel=0.3)  # it is round


def test_a_step(cache: str) -> None:
    """Of the numbers that the stream gives: their pictures, mirrored or not, and their categories."""
    config = replace(TINY, cache=cache, batch=32, decay_every=2)
    trainer = FeatureTrainer(config, ONE)
    figures = trainer.step(1)
    pictures = source(config, "train", 2).images(torch.arange(16))
    both = torch.stack([pictures, pictures.flip(-1)], 1)  # (16, 2, 1, 32, 32)
    same = (trainer.batch["images"][:, None, None] == both).flatten(3).all(3)  # (32, 16, 2)
    assert same.any(2).sum(1).min() == 1
    number, mirrored = same.any(2).int().argmax(1), ~same[:, :, 0].any(1)
    assert torch.equal(number % 8, trainer.batch["labels"])
    assert 4 < mirrored.sum() < 28
    logits = network(config)(trainer.batch["images"])
    expected = (logits.logsumexp(1) - logits.gather(1, trainer.batch["labels"][:, None])[:, 0]).mean()
    assert float(figures["loss"]) == pytest.approx(expected.item(), rel=1e-5)
    rates = []
    for step in (1, 2, 3, 4):
        trainer.step(step)
        rates.append(trainer.adam.param_groups[0]["lr"])
    assert rates == [2e-3, 1e-3, 1e-3, 5e-4]


def test_a_batch_that_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused before any picture is made."""
    monkeypatch.setattr("labkit.train.features.source", None)
    with pytest.raises(DomainError, match=r"batch: got 8 rows, expected a multiple of the 3"):
        FeatureTrainer(TINY, Team(torch.device("cpu"), world=3))


def test_everybody_gets_the_same(cache: str) -> None:
    """The same bits of the same config, whatever torch's own stream; others of another seed."""
    config = replace(TINY, cache=cache)
    first = state(config, 3)
    torch.rand(7)
    again, other = state(config, 3), state(replace(config, seed=1), 3)
    for group in ("module.net", "optimizer.adam"):
        torch.testing.assert_close(again[group], first[group], rtol=0, atol=0)
    assert not torch.equal(other["module.net"]["classifier.weight"], first["module.net"]["classifier.weight"])


def test_resumed_equals_uninterrupted(cache: str, tmp_path: Path) -> None:
    """To stop and go on leaves the same bits."""
    config = replace(TINY, cache=cache, decay_every=3)
    for _ in train(config, tmp_path / "whole"):
        pass
    for _ in train(replace(config, steps=5), tmp_path / "parts"):
        pass
    for _ in train(config, tmp_path / "parts", resume=True):
        pass
    whole, parts = (load(tmp_path / name).state_dict() for name in ("whole", "parts"))
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_load(trained: tuple[Features, Path, list[Event]], cache: str, tmp_path: Path) -> None:
    """The trained network, which is as good as the run says, at any checkpoint; nothing of another recipe."""
    config, run, events = trained
    net, earlier = load(run), load(run, 80)
    assert not net.training
    shares = confusion(net, source(config, "test", config.unseen))
    done = events[-1]
    assert isinstance(done, Done)
    assert shares.diag().mean().item() == pytest.approx(done.values["accuracy unseen"])
    assert not torch.equal(earlier.classifier.weight, net.classifier.weight)
    with pytest.raises(DomainError, match="a run of udr, expected a run of features"):
        load(RunFolder.create(tmp_path / "other", "udr", {}))


def test_image_features(generator: torch.Generator) -> None:
    """Those of the network, in chunks of any size, without a graph."""
    net = network(TINY)
    pictures = torch.rand(11, 1, 32, 32, generator=generator)
    whole = image_features(net, pictures)
    assert whole.shape == (11, 8)
    assert not whole.requires_grad
    torch.testing.assert_close(whole, net.features(pictures).detach(), **FLOAT32)
    torch.testing.assert_close(image_features(net, pictures, 4), whole, **FLOAT32)
    for images, error in ((pictures[..., :31], ShapeError), (pictures.double(), DTypeError)):
        with pytest.raises(error, match="images"):
            image_features(net, images)
    with pytest.raises(DomainError, match="chunk"):
        image_features(net, pictures, 0)


def test_distances_tell_categories_apart(trained: tuple[Features, Path, list[Event]]) -> None:
    """Other shapes of all categories are nearer to the first than those of half of the categories."""
    config, run, _ = trained
    found = image_features(load(run), source(config, "train", config.shapes).images(torch.arange(96)))
    half = found[48:][torch.arange(48) % 8 < 4]
    first, near, far = (FeatureStatistics.of(rows) for rows in (found[:48], found[48:], half))
    assert frechet_distance(first, near).value < frechet_distance(first, far).value / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 0}, "resolution"),
        ({"shapes": 0}, "shapes"),
        ({"unseen": 0}, "unseen"),
        ({"width": 0}, "width"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"decay_every": -1}, "decay_every"),
        ({"elevation": (20.0, 10.0)}, "elevation"),
        ({"renderer": "vtk"}, "renderer"),
    ],
)
def test_refused(change: dict[str, object], words: str) -> None:
    """With the field's name, before anything is rendered."""
    with pytest.raises(LabError, match=words):
        replace(TINY, **change)
