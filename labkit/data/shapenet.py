"""Meshes from files as data: any list of them, and the folders of ShapeNetCore (Chang et al. 2015), version 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.data.categories import framed
from labkit.data.picture_files import listed
from labkit.errors import DomainError, DTypeError, FileError, LabError
from labkit.geometry import Mesh, load_mesh

MODELS = {1: "model.obj", 2: "models/model_normalized.obj"}
"""Where a version keeps the mesh in ``<synset>/<id>/``."""

SYNSETS = {
    "airplane": "02691156",
    "bathtub": "02808440",
    "bench": "02828884",
    "car": "02958343",
    "chair": "03001627",
    "couch": "04256520",
    "lamp": "03636649",
    "table": "04379243",
}
BAD = (
    "03624134/67ada28ebc79cc75a056f196c127ed77",
    "04074963/b65b590a565fa2547e1c85c5c15da7fb",
    "04090263/4a32519f44dc84aabafe26e2eb69ebf4",
)
"""Models of version 1 whose files are known to be broken (the list of 3D-R2N2)."""

AXES = {f"{sign}{name}": i + 3 * (sign == "-") for i, name in enumerate("xyz") for sign in "+-"}


@dataclass(frozen=True)
class MeshFiles:
    """Meshes from files, in the common frame: in the cube [-0.5, 0.5]^3, y up, front towards +z.

    Args:
        paths: files that `load_mesh` reads.
        up, front: the axes of the files that point upwards and to the front, "+x", "-x", ..., "-z".

    Raises:
        FileError: missing files; all are named.
        DomainError: no files, or axes that are none or parallel.
    """

    paths: tuple[Path, ...]
    up: str = "+y"
    front: str = "+z"

    def __post_init__(self) -> None:
        if not self.paths:
            raise DomainError("paths", "none", "a file or more")
        turn_of(self.up, self.front)
        if missing := [str(path) for path in self.paths if not path.is_file()]:
            raise FileError("paths", f"no {listed(missing)}", "every file of the set")

    def __len__(self) -> int:
        return len(self.paths)

    def mesh(self, index: int) -> Mesh:
        """The surface of file ``index``, float32, without colours and textures.

        Raises:
            DomainError: there is no such file, or the mesh has no extent.
            FileError: the file is broken.
        """
        if not 0 <= index < len(self):
            raise DomainError("index", index, f"a number in [0, {len(self)})")
        mesh = load_mesh(self.paths[index])
        return framed(Mesh(mesh.vertices @ turn_of(self.up, self.front).T, mesh.faces), str(self.paths[index]))

    def broken(self) -> dict[str, str]:
        """Load every mesh once: the files that cannot be used, and why."""
        found = {}
        for index, path in enumerate(self.paths):
            try:
                self.mesh(index)
            except LabError as error:
                found[str(path)] = str(error)
        return found

    def facts(self) -> dict[str, Any]:
        """Names, sizes and times of the files, for the key of a cache."""
        stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        return {"files": stamps, "up": self.up, "front": self.front}


@dataclass(frozen=True)
class ShapeNet(MeshFiles):
    """The models of one category; `read` makes it.

    Attributes:
        name: the category, for its rule of views.
        ids: of the models, in their order.
        skipped: ids that are left out, and why.
    """

    name: str = ""
    ids: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def read(
    folder: str | Path,
    category: str,
    *,
    up: str = "+y",
    front: str = "+z",
    check: bool = False,
    skip: Sequence[str] = (),
) -> ShapeNet:
    """Return the models of one category, sorted by id; those that are missing or known to be broken are listed.

    Args:
        folder: that of the synsets: ``<synset>/<id>/model.obj`` (version 1) or
            ``<synset>/<id>/models/model_normalized.obj`` (version 2).
        category: one of `SYNSETS`, or the number of any other synset.
        up, front: axes of the files, see `MeshFiles`. Which way the models of a version look is not stated here:
            look at a few of them.
        check: load every mesh now and leave out, and list, those that are broken. Else a broken one raises when it is
            used; `ShapeNet.broken` finds them all at any time.
        skip: further ids to leave out.

    Raises:
        FileError: no such folder, both versions in it, or no model.
        DomainError: the axes.
        DTypeError: ``skip`` is one string.
    """
    if isinstance(skip, str):
        raise DTypeError("skip", repr(skip), "a list of ids")
    home = Path(folder) / SYNSETS.get(category, category)
    if not home.is_dir():
        raise FileError(str(home), "no folder", f"a folder of ShapeNetCore with {SYNSETS.get(category, category)}")
    ids = sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith("."))
    versions = [version for version, place in MODELS.items() if any((home / id_ / place).is_file() for id_ in ids)]
    if len(versions) != 1:
        got = "models of version 1 and 2" if versions else f"{len(ids)} folders without {' or '.join(MODELS.values())}"
        raise FileError(str(home), got, "the models of one version of ShapeNetCore")
    place, inner = MODELS[versions[0]], home.resolve()
    skipped = {id_: "asked to" for id_ in ids if id_ in skip}
    skipped |= {id_: "known to be broken" for id_ in ids if f"{home.name}/{id_}" in BAD}
    skipped |= {id_: f"no {place}" for id_ in ids if not (home / id_ / place).is_file()}
    skipped |= {
        id_: "a link out of the folder" for id_ in ids if not (home / id_ / place).resolve().is_relative_to(inner)
    }

    def models() -> ShapeNet:
        kept = tuple(id_ for id_ in ids if id_ not in skipped)
        if not kept:
            raise FileError(str(home), f"no usable model; left out: {listed(sorted(skipped))}", "at least one model")
        paths = tuple(home / id_ / place for id_ in kept)
        return ShapeNet(paths, up, front, category, kept, tuple(sorted(skipped.items())))

    found = models()
    if check:
        reasons = found.broken()
        skipped |= {
            id_: reasons[str(path)] for id_, path in zip(found.ids, found.paths, strict=True) if str(path) in reasons
        }
        found = models()
    return found


def turn_of(up: str, front: str) -> Tensor:
    """The rotation (3, 3) float32 that turns ``up`` to +y and ``front`` to +z.

    Raises:
        DomainError: axes that are none, or parallel.
    """
    if up not in AXES or front not in AXES or up[1:] == front[1:]:
        raise DomainError("up, front", (up, front), f"two of {', '.join(AXES)} that are not parallel")
    signed = torch.cat([torch.eye(3), -torch.eye(3)])
    y, z = signed[AXES[up]], signed[AXES[front]]
    return torch.stack([torch.linalg.cross(y, z), y, z])
