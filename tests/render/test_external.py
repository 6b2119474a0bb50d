"""The off-the-shelf renderers: known pictures, the same picture from all four, and what they refuse."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import need
from tolerances import FLOAT32
from torch import Tensor

from labkit.errors import BackendError, DomainError, DTypeError, LabError, ShapeError
from labkit.geometry import Mesh, VoxelGrid, icosphere, mesh_to_voxels
from labkit.geometry.furniture import bathtub, chair
from labkit.render.external import RENDERERS, ExternalRenderer, open_renderer
from labkit.render.external_mitsuba import MitsubaDriver
from labkit.render.external_pyrender import PyrenderDriver
from labkit.render.external_pyvista import PyvistaDriver
from labkit.render.external_view import View
from labkit.scene import Ambient, Camera, Directional, Point
from labkit.scene.beams import beam_lights

BYTE = 1.01 / 255  # OpenGL rounds to whole 255ths
SQUARE = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]))
FLAT = Camera.orbit(0.0, 0.0, 3.0, projection="orthographic", half_height=1.0)
DEEP = Camera.orbit(0.0, 0.0, 3.0, fov=2 * float(torch.rad2deg(torch.tensor(1 / 3).atan())))  # 1 unit at z = 0
CUBE = {"origin": (-0.5, -0.5, -0.5), "pitch": 1 / 64}

Opened = Callable[..., ExternalRenderer]


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """A function that opens a renderer once, or skips the test where the machine has none."""
    found: dict[tuple[Any, ...], ExternalRenderer] = {}

    def find(name: str, **options: Any) -> ExternalRenderer:
        key = (name, *options.values())
        try:
            found[key] = found.get(key) or open_renderer(name, **options)
        except BackendError as error:
            need("gl", False, str(error))
        return found[key]

    yield find
    for renderer in found.values():
        renderer.close()


def framed(mesh: Mesh) -> Mesh:
    """The mesh in the cube [-0.5, 0.5]^3."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    return mesh.replace(vertices=(mesh.vertices - (low + high) / 2) / (high - low).max() * 0.95)


def grey(value: float, like: Tensor) -> Tensor:
    return torch.full_like(like, value)


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("camera", [FLAT, DEEP], ids=["orthographic", "perspective"])
@pytest.mark.parametrize("size", [(16, 24), (24, 16), (17, 17)])
def test_a_square_by_hand(opened: Opened, name: str, camera: Camera, size: tuple[int, int]) -> None:
    """The unit square covers the quarter right of and above the middle, with the light of Lambert's law."""
    lights = [Ambient(0.1), Directional((0.0, 3**0.5, 1.0), 0.6), Directional((0.0, 0.0, -1.0), 5.0)]
    picture = opened(name)([SQUARE], camera, lights, size, background=0.25)
    height, width = size
    shorter = min(size)
    x = (2 * torch.arange(width) + 1 - width) / shorter
    y = (height - 1 - 2 * torch.arange(height)) / shorter
    expected = ((x > 0) & (x < 1) & (y > 0)[:, None] & (y < 1)[:, None]).float()  # (H, W)
    sharp = ((x.abs() > 1 / shorter) & (y.abs() > 1 / shorter)[:, None]).expand(size)  # not cut by an edge
    assert tuple(picture.color.shape) == (1, 3, *size)
    torch.testing.assert_close(picture.alpha[0, 0][sharp], expected[sharp], **FLOAT32)
    level = 0.8 * (0.1 + 0.6 * 0.5)
    wanted = (0.25 + (level - 0.25) * expected).expand(3, -1, -1)
    torch.testing.assert_close(picture.color[0][:, sharp], wanted[:, sharp], rtol=0, atol=BYTE)


@pytest.mark.parametrize("name", RENDERERS)
def test_light_follows_the_batch_and_the_seen_side(opened: Opened, name: str) -> None:
    """Each picture has its own camera, its own coloured lights, and light on the side that is seen."""
    camera = Camera.orbit(torch.tensor([0.0, 180.0, 0.0]), 0.0, 3.0, projection="orthographic", half_height=0.4)
    sheet = SQUARE.replace(vertices=SQUARE.vertices - 0.5)
    lights = [
        Ambient(torch.tensor([[0.1, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.0, 0.3]])),
        Directional(torch.tensor([[0.0, 0, 1], [0.0, 0, -2], [0.0, 0, -1]]), torch.tensor([0.0, 0.5, 9.0])),
    ]
    picture = opened(name)([sheet, sheet, sheet.replace(faces=sheet.faces.flip(-1))], camera, lights, (8, 8))
    expected = torch.tensor([[0.08, 0.4, 1.0], [0.16, 0.4, 1.0], [0.0, 0.0, 0.24]])
    assert (picture.alpha == 1).all()
    torch.testing.assert_close(
        picture.color, expected[:, :, None, None].expand(-1, -1, 8, 8), rtol=0, atol=BYTE, check_stride=False
    )
    four = [Directional((0.0, 0.0, 1.0), level) for level in (0.1, 0.2, 0.3, 0.4)]
    lit = opened(name)([sheet], FLAT, four, (8, 8), background=0.8)
    torch.testing.assert_close(lit.color, torch.full_like(lit.color, 0.8), rtol=0, atol=BYTE)
    dark = opened(name)([sheet], FLAT, [], (8, 8), background=0.5)
    torch.testing.assert_close(dark.color[:, :1], (1 - dark.alpha) * 0.5, rtol=0, atol=BYTE)


def scenes() -> list[Any]:
    tub = mesh_to_voxels(framed(bathtub()), 64, **CUBE)
    sphere = icosphere(3)
    return [framed(chair()), tub, tub.to_mesh(), sphere.replace(vertices=sphere.vertices * 0.475)]


@pytest.mark.parametrize("name", [name for name in RENDERERS if name != "hard"])
@pytest.mark.parametrize("projection", ["orthographic", "perspective"])
def test_all_draw_the_same_picture(opened: Opened, name: str, projection: str) -> None:
    """A chair, a bathtub of voxels by cubes and by marching cubes, and a sphere, against labkit's own renderer."""
    shapes = scenes()
    turns = torch.tensor([30.0, 200.0, 75.0, -40.0])
    camera = Camera.orbit(turns, 35.0, 2.0, projection=projection, half_height=0.7, fov=40.0)
    lights = beam_lights(camera)
    ours = opened("hard")(shapes, camera, lights, (192, 192))
    theirs = opened(name)(shapes, camera, lights, (192, 192))
    for number in range(len(shapes)):
        # Half of a pixel's samples is 127 or 128 of 255.
        left, right = (picture.alpha[number, 0] > 0.49 for picture in (ours, theirs))
        assert float((left & right).sum() / (left | right).sum()) > 0.98
        inside = (ours.alpha[number, 0] == 1) & (theirs.alpha[number, 0] == 1)
        assert inside.sum() > 1000
        a, b = ours.color[number][:, inside], theirs.color[number][:, inside]
        assert float(b.mean()) == pytest.approx(float(a.mean()), rel=0.01)
        assert float((a - b).abs().median()) < 0.5 * BYTE
    assert float((ours.color - theirs.color).abs().mean()) < BYTE


def test_the_comparison_can_fail(opened: Opened) -> None:
    """Three degrees of another view or 5 % more light is more than the renderers differ by."""
    shape = [scenes()[0]]
    camera = Camera.orbit(30.0, 35.0, 2.0, projection="orthographic", half_height=0.7)
    first = opened("hard")(shape, camera, beam_lights(camera), (192, 192))
    moved = Camera.orbit(33.0, 35.0, 2.0, projection="orthographic", half_height=0.7)
    second = opened("hard")(shape, moved, beam_lights(camera, intensity=0.45 * 1.05), (192, 192))
    left, right = first.alpha > 0.49, second.alpha > 0.49
    assert float((left & right).sum() / (left | right).sum()) < 0.98
    inside = ((first.alpha == 1) & (second.alpha == 1)).expand(-1, 3, -1, -1)
    assert float(second.color[inside].mean()) != pytest.approx(float(first.color[inside].mean()), rel=0.01)


@pytest.mark.parametrize("name", RENDERERS)
def test_nothing_to_see_is_the_background(opened: Opened, name: str) -> None:
    """Empty grids and meshes, and shapes behind the camera or before its near plane, give exactly the background."""
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    grid = VoxelGrid(torch.full((4, 4, 4), 0.5), (-0.5, -0.5, -0.5), 0.25)
    behind = SQUARE.replace(vertices=SQUARE.vertices + torch.tensor([0.0, 0.0, 4.0]))
    for camera in (FLAT, DEEP):
        picture = opened(name)([empty, grid, behind, SQUARE], camera, [Ambient()], (9, 11), background=1 / 3)
        assert torch.equal(picture.color[:3], grey(1 / 3, picture.color[:3]))
        assert picture.alpha[:3].abs().sum() == 0
        assert picture.alpha[3].sum() > 0
    assert tuple(opened(name)([], FLAT, [], (4, 6)).color.shape) == (0, 3, 4, 6)


@pytest.mark.parametrize("name", [name for name in RENDERERS if name != "hard"])
def test_the_near_plane_cuts(opened: Opened, name: str) -> None:
    """From inside a sphere, through a near plane that opens it, all see the same."""
    camera = Camera.orbit(10.0, 20.0, 0.7, fov=70.0, near=0.4)
    pictures = [opened(each)([icosphere(2)], camera, beam_lights(camera), (64, 64)) for each in ("hard", name)]
    assert float(pictures[0].alpha.mean()) > 0.2
    assert float((pictures[0].color - pictures[1].color).abs().mean()) < BYTE


@pytest.mark.parametrize("name", RENDERERS)
def test_batch_equals_loop_in_changing_sizes(opened: Opened, name: str) -> None:
    """One context serves pictures of any size and any number of lights, in any order."""
    shapes: list[Any] = [SQUARE, icosphere(1)]
    camera = Camera.orbit(torch.tensor([10.0, 50.0]), 20.0, 3.0)
    lights = beam_lights(camera)
    batch = opened(name)(shapes, camera, lights, (20, 28))
    opened(name)(shapes, camera, [Ambient(0.3)], (33, 7))
    for number in (1, 0):
        one = Camera(camera.rotation[number], camera.translation[number])
        single = opened(name)([shapes[number]], one, beam_lights(one), (20, 28))
        torch.testing.assert_close(single.color[0], batch.color[number], rtol=0, atol=BYTE)
        assert torch.equal(single.alpha[0], batch.alpha[number])


@pytest.mark.parametrize("surface", ["cubes", "marching"])
def test_voxels_become_the_surface_that_was_asked_for(surface: str) -> None:
    """One voxel is a square by cubes and a diamond by marching cubes, of an area known by hand."""
    values = torch.zeros(3, 3, 3)
    values[1, 1, 1] = 0.51
    with open_renderer("hard", surface=surface) as renderer:  # type: ignore[arg-type]
        picture = renderer([VoxelGrid(values, (-1.5, -1.5, -1.5), 1.0)], FLAT, [Ambient()], (100, 100))
    area = 4 * float(picture.alpha.mean())  # the picture shows 2 x 2 units
    assert area == pytest.approx({"cubes": 1.0, "marching": 0.5}[surface], abs=0.02)


@pytest.mark.parametrize(("name", "pictures"), [("pyvista", 100), ("pyrender", 100), ("mitsuba", 30)])
def test_memory_does_not_grow(opened: Opened, name: str, pictures: int) -> None:
    """Many pictures cost the renderer's process nothing that it does not give back: each mesh has 0.37 MB."""
    renderer = opened(name)
    process = renderer._driver.process.pid  # type: ignore[union-attr]

    def megabytes() -> float:
        with open(f"/proc/{process}/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * 4096 / 1e6

    if not sys.platform.startswith("linux"):
        pytest.skip("/proc tells the memory of a process on Linux only")
    shape = icosphere(5)
    for _ in range(10):
        renderer([shape], FLAT, [Ambient()], (32, 32))
    before = megabytes()
    for _ in range(pictures):
        renderer([shape], FLAT, [Ambient()], (32, 32))
    assert renderer._driver.process.pid == process  # type: ignore[union-attr]
    assert megabytes() - before < 0.2 * pictures


class Recorder:
    """A driver that counts what it is told to draw."""

    def __init__(self) -> None:
        self.drawn = 0

    def draw(self, view: View) -> np.ndarray:
        self.drawn += 1
        return np.zeros((*view.size, 4), dtype=np.float32)

    def close(self) -> None:
        pass


NAN = SQUARE.replace(vertices=SQUARE.vertices * torch.nan)
HUGE = SQUARE.replace(vertices=SQUARE.vertices.double() * 1e300)
FAR = SQUARE.replace(vertices=SQUARE.vertices * 1e10)
THREE = torch.tensor([[0.0, 0, 1]] * 3)


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        (DomainError, {"shapes": [SQUARE, NAN]}),
        (DomainError, {"shapes": [SQUARE, HUGE]}),
        (DomainError, {"shapes": [SQUARE, FAR]}),
        (DomainError, {"shapes": [SQUARE, SQUARE.replace(faces=torch.tensor([[0, 1, 9]]))]}),
        (ShapeError, {"shapes": [SQUARE, SQUARE.replace(vertices=SQUARE.vertices[None])]}),
        (ShapeError, {"shapes": [SQUARE, SQUARE.replace(vertices=SQUARE.vertices[:, :2])]}),
        (DTypeError, {"shapes": [SQUARE, "a chair"]}),
        (DTypeError, {"shapes": SQUARE}),
        (DTypeError, {"camera": "from above"}),
        (ShapeError, {"camera": Camera.orbit(torch.tensor([0.0, 1, 2]), 0.0, 3.0)}),
        (DomainError, {"camera": Camera(torch.eye(3) * 2, torch.zeros(3))}),
        (DTypeError, {"lights": [Point((0.0, 0.0, 2.0))]}),
        (DTypeError, {"lights": Ambient()}),
        (DomainError, {"lights": [Directional((0.0, 0.0, 1.0))] * 5}),
        (ShapeError, {"lights": [Directional(THREE)]}),
        (ShapeError, {"lights": [Ambient(THREE)]}),
        (ShapeError, {"lights": [Directional(THREE)], "shapes": [SQUARE]}),
        (DomainError, {"size": (0, 4)}),
        (DomainError, {"size": (4, 8193)}),
        (DTypeError, {"size": (4.0, 4)}),
        (DomainError, {"background": 1.5}),
        (DomainError, {"background": float("nan")}),
    ],
)
def test_bad_input_is_refused_before_anything_is_drawn(error: type[LabError], changed: dict[str, Any]) -> None:
    """Each error has its type, and no picture before the bad one has been sent to the renderer."""
    driver = Recorder()
    arguments = {"shapes": [SQUARE, SQUARE], "camera": FLAT, "lights": [Ambient()], "size": (4, 4), **changed}
    with pytest.raises(error):
        ExternalRenderer(driver, 0.8, "cubes")(**arguments)
    assert driver.drawn == 0


def test_options_and_closing() -> None:
    """Unknown names and impossible values are refused; a closed renderer draws nothing; closing twice is fine."""
    bad: Sequence[dict[str, Any]] = [{"name": "opengl"}, {"surface": "smooth"}, {"albedo": 1.1}, {"albedo": -0.1}]
    for options in bad:
        with pytest.raises(DomainError):
            open_renderer(**options)
    with open_renderer("hard", albedo=0.5) as renderer:
        picture = renderer([SQUARE], FLAT, [Ambient()], (4, 4))
        assert picture.color[0, :, 0, 3].tolist() == [0.5] * 3
    renderer.close()
    with pytest.raises(DomainError, match="closed"):
        renderer([SQUARE], FLAT, [Ambient()], (4, 4))


def test_a_forked_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would share one child with its parent, and each might get the other's pictures."""
    renderer = open_renderer("hard")
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(DomainError, match="forked"):
        renderer([SQUARE], FLAT, [Ambient()], (4, 4))


@pytest.mark.parametrize(
    ("driver", "package"), [(PyvistaDriver, "pyvista"), (PyrenderDriver, "pyrender"), (MitsubaDriver, "mitsuba")]
)
def test_a_missing_package_names_the_cure(
    driver: Callable[[], object], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the error says what to install."""
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendError, match=r"labkit\[renderers\]"):
        driver()


def test_pyrender_in_this_process_needs_its_platform_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's environment is not changed behind its back."""
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    with pytest.raises(BackendError, match="isolated"):
        open_renderer("pyrender", isolated=False)
