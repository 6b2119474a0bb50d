"""Why is this gradient zero? One scene for each reason, where the reason is known by construction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DomainError, ShapeError
from labkit.geometry import Mesh
from labkit.render import N3MR, AlgoNet, GenDR, Hard, Rasterizer, SoftRas
from labkit.render.diagnose import Diagnosis, influence, picture, pixel_of, seen_faces, why_zero
from labkit.render.scene import triangulate
from labkit.scene import Camera

SIZE = (24, 24)
EYE = Camera.look_at(torch.tensor([0.0, 0.0, 2.0]).double(), fov=90.0)  # at z = 0 the frame spans [-2, 2]
SOFT = SoftRas.from_pixels(2.0, SIZE)
SQUARE = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


def square(scale: float = 1.0, z: float = 0.0, x: float = 0.0) -> tuple[list[list[float]], list[list[int]]]:
    """Corners and two faces of a square that faces the eye."""
    return [[scale * a + x, scale * b, z] for a, b in SQUARE], [[0, 1, 2], [0, 2, 3]]


def mesh(*parts: tuple[list[list[float]], list[list[int]]], dtype: torch.dtype = torch.float64) -> Mesh:
    """The parts as one mesh."""
    points: list[list[float]] = []
    faces: list[list[int]] = []
    for corners, triangles in parts:
        faces += [[len(points) + corner for corner in triangle] for triangle in triangles]
        points += corners
    return Mesh(torch.tensor(points, dtype=dtype), torch.tensor(faces))


def grid(count: int) -> tuple[list[list[float]], list[list[int]]]:
    """A square of count x count vertices: its inner vertices are visible and away from the outline."""
    places = torch.linspace(-1, 1, count).tolist()
    points = [[x, y, 0.0] for y in places for x in places]
    faces = []
    for row in range(count - 1):
        for column in range(count - 1):
            a = row * count + column
            faces += [[a, a + 1, a + count + 1], [a, a + count + 1, a + count]]
    return points, faces


def ask(
    shape: Mesh, vertex: int, weight: Tensor | None = None, soft: Rasterizer = SOFT, target: float = 0.0
) -> Diagnosis:
    """Pull at the silhouette, at pixels of a given weight (H, W), and ask about one vertex."""
    vertices = shape.vertices.clone().requires_grad_()
    image = picture(shape.replace(vertices=vertices), EYE, SIZE, soft)
    weight = torch.ones(SIZE, dtype=image.dtype) if weight is None else weight
    loss = (weight * (image[3] - target).square()).sum()
    adjoint, gradient = torch.autograd.grad(loss, (image, vertices))
    return why_zero(shape.replace(vertices=vertices.detach()), EYE, SIZE, soft, vertex, gradient, adjoint)


def test_a_corner_of_the_silhouette_is_pulled() -> None:
    found = ask(mesh(square()), 0)
    assert found.kind == "not zero"
    assert "%" in found.text


def test_unused() -> None:
    points, faces = square()
    assert ask(mesh(([*points, [0.0, 0.0, 0.0]], faces)), 4).kind == "unused"


def test_behind_the_near_plane() -> None:
    found = ask(mesh(square(), square(0.1, z=1.97)), 4)  # at depth 0.03; drawing begins at 0.05
    assert found.kind == "near plane"
    assert "0.03;" in found.text
    assert "0.05" in found.text


def test_behind_the_eye() -> None:
    assert ask(mesh(square(), square(z=5.0)), 4).kind == "near plane"


def test_a_face_without_area_is_culled() -> None:
    points, faces = square()
    found = ask(mesh((points, faces), ([[0.0, 0.0, 0.5]] * 3, [[0, 1, 2]])), 4)
    assert found.kind == "no area"


def test_outside_the_frame() -> None:
    found = ask(mesh(square(), square(x=6.0)), 4)  # from x = 5: 3 world units beyond the frame, 1/6 unit a pixel
    assert found.kind == "outside"
    assert "18 pixels" in found.text


@pytest.mark.parametrize(
    "soft",
    [SoftRas.from_pixels(1.0, SIZE), GenDR.from_pixels(2.0, SIZE), Hard(), N3MR()],
    ids=lambda s: type(s).__name__,
)
def test_occluded(soft: Rasterizer) -> None:
    cover = ([[-1.5, -1.5, 0.0], [1.5, -1.5, 0.0], [0.0, 1.5, 0.0]], [[0, 1, 2]])  # one face, so it has no seam
    found = ask(mesh(cover, square(0.3, z=-1.0)), 3, soft=soft)
    assert found.kind == "occluded"
    assert "face 0 at depth 2;" in found.text
    assert "vertex lies at 3" in found.text


def test_half_occluded_is_not_occluded() -> None:
    assert ask(mesh(square(), square(1.0, z=-0.5, x=1.0)), 5).kind == "not zero"


def test_saturated() -> None:
    """So wide an edge that all 32 faces cover the middle to about a half: 1 - 0.5^32."""
    found = ask(mesh(grid(5)), 12, soft=SoftRas.from_pixels(30.0, SIZE))
    assert found.kind == "saturated"
    assert "Alpha at its place is 1.000000" in found.text
    assert "30 pixels wide changes by 0.033" in found.text


def test_seams_are_not_saturated() -> None:
    """Where two faces meet, alpha is 0.75 under a narrow edge, so the middle of a surface is pulled too."""
    assert ask(mesh(grid(5)), 12).kind == "not zero"


@pytest.mark.parametrize(("soft", "word"), [(Hard(), "jumps"), (N3MR(), "lower the loss")])
def test_no_derivative(soft: Rasterizer, word: str) -> None:
    found = ask(mesh(square()), 0, soft=soft, target=1.0 if isinstance(soft, Hard) else 0.5)
    if isinstance(soft, N3MR):  # pulled at the corners, not in the middle
        found = ask(mesh(grid(5)), 12, soft=soft)
    assert found.kind == "no derivative"
    assert word in found.text


def test_the_loss_looks_elsewhere() -> None:
    weight = torch.zeros(SIZE, dtype=torch.float64)
    weight[:, 16:18] = 1.0  # at the left outline of the second square, which begins 9 pixels right of the first
    shape = mesh(square(0.5, x=-1.25), square(0.5, x=1.25))
    found = ask(shape, 0, weight)
    assert found.kind == "flat loss"
    assert "asks for nothing there" in found.text
    assert ask(shape, 4, weight).kind == "not zero"


def test_a_loss_without_any_slope() -> None:
    found = ask(mesh(square()), 0, torch.zeros(SIZE, dtype=torch.float64))
    assert found.kind == "flat loss"
    assert "no slope at any pixel" in found.text


def test_pulls_that_cancel() -> None:
    shape = mesh(square())
    adjoint = torch.zeros(4, *SIZE, dtype=torch.float64)
    adjoint[3] = 1.0
    found = why_zero(shape, EYE, SIZE, SOFT, 0, torch.zeros_like(shape.vertices), adjoint)
    assert found.kind == "cancels"


def test_influence_is_the_derivative() -> None:
    """Against a Jacobian by autodiff, with colours as well as alpha, of a rasterizer without kinks."""
    shape, soft = mesh(square()), AlgoNet.from_pixels(6.0, 20.0, SIZE)
    pixel = 4 / 24  # world units at depth 2

    def moved(shift: Tensor) -> Tensor:
        added = torch.zeros_like(shape.vertices).index_put((torch.tensor([2]),), torch.cat((shift, shift[:1] * 0)))
        return picture(shape.replace(vertices=shape.vertices + added), EYE, SIZE, soft)

    exact = torch.autograd.functional.jacobian(moved, torch.zeros(2, dtype=torch.float64))  # (4, H, W, 2)
    found = influence(shape, EYE, SIZE, soft, 2)
    # the error of central differences over half a pixel is of second order in 1 / 6 of the edge
    torch.testing.assert_close(found, pixel * exact.permute(3, 0, 1, 2), rtol=0.05, atol=2e-3)


def test_influence_of_a_sharp_edge_counts_the_pixels_that_flip() -> None:
    found = influence(mesh(square()), EYE, SIZE, Hard(), 2)
    assert set((found[:, 3] * 0.5).round(decimals=6).unique().tolist()) <= {-1.0, 0.0, 1.0}


def test_float32_runs_on_the_kernel_and_agrees() -> None:
    one, two = (influence(mesh(square(), dtype=kind), EYE, SIZE, SOFT, 1) for kind in (torch.float32, torch.float64))
    torch.testing.assert_close(one.double(), two, rtol=0, atol=1e-4)  # differences over 0.5 of pictures within 1e-5


def test_seen_faces_and_pixels() -> None:
    shape = mesh(square(), square(0.5, z=0.5))
    seen = seen_faces(triangulate(shape, EYE, SIZE), SIZE, True)
    assert seen[0, 0] == -1
    assert set(seen[11:13, 11:13].flatten().tolist()) <= {2, 3}  # the near square
    assert seen[7, 7] in (0, 1)
    assert pixel_of(EYE, torch.tensor([0.0, 0.0, 0.0]).double() + 0.01, SIZE) == (11, 12)
    assert pixel_of(EYE, torch.tensor([-99.0, 99.0, 0.0]).double(), SIZE) == (0, 0)
    empty = seen_faces(triangulate(Mesh(shape.vertices, shape.faces[:0]), EYE, SIZE), SIZE, True)
    assert (empty == -1).all()


def test_an_orthographic_camera() -> None:
    eye = replace(EYE, projection="orthographic", half_height=2.0)
    near, far = (influence(mesh(square(z=z)), eye, SIZE, SOFT, 0) for z in (0.5, -3.0))
    torch.testing.assert_close(near[:, 3], far[:, 3], **FLOAT64)


def test_bad_input_is_named() -> None:
    shape = mesh(square())
    zero, flat = torch.zeros_like(shape.vertices), torch.zeros(4, *SIZE, dtype=torch.float64)
    with pytest.raises(DomainError, match="from 0 to 3"):
        why_zero(shape, EYE, SIZE, SOFT, 4, zero, flat)
    with pytest.raises(ShapeError, match="gradient"):
        why_zero(shape, EYE, SIZE, SOFT, 0, zero[:2], flat)
    with pytest.raises(ShapeError, match="adjoint"):
        why_zero(shape, EYE, SIZE, SOFT, 0, zero, flat[:3])
    with pytest.raises(ShapeError, match="one mesh"):
        influence(shape.replace(vertices=shape.vertices[None]), EYE, SIZE, SOFT, 0)
