"""Pictures out of scenes."""

from labkit.render.probe import Contribution as Contribution
from labkit.render.probe import probe as probe
from labkit.render.raster import DIBR as DIBR
from labkit.render.raster import N3MR as N3MR
from labkit.render.raster import AlgoNet as AlgoNet
from labkit.render.raster import GenDR as GenDR
from labkit.render.raster import Hard as Hard
from labkit.render.raster import Rasterizer as Rasterizer
from labkit.render.raster import SoftRas as SoftRas
from labkit.render.raster import rasterize as rasterize
from labkit.render.raster import warm_up as warm_up
from labkit.render.scene import Rendering as Rendering
from labkit.render.scene import Triangles as Triangles
from labkit.render.scene import render as render
from labkit.render.scene import triangulate as triangulate
