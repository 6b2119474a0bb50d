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
    "Ambient",
    "BlinnPhong",
    "Camera",
    "CookTorrance",
    "Directional",
    "LabError",
    "Lambert",
    "Mesh",
    "Phong",
    "Point",
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
    "save_mesh",
    "shade",
    "torus",
    "voxel_iou",
]
