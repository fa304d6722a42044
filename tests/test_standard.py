"""The standard quality from end to end, with networks that know a filmed scene."""

from dataclasses import replace

import numpy as np
import pytest
from dense_scene import DenseScene, error, talking, wobble

from steadyface.errors import InputError
from steadyface.pipeline import align, track
from steadyface.record import DenseRecord
from steadyface.standard import StandardSettings, with_short_gaps
from steadyface.track import Track

SMALL = StandardSettings(points=120, told=30)


def standard(scene, path, **options):
    options = {"settings": SMALL, "aligner": scene, "tracker": scene.tracker()} | options
    return track(path, **options)


def test_standard_is_steadier_and_closer_than_live(tiny_model, tmp_path):
    truth = talking(tiny_model, 40)
    scene = DenseScene([truth])
    path = scene.film(tmp_path / "a.mp4")
    (live,) = track(path, "live", tracker=scene.tracker())
    steps = []
    (found,) = standard(scene, path, stage=steps.append, progress=lambda *n: steps.append(n))
    assert steps == ["following", *((i + 1, 40) for i in range(40)), "fitting", (40, 40)]
    assert error(found, truth) < 0.1 * error(live, truth)
    true = truth.landmarks("ibug68")[..., :2]
    assert wobble(found.landmarks("ibug68")[..., :2] - true) < 0.1 * wobble(
        live.landmarks("ibug68")[..., :2] - true
    )
    np.testing.assert_array_equal(found.frame_index, np.arange(40))
    np.testing.assert_allclose(found.time_s, truth.time_s, atol=1e-4)
    assert found.focal == pytest.approx(truth.focal, rel=0.1)
    assert (found.fps, found.image_size) == (pytest.approx(25), (320, 240))
    assert not found.interpolated.any()
    # Each point is off by about as much as the track says, though errors go together.
    away = (found.landmarks("ibug68") - truth.landmarks("ibug68"))[..., :2]
    assert 0.3 < np.sqrt((away**2).mean()) / found.sigma.mean() < 1.5
    assert found.dense_sigma.shape == found.dense_confidence.shape == (40, 30)
    assert found.confidence.min() > 0.5


def test_a_short_gap_is_filled_and_marked_and_a_long_one_stays(tiny_model, tmp_path):
    truth = talking(tiny_model, 60)
    # Lost from 10 to 16 (0.28 s from seen to seen) and from 30 to 45 (0.64 s).
    scene = DenseScene([truth], [[*range(10), *range(16, 30), *range(45, 60)]])
    path = scene.film(tmp_path / "a.mp4")
    (found,) = standard(scene, path)
    np.testing.assert_array_equal(found.frame_index, [*range(30), *range(45, 60)])
    np.testing.assert_array_equal(np.flatnonzero(found.interpolated), range(10, 16))
    assert (found.confidence[10:16] == 0).all()
    assert found.confidence[found.interpolated == False].min() > 0.5  # noqa: E712 - an array
    assert (found.dense_confidence[10:16] == 0).all()
    assert (found.sigma[12:14] > 2 * found.sigma[:10].mean()).all()
    gap = found.landmarks("ibug68")[10:16] - truth.landmarks("ibug68")[10:16]
    assert np.linalg.norm(gap[..., :2], axis=-1).mean() < 2
    assert error(found, truth) < 0.5
    (whole,) = standard(scene, path, settings=replace(SMALL, gap_s=0.7))
    assert (len(whole), whole.interpolated.sum()) == (60, 21)
    (cut,) = standard(scene, path, settings=replace(SMALL, gap_s=0.0))
    assert (len(cut), cut.interpolated.sum()) == (39, 0)


def test_motion_is_not_coupled_across_a_long_gap(tiny_model, tmp_path):
    """After a second the face is elsewhere; where the fit puts it before does not depend on that."""
    truth = talking(tiny_model, 64)
    found = []
    for shift in (0.0, 20.0):
        moved = np.array(truth.translation)
        moved[44:, 0] += shift
        scene = DenseScene([replace(truth, translation=moved)], [[*range(20), *range(44, 64)]])
        (one,) = standard(scene, scene.film(tmp_path / f"{shift}.mp4"))
        assert len(one) == 40
        found.append(one)
    near, far = (t.landmarks("ibug68", slice(0, 20)) for t in found)
    assert np.abs(near - far)[..., :2].max() < 0.05


def test_hidden_points_do_not_count(tiny_model, tmp_path):
    """Half of the face is covered, and what the aligner says there is far off."""
    truth = talking(tiny_model, 25)
    scene = DenseScene([truth])
    scene.covered = tiny_model.shape.mean[scene.vertices, 0] > 0
    (found,) = standard(scene, scene.film(tmp_path / "a.mp4"))
    assert error(found, truth) < 1
    right, left = (
        found.vertex_confidence()[:, v]
        for v in (
            np.flatnonzero(tiny_model.regions["face"] & side)
            for side in (tiny_model.shape.mean[:, 0] < -25, tiny_model.shape.mean[:, 0] > 25)
        )
    )
    assert right.mean() > 2 * left.mean()


def test_many_frames_do_not_outvote_the_neutral_face(tiny_model, tmp_path):
    """What the aligner gets wrong in all frames alike moves the identity no more in many than in few."""
    away = []
    for frames in (12, 48):
        truth = talking(tiny_model, 48)
        scene = DenseScene([truth], pose_noise=0.0)
        # The nose is seen too low, and too far to one side.
        x = tiny_model.shape.mean[scene.vertices]
        scene.bias = 3 * np.exp(-((x[:, :2] - [0, 30]) ** 2).sum(-1) / 800)[:, None] * [0.5, 1]
        path = scene.film(tmp_path / f"{frames}.mp4", frames)
        weights = replace(SMALL.weights, neutral=20.0, independent_frames=2.0)
        (found,) = standard(scene, path, settings=replace(SMALL, weights=weights))
        (free,) = standard(
            scene, path, settings=replace(SMALL, weights=replace(weights, neutral=0.0, identity=0.1))
        )
        neutral = [tiny_model.shape.neutral(t.identity) for t in (truth, found, free)]
        away.append([np.linalg.norm(n - neutral[0], axis=-1).mean() for n in neutral[1:]])
    (few, few_free), (many, many_free) = away
    assert many < 1.5 * few
    assert few < 0.8 * few_free
    assert many < 0.8 * many_free


def test_several_faces_longest_first(tiny_model, tmp_path):
    truths = [talking(tiny_model, 30, seed=i, shift=x) for i, x in enumerate((-170.0, 60.0))]
    scene = DenseScene(truths, [range(22), range(30)])
    steps = []
    found = standard(scene, scene.film(tmp_path / "a.mp4"), progress=lambda *n: steps.append(n))
    assert [len(t) for t in found] == [30, 22]
    assert error(found[0], truths[1]) < 0.5
    assert error(found[1], truths[0]) < 0.5
    assert steps[30:] == [(30, 52), (52, 52)]


def test_a_second_look_starts_from_the_fit(tiny_model, tmp_path):
    truth = talking(tiny_model, 12)
    scene = DenseScene([truth], [[*range(5), *range(7, 12)]])
    path = scene.film(tmp_path / "a.mp4")
    steps = []
    (found,) = standard(scene, path, settings=replace(SMALL, passes=2), stage=steps.append)
    assert steps == ["following", "fitting", "looking again", "fitting"]
    assert [i for i, _ in scene.calls] == [*range(5), *range(7, 12)] * 2
    np.testing.assert_array_equal(np.flatnonzero(found.interpolated), [5, 6])

    def off(calls):
        return np.mean([np.abs(g - truth.image_points(scene.shape, i)[:, :2]).mean() for i, g in calls])

    assert off(scene.calls[10:]) < 0.2 * off(scene.calls[:10])
    assert error(found, truth) < 0.3


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_videos(tiny_model, tmp_path, frames):
    truth = talking(tiny_model, frames)
    scene = DenseScene([truth])
    (found,) = standard(scene, scene.film(tmp_path / "a.mp4"))
    assert len(found) == frames
    assert error(found, truth) < 0.5


def test_a_still_image_is_fitted_too(tiny_model):
    truths = [talking(tiny_model, 1, seed=i, shift=x) for i, x in enumerate((-120.0, 100.0))]
    scene = DenseScene(truths)
    found = align(scene.scene.image(0), "standard", tracker=scene.tracker(), aligner=scene)
    assert len(found) == 2
    for t in found:
        assert min(error(t, truth) for truth in truths) < 0.5
        assert t.focal is not None
    assert align(scene.scene.image(0), tracker=scene.tracker())[0].focal is None


def stop_at(count):
    calls = []

    def progress(done, _total):
        calls.append(done)
        if len(calls) == count:
            raise KeyboardInterrupt

    return progress


def test_what_was_followed_before_an_interruption_is_fitted(tiny_model, tmp_path):
    truth = talking(tiny_model, 40)
    scene = DenseScene([truth])
    notes = []
    (found,) = standard(scene, scene.film(tmp_path / "a.mp4"), progress=stop_at(15), note=notes.append)
    assert len(found) == 15
    assert found.focal is not None
    assert error(found, truth) < 0.5
    assert notes == ["interrupted after 15 frames: kept what was done"]


def test_an_interrupted_fit_leaves_what_there_is(tiny_model, tmp_path):
    truths = [talking(tiny_model, 20, seed=i, shift=x) for i, x in enumerate((-100.0, 100.0))]
    scene = DenseScene(truths)
    path = scene.film(tmp_path / "a.mp4")
    notes = []
    found = standard(scene, path, progress=stop_at(21), note=notes.append)
    assert [t.focal is None for t in found] == [False, True]
    assert notes == ["interrupted while fitting: what was not fitted stays as it was before"]
    notes.clear()
    found = standard(scene, path, settings=replace(SMALL, passes=2), progress=stop_at(25), note=notes.append)
    assert all(t.focal is not None for t in found)
    assert notes == ["interrupted while looking again: kept what was seen before"]


def test_a_face_that_is_never_in_view_keeps_its_live_track(tiny_model, tmp_path):
    scene = DenseScene([talking(tiny_model, 10)])
    scene.covered = np.ones(len(scene.vertices), bool)
    notes = []
    (found,) = standard(scene, scene.film(tmp_path / "a.mp4"), note=notes.append)
    assert found.focal is None
    assert found.interpolated is None
    assert notes == ["a face whose points were never in view keeps its live track"]


def test_a_fitted_track_is_saved_whole(tiny_model, tmp_path):
    scene = DenseScene([talking(tiny_model, 8)])
    (found,) = standard(scene, scene.film(tmp_path / "a.mp4"))
    found.save(tmp_path / "a.npz")
    loaded = Track.load(tmp_path / "a.npz", tiny_model)
    np.testing.assert_array_equal(loaded.landmarks("ibug68"), found.landmarks("ibug68"))
    np.testing.assert_array_equal(loaded.vertex_sigma(), found.vertex_sigma())


def test_a_missing_network_is_named(tiny_model, tmp_path, monkeypatch):
    from steadyface.align import uv_flow

    monkeypatch.setattr(
        uv_flow.DenseAligner.__init__, "__kwdefaults__", {"path": tmp_path / "uv_flow.onnx", "threads": 1}
    )
    scene = DenseScene([talking(tiny_model, 3)])
    with pytest.raises(InputError, match=r"uv_flow\.onnx is missing"):
        track(scene.film(tmp_path / "a.mp4"), tracker=scene.tracker())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 0}, "points must be >= 1"),
        ({"passes": 0}, "passes must be"),
        ({"gap_s": -1.0}, "gap_s must"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(InputError, match=message):
        StandardSettings(**change)


def test_short_gaps_by_their_length_in_time():
    times = np.array([0, 0.1, 0.2, 0.3, 0.9, 1.0, 1.1, 1.2])
    frames = np.array([0, 2, 3, 5, 7])
    np.testing.assert_array_equal(with_short_gaps(frames, times, 0.2), [0, 1, 2, 3, 5, 6, 7])
    np.testing.assert_array_equal(with_short_gaps(frames, times, 1.0), np.arange(8))
    np.testing.assert_array_equal(with_short_gaps(frames[:1], times, 1.0), [0])


def test_records_give_the_frames_asked_for():
    record = DenseRecord(2)
    assert not record.seen
    for i in (3, 4, 7):
        record.append(i, np.full((2, 2), i, np.float32), np.array([0.5, np.inf], np.float16))
    assert record.seen
    points, sigma = record.observed(np.array([2, 3, 5, 7]))
    np.testing.assert_array_equal(points[:, 0, 0], [0, 3, 0, 7])
    np.testing.assert_array_equal(
        np.isfinite(sigma), [[False] * 2, [True, False], [False] * 2, [True, False]]
    )
