"""Hostile and broken mesh files: each is refused by an error that names it, before it can do harm."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import pytest
import torch

from labkit.errors import DomainError, FileError, LabError
from labkit.files import inside
from labkit.geometry.io import load_mesh, save_mesh
from labkit.geometry.shapes import icosphere
from tests.geometry.mesh_files import ALL, TRIANGLE, glb, one_triangle_tree, painted, png, refused, write


@pytest.mark.parametrize("suffix", ALL)
def test_missing_empty_folder_junk_and_mislabelled(suffix: str, tmp_path: Path) -> None:
    refused(tmp_path / f"none{suffix}")
    assert "empty" in refused(write(tmp_path / f"empty{suffix}", b""))
    (tmp_path / f"folder{suffix}").mkdir()
    refused(tmp_path / f"folder{suffix}")
    generator = torch.Generator().manual_seed(1)
    for length in (1, 7, 83, 84, 5000):
        junk = bytes(torch.randint(0, 256, (length,), generator=generator).tolist())
        refused(write(tmp_path / f"junk{suffix}", junk))
    refused(write(tmp_path / f"picture{suffix}", png(2, 2, bytes(14))))
    for other in ALL:
        if other != suffix:
            save_mesh(icosphere(1), tmp_path / f"true{other}")
            refused(write(tmp_path / f"false{suffix}", (tmp_path / f"true{other}").read_bytes()))


@pytest.mark.parametrize("suffix", ALL)
def test_truncated_anywhere(suffix: str, tmp_path: Path) -> None:
    """A cut file is refused; only an OBJ cut at the end of a face line, or within its last number, cannot tell."""
    save_mesh(painted(texture=None), tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    unnoticed = []
    for length in range(1, len(data) - 1, max(1, len(data) // 150)):
        path = write(tmp_path / f"cut{suffix}", data[:length])
        try:
            mesh = load_mesh(path)
        except LabError as error:
            assert path.name in str(error)  # noqa: PT017 - both outcomes are examined
        else:
            unnoticed.append(length)
            assert len(mesh.faces) <= 4
    if suffix == ".obj":
        assert all(length > data.index(b"\nf ") for length in unnoticed)
    else:
        assert unnoticed == []


@pytest.mark.parametrize("suffix", ALL)
def test_damaged_bytes_are_read_or_refused_by_name(suffix: str, tmp_path: Path) -> None:
    """Whatever happens to a file, the answer is a sound mesh or an error of labkit that names it."""
    save_mesh(painted(texture=None), tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    stream = random.Random(7)
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(stream.choice([1, 2, 10])):
            place = stream.randrange(len(damaged))
            if stream.random() < 0.5:
                damaged[place] = stream.choice(b"0123456789-./ \ne\0\xff")
            else:
                damaged[place : place + stream.choice([0, 1, 40])] = stream.choice([b"", b"99999999", b"\n", b"nan"])
        path = write(tmp_path / f"damaged{suffix}", bytes(damaged) or b"x")
        try:
            mesh = load_mesh(path).validate()
        except LabError as error:
            outcomes.add("refused")
            assert path.name in str(error)  # noqa: PT017 - both outcomes are examined
        else:
            outcomes.add("read")
            assert len(mesh.faces) > 0
    assert "refused" in outcomes


@pytest.mark.parametrize(
    "header",
    [
        "format binary_little_endian 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1000000000000\nproperty list uchar int vertex_indices\n",
        "format ascii 1.0\nelement vertex 1000000000000\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\n",
        "format ascii 1.0\nelement vertex -3\nproperty float x\n",
        "format ascii 1.0\nelement vertex three\nproperty float x\n",
        "format ascii 1.0\nelement nothing 1000000000000\nelement face 1\nproperty list uchar int vertex_indices\n",
        "format ascii 1.0\nproperty float x\nelement vertex 3\n",
        "format ascii 1.0\nelement vertex 3\nproperty quaternion x\n",
        "format ascii 1.0\nelement\n",
    ],
)
def test_ply_headers_that_lie(header: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "lie.ply", f"ply\n{header}end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"))


def test_counts_that_the_file_is_too_short_for(tmp_path: Path) -> None:
    assert "1000000000003 rows" in refused(
        write(tmp_path / "lie.off", "OFF\n3 1000000000000 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    )
    assert "4294967295" in refused(write(tmp_path / "lie.stl", bytes(80) + b"\xff" * 4 + bytes(50)))
    tree, body = one_triangle_tree()
    tree["accessors"][1]["count"] = 10**12  # type: ignore[index]
    assert "1000000000000" in refused(write(tmp_path / "lie.glb", glb(tree, body)))
    tree["accessors"][1] = {"componentType": 5123, "count": 10**12, "type": "SCALAR"}  # type: ignore[index]
    assert "compressed or sparse" in refused(write(tmp_path / "lie.glb", glb(tree, body)))


def test_max_faces_counts_instances_and_shared_buffers(tmp_path: Path) -> None:
    for suffix in ALL:
        save_mesh(icosphere(1), tmp_path / f"ball{suffix}")  # 80 faces
        assert len(load_mesh(tmp_path / f"ball{suffix}", max_faces=80).faces) == 80
        with pytest.raises(FileError, match="79 faces"):
            load_mesh(tmp_path / f"ball{suffix}", max_faces=79)
    tree, body = one_triangle_tree(nodes=[{"mesh": 0}] * 50, scenes=[{"nodes": list(range(50))}])
    path = write(tmp_path / "many.glb", glb(tree, body))
    assert len(load_mesh(path).faces) == 50
    with pytest.raises(FileError, match="50 faces in all instances"):
        load_mesh(path, max_faces=49)
    primitive = {"attributes": {"POSITION": 0}, "indices": 1}
    tree, body = one_triangle_tree(meshes=[{"primitives": [primitive] * 50}])
    with pytest.raises(FileError, match="50 faces and 150 vertices"):
        load_mesh(write(tmp_path / "shared.glb", glb(tree, body)), max_faces=49)


@pytest.mark.parametrize(
    "name", ["../secret.mtl", "/etc/passwd", "file:///etc/passwd", "http://a.example/b.mtl", "..\\secret.mtl"]
)
def test_paths_out_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(tmp_path / "secret.mtl", "newmtl x\nKd 1 0 0\n")
    write(folder / "evil.mtl", f"newmtl x\nmap_Kd {name}\n")
    with pytest.raises(FileError, match=re.escape(name)):
        load_mesh(write(folder / "a.obj", f"mtllib {name}\n{TRIANGLE}f 1 2 3\n"))
    with pytest.raises(FileError, match=re.escape(name)):
        load_mesh(write(folder / "b.obj", f"mtllib evil.mtl\n{TRIANGLE}f 1 2 3\n"))
    save_mesh(icosphere(0), folder / "c.ply")
    data = (
        (folder / "c.ply")
        .read_bytes()
        .replace(b"element vertex", f"comment TextureFile {name}\nelement vertex".encode())
    )
    with pytest.raises(FileError, match=re.escape(name)):
        load_mesh(write(folder / "c.ply", data))
    tree, body = one_triangle_tree(buffers=[{"byteLength": 44, "uri": name}])
    assert "holds its own buffers" in refused(write(folder / "d.glb", glb(tree, body)))
    tree, body = one_triangle_tree(images=[{"uri": name}])
    assert "holds its own buffers" in refused(write(folder / "e.glb", glb(tree, body)))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(tmp_path / "secret.mtl", "newmtl x\nKd 1 0 0\n")
    (folder / "link.mtl").symlink_to(tmp_path / "secret.mtl")
    with pytest.raises(FileError, match=r"link\.mtl"):
        load_mesh(write(folder / "a.obj", f"mtllib link.mtl\n{TRIANGLE}f 1 2 3\n"))
    assert inside(folder, "fine.mtl").parent == folder.resolve()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (png(60000, 60000), "8192|67108864|pixels|limit"),
        (png(9000, 9000), "9000 x 9000"),
        (png(64, 64, bytes(10)), "broken|truncated"),
        (b"no picture", "no usable picture"),
        (png(4, 4)[:20], "no usable picture"),
    ],
)
def test_bad_textures(picture: bytes, message: str, tmp_path: Path) -> None:
    write(tmp_path / "t.png", picture)
    write(tmp_path / "t.mtl", "newmtl x\nmap_Kd t.png\n")
    path = write(tmp_path / "t.obj", f"mtllib t.mtl\nusemtl x\n{TRIANGLE}vt 0 0\nf 1/1 2/1 3/1\n")
    with pytest.raises(FileError, match=message) as caught:
        load_mesh(path)
    assert "t.png" in str(caught.value)


def test_unusual_pictures_are_converted(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    write(tmp_path / "t.mtl", "newmtl x\nmap_Kd t.png\n")
    path = write(tmp_path / "t.obj", f"mtllib t.mtl\nusemtl x\n{TRIANGLE}vt 0 0\nf 1/1 2/1 3/1\n")
    for mode, fill, expected in [
        ("L", 51, [0.2, 0.2, 0.2]),
        ("RGBA", (255, 0, 51, 0), [1.0, 0.0, 0.2]),
        ("P", 0, [0.0, 0.0, 0.0]),
        ("1", 1, [1.0, 1.0, 1.0]),
    ]:
        image.new(mode, (3, 2), fill).save(tmp_path / "t.png")
        texture = load_mesh(path).texture
        assert texture.shape == (3, 2, 3)
        assert texture[:, 0, 0].tolist() == pytest.approx(expected)
    image.fromarray(numpy.full((2, 3), 13107, numpy.uint16)).save(tmp_path / "t.png")
    assert load_mesh(path).texture[:, 1, 2].tolist() == pytest.approx([0.2, 0.2, 0.2])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "1e39"])
def test_numbers_that_are_not_finite(value: str, tmp_path: Path) -> None:
    assert "vertices" in refused(write(tmp_path / "a.obj", f"v {value} 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"), DomainError)
    text = f"OFF\n3 1 0\n{value} 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    assert "vertices" in refused(write(tmp_path / "a.off", text), DomainError)
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    text = f"{head}{value} 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    assert "vertices" in refused(write(tmp_path / "a.ply", text), DomainError)


def test_indices_out_of_range(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n"))
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    for index in (3, -1):
        text = f"{head}0 0 0\n1 0 0\n0 1 0\n3 0 1 {index}\n"
        assert "face" in refused(write(tmp_path / "a.ply", text), DomainError)
    tree, body = one_triangle_tree()
    body = body[:36] + struct.pack("<3H", 0, 1, 7) + b"\0\0"
    assert "(0, 1, 7)" in refused(write(tmp_path / "a.glb", glb(tree, body)), DomainError)


@pytest.mark.parametrize(
    "tree", [[], {}, 5, None, {"meshes": 3}, {"accessors": [{}]}, {"meshes": [{"primitives": [{}]}]}]
)
def test_glb_with_a_strange_tree(tree: object, tmp_path: Path) -> None:
    refused(write(tmp_path / "a.glb", glb(tree)))


def test_deeply_nested_json(tmp_path: Path) -> None:
    text = b"[" * 100_000
    data = struct.pack("<4sII", b"glTF", 2, 20 + len(text)) + struct.pack("<I4s", len(text), b"JSON") + text
    refused(write(tmp_path / "a.glb", data))


def test_only_points_or_more_lines_than_promised(tmp_path: Path) -> None:
    head = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    assert "faces" in refused(write(tmp_path / "a.ply", head + "0 0 0\n"))
    assert "without other content" in refused(write(tmp_path / "b.ply", head + "0 0 0\n" + "\n" * 5000))
    text = "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n"
    assert "1 'facet' and 0 'endfacet'" in refused(write(tmp_path / "a.stl", text))


def test_unknown_suffixes_name_the_known(tmp_path: Path) -> None:
    for suffix in (".gltf", ".zip", "", ".obj.gz"):
        with pytest.raises(FileError, match=r"\.obj, \.ply, \.off, \.stl, \.glb"):
            load_mesh(tmp_path / f"mesh{suffix}")
        with pytest.raises(FileError, match=r"\.obj, \.ply, \.off, \.stl, \.glb"):
            save_mesh(icosphere(0), tmp_path / f"mesh{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_over_the_cap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.obj"
    with path.open("wb") as stream:
        stream.truncate((1 << 28) + 1)
    assert "at most" in refused(path)
