"""Mesh rasterizers: one operator, several choices of coverage, alpha and occlusion."""

from labkit.render.raster.algonet import AlgoNet as AlgoNet
from labkit.render.raster.dibr import DIBR as DIBR
from labkit.render.raster.gendr import GenDR as GenDR
from labkit.render.raster.hard import Hard as Hard
from labkit.render.raster.n3mr import N3MR as N3MR
from labkit.render.raster.op import Rasterizer as Rasterizer
from labkit.render.raster.op import rasterize as rasterize
from labkit.render.raster.op import warm_up as warm_up
from labkit.render.raster.softras import SoftRas as SoftRas
