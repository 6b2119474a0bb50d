"""Memory of the kernel grows with pixels plus faces, not with their product."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")
if not Path("/proc/self/clear_refs").exists():
    pytest.skip("peak memory is measured through Linux' /proc", allow_module_level=True)

MEASURE = """
import json, re, sys
from pathlib import Path
import torch
from labkit.render import AlgoNet, rasterize
torch.set_num_threads(1)

def draw(faces, side):
    generator = torch.Generator().manual_seed(0)
    center = 2 * torch.rand(1, faces, 1, 2, generator=generator) - 1
    xy = center + 0.02 * torch.rand(1, faces, 3, 2, generator=generator)
    triangles = torch.cat((xy, 1 + torch.rand(1, faces, 3, 1, generator=generator)), -1).requires_grad_()
    color, alpha = rasterize(triangles, torch.rand(1, faces, 3, 3, generator=generator), (side, side),
                             AlgoNet(400.0, 5.0), backend="kernel")
    (color.sum() + alpha.sum()).backward()

draw(10, 16)  # everything is loaded, compiled and allocated once
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; compiling has raised it
kilobytes = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = kilobytes("VmRSS")
draw(int(sys.argv[1]), int(sys.argv[2]))
print(json.dumps((kilobytes("VmHWM") - before) / 1024))
"""


def megabytes(faces: int, side: int) -> float:
    """What a fresh process needs, at its peak, for one picture forward and backward."""
    command = [sys.executable, "-c", MEASURE, str(faces), str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(json.loads(done.stdout))


def test_memory_grows_with_pixels_plus_faces(capsys: pytest.CaptureFixture[str]) -> None:
    faces, side = 10_000, 256
    base, more_faces, more_pixels, more_of_both = (
        megabytes(f, n) for f, n in ((faces, side), (4 * faces, side), (faces, 2 * side), (4 * faces, 2 * side))
    )
    with capsys.disabled():
        print(
            f"\nkernel, forward and backward, peak memory in MB: {base:.0f} for {faces:,} faces at {side} x {side}; "
            f"{more_faces:.0f} for 4 F; {more_pixels:.0f} for 4 P; {more_of_both:.0f} for both"
        )
    # a + b F + c P predicts the fourth from the other three; F P pairs of 4 bytes would be 2,600 and 42,000 MB.
    assert base > 5  # the measurement measures
    assert more_of_both < 1.25 * (more_faces + more_pixels - base) + 10
    assert more_of_both < 5 * base + 10
    assert more_of_both < 4 * faces * (2 * side) ** 2 * 4 / 2**20 / 50
