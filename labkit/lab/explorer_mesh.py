"""The meshes that the explorer shows: procedural ones, and the user's own files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from labkit.errors import FileError
from labkit.files import write_bytes
from labkit.geometry import Mesh, bathtub, chair, couch, icosphere, load_mesh, torus
from labkit.geometry.io import SUFFIXES
from labkit.lab.explorer_state import OWN_FILE
from labkit.render.scene import vertex_albedo

SHAPES: MappingProxyType[str, Callable[[], Mesh]] = MappingProxyType(
    {"torus": torus, "icosphere": lambda: icosphere(3), "chair": chair, "couch": couch, "bathtub": bathtub}
)


@dataclass(frozen=True, eq=False)
class Subject:
    """A mesh ready to be looked at.

    Attributes:
        name: a word for file names.
        original: as it was made or loaded; this is what is exported.
        mesh: centred, in the unit sphere, with one colour a vertex and nothing else.
    """

    name: str
    original: Mesh
    mesh: Mesh


def subject(name: str, path: str = "") -> Subject:
    """Make the shape of that name, or load ``path`` where the name is "own file".

    Procedural shapes are coloured by position, so that what shines through can be told from what covers it.

    Raises:
        FileError, DomainError, ShapeError: as `labkit.load_mesh` says; no path given.
    """
    if name == OWN_FILE:
        if not path.strip():
            raise FileError("path", "no file", "a mesh file: type its path, or upload one")
        file = Path(path.strip()).expanduser()
        original = load_mesh(file)
        shown = original.normalized()
        colors = vertex_albedo(original)
        name = file.stem
    else:
        original = SHAPES[name]()
        shown = original.normalized()
        colors = (0.55 + 0.4 * shown.vertices).clamp(0, 1)  # (V, 3)
    return Subject(name, original, Mesh(shown.vertices, shown.faces, colors=colors))


def receive(files: Iterable[tuple[str, bytes]], folder: Path) -> Path:
    """Write uploaded files (name, content) into ``folder`` and return the path of the mesh among them.

    Materials and textures may come along with an OBJ.

    Raises:
        FileError: no mesh, or several, among them; nothing is written then.
    """
    contents = {Path(name.replace("\\", "/")).name: data for name, data in files}
    meshes = [name for name in contents if Path(name).suffix.lower() in SUFFIXES]
    if len(meshes) != 1:
        raise FileError("upload", f"{len(meshes)} meshes among {', '.join(contents)}", f"one of {', '.join(SUFFIXES)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_bytes(folder / name, data)
    return folder / meshes[0]
