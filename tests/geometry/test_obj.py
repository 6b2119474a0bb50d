"""Reading OBJ: index forms, polygons, text quirks, materials, broken lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from labkit.geometry.io import load_mesh, save_mesh
from tests.geometry.mesh_files import TRIANGLE, painted, refused, write


def test_polygons_and_index_forms(tmp_path: Path) -> None:
    text = TRIANGLE + "v 1 1 0\nvt 0 0\nvt 1 0.5\nvn 0 0 1\nf 1 2 4 3\nf 1/1/1 2/2/1 3/1/1\nf 1//1 2//1 4//1\n"
    mesh = load_mesh(write(tmp_path / "mixed.obj", text))
    corners = mesh.face_vertices()
    assert corners[0].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert corners[1].tolist() == [[0, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.uv[mesh.faces[2]].tolist() == [[0, 0], [1, 0.5], [0, 0]]
    assert not mesh.uv[mesh.faces[[0, 1, 3]]].any()
    assert mesh.normals is None  # the first face has none


def test_pentagon_is_a_fan(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path / "five.obj", TRIANGLE + "v -1 1 0\nv -1 0 0\nf 1 2 3 4 5\n"))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]]


def test_negative_indices_count_from_their_line(tmp_path: Path) -> None:
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 5\nv 1 0 5\nv 0 1 5\nf -3 -2 -1\n"
    assert load_mesh(write(tmp_path / "relative.obj", text)).faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_text_quirks(tmp_path: Path) -> None:
    plain = load_mesh(write(tmp_path / "plain.obj", TRIANGLE + "f 1 2 3\n"))
    variants = {
        "bom": b"\xef\xbb\xbf" + TRIANGLE.encode() + b"f 1 2 3\n",
        "crlf": (TRIANGLE + "f 1 2 3\n").replace("\n", "\r\n").encode(),
        "cr": (TRIANGLE + "f 1 2 3\n").replace("\n", "\r").encode(),
        "latin": b"# M\xe4sh \x85 f 1 1 1\n" + TRIANGLE.encode() + b"f 1 2 3 # caf\xe9\n",
        "continued": (TRIANGLE + "f 1 \\\n2 3").encode(),
        "unknown": (TRIANGLE + "cstype bezier\nl 1 2\np 1\ns off\ng a\no b\nf 1 2 3").encode(),
        "blanks": b"  \n\t v  0   0 0 \nv 1 0 0 1.0\nv 0 1e0 -0\n f  1\t2 3  ",
    }
    for name, data in variants.items():
        mesh = load_mesh(write(tmp_path / f"{name}.obj", data))
        assert torch.equal(mesh.vertices, plain.vertices), name
        assert torch.equal(mesh.faces, plain.faces), name


def test_unused_vertices_keep_their_place(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path / "spare.obj", "v 9 9 9\n" + TRIANGLE + "vt 0.5 0.5\nf 2/1 3/1 4/1\n"))
    assert mesh.vertices.shape == (4, 3)
    assert mesh.faces.tolist() == [[1, 2, 3]]
    assert mesh.uv.tolist() == [[0, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]


def test_materials_without_texture_become_colours(tmp_path: Path) -> None:
    write(tmp_path / "two.mtl", "newmtl red paint\nKd 1 0 0\nNs 5\nnewmtl blue\nKd 0 0 1\n")
    text = (
        "mtllib two.mtl\n"
        + TRIANGLE
        + "v 1 1 0\nusemtl red paint\nf 1 2 3\nusemtl blue\nf 2 4 3\nusemtl other\nf 1 2 4\n"
    )
    mesh = load_mesh(write(tmp_path / "two.obj", text))
    assert len(mesh.faces) == 3
    assert mesh.colors[mesh.faces[0]].tolist() == [[1, 0, 0]] * 3
    assert mesh.colors[mesh.faces[1]].tolist() == [[0, 0, 1]] * 3
    assert mesh.colors[mesh.faces[2]].tolist() == [[1, 1, 1]] * 3
    assert mesh.face_vertices()[1].tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_missing_material_and_texture_are_left_out(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path / "a.obj", "mtllib none.mtl\nusemtl x\n" + TRIANGLE + "vt 0 0\nf 1/1 2/1 3/1\n"))
    assert mesh.texture is None
    assert mesh.uv is not None
    write(tmp_path / "some.mtl", "newmtl x\nmap_Kd none.png\n")
    mesh = load_mesh(write(tmp_path / "b.obj", "mtllib some.mtl\nusemtl x\n" + TRIANGLE + "vt 0 0\nf 1/1 2/1 3/1\n"))
    assert mesh.texture is None


def test_texture_in_a_subfolder_with_options_and_backslash(tmp_path: Path) -> None:
    save_mesh(painted(), tmp_path / "p.obj")
    (tmp_path / "maps").mkdir()
    (tmp_path / "p.png").rename(tmp_path / "maps" / "p.png")
    write(tmp_path / "p.mtl", "newmtl material_0\nmap_Kd -s 1 1 1 maps\\p.png\n")
    assert torch.equal(load_mesh(tmp_path / "p.obj").texture, painted().texture)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f 1 2 9", "line 4.*3 'v' lines"),
        ("f 1 2 0", "line 4.*index 0"),
        ("f 1 2 -4", "line 4.*index -4"),
        ("f 1/1 2/1 3/1", "line 4.*0 'vt' lines"),
        ("f 1//2 2//1 3//1\nvn 0 0 1", "line 4.*1 'vn' lines"),
        ("f 1 2", "line 4.*three corners"),
        ("f 1 2 x", "line 4"),
        ("f 1/1/1/1 2 3", "line 4.*corner"),
        ("f 1 2 1.5", "line 4"),
        ("f 1 2 99999999999999999999999", "line 4|lines"),
        ("v 1 2\nf 1 2 3", "line 4.*2 numbers"),
        ("v 1 2 three\nf 1 2 3", "line 4.*three"),
        ("", "no faces"),
        ("usemtl a\nl 1 2", "no faces"),
    ],
)
def test_broken_obj_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(write(tmp_path / "broken.obj", TRIANGLE + text)))
