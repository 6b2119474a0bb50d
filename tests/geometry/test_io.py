"""Mesh files: round trips, what each format keeps, atomic saves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from labkit.errors import DomainError, FileError, ShapeError
from labkit.geometry.io import load_mesh, save_mesh
from labkit.geometry.mesh import Mesh
from labkit.geometry.shapes import icosphere
from tests.geometry.mesh_files import ALL, glb, one_triangle_tree, painted, write


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".off", ".glb"])
def test_vertices_and_faces_come_back_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    mesh = painted()
    save_mesh(mesh, tmp_path / f"mesh{suffix}")
    loaded = load_mesh(tmp_path / f"mesh{suffix}")
    assert torch.equal(loaded.vertices, mesh.vertices)
    assert torch.equal(loaded.faces, mesh.faces)


def test_stl_keeps_the_triangles(tmp_path: Path) -> None:
    mesh = painted()
    save_mesh(mesh, tmp_path / "mesh.stl")
    loaded = load_mesh(tmp_path / "mesh.stl")
    assert torch.equal(loaded.face_vertices(), mesh.face_vertices())
    assert loaded.vertices.shape == (12, 3)
    assert loaded.weld().vertices.shape == (4, 3)
    assert (loaded.uv, loaded.colors, loaded.normals, loaded.texture) == (None,) * 4


@pytest.mark.parametrize(
    ("suffix", "kept"),
    [
        (".obj", "uv colors normals texture"),
        (".ply", "uv colors normals"),
        (".glb", "uv colors normals texture"),
        (".off", ""),
    ],
)
def test_other_fields_come_back_where_the_format_holds_them(suffix: str, kept: str, tmp_path: Path) -> None:
    mesh = painted()
    save_mesh(mesh, tmp_path / f"mesh{suffix}")
    loaded = load_mesh(tmp_path / f"mesh{suffix}")
    for name in ("uv", "colors", "normals", "texture"):
        value = getattr(loaded, name)
        if name in kept.split():
            torch.testing.assert_close(value, getattr(mesh, name), rtol=0, atol=2e-7)
        else:
            assert value is None


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
@pytest.mark.parametrize("present", ["", "uv", "colors", "normals", "uv colors", "uv normals", "uv texture"])
def test_every_mixture_of_fields(suffix: str, present: str, tmp_path: Path) -> None:
    mesh = painted(**{name: None for name in ("uv", "colors", "normals", "texture") if name not in present.split()})
    save_mesh(mesh, tmp_path / f"mesh{suffix}")
    loaded = load_mesh(tmp_path / f"mesh{suffix}")
    for name in ("uv", "colors", "normals", "texture"):
        expected = None if suffix == ".ply" and name == "texture" else getattr(mesh, name)
        value = getattr(loaded, name)
        assert (value is None) == (expected is None), name
        if expected is not None:
            torch.testing.assert_close(value, expected, rtol=0, atol=2e-7)


def test_obj_keeps_float64_text_and_saves_both_types(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.float64):
        mesh = painted(texture=None).to(dtype=dtype)
        for suffix in ALL:
            save_mesh(mesh, tmp_path / f"mesh{suffix}")
            assert load_mesh(tmp_path / f"mesh{suffix}").vertices.dtype == torch.float32
    save_mesh(Mesh(torch.eye(3, dtype=torch.float64) / 3, torch.tensor([[0, 1, 2]])), tmp_path / "third.obj")
    assert "0.3333333333333333 0.0 0.0" in (tmp_path / "third.obj").read_text()


def test_tiny_and_huge_meshes_survive_text_formats(tmp_path: Path) -> None:
    for scale in (1e-30, 1e30):
        mesh = Mesh(icosphere(1).vertices * scale, icosphere(1).faces)
        for suffix in (".obj", ".off"):
            save_mesh(mesh, tmp_path / f"mesh{suffix}")
            assert torch.equal(load_mesh(tmp_path / f"mesh{suffix}").vertices, mesh.vertices)


@pytest.mark.parametrize(
    ("name", "vertices", "faces", "fields"),
    [
        ("stanford-bunny.obj", 35947, 69451, ""),
        ("spot_triangulated.obj", 3225, 5856, "uv texture"),
        ("teapot.obj", 3644, 6320, ""),
        ("suzanne.obj", 507, 968, "normals"),
    ],
)
def test_real_meshes(
    name: str, vertices: int, faces: int, fields: str, shared_mesh: Callable[[str], Path], tmp_path: Path
) -> None:
    start = time.process_time()
    mesh = load_mesh(shared_mesh(name))
    assert time.process_time() - start < 5
    assert (len(mesh.vertices), len(mesh.faces)) == (vertices, faces)
    assert {key for key in ("uv", "colors", "normals", "texture") if getattr(mesh, key) is not None} == set(
        fields.split()
    )
    for suffix in ALL:
        save_mesh(mesh, tmp_path / f"copy{suffix}")
        copy = load_mesh(tmp_path / f"copy{suffix}")
        assert torch.equal(copy.face_vertices(), mesh.face_vertices())
        if suffix == ".obj" and mesh.uv is not None and mesh.texture is not None:
            assert torch.equal(copy.uv, mesh.uv)
            assert torch.equal(copy.texture, mesh.texture)


def test_texture_rows_and_v_point_the_same_way(tmp_path: Path) -> None:
    """v is up and row 0 on top: v near 1 shows the first row, in OBJ and GLB alike."""
    top_red = torch.tensor([[[1.0], [0.0]], [[0.0], [0.0]], [[0.0], [1.0]]])  # (3, 2, 1): red over blue
    mesh = Mesh(
        torch.eye(3), torch.tensor([[0, 1, 2]]), uv=torch.tensor([[0, 0.9], [1, 0.9], [0, 0.1]]), texture=top_red
    )
    for suffix in (".obj", ".glb"):
        save_mesh(mesh, tmp_path / f"mesh{suffix}")
        loaded = load_mesh(tmp_path / f"mesh{suffix}")
        torch.testing.assert_close(loaded.uv, mesh.uv)
        assert torch.equal(loaded.texture, top_red)
    text = (tmp_path / "mesh.obj").read_text().replace("usemtl material_0", "usemtl a")
    # With a second look in the file the texture becomes vertex colours, sampled at the same places.
    write(tmp_path / "mesh.mtl", "newmtl a\nmap_Kd mesh.png\nnewmtl b\nKd 0 1 0\n")
    two = load_mesh(write(tmp_path / "two.obj", text + "usemtl b\nf 1/1 3/3 2/2\n"))
    assert two.texture is None
    assert two.colors.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_text_variants_of_the_other_formats(tmp_path: Path) -> None:
    rows = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
    head = "ply\r\nformat ascii 1.0\r\ncomment caf\xe9\r\nelement vertex 4\r\nproperty float x\r\nproperty float y\r\n"
    head += "property float z\r\nelement face 2\r\nproperty list uchar int vertex_indices\r\nend_header\r\n"
    files = {
        "a.ply": (head + rows + "3 0 1 2\n3 0 2 3\n").encode("latin-1"),
        "b.ply": head.replace("face 2", "face 1").replace("caf\xe9", "").encode() + f"{rows}4 0 1 2 3\n".encode(),
        "a.off": f"# hi\nOFF # there\n\n4 2 0\n{rows}3 0 1 2\n3 0 2 3\n".encode(),
        "b.off": f"OFF4 1 0\n{rows}4 0 1 2 3\n".replace("\n", "\r\n").encode(),
        "c.off": b"\xef\xbb\xbf"
        + f"COFF 4 2 5\n{rows.replace(chr(10), ' 9 9 9 9' + chr(10))}3 0 1 2 255 0 0\n3 0 2 3\n".encode(),
        "a.stl": b"solid x\n"
        + b"".join(
            b"facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex %s\nvertex %s\nendloop\nendfacet\n" % ends
            for ends in ((b"1 0 0", b"1 1 0"), (b"1 1 0", b"0 1 0"))
        )
        + b"endsolid x\n",
    }
    expected = [[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]]
    for name, data in files.items():
        triangles = load_mesh(write(tmp_path / name, data)).face_vertices().tolist()
        area = {tuple(map(tuple, t)) for t in triangles}
        wanted = {tuple(map(tuple, t)) for t in expected}
        rolled = {tuple(t[(i + k) % 3] for i in range(3)) for t in area for k in range(3)}
        assert wanted <= rolled, name
        assert len(triangles) == 2, name


def test_glb_parts_are_placed_and_mirrors_keep_the_outside(tmp_path: Path) -> None:
    tree, body = one_triangle_tree(
        nodes=[{"mesh": 0, "translation": [0, 0, 5]}, {"mesh": 0, "scale": [-2, 1, 1]}], scenes=[{"nodes": [0, 1]}]
    )
    mesh = load_mesh(write(tmp_path / "a.glb", glb(tree, body)))
    corners = {tuple(map(tuple, triangle)) for triangle in mesh.face_vertices().tolist()}
    assert corners == {((0, 0, 5), (1, 0, 5), (0, 1, 5)), ((0, 1, 0), (-2, 0, 0), (0, 0, 0))}
    assert mesh.face_normals()[:, 2].tolist() == pytest.approx([1.0, 1.0])
    assert mesh.normals is None


def test_saving_refuses_what_no_file_can_hold(tmp_path: Path) -> None:
    mesh = icosphere(0)
    for suffix in ALL:
        path = write(tmp_path / f"mesh{suffix}", b"old")
        with pytest.raises(ShapeError, match="batch"):
            save_mesh(mesh.replace(vertices=mesh.vertices.expand(2, -1, -1)), path)
        with pytest.raises(DomainError, match="no faces"):
            save_mesh(mesh.replace(faces=mesh.faces[:0]), path)
        with pytest.raises(DomainError, match="vertices"):
            save_mesh(mesh.replace(vertices=mesh.vertices * torch.nan), path)
        assert path.read_bytes() == b"old"
        with pytest.raises(FileError, match="missing folder"):
            save_mesh(mesh, tmp_path / "none" / f"mesh{suffix}")


def test_saving_takes_gradients_and_views(tmp_path: Path) -> None:
    mesh = painted()
    odd = mesh.replace(vertices=mesh.vertices.t().contiguous().t().requires_grad_(), faces=mesh.faces.expand(4, 3))
    for suffix in ALL:
        save_mesh(odd, tmp_path / f"mesh{suffix}")
        assert torch.equal(load_mesh(tmp_path / f"mesh{suffix}").face_vertices(), mesh.face_vertices())


def test_kill_in_the_middle_of_a_save_leaves_the_old_file(tmp_path: Path) -> None:
    """Each save is killed while the new content lies in the temporary file, just before it takes its place."""
    paths = [tmp_path / f"mesh{suffix}" for suffix in ALL]
    for path in paths:
        save_mesh(icosphere(1), path)
    old = [path.read_bytes() for path in paths]
    script = """
import os, signal, sys
from labkit.geometry.io import save_mesh
from labkit.geometry.shapes import icosphere
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
for path in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        save_mesh(icosphere(2), path)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        sys.exit(1)
"""
    subprocess.run([sys.executable, "-c", script, *map(str, paths)], check=True, timeout=120)
    assert [path.read_bytes() for path in paths] == old
    left = [path.name for path in tmp_path.iterdir() if path not in paths]
    assert len(left) == len(paths)  # each child got as far as its temporary file
    assert all(name.startswith(".writing-") for name in left)
    for path in paths:
        assert len(load_mesh(path).faces) == 80
