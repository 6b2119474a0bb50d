"""What RAN is made of besides its losses: the smooth renderer, random shapes, figures, and the data's variations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tolerances import FLOAT32

from labkit import AlgoNet, render
from labkit.data.view_sets import perspective
from labkit.errors import LabError
from labkit.geometry import Mesh, icosphere
from labkit.geometry.metrics import voxel_iou
from labkit.scene import Ambient, BlinnPhong, Directional
from labkit.train import ran
from labkit.train.distributed import Team
from labkit.train.ran_config import DataConfig, SmoothConfig
from labkit.train.ran_data import Problem, batch, problem
from labkit.train.ran_measure import Yardstick, mean_shape, occupancy
from labkit.train.ran_render import SmoothInverse, random_shapes
from labkit.train.ran_trainer import RANTrainer

TINY = ran.PRESETS["tiny"]
SPHERE = icosphere(1)


def test_inv_is_the_smooth_renderer(generator: torch.Generator) -> None:
    """Each picture is what `labkit.render` draws of that mesh from that camera, in grey; so a batch is its rows."""
    config = SmoothConfig(steepness=30.0, opacity=10.0, sliver_fade=0.2)
    inverse = SmoothInverse(SPHERE.faces, 24, 10.0, 0.9, config)
    vertices = random_shapes(SPHERE.vertices, 2, generator)
    azimuths = torch.tensor([[0.0, 90.0, 200.0], [0.0, 45.0, 180.0]])
    found = inverse(vertices, azimuths, 30.0, 10.0)
    assert found.shape == (2, 3, 24, 24)
    for n in range(2):
        for k in range(3):
            camera = perspective(azimuths[n, k].item(), 10.0)
            light = camera.rotation.T @ torch.tensor(config.light)
            wanted = render(
                Mesh(vertices[n], SPHERE.faces),
                camera,
                (24, 24),
                AlgoNet(30.0, 10.0, sliver_fade=0.2),
                BlinnPhong(config.specular, config.shininess),
                [Ambient(config.ambient), Directional(light, config.diffuse)],
                torch.full((3,), 0.9),
                smooth=True,
            )
            torch.testing.assert_close(found[n, k], wanted.color[0, 0], **FLOAT32)


def test_inv_hands_gradients_back(generator: torch.Generator) -> None:
    inverse = SmoothInverse(SPHERE.faces, 16, 0.0, 1.0, SmoothConfig())
    vertices = random_shapes(SPHERE.vertices, 1, generator).requires_grad_()
    (slope,) = torch.autograd.grad(inverse(vertices, torch.tensor([[0.0, 90.0]]), 20.0, 20.0).sum(), vertices)
    assert bool(slope.isfinite().all())
    assert bool(slope.any(-1).all())  # smooth everywhere: hidden vertices too
    with pytest.raises(LabError, match="vertices"):
        inverse(vertices[0], torch.zeros(1, 2), 20.0, 20.0)
    with pytest.raises(LabError, match="azimuths"):
        inverse(vertices, torch.zeros(2, 2), 20.0, 20.0)
    with pytest.raises(LabError, match="steepness"):
        inverse(vertices, torch.zeros(1, 2), 0.0, 20.0)


def test_random_shapes() -> None:
    shapes = random_shapes(SPHERE.vertices, 50, torch.Generator().manual_seed(3))
    assert torch.equal(shapes, random_shapes(SPHERE.vertices, 50, torch.Generator().manual_seed(3)))
    low, high = shapes.amin(1), shapes.amax(1)
    torch.testing.assert_close(low, -high, **FLOAT32)
    longest = (high - low).amax(-1)
    assert 0.5 <= longest.min() < 0.6 < 0.85 < longest.max() <= 0.95
    assert (shapes[0] - shapes[1]).abs().max() > 0.05


def test_the_mean_shape_by_brute_force(generator: torch.Generator) -> None:
    """No cut of the mean is better than the one that is found."""
    blobs = torch.randn(6, 1, 1, 1, generator=generator) + torch.randn(6, 4, 4, 4, generator=generator) > 0
    found = voxel_iou(mean_shape(blobs).expand_as(blobs), blobs).mean()
    share = blobs.float().mean(0)
    scores = [voxel_iou((share > level).expand_as(blobs), blobs).mean() for level in torch.arange(0, 1, 0.01)]
    assert found == max(scores)
    same = blobs[:1].expand(5, -1, -1, -1)
    assert torch.equal(mean_shape(same), blobs[0])


def test_occupancy_of_a_ball() -> None:
    solid = occupancy([Mesh(0.4 * icosphere(3).vertices, icosphere(3).faces)])
    assert solid.shape == (1, 32, 32, 32)
    assert solid.float().mean().item() == pytest.approx(4 / 3 * torch.pi * 0.4**3, rel=0.02)


def test_the_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconstructions that are the truth score 1, and the mean shape what it is."""
    trainer = RANTrainer(TINY, Team(torch.device("cpu")))
    stick = trainer.yardstick
    nets = trainer.networks.copied()
    ball = 0.4 * nets.sphere.vertices
    monkeypatch.setattr(type(nets), "vertices", lambda self, a: ball.expand(len(a), -1, -1))
    solid = occupancy([Mesh(ball, nets.sphere.faces)]).expand_as(stick.solid)
    expected = voxel_iou(solid, stick.solid)
    assert stick.measure(nets)["iou"] == pytest.approx(expected.mean().item())
    assert stick.measure(nets, 1)["iou"] == pytest.approx(expected[0].item())
    stick.solid = solid.clone()
    assert stick.measure(nets)["iou"] == 1.0
    stick = Yardstick(trainer.problem)
    seen = occupancy([trainer.problem.train.mesh(number) for number in range(6)])
    wanted = voxel_iou(mean_shape(seen).expand_as(stick.solid), stick.solid).mean().item()
    assert stick.mean_shape_iou() == pytest.approx(wanted)


def sets(**options: Any) -> Problem:
    return problem(replace(TINY.data, count=2, unseen=2, views=4, **options))


def test_variations_of_appendix_c() -> None:
    """(a) to (e) of figure 14: what changes in the pictures, and what is told."""
    numbers = torch.arange(2)
    plain, plain_told = batch(sets().train, numbers)
    assert plain.shape == (2, 4, 32, 32)
    assert plain_told.tolist() == [[0.0, 90.0, 180.0, 270.0]] * 2
    for options in ({"azimuth_noise": 5.0}, {"random_light": True}):
        pictures, told = batch(sets(**options).train, numbers)
        assert not torch.equal(pictures, plain), options
        assert torch.equal(told, plain_told)
    one, both = sets(categories=("couch",)), sets(categories=("car", "couch"))
    assert torch.equal(one.train.mesh(0).vertices, both.train.mesh(1).vertices)
    _, told = batch(sets(random_azimuths=True, seed=1).train, numbers)
    assert not torch.equal(told, plain_told)
    assert not told[:, 0].any()
    assert bool((told % 90 == 0).all())


VARIATIONS: dict[str, dict[str, Any]] = {
    "a": {"azimuth_noise": 5.0},
    "b": {"random_light": True},
    "c": {"categories": ("car", "airplane")},
    "d": {"views": 2, "random_azimuths": True},
    "e": {"views": 1, "random_azimuths": True},
}


@pytest.mark.parametrize("name", VARIATIONS)
def test_variations_train(name: str) -> None:
    config = replace(TINY, steps=1, data=replace(TINY.data, **VARIATIONS[name]))
    done = list(ran.train(config))[-1]
    assert done.number == 1
    assert 0 <= done.values["iou"] <= 1


def test_zappos_trains(tmp_path: Any) -> None:
    """Pairs of a photograph and its mirror image; without true shapes there is no IoU, and all else works."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "ut-zap50k-images" / "Shoes" / "Flats" / "Brand"
    folder.mkdir(parents=True)
    stream = torch.Generator().manual_seed(0)
    for number in range(5):
        pixels = torch.full((24, 32, 3), 255, dtype=torch.uint8)
        pixels[8:18, 4:28] = torch.randint(200, (10, 24, 3), generator=stream, dtype=torch.uint8)
        image.fromarray(pixels.numpy()).save(folder / f"{number}.jpg")
    data = DataConfig(source="zappos", folder=str(tmp_path / "ut-zap50k-images"), size=32, views=2, count=0, unseen=2)
    assert problem(data).held_out().tolist() == [3, 4]
    events = list(ran.train(replace(TINY, steps=2, data=data, preview_every=0.01)))
    done = events[-1]
    assert done.values.keys() == {"render - input", "b'' - b'", "a' - a", "a'' - a"}
    assert problem(replace(data, count=2)).train.count == 4
    with pytest.raises(LabError, match="unseen"):
        problem(replace(data, unseen=5))
    with pytest.raises(LabError, match="views"):
        replace(data, views=4)
