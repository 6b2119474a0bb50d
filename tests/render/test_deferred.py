"""Shading per pixel: rays as an independent oracle, textures, backgrounds, gradients to every attribute, errors."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import FLOAT64, KERNEL_IMAGE_ATOL
from torch import Tensor

from labkit.errors import DomainError, LabError, ShapeError
from labkit.geometry import Mesh, icosphere
from labkit.render import AlgoNet, Hard, Rasterizer, render
from labkit.render.raster.dibr import DIBR
from labkit.render.raster.gendr import GenDR
from labkit.render.raster.n3mr import N3MR
from labkit.render.raster.softras import SoftRas
from labkit.scene import Ambient, Camera, Directional, Lambert, Phong, Point, SphericalHarmonics, sample_texture

D = torch.float64
WHITE = [Ambient(1.0)]  # shows the albedo as it is
OWNERS = [Hard(), DIBR(1e-2), SoftRas(1e-2, color="hard")]
SIZE = (9, 11)


def name(rasterizer: Rasterizer) -> str:
    return type(rasterizer).__name__


def tent(generator: torch.Generator) -> Mesh:
    """Three faces at a slant, with colours, uv beyond [0, 1], normals and a texture at random, in float64."""
    corners = [[-1.0, -0.9, 0.3], [1.1, -0.8, 0.1], [0.9, 1.0, -0.4], [-0.8, 0.9, 0.2], [0.1, 0.0, 0.9]]
    vertices, faces = torch.tensor(corners, dtype=D), torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4]])
    colors, uv = torch.rand(5, 3, dtype=D, generator=generator), torch.rand(5, 2, dtype=D, generator=generator)
    normals = torch.tensor([0.0, 0.0, 1.0], dtype=D) + 0.6 * torch.randn(5, 3, dtype=D, generator=generator)
    texture = torch.rand(3, 4, 5, dtype=D, generator=generator)
    return Mesh(vertices, faces, 2 * uv - 0.5, colors, normals, texture)


def seen_by_rays(camera: Camera, size: tuple[int, int], mesh: Mesh) -> list[list[tuple[Tensor, Tensor] | None]]:
    """For each row and column, the corners (3,) of the nearest face on the ray and its weights (3,), or None."""
    height, width = size
    rows = []
    for row in range(height):
        rows.append([])
        for column in range(width):
            x, y = (2 * column + 1 - width) / min(size), (height - 1 - 2 * row) / min(size)
            if camera.projection == "perspective":
                slope = math.tan(math.radians(float(camera.fov)) / 2)
                start, toward = torch.zeros(3, dtype=D), torch.tensor([x * slope, y * slope, -1.0], dtype=D)
            else:
                start = torch.tensor([x, y, 0.0], dtype=D) * float(camera.half_height)
                toward = torch.tensor([0.0, 0.0, -1.0], dtype=D)
            start, toward = camera.rotation.mT @ (start - camera.translation), camera.rotation.mT @ toward
            hits = []
            for corners in mesh.faces:
                a, b, c = mesh.vertices[corners]
                distance, v, w = torch.linalg.solve(torch.stack((-toward, b - a, c - a), 1), start - a)
                if min(v, w, 1 - v - w) >= 0:
                    hits.append((float(distance), corners, torch.stack((1 - v - w, v, w))))
            rows[-1].append(min(hits, key=lambda hit: hit[0])[1:] if hits else None)
    return rows


@pytest.mark.parametrize("textured", [False, True])
@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@pytest.mark.parametrize("rasterizer", OWNERS, ids=name)
def test_every_pixel_against_its_ray(
    rasterizer: Rasterizer, projection: str, textured: bool, generator: torch.Generator
) -> None:
    """Position, normal and albedo where the ray hits, and Phong's formula written out."""
    mesh = tent(generator)
    mesh = mesh.replace(colors=None) if textured else mesh
    eye = torch.tensor([0.6, 0.4, 1.9], dtype=D)
    camera = Camera.look_at(eye, projection=projection, half_height=1.2)
    sun, lamp = torch.tensor([0.36, 0.48, 0.8], dtype=D), torch.tensor([0.5, 1.0, 2.0], dtype=D)
    lights, background = [Ambient(0.1), Directional(sun, 0.6), Point(lamp, 2.0)], torch.rand(3, dtype=D)
    made = render(
        mesh, camera, SIZE, rasterizer, Phong(0.4, 5.0), lights, background, "phong", layers=True, wrap="clamp"
    )
    covered = 0
    for row, hits in enumerate(seen_by_rays(camera, SIZE, mesh)):
        for column, hit in enumerate(hits):
            if hit is None:
                torch.testing.assert_close(made.color[0, :, row, column], background, **FLOAT64)
                continue
            covered += 1
            corners, weights = hit
            point, normal = weights @ mesh.vertices[corners], weights @ mesh.normals[corners]
            torch.testing.assert_close(made.normal[0, :, row, column], normal, **FLOAT64)
            n, back = normal / normal.norm(), camera.rotation[2]
            v = (eye - point) / (eye - point).norm() if projection == "perspective" else back
            albedo = sample_texture(mesh.texture, weights @ mesh.uv[corners], "clamp")
            albedo = albedo if textured else weights @ mesh.colors[corners]
            color = 0.1 * albedo
            toward = (lamp - point) / (lamp - point).norm()
            for light, strength in ((sun, 0.6), (toward, 2.0 / float((lamp - point).square().sum() + 1e-6))):
                cosine = float(n @ light)
                mirrored = 2 * cosine * n - light
                highlight = 0.4 * max(float(mirrored @ v), 0.0) ** 5 if cosine > 0 else 0.0
                color = color + strength * (albedo * max(cosine, 0.0) + highlight)
            # An orthographic eye stands 1e4 units back, so its rays are parallel to 1e-4.
            close = FLOAT64 if projection == "perspective" else {"rtol": 1e-3, "atol": 1e-3}
            torch.testing.assert_close(made.color[0, :, row, column], color, **close)
    assert 30 < covered < 90


def square(**fields: Tensor) -> Mesh:
    """A square of side 2 at z = 0 that faces +z, uv from corner to corner."""
    corners = [[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]
    uv = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=D)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return Mesh(torch.tensor(corners, dtype=D), faces, **{"uv": uv, **fields})


@pytest.mark.parametrize("wrap", ["repeat", "clamp"])
@pytest.mark.parametrize("rasterizer", OWNERS, ids=name)
def test_a_picture_of_a_texture_is_the_texture(rasterizer: Rasterizer, wrap: str, generator: torch.Generator) -> None:
    texture = torch.rand(3, 6, 6, dtype=D, generator=generator)
    camera = Camera.look_at(torch.tensor([0.0, 0.0, 2.0], dtype=D), projection="orthographic")
    made = render(square(texture=texture), camera, (6, 6), rasterizer, None, WHITE, shading="phong", wrap=wrap)
    torch.testing.assert_close(made.color[0], texture, **FLOAT64)
    tiled = square(texture=texture).replace(uv=3 * square().uv - 1)  # pixels meet every third texel, or its border
    repeated = render(tiled, camera, (6, 6), rasterizer, None, WHITE, shading="phong", wrap=wrap).color[0]
    index = [1, 4, 1, 4, 1, 4] if wrap == "repeat" else [0, 0, 1, 4, 5, 5]
    torch.testing.assert_close(repeated, texture[:, index][:, :, index], **FLOAT64)


@pytest.mark.parametrize("rasterizer", OWNERS, ids=name)
def test_colours_in_ambient_light_are_gourauds(rasterizer: Rasterizer, generator: torch.Generator) -> None:
    """Where light does not depend on the normal, shading after the interpolation is shading before it."""
    image = torch.rand(1, 3, *SIZE, dtype=D, generator=generator)
    settings = (tent(generator), Camera.orbit(20.0, 10.0, 3.0), SIZE, rasterizer, Lambert(), WHITE, image)
    pixels, corners = (render(*settings, shading, layers=True) for shading in ("phong", "gouraud"))
    for field in ("color", "alpha", "normal", "depth"):
        torch.testing.assert_close(getattr(pixels, field), getattr(corners, field), **FLOAT64)
    lit = [render(*settings[:5], None, image, shading).color for shading in ("phong", "gouraud")]
    assert float((lit[0] - lit[1]).abs().max()) > 0.01


def test_the_background_counts_by_its_share() -> None:
    """DIB-R's silhouette is soft outside the faces, where its colours are the background's alone."""
    background = torch.tensor([0.2, 0.4, 0.6], dtype=D)
    mesh = icosphere(1).to(dtype=D)
    made = render(mesh, Camera.orbit(0.0, 0.0, 3.0), SIZE, DIBR(1e-2), None, WHITE, background, "phong")
    inside = made.alpha == 1
    behind = background[:, None, None].expand(3, *SIZE)
    expected = torch.where(inside[0], torch.full_like(behind, 0.8), behind)
    torch.testing.assert_close(made.color[0], expected, **FLOAT64)
    assert bool(((made.alpha > 0.1) & ~inside).any())


def test_a_batch_is_its_pictures(generator: torch.Generator) -> None:
    mesh = tent(generator).replace(colors=None)
    moved = mesh.replace(vertices=torch.stack([mesh.vertices, 0.8 * mesh.vertices]))
    azimuth, sky = torch.tensor([10.0, -20.0], dtype=D), torch.randn(2, 9, 3, dtype=D, generator=generator)
    lights = [SphericalHarmonics(sky), Point(torch.tensor([[0.0, 1.0, 3.0], [1.0, 1.0, 2.0]], dtype=D))]
    together = render(moved, Camera.orbit(azimuth, 5.0, 3.0), SIZE, Hard(), Phong(), lights, shading="phong")
    for row in range(2):
        alone = [SphericalHarmonics(sky[row]), Point(lights[1].position[row])]
        body = mesh.replace(vertices=moved.vertices[row])
        made = render(body, Camera.orbit(azimuth[row], 5.0, 3.0), SIZE, Hard(), Phong(), alone, shading="phong")
        torch.testing.assert_close(together.color[row : row + 1], made.color, **FLOAT64)


def test_kernel_against_reference(generator: torch.Generator) -> None:
    pytest.importorskip("numba")
    mesh, camera = tent(generator).replace(colors=None), Camera.orbit(10.0, 5.0, 3.0)
    for rasterizer in OWNERS:
        settings = (camera, (32, 32), rasterizer, Phong(), None, torch.ones(3), "phong")
        exact = render(mesh, *settings, backend="reference")
        fast = render(mesh.to(dtype=torch.float32), *settings, backend="kernel")
        # The slope of this texture, about 5 a unit of uv, and of the highlight multiply float32's rounding.
        torch.testing.assert_close(fast.color.double(), exact.color, atol=10 * KERNEL_IMAGE_ATOL, rtol=0)


def test_nothing_to_see_and_faces_at_the_eye(generator: torch.Generator) -> None:
    """No face, none in the picture, or one that passes by the eye: values and gradients are finite."""
    background = torch.tensor([0.2, 0.4, 0.6])
    at_origin = Camera.look_at((0.0, 0.0, 0.0), (0.0, 0.0, -1.0))
    mesh = tent(generator).replace(colors=None).to(dtype=torch.float32)
    below = mesh.replace(vertices=mesh.vertices + torch.tensor([0.0, -50.0, -2.0]))
    for empty in (below, mesh.replace(faces=mesh.faces[:0])):
        made = render(empty, at_origin, SIZE, Hard(), background=background, shading="phong")
        assert torch.equal(made.color[0], background[:, None, None].expand(3, *SIZE))
    lights = [Ambient(0.2), Point((0.0, 0.0, 0.0)), SphericalHarmonics(torch.ones(9))]  # a lamp at the eye
    for shift in ([0.0, 0.8, -0.6], [0.0, 0.0, -2.0]):  # across the near plane; amid the picture
        points = (mesh.vertices + torch.tensor(shift)).requires_grad_()
        for rasterizer in OWNERS:
            made = render(mesh.replace(vertices=points), at_origin, SIZE, rasterizer, Phong(), lights, shading="phong")
            assert made.color.isfinite().all()
            assert made.color.amax() > 0
            (slope,) = torch.autograd.grad(made.color.sum() + made.alpha.sum(), points)
            assert slope.isfinite().all()


VALUES: dict[str, list[float]] = {
    "azimuth": [12.0],
    "elevation": [8.0],
    "distance": [2.1],
    "fov": [55.0],
    "direction": [0.4, 0.5, 0.8],
    "brightness": [0.7, 0.6, 0.5],
    "lamp": [0.5, 1.0, 2.0],
    "specular": [0.4],
    "shininess": [4.0],
    "background": [0.3, 0.5, 0.2],
}


def attributes(generator: torch.Generator) -> tuple[Mesh, dict[str, Tensor]]:
    """The tent, and everything in its picture that can be optimized."""
    mesh = tent(generator)
    tensors = {key: torch.tensor(value, dtype=D).squeeze() for key, value in VALUES.items()}
    tensors |= {key: getattr(mesh, key) for key in ("vertices", "colors", "normals", "uv", "texture")}
    return mesh, {**tensors, "harmonics": 0.3 * torch.randn(9, 3, dtype=D, generator=generator)}


def photographs(mesh: Mesh, rasterizer: Rasterizer, p: dict[str, Tensor], size: tuple[int, int] = (4, 5)) -> Tensor:
    """The sum (1, 4, H, W) of four pictures with alpha: by colours and by texture, with given and with own normals."""
    camera = Camera.orbit(p["azimuth"], p["elevation"], p["distance"], fov=p["fov"])
    sky = SphericalHarmonics(p["harmonics"])
    lights = [sky, Directional(p["direction"], p["brightness"]), Point(p["lamp"], 2.0)]
    images = []
    for albedo in ({"colors": p["colors"]}, {"uv": p["uv"], "texture": p["texture"]}):
        for normals in (p["normals"], None):
            body = Mesh(p["vertices"], mesh.faces, normals=normals, **albedo)
            material = Phong(p["specular"], p["shininess"])
            made = render(body, camera, size, rasterizer, material, lights, p["background"], "phong")
            images.append(torch.cat((made.color, made.alpha), 1))
    return torch.stack(images).sum(0)


@pytest.mark.parametrize("attribute", [*VALUES, "vertices", "colors", "normals", "uv", "texture", "harmonics"])
def test_gradients_reach_every_attribute(attribute: str, generator: torch.Generator) -> None:
    """DIB-R's claim, one attribute at a time: the gradient is not zero, and it is that of finite differences."""
    mesh, p = attributes(generator)

    def picture(value: Tensor) -> Tensor:
        return photographs(mesh, DIBR(1e-2), {**p, attribute: value})

    value = p[attribute].clone().requires_grad_()
    image = picture(value)
    covered = photographs(mesh, Hard(), p)[:, 3] / 4
    assert 0.3 < float(covered.mean()) < 1
    (slope,) = torch.autograd.grad(image.square().sum(), value)
    assert float(slope.abs().max()) > 1e-3
    assert torch.autograd.gradcheck(picture, (value,), fast_mode=False)


def test_second_derivatives(generator: torch.Generator) -> None:
    mesh, p = attributes(generator)
    names = ("vertices", "uv", "direction", "shininess", "azimuth")

    def picture(*values: Tensor) -> Tensor:
        return photographs(mesh, Hard(), {**p, **dict(zip(names, values, strict=True))}, (2, 2)).sum((2, 3))

    values = [p[key].clone().requires_grad_() for key in names]
    assert torch.autograd.gradgradcheck(picture, values)


SOFT = [AlgoNet(), SoftRas(), GenDR(), N3MR()]


@pytest.mark.parametrize("rasterizer", [None, *SOFT], ids=name)
def test_soft_rasterizers_say_why_not(rasterizer: Rasterizer | None) -> None:
    with pytest.raises(DomainError, match=r"shading: got 'phong' with .*, expected .* whose pixels each show one face"):
        render(square(), Camera.orbit(0.0, 0.0, 3.0), SIZE, rasterizer, shading="phong")


def test_who_owns_pixels() -> None:
    assert [r.deferrable for r in OWNERS] == [True] * 3
    assert [r.deferrable for r in SOFT] == [False] * 4


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"uv": None, "texture": torch.zeros(3, 2, 2, dtype=D)}, DomainError, "texture: got a texture without uv"),
        ({"texture": torch.full((3, 2, 2), math.nan, dtype=D)}, DomainError, "texture: got nan"),
        ({"texture": torch.zeros(3, 0, 2, dtype=D)}, ShapeError, "texture: got .*, expected at least one pixel"),
        ({"texture": torch.zeros(1, 2, 2, dtype=D)}, ShapeError, "texture"),
        ({"texture": torch.full((3, 2, 2), 1.5, dtype=D)}, DomainError, "texture"),
        ({"uv": torch.full((4, 2), math.inf, dtype=D)}, DomainError, "uv"),
    ],
)
@pytest.mark.parametrize("shading", ["flat", "gouraud", "phong"])
def test_bad_textures_are_refused(fields: dict[str, Tensor], error: type[LabError], message: str, shading: str) -> None:
    with pytest.raises(error, match=message):
        render(square(**fields), Camera.orbit(0.0, 0.0, 3.0), SIZE, Hard(), shading=shading)


def test_bad_wraps_and_lights_are_refused() -> None:
    mesh, camera = square(texture=torch.zeros(3, 2, 2, dtype=D)), Camera.orbit(torch.zeros(2), 0.0, 3.0)
    for shading in ("flat", "gouraud", "phong"):
        with pytest.raises(DomainError, match="wrap"):
            render(mesh, camera, SIZE, Hard(), shading=shading, wrap="mirror")
        with pytest.raises(ShapeError, match="coefficients"):  # three environments for two cameras
            render(mesh, camera, SIZE, Hard(), lights=[SphericalHarmonics(torch.zeros(3, 9))], shading=shading)
