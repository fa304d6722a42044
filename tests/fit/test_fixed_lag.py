from dataclasses import replace

import numpy as np
import pytest
from sequence_scene import sequence, two_cameras

from steadyface.errors import InputError
from steadyface.fit.fixed_lag import FixedLagFit, LagConfig
from steadyface.fit.gauss_newton import SolverConfig
from steadyface.fit.sequence import SequenceConfig, fit_sequence
from steadyface.fit.sequence_terms import SequenceWeights

WEIGHTS = SequenceWeights(
    rotation_acceleration=1.5,
    translation_acceleration=60,
    expression_acceleration=10,
    independent_points=np.inf,
    focal_log_sigma=0,
)
EXACT = SolverConfig(max_iterations=40, cost_tolerance=1e-9, active_set_passes=5)


def streamed(stream, scene):
    times = np.arange(len(scene.points)) / 30
    parts = [stream.push(p, s, t) for p, s, t in zip(scene.points, scene.sigma, times, strict=True)]
    parts.append(stream.finish())
    columns = ("rotation", "translation", "expression", "time_s")
    return parts, [np.concatenate([getattr(p, n) for p in parts]) for n in columns]


def test_a_stream_equals_the_whole_sequence(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 90, noise=1.0)
    # A known identity on both sides: a shape that has no other.
    known = replace(
        shape,
        mean=shape.neutral(scene.identity),
        identity_basis=np.zeros_like(shape.identity_basis),
    )
    whole = fit_sequence(
        scene.points,
        scene.sigma,
        known,
        rig=scene.rig,
        weights=WEIGHTS,
        config=SequenceConfig(solver=EXACT),
    )
    stream = FixedLagFit(known, scene.rig, scene.identity, weights=WEIGHTS, config=LagConfig(25, 5, EXACT))
    parts, (rotation, translation, expression, time_s) = streamed(stream, scene)
    assert [len(p) for p in parts[:30]] == [0] * 29 + [5]
    np.testing.assert_allclose(time_s, np.arange(90) / 30)
    np.testing.assert_allclose(rotation, whole.rotation, atol=2e-3)
    np.testing.assert_allclose(translation, whole.translation, atol=1.0)
    np.testing.assert_allclose(expression, whole.expression, atol=0.02)


def test_memory_does_not_grow(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 60, noise=1.0)
    stream = FixedLagFit(shape, scene.rig, scene.identity, config=LagConfig(lag=6, stride=3))
    streamed(stream, scene)
    assert len(stream._points) == len(stream._pose) == 2


def test_gaps_and_several_cameras(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 40, noise=0.5, rig=two_cameras())
    scene.sigma[15:19] = np.inf
    scene.sigma[25:, 0] = np.inf
    stream = FixedLagFit(shape, scene.rig, scene.identity, weights=WEIGHTS, config=LagConfig(lag=12))
    _, (_, translation, expression, _) = streamed(stream, scene)
    np.testing.assert_allclose(translation, scene.translation, atol=8)
    np.testing.assert_allclose(expression, scene.expression, atol=0.25)


def test_wrong_input_is_one_line(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 3)
    with pytest.raises(InputError, match=r"the identity must be \(6,\); got \(2,\)"):
        FixedLagFit(shape, scene.rig, np.zeros(2))
    with pytest.raises(InputError, match="cameras of known places"):
        FixedLagFit(shape, replace(two_cameras(), known=False), scene.identity)
    with pytest.raises(InputError, match="lag must be >= 1; got 0"):
        LagConfig(lag=0)
    stream = FixedLagFit(shape, scene.rig, scene.identity)
    with pytest.raises(InputError, match=r"a frame needs points \(1, 68, 2\)"):
        stream.push(scene.points[0, 0], scene.sigma[0], 0.0)
    with pytest.raises(InputError, match="sigma must be > 0"):
        stream.push(scene.points[0], scene.sigma[0] * 0, 0.0)
    stream.push(scene.points[0], scene.sigma[0], 0.0)
    with pytest.raises(InputError, match="time of frames must increase"):
        stream.push(scene.points[1], scene.sigma[1], 0.0)
