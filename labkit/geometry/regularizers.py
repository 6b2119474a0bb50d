"""Losses that keep a deforming mesh regular: the three of the reconstructing adversarial network, two of DIB-R.

Each takes a mesh and gives a scalar, or (B,) for a batch of meshes. Each is differentiable with respect to the
vertices and a mean over edges or vertices, so that it hardly changes with the resolution (multiply by their number
where a paper sums). A mesh without the thing that is averaged has loss 0 with zero gradient. Vertices and faces are
checked first, with the errors of `Mesh.validate`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.errors import ShapeError
from labkit.geometry.mesh import Mesh


def normal_loss(mesh: Mesh) -> Tensor:
    """Normals of adjacent faces should agree: ``mean over pairs (f, g) of |n_f - n_g|^2 = 2 - 2 cos(angle)``.

    Source: AlgoNet, Appendix D.1, first of three: "the angle of normals of adjacent faces should be as similar as
    possible (loss uses the L2 norm)". Read as the squared chord of the angle between the unit normals, which is the
    squared angle for small ones and, unlike it, smooth at a fold of 180 degrees. From 0 (flat) to 4 (folded).
    Faces without area have normal zero, at chord 1 from all others.
    """
    n, m = _adjacent_normals(mesh)
    return _mean((n - m).square().sum(-1))


def flatness_loss(mesh: Mesh) -> Tensor:
    """Flat neighbourhoods: ``mean over pairs (f, g) of adjacent faces of (1 - cos(angle of n_f and n_g))^2``.

    Source: DIB-R, section 4.1, L_sm ("the difference in normals for neighboring faces"), in the form of its public
    code and of SoftRas, which sum where this averages. Flatter than `normal_loss` near 0, so it spares gentle curves.
    """
    n, m = _adjacent_normals(mesh)
    return _mean((1 - (n * m).sum(-1)).square())


def edge_loss(mesh: Mesh) -> Tensor:
    """Edges should be equally long: ``mean over edges of |length - mean length|``, in world units.

    Source: AlgoNet, Appendix D.1, second of three: "the lengths of edges should be as similar as possible (loss uses
    the L1 norm)". The gradient is zero at edges of no length.
    """
    ends = _checked(mesh).edges()  # (E, 2)
    start, stop = (mesh.vertices.index_select(-2, ends[:, i]) for i in (0, 1))  # (..., E, 3) each
    lengths = torch.linalg.vector_norm(stop - start, dim=-1)  # (..., E)
    return _mean((lengths - _mean(lengths)[..., None]).abs())


def neighbor_loss(mesh: Mesh) -> Tensor:
    """Vertices should lie at their neighbours' mean: ``mean over vertices of |v_i - mean of its neighbours|``.

    Source: AlgoNet, Appendix D.1, third of three: "the distance to the mean vertex of adjacent vertices should be as
    small as possible" (loss uses the L1 norm), read as the L1 norm of the list of Euclidean distances, which does
    not depend on the choice of axes. World units. A vertex without neighbours counts as lying at their mean; the
    gradient is zero where the distance is.
    """
    return _mean(torch.linalg.vector_norm(_differential(mesh), dim=-1))


def laplacian_loss(mesh: Mesh, rest: Mesh | None = None) -> Tensor:
    """Differential coordinates should stay: ``mean over vertices of |d_i - d_i of the rest mesh|^2``.

    ``d_i = v_i - mean of its neighbours`` (`Mesh.laplacian`); without ``rest``, d_i should vanish. World units squared.
    Source: DIB-R, section 4.1, L_lap ("the change in relative positions of neighboring vertices"), on displacements
    as in its public code, which sums where this averages; SoftRas without ``rest``.

    Args:
        mesh: the deformed mesh.
        rest: the undeformed mesh; only its vertices are used.

    Raises:
        ShapeError: ``rest`` has another number of vertices.
    """
    if rest is None:
        return _mean(_differential(mesh).square().sum(-1))
    if rest.vertices.shape[-2] != mesh.vertices.shape[-2]:
        raise ShapeError("rest", tuple(rest.vertices.shape), f"{mesh.vertices.shape[-2]} vertices, as the mesh has")
    # The Laplacian is linear: that of the displacement is the difference of both.
    return _mean(_differential(mesh.replace(vertices=mesh.vertices - rest.vertices)).square().sum(-1))


def adjacent_faces(mesh: Mesh) -> Tensor:
    """(P, 2) int64: every pair of different faces that share an edge, smaller index first, once for each shared edge.

    A boundary edge gives none, an edge of k faces (where the surface is no manifold) all k (k - 1) / 2.
    """
    count = _checked(mesh).vertices.shape[-2]
    ends = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]).sort(dim=-1).values
    owner = torch.arange(mesh.faces.shape[0], device=ends.device).repeat(3)  # (3 F,)
    proper = ends[:, 0] != ends[:, 1]
    key, order = (ends[:, 0] * count + ends[:, 1])[proper].sort(stable=True)
    owner = owner[proper][order]
    pairs = [torch.empty(0, 2, dtype=torch.int64, device=ends.device)]
    offset, shared = 0, torch.ones(1, dtype=torch.bool)
    while bool(shared.any()):
        # Faces around one edge are consecutive: the pairs are those 1, 2, ... places apart.
        offset += 1
        shared = key[offset:] == key[:-offset]
        pairs.append(torch.stack([owner[:-offset][shared], owner[offset:][shared]], dim=-1))
    both = torch.cat(pairs).sort(dim=-1).values
    return both[both[:, 0] != both[:, 1]]


def _checked(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces).validate()  # a texture would take longer to check than the loss itself


def _adjacent_normals(mesh: Mesh) -> tuple[Tensor, Tensor]:
    pairs = adjacent_faces(mesh)
    normals = mesh.face_normals()
    return normals.index_select(-2, pairs[:, 0]), normals.index_select(-2, pairs[:, 1])  # (..., P, 3) each


def _differential(mesh: Mesh) -> Tensor:
    columns = mesh.vertices.movedim(-2, 0)  # (V, 3) or (V, B, 3)
    return (_checked(mesh).laplacian() @ columns.flatten(1)).view(columns.shape).movedim(0, -2)  # as the vertices


def _mean(values: Tensor) -> Tensor:
    return values.sum(-1) / max(values.shape[-1], 1)
