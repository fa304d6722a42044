from dataclasses import replace

import numpy as np
import pytest
from sequence_scene import SIZE, sequence, turn_between, two_cameras

from steadyface.errors import InputError
from steadyface.face_model.morphable import LinearShape
from steadyface.fit.gauss_newton import SolverConfig
from steadyface.fit.rig import Rig
from steadyface.fit.sequence import SequenceConfig, fit_sequence
from steadyface.fit.sequence_start import SequenceStart
from steadyface.fit.sequence_terms import NeutralPrior, SequenceWeights
from steadyface.rotation import matrix_from_axis_angle
from steadyface.track import Track

EXACT = SolverConfig(max_iterations=60, cost_tolerance=1e-12, step_tolerance=1e-7, active_set_passes=6)
#: Priors so weak that exact data decide.
FREE = SequenceWeights(
    robust="none",
    independent_points=np.inf,
    identity=1e-3,
    expression_l2=1e-6,
    expression_l1=0,
    rotation_acceleration=1e4,
    translation_acceleration=1e6,
    expression_acceleration=1e4,
    acceleration_threshold=np.inf,
    focal_log_sigma=0,
)
#: The pace of the scene's motion, so that smoothness is neither idle nor wrong.
PACED = SequenceWeights(
    rotation_acceleration=1.5,
    translation_acceleration=60,
    expression_acceleration=10,
    independent_points=np.inf,
)


def images(fit, shape):
    return np.stack([fit.project(shape, c) for c in range(len(fit.rig))], 1)


def error(fit, scene, shape):
    return np.sqrt(((images(fit, shape) - scene.exact) ** 2).sum(-1).mean())


@pytest.mark.parametrize("start", [True, False])
def test_exact_points_give_the_truth(tiny_model, start):
    shape = tiny_model.landmarks("mediapipe478")
    scene = sequence(shape)
    fit = fit_sequence(
        scene.points,
        scene.sigma,
        shape,
        rig=scene.rig,
        initial=scene.start() if start else None,
        weights=FREE,
        config=SequenceConfig(solver=EXACT),
    )
    assert turn_between(matrix_from_axis_angle(fit.rotation), scene.rotation).max() < 2e-3
    np.testing.assert_allclose(fit.translation, scene.translation, atol=0.5)
    np.testing.assert_allclose(fit.expression, scene.expression, atol=0.01)
    np.testing.assert_allclose(fit.identity, scene.identity, atol=0.02)
    assert error(fit, scene, shape) < 0.01
    assert fit.expression.min() >= 0
    assert fit.expression.max() <= 1
    np.testing.assert_allclose(fit.confidence, 1)


def test_the_focal_length_is_found_from_a_wrong_guess(tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    scene = sequence(shape, noise=0.05)
    near = replace(scene.rig, focal=scene.rig.focal * 1.15)
    weights = replace(FREE, focal_log_sigma=0.3, identity=1.0)
    fit = fit_sequence(
        scene.points, scene.sigma, shape, rig=near, weights=weights, config=SequenceConfig(solver=EXACT)
    )
    assert abs(fit.focal[0] / scene.rig.focal[0] - 1) < 0.03


def test_the_cost_falls_at_every_step(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, noise=1.0)
    fit = fit_sequence(scene.points, scene.sigma, shape, rig=scene.rig, initial=scene.start(spread=2))
    assert len(fit.costs) > 2
    assert (np.diff(fit.costs) < 0).all()
    assert fit.converged


def test_a_sequence_is_better_than_its_frames(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 60, noise=2.0)
    known = dict(rig=scene.rig, weights=replace(PACED, focal_log_sigma=0))
    whole = fit_sequence(scene.points, scene.sigma, shape, **known)
    single = [
        fit_sequence(scene.points[i : i + 1], scene.sigma[i : i + 1], shape, **known) for i in range(60)
    ]
    apart = np.concatenate([images(f, shape) for f in single])
    together = images(whole, shape)

    def off(x):
        return np.sqrt(((x - scene.exact) ** 2).sum(-1).mean())

    def jitter(x):
        return np.sqrt((np.diff(x - scene.exact, 2, axis=0) ** 2).sum(-1).mean())

    assert off(together) < 0.6 * off(apart)
    assert jitter(together) < 0.25 * jitter(apart)
    mean = np.mean([np.linalg.norm(f.identity - scene.identity) for f in single])
    assert np.linalg.norm(whole.identity - scene.identity) < 0.5 * mean


def test_what_is_not_seen_does_not_matter_and_gaps_are_bridged(tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    scene = sequence(shape, 40, noise=0.3)
    sigma = scene.sigma.copy()
    points = scene.points.copy()
    points[:, :, ::3] = 1e6
    sigma[:, :, ::3] = np.inf
    points[18:23] = np.nan
    fit = fit_sequence(points, sigma, shape, rig=scene.rig, weights=PACED)
    assert (fit.seen[18:23] == 0).all()
    assert (fit.confidence[18:23] == 0).all()
    assert fit.seen[0] == 478 - 160
    assert not fit.inlier[:, :, ::3].any()
    distance = np.sqrt(((images(fit, shape) - scene.exact) ** 2).sum(-1)).mean((1, 2))
    assert distance[:18].max() < 0.5
    assert distance[18:23].max() < 3
    # What bridges a gap says so.
    sigma = fit.point_sigma(shape)
    assert sigma[20].mean() > 3 * sigma[5].mean()


def test_outliers_are_left_out(tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    scene = sequence(shape, 30, noise=0.5)
    rng = np.random.default_rng(5)
    wild = rng.random(scene.sigma.shape) < 0.15
    points = scene.points + wild[..., None] * rng.normal(0, 60, scene.points.shape)
    known = dict(rig=scene.rig, initial=scene.start())
    robust = fit_sequence(points, scene.sigma, shape, weights=PACED, **known)
    plain = fit_sequence(points, scene.sigma, shape, weights=replace(PACED, robust="none"), **known)
    assert error(robust, scene, shape) < 0.3
    assert error(robust, scene, shape) < 0.2 * error(plain, scene, shape)
    far = np.linalg.norm(points - scene.exact, axis=-1) > 10
    assert robust.inlier[far].max() < 0.1
    assert robust.inlier[~wild].mean() > 0.7
    assert (robust.confidence < 1).all()


def test_uncertain_points_count_less(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 20)
    rng = np.random.default_rng(2)
    sigma = np.where(rng.random(scene.sigma.shape) < 0.5, 0.2, 6.0)
    points = scene.exact + sigma[..., None] * rng.normal(size=scene.exact.shape)
    weights = replace(PACED, robust="none")
    knowing = fit_sequence(points, sigma, shape, rig=scene.rig, weights=weights)
    blind = fit_sequence(points, np.full_like(sigma, 4.2), shape, rig=scene.rig, weights=weights)
    assert error(knowing, scene, shape) < 0.5 * error(blind, scene, shape)


def test_points_of_no_weight_are_ignored(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 8, noise=0.3)
    weight = np.ones(68)
    weight[:10] = 0
    points = scene.points.copy()
    points[:, :, :10] += 50
    fit = fit_sequence(points, scene.sigma, shape, rig=scene.rig, point_weights=weight)
    assert error(fit, scene, shape) < 1


@pytest.mark.parametrize("known", [True, False])
def test_two_cameras_are_better_than_one(tiny_model, known):
    shape = tiny_model.landmarks("mediapipe478")
    rig = two_cameras()
    scene = sequence(shape, 20, noise=1.0, rig=rig)
    weights = replace(PACED, focal_log_sigma=0)
    both = fit_sequence(scene.points, scene.sigma, shape, rig=replace(rig, known=known), weights=weights)
    one = fit_sequence(
        scene.points[:, :1],
        scene.sigma[:, :1],
        shape,
        rig=replace(Rig.single(SIZE), focal=rig.focal[:1]),
        weights=weights,
    )
    assert error(both, scene, shape) < 0.5

    def depth(fit):
        return np.abs(fit.translation[:, 2] - scene.translation[:, 2]).mean()

    assert depth(both) < depth(one)
    if not known:
        turn = turn_between(both.rig.rotation, rig.rotation)
        assert turn[0] == 0
        assert turn[1] < np.radians(0.5)
        assert both.rig.translation[1] == pytest.approx(rig.translation[1], abs=15)


def test_offsets_take_up_what_the_model_cannot(tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    rig = two_cameras()
    scene = sequence(shape, 16, noise=0.1, rig=rig)
    nose = np.arange(100, 112)
    bump = LinearShape(np.array(shape.mean), shape.identity_basis, shape.expression_basis)
    bump.mean[nose] += [3.0, -2.0, -4.0]
    points = sequence(bump, 16, noise=0.1, rig=rig).points
    weights = replace(PACED, focal_log_sigma=0, deform_mm=3)
    fit = fit_sequence(points, scene.sigma, shape, rig=rig, weights=weights, moved=nose)
    np.testing.assert_array_equal(fit.moved, nose)
    np.testing.assert_allclose(fit.offsets.mean(0), [3, -2, -4], atol=0.7)


def test_a_neutral_prior_decides_where_the_points_do_not(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 5, noise=3.0)
    known = NeutralPrior(tiny_model.shape, tiny_model.shape.neutral(scene.identity))
    off = [
        np.linalg.norm(
            tiny_model.shape.neutral(f.identity) - tiny_model.shape.neutral(scene.identity), axis=-1
        ).mean()
        for f in (
            fit_sequence(scene.points, scene.sigma, shape, rig=scene.rig, neutral=n) for n in (None, known)
        )
    ]
    assert off[1] < 0.5 * off[0]


def test_windows_agree_with_the_whole(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 160, noise=1.0)
    solver = replace(EXACT, cost_tolerance=1e-7)
    settings = SequenceConfig(solver=solver, key_frames=40, overlap=20)
    whole = fit_sequence(scene.points, scene.sigma, shape, rig=scene.rig, weights=PACED, config=settings)
    parts = fit_sequence(
        scene.points, scene.sigma, shape, rig=scene.rig, weights=PACED, config=replace(settings, window=50)
    )
    apart = np.linalg.norm(images(parts, shape) - images(whole, shape), axis=-1)
    assert apart.mean() < 0.5 * error(whole, scene, shape)
    assert apart.max() < 0.5
    assert parts.covariance.shape == whole.covariance.shape
    # No seam: jumps across the cuts are no larger than elsewhere.
    jump = np.linalg.norm(np.diff(images(parts, shape) - scene.exact, axis=0), axis=-1).mean((1, 2))
    assert jump[49::50].max() < 3 * np.median(jump)


def test_a_track_carries_the_camera(tiny_model, tmp_path):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 12, noise=0.3)
    fit = fit_sequence(scene.points, scene.sigma, shape, rig=scene.rig)
    track = fit.to_track(tiny_model, image_size=SIZE, fps=30.0)
    np.testing.assert_allclose(track.landmarks("ibug68")[..., :2], fit.project(shape), atol=1e-6)
    np.testing.assert_allclose(track.vertices(), fit.world_points(tiny_model.shape), atol=1e-6)
    np.testing.assert_allclose(track.scale, fit.focal[0] / fit.translation[:, 2])
    assert track.sigma.shape == (12, 68)
    assert 0.01 < np.median(track.sigma) < 1
    track.save(tmp_path / "a.npz")
    again = Track.load(tmp_path / "a.npz", tiny_model)
    np.testing.assert_array_equal(again.landmarks("ibug68"), track.landmarks("ibug68"))
    assert again.focal == track.focal


def test_a_weak_perspective_track_is_a_start(tiny_model):
    shape = tiny_model.landmarks("mediapipe478")
    scene = sequence(shape, 12)
    fit = fit_sequence(scene.points, scene.sigma, shape, rig=scene.rig)
    pinhole = fit.to_track(tiny_model, image_size=SIZE, fps=30.0)
    weak = Track.from_image_pose(
        translation=scene.rig.project(scene.translation[:, None])[:, 0],
        scale=pinhole.scale,
        image_size=SIZE,
        **{n: getattr(pinhole, n) for n in PASSED},
    )
    start = SequenceStart.from_track(weak, focal=scene.rig.focal[0])
    np.testing.assert_allclose(start.translation, scene.translation, rtol=0.01, atol=5)
    same = SequenceStart.from_track(pinhole)
    np.testing.assert_allclose(same.rotation, fit.rotation, atol=1e-9)
    np.testing.assert_allclose(same.translation, fit.translation)


PASSED = (
    "frame_index",
    "time_s",
    "rotation",
    "identity",
    "expression",
    "sigma",
    "confidence",
    "fps",
    "model",
)


def test_a_start_bridges_the_frames_a_track_lacks(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 9)
    track = fit_sequence(scene.points, scene.sigma, shape, rig=scene.rig).to_track(
        tiny_model, image_size=SIZE, fps=30.0
    )
    kept = np.array([0, 1, 2, 5, 6, 8])
    fields = {n: getattr(track, n)[kept] for n in ("time_s", "rotation", "translation", "scale", "sigma")}
    fields |= {n: getattr(track, n)[kept] for n in ("frame_index", "expression", "confidence")}
    start = SequenceStart.from_track(replace(track, **fields), np.arange(9))
    np.testing.assert_allclose(start.translation, track.translation, atol=1.5)
    np.testing.assert_allclose(start.rotation, track.rotation, atol=0.05)
    np.testing.assert_allclose(start.expression[kept], track.expression[kept])


def test_expressions_of_either_sign_are_free(tiny_model):
    s = tiny_model.landmarks("mediapipe478")
    shape = LinearShape(s.mean, s.identity_basis, s.expression_basis, np.tile([-np.inf, np.inf], (4, 1)))
    scene = sequence(s, 10)
    moved = scene.expression - 0.4
    world = shape(np.tile(scene.identity, (10, 1)), moved).astype(float) @ np.swapaxes(scene.rotation, -1, -2)
    points = scene.rig.project(world + scene.translation[:, None])
    fit = fit_sequence(points, scene.sigma[:, 0], shape, rig=scene.rig)
    assert fit.expression.min() < -0.2
    np.testing.assert_allclose(fit.expression, moved, atol=0.1)


def test_covariances_are_what_noise_does(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 10)
    weights = replace(PACED, robust="none", focal_log_sigma=0, identity=1e3)
    still = replace(scene.start(spread=0.0), identity=scene.identity)
    zero = LinearShape(
        shape.neutral(scene.identity), np.zeros_like(shape.identity_basis), shape.expression_basis
    )
    rng = np.random.default_rng(0)
    turns = []
    for _ in range(40):
        points = scene.exact + rng.normal(0, 1.0, scene.exact.shape)
        fit = fit_sequence(
            points, np.ones_like(scene.sigma), zero, rig=scene.rig, weights=weights, initial=still
        )
        turns.append(images(fit, zero))
    seen = np.std(turns, 0)[:, 0].mean(-1)
    # The mean of x and y deviations against the root mean square.
    assert np.median(fit.point_sigma(zero) / seen) == pytest.approx(1, abs=0.25)


def test_single_frames_and_pairs_are_sequences_too(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    for frames in (1, 2, 3):
        scene = sequence(shape, frames, noise=0.2)
        fit = fit_sequence(scene.points[:, 0], scene.sigma[:, 0], shape, rig=scene.rig)
        assert len(fit) == frames
        assert error(fit, scene, shape) < 0.5


def wrong(tiny_model):
    shape = tiny_model.landmarks("ibug68")
    scene = sequence(shape, 5)
    return dict(points=scene.points, sigma=scene.sigma, shape=shape, rig=scene.rig), scene


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"points": s.points[:, :, :9]}, r"points must be \(T, 1, 68, 2\) pixels for this rig"),
        (lambda s: {"sigma": s.sigma[:, :, 0]}, r"sigma must be \(5, 1, 68\) px, one a point; got \(5, 1\)"),
        (lambda s: {"sigma": s.sigma * 0}, "sigma must be > 0 px"),
        (lambda s: {"sigma": s.sigma * np.inf}, "every sigma is missing"),
        (lambda s: {"time_s": np.zeros(5)}, r"time_s must be \(5,\) increasing seconds"),
        (lambda s: {"point_weights": np.ones(3)}, r"point_weights must be \(68,\)"),
        (lambda s: {"moved": [1, 2]}, "offsets need at least 2 cameras"),
        (lambda s: {"sigma": np.where(np.arange(68) < 4, s.sigma, np.inf)}, "a frame with at least 6 points"),
        (lambda s: {"initial": sequence_start(s, 4)}, "the start has 4 frames"),
    ],
)
def test_wrong_input_is_one_line(tiny_model, change, message):
    arguments, scene = wrong(tiny_model)
    arguments |= change(scene)
    with pytest.raises(InputError, match=message) as caught:
        fit_sequence(arguments.pop("points"), arguments.pop("sigma"), arguments.pop("shape"), **arguments)
    assert "\n" not in str(caught.value)


def sequence_start(scene, frames):
    s = scene.start()
    return SequenceStart(s.rotation[:frames], s.translation[:frames], s.expression[:frames], s.identity)


def test_wrong_rigs_and_starts_are_named():
    with pytest.raises(InputError, match=r"a rig of 1 cameras needs finite center of shape \(1, 2\)"):
        Rig(np.ones(1), np.zeros(2), np.eye(3)[None], np.zeros((1, 3)))
    with pytest.raises(InputError, match="focal lengths must be > 0"):
        Rig.single((640, 480), -1.0)
    with pytest.raises(InputError, match="image sizes must be pairs"):
        Rig.unknown([640, 480])
    with pytest.raises(InputError, match=r"finite translation of shape \(3, 3\)"):
        SequenceStart(np.zeros((3, 3)), np.full((3, 3), np.nan), np.zeros((3, 4)), np.zeros(6))
    with pytest.raises(InputError, match="window must be >= 1; got 0"):
        SequenceConfig(window=0)


def test_repeated_frames_do_not_outweigh_the_priors(tiny_model):
    """As many frames as are independent tell of the face: more of the same tell nothing new."""
    shape = tiny_model.landmarks("mediapipe478")
    scene = sequence(shape)
    found = []
    for repeats, independent in ((1, np.inf), (4, np.inf), (4, len(scene.points))):
        again = np.tile(np.arange(len(scene.points)), repeats)
        fit = fit_sequence(
            scene.points[again],
            np.full_like(scene.sigma[again], 20.0),
            shape,
            rig=scene.rig,
            weights=replace(FREE, identity=5.0, independent_frames=independent),
            config=SequenceConfig(solver=EXACT),
        )
        found.append(np.linalg.norm(fit.identity))
    once, four_times, held = found
    assert held == pytest.approx(once, rel=0.02)
    assert four_times > 1.2 * once
