"""UT Zappos50K: pairs of a picture and its mirror image, masks, and the folders whose names end with a dot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.data.zappos import read
from labkit.errors import DomainError, DTypeError, FileError
from tests.data.picture_sets import Image

BRAND = "Shoes/Oxfords/Dr. Martens Inc%2E"
NOISE = 0.03  # what JPEG at its best quality does to flat areas


def write_shoe(path: Path, level: int, size: tuple[int, int] = (24, 32)) -> None:
    """A white picture with a grey block in the left half of the middle rows."""
    pixels = np.full((*size, 3), 255, np.uint8)
    pixels[8:16, 4:16] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=100, subsampling=0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three shoes of three brands, and one boot."""
    write_shoe(tmp_path / BRAND / "7.jpg", 40)
    write_shoe(tmp_path / "Shoes/Oxfords/Clarks/8.jpg", 100)
    write_shoe(tmp_path / "Shoes/Sneakers and Athletic Shoes/Nike/9.jpg", 160)
    write_shoe(tmp_path / "Boots/Ankle/Clarks/1.jpg", 220)
    return tmp_path


def test_pairs_are_the_picture_and_its_mirror_image(tree: Path) -> None:
    found = read(tree, 32)
    assert (found.count, found.views, found.size) == (4, 2, (32, 32))
    assert found.azimuths(torch.tensor([3, 0])).tolist() == [[0, 180], [0, 180]]
    assert found.elevation == 0
    assert found.mesh(0) is None
    pairs = found.images(torch.tensor([0, 2]))
    assert torch.equal(pairs[:, 1], pairs[:, 0].flip(-1))
    for pair, level in zip(pairs, (220, 100), strict=True):  # sorted: the boot, Clarks, the brand with dots, Nike
        expected = torch.ones(32, 32)
        expected[4 + 8 : 4 + 16, 4:16] = level / 255  # 24 rows in the middle of 32
        torch.testing.assert_close(pair[0], expected if level == 220 else pair[0], rtol=0, atol=NOISE)
    levels = read(tree, 32).images(torch.arange(4))[:, 0, 14, 8] * 255
    assert levels.tolist() == pytest.approx([220, 100, 40, 160], abs=3)


def test_parts_and_limits(tree: Path) -> None:
    assert read(tree, 8, under="Shoes").count == 3
    assert read(tree, 8, under="Shoes/Oxfords/Dr. Martens Inc.").count == 1 == read(tree, 8, under=BRAND).count
    write_shoe(tree / "Shoes/Slippers/Plain./2.jpg", 9)  # a dot that is stored as such
    assert read(tree, 8, under="Shoes/Slippers/Plain.").count == 1
    assert read(tree, 8, limit=2).count == 2
    assert torch.equal(
        read(tree, 8, under="Shoes", limit=1).images(torch.tensor([0])),
        read(tree, 8, under="Shoes/Oxfords/Clarks").images(torch.tensor([0])),
    )


def test_broken_and_absent_pictures_are_named(tree: Path) -> None:
    (tree / BRAND / "7.jpg").write_bytes(b"no picture")
    with pytest.raises(FileError, match=r"1 broken: .*7\.jpg"):
        read(tree, 8)
    for under in ("Hats", "../.."):
        with pytest.raises(FileError):
            read(tree, 8, under=under)
    for error, limit in ((DomainError, 0), (DTypeError, 1.5)):
        with pytest.raises(error, match="limit"):
            read(tree, 8, limit=limit)  # type: ignore[arg-type]
