"""Mesh files in and out: OBJ by `labkit.geometry.obj`, PLY, OFF, STL and GLB through trimesh."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from labkit.errors import DomainError, FileError, LabError, ShapeError
from labkit.files import inside, read_bytes, write_bytes
from labkit.geometry import textures
from labkit.geometry.headers import Header, read_header
from labkit.geometry.mesh import Mesh
from labkit.geometry.obj import mtl_text, obj_text, read_obj
from labkit.geometry.parts import Part, merge

SUFFIXES = (".obj", ".ply", ".off", ".stl", ".glb")
MAX_FACES = 10_000_000
MAX_MESH_BYTES = 1 << 28  # readers need up to ten times the size of a text file


def load_mesh(path: str | Path, max_faces: int = MAX_FACES) -> Mesh:
    """Return the mesh in an OBJ, PLY, OFF, STL or GLB file, validated: float32 tensors and int64 triangles.

    The parts of a scene become one mesh in world coordinates, polygons become triangles, and nothing is welded or
    cleaned: an STL repeats each vertex for each face (`Mesh.weld` merges them). ``normals`` are set only if the
    file stores them per vertex. A texture that all parts share is kept; with several textures or materials each
    vertex gets the colour it would show (see `labkit.geometry.parts.merge`). A missing material or texture file is
    left out. Of an OFF file only vertices and faces are read. Colours come with 8 bits except from OBJ.

    Only the folder of ``path`` is read: a material or texture elsewhere (``..``, absolute path, URL) is refused, as
    are GLB files that refer to other files.

    Args:
        path: a file of at most 256 MiB whose suffix tells its format.
        max_faces: more triangles than this are refused, as far as possible before they are read.

    Raises:
        FileError: missing, empty, too large, truncated, another format than the suffix says, no faces, a path out
            of the folder, a broken texture. The file, and for OBJ the line, is named.
        DomainError, ShapeError: readable, but with NaN or infinity or a face beyond the vertices (see
            `Mesh.validate`).
        BackendError: a texture, and no Pillow to read it.
    """
    path = Path(path)
    suffix = _suffix(path)
    data = read_bytes(path, MAX_MESH_BYTES)
    if suffix == ".obj":
        parts = read_obj(path, data, max_faces)
    else:
        data = data.removeprefix(b"\xef\xbb\xbf")
        header = read_header(str(path), suffix, data, max_faces)
        try:
            parts = _trimesh_parts(path, suffix, data, header, max_faces)
        except LabError:
            raise
        # Readers of foreign bytes fail in any way there is; whatever it was, the file is at fault.
        except Exception as error:
            what = f"content that cannot be read ({type(error).__name__}: {error})"
            raise FileError(str(path), what, f"a sound {suffix[1:].upper()} file") from error
        count = sum(len(part.faces) for part in parts)
        if count == 0 or (count < header.faces and suffix != ".glb"):
            raise FileError(str(path), f"{count} readable faces of {header.faces}", "a complete file with a surface")
    try:
        return merge(parts).validate()
    except LabError as error:
        raise type(error)(f"{path}: {error.argument}", error.got, error.expected) from error


def save_mesh(mesh: Mesh, path: str | Path) -> None:
    """Write a mesh; its suffix chooses the format. The old file stands until the new one is complete.

    | format | keeps | loses |
    |---|---|---|
    | .obj | everything; a texture as .png and .mtl of the same name beside it | texture: 8 bits a channel |
    | .glb | everything; normals become unit length | float64; colours and texture: 8 bits a channel |
    | .ply | vertices, faces, normals, uv, colours | texture; float64 of vertices; colours: 8 bits |
    | .off | vertices, faces | the rest |
    | .stl | triangles, each with vertices of its own | the rest, and which vertices are shared; float64 |

    The files beside an OBJ are written first, each atomically.

    Raises:
        FileError: unknown suffix, or the folder is missing or cannot be written.
        ShapeError: a batch of meshes.
        DomainError: no faces, or an unsound mesh (see `Mesh.validate`).
        BackendError: a texture, and no Pillow to write it.
    """
    path = Path(path)
    suffix = _suffix(path)
    mesh = mesh.validate()
    if mesh.vertices.ndim != 2:
        raise ShapeError("mesh", f"{mesh.vertices.shape[0]} meshes in a batch", "one mesh, vertices of shape (V, 3)")
    if len(mesh.faces) == 0:
        raise DomainError("mesh", "no faces", "a mesh with a surface")
    if suffix == ".obj":
        if mesh.texture is not None:
            write_bytes(path.with_suffix(".png"), textures.encode(mesh.texture))
            write_bytes(path.with_suffix(".mtl"), mtl_text(path.with_suffix(".png").name).encode())
        library = None if mesh.texture is None else path.with_suffix(".mtl").name
        write_bytes(path, obj_text(mesh, library).encode())
    elif suffix == ".off":
        rows = [" ".join(row) for row in mesh.vertices.detach().cpu().numpy().astype(str).tolist()]
        rows += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
        write_bytes(path, "\n".join(["OFF", f"{len(mesh.vertices)} {len(mesh.faces)} 0", *rows, ""]).encode())
    else:
        write_bytes(path, _exported(mesh, suffix))


def _suffix(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(str(path), f"the suffix {path.suffix!r}", f"one of {', '.join(SUFFIXES)}")
    return path.suffix.lower()


def _trimesh_parts(path: Path, suffix: str, data: bytes, header: Header, max_faces: int) -> list[Part]:
    options: dict[str, Any] = {}
    if suffix == ".ply":
        # trimesh reorders vertices to split them at seams, and leaves normals and colours behind; uv that are stored
        # per vertex need no seams. The texture is read here, where its path is checked.
        options = {"skip_materials": True, "fix_texture": header.face_uv}
        head, end, body = data.partition(b"end_header")  # comments may be in any encoding; trimesh takes UTF-8 only
        data = head.decode("latin-1").encode("ascii", "replace") + end + body
    # Without a resolver trimesh has no way to open another file.
    scene = trimesh.load_scene(io.BytesIO(data), file_type=suffix[1:], process=False, **options)
    nodes = [scene.graph[name] for name in scene.graph.nodes_geometry]
    placed = [(scene.geometry[name], matrix) for matrix, name in nodes]
    surfaces = [(shape, matrix) for shape, matrix in placed if isinstance(shape, trimesh.Trimesh) and len(shape.faces)]
    total = sum(len(shape.faces) for shape, _ in surfaces)
    if not surfaces:
        raise FileError(str(path), "no faces", "a file with a surface, not only points or lines")
    if total > max_faces:
        raise FileError(str(path), f"{total} faces in all instances", f"at most {max_faces}; simplify it first")
    picture = None
    if header.texture is not None:
        source = inside(path.parent, header.texture)
        picture = textures.decode(read_bytes(source), str(source)) if source.is_file() else None
    pictures = {id(None): picture}  # a shape without an image of its own shows the file's
    return [_part(str(path), shape, matrix, header, pictures) for shape, matrix in surfaces]


def _part(name: str, shape: trimesh.Trimesh, matrix: Any, header: Header, pictures: dict[int, Any]) -> Part:
    """One placed shape; ``pictures`` maps the identity of images to their pixels, so that parts share them."""
    vertices, faces = np.asarray(shape.vertices), np.asarray(shape.faces, dtype=np.int64)
    normals = np.asarray(shape.vertex_normals) if header.normals and not header.face_uv else None
    if not np.array_equal(matrix, np.eye(4)):
        linear = np.asarray(matrix)[:3, :3]
        with np.errstate(invalid="ignore", over="ignore"):  # infinite vertices are refused by validate, with a name
            vertices = vertices @ linear.T + np.asarray(matrix)[:3, 3]
            if normals is not None:
                normals = normals @ np.linalg.pinv(linear)  # normals turn by the inverse transpose
                normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
        if np.linalg.det(linear) < 0:
            faces = faces[:, ::-1]  # a mirror turns the faces inside out
    uv = texture = diffuse = None
    colors = shape.vertex_attributes.get("color")
    visual: Any = shape.visual
    if visual.kind == "texture":
        uv = None if visual.uv is None or len(visual.uv) != len(shape.vertices) else np.asarray(visual.uv)
        colors = visual.vertex_attributes.get("color", colors)
        image = getattr(visual.material, "baseColorTexture", None)
        if id(image) not in pictures:
            pictures[id(image)] = textures.pixels(image, name)
        texture = pictures[id(image)]
        factor = getattr(visual.material, "baseColorFactor", None)
        if factor is not None:
            red, green, blue = (float(value) / 255 for value in factor[:3])
            diffuse = red, green, blue
    elif visual.kind in ("vertex", "face"):
        colors = visual.vertex_colors
    if colors is not None:
        scale = 1 if np.asarray(colors).dtype.kind == "f" else np.iinfo(np.asarray(colors).dtype).max
        colors = np.asarray(colors)[:, :3] / scale
    return Part(
        vertices=vertices,
        faces=faces,
        uv=uv,
        normals=normals,
        colors=colors if colors is not None and len(colors) == len(shape.vertices) and not header.face_uv else None,
        texture=texture,
        diffuse=diffuse,
    )


def _exported(mesh: Mesh, suffix: str) -> bytes:
    """The bytes of a PLY, STL or GLB file."""
    arrays = {
        key: None if value is None else value.detach().cpu().numpy()
        for key, value in (("uv", mesh.uv), ("normals", mesh.normals), ("colors", mesh.colors))
    }
    shape = trimesh.Trimesh(
        mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy(), vertex_normals=arrays["normals"], process=False
    )
    rgba = None
    if arrays["colors"] is not None:
        bytes_ = np.rint(arrays["colors"] * 255).astype(np.uint8)  # (V, 3)
        rgba = np.concatenate([bytes_, np.full((len(bytes_), 1), 255, np.uint8)], axis=1)
        shape.visual = trimesh.visual.ColorVisuals(shape, vertex_colors=rgba)
    if arrays["uv"] is not None and suffix == ".ply":
        # Beside colours trimesh writes uv only as attributes; s and t are the names that readers look for.
        shape.vertex_attributes.update({"s": arrays["uv"][:, 0], "t": arrays["uv"][:, 1]})
    elif arrays["uv"] is not None:
        image = None if mesh.texture is None else textures.to_pillow(mesh.texture)
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, metallicFactor=0.0, roughnessFactor=1.0)
        shape.visual = trimesh.visual.TextureVisuals(uv=arrays["uv"], material=material)
        if rgba is not None:
            shape.visual.vertex_attributes["color"] = rgba
    normals = mesh.normals is not None
    if suffix == ".stl":
        return trimesh.exchange.stl.export_stl(shape)
    if suffix == ".ply":
        return trimesh.exchange.ply.export_ply(shape, vertex_normal=normals)
    return trimesh.exchange.gltf.export_glb(shape, include_normals=normals)
