"""Gauss-Newton's energy against the same written in torch, which differentiates it by itself."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steadyface.fit.gauss_newton import SolverConfig
from steadyface.fit.rig import Rig
from steadyface.fit.sequence_solver import minimise
from steadyface.fit.sequence_terms import SequenceWeights

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "sequence_fit.py"
spec = importlib.util.spec_from_file_location("benchmark_sequence_fit", FILE)
assert spec
assert spec.loader
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


def both(model, weights, frames=8):
    shape = model.landmarks("ibug68")
    points, sigma = benchmark.made_points(shape, frames)
    energy, state = benchmark.whole_energy(shape, points, sigma, Rig.single(benchmark.SIZE), weights)
    # The start holds the expressions still between frames: shaken, no distance is zero.
    rng = np.random.default_rng(0)
    state = replace(
        state,
        expression=rng.uniform(0.1, 0.9, state.expression.shape),
        translation=state.translation + rng.normal(0, 1, state.translation.shape),
    )
    return energy, state


@pytest.mark.parametrize(
    "weights",
    [
        SequenceWeights(),
        SequenceWeights(robust="huber", acceleration_threshold=np.inf),
        SequenceWeights(robust="none", focal_log_sigma=0.1),
    ],
)
def test_energy_and_gradient_are_torchs(tiny_model, weights):
    energy, state = both(tiny_model, weights)
    torch_energy = benchmark.TorchEnergy(energy, state)
    cost = torch_energy.cost()
    cost.backward()
    assert energy.cost(state) == pytest.approx(cost.item(), rel=1e-9)
    turn, move, change, identity, focal = (p.grad.numpy() for p in torch_energy.parameters)
    system = energy.linearize(state)
    expected = np.concatenate([turn, move / benchmark.UNIT_MM, change], -1)
    np.testing.assert_allclose(system.gradient, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    shared = np.concatenate([identity, focal])
    np.testing.assert_allclose(system.shared_gradient, shared, rtol=1e-6, atol=1e-7 * np.abs(shared).max())


def test_adamw_ends_no_lower(tiny_model):
    energy, state = both(tiny_model, SequenceWeights(), frames=4)
    newton = minimise(energy, state, SolverConfig(max_iterations=60, cost_tolerance=1e-10))
    adamw = benchmark.TorchEnergy(energy, state).minimise(np.inf, steps=400)
    assert adamw[-1][1] < 0.5 * adamw[0][1]
    assert newton.costs[-1] <= min(cost for _, cost in adamw) * (1 + 1e-6)
    assert benchmark.seconds_to(adamw, adamw[0][1]) == adamw[0][0]
    assert np.isnan(benchmark.seconds_to(adamw, -1.0))
