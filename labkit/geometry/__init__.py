"""Meshes, shapes, files, voxels, measures and regularizers."""

from labkit.geometry.binvox import read_binvox, write_binvox
from labkit.geometry.furniture import BathtubShape, ChairShape, CouchShape, bathtub, chair, couch
from labkit.geometry.household import BenchShape, LampShape, TableShape, bench, lamp, table
from labkit.geometry.io import load_mesh, save_mesh
from labkit.geometry.marching import marching_cubes
from labkit.geometry.mesh import Mesh
from labkit.geometry.metrics import (
    SurfaceSamples,
    chamfer,
    chamfer_squared,
    f_score,
    nearest,
    normal_consistency,
    sample_surface,
    voxel_iou,
)
from labkit.geometry.regularizers import (
    adjacent_faces,
    edge_loss,
    flatness_loss,
    laplacian_loss,
    neighbor_loss,
    normal_loss,
)
from labkit.geometry.shapes import box_union, icosphere, torus
from labkit.geometry.vehicles import AirplaneShape, CarShape, airplane, car
from labkit.geometry.voxel_surface import cubes_mesh
from labkit.geometry.voxels import VoxelGrid, mesh_to_voxels

__all__ = [
    "AirplaneShape",
    "BathtubShape",
    "BenchShape",
    "CarShape",
    "ChairShape",
    "CouchShape",
    "LampShape",
    "Mesh",
    "SurfaceSamples",
    "TableShape",
    "VoxelGrid",
    "adjacent_faces",
    "airplane",
    "bathtub",
    "bench",
    "box_union",
    "car",
    "chair",
    "chamfer",
    "chamfer_squared",
    "couch",
    "cubes_mesh",
    "edge_loss",
    "f_score",
    "flatness_loss",
    "icosphere",
    "lamp",
    "laplacian_loss",
    "load_mesh",
    "marching_cubes",
    "mesh_to_voxels",
    "nearest",
    "neighbor_loss",
    "normal_consistency",
    "normal_loss",
    "read_binvox",
    "sample_surface",
    "save_mesh",
    "table",
    "torus",
    "voxel_iou",
    "write_binvox",
]
