"""A live 3D view of one mesh: pythreejs where there is WebGL, kernel-rendered pictures elsewhere."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as W
import numpy as np
import pythreejs as p3
import torch
from ipyevents import Event
from torch import Tensor

from labkit.errors import DomainError, check_size, check_tensor
from labkit.lab.closing import close_tree
from labkit.lab.decimate import cluster
from labkit.lab.hosts import headless, view_kind
from labkit.lab.orbit import Orbit
from labkit.lab.picture_view import PictureView
from labkit.lab.scheduler import NewestWins, Quality

LIVE_VERTICES = 50_000  # measured: up to here an update reaches the screen in about a sixth of a second on two cores
ACKNOWLEDGED_WITHIN = 1.0  # seconds to wait for the browser before it counts as gone
GREY, LIT = 190, "#ff7a00"


@dataclass(frozen=True)
class _Shown:
    """One moment of the view; arrays are own copies."""

    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int64
    colors: np.ndarray  # (V, 3) uint8
    normals: np.ndarray | None  # (V, 3) float32
    lit: np.ndarray  # (K,) int64 face numbers


def checked(
    vertices: Tensor | np.ndarray,
    faces: Tensor | np.ndarray,
    colors: Tensor | np.ndarray | None = None,
    normals: Tensor | np.ndarray | None = None,
) -> _Shown:
    """Copies of the arrays as they go to the browser (shapes, ranges and errors: `MeshView.update`)."""

    def copy(name: str, value: Tensor | np.ndarray, shape: str) -> np.ndarray:
        tensor = check_tensor(name, torch.as_tensor(value), shape)
        return np.array(tensor.detach().cpu().numpy(), dtype=np.float32, order="C", copy=True)

    points = copy("vertices", vertices, "V 3")
    index = check_tensor("faces", torch.as_tensor(faces), "F 3", integer=True).cpu().numpy().copy()
    if index.size and not (index.min() >= 0 and index.max() < len(points)):
        raise DomainError("faces", f"{index.min()} to {index.max()}", f"vertex numbers from 0 to {len(points) - 1}")
    size = f"{len(points)} 3"
    paint = np.full_like(points, GREY / 255) if colors is None else copy("colors", colors, size)
    arrows = None if normals is None else copy("normals", normals, size)
    return _Shown(points, index, (paint.clip(0, 1) * 255 + 0.5).astype(np.uint8), arrows, np.zeros(0, np.int64))


class MeshView:
    """One WebGL canvas with one mesh, some of whose faces are lit up. Make it by `open_view`, once; reuse it.

    `update`, `highlight` and `set_camera` return at once, from any thread. A worker sends the newest mesh at most ten
    times a second and, while a browser listens, never a second one before the first is acknowledged. Meshes above
    50,000 vertices are shown decimated, which the note below the view says; lit faces are always the true ones and
    shine through what covers them. World axes as in `labkit.scene.Camera` (right-handed, y up); colours are shown as
    they are, lit by a lamp at the eye: a preview, not the differentiable picture.

    Args:
        width, height: CSS pixels.
        fov: full angle across the shorter side, degrees.
        orbit: where the eye is.
        decor: what else stands in the scene, such as axes; the view closes it.

    Attributes:
        widget: what is shown in the page.
        on_camera: called as ``on_camera(orbit)`` when the user has moved the camera, on any thread.

    Raises:
        DTypeError, DomainError: a senseless size or angle.
    """

    def __init__(
        self,
        width: int = 360,
        height: int = 360,
        fov: float = 60.0,
        orbit: Orbit | None = None,
        decor: Sequence[p3.Object3D] = (),
    ) -> None:
        check_size("size", (height, width))
        if not 0 < fov < 180:
            raise DomainError("fov", fov, "an angle between 0 and 180 degrees")
        self.on_camera: Callable[[Orbit], None] = lambda orbit: None
        self._orbit = orbit or Orbit()
        tallness = math.tan(math.radians(fov) / 2) * max(1.0, height / width)
        self._camera = p3.PerspectiveCamera(
            fov=2 * math.degrees(math.atan(tallness)), aspect=width / height, near=0.01, far=1000.0
        )
        self._camera.position = self._orbit.eye
        # three.js sets its intensity by power = 4 pi intensity, and pythreejs sends both
        self._camera.add(p3.PointLight(color="white", intensity=0.55, power=0.55 * 4 * math.pi, position=(0, 0, 0)))
        self._controls = p3.OrbitControls(controlling=self._camera, target=self._orbit.target)
        self._controls.minPolarAngle, self._controls.maxPolarAngle = math.radians(1), math.radians(179)
        corner = np.zeros((3, 3), np.float32)
        self._buffers = {
            "position": p3.BufferAttribute(corner, normalized=False),
            "normal": p3.BufferAttribute(corner, normalized=False),
            "color": p3.BufferAttribute(corner.astype(np.uint8), normalized=True),
            "index": p3.BufferAttribute(np.arange(3, dtype=np.uint32), normalized=False),
        }
        self._lit = p3.BufferAttribute(corner, normalized=False)
        self._material = p3.MeshPhongMaterial(
            vertexColors="VertexColors", side="DoubleSide", specular="#000000", flatShading=True
        )
        glow = p3.MeshBasicMaterial(color=LIT, side="DoubleSide", depthTest=False, transparent=True, opacity=0.8)
        # three.js computes the bounding sphere once: a mesh that moves on would be culled
        self._mesh = p3.Mesh(p3.BufferGeometry(attributes=self._buffers), self._material, frustumCulled=False)
        self._glow = p3.Mesh(
            p3.BufferGeometry(attributes={"position": self._lit}), glow, frustumCulled=False, renderOrder=1
        )
        self._mesh.visible = self._glow.visible = False
        self._scene = p3.Scene(
            children=[self._mesh, self._glow, *decor, self._camera, p3.AmbientLight(color="white", intensity=0.4)],
            background="#f4f4f4",
        )
        self._renderer = p3.Renderer(
            scene=self._scene,
            camera=self._camera,
            controls=[self._controls],
            antialias=True,
            width=width,
            height=height,
        )
        self._camera.lookAt(self._orbit.target)
        self._note = W.HTML()
        self.widget = W.VBox([self._renderer, self._note])
        self._pointer = Event(source=self._renderer, watched_events=["mousemove"], wait=50)
        self._pointer.on_dom_event(self._dragged)
        self._camera.observe(self._moved, "position")
        self._controls.observe(self._moved, "target")
        for buffer in (*self._buffers.values(), self._lit):
            buffer.observe(self._acknowledge, "version")
        self._acknowledged, self._listening = threading.Event(), False
        self._waiting_for: set[str] = set()
        self._lock = threading.Lock()
        self._shown: _Shown | None = None
        self._decimated: tuple[_Shown, np.ndarray, np.ndarray] | None = None
        self._worker: NewestWins[_Shown, None] = NewestWins(
            self._send, lambda nothing, quality: None, self._fail, rest=0.0, max_fps=10.0, synchronous=headless()
        )

    def update(
        self,
        vertices: Tensor | np.ndarray,
        faces: Tensor | np.ndarray,
        colors: Tensor | np.ndarray | None = None,
        normals: Tensor | np.ndarray | None = None,
    ) -> None:
        """Show a mesh; no face stays lit. The arrays are copied and may be changed afterwards.

        Args:
            vertices: (V, 3) float, finite.
            faces: (F, 3) int64, vertex numbers.
            colors: (V, 3) float in [0, 1] (clipped); grey if None.
            normals: (V, 3) float; flat faces if None.

        Raises:
            ShapeError, DTypeError, DomainError: as said above; the earlier mesh stays.
        """
        shown = checked(vertices, faces, colors, normals)
        with self._lock:
            self._shown = shown
            self._worker.submit(shown)

    def highlight(self, faces: Tensor | np.ndarray | list[int]) -> None:
        """Light up these faces (numbers of the mesh last given, repeats allowed) and no others.

        Raises:
            DomainError: there is no such face.
        """
        lit = np.array(faces.cpu().numpy() if isinstance(faces, Tensor) else faces, dtype=np.int64).reshape(-1)
        with self._lock:
            count = 0 if self._shown is None else len(self._shown.faces)
            if lit.size and not (lit.min() >= 0 and lit.max() < count):
                raise DomainError("faces", f"{lit.min()} to {lit.max()}", f"face numbers of a mesh with {count} faces")
            if self._shown is not None:
                self._shown = replace(self._shown, lit=lit)
                self._worker.submit(self._shown)

    @property
    def orbit(self) -> Orbit:
        """Where the eye is."""
        return self._orbit

    def set_camera(self, orbit: Orbit) -> None:
        """Move the eye; `on_camera` is not called for it."""
        if orbit.near(self._orbit):
            return
        self._orbit = orbit
        self._camera.position = orbit.eye
        self._controls.target = orbit.target
        self._camera.lookAt(orbit.target)

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the newest mesh is sent."""
        self._worker.flush(timeout)

    def close(self) -> None:
        """Stop the worker and close every widget."""
        self._acknowledged.set()
        self._worker.close()
        close_tree(self.widget, self._pointer)

    def _preview(self, shown: _Shown) -> tuple[np.ndarray, np.ndarray]:
        """(vertex numbers, faces in them) of what is shown; remembered, since lighting a face changes neither."""
        earlier = self._decimated
        if earlier is None or earlier[0].vertices is not shown.vertices:
            self._decimated = (shown, *cluster(shown.vertices, shown.faces, LIVE_VERTICES))
            earlier = self._decimated
        return earlier[1], earlier[2]

    def _send(self, shown: _Shown, quality: Quality) -> None:
        keep, faces = self._preview(shown)
        lit = shown.vertices[shown.faces[shown.lit].reshape(-1)]  # (3 K, 3)
        arrays = {
            "position": shown.vertices[keep],
            "normal": np.zeros((len(keep), 3), np.float32) if shown.normals is None else shown.normals[keep],
            "color": shown.colors[keep],
            "index": faces.astype(np.uint32).reshape(-1),
        }
        buffers = {**self._buffers, "lit": self._lit}
        if len(keep) < len(self._buffers["position"].array):  # no index may ever point past the vertices
            arrays = dict(reversed(arrays.items()))
        arrays = {name: array for name, array in {**arrays, "lit": lit}.items() if array.size}
        changed = {name for name, array in arrays.items() if not np.array_equal(array, buffers[name].array)}
        self._waiting_for = set(changed)
        self._acknowledged.clear()
        with self._renderer.hold():
            for name, array in arrays.items():
                if name in changed:
                    buffers[name].array = array
            if self._material.flatShading != (shown.normals is None):
                self._material.flatShading = shown.normals is None
                self._material.needsUpdate = True
            self._mesh.visible, self._glow.visible = bool(faces.size), bool(lit.size)
        self._renderer.render(self._scene, self._camera)
        self._note.value = (
            f"preview decimated: {len(keep):,} of {len(shown.vertices):,} vertices"
            if len(keep) < len(shown.vertices)
            else ""
        )
        if changed and self._listening:
            self._listening = self._acknowledged.wait(ACKNOWLEDGED_WITHIN)

    def _acknowledge(self, change: dict[str, object]) -> None:
        self._listening = True
        for name, buffer in {**self._buffers, "lit": self._lit}.items():
            if buffer is change["owner"]:
                self._waiting_for.discard(name)
        if not self._waiting_for:
            self._acknowledged.set()

    def _dragged(self, event: dict[str, Any]) -> None:
        """Ask where the eye is: the controls tell only when the button is let go, but any method call syncs it."""
        if event["buttons"]:
            self._camera.exec_three_obj_method("updateMatrix")

    def _moved(self, change: dict[str, object]) -> None:
        orbit = Orbit(tuple(self._camera.position), tuple(self._controls.target))
        if not orbit.near(self._orbit):
            self._orbit = orbit
            self.on_camera(orbit)

    def _fail(self, error: Exception) -> None:
        self._note.value = f'<span style="color:#b00020">{html.escape(repr(error))}</span>'


def open_view(
    fallback: Callable[[Orbit], Tensor | np.ndarray],
    width: int = 360,
    height: int = 360,
    fov: float = 60.0,
    orbit: Orbit | None = None,
    decor: Sequence[p3.Object3D] = (),
) -> MeshView | PictureView:
    """The best mesh view of this machine: `MeshView`, or `PictureView` drawn by ``fallback`` where
    LABKIT_VIEW=image is set or pythreejs' JupyterLab extension is missing. ``decor`` is left out there."""
    if view_kind() == "image":
        close_tree(*decor)
        return PictureView(fallback, width, height, orbit)
    return MeshView(width, height, fov, orbit, decor)
