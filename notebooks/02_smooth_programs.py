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
# # 2. Can a program have a derivative?
#
# A program decides: *does the loop go on? which branch is taken?* Each decision jumps, so its result has no
# useful derivative. **AlgoNet** (Petersen et al. 2019, section 3.1) lets every statement run *to some extent*, by its
# probability $P$. Then the result is a smooth function of the inputs, and a network can learn through the program.
#
# **You will learn**
# - how a loop can go on by 73 percent, and what that does to the variables;
# - what a smooth multiplication looks like beside the true one;
# - how to write programs, in the paper's language and in Python, and read off their derivatives;
# - where this fails: errors, ties, loops that never end.
#
# Needs: basic Python, and what a derivative is. Runs in about 30 seconds on two CPU cores, no GPU.
#
# **The formulas.** The paper's WHILE language has variables $x_0, x_1, \dots$, assignments, $+1$, $-1$, and one
# loop: `WHILE x != 0 DO ... END`. It starts with $P = 1$. Each test of a loop makes $P$ smaller, by one of two
# functions $\varphi$ (the extent to which $x$ is not 0):
#
# $$P_{new} = P_{old} \cdot \varphi(x) \qquad\quad
# \varphi_0(x) = \min(1, |x|) \qquad\quad \varphi_\infty(x) = 1 - \operatorname{sech}(s\,x)$$
#
# $\varphi_0$ is continuous (C0), $\varphi_\infty$ is smooth (C-infinity) with a *steepness* $s$. An assignment goes
# only as far as $P$ (equations 3 to 5):
#
# $$x_0 := x_1 \;\to\; x_0 := P x_1 + (1 - P)\, x_0 \qquad x_0 := x_0 + 1 \;\to\; x_0 := x_0 + P
# \qquad x_0 := x_0 - 1 \;\to\; x_0 := x_0 - P$$
#
# A loop ends when $P \le \varepsilon$, here one millionth, or at a bound on the number of turns.

# %%
import math

import torch
from IPython.display import Image, Markdown, display

from labkit.lab.hosts import headless
from labkit.lab.program_comparison import ProgramComparison
from labkit.lab.program_editor import EditorPanel
from labkit.lab.program_plots import convergence_plot
from labkit.lab.program_stepper import StepperPanel
from labkit.lab.program_surfaces import PhiPanel, SurfacesPanel
from labkit.lab.program_training import ProgramTrainingPanel
from labkit.smooth.classic_programs import PROGRAMS
from labkit.smooth.smooth_function import smooth_function
from labkit.smooth.while_examples import MULTIPLICATION
from labkit.smooth.while_program import WhileProgram, phi_cinf

print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

# %% [markdown]
# ## The gate of a loop
#
# The paper's figure 1. Drag the steepness. At $x = 0$ all agree: the loop ends. At other whole numbers $\varphi_0$ is
# exactly 1, as in the hard program; $\varphi_\infty$ is a little less, and every turn of a loop loses that little.
# Now go above $s = 2.61$: an orange area appears, where $\varphi_\infty(x) > |x|$. Remember it for later.

# %%
gate = PhiPanel()
display(gate)

# %% [markdown]
# ## A smooth multiplication
#
# The paper's figure 2: the multiplication as a program of two loops, that adds 1 again and again. Height is the
# result, colour the analytic gradient, black dots are the whole numbers. **Drag a surface to turn all three.**
# - *C0* meets every dot, but its gradient is striped: it jumps at every whole number.
# - *C-infinity* is smooth, but too low: each turn loses a little. More steepness, smaller errors.
# - Above $s = 3.5$ holes appear: there the program does not end. Little but the dots is left at $s = 8$.

# %%
surfaces = SurfacesPanel()
display(surfaces)

# %% [markdown]
# ## Step by step
#
# The same program, one statement at a time: *Next*, or play. Each line shows the $P$ with which it ran last. Watch
# how $P$ shrinks as the inner loop runs out, and comes back when it is left. Then try $x_1 = 2.5$: between two turns
# and three. With *C0* or *hard* and whole numbers every $P$ is 0 or 1.

# %%
stepper = StepperPanel()
display(stepper)

# %% [markdown]
# ## Write your own
#
# Change the text, or take an example. Mistakes are told with line and column. Orange dots are the hard program, which
# works on whole numbers only. Its derivatives are what autograd finds: copies count, loops do not.

# %%
editor = EditorPanel()
display(editor)

# %% [markdown]
# ## The same in Python
#
# The paper hopes for a smooth high-level language. Here is one: `@smooth_function` reads a Python function and makes
# its smooth twin. A comparison holds to some extent, $\sigma(s\,(a - b))$; both branches run, and what they leave is
# blended: $P \cdot \text{then} + (1 - P) \cdot \text{else}$. Change the function, run the cell again.


# %%
@smooth_function
def fare(km, rate):
    """A taxi: a basic fee, a price for each started kilometre, and a cap."""
    price = 3.0
    while km > 0:
        price = price + rate
        km = km - 1
    if price > 13:
        price = 13.0
    return price


taxi = ProgramComparison(fare, km=(0.0, 8.0), rate=(0.5, 2.5))
display(taxi)

# %% [markdown]
# The hard fare is a staircase: its derivative is 0 wherever there is one. The smooth one knows that longer trips cost
# more. More steepness brings the staircase back, and with it the flat steps.
#
# ## Twelve classics
#
# Twelve well-known programs, smooth by the decorator alone. As $s$ grows, all tend to the hard result. How fast
# depends on how close the program comes to a tie; `%` and `//` take longer.


# %%
def error(program, s):
    """The largest difference between the smooth and the hard result, which may be lists."""
    soft = program.function.run(*program.tensors(), steepness=s).value
    hard = program.function.hard(*program.arguments)
    pairs = zip(soft, hard, strict=True) if isinstance(hard, list) else [(soft, hard)]
    return max(abs(float(a) - float(b)) for a, b in pairs)


errors = {name: [(s, error(program, s)) for s in program.steepness] for name, program in PROGRAMS.items()}
display(Image(convergence_plot(errors, 4, (936, 480))))

# %% [markdown]
# ## Where it fails
#
# **1. Too soft.** Equation 1 of the paper has $s = 1$. The table is computed now, for all pairs of whole numbers from
# 0 to 7. With $s = 1$ the smooth product of 7 and 7 is wrong by more than a quarter.
#
# **2. Too steep.** Where $\varphi_\infty(x) > |x|$, the statement $x := x - P$ can go past 0, and then the loop counts
# *away* from 0 and never ends. The paper's proof needs $\varphi_\infty(x) \le |x|$, which is true only for
# $s \le 2.61$; in practice the trouble begins at about 3.5. See the last column: steepness is a trade between exact
# results at whole numbers and results at all between them.
#
# **3. Slow.** With little steepness $P$ falls slowly, so the loops take many more turns than the 56 of the hard
# program.

# %%
multiply = WhileProgram.parse(MULTIPLICATION)
whole = torch.cartesian_prod(*[torch.arange(8.0, dtype=torch.float64)] * 2).T
between = torch.cartesian_prod(*[torch.arange(0.25, 7.0, 0.5, dtype=torch.float64)] * 2).T


def row(s):
    """One row of the table."""
    at, off = (multiply({"x1": x[0], "x2": x[1]}, steepness=s, max_iterations=400) for x in (whole, between))
    wrong = (at.outputs["x0"] - whole.prod(0)).abs().max().item()
    return f"| {s} | {wrong:.3g} | {int(at.iterations.max())} | {(off.remaining > 0).double().mean():.0%} |"


head = "| s | largest error | most turns | no end between whole numbers |\n|---|---|---|---|\n"
with torch.no_grad():
    table = head + "\n".join(row(s) for s in (1, 2, 4, 8))
exact = multiply({"x1": whole[0], "x2": whole[1]}, smoothness="c0").outputs["x0"]
display(Markdown(table), Markdown(f"C0 is exact at all 64 pairs: **{torch.equal(exact, whole.prod(0))}**"))

# %% [markdown]
# **4. Ties.** A strict comparison of equal numbers holds by one half, however steep. If the numbers are whole, put the
# threshold between them.
#
# **5. A program that never ends** is stopped at its bound. The result says so: `remaining` is the $P$ that the loop
# still had.


# %%
@smooth_function
def more_than_three(n):
    """A tie at n = 3."""
    return 1.0 if n > 3 else 0.0


@smooth_function
def at_least_four(n):
    """The same for whole numbers, without a tie."""
    return 1.0 if n > 3.5 else 0.0


three = torch.tensor(3.0)
for s in (1.0, 10.0, 100.0):
    tie, none = (float(f(three, steepness=s)) for f in (more_than_three, at_least_four))
    print(f"s = {s:5g}: 3 > 3 holds by {tie:.3f}, 3 > 3.5 by {none:.3f}")

endless = WhileProgram.parse("WHILE x1 != 0 DO x1 := x1 + 1 END")
run = endless({"x1": torch.tensor(1.0)}, max_iterations=500)
print(f"endless: halted = {run.halted}, remaining = {run.remaining:.3f} after {run.iterations} turns")

# %% [markdown]
# ## A repair: train the program
#
# The C-infinity program is off by about a factor and an offset. So give every assignment a weight $w$ and a bias $b$,
# close to 1 and 0, and fit them to what the hard program computes (section 3.2): $x_0 := x_1$ becomes
# $x_0 := P\,(w\,x_1 + b) + (1 - P)\,x_0$. Press *Run*: about ten seconds. Grey: before. Blue: after.

# %%
training = ProgramTrainingPanel(steps=10 if headless() else 100)
if headless():  # nobody is there to press Run
    training.runner.run()
display(training)

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `...` and run the cell: the check tells you. The solutions are folded away below.
#
# **Exercise 1.** A loop counts down and stands at $x = 1$. How steep must $\varphi_\infty$ be so that the next turn
# still runs by 99 percent?

# %%
answer_1 = ...


def check_1(s):
    """Put it into the gate."""
    if s is ...:
        return "not answered yet"
    p = float(phi_cinf(torch.tensor(1.0, dtype=torch.float64), s))
    assert abs(p - 0.99) < 1e-4, f"With s = {s} it runs by {p:.2%}. Hint: sech(s) = 1 / cosh(s)."
    return "right"


check_1(answer_1)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 1: 1 / cosh(s) = 0.01.
check_1(math.acosh(100))

# %% [markdown]
# **Exercise 2.** Write a WHILE program for the triangular numbers: $x_0 = 1 + 2 + \dots + x_1$. Try it in the editor
# above first.

# %%
answer_2 = ...


def check_2(text):
    """Run it hard and C0 on the whole numbers from 0 to 8."""
    if text is ...:
        return "not answered yet"
    program, n = WhileProgram.parse(text), torch.arange(9.0)
    for smoothness in ("hard", "c0"):
        found = program({"x1": n}, smoothness=smoothness)
        assert found.halted, "It does not end."
        assert torch.equal(found.outputs["x0"], n * (n + 1) / 2), (
            f"x0 = {found.outputs['x0'].tolist()} for x1 = 0 ... 8"
        )
    return "right, hard and smooth"


check_2(answer_2)

# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 2: an inner loop that adds x1 to x0.
check_2("""
WHILE x1 != 0 DO
    x2 := x1
    WHILE x2 != 0 DO
        x0 := x0 + 1
        x2 := x2 - 1
    END
    x1 := x1 - 1
END
""")

# %% [markdown]
# **Exercise 3.** Run a program backwards. Write `solve(target)`: find the $x_1$ for which the smooth multiplication of
# $x_1$ and 3, with $s = 2$, gives `target`. Use the derivative. Why can the hard program not do this?

# %%
three = torch.tensor(3.0, dtype=torch.float64)


def times_three(x1):
    """The smooth product of x1 and 3, s = 2."""
    return multiply({"x1": x1, "x2": three}, steepness=2.0).outputs["x0"]


def solve(target):
    """Start at x1 = 2; ten steps of Newton's method are enough."""
    return ...


def check_3(solver):
    """Put what was found into the program again."""
    if solver(10.0) is ...:
        return "not answered yet"
    for target in (5.0, 10.0, 15.0):
        found = float(times_three(torch.as_tensor(solver(target), dtype=torch.float64)))
        assert abs(found - target) < 0.01, f"For the target {target} your x1 gives {found:.3f}."
    return "right; the hard program counts, and counting has no derivative"


check_3(solve)


# %% tags=["hide-cell", "solution"] jupyter={"source_hidden": true}
# Solution 3
def newton(target):
    x = torch.tensor(2.0, dtype=torch.float64)
    for _ in range(10):
        x = x.detach().requires_grad_()
        y = times_three(x)
        x = x - (y - target) / torch.autograd.grad(y, x)[0]
    return x.detach()


check_3(newton)

# %% [markdown]
# ## Conclusion
#
# Let every statement run to the extent of its probability, and a program has a derivative everywhere. The price: errors
# that grow with the number of turns, ties, and a steepness that must be neither too low nor too high. Simple
# loops that count are the hardest case; the high-level form does better, since $a \cdot b$ is smooth as it is.
# Reference: Petersen et al., *AlgoNet: C-infinity smooth algorithmic neural networks*, 2019, sections 3.1.1 and 3.2,
# figures 1 and 2, equations 3 to 5.
