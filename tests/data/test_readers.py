"""Readers: data sets written here with labkit's own cameras come back; foreign and broken ones are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from labkit.data import choy, picture_files, transforms_json
from labkit.errors import FileError
from labkit.scene.camera import Camera
from tests.data.picture_sets import CAMERA, CORNERS, Image, expected_places, over_white, project, write_picture

# --- Choy et al. ---

LINES = ["262.5 27.3 0 0.82 25", "14.0 25.5 0 0.66 25", "100.1 29.9 0 0.94 25"]


def write_choy(folder: Path, lines: list[str] | None = None, size: tuple[int, int] = (137, 137)) -> list[NDArray]:
    """A model's folder."""
    lines = LINES if lines is None else lines
    pictures = [write_picture(folder / f"{i:02d}.png", size, i) for i in range(len(lines))]
    folder.mkdir(exist_ok=True, parents=True)
    (folder / choy.CAMERAS).write_text("\n".join(lines) + "\n")
    return pictures


def test_choy_cameras_are_the_published_ones(tmp_path: Path) -> None:
    """Against the formulas of the data set, written out: centre, axes, focal length 149.84375, middle 68.5."""
    pictures = write_choy(tmp_path / "rendering")
    data = choy.read(tmp_path)
    found = project(data.views, CORNERS) * 137
    for i, line in enumerate(LINES):
        azimuth, elevation, _, ratio, _ = map(float, line.split())
        az, el = math.radians(azimuth), math.radians(elevation)
        direction = [math.cos(el) * math.cos(az), math.sin(el), math.cos(el) * math.sin(az)]
        centre = 1.75 * ratio * np.array(direction)
        z = centre / np.linalg.norm(centre)
        x = np.cross([0.0, 1.0, 0.0], z)
        x /= np.linalg.norm(x)
        y = np.cross(z, x)
        local = (CORNERS.numpy() - centre) @ np.stack([x, y, z]).T
        expected = np.stack(
            [149.84375 * local[:, 0] / -local[:, 2] + 68.5, -149.84375 * local[:, 1] / -local[:, 2] + 68.5], -1
        )
        torch.testing.assert_close(found[i], torch.tensor(expected), rtol=1e-5, atol=1e-5 * 137)
        torch.testing.assert_close(data.images[i], over_white(pictures[i]), rtol=0, atol=1e-6)
        assert torch.equal(data.masks[i, 0] * 255, torch.from_numpy(pictures[i][..., 3]).float())
    intrinsics = torch.tensor([[149.84375, 0, 68.5], [0, 149.84375, 68.5], [0, 0, 1]])
    torch.testing.assert_close(data.views.intrinsics, intrinsics.expand(3, 3, 3), rtol=1e-6, atol=1e-6)


def test_choy_reads_the_rendering_folder_itself(tmp_path: Path) -> None:
    """With empty lines, and pictures of another size."""
    write_choy(tmp_path, [*LINES[:2], ""][:2], (64, 64))
    (tmp_path / choy.CAMERAS).write_text("\n".join(LINES[:2]) + "\n\n\n")
    data = choy.read(tmp_path)
    assert (len(data), data.size) == (2, (64, 64))
    assert data.views.intrinsics[0, 0, 0].item() == pytest.approx(70, rel=1e-6)  # 35 / 32 of the width


def test_choy_names_all_that_is_missing(tmp_path: Path) -> None:
    """Not only the first."""
    write_choy(tmp_path)
    (tmp_path / "00.png").unlink()
    (tmp_path / "02.png").unlink()
    with pytest.raises(FileError, match=r"no 00\.png, 02\.png"):
        choy.read(tmp_path)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1 2 3", "line 2"),
        ("1 2 0 x 25", "line 2"),
        ("1 2 5 0.8 25", "in-plane"),
        ("1 90 0 0.8 25", "elevation"),
        ("1 20 0 0 25", "ratio"),
        ("nan 20 0 0.8 25", "line 2"),
    ],
)
def test_choy_broken_lines(tmp_path: Path, line: str, text: str) -> None:
    """The line is named."""
    write_choy(tmp_path, [LINES[0], line])
    with pytest.raises(FileError, match=text):
        choy.read(tmp_path)


def test_choy_other_faults(tmp_path: Path) -> None:
    """No file, no line, no square."""
    with pytest.raises(FileError, match=r"rendering_metadata\.txt"):
        choy.read(tmp_path)
    (tmp_path / choy.CAMERAS).write_text("\n")
    with pytest.raises(FileError, match="no line"):
        choy.read(tmp_path)
    write_choy(tmp_path, size=(20, 30))
    with pytest.raises(FileError, match="square"):
        choy.read(tmp_path)


# --- transforms.json ---

DOUBLE = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]  # no rotation


def nerf_frames(camera: Camera) -> list[dict[str, Any]]:
    """Frames with camera-to-world matrices: labkit's camera axes are OpenGL's already."""
    frames = []
    for i, (rotation, eye) in enumerate(zip(camera.rotation, camera.eye, strict=True)):
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3], matrix[:3, 3] = rotation.mT, eye
        frames.append({"file_path": f"./train/r_{i}", "transform_matrix": matrix.tolist()})
    return frames


def write_nerf(folder: Path, size: tuple[int, int] = (24, 24), mode: str = "RGBA", **facts: Any) -> list[NDArray]:
    """A folder of pictures with transforms.json."""
    pictures = [write_picture(folder / "train" / f"r_{i}.png", size, i, mode) for i in range(3)]
    whole = {"camera_angle_x": math.radians(40), "frames": nerf_frames(CAMERA)} | facts
    (folder / transforms_json.CAMERAS).write_text(json.dumps({k: v for k, v in whole.items() if v is not None}))
    return pictures


def test_nerf_round_trip(tmp_path: Path) -> None:
    """Points fall where the camera that wrote the file sees them; alpha is the mask."""
    pictures = write_nerf(tmp_path)
    data = transforms_json.read(tmp_path)
    expected = expected_places(CAMERA, CORNERS, (24, 24))
    torch.testing.assert_close(project(data.views, CORNERS), expected, rtol=1e-5, atol=1e-5)
    for i in range(3):
        torch.testing.assert_close(data.images[i], over_white(pictures[i]), rtol=0, atol=1e-6)
        assert torch.equal(data.masks[i, 0] * 255, torch.from_numpy(pictures[i][..., 3]).float())


def test_nerf_with_a_lens_in_pixels(tmp_path: Path) -> None:
    """fl_x, fl_y, cx, cy, one of them in a frame; a wide picture without transparency; the file named itself."""
    frames = nerf_frames(CAMERA)
    frames[1]["fl_y"] = 77.0
    write_nerf(
        tmp_path,
        (20, 30),
        "RGB",
        camera_angle_x=None,
        fl_x=50.0,
        fl_y=60.0,
        cx=14.0,
        cy=11.5,
        w=30,
        h=20,
        frames=frames,
    )
    data = transforms_json.read(tmp_path / transforms_json.CAMERAS)
    expected = [[[50, 0, 14], [0, down, 11.5], [0, 0, 1]] for down in (60.0, 77.0, 60.0)]
    torch.testing.assert_close(data.views.intrinsics, torch.tensor(expected), rtol=1e-6, atol=0)
    assert torch.equal(data.masks, torch.ones(3, 1, 20, 30))


def test_nerf_angles_of_a_wide_picture(tmp_path: Path) -> None:
    """camera_angle_x spans the width; the pixels are square unless camera_angle_y says otherwise."""
    write_nerf(tmp_path, (20, 30), camera_angle_x=1.0)
    square = transforms_json.read(tmp_path).views.intrinsics[0]
    write_nerf(tmp_path, (20, 30), camera_angle_x=1.0, camera_angle_y=0.5)
    other = transforms_json.read(tmp_path).views.intrinsics[0]
    across, down = 15 / math.tan(0.5), 10 / math.tan(0.25)
    torch.testing.assert_close(square, torch.tensor([[across, 0, 15], [0, across, 10], [0, 0, 1]]), rtol=1e-6, atol=0)
    torch.testing.assert_close(other, torch.tensor([[across, 0, 15], [0, down, 10], [0, 0, 1]]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"frames": None}, "frames"),
        ({"frames": []}, "frames"),
        ({"frames": ["r_0"]}, "frames"),
        ({"frames": [{"file_path": "train/r_0"}]}, r"frames\[0\]\.transform_matrix"),
        ({"frames": [{"file_path": "train/r_0", "transform_matrix": [[1, 2], [3]]}]}, "transform_matrix"),
        ({"frames": [{"file_path": "train/r_0", "transform_matrix": [["a"] * 4] * 4}]}, "transform_matrix"),
        ({"frames": [{"file_path": "train/r_0", "transform_matrix": [[math.nan] * 4] * 4}]}, "transform_matrix"),
        ({"frames": [{"file_path": "train/r_0", "transform_matrix": DOUBLE}]}, "rotation"),
        ({"frames": [{"file_path": "../r_0.png", "transform_matrix": torch.eye(4).tolist()}]}, "outside"),
        ({"frames": [{"file_path": 3, "transform_matrix": torch.eye(4).tolist()}]}, "file_path"),
        ({"camera_angle_x": None}, "neither fl_x nor camera_angle_x"),
        ({"camera_angle_x": 4.0}, "angle"),
        ({"camera_angle_x": "wide"}, "camera_angle_x"),
        ({"fl_x": -3.0}, "focal length"),
        ({"k1": 0.01}, "undistorted"),
        ({"w": 25}, "25"),
    ],
)  # fmt: skip
def test_nerf_broken_files(tmp_path: Path, facts: dict[str, Any], text: str) -> None:
    """The field at fault is named."""
    write_picture(tmp_path / "r_0.png", (24, 24))
    write_nerf(tmp_path / "set", **facts)
    with pytest.raises(FileError, match=text):
        transforms_json.read(tmp_path / "set")


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass").decode("latin-1")]
)
def test_nerf_no_json(tmp_path: Path, text: str) -> None:
    """Not even hostile nesting gets through."""
    (tmp_path / transforms_json.CAMERAS).write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match=r"transforms\.json"):
        transforms_json.read(tmp_path)


# --- picture files ---


def test_all_missing_and_all_odd_pictures_are_named(tmp_path: Path) -> None:
    """Shortened where there are many."""
    for i in range(12):
        write_picture(tmp_path / f"{i}.png", (8, 8 if i < 2 else 9))
    with pytest.raises(FileError, match=r"no 12\.png, 13\.png, expected"):
        picture_files.read_rgba(tmp_path, [f"{i}.png" for i in range(14)])
    with pytest.raises(FileError, match=r"2\.png of 9 x 8, .* 9\.png of 9 x 8 and 2 more"):
        picture_files.read_rgba(tmp_path, [f"{i}.png" for i in range(12)])
    with pytest.raises(FileError, match="no pictures"):
        picture_files.read_rgba(tmp_path, [])


def test_nothing_is_decoded_before_all_is_known_to_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the first picture, if the last is of another size, or all together are too large."""
    for i in range(3):
        write_picture(tmp_path / f"{i}.png", (8, 8))
    monkeypatch.setattr(picture_files, "pixels", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 3 * 64 - 1)
    with pytest.raises(FileError, match="191 pixels"):
        picture_files.read_rgba(tmp_path, ["0.png", "1.png", "2.png"])
    write_picture(tmp_path / "2.png", (8, 7))
    with pytest.raises(FileError, match=r"2\.png"):
        picture_files.read_rgba(tmp_path, ["0.png", "1.png", "2.png"])


def test_kinds_of_pictures(tmp_path: Path) -> None:
    """Grey, grey with alpha, palettes with a transparent entry, 16 bits and JPEG."""
    values = write_picture(tmp_path / "la.png", (4, 4), mode="LA")
    found = picture_files.read_rgba(tmp_path, ["la.png"])[0]
    assert torch.equal(found[0] * 255, torch.from_numpy(values[..., 0]).float())
    assert torch.equal(found[3] * 255, torch.from_numpy(values[..., 1]).float())
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((2, 1), 0)
    palette.save(tmp_path / "p.png", transparency=0)
    found = picture_files.read_rgba(tmp_path, ["p.png"])[0]
    assert found[:, 1, 2].tolist() == [1, 0, 0, 0]
    assert found[:, 0, 0].tolist() == [0, 1, 0, 1]
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "16.png")
    Image.new("RGB", (4, 4), (255, 255, 255)).save(tmp_path / "j.jpg")
    found = picture_files.read_rgba(tmp_path, ["16.png", "j.jpg"])
    assert found[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.5, 1], abs=1e-4)
    assert torch.equal(found[1], torch.ones(4, 4, 4))


def test_broken_pictures(tmp_path: Path) -> None:
    """No picture at all, and one that breaks off."""
    write_picture(tmp_path / "good.png", (32, 32))
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "none.png").write_bytes(b"no picture")
    for name in ("half.png", "none.png"):
        with pytest.raises(FileError, match=name):
            picture_files.read_rgba(tmp_path, ["good.png", name])


@pytest.mark.parametrize(("write", "read"), [(write_choy, choy.read), (write_nerf, transforms_json.read)])
def test_readers_give_float32_that_train(tmp_path: Path, write: Callable, read: Callable) -> None:
    """What a reader returns fits together: rays of its pixels in the pictures' own dtype."""
    write(tmp_path)
    data = read(tmp_path)
    pixels = data.pixels(torch.arange(5))
    origins, directions = data.views.rays(pixels.view, pixels.pixel)
    assert {data.images.dtype, data.masks.dtype, origins.dtype, directions.dtype} == {torch.float32}
