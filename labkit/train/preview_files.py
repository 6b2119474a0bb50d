"""Previews of a run on disk: pictures as PNG, surfaces as safetensors, named by step and name."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import torch

from labkit.errors import BackendError, DomainError, DTypeError, FileError, ShapeError, check_size, check_tensor
from labkit.events import MeshPreview, Picture
from labkit.files import read_bytes, write_bytes

KEPT = 100  # previews of one name that stay
FOLDER = "previews"
NAME = re.compile(r"(\d{8,})-([\w.~%-]+)\.(png|safetensors)", re.ASCII)
LONGEST = 180  # bytes of a name in the file name, well below the 255 that file systems allow
CURE = 'it installed: pip install "labkit[train]"'


@dataclass(frozen=True)
class PreviewFile:
    """A preview on disk.

    Attributes:
        number: steps done when it was taken.
        name: what it shows.
        path: absolute; ends with .png for a picture and with .safetensors for a surface.
    """

    number: int
    name: str
    path: Path


def previews(run_dir: str | os.PathLike[str]) -> list[PreviewFile]:
    """The previews of a run, by step and then by name. None of them is opened.

    Raises:
        FileError: the run has no folder of previews.
    """
    folder = Path(run_dir).absolute() / FOLDER
    try:
        found = [preview_file(path) for path in folder.iterdir() if NAME.fullmatch(path.name)]
    except OSError as error:
        raise FileError(str(folder), error.strerror or type(error).__name__, "the previews of a run") from error
    return sorted(found, key=lambda file: (file.number, file.name, file.path.suffix))


def preview_file(path: Path) -> PreviewFile:
    """What the name of a preview's file says.

    Raises:
        FileError: it is no preview's.
    """
    if not (match := NAME.fullmatch(path.name)):
        raise FileError(str(path), "another name", "a preview such as 00000500-surface.png")
    return PreviewFile(int(match[1]), unquote(match[2]), path)


def save_preview(run_dir: str | os.PathLike[str], event: Picture | MeshPreview) -> PreviewFile:
    """Write a preview atomically, over one of the same kind, step and name; then thin those of its kind and name.

    At most KEPT stay: the oldest, the newest, and in between those that leave the smallest gaps.

    Args:
        run_dir: the run.
        event: a picture, (1, H, W) or (3, H, W), is clipped to [0, 1] and rounded to 8 bits.

    Raises:
        ShapeError, DTypeError, DomainError, DeviceError: not a finite picture or surface, or a name too long.
        FileError: it cannot be written; no part of it is.
        BackendError: Pillow or safetensors is missing.
    """
    name = quote(event.name, safe="")  # one to one, and without any character that a path could mean
    if not 0 < len(name) <= LONGEST:
        raise DomainError("name", repr(event.name), f"a name of 1 to {LONGEST} bytes, percent-encoded")
    if event.number < 0:
        raise DomainError("number", event.number, "a step from 0")
    data, suffix = (_png(event), "png") if isinstance(event, Picture) else (_safetensors(event), "safetensors")
    path = Path(run_dir).absolute() / FOLDER / f"{event.number:08d}-{name}.{suffix}"
    try:
        write_bytes(path, data)
        _thin([file for file in previews(run_dir) if file.name == event.name and file.path.suffix == path.suffix], path)
    except FileError:
        raise
    except OSError as error:
        raise FileError(str(path), error.strerror or type(error).__name__, "a place that can be written") from error
    return PreviewFile(event.number, event.name, path)


def load_preview(path: str | os.PathLike[str]) -> Picture | MeshPreview:
    """Read a preview's file back.

    Returns:
        A picture, (1, H, W) or (3, H, W) float32 in [0, 1], within 1/510 of what was saved; or the surface itself.

    Raises:
        FileError: missing, broken, or no preview.
        BackendError: Pillow or safetensors is missing.
    """
    file = preview_file(Path(path))
    data = read_bytes(file.path)
    try:
        if file.path.suffix == ".png":
            return Picture(file.number, file.name, _read_png(data))
        tensors = _read_safetensors(data)
        surface = MeshPreview(file.number, file.name, tensors["vertices"], tensors["faces"], tensors.get("colors"))
        return _check_surface(surface)
    except (KeyError, DomainError, DTypeError, ShapeError) as error:
        raise FileError(str(file.path), f"a broken preview ({error})", "one that a run has written") from error


def _thin(files: list[PreviewFile], newest: Path) -> None:
    while len(files) > KEPT:
        gaps = [after.number - before.number for before, after in zip(files, files[2:], strict=False)]
        least = min(range(len(gaps)), key=lambda i: (files[i + 1].path == newest, gaps[i]))
        files.pop(least + 1).path.unlink(missing_ok=True)


def _png(picture: Picture) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendError("pillow", "no such package", CURE) from error
    image = check_tensor("image", picture.image, "C H W").detach()
    check_size("image", tuple(image.shape[1:]))
    if image.shape[0] not in (1, 3):
        raise ShapeError("image", tuple(image.shape), "shape (1, H, W) or (3, H, W)")
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    stream = io.BytesIO()
    Image.fromarray(levels[..., 0] if image.shape[0] == 1 else levels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _read_png(data: bytes) -> torch.Tensor:
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendError("pillow", "no such package", CURE) from error
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            check_size("image", picture.size[::-1])
            if picture.mode not in ("L", "RGB"):
                raise DTypeError("image", picture.mode, "8-bit grey or RGB")
            levels = np.array(picture)  # (H, W) or (H, W, 3)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DomainError("image", error, "a picture in PNG format") from error
    return torch.from_numpy(np.atleast_3d(levels)).permute(2, 0, 1).float() / 255  # (C, H, W)


def _safetensors(surface: MeshPreview) -> bytes:
    _check_surface(surface)
    tensors = {"vertices": surface.vertices, "faces": surface.faces, "colors": surface.colors}
    own = {  # safetensors refuses tensors that share memory, as colours made of the positions may
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
        if tensor is not None
    }
    return _safetensors_torch().save(own)


def _read_safetensors(data: bytes) -> dict[str, torch.Tensor]:
    library = _safetensors_torch()
    from safetensors import SafetensorError

    try:
        return library.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DomainError("surface", error, "a file in safetensors format") from error


def _safetensors_torch() -> Any:
    try:
        from safetensors import torch as library
    except ImportError as error:
        raise BackendError("safetensors", "no such package", CURE) from error
    return library


def _check_surface(surface: MeshPreview) -> MeshPreview:
    vertices = check_tensor("vertices", surface.vertices, "V 3")
    faces = check_tensor("faces", surface.faces, "F 3", integer=True)
    if surface.colors is not None:
        check_tensor("colors", surface.colors, f"{len(vertices)} 3")
    if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise DomainError("faces", f"indices {int(faces.min())} to {int(faces.max())}", f"0 to {len(vertices) - 1}")
    return surface
