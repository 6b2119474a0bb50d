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
# # 6. Where does the light go?
#
# Light falls on a surface. How much of it goes to your eye? A *BRDF* answers that with a formula and a handful of
# numbers. **DIB-R** (Chen et al. 2019) puts such formulas behind a rasterizer, so that a picture can tell which way
# each number should change. Here you turn the numbers, see what they do, hide them, and find them again.
#
# **You will learn**
# - what Lambert, Phong, Blinn-Phong and Cook-Torrance do with light, as a picture and as a *lobe*;
# - which pixels know about which number: the derivative of a picture by a material;
# - how to recover a material from pictures;
# - why shininess and texture cannot both be found from one light.
#
# Needs: basic Python, vectors and dot products. Runs in about 30 seconds on two CPU cores, no GPU.

# %%
import dataclasses
import math

import torch
from IPython.display import Image, display

import labkit
from labkit.lab.brdf_fit import Recovery, hide, pose
from labkit.lab.brdf_model import MATERIALS, PARAMETERS, fraction, lobe, slice_of
from labkit.lab.brdf_panel import BrdfLab
from labkit.lab.brdf_plots import polar, profile, trajectories
from labkit.lab.brdf_recovery import BrdfRecovery
from labkit.lab.explorer_mesh import subject
from labkit.lab.hosts import headless
from labkit.lab.plots import pictures
from labkit.scene import SphericalHarmonics

QUICK = headless()  # without a browser everything is made smaller
DEFAULTS = {name: parameter.default for name, parameter in PARAMETERS.items()}
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## The laboratory
#
# Choose a material and move its sliders. Right of the picture is its **lobe**: light comes in along the orange line,
# and the farther the surface is from the middle, the more light leaves that way. Below is the derivative of the picture
# by each number: where it is **red**, the pixel becomes brighter when the number grows, where **blue**, darker. The
# lobe is drawn once more as a curve, in the plane of light and normal.
#
# Try *cube root* when a sharp highlight hides the rest. Four lights shine together; choose whose sliders you see. For
# **your own mesh** choose *own file* as the shape. Everything is one record, the JSON at the bottom.

# %%
lab = BrdfLab(**({"size": 64} if QUICK else {}))
display(lab)

# %% [markdown]
# ## 1. Four formulas
#
# With unit vectors $n$ (normal), $l$ (to the light), $v$ (to the eye), $r$ (the mirrored $l$), and
# $h = (l + v) / |l + v|$ (half-way), a surface of colour $I_c$ sends back the share
#
# | material | formula | numbers |
# |---|---|---|
# | Lambert | $k_d I_c \,(n \cdot l)$ | $k_d$ |
# | Phong | $k_d I_c \,(n \cdot l) + k_s (r \cdot v)^\alpha$ | $k_d$, $k_s$, shininess $\alpha$ |
# | Blinn-Phong | $k_d I_c \,(n \cdot l) + k_s (n \cdot h)^\alpha$ | $k_d$, $k_s$, shininess $\alpha$ |
# | Cook-Torrance | $k I_c \,(n \cdot l) + \pi D\,G\,F \,/\, (4\, n \cdot v)$ | $k_d$, roughness, metallic, $F_0$ |
#
# where negative dot products count as 0. $D$ says how many tiny mirrors point along $h$, $G$ how many of them are in
# the shadow of others, and $F$, after Fresnel, how much each of them reflects: nearly all of it at grazing angles. $k$
# is what is left for the matt part ($k_d$ is in it). Phong's form is that of DIB-R, equations 7 to 9.

# %%
for degrees in (30.0, 75.0):
    curves = {kind: slice_of(kind, DEFAULTS, degrees) for kind in MATERIALS}
    display(Image(polar(curves, degrees, size=(560, 330), rooted=True)))
    shares = {kind: lobe(kind, DEFAULTS, degrees).reflected for kind in MATERIALS}
    print(f"light from {degrees:.0f} degrees:", ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()))

# %% [markdown]
# The distance from the middle is the cube root of the share, or Cook-Torrance's highlight would hide the rest; the
# rings carry the share itself. The percentages say how much of the light leaves again, over all directions. Phong and
# Blinn-Phong send out more than came in: they are recipes for nice pictures, not physics. At grazing angles their
# highlights stay weak, while Cook-Torrance grows a strong one, *beyond* the mirror direction.

# %% [markdown]
# ## 2. Lights, and light at every pixel
#
# `labkit.render` lights each pixel with its own normal if `shading="phong"`. That needs a rasterizer whose pixels each
# show one face. With `"gouraud"` only the corners of the faces are lit, and the colours between them are blended:
# highlights are smeared or lost. (The *shading* after Phong and the *material* after Phong are two things.)

# %%
mesh = subject("torus").mesh
camera = labkit.Camera.orbit(25.0, 40.0, 3.0, fov=45.0)
side = 64 if QUICK else 192
shiny = labkit.Phong(specular=0.4, shininess=60.0)
sun = labkit.Directional((0.5, 0.7, 0.6), 0.8)
sky = SphericalHarmonics(torch.tensor([1.6, 1.2, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]))


def picture(lights, shading="phong", material=shiny):
    """The torus, (3, side, side)."""
    options = {"rasterizer": labkit.Hard(), "material": material, "lights": lights, "shading": shading}
    return labkit.render(mesh, camera, (side, side), **options).color[0]


lights = {
    "ambient": [labkit.Ambient(0.5)],
    "directional": [sun],
    "point": [labkit.Point((-1.0, 0.8, 1.0), 1.5)],
    "spherical harmonics": [sky],
}
display(Image(pictures([picture(one) for one in lights.values()], list(lights))))
display(
    Image(pictures([picture([sun], shading) for shading in ("flat", "gouraud", "phong")], ["flat", "Gouraud", "Phong"]))
)

# %% [markdown]
# ## 3. Which pixels know about the shininess?
#
# One number, many pixels. A gradient is made for the opposite: many numbers, one loss. The trick: give **each pixel its
# own copy** of the number. No pixel depends on another's copy, so the gradient of the *sum* of all pixels by the copies
# is the derivative of every pixel. The check: two pictures a little apart.

# %%
copies = torch.full((side, side, 1), 60.0, requires_grad=True)
picture([sun], material=labkit.Phong(0.4, copies)).mean(0).sum().backward()  # mean of the three channels
slope = copies.grad[..., 0]
more, less = (picture([sun], material=labkit.Phong(0.4, 60.0 + step)).mean(0) for step in (0.5, -0.5))
print(f"largest derivative by shininess: {slope.abs().max():.5f} a unit")
print(f"largest difference from two pictures one unit apart: {(slope - (more - less)).abs().max():.6f}")
print(f"pixels that know about it: {(slope.abs() > 1e-4).float().mean():.1%} of the picture")

# %% [markdown]
# Few pixels, small derivatives: a ring around each highlight is all that speaks of the shininess. Keep that in mind.

# %% [markdown]
# ## 4. Hide and seek
#
# Draw the numbers at random. Take pictures. Then forget the numbers, begin in the middle of every range, and let Adam
# follow the gradient of the mean absolute difference (L1, as DIB-R's). The logarithm of the shininess is fitted: from
# 10 to 20 is as far as from 100 to 200.

# %%
ball = subject("icosphere").mesh
steps, size = (60, 32) if QUICK else (150, 64)
for kind in ("Phong", "Cook-Torrance"):
    truth = hide(kind, torch.Generator().manual_seed(3))
    fit = Recovery(pose(ball, kind, truth, lamps=3, size=size), tuple(truth), steps=steps)
    for _ in fit:
        pass  # each event tells of a step; the fit holds the numbers
    print(kind, {name: f"{fit.values[name]:.3g} (truth {truth[name]:.3g})" for name in truth})
    display(Image(trajectories(list(truth), fit.path, truth, steps, size=(680, 190))))

# %% [markdown]
# ## Try it
#
# Press *Run* and watch the numbers go. Then press one of the three buttons at the bottom of the sliders, and *Run*
# again.
#
# **Experiments.** Other seeds. One light instead of three: which number suffers first? A start at 0.05 or 0.95. Your
# own mesh. With a hidden texture and one light, compare starts at 0.2, 0.5 and 0.8.

# %%
panel = BrdfRecovery(**({"size": 32, "steps": 20} if QUICK else {}))
display(panel)

# %%
if QUICK:  # with a browser you press Run yourself
    panel.runner.run()

# %% [markdown]
# ## 5. Where it fails
#
# **Shininess and texture together.** DIB-R's authors learn both, and report that it does not work: the texture makes up
# for the highlight (section 5.3). Here is the same without a network. $k_d = 1$ and $k_s = 0.4$ are known, and every
# texel and the shininess are not. Three fits begin at three values of the shininess.

# %%
truth = {"diffuse": 1.0, "specular": 0.4, "shininess": 60.0}
for lamps in (1, 4):
    problem = pose(ball, "Phong", truth, lamps=lamps, size=size)
    for start in (0.2, 0.5, 0.8):
        fit = Recovery(problem, ("shininess",), texture=True, start=start, steps=40 if QUICK else 150)
        for _ in fit:
            pass
        first, *_, last = fit.path["shininess"]
        error = f"picture error falls to {fit.losses[-1] / fit.first:.2%} of its start"
        print(
            f"{lamps} light{'s' if lamps > 1 else ' '}: {error}; shininess from {first:5.1f} to {last:4.1f} (truth 60)"
        )

# %% [markdown]
# With one light **the error falls as far, and the shininess stays wrong**: it ends somewhere between its start and the
# truth. With four lights all three fits agree. (Whether it fails depends on the shape: try the torus in the panel,
# where one light found the truth.)
#
# Why? *Assume* a shininess, and fit only the texture. How small can the error become?

# %%
assumed = [8.0, 60.0, 480.0] if QUICK else [8.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0]
least = {}
for lamps in (1, 2, 4):
    problem, errors = pose(ball, "Phong", truth, lamps=lamps, size=size), []
    for shininess in assumed:
        guess = dataclasses.replace(problem, truth={**truth, "shininess": shininess})  # the pictures stay
        fit = Recovery(guess, (), texture=True, steps=60, rate=0.3)
        errors.append([event.values["loss"] for event in fit][-1])
    least[f"{lamps} light{'s' if lamps > 1 else ''}"] = errors
display(Image(profile(assumed, least, 60.0, "assumed shininess", size=(640, 300))))

# %% [markdown]
# With one light the texture explains the picture whatever you assume: the line is nearly flat, and far below one grey
# level of a picture file. A highlight can be *painted on*. With a second light the painted highlight stays where it
# was, and the true one moves. No better optimizer helps; another picture does.
#
# Two more, honestly:
#
# 2. **Some numbers leave no trace.** Choose Cook-Torrance and *metal* in the laboratory: the derivative by $F_0$ is
#    zero everywhere, so no fit can find it. The same holds for the shininess if no highlight is in the picture.
# 3. **Nothing casts a shadow, and no light is reflected twice.** A chair's seat is lit through its back. Pictures of
#    real things contain both, and the fit would bend the numbers to explain them.

# %% [markdown]
# ## Exercises
#
# Fill in your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away below
# each one.
#
# **Exercise 1.** A white Phong surface has $k_d = 0.5$ and $\alpha = 10$, and light falls on it head-on. How large may
# $k_s$ be at most, so that not more light leaves than came in? (A lobe $\cos^\alpha$ around the normal sends out the
# share $2 k_s / (\alpha + 2)$.)

# %%
answer_1 = ...  # k_s


def check_1(specular):
    """Add up the light over the hemisphere."""
    if specular is ...:
        return "not answered yet"
    share = lobe("Phong", {"diffuse": 0.5, "specular": float(specular), "shininess": 10.0}, 0.0, 300, 8).reflected
    assert abs(share - 1) < 0.01, f"With k_s = {specular} the surface sends out {share:.0%}"
    return "right: a wide highlight carries more light than a narrow one of the same strength"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: 0.5 + 2 k_s / 12 = 1.
check_1(3.0)

# %% [markdown]
# **Exercise 2.** The eye is 10 degrees off the mirror direction, in the plane of light and normal. Then $r$ and $v$ are
# 10 degrees apart, but $n$ and $h$ only 5. Phong's $\alpha$ is 20. Which $\alpha$ does Blinn-Phong need to be just as
# bright there?

# %%
answer_2 = ...  # Blinn-Phong's alpha


def check_2(shininess):
    """Light from 40 degrees, eye at 50 on the other side."""
    if shininess is ...:
        return "not answered yet"
    angle = math.radians(50.0)
    to_eye = torch.tensor([math.sin(angle), math.cos(angle), 0.0], dtype=torch.float64)
    numbers = {"diffuse": 0.0, "specular": 1.0}
    phong = fraction("Phong", {**numbers, "shininess": 20.0}, 40.0, to_eye).item()
    blinn = fraction("Blinn-Phong", {**numbers, "shininess": float(shininess)}, 40.0, to_eye).item()
    assert abs(phong - blinn) < 0.003, f"Phong gives {phong:.3f}, Blinn-Phong {blinn:.3f}"
    return "right: half the angle needs about four times the exponent"


check_2(answer_2)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2: cos(10 deg) ** 20 = cos(5 deg) ** alpha.
check_2(20 * math.log(math.cos(math.radians(10))) / math.log(math.cos(math.radians(5))))

# %% [markdown]
# **Exercise 3.** Plastic reflects 4 % like a mirror when you look straight at it: $F_0 = 0.04$. Schlick's formula says
# $F = F_0 + (1 - F_0)(1 - \cos\theta)^5$ at an angle $\theta$ from the normal. At which angle does it reflect half?

# %%
answer_3 = ...  # degrees


def check_3(degrees):
    """The highlight of the plastic, relative to that of a perfect mirror."""
    if degrees is ...:
        return "not answered yet"
    angle = math.radians(degrees)
    to_eye = torch.tensor([math.sin(angle), math.cos(angle), 0.0], dtype=torch.float64)
    numbers = {"diffuse": 0.0, "roughness": 0.3, "metallic": 0.0}
    plastic, mirror = (
        fraction("Cook-Torrance", {**numbers, "reflectance": f0}, degrees, to_eye).item() for f0 in (0.04, 1.0)
    )
    assert abs(plastic / mirror - 0.5) < 0.02, f"At {degrees} degrees it reflects {plastic / mirror:.0%}"
    return "right: at grazing angles everything is a mirror"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: (1 - cos) ** 5 = 0.46 / 0.96.
check_3(math.degrees(math.acos(1 - (0.46 / 0.96) ** 0.2)))

# %% [markdown]
# ## Conclusion
#
# A material is a few numbers, and a differentiable renderer says how every pixel depends on each of them. From several
# lights they can be read back. From one light a texture can imitate a highlight, and then no number of steps will tell
# the two apart. References: Chen et al., *Learning to Predict 3D Objects with an Interpolation-based Differentiable
# Renderer* (DIB-R), 2019, sections 3.3 and 5.3; Cook and Torrance, *A Reflectance Model for Computer Graphics*, 1982.
