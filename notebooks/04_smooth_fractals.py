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
# # 4. Which rules made this picture?
#
# A fern of 100,000 points is made by four rules with six numbers each. From the rules to the picture is easy. From a
# picture back to the rules is hard: nobody knows a method that always works. **AlgoNet** (Petersen et al. 2019,
# section 4.5) makes the way to the picture smooth, so that a gradient can point the way back.
#
# **You will learn**
# - how a handful of affine maps makes a fractal, and what each of their numbers does;
# - how points become a picture that has a derivative;
# - why the *standard deviation* of that picture decides how far a fit can see;
# - how to fit a fractal to a picture from coarse to fine, and when that fails.
#
# Needs: basic Python, and what a matrix does to a plane. Runs in about 30 seconds on two CPU cores, no GPU.

# %%
import math
import time

import torch
from IPython.display import Image, display

from labkit.lab.fractal_fit_panel import FractalFitPanel
from labkit.lab.fractal_panel import FractalExplorer
from labkit.lab.fractal_plots import valleys
from labkit.lab.hosts import headless
from labkit.lab.plots import pictures
from labkit.smooth.fractal_fit import fit
from labkit.smooth.fractals import IteratedFunctionSystem, dragon, fern, random, sierpinski
from labkit.smooth.splatting import render_points, splat

QUICK = headless()  # without a browser everything is made smaller
torch.set_printoptions(precision=3, sci_mode=False)
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


def seeded(number):
    """A stream of random numbers that is the same every time."""
    return torch.Generator().manual_seed(number)


# %% [markdown]
# ## The explorer
#
# Choose a map (click its frame, or its number) and drag its sliders. Each frame shows where one map puts the whole
# picture; the thick side is its bottom, the dot its lower left corner. The small picture is the derivative by the
# number that you move: **red** pixels become brighter when it grows, **blue** ones darker. Try *in the wind* and
# *out of focus*. While you drag, the picture is coarse; when you rest, it is sharp. Everything you see is one record,
# the JSON at the bottom: copy it, paste it, *Apply JSON*. Exports go into the folder `exports`.

# %%
explorer = FractalExplorer(**({"size": 64, "points": 3000} if QUICK else {}))
display(explorer)

# %% [markdown]
# ## 1. Maps, choices, points
#
# An *iterated function system* has $n$ affine maps, six numbers each:
#
# $$f_i(x, y) = \left(x + a_{1,i} + a_{2,i}\, x + a_{3,i}\, y, \;\; y + a_{4,i} + a_{5,i}\, x + a_{6,i}\, y\right)$$
#
# All numbers 0 means: stay where you are. $a_1$ and $a_4$ shift. $a_2$ and $a_6$ are the change of width and height:
# $-0.5$ halves. $a_3$ and $a_5$ shear and turn. Begin somewhere, take a map at random, go where it says, draw a
# point, and repeat. All maps shrink, so it does not matter where you began.
#
# A random choice has no derivative. So the choices are drawn **in advance**, and then they are constants: the points
# are a smooth function of the six numbers of each map. Instead of one long walk, many short ones go side by side.

# %%
systems = {"fern": fern(), "Sierpinski triangle": sierpinski(), "dragon": dragon(), "random": random(3, seeded(1))}
shown = []
for system in systems.values():
    choices = system.draw(3000 if QUICK else 30_000, seeded(0))  # which maps to take
    points = system.points(choices).detach()  # (N, 2)
    shown.append(render_points(points, (160, 160), sigma=0.7, window=system.window)[0])
display(Image(pictures(shown, list(systems))))

# %% [markdown]
# ## 2. From points to a picture
#
# *Is this point in that pixel?* is a yes or no: no derivative again. So each point becomes a Gaussian cloud of
# standard deviation $\sigma$ pixels, and a pixel gets its share of each cloud. With $\Phi$ the normal distribution
# function, a point at column $u$ and row $v$ gives the pixel $(r, c)$
#
# $$p = \left[\Phi\!\left(\tfrac{c + 1 - u}{\sigma}\right) - \Phi\!\left(\tfrac{c - u}{\sigma}\right)\right]
# \left[\Phi\!\left(\tfrac{r + 1 - v}{\sigma}\right) - \Phi\!\left(\tfrac{r - v}{\sigma}\right)\right]
# \qquad\qquad \text{pixel} = 1 - e^{-k \sum p}$$
#
# where $k$ is the exposure over the mean of $\sum p$. The share is a product of a row's and a column's. So all shares
# together are one matrix product, and the table of all points by all pixels is never made.

# %%
system = fern()
count, side = (5000, 64) if QUICK else (100_000, 256)
choices = system.draw(count, seeded(0))
began = time.perf_counter()
picture = render_points(system.points(choices), (side, side), sigma=1.0, window=system.window)[0]
picture.mean().backward()
print(f"{count:,} points to {side} x {side} pixels, with the gradient: {time.perf_counter() - began:.2f} s")
print(f"all points by all pixels would have been {count * side**2 * 4 / 1e9:.1f} GB")
print("d mean brightness / d (a1 ... a6), a row for each map:", system.coefficients.grad, sep="\n")

# %% [markdown]
# ## 3. Why the standard deviation matters
#
# Take the Sierpinski triangle as the target, and move **one** number of one map. How far is the picture from the
# target? Below, the loss (mean squared difference, 1 for a black picture) for four standard deviations. The short
# black strokes are its gradient.


# %%
def loss_and_slope(value, sigma, side=64):
    """Loss with a1 of the second map set to a value, and its derivative by that value."""
    truth = sierpinski()
    choices = truth.draw(2000, seeded(0))
    goal = render_points(truth.points(choices).detach(), (side, side), sigma, truth.window)
    moved = sierpinski()
    moved.coefficients.data[1, 0] = value
    picture = render_points(moved.points(choices), (side, side), sigma, moved.window)
    loss = (picture - goal).square().mean() / goal.square().mean()
    loss.backward()
    return loss.item(), moved.coefficients.grad[1, 0].item()


places = torch.linspace(-0.1, 1.1, 25 if QUICK else 97).tolist()
found = {sigma: [loss_and_slope(a1, sigma) for a1 in places] for sigma in (0.5, 2.0, 6.0, 16.0)}
losses = {sigma: [loss for loss, _ in pairs] for sigma, pairs in found.items()}
slopes = {sigma: [slope for _, slope in pairs] for sigma, pairs in found.items()}
display(Image(valleys(places, losses, slopes, truth=0.5, across="a1 of map 2: shift to the right (plane units)")))

# %% [markdown]
# With a **small** $\sigma$ the loss is hilly country with one narrow hole: away from it the gradient is weak, or leads
# into a smaller hole. With a **large** $\sigma$ it is one wide valley, but a flat one: its bottom says little
# about the exact place, and details of the target are gone. So go from coarse to fine: begin with a large $\sigma$,
# get near, then make it smaller.

# %% [markdown]
# ## 4. The inverse problem
#
# `fit` does just that. It makes the target as blurred as each level's picture, and changes all numbers of all maps at
# once by Adam. Every step draws new choices, so that the fit cannot learn one set of points by heart.


# %%
def distance(system, target):
    """L2 distance of the system's picture from the target, relative to the target: 1 for a black picture."""
    side = target.shape[-1]
    drawn = system.points(system.draw(20_000, seeded(9))).detach()
    return ((render_points(drawn, (side, side), 1.0, system.window) - target).norm() / target.norm()).item()


def picture_of(system, side):
    """Its picture (1, side, side) at a standard deviation of 1 pixel."""
    return render_points(system.points(system.draw(20_000, seeded(8))).detach(), (side, side), 1.0, system.window)


def attempt(start, target, steps=8 if QUICK else 30, points=1000 if QUICK else 2000):
    """Fit in place, coarse to fine; returns the system and how far it was and is from the target."""
    before = distance(start, target)
    for _ in fit(start, target, generator=seeded(2), points=points, sigmas=(8, 4, 2, 1), steps_per_level=steps):
        pass  # each event tells of a step; the system holds the fit so far
    return start, before, distance(start, target)


side = 48 if QUICK else 64
shown, titles = [], []
for name, truth in (("fern", fern()), ("triangle", sierpinski())):
    target, start = picture_of(truth, side), truth.perturbed(0.2, seeded(0))  # each number up to 20 % off
    begun = picture_of(start, side)
    fitted, before, after = attempt(start, target)
    shown += [target[0], begun[0], picture_of(fitted, side)[0]]
    titles += [name, f"start: {before:.2f}", f"fitted: {after:.2f} ({100 * (after / before - 1):+.0f} %)"]
display(Image(pictures(shown, titles, side=130)))

# %% [markdown]
# ## Try it
#
# Press *Run* and watch. Pause, change the schedule, begin again. What is fitted is part of the state: copy the JSON,
# and you can paste it back tomorrow.
#
# **Your own picture:** choose *my picture* and upload a PNG or JPEG: a leaf, a tree, a snowflake; dark on white works
# best. The start is then random, and you must guess how many maps it takes.
#
# **Experiments.** Fit the fern from 20 %, 40 % and 100 %. Then again with a single level of 160 steps instead of four
# of 40: which ends closer?

# %%
panel = FractalFitPanel(**({"size": 48, "points": 1000, "steps": 5} if QUICK else {}))
display(panel)

# %%
if QUICK:  # with a browser you press Run yourself
    panel.runner.run()

# %% [markdown]
# ## 5. Where it fails
#
# 1. **Far starts.** A gradient leads to the bottom of *a* valley. From 20 % off it is the right one. From 100 % off,
#    and from a random start, it usually is not: the result has the target's outline and none of its detail.
# 2. **The number of maps must be guessed.** No gradient leads from three maps to four.
# 3. **A small distance is no proof.** Different systems can make the same picture, so the numbers may be far from
#    those of the target although the pictures agree.
# 4. **The chances of the maps are not fitted.** A choice cannot be interpolated. So the shares of the points stay
#    what they were at the start.
# 5. **Coarse to fine is no cure for all.** Measured with 160 steps in all and five seeds each, one level of 1 pixel
#    against four levels: from 40 % off the single level ended *closer* for the triangle (0.02 against 0.04 to 0.10),
#    since all its steps went into the detail. From far off it was lost more badly: the fern from 80 % off ended as far
#    as 0.45 away (four levels: 0.22 at worst), the dragon from 50 % as far as 0.30 (four levels: 0.08).
#
# Below: the same target, from starts that know less and less. Above each picture its distance from the target.

# %%
target = picture_of(fern(), side)
starts = {
    "20 % off": fern().perturbed(0.2, seeded(1)),
    "100 % off": fern().perturbed(1.0, seeded(3)),
    "random, 4 maps": random(4, seeded(5)),
    "random, 2 maps": random(2, seeded(6)),
}
shown, titles = [target[0]], ["target"]
for name, start in starts.items():
    start.shrink(0.95)  # all maps must contract, or the points run away
    fitted, before, after = attempt(start, target)
    shown.append(picture_of(fitted, side)[0])
    titles.append(f"{name}\n{before:.2f} to {after:.2f}")
display(Image(pictures(shown, titles)))

# %% [markdown]
# ## Exercises
#
# Fill in your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away below
# each one.
#
# **Exercise 1.** Write the six numbers $a_1$ to $a_6$ of the map that turns the plane by 90 degrees to the left around
# the origin, shrinks it to one half, and then moves it right by 1.

# %%
answer_1 = ...  # a list of six numbers


def check_1(numbers):
    """Send three corners through the map."""
    if numbers is ...:
        return "not answered yet"
    matrix, offset = IteratedFunctionSystem(torch.tensor([numbers]).float(), torch.ones(1)).to_affine()
    for corner, expected in (((0.0, 0.0), (1.0, 0.0)), ((1.0, 0.0), (1.0, 0.5)), ((0.0, 1.0), (0.5, 0.0))):
        got = (matrix[0] @ torch.tensor(corner) + offset[0]).tolist()
        assert math.dist(got, expected) < 1e-4, f"{corner} goes to {got}, and should go to {expected}"
    return "right"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: x' = 1 - y / 2 and y' = x / 2; the formula adds x and y themselves, so a2 and a6 take them away again.
check_1([1, -1, -0.5, 0, 0.5, -1])

# %% [markdown]
# **Exercise 2.** The Sierpinski *carpet* is made of eight copies of itself, each one third as wide and high. By which
# factor does each map change areas ($|\det A|$)? And what is the dimension $d$ of the carpet, with
# $\sum_i |\det A_i|^{d/2} = 1$?

# %%
answer_2 = ...  # (area factor, dimension)


def check_2(answer):
    """Put both into the formula."""
    if answer is ...:
        return "not answered yet"
    area, d = answer
    assert abs(area - 1 / 9) < 1e-3, f"A square of side 1 becomes one of side 1/3: its area is not {area:.3g}"
    total = 8 * area ** (d / 2)
    assert abs(total - 1) < 1e-2, f"With d = {d} the sum is {total:.3f}, and should be 1"
    return "right: more than a line, less than a plane"


check_2(answer_2)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2: 8 * 3 ** -d = 1.
check_2((1 / 9, math.log(8) / math.log(3)))

# %% [markdown]
# **Exercise 3.** A fractal of a single point shall move to a target 10 pixels away. The pull (the derivative of the
# squared difference of the two pictures by the distance) is weak if the two clouds hardly overlap, and weak again if
# they nearly coincide. For which $\sigma$ is the pull strongest at just 10 pixels? (The squared difference of two
# Gaussian clouds at distance $d$ is $c \, (1 - e^{-d^2 / (4 \sigma^2)})$.)

# %%
answer_3 = ...  # sigma in pixels


def check_3(sigma):
    """Where does the pull of two splatted points peak?"""
    if sigma is ...:
        return "not answered yet"
    distances = torch.linspace(0.5, 40.0, 159, dtype=torch.float64, requires_grad=True)
    moved = torch.stack([distances, torch.zeros_like(distances)], -1)[:, None] / 50  # 100 pixels span 2 plane units
    still = torch.zeros(1, 1, 2, dtype=torch.float64)
    difference = splat(moved, (100, 100), float(sigma)) - splat(still, (100, 100), float(sigma))
    (pull,) = torch.autograd.grad(difference.square().sum(), distances)
    peak = distances[pull.argmax()].item()
    assert abs(peak - 10) < 0.5, f"With sigma = {sigma:.3g} the pull is strongest at {peak:.1f} pixels"
    return "right: begin a fit with a sigma of about 0.7 times the distance you expect"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: the pull goes like d exp(-d^2 / (4 sigma^2)), which is largest at d = sqrt(2) sigma.
check_3(10 / math.sqrt(2))

# %% [markdown]
# ## Conclusion
#
# Two decisions stood in the way of a derivative: *which map?* and *which pixel?* The first is made in advance, the
# second is made soft, and a fractal becomes a smooth function of its numbers. The standard deviation decides how far
# the gradient sees and how fine: so fit from coarse to fine. It works near the truth, and the inverse problem as a
# whole stays unsolved. Reference: Petersen et al., *AlgoNet: C-infinity smooth algorithmic neural networks*, 2019,
# section 4.5.
