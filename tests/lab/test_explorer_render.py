"""The explorer's pictures and numbers, without widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

from labkit import AlgoNet, BlinnPhong, CookTorrance, Hard, Lambert, Phong, load_mesh, render, save_mesh
from labkit.errors import DomainError, FileError
from labkit.lab import explorer_render as pictures
from labkit.lab import plots
from labkit.lab.explorer_mesh import SHAPES, receive, subject
from labkit.lab.explorer_state import OWN_FILE, PRESETS, ExplorerState
from labkit.lab.orbit import Orbit
from labkit.lab.state import from_dict, to_dict

STATE = ExplorerState(mesh="icosphere", size=48)
REAL = ("spot_triangulated.obj", "stanford-bunny.obj", "suzanne.obj", "teapot.obj")


def test_presets_are_the_four_corners() -> None:
    states = {name: replace(STATE, **values) for name, values in PRESETS.items()}
    assert [from_dict(ExplorerState, to_dict(state)) for state in states.values()] == list(states.values())
    low, high = states["low s, low o"], states["high s, high o"]
    assert low.steepness < high.steepness
    assert low.opacity < high.opacity
    assert (states["high s, low o"].steepness, states["high s, low o"].opacity) == (high.steepness, low.opacity)
    assert (states["low s, high o"].steepness, states["low s, high o"].opacity) == (low.steepness, high.opacity)


def test_state_knows_edge_pixel_and_colour() -> None:
    state = ExplorerState(steepness=37.0, size=100, background="#ff8000", pick=(1.0, 0.505))
    assert state.edge_px == pytest.approx(AlgoNet(37.0).edge_width_px((100, 100)))
    assert state.background_rgb == (1.0, pytest.approx(128 / 255), 0.0)
    assert state.picked(100) == (99, 50)
    assert ExplorerState().picked(100) is None
    with pytest.raises(DomainError, match="background"):
        ExplorerState(background="red")


def test_the_sharp_picture_is_what_render_gives() -> None:
    state = replace(STATE, background="#336699", material="Phong")
    found = pictures.sharp(state, pictures.Cache())
    mesh = subject("icosphere").mesh
    settings = {
        "material": pictures.material(state),
        "lights": pictures.lights(state),
        "background": torch.tensor(state.background_rgb),
    }
    soft = AlgoNet(state.steepness, state.opacity, sliver_fade=state.sliver_fade)
    for rasterizer, picture in ((soft, found.picture), (Hard(), found.hard)):
        expected = render(mesh, pictures.camera(state), (48, 48), rasterizer, layers=True, **settings)
        torch.testing.assert_close(picture, expected.color[0], atol=1e-5, rtol=0)
        if rasterizer is soft:
            torch.testing.assert_close(found.alpha, expected.alpha[0, 0], atol=1e-5, rtol=0)
            seen = found.alpha > 0.02
            assert expected.depth is not None
            torch.testing.assert_close(found.depth[seen] * found.alpha[seen], expected.depth[0, 0][seen])
    assert torch.isnan(found.depth[0, 0])
    assert found.found == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Lambert", Lambert), ("Phong", Phong), ("Blinn-Phong", BlinnPhong), ("Cook-Torrance", CookTorrance)],
)
def test_materials(name: str, kind: type) -> None:
    assert type(pictures.material(replace(STATE, material=name))) is kind


def test_probed_faces_are_in_the_picture() -> None:
    """The named faces' weighted mean is the pixel's colour, and under Hard the seen face alone is named."""
    state = replace(STATE, pick=(0.5, 0.4), background="#000000")
    found = pictures.sharp(state, pictures.Cache(), count=10_000)
    row, column = state.picked(48) or (0, 0)
    mean = sum(one.weight * np.array(one.attribute[:3]) for one in found.found)
    np.testing.assert_allclose(found.pixel_alpha * mean, found.picture[:, row, column], atol=1e-4)
    assert sum(one.weight for one in found.found) == pytest.approx(1.0, abs=1e-6)

    hard = pictures.sharp(replace(state, rasterizer="Hard"), pictures.Cache())
    assert len(hard.found) == 1
    np.testing.assert_allclose(hard.found[0].attribute, hard.picture[:, row, column], atol=1e-5)
    corners = subject("icosphere").mesh.face_vertices()[hard.lit[0]]
    eye = torch.tensor(Orbit.around(state.azimuth, state.elevation, state.distance).eye)
    assert float((corners.mean(0) - eye).norm()) < state.distance  # on the near side
    assert pictures.sharp(replace(state, rasterizer="Hard", pick=(0.0, 0.0)), pictures.Cache()).found == ()


def test_the_difference_is_signed_and_symmetric() -> None:
    found = pictures.sharp(replace(STATE, background="#ffffff", steepness=20.0), pictures.Cache())
    image, limit = pictures.difference_image(found)
    difference = (found.picture - found.hard).mean(0).numpy()
    assert limit == pytest.approx(np.abs(difference).max())
    row, column = np.unravel_index(np.abs(difference).argmax(), difference.shape)
    assert (image[row, column, 0] > image[row, column, 2]) == (difference[row, column] > 0)
    np.testing.assert_allclose(
        pictures.difference_image(replace(found, hard=found.picture))[0].std((0, 1)), 0, atol=1e-9
    )
    nothing = replace(found, depth=torch.full((48, 48), torch.nan))
    assert pictures.depth_image(nothing)[1:] == (0.0, 0.0)


def test_what_does_not_change_is_kept() -> None:
    cache = pictures.Cache()
    first = pictures.scene(STATE, cache)
    assert pictures.scene(replace(STATE, steepness=3.0, background="#ffffff"), cache)[1] is first[1]
    moved = pictures.scene(replace(STATE, azimuth=3.0), cache)
    assert moved[0] is first[0]
    assert moved[1] is not first[1]
    assert pictures.scene(replace(STATE, mesh="couch"), cache)[0] is not first[0]


def test_coarse_is_the_same_picture_with_fewer_pixels() -> None:
    state, cache, pace = replace(STATE, size=128, steepness=20.0), pictures.Cache(), pictures.Pace()
    picture, side = pictures.coarse(state, cache, pace, 1e-9)
    assert side == 64  # a first guess
    again, side = pictures.coarse(state, cache, pace, 1e-9)
    assert side == pictures.SMALLEST
    assert picture.shape == again.shape == (3, 128, 128)
    full = pictures.sharp(state, cache).picture
    assert float((picture - full).abs().mean()) < float((again - full).abs().mean()) < 0.03


def test_pace_learns_overhead_and_cost_a_pixel() -> None:
    pace = pictures.Pace()
    assert pace.fit(1.0, 48) == 48
    pace.learn(64, 0.010 + 1e-6 * 64**2)
    assert pace.fit(0.0, 256) == pictures.SMALLEST
    pace.learn(128, 0.010 + 1e-6 * 128**2)
    for side in (32, 100, 512):
        assert pace.seconds(side) == pytest.approx(0.010 + 1e-6 * side**2)
    assert pace.fit(0.010 + 1e-6 * 180**2, 512) == 176  # a multiple of 16
    assert pace.fit(9.0, 512) == 192  # but not a leap
    pace.learn(256, 0.001)  # noise: larger and yet faster
    assert pace.seconds(0) < 0.001


def test_patience_limits_the_sharp_picture() -> None:
    state, cache = replace(STATE, size=256, patience=0.5), pictures.Cache()
    pace = pictures.Pace()
    pictures.coarse(state, cache, pace, 0.05)
    assert pictures.sharp(replace(state, patience=600.0), cache, pace).size == 256
    for side in (16, 32):
        pace.learn(side, 1000.0 * side**2)  # as if this machine were very slow
    assert pictures.sharp(replace(state, patience=600.0), cache, pace).size in range(64, 257, 16)


def test_soft_weight_is_the_softmin_and_hard_is_its_limit() -> None:
    depths, coverages = [2.0, 3.0, 9.0], [0.5, 1.0, 1.0]
    terms = [v * np.exp(-4.0 * z) for v, z in zip(coverages, (2.5, 3.0, 9.0), strict=True)]
    assert plots.soft_weight(np.array([2.5]), depths, coverages, 4.0, 0)[0] == pytest.approx(terms[0] / sum(terms))
    near, far = plots.soft_weight(np.array([2.9, 3.1]), depths, coverages, 1e4, 0)
    assert (near, far) == (pytest.approx(1.0), pytest.approx(0.0))


def test_plots_are_pngs_of_their_size() -> None:
    from labkit.render import Contribution

    one = Contribution(3, 0.5, 2.0, 1.0, (1.0, 0.0, 2.0))
    for data in (
        plots.bar_chart([7], [one], (200, 120)),
        plots.bar_chart([], [], (200, 120)),
        plots.depth_curve([2.0], [1.0], 5.0, 0, (200, 120)),
    ):
        assert data.startswith(b"\x89PNG")
        assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [200, 120]
    assert plots.pictures([torch.rand(3, 4, 4), torch.rand(4, 4)], ["a", "b"]).startswith(b"\x89PNG")
    assert plots.curves([0.0, 1.0], {"a": ([0.0, 1.0], "red", 1.0)}, "x", "y").startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_fits_the_unit_sphere(name: str) -> None:
    found = subject(name)
    assert float(found.mesh.vertices.norm(dim=-1).max()) == pytest.approx(1.0, abs=1e-5)
    assert found.mesh.colors is not None
    assert not torch.equal(found.original.vertices, found.mesh.vertices) or name == "icosphere"


def test_own_files(tmp_path: Path) -> None:
    save_mesh(SHAPES["couch"](), tmp_path / "sofa.obj")
    assert subject(OWN_FILE, str(tmp_path / "sofa.obj")).name == "sofa"
    with pytest.raises(FileError, match="type its path"):
        subject(OWN_FILE, "  ")
    with pytest.raises(FileError, match="absent"):
        subject(OWN_FILE, str(tmp_path / "absent.obj"))


def test_uploads_stay_in_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    text = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    path = receive([("../../evil.obj", text), ("a.mtl", b"newmtl a\n")], folder)
    assert path == folder / "evil.obj"
    assert sorted(p.name for p in folder.iterdir()) == ["a.mtl", "evil.obj"]
    assert len(load_mesh(path).faces) == 1
    for files in ([("a.txt", b"x")], [("a.obj", text), ("b.obj", text)]):
        with pytest.raises(FileError, match="upload"):
            receive(files, folder)


def test_the_preview_lights_faces_up() -> None:
    mesh = subject("icosphere").mesh
    plain = pictures.preview(mesh, Orbit(), (), 64)
    lit = pictures.preview(mesh, Orbit(), tuple(range(len(mesh.faces))), 64)
    assert plain.shape == (3, 64, 64)
    assert float(lit[2, 32, 32]) < 0.05 < float(lit[0, 32, 32])
    assert float(plain[2, 32, 32]) > 0.1


@pytest.mark.parametrize("name", REAL)
def test_real_meshes(shared_mesh: Callable[[str], Path], name: str) -> None:
    state = ExplorerState(mesh=OWN_FILE, path=str(shared_mesh(name)), size=64, pick=(0.5, 0.5))
    found = pictures.sharp(state, pictures.Cache())
    assert 0.05 < float(found.alpha.mean()) < 0.9
    assert torch.isfinite(found.picture).all()
    assert found.found
