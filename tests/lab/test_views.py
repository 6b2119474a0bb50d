"""ImageView and MeshView without a browser: pixels in, pixels out, arrays copied and checked, nothing left behind."""

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
from labkit.lab.image_view import ImageView, mark_pixel, to_bytes
from labkit.lab.mesh_view import LIVE_VERTICES, MeshView, open_view
from labkit.lab.orbit import Orbit
from labkit.lab.picture_view import PictureView

LIVE = W.widgets.widget._instances
SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def picture() -> Iterator[ImageView]:
    view = ImageView(200, 100)
    yield view
    view.close()


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[MeshView]:
    monkeypatch.delenv("LABKIT_HEADLESS", raising=False)
    made = MeshView()
    yield made
    made.close()


def decoded(view: ImageView) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(view._image.value)))


def event(kind: str, x: float, y: float, buttons: int = 0) -> dict[str, object]:
    return {
        "event": kind,
        "clientX": 30.5 + x,
        "clientY": 7.25 + y,
        "boundingRectLeft": 30.5,
        "boundingRectTop": 7.25,
        "boundingRectWidth": 200.0,
        "boundingRectHeight": 100.0,
        "buttons": buttons,
    }


# ---- pictures ----


@pytest.mark.parametrize(
    "image",
    [
        torch.full((3, 4, 6), 0.5),
        torch.full((1, 4, 6), 0.5, dtype=torch.float64, requires_grad=True),
        np.full((4, 6, 3), 0.5, np.float32),
        np.full((4, 6), 0.5),
        np.full((4, 6, 3), 128, np.uint8),
    ],
)
def test_every_kind_of_picture_becomes_bytes(image: torch.Tensor | np.ndarray) -> None:
    pixels = to_bytes(image)
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 128).all()


def test_values_are_rounded_and_clipped_and_nan_is_black() -> None:
    assert to_bytes(np.array([[-1.0, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 2.0, np.nan, np.inf]]))[0, :, 0].tolist() == [
        0, 0, 0, 1, 255, 255, 0, 255,
    ]  # fmt: skip


@pytest.mark.parametrize(("shape", "error"), [((4,), ShapeError), ((2, 4, 6), ShapeError), ((0, 5), ShapeError)])
def test_what_is_no_picture(picture: ImageView, shape: tuple[int, ...], error: type[LabError]) -> None:
    with pytest.raises(error, match="image"):
        picture.show(np.zeros(shape))
    with pytest.raises(DTypeError, match="int64"):
        picture.show(np.zeros((4, 4), np.int64))
    assert picture.png() is None


def test_fine_is_lossless_and_coarse_is_jpeg(picture: ImageView) -> None:
    image = (np.random.default_rng(0).random((20, 40, 3)) * 255).astype(np.uint8)
    picture.show(image, "fine")
    assert picture._image.format == "png"
    assert (decoded(picture) == image).all()
    picture.show(image[::2, ::2], "coarse")
    assert bytes(picture._image.value).startswith(b"\xff\xd8")
    assert (np.asarray(Image.open(io.BytesIO(picture.png() or b""))) == image).all()


def test_clicks_and_hovers_arrive_as_pixels_of_the_fine_picture(picture: ImageView) -> None:
    clicks: list[tuple[int, int]] = []
    hovers: list[tuple[int, int]] = []
    picture.on_click = lambda row, column: clicks.append((row, column))
    picture.on_hover = lambda row, column: hovers.append((row, column))
    picture._handle(event("click", 1, 1))  # no picture yet
    picture.show(np.zeros((10, 10)))  # 10 x 10 in 200 x 100: ten CSS pixels a pixel, fifty of margin left and right
    picture.show(np.zeros((5, 5)), "coarse")
    picture._handle(event("click", 50.0, 0.0))
    picture._handle(event("click", 149.9, 99.9))
    picture._handle(event("mousemove", 74.0, 35.0))
    picture._handle(event("click", 49.0, 50.0))
    picture._handle(event("click", 151.0, 50.0))
    assert clicks == [(0, 0), (9, 9)]
    assert hovers == [(3, 2)]


def test_drags_arrive_as_steps(picture: ImageView) -> None:
    steps: list[tuple[float, float]] = []
    picture.on_drag = lambda dx, dy: steps.append((dx, dy))
    for x, buttons in ((10, 0), (20, 1), (25, 1), (40, 1), (60, 0), (70, 1)):
        picture._handle(event("mousemove", x, x / 2, buttons))
    assert steps == [(5.0, 2.5), (15.0, 7.5)]


def test_a_click_from_python(picture: ImageView) -> None:
    clicks: list[tuple[int, int]] = []
    picture.on_click = lambda row, column: clicks.append((row, column))
    with pytest.raises(ShapeError, match="0 x 0 picture"):
        picture.click(0, 0)
    picture.show(np.zeros((3, 5)))
    picture.click(2, 4)
    assert clicks == [(2, 4)]
    for pixel in ((3, 0), (0, 5), (-1, 0)):
        with pytest.raises(ShapeError, match="3 x 5 picture"):
            picture.click(*pixel)


@given(st.integers(0, 6), st.integers(0, 8))
def test_the_mark_leaves_its_pixel_and_changes_a_few_around_it(row: int, column: int) -> None:
    pixels = np.full((7, 9, 3), 40, np.uint8)
    marked = mark_pixel(pixels, row, column)
    changed = (marked != pixels).any(-1)
    assert not changed[row, column]
    assert 0 < changed.sum() <= 20
    assert (marked[changed] == 255).all()
    assert (pixels == 40).all()


def test_the_mark_is_drawn_and_taken_away_and_never_kept(picture: ImageView) -> None:
    picture.show(np.zeros((20, 20)))
    picture.mark((10, 10))
    assert decoded(picture).any()
    assert not np.asarray(Image.open(io.BytesIO(picture.png() or b""))).any()
    picture.mark(None)
    assert not decoded(picture).any()


def test_picture_views_close_all_their_widgets() -> None:
    before = set(LIVE)
    ImageView(10, 10).close()
    assert set(LIVE) == before
    with pytest.raises(DomainError, match="size"):
        ImageView(0, 10)


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
    assert (decoded(view._picture) == 128).all()
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
