"""Fixtures and the rule that turns a skip for a missing part into a failure where LABKIT_REQUIRE demands the part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("labkit", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("labkit")

REQUIRED = {part for part in os.environ.get("LABKIT_REQUIRE", "").split(",") if part}
MESHES = Path(__file__).resolve().parents[2] / "shared" / "data"


def need(part: str, present: bool, cure: str) -> None:
    """Skip the test when ``part`` is absent, or fail it where LABKIT_REQUIRE names the part."""
    if not present and part in REQUIRED:
        pytest.fail(f"LABKIT_REQUIRE names {part!r}, which is missing: {cure}")
    if not present:
        pytest.skip(f"{part} is missing: {cure}")


@pytest.fixture
def shared_mesh() -> Callable[[str], Path]:
    """A function from a file name to the path of a real mesh; the test is skipped where the meshes are absent."""

    def find(name: str) -> Path:
        path = MESHES / name
        if not path.is_file():
            pytest.skip(f"the real mesh {name} is not on this machine")
        return path

    return find


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded random stream."""
    return torch.Generator().manual_seed(42)
