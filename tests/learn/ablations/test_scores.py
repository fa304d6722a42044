"""The figures of aligners whose errors are known, on a made clip."""

from dataclasses import replace

import numpy as np
import pytest
from filmed_clip import T, clip_of, script_of

from steadyface.align.crop import Crop
from steadyface.detect.detector import Detection
from steadyface.face_model.mediapipe import INNER_51
from steadyface.learn.ablations.scores import score, score_clips, score_steadybench


class Numbered:
    """A clip whose frames are blank but for their number; its truth is another clip's."""

    def __init__(self, clip):
        self.clip = clip

    def __getattr__(self, name):
        return getattr(self.clip, name)

    def frames(self):
        for t in range(T):
            image = np.zeros((480, 640, 3), np.uint8)
            image[0, 0, 0] = t
            yield image


def aligner_of(points):
    """An aligner of one video that gives points (T, 68, 2)."""

    def align(frames, crops):
        t = [int(f[-1][0, 0, 0]) for f in frames]
        return points[t], [Crop(points[i].mean(0), 200.0) for i in t]

    return align


def found(image):
    return [Detection(np.array([300.0, 200.0]), 200.0, 0.9, 0.0)]


@pytest.fixture(scope="module")
def clip(tiny_model):
    return Numbered(clip_of(script_of(tiny_model)))


def test_the_truth_has_no_error(clip):
    got = score_steadybench(aligner_of(clip.landmarks[..., :2]), 1, [clip], found)
    for name in ("nme", "nme_A", "nme_interocular", "stability", "nmf", "fr_8", "fr_4", "losses"):
        assert got[name] == pytest.approx(0, abs=1e-9), name
    assert got["auc_8"] == got["auc_4"] == got["found"] == pytest.approx(100)
    assert got["jitter"] == pytest.approx(got["jitter_truth"])
    assert got["lag"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(got["nme_B"])


def test_an_offset_costs_accuracy_and_not_steadiness(clip):
    truth = clip.landmarks[..., :2]
    got = score_steadybench(aligner_of(truth + np.array([3.0, 4.0])), 1, [clip], found)
    box = np.ptp(truth, axis=1)
    assert got["nme"] == pytest.approx(100 * np.mean(5 / np.sqrt(box.prod(-1))))
    assert got["nme"] == got["nme_A"]
    assert got["stability"] == pytest.approx(0, abs=1e-9)
    diagonal = 100 * 5 / np.linalg.norm(box, axis=-1)
    assert got["fr_8"] == pytest.approx(100 * np.mean(diagonal > 8), abs=1e-9)
    assert got["auc_8"] == pytest.approx(100 * np.mean(np.clip(1 - diagonal / 8, 0, 1)), abs=0.2)


def test_a_late_aligner_lags_and_noise_jitters(clip):
    truth = clip.landmarks[..., :2]
    late = truth[np.maximum(np.arange(T) - 2, 0)]
    assert score_steadybench(aligner_of(late), 1, [clip], found)["lag"] == pytest.approx(2, abs=0.2)
    noisy = truth + np.random.default_rng(0).normal(0, 1, truth.shape)
    got = score_steadybench(aligner_of(noisy), 1, [clip], found)
    assert got["jitter"] > 1.5 * got["jitter_truth"]
    assert got["stability"] > 0.5


def test_frames_without_points_are_failures_and_count_nothing_else(clip):
    truth = clip.landmarks[..., :2].copy()
    truth[10:16] = np.nan
    got = score_steadybench(aligner_of(truth), 1, [clip], found)
    assert got["found"] == pytest.approx(100 * (T - 6) / T)
    assert got["fr_8"] == pytest.approx(100 * 6 / T)
    assert got["nme"] == pytest.approx(0, abs=1e-9)
    # The frame after each of them is looked at by the detector.
    assert got["losses"] == 6


def test_clips_are_set_beside_mediapipes_points(tiny_model, clip):
    points = clip.attributes["truth"].points("mediapipe478")
    beside = Numbered(replace(clip.clip, markup="mediapipe478", landmarks=points))
    track = np.zeros((T, 68, 2))
    track[:, 17:] = points[:, INNER_51, :2]
    track[:, :17] = points[:, :17, :2]
    got = score_clips(aligner_of(track), 1, [beside], found)
    assert got["clips_distance"] == pytest.approx(0, abs=1e-9)
    assert got["clips_jitter"] == pytest.approx(got["clips_jitter_mediapipe"])
    assert got["clips_lag"] == pytest.approx(0, abs=1e-6)
    assert got["clips_losses"] == 0


def test_without_videos_there_are_no_figures():
    assert score(None, 1, None, None) == {}
