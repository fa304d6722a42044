from types import SimpleNamespace

import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate import clips


def talking_face(frames=80, seed=0):
    """(T, 478, 3) MediaPipe-like points whose face moves, blinks and talks, in px from the corner."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    x = np.repeat(rng.uniform(100, 300, (1, 478, 3)), frames, 0)
    x[:, 33], x[:, 263] = (120, 180, 0), (220, 180, 0)
    lids = {160: 144, 158: 153, 385: 380, 387: 373, 13: 14}
    for upper, lower in lids.items():
        x[:, lower] = x[:, upper]
        gap = 5 + 5 * np.sin(0.5 * t) if upper == 13 else 8 - 6 * (t % 25 < 4)
        x[:, lower, 1] += gap
    return x + np.stack([30 * np.sin(0.2 * t), 20 * np.cos(0.13 * t), 0 * t], -1)[:, None]


def fake_track(points68, frame_index):
    return SimpleNamespace(
        frame_index=np.asarray(frame_index), landmarks=lambda name: {"ibug68": points68}[name]
    )


def ibug68(reference):
    """iBUG-68 points with depth that agree with MediaPipe's: (T, 68, 3), pixel centres at integers."""
    points = np.zeros((len(reference), 68, 3))
    points[:, 17:, :2] = reference[:, clips.INNER_51, :2] - 0.5
    return points


def test_the_51_points_are_distinct_and_symmetric_pairs_keep_their_names():
    assert len(clips.INNER_51) == len(set(clips.INNER_51)) == 51
    ibug = dict(zip(range(17, 68), clips.INNER_51, strict=True))
    assert (ibug[36], ibug[45]) == (33, 263)
    assert (ibug[62], ibug[66]) == (13, 14)


def test_openings_are_measured_over_the_interocular_distance():
    x = talking_face()[:, clips.INNER_51, :2]
    eyes, mouth = clips.openings(x)
    t = np.arange(80)
    np.testing.assert_allclose(eyes, np.where(t % 25 < 4, 0.02, 0.08))
    np.testing.assert_allclose(mouth, (5 + 5 * np.sin(0.5 * t)) / 100)
    np.testing.assert_allclose(np.stack(clips.openings(3 * x + 5)), np.stack([eyes, mouth]))


def test_a_track_equal_to_the_reference_is_perfect():
    x = talking_face()[:, clips.INNER_51, :2]
    r = clips.compare("c", x, x, x)
    assert (r.tracked, r.frames) == (100, 80)
    assert r.distance == pytest.approx(0)
    assert (r.eyes, r.mouth, r.jitter_ratio) == pytest.approx((1, 1, 1))
    assert r.lag == pytest.approx(0, abs=1e-6)


def test_a_late_noisy_shifted_track_with_a_gap_is_measured_as_such():
    x = talking_face()[:, clips.INNER_51, :2]
    late = np.roll(x, 2, 0) + np.array([3.0, 4.0])
    late[:2] = np.nan
    late[40:50] = np.nan
    r = clips.compare("c", late, x, x)
    assert r.tracked == pytest.approx(85)
    assert r.lag == pytest.approx(2, abs=0.05)
    rng = np.random.default_rng(1)
    noisy = x + rng.normal(size=x.shape)
    assert clips.compare("c", noisy, x, x).jitter > 2 * clips.compare("c", x, x, x).jitter
    shifted = clips.compare("c", x + np.array([3.0, 4.0]), x, x)
    assert shifted.distance == pytest.approx(5)


def test_jitter_of_both_is_taken_over_the_same_frames():
    x = talking_face()[:, clips.INNER_51, :2]
    x[60:] += np.random.default_rng(2).normal(size=x[60:].shape)
    ours = x.copy()
    ours[60:] = np.nan
    assert clips.compare("c", ours, x, x).jitter_ratio == pytest.approx(1)


def test_dead_eyes_have_no_correlation():
    x = talking_face()[:, clips.INNER_51, :2]
    still = x.copy()
    still[:, clips._LIDS[:, 1]] = still[:, clips._LIDS[:, 0]] + np.array([0, 6.0])
    r = clips.compare("c", still, x, x)
    assert np.isnan(r.eyes)
    assert r.mouth == pytest.approx(1)
    assert r.eyes_range > 1


def test_an_untracked_clip_fails_every_target():
    x = talking_face()[:, clips.INNER_51, :2]
    nothing = np.full_like(x, np.nan)
    section = clips.section([clips.compare("c", nothing, x, nothing)])
    assert not any(t.met for t in section.targets)


def test_evaluate_clips_runs_the_tracker_with_and_without_its_filter(tmp_path):
    reference = {name: talking_face(40, i).astype(np.float32) for i, name in enumerate(("a", "b"))}
    np.savez(tmp_path / "mediapipe478.npz", **reference)
    calls = []

    def track(path, quality, **options):
        calls.append((path.name, quality, *options.items()))
        points = ibug68(reference[path.stem].astype(float))
        short = fake_track(points[:3] + 100, np.arange(3))
        if path.stem == "b":
            return [short, fake_track(points[1:], np.arange(1, 40))]
        return [fake_track(points, np.arange(40)), short]

    section = clips.evaluate_clips(tmp_path, track=track)
    plain = ("live", ("method", "3ddfa_v2"))
    raw = (*plain, ("filter", None))
    assert calls == [("a.mp4", *plain), ("a.mp4", *raw), ("b.mp4", *plain), ("b.mp4", *raw)]
    assert (section.name, section.command) == ("clips", "steadyface benchmark clips")
    met = {t.what: t for t in section.targets}
    assert met["frames tracked, worst clip"].value == pytest.approx(97.5)
    assert not met["frames tracked, worst clip"].met
    assert met["distance to MediaPipe, inner 51 points, median of clips"].value == pytest.approx(0, abs=1e-3)
    assert len(section.tables[0].rows) == 3


def test_the_standard_quality_has_a_section_and_targets_of_its_own(tmp_path):
    x = talking_face(40)
    np.savez(tmp_path / "mediapipe478.npz", a=x.astype(np.float32))
    asked = []

    def track(path, quality, **options):
        asked.append(quality)
        return [fake_track(ibug68(x), np.arange(40))]

    section = clips.evaluate_clips(tmp_path, "standard", track)
    assert asked == ["standard", "live"]
    assert section.name == "clips_standard"
    assert section.command == "steadyface benchmark clips --quality standard"
    limits = {t.what: t.limit for t in section.targets}
    assert limits["jitter over MediaPipe's, median of clips"] == 0.4
    section = clips.evaluate_clips(tmp_path, "studio", track)
    assert (section.name, asked[2:]) == ("clips_studio", ["studio", "live"])
    assert {t.what: t.limit for t in section.targets} == limits
    with pytest.raises(InputError, match="unknown quality 'best': known are live, standard"):
        clips.evaluate_clips(tmp_path, "best", track)


def test_another_method_has_a_section_without_goals(tmp_path):
    x = talking_face(40)
    np.savez(tmp_path / "mediapipe478.npz", a=x.astype(np.float32))
    asked = []

    def track(path, quality, method, **options):
        asked.append(method)
        return [fake_track(ibug68(x), np.arange(40))]

    section = clips.evaluate_clips(tmp_path, "live", track, "local-motion")
    assert asked == ["local-motion"] * 2
    assert (section.name, section.targets) == ("clips_local_motion", ())
    assert section.command == "steadyface benchmark clips --method local-motion"
    with pytest.raises(InputError, match="unknown method 'best'"):
        clips.evaluate_clips(tmp_path, "live", track, "best")


def test_a_folder_without_reference_landmarks_is_explained(tmp_path):
    with pytest.raises(InputError, match=r"mediapipe478\.npz.*must hold"):
        clips.evaluate_clips(tmp_path)


def test_no_face_at_all_is_nothing_tracked():
    assert np.isnan(clips.main_track([], 7)).all()
