"""The rows of ``labkit bench`` that compare the rasterizers: forward and backward, kernel against dense reference."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from labkit.cli.bench import CHANNELS, REFERENCE_PAIRS, sphere, timed
from labkit.geometry import load_mesh
from labkit.render import DIBR, N3MR, AlgoNet, GenDR, Hard, Rasterizer, SoftRas, triangulate, warm_up
from labkit.scene import Camera

RASTERIZERS: dict[str, Rasterizer] = {
    "AlgoNet, s = 300": AlgoNet(300.0, 20.0),
    "SoftRas": SoftRas(),
    "GenDR, uniform": GenDR(),
    "GenDR, logistic, Einstein": GenDR("logistic", t_conorm="einstein"),
    "GenDR, Gaussian, Yager 2": GenDR("gaussian", t_conorm="yager", p=2.0),
    "DIB-R": DIBR(),
    "N3MR": N3MR(),
    "Hard": Hard(),
}
LARGE = ("SoftRas", "DIB-R")  # those that are also timed on the user's mesh, at LARGE_SIDE pixels
COUNTS, SIDE, LARGE_SIDE = (1_280, 5_120), 256, 1024
REPEATS = 3


def rows(quick: bool, mesh: Path | None) -> Iterator[str]:
    """A row per rasterizer on spheres, and on ``mesh`` if given; ``quick``: the small sphere only."""
    warm_up()
    yield f"All on {torch.get_num_threads()} CPU threads, float32, median of {REPEATS}. A sphere fills the picture."
    yield f"reference: the dense one on a picture of about {REFERENCE_PAIRS:,} pairs, scaled to the larger picture."
    yield (
        f"{'faces':>7} {'px':>4} {'rasterizer':<26} | {'forward':>10} {'+backward':>10} |"
        f" {'reference':>10} | {'faster':>7}"
    )
    for count in COUNTS[:1] if quick else COUNTS:
        attributes = torch.rand(1, count, 3, CHANNELS, generator=torch.Generator().manual_seed(0))
        for name, rasterizer in RASTERIZERS.items():
            yield row(name, rasterizer, sphere(count), attributes, SIDE)
    if mesh is not None:
        camera = Camera.orbit(30.0, 20.0, 2.8, fov=50.0)
        scene = triangulate(load_mesh(mesh).normalized(), camera, (LARGE_SIDE, LARGE_SIDE))
        triangles, colors = scene.triangles.detach().requires_grad_(), scene.attributes[..., :CHANNELS].detach()
        for name in LARGE:
            yield row(f"{name}, {mesh.name}", RASTERIZERS[name], triangles, colors, LARGE_SIDE)


def row(name: str, rasterizer: Rasterizer, triangles: Tensor, attributes: Tensor, side: int) -> str:
    """Measure one rasterizer."""
    run = partial(rasterizer.kernel, triangles, attributes, (side, side), True)
    forward, both = timed(run, REPEATS)
    faces = triangles.shape[1]
    small = min(side, max(2, int((REFERENCE_PAIRS / faces) ** 0.5)))
    _, dense = timed(partial(rasterizer.reference, triangles, attributes, (small, small), True), 1)
    dense *= (side / small) ** 2
    return (
        f"{faces:7,} {side:4} {name:<26} | {1e3 * forward:7.1f} ms {1e3 * both:7.1f} ms | {dense:8.1f} s |"
        f" {dense / both:6.0f}x"
    )
