"""The rows of ``labkit bench`` for the adversarial recipes: networks, volumes, and off-the-shelf renderers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from statistics import median

import torch
from torch import Tensor

from labkit.cli.bench import timed
from labkit.data.categories import Category
from labkit.errors import BackendError
from labkit.geometry.rigid_grid import embed
from labkit.nets.dcgan import ImageDiscriminator
from labkit.nets.rendernet import RenderNet
from labkit.nets.voxel_generator import VoxelGenerator
from labkit.render.external import RENDERERS, open_renderer
from labkit.render.volume_grid import absorption_only, emission_absorption, visual_hull
from labkit.scene.beams import beam_lights
from labkit.scene.camera import Camera

SIZES = (32, 64)  # pixels; the shapes have half as many voxels along an edge
WIDTH = 4  # channels of RenderNet's 3D part, a quarter of the paper's
BATCH = 4
PICTURES = 12  # of each renderer
REPEATS = 5
LATENT = 200


def rows(quick: bool) -> Iterator[str]:
    """Two tables; ``quick``: the smaller size and fewer pictures only."""
    yield (
        f"Parts of IG-GAN on {torch.get_num_threads()} CPU threads, torch {torch.__version__}, float32, batches of "
        f"{BATCH}, medians of {REPEATS}; +backward: with the gradients of inputs and weights"
    )
    for size in SIZES[:1] if quick else SIZES:
        for name, work in parts(size).items():
            forward, both = timed(work, REPEATS)
            yield f"  {size:3} px  {name:<20} {1e3 * forward:8.1f} ms {1e3 * both:8.1f} ms +backward"
    count = PICTURES // 4 if quick else PICTURES
    yield f"pictures per second of a tub of 64 voxels, cubes, 128 px, in a process of its own, median of {count}"
    for name in RENDERERS:
        yield f"  {name:<10} {speed(name, count)}"


def parts(size: int) -> Mapping[str, Callable[[], tuple[Tensor, ...]]]:
    """What a step of IG-GAN consists of, by name, at that many pixels."""
    generator = torch.Generator().manual_seed(0)
    z = torch.rand(BATCH, LATENT, generator=generator)
    shapes = torch.rand(BATCH, 1, *[size // 2] * 3, generator=generator, requires_grad=True)
    grid = torch.rand(BATCH, 1, *[size] * 3, generator=generator, requires_grad=True)
    images = torch.rand(BATCH, 1, size, size, generator=generator, requires_grad=True)
    rotation = Camera.orbit(torch.linspace(0, 270, BATCH) + 30.0, 30.0, 2.0).rotation
    works: dict[str, Callable[[], Tensor]] = {
        "VoxelGenerator": partial(VoxelGenerator(LATENT, size // 2, generator=generator), z),
        "embed": partial(embed, shapes, rotation, size),
        f"RenderNet, width {WIDTH}": partial(RenderNet.iggan(size, WIDTH, generator=generator), grid),
        "ImageDiscriminator": partial(ImageDiscriminator(size, generator=generator), images),
        "visual hull": partial(visual_hull, grid),
        "absorption only": partial(absorption_only, grid, density=40.0),
        "emission-absorption": partial(emission_absorption, grid),
    }
    return {name: partial(_one, work) for name, work in works.items()}


def speed(name: str, count: int) -> str:
    """Pictures per second of a renderer after its first, or why there are none."""
    tub = Category("bathtub").voxels(0)
    seconds = []
    try:
        with open_renderer(name) as draw:
            for number in range(count + 1):
                camera = Camera.orbit(30.0 * number, 30.0, 2.0, projection="orthographic", half_height=1.0)
                start = time.perf_counter()
                draw([tub], camera, beam_lights(camera))
                seconds.append(time.perf_counter() - start)
    except BackendError as error:
        return f"not measured: {error}"
    return f"{1 / median(seconds[1:]):6.1f} pictures/s, the first after {seconds[0]:.2f} s"


def _one(work: Callable[[], Tensor]) -> tuple[Tensor, ...]:
    return (work(),)
