"""Mesh: validation, welding, normalization, normals, edges, Laplacian."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32, FLOAT64

from labkit.errors import DeviceError, DomainError, DTypeError, ShapeError
from labkit.geometry import Mesh, icosphere, load_mesh, torus

CORNERS = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
SIDES = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


def tetrahedron(dtype: torch.dtype = torch.float64) -> Mesh:
    return Mesh(torch.tensor(CORNERS, dtype=dtype), torch.tensor(SIDES))


def soup(mesh: Mesh) -> Mesh:
    """Every face with three vertices of its own."""
    return Mesh(mesh.face_vertices().flatten(-3, -2), torch.arange(mesh.faces.numel()).view(-1, 3))


def test_validate_returns_the_mesh() -> None:
    full = torus(segments=5, sides=4)
    full = full.replace(colors=full.vertices.abs() / 2, normals=full.vertices, texture=torch.rand(3, 2, 5))
    assert full.validate() is full
    batch = tetrahedron().replace(vertices=torch.zeros(7, 4, 3))
    assert batch.validate() is batch


@pytest.mark.parametrize("shape", [(0, 3), (4, 3), (2, 0, 3), (0, 4, 3)])
def test_zero_vertices_and_zero_faces_are_sound(shape: tuple[int, ...]) -> None:
    mesh = Mesh(torch.zeros(shape), torch.zeros(0, 3, dtype=torch.int64)).validate()
    assert mesh.weld(0.1).normalized().validate().edges().shape == (0, 2)
    assert mesh.face_vertices().shape == (*shape[:-2], 0, 3, 3)
    assert mesh.face_normals().shape == (*shape[:-2], 0, 3)
    assert mesh.vertex_normals().shape == shape
    assert not mesh.vertex_normals().any()
    assert mesh.laplacian().to_dense().abs().sum() == 0


def _with(name: str, index: tuple[int, ...], number: float) -> Mesh:
    mesh = torus(segments=3, sides=3)
    mesh = mesh.replace(colors=torch.zeros(16, 3), normals=torch.zeros(16, 3), texture=torch.zeros(3, 4, 4))
    value = getattr(mesh, name).clone()
    value[index] = number
    return mesh.replace(**{name: value})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "index"),
    [("vertices", (7, 2)), ("uv", (5, 1)), ("colors", (3, 0)), ("normals", (9, 2)), ("texture", (2, 1, 3))],
)
def test_the_first_bad_number_is_named(name: str, index: tuple[int, ...], number: float) -> None:
    with pytest.raises(DomainError) as caught:
        _with(name, index, number).validate()
    assert caught.value.argument == name
    assert str(index) in caught.value.got


@pytest.mark.parametrize("index", [-1, 16, 2**40])
def test_the_first_face_that_points_outside_is_named(index: int) -> None:
    mesh = torus(segments=3, sides=3)
    faces = mesh.faces.clone()
    faces[11, 1] = faces[15, 0] = index
    with pytest.raises(DomainError, match=r"face 11 = .*indices in \[0, 16\)") as caught:
        mesh.replace(faces=faces).validate()
    assert str(index) in caught.value.got


def test_faces_without_vertices_are_refused() -> None:
    with pytest.raises(DomainError, match="face 0"):
        Mesh(torch.zeros(0, 3), torch.zeros(1, 3, dtype=torch.int64)).validate()


@pytest.mark.parametrize(
    ("fields", "error", "name"),
    [
        ({"vertices": torch.zeros(4, 2)}, ShapeError, "vertices"),
        ({"vertices": torch.zeros(1, 2, 4, 3)}, ShapeError, "vertices"),
        ({"vertices": torch.zeros(4, 3, dtype=torch.int64)}, DTypeError, "vertices"),
        ({"vertices": torch.zeros(4, 3, dtype=torch.float16)}, DTypeError, "vertices"),
        ({"vertices": CORNERS}, DTypeError, "vertices"),
        ({"faces": torch.zeros(4, 4, dtype=torch.int64)}, ShapeError, "faces"),
        ({"faces": torch.zeros(3, dtype=torch.int64)}, ShapeError, "faces"),
        ({"faces": torch.zeros(4, 3, dtype=torch.int32)}, DTypeError, "faces"),
        ({"faces": torch.zeros(4, 3)}, DTypeError, "faces"),
        ({"uv": torch.zeros(3, 2)}, ShapeError, "uv"),
        ({"uv": torch.zeros(4, 3)}, ShapeError, "uv"),
        ({"colors": torch.zeros(5, 3)}, ShapeError, "colors"),
        ({"colors": torch.zeros(4, 3, dtype=torch.float32)}, DTypeError, "colors"),
        ({"colors": torch.full((4, 3), 255.0, dtype=torch.float64)}, DomainError, "colors"),
        ({"colors": torch.full((4, 3), -0.1, dtype=torch.float64)}, DomainError, "colors"),
        ({"normals": torch.zeros(4, 4)}, ShapeError, "normals"),
        ({"uv": torch.zeros(4, 2).double(), "texture": torch.zeros(4, 4, 3).double()}, ShapeError, "texture"),
        ({"uv": torch.zeros(4, 2).double(), "texture": torch.zeros(3, 0, 4).double()}, ShapeError, "texture"),
        ({"uv": torch.zeros(4, 2).double(), "texture": torch.full((3, 2, 2), 2.0).double()}, DomainError, "texture"),
        ({"texture": torch.zeros(3, 2, 2).double()}, DomainError, "texture"),
    ],
)
def test_unsound_fields_are_refused(fields: dict[str, object], error: type[Exception], name: str) -> None:
    with pytest.raises(error) as caught:
        tetrahedron().replace(**fields).validate()
    assert caught.value.argument == name  # type: ignore[attr-defined]


def test_fields_on_two_devices_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"meta.*expected cpu"):
        tetrahedron().replace(faces=torch.zeros(4, 3, dtype=torch.int64, device="meta")).validate()


def test_to_moves_every_field_and_keeps_faces_whole() -> None:
    mesh = torus(segments=3, sides=3).to(dtype=torch.float64)
    assert mesh.vertices.dtype == torch.float64
    assert mesh.uv is not None
    assert mesh.uv.dtype == torch.float64
    assert mesh.faces.dtype == torch.int64
    assert mesh.colors is None
    assert mesh.to("meta").faces.device.type == "meta"
    assert mesh.to("cpu").vertices.dtype == torch.float64


def test_face_vertices_are_the_corners() -> None:
    mesh = tetrahedron()
    expected = [[CORNERS[i] for i in face] for face in SIDES]
    assert mesh.face_vertices().tolist() == expected
    both = mesh.replace(vertices=torch.stack([mesh.vertices, 2 * mesh.vertices]))
    assert torch.equal(both.face_vertices()[1], 2 * mesh.face_vertices())


def test_normals_of_a_tetrahedron_by_hand() -> None:
    mesh = tetrahedron()
    third = 1 / math.sqrt(3)
    faces = torch.tensor([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0], [third, third, third]], dtype=torch.float64)
    torch.testing.assert_close(mesh.face_normals(), faces, **FLOAT64)
    # Twice the areas are 1, 1, 1 and sqrt(3), so vertex 1 gets (0,0,-1) + (0,-1,0) + (1,1,1) = (1,0,0).
    vertices = torch.tensor([[-third] * 3, [1.0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(mesh.vertex_normals(), vertices, **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_agree_with_trimesh(dtype: torch.dtype) -> None:
    mesh = torus(segments=12, sides=9, dtype=dtype).weld()
    other = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    tolerance = FLOAT32 if dtype == torch.float32 else FLOAT64
    torch.testing.assert_close(mesh.face_normals().double(), torch.tensor(other.face_normals), **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_normals_do_not_depend_on_the_unit_of_length(dtype: torch.dtype, scale: float) -> None:
    mesh = icosphere(2, dtype=dtype)
    scaled = mesh.replace(vertices=mesh.vertices * scale)
    torch.testing.assert_close(scaled.face_normals(), mesh.face_normals(), **FLOAT32)
    torch.testing.assert_close(scaled.vertex_normals(), mesh.vertex_normals(), **FLOAT32)
    assert (mesh.vertex_normals() * mesh.vertices).sum(-1).min() > 0.999
    torch.testing.assert_close(scaled.vertex_normals().norm(dim=-1), torch.ones(162, dtype=dtype), **FLOAT32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("face", [[0, 0, 0], [0, 1, 1], [0, 1, 4], [1, 5, 2]])
def test_faces_without_area_have_zero_normals_and_finite_gradients(dtype: torch.dtype, face: list[int]) -> None:
    corners = torch.tensor([*CORNERS, [2.0, 0, 0], [1, 0, 0]], dtype=dtype, requires_grad=True)
    mesh = Mesh(corners, torch.tensor([face, [0, 1, 2]]))
    normals = mesh.face_normals()
    assert normals.tolist() == [[0, 0, 0], [0, 0, 1]]
    assert mesh.vertex_normals().isfinite().all()
    weight = torch.arange(1, 7, dtype=dtype).view(2, 3)
    for value in ((normals * weight).sum(), (mesh.vertex_normals() * torch.arange(3)).sum()):
        (gradient,) = torch.autograd.grad(value, corners)
        assert gradient.isfinite().all()


def test_normals_pass_gradcheck(generator: torch.Generator) -> None:
    corners = (tetrahedron().vertices + 0.1 * torch.rand(2, 4, 3, generator=generator)).requires_grad_()
    faces = tetrahedron().faces
    for method in (Mesh.face_normals, Mesh.vertex_normals, Mesh.face_vertices):
        assert torch.autograd.gradcheck(lambda v, f=method: f(Mesh(v, faces)), (corners,))
    assert torch.autograd.gradgradcheck(lambda v: Mesh(v, faces).vertex_normals(), (corners,))


def test_edges_are_unique_sorted_and_never_loops() -> None:
    assert tetrahedron().edges().tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    loop = Mesh(torch.zeros(9, 3), torch.tensor([[5, 5, 2], [8, 2, 5]]))
    assert loop.edges().tolist() == [[2, 5], [2, 8], [5, 8]]


@pytest.mark.parametrize("subdivisions", [0, 2])
def test_euler_counts_the_edges_of_a_sphere(subdivisions: int) -> None:
    mesh = icosphere(subdivisions)
    assert len(mesh.vertices) - len(mesh.edges()) + len(mesh.faces) == 2


def test_laplacian_rows_sum_to_zero_and_subtract_the_neighbours_mean() -> None:
    strip = Mesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [9, 9, 9]]), torch.tensor([[0, 1, 2], [1, 3, 2]])
    )
    matrix = strip.laplacian().to_dense()
    half, third = 1 / 2, 1 / 3
    expected = torch.tensor(
        [
            [1, -half, -half, 0, 0],
            [-third, 1, -third, -third, 0],
            [-third, -third, 1, -third, 0],
            [0, -half, -half, 1, 0],
            [0, 0, 0, 0, 0],  # no neighbours
        ]
    )
    torch.testing.assert_close(matrix, expected, **FLOAT32)
    torch.testing.assert_close(
        torus().laplacian() @ torch.ones(len(torus().vertices), 1), torch.zeros(1225, 1), **FLOAT32
    )


def test_weld_joins_what_coincides_and_changes_no_triangle() -> None:
    mesh = icosphere(2)
    welded = soup(mesh).weld()
    assert len(welded.vertices) == 162
    assert torch.equal(welded.face_vertices(), mesh.face_vertices())
    again = welded.weld()
    assert torch.equal(again.vertices, welded.vertices)
    assert torch.equal(again.faces, welded.faces)


def test_weld_takes_both_zeros_for_one_place() -> None:
    assert (
        len(Mesh(torch.tensor([[0.0, 1, 2], [-0.0, 1, 2]]), torch.zeros(0, 3, dtype=torch.int64)).weld().vertices) == 1
    )


def test_weld_keeps_attributes_that_agree() -> None:
    mesh = tetrahedron()
    mesh = mesh.replace(
        vertices=mesh.vertices.repeat(2, 1),
        faces=torch.cat([mesh.faces[:2], mesh.faces[2:] + 4]),
        uv=mesh.vertices[:, :2].repeat(2, 1),
        normals=mesh.vertices.repeat(2, 1),
        colors=torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).repeat(2, 1),
        texture=torch.zeros(3, 2, 2, dtype=torch.float64),
    )
    welded = mesh.weld().validate()
    assert torch.equal(welded.faces, tetrahedron().faces)
    for name in ("vertices", "uv", "normals", "colors"):
        assert torch.equal(getattr(welded, name), getattr(mesh, name)[:4])
    assert welded.texture is mesh.texture


def test_weld_drops_uv_and_normals_that_differ_and_averages_colours() -> None:
    two = Mesh(
        torch.ones(3, 3),
        torch.tensor([[0, 1, 2]]),
        uv=torch.tensor([[0.0, 0], [1, 0], [0, 0]]),
        normals=torch.eye(3),
        colors=torch.tensor([[0.0, 0.3, 0], [0.6, 0.3, 0], [0.6, 0.3, 0.9]]),
        texture=torch.zeros(3, 2, 2),
    )
    welded = two.weld().validate()
    assert welded.uv is None
    assert welded.texture is None
    assert welded.normals is None
    torch.testing.assert_close(welded.colors, torch.tensor([[0.4, 0.3, 0.3]]), **FLOAT32)
    assert welded.faces.tolist() == [[0, 0, 0]]  # kept, though degenerate


def test_weld_with_a_tolerance_merges_within_the_pitch() -> None:
    line = torch.tensor([[0.0, 0, 0], [0.04, 0, 0], [0.2, 0, 0], [0.21, 0, 0], [-0.04, 0, 0]])
    mesh = Mesh(line, torch.tensor([[0, 2, 3], [1, 3, 4]]))
    welded = mesh.weld(0.1)
    assert torch.equal(welded.vertices, line[[0, 2]])
    assert welded.faces.tolist() == [[0, 1, 1], [0, 1, 0]]
    assert len(mesh.weld().vertices) == 5


def test_weld_of_a_batch_needs_coincidence_in_every_mesh() -> None:
    first = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]])
    second = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [2, 0, 0]])
    welded = Mesh(torch.stack([first, second]), torch.tensor([[1, 2, 3]])).weld()
    assert welded.vertices.shape == (2, 3, 3)
    assert welded.faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("tolerance", [-1e-9, math.nan, math.inf])
def test_weld_refuses_a_bad_tolerance(tolerance: float) -> None:
    with pytest.raises(DomainError, match="tolerance"):
        tetrahedron().weld(tolerance)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(1e-6, 1e6), st.sampled_from([torch.float32, torch.float64]))
def test_normalized_fits_the_unit_sphere_around_the_origin(seed: int, scale: float, dtype: torch.dtype) -> None:
    cloud = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    vertices = Mesh(cloud * scale + scale, torch.zeros(0, 3, dtype=torch.int64)).normalized().vertices
    torch.testing.assert_close(vertices.norm(dim=-1).amax(-1), torch.ones(2, dtype=dtype), **FLOAT32)
    torch.testing.assert_close(vertices.amax(-2), -vertices.amin(-2), **FLOAT32)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_normalized_survives_squares_outside_float32(scale: float) -> None:
    mesh = icosphere(1)
    shrunk = mesh.replace(vertices=mesh.vertices * scale).normalized()
    torch.testing.assert_close(shrunk.vertices, mesh.vertices, **FLOAT32)


def test_normalized_of_a_point_is_the_origin_with_finite_gradients() -> None:
    point = torch.full((5, 3), 7.0, requires_grad=True)
    vertices = Mesh(point, torch.zeros(0, 3, dtype=torch.int64)).normalized().vertices
    assert not vertices.any()
    vertices.sum().backward()
    assert point.grad is not None
    assert point.grad.isfinite().all()


def test_a_real_mesh_welds_to_its_surface(shared_mesh) -> None:
    mesh = load_mesh(shared_mesh("spot_triangulated.obj")).validate()
    welded = mesh.weld().validate()
    assert len(mesh.faces) == len(welded.faces) == 5856
    assert len(welded.vertices) - len(welded.edges()) + len(welded.faces) == 2
    assert torch.equal(welded.face_vertices(), mesh.face_vertices())
