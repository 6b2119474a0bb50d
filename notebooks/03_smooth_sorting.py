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
# # 3. Can sorting have a gradient?
#
# A sort compares and swaps. Both jump: nobody can say what the *order* would do if an input moved a little.
# **AlgoNet** (Petersen et al. 2019, sections 3.2, 4.1 and 4.4) makes every swap soft. The result is nearly sorted, and
# every output has a gradient to every input.
#
# **You will learn**
# - how a network of soft exchanges sorts, and how many steps it really needs;
# - what steepness and number of steps do, up to their limits;
# - how to learn *by what* to sort, which a hard sort cannot;
# - why a median forgives outliers, and what its soft and its fast form see of them;
# - when a sorting layer helps a neural network, and when it harms.
#
# Needs: basic PyTorch, and what a sigmoid is. Runs in about 20 seconds on two CPU cores, no GPU.

# %%
import torch
from IPython.display import Image, display

from labkit.lab.hosts import headless
from labkit.lab.median_panel import MedianPanel, MedianState, averages
from labkit.lab.plots import HARD, SOFT, curves
from labkit.lab.set_training_panel import SetTrainingPanel
from labkit.lab.sorting_panel import SortingPanel, SortingState, network_of, sorting
from labkit.smooth import soft_median, soft_sort
from labkit.smooth.gates import sigmoid
from labkit.smooth.sorting_network import odd_even_network

# %% [markdown]
# ## The sorting network
#
# Values run along the wires from left to right. Each bar is a soft exchange of two neighbours: the thicker, the more
# it swaps. Drag *steepness* and *steps*, type own values, choose an output and see which inputs it listens to.

# %%
network = SortingPanel()
display(network)

# %% [markdown]
# ## 1. One soft exchange
#
# The hard exchange of neighbours $a, b$ gives $\min(a, b)$ and $\max(a, b)$. The soft one asks a sigmoid $\sigma$ *how
# surely* they are in order, and mixes:
#
# $$\alpha = \sigma(s\,(b - a)) \qquad a' = \alpha\, a + (1 - \alpha)\, b \qquad b' = (1 - \alpha)\, a + \alpha\, b$$
#
# The sum stays: $a' + b' = a + b$. Pairs (0, 1), (2, 3), ... and pairs (1, 2), (3, 4), ... take turns: the *odd-even
# transposition network*, a bubble sort in parallel. Here it is from scratch, against the library:


# %%
def sort_from_scratch(values, s):
    wires = list(values)
    for pairs in odd_even_network(len(wires)):  # for every step the upper wires of its pairs
        for i in pairs:
            a, b = wires[i], wires[i + 1]
            alpha = sigmoid(b - a, s)
            wires[i], wires[i + 1] = alpha * a + (1 - alpha) * b, (1 - alpha) * a + alpha * b
    return torch.stack(wires)


values = torch.tensor([3.0, 1.0, 2.0, 5.0, 4.0], dtype=torch.float64)
print(f"from scratch: {sort_from_scratch(values, 4.0)}\nlibrary:      {soft_sort(values, 4.0)}")
places = torch.linspace(-1.5, 1.5, 121)
pairs = torch.stack([places, torch.zeros(121)], -1)  # (121, 2): a moves, b = 0
lines = {f"soft, s = {s:g}": (soft_sort(pairs, s)[:, 0].tolist(), SOFT, s / 20) for s in (2.0, 6.0, 20.0)}
lines["hard"] = (places.clamp(max=0).tolist(), HARD, 1.0)
display(Image(curves(places.tolist(), lines, "a (b = 0)", "smaller output a'")))

# %% [markdown]
# The soft minimum is above the hard one: it is a mean. Its slope passes from 1 to 0 without a jump, and goes a little
# *below* 0 on the way. So a soft sort is not monotone: with the logistic sigmoid, raising an input can lower an output
# (the negative bars in the panel above). Choose the sigmoid *cauchy* there, and they vanish.
#
# ## 2. How many steps?
#
# The paper says: $n - 1$ steps for even $n$, $n$ for odd. A network of exchanges sorts everything if it sorts all
# inputs of zeros and ones (Knuth's *0-1 principle*), so a computer can check: $2^n$ inputs.


# %%
def failures(n, steps):  # the inputs of zeros and ones that so many sharp steps do not sort
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * n).reshape(-1, n)  # (2^n, n)
    found = soft_sort(bits, 1000.0, steps=steps)
    return bits[(found != bits.sort(-1).values).any(-1)]


print("n:                       ", *(f"{n:4d}" for n in range(2, 11)))
for name, less in (("n - 1", 1), ("n", 0)):
    print(f"not sorted by {name:5s} steps:", *(f"{len(failures(n, n - less)):4d}" for n in range(2, 11)))
own = " ".join(f"{bit:g}" for bit in failures(4, 3)[0])
display(Image(network_of(sorting(SortingState(own=own, steepness=1000.0, steps=3)))))

# %% [markdown]
# So $n - 1$ steps fail for every $n > 2$, even or odd, and **$n$ steps sort everything**. In the picture (n = 4, three
# steps) the first step finds nothing to swap (equals mix by half); the swaps that are needed start one step late, and
# the last of them has no step left.
#
# ## 3. Two limits
#
# $s \to \infty$ gives the hard sort: the error falls until two neighbours are so close that $s$ cannot tell them
# apart. *Many steps at a low steepness* give the mean: every exchange mixes a little, nothing is ever unmixed.

# %%
data = torch.randn(32, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
powers = torch.linspace(-1, 4, 26).tolist()
errors = [float((soft_sort(data, 10**power) - data.sort(-1).values).abs().mean()) for power in powers]
error = {"32 sets of 8 values": (errors, SOFT, 1.0)}
display(Image(curves(powers, error, "log10 of the steepness (1/std)", "mean error (std of the values)")))
six = torch.tensor([2.0, -1.0, 0.5, 3.0, -2.0, 1.0])
levels = torch.stack([soft_sort(six, 1.0, steps=k) for k in range(61)])  # (61, 6)
names = ["wire 1", "_2", "_3", "_4", "_5", "wire 6"]  # the legend leaves out what begins with _
lines = {name: (wire.tolist(), SOFT, i / 5) for i, (name, wire) in enumerate(zip(names, levels.T, strict=True))}
lines["mean"] = ([float(six.mean())] * 61, "#555555", 1.0)
display(Image(curves(range(61), lines, "steps, at s = 1", "value on the wire")))

# %% [markdown]
# ## 4. Learn by what to sort
#
# A hard sort passes gradients to the *values* that it moves. What it cannot pass is a gradient to the *order*. The
# soft sort can: let other things, the *companions*, follow the keys through the same exchanges. Below, each of nine
# items has a load, and three gauges see its hidden score, in unknown proportions. Only one thing is told: the load of
# the item with the best score. Which mix of the gauges is the score?


# %%
def items(count, stream):  # gauges (count, 9, 3), loads (count, 9), place of the best item (count, 1)
    score, load = torch.randn(2, count, 9, generator=stream)
    gauges = score[..., None] * torch.tensor([1.0, 0.5, -0.7]) + 0.1 * torch.randn(count, 9, 3, generator=stream)
    return gauges, load, score.argmax(-1, keepdim=True)


stream = torch.Generator().manual_seed(0)
mix = torch.tensor([0.0, 1.0, 1.0], requires_grad=True)
optimizer = torch.optim.Adam([mix], 0.1)
test_gauges, _, test_best = items(2000, stream)
hits = []
for _ in range(81):
    hits.append(float((test_gauges @ mix.detach()).argmax(-1, True).eq(test_best).float().mean()))
    gauges, load, best = items(64, stream)
    _, load_by_key = soft_sort(gauges @ mix, 3.0, load)
    loss = (load_by_key[:, -1] - load.gather(-1, best)[:, 0]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"learned mix {[round(part, 2) for part in mix.tolist()]}, true gains 1, 0.5, -0.7: the signs matter most")
print("does the hard order pass a gradient?", load.gather(-1, (gauges @ mix).argsort(-1)).requires_grad)
lines = {"key learned through the soft sort": (hits, SOFT, 1.0), "hard sort: stays": ([hits[0]] * 81, HARD, 1.0)}
display(Image(curves(range(81), lines, "training step", "best item found (part)")))

# %% [markdown]
# ## 5. The median and its outliers
#
# The mean listens to every datum alike: its gradient is $1/n$ everywhere, so one outlier drags it anywhere. The median
# listens to the middle only. AlgoNet's **exact** soft median takes the middle of the network, with only those
# comparators that reach it. The **fast** one starts with equal weights $w$ and repeats *degree* times
#
# $$w \leftarrow \mathrm{wSoftMin}\bigl(\mathrm{wSoftMin}(s\,x, w) + \mathrm{wSoftMax}(s\,x, w),\; w\bigr)$$
#
# The inner two are large at both ends, the outer one takes weight from there; the result is $\sum_i w_i x_i$. Drag the
# outliers. Then put them on both sides: the fast one takes to that much better. Below the panel one test in numbers:
# 50 data, five of them outliers of size 100 on one side, 20 draws.

# %%
median = MedianPanel()
display(median)

# %%
draws = [averages(MedianState(n=50, share=0.1, size=100.0, steepness=100.0, seed=seed)) for seed in range(20)]
for name in ("mean", "soft median, exact", "soft median, fast"):
    off = [abs(draw.values[name] - draw.values["hard median"]) for draw in draws]
    print(f"{name:20s} off the median by {min(off):.3f} to {max(off):.3f} standard deviations of the good data")

# %% [markdown]
# The fast form fails here, and this is **its limit**: a round removes about one value from each end. Outliers on one
# side need far more rounds, and good data go at the other end. It is for a large $n$ with few outliers: it costs
# $O(n)$ a round, the network $O(n^2)$.
#
# ## 6. Forward AlgoNet: a sort inside a neural network
#
# Nine items, each seen by three noisy gauges. One small network turns each item into a number, then comes the *layer*,
# and a second network answers a question: what is the median score? Three rivals with the **same start weights and the
# same number of parameters** differ in the layer only: nothing (grey), `torch.sort` (orange), `soft_sort` (blue). The
# sort can be put *between* the two networks, be joined with what it got (*skip*), or be added to it (*residual*):
#
# $$A(x) \qquad\qquad [A(x), x] \qquad\qquad x + A(x)$$
#
# The lower picture is AlgoNet's *sensitivity* (section 5): every number that the sort says is multiplied by a constant
# weight of one, and the derivative of the error with respect to it is plotted. Below zero: the error would fall if the
# sort weighed more.

# %%
training = SetTrainingPanel(steps=60 if headless() else 500)
training.run()
display(training)

# %% [markdown]
# What you can find out here (errors after 500 steps, median of six seeds; 1 is no better than a constant):
#
# | question, insertion | no sort | hard sort | soft sort, s = 8 |
# |---|---|---|---|
# | median, between | 0.18 | 0.030 | 0.031 |
# | second largest, between | 0.16 | 0.023 | 0.025 |
# | median, residual | 0.18 | 0.16 | 0.16 |
# | second largest, residual | 0.15 | 0.098 | 0.11 |
# | mean, between | 0.007 | 0.007 | 0.007 |
# | first, between | 0.007 | 0.90 | 0.90 |
#
# - For a median the layer helps much: six times less error, from the first steps on.
# - **The hard sort does just as well here**, and a step costs less than half: only values matter, and those have
#   gradients in a hard sort too. Soft exchanges pay off when the *order* must be learned, as in section 4.
# - For the mean it changes nothing; for the first item it is a disaster *between*, since the order is what was asked
#   for; with *skip* the network walks around it.
# - *Residual* helps less: a sum of a sorted and an unsorted number can hardly be taken apart.
# - Sensitivity is not importance: it swings around zero, since the layers around have adapted to a weight of one. The
#   dotted line is the blunt test: with zeros in place of what the sort says, the error is large.
#
# ## 7. Where it fails
#
# 1. **Steepness must fit the scale.** Kilometres in place of metres, and nothing is sorted any more.
# 2. **Ties share.** Of two equal values neither is first: each gets half the gradient.
# 3. **Low steepness blurs**, and more so the more values there are: each passes up to $n$ exchanges.
# 4. **High steepness has no gradient to the order.** What is left is the hard sort.
# 5. **The order of the inputs matters.** A hard sort does not care in which order the values come; the soft one does.

# %%
stream = torch.Generator().manual_seed(2)
metres = torch.randn(8, generator=stream, dtype=torch.float64)
for unit, factor in (("mm", 1000.0), ("m", 1.0), ("km", 0.001)):
    off = (soft_sort(factor * metres, 10.0) - factor * metres.sort().values).abs().max() / (factor * metres).std()
    print(f"1. s = 10, values in {unit:2s}: largest error {float(off):.2f} of their standard deviation")
print("2. the permutation of 1, 1, 2:", soft_sort(torch.tensor([1.0, 1.0, 2.0]), 50.0, permutation=True)[1].tolist())
for n in (8, 32, 128):
    _, shares = soft_sort(torch.rand(16, n, generator=stream), 50.0, permutation=True)  # (16, n, n)
    print(f"3. s = 50, {n:3d} values in [0, 1]: an output is {float(shares.amax(-1).mean()):.0%} one input, on average")
keys = metres.clone().requires_grad_()
for s in (1.0, 10.0, 100.0, 1000.0):
    _, loads = soft_sort(keys, s, torch.arange(8, dtype=torch.float64))
    print(f"4. s = {s:4g}: gradient of a load to the keys {float(torch.autograd.grad(loads[0], keys)[0].norm()):.1e}")
tops = soft_sort(metres[torch.rand(500, 8, generator=stream).argsort(-1)], 3.0)[:, -1]  # (500,)
print(f"5. the largest of eight values, in 500 orders, s = 3: from {float(tops.min()):.3f} to {float(tops.max()):.3f}")

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `...`, run the cell, and let the check tell you. The solutions are folded away below.
#
# **Exercise 1.** Two values that are 0.2 apart stand in the right order. How steep must an exchange be to leave 99
# percent of each in its place?

# %%
answer_1 = ...


def check_1(s):
    if s is ...:
        return "not answered yet"
    kept = float(soft_sort(torch.tensor([0.0, 0.2]), float(s), steps=1, permutation=True)[1][0, 0])
    assert abs(kept - 0.99) < 1e-3, f"s = {s} keeps {kept:.1%}. Hint: 1 / (1 + exp(-0.2 s)) = 0.99."
    return "right"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: exp(-0.2 s) = 0.01 / 0.99.
check_1(5 * torch.tensor(99.0).log())

# %% [markdown]
# **Exercise 2.** Write `trimmed_mean(values, s)`: the mean without the smallest and the largest value, softly, along
# the last dimension. It should not move when an outlier moves.


# %%
def trimmed_mean(values, s):
    return ...


def check_2(trimmed):
    x = torch.tensor([0.3, 50.0, -0.4, 0.1, 0.9, -1.2], dtype=torch.float64)
    if trimmed(x, 100.0) is ...:
        return "not answered yet"
    hard = float(x.sort().values[1:-1].mean())
    assert abs(float(trimmed(x, 100.0)) - hard) < 1e-3, f"expected about {hard:.3f}"
    (pull,) = torch.autograd.grad(trimmed(x.requires_grad_(), 10.0), x)
    assert abs(float(pull[1])) < 1e-6, "the outlier still pulls"
    return "right"


check_2(trimmed_mean)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
def trimmed_solution(values, s):
    return soft_sort(values, s)[..., 1:-1].mean(-1)


check_2(trimmed_solution)

# %% [markdown]
# **Exercise 3.** The data below hold two outliers, one at each end. Which is the smallest degree with which the fast
# soft median (steepness 1) comes within 0.1 of the mean of the good data? Try it in the median panel, or write a loop.

# %%
good = torch.randn(30, generator=torch.Generator().manual_seed(5))
with_outliers = torch.cat([good, torch.tensor([60.0, -100.0])])
answer_3 = ...


def check_3(degree):
    if degree is ...:
        return "not answered yet"
    found = [soft_median(with_outliers, 1.0, method="fast", degree=d) - good.mean() for d in (degree - 1, degree)]
    assert abs(found[1]) < 0.1, f"degree {degree} is still off by {float(found[1]):.2f}"
    assert abs(found[0]) >= 0.1, f"degree {degree - 1} does as well"
    return "right"


check_3(answer_3)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
medians = [soft_median(with_outliers, 1.0, method="fast", degree=d) for d in range(20)]
check_3(next(d for d, found in enumerate(medians) if abs(found - good.mean()) < 0.1))

# %% [markdown]
# ## Conclusion
#
# Make each exchange soft, and a sort becomes a chain of means, blurred by as much as it is smooth. It needs $n$ steps
# and a steepness that fits the data. Its gain over `torch.sort` is the gradient to the order: keys can be learned.
# Inside a neural network it helps where order statistics are asked for, and harms where places matter. Reference:
# Petersen et al., *AlgoNet: C-infinity smooth algorithmic neural networks*, 2019, sections 3.2, 4.1, 4.4 and 5.
