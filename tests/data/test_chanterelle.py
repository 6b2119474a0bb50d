"""Chanterelle: the crop around the mask, and one mean brightness for all mushrooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.data.chanterelle import FILL, cropped, read
from labkit.errors import DomainError, FileError
from tests.data.picture_sets import Image

STEPS = 2 / 255  # pictures are rounded to 8 bits twice


def write_mushroom(path: Path, level: int, box: tuple[int, int, int, int], size: tuple[int, int] = (60, 80)) -> None:
    """An opaque block (top, bottom, left, right) of one grey level; what is transparent is red."""
    pixels = np.zeros((*size, 4), np.uint8)
    pixels[..., 0] = 255
    top, bottom, left, right = box
    pixels[top:bottom, left:right] = (level, level, level, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, "RGBA").save(path)


def test_mushrooms_are_centred_and_equally_bright(tmp_path: Path) -> None:
    write_mushroom(tmp_path / "train/a.png", 100, (10, 40, 5, 25))  # 30 high, 20 wide
    write_mushroom(tmp_path / "val/b.png", 140, (0, 12, 68, 80))  # in a corner, 12 x 12
    found = read(tmp_path, 40, fill=0.5)
    assert (found.count, found.size) == (2, (40, 40))
    pictures = found.images(torch.arange(2))[:, 0]
    for picture, width in zip(pictures, (14, 20), strict=True):  # 20 of 40 pixels are the longest edge
        left = (40 - width) // 2
        inside = picture[12:28, left + 2 : 38 - left]
        torch.testing.assert_close(inside, torch.full_like(inside, 120 / 255), rtol=0, atol=STEPS)
        outside = picture.clone()
        outside[8:32, left - 2 : 42 - left] = 1
        assert (outside == 1).all()


def test_brightness_is_shifted_not_scaled_and_stays_in_range(tmp_path: Path) -> None:
    for name, dark, bright in (("a", 0, 100), ("b", 155, 255)):
        pixels = np.zeros((16, 16, 4), np.uint8)
        pixels[:, :8], pixels[:, 8:] = (dark, dark, dark, 255), (bright, bright, bright, 255)
        Image.fromarray(pixels, "RGBA").save(tmp_path / f"{name}.png")
    pictures = read(tmp_path, 16, fill=1.0).images(torch.arange(2))[:, 0]
    mean = (50 + 205) / 2
    for picture in pictures:
        assert (picture[:, 0] * 255).tolist() == pytest.approx([mean - 50] * 16, abs=2)
        assert (picture[:, -1] * 255).tolist() == pytest.approx([mean + 50] * 16, abs=2)


def test_the_background_can_be_chosen(tmp_path: Path) -> None:
    write_mushroom(tmp_path / "a.png", 200, (20, 40, 30, 50))
    dark = read(tmp_path, 32, background=0.0).images(torch.tensor([0]))[0, 0]
    assert dark[0, 0] == 0
    assert dark[16, 16].item() == pytest.approx(200 / 255, abs=STEPS)
    side = int((dark > 0.5).sum()) ** 0.5
    assert abs(side - FILL * 32) <= 1.5  # the pixels of its edge are covered in part and fall to either side


@pytest.mark.parametrize("box", [(0, 1, 0, 1), (10, 40, 5, 25), (0, 60, 0, 80)])
@pytest.mark.parametrize("fill", [0.3, 1.0])
def test_crops_are_square_and_hold_the_whole_mask(box: tuple[int, int, int, int], fill: float) -> None:
    rgba = torch.zeros(1, 4, 60, 80)
    rgba[:, :, box[0] : box[1], box[2] : box[3]] = 1
    crop = cropped(rgba, fill)
    longest = max(box[1] - box[0], box[3] - box[2])
    assert crop.shape == (1, 2, round(longest / fill), round(longest / fill))
    assert crop[:, 1].sum() == rgba[:, 3].sum()


def test_what_has_no_mushroom_is_named(tmp_path: Path) -> None:
    write_mushroom(tmp_path / "a.png", 200, (20, 40, 30, 50))
    write_mushroom(tmp_path / "b.png", 200, (0, 0, 0, 0))
    (tmp_path / "c.png").write_bytes(b"no picture")
    specks = np.zeros((2000, 2000, 4), np.uint8)
    specks[0, 0] = specks[-1, -1] = 255  # far apart, and together less than half of a step of one of 8 x 8 pixels
    Image.fromarray(specks, "RGBA").save(tmp_path / "d.png")
    with pytest.raises(FileError, match=r"3 broken: b\.png, c\.png, d\.png"):
        read(tmp_path, 8)


@pytest.mark.parametrize("options", [{"fill": 0.01}, {"fill": 1.5}, {"background": -0.1}, {"size": 0}])
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    write_mushroom(tmp_path / "a.png", 200, (20, 40, 30, 50))
    with pytest.raises(DomainError):
        read(tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(FileError):
        read(tmp_path / "absent")
