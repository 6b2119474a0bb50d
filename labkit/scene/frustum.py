"""The pyramid in the world that shows where a camera stands, where it looks, and how wide it sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.errors import check_positive, check_size
from labkit.scene.camera import Camera

EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))
"""The pyramid's eight edges as pairs of its five points."""


def frustum(camera: Camera, size: Sequence[int], depth: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
    """Return the corners and the edges of the pyramid from the eye to the picture's rectangle at ``depth``.

    The rectangle is what the picture shows at that view distance: its corners project onto the picture's corners. The
    rays of an orthographic camera do not meet in the eye; its pyramid still shows where it stands and looks.

    Args:
        camera: a camera or a batch of B.
        size: (height, width) of the picture in pixels; only the ratio matters.
        depth: view distance of the rectangle in world units, greater than 0, one number.

    Returns:
        Points in the world, (5, 3) or (B, 5, 3): the eye, then the picture's top left, top right, bottom right and
        bottom left corner; and edges between them, (8, 2) int64.

    Raises:
        DomainError: a field of the camera, the size or the depth out of range.
        ShapeError, DTypeError, DeviceError: as the names say.
    """
    camera.validate()
    height, width = check_size("size", size)
    check_positive("depth", depth, "world units")
    rotation = camera.rotation
    distance = torch.as_tensor(depth, dtype=rotation.dtype, device=rotation.device).reshape(())
    x, y = width / min(height, width), height / min(height, width)  # the picture's corner in NDC
    corners = rotation.new_tensor([[-x, y], [x, y], [x, -y], [-x, -y]])
    half = camera.half_extent(rotation) * (distance if camera.projection == "perspective" else 1)  # () or (B,)
    corners = corners * half[..., None, None]  # (..., 4, 2)
    points = torch.cat([corners, -distance.expand_as(corners[..., :1])], -1)  # (..., 4, 3) in camera space
    world = (points - camera.translation[..., None, :]) @ rotation  # the inverse of rotation @ world + translation
    return torch.cat([camera.eye[..., None, :], world], -2), torch.tensor(EDGES, device=rotation.device)
