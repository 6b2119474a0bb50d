"""What a person takes along from a run: its surface, its curves, its whole folder."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path

from labkit.errors import DomainError, FileError
from labkit.events import MeshPreview, Step
from labkit.files import replacing, write_bytes
from labkit.geometry import Mesh, save_mesh
from labkit.lab.controls import EXPORTS
from labkit.train.event_log import LogReader
from labkit.train.run_folder import OWNER, RunFolder

PASSING = ("lock", OWNER)  # files of a run that mean something only while it is held


def free_path(name: str, suffix: str) -> Path:
    """A path in ``exports`` beside the notebook that nothing has yet; the folder is made."""
    EXPORTS.mkdir(exist_ok=True)
    return next(path for n in range(1, 1_000_000) if not (path := EXPORTS / f"{name}-{n}{suffix}").exists())


def export_mesh(preview: MeshPreview, suffix: str) -> Path:
    """Write a surface as ".obj" or ".glb"; returns where.

    Raises:
        LabError: as `labkit.save_mesh` says, for one without faces too.
    """
    path = free_path(f"{preview.name}-{preview.number:06d}", suffix)
    save_mesh(Mesh(preview.vertices, preview.faces, colors=preview.colors), path)
    return path


def export_bytes(name: str, suffix: str, data: bytes) -> Path:
    """Write a file; returns where."""
    path = free_path(name, suffix)
    write_bytes(path, data)
    return path


def curves_csv(run: str | os.PathLike[str]) -> bytes:
    """All reported steps of a run as a table: a column for each figure; where a step was done twice, the later one.

    Raises:
        DomainError: the run has no steps yet.
        FileError: its diary is unreadable.
    """
    steps = {event.number: event.values for event in LogReader(run).new() if isinstance(event, Step)}
    if not steps:
        raise DomainError("run", "no steps yet", "a run with at least one step")
    names = list(dict.fromkeys(name for values in steps.values() for name in values))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["step", *names])
    writer.writerows([number, *(steps[number].get(name, "") for name in names)] for number in sorted(steps))
    return stream.getvalue().encode()


def export_run(run: str | os.PathLike[str]) -> Path:
    """Write a run folder as a zip file, without what means something only while it runs; returns where.

    Files that a run at work removes meanwhile, such as an older checkpoint's, are left out.

    Raises:
        FileError: no run there, or no place to write.
    """
    folder = RunFolder.open(run)
    path = free_path(folder.path.name, ".zip")
    with replacing(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(folder.path.rglob("*")):
            if file.name in PASSING or file.name.startswith(".writing-") or not file.is_file():
                continue
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise FileError(str(file), error.strerror or type(error).__name__, "a readable file") from error
            archive.writestr(str(Path(folder.path.name) / file.relative_to(folder.path)), data)
    return path
