"""How a gradient flows: from a loss to the picture, from the picture to the vertices. No widgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labkit.geometry import Mesh
from labkit.lab.explorer_mesh import subject
from labkit.lab.explorer_render import FOV, Cache
from labkit.lab.explorer_state import OWN_FILE
from labkit.lab.gradient_state import COLORS, PIXEL, SAME, VERTEX, GradientState
from labkit.render import Hard, Rasterizer, triangulate
from labkit.render.diagnose import picture, seen_faces
from labkit.scene import Camera

REACH = 0.4  # world units to either side of a line through parameter space


@dataclass(frozen=True, eq=False)
class Problem:
    """A mesh, an eye and a loss.

    Attributes:
        mesh: where everything starts, the moved vertex included.
        camera: the eye.
        size: (H, W) in pixels.
        loss: one of the three losses of `gradient_state`.
        target: (4, H, W) red, green, blue, alpha, as sharp as `Hard` draws it, the same for every renderer.
        pixel: (row, column) that the loss "one pixel" looks at.
    """

    mesh: Mesh
    camera: Camera
    size: tuple[int, int]
    loss: str
    target: Tensor
    pixel: tuple[int, int]

    def of(self, image: Tensor) -> Tensor:
        """The loss () of a picture (4, H, W)."""
        if self.loss == PIXEL:
            return 1 - image[:, self.pixel[0], self.pixel[1]].mean()
        channels = slice(0, 3) if self.loss == COLORS else slice(3, 4)
        return (image[channels] - self.target[channels]).square().mean()


@dataclass(frozen=True, eq=False)
class Flow:
    """One pass forward and one back.

    Attributes:
        vertices: (V, 3) where it was done.
        picture: (4, H, W) red, green, blue, alpha.
        loss: of the picture.
        adjoint: (4, H, W) d loss / d picture.
        gradient: (V, 3) d loss / d vertices.
    """

    vertices: Tensor
    picture: Tensor
    loss: float
    adjoint: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Line:
    """A loss along a line through parameter space.

    Attributes:
        places: how far things are moved, world units.
        losses: there.
        slopes: the derivatives there by autodiff, per world unit.
    """

    places: tuple[float, ...]
    losses: tuple[float, ...]
    slopes: tuple[float, ...]

    @property
    def differences(self) -> tuple[np.ndarray, np.ndarray]:
        """Where, and how large: finite differences of neighbouring losses, halfway between them."""
        places, losses = np.array(self.places), np.array(self.losses)
        return (places[1:] + places[:-1]) / 2, np.diff(losses) / np.diff(places)


def camera(state: GradientState) -> Camera:
    """The camera, looking at the origin."""
    return Camera.orbit(state.azimuth, state.elevation, state.distance, fov=FOV)


def pose(state: GradientState, cache: Cache) -> Problem:
    """The problem of a state; meshes and target are kept in ``cache``.

    Raises:
        FileError, DomainError, ShapeError: the mesh cannot be loaded.
    """
    key = (state.mesh, state.path if state.mesh == OWN_FILE else "")
    mesh: Mesh = cache.get("mesh", key, lambda: subject(*key).mesh)
    eye, size = camera(state), (state.size, state.size)

    def draw() -> Tensor:
        goal = mesh if state.goal == SAME else subject(state.goal).mesh
        shift = state.shift_x * eye.rotation[0] + state.shift_y * eye.rotation[1]
        with torch.no_grad():
            return picture(goal.replace(vertices=goal.vertices + shift), eye, size, Hard())

    view = (state.azimuth, state.elevation, state.distance, state.size)
    target = cache.get(f"target of {state.size} pixels", (key, view, state.goal, state.shift_x, state.shift_y), draw)
    if state.move_x or state.move_y:
        vertices = mesh.vertices.clone()
        vertices[chosen(state, mesh)] += state.move_x * eye.rotation[0] + state.move_y * eye.rotation[1]
        mesh = mesh.replace(vertices=vertices)
    return Problem(mesh, eye, size, state.loss, target, state.picked)


def chosen(state: GradientState, mesh: Mesh) -> int:
    """Number of the chosen vertex: the last one where the mesh has fewer."""
    return min(state.vertex, len(mesh.vertices) - 1)


def flow(problem: Problem, rasterizer: Rasterizer, vertices: Tensor) -> Flow:
    """Draw the mesh with these vertices (V, 3), and send the gradient of the loss back."""
    moved = vertices.detach().clone().requires_grad_()
    image = picture(problem.mesh.replace(vertices=moved), problem.camera, problem.size, rasterizer)
    loss = problem.of(image)
    adjoint, gradient = torch.autograd.grad(loss, (image, moved))
    return Flow(moved.detach(), image.detach(), loss.item(), adjoint, gradient)


def direction(state: GradientState, problem: Problem) -> Tensor:
    """What one step along the state's line adds to the vertices, (V, 3), world units."""
    axis = problem.camera.rotation[("right", "up", "towards the eye").index(state.along)]  # camera space: +z is back
    added = axis.expand_as(problem.mesh.vertices)
    if state.moved == VERTEX:
        only = torch.zeros_like(problem.mesh.vertices[:, :1])
        only[chosen(state, problem.mesh)] = 1
        added = added * only
    return added


def along(problem: Problem, rasterizer: Rasterizer, vertices: Tensor, added: Tensor, count: int) -> Line:
    """The loss at ``count`` places along a line, with its derivative by autodiff.

    Args:
        problem: what is asked.
        rasterizer: what draws.
        vertices: (V, 3) the middle of the line.
        added: (V, 3) one world unit of it.
        count: at least 2.
    """
    places = torch.linspace(-REACH, REACH, count).tolist()
    flows = [flow(problem, rasterizer, vertices + place * added) for place in places]
    slopes = tuple(float((one.gradient * added).sum()) for one in flows)
    return Line(tuple(places), tuple(one.loss for one in flows), slopes)


def faces_of_pixel(problem: Problem, rasterizer: Rasterizer, vertices: Tensor, count: int = 8) -> list[int]:
    """The faces that make the problem's pixel, the strongest first: those whose corners it has the largest slope in.

    Each face gets corners and a colour of its own for that, so that nothing is shared with its neighbours.
    """
    faces = problem.mesh.faces
    corners = vertices.detach()[faces].reshape(-1, 3)  # (3 F, 3)
    own = torch.arange(len(corners)).view(-1, 3)
    paint = torch.full_like(corners, 0.5, requires_grad=True)
    soup = Mesh(corners.requires_grad_(), own, colors=paint)
    image = picture(soup, problem.camera, problem.size, rasterizer)
    pixel = image[:, problem.pixel[0], problem.pixel[1]].sum()
    by_color, by_place = torch.autograd.grad(pixel, (paint, corners))
    weight = sum(part.unflatten(0, (-1, 3)).norm(dim=(1, 2)) for part in (by_color, by_place))  # (F,)
    if not isinstance(weight, Tensor) or not float(weight.max()):
        return []
    best = weight.topk(min(count, len(weight)))
    return best.indices[best.values > 0.01 * best.values[0]].tolist()


def screen(problem: Problem, vertices: Tensor) -> np.ndarray:
    """Where vertices (V, 3) are seen: (V, 3) row and column, in pixels from the middle of the first one, and depth."""
    x, y, depth = problem.camera.project(vertices).T
    scale = min(problem.size) / 2
    row, column = (problem.size[0] - 1) / 2 - scale * y, (problem.size[1] - 1) / 2 + scale * x
    return torch.stack((row, column, depth), -1).numpy()


def visible(problem: Problem, vertices: Tensor) -> np.ndarray:
    """(V,) whether a vertex belongs to a face that some pixel sees."""
    mesh = problem.mesh.replace(vertices=vertices)
    seen = seen_faces(triangulate(mesh, problem.camera, problem.size), problem.size, True)
    flags = torch.zeros(len(vertices), dtype=torch.bool)
    flags[mesh.faces[seen[seen >= 0].unique()]] = True
    return flags.numpy()


def nearest_vertex(places: np.ndarray, pixel: tuple[int, int], seen: np.ndarray) -> int:
    """Number of the vertex nearest to a pixel on the screen, among those that are ``seen`` (V,), or all if none is.

    Args:
        places: (V, 3) from `screen`.
        pixel: row and column.
        seen: from `visible`.
    """
    gap = np.hypot(*(places[:, :2] - np.array(pixel)).T)
    return int(np.where(seen | ~seen.any(), gap, np.inf).argmin())
