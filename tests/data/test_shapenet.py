"""Meshes from files: the common frame, and folders in which models are missing or broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tolerances import FLOAT32

from labkit.data.categories import framed
from labkit.data.rendered_source import rendered_source
from labkit.data.shapenet import AXES, BAD, MeshFiles, read, turn_of
from labkit.data.view_rules import VIEW_RULES, ViewRule
from labkit.errors import DomainError, DTypeError, FileError
from labkit.geometry import Mesh, box_union, save_mesh

LOW, HIGH = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 6.0, 5.0]])
HALF = torch.tensor([1.0, 4.0, 2.0]) / 4 * 0.95 / 2  # of that box in the common frame
PLACES = ["model.obj", "models/model_normalized.obj"]


def write_models(folder: Path, ids: list[str], place: str, synset: str = "03001627") -> None:
    for number, id_ in enumerate(ids):
        path = folder / synset / id_ / place
        path.parent.mkdir(parents=True)
        save_mesh(box_union(LOW, HIGH + torch.tensor([float(number), 0, 0])), path)


@pytest.mark.parametrize("place", PLACES)
def test_both_versions_are_read_in_the_order_of_ids(tmp_path: Path, place: str) -> None:
    write_models(tmp_path, ["b", "a", "c"], place)
    (tmp_path / "03001627" / "taxonomy.json").write_text("{}")
    found = read(tmp_path, "chair")
    assert found.ids == ("a", "b", "c")
    assert len(found) == 3
    assert found.skipped == ()
    torch.testing.assert_close(found.mesh(1).vertices.amax(0), HALF, **FLOAT32)
    torch.testing.assert_close(found.mesh(1).vertices.amin(0), -HALF, **FLOAT32)
    assert read(tmp_path, "03001627").ids == found.ids
    for wrong in (-1, 3):
        with pytest.raises(DomainError, match="index"):
            found.mesh(wrong)


def test_the_missing_the_bad_and_the_unwanted_are_listed(tmp_path: Path) -> None:
    synset, bad = BAD[0].split("/")
    write_models(tmp_path, ["a", "b", bad], "model.obj", synset)
    (tmp_path / synset / "empty").mkdir()
    (tmp_path / synset / "link").mkdir()
    save_mesh(box_union(LOW, HIGH), tmp_path / "outside.obj")
    (tmp_path / synset / "link" / "model.obj").symlink_to(tmp_path / "outside.obj")
    found = read(tmp_path, synset, skip=["b"])
    assert found.ids == ("a",)
    reasons = {"b": "asked to", bad: "known to be broken", "empty": "no model.obj", "link": "a link out of the folder"}
    assert dict(found.skipped) == reasons
    with pytest.raises(DTypeError, match="skip"):
        read(tmp_path, synset, skip="ab")


def test_broken_files_raise_when_used_or_are_left_out_when_checked(tmp_path: Path) -> None:
    write_models(tmp_path, ["a", "b", "c"], "model.obj")
    broken = tmp_path / "03001627" / "b" / "model.obj"
    broken.write_text("v 0 0 0\nf 1 2 3\n")
    found = read(tmp_path, "chair")
    assert found.ids == ("a", "b", "c")
    with pytest.raises((FileError, DomainError), match=r"model\.obj"):
        found.mesh(1)
    assert list(found.broken()) == [str(broken)]
    checked = read(tmp_path, "chair", check=True)
    assert checked.ids == ("a", "c")
    assert checked.skipped[0][0] == "b"
    assert "model.obj" in checked.skipped[0][1]


def test_folders_without_one_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no folder"):
        read(tmp_path, "chair")
    (tmp_path / "03001627" / "a").mkdir(parents=True)
    with pytest.raises(FileError, match="without"):
        read(tmp_path, "chair")
    write_models(tmp_path, ["b"], PLACES[0])
    with pytest.raises(FileError, match="no usable model"):
        read(tmp_path, "chair", skip=["b"])
    write_models(tmp_path, ["c"], PLACES[1])
    with pytest.raises(FileError, match="version 1 and 2"):
        read(tmp_path, "chair")


def test_axes_can_be_told(tmp_path: Path) -> None:
    """z up and front towards -y, as some version might have it: height is the file's z, depth its y."""
    save_mesh(box_union(LOW, HIGH), tmp_path / "box.obj")
    found = MeshFiles((tmp_path / "box.obj",), up="+z", front="-y")
    torch.testing.assert_close(found.mesh(0).vertices.amax(0), HALF[[0, 2, 1]], **FLOAT32)


def test_every_pair_of_axes_gives_a_rotation() -> None:
    axes = {f"{sign}{name}": s * torch.eye(3)[i] for sign, s in (("+", 1), ("-", -1)) for i, name in enumerate("xyz")}
    pairs = [(up, front) for up in AXES for front in AXES if up[1] != front[1]]
    assert len(pairs) == 24
    for up, front in pairs:
        turn = turn_of(up, front)
        assert torch.linalg.det(turn) == 1
        assert torch.equal(turn @ axes[up], axes["+y"])
        assert torch.equal(turn @ axes[front], axes["+z"])
    for wrong in (("+y", "-y"), ("up", "+z"), ("+y", "")):
        with pytest.raises(DomainError, match="up, front"):
            turn_of(*wrong)


def test_the_frame_ignores_unused_vertices_and_needs_a_size() -> None:
    box = box_union(LOW, HIGH)
    stray = box.replace(vertices=torch.cat([box.vertices, torch.full((1, 3), 99.0)]))
    torch.testing.assert_close(framed(stray).vertices[:-1], framed(box).vertices)
    for scale in (1e-41, 1e38):  # whose quotients, or differences, float32 does not hold
        extreme = framed(box.replace(vertices=(box.vertices - 3) * scale)).vertices
        torch.testing.assert_close(extreme, framed(box).vertices, rtol=0, atol=1e-3)
    with pytest.raises(DomainError, match="no faces"):
        framed(Mesh(box.vertices, box.faces[:0]))
    with pytest.raises(DomainError, match="one point"):
        framed(Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]])))


def test_files_can_stand_for_a_category(tmp_path: Path) -> None:
    write_models(tmp_path, ["a", "b"], "model.obj")
    found = read(tmp_path, "chair")
    options = {"renderer": "hard", "size": 16}
    pictures = rendered_source(found, **options, cache=tmp_path / "cache")
    assert pictures.count == 2
    by_rule = rendered_source(MeshFiles(found.paths), VIEW_RULES["chair"], **options)
    assert torch.equal(pictures.images(torch.arange(2)), by_rule.images(torch.arange(2)))
    save_mesh(box_union(LOW, HIGH * 2), found.paths[0])
    again = rendered_source(read(tmp_path, "chair"), **options, cache=tmp_path / "cache")
    assert not torch.equal(pictures.images(torch.arange(2)), again.images(torch.arange(2)))


def test_a_real_mesh_can_be_shown(shared_mesh) -> None:  # type: ignore[no-untyped-def]
    found = MeshFiles((shared_mesh("stanford-bunny.obj"),))
    rule = ViewRule((0.0, 0.0), (0.0, 0.0))
    picture = rendered_source(found, rule, renderer="hard", size=32).images(torch.tensor([0]))
    assert 30 < (picture < 1).sum() < 16 * 16


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.obj, .*b\.obj"):
        MeshFiles((tmp_path / "a.obj", tmp_path / "b.obj"))
    with pytest.raises(DomainError, match="paths"):
        MeshFiles(())
