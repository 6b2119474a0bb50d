# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,jupyter,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. How does a vertex learn where to go?
#
# A loss looks at a picture. It knows nothing of meshes. Still, after one pass backwards, every vertex has an arrow that
# says where to go. This notebook follows the gradient on that way, through several renderers side by side.
#
# **You will learn**
# - the two halves of the way: what the loss asks of each pixel, and what each vertex can do to it;
# - how soft edges turn a jump into a slope, and how far that slope reaches;
# - how to find out why the gradient of a vertex is zero;
# - where gradients of renderers lie, vanish, or point the wrong way.
#
# Needs: basic Python, and what a derivative is. Runs in about 40 seconds on two CPU cores, no GPU; the first run on a
# machine takes longer, since the kernels are compiled once.

# %%
import math
from dataclasses import replace

import torch
from IPython.display import Image, display

from labkit.geometry import Mesh
from labkit.lab import gradient_field as field
from labkit.lab.explorer_render import Cache
from labkit.lab.gradient_panel import GradientPanel
from labkit.lab.gradient_plots import lines, outlined
from labkit.lab.gradient_state import SURROGATE, GradientState
from labkit.lab.hosts import headless
from labkit.lab.plots import curves, pictures
from labkit.render import Hard, SoftRas
from labkit.render.diagnose import influence, picture, why_zero
from labkit.scene import Camera

QUICK = headless()  # without a browser everything is made smaller
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## The panel
#
# The white circle is the target: the same ball, moved. Press *Run*: three renderers chase it, each in its own way.
#
# - **Pictures**: click one. The nearest vertex is chosen, and the faces that make the pixel turn orange in 3D. Drag,
#   and the vertex moves.
# - **d loss / d picture**: red pixels should get darker and emptier, blue ones brighter and fuller.
# - **3D view**: the arrows are minus the gradient, the longest always equally long. The colours are its length on a
#   logarithmic scale.
# - **Footprint**: the pixels that the chosen vertex can change.
# - **Loss along a line**: is the slope that autodiff claims (black) the slope that the loss has (dots)?

# %%
panel = GradientPanel(**({"size": 48, "steps": 4} if QUICK else {}))
display(panel)

# %%
if QUICK:  # with a browser you press Run yourself
    panel.runner.run()

# %% [markdown]
# ## 1. Two halves of the way
#
# The chain rule splits the gradient of a vertex $v$ at the picture $I$:
#
# $$\frac{\partial L}{\partial v} = \sum_{\text{pixels } p} \frac{\partial L}{\partial I_p} \,
# \frac{\partial I_p}{\partial v}$$
#
# The first factor is the **adjoint** of the picture: what the loss asks for. The renderer has no part in it. The
# second is the **footprint** of the vertex: what it can do. The loss has no part in that. Below, the footprint is
# *measured*: the vertex is moved by a quarter of a pixel to either side. Multiplied by the adjoint and summed, it must
# give what autodiff says.

# %%
state = GradientState(size=48 if QUICK else 64)
problem = field.pose(state, Cache())
soft = state.rasterizer("SoftRas")
flow = field.flow(problem, soft, problem.mesh.vertices)
vertex = int(flow.gradient.norm(dim=-1).argmax())  # the one that is pulled most

moved = influence(problem.mesh, problem.camera, problem.size, soft, vertex)  # (2, 4, H, W): right and up
measured = (moved * flow.adjoint).sum((1, 2, 3))

depth = problem.camera.project(flow.vertices[vertex])[2]
pixel = 2 / problem.size[0] * depth * problem.camera.half_extent(depth)  # world units
autodiff = pixel * problem.camera.rotation[:2] @ flow.gradient[vertex]
print(f"vertex {vertex}, change of the loss for one pixel right and up")
print(f"  footprint times adjoint: {measured.tolist()}")
print(f"  autodiff:                {autodiff.tolist()}")

size = moved.square().sum((0, 1)).sqrt()  # (H, W)
shown = [
    torch.from_numpy(outlined(flow.picture[:3], problem.target[3])).movedim(-1, 0),
    flow.adjoint[3] / flow.adjoint.abs().max() * 0.5 + 0.5,
    size / size.max(),
]
display(Image(pictures(shown, ["picture", "adjoint: grey 0, black −, white +", f"footprint of vertex {vertex}"])))

# %% [markdown]
# ## 2. A jump becomes a slope
#
# Move the whole ball to the right and watch the loss. All renderers agree on the valley, more or less: it is there even
# with hard edges. But a hard renderer's *derivative* knows nothing of it.
#
# **N3MR** draws hard edges too. What it sends back is a **surrogate**, made up by hand: not the derivative of anything.
# Its sign is useful, its length is not. So plain gradient descent needs another rate with it, and Adam, which
# divides lengths away, is its friend.

# %%
count = 9 if QUICK else 17
added = field.direction(state, problem)  # one world unit to the right, for every vertex
names = ("SoftRas", SURROGATE, "Hard")
found = {name: field.along(problem, state.rasterizer(name), problem.mesh.vertices, added, count) for name in names}
display(Image(lines(found, "moved by (world units)", (760, 300))))

# %% [markdown]
# ## 3. Why is this gradient zero?
#
# A silhouette moves few vertices. All others stay where they are, each for a reason. `why_zero` goes through the
# reasons: the vertex is in no face, culled (before the near plane, or its faces have no area), outside the frame,
# occluded, saturated, or the loss does not care. It tells the numbers. Ask it about some vertices of a ball, and of a
# ball that is too near.


# %%
def ask(asked, name, vertex, vertices=None):
    """One line about one vertex."""
    soft = asked.rasterizer(name)
    problem = field.pose(asked, Cache())
    flow = field.flow(problem, soft, problem.mesh.vertices)
    mesh = problem.mesh.replace(vertices=flow.vertices)
    found = why_zero(mesh, problem.camera, problem.size, soft, vertex, flow.gradient, flow.adjoint)
    print(f"{name:8} {found.kind:14} {found.text}")


facing = problem.camera.eye @ problem.mesh.vertices.T  # greatest for the vertex that is nearest to the eye
front, back = int(facing.argmax()), int(facing.argmin())
ask(state, "SoftRas", vertex)
ask(state, "SoftRas", front)
ask(state, "GenDR", back)
ask(state, "Hard", vertex)
ask(replace(state, loss="one pixel", pick=(0.5, 0.82)), "GenDR", vertex)
ask(replace(state, distance=1.2), "SoftRas", vertex)

# %% [markdown]
# ## Try it
#
# In the panel above:
#
# 1. Set the edge width to 1, to 3, to 10. Which footprints grow? What happens to the loss at the best place?
# 2. Choose *one pixel* and click far outside the ball. Whose gradient is left?
# 3. Choose *what may move: the whole mesh* and *plain gradient*. Does N3MR still arrive?
# 4. Choose *match a picture*. Now Hard has a gradient too: through the shading, not through the outline.
# 5. Put *Hard* first. Ask it why, for any vertex.
#
# ## 4. Where it fails
#
# 1. **Hard edges give nothing.** The derivative of a jump is zero on both sides of it.
# 2. **SoftRas is flat just at the outline.** Its coverage is a sigmoid of the *squared* distance, and a square is flat
#    at zero. So the pixels on the outline itself pull least (first picture below).
# 3. **Far is nothing.** SoftRas drops faces whose coverage is below $10^{-4}$, GenDR with a uniform distribution ends
#    after half an edge. Move a target away until it no longer overlaps: then the loss falls if the ball *shrinks*, and
#    that is what the arrows say. Moving it changes nothing until the two touch (second picture below).
# 4. **Wide edges swell small faces.** Alpha combines all faces at a pixel. If the edge is wider than the faces, many of
#    them claim each pixel, and the silhouette grows. AlgoNet's also leak past their tips. Try it with an edge of 10.
# 5. **A surrogate is no gradient.** Add a regularizer with a true gradient to N3MR's, and their balance means nothing.

# %%
distance = torch.linspace(
    -2.5, 2.5, 201, dtype=torch.float64, requires_grad=True
)  # of a pixel, in units of sqrt(sigma)
squared = torch.sigmoid(distance * distance.abs())
(slope,) = torch.autograd.grad(squared.sum(), distance)
linear = torch.sigmoid(distance.detach())
shown = {
    "SoftRas: slope of its coverage": (slope.tolist(), "#009e73", 1.0),
    "logistic GenDR: slope of its coverage": ((linear * (1 - linear)).tolist(), "#cc79a7", 1.0),
}
display(
    Image(curves(distance.tolist(), shown, "distance inside the outline (edge half-widths)", "slope of the coverage"))
)

# %%
ball, right = 0.25 * problem.mesh.vertices, problem.camera.rotation[0]  # a small ball, and its target 1 unit away
with torch.no_grad():
    goal = picture(problem.mesh.replace(vertices=ball + right), problem.camera, problem.size, Hard())
far = replace(problem, target=goal)
moves = torch.linspace(-0.4, 1.4, 13 if QUICK else 37).tolist()
losses = [field.flow(far, soft, ball + move * right).loss for move in moves]
display(Image(curves(moves, {"SoftRas": (losses, "#009e73", 1.0)}, "small ball moved right (world units)", "loss")))
start = field.flow(far, soft, ball)
print(f"at 0: d loss / d move = {float((start.gradient @ right).sum()):+.1e}", end=", ")
print(f"d loss / d size = {float((start.gradient * ball).sum() / 0.25):+.1e}: so it shrinks")

# %% [markdown]
# ## Exercises
#
# Fill in your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away below
# each one.
#
# **Exercise 1.** Write `pull(influence, adjoint)`: from the footprint of a vertex (2, 4, H, W) and the adjoint of the
# picture (4, H, W), how the loss changes for one pixel that the vertex moves right, and up.


# %%
def pull(influence, adjoint):
    """One line is enough; returns two numbers."""
    return ...


def check_1(answer):
    """Against autodiff."""
    got = answer(moved, flow.adjoint)
    if got is ...:
        return "not answered yet"
    error = float((torch.as_tensor(got) - autodiff).norm() / autodiff.norm())
    assert error < 0.1, f"Off by {error:.0%}. Hint: the chain rule sums over pixels and channels."
    return "right"


check_1(pull)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1
check_1(lambda influence, adjoint: (influence * adjoint).sum((1, 2, 3)))

# %% [markdown]
# **Exercise 2.** SoftRas forgets a face at a pixel where its coverage, a sigmoid of $-d^2 / \sigma$ at the distance
# $d$ outside, is below $10^{-4}$. The edge width is $2 \sqrt{\sigma}$. How wide must the edge be at least, in pixels,
# so that a pixel 12 pixels outside the outline still pulls?

# %%
answer_2 = ...  # pixels


def check_2(width):
    """A pixel 12 pixels right of a square, with an edge a little narrower and a little wider."""
    if width is ...:
        return "not answered yet"
    eye = Camera.look_at((0.0, 0.0, 2.0), fov=90.0)  # 48 pixels span 4 world units
    x = -1 / 24  # the middle of column 23
    corners = torch.tensor([[-1.0, -1.0, 0.0], [x, -1.0, 0.0], [x, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    pulls = []
    for part in (0.95, 1.05):
        at = corners.clone().requires_grad_()
        square = Mesh(at, torch.tensor([[0, 1, 2], [0, 2, 3]]))
        image = picture(square, eye, (48, 48), SoftRas.from_pixels(part * float(width), (48, 48)))
        (slope,) = torch.autograd.grad(image[3, 24, 23 + 12], at)
        pulls.append(bool(slope.abs().sum() > 0))
    assert pulls[1], f"With {1.05 * width:.3g} pixels there is still nothing"
    assert not pulls[0], f"{0.95 * width:.3g} pixels are already enough"
    return "right"


check_2(answer_2)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2: d^2 / sigma = ln(9999), so d = 3.03 sqrt(sigma) = 1.52 edge widths.
check_2(12 / (math.sqrt(math.log(9999)) / 2))

# %% [markdown]
# **Exercise 3.** At which distance inside the outline is the slope of SoftRas' coverage greatest, in units of
# $\sqrt{\sigma}$? (The first picture above shows it; two digits are enough.)

# %%
answer_3 = ...


def check_3(place):
    """Is the slope smaller on both sides?"""
    if place is ...:
        return "not answered yet"
    places = torch.tensor([place - 0.1, place, place + 0.1], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sigmoid(places * places.abs()).sum(), places)
    assert slope.argmax() == 1, f"slopes at {places.tolist()}: {slope.tolist()}"
    return "right: half an edge away from the outline, and nothing on it"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: the slope 2 x s (1 - s), s = sigmoid(x^2), is greatest where 2 x^2 tanh(x^2 / 2) = 1.
check_3(1.02)

# %% [markdown]
# ## Conclusion
#
# A gradient of a renderer is a sum over pixels: what the loss asks, times what the vertex can do. Softness makes the
# second factor more than zero near an outline, and only there. What is occluded, saturated, outside or too far stays
# still, and a zero has a reason that can be found. Autodiff can be checked at any time by moving a vertex and looking.
# References: Liu et al., *Soft Rasterizer*, 2019; Petersen et al., *GenDR*, 2022; Chen et al., *DIB-R*, 2019;
# Kato et al., *Neural 3D Mesh Renderer*, 2018; Petersen et al., *AlgoNet*, 2019.
