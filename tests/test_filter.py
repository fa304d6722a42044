import itertools
from dataclasses import replace

import numpy as np
import pytest

from steadyface.align.alignment import Alignment
from steadyface.errors import InputError
from steadyface.filter import CausalFilter, channel_gain
from steadyface.rotation import axis_angle_from_matrix, matrix_from_axis_angle

DT = 1 / 30


def face(model, **changes):
    base = Alignment(
        rotation=np.array([0.1, -0.3, 0.05]),
        scale=1.5,
        translation=np.array([200.0, 150.0]),
        identity=np.full(model.identity_count, 0.4),
        expression=np.full(model.expression_count, 0.3),
        landmark_sigma=np.full(68, 2.0),
        confidence=0.95,
    )
    return replace(base, **changes)


def run(model, alignments, times=None):
    causal = CausalFilter(model)
    times = np.arange(len(alignments)) * DT if times is None else times
    state, out = None, []
    for alignment, time_s in zip(alignments, times, strict=True):
        state, filtered = causal.step(state, alignment, time_s)
        out.append(filtered)
    return out


def points(model, alignments):
    return np.stack([a.project(model.landmarks("ibug68"))[:, :2] for a in alignments])


def noisy(model, count, rng, noise=1.0, **changes):
    base = face(model, **changes)
    return [
        replace(
            base,
            rotation=base.rotation + noise * rng.normal(0, 0.002, 3),
            translation=base.translation + noise * rng.normal(0, 0.1, 2),
            scale=base.scale * np.exp(noise * rng.normal(0, 0.001)),
            expression=base.expression + noise * rng.normal(0, 0.003, len(base.expression)),
            identity=base.identity + noise * rng.normal(0, 0.1, len(base.identity)),
        )
        for _ in range(count)
    ]


def spread(x):
    return np.diff(x, axis=0).std()


def test_a_constant_stays_without_jitter(tiny_model):
    out = points(tiny_model, run(tiny_model, [face(tiny_model)] * 50))
    expected = points(tiny_model, [face(tiny_model)])
    np.testing.assert_allclose(out, np.broadcast_to(expected, out.shape), atol=1e-9)


def test_noise_is_smoothed(tiny_model):
    frames = noisy(tiny_model, 200, np.random.default_rng(0), landmark_sigma=np.full(68, 4.0))
    out = points(tiny_model, run(tiny_model, frames))
    assert spread(out[50:]) < 0.5 * spread(points(tiny_model, frames)[50:])


@pytest.mark.parametrize("time_steps", ["even", "uneven"])
def test_a_step_is_followed_at_once(tiny_model, time_steps):
    before = face(tiny_model)
    turn = matrix_from_axis_angle(np.array([0.0, 0.35, 0.1]))
    after = replace(
        before,
        rotation=axis_angle_from_matrix(turn @ matrix_from_axis_angle(before.rotation)),
        translation=before.translation + np.array([25, -20]),
        expression=np.full(tiny_model.expression_count, 0.95),
        scale=1.8,
    )
    rng = np.random.default_rng(1)
    times = np.cumsum(np.full(60, DT) if time_steps == "even" else rng.uniform(0.2 * DT, 3 * DT, 60))
    out = run(tiny_model, [before] * 30 + [after] * 30, times)

    def done(value):
        start, goal = value(before), value(after)
        return np.linalg.norm(value(out[30]) - start) / np.linalg.norm(goal - start)

    assert done(lambda a: a.rotation) > 0.63
    assert done(lambda a: a.expression) > 0.63
    assert done(lambda a: points(tiny_model, [a])[0].mean(0)) > 0.63
    assert done(lambda a: np.array([a.scale])) > 0.63
    # It arrives, and does not swing on past the goal.
    start, goal, late = (points(tiny_model, [a])[0] for a in (before, after, out[-1]))
    assert np.abs(late - goal).max() < 0.02 * np.abs(goal - start).max()
    overshoot = max(a.expression.max() for a in out[30:])
    assert overshoot < 1.0


def ramp(model, speed_px, count=120):
    base = face(model)
    return [
        replace(
            base,
            translation=base.translation + speed_px * i,
            rotation=np.array([0.0, 0.004 * i, 0.0]),
            expression=np.full(model.expression_count, 0.004 * i),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("speed_px", [0.05, 0.5, 5.0])
def test_a_ramp_is_followed_with_less_than_a_frame_of_lag(tiny_model, speed_px):
    frames = ramp(tiny_model, np.array([speed_px, 0]))
    out = run(tiny_model, frames)
    late = slice(60, None)

    def lag(value):
        error = np.stack([value(f) - value(o) for f, o in zip(frames[late], out[late], strict=True)])
        step = np.stack([value(b) - value(a) for a, b in itertools.pairwise(frames)])
        return np.abs(error).max() / np.abs(step).max()

    assert lag(lambda a: points(tiny_model, [a])[0].mean(0)) < 1
    assert lag(lambda a: a.rotation) < 1
    assert lag(lambda a: a.expression) < 1


def test_less_certain_frames_are_smoothed_more(tiny_model):
    left = []
    for sigma in (0.5, 2.0, 8.0):
        frames = noisy(tiny_model, 300, np.random.default_rng(0), landmark_sigma=np.full(68, sigma))
        left.append(spread(points(tiny_model, run(tiny_model, frames))[100:]))
    assert left[0] > 1.2 * left[1] > 1.44 * left[2]


def test_time_steps_of_any_length_are_taken(tiny_model):
    rng = np.random.default_rng(0)
    times = np.concatenate([[0, 0, -1, 0.02], 0.02 + np.cumsum(rng.exponential(0.05, 80)), [1000.0]])
    out = run(tiny_model, noisy(tiny_model, len(times), rng), times)
    found = points(tiny_model, out)
    assert np.isfinite(found).all()
    assert np.abs(found - points(tiny_model, [face(tiny_model)])).max() < 6


def test_rotation_is_filtered_across_half_a_turn(tiny_model):
    """Axis-angle jumps from +pi to -pi there; the manifold does not."""
    rng = np.random.default_rng(0)
    upside_down = [matrix_from_axis_angle(np.array([0, 0, np.pi + rng.normal(0, 0.01)])) for _ in range(60)]
    frames = [face(tiny_model, rotation=axis_angle_from_matrix(r)) for r in upside_down]
    for out in run(tiny_model, frames):
        difference = matrix_from_axis_angle(out.rotation) @ upside_down[0].T
        assert np.linalg.norm(axis_angle_from_matrix(difference)) < 0.1


def test_identity_settles_and_outliers_count_little(tiny_model):
    rng = np.random.default_rng(0)
    frames = noisy(tiny_model, 150, rng)
    for i in range(40, 150, 10):
        frames[i] = replace(frames[i], identity=frames[i].identity + 5)
    out = run(tiny_model, frames)
    late = np.stack([a.identity for a in out[-20:]])
    assert np.abs(late - 0.4).max() < 0.2
    assert np.abs(np.diff(late, axis=0)).max() < 0.02
    # A plain mean would be off by 5 * 11 / 150.
    assert np.abs(late[-1].mean() - 0.4) < 0.15


def test_profile_views_say_less_of_the_identity(tiny_model):
    profile = face(tiny_model, rotation=np.array([0, np.pi / 2, 0]), identity=np.full(6, 2.0))
    front = face(tiny_model, rotation=np.zeros(3), identity=np.zeros(6))
    out = run(tiny_model, [front, *[profile, front] * 20])
    assert out[-1].identity.mean() < 0.7


def test_expression_stays_in_range(tiny_model):
    count = tiny_model.expression_count
    frames = [face(tiny_model, expression=np.full(count, v)) for v in (0, 0, 0.5, 1, 1, 1, 0.4, 0, 0, 0)]
    for out in run(tiny_model, frames):
        assert ((out.expression >= 0) & (out.expression <= 1)).all()


def test_state_is_a_value(tiny_model):
    """Stepping from the same state twice gives the same result: nothing is changed in place."""
    causal = CausalFilter(tiny_model)
    frames = noisy(tiny_model, 3, np.random.default_rng(0))
    state, _ = causal.step(None, frames[0], 0.0)
    state, _ = causal.step(state, frames[1], DT)
    first = causal.step(state, frames[2], 2 * DT)[1]
    second = causal.step(state, frames[2], 2 * DT)[1]
    np.testing.assert_array_equal(first.expression, second.expression)
    np.testing.assert_array_equal(first.rotation, second.rotation)


def test_channel_gain_is_least_squares_noise(tiny_model):
    """One expression fitted alone to noisy landmarks has just the predicted variance."""
    rng = np.random.default_rng(0)
    direction = tiny_model.landmarks("ibug68").expression_basis[2, :, :2]
    sigma = rng.uniform(0.5, 2, 68)
    noise = rng.normal(0, 1, (20000, 68, 2)) * sigma[:, None]
    fitted = (noise * direction).sum((1, 2)) / (direction**2).sum()
    assert fitted.var() == pytest.approx(channel_gain(tiny_model)[6 + 2] @ sigma**2, rel=0.05)


def test_what_is_not_finite_is_refused(tiny_model):
    causal = CausalFilter(tiny_model)
    for bad in ({"translation": np.array([np.nan, 0])}, {"scale": 0.0}, {"rotation": np.full(3, np.inf)}):
        with pytest.raises(InputError, match="finite"), np.errstate(invalid="ignore"):
            causal.step(None, face(tiny_model, **bad), 0.0)


def test_points_stay_while_the_identity_settles(tiny_model):
    """Identity noise that the pose and expression cannot know of must not become error or jitter."""
    rng = np.random.default_rng(0)
    base = face(tiny_model, landmark_sigma=np.full(68, 0.2))
    frames = [replace(base, identity=base.identity + rng.normal(0, 0.4, 6)) for _ in range(100)]
    out = run(tiny_model, frames)
    seen = points(tiny_model, frames)
    kept = points(tiny_model, out)
    exchanged = points(
        tiny_model, [replace(f, identity=o.identity) for f, o in zip(frames, out, strict=True)]
    )
    assert np.abs(kept - seen)[20:].mean() < 0.8 * np.abs(exchanged - seen)[20:].mean()
