"""Previews on disk: what is saved comes back, names are safe, old ones are thinned, broken files are refused."""

from __future__ import annotations

import io
import random
import struct
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from labkit.errors import BackendError, FileError
from labkit.events import MeshPreview, Picture
from labkit.train.preview_files import KEPT, load_preview, preview_file, previews, save_preview
from labkit.train.run_folder import RunFolder

FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A new run."""
    return RunFolder.create(tmp_path / "läuft 1", "udr", {}).path


@pytest.mark.parametrize("channels", [1, 3])
def test_picture(run: Path, generator: torch.Generator, channels: int) -> None:
    """A picture comes back within half a level, clipped; any PNG reader sees the same."""
    image = torch.rand(channels, 5, 7, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    file = save_preview(run, Picture(12, "view", image.requires_grad_()))
    read = load_preview(file.path)
    assert isinstance(read, Picture)
    assert (read.number, read.name) == (12, "view")
    assert read.image.shape == image.shape
    assert not read.image.requires_grad
    torch.testing.assert_close(read.image.double(), image.detach().clamp(0, 1), rtol=0, atol=1 / 510 + 1e-7)
    with Image.open(file.path) as other:
        assert (other.mode, other.size) == ("L" if channels == 1 else "RGB", (7, 5))


@pytest.mark.parametrize("colored", [False, True])
def test_surface(run: Path, generator: torch.Generator, colored: bool) -> None:
    """A surface comes back bit for bit, also one whose colours share its positions' memory, or lie transposed."""
    vertices = torch.rand(3, 4, generator=generator).T
    faces = FACES.flip(0).T.contiguous().T
    file = save_preview(run, MeshPreview(3, "surface", vertices, faces, vertices if colored else None))
    read = load_preview(file.path)
    assert isinstance(read, MeshPreview)
    assert torch.equal(read.vertices, vertices)
    assert torch.equal(read.faces, faces)
    assert torch.equal(read.colors, vertices) if colored else read.colors is None


def test_empty_surface(run: Path) -> None:
    """A field without a surface has one of no faces."""
    read = load_preview(save_preview(run, MeshPreview(0, "s", torch.zeros(0, 3), FACES[:0])).path)
    assert isinstance(read, MeshPreview)
    assert (len(read.vertices), len(read.faces)) == (0, 0)


NAMES = [
    "view 3",
    "a/b",
    "a_b",
    "a b",
    "../../x",
    "..",
    ".",
    "a\\b",
    "C:x",
    "größe",
    "%2F",
    "a%2Fb",
    "\n",
    "*?",
    "x" * 180,
]


def test_names_are_safe(run: Path) -> None:
    """Every name gives a file of its own inside the folder, and comes back from it."""
    for name in NAMES:
        assert save_preview(run, Picture(5, name, torch.zeros(1, 1, 1))).path.parent == run / "previews"
    assert sorted(file.name for file in previews(run)) == sorted(NAMES)
    assert len(list((run / "previews").iterdir())) == len(NAMES)
    for file in previews(run):
        assert load_preview(file.path).name == file.name


def test_order_and_replacement(run: Path) -> None:
    """The list is by step, beyond eight digits too; the same step and name is one preview, the newest."""
    for number in (100_000_000, 2, 10, 2):
        save_preview(run, Picture(number, "view", torch.full((1, 1, 1), float(number == 2))))
    save_preview(run, MeshPreview(2, "view", torch.zeros(4, 3), FACES))
    (run / "previews" / "notes.txt").write_text("mine")
    files = previews(run)
    assert [(file.number, file.path.suffix) for file in files] == [
        (2, ".png"),
        (2, ".safetensors"),
        (10, ".png"),
        (100_000_000, ".png"),
    ]
    assert [preview_file(file.path) for file in files] == files


def test_thinning(run: Path) -> None:
    """Of very many previews KEPT stay, spread over the whole run, the first and the newest with them."""
    save_preview(run, Picture(3, "other", torch.zeros(1, 1, 1)))
    for number in range(4 * KEPT):
        save_preview(run, Picture(number, "view", torch.zeros(1, 1, 1)))
        assert previews(run)[-1].number == number or number < 3
    numbers = [file.number for file in previews(run) if file.name == "view"]
    assert len(numbers) == KEPT
    assert (numbers[0], numbers[-1]) == (0, 4 * KEPT - 1)
    gaps = [after - before for before, after in pairwise(numbers)]
    assert max(gaps) <= 8  # twice the even spacing of 4
    assert [file.number for file in previews(run) if file.name == "other"] == [3]


def test_the_newest_stays_when_a_run_goes_back(run: Path) -> None:
    """A run that resumes at an earlier step keeps what it shows now, between later ones of before."""
    for number in range(0, 2 * KEPT, 2):
        save_preview(run, Picture(number, "view", torch.zeros(1, 1, 1)))
    for number in (7, 21):
        file = save_preview(run, Picture(number, "view", torch.zeros(1, 1, 1)))
        assert file.path.exists()
        assert len(previews(run)) == KEPT


def png(run: Path, picture: Image.Image, name: str = "00000001-view.png", **options: object) -> Path:
    """A foreign picture in the place of a preview."""
    picture.save(run / "previews" / name, "PNG", **options)
    return run / "previews" / name


def test_foreign_pictures_are_refused(run: Path) -> None:
    """Other kinds of pictures, other formats, and pictures that would fill the memory are refused before that."""
    for mode in ("RGBA", "P", "I;16", "1", "LA"):
        with pytest.raises(FileError, match="8-bit"):
            load_preview(png(run, Image.new(mode, (2, 2))))
    path = run / "previews" / "00000002-view.png"
    Image.new("RGB", (2, 2)).save(path, "GIF")
    with pytest.raises(FileError, match="broken"):
        load_preview(path)
    for width, height in ((50_000, 50_000), (20_000, 1), (16_384, 16_384)):
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + header
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)))
        with pytest.raises(FileError, match="broken"):
            load_preview(path)


def surface_bytes(**changed: torch.Tensor) -> bytes:
    """A surface's file with some tensors replaced."""
    return save({"vertices": torch.zeros(4, 3), "faces": FACES, **changed})


@pytest.mark.parametrize(
    "data",
    [
        surface_bytes(faces=FACES + 2),
        surface_bytes(faces=FACES - 1),
        surface_bytes(faces=FACES.int()),
        surface_bytes(vertices=torch.zeros(4, 2)),
        surface_bytes(vertices=torch.full((4, 3), torch.nan)),
        surface_bytes(colors=torch.zeros(3, 3)),
        save({"faces": FACES}),
        b"",
        b"\xff" * 20,
        struct.pack("<Q", 1 << 60) + b"{}",
        b"\x80\x04}.",  # a pickle
    ],
)
def test_foreign_surfaces_are_refused(run: Path, data: bytes) -> None:
    """A surface whose file does not fit together is refused, whatever it claims."""
    path = run / "previews" / "00000001-surface.safetensors"
    path.write_bytes(data)
    with pytest.raises(FileError):
        load_preview(path)


def test_damaged_files(run: Path, generator: torch.Generator) -> None:
    """Cut short anywhere, or with bytes changed anywhere, a file is read or refused; nothing else happens."""
    chance = random.Random(3)
    events = [
        Picture(1, "view", torch.rand(3, 9, 9, generator=generator)),
        MeshPreview(1, "surface", torch.rand(4, 3, generator=generator), FACES),
    ]
    for event in events:
        path = save_preview(run, event).path
        whole = path.read_bytes()
        refused = 0
        for _ in range(150):
            cut = chance.random() < 0.3
            data = bytearray(whole[: chance.randrange(len(whole))] if cut else whole)
            for _ in range(0 if cut else chance.randint(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            path.write_bytes(data)
            try:
                load_preview(path)
            except FileError:
                refused += 1
        assert refused > 40


def test_wrong_paths(run: Path) -> None:
    """What is no preview's file is refused by its name; so is a run without the folder."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    (run / "previews" / "photo.png").write_bytes(stream.getvalue())
    with pytest.raises(FileError, match="another name"):
        load_preview(run / "previews" / "photo.png")
    with pytest.raises(FileError, match="No such file"):
        load_preview(run / "previews" / "00000001-view.png")
    with pytest.raises(FileError, match="No such file"):
        previews(run / "elsewhere")


def test_packages_are_missing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow or safetensors the cure is named, for writing and for reading."""
    events = [Picture(1, "view", torch.zeros(1, 1, 1)), MeshPreview(1, "s", torch.zeros(4, 3), FACES)]
    paths = [save_preview(run, event).path for event in events]
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for event, path in zip(events, paths, strict=True):
        with pytest.raises(BackendError, match=r"labkit\[train\]"):
            save_preview(run, event)
        with pytest.raises(BackendError, match=r"labkit\[train\]"):
            load_preview(path)
