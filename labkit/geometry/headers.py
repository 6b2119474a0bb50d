"""What PLY, OFF, STL and GLB files promise about themselves, checked before anything of that size is allocated."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass

from labkit.errors import FileError

PLY_BYTES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16", "float16"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "float", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "double", "float64"), 8),
}
SPARE_LINES = 1000  # empty lines and comments allowed beyond the promised rows


@dataclass(frozen=True)
class Header:
    """What a header says: least number of triangles, stored vertex normals, a texture file, uv stored per face."""

    faces: int
    normals: bool = False
    texture: str | None = None
    face_uv: bool = False


def read_header(name: str, suffix: str, data: bytes, max_faces: int) -> Header:
    """Return the header of a ``suffix`` (".ply", ".off", ".stl", ".glb") file with content ``data``.

    Raises:
        FileError: another kind of file, counts that the file is too short for or above ``max_faces``, a GLB that
            refers to other files. ``name`` is the file, for messages.
    """
    read = {".ply": _ply, ".off": _off, ".stl": _stl, ".glb": _glb}[suffix]
    try:
        header, vertices = read(data)
    except _WrongError as error:
        raise FileError(name, error.got, error.expected) from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise FileError(name, f"a broken header ({error})", f"a sound {suffix[1:].upper()} header") from error
    if header.faces > max_faces or vertices > 3 * max_faces:
        raise FileError(
            name, f"{header.faces} faces and {vertices} vertices", f"at most {max_faces} faces; simplify it first"
        )
    return header


class _WrongError(Exception):
    """A fact about a file for which the caller knows the name."""

    def __init__(self, got: str, expected: str) -> None:
        self.got, self.expected = got, expected


def _ply(data: bytes) -> tuple[Header, int]:
    if not re.match(rb"ply[ \t]*\r?\n", data):
        raise _WrongError("no PLY (its first line is not 'ply')", "a PLY file, or the suffix that fits the content")
    end = re.compile(rb"^end_header[ \t]*\r?\n", re.MULTILINE).search(data, 0, 1 << 16)
    if end is None:
        raise _WrongError("a PLY header without 'end_header'", "a complete file")
    counts: dict[str, int] = {}
    least: dict[str, int] = {}  # bytes of one row at least
    names: dict[str, set[str]] = {}
    element = "the header"
    lines = [line.split() for line in data[: end.start()].decode("utf-8", "replace").splitlines()]
    text = any(words[:2] == ["format", "ascii"] for words in lines)
    texture = next((" ".join(words[2:]) for words in lines if [w.lower() for w in words[1:2]] == ["texturefile"]), None)
    for words in lines:
        if words[:1] == ["element"]:
            element, counts[words[1]] = words[1], int(words[2])
            least[element], names[element] = 0, set()
            if counts[element] < 0:
                raise _WrongError(f"{counts[element]} of '{element}'", "a count of zero or more")
        elif words[:1] == ["property"]:
            names[element].add(words[-1])
            size = PLY_BYTES[words[2] if words[1] == "list" else words[1]]
            least[element] += 2 if text else size
    body, rows = len(data) - end.end(), sum(counts.values())
    needed = sum(counts[element] * least[element] for element in counts)
    if needed > body + 1:
        raise _WrongError(
            f"{counts} promised, {body} bytes present",
            f"at least {needed} bytes after the header; the file is truncated or wrong",
        )
    if text:
        _check_lines(data.count(b"\n", end.end()) + 1, rows, "PLY")
    normals = {"nx", "ny", "nz"} <= names.get("vertex", set())
    face_uv = "texcoord" in names.get("face", set())
    return Header(counts.get("face", 0), normals, texture, face_uv), counts.get("vertex", 0)


def _off(data: bytes) -> tuple[Header, int]:
    text = re.sub(r"#[^\n]*", "", data.decode("latin-1").replace("\r\n", "\n"))
    start = re.match(r"\s*(?:C|N)?OFF\s*(\d+)[ \t]+(\d+)(?:[ \t]+\d+)?[ \t]*(?:\n|$)", text)
    if start is None:
        raise _WrongError(
            "no OFF (it does not start with 'OFF' and the counts)", "a text OFF file, or the suffix that fits"
        )
    vertices, faces = int(start[1]), int(start[2])
    _check_lines(text.count("\n", start.end()) + 1, vertices + faces, "OFF")
    rows = [line for line in text[start.end() :].split("\n") if line.strip()]
    _check_lines(len(rows), vertices + faces, "OFF")
    for row in rows[vertices : vertices + faces]:
        words = row.split()
        if not 3 <= int(words[0]) < len(words):
            raise _WrongError(f"the face '{row.strip()[:60]}'", "a count of three or more, then so many indices")
    return Header(faces), vertices


def _stl(data: bytes) -> tuple[Header, int]:
    if len(data) >= 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]:
        faces = (len(data) - 84) // 50
        return Header(faces), 3 * faces
    if re.match(rb"\s*solid", data, re.IGNORECASE) and b"\0" not in data:
        facets, ends = (len(re.findall(key, data, re.IGNORECASE)) for key in (rb"\bfacet\b", rb"\bendfacet\b"))
        if facets != ends or not re.search(rb"\bendsolid\b", data, re.IGNORECASE):
            raise _WrongError(f"{facets} 'facet' and {ends} 'endfacet'", "as many of each, then 'endsolid': truncated?")
        return Header(facets), 3 * facets
    if len(data) < 84:
        raise _WrongError(f"{len(data)} bytes that do not start with 'solid'", "a text or binary STL file")
    promised = struct.unpack_from("<I", data, 80)[0]
    raise _WrongError(
        f"{len(data)} bytes, where byte 80 promises {promised} faces in {84 + 50 * promised} bytes",
        "a complete binary STL; the file is truncated or another kind of file",
    )


def _glb(data: bytes) -> tuple[Header, int]:
    if data[:4] != b"glTF":
        raise _WrongError("no GLB (it does not start with 'glTF')", "a binary glTF file, or the suffix that fits")
    version, length, size, kind = struct.unpack_from("<II I4s", data, 4)
    if version != 2 or kind != b"JSON":
        raise _WrongError(f"glTF version {version}, first chunk {kind!r}", "version 2 and a JSON chunk")
    if length != len(data) or 20 + size > len(data):
        raise _WrongError(f"{len(data)} bytes, where the header promises {length}", "a complete file")
    tree = json.loads(data[20 : 20 + size])
    for entry in tree.get("buffers", []) + tree.get("images", []):
        if not entry.get("uri", "data:").startswith("data:"):
            raise _WrongError(f"a reference to the file {entry['uri'][:100]!r}", "a GLB that holds its own buffers")
    accessors = tree.get("accessors", [])
    for accessor in accessors:
        if "bufferView" not in accessor or "sparse" in accessor:
            raise _WrongError("compressed or sparse geometry", "plain buffers (export without Draco or Meshopt)")
        if not 0 <= accessor["count"] <= len(data):
            raise _WrongError(f"an accessor of {accessor['count']} items in {len(data)} bytes", "a count that fits")
    primitives = [primitive for mesh in tree.get("meshes", []) for primitive in mesh["primitives"]]
    # One accessor may serve many primitives, and each becomes a copy: so they are counted as often as used.
    vertices = sum(accessors[p["attributes"]["POSITION"]]["count"] for p in primitives)
    corners = sum(
        accessors[primitive.get("indices", primitive["attributes"]["POSITION"])]["count"] for primitive in primitives
    )
    return Header(corners // 3, all("NORMAL" in p["attributes"] for p in primitives)), vertices


def _check_lines(present: int, promised: int, kind: str) -> None:
    if present < promised:
        raise _WrongError(f"{promised} rows promised, {present} lines present", f"a complete {kind} file")
    if present > 2 * promised + SPARE_LINES:
        raise _WrongError(f"{promised} rows promised, {present} lines present", f"a {kind} file without other content")
