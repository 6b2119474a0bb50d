"""Small mesh files for tests: made by hand, byte by byte where that matters."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
import torch

from labkit.errors import FileError, LabError
from labkit.geometry.io import load_mesh
from labkit.geometry.mesh import Mesh

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
ALL = [".obj", ".ply", ".off", ".stl", ".glb"]


def painted(**drop: None) -> Mesh:
    """A tetrahedron with every field a mesh can have; ``field=None`` leaves one out."""
    vertices = torch.tensor([[0.1, 0.2, 0.3], [1e-7, 1, 0], [0, 1 / 3, 1], [-5e3, 0, 0]])
    return Mesh(
        vertices=vertices,
        faces=torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]),
        uv=torch.tensor([[0.0, 0.0], [1.0, 0.25], [0.5, 1.0], [0.125, 0.7]]),
        colors=torch.tensor([[0, 51, 255], [255, 0, 1], [2, 3, 4], [128, 128, 128]]) / 255,
        normals=torch.nn.functional.normalize(torch.tensor([[1.0, 2, 3], [0, 1, 0], [0, 0, -1], [-1, 1, 1]]), dim=1),
        texture=torch.arange(3 * 2 * 4).view(3, 2, 4) * 10 / 255,
    ).replace(**drop)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG that promises a size, with whatever pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def glb(tree: object, body: bytes = b"") -> bytes:
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(body), b"BIN\0") + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def one_triangle_tree(**changes: object) -> tuple[dict[str, object], bytes]:
    body = struct.pack("<9f3H", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2) + b"\0\0"
    tree: dict[str, object] = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(body)}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 6}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    return tree | changes, body


def refused(path: Path, error: type[LabError] = FileError) -> str:
    """Load, expect an error that names the file, and return its text."""
    with pytest.raises(error) as caught:
        load_mesh(path)
    assert path.name in str(caught.value)
    return str(caught.value)
