from dataclasses import replace

import numpy as np
import pytest
from sequence_scene import sequence, two_cameras

from steadyface.errors import InputError
from steadyface.fit.sequence_energy import SequenceEnergy
from steadyface.fit.sequence_solver import bounded_step
from steadyface.fit.sequence_terms import NeutralPrior, SequenceState, SequenceWeights, Shared
from steadyface.rotation import matrix_from_axis_angle


def problem(model, weights=None, frames=6, cameras=2, offsets=4, ordered=True):
    """An energy with every term, and a state away from its minimum and from the bounds."""
    shape = model.landmarks("ibug68")
    scene = sequence(shape, frames, noise=0.5, rig=two_cameras() if cameras == 2 else None)
    rng = np.random.default_rng(3)
    root = 1 / scene.sigma
    root[:, :, 5] = root[1] = 0
    k = len(scene.identity)
    neutral = NeutralPrior(shape, shape.neutral(rng.normal(0, 0.5, k)))
    energy = SequenceEnergy(
        scene.points,
        root,
        shape,
        center=scene.rig.center,
        log_focal=np.log(scene.rig.focal * 1.03),
        time_s=np.cumsum(rng.uniform(0.02, 0.05, frames)) if ordered else None,
        weights=weights or SequenceWeights(),
        prior=neutral,
        moved=np.arange(offsets) * 3,
        shared=Shared.of(k, cameras, 6 * (cameras - 1), 3 * offsets),
    )
    start = scene.start()
    state = SequenceState(
        matrix_from_axis_angle(start.rotation),
        start.translation,
        np.clip(start.expression, 0.1, 0.9),
        start.identity,
        np.log(scene.rig.focal),
        scene.rig.rotation,
        scene.rig.translation,
        rng.normal(0, 0.5, (offsets, 3)),
    )
    return energy, state


QUADRATIC = SequenceWeights(robust="none", acceleration_threshold=np.inf)


@pytest.mark.parametrize("weights", [QUADRATIC, SequenceWeights(), SequenceWeights(robust="huber")])
def test_the_gradient_is_the_costs(tiny_model, weights):
    energy, state = problem(tiny_model, weights)
    system = energy.linearize(state)
    t, p = system.gradient.shape
    s = len(system.shared_gradient)
    got = np.concatenate([system.gradient.ravel(), system.shared_gradient])
    h = 1e-5
    numeric = np.empty(t * p + s)
    for i in range(t * p + s):
        step = np.zeros(t * p + s)
        step[i] = h
        ends = [
            energy.cost(energy.retract(state, d[: t * p].reshape(t, p), d[t * p :])) for d in (step, -step)
        ]
        numeric[i] = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(got, numeric, rtol=1e-4, atol=1e-5 * np.abs(numeric).max())


def test_the_matrix_is_gauss_newtons(tiny_model):
    """Away from the data's errors the second derivative of the energy is J^T J."""
    energy, state = problem(tiny_model, QUADRATIC)
    # Points exactly where the state puts them leave no residual to bend the energy, nor does a steady head.
    turned = energy._model_points(state, energy.neutral_points(state), 0, energy.t)[1]
    for c in range(energy.c):
        x = state.camera_rotation[c] @ turned + state.camera_translation[c][:, None]
        energy.points[:, c] = np.exp(state.log_focal[c]) * x[:, :2] / x[:, 2:] + energy.center[c][:, None]
    system = energy.linearize(state)
    rng = np.random.default_rng(0)
    h = 1e-3
    for _ in range(6):
        frames = rng.normal(size=system.gradient.shape) * 0.1
        frames[:, :3] = 0
        shared = rng.normal(size=system.shared_gradient.shape) * 0.1
        ends = [energy.cost(energy.retract(state, a * frames, a * shared)) for a in (h, 0, -h)]
        second = (ends[0] - 2 * ends[1] + ends[2]) / h**2
        product = system.apply(frames, shared)
        assert second == pytest.approx((frames * product[0]).sum() + shared @ product[1], rel=2e-3)


def test_threads_and_chunks_change_nothing(tiny_model):
    energy, state = problem(tiny_model)
    one, cost = energy.linearize(state).dense(), energy.cost(state)
    energy.chunk, energy.threads = 2, 2
    many = energy.linearize(state).dense()
    np.testing.assert_allclose(many[0], one[0], rtol=1e-4, atol=1e-5 * np.abs(one[0]).max())
    np.testing.assert_allclose(many[1], one[1], rtol=1e-9, atol=1e-9 * np.abs(one[1]).max())
    assert energy.cost(state) == pytest.approx(cost, rel=1e-12)


def test_what_is_held_has_no_unknowns(tiny_model):
    energy, state = problem(tiny_model, cameras=1, offsets=0)
    whole = energy.linearize(state)
    energy.shared, energy.with_identity = Shared.of(0, 0, 0, 0), False
    energy.basis = energy.basis[..., : energy.e]
    part = energy.linearize(state)
    assert part.cross.shape[-1] == 0
    np.testing.assert_allclose(part.gradient, whole.gradient, rtol=1e-9)
    np.testing.assert_allclose(part.diagonal, whole.diagonal, rtol=1e-4, atol=1e-4)


def test_frames_that_do_not_follow_are_not_coupled(tiny_model):
    system = (lambda e, s: e.linearize(s))(*problem(tiny_model, ordered=False))
    assert not system.near.any()
    assert not system.far.any()


def test_points_behind_the_camera_cost_infinitely_much(tiny_model):
    energy, state = problem(tiny_model)
    assert energy.cost(replace(state, translation=-state.translation)) == np.inf


def test_bounded_steps_end_in_the_box_and_solve_the_bounded_problem(tiny_model):
    energy, state = problem(tiny_model, QUADRATIC, cameras=1, offsets=0)
    rng = np.random.default_rng(1)
    state = replace(state, expression=rng.choice([0, 0.02, 0.98, 1], state.expression.shape))
    system = energy.linearize(state)
    frames, shared = bounded_step(system, -state.expression, 1 - state.expression, None, 1e-9, 20, settled=0)
    moved = state.expression + frames[:, 6:]
    assert moved.min() > -1e-12
    assert moved.max() < 1 + 1e-12
    assert ((moved < 1e-9) | (moved > 1 - 1e-9)).any()
    # The conditions of a minimum in a box: flat where free, pushed outward at a bound.
    slope, shared_slope = system.apply(frames, shared)
    slope, shared_slope = slope + system.gradient, shared_slope + system.shared_gradient
    tolerance = 1e-5 * np.abs(system.gradient).max()
    inside = (moved > 1e-9) & (moved < 1 - 1e-9)
    assert np.abs(slope[:, :6]).max() < tolerance
    assert np.abs(shared_slope).max() < tolerance
    assert np.abs(slope[:, 6:][inside]).max() < tolerance
    assert slope[:, 6:][moved <= 1e-9].min(initial=np.inf) > -tolerance
    assert slope[:, 6:][moved >= 1 - 1e-9].max(initial=-np.inf) < tolerance


def test_the_neutral_prior_is_the_robust_mean(tiny_model):
    shape = tiny_model.shape
    rng = np.random.default_rng(0)
    truth = rng.normal(size=6)
    identities = truth + rng.normal(0, 0.01, (50, 6))
    identities[:8] = 30
    identities[8] = np.nan
    prior = NeutralPrior.from_identities(shape, identities)
    assert np.abs(prior.points - shape.neutral(truth)).max() < 0.5
    constant, g, h = prior.quadratic(3.0)
    a = rng.normal(size=6)
    expected = 1.5 * ((shape.neutral(a) - prior.points) ** 2).sum(-1).mean()
    assert constant + g @ a + a @ h @ a / 2 == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"robust": "welsch"}, "robust must be none, huber or geman_mcclure"),
        ({"expression_l2": 0}, "expression_l2 must be > 0; got 0"),
        ({"neutral": -1}, "neutral must be >= 0; got -1"),
        ({"rotation_acceleration": np.nan}, "rotation_acceleration must be > 0; got nan"),
    ],
)
def test_wrong_weights_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        SequenceWeights(**arguments)


def test_a_neutral_face_of_other_points_is_refused(tiny_model):
    with pytest.raises(InputError, match=r"points of shape \(400, 3\); got \(5, 3\)"):
        NeutralPrior(tiny_model.shape, np.zeros((5, 3)))
    with pytest.raises(InputError, match="at least one finite identity"):
        NeutralPrior.from_identities(tiny_model.shape, np.full((3, 6), np.nan))
