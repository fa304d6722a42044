"""Levenberg-Marquardt on dense normal equations, many small problems at once, with bounds.

The solver knows nothing of its problems: a state is a row of numbers, and the caller gives the cost, its
linearisation and how a step changes a state, so that a rotation may be part of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class SolverConfig:
    """When to stop, and how damping moves.

    Every inequality is judged for each problem on its own; a problem that stops leaves the batch.
    """

    max_iterations: int = 30
    """Steps tried, accepted or not: stop when ``tried >= max_iterations``."""
    cost_tolerance: float = 1e-6
    """Converged when a step is accepted with ``old_cost - new_cost <= cost_tolerance * old_cost``."""
    step_tolerance: float = 1e-8
    """Converged when ``max(abs(step)) <= step_tolerance``, in the units of the step, for any finite step."""
    gradient_tolerance: float = 1e-10
    """Converged when ``max(abs(free gradient)) <= gradient_tolerance``; the free gradient leaves out the
    coordinates that are at a bound and would be pushed beyond it."""
    initial_damping: float = 1e-4
    """First damping: the system solved is ``(H + damping * diag(H)) step = -gradient``."""
    damping_factor: float = 10.0
    """Damping is divided by this after an accepted step and multiplied by it after a rejected one."""
    min_damping: float = 1e-9
    """Damping is never ``< min_damping``."""
    max_damping: float = 1e9
    """Given up, not converged, when ``damping > max_damping``."""
    active_set_passes: int = 4
    """Solves per step: coordinates that leave their bounds are put on them and the rest is solved again."""

    def __post_init__(self):
        if self.max_iterations < 1 or self.active_set_passes < 1 or self.damping_factor <= 1:
            raise InputError("max_iterations and active_set_passes must be >= 1 and damping_factor > 1")


@dataclass(frozen=True)
class Solution:
    """Where the problems ended: state (B, D), cost (B,), iterations (B,) steps tried, converged (B,) bool."""

    state: np.ndarray
    cost: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray


def add(state, step):
    """The retraction of plain vectors: state + step, both (B, D)."""
    return state + step


def box(lower, upper):
    """Step bounds of plain vectors that stay in [lower, upper].

    lower, upper: (D,), infinite where free. Returns a function for `levenberg_marquardt`'s ``bounds``.
    """

    def bounds(state):
        return lower - state, upper - state

    return bounds


def levenberg_marquardt(
    cost: Callable,
    linearize: Callable,
    state: np.ndarray,
    *,
    retract: Callable = add,
    bounds: Callable | None = None,
    config: SolverConfig | None = None,
) -> Solution:
    """Minimise B independent sums of squares, each from its own start.

    state: (B, D). The callables take the states still at work and their indices in the batch:
    ``cost(state, index)`` returns (b,), half the sum of squares; ``linearize(state, index)`` returns
    gradient J^T r (b, P) and Gauss-Newton matrix J^T J (b, P, P). ``retract(state, step)`` applies steps
    (b, P). ``bounds(state)`` returns the lowest and highest step allowed, each (b, P); states must start
    within them. A step that raises the cost or is not finite is rejected and the damping grows, so
    ``solution.cost <= start cost`` always. A problem whose start has no finite cost is returned as it
    came, not converged. Raises InputError if the state is not (B, D).
    (Levenberg 1944, Marquardt 1963; bounds by an active set, as Bertsekas 1982's projected Newton.)
    """
    c = config or SolverConfig()
    state = np.array(state, float)
    if state.ndim != 2:
        raise InputError(f"the state must be (B, D), one row a problem; got shape {state.shape}")
    count = len(state)
    value = np.array(cost(state, np.arange(count)), float)
    iterations = np.zeros(count, int)
    converged = np.zeros(count, bool)
    damping = np.full(count, c.initial_damping)
    alive = np.flatnonzero(np.isfinite(value))
    if not len(alive):
        return Solution(state, value, iterations, converged)
    gradient, hessian = (np.array(a, float) for a in linearize(state[alive], alive))
    stale = np.zeros(len(alive), bool)

    while len(alive):
        # Linearise again where the state moved; rejected steps reuse what they have.
        if stale.any():
            gradient[stale], hessian[stale] = linearize(state[alive[stale]], alive[stale])
        if bounds is None:
            low = np.full_like(gradient, -np.inf)
            high = np.full_like(gradient, np.inf)
        else:
            low, high = (np.broadcast_to(a, gradient.shape) for a in bounds(state[alive]))

        outward = ((low >= 0) & (gradient > 0)) | ((high <= 0) & (gradient < 0))
        blocked: np.ndarray = outward | (low >= high)
        flat = np.where(blocked, 0, np.abs(gradient)).max(-1) <= c.gradient_tolerance
        broken = ~(np.isfinite(gradient).all(-1) & np.isfinite(hessian).all((-2, -1)))
        step, model_decrease = _bounded_step(
            gradient, hessian, damping[alive], blocked, low, high, broken, c.active_set_passes
        )
        finite = np.isfinite(step).all(-1)
        step[~finite] = 0
        tiny = finite & (np.abs(step).max(-1) <= c.step_tolerance)

        trial = retract(state[alive], step)
        trial_value = np.asarray(cost(trial, alive), float)
        old = value[alive]
        accept = finite & ~flat & np.isfinite(trial_value) & (trial_value < old) & (model_decrease > 0)
        iterations[alive] += ~flat
        small_gain = accept & (old - trial_value <= c.cost_tolerance * old)

        taken = alive[accept]
        state[taken], value[taken] = trial[accept], trial_value[accept]
        less = np.maximum(damping[alive] / c.damping_factor, c.min_damping)
        damping[alive] = np.where(accept, less, damping[alive] * c.damping_factor)
        converged[alive] = (flat | tiny | small_gain) & ~broken
        stop = converged[alive] | broken
        stop |= (damping[alive] > c.max_damping) | (iterations[alive] >= c.max_iterations)
        stale = accept
        if stop.any():
            keep = ~stop
            alive, stale, gradient, hessian = alive[keep], stale[keep], gradient[keep], hessian[keep]
    return Solution(state, value, iterations, converged)


def _bounded_step(gradient, hessian, damping, blocked, low, high, broken, passes):
    """The damped Gauss-Newton step within its bounds, and the decrease of the damped quadratic model.

    Returns step (b, P), NaN where there is none, and decrease (b,).
    """
    diagonal = np.arange(gradient.shape[1])
    scale = hessian[:, diagonal, diagonal]
    # A coordinate the cost does not see gets a little damping of its own, so that it stays put.
    floor = 1e-12 * np.maximum(scale.max(-1, keepdims=True), 1e-300)
    damped = np.array(hessian)
    damped[:, diagonal, diagonal] += damping[:, None] * np.maximum(scale, floor)
    damped[broken] = np.eye(len(diagonal))
    gradient = np.where(broken[:, None], 0, gradient)

    # Coordinates without bounds are eliminated once (Schur complement), so that the passes below solve
    # for the bounded ones only.
    free = np.isinf(low).all(0) & np.isinf(high).all(0) & ~blocked.any(0)
    u, v = np.flatnonzero(free), np.flatnonzero(~free)
    step = np.empty_like(gradient)
    right = np.concatenate([damped[:, u[:, None], v], gradient[:, u, None]], -1)
    eliminated = _solve(damped[:, u[:, None], u], right)
    to_v = damped[:, v[:, None], u] @ eliminated
    reduced = damped[:, v[:, None], v] - to_v[..., :-1]
    slope = gradient[:, v] - to_v[..., -1]
    step[:, v] = _box_minimum(slope, reduced, blocked[:, v], low[:, v], high[:, v], passes)
    step[:, u] = -eliminated[..., -1] - (eliminated[..., :-1] @ step[:, v, None])[..., 0]
    step[broken] = np.nan
    decrease = -(step * gradient).sum(-1) - 0.5 * (step * (damped @ step[..., None])[..., 0]).sum(-1)
    return step, decrease


def _box_minimum(gradient, hessian, blocked, low, high, passes):
    """Near minimum (b, P) of g.x + x.H.x / 2 in a box: what leaves it is put on its side, the rest solved."""
    x = np.zeros_like(gradient)
    fixed, value = np.array(blocked), np.zeros_like(gradient)
    todo = np.arange(len(x))
    diagonal = np.arange(x.shape[1])
    for _ in range(passes):
        f, h = fixed[todo], hessian[todo]
        right = -(gradient[todo] + (h @ value[todo][..., None])[..., 0])
        system = np.where(f[:, :, None] | f[:, None, :], 0, h)
        system[:, diagonal, diagonal] += f
        solved = _solve(system, np.where(f, 0, right)[..., None])[..., 0]
        x[todo] = np.where(f, value[todo], solved)
        below = ~f & (x[todo] < low[todo])
        above = ~f & (x[todo] > high[todo])
        value[todo] = np.where(below, low[todo], np.where(above, high[todo], value[todo]))
        fixed[todo] = f | below | above
        todo = todo[(below | above).any(-1)]
        if not len(todo):
            break
    return np.clip(x, low, high)


def _solve(a, b):
    """Solve a batch of systems a (b, P, P) for b (b, P, N), NaN for the singular ones."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        x = np.full_like(b, np.nan)
        for i in range(len(a)):
            try:
                x[i] = np.linalg.solve(a[i], b[i])
            except np.linalg.LinAlgError:
                continue
        return x
