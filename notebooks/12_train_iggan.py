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
# # 12. Can a picture's shading tell a hollow tub from a solid one?
#
# **And can a generator learn it through a renderer that has no gradient?**
#
# You have a pile of photographs of bathtubs. One photograph of each tub, no shapes, no cameras, no masks. You want a
# generator of *new tubs in 3D*. **IG-GAN** (inverse graphics GAN, Lunz et al. 2020) lets a discriminator compare
# rendered pictures with the photographs. The renderer may be any program, and need not have a gradient.
#
# **You will learn**
# - which pictures show that a tub is hollow, and which hide it: the cue test;
# - why an ordinary renderer of voxels has no gradient, and how a *neural renderer* stands in for it;
# - what *discriminator output matching* (DOM) matches, as a picture of dots and a line;
# - to look into a training while it runs: thresholds, latents, the discriminator's opinion, honest figures.
#
# Needs: basic Python, and what a GAN is: a generator $G$ makes things up, a discriminator $D$ tells them from data, and
# they train against each other. Without the training it runs in about half a minute on two CPU cores. The training
# begins when you press *Start*; preset *cpu* takes two CPU cores about half an hour.

# %%
from dataclasses import replace

import torch
from IPython.display import HTML, Image, display

from labkit.data.categories import Category
from labkit.data.cavity import cavity_occupancy, fill_layers
from labkit.data.cue_test import cue_test
from labkit.events import Done, Step
from labkit.lab.hosts import headless
from labkit.lab.iggan_cue import cue_chart, cue_table
from labkit.lab.iggan_cue_panel import CuePanel
from labkit.lab.iggan_panel import IGGANPanel, methods
from labkit.lab.plots import HARD, SOFT, curves, pictures
from labkit.train import iggan
from labkit.train.iggan_config import RenderConfig
from labkit.train.iggan_loss import dom_loss, log_discriminator, render_loss
from labkit.train.iggan_scene import OffTheShelf, camera_of

QUICK = headless()  # without a browser everything is made smaller
print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## 1. The cue
#
# A picture can only teach what it shows. Take a hollow tub, and the same tub filled to its rim. Both have the *same*
# silhouette from everywhere. Three ways to make a picture of voxels $v$:
#
# - **visual hull**: $1 - e^{-\sum v}$ along each ray, a soft silhouette;
# - **absorption only**: $1 - \prod (1 - \rho\,v)$, an X-ray: thicker is darker. (The panel draws both dark on white.)
# - **shaded**: the first voxel that the ray meets, lit by two lamps from below, left and right of the camera.
#
# Move the *wall*. Thick walls stop all the light of an X-ray, so there is nothing left for the inside to add. Shading
# looks *into* the tub. Now put the elevation to 0: seen from the side, shading shows nothing of the inside.

# %%
cue = CuePanel()
display(cue)

# %% [markdown]
# One view proves little. The cue test is the mean over views. In code, for walls of 2, 3 and 4 voxels of 64:

# %%
cues = [cue_test(wall, elevations=(15.0, 45.0), azimuths=2 if QUICK else 4, renderer=None) for wall in (2, 3, 4)]
display(HTML(cue_table(cues)), Image(cue_chart(cues)))

# %% [markdown]
# These are few views. With 32 of them (elevations 15, 30, 45, 60 and eight azimuths) visual hull, absorption only and
# shading give 0.029, 0.183, 0.178 for walls of 2 voxels, 0.007, 0.092, 0.153 for 3, and 0.002, 0.047, 0.134 for 4. Read
# it both ways: through *thin* walls an X-ray shows the hollow as well as shading does. From 4 voxels on shading shows
# about three times as much as the X-ray and seventy times as much as the soft silhouette. So trainings below have
# thick walls: 4 voxels or more of 64.
#
# ## 2. A renderer without a gradient
#
# The generator makes occupancies $x_c = G(z)$ between 0 and 1. A renderer off the shelf, $R_d$, wants a surface. So a
# threshold $t$ is drawn, and a voxel is solid where it exceeds it:
#
# $$x_d = [\, x_c > t \,], \qquad t \sim U(0, 1), \qquad y = R_d(x_d)$$
#
# Below, a block of voxels inside a tub goes from 0 to 1. What does the picture do?

# %%
tub = Category("bathtub", "test", wall=8).voxels(3, 16).values[None, None].float()  # (1, 1, 16, 16, 16)
block = torch.zeros_like(tub)
block[..., 6:10, 4:14, 6:10] = 1
levels = torch.arange(0.0, 1.01, 0.1 if QUICK else 0.05)
camera = camera_of(torch.tensor([[30.0, 45.0]]))  # azimuth, elevation in degrees
with OffTheShelf(RenderConfig(name="hard"), 32) as off_the_shelf:

    def brightness(value, t):
        """Mean of R_d(x_c > t) where the block is ``value`` and the tub is solid."""
        return off_the_shelf(torch.where(block > 0, value, tub) > t, camera).mean().item()

    at_half = [brightness(value, 0.5) for value in levels]
    over_t = [sum(brightness(value, t) for t in (0.1, 0.3, 0.5, 0.7, 0.9)) / 5 for value in levels]
lines = {"one threshold, t = 1/2": (at_half, HARD, 1.0), "mean over five thresholds": (over_t, SOFT, 1.0)}
display(Image(curves(levels.tolist(), lines, "value of the block in x_c", "mean brightness of R_d(x_d)")))

# %% [markdown]
# A step: its derivative is 0, and at one place infinite. No gradient flows to $G$. But the *mean* over thresholds has
# smaller steps, the more thresholds the smaller: as a function of $x_c$ it has a slope. That mean is what the generator
# is judged by. Only nobody can differentiate the program that draws it.
#
# ## 3. A neural renderer stands in
#
# Train a network $R_\varphi$ to make the same pictures, and use *its* gradient. Three networks learn in turn, one
# update each:
#
# | who | sees | loss |
# |---|---|---|
# | discriminator $D$ | data, and $R_d(x_d)$ | $-\log D(y) - \log(1 - D(R_d(x_d)))$ (equation 2) |
# | neural $R_\varphi$ | $x_d$, $x_c$ | $\lVert R_\varphi(x_d) - R_d(x_d)\rVert^2 + \lambda\,\text{DOM}$ (equation 9) |
# | generator $G$ | $R_\varphi(x_c)$ | $-\log D(R_\varphi(x_c))$ (equation 7) |
#
# The first term of the middle row teaches $R_\varphi$ on *binary* shapes only, since $R_d$ takes no others. But $G$
# needs its gradient at *continuous* ones. What should $R_\varphi(x_c)$ look like? There is no right picture: the
# thresholds give many. The answer of the paper: any picture will do, if $D$ says about it what it says on average
# about the true ones:
#
# $$\text{DOM} = \big(\log D(R_d(x_d)) - \log D(R_\varphi(x_c))\big)^2 \qquad \text{(equation 8)}$$
#
# With a random $t$ in each step, the best that $R_\varphi$ can do is the mean of $\log D(R_d(x_d))$ over $t$. So the
# stand-in needs not be a good *picture*. It has to be a good *reward*. All of it is one call:

# %%
config = replace(iggan.PRESETS["tiny"], steps=8 if QUICK else 60)
config = replace(config, neural=replace(config.neural, pretrain_steps=config.steps // 3))
for event in iggan.train(config):  # with run="runs/mine" it is saved, and resume=True goes on
    match event:
        case Step() if event.number % (config.steps // 4) == 0:
            print(event.number, {name: round(value, 3) for name, value in event.values.items() if "loss" in name})
        case Done():
            print({name: round(value, 3) for name, value in event.values.items()})

# %% [markdown]
# At first only *loss render*: $R_\varphi$ learns alone, on tables. So few steps teach nobody anything.
#
# ## 4. Live
#
# Press **Start**. The first minutes train $R_\varphi$ alone, and the shapes stay noise. Then the game begins.
#
# - **shapes and pictures**: four generated shapes, and eight through both renderers. The stand-in is blurred, striped,
#   at times odd. Is it bad?
# - **one shape: z and t**: needs a checkpoint (*Save now* makes one). Move *threshold t*: this is figure 7 of the
#   paper. The shape changes, the picture $R_d(x_d)$ changes, and $\log D$ (orange) with it; $R_\varphi(x_c)$ (blue)
#   does not know $t$. DOM moves the blue line to the dashed one. Move *from z to z′*: does the shape change smoothly?
# - **what D says**: the same for many shapes, a dot each, blue line against dashed line. On the diagonal DOM is zero.
# - **figures by step**: *filled share of the cavity* is 0 for a hollow tub and 1 for a filled one. FID needs a network
#   for features: train the recipe *features* with the same resolution, and name its folder in `measured.features`.
#
# The buttons choose what the **next** run is. Baselines in the same folder stand beside it in *figures by step*.

# %%
training = IGGANPanel(preset="tiny" if QUICK else "cpu")
display(methods(training), training)
if QUICK:  # with a browser you press Start yourself
    training.start()

# %% [markdown]
# ## 5. Baselines, honestly
#
# - **Visual hull** and **absorption only** have a gradient by themselves: $G$ is judged by *their* pictures, and the
#   data are made by them, out of the true shapes. That is kind to them: they never meet a lamp. But what their pictures
#   do not show, they cannot learn (section 1).
# - **2D-DCGAN** makes pictures, no shapes.
# - For FID all shapes are cut at $t = 1/2$ and shaded by the same $R_d$: the baselines are measured by pictures of a
#   kind that they never saw, as in the paper. The *cavity* asks the shape itself.
#
# The paper's own table (FID by its own features, not comparable with others; the set *one per model*), for bathtubs:
# 2D-DCGAN 461.8, absorption only 275.8, visual hull 184.6, IG-GAN 67.5; and for chairs, which have few cavities: 362.3,
# 32.8, 37.1, 20.7. The lead over the best baseline is a factor of 2.7 on tubs, of 1.6 on chairs. That fits the cue.

# %% [markdown] tags=["measured"]
# **What runs on two CPU cores gave** (one seed, preset *cpu*: 16 voxels, thick walls; the data's cavity is 0). IG-GAN
# fell from 0.95 after 700 steps to 0.21 after 1,300, then went up and down between 0.05 and 0.58; over 64 shapes of
# step 1,900 it was 0.56. Visual hull had 0.92 after 1,300 steps, with other rates. So IG-GAN hollows its tubs, badly,
# and visual hull does not. It is one seed, and no evidence for the ranking by FID.

# %% [markdown]
# ## 6. Where it fails
#
# **Hollow is a small part of the picture.** The inside of a tub is some pixels of 32 by 32. $D$ must find it worth
# looking at, and outlines are easier. In the run above that took 1,000 steps, and it was lost and found again.
#
# **The stand-in is blind where it was not taught.** Equation 5 teaches shapes that $G$ makes *now*. When $G$ jumps,
# $R_\varphi$ is wrong for a while, and its gradient with it. Make $\lambda$ 0 (*without DOM*) and watch the dots.
#
# **Cameras and light are a gift.** $G$ is seen from the same range of angles, at the same scale, under the very lamps
# of the data. For real photographs one has to guess all three, and $G$ bends the surface until the shading fits.
#
# **What no picture shows, nobody learns.** From the side a tub has no inside:

# %%
shape = Category("bathtub", "test", wall=4).voxels(3, 32).values[None, None]
angles = torch.tensor([[30.0, 0.0], [30.0, 15.0], [30.0, 35.0], [30.0, 60.0]])  # azimuth, elevation
with OffTheShelf(RenderConfig(name="hard", surface="marching"), 96) as off_the_shelf:
    seen = off_the_shelf(shape.expand(4, -1, -1, -1, -1), camera_of(angles))[..., 16:80, 16:80]
display(Image(pictures(list(seen), [f"elevation {up:.0f}°" for up in angles[:, 1]])))

# %% [markdown]
# **Voxels are coarse**, and thin walls are lost in them: preset *cpu* has thick ones. **One seed is one throw**: two
# seeds can differ more than two methods.
#
# ## Exercises
#
# Put your answer in place of `...`, run the cell, and let the check tell you. Solutions are folded away below each one.
#
# **Exercise 1.** Why can silhouettes not show a hollow? Build the largest shape with the same three silhouettes as a
# given one, seen along x, along y and along z.


# %%
def hull(solid):
    """The largest (N, N, N) bool with the silhouettes of ``solid`` (N, N, N) bool along all three axes."""
    return ...


def check_1(answer):
    """Compare silhouettes, and fill a tub."""
    tub = Category("bathtub", wall=4).voxels(0, 32).values
    got = answer(tub)
    if got is ...:
        return "not answered yet"
    for axis in range(3):
        assert torch.equal(got.any(axis), tub.any(axis)), f"The silhouette along axis {axis} is another one."
    assert (got | ~fill_layers(tub)).all(), "A tub filled to its rim has these silhouettes, and yours does not hold it."
    for voxel in (~got).nonzero()[::997]:
        more = got.index_put(tuple(voxel), torch.tensor(True))
        same = all(torch.equal(more.any(axis), got.any(axis)) for axis in range(3))
        assert not same, f"Voxel {voxel.tolist()} can be added and no silhouette changes."
    before, after = (cavity_occupancy(x[None, None].float()).occupancy.item() for x in (tub, got))
    return f"right: the same silhouettes, and the filled share of the cavity goes from {before:.2f} to {after:.2f}"


check_1(hull)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: a voxel may be solid if it lies in all three silhouettes.
def hull_solution(solid):
    return solid.any(0, keepdim=True) & solid.any(1, keepdim=True) & solid.any(2, keepdim=True)


check_1(hull_solution)

# %% [markdown]
# **Exercise 2.** Write DOM from $D$'s logits $l$, with $D = 1 / (1 + e^{-l})$. $D$ can be very sure: logits of $-1000$
# must not make the loss infinite.


# %%
def dom(off_the_shelf, neural):
    """The mean of (log D(R_d(x_d)) - log D(R_phi(x_c)))^2, from logits (B,) each."""
    return ...


def check_2(answer):
    """Against the library, and with a D that is sure."""
    dice = torch.Generator().manual_seed(0)
    for scale in (1.0, 30.0, 1000.0):
        first, second = (scale * torch.randn(64, generator=dice) for _ in range(2))
        got = answer(first, second)
        if got is ...:
            return "not answered yet"
        assert got.isfinite(), f"Logits about {scale:.0f} give {got}. Hint: log D = -softplus(-l)."
        assert torch.isclose(got, dom_loss(first, second)), "Not the mean of the squared differences of log D."
    one = answer(torch.tensor([0.0]), torch.tensor([-1000.0]))
    return f"right: and one picture that D is sure of costs {one:.0f}. That is why some clip the logits"


check_2(dom)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2
def dom_solution(off_the_shelf, neural):
    softplus = torch.nn.functional.softplus
    return (softplus(-neural) - softplus(-off_the_shelf)).square().mean()


check_2(dom_solution)

# %% [markdown]
# **Exercise 3.** Equation 5 is a *sum* over the pixels, and $\lambda = 100$ goes with it. Many programs take the *mean*
# instead. Which $\lambda$ has the same effect there?


# %%
def same_lambda(weight, height, width):
    """Lambda for the mean over pixels that balances as ``weight`` does for the sum over pixels."""
    return ...


def check_3(answer):
    """Both losses must pull R_phi in the same direction."""
    weight = answer(100.0, 128, 128)
    if weight is ...:
        return "not answered yet"
    dice = torch.Generator().manual_seed(0)
    picture, target, probe = (torch.rand(2, 1, 128, 128, generator=dice) for _ in range(3))
    steps = []
    for reduction, factor in (("sum", 100.0), ("mean", weight)):
        made = picture.clone().requires_grad_()
        matched = (log_discriminator((made * probe).mean((1, 2, 3))) + 1).square().mean()  # a D that is made up
        (step,) = torch.autograd.grad(render_loss(made, target, reduction) + factor * matched, made)
        steps.append((step / step.norm()).flatten())
    cosine = float(steps[0] @ steps[1])
    assert cosine > 0.999999, f"The directions differ: cosine {cosine:.4f}. How many pixels are in a picture?"
    return f"right: {weight:.4f}. Who takes the mean and keeps 100 gives DOM {100 / weight:,.0f} times its weight"


check_3(same_lambda)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3: the sum is H W times the mean, so all of the loss shrinks by that.
def lambda_solution(weight, height, width):
    return weight / (height * width)


check_3(lambda_solution)

# %% [markdown]
# ## Conclusion
#
# Shading tells hollow from filled where silhouettes and X-rays of thick walls do not. A renderer without a gradient can
# be used in training: a neural renderer gives the gradient, and DOM says what it must get right, the discriminator's
# verdict and not the picture. Whether a run has learned the hollow, the *cavity* says, not FID alone.
#
# References: Lunz, Li, Fitzgibbon and Kushman, *Inverse Graphics GAN*, 2020, sections 3 to 5; Gadelha et al., *3D Shape
# Induction from 2D Views* (visual hull), 2017; Henzler et al., *Escaping Plato's Cave* (absorption only), 2019;
# Nguyen-Phuoc et al., *RenderNet*, 2018.
