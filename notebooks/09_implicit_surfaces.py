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
# # 9. How can a surface that is nowhere be seen, and moved?
#
# A mesh is a list of triangles. An **implicit surface** is only a function $f(\mathbf x; \theta)$: negative inside,
# positive outside, and the surface is where it is zero. Nobody knows where that is until a ray looks for it. The
# **Universal Differentiable Renderer** (UDR, Yariv et al. 2020) does so, finds out how the point moves when $\theta$
# changes, and paints it with a small network. This notebook takes these three steps, without any training.
#
# **You will learn**
# - how sphere tracing finds the surface, what $\epsilon$ and $\alpha$ do, and what happens if $f$ is no distance;
# - how a point has a derivative although an iteration found it, and where it has none;
# - why the colour needs both the normal and the view direction, and what a single shape cannot show.
#
# Needs: basic Python, and what a gradient is. Runs in about 20 seconds on two CPU cores, no GPU.

# %%
import math

import torch
from IPython.display import Image, display

from labkit.data.phong_views import PhongScene, random_views, view_independent_bound
from labkit.geometry.sdf import SphereField, TorusField, value_and_gradient
from labkit.lab.hosts import headless
from labkit.lab.implicit_derivative_panel import DerivativePanel
from labkit.lab.implicit_phong_panel import PhongPanel
from labkit.lab.implicit_scene import all_rays, camera_at
from labkit.lab.implicit_tracing_panel import TracingPanel
from labkit.lab.plots import HARD, SOFT, curves, pictures
from labkit.render.implicit import Tracer, sphere_trace
from labkit.render.implicit_picture import render_field
from labkit.render.surface_point import surface_point
from labkit.scene.rays import Views

QUICK = headless()  # without a browser everything is made smaller
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## 1. Finding the surface
#
# If $f$ is the distance to the surface, then a ball of radius $f(\mathbf x)$ around $\mathbf x$ is empty. So a ray
# may jump to the rim of that ball, and ask again. This is **sphere tracing** (the paper's Algorithm 1). It stops
# where $f \le \epsilon$. If $f$ is *not quite* a distance, a jump may land inside. Then it is shortened by $\alpha$,
# once.
#
# Drag the pink ring: the ray follows. Or click a pixel of the small pictures: the drawing is the plane of its row,
# seen from above, with the camera on the left. Blue circles are jumps, dashed orange ones were too long. Press
# *back-off*: $f$ is multiplied by 1.6 and claims more room than there is, but $\alpha$ helps. Press *overshoot*: now
# it does not, and the orange cross lies inside. Press *too flat*: $f$ claims too little.

# %%
tracing = TracingPanel()
display(tracing)

# %% [markdown]
# The algorithm is short. Here it is for one ray, literally as in the paper (which, as you see, counts on ending):


# %%
def algorithm_1(f, x, v, epsilon=1e-5, alpha=0.5, r=1.0):
    """Sphere tracing of one ray from x (1, 3) along v (1, 3)."""
    while f(x) > epsilon and x.norm() < r:
        d = f(x)
        if f(x + d * v) < 0:
            d = alpha * d
        x = x + d * v
    return x


ring = TorusField(0.55, 0.25)
start = torch.tensor([[0.1, 0.2, 0.97]], dtype=torch.float64)
towards = torch.nn.functional.normalize(torch.tensor([[0.36, -0.1, -0.92]], dtype=torch.float64))
print(f"one ray in plain Python: {algorithm_1(ring, start, towards)[0].tolist()}")
print(f"the laboratory's tracer: {sphere_trace(ring, start, towards).points[0].tolist()}")

# %% [markdown]
# ### How wrong may $f$ be?
#
# All rays of one picture of this ring, with $f$ multiplied by a *slope*. Below 1 the jumps are too short: more
# evaluations. Above 1 they are too long. Up to 2 that does no harm: the shortened jump, half as long, is safe. Beyond
# 2 it lands *behind* the surface, the loop ends there, and the point is wrong by up to a tenth of the whole scene,
# although $\epsilon = 10^{-5}$. A few steps of the secant method repair that. What they cannot repair is a ray that
# has jumped through the ring and out on the other side: it is lost.

# %%
eyes, rays = all_rays(camera_at(20.0, 35.0), 24 if QUICK else 48)
truth = sphere_trace(ring, eyes, rays, Tracer(epsilon=1e-9, max_steps=500, secant_steps=8))
slopes = [0.25, 0.35, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 1.9, 2.0, 2.1, 2.3, 2.5, 2.8, 3.1, 3.5]
cost, errors, lost = [], {"literal": [], "with 8 secant steps": []}, []
for slope in slopes:
    for name, secant in (("with 8 secant steps", 8), ("literal", 0)):
        trace = sphere_trace(lambda x, k=slope: k * ring(x), eyes, rays, Tracer(max_steps=256, secant_steps=secant))
        found = trace.hit & truth.hit
        errors[name].append(math.log10(float((trace.depth - truth.depth)[found].abs().quantile(0.9))))  # of 9 in 10
    cost.append(float(trace.steps[found].double().mean()))
    lost.append(100 * float((truth.hit & ~trace.hit).sum() / truth.hit.sum()))
colors = {"literal": HARD, "with 8 secant steps": SOFT}
plots = {
    "evaluations of f": {"rays that arrive": (cost, SOFT, 1.0)},
    "log10 of the depth error": {name: (values, colors[name], 1.0) for name, values in errors.items()},
    "lost rays (%)": {"with or without secant steps": (lost, HARD, 1.0)},
}
for up, lines in plots.items():
    display(Image(curves(slopes, lines, "slope: f is multiplied by", up)))

# %% [markdown]
# ## 2. Moving the surface
#
# An iteration found the point $\mathbf x_0$. How does it move if $\theta$ changes a little? No need to differentiate
# the iteration: the point stays on the ray, and $f$ stays zero there. That is enough (equation 8):
#
# $$\hat{\mathbf x}(\theta) = \mathbf x_0 - \mathbf u \, f(\mathbf x_0; \theta), \qquad
# \mathbf u = \frac{\mathbf v}{\nabla_{\mathbf x} f(\mathbf x_0; \theta_0) \cdot \mathbf v}$$
#
# with $\mathbf x_0$ and $\mathbf u$ constant. The value is $\mathbf x_0$, and the derivative is the right one. Test
# it: change $\theta$, trace again, and look how far the point went.

# %%
exact = Tracer(epsilon=1e-12, max_steps=500)
hit = sphere_trace(ring, start, towards, exact).points
minor = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
depth = (surface_point(TorusField(0.55, minor), hit, towards) * towards).sum()
(slope_8,) = torch.autograd.grad(depth, minor)
larger, smaller = (sphere_trace(TorusField(0.55, 0.25 + h), start, towards, exact) for h in (1e-5, -1e-5))
difference = float(larger.depth - smaller.depth) / 2e-5
print(f"d depth / d minor radius: equation 8 {float(slope_8):.8f}, traced again {difference:.8f},", end=" ")
print(f"relative error {abs(float(slope_8) / difference - 1):.1e}")

# %% [markdown]
# The panel does this for every ray of a row. Drag the ring towards the rim of the sphere, and over it. Or press
# *grazing* and *missing*.
#
# - **Grazing**: $\nabla f \cdot \mathbf v$ goes to zero, and the derivative to infinity. That is no mistake: near the
#   silhouette the point really moves that fast. But one such pixel outweighs all others, so a clamp bounds the
#   divisor: to the right of the dashed line, equation 8 is deliberately wrong.
# - **Missing**: no point, no derivative. The colours of pixels cannot tell a silhouette to move. The mask terms of the
#   loss (equation 10) do: they push at $\mathbf z$, the point of the ray where $f$ is least.

# %%
derivative = DerivativePanel()
display(derivative)

# %% [markdown]
# ### What the picture does not feel
#
# A ball grows. How does the mean brightness of the picture change? Once the ball is white, once it is shaded by how
# far it faces the camera. Equation 8 with the chain rule, against two pictures with smaller and larger radii. For the
# white ball, equation 8 says *nothing changes*: each pixel that sees it stays white. All change is at the silhouette.

# %%
pixels, camera = 64 if QUICK else 160, camera_at(0.0, 0.0)
views, (eye, direction) = Views.of(camera, (pixels, pixels)), all_rays(camera, pixels)
shades = {
    "white": lambda x, n, v: torch.ones_like(x),
    "headlight": lambda x, n, v: -(n * v).sum(-1, keepdim=True).expand(-1, 3),  # bright where it faces the camera
}
for name, shade in shades.items():
    radius = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    trace = sphere_trace(SphereField(0.5), eye, direction, Tracer(secant_steps=8))
    points = surface_point(SphereField(radius), trace.points[trace.hit], direction[trace.hit])
    colors = shade(points, points / points.norm(dim=-1, keepdim=True), direction[trace.hit])
    total = colors[:, 0].sum() / pixels**2
    felt = float(torch.autograd.grad(total, radius)[0]) if total.requires_grad else 0.0
    smaller, larger = (render_field(SphereField(0.5 + h), shade, views, background=0.0).color for h in (-0.03, 0.03))
    print(f"{name:>9}: equation 8 {felt:.3f}, two pictures {float(larger.mean() - smaller.mean()) / 0.06:.3f}")

# %% [markdown]
# ## 3. Painting the surface
#
# The colour of a point depends on light, material, normal and view. UDR leaves that to a network:
#
# $$R = M(\hat{\mathbf x}, \hat{\mathbf n}, \mathbf v; \gamma)$$
#
# Is $\hat{\mathbf n}$ really necessary, and $\mathbf v$? The paper's Figure 2 argues: take one point under the Phong
# light of equation 3. Turn the surface there (b), or move the camera (c). The light that arrives changes. A renderer
# that is given the same arguments *must* give the same colour, however large it is. So it is wrong at least once.
#
# Below, the table says what each renderer can tell apart. The four maps show the best that each can do over all
# angles: $M(\mathbf x)$ may choose one colour, $M(\mathbf x, \mathbf n)$ one for each row, $M(\mathbf x, \mathbf v)$
# one for each column. The highlight runs across: it needs both. Without the normal, the view alone hardly helps.

# %%
phong = PhongPanel()
display(phong)

# %% [markdown]
# ### What a single shape cannot show
#
# An honest remark: on *one* surface, $\mathbf n$ is a function of $\mathbf x$. So $M(\mathbf x, \mathbf n)$ can do no
# more than $M(\mathbf x)$, and UDR no more than $M(\mathbf x, \mathbf v)$. One sphere, as in the paper, tests the view
# direction only. The number below is the best that any renderer without $\mathbf v$ can expect on a shiny sphere,
# unless it bends the sphere. To test the normal, change the surface and keep $M$: the sphere gets ripples of 2 percent
# of its radius. The points hardly move, so $M(\mathbf x, \mathbf v)$ paints what it has learned on the smooth sphere.
# In training the surface changes all the time: that is why $\mathbf n$ matters.

# %%
shiny = PhongScene(light=(1.0, 1.2, 2.0), diffuse_color=(0.9, 0.55, 0.25))
count, size = (32, 32) if QUICK else (128, 64)
cameras = random_views(count, (size, size), 2.5, 40.0, torch.Generator().manual_seed(0))
bound = view_independent_bound(SphereField(0.5), shiny, cameras[:6], cameras)
print(f"shiny sphere, any M(x) or M(x, n): at best {bound.psnr:.1f} dB on the sphere's pixels")


def rippled(x):
    """A sphere with ripples 0.01 high."""
    return x.norm(dim=-1) - 0.5 + 0.01 * (40 * x).sin().prod(-1)


def renderer(points, normals, directions):
    """M(x, n, v): right on any surface."""
    return shiny.radiance(points, torch.nn.functional.normalize(normals, dim=-1), directions).clamp(0, 1)


view, careful = Views.of(camera_at(20.0, 20.0), (256, 256)), Tracer(epsilon=1e-4, max_steps=128)
smooth, true = (render_field(field, renderer, view, careful) for field in (SphereField(0.5), rippled))
# M(x, v) as it was learned on the smooth sphere, where the normal at x was x / |x|
blind = render_field(rippled, lambda x, n, v: renderer(x, x, v), view, careful)
error = float((blind.color - true.color)[:, true.mask[0] > 0].square().mean())
print(f"after the ripples, M(x, v): {-10 * math.log10(error):.1f} dB")
middle = [found.color[:, 56:200, 56:200] for found in (smooth, blind, true)]
display(Image(pictures(middle, ["learned: smooth sphere", "ripples by M(x, v)", "ripples by M(x, n, v)"], 190)))

# %% [markdown]
# ## 4. Where it fails
#
# 1. **Rays that graze.** Each jump shortens the way by the factor $1 - |\nabla f \cdot \mathbf v|$ only: see the bright
#    rims. Algorithm 1 as printed may never end there. With a bound, such rays count as misses, and the silhouette loses
#    pixels. A large $\epsilon$ errs the other way: it adds a shell.
# 2. **A field that is too steep** jumps through thin parts unnoticed. Set the slope to 4 and look at the box. Training
#    keeps $\lVert\nabla f\rVert$ near 1 by a loss (equation 7), but only near.
# 3. **Silhouettes have no derivative** by equation 8, and next to them it explodes.
# 4. **Finite differences fail too.** A step that is too small drowns in rounding, one that is too large meets another
#    part of the surface. For grazing rays there is no good one.
#
# ## Exercises
#
# Put your answer in place of `...`, run the cell, and let the check tell you. Solutions are folded away below each one.
#
# **Exercise 1.** A ray looks straight at a sphere. It starts 0.5 world units before it. The field is *half* the
# distance. How often is $f$ evaluated until $f \le 10^{-5}$, the first time included?

# %%
answer_1 = ...


def check_1(count):
    """Trace it."""
    if count is ...:
        return "not answered yet"
    ahead = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64)
    trace = sphere_trace(lambda x: 0.5 * SphereField(0.5)(x), -ahead, ahead)
    assert count == int(trace.steps), f"Not {count}. Hint: each jump halves the distance that is left."
    return "right: and with the full distance, two would do"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: f = 0.25 / 2^k after k jumps, so k = 15, and one evaluation before the first jump.
check_1(math.ceil(math.log2(0.25 / 1e-5)) + 1)

# %% [markdown]
# **Exercise 2.** Write equation 8 yourself: `moving_point(f, g, x, v)` returns a point that *equals* `x` and has the
# right derivative. `f` is the field's value at the traced point, (N,), which depends on $\theta$; `g` its gradient
# there, (N, 3), to be taken as a constant.


# %%
def moving_point(f, g, x, v):
    """Two lines are enough; (N, 3)."""
    return ...


def check_2(answer):
    """Against the laboratory's own, on a ring with a minor radius that requires grad."""
    theta = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    got = answer(*value_and_gradient(TorusField(0.55, theta), hit), hit, towards)
    if got is ...:
        return "not answered yet"
    assert torch.allclose(got, hit, rtol=0, atol=1e-10), "Its value is not x: f is nearly zero there, is it not?"
    (found,) = torch.autograd.grad((got * towards).sum(), theta)
    off = abs(float(found / slope_8) - 1)
    assert off < 1e-9, f"The derivative is {float(found):.6f} and not {float(slope_8):.6f}. Did you detach g?"
    return "right"


check_2(moving_point)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2
def point_solution(f, g, x, v):
    u = v / (g.detach() * v).sum(-1, keepdim=True)
    return x - u * f[:, None]


check_2(point_solution)

# %% [markdown]
# **Exercise 3.** Parallel rays look at a sphere of radius 0.6. How far from its middle must a ray pass so that its
# point comes *twice* as fast towards the camera as the sphere grows, d depth / d radius = -2?

# %%
answer_3 = ...  # world units


def check_3(offset):
    """Ask equation 8."""
    if offset is ...:
        return "not answered yet"
    theta = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    ahead = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64)
    trace = sphere_trace(SphereField(0.6), torch.tensor([[float(offset), 0.0, 2.0]]).to(ahead), ahead, exact)
    assert bool(trace.hit), f"A ray at {offset} does not meet the sphere."
    (slope,) = torch.autograd.grad((surface_point(SphereField(theta), trace.points, ahead) * ahead).sum(), theta)
    assert abs(float(slope) + 2) < 1e-3, f"There it is {float(slope):.3f}. Hint: the depth is 2 - sqrt(R² - b²)."
    return "right: 60 degrees off the normal, and 1 / cos 60° = 2"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: d depth / d R = -R / sqrt(R^2 - b^2) = -2, so b = R sqrt(3) / 2.
check_3(0.6 * math.sqrt(3) / 2)

# %% [markdown]
# ## Conclusion
#
# A function is enough to be a surface. Sphere tracing finds it, as well as the function is a distance. Equation 8 gives
# each point a derivative, everywhere but at the silhouette, which the mask terms must move. And a renderer that is to
# fit any light on any surface needs point, normal and view. The next notebook trains all this. References: Yariv,
# Atzmon, Lipman, *Universal Differentiable Renderer for Implicit Neural Representations*, 2020, sections 3.2 to 3.5 and
# supplement; Hart, *Sphere tracing*, 1996; Atzmon et al., *Controlling neural level sets*, 2019.
