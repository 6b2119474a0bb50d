"""Data sets: pictures from known cameras, procedural or read from folders.

Functions that have the name of their file (`mesh_views`, `phong_views`) are imported from there.
"""

from labkit.data.mesh_views import in_unit_sphere
from labkit.data.multiview import MultiView, Pixels, psnr
from labkit.data.phong_scene import PhongScene
from labkit.data.phong_views import Bound, Sightings, orbit_views, random_views, view_independent_bound

__all__ = [
    "Bound",
    "MultiView",
    "PhongScene",
    "Pixels",
    "Sightings",
    "in_unit_sphere",
    "orbit_views",
    "psnr",
    "random_views",
    "view_independent_bound",
]
