"""Where rays first meet an implicit surface: sphere tracing, many rays at once and without gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import DomainError, DTypeError, ShapeError, check_device, check_positive, check_tensor
from labkit.geometry.sdf import Field
from labkit.render.field_rays import check_rays, check_values, evaluate, sphere_span

HIT, LEFT, NEVER_MET, EXHAUSTED = range(4)
REASONS = ("hit", "left the sphere", "never met the sphere", "steps exhausted")
"""What the numbers in `Trace.missed` mean."""
_MARCHING = 4  # a state that no caller sees: still on its way


@dataclass(frozen=True)
class Tracer:
    """How rays are traced: UDR, section 6.2 of the supplement, Algorithm 1, and two options beyond it.

    Args:
        epsilon: a ray has arrived where f <= epsilon; greater than 0, world units.
        radius: r, of the sphere about the origin that holds the object; greater than 0, world units.
        backoff: alpha in (0, 1), by which a step is shortened that would land behind the surface.
        max_steps: evaluations of f on a ray, at least 1, after which it counts as a miss. Algorithm 1 has no such bound
            and does not end on a ray along which f stays small and positive.
        secant_steps: more evaluations for a ray that stopped behind the surface, as the shortened step, which is not
            tested again, can; they close in on the crossing just passed. 0 is the literal Algorithm 1, whose points
            are then up to half a step too deep.
        two_sided: where the steps run out, come from the far side of the sphere too; if the two fronts meet, the ray is
            free, else ``max_steps`` equally spaced samples between them look for the first that is inside, and the
            secant steps, of which it needs at least 1, find the crossing before it.
        compact: evaluate f at the rays that are still on their way only, else at all of them in every step. The
            results are the same.

    Raises:
        DomainError, DTypeError: a number out of range or of the wrong type.
    """

    epsilon: float = 1e-5
    radius: float = 1.0
    backoff: float = 0.5
    max_steps: int = 64
    secant_steps: int = 0
    two_sided: bool = False
    compact: bool = True

    def __post_init__(self) -> None:
        check_positive("epsilon", self.epsilon, "world units")
        check_positive("radius", self.radius, "world units")
        check_positive("backoff", self.backoff)
        if self.backoff >= 1:
            raise DomainError("backoff", self.backoff, "a number less than 1")
        for name, least in (("max_steps", 1), ("secant_steps", 1 if self.two_sided else 0)):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int):
                raise DTypeError(name, type(number).__name__, "a whole number")
            if number < least:
                raise DomainError(name, number, f"at least {least}{' for two-sided tracing' if least else ''}")


@dataclass(frozen=True, eq=False)
class Trace:
    """Where N rays ended.

    Args:
        points: (N, 3), on the surface where ``hit``, else where the ray stopped; a ray that never met the sphere stops
            where it is nearest to the centre.
        depth: (N,), from the ray's origin to its point, world units.
        hit: (N,) bool. A ray that starts inside the surface hits where it starts, as in Algorithm 1.
        missed: (N,) int64, 0 where hit, else an index into `REASONS`.
        steps: (N,) int64, evaluations of f that were needed for this ray.
        path: (S, N, 3) or None; entry s is where the rays stand after evaluation s, and entry 0 where they start.
            A ray stands still when a step was too long and when it has ended.
        distances: (S, N) or None, f at ``path``, 0 for rays that never met the sphere.
    """

    points: Tensor
    depth: Tensor
    hit: Tensor
    missed: Tensor
    steps: Tensor
    path: Tensor | None = None
    distances: Tensor | None = None


@dataclass(frozen=True)
class _Lines:
    """Rays by their point nearest to the centre, so that |x| < r is |s| < sqrt(r^2 - |middle|^2) for x = middle + s v.

    It is also the more exact form: far cameras cost no digits of s.
    """

    middle: Tensor  # (N, 3)
    directions: Tensor  # (N, 3)

    def __call__(self, s: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        return self.middle[rows] + s[..., None] * self.directions[rows]

    def field(self, field: Field, s: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """f at s (n,) of these rows, (n,)."""
        return evaluate(field, self(s, rows), finite=False)


@torch.no_grad()
def sphere_trace(
    field: Field, origins: Tensor, directions: Tensor, tracer: Tracer | None = None, history: bool = False
) -> Trace:
    """Find where rays first meet the surface f = 0: from its start, each ray goes as far as f says is free.

    It starts where it enters the sphere, or at its origin if that lies inside. While f > epsilon and |x| < r it
    steps by d = f(x), or by alpha d if f(x + d v) < 0. A step costs one evaluation, two where it is shortened.

    Args:
        field: f, (N, 3) -> (N,), negative inside; at most the distance to the surface, or steps may jump over it.
        origins: (N, 3), world units.
        directions: (N, 3), of length 1.
        tracer: the settings, by default those of the paper.
        history: keep the path of every ray, as far as Algorithm 1 goes.

    Returns:
        Detached from every graph. Waits for the device once per step only.

    Raises:
        DomainError: NaN or infinity in the rays or in the field, or directions not of length 1.
        ShapeError, DTypeError, DeviceError: as the names say.

    Source: UDR, supplement, Algorithm 1; the options follow the code of its successor, IDR.
    """
    tracer = tracer or Tracer()
    check_rays(origins, directions)
    origins, directions = origins.detach(), directions.detach()
    near, far, middle = sphere_span(origins, directions, tracer.radius)
    lines = _Lines(origins + middle[:, None] * directions, directions)
    march = _March.begin(lines, near - middle, far - middle)
    walked = march.run(field, tracer, history)
    if tracer.two_sided:
        _from_both_sides(field, march, tracer)
    if tracer.secant_steps:
        _refine(field, march, tracer)
    path = distances = None
    if history:
        nothing = origins.new_zeros(0, *origins.shape)
        path = torch.cat([nothing, *(lines(s)[None] for s, _ in walked)])
        distances = torch.cat([nothing[..., 0], *(f[None] for _, f in walked)])
    return Trace(lines(march.s), march.s + middle, march.state == HIT, march.state, march.steps, path, distances)


@dataclass(eq=False)
class _March:
    """N rays on their way along ``lines``: all they need to go on, (N,) each."""

    lines: _Lines
    end: Tensor
    s: Tensor  # where they stand
    f: Tensor  # the field there
    outer: Tensor  # where they stood before
    f_outer: Tensor  # the field there; 0: nowhere
    step: Tensor  # to be tried next
    forced: Tensor  # take that step, whatever f is there
    state: Tensor
    steps: Tensor

    @classmethod
    def begin(cls, lines: _Lines, start: Tensor, end: Tensor) -> _March:
        """Rays whose first step is none: the first evaluation is at the start."""
        f, f_outer, step = torch.zeros_like(start), torch.zeros_like(start), torch.zeros_like(start)
        forced = torch.ones_like(start, dtype=torch.bool)
        state = torch.where(end > start, _MARCHING, NEVER_MET)
        return cls(lines, end, start.clone(), f, start.clone(), f_outer, step, forced, state, torch.zeros_like(state))

    def run(self, field: Field, tracer: Tracer, history: bool = False, first: int = 1) -> list[tuple[Tensor, Tensor]]:
        """Walk until all rays have ended; return s and f after each evaluation where ``history``."""
        walked: list[tuple[Tensor, Tensor]] = []
        value = self.f
        for number in range(first, tracer.max_steps + 1):
            live = self.state == _MARCHING
            rows = live.nonzero()[:, 0]  # waits for the device
            if not len(rows):
                break
            if tracer.compact and 2 * len(rows) < len(live) and not history:
                self._finish(rows, field, tracer, number)
                return walked
            there = self.s + self.step
            points = self.lines(there)
            if tracer.compact:
                found = evaluate(field, points.index_select(0, rows), finite=False)
                value = torch.zeros_like(there).index_copy_(0, rows, found)
            else:
                value = evaluate(field, points, finite=False)
            sound = live & (value.abs() < torch.inf)  # other rays stay where they are, to be told of at the end
            behind = sound & (value < 0) & ~self.forced
            moved = sound ^ behind
            self.step = torch.where(behind, tracer.backoff * self.f, torch.where(moved, value, self.step))
            self.outer, self.f_outer = torch.where(moved, self.s, self.outer), torch.where(moved, self.f, self.f_outer)
            self.s, self.f = torch.where(moved, there, self.s), torch.where(moved, value, self.f)
            self.forced = behind
            self.steps += live
            self.state.masked_fill_(moved & (value <= tracer.epsilon), HIT)
            self.state.masked_fill_(moved & (there >= self.end), LEFT)
            if history:
                walked.append((self.s.clone(), self.f.clone()))
        lost = self.state == _MARCHING
        check_values(torch.where(lost, value, 0), self.lines(self.s + self.step))
        self.state.masked_fill_(lost, EXHAUSTED)
        return walked

    def _finish(self, rows: Tensor, field: Field, tracer: Tracer, first: int) -> None:
        """Let these rays (M,) walk on without the others, whose bookkeeping costs time."""
        names = [name for name in vars(self) if name != "lines"]
        lines = _Lines(self.lines.middle[rows], self.lines.directions[rows])
        part = _March(lines, *(getattr(self, name)[rows] for name in names))
        part.run(field, tracer, first=first)
        for name in names:
            getattr(self, name)[rows] = getattr(part, name)


def _from_both_sides(field: Field, march: _March, tracer: Tracer) -> None:
    """Decide the rays whose steps ran out: free, or inside at a sample between the fronts from either side."""
    lost = (march.state == EXHAUSTED).nonzero()[:, 0]  # (L,)
    if not len(lost):
        return
    lines = march.lines
    # The same walk along the reversed rays, up to where the first one came.
    back = _March.begin(_Lines(lines.middle[lost], -lines.directions[lost]), -march.end[lost], -march.s[lost])
    back.run(field, tracer)
    march.steps[lost] += back.steps
    march.state[lost] = torch.where(back.state == LEFT, LEFT, EXHAUSTED)
    between = back.state != LEFT
    rows = lost[between]  # (M,)
    front, gap = march.s[rows], -back.s[between] - march.s[rows]
    outer, f_outer = front, march.f[rows]
    s, f = front, f_outer
    for number in range(1, tracer.max_steps + 1):
        there = front + gap * (number / tracer.max_steps)
        value = lines.field(field, there, rows)
        searching = f >= 0
        outer, f_outer = torch.where(searching, s, outer), torch.where(searching, f, f_outer)
        s, f = torch.where(searching, there, s), torch.where(searching, value, f)
    march.steps[rows] += tracer.max_steps
    check_values(f, lines(s, rows))
    found = f < 0
    rows = rows[found]
    march.state[rows] = HIT
    for name, values in (("s", s), ("f", f), ("outer", outer), ("f_outer", f_outer)):
        getattr(march, name)[rows] = values[found]


def _refine(field: Field, march: _March, tracer: Tracer) -> None:
    """Move the points that lie behind the surface to the crossing just before, by regula falsi (Illinois)."""
    deep = (march.state == HIT) & (march.f < -tracer.epsilon) & (march.f_outer > 0)
    rows = deep.nonzero()[:, 0]  # (M,)
    if not len(rows):
        return
    a, f_a, b, f_b = march.outer[rows], march.f_outer[rows], march.s[rows], march.f[rows]  # f_a > 0 > f_b
    best, f_best = b, f_b
    side = torch.zeros_like(a)
    for _ in range(tracer.secant_steps):
        s = a + (b - a) * (f_a / (f_a - f_b))
        f = march.lines.field(field, s, rows)
        inside = f < 0
        # An end that stays for a second time counts half, or the other end would creep towards the crossing.
        now = torch.where(inside, -1.0, 1.0).to(side.dtype)
        stale = torch.where(now == side, 0.5, 1.0).to(side.dtype)
        a, f_a = torch.where(inside, a, s), torch.where(inside, f_a * stale, f)
        b, f_b = torch.where(inside, s, b), torch.where(inside, f, f_b * stale)
        side = now
        closer = ~(f.abs() >= f_best.abs())  # true for NaN, so that it is found below
        best, f_best = torch.where(closer, s, best), torch.where(closer, f, f_best)
    march.steps[rows] += tracer.secant_steps
    check_values(f_best, march.lines(best, rows))
    march.s[rows], march.f[rows] = best, f_best


@torch.no_grad()
def minimum_point(
    field: Field, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, fractions: Tensor
) -> Tensor:
    """Return, of samples of each ray, the point where f is least: y and z of UDR, equation 10.

    Args:
        field: f, (N, 3) -> (N,).
        origins, directions: (N, 3), the directions of length 1.
        near, far: (N,), depths between which to look, world units, near <= far.
        fractions: (N, S) or (1, S), where the samples lie: 0 is near, 1 is far; in [0, 1]. Random numbers of the
            caller's, or fixed ones. The near end itself is always a sample: for a ray that has hit a thin shell it may
            be the only one inside, without which f at the least sample has the wrong sign.

    Returns:
        (N, 3), detached: the paper takes the points as constants.

    Raises:
        DomainError: NaN or infinity in an argument or in the field, fractions outside [0, 1], or far < near.
        ShapeError, DTypeError, DeviceError: as the names say.

    Source: UDR, section 3.5 and supplement, section 6.2.
    """
    check_rays(origins, directions)
    count = len(origins)
    check_tensor("near", near, f"{count}")
    check_tensor("far", far, f"{count}")
    check_tensor("fractions", fractions, "R S")
    if len(fractions) not in (1, count):
        raise ShapeError("fractions", tuple(fractions.shape), f"(1, S) or ({count}, S)")
    check_device(origins=origins, near=near, far=far, fractions=fractions)
    if bool((far < near).any()):
        raise DomainError("far", "a depth less than near", "near <= far")
    if bool(((fractions < 0) | (fractions > 1)).any()):
        raise DomainError("fractions", f"{fractions.min().item()} to {fractions.max().item()}", "numbers in [0, 1]")
    depths = near[:, None] + (far - near)[:, None] * torch.nn.functional.pad(fractions, (1, 0))  # (N, S + 1)
    points = origins[:, None] + depths[..., None] * directions[:, None]  # (N, S + 1, 3)
    values = evaluate(field, points.flatten(0, 1)).reshape(depths.shape)
    return points[torch.arange(count, device=points.device), values.argmin(-1)]
