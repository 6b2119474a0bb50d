"""Triangle meshes: one frozen record of tensors, and what follows from it alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_tensor


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh, or a batch of B meshes that share their faces and differ in the vertices.

    Nothing is checked on construction; call `validate` at a border (files, renderer). Two meshes compare by identity.

    Args:
        vertices: (V, 3) or (B, V, 3), float32 or float64, world units, right-handed, y up.
        faces: (F, 3) int64, vertex indices, counter-clockwise seen from outside.
        uv: (V, 2) or None; u to the right and v up, [0, 1] spans the texture once, values outside repeat it.
        colors: (V, 3) or None, red, green, blue in [0, 1].
        normals: (V, 3) or None, as stored in a file; `vertex_normals` computes them from the surface.
        texture: (3, H, W) or None, in [0, 1], row 0 on top; needs ``uv``.
    """

    vertices: Tensor
    faces: Tensor
    uv: Tensor | None = None
    colors: Tensor | None = None
    normals: Tensor | None = None
    texture: Tensor | None = None

    def validate(self) -> Mesh:
        """Return the mesh itself if every field is sound; zero vertices and zero faces are.

        Raises:
            ShapeError: a field has the wrong sizes.
            DTypeError: faces are not int64, or the other fields are not all float32 or all float64.
            DeviceError: the fields lie on different devices.
            DomainError: NaN or infinity (the first is named), a face that points outside the vertices (the first is
                named), colours outside [0, 1], a texture without ``uv``.
        """
        batched = isinstance(self.vertices, Tensor) and self.vertices.ndim == 3
        check_tensor("vertices", self.vertices, "B V 3" if batched else "V 3")
        check_tensor("faces", self.faces, "F 3", integer=True)
        count = self.vertices.shape[-2]
        floats = {"uv": self.uv, "colors": self.colors, "normals": self.normals, "texture": self.texture}
        shapes = {"uv": f"{count} 2", "colors": f"{count} 3", "normals": f"{count} 3", "texture": "3 H W"}
        for name, value in floats.items():
            if value is None:
                continue
            check_tensor(name, value, shapes[name])
            if value.dtype != self.vertices.dtype:
                raise DTypeError(name, value.dtype, f"{self.vertices.dtype}, the type of the vertices")
        check_device(vertices=self.vertices, faces=self.faces, **floats)
        outside = ((self.faces < 0) | (self.faces >= count)).any(-1)  # (F,)
        if bool(outside.any()):
            first = int(outside.nonzero()[0])
            raise DomainError(
                "faces", f"face {first} = {tuple(self.faces[first].tolist())}", f"indices in [0, {count})"
            )
        for name in ("colors", "texture"):
            value = floats[name]
            if value is not None and bool(((value < 0) | (value > 1)).any()):
                low, high = value.min().item(), value.max().item()
                raise DomainError(name, f"values from {low:g} to {high:g}", "values from 0 to 1 (scale or clamp them)")
        if self.texture is not None and 0 in self.texture.shape:
            raise ShapeError("texture", tuple(self.texture.shape), "at least one pixel")
        if self.texture is not None and self.uv is None:
            raise DomainError("texture", "a texture without uv", "uv, or no texture")
        return self

    def replace(self, **fields: Any) -> Mesh:
        """A copy with the named fields exchanged, e.g. ``mesh.replace(vertices=moved)``."""
        return dataclasses.replace(self, **fields)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Mesh:
        """A copy on another device and, for all fields but the faces, of another floating type."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return self.replace(
            **{
                name: value.to(device, None if name == "faces" else dtype)
                for name, value in fields.items()
                if value is not None
            }
        )

    def weld(self, tolerance: float = 0.0) -> Mesh:
        """Merge vertices that coincide (in every mesh of a batch), in the order of their first occurrence.

        A merged vertex has the position of the first of its group. Colours become the group's mean. ``normals`` are
        dropped if they differ within any group, ``uv`` likewise and the texture with it: across a seam or a crease
        one value per vertex cannot stand for both sides. All faces are kept in their order, those too that become
        degenerate because two of their corners merged.

        Args:
            tolerance: 0 merges equal positions only; else the pitch, in world units, of the grid to whose nearest
                point positions are rounded before they are compared. So closer than the pitch may still stay apart,
                and merged vertices differ by at most the pitch along each axis.

        Raises:
            DomainError: the tolerance is negative or not finite.
        """
        if not 0 <= tolerance < float("inf"):
            raise DomainError("tolerance", tolerance, "a finite number, 0 or greater, in world units")
        count = self.vertices.shape[-2]
        if self.vertices.numel() == 0:
            return self
        keys = self.vertices.detach().movedim(-2, 0).reshape(count, -1)  # (V, 3) or (V, B * 3)
        if tolerance:
            keys = (keys / tolerance).round()
        _, group = torch.unique(keys, dim=0, return_inverse=True)  # (V,)
        ids = torch.arange(count, device=group.device)
        head = torch.full_like(group, count).scatter_reduce(0, group, ids, "amin")[group]  # (V,) first of the group
        first = (head == ids).nonzero().squeeze(-1)  # (U,)
        index = torch.searchsorted(first, head)  # (V,) old vertex -> new vertex

        def same(value: Tensor | None) -> bool:
            return value is not None and torch.equal(value, value[head])

        uv = self.uv[first] if self.uv is not None and same(self.uv) else None
        colors = None
        if self.colors is not None:
            # Mean of differences to the first: equal colours come out unchanged to the last bit.
            size = torch.bincount(index).to(self.colors.dtype)  # (U,)
            difference = torch.zeros_like(self.colors[first]).index_add(0, index, self.colors - self.colors[head])
            colors = self.colors[first] + difference / size[:, None]
        return Mesh(
            vertices=self.vertices.index_select(-2, first),
            faces=index[self.faces],
            uv=uv,
            colors=colors,
            normals=self.normals[first] if self.normals is not None and same(self.normals) else None,
            texture=None if uv is None else self.texture,
        )

    def normalized(self) -> Mesh:
        """A copy whose bounding box is centred at the origin and whose farthest vertex lies at distance 1.

        Each mesh of a batch is normalized by itself. Vertices that no face uses count too. A mesh of one point (or
        of many at one place) moves to the origin; one without vertices stays as it is.
        """
        if self.vertices.shape[-2] == 0:
            return self
        low, high = self.vertices.amin(-2, keepdim=True), self.vertices.amax(-2, keepdim=True)  # (..., 1, 3)
        centred = self.vertices - (low + (high - low) / 2)
        # Dividing by the largest coordinate first keeps the squares of the norm inside the range of float32.
        for size in (lambda v: v.abs(), lambda v: torch.linalg.vector_norm(v, dim=-1, keepdim=True)):
            radius = size(centred).amax((-2, -1), keepdim=True)  # (..., 1, 1)
            centred = centred / torch.where(radius > 0, radius, torch.ones_like(radius))
        return self.replace(vertices=centred)

    def face_vertices(self) -> Tensor:
        """(..., F, 3, 3): for each face its three corners, each x, y, z; differentiable."""
        corners = self.vertices.index_select(-2, self.faces.flatten())  # (..., F * 3, 3)
        return corners.unflatten(-2, (self.faces.shape[0], 3))

    def face_normals(self) -> Tensor:
        """(..., F, 3): outward unit normals, zero (with finite gradients) for faces without area; differentiable."""
        return _unit(self._crossed_edges())

    def vertex_normals(self) -> Tensor:
        """(..., V, 3): unit normals, the mean of the normals of the faces around each vertex weighted by their area.

        Zero, with finite gradients, where no face is or the sum vanishes; differentiable.
        """
        crossed = self._crossed_edges().repeat_interleave(3, dim=-2)  # (..., F * 3, 3)
        return _unit(torch.zeros_like(self.vertices).index_add(-2, self.faces.flatten(), crossed))

    def edges(self) -> Tensor:
        """(E, 2) int64: every edge once, smaller index first, in lexicographic order.

        An edge from a vertex to itself (in a degenerate face) is none.
        """
        ends = torch.cat([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])  # (3 F, 2)
        ends = ends.sort(dim=-1).values
        ends = ends[ends[:, 0] != ends[:, 1]]
        count = self.vertices.shape[-2]
        key = torch.unique(ends[:, 0] * count + ends[:, 1])  # one integer per edge sorts much faster than rows
        return torch.stack([key // max(count, 1), key % max(count, 1)], dim=-1)

    def laplacian(self) -> Tensor:
        """(V, V) sparse: the uniform Laplacian L = I - D^-1 A, whose product (L v)_i = v_i - mean of its neighbours.

        Every row sums to zero; a vertex without neighbours has an empty row. Depends on the faces only.
        """
        count = self.vertices.shape[-2]
        ends = self.edges()
        rows, columns = torch.cat([ends, ends.flip(-1)]).unbind(-1)  # (2 E,) each
        degree = torch.bincount(rows, minlength=count).to(self.vertices)  # (V,)
        linked = degree.nonzero().squeeze(-1)
        indices = torch.stack([torch.cat([rows, linked]), torch.cat([columns, linked])])
        values = torch.cat([-1 / degree[rows], torch.ones_like(degree[linked])])
        return torch.sparse_coo_tensor(indices, values, (count, count), check_invariants=False).coalesce()

    def _crossed_edges(self) -> Tensor:
        """(..., F, 3): cross products of the edges, in units of the squared extent of the mesh (held constant)."""
        a, b, c = self.face_vertices().unbind(-2)  # (..., F, 3) each
        if self.vertices.shape[-2] == 0:
            return a
        still = self.vertices.detach()
        extent = (still.amax(-2, keepdim=True) - still.amin(-2, keepdim=True)).amax(-1, keepdim=True)  # (..., 1, 1)
        extent = torch.where(extent > 0, extent, torch.ones_like(extent))
        return torch.linalg.cross((b - a) / extent, (c - a) / extent)


def _unit(crossed: Tensor) -> Tensor:
    # Corners nearer than eps times the extent cannot be told apart, so an area of eps^2 is where a face begins.
    guard = torch.finfo(crossed.dtype).eps ** 2
    return crossed / (crossed.square().sum(-1, keepdim=True) + guard**2).sqrt()
