"""labkit: an interactive laboratory for differentiable rendering."""

from __future__ import annotations

from labkit.errors import LabError
from labkit.geometry import (
    Mesh,
    VoxelGrid,
    bathtub,
    chair,
    chamfer,
    couch,
    f_score,
    icosphere,
    load_mesh,
    marching_cubes,
    mesh_to_voxels,
    save_mesh,
    torus,
    voxel_iou,
)
from labkit.render import AlgoNet, Hard, Rendering, probe, rasterize, render
from labkit.scene import (
    Ambient,
    BlinnPhong,
    Camera,
    CookTorrance,
    Directional,
    Lambert,
    Phong,
    Point,
    shade,
)

__all__ = [
    "AlgoNet",
    "Ambient",
    "BlinnPhong",
    "Camera",
    "CookTorrance",
    "Directional",
    "Hard",
    "LabError",
    "Lambert",
    "Mesh",
    "Phong",
    "Point",
    "Rendering",
    "VoxelGrid",
    "bathtub",
    "chair",
    "chamfer",
    "couch",
    "f_score",
    "icosphere",
    "load_mesh",
    "marching_cubes",
    "mesh_to_voxels",
    "probe",
    "rasterize",
    "render",
    "save_mesh",
    "shade",
    "torus",
    "voxel_iou",
]
