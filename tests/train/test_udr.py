"""UDR as a recipe: its loss by hand, its resume, its options, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
import torch
from tolerances import FLOAT32

from labkit.data.multiview import Pixels
from labkit.errors import LabError
from labkit.events import Done, Event, MeshPreview, Picture, Saved, Step
from labkit.geometry.sdf import SphereField
from labkit.nets.appearance import APPEARANCES, Appearance
from labkit.nets.sdf import SDFNet
from labkit.render.implicit import Tracer, sphere_trace
from labkit.scene import Camera
from labkit.scene.rays import Views
from labkit.train import udr
from labkit.train.checkpoint import Checkpoints
from labkit.train.config import replace_path
from labkit.train.distributed import Team
from labkit.train.train_state import MismatchError
from labkit.train.udr_cameras import CameraOffsets
from labkit.train.udr_config import LossConfig
from labkit.train.udr_loss import SurfaceLoss
from labkit.train.udr_trainer import UDRTrainer

TINY = udr.PRESETS["tiny"]
TEAM = Team(torch.device("cpu"))


def losses(events: list[Event]) -> list[float]:
    return [event.values["loss"] for event in events if isinstance(event, Step)]


def tiny(**changes: object) -> udr.UDR:
    config = TINY
    for path, value in changes.items():
        config = replace_path(config, path.replace("__", "."), value)
    return config


@pytest.mark.parametrize("kind", sorted(APPEARANCES))
def test_every_renderer_learns_and_measures(kind: str) -> None:
    """Sixty steps from a sphere of another size: the loss falls by a half."""
    config = tiny(appearance__kind=kind, steps=60, field__radius=0.6, learning_rate=5e-3, pixels_per_view=64)
    events = list(udr.train(config))
    found = losses(events)
    assert sum(found[-5:]) < sum(found[:5]) / 2
    done = events[-1]
    assert isinstance(done, Done)
    assert {"psnr unseen", "psnr whole picture", "psnr bound", "chamfer x1000", "mask error"} <= set(done.values)


def test_twice_k_steps_are_two_k_steps_bit_for_bit(tmp_path: Path) -> None:
    whole = list(udr.train(TINY, tmp_path / "whole"))
    first = list(udr.train(replace(TINY, steps=3), tmp_path / "parts"))
    second = list(udr.train(TINY, tmp_path / "parts", resume=True))
    assert losses(first) + losses(second) == losses(whole)
    a, b = (Checkpoints(tmp_path / name).load("latest")[1].tensors for name in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[group][name], b[group][name]) for group in a for name in a[group])
    assert [saved.values["psnr unseen"] for saved in whole if isinstance(saved, Saved)]


def test_a_checkpoint_of_another_network_is_refused_with_a_table(tmp_path: Path) -> None:
    list(udr.train(TINY, tmp_path / "run"))
    with pytest.raises(LabError, match=r"field\.width"):
        next(udr.train(tiny(field__width=32), tmp_path / "run", resume=True))
    other = UDRTrainer(tiny(field__width=32), TEAM)
    from labkit.train.train_state import restore

    _, state = Checkpoints(tmp_path / "run").load("latest")
    with pytest.raises(MismatchError, match="field"):
        restore(state, other.modules, other.optimizers, other.generators)


OPTIONS = {
    "bce": {"loss__mask_loss": "bce"},
    "sum": {"loss__reduction": "sum"},
    "encoding and features": {"field__encoding": 1, "field__features": 4, "appearance__encoding": 2},
    "two-sided": {"tracing__two_sided": True},
    "cameras": {"camera_rate": 1e-3},
    "edges": {"edge_share": 0.5, "loss__eikonal_surface": True},
    "volume": {"volume__on": True, "volume__samples": 24},
    "linear output": {"appearance__output": "linear"},
    "decay": {"decay_every": 2},
}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_options_train_and_resume(option: str, tmp_path: Path) -> None:
    config = tiny(**OPTIONS[option])
    whole = list(udr.train(replace(config, steps=4), tmp_path / "whole"))
    first = list(udr.train(replace(config, steps=2), tmp_path / "parts"))
    second = list(udr.train(replace(config, steps=4), tmp_path / "parts", resume=True))
    assert losses(first) + losses(second) == losses(whole)


@pytest.mark.parametrize("source", ["box", "torus", "capsule", "chair", "couch", "bathtub"])
def test_every_source_trains(source: str) -> None:
    done = list(udr.train(tiny(scene__source=source, steps=2)))[-1]
    assert done.values["chamfer x1000"] > 0
    assert ("psnr bound" in done.values) == (source in ("box", "torus", "capsule"))


def test_a_mesh_file_and_what_is_missing(tmp_path: Path) -> None:
    from labkit.geometry import icosphere, save_mesh

    save_mesh(icosphere(2), tmp_path / "ball.obj")
    done = list(udr.train(tiny(scene__source="mesh", scene__path=str(tmp_path / "ball.obj"), steps=2)))[-1]
    assert "chamfer x1000" in done.values
    with pytest.raises(LabError, match=r"scene\.path"):
        next(udr.train(tiny(scene__source="mesh")))
    with pytest.raises(LabError):
        next(udr.train(tiny(scene__source="choy", scene__path=str(tmp_path))))


def test_previews_and_truth(tmp_path: Path) -> None:
    events = list(udr.train(replace(TINY, preview_every=0.01), tmp_path / "run"))
    meshes = {event.name for event in events if isinstance(event, MeshPreview)}
    pictures = {event.name for event in events if isinstance(event, Picture)}
    assert meshes == {"surface", "truth"}
    assert pictures == {"view 0", "view 1", "truth 0", "truth 1"}
    last = [event for event in events if isinstance(event, MeshPreview)][-1]
    assert last.number == TINY.steps
    assert last.colors is not None
    plain = list(udr.train(TINY))
    assert losses(plain) == losses(events)  # previews use no randomness of the steps


def terms_by_hand(
    field: SDFNet, look: Appearance, pixels: Pixels, views: Views, config: LossConfig
) -> dict[str, float]:
    """Equation 10 ray by ray."""
    sums = {"color": 0.0, "false hit": 0.0, "false miss": 0.0}
    fractions = torch.linspace(0, 1, 9)
    for n in range(len(pixels.view)):
        one = slice(n, n + 1)
        origin, direction = views.rays(pixels.view[one], pixels.pixel[one])
        trace = sphere_trace(field, origin, direction, Tracer())
        alpha = pixels.alpha[n].item()
        if trace.hit.item():
            _, normal = field.value_and_gradient(trace.points)
            shown = look(trace.points, normal, direction)
            sums["color"] += alpha * (shown - pixels.color[one]).abs().sum().item()
            start = trace.depth
        middle = -(origin * direction).sum(-1)
        half = (1 - (origin + middle * direction).square().sum(-1)).clamp_min(0).sqrt()
        if not trace.hit.item():
            start = middle - half
        if half.item() == 0:
            continue
        depths = start + (middle + half - start) * fractions
        lowest = field(origin + depths[:, None] * direction).min().item()
        if trace.hit.item():
            sums["false hit"] -= config.mask * (1 - alpha) * lowest
        else:
            sums["false miss"] += config.mask * alpha * lowest
    return sums


def test_the_loss_is_equation_10(generator: torch.Generator) -> None:
    """Colours and masks at random, so that all four terms are there; sums, as in the paper."""
    field, look = SDFNet(24, 2, radius=0.5, generator=generator), Appearance("UDR", 16, 2, generator=generator)
    views = Views.of(Camera.orbit(torch.tensor([0.0, 70.0]), torch.tensor([10.0, -20.0]), 2.5, fov=49.0), (8, 8))
    count = 64
    pixels = Pixels(
        torch.randint(2, (count,), generator=generator),
        torch.randint(64, (count,), generator=generator),
        torch.rand(count, 3, generator=generator),
        torch.randint(3, (count,), generator=generator) / 2,
    )
    config = LossConfig()
    cameras = CameraOffsets(views).requires_grad_(False)
    loss = SurfaceLoss(field, look, cameras, Tracer(), config)
    points = 2 * torch.rand(32, 3, generator=generator) - 1
    with torch.no_grad():
        expected = terms_by_hand(field, look, pixels, views, config)
    terms = loss(pixels, points, torch.linspace(0, 1, 9), 1)
    for name, value in expected.items():
        assert value != 0
        torch.testing.assert_close(terms[name].item(), value, **FLOAT32)
    gradient = torch.autograd.functional.jacobian(field, points).diagonal(dim1=0, dim2=1).mT  # (32, 3)
    expected_eikonal = config.eikonal * (gradient.norm(dim=-1) - 1).square().mean()
    torch.testing.assert_close(terms["eikonal"], expected_eikonal, **FLOAT32)
    mean = SurfaceLoss(field, look, cameras, Tracer(), replace(config, reduction="mean"))
    averaged = mean(pixels, points, torch.linspace(0, 1, 9), 1)
    torch.testing.assert_close(averaged["color"] * count, terms["color"], **FLOAT32)
    torch.testing.assert_close(averaged["eikonal"], terms["eikonal"], **FLOAT32)


def test_mask_terms_move_a_silhouette(generator: torch.Generator) -> None:
    """Too small a sphere grows by the misses, too large a one shrinks by the hits; colours say nothing here."""
    truth = SphereField(0.5)
    views = Views.of(Camera.orbit(0.0, 0.0, 2.5, fov=49.0), (24, 24))
    pixel = torch.arange(576)
    view = torch.zeros_like(pixel)
    alpha = sphere_trace(truth, *views.rays(view, pixel), Tracer(max_steps=200)).hit.float()
    pixels = Pixels(view, pixel, torch.ones(576, 3), alpha)
    for radius, sign in ((0.4, -1.0), (0.6, 1.0)):
        field, look = SDFNet(64, 3, radius=radius, generator=generator), Appearance("DVR", 16, 2, generator=generator)
        loss = SurfaceLoss(field, look, CameraOffsets(views).requires_grad_(False), Tracer(), LossConfig())
        terms = loss(pixels, torch.zeros(1, 3), torch.linspace(0, 1, 33), 1)
        (slope,) = torch.autograd.grad(terms["false hit"] + terms["false miss"], field.top.bias)
        assert slope[0].item() * sign < 0  # descending raises f, which shrinks it, where it is too large


def test_camera_offsets_learn_a_shift(generator: torch.Generator) -> None:
    """The gradient in a camera's shift is that of finite differences of the colours seen."""
    field, look = SDFNet(48, 3, generator=generator).double(), Appearance("UDR", 16, 2, generator=generator).double()
    views = Views.of(Camera.orbit(20.0, 10.0, 2.5, fov=30.0), (8, 8)).to(torch.float64)
    pixel = torch.tensor([27, 28, 35, 36])
    pixels = Pixels(torch.zeros(4, dtype=torch.int64), pixel, torch.zeros(4, 3).double(), torch.ones(4).double())
    tracing = Tracer(epsilon=1e-12, max_steps=400, secant_steps=30)
    cameras = CameraOffsets(views)
    loss = SurfaceLoss(field, look, cameras, tracing, LossConfig())
    nowhere = torch.zeros(1, 3, dtype=torch.float64)

    def color() -> torch.Tensor:
        return loss(pixels, nowhere, torch.linspace(0, 1, 3).double(), 1)["color"]

    (slope,) = torch.autograd.grad(color(), cameras.shifts)
    for axis in range(3):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                cameras.shifts[0, axis] += step
                values.append(color().item())
                cameras.shifts[0, axis] -= step
        torch.testing.assert_close(slope[0, axis].item(), (values[0] - values[1]) / 2e-5, rtol=1e-3, atol=1e-6)
