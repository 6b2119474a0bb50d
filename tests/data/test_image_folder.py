"""Folders of pictures: all of them, cropped and resized, or a list of those that are broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from labkit.data.image_folder import fitted, folder_source, grey
from labkit.errors import DomainError, FileError
from tests.data.picture_sets import Image, over_white, write_picture

STEP = 0.51 / 255  # half of one of 256 steps


def test_pictures_come_grey_over_white_in_the_order_of_their_paths(tmp_path: Path) -> None:
    first = write_picture(tmp_path / "b.png", (8, 8), seed=1)
    second = write_picture(tmp_path / "c" / "a.PNG", (8, 8), seed=2)
    write_picture(tmp_path / ".hidden" / "a.png", (8, 8))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    found = folder_source(tmp_path, 8)
    assert (found.count, found.size) == (2, (8, 8))
    for number, rgba in enumerate((first, second)):
        red, green, blue = over_white(rgba)
        expected = 0.299 * red + 0.587 * green + 0.114 * blue
        torch.testing.assert_close(found.images(torch.tensor([number]))[0, 0], expected, rtol=0, atol=STEP)


@pytest.mark.parametrize(("shape", "size"), [((8, 24), 8), ((24, 8), 8), ((8, 16), (8, 16)), ((30, 10), (6, 10))])
def test_the_middle_is_kept_and_nothing_is_stretched(shape: tuple[int, int], size: int | tuple[int, int]) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = torch.arange(shape[0]).float()[:, None], torch.arange(shape[1]).float()[None]
    picture = (rows * 40 + columns)[None, None] / 2000
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    expected = picture[..., top : top + height, left : left + width]
    torch.testing.assert_close(fitted(picture, (height, width)), expected)


def test_shrinking_averages() -> None:
    """Stripes of one pixel become their mean, not one of them."""
    stripes = torch.tensor([0.0, 1.0]).repeat(16).expand(1, 1, 32, 32)
    small = fitted(stripes, (8, 8))
    torch.testing.assert_close(small[..., 1:-1], torch.full((1, 1, 8, 6), 0.5))


def test_grey_of_equal_colours_is_that_level() -> None:
    torch.testing.assert_close(grey(torch.full((1, 3, 2, 2), 0.3)), torch.full((1, 1, 2, 2), 0.3))


def test_all_broken_pictures_are_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_picture(tmp_path / f"{name}.png", (30, 30))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:200])  # its head is sound, its pixels are not
    (tmp_path / "d.png").write_bytes(b"no picture")
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(FileError, match=r"2 broken: b\.png, d\.png.*b\.png: got a broken texture"):
            folder_source(tmp_path, 8, cache=cache)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    write_picture(tmp_path / "outside.png", (8, 8))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(FileError, match=r"1 broken: a\.png.*outside its folder"):
        folder_source(tmp_path / "pictures", 8)


def test_the_cache_follows_the_files(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    write_picture(folder / "a.png", (8, 8), seed=1)
    first = folder_source(folder, 8, cache=cache).images(torch.tensor([0]))
    assert torch.equal(folder_source(folder, 8, cache=cache).images(torch.tensor([0])), first)
    assert len(list(cache.glob("*/*.npy"))) == 1
    write_picture(folder / "a.png", (8, 9), seed=2)
    second = folder_source(folder, 8, cache=cache).images(torch.tensor([0]))
    assert torch.equal(second, folder_source(folder, 8).images(torch.tensor([0])))
    assert not torch.equal(first, second)


def test_bad_folders_and_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no folder"):
        folder_source(tmp_path / "absent")
    with pytest.raises(FileError, match="no pictures"):
        folder_source(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DomainError, match="size"):
        folder_source(tmp_path, 0)
