"""The binvox format: known bytes, round trips, broken files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.errors import DTypeError, FileError, ShapeError
from labkit.geometry.binvox import read_binvox, write_binvox
from labkit.geometry.voxels import VoxelGrid

HEADER = b"#binvox 1\ndim 2 2 2\ntranslate -1 0.5 2\nscale 3\ndata\n"
# Index = 4 x + 2 z + y. Indices 1, 2 and 7 are set: (x, y, z) = (0, 1, 0), (0, 0, 1) and (1, 1, 1).
RUNS = bytes([0, 1, 1, 2, 0, 4, 1, 1])


def test_known_bytes(tmp_path: Path) -> None:
    path = tmp_path / "known.binvox"
    path.write_bytes(HEADER + RUNS)
    grid = read_binvox(path)
    assert grid.values.dtype == torch.bool
    assert grid.values.nonzero().tolist() == [[0, 0, 1], [0, 1, 0], [1, 1, 1]]
    assert grid.origin == (-1.0, 0.5, 2.0)
    assert grid.pitch == 1.5
    assert grid.centers()[1, 0, 0].tolist() == [1.25, 1.25, 2.75]
    write_binvox(grid, tmp_path / "again.binvox")
    written = (tmp_path / "again.binvox").read_bytes()
    assert written.endswith(b"data\n" + RUNS)
    assert written.startswith(b"#binvox 1\ndim 2 2 2\ntranslate -1.0 0.5 2.0\nscale 3.0\n")


def test_carriage_returns_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "windows.binvox"
    path.write_bytes(HEADER.replace(b"\n", b"\r\n") + RUNS)
    assert read_binvox(path).values.sum() == 3


def test_long_runs_are_split_at_255(tmp_path: Path) -> None:
    path = tmp_path / "long.binvox"
    write_binvox(VoxelGrid(torch.ones(8, 8, 8, dtype=torch.bool)), path)
    assert path.read_bytes().split(b"data\n")[1] == bytes([1, 255, 1, 255, 1, 2])
    assert read_binvox(path).values.all()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), size=st.integers(1, 12), density=st.floats(0, 1))
def test_round_trip(seed: int, size: int, density: float, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(size, size, size, generator=generator) < density
    path = tmp_path / "grid.binvox"
    write_binvox(VoxelGrid(values, (0.1, -2.0, 1e-9), 1 / 3), path)
    grid = read_binvox(path)
    assert torch.equal(grid.values, values)
    assert grid.origin == (0.1, -2.0, 1e-9)
    assert grid.pitch == pytest.approx(1 / 3, rel=1e-15)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "header"),
        (b"#binvox 2\n" + HEADER.partition(b"\n")[2] + RUNS, "version 1"),
        (HEADER[:30], "header"),
        (HEADER + RUNS[:-1], "truncated"),
        (HEADER + RUNS[:-2], "8 voxels"),
        (HEADER + RUNS + bytes([0, 1]), "8 voxels"),
        (HEADER, "8 voxels"),
        (HEADER + bytes([0, 0, 0, 8]), "1 to 255"),
        (HEADER + bytes([2, 8]), "values 0 and 1"),
        (HEADER.replace(b"dim 2 2 2", b"dim 1000000 1000000 1000000") + RUNS, "1 to 1024"),
        (HEADER.replace(b"dim 2 2 2", b"dim 2 2 4") + RUNS, "three times"),
        (HEADER.replace(b"dim 2 2 2", b"dim 0 0 0") + RUNS, "1 to 1024"),
        (HEADER.replace(b"dim 2 2 2", b"dim -2 -2 -2") + RUNS, "1 to 1024"),
        (HEADER.replace(b"dim 2 2 2", b"dim 1.5 1.5 1.5") + RUNS, "whole number"),
        (HEADER.replace(b"dim 2 2 2", b"dim 2 2") + RUNS, "dim d d d"),
        (HEADER.replace(b"dim 2 2 2", b"dim a b c") + RUNS, "dim d d d"),
        (HEADER.replace(b"dim 2 2 2", b"dim nan nan nan") + RUNS, "1 to 1024"),
        (HEADER.replace(b"scale 3", b"scale 0") + RUNS, "greater than 0"),
        (HEADER.replace(b"scale 3", b"scale inf") + RUNS, "greater than 0"),
        (HEADER.replace(b"translate -1 0.5 2", b"translate nan 0 0") + RUNS, "finite"),
        (HEADER.replace(b"scale 3\n", b"scale 3\nscale\n") + RUNS, "header"),
        (HEADER.replace(b"scale 3\n", b"translate 0 0 0\n") + RUNS, "scale"),
    ],
)
def test_broken_files(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.binvox"
    path.write_bytes(data)
    with pytest.raises(FileError, match=message) as caught:
        read_binvox(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_smaller_cap(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.binvox"):
        read_binvox(tmp_path / "none.binvox")
    path = tmp_path / "grid.binvox"
    path.write_bytes(HEADER + RUNS)
    with pytest.raises(FileError, match="from 1 to 1,"):
        read_binvox(path, max_dim=1)


def test_writing_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "grid.binvox"
    path.write_bytes(b"old")
    with pytest.raises(ShapeError, match="cube"):
        write_binvox(VoxelGrid(torch.zeros(2, 2, 3, dtype=torch.bool)), path)
    with pytest.raises(ShapeError, match="cube"):
        write_binvox(VoxelGrid(torch.zeros(0, 0, 0, dtype=torch.bool)), path)
    with pytest.raises(DTypeError, match="bool"):
        write_binvox(VoxelGrid(torch.zeros(2, 2, 2)), path)
    with pytest.raises(FileError, match="missing folder"):
        write_binvox(VoxelGrid(torch.zeros(2, 2, 2, dtype=torch.bool)), tmp_path / "no" / "grid.binvox")
    assert path.read_bytes() == b"old"
