"""Pictures of meshes: the same as those of the exact field, with normals, colours and masks of the surface itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from labkit.data.mesh_views import creased, in_unit_sphere, mesh_views
from labkit.data.multiview import psnr
from labkit.data.phong_scene import PhongScene
from labkit.data.phong_views import orbit_views, phong_views
from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.geometry import Mesh, chair, icosphere, load_mesh
from labkit.geometry.sdf import BoxField, SphereField
from labkit.geometry.shapes import box_union
from labkit.scene.camera import Camera
from labkit.scene.rays import Views
from tests.tolerances import FLOAT32, FLOAT64

SCENE = PhongScene()
VIEWS = orbit_views(3, (32, 32), 2.5, 49.0)


def ball(subdivisions: int = 4) -> Mesh:
    """A fine sphere of radius 0.5."""
    mesh = icosphere(subdivisions)
    return mesh.replace(vertices=mesh.vertices / 2)


def box(*half: float) -> Mesh:
    """A welded box around the origin."""
    corner = torch.tensor([half])
    return box_union(-corner, corner)


@pytest.mark.parametrize(
    ("mesh", "field"),
    [(ball(), SphereField(0.5)), (box(0.3, 0.4, 0.2), BoxField((0.3, 0.4, 0.2)))],
    ids=["sphere", "box"],
)
def test_the_same_picture_as_the_exact_field(mesh: Mesh, field: Callable[[Tensor], Tensor]) -> None:
    """One ray through the centre of each pixel, as `phong_views` has; the sphere's facets cost a little."""
    found, truth = mesh_views(mesh, VIEWS, SCENE, samples=1), phong_views(field, SCENE, VIEWS)
    assert (found.masks != truth.masks).float().mean() < 0.002  # pixels whose centre an edge passes
    both = found.masks * truth.masks
    assert psnr(found.images, truth.images, both) > 45


def test_masks_are_shares_of_pixels() -> None:
    """The area of a disc: a sphere at distance d covers radius f R / sqrt(d^2 - R^2) in the middle of the picture."""
    data = mesh_views(ball(), VIEWS, SCENE, samples=8)
    focal = 16 / math.tan(math.radians(24.5))
    area = math.pi * (focal * 0.5) ** 2 / (2.5**2 - 0.5**2)
    assert data.masks.sum((1, 2, 3)).tolist() == pytest.approx([area] * 3, rel=0.005)
    assert ((data.masks > 0) & (data.masks < 1)).any()
    assert torch.equal(data.images.amin(1, keepdim=True) == 1, data.masks == 0)
    one = mesh_views(ball(), VIEWS, SCENE, samples=1).masks
    assert torch.equal(one, one.round())


def test_samples_are_averaged() -> None:
    """A picture of 2 x 2 samples a pixel is the mean of a picture of twice the size."""
    fine = mesh_views(ball(2), orbit_views(1, (32, 32), 2.5, 49.0), SCENE, samples=1)
    coarse = mesh_views(ball(2), orbit_views(1, (16, 16), 2.5, 49.0), SCENE, samples=2)
    for name in ("images", "masks"):
        expected = torch.nn.functional.avg_pool2d(getattr(fine, name), 2)
        torch.testing.assert_close(getattr(coarse, name), expected, **FLOAT32)


def test_a_box_keeps_its_edges() -> None:
    """Every corner's normal is that of its own face, though the faces share their vertices."""
    sharp = creased(box(0.3, 0.4, 0.2))
    assert sharp.normals is not None
    torch.testing.assert_close(sharp.normals[sharp.faces], sharp.face_normals()[:, None].expand(-1, 3, 3), **FLOAT32)


def test_a_fine_sphere_is_smooth() -> None:
    """Normals point away from the centre, whether or not the faces share their vertices."""
    mesh = ball(3)
    apart = Mesh(mesh.vertices[mesh.faces.flatten()], torch.arange(3 * len(mesh.faces)).view(-1, 3))
    for each in (mesh, apart):
        smooth = creased(each)
        assert smooth.normals is not None
        # the facets around a vertex are not quite symmetric: up to a degree
        torch.testing.assert_close(smooth.normals, 2 * smooth.vertices, rtol=0, atol=0.02)
        torch.testing.assert_close(smooth.face_vertices(), each.face_vertices(), **FLOAT32)


def test_the_angle_decides_what_is_an_edge() -> None:
    """Two squares that meet at 40 degrees: flat below that, one mean normal on the common edge above."""
    turn = math.radians(40)
    points = [[-1, 0, 0], [0, 0, 0], [0, 1, 0], [-1, 1, 0], [math.cos(turn), 0, -math.sin(turn)]]
    vertices = torch.tensor([*points, [math.cos(turn), 1, -math.sin(turn)]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]])
    flat, round_ = creased(Mesh(vertices, faces), 39.0), creased(Mesh(vertices, faces), 41.0)
    assert flat.normals is not None
    assert round_.normals is not None
    torch.testing.assert_close(flat.normals, flat.face_normals().repeat_interleave(3, 0), **FLOAT64)
    # at vertex 1: one triangle of the first square (area 1/2), two of the second
    weights = torch.tensor([0.0, 0.0, 1.0]) * 1 + 2 * torch.tensor([math.sin(turn), 0.0, math.cos(turn)])
    expected = (weights / weights.norm()).double()
    torch.testing.assert_close(round_.normals[1], expected, **FLOAT32)


def test_too_many_faces_around_a_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of them must fit into memory."""
    monkeypatch.setattr("labkit.data.mesh_views.MAX_PAIRS", 100)
    with pytest.raises(DomainError, match="pairs of faces"):
        creased(ball(1))


def test_a_face_without_area_is_not_seen() -> None:
    """It changes nothing, and makes no NaN."""
    mesh = ball(2)
    worse = mesh.replace(faces=torch.cat([mesh.faces, torch.tensor([[0, 0, 1], [2, 2, 2]])]))
    found, truth = mesh_views(worse, VIEWS, SCENE), mesh_views(mesh, VIEWS, SCENE)
    torch.testing.assert_close(found.images, truth.images, **FLOAT32)


def test_orientation_does_not_matter() -> None:
    """A mesh turned inside out is lit on the side that is seen."""
    mesh = ball(3)
    inside_out = mesh.replace(faces=mesh.faces.flip(1))
    found, truth = mesh_views(inside_out, VIEWS, SCENE), mesh_views(mesh, VIEWS, SCENE)
    torch.testing.assert_close(found.images, truth.images, **FLOAT32)


def test_colours_and_texture_stand_for_the_diffuse_colour() -> None:
    """A mesh all of one colour, or of a texture of it, looks as the plain one in a scene with that colour."""
    mesh, color = ball(3), (0.9, 0.5, 0.2)
    expected = mesh_views(mesh, VIEWS, PhongScene(diffuse_color=color)).images
    painted = mesh.replace(colors=torch.tensor(color).expand(len(mesh.vertices), 3))
    wrapped = mesh.replace(
        uv=torch.rand(len(mesh.vertices), 2, generator=torch.Generator().manual_seed(0)),
        texture=torch.tensor(color)[:, None, None].expand(3, 4, 4),
    )
    for each in (painted, wrapped):
        torch.testing.assert_close(mesh_views(each, VIEWS, SCENE).images, expected, **FLOAT32)


def test_a_texture_is_where_its_uv_is() -> None:
    """Left half red, right half blue, seen from the front."""
    corners = torch.tensor([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
    texture = torch.zeros(3, 2, 8)
    texture[0, :, :4], texture[2, :, 4:] = 1, 1
    square = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), uv=corners[:, :2] + 0.5, texture=texture)
    ahead = Views.of(Camera.look_at((0.0, 0.0, 2.0), fov=49.0), (16, 16))
    image = mesh_views(square, ahead, PhongScene(kd=1.0, ks=0.0, ambient=1.0, light=(0.0, 0.0, 5.0))).images[0]
    assert image[:, 8, 6].tolist() == pytest.approx([1, 0, 0], abs=1e-5)
    assert image[:, 8, 10].tolist() == pytest.approx([0, 0, 1], abs=1e-5)


def test_float64_views_give_float64_pictures() -> None:
    """The mesh is converted."""
    data = mesh_views(ball(1), orbit_views(1, (8, 8), 2.5, 49.0).to(torch.float64), SCENE, samples=2)
    assert data.images.dtype == torch.float64
    single = mesh_views(ball(1), orbit_views(1, (8, 8), 2.5, 49.0), SCENE, samples=2)
    torch.testing.assert_close(data.images.float(), single.images, rtol=0, atol=1e-4)


def test_in_unit_sphere() -> None:
    """The farthest point is at the radius, the middle of the box at the origin, the shape unchanged."""
    mesh = chair()
    moved = in_unit_sphere(mesh.replace(vertices=7 * mesh.vertices + 3), 0.8)
    low, high = moved.vertices.amin(0), moved.vertices.amax(0)
    torch.testing.assert_close(moved.vertices.norm(dim=-1).max().item(), 0.8, **FLOAT32)
    torch.testing.assert_close(low, -high, **FLOAT32)
    span = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    torch.testing.assert_close((high - low) / (high - low)[0], span / span[0], **FLOAT32)
    with pytest.raises(DomainError, match="radius"):
        in_unit_sphere(mesh, 0.0)


def test_what_is_refused() -> None:
    """Each argument that does not fit is named."""
    mesh = ball(0)
    off = Views.of(Camera.look_at((0.0, 0.0, 2.5)), (8, 8))
    shifted = Views(
        off.intrinsics + torch.tensor([[0, 0, 2.0], [0, 0, 0], [0, 0, 0]]), off.rotation, off.translation, (8, 8)
    )
    away = Views.of(Camera.look_at((0.0, 0.0, 2.5), target=(0.0, 0.0, 5.0)), (8, 8))
    cases: list[tuple[Mesh, Views, object, type[LabError], str]] = [
        (mesh, VIEWS, 0, DomainError, "samples"),
        (mesh, VIEWS, 17, DomainError, "samples"),
        (mesh, VIEWS, 2.0, DTypeError, "samples"),
        (mesh.replace(vertices=mesh.vertices[None]), VIEWS, 1, ShapeError, "batch"),
        (mesh.replace(faces=mesh.faces + 100), VIEWS, 1, DomainError, "faces"),
        (mesh, shifted, 1, DomainError, "K"),
        (mesh, away, 1, DomainError, "no pixel"),
    ]
    for given, views, samples, error, text in cases:
        with pytest.raises(error, match=text):
            mesh_views(given, views, SCENE, samples)  # type: ignore[arg-type]


def test_a_real_textured_mesh(shared_mesh: Callable[[str], Path]) -> None:
    """Spot's patches are seen, and all of it lies in the picture."""
    mesh = in_unit_sphere(load_mesh(shared_mesh("spot_triangulated.obj")))
    data = mesh_views(mesh, VIEWS, SCENE, samples=2)
    assert 0.1 < data.masks.mean() < 0.4
    assert data.masks[:, :, [0, -1]].sum() + data.masks[:, :, :, [0, -1]].sum() == 0
    brown = (data.images[:, 0] > data.images[:, 2] + 0.05) & (data.masks[:, 0] == 1)
    assert brown.any()
