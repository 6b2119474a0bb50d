"""Wavefront OBJ, read and written line by line.

Own code, because the OBJ reader of trimesh 5.2 returns a wrong mesh without a word where the format is used to the
full: relative indices in files that mix vertices and faces, index 0, faces with and without uv side by side.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labkit.errors import FileError
from labkit.files import inside, read_bytes
from labkit.geometry import textures
from labkit.geometry.mesh import Mesh
from labkit.geometry.parts import Part


@dataclass
class _Material:
    diffuse: tuple[float, float, float] | None = None
    texture: NDArray[np.floating] | None = None

    def looks(self) -> tuple[object, object]:
        return self.diffuse, id(self.texture)


@dataclass
class _Content:
    rows: dict[str, list[list[float]]] = field(default_factory=lambda: {"v": [], "vt": [], "vn": []})
    corners: array[int] = field(default_factory=lambda: array("q"))  # v, vt, vn of each corner; -1: absent
    owners: array[int] = field(default_factory=lambda: array("q"))  # material of each triangle
    lines: array[int] = field(default_factory=lambda: array("q"))  # line of each triangle
    libraries: list[str] = field(default_factory=list)
    materials: dict[str, int] = field(default_factory=lambda: {"": 0})


def read_obj(path: Path, data: bytes, max_faces: int) -> list[Part]:
    """Return the parts of an OBJ file, one per look (material colour and texture).

    Polygons become fans. A corner without uv gets (0, 0) if other corners have one; normals are kept if every corner
    has one. Colours behind the positions (x y z r g b) are kept if every vertex has them. Of materials ``Kd`` and
    ``map_Kd`` are read; a missing library or texture is left out, one outside the folder is refused. If nothing but
    positions is used, or each vertex has one uv and normal, vertices keep their order.

    Raises:
        FileError: not an OBJ, an index that is 0 or out of range, more than ``max_faces`` triangles, a file
            reference out of the folder, a broken texture. Lines are named.
    """
    content = _parse(path, data, max_faces)
    corners = np.array(content.corners, dtype=np.int64).reshape(-1, 3, 3)  # (F, corner, v/vt/vn)
    for column, (name, rows) in enumerate(content.rows.items()):
        bad = (corners[..., column] >= len(rows)).any(1)
        if bad.any():
            line = content.lines[int(bad.argmax())]
            raise FileError(
                f"{path}, line {line}", f"a face beyond the {len(rows)} '{name}' lines", "an index in range"
            )
    if content.libraries:
        library = _materials(path, content.libraries)
        looks = [library.get(name, _Material()) for name in content.materials]
    else:
        looks = [_Material() for _ in content.materials]
    owners = np.array(content.owners, dtype=np.int64)  # (F,)
    groups: dict[tuple[object, object], list[int]] = {}
    for index in dict.fromkeys(owners.tolist()):
        groups.setdefault(looks[index].looks(), []).append(index)
    whole = len(groups) == 1
    return [
        _part(content.rows, corners if whole else corners[np.isin(owners, indices)], looks[indices[0]], keep_all=whole)
        for indices in groups.values()
    ]


def obj_text(mesh: Mesh, library: str | None = None) -> str:
    """Return a mesh of (V, 3) vertices as OBJ text, numbers to the last bit; ``library`` is the MTL file beside it."""
    columns = [mesh.vertices] if mesh.colors is None else [mesh.vertices, mesh.colors]
    lines = [f"mtllib {library}", "usemtl material_0"] if library else []
    tables = {"v": np.concatenate([column.detach().cpu().numpy() for column in columns], axis=1)}
    tables |= {
        key: value.detach().cpu().numpy() for key, value in (("vt", mesh.uv), ("vn", mesh.normals)) if value is not None
    }
    for key, table in tables.items():
        lines += [f"{key} {' '.join(map(str, row))}" for row in table.astype(str).tolist()]
    corner = {(): "{0}", ("vt",): "{0}/{0}", ("vn",): "{0}//{0}", ("vt", "vn"): "{0}/{0}/{0}"}[tuple(tables)[1:]]
    names = [corner.format(index + 1) for index in range(len(mesh.vertices))]
    lines += [f"f {names[a]} {names[b]} {names[c]}" for a, b, c in mesh.faces.tolist()]
    return "\n".join(lines) + "\n"


def mtl_text(texture: str) -> str:
    """Return the material library that `obj_text` refers to, with its one texture file."""
    return f"newmtl material_0\nKd 1 1 1\nmap_Kd {texture}\n"


def _lines(path: Path, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line that is neither empty nor a comment."""
    if b"\0" in data:
        raise FileError(str(path), "binary data", "a text file of v, vt, vn and f lines")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\\\n", " ")
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if words:
            yield number, words


def _parse(path: Path, data: bytes, max_faces: int) -> _Content:
    content, owner = _Content(), 0
    for number, words in _lines(path, data):
        key = words[0]
        try:
            if key in content.rows:
                numbers = [float(word) for word in words[1:]]
                least = 1 if key == "vt" else 3
                if len(numbers) < least:
                    raise ValueError(f"{len(numbers)} numbers")
                content.rows[key].append(numbers)
            elif key == "f":
                _add_face(content, words[1:], owner, number)
            elif key == "usemtl":
                owner = content.materials.setdefault(" ".join(words[1:]), len(content.materials))
            elif key == "mtllib":
                content.libraries.append(" ".join(words[1:]))
        except (ValueError, OverflowError) as error:
            raise FileError(
                f"{path}, line {number}", f"'{' '.join(words)[:60]}' ({error})", "a sound OBJ line"
            ) from error
        if len(content.owners) > max_faces:
            raise FileError(str(path), f"more than {max_faces} faces", f"at most {max_faces}; simplify it first")
    for key, kind in (("v", "vertices ('v' lines)"), ("f", "faces ('f' lines)")):
        if not (content.rows["v"] if key == "v" else content.owners):
            raise FileError(str(path), f"no {kind}", "an OBJ with a surface; is it truncated, or another kind of file?")
    return content


def _add_face(content: _Content, words: list[str], owner: int, number: int) -> None:
    if len(words) < 3:
        raise ValueError("fewer than three corners")
    counts = [len(rows) for rows in content.rows.values()]
    corners = []
    for word in words:
        corner = [-1, -1, -1]
        parts = word.split("/")
        if len(parts) > 3:
            raise ValueError(f"corner {word}")
        for column, text in enumerate(parts):
            if text or column == 0:
                index = int(text)
                corner[column] = index - 1 if index > 0 else counts[column] + index
                if index == 0 or corner[column] < 0:
                    raise ValueError(f"index {index} with {counts[column]} lines before it")
        corners.append(corner)
    for second, third in pairwise(corners[1:]):
        content.corners.extend(corners[0] + second + third)
        content.owners.append(owner)
        content.lines.append(number)


def _materials(path: Path, libraries: list[str]) -> dict[str, _Material]:
    materials: dict[str, _Material] = {}
    pictures: dict[Path, NDArray[np.floating]] = {}
    for library in libraries:
        source = inside(path.parent, library)
        current = _Material()
        for number, words in _lines(source, read_bytes(source)) if source.is_file() else ():
            key = words[0].lower()
            if key == "newmtl":
                current = materials[" ".join(words[1:])] = _Material()
            elif key == "kd" and len(words) == 4:
                try:
                    red, green, blue = (min(max(float(word), 0.0), 1.0) for word in words[1:])
                except ValueError as error:
                    raise FileError(f"{source}, line {number}", " ".join(words), "Kd red green blue") from error
                current.diffuse = red, green, blue
            elif key == "map_kd" and len(words) > 1:
                # Options such as "-s 1 1 1" may stand before the name; a name may also hold blanks.
                name = words[-1] if words[1].startswith("-") else " ".join(words[1:])
                picture = inside(path.parent, name)
                if picture.is_file() and picture not in pictures:
                    pictures[picture] = textures.decode(read_bytes(picture), str(picture))
                current.texture = pictures.get(picture)
    return materials


def _part(rows: dict[str, list[list[float]]], corners: NDArray[np.int64], look: _Material, keep_all: bool) -> Part:
    """Give each distinct (v, vt, vn) its own vertex, ordered by v; ``keep_all``: also those without a face."""
    v, vt, vn = (corners[..., column].reshape(-1) for column in range(3))  # (F * 3,) each
    has_uv, has_normals = bool((vt >= 0).any()), bool((vn >= 0).all())
    key, count = v, len(rows["v"])
    for used, column, size in ((has_uv, vt, len(rows["vt"])), (has_normals, vn, len(rows["vn"]))):
        if used:
            # Ranks keep the products below 2^63; -1 (no uv) becomes 0.
            key = np.unique(key * (size + 1) + column + 1, return_inverse=True)[1]
    _, first, faces = np.unique(key, return_index=True, return_inverse=True)  # (U,), (F * 3,)
    if keep_all and len(np.unique(v)) == len(first):  # one look per vertex: keep the file's own numbering
        home = np.full(count, -1)
        home[v] = np.arange(len(v))
        position, first, faces = np.arange(count), home, v
    else:
        position = v[first]
    points = [rows["v"][index] for index in position]
    uv = normals = None
    if has_uv:
        table = np.array([[*row, 0.0][:2] for row in rows["vt"]] + [[0.0, 0.0]])  # index -1: the added (0, 0)
        uv = table[np.where(first >= 0, vt[first], -1)]
    if has_normals:
        table = np.array([row[:3] for row in rows["vn"]] + [[0.0, 0.0, 0.0]])
        normals = table[np.where(first >= 0, vn[first], -1)]
    return Part(
        vertices=np.array([row[:3] for row in points]),
        faces=faces.reshape(-1, 3).astype(np.int64),
        uv=uv,
        normals=normals,
        colors=np.array([row[3:6] for row in points]) if all(len(row) >= 6 for row in points) else None,
        texture=look.texture,
        diffuse=look.diffuse,
    )
