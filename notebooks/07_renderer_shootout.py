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
# # 7. Which renderer has which gradient?
#
# Six renderers draw nearly the same picture of a mesh. They differ in what happens when you ask for its derivative:
# **AlgoNet**, **SoftRas**, **GenDR** and **DIB-R** soften edges, each in its own way; **N3MR** draws hard edges and
# *invents* a gradient for them; **Hard** has none. Here all six get the same scene, the same target and the same loss.
#
# **You will learn**
# - where each renderer wants every vertex to go, and what a step costs in time and memory;
# - how to check a gradient, and which of them are right: DIB-R's Table 1, measured;
# - how GenDR contains a whole family, 18 distributions by 9 t-conorms, and where each renderer fails;
# - how one camera is written in four other libraries.
#
# Needs: basic PyTorch, and notebook 1. Runs in about a minute on two CPU cores, no GPU.

# %%
import torch
from IPython.display import Image, display

from labkit import Camera, GenDR, Hard, SoftRas, rasterize, render
from labkit.lab.hosts import headless
from labkit.lab.plots import curves, pictures
from labkit.lab.shootout_cameras import cameras_picture
from labkit.lab.shootout_checks_panel import ChecksPanel
from labkit.lab.shootout_panel import ShootoutPanel
from labkit.lab.shootout_plots import COLORS, outlined
from labkit.lab.shootout_scene import SHAPES, contenders, pose
from labkit.lab.shootout_sheet import PARAMETERS, SheetPanel
from labkit.render.raster.t_conorms import T_CONORMS
from labkit.scene.camera_formats import to_kaolin, to_nvdiffrast, to_opencv, to_pytorch3d

# %% [markdown]
# ## Six renderers, one problem
#
# The mesh shall move onto its copy (orange outline). The arrows say where each renderer's gradient sends the vertices.
# Move the target, change the softness, then press *Run*: six descents race, each with its own gradient.

# %%
shootout = ShootoutPanel(steps=6 if headless() else 40)
display(shootout)

# %% [markdown]
# Try this:
# - Compare *silhouette* with *colours*. DIB-R is soft **outside** the outline only, in alpha; its colours are hard.
# - Make the edges 0.6 pixels wide, and move the target 30 pixels to the right and 30 upwards, so that the two do not
#   touch. All arrows point inwards: the shape shrinks, and nobody knows the way. N3MR does not either, though it looks
#   along whole rows and columns. Widen the edges: the arrows of the soft ones lean towards the target again.
# - Watch the *loss* fall while 1 - IoU of the hard outlines rises: a soft picture is larger than its mesh, so the mesh
#   shrinks, or backs off, until the soft picture fits. That bias is the price of softness.
#
# ## 1. One number for softness
#
# Each paper measures softness by its own letter: AlgoNet a steepness $s$, SoftRas $\sigma$ (a squared length), GenDR
# $\tau$ (a length), DIB-R $\delta$ (a squared length). A width in **pixels** links them:
#
# $$w = \frac{2}{s} = 2\sqrt{\sigma} = 2\tau \qquad\text{and for DIB-R}\qquad w = \sqrt{\delta \ln 2}$$
#
# each over the size of a pixel. The first three fade over $w$, across the outline; DIB-R falls from 1 on the outline to
# 1/2 at the distance $w$ outside. So with equal $w$ its picture looks softest.

# %%
size = (64, 64)
soft = contenders(3.0, size)
for name, letter in {"AlgoNet": "steepness", "SoftRas": "sigma", "GenDR": "tau", "DIB-R": "delta"}.items():
    print(f"{name:8s} {soft[name].edge_width_px(size):.1f} px is {letter} = {getattr(soft[name], letter):.4g}")

# %% [markdown]
# ## 2. What does a step cost?
#
# Time of forward and backward, and the bytes of all tensors that autograd keeps in between. (What a kernel uses inside
# a pass is not in that number.) *Reference* is plain PyTorch, every pixel by every face; the *kernel* streams.

# %%
problem = pose("sphere")
print("80 faces, 64 x 64 pixels         kernel                   reference")
for name, rasterizer in soft.items():
    told = []
    for backend in ("kernel", "reference"):
        problem.measure(problem.mesh.vertices, rasterizer, backend)  # the first pass may compile
        found = problem.measure(problem.mesh.vertices, rasterizer, backend)
        told.append(f"{1e3 * found.seconds:6.1f} ms {found.kept / 1e6:8.2f} MB")
    print(f"{name:17s}     " + "     ".join(told))

# %% [markdown]
# ## 3. Which gradients are right?
#
# A gradient is right if it agrees with a **difference quotient**, in any direction $d$:
#
# $$\nabla f \cdot d \;\approx\; \frac{f(\theta + h d) - f(\theta - h d)}{2 h}$$
#
# A tiny $h$ asks: is it the derivative? A visible step (half a pixel) asks: is the derivative *of use*? Between two
# jumps a staircase has a perfect derivative of 0. DIB-R's Table 1 says with ticks which renderer of its time had a
# gradient for what. Press *Run*: each tick is measured.

# %%
checks = ChecksPanel()
if headless():
    checks.run()
display(checks)

# %% [markdown]
# What comes out:
# - **Everything that is not geometry is right everywhere**: colours, textures, texture coordinates, lights and
#   materials are ordinary PyTorch around the rasterizer. What the paper's ticks leave out was code, not maths.
# - **Hard has no gradient of the silhouette.** The picture changes, the gradient is exactly zero.
# - **N3MR's is wrong**, and is not meant to be right: it is a *surrogate*. Look at the second number: the direction
#   is good, often as good as that of the soft ones. Its length means nothing.
# - **Yellow**: exact, but blind to jumps. DIB-R's colours are those of a hard renderer. SoftRas and GenDR choose the
#   nearest face by a sharp softmax, and cut faint faces off: nearly a jump. Only AlgoNet is smooth in every way here,
#   and pays for it with the pictures of section 5.
#
# AlgoNet and N3MR take texture and light at the vertices here, SoftRas and GenDR the light; all else is per pixel.
#
# ## 4. GenDR: a family
#
# GenDR asks two questions. How does a face fade, as a distribution $F$ of the signed distance $d$? And how do faces add
# up, as a t-conorm $\perp$, a soft *or*?
#
# $$D_f = F(d_f / \tau) \qquad\qquad \alpha = D_1 \perp D_2 \perp \dots \perp D_n$$
#
# SoftRas' alpha is *logistic* with *probabilistic* and the squared distance; DIB-R's is *exponential_rev*; AlgoNet's is
# not in the family, since it multiplies three edges. Point at a picture for its name, and click to enlarge it.

# %%
sheet = SheetPanel()
sheet.run()
display(sheet)

# %% [markdown]
# White all over: too soft at this width (heavy tails, as *cauchy*, or a t-conorm that adds up, as *aczel_alsina*). Grey
# inside: the *or* is weak (*max* shows each edge in the mesh).
#
# ## 5. Where each one fails
#
# First the four soft ones; the orange outline is the hard one.

# %%
big, blue = (96, 96), torch.tensor([0.2, 0.3, 0.6])
chair = pose("chair", 96, shift=(0.0, 0.0))  # its target is its own hard picture


def seen(rasterizer, colours=False):
    found = render(chair.mesh, chair.camera, big, rasterizer, background=blue)
    return outlined((found.color if colours else found.alpha)[0], chair.target.alpha[0])


wide = contenders(5.0, big)
failing = {
    "AlgoNet: long faces leak": seen(wide["AlgoNet"]),
    "SoftRas: a rim of full colour": seen(wide["SoftRas"], colours=True),
    "GenDR, cauchy: haze everywhere": seen(GenDR.from_pixels(5.0, big, distribution="cauchy")),
    "DIB-R: only ever too large": seen(wide["DIB-R"]),
}
display(Image(pictures(list(failing.values()), list(failing), 190)))

# %% [markdown]
# 1. **AlgoNet** divides by a mean edge length: long thin faces leak past their tips. What is behind shines through.
# 2. **SoftRas** fades in alpha, but not in colour: against its faint background even a face with $D = 10^{-3}$ wins the
#    softmax, up to the cut-off, where it ends suddenly.
# 3. **GenDR** is as good as the distribution: heavy tails reach everywhere (and give gradients everywhere).
# 4. **DIB-R** only adds: alpha is 1 inside, and has no gradient there. A shape that is too large is pushed back by its
#    blurred rim alone.
#
# **N3MR** and **Hard** see the same staircase. Move the sphere onto its copy:

# %%
problem = pose("sphere", 32, shift=(6.0, 0.0))
rivals = {name: contenders(3.0, (32, 32))[name] for name in ("N3MR (surrogate)", "Hard")}


def moved(place, rasterizer):  # the loss, and its slope along the way, after so many pixels to the right
    way = problem.camera.rotation[0] * problem.pixel
    found = problem.measure(problem.mesh.vertices + place * way, rasterizer)
    return torch.tensor([found.loss, (found.gradient * way).sum()])


near = torch.linspace(3, 4, 161).tolist()
steps = torch.stack([moved(place, rivals["Hard"]) for place in near])[:, 0].tolist()
display(Image(curves(near, {"loss, silhouette": (steps, COLORS["Hard"], 1.0)}, "moved to the right (pixels)", "loss")))

places = torch.linspace(-2, 12, 113)  # eight a pixel
loss, n3mr = torch.stack([moved(place, rivals["N3MR (surrogate)"]) for place in places]).T
visible = (loss[16:] - loss[:-16]) / 2  # over one pixel to each side
lines = {
    "difference over a pixel to each side": ((visible / visible.abs().max()).tolist(), "#555555", 1.0),
    "N3MR's surrogate": ((n3mr[8:-8] / n3mr.abs().max()).tolist(), COLORS["N3MR (surrogate)"], 1.0),
    "Hard's gradient": ([float(moved(place, rivals["Hard"])[1]) for place in places[8:-8]], COLORS["Hard"], 1.0),
}
display(Image(curves(places[8:-8].tolist(), lines, "moved (pixels; the target is at 6)", "slope (largest = 1)")))
print(f"N3MR's surrogate is {float(n3mr.abs().max() / visible.abs().max()):.0f} times as large as the difference")

# %% [markdown]
# 5. **N3MR**: the sign is right where it matters, the size is not, and jumps about. Depth and hidden vertices get no
#    gradient at all, and there is no second derivative.
# 6. **Hard**: flat steps, so the slope is 0 wherever it exists.
#
# ## 6. One camera, five libraries
#
# Libraries write a camera in different axes; labkit in OpenGL's (x right, y up, looking along -z). A pyramid shows what
# a camera sees; the small roof marks its upper edge.

# %%
cameras = {
    "front": Camera.orbit(0.0, 10.0, 3.0, fov=40.0),
    "side": Camera.orbit(80.0, 30.0, 2.5, fov=60.0),
    "orthographic": Camera.orbit(-70.0, 50.0, 2.5, projection="orthographic", half_height=0.6),
}
size = (48, 64)  # height, width in pixels
display(Image(cameras_picture(SHAPES["torus"](), cameras, size)))
views = [render(SHAPES["torus"](), camera, size, Hard(), shading="gouraud").color[0] for camera in cameras.values()]
display(Image(pictures(views, list(cameras), 150)))

# %%
side, point = cameras["side"], torch.tensor([0.5, 0.2, 0.3])  # where do they all put this point of the world?
pytorch3d, kaolin, opencv = to_pytorch3d(side), to_kaolin(side, size), to_opencv(side, size)
torch.set_printoptions(precision=3, sci_mode=False)
print("PyTorch3D, x left:  R\n", pytorch3d.R, "\nT", pytorch3d.T, " fov", pytorch3d.fov)
print("Kaolin, as here:    view matrix\n", kaolin.view_matrix, "\nfov in radians over the height", kaolin.fov)
print("OpenCV, y down:     K\n", opencv.K, "\nR\n", opencv.R, "\nt", opencv.t)
print("nvdiffrast:         world to clip space\n", to_nvdiffrast(side, size))
u, v, w = opencv.K @ (opencv.R @ point + opencv.t)
x, y, _, clip_w = to_nvdiffrast(side, size) @ torch.cat([point, torch.ones(1)])
print(f"pixel by OpenCV     ({u / w:.3f}, {v / w:.3f}) from the centre of the first pixel")
print(f"pixel by nvdiffrast ({(x / clip_w + 1) * 32 - 0.5:.3f}, {(1 - y / clip_w) * 24 - 0.5:.3f})")

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away below.
#
# **Exercise 1.** Which $\sigma$ gives SoftRas edges 5 pixels wide, in a picture of 128 pixels that spans $[-1, 1]$?

# %%
answer_1 = ...


def check_1(sigma):
    if sigma is ...:
        return "not answered yet"
    width = SoftRas(sigma=sigma).edge_width_px((128, 128))
    assert abs(width - 5) < 1e-3, f"that is {width:.2f} pixels. Hint: a pixel is 2 / 128 wide, and w = 2 sqrt(sigma)."
    return "right"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: sqrt(sigma) is half of 5 pixels.
check_1((5 / 2 * 2 / 128) ** 2)

# %% [markdown]
# **Exercise 2.** `shifted(x, rasterizer)` is the weighted brightness of a triangle at `x`. Write `relative_error`: at
# `x = 0.1` and with `h = 1e-6`, `|autodiff - quotient| / (|autodiff| + |quotient|)`.

# %%
corners = torch.tensor([[[[-0.6, -0.5, 2.0], [0.5, -0.4, 2.0], [0.0, 0.6, 2.0]]]], dtype=torch.float64)
weights = torch.linspace(0, 1, 32, dtype=torch.float64)


def shifted(x, rasterizer):
    along = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    alpha = rasterize(corners + x * along, corners, (32, 32), rasterizer)[1]
    return (alpha * weights).mean()


def relative_error(rasterizer):
    return ...


def check_2(error):
    renderers = contenders(3.0, (32, 32))
    if error(renderers["SoftRas"]) is ...:
        return "not answered yet"
    for name in ("AlgoNet", "SoftRas", "GenDR", "DIB-R"):
        found = float(error(renderers[name]))
        assert found < 1e-4, f"{name}: {found}, but its gradient is right"
    found = float(error(renderers["N3MR (surrogate)"]))
    assert found > 0.9, f"N3MR: {found}, but its gradient is a surrogate"
    return "right"


check_2(relative_error)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
def solution_2(rasterizer):
    x = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(shifted(x, rasterizer), x)
    with torch.no_grad():
        quotient = (shifted(x + 1e-6, rasterizer) - shifted(x - 1e-6, rasterizer)) / 2e-6
    return (slope - quotient).abs() / (slope.abs() + quotient.abs())


check_2(solution_2)

# %% [markdown]
# **Exercise 3.** One of the nine t-conorms never covers more than any other, whatever the faces. Which? Look at the
# contact sheet, then answer by name.

# %%
answer_3 = ...


def check_3(name):
    if name is ...:
        return "not answered yet"
    covers = {}
    for other in T_CONORMS:
        soft = GenDR(tau=0.1, distribution="gaussian", t_conorm=other, p=PARAMETERS.get(other, 1.0))
        covers[other] = float(render(problem.mesh, problem.camera, (32, 32), soft).alpha.mean())
    assert name in covers, f"one of {', '.join(covers)}"
    least = min(covers.values())
    assert covers[name] <= least, f"{name} covers {covers[name]:.3f} of the picture, but another only {least:.3f}"
    return "right"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: every "or" is at least as large as the larger of its two.
check_3("max")

# %% [markdown]
# ## Conclusion
#
# Colours, textures, lights and materials have right gradients behind any rasterizer. What renderers differ in is the
# *outline* and the *order in depth*: there a derivative exists only if the picture is softened, and each softness has
# its price: a bias, a haze, a rim, or time. A surrogate keeps the picture, and its length means nothing.
#
# References: Chen et al., *Learning to Predict 3D Objects with an Interpolation-based Differentiable Renderer* (DIB-R),
# 2019, section 3 and Table 1; Petersen et al., *AlgoNet*, 2019, Appendix A, and *GenDR*, 2022; Liu et al., *Soft
# Rasterizer*, 2019; Kato et al., *Neural 3D Mesh Renderer*, 2018.
