"""Levenberg-Marquardt on a sequence: damped steps of a block arrow, expressions kept in their bounds."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from .block_arrow import ArrowSystem, solve
from .gauss_newton import SolverConfig
from .sequence_terms import POSE, SequenceState

#: Share of the unknowns whose bounds may still change when a step is called solved: the next step mends
#: what clipping them does.
SETTLED = 0.05


class Energy(Protocol):
    """What can be minimised: `SequenceEnergy`, alone or with more beside it. low, high: (E,) bounds of the
    expressions."""

    low: np.ndarray
    high: np.ndarray

    def cost(self, state: SequenceState) -> float:
        """The energy, infinite where it is not defined."""
        ...

    def linearize(self, state: SequenceState) -> ArrowSystem:
        """Its quadratic model about a state."""
        ...

    def retract(self, state: SequenceState, frames: np.ndarray, shared: np.ndarray) -> SequenceState:
        """The state after a step: frames (T, P), shared (S,)."""
        ...


@dataclass(frozen=True)
class SequenceSolution:
    """state: where it ended; costs: energy of the start and after each accepted step; iterations: steps
    tried; converged: whether a tolerance of `SolverConfig` was met; system: the last `ArrowSystem`, one step
    before where it ended, None if there was no step."""

    state: SequenceState
    costs: list[float]
    iterations: int
    converged: bool
    system: ArrowSystem | None = None


def minimise(energy: Energy, state: SequenceState, config: SolverConfig, held=None):
    """Minimise the energy from a state. held: (T,) bool, frames that stay as they are.

    A step that raises the cost or is not finite is rejected and the damping grows; the inequalities that
    end it are `SolverConfig`'s, of which the gradient's is not asked. Returns `SequenceSolution`; a start of
    infinite cost is returned as it came, not converged.
    """
    value = energy.cost(state)
    costs, damping, converged, tried = [value], config.initial_damping, False, 0
    system, stale = None, True
    while np.isfinite(value) and tried < config.max_iterations and damping <= config.max_damping:
        if system is None or stale:
            system, stale = energy.linearize(state), False
        tried += 1
        try:
            frames, shared = bounded_step(
                system,
                energy.low - state.expression,
                energy.high - state.expression,
                held,
                damping,
                config.active_set_passes,
            )
        except np.linalg.LinAlgError:
            frames = shared = np.full(1, np.nan)
        if not (np.isfinite(frames).all() and np.isfinite(shared).all()):
            damping *= config.damping_factor
            continue
        trial = energy.retract(state, frames, shared)
        new = energy.cost(trial)
        largest = max(np.abs(frames).max(initial=0), np.abs(shared).max(initial=0))
        accepted = new < value
        converged = bool(largest <= config.step_tolerance)
        if accepted:
            converged |= value - new <= config.cost_tolerance * value
            state, value, stale = trial, new, True
            costs.append(new)
            damping = max(damping / config.damping_factor, config.min_damping)
        else:
            damping *= config.damping_factor
        if converged:
            break
    return SequenceSolution(state, costs, tried, converged, system)


def bounded_step(system, lowest, highest, held, damping, passes, settled=SETTLED):
    """The damped Gauss-Newton step within the expressions' bounds: frames (T, P), shared (S,).

    lowest, highest: (T, E), how far each expression may go; held: (T,) bool, frames that stay, or None.
    Every pass solves with a guess of which expressions end at a bound; those that leave the bounds join
    them, those that the gradient pulls off are set free, until no more than a share `settled` of them
    change. What the last pass leaves out of bounds is clipped. (Primal-dual active set, Hintermüller, Ito and
    Kunisch 2003.)
    """
    g = system.gradient
    low, high = np.full_like(g, -np.inf), np.full_like(g, np.inf)
    low[:, POSE:], high[:, POSE:] = lowest, highest
    at_low, at_high = (low >= 0) & (g > 0), (high <= 0) & (g < 0)
    part, fixed = system, np.zeros_like(g)
    for i in range(passes):
        free = ~(at_low | at_high)
        if held is not None:
            free &= ~held[:, None]
        frames, shared = solve(part, free=free, damping=damping)
        frames += fixed
        if i + 1 == passes:
            break
        slope = system.apply(frames, shared)[0] + g
        now_low = np.where(at_low, slope > 0, frames < low)
        now_high = np.where(at_high, slope < 0, frames > high)
        if held is not None:
            now_low[held] = now_high[held] = False
        changes = (now_low != at_low).sum() + (now_high != at_high).sum()
        if changes <= settled * g.size:
            break
        if i + 2 == passes:
            # Before the last solve none are freed: those would be clipped if they came back.
            now_low, now_high = now_low | at_low, now_high | at_high
        at_low, at_high = now_low, now_high
        fixed = np.zeros_like(g)
        fixed[at_low], fixed[at_high] = low[at_low], high[at_high]
        along, shared_along = system.apply(fixed, np.zeros(len(system.shared_gradient)))
        part = replace(system, gradient=g + along, shared_gradient=system.shared_gradient + shared_along)
    if held is not None:
        frames[held] = 0
    return np.clip(frames, low, high), shared
