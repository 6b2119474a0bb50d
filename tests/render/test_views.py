"""Scenes and poses: the record draws what `render` draws, and poses make the cameras that they name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tolerances import FLOAT64

from labkit.errors import DomainError, DTypeError
from labkit.geometry import icosphere
from labkit.render import AlgoNet, Hard, render
from labkit.render.views import FreePose, OrbitPose, Pose, Scene
from labkit.scene import Ambient, BlinnPhong, Camera

D = torch.float64
LENS = {"fov": 40.0, "near": 0.1, "half_height": 2.0}


def test_scene_draws_what_render_draws() -> None:
    """Every field reaches `render`: the pictures are the same, and change with each field."""
    camera = Camera.orbit(torch.tensor([30.0, 80.0]), 20.0, 3.0)
    mesh = icosphere(1)
    mesh = mesh.replace(uv=3 * mesh.vertices[:, :2], texture=torch.linspace(0, 1, 48).view(3, 4, 4))
    background = torch.tensor([0.1, 0.2, 0.3])
    settings = {
        "rasterizer": Hard(),
        "material": BlinnPhong(0.5, 3.0),
        "lights": (Ambient(0.2),),
        "background": background,
        "shading": "phong",
        "wrap": "clamp",
    }
    scene = Scene(mesh, camera, (12, 10), **settings)
    seen = scene.render(layers=True)
    expected = render(mesh, camera, (12, 10), layers=True, **settings)
    for name in ("color", "alpha", "normal", "depth"):
        assert torch.equal(getattr(seen, name), getattr(expected, name))
    others = {
        "rasterizer": replace(scene, rasterizer=AlgoNet(), shading="gouraud"),
        "lights": replace(scene, lights=(Ambient(0.4),)),
        "background": replace(scene, background=None),
        "shading": replace(scene, shading="flat"),
        "wrap": replace(scene, wrap="repeat"),
    }
    assert [name for name, other in others.items() if torch.equal(other.render().color, seen.color)] == []


def test_the_plain_scene_is_the_plain_picture() -> None:
    scene = Scene(icosphere(1), Camera.orbit(30.0, 20.0, 3.0), (8, 8))
    assert torch.equal(scene.render().color, render(scene.mesh, scene.camera, (8, 8)).color)


def test_orbit_pose() -> None:
    angles = torch.tensor([30.0, -70.0], dtype=D)
    pose = OrbitPose(angles, 20.0, 3.0, (1.0, 2.0, 3.0), projection="orthographic", **LENS)
    camera = Camera.orbit(angles, 20.0, 3.0, (1.0, 2.0, 3.0), projection="orthographic", **LENS)
    assert torch.equal(pose.camera().rotation, camera.rotation)
    assert torch.equal(pose.camera().translation, camera.translation)
    for name in ("projection", *LENS):
        assert getattr(pose.camera(), name) == getattr(camera, name)


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_free_pose_of_a_camera(projection: str) -> None:
    """The pose of a camera makes that camera again, whatever the length of its quaternion."""
    angles = torch.tensor([30.0, -170.0], dtype=D)
    camera = Camera.orbit(angles, -80.0, 3.0, (1.0, 2.0, 3.0), projection=projection, **LENS)
    pose = FreePose.of(camera)
    for made in (pose.camera(), replace(pose, orientation=-5 * pose.orientation).camera()):
        torch.testing.assert_close(made.rotation, camera.rotation, **FLOAT64)
        torch.testing.assert_close(made.translation, camera.translation, **FLOAT64)
        assert (made.fov, made.projection, made.near, made.half_height) == (40.0, projection, 0.1, 2.0)


def test_what_is_a_pose() -> None:
    assert isinstance(OrbitPose(), Pose)
    assert not isinstance(Camera.orbit(0.0, 0.0, 3.0), Pose)


def test_errors() -> None:
    with pytest.raises(DTypeError, match="camera"):
        Scene(icosphere(0), "in front", (8, 8)).render()
    with pytest.raises(DomainError, match="distance"):
        OrbitPose(distance=-1.0).camera()
    with pytest.raises(DomainError, match="quaternion"):
        FreePose(torch.zeros(4), (0.0, 0.0, 3.0)).camera()
