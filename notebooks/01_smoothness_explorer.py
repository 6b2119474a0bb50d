# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. What happens when a renderer goes soft?
#
# A renderer decides twice for each pixel: *is this face here?* and *which face is in front?* Both answers jump, so
# neither has a useful derivative, and no picture can tell a vertex where to go. **AlgoNet** (Petersen et al. 2019,
# appendix A) answers both questions softly. Two numbers say how softly: the *steepness* $s$ and the
# *opacity* $o$.
#
# **You will learn**
# - what steepness does to an edge, and how wide the edge becomes in pixels;
# - what opacity does to depth, and why a face that is covered still has a say;
# - how coverage, weight and alpha make up one pixel, in four formulas;
# - where this method fails, and how you can recognize it.
#
# Needs: basic Python, and what a sigmoid is. Runs in about 20 seconds on two CPU cores, no GPU; the very first
# run on a machine takes up to a minute longer, since the kernel is compiled once.
#
# ![The explorer: soft picture, 3D view, layers, and the faces inside one pixel](../docs/explorer.png)
#
# *(A picture, for readers without a running kernel. Below is the live panel.)*

# %%
import torch
from IPython.display import Image, display

from labkit import AlgoNet, Camera, Hard, icosphere, rasterize, render, torus
from labkit.lab.explorer import SmoothnessExplorer
from labkit.lab.plots import HARD, SOFT, curves, pictures

print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## The explorer
#
# Drag the sliders, drag the 3D view, click a pixel of any picture. Try the four presets: they are the four
# corners of figure 9 of the paper. Your own mesh: choose *own file*, then type a path or upload. What you
# export goes into the folder `exports` beside this notebook. While you drag, the picture is coarse; when you
# rest, it is sharp. Everything you see is one record, the JSON at the bottom: copy it, send it to a friend,
# paste it, *Apply JSON*.

# %%
explorer = SmoothnessExplorer()
display(explorer)

# %% [markdown]
# ## 1. Coverage: is this face here?
#
# For each of the three edges, a 2 x 2 determinant $\det_i$ says on which side of the edge the pixel lies, and
# how far away. A sigmoid $\sigma$ makes a soft yes or no of it, and a face is *here* if all three edges agree:
#
# $$V = \prod_{i=1}^{3} \sigma\!\left(\frac{s \det_i}{m}\right)
# + \prod_{i=1}^{3} \sigma\!\left(\frac{-s \det_i}{m}\right)$$
#
# $m$ is a soft minimum of the three edge lengths. The second product makes the winding of the face irrelevant. The
# picture below shows $V$ of one triangle: the same triangle, three times as steep each time.

# %%
corners = [[-0.7, -0.6, 2.0], [0.8, -0.3, 2.0], [-0.1, 0.7, 2.0]]  # x, y in NDC; depth
triangle = torch.tensor([[corners]])  # (1, 1, 3, 3)
white = torch.ones(1, 1, 3, 1)
steepness = [5.0, 15.0, 45.0, 135.0]
coverage = [rasterize(triangle, white, (96, 96), AlgoNet(s))[1][0, 0] for s in steepness]
widths = [AlgoNet(s).edge_width_px((96, 96)) for s in steepness]
titles = [f"s = {s:g}: edge {w:.1f} px" for s, w in zip(steepness, widths, strict=True)]
display(Image(pictures(coverage, titles)))

# %% [markdown]
# ## 2. Soft depth: which face is in front?
#
# A z-buffer takes the nearest face. The smooth z-buffer takes a weighted soft minimum of the depths $z$ over
# all faces:
#
# $$Z_f = \frac{V_f \, e^{-o z_f}}{\sum_k V_k \, e^{-o z_k}}$$
#
# Move one face through another and watch its weight (figure 7 of the paper). The hard z-buffer (orange) jumps,
# and is flat everywhere else: its derivative says nothing. The soft ones (blue) have a slope that tells which
# way to move.


# %%
def weight(z, o):
    """Weight Z of a face at depth z; another one, just as large, stands at depth 3. Both cover the pixel fully."""
    pair = torch.tensor([[corners, corners]])  # (1, 2, 3, 3)
    pair[0, 0, :, 2], pair[0, 1, :, 2] = z, 3.0
    first_is_white = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 3, 1)
    soft = Hard() if o is None else AlgoNet(1000.0, o)
    return float(rasterize(pair, first_is_white, (9, 9), soft)[0][0, 0, 4, 4])


depths = torch.linspace(2.0, 4.0, 81).tolist()
lines = {f"soft, o = {o:g}": ([weight(z, o) for z in depths], SOFT, o / 20) for o in (3.0, 8.0, 20.0)}
lines["hard"] = ([weight(z, None) for z in depths], HARD, 1.0)
display(Image(curves(depths, lines, "depth of the face", "its weight Z")))

# %% [markdown]
# ## 3. The picture
#
# Alpha is the chance that at least one face is here, and the pixel is the mean colour over the background $b$:
#
# $$\alpha = 1 - \prod_f (1 - V_f) \qquad\qquad \text{pixel} = \alpha \sum_f Z_f\, c_f + (1 - \alpha)\, b$$
#
# Both parts matter. Without soft coverage, a silhouette has no gradient: vertices at the outline would never
# move. Without soft depth, faces that are covered have no gradient: what is behind could never come to the
# front. Below: the four corners of figure 9 and the hard picture.

# %%
mesh = torus().normalized()
mesh = mesh.replace(uv=None, colors=(0.55 + 0.4 * mesh.vertices).clamp(0, 1))
camera = Camera.orbit(25.0, 40.0, 3.0, fov=45.0)
corner_cases = [(80.0, 3.0), (800.0, 3.0), (80.0, 60.0), (800.0, 60.0)]
soft = [render(mesh, camera, (160, 160), AlgoNet(s, o)).color[0] for s, o in corner_cases]
hard = render(mesh, camera, (160, 160), Hard()).color[0]
display(Image(pictures([*soft, hard], [f"s = {s:g}, o = {o:g}" for s, o in corner_cases] + ["hard"])))

# %% [markdown]
# ## 4. Where it fails
#
# None of these is a bug of this program: they follow from the formulas.
# 1. **A quarter at the corners.** At a vertex, two of the three edges say one half, so $V = 0.25$, however
#    steep. Faces smaller than $1/s$ fade to 0.25 everywhere.
# 2. **Seams.** On the edge between two faces each says one half, so $\alpha = 1 - 0.5 \cdot 0.5 = 0.75$: the
#    background shines through along a line. Look for the net of lines on the torus.
# 3. **Slivers leak past their tips.** Seen edge-on, a face becomes a needle, and beyond its tip all three edges
#    still nearly agree: rays. The option *sliver fade* (labkit's own, not the paper's) fades needle-shaped
#    faces.
# 4. **The halo of near faces.** At high opacity a near face wins over a far one by $e^{o \Delta z}$, even where
#    its $V$ is tiny. So near faces grow over what is behind them: see the picture with s = 80, o = 60 above.

# %%
two = torch.tensor(
    [[[[-0.8, -0.8, 2.0], [0.8, -0.8, 2.0], [0.8, 0.8, 2.0]], [[-0.8, -0.8, 2.0], [0.8, 0.8, 2.0], [-0.8, 0.8, 2.0]]]]
)
_, square = rasterize(two, torch.ones(1, 2, 3, 1), (97, 97), AlgoNet(40.0))
needle = torch.tensor([[[[-0.5, -0.02, 2.0], [0.3, 0.0, 2.0], [-0.5, 0.02, 2.0]]]])
leaks = [rasterize(needle, white, (97, 97), AlgoNet(40.0, sliver_fade=r))[1][0, 0] for r in (0.0, 0.1)]
print(f"alpha in the middle of the seam: {float(square[0, 0, 48, 48]):.2f}")
display(Image(pictures([square[0, 0], *leaks], ["a seam", "a needle leaks", "with sliver fade 0.1"])))

# %% [markdown]
# ## Exercises
#
# Fill in your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away
# below each one.
#
# **Exercise 1.** Which steepness makes the edge exactly 3 pixels wide in a picture of 200 x 200 pixels? (The
# edge is $2/s$ wide in NDC, where the shorter side of the picture spans 2 units.)

# %%
answer_1 = ...


def check_1(s):
    """Compare with what the rasterizer itself says."""
    if s is ...:
        return "not answered yet"
    width = AlgoNet(s).edge_width_px((200, 200))
    assert abs(width - 3.0) < 0.01, f"s = {s} makes the edge {width:.2f} px wide. One pixel is 2 / 200 NDC units."
    return "right"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: 2 / s = 3 pixels of 2 / 200 each.
check_1(200 / 3)

# %% [markdown]
# **Exercise 2.** Two faces cover a pixel fully ($V = 1$), one at depth 3.0, the other at 3.1. How high must the
# opacity be for the nearer one to get 99 percent of the weight? Work it out from the formula of section 2, then
# check.

# %%
answer_2 = ...


def check_2(o):
    """Put it into the rasterizer."""
    if o is ...:
        return "not answered yet"
    share = 1 - weight(3.1, float(o))
    assert abs(share - 0.99) < 1e-3, f"With o = {o} the nearer face has {share:.1%}. Hint: Z = 1 / (1 + exp(-0.1 o))."
    return "right"


check_2(answer_2)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2: exp(-0.1 o) = 0.01 / 0.99.
check_2(10 * torch.log(torch.tensor(99.0)).item())

# %% [markdown]
# **Exercise 3.** Write `silhouette_slope(s)`: the derivative of the mean alpha of the sphere below with respect
# to its size, for steepness `s`. Use autograd. What would the hard rasterizer give?

# %%
sphere = icosphere(1)


def silhouette_slope(s):
    """Five lines are enough: a size that requires grad, render, mean, backward, .grad"""
    return ...


def check_3(slope):
    """Autograd against a finite difference."""
    if slope(20.0) is ...:
        return "not answered yet"
    eye = Camera.orbit(0.0, 0.0, 4.0)
    means = [
        render(sphere.replace(vertices=k * sphere.vertices), eye, (48, 48), AlgoNet(20.0)).alpha.mean()
        for k in (0.995, 1.005)
    ]
    expected = float(means[1] - means[0]) / 0.01
    assert abs(float(slope(20.0)) / expected - 1) < 0.02, f"expected about {expected:.3f}, got {float(slope(20.0)):.3f}"
    return "right; and the hard rasterizer gives no gradient at all"


check_3(silhouette_slope)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3
def slope_solution(s):
    size = torch.tensor(1.0, requires_grad=True)
    grown = sphere.replace(vertices=size * sphere.vertices)
    render(grown, Camera.orbit(0.0, 0.0, 4.0), (48, 48), AlgoNet(s)).alpha.mean().backward()
    return size.grad


check_3(slope_solution)

# %% [markdown]
# ## Conclusion
#
# Two sigmoid-like choices, one for *where* and one for *which*, and a renderer has gradients everywhere. The
# price is blur, seams and halos, and the two knobs trade one for the other. Reference: Petersen et al.,
# *AlgoNet: C-infinity smooth algorithmic neural networks*, 2019, appendix A and figures 7 to 9.
