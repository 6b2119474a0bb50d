"""IG-GAN as a recipe: every method and ablation trains and resumes; what each update may change; faults; previews."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
import torch
from tolerances import FLOAT32
from torch import Tensor

from labkit.data.rendered_source import drawn_from
from labkit.errors import DomainError, LabError
from labkit.events import Done, Event, Failed, MeshPreview, Picture, Saved, Step, Tuned
from labkit.train import iggan, iggan_trainer
from labkit.train.checkpoint import Checkpoints
from labkit.train.config import from_json, replace_path, to_json
from labkit.train.distributed import Team
from labkit.train.guard import NonFiniteError
from labkit.train.iggan_config import IGGAN
from labkit.train.iggan_networks import Networks, binarized, latents
from labkit.train.iggan_scene import OffTheShelf, camera_of, category, grid_of
from labkit.train.iggan_trainer import IGGANGame

TINY = iggan.PRESETS["tiny"]
TEAM = Team(torch.device("cpu"))
METHODS = ("iggan", "visual-hull", "absorption-only", "emission-absorption", "dcgan")


def tiny(**changes: object) -> IGGAN:
    config = TINY
    for path, value in changes.items():
        config = replace_path(config, path.replace("__", "."), value)
    return config


@pytest.fixture
def stack() -> ExitStack:
    with ExitStack() as stack:
        yield stack


def steps(events: list[Event]) -> list[dict[str, float]]:
    return [
        {name: value for name, value in event.values.items() if name != "seconds"}
        for event in events
        if isinstance(event, Step)
    ]


OPTIONS: dict[str, dict[str, object]] = {
    **{method: {"method": method, "generator__norm": "batch"} for method in METHODS},
    "without DOM": {"neural__dom": 0.0},
    "fixed, off the shelf": {"neural__dom": 0.0, "neural__training": "fixed"},
    "retrained, neural": {"neural__dom": 0.0, "discriminator__sees": "neural"},
    "fixed, neural": {"neural__training": "fixed", "discriminator__sees": "neural"},
    "pre-trained on chairs": {"neural__pretrain_on": "chair", "data__source": "couch", "data__wall": 0},
    "pre-trained on cubes": {"neural__pretrain_on": "cubes", "data__views": "lvp"},
    "unlimited": {"data__amount": "unlimited", "neural__reduction": "mean", "neural__dom": 100 / 1024},
    "uniform z, clipped F": {"generator__prior": "uniform", "neural__clip": 10.0, "off_the_shelf__surface": "cubes"},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_method_and_ablation_resumes_bit_for_bit(option: str, tmp_path: Path) -> None:
    """Broken off after the pre-training and one step, and in one piece: the same figures, networks and moments."""
    config = replace(tiny(**OPTIONS[option]), steps=4, save_every=100, measured=replace(TINY.measured, shapes=2))
    whole = list(iggan.train(config, tmp_path / "whole"))
    first = list(iggan.train(replace(config, steps=3), tmp_path / "parts"))
    second = list(iggan.train(config, tmp_path / "parts", resume=True))
    assert steps(first) + steps(second) == steps(whole)
    a, b = (Checkpoints(tmp_path / name).load("latest")[1].tensors for name in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[group][name], b[group][name]) for group in a for name in a[group])
    names = {name for figures in steps(whole) for name in figures}
    assert ("loss DOM" in names) == (config.method == "iggan" and option not in WITHOUT_DOM)
    assert isinstance(whole[-1], Done)
    assert set(whole[-1].values) >= ({"cavity data", "undecided"} if config.method != "dcgan" else set())


WITHOUT_DOM = ("without DOM", "fixed, off the shelf", "retrained, neural", "fixed, neural")

# What each update may change. The first column's losses have gradients nowhere else.
REACH = {
    "equation 2, discriminator": {"discriminator"},
    "equations 3 and 7, generator": {"generator"},
    "equation 5, L2 alone": {"neural"},
    "equations 8 and 9, with DOM": {"neural"},
}


@pytest.mark.parametrize("equation", REACH)
def test_a_loss_reaches_its_own_network_only(equation: str, stack: ExitStack, generator: torch.Generator) -> None:
    """Every parameter of that network has a gradient and moves; all other parameters and buffers stay, bit for bit."""
    game = IGGANGame(tiny(generator__norm="batch"), TEAM, stack)
    latent = latents(TINY.generator, 4, generator)
    camera = camera_of(torch.tensor([[0.0, 20.0], [90.0, 30.0], [200.0, 40.0], [300.0, 50.0]]))
    shapes = game.networks.generator(latent)
    turned = game.turn(shapes, camera.rotation)
    solid = binarized(shapes.detach(), torch.full((4,), shapes.median().item()))
    seen = game.off_the_shelf(solid, camera)
    game.networks.discriminator.eval()
    before = snapshot_of(game)
    if equation.startswith("equation 2"):
        game.judge(torch.arange(4), seen)
    elif equation.startswith("equations 3"):
        game.fool(game.neural(turned))
    else:
        found = turned.detach() if "DOM" in equation else None
        game.render(game.turn(solid, camera.rotation), seen, found, 1e-3)
    after = snapshot_of(game)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parameters = {
        f"{name}.{key}": value for name, module in game.modules.items() for key, value in module.named_parameters()
    }
    reached = {name for name, value in parameters.items() if value.grad is not None and value.grad.any()}
    own = {name for name in parameters if name.split(".")[0] in REACH[equation]}
    assert reached == own
    assert changed & parameters.keys() == own
    assert {name.split(".")[0] for name in changed} == REACH[equation]


def snapshot_of(game: IGGANGame) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in game.modules.items()
        for key, value in module.state_dict().items()
    }


def test_dom_moves_the_renderer_and_l2_alone_does_not_see_it(stack: ExitStack) -> None:
    """From one start: the update with lambda 100 differs from that with 0, by the turned dial alone."""
    found = []
    for weight in (0.0, 100.0):
        game = IGGANGame(tiny(neural__pretrain_steps=0), TEAM, stack)
        game.dials.turn({"dom": weight})
        figures = game.step(1)
        assert ("loss DOM" in figures) == bool(weight)
        found.append(torch.cat([value.flatten() for value in game.neural.parameters()]))
    assert not torch.equal(*found)


def test_the_data_are_real_to_the_discriminator_and_generated_shapes_are_not(stack: ExitStack) -> None:
    """A few updates of D alone: what it says of the data rises above what it says of R_d(x_d)."""
    game = IGGANGame(tiny(discriminator__learning_rate=2e-3), TEAM, stack)
    camera = camera_of(torch.tensor([[0.0, 20.0]]).expand(4, 2))
    seen = game.off_the_shelf(torch.ones(4, 1, 16, 16, 16, dtype=torch.bool), camera)
    figures = [game.judge(torch.arange(4), seen) for _ in range(30)]
    assert figures[-1]["D data"] > 0.7 > 0.3 > figures[-1]["D generated"]
    assert figures[-1]["loss discriminator"] < figures[0]["loss discriminator"] / 2


def test_the_neural_renderer_learns_to_see_and_to_match(stack: ExitStack, generator: torch.Generator) -> None:
    """Better than a blank sheet, where it once was stuck; and what D says of x_c becomes what D says of R_d(x_d)."""
    game = IGGANGame(tiny(neural__width=8, discriminator__learning_rate=2e-3), TEAM, stack)
    solid = game.known(torch.arange(4))
    camera = camera_of(torch.tensor([[90.0 * n, 20.0 + 10 * n] for n in range(4)]))
    seen, turned = game.off_the_shelf(solid, camera), game.turn(solid, camera.rotation)
    blank = (1 - seen).square().sum() / 4
    learned = [game.render(turned, seen, None, 1e-3)["loss render"] for _ in range(40)]
    assert learned[-1] < blank / 4
    for _ in range(12):
        game.judge(torch.arange(4), seen)
    cloud = 0.3 * turned
    matched = [game.render(turned, seen, cloud, 2e-4)["loss DOM"] for _ in range(25)]
    assert matched[-1] < matched[0] / 4


def test_empty_and_full_shapes_do_not_fail(stack: ExitStack) -> None:
    """An empty grid is the background for R_d; a step whose shapes are all empty still is a step."""
    game = IGGANGame(tiny(neural__pretrain_steps=0), TEAM, stack)
    camera = camera_of(torch.tensor([[10.0, 20.0], [10.0, 20.0]]))
    both = torch.stack([torch.zeros(1, 16, 16, 16), torch.ones(1, 16, 16, 16)]).bool()
    empty, full = game.off_the_shelf(both, camera)
    assert (empty == 1).all()
    assert full.min() < 0.9
    with torch.no_grad():
        game.networks.generator.layers[-1].bias.fill_(-50.0)
    figures = game.step(1)
    assert all(torch.isfinite(torch.as_tensor(value)) for value in figures.values())


def test_both_renderers_see_the_same_view(stack: ExitStack) -> None:
    """The silhouette of a turned grid is that of R_d's picture, and not that of its mirror images."""
    game = IGGANGame(tiny(off_the_shelf__surface="cubes"), TEAM, stack)
    grid = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    grid[:, :, :, :6, 2:14] = True
    grid[:, :, :6, 6:, 4:10] = True

    def agreement(a: Tensor, b: Tensor) -> float:
        return ((a & b).sum() / (a | b).sum()).item()

    for azimuth, elevation in ((0.0, 0.0), (35.0, 20.0), (250.0, 55.0)):
        camera = camera_of(torch.tensor([[azimuth, elevation]]))
        turned = game.turn(grid, camera.rotation)  # (1, 1, x, y, z)
        silhouette = turned.amax(-1).mT.flip(-2) > 0.3
        shaded = game.off_the_shelf(grid, camera) < 0.8
        assert agreement(silhouette, shaded) > 0.9  # the rest is a part of a pixel along the outline
        assert all(agreement(silhouette.flip(axis), shaded) < 0.85 for axis in (-1, -2))


def test_a_true_shape_looks_as_in_the_data(stack: ExitStack) -> None:
    """R_d shows a shape of the category, from the view of its picture, as the data do, to the last bit."""
    config = tiny(data__amount="unlimited")
    game = IGGANGame(config, TEAM, stack)
    shapes = category(config.data)
    for number in range(3):
        azimuth, elevation = game.rule.draw(drawn_from(config.data.seed, number), 1)
        solid = shapes.voxels(number, 16).values[None, None]
        picture = game.off_the_shelf(solid, camera_of(torch.stack([azimuth, elevation], -1)))
        assert torch.equal(picture, game.source.images(torch.tensor([number])))
        assert picture.min() < 0.5


def test_several_renderers_draw_what_one_draws(generator: torch.Generator) -> None:
    """Also where there are fewer shapes than renderers."""
    solid = torch.rand(5, 1, 16, 16, 16, generator=generator) > 0.6
    camera = camera_of(torch.tensor([[70.0 * n, 10.0 * n] for n in range(5)]))
    with OffTheShelf(TINY.off_the_shelf, 32) as one, OffTheShelf(replace(TINY.off_the_shelf, processes=3), 32) as three:
        torch.testing.assert_close(three(solid, camera), one(solid, camera), rtol=0, atol=0)
        first = camera_of(torch.tensor([[0.0, 0.0]]))
        torch.testing.assert_close(three(solid[:1], first), one(solid, camera)[:1], rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS[1:4])
def test_a_fog_is_as_dense_at_every_resolution(method: str) -> None:
    """A thin cloud that fills the shape's cube, seen head on, in the middle of the picture."""
    shown = []
    for resolution in (16, 32, 64):
        networks = Networks.fresh(tiny(method=method, resolution=resolution), torch.Generator())
        cloud = torch.full((1, 1, *[resolution] * 3), 0.05)
        picture = networks.picture(cloud, camera_of(torch.zeros(1, 2)).rotation)
        shown.append(picture[0, 0, resolution, resolution].item())
    assert 0.02 < shown[-1] < 0.98
    assert max(shown) - min(shown) < 0.02


def test_a_nan_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G's loss of one step is NaN, after D and R_phi have been updated: both are put back, and the run is saved."""
    clean = list(iggan.train(tiny(steps=4), tmp_path / "clean"))
    right, calls = iggan_trainer.generator_loss, []

    def wrong(logits: Tensor) -> Tensor:
        calls.append(logits)
        return right(logits) * (torch.nan if len(calls) == 3 else 1)  # step 5, after two of pre-training

    monkeypatch.setattr(iggan_trainer, "generator_loss", wrong)
    poisoned = list(iggan.train(tiny(), tmp_path / "run"))
    failed = poisoned[-1]
    assert isinstance(failed, Failed)
    assert "generator" in failed.message
    assert steps(poisoned) == steps(clean)
    a, b = (Checkpoints(tmp_path / name).load("latest")[1].tensors for name in ("run", "clean"))
    assert all(torch.equal(a[group][name], b[group][name]) for group in a for name in a[group])
    again = list(iggan.train(tiny(), tmp_path / "run", resume=True))  # the poison has passed
    assert isinstance(again[-1], Done)


def test_everything_is_put_back_in_memory_too(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    game = IGGANGame(tiny(neural__pretrain_steps=0, generator__norm="batch"), TEAM, stack)
    game.step(1)
    before = snapshot_of(game)
    monkeypatch.setattr(iggan_trainer, "generator_loss", lambda logits: logits.sum() * torch.nan)
    with pytest.raises(NonFiniteError, match="generator"):
        game.step(2)
    assert all(torch.equal(value, before[name]) for name, value in snapshot_of(game).items())


def test_previews_and_truth(tmp_path: Path) -> None:
    events = list(iggan.train(replace(TINY, steps=3, preview_every=0.01), tmp_path / "run"))
    assert {e.name for e in events if isinstance(e, MeshPreview)} == {
        f"{name} {n}" for name in ("shape", "truth") for n in range(4)
    }
    sheets = [event for event in events if isinstance(event, Picture)]
    assert {event.name for event in sheets} == {"off-the-shelf", "neural", "data"}
    assert len({event.image.shape for event in sheets}) == 1
    assert any(isinstance(event, Tuned) and event.values == {"dom": 100.0} for event in events)
    assert steps(list(iggan.train(replace(TINY, steps=3)))) == steps(events)  # previews take no random numbers
    for method, names in (("visual-hull", {"off-the-shelf", "own renderer", "data"}), ("dcgan", {"generated", "data"})):
        found = iggan.train(replace(TINY, steps=1, method=method, preview_every=0.01))
        assert {event.name for event in found if isinstance(event, Picture)} == names
    assert [event.name for event in iggan.preview(TINY)] == [f"truth {n}" for n in range(4)]


def test_load_and_look(tmp_path: Path, generator: torch.Generator) -> None:
    """What a notebook sees is what the networks of the checkpoint say."""
    list(iggan.train(replace(TINY, steps=3), tmp_path / "run"))
    networks = iggan.load(tmp_path / "run")
    assert networks.config == replace(TINY, steps=3)
    assert not any(module.training for module in networks.modules.values())
    drawn = latents(TINY.generator, 3, generator)
    camera = camera_of(torch.tensor([[0.0, 20.0], [120.0, 30.0], [240.0, 40.0]]))
    with OffTheShelf(TINY.off_the_shelf, TINY.size) as off_the_shelf:
        level = networks.generator(drawn).median().item()
        look = networks.look(drawn, camera, level, off_the_shelf)
        solid = look.shapes > level
        torch.testing.assert_close(look.off_the_shelf, off_the_shelf(solid, camera))
        assert all(len(mesh.faces) for mesh in look.meshes)
        nothing = networks.look(drawn, camera, torch.tensor([1.0, 1.0, level]), off_the_shelf)
    assert [len(mesh.faces) > 0 for mesh in nothing.meshes] == [False, False, True]
    assert (nothing.off_the_shelf[:2] == 1).all()
    for pictures, output in ((look.neural, look.neural_output), (look.off_the_shelf, look.off_the_shelf_output)):
        torch.testing.assert_close(output, networks.discriminator(pictures).sigmoid().log(), **FLOAT32)
    assert grid_of(solid[0]).values.shape == (16, 16, 16)
    list(iggan.train(replace(TINY, steps=1, method="dcgan"), tmp_path / "pictures"))
    flat = iggan.load(tmp_path / "pictures")
    with pytest.raises(DomainError, match="dcgan"):
        flat.picture(look.shapes, camera.rotation)


def test_features_give_fid_and_kid(tmp_path: Path) -> None:
    from labkit.train import features

    list(features.train(replace(features.PRESETS["tiny"], steps=2), tmp_path / "features"))
    measured = replace(TINY.measured, features=str(tmp_path / "features"), pictures=24)
    for method in ("iggan", "dcgan"):
        config = replace(TINY, steps=1, method=method, measured=measured)
        events = list(iggan.train(config, tmp_path / method))
        done = events[-1]
        assert {"fid (N=24)", "kid (N=24)"} <= set(done.values)
        assert done.values["fid (N=24)"] > 0
        assert any(isinstance(event, Saved) and event.best for event in events)
    with pytest.raises(LabError, match="64 pixels"):
        next(iggan.train(replace(TINY, resolution=32, measured=measured)))


def test_what_is_refused(tmp_path: Path) -> None:
    for path, value in (
        ("resolution", 48),
        ("batch", 0),
        ("beta1", 1.0),
        ("data.path", "somewhere"),
        ("neural.pretrain_steps", -1),
        ("off_the_shelf.background", 1.5),
        ("generator.learning_rate", 0.0),
    ):
        with pytest.raises(LabError, match=path.split(".")[-1]):
            replace_path(TINY, path, value)
    with pytest.raises(DomainError, match="method"):
        tiny(data={**to_json(TINY.data), "source": "folder", "path": "x", "wall": 0}, method="visual-hull")
    with pytest.raises(LabError, match="nowhere"):
        next(iggan.train(tiny(data={**to_json(TINY.data), "source": "folder", "path": str(tmp_path / "nowhere")})))
    for config in iggan.PRESETS.values():
        assert from_json(IGGAN, to_json(config)) == config
