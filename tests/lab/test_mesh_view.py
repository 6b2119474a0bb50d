"""MeshView and its orbits without a browser: arrays copied and checked, nothing left behind."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pythreejs")

import ipywidgets as W
from PIL import Image

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.lab import hosts
from labkit.lab.decimate import cluster
from labkit.lab.mesh_view import LIVE_VERTICES, MeshView, open_view
from labkit.lab.orbit import Orbit
from labkit.lab.picture_view import PictureView

LIVE = W.widgets.widget._instances
SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[MeshView]:
    monkeypatch.delenv("LABKIT_HEADLESS", raising=False)
    made = MeshView()
    yield made
    made.close()


# ---- orbits ----


@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(0.1, 100), st.tuples(*[st.floats(-5, 5)] * 3))
def test_orbit_round_trip(
    azimuth: float, elevation: float, distance: float, target: tuple[float, float, float]
) -> None:
    orbit = Orbit.around(azimuth, elevation, distance, target)
    found = (orbit.azimuth, orbit.elevation, orbit.distance)
    assert found == pytest.approx((azimuth, elevation, distance), rel=1e-6, abs=1e-6)
    assert orbit.near(Orbit.around(*found, target))


def test_known_orbits() -> None:
    assert Orbit.around(0, 0, 2).eye == pytest.approx((0, 0, 2))
    assert Orbit.around(90, 0, 2).eye == pytest.approx((2, 0, 0))
    assert Orbit.around(0, 90, 2).eye == pytest.approx((0, 2, 0))
    assert Orbit.around(0, 80, 2).turned(10, 30).elevation == pytest.approx(89)
    for eye in ((0.0, 0.0, 0.0), (float("nan"), 0.0, 0.0), (float("inf"), 0.0, 0.0)):
        with pytest.raises(DomainError, match="eye"):
            Orbit(eye)


# ---- decimation ----


def test_small_meshes_are_left_alone() -> None:
    keep, faces = cluster(SQUARE.numpy(), FACES.numpy(), 4)
    assert keep.tolist() == [0, 1, 2, 3]
    assert (faces == FACES.numpy()).all()


@pytest.mark.parametrize("limit", [1, 10, 500, 5000])
def test_clusters_keep_the_shape(limit: int) -> None:
    n = 101
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n)))
    points = np.stack([x, y, 0.1 * np.sin(6 * x)], -1)
    corner = np.arange((n - 1) * n).reshape(n - 1, n)[:, :-1].ravel()
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + n], 1), np.stack([corner + 1, corner + n + 1, corner + n], 1)]
    )
    keep, faces = cluster(points, triangles, limit)
    assert 1 <= len(keep) <= limit
    assert len(np.unique(np.sort(faces, 1), axis=0)) == len(faces)
    assert (faces[:, 0] != faces[:, 1]).all()
    if limit >= 500:
        assert faces.min() >= 0
        assert faces.max() < len(keep)
        corners = points[keep][faces][..., :2]
        a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = 0.5 * np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
        assert area == pytest.approx(1.0, abs=0.12)  # the flat map of the sheet is the unit square


# ---- meshes ----


def test_arrays_arrive_as_copies_in_the_types_webgl_takes(view: MeshView) -> None:
    vertices = SQUARE.clone()
    view.update(vertices, FACES, colors=torch.full((4, 3), 0.5), normals=torch.tensor([[0.0, 0, 1]]).expand(4, 3))
    view.flush()
    held = {name: buffer.array for name, buffer in view._buffers.items()}
    assert {name: (array.dtype.name, array.shape) for name, array in held.items()} == {
        "position": ("float32", (4, 3)),
        "normal": ("float32", (4, 3)),
        "color": ("uint8", (4, 3)),
        "index": ("uint32", (6,)),
    }
    assert held["index"].tolist() == [0, 1, 2, 0, 2, 3]
    assert (held["color"] == 128).all()
    vertices += 1.0  # in place, as an optimiser does
    assert (held["position"] == SQUARE.numpy()).all()
    view.update(vertices, FACES)
    view.flush()
    assert (view._buffers["position"].array == SQUARE.numpy() + 1).all()
    assert view._material.flatShading


def test_growing_and_shrinking_never_leave_an_index_without_vertex(view: MeshView) -> None:
    seen: list[bool] = []
    for buffer in view._buffers.values():
        buffer.observe(
            lambda change: seen.append(int(view._buffers["index"].array.max()) < len(view._buffers["position"].array)),
            "array",
        )
    for count in (4, 40, 7, 100, 3):
        points = np.random.default_rng(count).random((count, 3))
        view.update(points, np.arange(count // 3 * 3).reshape(-1, 3) + count % 3)
        view.flush()
    assert len(seen) >= 10
    assert all(seen)


def test_lit_faces_are_the_true_ones(view: MeshView) -> None:
    view.update(SQUARE, FACES)
    view.highlight([1])
    view.flush()
    assert (view._lit.array == SQUARE[FACES[1]].numpy()).all()
    assert view._glow.visible
    view.highlight(torch.tensor([], dtype=torch.int64))
    view.flush()
    assert not view._glow.visible
    for faces in ([2], [-1]):
        with pytest.raises(DomainError, match="a mesh with 2 faces"):
            view.highlight(faces)


def test_large_meshes_are_decimated_and_the_view_says_so(view: MeshView) -> None:
    points = np.random.default_rng(0).random((LIVE_VERTICES + 20_000, 3))
    faces = np.arange(69_999).reshape(-1, 3)
    view.update(points, faces)
    view.highlight([23_000])
    view.flush()
    assert len(view._buffers["position"].array) <= LIVE_VERTICES
    assert "decimated" in view._note.value
    assert "70,000" in view._note.value
    assert (view._lit.array == points[faces[23_000]].astype(np.float32)).all()
    view.update(SQUARE, FACES)
    view.flush()
    assert view._note.value == ""


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"vertices": SQUARE * float("nan")}, DomainError, "vertices"),
        ({"vertices": SQUARE[:, :2]}, ShapeError, "vertices"),
        ({"vertices": SQUARE.long()}, DTypeError, "vertices"),
        ({"faces": FACES + 2}, DomainError, r"2 to 5"),
        ({"faces": FACES - 1}, DomainError, r"-1 to 2"),
        ({"faces": FACES.float()}, DTypeError, "faces"),
        ({"faces": FACES.reshape(-1)}, ShapeError, "faces"),
        ({"colors": SQUARE[:3]}, ShapeError, "colors"),
        ({"normals": SQUARE[:3]}, ShapeError, "normals"),
    ],
)
def test_bad_meshes_are_refused_before_anything_is_sent(
    view: MeshView, change: dict[str, torch.Tensor], error: type[LabError], named: str
) -> None:
    view.update(SQUARE, FACES)
    view.flush()
    with pytest.raises(error, match=named):
        view.update(**{"vertices": SQUARE, "faces": FACES, **change})
    assert (view._buffers["position"].array == SQUARE.numpy()).all()


def test_no_faces_show_nothing(view: MeshView) -> None:
    view.update(SQUARE, FACES)
    view.update(SQUARE[:0], FACES[:0])
    view.flush()
    assert not view._mesh.visible


def test_without_a_browser_updates_neither_block_nor_pile_up(view: MeshView) -> None:
    started = time.monotonic()
    for k in range(100):
        view.update(SQUARE * (k + 1), FACES)
    assert time.monotonic() - started < 1.0
    view.flush()
    assert (view._buffers["position"].array == SQUARE.numpy() * 100).all()
    assert view._worker.counts.shown <= 4


def test_a_silent_browser_is_waited_for_once(view: MeshView) -> None:
    view.update(SQUARE, FACES)
    view.flush()
    view._buffers["position"].version = 1  # a browser answers for the first time
    answer = threading.Timer(0.3, lambda: [setattr(b, "version", 2) for b in view._buffers.values()])
    started = time.monotonic()
    view.update(SQUARE * 2, FACES)
    answer.start()
    view.flush()
    assert 0.2 < time.monotonic() - started < 0.9  # it waited for the answer
    view.update(SQUARE * 3, FACES)
    view.flush()
    assert time.monotonic() - started > 1.0  # it waited in vain
    started = time.monotonic()
    view.update(SQUARE * 4, FACES)
    view.flush()
    assert time.monotonic() - started < 0.5  # and waits no more


def test_the_camera_goes_both_ways(view: MeshView) -> None:
    moves: list[Orbit] = []
    view.on_camera = moves.append
    view.set_camera(Orbit.around(90, 0, 2))
    assert moves == []
    assert view._camera.position == pytest.approx((2, 0, 0))
    view._camera.position = (0.0, 0.0, 4.0)  # as the browser does
    assert view.orbit == Orbit((0.0, 0.0, 4.0))
    assert moves == [view.orbit]


@pytest.mark.parametrize(("width", "height", "vertical"), [(100, 100, 60.0), (300, 100, 60.0), (100, 300, 120.0)])
def test_the_angle_spans_the_shorter_side(width: int, height: int, vertical: float) -> None:
    view = MeshView(width, height, fov=60.0)
    assert view._camera.fov == pytest.approx(vertical)
    assert view._camera.aspect == width / height
    view.close()


@pytest.mark.parametrize("fov", [0.0, 180.0, float("nan")])
def test_a_senseless_angle_is_refused(fov: float) -> None:
    before = set(LIVE)
    with pytest.raises(DomainError, match="fov"):
        MeshView(fov=fov)
    assert set(LIVE) == before


def test_mesh_views_close_all_their_widgets_and_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_HEADLESS", raising=False)
    before = set(LIVE), threading.active_count()
    view = MeshView()
    view.update(SQUARE, FACES)
    view.highlight([0])
    view.close()
    assert (set(LIVE), threading.active_count()) == before


def test_the_picture_stands_in_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_VIEW", "image")
    before = set(LIVE)
    moves: list[Orbit] = []
    view = open_view(lambda orbit: np.full((8, 8), orbit.distance / 10), 64, 64)
    assert isinstance(view, PictureView)
    assert "no WebGL" in view._note.value
    view.on_camera = moves.append
    view.update(SQUARE, FACES)
    view.set_camera(Orbit.around(0, 0, 5))
    view.highlight([0])
    view.flush()
    assert (np.asarray(Image.open(io.BytesIO(view._picture._image.value))) == 128).all()
    view._picture.on_drag(20.0, 0.0)
    assert [orbit.azimuth for orbit in moves] == [pytest.approx(-10)]
    view.close()
    assert set(LIVE) == before


def test_the_kind_of_view_follows_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LABKIT_VIEW", raising=False)
    monkeypatch.setattr(hosts, "jupyter_path", lambda name: [str(tmp_path)])
    assert hosts.view_kind() == "image"
    assert "ipyevents" in hosts.missing_extensions()
    for name in hosts.missing_extensions():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "package.json").write_text("{}")
    assert hosts.missing_extensions() == []
    assert hosts.view_kind() == "pythreejs"
