"""`render`: from a mesh, a camera, a material and lights to a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tolerances import FLOAT64
from torch import Tensor

from labkit.errors import DomainError, DTypeError, LabError, ShapeError
from labkit.geometry import Mesh, icosphere, load_mesh
from labkit.render import AlgoNet, Hard, Rendering, rasterize, render, triangulate
from labkit.scene import Ambient, Camera, CookTorrance, Directional, Lambert, Point

SIZE = (16, 20)
SOFT = AlgoNet(30.0, 10.0)
WHITE = [Ambient(1.0)]  # shows the albedo as it is


def square(**fields: Tensor) -> Mesh:
    """A square of side 2 at z = 0 that faces +z, in float64."""
    corners = [[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]
    return Mesh(torch.tensor(corners, dtype=torch.float64), torch.tensor([[0, 1, 2], [0, 2, 3]]), **fields)


def front(distance: float = 3.0, **fields: object) -> Camera:
    """A camera on +z that looks at the origin, in float64."""
    return Camera.look_at(torch.tensor([0.0, 0.0, distance], dtype=torch.float64), **fields)


def ball() -> Mesh:
    """A small sphere in float64."""
    return icosphere(1).to(dtype=torch.float64)


def close(one: Rendering, other: Rendering) -> None:
    """Assert that all layers of two pictures agree."""
    for field in ("color", "alpha", "normal", "depth"):
        a, b = getattr(one, field), getattr(other, field)
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **FLOAT64, msg=field)


def test_layers_and_shapes() -> None:
    plain = render(ball(), front(), SIZE)
    assert (plain.normal, plain.depth) == (None, None)
    full = render(ball(), front(), SIZE, layers=True)
    assert [tuple(t.shape) for t in (full.color, full.alpha, full.normal, full.depth)] == [
        (1, 3, *SIZE),
        (1, 1, *SIZE),
        (1, 3, *SIZE),
        (1, 1, *SIZE),
    ]
    torch.testing.assert_close(full.color, plain.color, **FLOAT64)


def test_a_square_seen_from_the_front() -> None:
    """Where it lies in the picture, how far it is, and how it is lit."""
    camera = front(distance=4.0, fov=2 * float(torch.rad2deg(torch.atan(torch.tensor(0.5)))))  # sees 4 x 4 at z = 0
    lights = [Ambient(0.25), Directional((0.0, 0.0, 2.0), (0.5, 0.25, 0.0))]
    picture = render(square(), camera, (8, 8), Hard(), Lambert(), lights, torch.tensor([1.0, 0.5, 0.0]), layers=True)
    inside = torch.zeros(8, 8, dtype=torch.float64)
    inside[2:6, 2:6] = 1
    torch.testing.assert_close(picture.alpha[0, 0], inside)
    lit = 0.8 * torch.tensor([0.25 + 0.5, 0.25 + 0.25, 0.25], dtype=torch.float64)
    behind = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    expected = torch.where(inside.bool(), lit[:, None, None], behind[:, None, None])
    torch.testing.assert_close(picture.color[0], expected)
    assert picture.depth is not None
    assert picture.normal is not None
    torch.testing.assert_close(picture.depth[0, 0], 4 * inside)
    torch.testing.assert_close(picture.normal[0], inside * torch.tensor([0.0, 0.0, 1.0])[:, None, None].double())


def test_orthographic() -> None:
    for distance in (2.0, 50.0):  # size does not depend on distance
        camera = front(distance, projection="orthographic", half_height=2.0)
        picture = render(square(), camera, (8, 12), Hard(), layers=True)
        assert float(picture.alpha.sum()) == 16
        assert (picture.alpha[0, 0, 2:6, 4:8] == 1).all()
        assert picture.depth is not None
        assert float(picture.depth.max()) == pytest.approx(distance)
    tilted = Camera.orbit(30.0, 20.0, 5.0, projection="orthographic", half_height=1.5)
    assert render(ball(), tilted, SIZE, SOFT).color.isfinite().all()


@pytest.mark.parametrize("rasterizer", [Hard(), SOFT])
@pytest.mark.parametrize("layers", [False, True])
def test_background(rasterizer: Hard | AlgoNet, layers: bool) -> None:
    black = render(ball(), front(), SIZE, rasterizer, layers=layers)
    one = torch.tensor([0.2, 0.4, 0.9])
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    for background, behind in ((one, one[:, None, None]), (image, image)):
        over = render(ball(), front(), SIZE, rasterizer, background=background, layers=layers)
        torch.testing.assert_close(over.color, black.color + (1 - black.alpha) * behind.double(), **FLOAT64)
        torch.testing.assert_close(over.alpha, black.alpha, **FLOAT64)


def test_zero_faces_give_the_background() -> None:
    empty = Mesh(torch.rand(3, 3), torch.zeros(0, 3, dtype=torch.int64))
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    background = torch.tensor([0.1, 0.2, 0.3])
    for mesh in (empty, nothing):
        for rasterizer in (Hard(), SOFT):
            for shading in ("flat", "gouraud"):
                picture = render(mesh, Camera.orbit(0, 0, 3), SIZE, rasterizer, background=background, shading=shading)
                torch.testing.assert_close(picture.color[0], background[:, None, None].expand(3, *SIZE))
                assert (picture.alpha == 0).all()


def test_where_albedo_comes_from() -> None:
    """Vertex colours before texture before grey."""
    uv = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], dtype=torch.float64)
    texture = torch.zeros(3, 2, 2, dtype=torch.float64)
    texture[:, 0, 0] = torch.tensor([1.0, 0.0, 0.0])  # top left: u 0.25, v 0.75
    texture[:, 0, 1] = torch.tensor([0.0, 1.0, 0.0])
    texture[:, 1, 0] = torch.tensor([0.0, 0.0, 1.0])
    texture[:, 1, 1] = torch.tensor([1.0, 1.0, 0.0])
    at_vertices = texture[:, [1, 1, 0, 0], [0, 1, 1, 0]].T  # (4, 3) the texel of each corner
    colors = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def corners(mesh: Mesh, **options: str) -> Tensor:
        scene = triangulate(mesh, front(), SIZE, lights=WHITE, shading="gouraud", **options)
        return scene.attributes[0, ..., :3]

    faces = square().faces
    torch.testing.assert_close(corners(square()), torch.full((2, 3, 3), 0.8, dtype=torch.float64))
    torch.testing.assert_close(corners(square(uv=uv)), torch.full((2, 3, 3), 0.8, dtype=torch.float64))
    torch.testing.assert_close(corners(square(uv=uv, texture=texture)), at_vertices[faces])
    torch.testing.assert_close(corners(square(uv=uv, texture=texture, colors=colors)), colors[faces])
    middle = square(uv=torch.full((4, 2), 0.5, dtype=torch.float64), texture=texture)
    torch.testing.assert_close(corners(middle)[0, 0], texture.mean((1, 2)))  # bilinear
    edge = square(uv=torch.tensor([[0.0, 0.75]] * 4, dtype=torch.float64), texture=texture)
    torch.testing.assert_close(corners(edge, wrap="clamp")[0, 0], texture[:, 0, 0])  # at the border: its texel
    torch.testing.assert_close(corners(edge)[0, 0], texture[:, 0].mean(1))  # between the first column and the last


def test_flat_and_gouraud() -> None:
    """Flat: the mean of the corners' colours under one normal. Gouraud: the corners' own, blended by `Hard`."""
    colors = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    mesh = square(colors=colors)
    flat = render(mesh, front(), SIZE, Hard(), lights=WHITE)
    smooth = render(mesh, front(), SIZE, Hard(), lights=WHITE, shading="gouraud")
    values = flat.color[0][:, flat.alpha[0, 0] == 1].T.round(decimals=9).unique(dim=0)
    means = torch.stack([colors[face].mean(0) for face in mesh.faces])
    torch.testing.assert_close(values, means.round(decimals=9).unique(dim=0))
    assert len(smooth.color[0][:, flat.alpha[0, 0] == 1].T.unique(dim=0)) > 20
    sphere = triangulate(ball(), front(), SIZE, shading="gouraud")
    given = triangulate(ball().replace(normals=-ball().vertex_normals()), front(), SIZE, shading="gouraud")
    torch.testing.assert_close(given.attributes[..., 3:6], -sphere.attributes[..., 3:6])  # a mesh's normals are used
    torch.testing.assert_close(sphere.attributes[0, ..., 3:6], ball().vertices[ball().faces], atol=0.02, rtol=0)


@pytest.mark.parametrize("shading", ["flat", "gouraud"])
def test_batches_are_loops(shading: str) -> None:
    angles, distances = torch.tensor([0.0, 40.0, 170.0]).double(), torch.tensor([2.5, 3.0, 4.0]).double()
    options = {"rasterizer": SOFT, "shading": shading, "layers": True, "material": CookTorrance(roughness=0.4)}
    together = render(ball(), Camera.orbit(angles, 20.0, distances), SIZE, **options)
    moved = ball().replace(vertices=torch.stack([ball().vertices * s for s in (0.7, 1.0, 1.3)]))
    bodies = render(moved, Camera.orbit(angles[1], 20.0, distances[1]), SIZE, **options)
    both = render(moved, Camera.orbit(angles, 20.0, distances), SIZE, **options)
    for index in range(3):
        camera = Camera.orbit(angles[index], 20.0, distances[index])
        body = ball().replace(vertices=moved.vertices[index])
        for batch, alone in (
            (together, render(ball(), camera, SIZE, **options)),
            (bodies, render(body, Camera.orbit(angles[1], 20.0, distances[1]), SIZE, **options)),
            (both, render(body, camera, SIZE, **options)),
        ):
            picked = Rendering(*(getattr(batch, f)[index : index + 1] for f in ("color", "alpha", "normal", "depth")))
            close(picked, alone)


def test_it_is_rasterize_of_triangulate() -> None:
    scene = triangulate(ball(), front(), SIZE)
    color, alpha = rasterize(scene.triangles, scene.attributes, SIZE, SOFT)
    picture = render(ball(), front(), SIZE, SOFT, layers=True)
    torch.testing.assert_close(picture.color, color[:, :3])
    torch.testing.assert_close(picture.alpha, alpha)
    assert torch.equal(scene.face[0], torch.arange(len(ball().faces)))


def test_faces_with_coinciding_corners_are_not_drawn() -> None:
    mesh = square()
    doubled = mesh.replace(faces=torch.cat((mesh.faces, torch.tensor([[0, 0, 2], [1, 1, 1]]))))
    close(render(doubled, front(), SIZE, SOFT), render(mesh, front(), SIZE, SOFT))


PARAMETERS: dict[str, list[float]] = {
    "azimuth": [25.0],
    "elevation": [15.0],
    "distance": [3.0],
    "fov": [50.0],
    "direction": [0.4, 0.6, 0.7],
    "light": [0.7, 0.6, 0.5],
    "roughness": [0.5],
    "steepness": [6.0],
    "opacity": [3.0],
}


@pytest.mark.parametrize("shading", ["flat", "gouraud"])
def test_gradients_reach_everything(shading: str) -> None:
    """Slow gradcheck of a whole picture, from the mesh and the camera to the softness."""
    generator = torch.Generator().manual_seed(4)
    body = Mesh(
        torch.tensor([[0.9, -0.5, 0.1], [-0.8, -0.6, 0.2], [0.1, 0.9, -0.1], [0.2, 0.1, 0.9]], dtype=torch.float64),
        torch.tensor([[1, 0, 3], [0, 2, 3], [2, 1, 3], [0, 1, 2]]),
    )
    uv = torch.tensor([[0.2, 0.3], [0.7, 0.15], [0.4, 0.85], [0.55, 0.6]], dtype=torch.float64)
    tensors = {name: torch.tensor(value, dtype=torch.float64).squeeze() for name, value in PARAMETERS.items()}
    tensors["vertices"] = body.vertices
    tensors["colors"] = torch.rand(4, 3, dtype=torch.float64, generator=generator)
    tensors["texture"] = torch.rand(3, 3, 4, dtype=torch.float64, generator=generator)
    tensors["background"] = torch.rand(3, dtype=torch.float64, generator=generator)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}

    def picture(*given: Tensor) -> tuple[Tensor, ...]:
        p = dict(zip(leaves, given, strict=True))
        camera = Camera.orbit(p["azimuth"], p["elevation"], p["distance"], fov=p["fov"])
        images = []
        for albedo in ({"colors": p["colors"]}, {"uv": uv, "texture": p["texture"]}):
            found = render(
                Mesh(p["vertices"], body.faces, **albedo),
                camera,
                (3, 3),
                AlgoNet(p["steepness"], p["opacity"]),
                CookTorrance(roughness=p["roughness"]),
                [Ambient(0.2), Directional(p["direction"], p["light"]), Point((1.0, 2.0, 2.0), 3.0)],
                p["background"],
                shading,
                smooth=True,
                layers=True,
            )
            images += [found.color, found.alpha, found.normal, found.depth]
        return tuple(images)

    images = picture(*leaves.values())
    assert images[1].max() > 0.4
    reached = torch.autograd.grad(sum(image.square().sum() for image in images), list(leaves.values()))
    for name, gradient in zip(leaves, reached, strict=True):
        assert gradient.abs().max() > 1e-6, name
    assert torch.autograd.gradcheck(picture, list(leaves.values()), fast_mode=False)


def test_second_derivative_of_a_whole_picture() -> None:
    angle = torch.tensor(25.0, dtype=torch.float64, requires_grad=True)
    vertices = icosphere(0).vertices.double().requires_grad_()

    def picture(azimuth: Tensor, points: Tensor) -> Tensor:
        mesh = Mesh(points, icosphere(0).faces)
        return render(mesh, Camera.orbit(azimuth, 10.0, 3.0), (2, 2), AlgoNet(5.0, 3.0), smooth=True).color.sum((1, 2))

    assert picture(angle, vertices).abs().max() > 0.1
    assert torch.autograd.gradgradcheck(picture, (angle, vertices), fast_mode=False)


@pytest.mark.parametrize("name", ["spot_triangulated.obj", "stanford-bunny.obj", "suzanne.obj", "teapot.obj"])
def test_real_meshes(shared_mesh: Callable[[str], Path], name: str) -> None:
    pytest.importorskip("numba")
    mesh = load_mesh(shared_mesh(name)).normalized()
    for rasterizer in (AlgoNet(60.0, 20.0), Hard()):
        picture = render(mesh, Camera.orbit(30.0, 20.0, 2.7), (64, 64), rasterizer, layers=True)
        for image in (picture.color, picture.alpha, picture.normal, picture.depth):
            assert image is not None
            assert image.isfinite().all()
        # Of the soft picture only the lower bound: where faces are smaller than pixels, each adds a quarter to alpha.
        assert 0.1 < picture.alpha.mean() < (0.95 if rasterizer == Hard() else 1)
        assert picture.color.max() > 0.2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mesh": "spot.obj"}, DTypeError, r"mesh: got str, expected a labkit.Mesh"),
        ({"camera": None}, DTypeError, r"camera: got NoneType, expected a labkit.Camera"),
        ({"size": (0, 4)}, DomainError, "size"),
        ({"shading": "toon"}, DomainError, r"shading: got toon, expected 'flat', 'gouraud' or 'phong'"),
        ({"background": torch.zeros(4)}, ShapeError, r"background: got \(4,\), expected shape \(3\)"),
        ({"background": torch.zeros(1, 3, 4, 4)}, ShapeError, "background"),
        ({"background": torch.tensor([0.0, torch.nan, 0.0])}, DomainError, r"background: got nan at index \(1,\)"),
        ({"backend": "gl"}, DomainError, "backend"),
        ({"material": 3}, DTypeError, "material"),
        ({"lights": [3]}, DTypeError, "lights"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_errors(change: dict[str, object], error: type[LabError], message: str) -> None:
    with pytest.raises(error, match=message):
        render(**{"mesh": square(), "camera": front(), "size": SIZE, **change})  # type: ignore[arg-type]


def test_meshes_that_are_not_valid() -> None:
    bad = square().vertices.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(DomainError, match=r"nan at index \(2, 1\)"):
        render(square().replace(vertices=bad), front(), SIZE)
    with pytest.raises(LabError, match="faces"):
        render(square().replace(faces=torch.tensor([[0, 1, 4]])), front(), SIZE)
