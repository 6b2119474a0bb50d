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
# # 8. Which of its numbers does a picture give back?
#
# A scene is made of shape, colours, texture, light, material and camera. From all of them a renderer makes a picture.
# **DIB-R** (Chen et al. 2019) claims that the picture has a derivative by *every* one of them. The test is simple: take
# a scene, spoil one of its parts, and let gradient descent repair it, looking at nothing but pictures. The paper's
# Figure 2 does this eight times. Here you can do it yourself, also with your own mesh.
#
# **You will learn**
# - how to state such a problem: a start, target pictures, and a learning rate for each number that may change;
# - how fast each attribute comes back, and how exactly;
# - why a small error in the pictures does not always mean the right numbers;
# - four ways to fail.
#
# Needs: basic Python, what a gradient is. Runs in about a minute on two CPU cores, no GPU. The eight fits begin when
# you press *Run*: each takes from a few seconds (colours, texture, light, material) to about a minute (shape).

# %%
import math
from dataclasses import replace
from functools import partial

import torch
from IPython.display import Image, display

from labkit import icosphere
from labkit.events import Step
from labkit.lab.attributes_board import AttributesBoard
from labkit.lab.attributes_history import Task
from labkit.lab.hosts import headless
from labkit.lab.plots import pictures
from labkit.render.views import OrbitPose
from labkit.train.figure_2 import problems
from labkit.train.fit import fit
from labkit.train.parameters import value_at

QUICK = headless()  # without a browser everything is made smaller
SIZE = 24 if QUICK else 64
EVERY = 2  # steps between two pictures of the history
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## 1. A problem, and its repair
#
# A `Scene` is one record: mesh, camera, lights, material, rasterizer. A *path* names one of its numbers, such as
# `"mesh.colors"`, `"camera.azimuth"` or `"lights.0.coefficients"`. The fit renders the scene from four sides and takes
# the mean absolute difference from the target pictures, colour and alpha, as its loss:
#
# $$L_1 = \frac{1}{4 H W} \sum_{\text{pixels}} \; \sum_{c \, \in \, \{r, g, b, \alpha\}} |I_c - I^\star_c| \qquad
# \theta_k \leftarrow \theta_k - \text{rate}_k \cdot \text{Adam}\!\left(\frac{\partial L_1}{\partial \theta_k}\right)$$
#
# The rasterizer is DIB-R's own: the nearest face gives a pixel its colour; outside of the mesh, the distance to the
# faces gives it alpha, $1 - \prod_f (1 - e^{-d_f^2 / \delta})$. So even a pixel *beside* the mesh says where the mesh
# should go.


# %%
def repair(problem, steps=None):
    """The fit of a problem, as a stream of events."""
    return fit(
        problem.start,
        problem.pictures(),  # (4, 4, SIZE, SIZE): four views, red, green, blue and alpha
        problem.rates,  # learning rate by path
        losses=problem.losses,
        schedules=problem.schedules,  # the rasterizer gets sharper as the shape gets better
        steps=steps or problem.steps,
        picture_every=EVERY,
    )


first = problems(size=SIZE)["b"]
work = repair(first)
for event in work:
    if isinstance(event, Step) and event.number % 10 == 0:
        print(f"step {event.number:3d}: L1 = {event.values['l1']:.5f}")
shown = [scene.render().color[0].detach() for scene in (first.start, work.scene, first.target)]
display(Image(pictures(shown, ["start: grey", "fitted", "target"])))

# %% [markdown]
# ## 2. All eight
#
# One column for each optimization, as in the figure. What is fitted:
#
# | | what is spoiled | model | how many numbers |
# |---|---|---|---|
# | a | vertex positions | vertex colours, no light | 3 for each vertex |
# | b | vertex colours | no light | 3 for each vertex |
# | c | texture | no light | 3 for each of 32 x 32 texels |
# | d | texture coordinates | no light | 2 for each vertex |
# | e | vertex positions | Lambert, two lamps | 3 for each vertex |
# | f | camera | Lambert | 4 azimuths, 4 elevations, 1 distance |
# | g | light | 9 spherical harmonics for each colour | 27 |
# | h | material | Phong | specular and shininess |
#
# *Error* is $L_1$ by the target's own rasterizer. *Distance from the truth* looks at the numbers themselves, which the
# fit never sees. The next cell only says how to measure that.

# %%
UNITS = {"vertices": " (radii)", "azimuth": " (°)", "elevation": " (°)", "distance": " (radii)", "uv": " (widths)"}


def measured(problem, scene):
    """The error, and by its name for each fitted number the root mean square difference from the truth."""
    found = {"error": problem.error(scene)}
    for path in problem.rates:
        now, truth = (torch.as_tensor(value_at(s, path)) for s in (scene, problem.target))
        name = path.rpartition(".")[2]
        found[name + UNITS.get(name, "")] = (now - truth).square().mean().sqrt().item()
    return found


def watched(problem, steps):
    """The events of a fit; every other step is measured."""
    work = repair(problem, steps)
    for event in work:
        if isinstance(event, Step) and (event.number % EVERY == 0 or event.number == steps):
            event = replace(event, values=measured(problem, work.scene))
        yield event


def pose(mesh):
    """The eight problems for a mesh, as the board takes them."""
    tasks = {}
    for name, problem in problems(mesh, SIZE).items():
        steps = 4 if QUICK else problem.steps
        start, target = (scene.render().color.detach().clamp(0, 1) for scene in (problem.start, problem.target))
        work = partial(watched, problem, steps)
        tasks[name] = Task(problem.title, start, target, steps, measured(problem, problem.start), work)
    return tasks


# %% [markdown]
# Click a column of the sheet, or a tab, and press **Run**; or press **Run all**. While it runs you can pause, and drag
# the *step* slider through the history, or play it. White in the *difference* is the largest difference of the start,
# so you see it fade. Change the *mesh*, or choose *own file* and upload an OBJ, PLY, OFF, STL or GLB: the same eight
# problems are then posed for your mesh. A texture and its coordinates are invented where it has none. The time of a
# step grows with the number of faces.

# %%
board = AttributesBoard(pose)
display(board)
if QUICK:  # with a browser you press Run all yourself
    board.run_all()
    print({name: f"{panel.run.share:.0%} of the start" for name, panel in board.panels.items()})

# %% [markdown]
# ## 3. Where it fails
#
# All eight starts above are chosen kindly: near the truth, with everything else known, seen from four sides. Take one
# of these away, and a gradient that is right to the last digit does not help. Everything in this section is made
# with small pictures.

# %%
SMALL, STEPS = problems(size=24 if QUICK else 32), 4 if QUICK else 60


def solve(problem, steps=STEPS, **changes):
    """Change a problem and fit it; returns the fitted scene, and its error as a share of the start's."""
    problem = replace(problem, steps=steps, **changes)
    work = problem.fit()
    for _ in work:
        pass
    return work.scene, problem.error(work.scene) / problem.error(problem.start)


# %% [markdown]
# **What is not seen is not learned.** The texture again, but only the first camera takes part. Its own picture becomes
# right. From behind, most of the object stays grey: no pixel depends on those texels, so their gradient is zero.

# %%
texture = SMALL["c"]
camera = texture.target.camera
one_eye = replace(camera, azimuth=camera.azimuth[:1], elevation=camera.elevation[:1])
blind = {"start": replace(texture.start, camera=one_eye), "target": replace(texture.target, camera=one_eye)}
found, _ = solve(texture, **blind)
fitted, truth = replace(found, camera=camera).render().color.detach(), texture.target.render().color
titles = ["view 1, target", "fitted from view 1", "view 2, target", "never looked", "view 4, target", "never looked"]
shown = [side[view] for view in (0, 1, 3) for side in (truth, fitted)]
display(Image(pictures(shown, titles, side=130)))

# %% [markdown]
# **A camera that is too far off.** The fit turns the camera to where the picture is *a little* more like the target.
# From 20 and 60 degrees off all four cameras come home. From 120 and 180 degrees most of them end in a wrong valley,
# where the silhouette fits by chance.

# %%
lambert = SMALL["f"]
for off in (20, 120) if QUICK else (20, 60, 120, 180):
    turned = replace(lambert.target.camera, azimuth=lambert.target.camera.azimuth + off)
    rates = {"camera.azimuth": 6.0, "camera.elevation": 2.0}  # degrees a step, so that the way is not too long
    found, ratio = solve(lambert, start=replace(lambert.target, camera=turned), rates=rates)
    left = (found.camera.azimuth - lambert.target.camera.azimuth + 180) % 360 - 180
    print(f"{off:3d}° off: error {ratio:4.0%} of the start; the four cameras are {left.round().int().tolist()}° off")

# %% [markdown]
# **Light or paint?** A picture shows the product of both. Below the target is white and the start is painted 60 % grey.
# The light alone is fitted, then light and paint together. Both times the error falls to about 1 % or less, and the
# light is wrong: it is simply brighter. No picture can tell; only knowledge about paint or light can.


# %%
def painted(scene, paint):
    """The scene with one grey, 0 (black) to 1 (white), on its whole mesh."""
    return replace(scene, mesh=scene.mesh.replace(colors=torch.full_like(scene.mesh.vertices, paint)))


light = "lights.0.coefficients"
white = painted(SMALL["g"].target, 1.0)
for rates in ({light: 0.1}, {light: 0.1, "mesh.colors": 0.02}):
    found, ratio = solve(SMALL["g"], start=painted(SMALL["g"].start, 0.6), target=white, rates=rates)
    lamp, truth = (value_at(scene, light)[0].mean() for scene in (found, white))
    paint = value_at(found, "mesh.colors").mean()
    print(f"fitted: {', '.join(rates)}; error {ratio:.1%} of the start")
    print(f"  mean paint {paint:.2f} (truth 1.00), mean brightness of the light {lamp:.2f} (truth {truth:.2f})")

# %% [markdown]
# **A far start of the shape.** The mesh begins in its right shape, but moved up by a part of its radius. Near, the
# pixels beside the silhouette pull it back. Far, most pixels of the target are out of reach of any face, and vertices
# are pulled to whatever is nearest: the picture gets better, the hole is lost, the shape is torn.

# %%
shape = SMALL["a"]
shown, titles = [shape.target.render().color[0]], ["target"]
for up in (0.1, 1.0) if QUICK else (0.1, 0.4, 1.0):
    moved = shape.target.mesh.vertices + torch.tensor([0.0, up, 0.0])
    start = replace(shape.start, mesh=shape.target.mesh.replace(vertices=moved))
    found, ratio = solve(shape, start=start, rates={"mesh.vertices": 0.02})
    shown += [start.render().color[0], found.render().color[0].detach()]
    titles += [f"start: {up} up", f"fitted: {ratio:.0%}"]
display(Image(pictures(shown, titles, side=125)))

# %% [markdown]
# What else the figure does not say: the learning rates and the number of steps are chosen for each problem, and the
# rasterizer is blurred at first for shape and camera (its $\delta$ falls by a factor of 7). And every problem here is
# fitted to pictures of the *same* renderer; with a photograph there is always a rest that no parameter can explain.

# %% [markdown]
# ## Exercises
#
# Fill in your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away below
# each one.
#
# **Exercise 1.** A white mesh stands in the light of problem g. All 27 coefficients of the light are doubled. Which
# colour must the mesh get, the same number for red, green and blue, so that no picture changes?

# %%
answer_1 = ...  # a number from 0 to 1


def check_1(paint):
    """Render both."""
    if paint is ...:
        return "not answered yet"
    bright = replace(white.lights[0], coefficients=2 * white.lights[0].coefficients)
    answer = replace(painted(white, float(paint)), lights=(bright,))
    apart = (answer.render().color - white.render().color).abs().max().item()
    assert apart < 1e-2, f"With {paint} a pixel differs by {apart:.2f}"
    return "right: there is a whole line of lights and paints with the same pictures"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: the picture is paint times light, so half the paint makes up for twice the light.
check_1(0.5)

# %% [markdown]
# **Exercise 2.** Distance and angle of view are hard to tell apart as well. A camera at distance 3 with an angle of
# view of 45 degrees looks at a sphere of radius 1. It moves back to distance 6. Which angle of view keeps the disc as
# large as before? (The rays that touch the sphere leave the camera at an angle $\arcsin(1 / d)$ from its axis, and the
# picture's edge is at half the angle of view. In the picture, lengths go with the tangent of the angle.)

# %%
answer_2 = ...  # degrees


def check_2(fov):
    """Count the pixels of both discs."""
    if fov is ...:
        return "not answered yet"
    poses = (OrbitPose(distance=3.0, fov=45.0), OrbitPose(distance=6.0, fov=float(fov)))
    sphere = replace(SMALL["a"].target, mesh=icosphere(3), size=(96, 96))
    near, far = (replace(sphere, camera=pose).render().alpha.sum().item() for pose in poses)
    assert abs(far / near - 1) < 0.02, f"With {fov:.2f} degrees the disc has {far / near:.0%} of its area"
    return "right: from the silhouette alone nobody can tell the two cameras apart"


check_2(answer_2)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2: tan(arcsin(1 / d)) / tan(fov / 2) must stay the same.
kept = math.tan(math.asin(1 / 3)) / math.tan(math.radians(45 / 2))
check_2(2 * math.degrees(math.atan(math.tan(math.asin(1 / 6)) / kept)))

# %% [markdown]
# **Exercise 3.** Two things are unknown at once: the light of problem g is even, and the four cameras are 20 degrees
# off in azimuth. Give the learning rates, by path, with which 60 steps bring $L_1$ below 10 % of the start. The rate is
# about the largest change in one step, in the parameter's own units. It falls to a tenth during the fit, so 60 steps
# reach about 23 times as far as the first.

# %%
answer_3 = ...  # {"a path": rate, "another path": rate}


def check_3(rates):
    """Run the fit: a few seconds."""
    if rates is ...:
        return "not answered yet"
    camera = SMALL["g"].target.camera
    start = replace(SMALL["g"].start, camera=replace(camera, azimuth=camera.azimuth + 20))
    _, ratio = solve(SMALL["g"], 60, start=start, rates=rates, schedules=SMALL["f"].schedules)
    assert ratio < 0.1, f"The error is {ratio:.0%} of the start"
    return f"right: {ratio:.1%} of the start"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: 20 degrees need a rate of 1 or more; the light is that of problem g. With grey vertex colours in place of
# the even light the same fit stops near 30 %: 600 colours can paint what the wrong camera sees, 27 numbers cannot.
check_3({"lights.0.coefficients": 0.1, "camera.azimuth": 2.0})

# %% [markdown]
# ## Conclusion
#
# Shape, colours, texture, texture coordinates, light, material and camera: for each of them the picture has a
# derivative, and from a near start gradient descent repairs it to a few per cent or less. That is a test of gradients.
# It is not a promise about scenes: what no pixel sees is not learned, what two numbers can both explain is not told
# apart, and from far away the nearest valley is often the wrong one. Reference: Chen et al., *Learning to predict 3D
# objects with an interpolation-based differentiable renderer* (DIB-R), 2019, section 3 and Figure 2.
